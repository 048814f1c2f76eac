"""Reconciliations on SQLite: which messages want their Receiver's ids, and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial

from bars_gateway.errors import StaleState
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move
from bars_gateway.store.aside_works import Spoilt, each, kind_of
from bars_gateway.store.asides import Aside
from bars_gateway.store.bells import Bell
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.database import Database
from bars_gateway.store.focus_works import name_focus
from bars_gateway.store.reconciliations import Reconciliation, Unreconciled
from bars_gateway.store.rows import instant, payload_of, text
from bars_gateway.store.sqlite_asides import log_set_aside
from bars_gateway.store.statements import add_message_event, move_workflow, notify
from bars_gateway.store.values import NoticeKind, Part
from bars_gateway.unforeseen import unforeseen


class SqliteReconciliations:
    """The `Reconciliations` of one open database."""

    def __init__(self, database: Database, *, ring_notices: Callable[[], None]) -> None:
        self._database = database
        self._ring_notices = ring_notices
        self._bell = Bell()

    async def next(self) -> Unreconciled | None:
        """Return the message that is to be looked for first, due or not."""
        while True:
            found = await self._database.read(_next)
            if not isinstance(found, Spoilt):
                return found
            unreadable = partial(_unreadable, message_id=found.number, error=found.error)
            await self._database.write(unreadable)
            log_set_aside(Aside.WORK, found.error, message_id=found.number)
            self._ring_notices()

    async def later(self, message_id: int, at: datetime) -> None:
        """Look again at *at*."""
        await self._database.write(
            lambda connection: connection.run("reconcile_later", id=message_id, at=text(at))
        )

    async def settle(
        self, message_id: int, result: Reconciliation, focus_id: str | None, now: datetime
    ) -> None:
        """Keep what came of it, and tell the EPR; raise StaleState where that was done before."""
        await self._database.write(
            partial(_settle, message_id=message_id, result=result, focus_id=focus_id, now=now)
        )
        self._ring_notices()

    async def work(self, seconds: float) -> None:
        """Return when there may be one more, after *seconds* at the latest."""
        await self._bell.wait(seconds)

    def ring(self) -> None:
        """Wake whoever waits for work."""
        self._bell.ring()


def _next(connection: Connection) -> Unreconciled | Spoilt | None:
    found = each(connection.rows("next_unreconciled"), partial(_unreconciled, connection))
    return found[0] if found else None


def _unreconciled(connection: Connection, row: Row) -> Unreconciled:
    payload = connection.one("payload", message_id=row["id"], part=Part.REQUEST)
    assert payload is not None
    return Unreconciled(
        message_id=row["id"],
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        receiver=row["receiver"],
        due_at=instant(row["reconcile_at"]),
        settled_at=instant(row["settled_at"]),
        request=payload_of(payload),
    )


def _settle(
    connection: Connection,
    *,
    message_id: int,
    result: Reconciliation,
    focus_id: str | None,
    now: datetime,
) -> None:
    row = connection.one("reconcile", id=message_id, reconciliation=result)
    if row is None:
        raise StaleState(f"message {message_id} wants no reconciliation any more")
    remarks: Sequence[Remark] = ()
    if focus_id is not None:
        _prove(connection, row, now)
        remarks = name_focus(connection, row, focus_id, now)
    if Remark.SHARED_ID in remarks:
        connection.run("reconciled_as", id=message_id, reconciliation=Reconciliation.SEVERAL)
    notify(connection, NoticeKind.RECONCILED, row, now, remarks)


def _unreadable(connection: Connection, *, message_id: int, error: Exception) -> None:
    """Say that nobody can look for the ids of a message that is not to be read any more."""
    row = connection.one("reconcile", id=message_id, reconciliation=Reconciliation.UNREAD)
    if row is not None:
        at, kind = instant(row["settled_at"]), kind_of(error, Aside.NOTICE)
        notify(connection, NoticeKind.RECONCILED, row, at)
        about = (row["provider"], row["id"], row["request_id"])
        add_message_event(connection, about, kind, at, asdict(unforeseen(error)))


def _prove(connection: Connection, row: Row, now: datetime) -> None:
    """Acknowledge what a duplicate alone could not prove, and say that no call is needed now."""
    proven = connection.one("prove_by_read", id=row["id"], now=text(now))
    if proven is None:
        return
    move_workflow(connection, proven["workflow_id"], Move.REQUEST, now)
    notify(connection, NoticeKind.OUTCOME, proven, now, [Remark.ARRIVED_AFTER_ALL])
