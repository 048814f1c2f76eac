-- What is held about one person.

-- name: subject_held
-- Whatever is found by one of these hashes, the oldest first.
SELECT s.hash, 'message' AS kind, m.id AS number, m.provider, m.direction, w.counterparty, m.use_case, m.move, m.state,
       m.request_id, m.bundle_id, m.workflow_id, w.state AS workflow_state, m.created_at AS at,
       (SELECT json_group_array(n.id) FROM notices AS n WHERE n.message_id = m.id) AS notices
  FROM json_each(:hashes) AS j CROSS JOIN subjects AS s INDEXED BY subjects_found ON s.hash = j.value
  JOIN messages AS m ON m.id = s.message_id JOIN workflows AS w ON w.id = m.workflow_id
 UNION ALL
SELECT s.hash, 'question', q.id, q.provider, 'inbound', NULL, NULL, NULL, q.state, q.request_id, q.bundle_id, NULL, NULL,
       q.asked_at, '[]'
  FROM json_each(:hashes) AS j CROSS JOIN subjects AS s INDEXED BY subjects_found ON s.hash = j.value JOIN questions AS q ON q.id = s.question_id
 UNION ALL
SELECT s.hash, 'quarantine', k.id, k.provider, 'inbound', k.sender, NULL, NULL, k.reason, k.request_id, k.bundle_id,
       k.attached_to, NULL, k.created_at, '[]'
  FROM json_each(:hashes) AS j CROSS JOIN subjects AS s INDEXED BY subjects_found ON s.hash = j.value JOIN quarantine AS k ON k.id = s.quarantine_id
 ORDER BY at;

-- name: subject_by_number
-- One of these, by its kind and number.
SELECT 'message' AS kind, m.id AS number, m.provider, m.direction, w.counterparty, m.use_case, m.move, m.state,
       m.request_id, m.bundle_id, m.workflow_id, w.state AS workflow_state, m.created_at AS at,
       (SELECT json_group_array(n.id) FROM notices AS n WHERE n.message_id = m.id) AS notices
  FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id WHERE :kind = 'message' AND m.id = :number
 UNION ALL
SELECT 'question', q.id, q.provider, 'inbound', NULL, NULL, NULL, q.state, q.request_id, q.bundle_id, NULL, NULL,
       q.asked_at, '[]'
  FROM questions AS q WHERE :kind = 'question' AND q.id = :number
 UNION ALL
SELECT 'quarantine', k.id, k.provider, 'inbound', k.sender, NULL, NULL, k.reason, k.request_id, k.bundle_id,
       k.attached_to, NULL, k.created_at, '[]'
  FROM quarantine AS k WHERE :kind = 'quarantine' AND k.id = :number;

-- name: subject_kept
-- What is kept of the bytes of one of these.
SELECT message_id, part, NULL AS provider, NULL AS request_id, NULL AS fingerprint, media_type, headers, encoding, body
  FROM payloads WHERE :kind = 'message' AND message_id = :number
 UNION ALL
SELECT NULL, 'request', provider, request_id, fingerprint, media_type, headers, encoding, body
  FROM questions WHERE :kind = 'question' AND id = :number AND body IS NOT NULL
 UNION ALL
SELECT NULL, 'request', provider, request_id, fingerprint, media_type, headers, encoding, body
  FROM quarantine WHERE :kind = 'quarantine' AND id = :number;
