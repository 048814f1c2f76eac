-- Every statement that the gateway says to its database, apart from the schema.
-- A test explains each one and refuses those that walk a whole table.

-- name: same_submission
-- The receipt for bytes that were handed in before, and what the Receiver said of them. What an index is known
-- to lack is looked at without it.
SELECT m.id, m.workflow_id, m.request_id, m.correlation_id, m.receiver, m.fingerprint, m.state, m.created_at,
       m.asked_as, m.target_unchecked, m.warnings,
       (SELECT w.state FROM workflows AS w WHERE w.id = m.workflow_id AND m.move = 'request') AS request_led_to,
       EXISTS (SELECT 1 FROM messages AS later
                WHERE later.workflow_id = m.workflow_id AND later.move = 'cancel' AND later.settled_at IS NULL)
           AS cancelling,
       (SELECT a.code FROM attempts AS a WHERE a.message_id = m.id ORDER BY a.number DESC LIMIT 1) AS code
  FROM messages AS m
 WHERE m.id IN (SELECT s.id FROM messages AS s
                 WHERE s.provider = :provider AND s.fingerprint = :fingerprint AND s.direction = 'outbound'
                   AND s.resend_of IS NULL AND s.submission_id IS NULL
                 UNION ALL SELECT message_id FROM unindexed)
   AND +m.provider = :provider AND +m.fingerprint = :fingerprint AND +m.direction = 'outbound'
   AND +m.resend_of IS NULL AND +m.submission_id IS NULL
 ORDER BY m.id LIMIT 1;

-- name: handed_submission
-- The receipt for what was composed under the EPR's own key; a stand-down repeats itself word for word (D-same-bytes).
SELECT m.id, m.workflow_id, m.request_id, m.correlation_id, m.receiver, m.fingerprint, m.state, m.created_at,
       m.asked_as, m.target_unchecked, m.warnings,
       (SELECT w.state FROM workflows AS w WHERE w.id = m.workflow_id AND m.move = 'request') AS request_led_to,
       EXISTS (SELECT 1 FROM messages AS later
                WHERE later.workflow_id = m.workflow_id AND later.move = 'cancel' AND later.settled_at IS NULL)
           AS cancelling,
       (SELECT a.code FROM attempts AS a WHERE a.message_id = m.id ORDER BY a.number DESC LIMIT 1) AS code
  FROM messages AS m
 WHERE m.id IN (SELECT s.id FROM messages AS s
                 WHERE s.provider = :provider AND s.submission_id = :submission_id
                 UNION ALL SELECT message_id FROM unindexed)
   AND +m.provider = :provider AND +m.submission_id = :submission_id
 ORDER BY m.id LIMIT 1;

-- name: workflow_numbered
SELECT * FROM workflows WHERE id = :id AND provider = :provider AND role = :role;

-- name: workflow_with_message
SELECT w.* FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id
 WHERE m.id IN (SELECT s.id FROM messages AS s WHERE s.request_id = :request_id AND +s.provider = :provider
                 UNION ALL SELECT message_id FROM unindexed)
   AND +m.request_id = :request_id AND +m.provider = :provider AND w.role = :role;

-- name: exchanged
-- What either side has of the other: what was refused or never left is nobody's.
SELECT m.move,
       request.media_type AS media_type, request.headers AS headers, request.encoding AS encoding,
       request.body AS body, request.digest AS digest,
       answer.media_type AS answer_media_type, answer.headers AS answer_headers,
       answer.encoding AS answer_encoding, answer.body AS answer_body,
       answer.digest AS answer_digest
  FROM messages AS m
  JOIN payloads AS request ON request.message_id = m.id AND request.part = 'request'
  LEFT JOIN payloads AS answer ON answer.message_id = m.id AND answer.part = 'answer'
 WHERE m.workflow_id = :workflow_id AND m.state NOT IN ('refused', 'not_sent', 'withdrawn')
 ORDER BY m.id;

-- name: workflow_by_focus
-- The Receiver's id names the workflow that a change belongs to.
SELECT id, correlation_id, state, counterparty, subject, use_case, focus_id FROM workflows
 WHERE provider = :provider AND focus_id = :key AND role = coalesce(:role, role)
 ORDER BY id DESC;

-- name: workflow_by_bundle
-- A response points back to any Bundle of its workflow; Application 6 repeats the Bundle's id.
SELECT w.id, w.correlation_id, w.state, w.counterparty, w.subject, w.use_case, w.focus_id
  FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id
 WHERE m.provider = :provider AND m.bundle_id = :key AND w.role = coalesce(:role, w.role)
 ORDER BY m.id DESC;

-- name: workflows_in_talk
-- What we began in a conversation: whether what a change names can be one of them.
SELECT counterparty, focus_id FROM workflows
 WHERE provider = :provider AND correlation_id = :correlation_id AND role = 'requester' AND subject = :subject;

-- name: conversation_of
SELECT correlation_id FROM workflows WHERE id = :id;

-- name: workflows_named
-- By the id that the Receiver gave, which is unique to that Receiver only.
SELECT id, subject, state, counterparty FROM workflows
 WHERE provider = :provider AND focus_id = :focus_id AND role = :role
   AND subject IN (SELECT value FROM json_each(:subjects))
 ORDER BY id;

-- name: requests_open
-- What we asked for and is not over, the newest first: one of them a change may be of.
SELECT id, counterparty, focus_id, claimed_id FROM workflows
 WHERE provider = :provider AND subject = :subject AND closed_at IS NULL AND role = 'requester'
 ORDER BY id DESC;

-- name: workflows_claiming
-- Those to which the Receiver gave the id of another patient's record: it was not taken.
SELECT id, counterparty FROM workflows
 WHERE provider = :provider AND claimed_id = :focus_id AND role = 'requester';

-- name: workflows_to_carry_on
-- A conversation spans several workflows and organisations: these are candidates, and no more.
SELECT id, counterparty FROM workflows
 WHERE provider = :provider AND correlation_id = :correlation_id AND role = :role
   AND subject IN ('referral', 'validation') AND state NOT IN ('cancelled', 'refused', 'abandoned')
 ORDER BY id;

-- name: workflows_to_replace
-- What was cancelled in a conversation, or is being, and has nothing in its place that may come to something.
SELECT w.id, w.counterparty FROM workflows AS w
 WHERE w.provider = :provider AND w.correlation_id = :correlation_id AND w.role = :role AND w.subject = :subject
   AND (w.state = 'cancelled'
        OR EXISTS (SELECT 1 FROM messages AS m
                    WHERE m.workflow_id = w.id AND m.direction = 'outbound' AND m.move = 'cancel'
                      AND m.settled_at IS NULL))
   AND NOT EXISTS (SELECT 1 FROM links AS l JOIN workflows AS other ON other.id = l.workflow_id
                    WHERE l.to_id = w.id AND l.kind = 'replacement'
                      AND other.state NOT IN ('refused', 'abandoned'))
 ORDER BY w.id;

-- name: workflows_alike
-- The same request, by all but its patient. What nobody there acts on is no second record.
SELECT id, counterparty FROM workflows
 WHERE provider = :provider AND likeness = :likeness AND role = :role
   AND state NOT IN ('cancelled', 'declined', 'refused', 'abandoned')
 ORDER BY id DESC LIMIT :most;

-- name: link_workflows
INSERT INTO links (workflow_id, to_id, kind, by, message_id, made_at)
VALUES (:workflow_id, :to_id, :kind, :by, :message_id, :now)
ON CONFLICT DO NOTHING;

-- name: link_as_one
-- Whatever was thought of the two before: the Receiver has said that they are one.
INSERT INTO links (workflow_id, to_id, kind, by, message_id, made_at)
VALUES (:workflow_id, :to_id, :kind, :by, :message_id, :now)
ON CONFLICT (workflow_id, to_id) DO UPDATE SET kind = excluded.kind, by = excluded.by;

-- name: links_of
-- Those that the workflow's own request asked for, and those that later requests did.
SELECT l.by, 1 AS from_here, o.id, o.subject, o.role, o.state, o.focus_id
  FROM links AS l JOIN workflows AS o ON o.id = l.to_id WHERE l.workflow_id = :id
 UNION ALL
SELECT l.by, 0 AS from_here, o.id, o.subject, o.role, o.state, o.focus_id
  FROM links AS l JOIN workflows AS o ON o.id = l.workflow_id WHERE l.to_id = :id
 ORDER BY 3;

-- name: bundles_sent
-- Whose else a Bundle.id was, of what was handed in here.
SELECT m.workflow_id, p.media_type, p.headers, p.encoding, p.body
  FROM messages AS m JOIN payloads AS p ON p.message_id = m.id AND p.part = 'request'
 WHERE m.provider = :provider AND m.bundle_id = :bundle_id AND m.direction = 'outbound'
 ORDER BY m.id DESC LIMIT 8;

-- name: moves_under_way
-- What has been taken to be sent, and will have happened before anything that is taken now.
SELECT move FROM messages
 WHERE workflow_id = :workflow_id AND direction = 'outbound' AND settled_at IS NULL ORDER BY id;

-- name: open_workflow
INSERT INTO workflows (provider, correlation_id, counterparty, role, subject, use_case, focus_id, state,
                       answer_due_at, warn_at, overdue_at, likeness, opened_at)
VALUES (:provider, :correlation_id, :counterparty, :role, :subject, :use_case, :focus_id, :state,
        :answer_due_at, :warn_at, :answer_due_at, :likeness, :now)
RETURNING id;

-- name: bring_forward
-- An update to a nearer time counts from when it was handed in: nobody waits for its acknowledgement to be late.
UPDATE workflows SET answer_due_at = :due, overdue_at = :due, warn_at = :warn_at
 WHERE id = :id AND closed_at IS NULL AND (answer_due_at IS NULL OR answer_due_at > :due);

-- name: press_on
-- What waits before an update is for the same patient: it is needed as soon, and goes out as urgently.
UPDATE messages
   SET urgent = max(urgent, :urgent),
       needed_by = CASE WHEN :needed_by < coalesce(needed_by, '9999') THEN :needed_by ELSE needed_by END,
       by_its_time = CASE WHEN :by_its_time AND :give_up_at < give_up_at THEN 1 ELSE by_its_time END,
       give_up_at = CASE WHEN :by_its_time THEN min(:give_up_at, give_up_at) ELSE give_up_at END
 WHERE workflow_id = :workflow_id AND id < :id AND direction = 'outbound' AND settled_at IS NULL
   AND move IN ('request', 'update');

-- name: nothing_owed
-- Where each response tells how far things are, the first one ends the silence.
UPDATE workflows SET answer_due_at = NULL, overdue_at = NULL, warn_at = NULL WHERE id = :id;

-- name: open_resent
-- A request that is sent again as a new one makes a record of its own there, and so a workflow here.
INSERT INTO workflows (provider, correlation_id, counterparty, role, subject, use_case, state,
                       answer_due_at, warn_at, overdue_at, likeness, opened_at)
SELECT provider, correlation_id, counterparty, role, subject, use_case, 'requested',
       answer_due_at, warn_at, answer_due_at, likeness, :now
  FROM workflows WHERE id = :id
RETURNING id;

-- name: link_as_before
-- What the first record was tied to, the second is.
INSERT INTO links (workflow_id, to_id, kind, by, message_id, made_at)
SELECT :workflow_id, to_id, kind, by, :message_id, :now FROM links WHERE workflow_id = :of
ON CONFLICT DO NOTHING;

-- name: queue_message
INSERT INTO messages (workflow_id, provider, direction, request_id, correlation_id, bundle_id, responds_to, move,
                      use_case, sender, receiver, fingerprint, submission_id, asked_as, state, urgent, needed_by,
                      next_attempt_at, give_up_at, by_its_time, delay_due_at, answer_due_at, warn_at, read_due_at,
                      target_unchecked, patient, warnings, says, reason_code, said_at, sent_at, created_at)
VALUES (:workflow_id, :provider, 'outbound', :request_id, :correlation_id, :bundle_id, :responds_to, :move,
        :use_case, :sender, :receiver, :fingerprint, :submission_id, :asked_as, 'queued', :urgent, :needed_by,
        :now, :give_up_at, :by_its_time, :delay_due_at, :answer_due_at, :warn_at, :read_due_at,
        :target_unchecked, :patient, :warnings, :says, :reason_code, :said_at, :sent_at, :now)
RETURNING id;

-- name: take_message
INSERT INTO messages (workflow_id, provider, direction, request_id, correlation_id, bundle_id, responds_to, move,
                      use_case, sender, receiver, fingerprint, reference, patient, state, says, reason_code, said_at, sent_at,
                      created_at, settled_at)
VALUES (:workflow_id, :provider, 'inbound', :request_id, :correlation_id, :bundle_id, :responds_to, :move,
        :use_case, :sender, :receiver, :fingerprint, :reference, :patient, 'received', :says, :reason_code, :said_at, :sent_at,
        :now, :now)
RETURNING id;

-- name: keep_payload
INSERT INTO payloads (message_id, part, media_type, headers, encoding, body, digest)
VALUES (:message_id, :part, :media_type, :headers, :encoding, :body, :digest)
ON CONFLICT (message_id, part) DO UPDATE
   SET media_type = excluded.media_type, headers = excluded.headers, encoding = excluded.encoding,
       body = excluded.body, digest = excluded.digest;

-- name: payload
SELECT media_type, headers, encoding, body, digest FROM payloads WHERE message_id = :message_id AND part = :part;

-- name: unproven_becomes_answer
-- A duplicate proves that the answer without our ids was the Receiver's after all (D-duplicate).
UPDATE OR REPLACE payloads SET part = 'answer' WHERE message_id = :message_id AND part = 'unproven';

-- name: claim_next
-- Take the message of that urgency that has been due longest, for this node alone.
--
-- Three rules keep one sick Receiver from harming the rest. Within a conversation
-- with one Receiver, messages leave in the order in which they were taken, one at
-- a time: an update must not overtake its request. No Receiver has more than
-- :per_receiver in flight, so the others always find a free sender. And each
-- Receiver's queue is looked at apart, from its head: however much waits for one of
-- them, or may not go yet, to find what is due for another takes no longer.
WITH RECURSIVE waiting (receiver) AS (
    SELECT min(receiver) FROM messages WHERE state = 'queued' AND urgent = :urgent
     UNION ALL
    SELECT (SELECT min(m.receiver) FROM messages AS m
             WHERE m.state = 'queued' AND m.urgent = :urgent AND m.receiver > waiting.receiver)
      FROM waiting WHERE waiting.receiver IS NOT NULL
)
UPDATE messages
   SET state = 'sending', claims = claims + 1, attempts = attempts + 1, next_attempt_at = NULL,
       claimed_by = :node, claimed_until = :lease_until
 WHERE id = (SELECT head.id
               FROM waiting
               JOIN messages AS head
                 ON head.id = (SELECT m.id
                                 FROM messages AS m
                                WHERE m.state = 'queued' AND m.urgent = :urgent
                                  AND m.receiver = waiting.receiver AND m.next_attempt_at <= :now
                                  AND m.provider IN (SELECT value FROM json_each(:providers))
                                  AND m.give_up_at > :now AND m.read_due_at IS NULL
                                  AND NOT EXISTS (SELECT 1 FROM messages AS earlier
                                                   WHERE earlier.settled_at IS NULL
                                                     AND earlier.provider = m.provider
                                                     AND earlier.correlation_id = m.correlation_id
                                                     AND earlier.receiver = m.receiver
                                                     AND earlier.id < m.id)
                                ORDER BY m.next_attempt_at, m.id
                                LIMIT 1)
              WHERE waiting.receiver NOT IN (SELECT value FROM json_each(:not_for))
                AND (SELECT count(*) FROM messages AS flying
                      WHERE flying.state = 'sending' AND flying.receiver = waiting.receiver) < :per_receiver
              ORDER BY head.next_attempt_at, head.id
              LIMIT 1)
RETURNING id, provider, request_id, correlation_id, receiver, move, use_case, claims, attempts, resend_of, created_at,
          give_up_at;

-- name: left_open
-- Whether an attempt before this one may have arrived, and whether one was answered about somebody else. What is
-- sent again under new ids goes on from the doubt that the first one ended in. A restore forgets attempts.
WITH RECURSIVE line (id, resend_of, begun, restored_at) AS (
    SELECT id, resend_of, attempts - 1, restored_at FROM messages WHERE id = :id
     UNION ALL
    SELECT m.id, m.resend_of, m.attempts, m.restored_at FROM messages AS m JOIN line ON m.id = line.resend_of
     WHERE m.state = 'unconfirmed'
)
SELECT max(line.restored_at IS NOT NULL OR line.begun > (SELECT count(*) FROM attempts AS a WHERE a.message_id = line.id
                            AND a.verdict_row IN (SELECT value FROM json_each(:kept_out)))) AS unknown,
       max(line.id = :id AND EXISTS (SELECT 1 FROM attempts AS a
                                      WHERE a.message_id = line.id
                                        AND a.verdict_row IN (SELECT value FROM json_each(:foreign)))) AS foreign_ack
  FROM line;

-- name: server_errors
-- How often the message has met a 500 that counts, and since when it has met any: that proves nothing, and may
-- not go on for ever. Whoever has it sent again begins anew.
SELECT sum(verdict = 'retry_limited') AS n, max(started_at) AS previous_at,
       min(CASE WHEN verdict_row IN (SELECT value FROM json_each(:errors)) THEN started_at END) AS first_error_at
  FROM attempts
 WHERE message_id = :message_id
   AND started_at >= coalesce((SELECT max(at) FROM events
                                WHERE message_id = :message_id
                                  AND kind IN ('operator.retried', 'epr.retried')), '');

-- name: foreign_attempt
SELECT 1 FROM attempts
 WHERE message_id = :message_id AND verdict_row IN (SELECT value FROM json_each(:foreign)) LIMIT 1;

-- name: put_back
-- No POST began, so it was no attempt; the count of claims still grows.
UPDATE messages
   SET state = 'queued', attempts = attempts - 1, next_attempt_at = :retry_at, claimed_by = NULL,
       claimed_until = NULL
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim;

-- name: settle_for_retry
-- The answer proved nothing. Back to the queue, under the same X-Request-Id.
-- The claim number fences: a claim that has lapsed cannot settle its successor.
UPDATE messages
   SET state = 'queued', next_attempt_at = :retry_at, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim;

-- name: settle_for_good
UPDATE messages
   SET state = :state, settled_at = :now, claimed_by = NULL, claimed_until = NULL, delay_due_at = NULL
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim
RETURNING id, provider, move, workflow_id, needed_by, answer_due_at, warn_at;

-- name: want_reconciliation
-- The Receiver has it, and the ids that it gave to it were in the answer that got lost.
UPDATE messages SET reconciliation = 'wanted', reconcile_at = :now WHERE id = :id;

-- name: next_unreconciled
SELECT id, provider, request_id, correlation_id, receiver, reconcile_at, settled_at FROM messages
 WHERE reconcile_at IS NOT NULL ORDER BY reconcile_at LIMIT 1;

-- name: reconcile_later
UPDATE messages SET reconcile_at = :at WHERE id = :id AND reconciliation = 'wanted';

-- name: reconcile
UPDATE messages SET reconciliation = :reconciliation, reconcile_at = NULL
 WHERE id = :id AND reconciliation = 'wanted'
RETURNING id, provider, request_id, workflow_id, move, state, settled_at;

-- name: reconciled_as
UPDATE messages SET reconciliation = :reconciliation WHERE id = :id;

-- name: prove_by_read
-- What nobody could confirm is there after all: the Receiver shows it.
UPDATE messages SET state = 'acknowledged', settled_at = :now WHERE id = :id AND state = 'unconfirmed'
RETURNING id, provider, workflow_id, move;

-- name: name_focus
-- What the Receiver calls the record, unless an answer of its own has told meanwhile.
UPDATE workflows SET focus_id = :focus_id, claimed_id = NULL WHERE id = :workflow_id AND focus_id IS NULL;

-- name: claim_focus
-- It is another patient's already: kept, so that a change which names it is not taken for the other's.
UPDATE workflows SET claimed_id = :focus_id WHERE id = :workflow_id;

-- name: lose_focus
-- The Receiver has given the id to a newer record: what is over is found by its Bundle.id.
UPDATE workflows SET focus_id = NULL WHERE id = :id;

-- name: question_heard
-- The Sender has asked again, and is told now what was decided when it had stopped waiting.
UPDATE questions SET heard_at = :now
 WHERE provider = :provider AND request_id = :request_id AND state = 'answered' AND decided_at > answer_by
   AND heard_at IS NULL
RETURNING message_id AS id, provider;

-- name: record_attempt
INSERT INTO attempts (message_id, number, started_at, ended_at, verdict, verdict_row, fault, http_status, code,
                      issue, ids_echoed, table_version)
VALUES (:message_id, :number, :started_at, :ended_at, :verdict, :verdict_row, :fault, :http_status, :code,
        :issue, :ids_echoed, :table_version);

-- name: write_notice
INSERT INTO notices (provider, kind, message_id, remarks, created_at, collected_at)
VALUES (:provider, :kind, :message_id, :remarks, :now, :collected_at);

-- name: workflow_state
SELECT state, focus_id, subject, use_case FROM workflows WHERE id = :id;

-- name: workflows_due_soon
-- Said once. What is owed is told with the message that asked for it.
SELECT w.id, w.provider, w.state, m.id AS message_id, m.request_id
  FROM workflows AS w LEFT JOIN messages AS m ON m.id = (SELECT min(id) FROM messages WHERE workflow_id = w.id)
 WHERE w.closed_at IS NULL AND w.warn_at IS NOT NULL AND w.warn_at <= :now
   AND (w.overdue_at IS NULL OR w.overdue_at > :now)
   AND w.id NOT IN (SELECT value FROM json_each(:left_out))
 ORDER BY w.warn_at LIMIT :limit;

-- name: warning_told
UPDATE workflows SET warn_at = NULL WHERE id = :id;

-- name: workflows_overdue
SELECT w.id, w.provider, w.state, m.id AS message_id, m.request_id
  FROM workflows AS w LEFT JOIN messages AS m ON m.id = (SELECT min(id) FROM messages WHERE workflow_id = w.id)
 WHERE w.closed_at IS NULL AND w.overdue_at IS NOT NULL AND w.overdue_at <= :now
   AND w.id NOT IN (SELECT value FROM json_each(:left_out))
 ORDER BY w.overdue_at LIMIT :limit;

-- name: overdue_told
UPDATE workflows SET overdue_at = NULL, warn_at = NULL WHERE id = :id;

-- name: event_told
SELECT 1 FROM events WHERE message_id = :message_id AND kind = :kind AND detail = :detail LIMIT 1;

-- name: notice_waiting
SELECT 1 FROM notices WHERE message_id = :message_id AND kind = :kind AND collected_at IS NULL LIMIT 1;

-- name: alarm_standing
SELECT id FROM alarms WHERE about = 'workflow ' || :workflow_id AND kind = :kind AND ended_at IS NULL;

-- name: alarm_named
SELECT id FROM alarms WHERE request_id = :request_id AND provider = :provider AND kind = :kind AND ended_at IS NULL;

-- name: request_of_message
SELECT request_id FROM messages WHERE id = :id;

-- name: request_of
-- The message that began a workflow.
SELECT id, provider, request_id FROM messages WHERE workflow_id = :id ORDER BY id LIMIT 1;

-- name: patients_named
-- Whom later messages of a workflow named anew, where somebody has said that it is the same patient.
SELECT p.media_type, p.headers, p.encoding, p.body
  FROM messages AS m JOIN payloads AS p ON p.message_id = m.id AND p.part = 'request'
 WHERE m.workflow_id = :workflow_id AND m.patient = 'changed' ORDER BY m.id;

-- name: move_due
-- An update of a request brings a clinical time of its own; the clock is set anew by it.
UPDATE workflows SET answer_due_at = :due, overdue_at = :due, warn_at = :warn_at
 WHERE id = :id AND answer_due_at IS NOT NULL;

-- name: move_workflow
-- Guarded by the state that the move was decided from. The id that came first stays: test kits answer
-- cancellations under other ones.
UPDATE workflows SET state = :state, focus_id = coalesce(focus_id, :focus_id), closed_at = :closed_at
 WHERE id = :id AND state = :before;

-- name: own_leases
-- This node died while it was sending these: whether they arrived is not known, so they go out again.
SELECT id, provider, id AS message_id, request_id FROM messages
 WHERE state = 'sending' AND claimed_by = :node AND id NOT IN (SELECT value FROM json_each(:left_out)) LIMIT :limit;

-- name: leases_lapsed
SELECT id, provider, id AS message_id, request_id FROM messages
 WHERE state = 'sending' AND claimed_until <= :now AND id NOT IN (SELECT value FROM json_each(:left_out))
 LIMIT :limit;

-- name: release
UPDATE messages SET state = 'queued', next_attempt_at = :now, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND state = 'sending';

-- name: put_off
-- What waits for who does not answer waits for longer; what would be too late by then gets a last try in time.
-- What was tried least goes first, and what was tried last after all the others: it may be the cause itself.
UPDATE messages
   SET next_attempt_at = min(strftime('%Y-%m-%dT%H:%M:%fZ', :until,
                                      '+' || (min(attempts, 900) / 1000.0 + (id IS :last)) || ' seconds'),
                             max(next_attempt_at, coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', give_up_at, '-5 seconds'),
                                                           '')))
 WHERE state = 'queued' AND next_attempt_at < :until
   AND (:provider IS NULL OR provider = :provider) AND (:receiver IS NULL OR receiver = :receiver);

-- name: hasten
UPDATE messages SET next_attempt_at = :now
 WHERE state = 'queued' AND next_attempt_at > :now
   AND (:provider IS NULL OR provider = :provider) AND (:receiver IS NULL OR receiver = :receiver);

-- name: reschedule
-- The clock was set by :step: what waits or is being sent has as long to go as it had before.
-- So does the time to give up, unless it follows from a clinical time: that is an instant, and stays.
-- What a disk has spoilt stays as it is, and keeps no other from being moved.
UPDATE OR IGNORE messages
   SET next_attempt_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', next_attempt_at, :step), next_attempt_at),
       claimed_until = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', claimed_until, :step), claimed_until),
       delay_due_at = CASE WHEN delay_due_at IS needed_by THEN delay_due_at
                           ELSE coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', delay_due_at, :step), delay_due_at) END,
       read_due_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', read_due_at, :step), read_due_at),
       give_up_at = CASE WHEN by_its_time THEN give_up_at
                         ELSE coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', give_up_at, :step), give_up_at) END
 WHERE settled_at IS NULL AND give_up_at IS NOT NULL;

-- name: recall
-- No pause is that long: the clock was set back after this was scheduled. It is due now.
UPDATE messages SET next_attempt_at = :now WHERE state = 'queued' AND next_attempt_at > :beyond;

-- name: recall_reads
UPDATE messages SET read_due_at = :now
 WHERE state = 'queued' AND read_due_at IS NOT NULL AND read_due_at > :beyond;

-- name: recall_delays
UPDATE messages SET delay_due_at = :beyond
 WHERE settled_at IS NULL AND delay_due_at IS NOT NULL AND delay_due_at > :beyond
   AND delay_due_at IS NOT needed_by;

-- name: messages_past_their_time
-- Being held stops no clock: the patient's time passes all the same, and the EPR must hear of it.
SELECT id, provider, id AS message_id, request_id FROM messages
 WHERE state IN ('queued', 'held') AND settled_at IS NULL AND give_up_at <= :now
   AND id NOT IN (SELECT value FROM json_each(:left_out))
 ORDER BY give_up_at LIMIT :limit;

-- name: give_up
-- Past its time: not_sent where no POST ever began, and otherwise unconfirmed, which is all we know.
UPDATE messages
   SET state = CASE attempts WHEN 0 THEN 'not_sent' ELSE 'unconfirmed' END,
       settled_at = :now, next_attempt_at = NULL, delay_due_at = NULL
 WHERE id = :id AND state IN ('queued', 'held')
RETURNING id, provider, move, workflow_id, state;

-- name: message
SELECT * FROM messages_seen WHERE id = :id;

-- name: message_sent
SELECT * FROM messages_seen
 WHERE id IN (SELECT s.id FROM messages AS s
               WHERE s.provider = :provider AND s.direction = 'outbound' AND s.request_id = :request_id
               UNION ALL SELECT message_id FROM unindexed)
   AND +provider = :provider AND +direction = 'outbound' AND +request_id = :request_id;

-- name: select_messages
-- By state first: there are few in those that a person acts on.
SELECT * FROM messages_seen
 WHERE direction = 'outbound' AND state IN (SELECT value FROM json_each(:states)) AND +provider = :provider
   AND id > :after AND id <= coalesce(:up_to, id)
   AND receiver = coalesce(:receiver, receiver) AND use_case = coalesce(:use_case, use_case)
   AND correlation_id = coalesce(:correlation_id, correlation_id)
   AND created_at >= coalesce(:taken_from, created_at) AND (:taken_before IS NULL OR created_at < :taken_before)
 ORDER BY id LIMIT :limit;

-- name: later_that_left
-- A later message of the workflow that the Receiver has, or may have.
SELECT id FROM messages
 WHERE workflow_id = :workflow_id AND id > :id AND direction = 'outbound' AND (attempts > 0 OR state = 'sending')
 LIMIT 1;

-- name: stood_down
-- Somebody had been sent, and the last that was said is that they wait again.
SELECT 1 FROM messages AS m
 WHERE m.id = (SELECT max(id) FROM messages
                WHERE workflow_id = :workflow_id AND direction = 'inbound'
                  AND move IN ('wait', 'progress', 'decline', 'conclude'))
   AND m.move = 'wait'
   AND EXISTS (SELECT 1 FROM messages AS earlier
                WHERE earlier.workflow_id = m.workflow_id AND earlier.move = 'progress' AND earlier.id < m.id);

-- name: later_that_waits
-- A later message of the workflow that has yet to leave, for the first time or again.
SELECT id FROM messages
 WHERE workflow_id = :workflow_id AND id > :id AND direction = 'outbound' AND settled_at IS NULL
 LIMIT 1;

-- name: resent_message
SELECT id FROM messages WHERE resend_of = :id LIMIT 1;

-- name: has_request
SELECT 1 FROM payloads WHERE message_id = :id AND part = 'request';

-- name: cancellations_to_read
-- The first of its conversation alone: before that, there may be nothing yet to cancel.
SELECT m.id, m.provider, m.request_id, m.correlation_id, m.receiver FROM messages AS m
 WHERE m.state = 'queued' AND m.read_due_at IS NOT NULL AND m.read_due_at <= :now AND m.give_up_at > :now
   AND NOT EXISTS (SELECT 1 FROM messages AS earlier
                    WHERE earlier.settled_at IS NULL
                      AND earlier.provider = m.provider
                      AND earlier.correlation_id = m.correlation_id
                      AND earlier.receiver = m.receiver
                      AND earlier.id < m.id)
 ORDER BY m.read_due_at, m.id LIMIT :limit;

-- name: confirm_cancellation
UPDATE messages SET read_due_at = NULL, shown = :shown WHERE id = :id AND state = 'queued'
RETURNING id, provider, request_id;

-- name: unshown_before
-- Whether the Receiver has shown nothing of it a moment ago, either.
SELECT id FROM messages WHERE id = :id AND unshown_at >= :since;

-- name: note_unshown
UPDATE messages SET read_due_at = :at, unshown_at = :now
 WHERE id = :id AND state = 'queued' AND read_due_at IS NOT NULL;

-- name: refuse_cancellation
-- Its read stays due: whoever has it tried again asks for a new look.
UPDATE messages
   SET state = 'refused', settled_at = :now, next_attempt_at = NULL, delay_due_at = NULL, shown = :shown
 WHERE id = :id AND state = 'queued' AND read_due_at IS NOT NULL
RETURNING id, provider, request_id;

-- name: postpone_cancellations
UPDATE messages SET read_due_at = :at
 WHERE state = 'queued' AND read_due_at IS NOT NULL AND read_due_at <= :now
   AND (id = :id OR (:alike AND (provider, receiver) = (SELECT of.provider, of.receiver FROM messages AS of
                                                         WHERE of.id = :id)));

-- name: unread_cancellations
-- Those that were read for in vain, and whose EPR has waited long enough to be told: once.
SELECT m.id, m.provider, m.id AS message_id, m.request_id FROM messages AS m
 WHERE m.state = 'queued' AND m.read_due_at > '' AND m.read_due_at > m.created_at AND m.created_at <= :before
   AND NOT EXISTS (SELECT 1 FROM notices AS n WHERE n.message_id = m.id AND n.kind = 'cancel_not_sent')
   AND m.id NOT IN (SELECT value FROM json_each(:left_out))
 ORDER BY m.read_due_at LIMIT :limit;

-- name: hold_message
UPDATE messages SET state = 'held', next_attempt_at = NULL WHERE id = :id AND state = 'queued';

-- name: release_message
UPDATE messages SET state = 'queued', next_attempt_at = :now WHERE id = :id AND state = 'held';

-- name: withdraw_message
UPDATE messages
   SET state = 'withdrawn', settled_at = :now, next_attempt_at = NULL, delay_due_at = NULL
 WHERE id = :id AND state IN ('queued', 'held') AND attempts = 0;

-- name: withdraw_behind
-- What was to change a request that never left has nothing to change.
UPDATE messages
   SET state = 'withdrawn', settled_at = :now, next_attempt_at = NULL, delay_due_at = NULL
 WHERE workflow_id = :workflow_id AND id > :id AND direction = 'outbound' AND state IN ('queued', 'held')
   AND attempts = 0
RETURNING id, provider, request_id;

-- name: hasten_message
UPDATE messages SET next_attempt_at = :now WHERE id = :id AND state = 'queued';

-- name: revive_message
-- The same ids and bytes, with a time of its own: whoever asked wants it to be tried now.
UPDATE messages
   SET state = 'queued', next_attempt_at = :now, settled_at = NULL, unshown_at = NULL, shown = NULL,
       give_up_at = :give_up_at, by_its_time = :by_its_time, delay_due_at = :delay_due_at
 WHERE id = :id AND state IN ('refused', 'unconfirmed', 'not_sent', 'withdrawn');

-- name: revive_workflow
UPDATE workflows SET state = 'requested', closed_at = NULL
 WHERE id = :id AND state IN (SELECT value FROM json_each(:fates));

-- name: queue_resent
-- The same payload in the same conversation, under ids of its own; a request in a workflow of its own.
INSERT INTO messages (workflow_id, provider, direction, request_id, correlation_id, bundle_id, responds_to, move,
                      use_case, sender, receiver, fingerprint, state, resend_of, urgent, needed_by, next_attempt_at,
                      give_up_at, by_its_time, delay_due_at, answer_due_at, warn_at, read_due_at, target_unchecked,
                      says, reason_code, said_at, sent_at, created_at)
SELECT :workflow_id, provider, 'outbound', :request_id, correlation_id, :bundle_id, responds_to, move,
       use_case, sender, receiver, :fingerprint, 'queued', id, urgent, needed_by, :now, :give_up_at, :by_its_time,
       :delay_due_at, answer_due_at, warn_at, read_due_at, target_unchecked, says, reason_code, said_at, sent_at, :now
  FROM messages WHERE id = :id
RETURNING id;

-- name: late_messages
SELECT id, provider, state, needed_by, id AS message_id, request_id FROM messages
 WHERE settled_at IS NULL AND delay_due_at IS NOT NULL AND delay_due_at <= :now
   AND id NOT IN (SELECT value FROM json_each(:left_out))
 ORDER BY delay_due_at LIMIT :limit;

-- name: delay_told
-- Said once, and once more when the time passes of what goes on beyond it.
UPDATE messages
   SET delay_due_at = CASE WHEN needed_by > :now AND needed_by < give_up_at THEN needed_by END
 WHERE id = :id;

-- name: next_due
SELECT min(at) AS at
  FROM (SELECT (SELECT min(next_attempt_at) FROM messages
                 WHERE state = 'queued' AND urgent = u.value AND next_attempt_at > :now
                   AND +provider IN (SELECT value FROM json_each(:providers))) AS at
          FROM json_each('[0, 1]') AS u);

-- name: note_call
INSERT INTO calls (provider, began_at) VALUES (:provider, :now) RETURNING rowid AS id;

-- name: forget_call
-- The call was not made after all.
DELETE FROM calls WHERE rowid = :call AND provider = :provider;

-- name: forget_calls
DELETE FROM calls WHERE began_at < :before;

-- name: calls_since
SELECT provider, began_at FROM calls WHERE began_at >= :since ORDER BY began_at;

-- name: begin_break
-- The first word stands: a break that goes on after a restart has not begun there.
INSERT INTO breaks (name, since) VALUES (:whose, :since) ON CONFLICT (name) DO NOTHING;

-- name: end_break
DELETE FROM breaks WHERE name = :whose;

-- name: breaks
-- One row for each that does not answer.
SELECT name, since FROM breaks ORDER BY name;

-- name: ledger_entry
SELECT l.fingerprint, l.said, l.state, l.http_status, l.media_type, l.answer,
       (SELECT m.reference FROM messages AS m WHERE m.id = l.message_id) AS reference
  FROM ledger AS l WHERE l.provider = :provider AND l.request_id = :request_id;

-- name: ledger_done
-- What was being decided is done; what is new is entered.
INSERT INTO ledger (provider, request_id, fingerprint, said, state, message_id, created_at)
VALUES (:provider, :request_id, :fingerprint, :said, 'done', :message_id, :now)
ON CONFLICT (provider, request_id) DO UPDATE SET state = 'done', message_id = excluded.message_id
 WHERE ledger.state = 'processing';

-- name: ledger_refused
INSERT INTO ledger (provider, request_id, fingerprint, state, http_status, media_type, answer, rules, created_at)
VALUES (:provider, :request_id, :fingerprint, 'refused', :http_status, :media_type, :answer, :rules, :now)
ON CONFLICT (provider, request_id) DO UPDATE
   SET state = 'refused', http_status = excluded.http_status, media_type = excluded.media_type,
       answer = excluded.answer, rules = excluded.rules
 WHERE ledger.state = 'processing';

-- name: ledger_written
-- What the EPR has done at the request of a preview write, which is no message.
UPDATE ledger SET state = 'done'
 WHERE provider = :provider AND request_id = :request_id AND state = 'processing';

-- name: ledger_processing
-- A retry that comes before the EPR has answered meets this: 425.
INSERT INTO ledger (provider, request_id, fingerprint, said, state, question_id, created_at)
VALUES (:provider, :request_id, :fingerprint, :said, 'processing', :question_id, :now);

-- name: bundle_seen
-- A new message needs a Bundle.id of its own (B05): none that was taken, none that the EPR is asked about.
SELECT m.id FROM messages AS m
 WHERE m.provider = :provider AND m.bundle_id = :bundle_id AND m.direction = 'inbound' AND m.sender = :sender
 UNION ALL
SELECT q.id FROM questions AS q
 WHERE q.provider = :provider AND q.bundle_id = :bundle_id AND q.bundle_id IS NOT NULL AND q.state = 'open'
 LIMIT 1;

-- name: put_question
INSERT INTO questions (provider, request_id, correlation_id, operation, changes, fingerprint, bundle_id, about, state,
                       asked_at, answer_by, alarm_at, media_type, headers, encoding, body)
VALUES (:provider, :request_id, :correlation_id, :operation, :changes, :fingerprint, :bundle_id, :about, 'open',
        :now, :answer_by, :alarm_at, :media_type, :headers, :encoding, :body)
RETURNING id;

-- name: question
SELECT * FROM questions WHERE id = :id AND provider = :provider;

-- name: question_repeated
-- The same read, under the same X-Request-Id.
SELECT * FROM questions
 WHERE provider = :provider AND request_id = :request_id AND fingerprint = :fingerprint;

-- name: question_decision
SELECT http_status, answer_code, answer_type, answer, message_id FROM questions
 WHERE id = :id AND state = 'answered';

-- name: open_questions
SELECT * FROM questions WHERE provider = :provider AND state = 'open' AND id > :after ORDER BY id LIMIT :limit;

-- name: decide_question
-- The request's bytes go on to the message, or are not kept: what was refused is nobody's record.
UPDATE questions
   SET state = 'answered', decided_at = :now, accepted = :accepted, http_status = :http_status,
       answer_code = :answer_code, answer_type = :answer_type, answer = :answer, answered_with = :answered_with,
       message_id = :message_id, alarm_at = NULL, media_type = NULL, headers = NULL, encoding = NULL, body = NULL
 WHERE id = :id AND state = 'open';

-- name: forget_read
DELETE FROM questions WHERE id = :id AND changes = 0;

-- name: forget_reads
-- A read changes nothing: once nobody waits for its answer, neither it nor the answer is kept.
DELETE FROM questions WHERE changes = 0 AND asked_at <= :before;

-- name: unanswered_questions
SELECT id, provider, NULL AS message_id, request_id FROM questions
 WHERE alarm_at IS NOT NULL AND alarm_at <= :now AND id NOT IN (SELECT value FROM json_each(:left_out))
 ORDER BY alarm_at LIMIT :limit;

-- name: unanswered_told
UPDATE questions SET alarm_at = NULL WHERE id = :id;

-- name: workflows_changed
-- Whatever of ours has the id that a change names.
SELECT id, counterparty, state, subject, use_case FROM workflows
 WHERE provider = :provider AND focus_id = :focus_id AND role = 'responder' ORDER BY id DESC;

-- name: count_questions
-- Those that are late first: nobody waits for their answer any more.
SELECT provider, count(*) AS n, sum(answer_by <= :now) AS late, min(asked_at) AS oldest
  FROM questions INDEXED BY questions_open WHERE state = 'open' GROUP BY provider;

-- name: workflows_responded_to
-- Every workflow of ours that a Bundle with that id belongs to, whoever sent the Bundle.
SELECT w.id, w.counterparty, w.focus_id, w.correlation_id, w.state, w.subject, w.use_case, w.answer_due_at,
       w.closed_at,
       (SELECT c.state FROM messages AS c WHERE c.workflow_id = w.id AND c.direction = 'outbound' AND c.move = 'cancel'
         ORDER BY c.id DESC LIMIT 1) AS cancellation
  FROM workflows AS w
 WHERE w.role = 'requester'
   AND w.id IN (SELECT m.workflow_id FROM messages AS m
                 WHERE m.provider = :provider AND m.bundle_id = :bundle_id);

-- name: confirm_workflow
UPDATE workflows SET state = :state, closed_at = :closed_at
 WHERE id = :id AND state IN ('unclear', 'contradicted');

-- name: workflow_responded_to
SELECT w.id, w.state, w.subject, w.use_case, w.answer_due_at, w.closed_at,
       (SELECT c.state FROM messages AS c WHERE c.workflow_id = w.id AND c.direction = 'outbound' AND c.move = 'cancel'
         ORDER BY c.id DESC LIMIT 1) AS cancellation
  FROM workflows AS w WHERE w.id = :id;

-- name: words_said
-- What the Responder has said in a workflow, the newest first: by its clock, and not as it came.
SELECT m.says, m.said_at, m.sent_at, m.created_at, w.opened_at
  FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id
 WHERE m.workflow_id = :id AND m.says IS NOT NULL AND m.state NOT IN ('refused', 'not_sent', 'withdrawn')
   AND m.patient IS NOT 'other'
 ORDER BY m.said_at DESC, m.sent_at DESC, m.id DESC;

-- name: asked_for
-- The Bundles in which the Requester's Encounter is: the request with its answer, and its updates.
SELECT m.move, p.media_type, p.headers, p.encoding, p.body, p.digest
  FROM messages AS m JOIN payloads AS p ON p.message_id = m.id AND p.part IN ('request', 'answer')
 WHERE m.workflow_id = :id AND m.move IN ('request', 'update')
   AND (p.part = 'request' OR m.move = 'request')
 ORDER BY m.id, p.part DESC;

-- name: note_told
UPDATE workflows SET told_status = :status WHERE id = :id;

-- name: requests_unconfirmed
SELECT id FROM messages
 WHERE workflow_id = :workflow_id AND direction = 'outbound' AND move = 'request' AND state = 'unconfirmed';

-- name: acknowledge_by_response
-- A response proves that its request arrived: what waits for a retry need not be sent again, and what nobody could
-- confirm is there. What is being sent at this moment is left alone: its own answer is on the way.
-- Of a request and its copies, the one is proved that the response names; where it names none, the only one.
UPDATE messages
   SET state = 'acknowledged', settled_at = :now, next_attempt_at = NULL, delay_due_at = NULL
 WHERE workflow_id = :workflow_id AND direction = 'outbound' AND move = 'request'
   AND state IN ('queued', 'held', 'unconfirmed') AND attempts > 0
   AND (bundle_id = :bundle_id
        OR (SELECT count(*) FROM messages AS every WHERE every.workflow_id = :workflow_id
               AND every.direction = 'outbound' AND every.move = 'request') = 1)
RETURNING id, provider, move, workflow_id;

-- name: quarantine
INSERT INTO quarantine (provider, request_id, correlation_id, bundle_id, responds_to, sender, receiver, reason,
                        fingerprint, media_type, headers, encoding, body, created_at)
VALUES (:provider, :request_id, :correlation_id, :bundle_id, :responds_to, :sender, :receiver, :reason,
        :fingerprint, :media_type, :headers, :encoding, :body, :now);

-- name: quarantined
SELECT * FROM quarantine WHERE id = :id AND provider = :provider;

-- name: quarantine_waiting
SELECT * FROM quarantine WHERE attached_to IS NULL AND provider = coalesce(:provider, provider)
 ORDER BY id LIMIT :limit;

-- name: attach_quarantined
-- With every copy of the same bytes: an EPR gets a response once.
UPDATE quarantine SET attached_to = :workflow_id
 WHERE provider = :provider AND fingerprint = :fingerprint AND attached_to IS NULL;

-- name: forget_refusal
-- An operator has overruled it: the same X-Request-Id is a duplicate from now on.
DELETE FROM ledger WHERE provider = :provider AND request_id = :request_id AND state = 'refused';

-- name: add_event
INSERT INTO events (at, provider, kind, request_id, detail) VALUES (:now, :provider, :kind, :request_id, :detail);

-- name: add_message_event
INSERT INTO events (at, provider, kind, message_id, request_id, detail)
VALUES (:now, :provider, :kind, :message_id, :request_id, :detail);

-- name: pending_notices
SELECT * FROM notices AS n WHERE n.provider = :provider AND n.collected_at IS NULL AND n.kept_back_at IS NULL
 ORDER BY n.id LIMIT :limit;

-- name: notice
SELECT * FROM notices AS n WHERE n.id = :notice_id AND n.provider = :provider;

-- name: newest_notice
-- What the EPR was told last of one message.
SELECT * FROM notices WHERE message_id = :message_id ORDER BY id DESC LIMIT 1;

-- name: notice_message
-- What a notice is about: its message, the last attempt, and whether there is an answer to read.
SELECT m.workflow_id, m.direction, m.request_id, m.correlation_id, m.bundle_id, m.move, m.use_case, m.sender,
       m.receiver, m.state, m.attempts, m.reference, m.fingerprint, m.reconciliation,
       m.says, m.reason_code, m.shown, m.give_up_at, w.focus_id, w.subject, w.answer_due_at,
       a.http_status, a.code, a.issue, a.fault,
       request.media_type AS media_type, answer.media_type AS answer_media_type,
       (SELECT original.request_id FROM messages AS original WHERE original.id = m.resend_of) AS resend_of
  FROM messages AS m
  JOIN workflows AS w ON w.id = m.workflow_id
  LEFT JOIN attempts AS a
    ON a.message_id = m.id AND a.number = (SELECT max(number) FROM attempts WHERE message_id = m.id)
  LEFT JOIN payloads AS request ON request.message_id = m.id AND request.part = 'request'
  LEFT JOIN payloads AS answer  ON answer.message_id  = m.id AND answer.part  = 'answer'
 WHERE m.id = :message_id;

-- name: collect_notice
UPDATE notices SET collected_at = :now WHERE id = :notice_id AND provider = :provider AND collected_at IS NULL;

-- name: keep_notice_back
UPDATE notices SET kept_back_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
 WHERE id = :notice_id AND provider = :provider AND kept_back_at IS NULL
RETURNING message_id, kept_back_at;

-- name: begin_notices_anew
UPDATE notices SET kept_back_at = NULL WHERE kept_back_at IS NOT NULL;

-- name: set_aside
-- Held, from wherever it stood open. It stays an attempt where a POST may have begun.
UPDATE messages
   SET state = 'held', next_attempt_at = NULL, claimed_by = NULL, claimed_until = NULL,
       attempts = attempts - CASE WHEN state = 'sending' AND NOT :began THEN 1 ELSE 0 END
 WHERE id = :id AND ((:claim IS NULL AND state = 'queued') OR (state = 'sending' AND claims = :claim))
RETURNING id, provider, request_id;

-- name: open_messages
SELECT * FROM messages_seen WHERE settled_at IS NULL AND provider = coalesce(:provider, provider)
 ORDER BY id LIMIT :limit;

-- name: messages_named
SELECT * FROM messages_seen
 WHERE request_id IN (:request_id, lower(:request_id)) -- what came in capitals is kept in lower case
   AND provider = coalesce(:provider, provider) ORDER BY id;

-- name: message_attempts
SELECT * FROM attempts WHERE message_id = :message_id ORDER BY number;

-- name: message_events
SELECT * FROM events WHERE message_id = :message_id ORDER BY id;

-- name: workflow
SELECT * FROM workflows WHERE id = :id;

-- name: newest_message
SELECT id, settled_at FROM messages WHERE id = (SELECT max(id) FROM messages);

-- name: count_messages
SELECT direction, state, count(*) AS n FROM messages GROUP BY direction, state;

-- name: count_readings
-- Cancellations that wait for the read before them.
SELECT reading, count(*) AS n FROM messages_seen
 WHERE state = 'queued' AND read_due_at IS NOT NULL GROUP BY reading;

-- name: count_workflows
SELECT state, count(*) AS n FROM workflows GROUP BY state;

-- name: count_notices
SELECT provider, count(*) AS n FROM notices WHERE collected_at IS NULL GROUP BY provider;

-- name: oldest_open
SELECT min(created_at) AS at FROM messages WHERE settled_at IS NULL;

-- name: last_attempts
SELECT a.*, m.request_id, m.provider, m.receiver
  FROM attempts AS a JOIN messages AS m ON m.id = a.message_id
 ORDER BY a.started_at DESC LIMIT :limit;

-- name: last_workflows
SELECT * FROM workflows ORDER BY id DESC LIMIT :limit;

-- name: next_due_of_all
SELECT min(at) AS at
  FROM (SELECT (SELECT min(next_attempt_at) FROM messages WHERE state = 'queued' AND urgent = u.value) AS at
          FROM json_each('[0, 1]') AS u);

-- name: uncollected
SELECT id FROM notices WHERE provider = :provider AND collected_at IS NULL ORDER BY id LIMIT :limit;

-- name: unread_notices
SELECT n.id, n.created_at, m.use_case, m.request_id, m.workflow_id
  FROM json_each(:numbers) AS j
  JOIN notices AS n ON n.id = j.value AND n.provider = :provider
  JOIN messages AS m ON m.id = n.message_id
 ORDER BY n.id;

-- name: count_alarms
-- What stands, and nothing of what has ended: each step is an index of the standing.
SELECT a.kind, a.provider, w.role, count(*) AS n, min(a.since) AS oldest, max(a.id) AS newest
  FROM alarms AS a INDEXED BY alarms_counted LEFT JOIN workflows AS w ON w.id = a.workflow_id
 WHERE a.ended_at IS NULL GROUP BY a.kind, a.provider, w.role;

-- name: newest_alarms
SELECT a.* FROM alarms_seen AS a
 WHERE a.kind = :kind AND a.ended_at IS NULL ORDER BY a.id DESC LIMIT :limit;

-- name: standing_alarms
SELECT a.* FROM alarms_seen AS a
 WHERE a.ended_at IS NULL AND a.provider IS coalesce(:provider, a.provider) ORDER BY a.id DESC LIMIT :limit;

-- name: alarm
SELECT a.* FROM alarms_seen AS a
 WHERE a.id = :id AND (a.provider = :provider OR a.provider IS NULL);

-- name: alarms_named
SELECT a.* FROM alarms_seen AS a
 WHERE a.request_id = :request_id AND a.ended_at IS NULL AND (a.provider = :provider OR a.provider IS NULL) ORDER BY a.id;

-- name: alarms_raised
-- What was raised since, ended or not: for the log.
SELECT a.* FROM alarms_seen AS a WHERE a.id > :after ORDER BY a.id LIMIT :limit;

-- name: newest_alarm
SELECT max(id) AS id FROM alarms;

-- name: alarms_of_kinds
SELECT a.* FROM alarms_seen AS a
 WHERE a.ended_at IS NULL AND a.kind IN (SELECT value FROM json_each(:kinds)) AND a.id > :after AND a.id <= :up_to
   AND (a.provider = :provider OR a.provider IS NULL)
 ORDER BY a.id LIMIT :limit;

-- name: handle_alarm
UPDATE alarms SET ended_at = :now, ended_how = 'handled', ended_by = :who, why = :why
 WHERE id = :id AND ended_at IS NULL
RETURNING message_id;
