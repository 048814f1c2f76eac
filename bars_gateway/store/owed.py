"""
Which answers are owed and have not come: to us by others, and by us to them; overdue first.

A debt lies there from the moment that its workflow has a time for an answer until that ends, is
answered, or its time is moved. The longest overdue stands first, and what is due latest last.
"""

from bars_gateway.model.readings import Debt
from bars_gateway.standard.workflow import Role, State
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.replacements import seen
from bars_gateway.store.rows import instant
from bars_gateway.store.work import Noun, reads


class Debts(Noun):
    """Answers that are owed."""

    @reads
    def owed(self, connection: Connection, provider: str | None, limit: int) -> list[Debt]:
        """Return what is owed to *provider* and by it, or to and by all, overdue first."""
        return owed(connection, provider, limit)


def owed(connection: Connection, provider: str | None, limit: int) -> list[Debt]:
    """Return what is owed, the longest overdue first."""
    found = connection.rows("owed", provider=provider, limit=limit)
    return [_debt(connection, row) for row in found]


def owed_in(connection: Connection, correlation_id: str) -> list[Debt]:
    """Return what is owed in one conversation."""
    found = connection.rows("owed_in", correlation_id=correlation_id)
    return [_debt(connection, row) for row in found]


def _debt(connection: Connection, row: Row) -> Debt:
    request = seen(connection, row)
    return Debt(
        ours=row["role"] == Role.RESPONDER,
        workflow_id=row["workflow_id"],
        counterparty=row["counterparty"],
        state=State(row["stands"]),
        since=instant(row["opened_at"]),
        due_at=instant(row["owed_at"]),
        request=request,
    )
