"""
Makes a database safe that was put back by the server's own tools, before a gateway starts on it.

    pg_restore, a snapshot, a standby that lacked the last ─► made safe ─► the gateway may start

What happened since the backup nobody here can be asked: the database that was there is gone. So, as
after a restore of a file whose predecessor is missing, and all in one transaction:

- No number is given twice: the EPR knows a notice by its number for good. All counters leap.
- What waits is held, and counts as tried: it may have been sent, withdrawn or cancelled since.
- A question that is asked again says that it may have been answered.
- An alarm says that something may be forgotten, and the audit trail where the gap comes from.

It may be done again: what was released since is held once more, and it says from when on it knows
nothing as it did before.

Decisions: D-restore.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from bars_gateway.errors import BackupDamaged
from bars_gateway.frozen import frozen
from bars_gateway.keyring import Vault
from bars_gateway.model.trail import LEAP, MOST_LINES
from bars_gateway.store.aftermath import (
    Line,
    doubt,
    forget_pauses,
    leave_unknown,
    since,
    uncollected,
)
from bars_gateway.store.chain import chain_new, newest_line
from bars_gateway.store.postgresql.copying import CopiedServer, hold_server
from bars_gateway.store.postgresql.integrity import contents_of, lacking
from bars_gateway.store.postgresql.schema import prepare
from bars_gateway.store.postgresql.server import ServerAddress
from bars_gateway.store.records import THE_GATEWAY, add_event
from bars_gateway.store.rows import instant

FORGOTTEN = "restore.forgotten"
# When something happened last that the backup has: what this has added itself, with its first line,
# came afterwards, unless a gateway has started on it since.
_LAST_CHANGE = """
WITH started AS (SELECT coalesce(max(id), 0) AS line FROM events WHERE kind = 'gateway.started'),
     safe AS (SELECT coalesce(min(id), ?) AS line FROM events
               WHERE kind = ? AND id > (SELECT line FROM started))
SELECT max(at) FROM events WHERE id < (SELECT line FROM safe)
"""


@frozen(kw_only=True)
class PutBack:
    """What was done, and what whoever did it has to know."""

    name: str  # of the database
    last_change_at: datetime | None  # what happened after that, it does not know; None: nothing did
    lines: Sequence[Line]  # each message that is held
    uncollected: int  # notices that the EPR is given (again)


def make_safe(
    address: ServerAddress, vault: Vault, now: datetime, *, by: str, why: str = "", told: int = 0
) -> PutBack:
    """
    Make the database at *address* safe; the trail says *by* whom and *why*.

    *told*: the last line of its trail of which somebody knows. Raises DatabaseInUse while a gateway
    runs there, BackupDamaged where it was not put back whole, DatabaseNewer, CopyRefused and
    KeyMissing. Nothing has changed then.
    """
    with hold_server(address, vault) as held:
        prepare(held.raw, held.name, vault)
        with held.alone():
            _require_whole(held)
            typed = {"who": by, "role": "operator"} | ({"why": why} if why else {})
            return _made_safe(held, now, typed, told)


def _require_whole(held: CopiedServer) -> None:
    """Refuse what keeps no order among its rows: triggers write a part of what we are to write."""
    missing = list(lacking(contents_of(held.connection)))
    if missing:
        raise BackupDamaged(
            f"{held.name} was not put back whole: {missing[0]}"
            + (f", and {len(missing) - 1} more" if missing[1:] else ""),
            "Create the database again, empty, and let pg_restore run to its end: `pg_restore"
            " --exit-on-error --no-owner --dbname=… FILE`.",
        )


def _made_safe(
    held: CopiedServer, now: datetime, typed: Mapping[str, object], told: int
) -> PutBack:
    connection = held.connection
    before = newest_line(connection)
    ((last,),) = held.ask(_LAST_CHANGE, MOST_LINES, FORGOTTEN)
    given = held.counters()
    given = {**given, "events": max(given["events"], told)}
    held.count_from({of: number + LEAP for of, number in given.items()})
    add_event(connection, THE_GATEWAY, FORGOTTEN, now, {"place": since(instant(last))})
    doubt(connection)
    lines = leave_unknown(connection, now, hold=True)
    forget_pauses(connection)
    done = {**typed, "kept": "absent", "listed": False}
    done |= {"messages": len(lines)}
    add_event(connection, THE_GATEWAY, "operator.restored", now, done)
    chain_new(connection, before)
    return PutBack(
        name=held.name,
        last_change_at=instant(last),
        lines=lines,
        uncollected=uncollected(connection),
    )
