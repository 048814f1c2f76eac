-- What a Receiver has under ids that are not known here.

-- name: next_unreconciled
-- What is to be looked for first: the Receiver has it under ids that are not known here.
SELECT id, provider, request_id, correlation_id, receiver, reconcile_at, settled_at FROM messages
 WHERE reconcile_at IS NOT NULL ORDER BY reconcile_at LIMIT 1;

-- name: unreconciled_standing
-- What could not be found, while an alarm says so.
SELECT m.id, m.provider, m.request_id, m.reconciliation, m.shown FROM alarms AS a JOIN messages AS m ON m.id = a.message_id
 WHERE a.workflow_id = :workflow_id AND a.kind = 'message.unreconciled' AND a.ended_at IS NULL;

-- name: workflow_answered
-- Whether anything was answered to what we asked, of our patient.
SELECT 1 FROM messages WHERE workflow_id = :id AND direction = 'inbound' AND patient IS NOT 'other' LIMIT 1;

-- name: reconcile_later
-- Look for it again at a later moment.
UPDATE messages SET reconcile_at = :at WHERE id = :id AND reconciliation = 'wanted';

-- name: reconcile
-- What came of looking for it, kept once, and how the record ended if it is over.
UPDATE messages SET reconciliation = :reconciliation, reconcile_at = NULL, shown = :shown
 WHERE id = :id AND reconciliation = 'wanted'
RETURNING id, provider, request_id, workflow_id, move, state, settled_at;

-- name: reconciled_as
-- What came of it after all, where more was found out in the same transaction.
UPDATE messages SET reconciliation = :reconciliation WHERE id = :id;

-- name: prove_by_read
-- What nobody could confirm is there after all: the Receiver shows it.
UPDATE messages SET state = 'acknowledged', settled_at = :now WHERE id = :id AND state = 'unconfirmed'
RETURNING id, provider, workflow_id, move;
