-- Exports of the audit trail.

-- name: messages_meant
-- The messages that somebody may mean by that name.
SELECT id, request_id FROM messages WHERE request_id = :name
 UNION
SELECT id, request_id FROM messages WHERE bundle_id = :name
 UNION
SELECT id, request_id FROM messages WHERE id = :number;
