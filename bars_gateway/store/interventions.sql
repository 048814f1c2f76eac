-- What a person does to a message of ours.

-- name: open_resent
-- A request that is sent again as a new one makes a record of its own there, and so a workflow here.
INSERT INTO workflows (provider, correlation_id, counterparty, role, request_type, use_case, state,
                       answer_due_at, warn_at, overdue_at, likeness, opened_at)
SELECT provider, correlation_id, counterparty, role, request_type, use_case, 'requested',
       answer_due_at, warn_at, answer_due_at, likeness, :now
  FROM workflows WHERE id = :id
RETURNING id;

-- name: link_as_before
-- What the first record was tied to, the second is; and to the records that were tied to the first later.
INSERT INTO links (workflow_id, to_id, kind, by, message_id, made_at)
SELECT CAST(:workflow_id AS BIGINT), to_id, kind, by, CAST(:message_id AS BIGINT), :now FROM links WHERE workflow_id = :of
UNION ALL
SELECT :workflow_id, workflow_id, kind, by, :message_id, :now FROM links WHERE to_id = :of AND kind = 'record'
ON CONFLICT DO NOTHING;

-- name: message_sent
-- A message of ours by its X-Request-Id. What an index is known to lack is looked at without it.
SELECT * FROM messages_seen
 WHERE id IN (SELECT s.id FROM messages AS s
               WHERE s.provider = :provider AND s.direction = 'outbound' AND s.request_id = :request_id
               UNION ALL SELECT message_id FROM unindexed)
   AND +provider = :provider AND +direction = 'outbound' AND +request_id = :request_id;

-- name: select_messages
-- By state first, and no more of each state than are asked for: thousands may wait behind them. In that order whatever
-- is known of the table: from the other end, each message there is would walk them all.
SELECT * FROM messages_seen
 WHERE id IN (SELECT found.id
                FROM json_each(:states) AS s
               CROSS JOIN messages AS found
                  ON found.id IN (SELECT m.id FROM messages AS m INDEXED BY messages_states
                                   WHERE m.direction = 'outbound' AND m.state = s.value
                                     AND m.id > :after AND m.id <= coalesce(:up_to, m.id)
                                     AND +m.provider = :provider AND +m.receiver = coalesce(:receiver, m.receiver)
                                     AND +m.use_case = coalesce(:use_case, m.use_case)
                                     AND +m.correlation_id = coalesce(:correlation_id, m.correlation_id)
                                     AND +m.created_at >= coalesce(:taken_from, m.created_at)
                                     AND (+m.created_at < :taken_before OR :taken_before IS NULL)
                                   ORDER BY m.id LIMIT :limit)
               ORDER BY found.id LIMIT :limit)
 ORDER BY id;

-- postgresql: select_messages
SELECT * FROM messages_seen
 WHERE id IN (SELECT found.id
                FROM json_each(:states) AS s
                JOIN LATERAL (SELECT m.id FROM messages AS m
                               WHERE m.direction = 'outbound' AND m.state = s.value
                                 AND m.id > :after AND m.id <= coalesce(:up_to, m.id)
                                 AND m.provider = :provider AND m.receiver = coalesce(:receiver, m.receiver)
                                 AND m.use_case = coalesce(:use_case, m.use_case)
                                 AND m.correlation_id = coalesce(:correlation_id, m.correlation_id)
                                 AND m.created_at >= coalesce(:taken_from, m.created_at)
                                 AND (m.created_at < :taken_before OR :taken_before IS NULL)
                               ORDER BY m.id LIMIT :limit) AS found ON true
               ORDER BY found.id LIMIT :limit)
 ORDER BY id;

-- name: chosen_messages
-- Those that somebody was shown, by number.
SELECT * FROM messages_seen
 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) AND +direction = 'outbound' AND +provider = :provider
   AND +state IN (SELECT value FROM json_each(:states))
 ORDER BY id;

-- name: later_that_left
-- A later message of the workflow that the Receiver has, or may have.
SELECT id FROM messages
 WHERE workflow_id = :workflow_id AND id > :id AND direction = 'outbound' AND (attempts > 0 OR state = 'sending')
 LIMIT 1;

-- name: stood_down
-- Somebody had been sent, and the newest that was said is that they wait again: as whoever looks reads it.
SELECT 1 FROM messages_seen
 WHERE id = (SELECT max(id) FROM messages WHERE workflow_id = :workflow_id) AND newest_says = 'stood_down';

-- name: later_that_waits
-- A later message of the workflow that has yet to leave, for the first time or again.
SELECT id FROM messages
 WHERE workflow_id = :workflow_id AND id > :id AND direction = 'outbound' AND settled_at IS NULL
 LIMIT 1;

-- name: resent_message
-- Whether a message was sent as new since.
SELECT id FROM messages WHERE resend_of = :id LIMIT 1;

-- name: has_request
-- Whether the bytes of a message are still kept.
SELECT 1 FROM payloads WHERE message_id = :id AND part = 'request';

-- name: hold_message
-- Let it wait until a person releases it.
UPDATE messages SET state = 'held', next_attempt_at = NULL WHERE id = :id AND state = 'queued';

-- name: release_message
-- Let what was held go out.
UPDATE messages SET state = 'queued', next_attempt_at = :now WHERE id = :id AND state = 'held';

-- name: withdraw_message
-- Take back what nobody has begun to send.
UPDATE messages
   SET state = 'withdrawn', settled_at = :now, next_attempt_at = NULL, delay_due_at = NULL
 WHERE id = :id AND state IN ('queued', 'held') AND attempts = 0;

-- name: withdraw_behind
-- What was to change a request that never left has nothing to change.
UPDATE messages
   SET state = 'withdrawn', settled_at = :now, next_attempt_at = NULL, delay_due_at = NULL
 WHERE workflow_id = :workflow_id AND id > :id AND direction = 'outbound' AND state IN ('queued', 'held')
   AND attempts = 0
RETURNING id, provider, request_id;

-- name: owed_as_before
-- When an answer is owed once an update is withdrawn that brought it forward: by the last that was acknowledged, or by
-- what came after it, whichever comes first. A time that has passed meanwhile was told, and stays so.
WITH owed AS MATERIALIZED (
    SELECT m.workflow_id, m.answer_due_at, m.warn_at FROM messages AS m
     WHERE m.workflow_id = :workflow_id AND m.direction = 'outbound' AND m.answer_due_at IS NOT NULL
       AND m.state <> 'withdrawn'
       AND NOT EXISTS (SELECT 1 FROM messages AS later
                        WHERE later.workflow_id = m.workflow_id AND later.id > m.id
                          AND later.answer_due_at IS NOT NULL AND later.state = 'acknowledged')
     ORDER BY m.answer_due_at LIMIT 1)
UPDATE workflows AS w
   SET (answer_due_at, overdue_at, warn_at) = (SELECT answer_due_at, answer_due_at, warn_at FROM owed)
 WHERE w.id = :workflow_id AND w.closed_at IS NULL
   AND coalesce((SELECT answer_due_at FROM owed), '9999') > :now
   AND w.answer_due_at = (SELECT u.answer_due_at FROM messages AS u WHERE u.id = :id AND u.move = 'update');

-- name: hasten_message
-- Send one at once.
UPDATE messages SET next_attempt_at = :now WHERE id = :id AND state = 'queued';

-- name: revive_message
-- The same ids and bytes, with a time of its own: whoever asked wants it to be tried now.
UPDATE messages
   SET state = 'queued', next_attempt_at = :now, settled_at = NULL, unshown_at = NULL, shown = NULL,
       give_up_at = :give_up_at, by_its_time = :by_its_time, delay_due_at = :delay_due_at
 WHERE id = :id AND state IN ('refused', 'unconfirmed', 'not_sent', 'withdrawn');

-- name: revive_workflow
-- Let a workflow live again that ended because of its request's fate alone.
UPDATE workflows SET state = 'requested', closed_at = NULL
 WHERE id = :id AND state IN (SELECT value FROM json_each(:fates));

-- name: queue_resent
-- The same payload in the same conversation, under ids of its own; a request in a workflow of its own.
INSERT INTO messages (workflow_id, provider, direction, request_id, correlation_id, bundle_id, responds_to, move,
                      use_case, sender, receiver, fingerprint, state, resend_of, urgent, needed_by, next_attempt_at,
                      give_up_at, by_its_time, delay_due_at, answer_due_at, warn_at, read_due_at, target_unchecked,
                      says, reason_code, said_at, sent_at, appointment_until, created_at)
SELECT :workflow_id, provider, 'outbound', :request_id, correlation_id, :bundle_id, responds_to, move,
       use_case, sender, receiver, :fingerprint, 'queued', id, urgent, needed_by, :now, :give_up_at, :by_its_time,
       :delay_due_at, answer_due_at, warn_at, read_due_at, target_unchecked, says, reason_code, said_at, sent_at,
       appointment_until, :now
  FROM messages WHERE id = :id
RETURNING id;
