-- Answers that are owed and have not come.

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
  FROM (SELECT DISTINCT t.workflow_id FROM messages AS t WHERE t.correlation_id IN (:correlation_id, lower(:correlation_id))) AS talk
  CROSS JOIN workflows AS w ON w.id = talk.workflow_id
  CROSS JOIN messages_seen AS m ON m.id = (SELECT min(first.id) FROM messages AS first WHERE first.workflow_id = w.id)
 WHERE w.closed_at IS NULL AND w.answer_due_at IS NOT NULL
 ORDER BY w.answer_due_at, w.id;
