-- The chain of the audit trail.

-- name: newest_event
-- The last line, as a group of works begins: what comes after it is the group's own.
SELECT max(id) AS id FROM events;

-- name: unchained
-- What a group has added, with the hash that it goes on from: bytes, for a spoilt one stops no message.
SELECT id, at, provider, kind, message_id, request_id, detail,
       (SELECT CAST(hash AS BLOB) FROM chain WHERE line = (SELECT max(line) FROM chain)) AS previous
  FROM events WHERE id > :after ORDER BY id;

-- name: chain_lines
-- The hashes of those, all at once.
INSERT INTO chain (line, hash) SELECT CAST(value ->> 0 AS BIGINT), value ->> 1 FROM json_each(:links);

-- name: trail_lines
-- The next lines as bytes, for what a disk has spoilt is no text any more; with their hashes.
SELECT e.id AS line, CAST(e.at AS BLOB) AS at, CAST(e.provider AS BLOB) AS provider, CAST(e.kind AS BLOB) AS kind,
       e.message_id, CAST(e.request_id AS BLOB) AS request_id, CAST(e.detail AS BLOB) AS detail,
       CAST(c.hash AS BLOB) AS hash
  FROM events AS e NOT INDEXED LEFT JOIN chain AS c ON c.line = e.id
 WHERE e.id > :after ORDER BY e.id LIMIT :limit;

-- name: chained_alone
-- Hashes of lines that are gone.
SELECT c.line FROM chain AS c
 WHERE c.line > :after AND c.line <= :until AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.id = c.line)
 ORDER BY c.line LIMIT :limit;

-- name: trail_head
-- The last hash, and its line.
SELECT line, CAST(hash AS BLOB) AS hash FROM chain WHERE line = (SELECT max(line) FROM chain);

-- name: trail_begins
-- The first hash; its line is there, or was removed under a rule.
SELECT c.line, CAST(c.hash AS BLOB) AS hash, EXISTS (SELECT 1 FROM events AS e WHERE e.id = c.line) AS is_there
  FROM chain AS c WHERE c.line = (SELECT min(line) FROM chain);

-- name: hash_of_line
-- The hash of one line.
SELECT CAST(hash AS BLOB) AS hash FROM chain WHERE line = :line;

-- name: lines_given
-- How many lines there ever were, by the counter beside the table: SQLite's own, or ours.
SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'events') AS given;

-- postgresql: lines_given
SELECT n AS given FROM given WHERE of = 'events';

-- name: guards
-- What refuses changes, and whatever else acts on lines and their removal: the triggers, as they stand in the file.
SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name IN ('events', 'chain', 'anchors');

-- postgresql: guards
SELECT CAST(t.tgname AS TEXT) AS name, CASE t.tgenabled WHEN 'O' THEN pg_get_triggerdef(t.oid) END AS sql
  FROM pg_trigger AS t
 WHERE t.tgrelid IN (CAST('events' AS regclass), CAST('chain' AS regclass), CAST('anchors' AS regclass)) AND NOT t.tgisinternal
 UNION
SELECT CAST(p.proname AS TEXT), p.prosrc
  FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE t.tgrelid IN (CAST('events' AS regclass), CAST('chain' AS regclass), CAST('anchors' AS regclass)) AND NOT t.tgisinternal;

-- name: proofs
-- The lines of one kind by which the trail tells of itself, the newest first; bytes, as above.
SELECT id, CAST(at AS BLOB) AS at, CAST(detail AS BLOB) AS detail FROM events
 WHERE kind = :kind AND id > :after
   AND kind IN ('audit.sealed', 'audit.anchored', 'audit.verified', 'operator.restored') -- as its index has them
 ORDER BY id DESC LIMIT :limit;

-- name: count_lines
-- How many lines there are between two.
SELECT count(*) AS n FROM chain WHERE line > :after AND line <= :through;

-- name: broken_before
-- Whether there ever was an alarm about that place.
SELECT 1 FROM alarms WHERE kind = 'audit.broken' AND about = :about LIMIT 1;

-- name: last_walk
-- When the gateway walked the trail last, and what it found; bytes, as above.
SELECT CAST(at AS BLOB) AS at, CAST(detail AS BLOB) AS detail FROM events
 WHERE kind = 'audit.verified'
   AND kind IN ('audit.sealed', 'audit.anchored', 'audit.verified', 'operator.restored')
 ORDER BY id DESC LIMIT 1;

-- name: line_before
-- Whether anything was written before that day.
SELECT 1 AS found WHERE (SELECT min(at) FROM events) < :day;

-- name: oldest_seals
-- The seals of the days that are still here and old by their stamps, the oldest first; what they say as bytes, as above.
-- One that was made while the clock was ahead is passed over: the next one covers its day.
SELECT id, CAST(at AS BLOB) AS at, CAST(detail AS BLOB) AS detail FROM events
 WHERE kind = 'audit.sealed' AND id > :after AND at < :before
   AND kind IN ('audit.sealed', 'audit.anchored', 'audit.verified', 'operator.restored')
 ORDER BY id LIMIT :limit;

-- name: sealed_since
-- How many days were sealed after that one.
SELECT count(*) AS n FROM events WHERE kind = 'audit.sealed' AND id > :line;

-- name: line_that_stays
-- The first line of those that is about what is open, under legal hold, yet to come, or what a person has yet to see.
SELECT e.id AS line FROM events AS e
 WHERE e.id > :after AND e.id <= :through
   AND (EXISTS (SELECT 1 FROM alarms AS a WHERE a.event_id = e.id AND a.ended_at IS NULL)
        OR EXISTS (SELECT 1 FROM messages AS m JOIN kept AS k ON k.workflow_id = m.workflow_id
                    WHERE m.id = e.message_id AND k.why IS NOT NULL)
        OR EXISTS (SELECT 1 FROM quarantine AS q JOIN kept_quarantine AS k ON k.quarantine_id = q.id
                    WHERE q.provider = e.provider AND q.request_id = e.request_id AND k.why IS NOT NULL)
        OR EXISTS (SELECT 1 FROM messages AS m JOIN at_rest AS r ON r.workflow_id = m.workflow_id
                    WHERE m.id = e.message_id AND r.appointment_until >= :now))
 ORDER BY e.id LIMIT 1;

-- name: anchored_through
-- The last line that may be removed.
SELECT max(through) AS through FROM anchors;

-- name: anchors
-- Up to where lines were let leave, and which line says so; from the first that may still matter.
SELECT through, line FROM anchors WHERE through >= :first ORDER BY through;

-- name: anchor
-- Up to there the lines may be removed: that line of the trail says so.
INSERT INTO anchors (through, line) VALUES (:through, :line);

-- name: oldest_lines
-- The oldest lines, as far as they may be removed.
SELECT id FROM events WHERE id <= :through ORDER BY id LIMIT :limit;

-- name: remove_lines
-- They leave; what is kept of them is the hash of the last.
DELETE FROM events WHERE id <= :through;

-- name: remove_hashes
-- Of the lines that have left, but for the last: the rest goes on from it.
DELETE FROM chain WHERE line < :through;
