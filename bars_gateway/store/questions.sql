-- What the EPR is asked while the proxy waits.

-- name: notice_waiting
-- Whether the EPR still has such a notice of that message, with those remarks, to collect.
SELECT 1 FROM notices
 WHERE message_id = :message_id AND kind = :kind AND remarks = :remarks AND collected_at IS NULL LIMIT 1;

-- name: ledger_written
-- What the EPR has done at the request of a preview write, which is no message.
UPDATE ledger SET state = 'done'
 WHERE provider = :provider AND request_id = :request_id AND state = 'processing';

-- name: ledger_processing
-- A retry that comes before the EPR has answered meets this: 425.
INSERT INTO ledger (provider, request_id, fingerprint, said, state, question_id, created_at)
VALUES (:provider, :request_id, :fingerprint, :said, 'processing', :question_id, :now);

-- name: put_question
-- A question to the EPR, with the bytes that it is about.
INSERT INTO questions (provider, request_id, correlation_id, operation, changes, fingerprint, bundle_id, about, state,
                       asked_at, answer_by, alarm_at, media_type, headers, encoding, body)
VALUES (:provider, :request_id, :correlation_id, :operation, :changes, :fingerprint, :bundle_id, :about, 'open',
        :now, :answer_by, :alarm_at, :media_type, :headers, :encoding, :body)
RETURNING id;

-- name: question
-- One question to a provider's EPR.
SELECT * FROM questions WHERE id = :id AND provider = :provider;

-- name: question_repeated
-- The same read, under the same X-Request-Id.
SELECT * FROM questions
 WHERE provider = :provider AND request_id = :request_id AND fingerprint = :fingerprint;

-- name: question_decision
-- What the Sender of an answered question gets.
SELECT provider, request_id, fingerprint, http_status, answer_code, answer_type, answer, message_id FROM questions
 WHERE id = :id AND state = 'answered';

-- name: open_questions
-- What waits for a provider's EPR beyond that number, the oldest first.
SELECT * FROM questions WHERE provider = :provider AND state = 'open' AND id > :after ORDER BY id LIMIT :limit;

-- name: questions_listed
-- What waits for any EPR, the oldest first: ids, times, and of a message its kind and who sent it.
SELECT id, provider, request_id, correlation_id, operation, asked_at, answer_by, about
  FROM questions INDEXED BY questions_open WHERE state = 'open' ORDER BY id LIMIT :limit;

-- name: decide_question
-- The request's bytes go on to the message, or are not kept: what was refused is nobody's record.
UPDATE questions
   SET state = 'answered', decided_at = :now, accepted = :accepted, http_status = :http_status,
       answer_code = :answer_code, answer_type = :answer_type, answer = :answer, answered_with = :answered_with,
       message_id = :message_id, alarm_at = NULL, media_type = NULL, headers = NULL, encoding = NULL, body = NULL
 WHERE id = :id AND state = 'open';

-- name: forget_read
-- A question that changed nothing, and is asked again now.
DELETE FROM questions WHERE id = :id AND changes = 0;

-- name: forget_reads
-- A read changes nothing: once nobody waits for its answer, neither it nor the answer is kept.
DELETE FROM questions WHERE changes = 0 AND asked_at <= :before;

-- name: unanswered_questions
-- Questions that nobody answers, told once each, the longest unanswered first.
SELECT id, provider, NULL AS message_id, request_id FROM questions
 WHERE alarm_at IS NOT NULL AND alarm_at <= :now AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:left_out))
 ORDER BY alarm_at LIMIT :limit;

-- name: unanswered_told
-- Told once: nobody answers it.
UPDATE questions SET alarm_at = NULL WHERE id = :id;

-- name: update_overtaken
-- Whether our EPR has taken an update of that workflow which came after the one of this question.
SELECT 1 FROM messages AS m JOIN questions AS q ON q.message_id = m.id
 WHERE m.workflow_id = :workflow_id AND m.direction = 'inbound' AND m.move = 'update' AND q.id > :id LIMIT 1;
