-- What several nouns read and write.

-- name: seen_before
-- Which ids of a request were seen here before; what was not need not be looked for. A Bundle.id is one of any message,
-- or of one that an EPR is asked about.
SELECT EXISTS (SELECT 1 FROM ledger AS l WHERE l.provider = :provider AND l.request_id = :request_id) AS request_id,
       EXISTS (SELECT 1 FROM messages AS m WHERE m.bundle_id = :bundle_id)
           OR EXISTS (SELECT 1 FROM questions AS q WHERE q.provider = :provider AND q.bundle_id = :bundle_id
                                                     AND q.bundle_id IS NOT NULL AND q.state = 'open') AS bundle_id,
       EXISTS (SELECT 1 FROM workflows AS w
                WHERE w.provider = :provider AND w.correlation_id = :correlation_id) AS conversation,
       EXISTS (SELECT 1 FROM workflows AS w
                WHERE w.provider = :provider AND w.likeness = :likeness AND w.likeness IS NOT NULL) AS likeness,
       EXISTS (SELECT 1 FROM sent_before AS s WHERE s.provider = :provider AND s.fingerprint = :fingerprint)
           OR EXISTS (SELECT 1 FROM sent_before AS s WHERE s.provider = :provider AND s.submission_id = :submission_id
                                                       AND s.submission_id IS NOT NULL) AS sent_before;

-- name: links_of
-- Those that the workflow's own request asked for, and those that later requests did.
SELECT l.by, 1 AS from_here, o.id, o.request_type, o.role, o.state, o.focus_id,
       l.by = 'resend' AND coalesce(o.closed_at <= l.made_at, false) AS followed,  -- somebody asked again, knowing its end
       EXISTS (SELECT 1 FROM messages AS m
                WHERE m.workflow_id = o.id AND (m.attempts > 0 OR m.direction = 'inbound')) AS may_be_there
  FROM links AS l JOIN workflows AS o ON o.id = l.to_id WHERE l.workflow_id = :id
 UNION ALL
SELECT l.by, 0 AS from_here, o.id, o.request_type, o.role, o.state, o.focus_id, false,
       EXISTS (SELECT 1 FROM messages AS m
                WHERE m.workflow_id = o.id AND (m.attempts > 0 OR m.direction = 'inbound'))
  FROM links AS l JOIN workflows AS o ON o.id = l.workflow_id WHERE l.to_id = :id
 ORDER BY 3;

-- name: words_in
-- What has been said in a workflow.
SELECT * FROM words WHERE workflow_id = :workflow_id;

-- name: words_beside
-- What has been said in the workflow of a message; that message is among it.
SELECT * FROM words WHERE workflow_id = (SELECT m.workflow_id FROM messages AS m WHERE m.id = :id);

-- name: open_workflow
-- A workflow that begins, with its clock where an answer is owed.
INSERT INTO workflows (provider, correlation_id, counterparty, role, request_type, use_case, focus_id, state,
                       answer_due_at, warn_at, overdue_at, likeness, opened_at)
VALUES (:provider, :correlation_id, :counterparty, :role, :request_type, :use_case, :focus_id, :state,
        :answer_due_at, :warn_at, :answer_due_at, :likeness, :now)
RETURNING id;

-- name: nothing_owed
-- Where each response tells how far things are, the first one ends the silence.
UPDATE workflows SET answer_due_at = NULL, overdue_at = NULL, warn_at = NULL WHERE id = :id;

-- name: keep_payload
-- The bytes of one part of a message, with what tells them from spoilt ones. The last that was kept holds.
INSERT INTO payloads (message_id, part, media_type, headers, encoding, body, digest)
VALUES (:message_id, :part, :media_type, :headers, :encoding, :body, :digest)
ON CONFLICT (message_id, part) DO UPDATE
   SET media_type = excluded.media_type, headers = excluded.headers, encoding = excluded.encoding,
       body = excluded.body, digest = excluded.digest;

-- name: note_subjects_of_message
-- Whom a message names, as keyed hashes: by these alone is it found.
INSERT INTO subjects (hash, key_id, message_id) SELECT value, :key_id, :number FROM json_each(:hashes)
 WHERE true ON CONFLICT DO NOTHING;

-- name: note_subjects_of_question
-- Whom a message names that the EPR is asked about.
INSERT INTO subjects (hash, key_id, question_id) SELECT value, :key_id, :number FROM json_each(:hashes)
 WHERE true ON CONFLICT DO NOTHING;

-- name: note_subjects_of_quarantined
-- Whom a response names that belongs to nothing here.
INSERT INTO subjects (hash, key_id, quarantine_id) SELECT value, :key_id, :number FROM json_each(:hashes)
 WHERE true ON CONFLICT DO NOTHING;

-- name: keep_exchange
-- The bytes of a new message, and of what it is answered.
INSERT INTO payloads (message_id, part, media_type, headers, encoding, body, digest)
VALUES (:message_id, 'request', :media_type, :headers, :encoding, :body, :digest),
       (:message_id, 'answer', :answer_media_type, :answer_headers, :answer_encoding, :answer_body, :answer_digest);

-- name: payload
-- The bytes of one part of a message, as they were stored.
SELECT message_id, part, media_type, headers, encoding, body, digest FROM payloads
 WHERE message_id = :message_id AND part = :part;

-- name: write_notice
-- A notice that is owed to an EPR.
INSERT INTO notices (provider, kind, message_id, remarks, created_at, collected_at)
VALUES (:provider, :kind, :message_id, :remarks, :now, :collected_at);

-- name: workflow_state
-- Where a workflow stands, and what it is about.
SELECT state, focus_id, request_type, use_case FROM workflows WHERE id = :id;

-- name: event_told
-- Whether the audit trail has that of a message before.
SELECT 1 FROM events WHERE message_id = :message_id AND kind = :kind AND detail = :detail LIMIT 1;

-- name: request_of
-- The message that began a workflow.
SELECT id, provider, request_id FROM messages WHERE workflow_id = :id ORDER BY id LIMIT 1;

-- name: move_due
-- An update of a request brings a clinical time of its own; the clock is set again by it. Where it is the
-- same time, what was told of it is told.
UPDATE workflows SET answer_due_at = :due, overdue_at = :due, warn_at = :warn_at
 WHERE id = :id AND answer_due_at <> :due;

-- name: bring_forward
-- A nearer time counts at once: an update by its submission, and one that was decided after a later one.
UPDATE workflows SET answer_due_at = :due, overdue_at = :due, warn_at = :warn_at
 WHERE id = :id AND closed_at IS NULL AND (answer_due_at IS NULL OR answer_due_at > :due);

-- name: lead_workflow_on
-- The same between two states of which neither is its end: of all that it is found by, nothing changes.
UPDATE workflows SET state = :state WHERE id = :id AND state = :before;

-- name: move_workflow
-- Guarded by the state that the move was decided from. The id that came first stays: test kits answer
-- cancellations under other ones.
UPDATE workflows SET state = :state, focus_id = coalesce(focus_id, :focus_id), closed_at = :closed_at
 WHERE id = :id AND state = :before;

-- name: message
-- A message without its bytes, by its number.
SELECT * FROM messages_seen WHERE id = :id;

-- name: add_event
-- A line of the audit trail: about a message, a request that is none here, a provider, or the gateway.
INSERT INTO events (at, provider, kind, message_id, request_id, detail)
VALUES (:now, :provider, :kind, :message_id, :request_id, :detail);

-- name: collect_notice
-- The EPR has it.
UPDATE notices SET collected_at = :now WHERE id = :notice_id AND provider = :provider AND collected_at IS NULL;

-- name: workflow
-- A workflow, by its number.
SELECT * FROM workflows WHERE id = :id;

-- name: patients_named
-- Whom later messages of a workflow named again, where somebody has said that it is the same patient.
SELECT p.message_id, p.part, p.media_type, p.headers, p.encoding, p.body
  FROM messages AS m JOIN payloads AS p ON p.message_id = m.id AND p.part = 'request'
 WHERE m.workflow_id = :workflow_id AND m.patient = 'changed' ORDER BY m.id;
