-- How each service at the other side stands.

-- name: services_met
-- Every service that we have written to, or that has written to us. One look into an index for each.
WITH RECURSIVE receivers (service) AS (
    SELECT min(receiver) FROM messages INDEXED BY messages_to WHERE direction = 'outbound'
     UNION ALL
    SELECT (SELECT min(m.receiver) FROM messages AS m INDEXED BY messages_to
             WHERE m.direction = 'outbound' AND m.receiver > receivers.service)
      FROM receivers WHERE receivers.service IS NOT NULL
), senders (service) AS (
    SELECT min(sender) FROM messages INDEXED BY messages_from WHERE direction = 'inbound'
     UNION ALL
    SELECT (SELECT min(m.sender) FROM messages AS m INDEXED BY messages_from
             WHERE m.direction = 'inbound' AND m.sender > senders.service)
      FROM senders WHERE senders.service IS NOT NULL
)
SELECT service FROM receivers WHERE service IS NOT NULL
 UNION
SELECT service FROM senders WHERE service IS NOT NULL
 ORDER BY service;

-- name: judged
-- When each row of the verdict table last judged an attempt to one service, and how often since.
SELECT r.value AS name,
       (SELECT max(a.started_at) FROM attempts AS a WHERE a.receiver = :service AND a.verdict_row = r.value) AS last_at,
       (SELECT count(*) FROM attempts AS a
         WHERE a.receiver = :service AND a.verdict_row = r.value AND a.started_at >= :since) AS n
  FROM json_each(:rows) AS r;

-- name: run_began
-- The first attempt to one service after a time that one of some rows has judged.
SELECT min(at) AS at
  FROM (SELECT (SELECT min(a.started_at) FROM attempts AS a
                 WHERE a.receiver = :service AND a.verdict_row = r.value AND a.started_at > :after) AS at
          FROM json_each(:rows) AS r) AS due;

-- name: last_attempt_to
-- The last attempt to one service, with its message.
SELECT a.*, m.request_id
  FROM (SELECT r.value AS name, (SELECT max(t.started_at) FROM attempts AS t
                                  WHERE t.receiver = :service AND t.verdict_row = r.value) AS at
          FROM json_each(:rows) AS r) AS newest
  CROSS JOIN attempts AS a ON a.receiver = :service AND a.verdict_row = newest.name AND a.started_at = newest.at
  CROSS JOIN messages AS m ON m.id = a.message_id
 ORDER BY a.started_at DESC, a.message_id DESC LIMIT 1;

-- name: last_received_from
-- The last message that came from one service.
SELECT created_at FROM messages WHERE direction = 'inbound' AND sender = :service ORDER BY id DESC LIMIT 1;
