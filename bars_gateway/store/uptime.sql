-- How long the gateway was up, and how large its database became.

-- name: note_up
-- It was up for so long within that hour, until now.
INSERT INTO uptime (hour, first_at, last_at, up_ms, database_bytes)
VALUES (:hour, :from, :until, :up_ms, :bytes)
    ON CONFLICT DO UPDATE SET up_ms = min(3600000, up_ms + excluded.up_ms), last_at = max(last_at, excluded.last_at);

-- name: forget_uptime
-- What no meter looks back to, but for the first hour of all: since then it is known.
DELETE FROM uptime WHERE hour < :before AND hour > (SELECT min(hour) FROM uptime);

-- name: first_up
-- Since when it is known.
SELECT first_at FROM uptime WHERE hour = (SELECT min(hour) FROM uptime);

-- name: last_up
-- Until when it is known.
SELECT last_at FROM uptime WHERE hour = (SELECT max(hour) FROM uptime);

-- name: up_since
-- For how long it was up since that hour.
SELECT coalesce(sum(up_ms), 0) AS up_ms FROM uptime WHERE hour >= :since;

-- name: size_since
-- How large the database was at first since that hour.
SELECT first_at, database_bytes FROM uptime WHERE hour >= :since ORDER BY hour LIMIT 1;
