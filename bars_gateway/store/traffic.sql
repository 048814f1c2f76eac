-- What flows, how fast it is answered, and what waits for whom since when.

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
SELECT coalesce(sum(asked), 0) AS asked, coalesce(sum(within_2100), 0) AS within_2100,
       coalesce(sum(within_5000), 0) AS within_5000
  FROM hours WHERE direction = 'outbound' AND hour >= :since;

-- name: backlog
-- What is not settled, by whom it is for and in classes of age, and since when the oldest of it waits.
SELECT receiver, min(created_at) AS oldest, count(*) AS n,
       sum(created_at > :minute) AS age_0, sum(created_at <= :minute AND created_at > :minutes_5) AS age_1,
       sum(created_at <= :minutes_5 AND created_at > :minutes_30) AS age_2,
       sum(created_at <= :minutes_30 AND created_at > :hours_2) AS age_3,
       sum(created_at <= :hours_2 AND created_at > :hours_8) AS age_4, sum(created_at <= :hours_8) AS age_5
  FROM messages INDEXED BY messages_backlog WHERE settled_at IS NULL
 GROUP BY receiver ORDER BY min(created_at);
