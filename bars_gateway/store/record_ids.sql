-- Which workflow the id of a Receiver's record names.

-- name: workflow_by_focus
-- The Receiver's id names the workflow that a change belongs to.
SELECT id, correlation_id, state, counterparty, request_type, use_case, focus_id FROM workflows
 WHERE provider = :provider AND focus_id = :key AND role = coalesce(:role, role)
 ORDER BY id DESC;

-- name: focus_holders
-- Whatever of anybody's has the id: a Receiver's number is of one patient, whoever of us was told it.
SELECT id, provider, state, counterparty, request_type FROM workflows
 WHERE focus_id = :focus_id AND role = :role ORDER BY id DESC;

-- name: requests_open
-- What we asked for and is not over, the newest first: one of them a change may be of.
SELECT id, counterparty, state, focus_id, claimed_id FROM workflows
 WHERE provider = :provider AND request_type = :request_type AND closed_at IS NULL AND role = 'requester'
 ORDER BY id DESC;

-- name: name_focus
-- What the Receiver calls the record, unless an answer of its own has told meanwhile.
UPDATE workflows SET focus_id = :focus_id, claimed_id = NULL WHERE id = :workflow_id AND focus_id IS NULL;

-- name: claim_focus
-- It is another patient's already: kept, so that a change which names it is not taken for the other's.
UPDATE workflows SET claimed_id = :focus_id WHERE id = :workflow_id;

-- name: lose_focus
-- The Receiver has given the id to a newer record: what is over is found by its Bundle.id.
UPDATE workflows SET focus_id = NULL WHERE id = :id;

-- name: link_as_one
-- Whatever was thought of the two before: the Receiver has said that they are one.
INSERT INTO links (workflow_id, to_id, kind, by, message_id, made_at)
VALUES (:workflow_id, :to_id, :kind, :by, :message_id, :now)
ON CONFLICT (workflow_id, to_id) DO UPDATE SET kind = excluded.kind, by = excluded.by;
