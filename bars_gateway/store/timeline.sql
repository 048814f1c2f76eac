-- Everything under one X-Correlation-Id.

-- name: messages_of_talk
-- Its messages, and all others of the workflows that they are of, in the order in which they were taken.
SELECT * FROM messages_seen
 WHERE id IN (SELECT m.id FROM talks AS t JOIN messages AS m ON m.workflow_id = t.workflow_id
               WHERE t.correlation_id IN (:correlation_id, lower(:correlation_id)))
   AND provider = coalesce(:provider, provider)
 ORDER BY id LIMIT :limit;

-- name: questions_of_talk
-- What the EPR was asked in it, the oldest first.
SELECT id, provider, request_id, message_id, operation, asked_at, answer_by, decided_at, http_status FROM questions
 WHERE correlation_id IN (:correlation_id, lower(:correlation_id)) AND provider = coalesce(:provider, provider)
 ORDER BY id LIMIT :limit;

-- name: quarantine_of_talk
-- What came in it and belonged to no workflow, the oldest first.
SELECT id, provider, request_id, sender, reason, created_at, attached_to FROM quarantine
 WHERE correlation_id IN (:correlation_id, lower(:correlation_id)) AND provider = coalesce(:provider, provider)
 ORDER BY id LIMIT :limit;
