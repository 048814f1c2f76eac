-- What is set aside because of an internal error of the gateway.

-- name: request_of_message
-- The X-Request-Id of a message.
SELECT request_id FROM messages WHERE id = :id;

-- name: keep_notice_back
-- A notice with an internal error: it is not given before the next start. By the database's own clock.
UPDATE notices SET kept_back_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
 WHERE id = :notice_id AND provider = :provider AND kept_back_at IS NULL
RETURNING message_id, kept_back_at;

-- name: begin_notices_again
-- What was kept back is tried again: the gateway has started.
UPDATE notices SET kept_back_at = NULL WHERE kept_back_at IS NOT NULL;

-- name: set_aside
-- Held, from wherever it stood open. It stays an attempt where a POST may have begun.
UPDATE messages
   SET state = 'held', next_attempt_at = NULL, claimed_by = NULL, claimed_until = NULL,
       attempts = attempts - CASE WHEN state = 'sending' AND :began = 0 THEN 1 ELSE 0 END
 WHERE id = :id AND ((state = 'sending' AND claims = :claim) OR (state = 'queued' AND :claim IS NULL))
RETURNING id, provider, request_id;
