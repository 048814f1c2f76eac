-- What is counted for a machine, beside what the page shows.

-- name: count_backlog
-- What is not settled, by Receiver. One look into the index for each and provider, however many messages wait.
WITH RECURSIVE receivers (receiver, n, provider) AS (
    SELECT t.state, t.n, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                      WHERE settled_at IS NULL AND receiver = t.state)
      FROM tallies AS t WHERE t.of = 'open' AND t.n > 0
    UNION ALL
    SELECT receiver, n, (SELECT min(provider) FROM messages INDEXED BY messages_backlog
                       WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider > receivers.provider)
      FROM receivers WHERE provider IS NOT NULL)
SELECT receiver, n, min((SELECT min(created_at) FROM messages INDEXED BY messages_backlog
                          WHERE settled_at IS NULL AND receiver = receivers.receiver AND provider = receivers.provider)) AS oldest
  FROM receivers WHERE provider IS NOT NULL GROUP BY receiver, n;

-- name: waiting_for_receivers
-- What waits for each Receiver, of how many workflows and since when, but for what is held.
SELECT provider, receiver, min(created_at) AS oldest, count(*) AS n, count(DISTINCT workflow_id) AS workflows
  FROM messages INDEXED BY messages_backlog WHERE settled_at IS NULL AND state <> 'held' GROUP BY receiver, provider;

-- name: count_quarantined
-- What waits in quarantine.
SELECT provider, count(*) AS n, min(created_at) AS oldest
  FROM quarantine INDEXED BY quarantine_open WHERE attached_to IS NULL GROUP BY provider;

-- name: count_overdue
-- Answers that are late, whether or not somebody has marked that as handled.
SELECT provider, role, count(*) AS n, min(answer_due_at) AS oldest
  FROM workflows INDEXED BY workflows_due
 WHERE closed_at IS NULL AND answer_due_at IS NOT NULL AND answer_due_at <= :now GROUP BY provider, role;
