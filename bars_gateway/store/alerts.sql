-- What somebody is told of beyond this machine, and what is still to be told.

-- name: open_alerts
-- Every alert that stands, the oldest first.
SELECT * FROM alerts INDEXED BY alerts_open WHERE resolved_at IS NULL ORDER BY id;

-- name: open_alert
-- One of them, by its number.
SELECT * FROM alerts WHERE id = :id AND resolved_at IS NULL;

-- name: raise_alert
-- A condition has come to be.
INSERT INTO alerts (code, about, says, urgent, mark, kept_by, opened_at, told_at, told_mark)
VALUES (:code, :about, :says, :urgent, :mark, :kept_by, :now, :now, :mark) RETURNING id;

-- name: raise_told_alert
-- One that was told from memory, under the number that was reserved for it: once, and if no other stands for the same.
INSERT INTO alerts (id, code, about, says, urgent, mark, kept_by, opened_at, told_at, told_mark)
VALUES (:id, :code, :about, :says, :urgent, :mark, :kept_by, :now, :now, :mark) ON CONFLICT DO NOTHING;

-- name: forget_alert
-- It was there for its number alone.
DELETE FROM alerts WHERE id = :id;

-- name: change_alert
-- It stands, and other words fit it now.
UPDATE alerts SET says = :says, mark = :mark WHERE id = :id;

-- name: remind_of_alert
-- It is told of again.
UPDATE alerts SET told_at = :now, told_mark = mark WHERE id = :id;

-- name: resolve_alert
-- It stands no more.
UPDATE alerts SET resolved_at = :now WHERE id = :id;

-- name: acknowledge_alert
-- Somebody sees to it, as bad as it is by now.
UPDATE alerts SET acknowledged_at = :now, acknowledged_by = :who, acknowledged_why = :why, acknowledged_mark = mark
 WHERE id = :id AND resolved_at IS NULL;

-- name: tell_of_alert
-- What is to be told by one channel.
INSERT INTO deliveries (alert_id, step, channel, decided_at, due_at) VALUES (:id, :step, :channel, :now, :due_at);

-- name: number_of_telling
-- The same, for the number alone by which it is known.
INSERT INTO deliveries (alert_id, step, channel, decided_at, due_at) VALUES (:id, :step, :channel, :now, :due_at) RETURNING id;

-- name: forget_tellings
-- Nothing of an alert is to be told.
DELETE FROM deliveries WHERE alert_id = :id;

-- name: telling_from_memory
-- How far one channel had come with it while nothing could be stored.
INSERT INTO deliveries (id, alert_id, step, channel, decided_at, due_at, attempts, delivered_at)
VALUES (:number, :id, :step, :channel, :now, :due_at, :attempts, :delivered_at);

-- name: untold_of_alert
-- How much of an alert a channel was to tell, has begun to tell, and has not begun with.
SELECT count(*) AS n, 
       count(*) FILTER (WHERE delivered_at IS NOT NULL OR due_at <= :now OR attempts > 0) AS begun
  FROM deliveries WHERE alert_id = :id AND channel = :channel;

-- name: take_back_telling
-- It is over before anybody was to be told.
DELETE FROM deliveries WHERE alert_id = :id AND channel = :channel AND delivered_at IS NULL;

-- name: deliveries_due
-- What a channel is to tell by now, in the order in which it was decided: no end before its begin.
SELECT d.id AS delivery_id, d.step, d.channel, d.decided_at, d.attempts, a.*
  FROM deliveries AS d JOIN alerts AS a ON a.id = d.alert_id
 WHERE d.channel = :channel AND d.delivered_at IS NULL AND d.due_at <= :now
   AND NOT EXISTS (SELECT 1 FROM deliveries AS earlier INDEXED BY deliveries_of
                    WHERE earlier.alert_id = d.alert_id AND earlier.channel = d.channel
                      AND earlier.delivered_at IS NULL AND earlier.id < d.id AND earlier.due_at > :now)
 ORDER BY d.id LIMIT :limit;

-- name: delivered
-- It was told: the next start does not tell it again.
UPDATE deliveries SET delivered_at = :now WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids)) AND +delivered_at IS NULL;

-- name: not_delivered
-- It could not be told, and is tried again.
UPDATE deliveries SET attempts = attempts + 1, due_at = :again_at WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids));

-- name: forget_told
-- What was told long ago, of alerts that are over: so many at once. What is open hangs on its own.
DELETE FROM deliveries WHERE id IN (
SELECT d.id FROM deliveries AS d INDEXED BY deliveries_told JOIN alerts AS a ON a.id = d.alert_id
 WHERE d.delivered_at < :before AND a.resolved_at IS NOT NULL ORDER BY d.delivered_at LIMIT :limit);

-- name: forget_channel
-- Nobody is told by it any more.
DELETE FROM deliveries WHERE channel = :channel AND delivered_at IS NULL;
