-- What is known of one message, for its explanation.

-- name: messages_called
-- Every message that has that X-Request-Id, Bundle.id or number. What came in capitals is kept in lower case.
SELECT * FROM messages_seen
 WHERE id IN (SELECT id FROM messages WHERE request_id IN (:name, lower(:name))
               UNION SELECT id FROM messages WHERE bundle_id IN (:name, lower(:name))
               UNION SELECT id FROM messages WHERE id = :number)
   AND provider = coalesce(:provider, provider)
 ORDER BY id LIMIT :limit;

-- name: quarantine_called
-- What lies in quarantine under one X-Request-Id.
SELECT id, created_at FROM quarantine
 WHERE provider = :provider AND request_id = :request_id AND attached_to IS NULL;

-- name: ledger_called
-- What was refused under one X-Request-Id, or is being asked about.
SELECT state, question_id, http_status, created_at FROM ledger
 WHERE provider = :provider AND request_id = :request_id AND state IN ('refused', 'processing');

-- name: notices_of
-- What the EPR was told of one message, the oldest first.
SELECT * FROM notices WHERE message_id = :message_id ORDER BY id;

-- name: message_ahead
-- An earlier message to the same Receiver in its conversation that has to be settled first.
SELECT earlier.id, earlier.request_id, earlier.state
  FROM messages AS m JOIN messages AS earlier
    ON earlier.settled_at IS NULL AND earlier.provider = m.provider AND earlier.correlation_id = m.correlation_id
   AND earlier.receiver = m.receiver AND earlier.id < m.id
 WHERE m.id = :id ORDER BY earlier.id LIMIT 1;

-- name: alarms_about
-- Alarms that stand about a message or its workflow, the oldest first.
SELECT * FROM alarms_seen
 WHERE id IN (SELECT id FROM alarms WHERE message_id = :message_id AND ended_at IS NULL
               UNION
              SELECT id FROM alarms WHERE workflow_id = :workflow_id AND ended_at IS NULL)
 ORDER BY id;
