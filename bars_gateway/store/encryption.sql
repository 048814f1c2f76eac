-- How what is stored is encrypted, and comes to be encrypted otherwise.

-- name: encryption
-- How far that has come.
SELECT wanted, place, reached, changed, left_over, began_at, ended_at FROM encryption;

-- name: begin_encryption
-- Something else is wanted than before: every table is gone through from its beginning.
UPDATE encryption SET wanted = :wanted, place = :place, reached = '[]', changed = 0, left_over = 0,
                   began_at = :now, ended_at = NULL;

-- name: encryption_reached
-- So far, with the rows that this was reached by.
UPDATE encryption SET place = :place, reached = :reached, changed = changed + :changed, left_over = left_over + :left_over;

-- name: end_encryption
-- Everything is as it is wanted.
UPDATE encryption SET place = NULL, reached = '[]', ended_at = :now;

-- name: keys_needed
-- The keys by which something here is encrypted, the oldest first.
SELECT key_id, proof FROM keyring WHERE done_at IS NULL ORDER BY since, key_id;

-- name: enter_key
-- A key that encrypts from now on.
INSERT INTO keyring (key_id, proof, since) VALUES (:key_id, :proof, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    ON CONFLICT (key_id) DO UPDATE SET done_at = NULL, since = excluded.since, proof = excluded.proof;

-- name: keys_done
-- Nothing is encrypted by any other key any more, but for one that was taken since this began.
UPDATE keyring SET done_at = :now
 WHERE done_at IS NULL AND key_id <> :key_id AND since <= (SELECT began_at FROM encryption);

-- name: payloads_beyond
-- Bytes of messages beyond that one, in order.
SELECT message_id, part, media_type, headers, encoding, body, digest FROM payloads
 WHERE (message_id, part) > (:message_id, :part) ORDER BY message_id, part LIMIT :limit;

-- name: questions_beyond
-- Questions beyond that one, with what they hold.
SELECT id, provider, request_id, fingerprint, operation, about, answer, media_type, headers, encoding, body
  FROM questions WHERE id > :id ORDER BY id LIMIT :limit;

-- name: quarantine_beyond
-- What lies in quarantine beyond that one.
SELECT id, provider, request_id, fingerprint, media_type, headers, encoding, body
  FROM quarantine WHERE id > :id ORDER BY id LIMIT :limit;

-- name: refusals_beyond
-- What was answered beyond that X-Request-Id.
SELECT provider, request_id, answer FROM ledger
 WHERE (provider, request_id) > (:provider, :request_id) ORDER BY provider, request_id LIMIT :limit;

-- name: encrypt_payload
-- The same bytes, kept otherwise; what was replaced meanwhile is as it is wanted.
UPDATE payloads SET body = :body, encoding = :encoding
 WHERE message_id = :message_id AND part = :part AND body = :before;

-- name: encrypt_question
-- The request that a question is about, kept otherwise; decided meanwhile, it is there no more.
UPDATE questions SET body = :body, encoding = :encoding WHERE id = :id AND body = :before;

-- name: encrypt_what_is_asked
-- What a read asks for, kept otherwise.
UPDATE questions SET about = :about WHERE id = :id AND about = :before;

-- name: encrypt_reply
-- What the EPR answered, kept otherwise.
UPDATE questions SET answer = :answer WHERE id = :id AND answer = :before;

-- name: encrypt_quarantined
-- What lies in quarantine, kept otherwise.
UPDATE quarantine SET body = :body, encoding = :encoding WHERE id = :id AND body = :before;

-- name: encrypt_refusal
-- What was answered for good, kept otherwise.
UPDATE ledger SET answer = :answer WHERE provider = :provider AND request_id = :request_id AND answer = :before;

-- name: forget_old_subjects_of_message
-- Those whom it names are hashed by today's key. Whom it named in bytes that have left is found by the old one still.
DELETE FROM subjects WHERE message_id = :number AND key_id <> :key_id AND hash IN (SELECT value FROM json_each(:hashes));

-- name: forget_old_subjects_of_question
-- Those whom it names are hashed by today's key. Whom it named in bytes that have left is found by the old one still.
DELETE FROM subjects WHERE question_id = :number AND key_id <> :key_id AND hash IN (SELECT value FROM json_each(:hashes));

-- name: forget_old_subjects_of_quarantined
-- Those whom it names are hashed by today's key. Whom it named in bytes that have left is found by the old one still.
DELETE FROM subjects WHERE quarantine_id = :number AND key_id <> :key_id AND hash IN (SELECT value FROM json_each(:hashes));
