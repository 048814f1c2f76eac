-- What happened in a period, counted.

-- name: events_by_kind
-- How many lines of the audit trail there are of each kind.
SELECT kind, count(*) AS n FROM events INDEXED BY events_at
 WHERE at >= :since AND at < :until AND provider IS NOT DISTINCT FROM coalesce(:provider, provider)
 GROUP BY kind ORDER BY kind;

-- name: oldest_event
-- When the audit trail begins: what was removed from it by its rules is counted no more.
SELECT min(at) AS at FROM events;

-- name: attempts_by_row
-- How many attempts were judged by each row of the verdict table.
SELECT a.verdict_row AS judged, count(*) AS n FROM attempts AS a INDEXED BY attempts_started
 WHERE a.started_at >= :since AND a.started_at < :until
   AND (CAST(:provider AS TEXT) IS NULL OR (SELECT m.provider FROM messages AS m WHERE m.id = a.message_id) = :provider)
 GROUP BY a.verdict_row ORDER BY a.verdict_row;

-- name: alarms_of_period
-- Each alarm that was first raised then, with its end. One that was raised again is told by what came after it.
SELECT kind, since, ended_at, ended_how FROM alarms INDEXED BY alarms_since
 WHERE since >= :since AND since < :until AND ended_how IS DISTINCT FROM 'superseded'
   AND provider IS NOT DISTINCT FROM coalesce(:provider, provider)
 ORDER BY since, id;
