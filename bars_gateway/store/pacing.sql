-- What a restart may not forget of how fast we may ask, and whom we back off from.

-- name: note_call
-- A call to the platform, noted before it begins.
INSERT INTO calls (provider, began_at) VALUES (:provider, :now) RETURNING rowid AS id;

-- name: forget_calls
-- Calls that no minute holds any more.
DELETE FROM calls WHERE began_at < :before;

-- name: calls_since
-- When calls began, the oldest first.
SELECT provider, began_at FROM calls WHERE began_at >= :since ORDER BY began_at;

-- name: begin_break
-- The first word stands: a break that goes on after a restart has not begun there.
INSERT INTO breaks (name, since) VALUES (:whose, :since) ON CONFLICT (name) DO NOTHING;

-- name: end_break
-- An answer came: since when there was none is forgotten.
DELETE FROM breaks WHERE name = :whose;

-- name: breaks
-- One row for each that does not answer.
SELECT name, since FROM breaks ORDER BY name;
