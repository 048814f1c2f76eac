-- What is counted for a machine, what flows each way and how fast, and how long the gateway was up.

-- name: count_backlog
-- What is not settled, by Receiver. One look into the index for each and provider, however many messages wait.
WITH RECURSIVE receivers (receiver, n, provider) AS (
    SELECT t.state, t.n, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                      WHERE settled_at IS NULL AND receiver = t.state)
      FROM tallies AS t WHERE t.of = 'open' AND t.n > 0
    UNION ALL
    SELECT receiver, n, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                       WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider > receivers.provider)
      FROM receivers WHERE provider IS NOT NULL)
SELECT receiver, n, min((SELECT min(created_at) FROM messages INDEXED BY messages_backlog
                          WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider)) AS oldest
  FROM receivers WHERE provider IS NOT NULL GROUP BY receiver, n;

-- name: oldest_waiting
-- Since when the oldest waits for each Receiver, but for what is held, and whether the EPR was told that it is late. Two
-- looks into the index for each and provider, however many messages wait. Without OFFSET, PostgreSQL walks all notices.
WITH RECURSIVE receivers (receiver, provider) AS (
    SELECT t.state, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                      WHERE settled_at IS NULL AND receiver = t.state)
      FROM tallies AS t WHERE t.of = 'open' AND t.n > 0
    UNION ALL
    SELECT receiver, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                       WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider > receivers.provider)
      FROM receivers WHERE provider IS NOT NULL)
SELECT provider, receiver, oldest, told FROM (
    SELECT provider, receiver, (SELECT created_at FROM messages INDEXED BY messages_backlog
                                 WHERE settled_at IS NULL AND receiver = receivers.receiver
                                   AND provider = receivers.provider AND state <> 'held'
                                 ORDER BY created_at LIMIT 1) AS oldest,
           (SELECT EXISTS (SELECT 1 FROM notices AS n WHERE n.message_id = m.id AND n.kind = 'delayed'
                            LIMIT 1 OFFSET 0)
              FROM messages AS m INDEXED BY messages_backlog
             WHERE m.settled_at IS NULL AND m.receiver = receivers.receiver
               AND m.provider = receivers.provider AND m.state <> 'held'
             ORDER BY m.created_at LIMIT 1) AS told
      FROM receivers WHERE provider IS NOT NULL) AS found
 WHERE oldest IS NOT NULL;

-- name: waiting_for_receivers
-- How much waits for each Receiver, of how many workflows and since when, but for what is held.
SELECT provider, receiver, min(created_at) AS oldest, count(*) AS n, count(DISTINCT workflow_id) AS workflows
  FROM messages INDEXED BY messages_backlog WHERE settled_at IS NULL AND state <> 'held' GROUP BY receiver, provider;

-- name: count_quarantined
-- What waits in quarantine.
SELECT provider, count(*) AS n, min(created_at) AS oldest
  FROM quarantine INDEXED BY quarantine_open WHERE attached_to IS NULL GROUP BY provider;

-- name: count_overdue
-- Answers that are late, whether or not somebody has marked that as handled.
SELECT provider, role, count(*) AS n, min(answer_due_at) AS oldest
  FROM workflows INDEXED BY workflows_due
 WHERE closed_at IS NULL AND answer_due_at IS NOT NULL AND answer_due_at <= :now GROUP BY provider, role;

-- name: last_flowed
-- When the last message went that way: in the newest hour in which any did.
SELECT last_at FROM hours WHERE direction = :direction AND last_at IS NOT NULL ORDER BY hour DESC LIMIT 1;

-- name: last_changes
-- The numbers of what was last written of all that pages tell of.
SELECT (SELECT max(id) FROM events) AS event, (SELECT max(id) FROM notices) AS notice,
       (SELECT max(id) FROM questions) AS question, (SELECT max(id) FROM alerts) AS alert;

-- name: hours_since
-- What went that way in each hour since, the earliest first.
SELECT hour, flowed FROM hours WHERE direction = :direction AND hour >= :since ORDER BY hour;

-- name: answered_since
-- How many attempts were made since that hour, and how many were answered how fast.
SELECT CAST(coalesce(sum(asked), 0) AS BIGINT) AS asked,
       CAST(coalesce(sum(within_2100), 0) AS BIGINT) AS within_2100,
       CAST(coalesce(sum(within_5000), 0) AS BIGINT) AS within_5000
  FROM hours WHERE direction = 'outbound' AND hour >= :since;

-- name: backlog
-- What is not settled, by whom it is for and in age bands, and since when the oldest of it waits. Each class is
-- counted as one stretch of the index: a fifth of what it takes to sort every message into its class.
WITH RECURSIVE receivers (receiver, provider) AS (
    SELECT t.state, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                      WHERE settled_at IS NULL AND receiver = t.state)
      FROM tallies AS t WHERE t.of = 'open' AND t.n > 0
    UNION ALL
    SELECT receiver, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                       WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider > receivers.provider)
      FROM receivers WHERE provider IS NOT NULL)
SELECT receiver,
       min((SELECT min(created_at) FROM messages INDEXED BY messages_backlog
             WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider)) AS oldest,
       CAST(sum((SELECT count(*) FROM messages INDEXED BY messages_backlog
             WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider
               AND created_at > :minute)) AS BIGINT) AS age_0,
       CAST(sum((SELECT count(*) FROM messages INDEXED BY messages_backlog
             WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider
               AND created_at > :minutes_5 AND created_at <= :minute)) AS BIGINT) AS age_1,
       CAST(sum((SELECT count(*) FROM messages INDEXED BY messages_backlog
             WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider
               AND created_at > :minutes_30 AND created_at <= :minutes_5)) AS BIGINT) AS age_2,
       CAST(sum((SELECT count(*) FROM messages INDEXED BY messages_backlog
             WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider
               AND created_at > :hours_2 AND created_at <= :minutes_30)) AS BIGINT) AS age_3,
       CAST(sum((SELECT count(*) FROM messages INDEXED BY messages_backlog
             WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider
               AND created_at > :hours_8 AND created_at <= :hours_2)) AS BIGINT) AS age_4,
       CAST(sum((SELECT count(*) FROM messages INDEXED BY messages_backlog
             WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider
               AND created_at <= :hours_8)) AS BIGINT) AS age_5
  FROM receivers WHERE provider IS NOT NULL
 GROUP BY receiver ORDER BY oldest;

-- name: note_up
-- It was up for so long within that hour, until now.
INSERT INTO uptime (hour, first_at, last_at, up_ms, database_bytes)
VALUES (:hour, :from, :until, :up_ms, :bytes)
    ON CONFLICT (hour) DO UPDATE SET up_ms = min(3600000, uptime.up_ms + excluded.up_ms),
                                     last_at = max(uptime.last_at, excluded.last_at);

-- name: forget_uptime
-- What no meter looks back to, but for the first hour of all: since then it is known.
DELETE FROM uptime WHERE hour < :before AND hour > (SELECT min(hour) FROM uptime);

-- name: first_up
-- Since when it is known.
SELECT first_at FROM uptime WHERE hour = (SELECT min(hour) FROM uptime);

-- name: last_up
-- Until when it is known.
SELECT last_at FROM uptime WHERE hour = (SELECT max(hour) FROM uptime);

-- name: up_since
-- For how long it was up since that hour.
SELECT CAST(coalesce(sum(up_ms), 0) AS BIGINT) AS up_ms FROM uptime WHERE hour >= :since;

-- name: size_since
-- How large the database was at first since that hour.
SELECT first_at, database_bytes FROM uptime WHERE hour >= :since ORDER BY hour LIMIT 1;
