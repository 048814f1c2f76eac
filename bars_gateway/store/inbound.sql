-- Requests that come in, and what was said to each.

-- name: conversation_of
-- The X-Correlation-Id that a workflow was opened under.
SELECT correlation_id FROM workflows WHERE id = :id;

-- name: take_message
-- A message that came in, settled as it is taken.
INSERT INTO messages (workflow_id, provider, direction, request_id, correlation_id, bundle_id, responds_to, move,
                      use_case, sender, receiver, fingerprint, reference, patient, state, says, reason_code, said_at, sent_at,
                      appointment_until, created_at, settled_at)
VALUES (:workflow_id, :provider, 'inbound', :request_id, :correlation_id, :bundle_id, :responds_to, :move,
        :use_case, :sender, :receiver, :fingerprint, :reference, :patient, 'received', :says, :reason_code, :said_at, :sent_at,
        :appointment_until, :now, :now)
RETURNING id;

-- name: question_heard
-- The Sender has asked again, and is told now what was decided when it had stopped waiting.
UPDATE questions SET heard_at = :now
 WHERE provider = :provider AND request_id = :request_id AND state = 'answered' AND decided_at > answer_by
   AND heard_at IS NULL
RETURNING message_id AS id, provider;

-- name: ledger_entry
-- What was said to an X-Request-Id before, and to which bytes.
SELECT l.provider, l.request_id, l.fingerprint, l.said, l.state, l.http_status, l.media_type, l.answer,
       (SELECT m.reference FROM messages AS m WHERE m.id = l.message_id) AS reference
  FROM ledger AS l WHERE l.provider = :provider AND l.request_id = :request_id;

-- name: ledger_done
-- What was being decided is done; what is new is entered.
INSERT INTO ledger (provider, request_id, fingerprint, said, state, message_id, created_at)
VALUES (:provider, :request_id, :fingerprint, :said, 'done', :message_id, :now)
ON CONFLICT (provider, request_id) DO UPDATE SET state = 'done', message_id = excluded.message_id
 WHERE ledger.state = 'processing';

-- name: ledger_refused
-- A refusal, said again to each retry; what was being asked about is refused with it.
INSERT INTO ledger (provider, request_id, fingerprint, state, http_status, media_type, answer, rules, created_at)
VALUES (:provider, :request_id, :fingerprint, 'refused', :http_status, :media_type, :answer, :rules, :now)
ON CONFLICT (provider, request_id) DO UPDATE
   SET state = 'refused', http_status = excluded.http_status, media_type = excluded.media_type,
       answer = excluded.answer, rules = excluded.rules
 WHERE ledger.state = 'processing';

-- name: bundle_seen
-- A new message needs a Bundle.id of its own (B05): none that was taken, none that the EPR is asked about.
SELECT m.id FROM messages AS m
 WHERE m.provider = :provider AND m.bundle_id = :bundle_id AND m.direction = 'inbound' AND m.sender = :sender
 UNION ALL
SELECT q.id FROM questions AS q
 WHERE q.provider = :provider AND q.bundle_id = :bundle_id AND q.bundle_id IS NOT NULL AND q.state = 'open'
 LIMIT 1;

-- name: bundles_received_elsewhere
-- Whose else a Bundle.id was, of what the same Sender sent to another provider here. By that id, which few have.
SELECT p.message_id, p.part, p.media_type, p.headers, p.encoding, p.body, p.digest
  FROM messages AS m JOIN payloads AS p ON p.message_id = m.id AND p.part = 'request'
 WHERE m.bundle_id = :bundle_id AND +m.direction = 'inbound' AND +m.sender = :sender AND m.provider <> :provider
 ORDER BY m.id DESC LIMIT 8;

-- name: workflows_changed
-- Whatever of ours has the id that a change names.
SELECT id, counterparty, state, request_type, use_case FROM workflows
 WHERE provider = :provider AND focus_id = :focus_id AND role = 'responder' ORDER BY id DESC;
