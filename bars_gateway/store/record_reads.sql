-- Cancellations that wait to be read for, and what a Receiver has under ids that are not known here.

-- name: focus_claimants
-- Those to which the Receiver gave the id of another patient's record: it was not taken.
SELECT id, counterparty FROM workflows WHERE claimed_id = :focus_id AND role = 'requester';

-- name: cancellations_to_read
-- One for each Receiver, however many wait for it: one that is silent stands before no other. The first of its
-- conversation alone: before that, there may be nothing yet to cancel.
SELECT due.*
  FROM (SELECT m.id, m.provider, m.request_id, m.correlation_id, m.receiver, m.read_due_at,
               row_number() OVER (PARTITION BY m.provider, m.receiver ORDER BY m.read_due_at, m.id) AS place
          FROM messages AS m
         WHERE m.state = 'queued' AND m.read_due_at IS NOT NULL AND m.read_due_at <= :now AND m.give_up_at > :now
           AND +m.provider IN (SELECT value FROM json_each(:providers))
           AND m.id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:left_out))
           AND NOT EXISTS (SELECT 1 FROM messages AS earlier
                            WHERE earlier.settled_at IS NULL
                              AND earlier.provider = m.provider
                              AND earlier.correlation_id = m.correlation_id
                              AND earlier.receiver = m.receiver
                              AND earlier.id < m.id)) AS due
 WHERE due.place = 1
 ORDER BY due.read_due_at, due.id LIMIT :limit;

-- name: confirm_cancellation
-- Let a cancellation go out, and say what was shown of what it cancels.
UPDATE messages SET read_due_at = NULL, shown = :shown WHERE id = :id AND state = 'queued'
RETURNING id, provider, request_id;

-- name: unshown_before
-- Whether the Receiver has shown nothing of it a moment ago, either.
SELECT id FROM messages WHERE id = :id AND unshown_at >= :since;

-- name: note_unshown
-- A read showed nothing of what is to be cancelled: read again.
UPDATE messages SET read_due_at = :at, unshown_at = :now
 WHERE id = :id AND state = 'queued' AND read_due_at IS NOT NULL;

-- name: refuse_cancellation
-- Its read stays due: whoever has it tried again asks for a new look.
UPDATE messages
   SET state = 'refused', settled_at = :now, next_attempt_at = NULL, delay_due_at = NULL, shown = :shown
 WHERE id = :id AND state = 'queued' AND read_due_at IS NOT NULL
RETURNING id, provider, request_id;

-- name: postpone_cancellations
-- Read later: one cancellation, or all that are due of its Receiver.
UPDATE messages SET read_due_at = :at
 WHERE state = 'queued' AND read_due_at IS NOT NULL AND read_due_at <= :now
   AND (id = :id OR (:alike = 1 AND (+provider, +receiver) = (SELECT of.provider, of.receiver FROM messages AS of
                                                         WHERE of.id = :id)));

-- name: unread_cancellations
-- Those that were read for in vain, and whose EPR has waited long enough to be told: once.
SELECT m.id, m.provider, m.id AS message_id, m.request_id FROM messages AS m
 WHERE m.state = 'queued' AND m.read_due_at > '' AND m.read_due_at > m.created_at AND m.created_at <= :before
   AND NOT EXISTS (SELECT 1 FROM notices AS n WHERE n.message_id = m.id AND n.kind = 'cancel_not_sent')
   AND m.id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:left_out))
 ORDER BY m.read_due_at LIMIT :limit;

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
SELECT 1 FROM messages WHERE workflow_id = :id AND direction = 'inbound' AND patient IS DISTINCT FROM 'other' LIMIT 1;

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
