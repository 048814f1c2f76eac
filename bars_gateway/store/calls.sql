-- What was asked of the platform in the last minute.

-- name: note_call
-- A call to the platform, noted before it begins.
INSERT INTO calls (provider, began_at) VALUES (:provider, :now) RETURNING rowid AS id;

-- name: forget_calls
-- Calls that no minute holds any more.
DELETE FROM calls WHERE began_at < :before;

-- name: calls_since
-- When calls began, the oldest first.
SELECT provider, began_at FROM calls WHERE began_at >= :since ORDER BY began_at;
