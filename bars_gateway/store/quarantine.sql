-- Responses that belong to no one workflow.

-- name: quarantine
-- A response that belongs to no one workflow, kept with its bytes until a person decides.
INSERT INTO quarantine (provider, request_id, correlation_id, bundle_id, responds_to, sender, receiver, reason,
                        fingerprint, media_type, headers, encoding, body, created_at)
VALUES (:provider, :request_id, :correlation_id, :bundle_id, :responds_to, :sender, :receiver, :reason,
        :fingerprint, :media_type, :headers, :encoding, :body, :now)
RETURNING id;

-- name: quarantined
-- One of a provider's quarantined responses.
SELECT * FROM quarantine WHERE id = :id AND provider = :provider;

-- name: quarantined_of_any
-- One quarantined response, whichever provider's.
SELECT * FROM quarantine WHERE id = :id;

-- name: quarantine_waiting
-- What is quarantined and attached to nothing, the oldest first.
SELECT * FROM quarantine WHERE attached_to IS NULL AND provider = coalesce(:provider, provider)
 ORDER BY id LIMIT :limit;

-- name: quarantine_near
-- What lies there of one conversation, or names one message as the one that it answers, the oldest first.
SELECT * FROM quarantine
 WHERE id IN (SELECT id FROM quarantine
               WHERE correlation_id = :correlation_id AND provider = :provider AND attached_to IS NULL
               UNION
              SELECT id FROM quarantine WHERE responds_to = :bundle_id AND provider = :provider AND attached_to IS NULL)
 ORDER BY id LIMIT :limit;

-- name: attach_quarantined
-- With every copy of the same bytes: an EPR gets a response once.
UPDATE quarantine INDEXED BY quarantine_open SET attached_to = :workflow_id
 WHERE provider = :provider AND fingerprint = :fingerprint AND attached_to IS NULL;

-- name: forget_refusal
-- An operator has overruled it: the same X-Request-Id is a duplicate from now on.
DELETE FROM ledger WHERE provider = :provider AND request_id = :request_id AND state = 'refused';
