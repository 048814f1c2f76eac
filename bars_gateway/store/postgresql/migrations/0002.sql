-- By a conversation people find its workflows, and so its requests. Here `messages_talk` is left with all messages: what
-- may leave is found by it (`foremost`).

DROP INDEX workflows_talk;
CREATE INDEX workflows_talk ON workflows (correlation_id, provider);

CREATE VIEW talks AS                            -- which workflows a conversation is of
SELECT correlation_id, id AS workflow_id FROM workflows
 UNION ALL
SELECT correlation_id, workflow_id FROM messages WHERE move <> 'request';
