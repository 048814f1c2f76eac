-- What a person has to see, until somebody has.

-- name: alarm_standing
-- An alarm of a kind that stands about a workflow.
SELECT id FROM alarms WHERE about = 'workflow ' || :workflow_id AND kind = :kind AND ended_at IS NULL;

-- name: alarm_named
-- An alarm of a kind that stands under an X-Request-Id.
SELECT id FROM alarms WHERE request_id = :request_id AND provider = :provider AND kind = :kind AND ended_at IS NULL;

-- name: newest_notice
-- What the EPR was told last of one message.
SELECT * FROM notices WHERE message_id = :message_id ORDER BY id DESC LIMIT 1;

-- name: count_alarms
-- What stands, and nothing of what has ended: each step is an index of the standing. One by one, where its words
-- depend on what has been said in its case.
SELECT a.kind, a.provider, w.role, count(*) AS n, min(a.since) AS oldest, max(a.id) AS newest,
       CASE WHEN a.kind IN (SELECT value FROM json_each(:one_by_one)) THEN a.message_id END AS one
  FROM alarms AS a INDEXED BY alarms_counted LEFT JOIN workflows AS w ON w.id = a.workflow_id
 WHERE a.ended_at IS NULL GROUP BY a.kind, a.provider, w.role, one;

-- name: newest_alarms
-- The newest alarms of a kind that stand.
SELECT a.* FROM alarms_seen AS a
 WHERE a.kind = :kind AND a.ended_at IS NULL ORDER BY a.id DESC LIMIT :limit;

-- name: standing_alarms
-- Alarms that stand, the newest first.
SELECT a.* FROM alarms_seen AS a
 WHERE a.ended_at IS NULL AND a.provider IS NOT DISTINCT FROM coalesce(:provider, a.provider) ORDER BY a.id DESC LIMIT :limit;

-- name: alarm
-- One alarm of a provider, or of nobody's in particular.
SELECT a.* FROM alarms_seen AS a
 WHERE a.id = :id AND (a.provider = :provider OR a.provider IS NULL);

-- name: alarms_named
-- Alarms that stand under an X-Request-Id, the oldest first.
SELECT a.* FROM alarms_seen AS a
 WHERE a.request_id = :request_id AND a.ended_at IS NULL AND (a.provider = :provider OR a.provider IS NULL) ORDER BY a.id;

-- name: alarms_raised
-- What was raised since, ended or not: for the log.
SELECT a.* FROM alarms_seen AS a WHERE a.id > :after ORDER BY a.id LIMIT :limit;

-- name: newest_alarm
-- The number of the last alarm that was raised.
SELECT max(id) AS id FROM alarms;

-- name: alarms_of_kinds
-- Alarms of some kinds that stand, between two numbers, the oldest first.
SELECT a.* FROM alarms_seen AS a
 WHERE a.ended_at IS NULL AND a.kind IN (SELECT value FROM json_each(:kinds)) AND a.id > :after AND a.id <= :up_to
   AND (a.provider = :provider OR a.provider IS NULL)
 ORDER BY a.id LIMIT :limit;

-- name: handle_alarm
-- Somebody has dealt with it, and says so.
UPDATE alarms SET ended_at = :now, ended_how = 'handled', ended_by = :who, why = :why
 WHERE id = :id AND ended_at IS NULL
RETURNING message_id;
