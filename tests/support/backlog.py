"""A queue that SQL makes: for forty Receivers, of which the first has half and takes nothing."""

from datetime import UTC, datetime, timedelta

from bars_gateway.store.rows import digest_of
from bars_gateway.store.sqlite.database import SqliteDatabase

SICK = "https://fhir.nhs.uk/Id/dos-service-id|2000000000"
_DATE = "%Y-%m-%dT%H:%M:%S.000Z"

MAKE = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO messages (id, workflow_id, provider, direction, request_id, correlation_id, bundle_id,
                      move, use_case, sender, receiver, fingerprint, state, next_attempt_at,
                      give_up_at, created_at)
SELECT i, 1, 'bench', 'outbound', 'r' || i, 'c' || i, 'b' || i,
       'update', 'a1t1', 'bench', 'https://fhir.nhs.uk/Id/dos-service-id|20000000'
       || CASE WHEN i % 2 THEN '00' ELSE 10 + i % 39 END, 'f' || i, 'queued', :due, :give_up, :due
  FROM n;
"""
PAYLOADS = """
INSERT INTO payloads
SELECT id, 'request', 'application/fhir+json', '{}', 'identity', zeroblob(3000), :digest
  FROM messages;
"""
WORKFLOW = """
INSERT INTO workflows (id, provider, correlation_id, counterparty, role, request_type, use_case,
                       state, opened_at)
VALUES (1, 'bench', 'c', 'other', 'requester', 'referral', 'a1t1', 'active', :due);
"""


async def fill(database: SqliteDatabase, count: int) -> None:
    """Queue *count* messages that are due."""
    now = datetime.now(UTC)
    due, give_up = now.strftime(_DATE), (now + timedelta(hours=2)).strftime(_DATE)
    await database.write(lambda c: c.raw.execute(WORKFLOW, {"due": due}).rowcount)
    values = {"count": count, "due": due, "give_up": give_up}
    await database.write(lambda c: c.raw.execute(MAKE, values).rowcount)
    digest = digest_of("application/fhir+json", "{}", bytes(3000))
    await database.write(lambda c: c.raw.execute(PAYLOADS, {"digest": digest}).rowcount)
