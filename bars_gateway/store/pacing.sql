-- What a restart may not forget of how fast we may ask, and whom we back off from.

-- name: note_calls
-- Calls to the platform, noted before they begin: how many of each provider.
INSERT INTO calls (began_at, provider, n) SELECT :now, value ->> 0, CAST(value ->> 1 AS BIGINT) FROM json_each(:counts)
 WHERE true
ON CONFLICT (began_at, provider) DO UPDATE SET n = calls.n + excluded.n;

-- name: forget_call
-- The call was not made after all.
UPDATE calls SET n = n - 1 WHERE began_at = :began_at AND provider = :provider AND n > 0;

-- name: forget_calls
-- Calls that no minute holds any more.
DELETE FROM calls WHERE began_at < :before;

-- name: calls_since
-- When calls began, and how many, the oldest first.
SELECT provider, began_at, n FROM calls WHERE began_at >= :since AND n > 0 ORDER BY began_at;

-- name: begin_break
-- The first word stands: a break that goes on after a restart has not begun there.
INSERT INTO breaks (name, since) VALUES (:whose, :since) ON CONFLICT (name) DO NOTHING;

-- name: end_break
-- An answer came: since when there was none is forgotten.
DELETE FROM breaks WHERE name = :whose;

-- name: under_way
-- Of whom something is to be sent, or is owed to their EPR: one look into an index for each.
WITH RECURSIVE ours (provider) AS (
    SELECT min(m.provider) FROM messages AS m WHERE m.settled_at IS NULL
     UNION ALL
    SELECT (SELECT min(m.provider) FROM messages AS m WHERE m.settled_at IS NULL AND m.provider > ours.provider)
      FROM ours WHERE ours.provider IS NOT NULL)
SELECT provider FROM ours WHERE provider IS NOT NULL
 UNION
SELECT state AS provider FROM tallies WHERE of = 'notice' AND n > 0;

-- name: breaks
-- One row for each that does not answer.
SELECT name, since FROM breaks ORDER BY name;
