-- Messages that go out: claimed, attempted, settled.

-- name: unproven_becomes_answer
-- A duplicate proves that the answer without our ids was the Receiver's after all (D-duplicate).
UPDATE OR REPLACE payloads SET part = 'answer' WHERE message_id = :message_id AND part = 'unproven';

-- postgresql: unproven_becomes_answer
UPDATE payloads SET part = 'answer' WHERE message_id = :message_id AND part = 'unproven';

-- name: foreign_attempt
-- Whether an answer to a message was ever about somebody else's.
SELECT 1 FROM attempts
 WHERE message_id = :message_id AND verdict_row IN (SELECT value FROM json_each(:foreign)) LIMIT 1;

-- name: changed_no_record
-- The message, if it was acknowledged, and its receipt warned by that rule.
SELECT m.id FROM messages AS m JOIN json_each(m.warnings) AS warned ON true
 WHERE m.id = :id AND m.state = 'acknowledged' AND warned.value ->> 'rule' = :rule;

-- name: settle_for_retry
-- The answer proved nothing. Back to the queue, under the same X-Request-Id.
-- The claim number fences: a claim that has lapsed cannot settle its successor.
UPDATE messages
   SET state = 'queued', next_attempt_at = :retry_at, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim;

-- name: settle_for_good
-- What a sender has an end for, where its claim still holds; with what decides what else is to be looked at: nothing, most
-- often. The ids of a Receiver that has it are looked for where they were in an answer that got lost.
UPDATE messages
   SET state = :state, settled_at = :now, claimed_by = NULL, claimed_until = NULL, delay_due_at = NULL,
       reconcile_at = coalesce(:reconcile_at, reconcile_at),
       reconciliation = CASE WHEN :reconcile_at IS NULL THEN reconciliation ELSE 'wanted' END
 WHERE id = :id AND state = 'sending' AND claimed_by = :node AND claims = :claim
RETURNING id, provider, request_id, move, workflow_id, needed_by, answer_due_at, warn_at, attempts,
          warnings IS NOT NULL AS warned,
          EXISTS (SELECT 1 FROM links AS l WHERE l.workflow_id = messages.workflow_id)
              OR EXISTS (SELECT 1 FROM links AS l WHERE l.to_id = messages.workflow_id) AS linked,
          (SELECT w.state FROM workflows AS w WHERE w.id = messages.workflow_id) AS stands,
          (SELECT w.use_case FROM workflows AS w WHERE w.id = messages.workflow_id) AS asked_for,
          EXISTS (SELECT 1 FROM workflows AS w WHERE w.focus_id = :focus_id)
              OR (SELECT w.focus_id FROM workflows AS w WHERE w.id = messages.workflow_id) IS NOT NULL AS named;

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
 WHERE state = 'sending' AND claimed_by = :node AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:left_out)) LIMIT :limit;

-- name: leases_lapsed
-- What is being sent, by nobody any more: its lease ran out.
SELECT id, provider, id AS message_id, request_id FROM messages
 WHERE state = 'sending' AND claimed_until <= :now AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:left_out))
 LIMIT :limit;

-- name: release
-- Queue it again: whoever was sending it is gone.
UPDATE messages SET state = 'queued', next_attempt_at = :now, claimed_by = NULL, claimed_until = NULL
 WHERE id = :id AND state = 'sending';

-- name: messages_past_their_time
-- Being held stops no clock: the patient's time passes all the same, and the EPR must hear of it.
SELECT id, provider, id AS message_id, request_id FROM messages
 WHERE state IN ('queued', 'held') AND settled_at IS NULL AND give_up_at <= :now
   AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:left_out))
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
SELECT id, provider, state, needed_by, id AS message_id, request_id,
       (SELECT a.verdict_row FROM attempts AS a WHERE a.message_id = messages.id
         ORDER BY a.number DESC LIMIT 1) AS last_row
  FROM messages
 WHERE settled_at IS NULL AND delay_due_at IS NOT NULL AND delay_due_at <= :now AND give_up_at > :now
   AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:left_out))
 ORDER BY delay_due_at LIMIT :limit;

-- name: late_at_once
-- It may never get there as it is: that is told the first time that it is met, also of what was told as late before.
UPDATE messages SET delay_due_at = :now
 WHERE id = :id AND (delay_due_at IS NULL OR delay_due_at > :now)
   AND NOT EXISTS (SELECT 1 FROM attempts AS a WHERE a.message_id = :id AND a.verdict_row = :row);

-- name: delay_told
-- Said once, and once more when the time passes of what goes on beyond it.
UPDATE messages
   SET delay_due_at = CASE WHEN needed_by > :now AND needed_by < give_up_at THEN needed_by END
 WHERE id = :id;
