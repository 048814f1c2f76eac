-- How long messages wait.

-- name: begin_pause
-- Nothing new is tried of that provider, or for that Receiver, before then.
INSERT INTO pauses (name, until) VALUES (:whose, :until) ON CONFLICT (name) DO UPDATE SET until = excluded.until;

-- name: end_pause
-- An answer came.
DELETE FROM pauses WHERE name = :whose;

-- name: has_pause
-- Whoever put off last has made it, and whoever hastened last has ended it.
SELECT name FROM pauses WHERE name = :whose;

-- name: put_off
-- What was tried waits for as long; what would be too late by then gets a last try in time.
-- What was tried least goes first, and what was tried last after all the others: it may be the cause itself.
UPDATE messages
   SET next_attempt_at = min(strftime('%Y-%m-%dT%H:%M:%fZ', :until,
                                      '+' || (min(attempts, 900) / 1000.0 + CASE id WHEN :last THEN 1 ELSE 0 END) || ' seconds'),
                             max(next_attempt_at, coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', give_up_at, '-5 seconds'),
                                                           '')))
 WHERE id IN (SELECT id FROM messages
               WHERE state = 'queued' AND attempts > 0 AND next_attempt_at < :until
                 AND (provider = :provider OR :provider IS NULL) AND (receiver = :receiver OR :receiver IS NULL)
                 AND next_attempt_at < coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', give_up_at, '-5 seconds'), '')
               UNION ALL
              SELECT id FROM messages WHERE id = :last AND state = 'queued' AND attempts = 0 AND next_attempt_at < :until
               LIMIT :limit);

-- name: hasten_provider
-- Let what waits of a provider be due at once, in the place that it came in.
UPDATE messages SET next_attempt_at = min(created_at, :now)
 WHERE id IN (SELECT id FROM messages
               WHERE state = 'queued' AND urgent IN (0, 1) AND provider = :provider AND next_attempt_at > :now
               LIMIT :limit);

-- name: hasten_receiver
-- The same of what waits for a Receiver, whoever of ours it is from.
UPDATE messages SET next_attempt_at = min(created_at, :now)
 WHERE id IN (SELECT m.id FROM waiting_providers AS waiting CROSS JOIN messages AS m
                   ON m.urgent = waiting.urgent AND m.provider = waiting.provider
               WHERE m.state = 'queued' AND m.receiver = :receiver AND m.next_attempt_at > :now
               LIMIT :limit);

-- name: end_pauses
-- A new start finds out by itself who answers.
DELETE FROM pauses;

-- name: reschedule_pauses
-- The clock was set by :seconds: pauses are as long as they were.
UPDATE pauses SET until = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', until, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), until)
 WHERE true;

-- name: open_after
-- What is open and was taken before the clock was set, in an order that no move changes.
SELECT provider, correlation_id, receiver, id FROM messages
 WHERE settled_at IS NULL AND id <= :up_to
   AND (provider, correlation_id, receiver, id) > (:provider, :correlation_id, :receiver, :id)
 ORDER BY provider, correlation_id, receiver, id LIMIT :limit;

-- name: reschedule
-- What waits or is being sent has as long to go as it had before the clock was set by :seconds.
-- So does the time to give up, unless it follows from a clinical time: that is an instant, and stays.
-- What a disk has spoilt stays as it is, and keeps no other from being moved.
UPDATE OR IGNORE messages
   SET next_attempt_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', next_attempt_at, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), next_attempt_at),
       claimed_until = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', claimed_until, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), claimed_until),
       delay_due_at = CASE WHEN delay_due_at IS NOT DISTINCT FROM needed_by THEN delay_due_at
                           ELSE coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', delay_due_at, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), delay_due_at) END,
       read_due_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', read_due_at, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), read_due_at),
       give_up_at = CASE WHEN by_its_time = 1 THEN give_up_at
                         ELSE coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', give_up_at, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), give_up_at) END
 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids)) AND +settled_at IS NULL AND +give_up_at IS NOT NULL;

-- postgresql: reschedule
UPDATE messages
   SET next_attempt_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', next_attempt_at, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), next_attempt_at),
       claimed_until = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', claimed_until, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), claimed_until),
       delay_due_at = CASE WHEN delay_due_at IS NOT DISTINCT FROM needed_by THEN delay_due_at
                           ELSE coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', delay_due_at, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), delay_due_at) END,
       read_due_at = coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', read_due_at, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), read_due_at),
       give_up_at = CASE WHEN by_its_time = 1 THEN give_up_at
                         ELSE coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', give_up_at, round(CAST(:seconds AS NUMERIC), 3) || ' seconds'), give_up_at) END
 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids)) AND settled_at IS NULL AND give_up_at IS NOT NULL;

-- name: recall_pauses
-- No pause is that long: the clock was set back after it began. It is over.
DELETE FROM pauses WHERE until > :beyond;

-- name: recall
-- Nor does any message wait for that long: it is due now. One look into the index for each provider.
UPDATE messages SET next_attempt_at = :now
 WHERE id IN (SELECT m.id FROM waiting_providers AS waiting CROSS JOIN messages AS m
                   ON m.urgent = waiting.urgent AND m.provider = waiting.provider
               WHERE m.state = 'queued' AND m.next_attempt_at > :beyond
               LIMIT :limit);

-- name: recall_reads
-- No read before a cancellation is further ahead than that.
UPDATE messages SET read_due_at = :now
 WHERE id IN (SELECT id FROM messages
               WHERE state = 'queued' AND read_due_at IS NOT NULL AND read_due_at > :beyond LIMIT :limit);

-- name: recall_delays
-- No word of a delay is further ahead than that, unless it marks the time by which the message is needed.
UPDATE messages SET delay_due_at = :beyond
 WHERE id IN (SELECT id FROM messages
               WHERE settled_at IS NULL AND delay_due_at IS NOT NULL AND delay_due_at > :beyond
                 AND delay_due_at IS DISTINCT FROM needed_by
               LIMIT :limit);

-- name: recall_searches
-- No look for a Receiver's id is further ahead than that.
UPDATE messages SET reconcile_at = :now
 WHERE id IN (SELECT id FROM messages WHERE reconcile_at IS NOT NULL AND reconcile_at > :beyond LIMIT :limit);

-- name: recall_ends
-- Nor is any tried for longer than that, unless its end follows from a clinical time: it has as long as it had then.
UPDATE messages
   SET give_up_at = min(strftime('%Y-%m-%dT%H:%M:%fZ', :now,
                                 round((julianday(give_up_at) - julianday(created_at)) * 86400, 3) || ' seconds'),
                        :beyond_life)
 WHERE id IN (SELECT id FROM messages
               WHERE settled_at IS NULL AND give_up_at > :beyond_life AND created_at > :now AND by_its_time = 0
                 AND julianday(give_up_at) > julianday(created_at)
               LIMIT :limit);

-- name: recall_questions
-- Whether nobody answers is told of what was asked by a clock that was ahead.
UPDATE questions SET alarm_at = :now
 WHERE id IN (SELECT id FROM questions WHERE alarm_at > :now AND asked_at > :now LIMIT :limit);

-- name: recall_deliveries
-- So is what somebody was to be told then.
UPDATE deliveries SET due_at = :now
 WHERE id IN (SELECT id FROM deliveries WHERE delivered_at IS NULL AND due_at > :now AND decided_at > :now LIMIT :limit);

-- name: recall_reminders
-- And what is still open is told again as long after now as it would have been after that.
UPDATE alerts SET told_at = :now
 WHERE id IN (SELECT id FROM alerts WHERE resolved_at IS NULL AND told_at > :now LIMIT :limit);
