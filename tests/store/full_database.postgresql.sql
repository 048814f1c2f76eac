-- A database in which much is stored and much waits, for the plans that PostgreSQL makes of it: as many rows in each
-- state as it would have in a fifth of a busy year. No trigger fires: nothing but numbers is wanted of it.
SET session_replication_role = replica;

CREATE FUNCTION pg_temp.at(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT to_char(timestamp '2026-01-01' + n * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS".000Z"') $$;
CREATE FUNCTION pg_temp.service(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT 'https://fhir.nhs.uk/id/dos-service-id|' || 2000000 + n % 11 $$;

INSERT INTO workflows (id, provider, correlation_id, counterparty, role, request_type, use_case, focus_id, state,
                       answer_due_at, warn_at, overdue_at, likeness, opened_at, closed_at)
SELECT n, 'provider-' || n % 2, 'talk-' || n, pg_temp.service(n),
       CASE WHEN n % 10 < 7 THEN 'requester' ELSE 'responder' END, CASE n % 3 WHEN 0 THEN 'booking' ELSE 'referral' END,
       'a' || 1 + n % 8 || 't1', CASE WHEN n % 10 < 6 THEN 'focus-' || n END,
       CASE WHEN n % 10 < 6 THEN 'completed' ELSE 'requested' END,
       CASE WHEN n % 10 >= 6 THEN pg_temp.at(n + 60) END, CASE WHEN n % 10 >= 6 THEN pg_temp.at(n + 50) END,
       CASE WHEN n % 10 >= 6 THEN pg_temp.at(n + 60) END, CASE WHEN n % 10 < 7 THEN 'likeness-' || n END, pg_temp.at(n),
       CASE WHEN n % 10 < 6 THEN pg_temp.at(n + 30) END
  FROM generate_series(1, 20000) AS n;

INSERT INTO messages (id, workflow_id, provider, direction, request_id, correlation_id, bundle_id, responds_to, move,
                      use_case, sender, receiver, fingerprint, reference, state, attempts, urgent, next_attempt_at,
                      give_up_at, delay_due_at, created_at, settled_at, says, said_at, sent_at, trouble, fault,
                      reconciliation, reconcile_at, read_due_at, claimed_by, claimed_until)
SELECT n, n, 'provider-' || n % 2, d.direction, 'request-' || n, 'talk-' || n, 'bundle-' || n, NULL,
       CASE WHEN n % 50 = 0 THEN 'cancel' ELSE 'request' END, 'a' || 1 + n % 8 || 't1', pg_temp.service(n + 3), pg_temp.service(n),
       'fingerprint-' || n, CASE WHEN d.direction = 'inbound' THEN 'case-' || n END,
       CASE WHEN d.direction = 'inbound' THEN 'received' WHEN d.is_flying THEN 'sending' WHEN d.is_open THEN 'queued' ELSE 'acknowledged' END,
       CASE WHEN n % 100 = 9 THEN 3 ELSE 0 END, CASE WHEN n % 20 = 9 THEN 1 ELSE 0 END,
       CASE WHEN d.is_open AND NOT d.is_flying THEN pg_temp.at(n) END, CASE WHEN d.direction = 'outbound' THEN pg_temp.at(n + 200) END,
       CASE WHEN d.is_open THEN pg_temp.at(n + 60) END, pg_temp.at(n), CASE WHEN NOT d.is_open THEN pg_temp.at(n + 1) END,
       CASE WHEN n % 5 = 0 THEN 'accepted' END, CASE WHEN n % 5 = 0 THEN pg_temp.at(n) END,
       CASE WHEN n % 5 = 0 THEN pg_temp.at(n) END, CASE WHEN n % 40 = 3 THEN 'REC_' || n % 7 END,
       CASE WHEN n % 40 = 3 THEN 'REC' END,
       CASE WHEN n % 1000 = 0 THEN 'wanted' END, CASE WHEN n % 1000 = 0 THEN pg_temp.at(n) END,
       CASE WHEN d.is_open AND n % 50 = 6 THEN pg_temp.at(n) END,
       CASE WHEN d.is_flying THEN 'here' END, CASE WHEN d.is_flying THEN pg_temp.at(n) END
  FROM generate_series(1, 20000) AS n,
       LATERAL (SELECT CASE WHEN n % 10 < 3 THEN 'inbound' ELSE 'outbound' END AS direction, n % 10 > 5 AS is_open,
                       n % 200 = 7 AS is_flying) AS d;

INSERT INTO payloads (message_id, part, media_type, headers, encoding, body, digest)
SELECT n, part, 'application/fhir+json', '{}', 'zstd', convert_to(repeat(md5(n || part), 20), 'UTF8'), md5(n || part)
  FROM generate_series(1, 20000) AS n, unnest(ARRAY['request', 'answer']) AS part WHERE part = 'request' OR n % 10 < 6;

INSERT INTO attempts (message_id, number, receiver, started_at, ended_at, verdict, verdict_row, http_status, ids_echoed,
                      table_version)
SELECT n, 1, pg_temp.service(n), pg_temp.at(n), pg_temp.at(n), 'acknowledged', 'echoed', 200, 1, 1
  FROM generate_series(1, 20000) AS n WHERE n % 10 BETWEEN 3 AND 5;

INSERT INTO notices (id, provider, kind, message_id, created_at, collected_at)
SELECT n, 'provider-' || n % 2, CASE n % 10 WHEN 9 THEN 'delayed' ELSE 'outcome' END, n, pg_temp.at(n),
       CASE WHEN n % 50 > 0 THEN pg_temp.at(n + 1) END
  FROM generate_series(1, 12000) AS n;

INSERT INTO questions (id, provider, request_id, correlation_id, operation, changes, fingerprint, about, state, asked_at,
                       answer_by, decided_at, http_status, message_id)
SELECT n, 'provider-' || n % 2, 'request-' || n, 'talk-' || n, '$process-message', CASE WHEN n % 10 = 0 THEN 0 ELSE 1 END,
       'fingerprint-' || n, '{}', CASE WHEN n > 3990 THEN 'open' ELSE 'answered' END, pg_temp.at(n), pg_temp.at(n),
       CASE WHEN n <= 3990 THEN pg_temp.at(n) END, CASE WHEN n <= 3990 THEN 200 END, n
  FROM generate_series(1, 4000) AS n;

INSERT INTO ledger (provider, request_id, fingerprint, state, message_id, created_at)
SELECT 'provider-' || n % 2, 'request-' || n, 'fingerprint-' || n, 'done', n, pg_temp.at(n)
  FROM generate_series(1, 20000) AS n WHERE n % 10 < 3;

INSERT INTO sent_before (provider, fingerprint, request_id, settled_at)
SELECT 'provider-' || n % 2, 'gone-' || n, 'gone-' || n, pg_temp.at(n) FROM generate_series(1, 10000) AS n;

INSERT INTO quarantine (id, provider, request_id, correlation_id, bundle_id, responds_to, sender, receiver, reason,
                        fingerprint, media_type, headers, encoding, body, created_at, attached_to)
SELECT n, 'provider-' || n % 2, 'lost-' || n, 'lost-' || n, 'lost-' || n, 'lost-' || n, pg_temp.service(n), pg_temp.service(n),
       'orphan', 'lost-' || n, 'application/fhir+json', '{}', 'identity', '\x00', pg_temp.at(n), CASE WHEN n % 20 > 0 THEN n END
  FROM generate_series(1, 12000) AS n;

INSERT INTO events (id, at, provider, kind, message_id, request_id)
SELECT n, pg_temp.at(n), 'provider-' || n % 2,
       CASE WHEN n % 500 = 0 THEN 'audit.sealed' WHEN n % 12 = 0 THEN 'operator.held' ELSE 'message.queued' END,
       CASE WHEN n % 12 > 0 THEN n % 20000 + 1 END, 'request-' || n
  FROM generate_series(1, 40000) AS n;
INSERT INTO chain (line, hash) SELECT n, md5(n::text) FROM generate_series(1, 40000) AS n;

INSERT INTO alarms (id, event_id, kind, about, provider, message_id, workflow_id, request_id, since, times, ended_at, ended_how)
SELECT n, n, 'message.unconfirmed', 'message ' || n, 'provider-' || n % 2, n, n, 'request-' || n, pg_temp.at(n), 1,
       CASE WHEN n % 100 > 0 THEN pg_temp.at(n + 1) END, CASE WHEN n % 100 > 0 THEN 'settled' END
  FROM generate_series(1, 5000) AS n;

INSERT INTO links (workflow_id, to_id, kind, by, message_id, made_at)
SELECT n, n - 1, CASE n % 9 WHEN 0 THEN 'record' ELSE 'onward' END, 'Appointment.basedOn', n, pg_temp.at(n)
  FROM generate_series(2, 20000) AS n WHERE n % 3 = 0;

INSERT INTO subjects (hash, key_id, message_id) SELECT md5((n % 15000)::text), 'key', n FROM generate_series(1, 20000) AS n;
INSERT INTO deliveries (alert_id, step, channel, decided_at, due_at, delivered_at)
SELECT n, 'opened', 'journal', pg_temp.at(n), pg_temp.at(n), CASE WHEN n % 100 > 0 THEN pg_temp.at(n) END
  FROM generate_series(1, 12000) AS n;
INSERT INTO alerts (code, about, says, urgent, mark, opened_at, told_at, told_mark, resolved_at)
SELECT 'code', n, '', 0, 0, pg_temp.at(n), pg_temp.at(n), 0, CASE WHEN n % 1000 > 0 THEN pg_temp.at(n) END
  FROM generate_series(1, 12000) AS n;
INSERT INTO purges (began_by, why, rules, began_at, counts_to, ended_at)
SELECT 'gateway', '', '{}', pg_temp.at(n), pg_temp.at(n), pg_temp.at(n) FROM generate_series(1, 400) AS n;
INSERT INTO purged (class, first, purge_id, last)
SELECT 'payloads', n * 10, n % 400 + 1, n * 10 + 8 FROM generate_series(1, 4000) AS n;
INSERT INTO hours (direction, hour, flowed) SELECT d, left(pg_temp.at(n * 60), 13), 10
  FROM generate_series(1, 4000) AS n, unnest(ARRAY['inbound', 'outbound']) AS d;
INSERT INTO uptime (hour, first_at, last_at, up_ms, database_bytes)
SELECT left(pg_temp.at(n * 60), 13), pg_temp.at(n * 60), pg_temp.at(n * 60 + 59), 3600000, 1 FROM generate_series(1, 4000) AS n;
INSERT INTO alarm_kinds (kind, about) SELECT 'kind-' || n, 'message' FROM generate_series(1, 40) AS n;
INSERT INTO tallies (of, state, n) SELECT 'open', pg_temp.service(n), 700 FROM generate_series(1, 11) AS n;

SET session_replication_role = DEFAULT;
