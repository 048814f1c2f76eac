-- What is shown: lists, histories, counts.

-- name: count_questions
-- Those that are late first: nobody waits for their answer any more.
SELECT provider, count(*) AS n, count(*) FILTER (WHERE answer_by <= :now) AS late, min(asked_at) AS oldest
  FROM questions INDEXED BY questions_open WHERE state = 'open' GROUP BY provider;

-- name: open_messages
-- What is not settled, in the order in which it was taken.
SELECT * FROM messages_seen WHERE settled_at IS NULL AND provider = coalesce(:provider, provider)
 ORDER BY id LIMIT :limit;

-- name: messages_named
-- Every message with that X-Request-Id, in either direction. What came in capitals is kept in lower case.
SELECT * FROM messages_seen
 WHERE request_id IN (:request_id, lower(:request_id)) -- what came in capitals is kept in lower case
   AND provider = coalesce(:provider, provider) ORDER BY id;

-- name: message_attempts
-- Every attempt to send a message, the first one first.
SELECT * FROM attempts WHERE message_id = :message_id ORDER BY number;

-- name: message_events
-- What the audit trail has of a message, the oldest first.
SELECT * FROM events WHERE message_id = :message_id ORDER BY id;

-- name: newest_message
-- The message that was taken last. It costs the same however many there are.
SELECT id, settled_at FROM messages WHERE id = (SELECT max(id) FROM messages);

-- name: tallies
-- How many there are in each state: messages by direction, and workflows.
SELECT of, state, n FROM tallies WHERE of IN ('outbound', 'inbound', 'workflow');

-- name: count_readings
-- Cancellations that wait for the read before them.
SELECT reading, count(*) AS n FROM messages_seen
 WHERE state = 'queued' AND read_due_at IS NOT NULL GROUP BY reading;

-- name: count_notices
-- How much each EPR has not collected.
SELECT state AS provider, n FROM tallies WHERE of = 'notice' AND n > 0;

-- name: oldest_open
-- Since when the oldest message is open, since when the oldest that is not held, and since when the oldest of these that
-- the EPR was told are late; only the oldest for each Receiver and provider is looked at. Three looks into the index for
-- each of them, however many messages wait. Without OFFSET, PostgreSQL would walk all notices to look once.
WITH RECURSIVE receivers (receiver, provider) AS (
    SELECT t.state, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                      WHERE settled_at IS NULL AND receiver = t.state)
      FROM tallies AS t WHERE t.of = 'open' AND t.n > 0
    UNION ALL
    SELECT receiver, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                       WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider > receivers.provider)
      FROM receivers WHERE provider IS NOT NULL)
SELECT min((SELECT min(created_at) FROM messages INDEXED BY messages_backlog
             WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider)) AS at,
       min((SELECT created_at FROM messages INDEXED BY messages_backlog
             WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider AND state <> 'held'
             ORDER BY created_at LIMIT 1)) AS waiting_at,
       min((SELECT CASE WHEN EXISTS (SELECT 1 FROM notices AS n WHERE n.message_id = m.id AND n.kind = 'delayed'
                                      LIMIT 1 OFFSET 0)
                        THEN m.created_at END
              FROM messages AS m INDEXED BY messages_backlog
             WHERE m.settled_at IS NULL AND m.receiver = receivers.receiver AND m.provider = receivers.provider
               AND m.state <> 'held' ORDER BY m.created_at LIMIT 1)) AS late_at
  FROM receivers WHERE provider IS NOT NULL;

-- name: last_attempts
-- The last attempts of all, the newest first.
SELECT a.*, m.request_id, m.provider, m.receiver
  FROM attempts AS a JOIN messages AS m ON m.id = a.message_id
 ORDER BY a.started_at DESC LIMIT :limit;

-- name: last_workflows
-- The last workflows that began, the newest first.
SELECT * FROM workflows ORDER BY id DESC LIMIT :limit;

-- name: next_due_of_all
-- When the next message of all is due: where there is a pause, at its end. One look into the index for each urgency,
-- provider and Receiver.
WITH RECURSIVE waiting (urgent, provider, receiver) AS (
    SELECT urgent, provider, (SELECT min(m.receiver) FROM messages AS m
                               WHERE m.state = 'queued' AND m.urgent = ours.urgent AND m.provider = ours.provider)
      FROM waiting_providers AS ours
     UNION ALL
    SELECT urgent, provider, (SELECT min(m.receiver) FROM messages AS m
                               WHERE m.state = 'queued' AND m.urgent = waiting.urgent
                                 AND m.provider = waiting.provider AND m.receiver > waiting.receiver)
      FROM waiting WHERE waiting.receiver IS NOT NULL
)
SELECT min(max((SELECT min(m.next_attempt_at) FROM messages AS m
                 WHERE m.state = 'queued' AND m.urgent = waiting.urgent AND m.provider = waiting.provider
                   AND m.receiver = waiting.receiver),
               coalesce((SELECT max(p.until) FROM pauses AS p WHERE p.name IN (waiting.receiver, waiting.provider)), ''))) AS at
  FROM waiting;

-- name: uncollected
-- The numbers of what an EPR has not collected, the oldest first.
SELECT id FROM notices WHERE provider = :provider AND collected_at IS NULL ORDER BY id LIMIT :limit;

-- name: unread_notices
-- Notices by their numbers, with the use case that says how soon they matter.
SELECT n.id, n.created_at, m.use_case, m.request_id, m.workflow_id
  FROM json_each(:numbers) AS j
  JOIN notices AS n ON n.id = CAST(j.value AS BIGINT) AND n.provider = :provider
  JOIN messages AS m ON m.id = n.message_id
 ORDER BY n.id;

-- name: count_held
-- How many messages are held.
SELECT count(*) AS n FROM messages INDEXED BY messages_states WHERE direction = 'outbound' AND state = 'held';
