-- What was said in workflows, and what falls due with them.

-- name: workflow_numbered
-- One of a provider's workflows, by its number, where we have that role in it.
SELECT * FROM workflows WHERE id = :id AND provider = :provider AND role = :role;

-- name: workflow_with_message
-- The workflow that a message with that X-Request-Id is of. What an index is known to lack is looked at without it.
SELECT w.* FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id
 WHERE m.id IN (SELECT s.id FROM messages AS s WHERE s.request_id = :request_id AND +s.provider = :provider
                 UNION ALL SELECT message_id FROM unindexed)
   AND +m.request_id = :request_id AND +m.provider = :provider AND w.role = :role;

-- name: exchanged
-- What either side has of the other: what was refused or never left is nobody's.
SELECT m.move, m.state, m.id AS message_id, 'request' AS part, m.id AS answer_message_id, 'answer' AS answer_part,
       request.media_type AS media_type, request.headers AS headers, request.encoding AS encoding,
       request.body AS body, request.digest AS digest,
       answer.media_type AS answer_media_type, answer.headers AS answer_headers,
       answer.encoding AS answer_encoding, answer.body AS answer_body,
       answer.digest AS answer_digest
  FROM messages AS m
  JOIN payloads AS request ON request.message_id = m.id AND request.part = 'request'
  LEFT JOIN payloads AS answer ON answer.message_id = m.id AND answer.part = 'answer'
 WHERE m.workflow_id = :workflow_id AND m.state NOT IN ('refused', 'not_sent', 'withdrawn')
 ORDER BY m.id;

-- name: workflows_due_soon
-- Said once. What is owed is told with the message that asked for it.
SELECT w.id, w.provider, w.state, m.id AS message_id, m.request_id
  FROM workflows AS w LEFT JOIN messages AS m ON m.id = (SELECT min(id) FROM messages WHERE workflow_id = w.id)
 WHERE w.closed_at IS NULL AND w.warn_at IS NOT NULL AND w.warn_at <= :now
   AND (w.overdue_at IS NULL OR w.overdue_at > :now)
   AND w.id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:left_out))
 ORDER BY w.warn_at LIMIT :limit;

-- name: warning_told
-- Warned once: the answer is due soon.
UPDATE workflows SET warn_at = NULL WHERE id = :id;

-- name: workflows_overdue
-- Whose answer is overdue, told once each, the longest overdue first.
SELECT w.id, w.provider, w.state, m.id AS message_id, m.request_id
  FROM workflows AS w LEFT JOIN messages AS m ON m.id = (SELECT min(id) FROM messages WHERE workflow_id = w.id)
 WHERE w.closed_at IS NULL AND w.overdue_at IS NOT NULL AND w.overdue_at <= :now
   AND w.id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:left_out))
 ORDER BY w.overdue_at LIMIT :limit;

-- name: overdue_told
-- Told once: the answer is overdue, and needs no warning any more.
UPDATE workflows SET overdue_at = NULL, warn_at = NULL WHERE id = :id;

-- name: confirm_workflow
-- Where a workflow in doubt stands, as a person has found out.
UPDATE workflows SET state = :state, closed_at = :closed_at
 WHERE id = :id AND state IN ('unclear', 'contradicted');

-- name: owed
-- The longest overdue first, each with the message that it is owed to.
SELECT m.*, w.role, w.counterparty, w.opened_at
  FROM workflows AS w CROSS JOIN messages_seen AS m
    ON m.id = (SELECT min(first.id) FROM messages AS first WHERE first.workflow_id = w.id)
 WHERE w.closed_at IS NULL AND w.answer_due_at IS NOT NULL AND w.provider = coalesce(:provider, w.provider)
 ORDER BY w.answer_due_at, w.id LIMIT :limit;

-- name: owed_in
-- The same of one conversation.
SELECT m.*, w.role, w.counterparty, w.opened_at
  FROM workflows AS w
  CROSS JOIN messages_seen AS m ON m.id = (SELECT min(first.id) FROM messages AS first WHERE first.workflow_id = w.id)
 WHERE w.id IN (SELECT t.workflow_id FROM talks AS t WHERE t.correlation_id IN (:correlation_id, lower(:correlation_id)))
   AND w.closed_at IS NULL AND w.answer_due_at IS NOT NULL
 ORDER BY w.answer_due_at, w.id;
