-- Messages that an EPR submits.

-- name: same_submission
-- The receipt for bytes that were submitted before, and what the Receiver said of them. What an index is known
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

-- name: submitted_as
-- The receipt for what was composed under the EPR's own key; a stand-down repeats itself word for word (D-same-bytes).
SELECT m.id, m.workflow_id, m.request_id, m.correlation_id, m.receiver, m.fingerprint, m.state, m.created_at,
       m.asked_as, m.target_unchecked, m.warnings,
       (SELECT w.state FROM workflows AS w WHERE w.id = m.workflow_id AND m.move = 'request') AS request_led_to,
       EXISTS (SELECT 1 FROM messages AS later
                WHERE later.workflow_id = m.workflow_id AND later.move = 'cancel' AND later.settled_at IS NULL)
           AS cancelling,
       (SELECT a.code FROM attempts AS a WHERE a.message_id = m.id ORDER BY a.number DESC LIMIT 1) AS code
  FROM messages AS m NOT INDEXED
 WHERE m.id IN (SELECT s.id FROM messages AS s
                 WHERE s.provider = :provider AND s.submission_id = :submission_id
                 UNION ALL SELECT message_id FROM unindexed)
   AND +m.provider = :provider AND +m.submission_id = :submission_id
 ORDER BY m.id LIMIT 1;

-- name: workflow_by_bundle
-- A response points back to any Bundle of its workflow; Application 6 repeats the Bundle's id.
SELECT w.id, w.correlation_id, w.state, w.counterparty, w.request_type, w.use_case, w.focus_id
  FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id
 WHERE m.provider = :provider AND m.bundle_id = :key AND w.role = coalesce(:role, w.role)
 ORDER BY m.id DESC;

-- name: end_of_workflow
-- When what a later move came too late for was over; nothing while its end is on its way.
SELECT closed_at FROM workflows WHERE id = :workflow_id;

-- name: workflows_in_talk
-- What we began in a conversation: whether what a change names can be one of them.
SELECT counterparty, focus_id FROM workflows
 WHERE provider = :provider AND correlation_id = :correlation_id AND role = 'requester' AND request_type = :request_type;

-- name: bundles_sent
-- Whose else a Bundle.id was, of what was submitted here, by whichever provider.
SELECT m.workflow_id, m.provider, m.receiver, m.move, m.state, m.request_id, m.fingerprint,
       p.message_id, p.part, p.media_type, p.headers, p.encoding, p.body
  FROM messages AS m JOIN payloads AS p ON p.message_id = m.id AND p.part = 'request'
 WHERE m.bundle_id = :bundle_id AND +m.direction = 'outbound'
 ORDER BY m.id DESC LIMIT 8;

-- name: press_on
-- What waits before an update is for the same patient: it is needed as soon, and goes out as urgently.
UPDATE messages
   SET urgent = max(urgent, :urgent),
       needed_by = CASE WHEN :needed_by < coalesce(needed_by, '9999') THEN :needed_by ELSE needed_by END,
       by_its_time = CASE WHEN :by_its_time = 1 AND :give_up_at < give_up_at THEN 1 ELSE by_its_time END,
       give_up_at = CASE WHEN :by_its_time = 1 THEN min(:give_up_at, give_up_at) ELSE give_up_at END
 WHERE workflow_id = :workflow_id AND id < :id AND direction = 'outbound' AND settled_at IS NULL
   AND move IN ('request', 'update');

-- name: queue_message
-- A message of ours, to be sent as soon as its turn comes; returned as `same_submission` finds it from then on.
INSERT INTO messages (workflow_id, provider, direction, request_id, correlation_id, bundle_id, responds_to, move,
                      use_case, sender, receiver, fingerprint, submission_id, asked_as, state, urgent, needed_by,
                      next_attempt_at, give_up_at, by_its_time, delay_due_at, answer_due_at, warn_at, read_due_at,
                      target_unchecked, patient, warnings, says, reason_code, said_at, sent_at, appointment_until,
                      created_at)
VALUES (:workflow_id, :provider, 'outbound', :request_id, :correlation_id, :bundle_id, :responds_to, :move,
        :use_case, :sender, :receiver, :fingerprint, :submission_id, :asked_as, 'queued', :urgent, :needed_by,
        :now, :give_up_at, :by_its_time, :delay_due_at, :answer_due_at, :warn_at, :read_due_at,
        :target_unchecked, :patient, :warnings, :says, :reason_code, :said_at, :sent_at, :appointment_until,
        :now)
RETURNING id, workflow_id, request_id, correlation_id, receiver, fingerprint, state, created_at,
          asked_as, target_unchecked, warnings, CASE move WHEN 'request' THEN 'requested' END AS request_led_to,
          0 AS cancelling, NULL AS code;

-- name: request_in
-- The request of a workflow. There is none where a change by a number that nothing has here began it.
SELECT id FROM messages WHERE workflow_id = :id AND move = 'request' LIMIT 1;
