-- What was done beside the gateway.

-- name: note_report
-- Once it is known, it is not entered again.
INSERT INTO reports (name) VALUES (:name) ON CONFLICT DO NOTHING;
