-- Messages that go out: claimed, attempted, settled.

-- name: unproven_becomes_answer
-- A duplicate proves that the answer without our ids was the Receiver's after all (D-duplicate).
UPDATE OR REPLACE payloads SET part = 'answer' WHERE message_id = :message_id AND part = 'unproven';

-- name: foreign_attempt
-- Whether an answer to a message was ever about somebody else's.
SELECT 1 FROM attempts
 WHERE message_id = :message_id AND verdict_row IN (SELECT value FROM json_each(:foreign)) LIMIT 1;

-- name: changed_no_record
-- The message, if it was acknowledged, and its receipt warned by that rule.
SELECT m.id FROM messages AS m JOIN json_each(m.warnings) AS warned
 WHERE m.id = :id AND m.state = 'acknowledged' AND warned.value ->> 'rule' = :rule;

-- name: settle_for_retry
-- The answer proved nothing. Back to the queue, under the same X-Request-Id.
-- The claim number fences: a claim that has lapsed cannot settle its successor.
UPDATE messages
   SET state = 'queued', next_attempt_at = :retry_at, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim;

-- name: settle_for_good
-- What a sender has an end for, where its claim still holds; with what decides what else is to be looked at. The ids of
-- a Receiver that has it are looked for where they were in an answer that got lost.
UPDATE messages
   SET state = :state, settled_at = :now, claimed_by = NULL, claimed_until = NULL, delay_due_at = NULL,
       reconciliation = iif(:reconcile_at IS NULL, reconciliation, 'wanted'),
       reconcile_at = coalesce(:reconcile_at, reconcile_at)
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim
RETURNING id, provider, request_id, move, workflow_id, needed_by, answer_due_at, warn_at, attempts,
          warnings IS NOT NULL AS warned,
          EXISTS (SELECT 1 FROM links AS l WHERE l.workflow_id = messages.workflow_id)
              OR EXISTS (SELECT 1 FROM links AS l WHERE l.to_id = messages.workflow_id) AS linked,
          (SELECT w.state FROM workflows AS w WHERE w.id = messages.workflow_id) AS stands,
          (SELECT w.use_case FROM workflows AS w WHERE w.id = messages.workflow_id) AS asked_for;

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
