-- By a conversation people find its workflows, and so its requests, which have that of their workflow. Only what came
-- later may say another one: it alone is in the index of messages, and a request writes one page less.

DROP INDEX workflows_talk;
CREATE INDEX workflows_talk ON workflows (correlation_id, provider);
DROP INDEX messages_talk;
CREATE INDEX messages_talk ON messages (correlation_id, id) WHERE move <> 'request';

CREATE VIEW talks AS                            -- which workflows a conversation is of
SELECT correlation_id, id AS workflow_id FROM workflows
 UNION ALL
SELECT correlation_id, workflow_id FROM messages WHERE move <> 'request';
