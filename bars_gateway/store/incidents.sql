-- What is known of something that went wrong.

-- name: messages_of_workflow
-- The messages of one workflow, in the order in which they were taken.
SELECT * FROM messages_seen
 WHERE workflow_id = :workflow_id AND provider = coalesce(:provider, provider)
 ORDER BY id LIMIT :limit;

-- name: alarm_of_any
-- One alarm, whether it stands or has ended.
SELECT a.* FROM alarms_seen AS a
 WHERE a.id = :id AND (a.provider IS NOT DISTINCT FROM coalesce(:provider, a.provider) OR a.provider IS NULL);
