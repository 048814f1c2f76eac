-- What a person keeps from every purge.

-- name: hold_record
-- It is kept from now on.
INSERT INTO record_holds (provider, workflow_id, quarantine_id, held_at, held_by, why)
VALUES (:provider, :workflow_id, :quarantine_id, :now, :who, :why) RETURNING id;

-- name: release_record
-- It is kept no more.
UPDATE record_holds SET released_at = :now, released_by = :who, released_why = :why WHERE id = :id AND released_at IS NULL;

-- name: record_hold
-- One hold.
SELECT * FROM record_holds WHERE id = :id;

-- name: hold_of_workflow
-- Whether a workflow is kept, by whom and why.
SELECT * FROM record_holds WHERE workflow_id = :id AND workflow_id IS NOT NULL AND released_at IS NULL;

-- name: hold_of_quarantined
-- Whether what lies in quarantine is kept.
SELECT * FROM record_holds WHERE quarantine_id = :id AND quarantine_id IS NOT NULL AND released_at IS NULL;

-- name: holds_standing
-- All that is kept, the oldest first.
SELECT * FROM record_holds WHERE released_at IS NULL AND provider = coalesce(:provider, provider) ORDER BY id LIMIT :limit;

-- name: linked_with
-- What is linked to a workflow, or to what is, whichever of the two says so; and whether it is kept, too.
WITH RECURSIVE near (id) AS (
    SELECT CAST(:id AS BIGINT)
     UNION
    SELECT CASE WHEN l.workflow_id = n.id THEN l.to_id ELSE l.workflow_id END
      FROM near AS n CROSS JOIN links AS l ON l.workflow_id = n.id OR l.to_id = n.id)
SELECT w.id, w.request_type, w.role, w.state,
       EXISTS (SELECT 1 FROM record_holds AS h WHERE h.workflow_id = w.id AND h.released_at IS NULL) AS is_held
  FROM near AS n CROSS JOIN workflows AS w ON w.id = n.id WHERE w.id <> :id ORDER BY w.id LIMIT 200;

-- name: workflow_to_hold
-- The workflow of that number.
SELECT id FROM workflows WHERE id = :number AND provider = :provider;

-- name: workflow_of_numbered
-- The workflow of the message of that number.
SELECT m.workflow_id AS id FROM messages AS m WHERE m.id = :id AND m.provider = :provider;

-- name: workflows_called
-- The workflows of a provider in which a message has that X-Request-Id.
SELECT DISTINCT m.workflow_id AS id FROM messages AS m
 WHERE m.request_id IN (:name, lower(:name)) AND +m.provider = :provider ORDER BY m.workflow_id LIMIT 20;

-- name: quarantined_called
-- What lies in quarantine under that X-Request-Id.
SELECT id FROM quarantine WHERE provider = :provider AND request_id IN (:name, lower(:name)) ORDER BY id LIMIT 20;
