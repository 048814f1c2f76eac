"""
What is known of something that went wrong, by whatever name somebody has of it.

    X-Request-Id, Bundle.id, number ─┐
    number of a workflow             ├─facts_of──► messages with all that happened, or lines of the
    number of an alarm               │             audit trail where nothing was taken
    number in quarantine             ┘
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from bars_gateway.model.incidents import IncidentFacts, IncidentKind, RaisedAlarm
from bars_gateway.model.numbers import number_in
from bars_gateway.model.readings import AuditLine
from bars_gateway.standard.workflow import Role
from bars_gateway.store.audit import Sought, audited
from bars_gateway.store.connection import Connection
from bars_gateway.store.explanations import LISTED, case_of, cases_called
from bars_gateway.store.quarantine import quarantine_of
from bars_gateway.store.rows import instant


def facts_of(
    connection: Connection, provider: str | None, kind: IncidentKind, name: str, now: datetime
) -> IncidentFacts | None:
    """Return what is known of *name*, of *provider* or of any; None: nothing here is called so."""
    return _FOUND[kind](connection, provider, name, now)


def _message(
    connection: Connection, provider: str | None, name: str, now: datetime
) -> IncidentFacts | None:
    cases = cases_called(connection, provider, name, now)
    lines = [] if cases else _lines(connection, provider, name)
    if not cases and not lines:
        return None
    return IncidentFacts(kind=IncidentKind.MESSAGE, cases=cases, lines=lines)


def _workflow(
    connection: Connection, provider: str | None, name: str, now: datetime
) -> IncidentFacts | None:
    values = {"workflow_id": number_in(name) or 0, "provider": provider, "limit": LISTED}
    rows = connection.rows("messages_of_workflow", **values)
    cases = [case_of(connection, row, now) for row in rows]
    return IncidentFacts(kind=IncidentKind.WORKFLOW, cases=cases) if cases else None


def _alarm(
    connection: Connection, provider: str | None, name: str, now: datetime
) -> IncidentFacts | None:
    row = connection.one("alarm_of_any", id=number_in(name) or 0, provider=provider)
    if row is None:
        return None
    alarm = RaisedAlarm(
        number=row["id"],
        kind=row["kind"],
        role=Role(row["role"]) if row["role"] else None,
        provider=row["provider"],
        request_id=row["request_id"],
        since=instant(row["since"]),
        times=row["times"],
        ended_at=instant(row["ended_at"]) if row["ended_at"] else None,
        ended_how=row["ended_how"],
    )
    message, request_id = row["message_id"], row["request_id"]
    cases = cases_called(connection, provider, str(message), now) if message is not None else []
    lonely = not cases and request_id is not None
    lines = _lines(connection, row["provider"], request_id) if lonely else []
    return IncidentFacts(kind=IncidentKind.ALARM, cases=cases, lines=lines, alarm=alarm)


def _quarantined(
    connection: Connection, provider: str | None, name: str, now: datetime
) -> IncidentFacts | None:
    row = connection.one("quarantined_of_any", id=number_in(name) or 0)
    if row is None or provider not in {None, row["provider"]}:
        return None
    found = quarantine_of(row)
    cases = cases_called(connection, found.provider, found.request_id, now)
    return IncidentFacts(
        kind=IncidentKind.QUARANTINE,
        cases=cases,
        lines=_lines(connection, found.provider, found.request_id),
        quarantined=found,
    )


_FOUND: Mapping[
    IncidentKind, Callable[[Connection, str | None, str, datetime], IncidentFacts | None]
] = {
    IncidentKind.MESSAGE: _message,
    IncidentKind.WORKFLOW: _workflow,
    IncidentKind.ALARM: _alarm,
    IncidentKind.QUARANTINE: _quarantined,
}


def _lines(connection: Connection, provider: str | None, name: str) -> list[AuditLine]:
    """Return what the audit trail has under an X-Request-Id, oldest first."""
    found = audited(connection, Sought(provider=provider, of=name), LISTED)
    return [line for line in reversed(found) if line.message_id is None]
