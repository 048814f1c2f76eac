"""
Makes a database safe whose file another program has put back, before a gateway starts on it.

    a snapshot of the machine, a copy by hand ─► made safe ─► the gateway may start

What happened since nobody here can be asked: the database that was there is gone. So numbers leap,
and what waits is held, as after a restore whose predecessor is missing. All of it in one
transaction: whoever is killed in the middle types it again.

Decisions: D-restore.
"""

from datetime import datetime
from pathlib import Path

from bars_gateway.errors import DatabaseDamaged, StoreError
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.model.messages import Actor
from bars_gateway.ownership import belong
from bars_gateway.store.aftermath import PutBack, made_safe
from bars_gateway.store.sqlite import SqliteConnection, require_known
from bars_gateway.store.sqlite.integrity import examined, reading
from bars_gateway.store.sqlite.restore import leap, locked, typed_by, working_on


def make_safe(
    database: Path,
    now: datetime,
    *,
    actor: Actor | None = None,
    vault: Vault = CLEAR,
    told: int = 0,
) -> PutBack:
    """
    Make *database* safe as it lies there; the trail says by whom.

    *told*: the last line of its trail of which a file beside it knows. Raises DatabaseInUse while a
    gateway has it, DatabaseDamaged where it was not put back whole, DatabaseNewer, KeyMissing, and
    StoreError where it cannot be written. Nothing has changed then.
    """
    if not database.is_file():
        raise StoreError(f"there is no file at {database}")
    try:
        with locked(database):
            _require_whole(database)
            with working_on(database, beside=None, vault=vault) as connection:
                leap(connection, askable=False, told=told)
                works = SqliteConnection(connection)
                done = made_safe(works, str(database), now, typed_by(actor))
            belong(database, database.parent)  # root may have put it there
            return done
    except OSError as error:
        raise StoreError(f"{database} could not be made safe: {error.strerror}") from None


def _require_whole(database: Path) -> None:
    """Refuse what cannot be held to be whole: a log of another file may lie beside it, too."""
    with reading(database) as connection:
        require_known(connection, database)
        found = examined(connection, contents=False)
    if found.damage:
        raise DatabaseDamaged(f"{database} was not put back whole: {'; '.join(found.damage)}")
