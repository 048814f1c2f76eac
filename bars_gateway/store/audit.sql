-- The audit trail as a list.

-- name: audit
-- Lines of a period, the newest first.
SELECT * FROM events INDEXED BY events_at
 WHERE at >= :since AND at < :until AND provider IS NOT DISTINCT FROM coalesce(:provider, provider)
   AND (kind = :kind OR substr(kind, 1, length(:kind) + 1) = :kind || '.' OR :kind IS NULL)
   AND (CAST(:actor AS TEXT) IS NULL OR detail ->> 'who' = :actor
        OR substr(detail ->> 'who', 1, length(:actor) + 2) = :actor || ' ('
        OR substr(detail ->> 'who', 1, length(:actor) + 4) = :actor || ' as ')
   AND ((at, id) < (:before_at, :before) OR :before IS NULL)
 ORDER BY at DESC, id DESC LIMIT :limit;

-- name: audit_of_acts
-- The same of what is no step of a message: what people did, what was refused.
SELECT * FROM events INDEXED BY events_done
 WHERE substr(kind, 1, 8) <> 'message.'
   AND at >= :since AND at < :until AND provider IS NOT DISTINCT FROM coalesce(:provider, provider)
   AND (kind = :kind OR substr(kind, 1, length(:kind) + 1) = :kind || '.' OR :kind IS NULL)
   AND (CAST(:actor AS TEXT) IS NULL OR detail ->> 'who' = :actor
        OR substr(detail ->> 'who', 1, length(:actor) + 2) = :actor || ' ('
        OR substr(detail ->> 'who', 1, length(:actor) + 4) = :actor || ' as ')
   AND ((at, id) < (:before_at, :before) OR :before IS NULL)
 ORDER BY at DESC, id DESC LIMIT :limit;

-- name: audit_of
-- The same of one message, or of one X-Request-Id that no message has.
SELECT * FROM events
 WHERE id IN (SELECT e.id FROM events AS e
               WHERE e.message_id IN (SELECT id FROM messages WHERE request_id IN (:name, lower(:name))
                                       UNION SELECT id FROM messages WHERE bundle_id IN (:name, lower(:name))
                                       UNION SELECT id FROM messages WHERE id = :number)
               UNION
              SELECT e.id FROM events AS e WHERE e.message_id IS NULL AND e.request_id IN (:name, lower(:name)))
   AND at >= :since AND at < :until AND provider IS NOT DISTINCT FROM coalesce(:provider, provider)
   AND (kind = :kind OR substr(kind, 1, length(:kind) + 1) = :kind || '.' OR :kind IS NULL)
   AND (CAST(:actor AS TEXT) IS NULL OR detail ->> 'who' = :actor
        OR substr(detail ->> 'who', 1, length(:actor) + 2) = :actor || ' ('
        OR substr(detail ->> 'who', 1, length(:actor) + 4) = :actor || ' as ')
   AND ((at, id) < (:before_at, :before) OR :before IS NULL)
 ORDER BY at DESC, id DESC LIMIT :limit;
