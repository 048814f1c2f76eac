-- How old things are: by their stamps, and by the order in which they came.

-- name: last_message_before
-- The last message before the first of those that are younger: what came after that is younger too, whatever a clock that
-- was behind has written with it. A stamp that is yet to come is of a clock that was ahead, and proves nothing.
SELECT min(coalesce((SELECT min(y.id) - 1 FROM (SELECT id FROM messages WHERE created_at >= :before AND created_at <= :now
                                                 ORDER BY created_at LIMIT 1000) AS y), 9223372036854775807),
           (SELECT max(m.id) FROM messages AS m)) AS id;

-- name: last_workflow_opened_before
-- The same of workflows, by the requests that opened the younger ones.
SELECT coalesce((SELECT min(y.workflow_id) - 1
                   FROM (SELECT workflow_id, move FROM messages WHERE created_at >= :before AND created_at <= :now
                          ORDER BY created_at LIMIT 1000) AS y WHERE y.move = 'request'),
                (SELECT max(w.id) FROM workflows AS w)) AS id;

-- name: last_quarantined_before
-- The same of what lies in quarantine.
SELECT coalesce((SELECT min(q.id) - 1 FROM quarantine AS q WHERE q.created_at >= :before AND q.created_at <= :now),
                (SELECT max(q.id) FROM quarantine AS q)) AS id;

-- name: last_refusal_before
-- The same of refusals.
SELECT coalesce((SELECT min(l.refusal) - 1 FROM ledger AS l
                  WHERE l.refusal IS NOT NULL AND l.created_at >= :before AND l.created_at <= :now),
                (SELECT max(l.refusal) FROM ledger AS l WHERE l.refusal IS NOT NULL)) AS id;

-- name: last_alarm_before
-- The same of alarms.
SELECT coalesce((SELECT min(a.id) - 1 FROM alarms AS a WHERE a.since >= :before AND a.since <= :now),
                (SELECT max(a.id) FROM alarms AS a)) AS id;

-- name: stamp_after
-- What the first message after one says of the time, of those that say no time to come.
SELECT created_at AS at FROM messages WHERE id > :id AND created_at <= :now ORDER BY id LIMIT 1;

-- name: counted_before
-- To which moment ages were last counted, and when that was by the clock.
SELECT p.counts_to, p.began_at FROM purges AS p WHERE p.id = (SELECT max(id) FROM purges);

-- name: trail_began
-- When the first line of the trail was written: what is known of a database in which nothing was purged yet.
SELECT e.at AS counts_to, e.at AS began_at FROM events AS e WHERE e.id = (SELECT min(id) FROM events);

-- name: up_between
-- For how long the gateway is known to have been up within those hours.
SELECT CAST(coalesce(sum(up_ms), 0) AS BIGINT) AS up_ms FROM uptime WHERE hour >= :since AND hour <= :until;
