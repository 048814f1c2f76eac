"""Whatever a workflow is looked up by, an index leads to it: nothing is walked."""

import pytest
from bench.lookups import KINDS, asked, fill

from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import SqliteDatabase

INDEXES = {
    "Bundle.id of a response": "messages_bundle (bundle_id=? AND provider=?)",
    "Bundle.id": "messages_bundle (bundle_id=? AND provider=?)",
    "request id": "messages_once (request_id=?)",
    "resource id": "workflows_focus (focus_id=? AND provider=?)",
    "resource id of a change": "workflows_focus (focus_id=? AND provider=?)",
    "X-Correlation-Id": "workflows_talk (correlation_id=? AND provider=?)",
    "number": "INTEGER PRIMARY KEY (rowid=?)",
}


@pytest.mark.of_sqlite
@pytest.mark.parametrize("kind", KINDS)
async def test_a_workflow_is_found_by_an_index(database: SqliteDatabase, kind: str) -> None:
    """The first step of the plan is the index for that kind of id, and no step is a scan."""
    sql, values = asked(kind, 7)

    def plan(connection: SqliteConnection) -> list[str]:
        found = connection.raw.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        return [row["detail"] for row in found]

    steps = await database.read(plan)

    assert any(INDEXES[kind] in step for step in steps)
    # What an index is known to lack is looked at too: nothing, as a rule.
    assert {"SCAN unindexed"} >= {step for step in steps if step.startswith("SCAN")}


@pytest.mark.of_sqlite
@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_id_leads_to_its_own_workflow(
    database: SqliteDatabase, kind: str
) -> None:
    """Of twenty workflows, that one."""
    await fill(database, 100)
    workflow = 8 if kind == "resource id of a change" else 7
    sql, values = asked(kind, workflow)
    found = await database.read(lambda connection: connection.raw.execute(sql, values).fetchall())

    assert [workflow] == [row["id"] for row in found]
