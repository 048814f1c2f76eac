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

from collections.abc import Mapping
from datetime import datetime

from bars_gateway.errors import BackupDamaged
from bars_gateway.keyring import Vault
from bars_gateway.model.trail import LEAP
from bars_gateway.store.aftermath import PutBack, made_safe
from bars_gateway.store.chain import chain_new, newest_line
from bars_gateway.store.postgresql.copying import CopiedServer, hold_server
from bars_gateway.store.postgresql.integrity import contents_of, lacking
from bars_gateway.store.postgresql.schema import prepare
from bars_gateway.store.postgresql.server import ServerAddress


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
    before = newest_line(held.connection)
    given = held.counters()
    given = {**given, "events": max(given["events"], told)}
    held.count_from({of: number + LEAP for of, number in given.items()})
    done = made_safe(held.connection, held.name, now, typed)
    chain_new(held.connection, before)
    return done
