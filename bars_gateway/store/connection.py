"""
The seam between works and an engine: all that a work may ask of a database.

    work(connection, …) ─► run │ one │ rows │ inserted      a statement, by its name
                           put                              one whose outcome it does not look at
                           savepoint                        what fails in it is undone alone

A statement is called by its name in the `.sql` file beside a module; values are bound by name.
An engine is a connection with these six methods, which raises the errors named here and no others
of its own, and the `Database` that runs works on it:

    RowRefused        a constraint forbids this row; the transaction goes on
    DatabaseDamaged   the engine met a spoilt page
    StoreUnavailable  nothing can be stored for now, and the transaction is lost: StorageFull
                      where the disk is full, DatabaseHeld where another program has the engine
    StoreError        anything else that the engine says no to

    a commit · an attempt · an answer of the EPR's ─► Measures ─► figures of `/metrics`

The store says what came to be, after it is on disk, and knows nothing of who counts it.

What looks after an engine's own file (its checks, backups and restores) stands in the engine's
room, `store.sqlite`; nothing else imports an engine's library.

Decisions: D-seam.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol, TypeVar

from bars_gateway.errors import StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.keyring import Vault
from bars_gateway.model.messages import Attempt
from bars_gateway.model.readings import Findings, StuckLog
from bars_gateway.store.nodes import Nodes

T = TypeVar("T")
# Whether what reads makes a page, a figure or an alert: it has time, and a connection of its own,
# behind which no message and no EPR waits. It is set for a task, and for what
# that awaits.
LOOKING: ContextVar[bool] = ContextVar("LOOKING", default=False)


@frozen(kw_only=True)
class Room:
    """What an engine takes of its disk."""

    name: str  # of the database, for people
    size_bytes: int
    free_bytes: int | None  # None: its disk is another machine's, and nobody here knows


class Row(Protocol):
    """One row that a statement returned; its columns by name."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the value of that column."""

    def keys(self) -> Iterable[str]:
        """Return the names of its columns."""


class Connection(Protocol):
    """A transaction that a work runs in. Works never begin or end one."""

    @property
    def vault(self) -> Vault:
        """What encrypts, and opens what was encrypted."""

    def run(self, statement: str, /, **values: object) -> int:
        """Run *statement*; return how many rows it changed."""

    def put(self, statement: str, /, **values: object) -> None:
        """
        Run *statement*, before the next that is asked; how many rows it changes nobody asks.

        What it raises may come with that one, or when the work has ended: no work waits for it.
        """

    def one(self, statement: str, /, **values: object) -> Row | None:
        """Run *statement* and return its first row, or None."""

    def rows(self, statement: str, /, **values: object) -> list[Row]:
        """Run *statement* and return its rows."""

    def inserted(self, statement: str, /, **values: object) -> int:
        """Run an INSERT … RETURNING id and return the id."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what the block did, and that alone, where it raises."""


class Soundness(Protocol):
    """Compares what an engine keeps with the indexes that find it, and puts right what it can."""

    @property
    def after_orderly_stop(self) -> bool:
        """Whether nothing was written since the gateway was last stopped in order."""

    @property
    def left(self) -> Sequence[str]:
        """What is lacking and could not be put right, in words."""

    async def begin(self, now: datetime) -> None:
        """Start to compare everything."""

    async def step(self) -> Findings | None:
        """Compare a little more, and put right what is wrong; None: everything has been."""

    async def end(self, found: Sequence[str], now: datetime) -> None:
        """Write down that everything was compared, and what was found."""

    async def retry(self) -> None:
        """Try once more what could not be put right."""

    async def newest_message(self) -> int:
        """Return the number of the message that was taken last: whether it is quiet."""

    def break_off(self) -> None:
        """Let a step that runs end at once; the next ones look at nothing."""

    async def close(self) -> None:
        """Close what the steps look through."""


class Measures(Protocol):
    """Who counts."""

    def committed(self, seconds: float, flush_seconds: float) -> None:
        """Note a group of changes: how long it took in all, and its COMMIT alone."""

    def attempted(self, attempt: Attempt) -> None:
        """Note a POST."""

    def answered(self, seconds: float) -> None:
        """Note that the EPR has answered a question, so long after it was asked."""


class Unmeasured:
    """Counts nothing."""

    def committed(self, seconds: float, flush_seconds: float) -> None:
        """Do nothing."""

    def attempted(self, attempt: Attempt) -> None:
        """Do nothing."""

    def answered(self, seconds: float) -> None:
        """Do nothing."""


class Database(Protocol):
    """An open engine: all that the nouns of the store are given of it."""

    measures: Measures  # told of each group of changes, once it is on disk
    vault: Vault  # what encrypts, on every connection
    nodes: Nodes  # who else works on it

    def room(self) -> Room:
        """Return how large it is, and the room that is left beside it."""

    @property
    def unwritten(self) -> StoreUnavailable | None:
        """Why no write came to be lately; None: all do."""

    @property
    def stuck_log(self) -> StuckLog | None:
        """How far its log has grown because a reader does not end; None: it has not."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in a transaction; return once that is on disk."""

    async def empty_log(self) -> None:
        """Return once nothing that was overwritten is left in the engine's log."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run *work*, which changes nothing, on a snapshot of its own; beside others if LOOKING."""

    async def give_back(self, pages: int) -> tuple[int, float]:
        """Give up to so many empty pages back; return what is left, and the seconds it took."""

    def soundness(self, wake: Callable[[], None]) -> Soundness:
        """Return what looks after it; *wake* is called once something that was hidden is found."""
