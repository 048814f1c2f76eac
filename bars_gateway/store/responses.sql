-- Responses that come in, and the workflows that they move.

-- name: workflows_responded_to
-- Every workflow of ours that a Bundle with that id belongs to, whoever sent the Bundle.
SELECT w.id, w.counterparty, w.focus_id, w.correlation_id, w.state, w.request_type, w.use_case, w.answer_due_at,
       w.closed_at,
       (SELECT c.state FROM messages AS c WHERE c.workflow_id = w.id AND c.direction = 'outbound' AND c.move = 'cancel'
         ORDER BY c.id DESC LIMIT 1) AS cancellation
  FROM workflows AS w
 WHERE w.role = 'requester'
   AND w.id IN (SELECT m.workflow_id FROM messages AS m
                 WHERE m.provider = :provider AND m.bundle_id = :bundle_id);

-- name: workflow_responded_to
-- The workflow that a response is of, with the last cancellation of it.
SELECT w.id, w.state, w.request_type, w.use_case, w.answer_due_at, w.closed_at,
       (SELECT c.state FROM messages AS c WHERE c.workflow_id = w.id AND c.direction = 'outbound' AND c.move = 'cancel'
         ORDER BY c.id DESC LIMIT 1) AS cancellation
  FROM workflows AS w WHERE w.id = :id;

-- name: words_said
-- What the Responder has said in a workflow, the newest first: by its clock, and not as it came.
SELECT m.id, m.says, m.said_at, m.sent_at, m.created_at, w.opened_at
  FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id
 WHERE m.workflow_id = :id AND m.says IS NOT NULL AND m.state NOT IN ('refused', 'not_sent', 'withdrawn')
   AND m.patient IS DISTINCT FROM 'other'
 ORDER BY m.said_at DESC, m.sent_at DESC, m.id DESC;

-- name: doubt_word
-- A stamp that lies ahead of now, and did not when it came: our own clock was ahead then.
UPDATE messages SET said_at = :said_at, sent_at = :sent_at WHERE id = :id;

-- name: asked_for
-- The Bundles in which the Requester's Encounter is: the request with its answer, and its updates.
SELECT m.move, p.message_id, p.part, p.media_type, p.headers, p.encoding, p.body, p.digest
  FROM messages AS m JOIN payloads AS p ON p.message_id = m.id AND p.part IN ('request', 'answer')
 WHERE m.workflow_id = :id AND m.move IN ('request', 'update')
   AND (p.part = 'request' OR m.move = 'request')
 ORDER BY m.id, p.part DESC;

-- name: plans_asked_about
-- The Bundles of a request and its updates: an answer may send back what they hold.
SELECT p.message_id, p.part, p.media_type, p.headers, p.encoding, p.body, p.digest
  FROM messages AS m JOIN payloads AS p ON p.message_id = m.id AND p.part = 'request'
 WHERE m.workflow_id = :id AND m.move IN ('request', 'update') ORDER BY m.id;

-- name: note_told
-- The status that the Responder gave last, in its own word.
UPDATE workflows SET told_status = :status WHERE id = :id;

-- name: requests_unconfirmed
-- Requests of a workflow that may never have arrived, for all that is known.
SELECT id FROM messages
 WHERE workflow_id = :workflow_id AND +direction = 'outbound' AND move = 'request' AND +state = 'unconfirmed';

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
