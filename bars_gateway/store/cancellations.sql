-- Cancellations that wait to be read for.

-- name: focus_claimants
-- Those to which the Receiver gave the id of another patient's record: it was not taken.
SELECT id, counterparty FROM workflows WHERE claimed_id = :focus_id AND role = 'requester';

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
   AND (id = :id OR (:alike AND (provider, receiver) = (SELECT of.provider, of.receiver FROM messages AS of
                                                         WHERE of.id = :id)));

-- name: unread_cancellations
-- Those that were read for in vain, and whose EPR has waited long enough to be told: once.
SELECT m.id, m.provider, m.id AS message_id, m.request_id FROM messages AS m
 WHERE m.state = 'queued' AND m.read_due_at > '' AND m.read_due_at > m.created_at AND m.created_at <= :before
   AND NOT EXISTS (SELECT 1 FROM notices AS n WHERE n.message_id = m.id AND n.kind = 'cancel_not_sent')
   AND m.id NOT IN (SELECT value FROM json_each(:left_out))
 ORDER BY m.read_due_at LIMIT :limit;
