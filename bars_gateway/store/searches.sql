-- Messages by what people know of them: numbers first, newest first, each list from an index of its own.

-- name: numbers_named
-- Of messages that have that id: their own, their conversation's, their record's, or a case number of ours.
SELECT id FROM messages WHERE request_id IN (:named, lower(:named))
 UNION SELECT m.id FROM talks AS t JOIN messages AS m ON m.workflow_id = t.workflow_id
        WHERE t.correlation_id = :named AND m.correlation_id = :named
 UNION SELECT id FROM messages WHERE bundle_id = :named
 UNION SELECT id FROM messages WHERE reference = :named
 UNION SELECT id FROM messages WHERE id = :number
 UNION SELECT m.id FROM workflows AS w JOIN messages AS m ON m.workflow_id = w.id WHERE w.focus_id = :named
 UNION SELECT m.id FROM workflows AS w JOIN messages AS m ON m.workflow_id = w.id WHERE w.claimed_id = :named
 ORDER BY 1 DESC LIMIT :limit;

-- name: numbers_in_trouble
-- Of messages whose last attempt came to that.
SELECT id FROM messages WHERE trouble = :trouble AND id < :below ORDER BY id DESC LIMIT :limit;

-- name: numbers_at_fault
-- Of messages whose last attempt failed on that side.
SELECT id FROM messages INDEXED BY messages_fault WHERE fault = :fault AND id < :below ORDER BY id DESC LIMIT :limit;

-- name: numbers_in_state
-- Of messages in that state.
SELECT id FROM messages INDEXED BY messages_states
 WHERE direction = :of AND state = :state AND id < :below ORDER BY id DESC LIMIT :limit;

-- name: numbers_with
-- Of messages to or from that counterparty.
SELECT id FROM (SELECT id FROM messages WHERE direction = 'outbound' AND receiver = :counterparty AND id < :below
                 ORDER BY id DESC LIMIT :limit) AS due
 UNION ALL
SELECT id FROM (SELECT id FROM messages WHERE direction = 'inbound' AND sender = :counterparty AND id < :below
                 ORDER BY id DESC LIMIT :limit) AS due
 ORDER BY 1 DESC LIMIT :limit;

-- name: numbers_of_use
-- Of messages of that use case.
SELECT id FROM messages WHERE use_case = :use_case AND id < :below ORDER BY id DESC LIMIT :limit;

-- name: numbers
-- Of all messages.
SELECT id FROM messages WHERE id < :below ORDER BY id DESC LIMIT :limit;

-- name: first_taken_since
-- The lowest number of what was taken since then. A clock that was set back has mixed a few of them.
SELECT min(id) AS id FROM (SELECT id FROM messages WHERE created_at >= :since ORDER BY created_at LIMIT :limit) AS due;

-- name: last_taken_before
-- The highest number of what was taken before then, likewise.
SELECT max(id) AS id FROM (SELECT id FROM messages WHERE created_at < :before ORDER BY created_at DESC LIMIT :limit) AS due;

-- name: numbers_fitting
-- Which of these fit everything that is asked for.
SELECT m.id FROM json_each(:numbers) AS j JOIN messages AS m ON m.id = CAST(j.value AS BIGINT)
 WHERE (m.provider = :provider OR :provider IS NULL) AND (m.direction = :direction OR :direction IS NULL)
   AND (m.use_case = :use_case OR :use_case IS NULL) AND (m.state = :state OR :state IS NULL)
   AND (m.trouble = :trouble OR :trouble IS NULL) AND (m.fault = :fault OR :fault IS NULL)
   AND (CASE m.direction WHEN 'outbound' THEN m.receiver ELSE m.sender END = :counterparty OR :counterparty IS NULL)
   AND (m.created_at >= :since OR :since IS NULL) AND (m.created_at < :before OR :before IS NULL)
   AND m.id < :below
 ORDER BY m.id DESC LIMIT :limit;

-- name: messages_numbered
-- Messages by their numbers, the newest first.
SELECT s.* FROM json_each(:numbers) AS j CROSS JOIN messages_seen AS s ON s.id = CAST(j.value AS BIGINT) ORDER BY s.id DESC;

-- name: message_numbered
-- One message by its number.
SELECT * FROM messages_seen WHERE id = :id;

-- name: kept_parts
-- What is kept of a message, without its bytes.
SELECT part, media_type, headers, length(body) AS size FROM payloads WHERE message_id = :message_id ORDER BY part DESC;

-- name: troubles
-- What did not go well since that number, by what it came to and with whom; what was acknowledged since is none.
SELECT trouble, receiver, min(id) AS first, max(id) AS last, count(*) AS n,
       count(*) FILTER (WHERE state IN ('queued', 'held', 'sending')) AS waiting,
       count(*) FILTER (WHERE state = 'refused') AS refused, count(*) FILTER (WHERE state = 'unconfirmed') AS unconfirmed
  FROM messages INDEXED BY messages_grouped
 WHERE trouble IS NOT NULL AND id >= :first AND state <> 'acknowledged'
 GROUP BY trouble, receiver ORDER BY n DESC LIMIT :limit;

-- name: counterparties_known
-- With whom anything was exchanged: one look into the index for each.
WITH RECURSIVE receivers (name) AS (
    SELECT min(receiver) FROM messages INDEXED BY messages_to WHERE direction = 'outbound'
     UNION ALL
    SELECT (SELECT min(receiver) FROM messages INDEXED BY messages_to
             WHERE direction = 'outbound' AND receiver > name) FROM receivers WHERE name IS NOT NULL),
  senders (name) AS (
    SELECT min(sender) FROM messages INDEXED BY messages_from WHERE direction = 'inbound'
     UNION ALL
    SELECT (SELECT min(sender) FROM messages INDEXED BY messages_from
             WHERE direction = 'inbound' AND sender > name) FROM senders WHERE name IS NOT NULL)
SELECT name FROM receivers WHERE name IS NOT NULL UNION SELECT name FROM senders WHERE name IS NOT NULL LIMIT :limit;

-- name: use_cases_known
-- Of which use cases anything was exchanged, likewise.
WITH RECURSIVE known (name) AS (
    SELECT min(use_case) FROM messages
     UNION ALL
    SELECT (SELECT min(use_case) FROM messages WHERE use_case > name) FROM known WHERE name IS NOT NULL)
SELECT name FROM known WHERE name IS NOT NULL LIMIT :limit;

-- name: troubles_known
-- To what any last attempt came, likewise.
WITH RECURSIVE known (name) AS (
    SELECT min(trouble) FROM messages WHERE trouble IS NOT NULL
     UNION ALL
    SELECT (SELECT min(trouble) FROM messages WHERE trouble > name) FROM known WHERE name IS NOT NULL)
SELECT name FROM known WHERE name IS NOT NULL LIMIT :limit;
