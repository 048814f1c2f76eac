-- Which messages may leave now, and what a sender must know of them.

-- part: in_their_order
-- What a sender must know of those that are `head`, and how many for the same Receiver stand before each.
SELECT due.*
  FROM (SELECT head.id, head.provider, head.request_id, head.correlation_id, head.receiver, head.move, head.use_case,
               head.claims + 1 AS claims, head.attempts + 1 AS attempts, head.resend_of, head.created_at, head.give_up_at,
               head.urgent, head.next_attempt_at,
               row_number() OVER (PARTITION BY head.receiver
                                  ORDER BY head.urgent DESC, head.next_attempt_at, head.id) AS place

-- part: with_time_left
-- Those that are `head` and not too late, for a Receiver to which they may go. In a pause, what was tried before goes all
-- the same, and what would be too late after it.
           head.give_up_at > :now
           AND (head.attempts > 0 OR head.give_up_at <= strftime('%Y-%m-%dT%H:%M:%fZ', :now, '+5 seconds')
                OR NOT EXISTS (SELECT 1 FROM pauses AS p
                                WHERE p.name IN (head.receiver, head.provider) AND p.until > :now))
           AND head.receiver NOT IN (SELECT value FROM json_each(:not_for))

-- part: with_a_place
-- Of those, what finds a place with its Receiver. What a node was sending that has died since takes none.
 WHERE due.place <= CASE WHEN due.receiver IN (SELECT value FROM json_each(:singly)) THEN 1 ELSE :per_receiver END
   AND due.place + (SELECT count(*) FROM messages AS flying
                     WHERE flying.state = 'sending' AND flying.receiver = due.receiver
                       AND flying.claimed_by NOT IN (SELECT value FROM json_each(:dead))) <= :per_receiver
 ORDER BY due.urgent DESC, due.next_attempt_at, due.id
 LIMIT :wanted;

-- part: queues_of_each_receiver
-- Each Receiver for which a provider has something queued, found from one to the next, and whether there is a pause.
WITH RECURSIVE waiting (urgent, provider, receiver) AS (
    SELECT CAST(u.value AS BIGINT), p.value, (SELECT min(m.receiver) FROM messages AS m
                               WHERE m.state = 'queued' AND m.urgent = CAST(u.value AS BIGINT) AND m.provider = p.value)
      FROM json_each('[0, 1]') AS u JOIN json_each(:providers) AS p ON true
     UNION ALL
    SELECT urgent, provider, (SELECT min(m.receiver) FROM messages AS m
                               WHERE m.state = 'queued' AND m.urgent = waiting.urgent
                                 AND m.provider = waiting.provider AND m.receiver > waiting.receiver)
      FROM waiting WHERE waiting.receiver IS NOT NULL
),
queues (urgent, provider, receiver, paused) AS MATERIALIZED (  -- or each message would ask for the pause again
    SELECT urgent, provider, receiver,
           EXISTS (SELECT 1 FROM pauses AS p WHERE p.name IN (receiver, provider) AND p.until > :now)
      FROM waiting WHERE receiver NOT IN (SELECT value FROM json_each(:not_for))
)

-- name: foremost
-- Of the :most messages that are due first, those that may leave now. Where there are as many as are wanted, these are
-- what `claimable` would find: most often, and however many Receivers there are.
{in_their_order}
          FROM ready AS head
         WHERE head.id IN (SELECT early.id
                             FROM json_each('[0, 1]') AS u CROSS JOIN json_each(:providers) AS p ON true
                            CROSS JOIN messages AS early
                               ON early.id IN (SELECT m.id FROM messages AS m
                                                WHERE m.state = 'queued' AND m.urgent = CAST(u.value AS BIGINT)
                                                  AND m.provider = p.value AND m.next_attempt_at <= :now
                                                ORDER BY m.next_attempt_at, m.id LIMIT :most)
                            ORDER BY early.urgent DESC, early.next_attempt_at, early.id LIMIT :most)
           AND {with_time_left}) AS due
{with_a_place}

-- postgresql: foremost
-- How many are open the server has counted when none was, maybe: it would take an index of what is open for an empty
-- one, and walk it for each message. `coalesce` leaves it those by which a message and its conversation are found.
{in_their_order}
          FROM (SELECT early.id
                  FROM (VALUES (CAST(0 AS BIGINT)), (1)) AS u (urgent) JOIN json_each(:providers) AS p ON true
                  JOIN LATERAL (SELECT m.id, m.urgent, m.next_attempt_at FROM messages AS m
                                 WHERE m.state = 'queued' AND m.urgent = u.urgent
                                   AND m.provider = p.value AND m.next_attempt_at <= :now
                                 ORDER BY m.next_attempt_at, m.id LIMIT :most) AS early ON true
                 ORDER BY early.urgent DESC, early.next_attempt_at, early.id LIMIT :most) AS early
          JOIN LATERAL (SELECT * FROM messages AS r  -- as `ready` has them, one by one
                         WHERE r.id = early.id AND coalesce(r.state, '') = 'queued' AND r.read_due_at IS NULL
                           AND NOT EXISTS (SELECT 1 FROM messages AS earlier
                                       WHERE earlier.correlation_id = r.correlation_id AND earlier.id < r.id
                                         AND earlier.provider = r.provider AND earlier.receiver = r.receiver
                                         AND coalesce(earlier.settled_at, '') = '')
                        OFFSET 0) AS head ON true
         WHERE {with_time_left}) AS due
{with_a_place}

-- name: claimable
-- The messages that may leave now, the first of them first: what is urgent, and of that what has been due longest.
--
-- Three rules keep one sick Receiver from harming the rest. Within a conversation
-- with one Receiver, messages leave in the order in which they were taken, one at
-- a time: an update must not overtake its request. No Receiver has more than
-- :per_receiver in flight, so the others always find a free sender. And what each provider
-- has for each Receiver is looked at apart, from its head: however much waits for one of
-- them, or may not go yet, to find what is due for another takes no longer. While there is a pause, what was
-- tried before goes at the time of its own, and of all the others what would be too late after the pause.
{queues_of_each_receiver}
{in_their_order}
          FROM queues
          JOIN messages AS head
            ON head.id IN (SELECT id FROM (SELECT m.id
                                             FROM ready AS m
                                            WHERE NOT queues.paused AND m.urgent = queues.urgent
                                              AND m.provider = queues.provider AND m.receiver = queues.receiver
                                              AND m.next_attempt_at <= :now AND m.give_up_at > :now
                                            ORDER BY m.next_attempt_at, m.id
                                            LIMIT min(CAST(:wanted AS BIGINT), :per_receiver)) AS due
                            UNION ALL
                           SELECT id FROM (SELECT m.id
                                             FROM ready AS m
                                            WHERE queues.paused
                                              AND m.id IN (SELECT tried.id FROM messages AS tried
                                                            WHERE tried.state = 'queued' AND tried.attempts > 0
                                                              AND tried.receiver = queues.receiver
                                                              AND tried.provider = queues.provider
                                                              AND tried.next_attempt_at <= :now
                                                            UNION ALL
                                                           SELECT ending.id FROM messages AS ending
                                                            WHERE ending.settled_at IS NULL AND ending.give_up_at > :now
                                                              AND ending.give_up_at <= strftime('%Y-%m-%dT%H:%M:%fZ', :now,
                                                                                                '+5 seconds'))
                                              AND +m.urgent = queues.urgent AND +m.provider = queues.provider
                                              AND +m.receiver = queues.receiver
                                              AND +m.next_attempt_at <= :now AND +m.give_up_at > :now
                                            ORDER BY m.next_attempt_at, m.id
                                            LIMIT min(CAST(:wanted AS BIGINT), :per_receiver)) AS due)) AS due
{with_a_place}

-- postgresql: claimable
{queues_of_each_receiver}
{in_their_order}
          FROM queues
          JOIN LATERAL ((SELECT m.id
                           FROM messages AS m  -- as `ready` has them, here and below: see `foremost`
                          WHERE NOT queues.paused AND m.state = 'queued' AND m.urgent = queues.urgent
                            AND m.provider = queues.provider AND m.receiver = queues.receiver
                            AND m.next_attempt_at <= :now AND m.give_up_at > :now AND m.read_due_at IS NULL
                            AND NOT EXISTS (SELECT 1 FROM messages AS earlier
                                        WHERE earlier.correlation_id = m.correlation_id AND earlier.id < m.id
                                          AND earlier.provider = m.provider AND earlier.receiver = m.receiver
                                          AND coalesce(earlier.settled_at, '') = '')
                          ORDER BY m.next_attempt_at, m.id
                          LIMIT min(CAST(:wanted AS BIGINT), :per_receiver))
                         UNION ALL
                        (SELECT m.id
                           FROM (SELECT tried.id FROM messages AS tried
                                  WHERE tried.state = 'queued' AND tried.attempts > 0
                                    AND tried.receiver = queues.receiver AND tried.provider = queues.provider
                                    AND tried.next_attempt_at <= :now
                                  UNION
                                 SELECT ending.id FROM messages AS ending
                                  WHERE ending.settled_at IS NULL AND ending.give_up_at > :now
                                    AND ending.give_up_at <= strftime('%Y-%m-%dT%H:%M:%fZ', :now, '+5 seconds')) AS few
                           JOIN LATERAL (SELECT * FROM messages AS r  -- one by one
                                          WHERE r.id = few.id AND coalesce(r.state, '') = 'queued' AND r.read_due_at IS NULL
                                            AND NOT EXISTS (SELECT 1 FROM messages AS earlier
                                                        WHERE earlier.correlation_id = r.correlation_id AND earlier.id < r.id
                                                          AND earlier.provider = r.provider AND earlier.receiver = r.receiver
                                                          AND coalesce(earlier.settled_at, '') = '')
                                         OFFSET 0) AS m ON true
                          WHERE queues.paused
                            AND m.urgent = queues.urgent AND m.provider = queues.provider
                            AND m.receiver = queues.receiver
                            AND m.next_attempt_at <= :now AND m.give_up_at > :now
                          ORDER BY m.next_attempt_at, m.id
                          LIMIT min(CAST(:wanted AS BIGINT), :per_receiver))) AS first ON true
          JOIN messages AS head ON head.id = first.id) AS due
{with_a_place}

-- name: claim
-- Take these for this node alone.
UPDATE messages
   SET state = 'sending', claims = claims + 1, attempts = attempts + 1, next_attempt_at = NULL,
       claimed_by = :node, claimed_until = :lease_until
 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids));

-- name: requests_of
-- The bytes of these messages, as the EPR submitted them.
SELECT message_id, part, media_type, headers, encoding, body, digest FROM payloads
 WHERE message_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids)) AND part = 'request';

-- name: left_open
-- Whether an attempt before this one may have arrived, and whether one was answered about somebody else. What is
-- sent again under new ids goes on from the doubt that the first one ended in. A restore forgets attempts.
WITH RECURSIVE line (id, resend_of, begun, restored_at) AS (
    SELECT id, resend_of, attempts - 1, restored_at FROM messages WHERE id = :id
     UNION ALL
    SELECT m.id, m.resend_of, m.attempts, m.restored_at FROM messages AS m JOIN line ON m.id = line.resend_of
     WHERE m.state = 'unconfirmed'
)
SELECT max(CASE WHEN line.restored_at IS NOT NULL THEN 1
                WHEN line.begun > (SELECT count(*) FROM attempts AS a WHERE a.message_id = line.id
                                      AND a.verdict_row IN (SELECT value FROM json_each(:kept_out))) THEN 1 ELSE 0 END) AS unknown,
       max(CASE WHEN line.id = :id AND EXISTS (SELECT 1 FROM attempts AS a
                                                WHERE a.message_id = line.id
                                                  AND a.verdict_row IN (SELECT value FROM json_each(:foreign)))
                THEN 1 ELSE 0 END) AS foreign_ack
  FROM line;

-- name: server_errors
-- How often the message has met a 500 that counts, and since when it has met any: that proves nothing, and may
-- not go on for ever. Whoever has it sent again begins again.
SELECT count(*) FILTER (WHERE verdict = 'retry_limited') AS n, max(started_at) AS previous_at,
       min(CASE WHEN verdict_row IN (SELECT value FROM json_each(:errors)) THEN started_at END) AS first_error_at
  FROM attempts
 WHERE message_id = :message_id
   AND started_at >= coalesce((SELECT max(at) FROM events
                                WHERE message_id = :message_id
                                  AND kind IN ('operator.retried', 'epr.retried')), '');

-- name: put_back
-- No POST began, so it was no attempt; the count of claims still grows.
UPDATE messages
   SET state = 'queued', attempts = attempts - 1, next_attempt_at = :retry_at, claimed_by = NULL,
       claimed_until = NULL
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim;

-- name: renew
-- The claim holds, and its POST begins only now: that may take as long as any.
UPDATE messages SET claimed_until = :lease_until
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim;

-- name: next_due
-- When the next message of those providers becomes due, a pause ends, or one comes near its end that waits for a
-- pause. A look into the index for each of them, and each urgency.
SELECT min(at) AS at
  FROM (SELECT min((SELECT min(m.next_attempt_at) FROM messages AS m
                     WHERE m.state = 'queued' AND m.urgent = CAST(u.value AS BIGINT) AND m.provider = p.value
                       AND m.next_attempt_at > :now)) AS at
          FROM json_each('[0, 1]') AS u JOIN json_each(:providers) AS p ON true
         UNION ALL
        SELECT min(until) FROM pauses WHERE until > :now
         UNION ALL
        SELECT (SELECT strftime('%Y-%m-%dT%H:%M:%fZ', min(ending.give_up_at), '-5 seconds') FROM messages AS ending
                 WHERE ending.settled_at IS NULL
                   AND ending.give_up_at > strftime('%Y-%m-%dT%H:%M:%fZ', :now, '+5 seconds'))
         WHERE EXISTS (SELECT 1 FROM pauses WHERE until > :now)) AS due;
