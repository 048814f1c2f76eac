-- What a restore does to what waits.

-- name: count_as_tried
-- What waits may have left since the backup: nobody may be told that it never did.
UPDATE messages SET attempts = CASE attempts WHEN 0 THEN 1 ELSE attempts END, restored_at = :now
 WHERE settled_at IS NULL;

-- name: open_at_restore
-- All that waits, or is held.
SELECT * FROM messages WHERE settled_at IS NULL ORDER BY id;

-- name: hold_restored
-- One whose fate nobody knows goes nowhere.
UPDATE messages
   SET state = 'held', next_attempt_at = NULL, claimed_by = NULL, claimed_until = NULL,
       attempts = CASE attempts WHEN 0 THEN 1 ELSE attempts END, restored_at = :now
 WHERE id = :id
RETURNING id, provider;

-- name: questions_put
-- What the EPR is asked about messages.
SELECT id, about FROM questions WHERE state = 'open' AND operation = :operation ORDER BY id;

-- name: put_otherwise
-- With a remark more.
UPDATE questions SET about = :about WHERE id = :id;

-- name: open_again
-- Whoever was away or paused at the time of the backup may have answered since.
DELETE FROM pauses;

-- name: unbroken_again
-- As above, of what was broken.
DELETE FROM breaks;

-- name: notices_uncollected
-- How many notices the EPR is given, some of them again.
SELECT count(*) AS n FROM notices WHERE collected_at IS NULL;

-- name: known_until
-- When something happened last that the backup has: what a restore has added itself, with its first
-- line, came afterwards, unless a gateway has started on it since.
WITH started AS (SELECT coalesce(max(id), 0) AS line FROM events WHERE kind = 'gateway.started'),
     safe AS (SELECT coalesce(min(id), :most) AS line FROM events
               WHERE kind = :kind AND id > (SELECT line FROM started))
SELECT max(at) AS at FROM events WHERE id < (SELECT line FROM safe);
