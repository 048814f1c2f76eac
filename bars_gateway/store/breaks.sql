-- Since when those have not answered whom we back off from.

-- name: begin_break
-- The first word stands: a break that goes on after a restart has not begun there.
INSERT INTO breaks (name, since) VALUES (:whose, :since) ON CONFLICT (name) DO NOTHING;

-- name: end_break
-- An answer came: since when there was none is forgotten.
DELETE FROM breaks WHERE name = :whose;

-- name: breaks
-- One row for each that does not answer.
SELECT name, since FROM breaks ORDER BY name;
