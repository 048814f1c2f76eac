-- Messages that go out: claimed, attempted, settled.

-- name: unproven_becomes_answer
-- A duplicate proves that the answer without our ids was the Receiver's after all (D-duplicate).
UPDATE OR REPLACE payloads SET part = 'answer' WHERE message_id = :message_id AND part = 'unproven';

-- name: claim_next
-- Take the message of that urgency that has been due longest, for this node alone.
--
-- Three rules keep one sick Receiver from harming the rest. Within a conversation
-- with one Receiver, messages leave in the order in which they were taken, one at
-- a time: an update must not overtake its request. No Receiver has more than
-- :per_receiver in flight, so the others always find a free sender. And each
-- Receiver's queue is looked at apart, from its head: however much waits for one of
-- them, or may not go yet, to find what is due for another takes no longer.
WITH RECURSIVE waiting (receiver) AS (
    SELECT min(receiver) FROM messages WHERE state = 'queued' AND urgent = :urgent
     UNION ALL
    SELECT (SELECT min(m.receiver) FROM messages AS m
             WHERE m.state = 'queued' AND m.urgent = :urgent AND m.receiver > waiting.receiver)
      FROM waiting WHERE waiting.receiver IS NOT NULL
)
UPDATE messages
   SET state = 'sending', claims = claims + 1, attempts = attempts + 1, next_attempt_at = NULL,
       claimed_by = :node, claimed_until = :lease_until
 WHERE id = (SELECT head.id
               FROM waiting
               JOIN messages AS head
                 ON head.id = (SELECT m.id
                                 FROM messages AS m
                                WHERE m.state = 'queued' AND m.urgent = :urgent
                                  AND m.receiver = waiting.receiver AND m.next_attempt_at <= :now
                                  AND m.provider IN (SELECT value FROM json_each(:providers))
                                  AND m.give_up_at > :now AND m.read_due_at IS NULL
                                  AND NOT EXISTS (SELECT 1 FROM messages AS earlier
                                                   WHERE earlier.settled_at IS NULL
                                                     AND earlier.provider = m.provider
                                                     AND earlier.correlation_id = m.correlation_id
                                                     AND earlier.receiver = m.receiver
                                                     AND earlier.id < m.id)
                                ORDER BY m.next_attempt_at, m.id
                                LIMIT 1)
              WHERE waiting.receiver NOT IN (SELECT value FROM json_each(:not_for))
                AND (SELECT count(*) FROM messages AS flying
                      WHERE flying.state = 'sending' AND flying.receiver = waiting.receiver) < :per_receiver
              ORDER BY head.next_attempt_at, head.id
              LIMIT 1)
RETURNING id, provider, request_id, correlation_id, receiver, move, use_case, claims, attempts, resend_of, created_at,
          give_up_at;

-- name: left_open
-- Whether an attempt before this one may have arrived, and whether one was answered about somebody else. What is
-- sent again under new ids goes on from the doubt that the first one ended in. A restore forgets attempts.
WITH RECURSIVE line (id, resend_of, begun, restored_at) AS (
    SELECT id, resend_of, attempts - 1, restored_at FROM messages WHERE id = :id
     UNION ALL
    SELECT m.id, m.resend_of, m.attempts, m.restored_at FROM messages AS m JOIN line ON m.id = line.resend_of
     WHERE m.state = 'unconfirmed'
)
SELECT max(line.restored_at IS NOT NULL OR line.begun > (SELECT count(*) FROM attempts AS a WHERE a.message_id = line.id
                            AND a.verdict_row IN (SELECT value FROM json_each(:kept_out)))) AS unknown,
       max(line.id = :id AND EXISTS (SELECT 1 FROM attempts AS a
                                      WHERE a.message_id = line.id
                                        AND a.verdict_row IN (SELECT value FROM json_each(:foreign)))) AS foreign_ack
  FROM line;

-- name: server_errors
-- How often the message has met a 500 that counts, and since when it has met any: that proves nothing, and may
-- not go on for ever. Whoever has it sent again begins again.
SELECT sum(verdict = 'retry_limited') AS n, max(started_at) AS previous_at,
       min(CASE WHEN verdict_row IN (SELECT value FROM json_each(:errors)) THEN started_at END) AS first_error_at
  FROM attempts
 WHERE message_id = :message_id
   AND started_at >= coalesce((SELECT max(at) FROM events
                                WHERE message_id = :message_id
                                  AND kind IN ('operator.retried', 'epr.retried')), '');

-- name: foreign_attempt
-- Whether an answer to a message was ever about somebody else's.
SELECT 1 FROM attempts
 WHERE message_id = :message_id AND verdict_row IN (SELECT value FROM json_each(:foreign)) LIMIT 1;

-- name: changed_no_record
-- The message, if it was acknowledged, and its receipt warned by that rule.
SELECT m.id FROM messages AS m JOIN json_each(m.warnings) AS warned
 WHERE m.id = :id AND m.state = 'acknowledged' AND warned.value ->> 'rule' = :rule;

-- name: put_back
-- No POST began, so it was no attempt; the count of claims still grows.
UPDATE messages
   SET state = 'queued', attempts = attempts - 1, next_attempt_at = :retry_at, claimed_by = NULL,
       claimed_until = NULL
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim;

-- name: settle_for_retry
-- The answer proved nothing. Back to the queue, under the same X-Request-Id.
-- The claim number fences: a claim that has lapsed cannot settle its successor.
UPDATE messages
   SET state = 'queued', next_attempt_at = :retry_at, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim;

-- name: settle_for_good
-- What a sender has an end for, where its claim still holds.
UPDATE messages
   SET state = :state, settled_at = :now, claimed_by = NULL, claimed_until = NULL, delay_due_at = NULL
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim
RETURNING id, provider, move, workflow_id, needed_by, answer_due_at, warn_at;

-- name: updates_after
-- What was submitted after an update that brings a time of its own, and nobody has taken back.
SELECT state, answer_due_at, warn_at FROM messages
 WHERE workflow_id = :workflow_id AND direction = 'outbound' AND id > :id AND move = 'update'
   AND answer_due_at IS NOT NULL AND state <> 'withdrawn'
 ORDER BY id;

-- name: want_reconciliation
-- The Receiver has it, and the ids that it gave to it were in the answer that got lost.
UPDATE messages SET reconciliation = 'wanted', reconcile_at = :now WHERE id = :id;

-- name: record_attempt
-- One attempt, with the row of the verdict table that judged it.
INSERT INTO attempts (message_id, number, receiver, started_at, ended_at, verdict, verdict_row, fault, http_status,
                      code, issue, ids_echoed, table_version)
VALUES (:message_id, :number, (SELECT receiver FROM messages WHERE id = :message_id), :started_at, :ended_at,
        :verdict, :verdict_row, :fault, :http_status, :code, :issue, :ids_echoed, :table_version);

-- name: own_leases
-- This node died while it was sending these: whether they arrived is not known, so they go out again.
SELECT id, provider, id AS message_id, request_id FROM messages
 WHERE state = 'sending' AND claimed_by = :node AND id NOT IN (SELECT value FROM json_each(:left_out)) LIMIT :limit;

-- name: leases_lapsed
-- What is being sent, by nobody any more: its lease ran out.
SELECT id, provider, id AS message_id, request_id FROM messages
 WHERE state = 'sending' AND claimed_until <= :now AND id NOT IN (SELECT value FROM json_each(:left_out))
 LIMIT :limit;

-- name: release
-- Queue it again: whoever was sending it is gone.
UPDATE messages SET state = 'queued', next_attempt_at = :now, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND state = 'sending';

-- name: put_off
-- What waits for who does not answer waits for longer; what would be too late by then gets a last try in time.
-- What was tried least goes first, and what was tried last after all the others: it may be the cause itself.
UPDATE messages
   SET next_attempt_at = min(strftime('%Y-%m-%dT%H:%M:%fZ', :until,
                                      '+' || (min(attempts, 900) / 1000.0 + (id IS :last)) || ' seconds'),
                             max(next_attempt_at, coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', give_up_at, '-5 seconds'),
                                                           '')))
 WHERE state = 'queued' AND next_attempt_at < :until
   AND (:provider IS NULL OR provider = :provider) AND (:receiver IS NULL OR receiver = :receiver);

-- name: hasten
-- Let what waits of a provider, or for a Receiver, be due at once.
UPDATE messages SET next_attempt_at = :now
 WHERE state = 'queued' AND next_attempt_at > :now
   AND (:provider IS NULL OR provider = :provider) AND (:receiver IS NULL OR receiver = :receiver);

-- name: reschedule
-- The clock was set by :seconds: what waits or is being sent has as long to go as it had before.
-- So does the time to give up, unless it follows from a clinical time: that is an instant, and stays.
-- What a disk has spoilt stays as it is, and keeps no other from being moved.
UPDATE OR IGNORE messages
   SET next_attempt_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', next_attempt_at, round(:seconds, 3) || ' seconds'), next_attempt_at),
       claimed_until = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', claimed_until, round(:seconds, 3) || ' seconds'), claimed_until),
       delay_due_at = CASE WHEN delay_due_at IS needed_by THEN delay_due_at
                           ELSE coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', delay_due_at, round(:seconds, 3) || ' seconds'), delay_due_at) END,
       read_due_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', read_due_at, round(:seconds, 3) || ' seconds'), read_due_at),
       give_up_at = CASE WHEN by_its_time THEN give_up_at
                         ELSE coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', give_up_at, round(:seconds, 3) || ' seconds'), give_up_at) END
 WHERE settled_at IS NULL AND give_up_at IS NOT NULL;

-- name: recall
-- No pause is that long: the clock was set back after this was scheduled. It is due now.
UPDATE messages SET next_attempt_at = :now WHERE state = 'queued' AND next_attempt_at > :beyond;

-- name: recall_reads
-- No read before a cancellation is further ahead than that.
UPDATE messages SET read_due_at = :now
 WHERE state = 'queued' AND read_due_at IS NOT NULL AND read_due_at > :beyond;

-- name: recall_delays
-- No word of a delay is further ahead than that, unless it marks the time by which the message is needed.
UPDATE messages SET delay_due_at = :beyond
 WHERE settled_at IS NULL AND delay_due_at IS NOT NULL AND delay_due_at > :beyond
   AND delay_due_at IS NOT needed_by;

-- name: messages_past_their_time
-- Being held stops no clock: the patient's time passes all the same, and the EPR must hear of it.
SELECT id, provider, id AS message_id, request_id FROM messages
 WHERE state IN ('queued', 'held') AND settled_at IS NULL AND give_up_at <= :now
   AND id NOT IN (SELECT value FROM json_each(:left_out))
 ORDER BY give_up_at LIMIT :limit;

-- name: give_up
-- Past its time: not_sent where no POST ever began, and otherwise unconfirmed, which is all we know.
UPDATE messages
   SET state = CASE attempts WHEN 0 THEN 'not_sent' ELSE 'unconfirmed' END,
       settled_at = :now, next_attempt_at = NULL, delay_due_at = NULL
 WHERE id = :id AND state IN ('queued', 'held')
RETURNING id, provider, move, workflow_id, state;

-- name: late_messages
-- What is open and late, and was not told before, the longest late first. What is at its end is told of that.
SELECT id, provider, state, needed_by, id AS message_id, request_id FROM messages
 WHERE settled_at IS NULL AND delay_due_at IS NOT NULL AND delay_due_at <= :now AND give_up_at > :now
   AND id NOT IN (SELECT value FROM json_each(:left_out))
 ORDER BY delay_due_at LIMIT :limit;

-- name: delay_told
-- Said once, and once more when the time passes of what goes on beyond it.
UPDATE messages
   SET delay_due_at = CASE WHEN needed_by > :now AND needed_by < give_up_at THEN needed_by END
 WHERE id = :id;

-- name: next_due
-- When the next message of those providers becomes due. One look into the index for each urgency.
SELECT min(at) AS at
  FROM (SELECT (SELECT min(next_attempt_at) FROM messages
                 WHERE state = 'queued' AND urgent = u.value AND next_attempt_at > :now
                   AND +provider IN (SELECT value FROM json_each(:providers))) AS at
          FROM json_each('[0, 1]') AS u);

-- name: forget_call
-- The call was not made after all.
DELETE FROM calls WHERE rowid = :call AND provider = :provider;
