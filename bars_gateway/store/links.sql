-- Which workflows belong together.

-- name: workflows_named
-- By the id that the Receiver gave, which is unique to that Receiver only.
SELECT id, request_type, state, counterparty FROM workflows
 WHERE provider = :provider AND focus_id = :focus_id AND role = :role
   AND request_type IN (SELECT value FROM json_each(:request_types))
 ORDER BY id;

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

-- name: moves_under_way
-- What has been taken to be sent, and will have happened before anything that is taken now.
SELECT move FROM messages
 WHERE workflow_id = :workflow_id AND direction = 'outbound' AND settled_at IS NULL ORDER BY id;
