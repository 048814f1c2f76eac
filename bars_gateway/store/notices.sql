-- What an EPR is told, and what it has collected.

-- name: pending_notices
-- What an EPR has not collected and is not kept back, the oldest first.
SELECT * FROM notices AS n WHERE n.provider = :provider AND n.collected_at IS NULL AND n.kept_back_at IS NULL
 ORDER BY n.id LIMIT :limit;

-- name: notice
-- One of a provider's notices.
SELECT * FROM notices AS n WHERE n.id = :notice_id AND n.provider = :provider;

-- name: notice_message
-- What a notice is about: its message, the last attempt, and whether there is an answer to read.
SELECT m.workflow_id, m.direction, m.request_id, m.correlation_id, m.bundle_id, m.move, m.use_case, m.sender,
       m.receiver, m.state, m.attempts, m.reference, m.fingerprint, m.reconciliation,
       m.says, m.reason_code, m.shown, m.give_up_at, w.focus_id, w.request_type, w.answer_due_at, w.state AS stands,
       (SELECT k.warned_from FROM clocks AS k WHERE k.id = m.workflow_id) AS warned_from,
       a.http_status, a.code, a.issue, a.fault,
       request.media_type AS media_type, answer.media_type AS answer_media_type,
       (SELECT original.request_id FROM messages AS original WHERE original.id = m.resend_of) AS resend_of
  FROM messages AS m
  JOIN workflows AS w ON w.id = m.workflow_id
  LEFT JOIN attempts AS a
    ON a.message_id = m.id AND a.number = (SELECT max(number) FROM attempts WHERE message_id = m.id)
  LEFT JOIN payloads AS request ON request.message_id = m.id AND request.part = 'request'
  LEFT JOIN payloads AS answer  ON answer.message_id  = m.id AND answer.part  = 'answer'
 WHERE m.id = :message_id;
