-- Which workflows belong together, and by which ids.

-- name: workflow_by_focus
-- The Receiver's id names the workflow that a change belongs to.
SELECT id, correlation_id, state, counterparty, request_type, use_case, focus_id FROM workflows
 WHERE provider = :provider AND focus_id = :key AND role = coalesce(:role, role)
 ORDER BY id DESC;

-- name: focus_holders
-- Whatever of anybody's has the id: a Receiver's number is of one patient, whoever of us was told it.
SELECT id, provider, state, counterparty, request_type FROM workflows
 WHERE focus_id = :focus_id AND role = :role ORDER BY id DESC;

-- name: workflows_named
-- By the id that the Receiver gave, which is unique to that Receiver only.
SELECT id, request_type, state, counterparty FROM workflows
 WHERE provider = :provider AND focus_id = :focus_id AND role = :role
   AND request_type IN (SELECT value FROM json_each(:request_types))
 ORDER BY id;

-- name: requests_open
-- What we asked for and is not over, the newest first: one of them a change may be of.
SELECT id, counterparty, state, focus_id, claimed_id FROM workflows
 WHERE provider = :provider AND request_type = :request_type AND closed_at IS NULL AND role = 'requester'
 ORDER BY id DESC;

-- name: workflows_to_carry_on
-- A conversation spans several workflows and organisations: these are candidates, and no more.
SELECT id, counterparty FROM workflows
 WHERE provider = :provider AND correlation_id = :correlation_id AND role = :role
   AND request_type IN ('referral', 'validation') AND state NOT IN ('cancelled', 'refused', 'abandoned')
 ORDER BY id;

-- name: workflows_to_replace
-- What was cancelled in a conversation, or is being, and has nothing in its place that may come to something.
SELECT w.id, w.counterparty FROM workflows AS w
 WHERE w.provider = :provider AND w.correlation_id = :correlation_id AND w.role = :role AND w.request_type = :request_type
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
-- A tie between two workflows, made by a message; the same tie is made once.
INSERT INTO links (workflow_id, to_id, kind, by, message_id, made_at)
VALUES (:workflow_id, :to_id, :kind, :by, :message_id, :now)
ON CONFLICT DO NOTHING;

-- name: link_as_one
-- Whatever was thought of the two before: the Receiver has said that they are one.
INSERT INTO links (workflow_id, to_id, kind, by, message_id, made_at)
VALUES (:workflow_id, :to_id, :kind, :by, :message_id, :now)
ON CONFLICT (workflow_id, to_id) DO UPDATE SET kind = excluded.kind, by = excluded.by;

-- name: moves_under_way
-- What has been taken to be sent, and will have happened before anything that is taken now.
SELECT move FROM messages
 WHERE workflow_id = :workflow_id AND direction = 'outbound' AND settled_at IS NULL ORDER BY id;

-- name: name_focus
-- What the Receiver calls the record, unless an answer of its own has told meanwhile.
UPDATE workflows SET focus_id = :focus_id, claimed_id = NULL WHERE id = :workflow_id AND focus_id IS NULL;

-- name: claim_focus
-- It is another patient's already: kept, so that a change which names it is not taken for the other's.
UPDATE workflows SET claimed_id = :focus_id WHERE id = :workflow_id;

-- name: lose_focus
-- The Receiver has given the id to a newer record: what is over is found by its Bundle.id.
UPDATE workflows SET focus_id = NULL WHERE id = :id;

-- name: patients_named
-- Whom later messages of a workflow named again, where somebody has said that it is the same patient.
SELECT p.message_id, p.part, p.media_type, p.headers, p.encoding, p.body
  FROM messages AS m JOIN payloads AS p ON p.message_id = m.id AND p.part = 'request'
 WHERE m.workflow_id = :workflow_id AND m.patient = 'changed' ORDER BY m.id;
