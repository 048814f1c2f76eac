-- What is removed for its age, and the certificates of that.

-- name: begin_purge
-- A purge begins.
INSERT INTO purges (provider, began_by, why, rules, began_at, counts_to)
VALUES (:provider, :began_by, :why, :rules, :now, :counts_to) RETURNING id;

-- name: purge_open
-- The purge that has not ended; there is one at most.
SELECT * FROM purges WHERE id = (SELECT min(p.id) FROM purges AS p WHERE p.ended_at IS NULL);

-- name: purge_numbered
-- One purge.
SELECT * FROM purges WHERE id = :id;

-- name: purges_listed
-- The latest purges first.
SELECT * FROM purges ORDER BY id DESC LIMIT :limit;

-- name: purge_last_ended
-- The last one that came to its end.
SELECT * FROM purges
 WHERE id = (SELECT max(p.id) FROM purges AS p WHERE p.ended_at IS NOT NULL AND p.provider IS NULL);

-- name: purges_to_follow
-- Those beyond one that came to their end, from the last of everything on: each node clears its own folders after them.
-- What another node has certified of its own folders is none.
SELECT p.* FROM purges AS p
 WHERE p.ended_at IS NOT NULL AND p.id > :after
   AND p.id >= coalesce((SELECT max(w.id) FROM purges AS w WHERE w.ended_at IS NOT NULL AND w.provider IS NULL), 0)
   AND (p.provider IS NULL OR p.began_by <> :gateway OR p.why NOT LIKE :of_a_node)
 ORDER BY p.id;

-- name: begin_removing
-- From here to the end of this transaction records may leave.
UPDATE purges SET removing = 1 WHERE id = :id AND ended_at IS NULL;

-- name: end_removing
-- From here on nothing leaves.
UPDATE purges SET removing = 0 WHERE id = :id;

-- name: end_purge
-- Everything was judged.
UPDATE purges SET ended_at = :now WHERE id = :id AND ended_at IS NULL;

-- name: purged_class
-- How far a purge is with a class.
SELECT * FROM purged_classes WHERE purge_id = :purge_id AND class = :class;

-- name: purged_classes
-- How far it is with each.
SELECT * FROM purged_classes WHERE purge_id = :purge_id ORDER BY class;

-- name: note_purged_class
-- It is so far now, and has removed these as well.
INSERT INTO purged_classes (purge_id, class, reached, n, by_rule, digest, ended_at)
VALUES (:purge_id, :class, :reached, :n, :by_rule, :digest, :ended_at)
    ON CONFLICT (purge_id, class) DO UPDATE SET reached = excluded.reached, n = excluded.n, by_rule = excluded.by_rule,
                              digest = excluded.digest, ended_at = excluded.ended_at;

-- name: lengthen_purged
-- Numbers that follow the last ones are one span with them.
UPDATE purged SET last = :last
 WHERE class = :class AND purge_id = :purge_id
   AND first = (SELECT max(p.first) FROM purged AS p WHERE p.purge_id = :purge_id AND p.class = :class)
   AND last = :first - 1;

-- name: note_purged
-- Numbers that were removed.
INSERT INTO purged (class, first, purge_id, last) VALUES (:class, :first, :purge_id, :last);

-- name: purged_spans
-- What a purge has removed, by number.
SELECT class, first, last FROM purged INDEXED BY purged_by WHERE purge_id = :purge_id ORDER BY class, first;

-- name: last_workflow_before
-- The highest workflow of those in which something came last before a moment.
SELECT max(workflow_id) AS id
  FROM (SELECT workflow_id FROM messages WHERE created_at < :before ORDER BY created_at DESC LIMIT 1000) AS due;

-- name: last_workflow
-- The highest workflow.
SELECT max(id) AS id FROM workflows;

-- name: last_quarantined
-- What was put in quarantine last.
SELECT max(id) AS id FROM quarantine;

-- name: payloads_to_judge
-- Messages whose Bundles are kept, in order, and when their conversations came to rest.
SELECT p.message_id AS number, r.provider, r.use_case, r.rested_at, r.last_id, r.appointment_until
  FROM payloads AS p CROSS JOIN messages AS m ON m.id = p.message_id CROSS JOIN at_rest AS r ON r.workflow_id = m.workflow_id
 WHERE p.message_id > :after AND p.message_id <= :up_to AND p.part = 'request'
 ORDER BY p.message_id LIMIT :limit;

-- name: payloads_judged
-- The same of some, with why they stay all the same.
SELECT m.id AS number, m.request_id AS name, r.provider, r.use_case, r.state, r.rested_at, r.last_id, r.appointment_until, k.why
  FROM messages AS m CROSS JOIN at_rest AS r ON r.workflow_id = m.workflow_id CROSS JOIN kept AS k ON k.workflow_id = m.workflow_id
 WHERE m.id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers))
 ORDER BY m.id;

-- name: remove_payloads
-- Bundles leave; what is known of their messages stays.
DELETE FROM payloads WHERE message_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) AND part = 'request';

-- name: answers_to_judge
-- Messages whose answers are kept, in order.
SELECT p.message_id AS number, r.provider, r.use_case, r.rested_at, r.last_id, r.appointment_until
  FROM payloads AS p CROSS JOIN messages AS m ON m.id = p.message_id CROSS JOIN at_rest AS r ON r.workflow_id = m.workflow_id
 WHERE p.message_id > :after AND p.message_id <= :up_to AND p.part <> 'request'
   AND p.part = (SELECT min(o.part) FROM payloads AS o WHERE o.message_id = p.message_id AND o.part <> 'request')
 ORDER BY p.message_id LIMIT :limit;

-- name: remove_answers
-- Answers leave, those that proved nothing as well.
DELETE FROM payloads WHERE message_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) AND part <> 'request';

-- name: messages_to_judge
-- Workflows with messages, in order.
SELECT r.workflow_id AS number, r.provider, r.use_case, r.rested_at, r.last_id, r.appointment_until
  FROM at_rest AS r
 WHERE r.workflow_id > :after AND r.workflow_id <= :up_to
   AND EXISTS (SELECT 1 FROM messages AS m WHERE m.workflow_id = r.workflow_id)
 ORDER BY r.workflow_id LIMIT :limit;

-- name: messages_judged
-- The same of some, with why they stay: what another message was made from stays as long as that.
SELECT r.workflow_id AS number, '' AS name, r.provider, r.use_case, r.state, r.rested_at, r.last_id, r.appointment_until,
       coalesce(k.why, CASE WHEN EXISTS (SELECT 1 FROM messages AS m CROSS JOIN messages AS again ON again.resend_of = m.id
                                          WHERE m.workflow_id = r.workflow_id AND again.workflow_id <> r.workflow_id)
                            THEN 'resent' END) AS why
  FROM at_rest AS r CROSS JOIN kept AS k ON k.workflow_id = r.workflow_id
 WHERE r.workflow_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers))
 ORDER BY r.workflow_id;

-- name: messages_in
-- The messages of some workflows, by their names.
SELECT m.id AS number, m.request_id AS name FROM messages AS m
 WHERE m.workflow_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) ORDER BY m.workflow_id, m.id;

-- name: remember_sent
-- The same bytes are never sent again, however old they are.
INSERT INTO sent_before (provider, fingerprint, submission_id, request_id, settled_at)
SELECT m.provider, m.fingerprint, m.submission_id, m.request_id, m.settled_at FROM messages AS m
 WHERE m.workflow_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) AND +m.direction = 'outbound'
    ON CONFLICT (provider, fingerprint) DO UPDATE SET submission_id = coalesce(sent_before.submission_id, excluded.submission_id);

-- name: forget_in_ledger
-- A repetition is a duplicate for good; to what it was answered nobody knows any more.
UPDATE ledger SET state = 'gone', message_id = NULL, question_id = NULL, said = NULL
 WHERE message_id IN (SELECT m.id FROM messages AS m WHERE m.workflow_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)));

-- name: forget_questions
-- What the EPR decided about them.
DELETE FROM questions
 WHERE message_id IN (SELECT m.id FROM messages AS m WHERE m.workflow_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)));

-- name: forget_notices
-- What the EPR was told of them.
DELETE FROM notices
 WHERE message_id IN (SELECT m.id FROM messages AS m WHERE m.workflow_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)));

-- name: part_resends
-- A message that was sent again within its workflow goes with it.
UPDATE messages SET resend_of = NULL WHERE +resend_of IS NOT NULL AND workflow_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers));

-- name: remove_messages
-- Messages leave, with their attempts and with whatever was kept of their bytes.
DELETE FROM messages WHERE workflow_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers));

-- name: conversations_to_judge
-- Workflows whose messages have left, in order.
SELECT r.workflow_id AS number, r.provider, r.use_case, r.rested_at, r.last_id, r.appointment_until
  FROM at_rest AS r
 WHERE r.workflow_id > :after AND r.workflow_id <= :up_to
   AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.workflow_id = r.workflow_id)
 ORDER BY r.workflow_id LIMIT :limit;

-- name: conversations_judged
-- The same of some, with why they stay.
SELECT r.workflow_id AS number, w.correlation_id AS name, r.provider, r.use_case, r.state, r.rested_at, r.last_id, r.appointment_until,
       coalesce(k.why, CASE WHEN EXISTS (SELECT 1 FROM quarantine AS q WHERE q.attached_to = r.workflow_id) THEN 'attached' END)
           AS why
  FROM at_rest AS r CROSS JOIN kept AS k ON k.workflow_id = r.workflow_id CROSS JOIN workflows AS w ON w.id = r.workflow_id
 WHERE r.workflow_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers))
 ORDER BY r.workflow_id;

-- name: remove_conversations
-- Workflows leave, with what ties them to others.
DELETE FROM workflows WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers));

-- name: quarantine_to_judge
-- What lies in quarantine, in order.
SELECT q.id AS number, q.provider, '' AS use_case, q.created_at AS rested_at,
       NULL AS last_id, NULL AS appointment_until FROM quarantine AS q
 WHERE q.id > :after AND q.id <= :up_to ORDER BY q.id LIMIT :limit;

-- name: quarantine_judged
-- The same of some, with why it stays.
SELECT q.id AS number, q.request_id AS name, q.provider, '' AS use_case, q.created_at AS rested_at,
       NULL AS last_id, NULL AS appointment_until, NULL AS state, k.why
  FROM quarantine AS q CROSS JOIN kept_quarantine AS k ON k.quarantine_id = q.id
 WHERE q.id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) ORDER BY q.id;

-- name: remove_quarantine
-- It leaves, with its bytes.
DELETE FROM quarantine WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers));

-- name: copies_judged
-- Notices whose files lie in a folder still, with when their conversations came to rest and why they stay.
SELECT n.id AS number, n.kind AS name, r.provider, r.use_case, r.rested_at, r.last_id, r.appointment_until,
       coalesce(k.why, CASE WHEN n.collected_at IS NULL THEN 'uncollected' END) AS why
  FROM notices AS n CROSS JOIN messages AS m ON m.id = n.message_id
       CROSS JOIN at_rest AS r ON r.workflow_id = m.workflow_id CROSS JOIN kept AS k ON k.workflow_id = m.workflow_id
 WHERE n.id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) AND n.provider = :provider
 ORDER BY n.id;

-- name: left_payloads
-- How many Bundles are there that a purge says it has removed.
SELECT count(*) AS n FROM payloads AS p WHERE p.message_id BETWEEN :first AND :last AND p.part = 'request';

-- name: left_answers
-- The same of answers.
SELECT count(*) AS n FROM payloads AS p WHERE p.message_id BETWEEN :first AND :last AND p.part <> 'request';

-- name: left_messages
-- The same of messages.
SELECT count(*) AS n FROM messages WHERE id BETWEEN :first AND :last;

-- name: left_conversations
-- The same of workflows.
SELECT count(*) AS n FROM workflows WHERE id BETWEEN :first AND :last;

-- name: left_quarantine
-- The same of what lay in quarantine.
SELECT count(*) AS n FROM quarantine WHERE id BETWEEN :first AND :last;

-- name: purge_told
-- What the audit trail has of purges that ended at that moment.
SELECT detail FROM events WHERE at = :at AND kind = 'records.purged';

-- name: restored_since
-- Whether a backup was put back after that moment.
SELECT 1 FROM events WHERE kind = 'operator.restored' AND at >= :at LIMIT 1;

-- name: names_of_payloads
-- Messages of a span of numbers, as a purge names them.
SELECT id AS number, request_id AS name, workflow_id FROM messages WHERE id BETWEEN :first AND :last ORDER BY id;

-- name: names_of_conversations
-- Workflows of a span of numbers.
SELECT id AS number, correlation_id AS name, id AS workflow_id FROM workflows WHERE id BETWEEN :first AND :last ORDER BY id;

-- name: names_of_quarantine
-- What lay in quarantine, of a span of numbers.
SELECT id AS number, request_id AS name, id AS workflow_id FROM quarantine WHERE id BETWEEN :first AND :last ORDER BY id;

-- name: refusals_to_judge
-- Refusals that are remembered, in order, and when they were given.
SELECT l.refusal AS number, l.provider, '' AS use_case, coalesce(q.decided_at, l.created_at) AS rested_at,
       NULL AS last_id, NULL AS appointment_until
  FROM ledger AS l LEFT JOIN questions AS q ON q.id = l.question_id
 WHERE l.refusal > :after AND l.refusal <= :up_to ORDER BY l.refusal LIMIT :limit;

-- name: refusals_judged
-- The same of some, with why they stay: what the EPR has refused stays as long as the conversation that it was about.
SELECT l.refusal AS number, l.request_id AS name, l.provider, '' AS use_case, coalesce(q.decided_at, l.created_at) AS rested_at,
       NULL AS last_id, NULL AS state,
       (SELECT max(r.appointment_until) FROM workflows AS w CROSS JOIN at_rest AS r ON r.workflow_id = w.id
         WHERE w.provider = q.provider AND w.correlation_id = q.correlation_id) AS appointment_until,
       (SELECT k.why FROM kept_refusals AS k WHERE k.refusal = l.refusal) AS why
  FROM ledger AS l LEFT JOIN questions AS q ON q.id = l.question_id
 WHERE l.refusal IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) ORDER BY l.refusal;

-- name: part_refusals
-- The question goes before the entry that it led to.
UPDATE ledger SET question_id = NULL WHERE refusal IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers));

-- name: forget_refused_questions
-- What the EPR was asked, and has refused.
DELETE FROM questions
 WHERE id IN (SELECT q.id FROM json_each(:numbers) AS n CROSS JOIN ledger AS l ON l.refusal = CAST(n.value AS BIGINT)
              CROSS JOIN questions AS q ON q.provider = l.provider AND q.request_id = l.request_id
               WHERE q.changes = 1 AND q.state = 'answered' AND q.message_id IS NULL);

-- name: remove_refusals
-- Refusals leave: who asks the same once more is judged again.
DELETE FROM ledger WHERE refusal IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers));

-- name: last_refusal
-- The last refusal.
SELECT max(refusal) AS id FROM ledger WHERE refusal IS NOT NULL;

-- name: left_refusals
-- How many refusals are there that a purge says it has removed.
SELECT count(*) AS n FROM ledger WHERE refusal BETWEEN :first AND :last;

-- name: names_of_refusals
-- Refusals of a span of numbers.
SELECT refusal AS number, request_id AS name, refusal AS workflow_id FROM ledger WHERE refusal BETWEEN :first AND :last ORDER BY refusal;

-- name: alarms_to_judge
-- Alarms that have ended, in order.
SELECT a.id AS number, coalesce(a.provider, '') AS provider, coalesce(w.use_case, '') AS use_case, a.ended_at AS rested_at,
       NULL AS last_id, NULL AS appointment_until
  FROM alarms AS a LEFT JOIN workflows AS w ON w.id = a.workflow_id
 WHERE a.id > :after AND a.id <= :up_to AND a.ended_at IS NOT NULL ORDER BY a.id LIMIT :limit;

-- name: alarms_judged
-- The same of some, with why they stay: as long as what they are about.
SELECT a.id AS number, a.kind AS name, coalesce(a.provider, '') AS provider, coalesce(r.use_case, '') AS use_case,
       a.ended_at AS rested_at, NULL AS last_id, r.state, r.appointment_until, k.why
  FROM alarms AS a CROSS JOIN kept_alarms AS k ON k.alarm_id = a.id LEFT JOIN at_rest AS r ON r.workflow_id = a.workflow_id
 WHERE a.id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers)) ORDER BY a.id;

-- name: remove_alarms
-- Alarms leave that have ended; the lines of the trail that raised and ended them stay.
DELETE FROM alarms WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:numbers));

-- name: last_ended_alarm
-- The last alarm.
SELECT max(id) AS id FROM alarms;

-- name: left_alarms
-- How many alarms are there that a purge says it has removed.
SELECT count(*) AS n FROM alarms WHERE id BETWEEN :first AND :last;

-- name: names_of_alarms
-- Alarms of a span of numbers.
SELECT id AS number, kind AS name, id AS workflow_id FROM alarms WHERE id BETWEEN :first AND :last ORDER BY id;
