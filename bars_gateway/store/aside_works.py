"""
How a unit of work is set aside: each function is one work, and so one transaction.

What is wrong with one row is found where that is read. So a reading of several gives, in place
of each that cannot be read, a `Spoilt`, and whoever has asked sets that aside and goes on.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TypeVar

from bars_gateway.errors import DatabaseDamaged, PayloadDamaged, StorageFull, StoreError
from bars_gateway.standard.remarks import Remark
from bars_gateway.store.asides import Aside
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import instant
from bars_gateway.store.statements import add_message_event, notify
from bars_gateway.store.values import NoticeKind
from bars_gateway.unforeseen import Unforeseen, unforeseen

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A row that cannot be read, and why."""

    number: int  # of the row
    error: Exception


def kind_of(error: BaseException, otherwise: Aside) -> Aside:
    """Return the kind of event: whatever failed, spoilt bytes are told as such."""
    damaged = isinstance(error, PayloadDamaged | DatabaseDamaged)
    return Aside.DAMAGED if damaged else otherwise


def each(found: Iterable[Row], read: Callable[[Row], T]) -> list[T | Spoilt]:
    """Read each row by itself: one that cannot be read must not stand before the others."""
    return [_read(row, read) for row in found]


def _read(row: Row, read: Callable[[Row], T]) -> T | Spoilt:
    try:
        return read(row)
    except Exception as error:  # unit of work
        if not is_of_one_row(error):
            raise
        return Spoilt(row["id"], error)


def is_of_one_row(error: Exception) -> bool:
    """Tell whether it may be one row that failed, and not the disk as a whole."""
    return type(error) not in {StoreError, StorageFull}


def tell(
    connection: Connection,
    kind: Aside,
    what: Unforeseen,
    now: datetime,
    *,
    provider: str | None,
    request_id: str | None,
    message_id: int | None,
) -> None:
    """Add the line of the audit trail that raises the alarm."""
    add_message_event(connection, (provider, message_id, request_id), kind, now, asdict(what))


def hold(
    connection: Connection,
    message_id: int,
    error: BaseException,
    now: datetime,
    claim: int | None,
    *,
    began: bool,
) -> str | None:
    """Hold the message, with notice and alarm; return its X-Request-Id, or None: it is settled."""
    values = {"id": message_id, "claim": claim, "began": int(began)}
    row = connection.one("set_aside", **values)
    if row is None:
        return None
    notify(connection, NoticeKind.HELD, row, now, [Remark.SET_ASIDE])
    kind = kind_of(error, Aside.MESSAGE)
    about = (row["provider"], row["id"], row["request_id"])
    add_message_event(connection, about, kind, now, asdict(unforeseen(error)))
    return str(row["request_id"])


def keep_back(
    connection: Connection,
    provider: str,
    notice_id: int,
    error: BaseException,
) -> None:
    """Give the EPR the notice no more, with an alarm about its message."""
    values = {"provider": provider, "notice_id": notice_id}
    row = connection.one("keep_notice_back", **values)
    if row is None:
        return
    found = connection.one("request_of_message", id=row["message_id"])
    request_id = found["request_id"] if found else None
    kind = kind_of(error, Aside.NOTICE)
    tell(
        connection,
        kind,
        unforeseen(error),
        instant(row["kept_back_at"]),
        provider=provider,
        request_id=request_id,
        message_id=row["message_id"],
    )


def begin_anew(connection: Connection) -> int:
    """Try again each notice that was kept back."""
    return connection.run("begin_notices_anew")
