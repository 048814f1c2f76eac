-- What was in force last, and what is now.

-- name: known_in_force
-- All of it: settings, keys, certificates, users.
SELECT name, what FROM in_force WHERE name > '' ORDER BY name;

-- name: put_in_force
-- As it is now.
INSERT INTO in_force (name, what) VALUES (:name, :what) ON CONFLICT (name) DO UPDATE SET what = excluded.what;

-- name: out_of_force
-- It is there no more.
DELETE FROM in_force WHERE name = :name;
