"""
One SQLite file: one writer that commits in groups, readers that cannot write.

    write(work) ─┐
    write(work) ─┼─► BEGIN IMMEDIATE · savepoints · COMMIT · one fsync ─► each caller's result
    write(work) ─┘
    read(work) ────► a connection of its own, query_only; another one for pages and figures

A *work* is a plain function over the connection, run whole on the writer's thread.
Works never say BEGIN, COMMIT or ROLLBACK. Works that wait at the same time share one
transaction; nobody waits for company: while one group commits, the next gathers. One that raises
is undone alone: to its savepoint, or, where it is the first, by beginning the transaction again.

`synchronous=FULL` in WAL mode: what `write` has returned from survives a power cut. The log
is moved into the file by the writer alone, between two groups (`checkpoints`).
A damaged file is never replaced by an empty one, because every duplicate would then
be new again. The lock beside the file is held for as long as the database is open. A block
that ends, and not by the database's own trouble, leaves the mark of an orderly stop (`soundness`)
as its last commit: a port that is taken at the start says nothing against what was stored.

The file is held for one gateway at a time (`lock`), and never an empty one put in its place.
Where it is missing and has been in use, it was taken away, and perhaps lost. To begin
with an empty one would make every duplicate new again, so somebody must say so first.

An opened file is looked at, set up, and brought up to date:

    quick_check, of a small file ─► pragmas ─► the mark of an orderly stop is taken away
      ─► migrations, one transaction each ─► which events are alarming
      ─► without that mark: what work is found by is compared with its tables

A file that takes longer to read is looked at whole behind the open doors (`soundness`): a
start after a crash must not wait for gigabytes of what was settled long ago.

Decisions: D-durable, D-group-commit, D-one-instance.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import structlog

from bars_gateway import permissions
from bars_gateway.errors import (
    DatabaseDamaged,
    DatabaseHeld,
    StoreError,
    StoreUnavailable,
)
from bars_gateway.frozen import frozen
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.readings import StuckLog
from bars_gateway.store.chain import chain_new, newest_line
from bars_gateway.store.connection import LOOKING, Measures, Room, Unmeasured
from bars_gateway.store.copying import require_no_copy
from bars_gateway.store.groups import Gathering, Group, GroupEnd, WorkResult, broken_off
from bars_gateway.store.migrating import SQLITE, migrations, told_apart, unreleased
from bars_gateway.store.nodes import Nodes, OnlyNode
from bars_gateway.store.sqlite import (
    SqliteConnection,
    Work,
    connector,
    on_raw,
    open_reader,
    read_with,
    require_fit,
    require_known,
    translated,
    words_of,
)
from bars_gateway.store.sqlite.checkpoints import (
    KEPT_BYTES,
    Checkpoint,
    LogWatch,
    Schedule,
    checkpoint,
)
from bars_gateway.store.sqlite.inspection import (
    Gap,
    beside_indexes,
    mark,
    note,
    rebuild,
    recount,
    stopped_in_order,
    work,
)
from bars_gateway.store.sqlite.lock import DatabaseLock, take_lock
from bars_gateway.store.sqlite.soundness import SqliteSoundness
from bars_gateway.store.sqlite.space import OpenedFile, given_back
from bars_gateway.store.sqlite.unlocking import note_key, require_keys

log = structlog.get_logger(__name__)
SMALL_BYTES = 64 * 1024 * 1024  # read in a moment, whatever the disk
_UNCLEAN = (
    "The gateway was not stopped in order: a kill, a power cut, or a stop that took too long."
    " What waits is compared with its indexes first, and all the rest once the doors are open."
)
PRAGMAS = (
    "PRAGMA page_size = 4096",  # before the first table: a message touches forty, mostly of indexes
    "PRAGMA auto_vacuum = INCREMENTAL",  # before the first table
    "PRAGMA journal_mode = WAL",  # readers never wait for the writer
    "PRAGMA synchronous = FULL",  # an acknowledged message survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # purged patient data is overwritten, not merely unlinked
    "PRAGMA temp_store = MEMORY",  # what a savepoint could undo: in a file it is written twice
    "PRAGMA trusted_schema = OFF",
    "PRAGMA wal_autocheckpoint = 16000",  # pages; a net beneath `checkpoints`
    f"PRAGMA journal_size_limit = {KEPT_BYTES}",  # of the log's file, each time it begins again
)
_ALARMING = (
    (
        "SELECT kind, about FROM alarm_kinds",
        "DELETE FROM alarm_kinds WHERE true",
        "INSERT INTO alarm_kinds (kind, about) VALUES (?, ?)",
    ),
    (
        "SELECT event, kind FROM alarm_ends",
        "DELETE FROM alarm_ends WHERE true",
        "INSERT INTO alarm_ends (event, kind) VALUES (?, ?)",
    ),
)
T = TypeVar("T")
BUSY_SECONDS = 5.0  # only a backup or a sqlite3 shell can make us wait for so long
_LOOK_SECONDS = 2.0  # as often as the spool folders' locks are looked at
_QUIET_SECONDS = 30.0  # without a refusal, until the disk is believed to take all again
_ROOM_MADE = 1024 * 1024  # bytes more than were free at the refusal: it is believed at once


@frozen
class Opening:
    """What was found when the file was opened."""

    after_orderly_stop: bool
    left: Sequence[Gap] = ()  # what could not be put right


def prepare(connection: sqlite3.Connection, path: Path) -> Opening:
    """
    Set up *connection* to the file at *path*, with the schema of this release.

    Raises DatabaseDamaged, DatabaseNewer, KeyMissing or CopyRefused; the file is as it was.
    """
    vault = SqliteConnection(connection).vault
    require_known(connection, path)
    _refuse_copies(connection, path)
    require_keys(connection, vault, path)
    # Before anything else: some pragmas write, and a damaged file is left as it is.
    orderly = stopped_in_order(connection)
    if path.stat().st_size <= SMALL_BYTES:
        found = [str(text).splitlines() for (text,) in connection.execute("PRAGMA quick_check")]
        # A newer SQLite also counts what an index holds: that is rebuilt, and ends no start.
        if any(line != "ok" for lines in found for line in beside_indexes(lines)):
            raise DatabaseDamaged(f"{path} failed its check")
    for pragma in PRAGMAS:
        connection.execute(pragma)
    mark(connection, stopped=False)
    migrate(connection, path)
    note_key(connection, vault)
    return Opening(orderly, [] if orderly else _compared(connection))


def _refuse_copies(connection: sqlite3.Connection, path: Path) -> None:
    def ask(sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.execute(sql)]

    tables = [name for (name,) in ask("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    require_no_copy(ask, tables, str(path))


def _compared(connection: sqlite3.Connection) -> list[Gap]:
    """Put right what work is found by; return what could not be."""
    log.warning("store.unclean_stop", advice=_UNCLEAN)
    # By the last line that was written, and not by a clock: however long nobody has been here.
    line = connection.execute(
        "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', at, '-1 day') FROM events ORDER BY id DESC LIMIT 1"
    ).fetchone()
    since = (line and line[0]) or ""
    left = [gap for gap in work(connection, since) if not _put_right(connection, gap)]
    _refused(connection, recount)  # without room for it, the counts stay as they are
    return left


def _put_right(connection: sqlite3.Connection, gap: Gap) -> bool:
    reason = _refused(connection, partial(rebuild, gap=gap))
    if reason is None:
        log.error("store.index_rebuilt", name=gap.index, count=gap.rows)
        return True
    log.error("store.index_not_rebuilt", name=gap.index, count=gap.rows, reason=reason)
    _refused(connection, partial(note, gap=gap))
    return False


def _refused(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], None]
) -> str | None:
    """Run *work* in a transaction of its own; return why SQLite did not let it."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        within = SqliteConnection(connection)
        before = newest_line(within)
        work(connection)
        chain_new(within, before)
        connection.execute("COMMIT")
    except (sqlite3.Error, StoreError) as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return str(error)
    return None


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """
    Bring the schema up to this release's.

    Raises DatabaseNewer where it is of a later release, DatabaseUnfit where it is of none.
    """
    require_known(connection, path)
    known = migrations(SQLITE)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (made_by,) = connection.execute("PRAGMA application_id").fetchone()
    if version and made_by != told_apart(known, version):
        raise unreleased(str(path))
    for number in sorted(n for n in known if n > version):
        made_by = told_apart(known, number)
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{known[number]}\nPRAGMA user_version = {number};\n"
            f"PRAGMA application_id = {made_by};\nCOMMIT;"
        )
        log.info("store.migrated", version=number)
    _learn_alarms(connection)


def _learn_alarms(connection: sqlite3.Connection) -> None:
    """Enter, for the triggers, which kinds of event are alarming in this release."""
    kinds = {(kind, str(each.about)) for kind, each in ALARMS.items()}
    ends = {(event, kind) for kind, each in ALARMS.items() for event in each.ended_by}
    for (known, forget, enter), wanted in zip(_ALARMING, (kinds, ends), strict=True):
        if {tuple(row) for row in connection.execute(known)} != wanted:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(forget)
            connection.executemany(enter, sorted(wanted))
            connection.execute("COMMIT")


class _Writer(aiosqlite.Connection):
    """The connection that writes: runs a whole group in one hop to its thread."""

    async def transact(self, file: OpenedFile, works: Sequence[Work[Any]]) -> GroupEnd:
        """Run *works* in one transaction on *file* and return the result of each."""
        group: GroupEnd = await self._execute(_write_group, self._conn, file, works)  # type: ignore[no-untyped-call]
        return group

    async def prepare(self, path: Path) -> Opening:
        """Make the file ours."""
        return await self._execute(prepare, self._conn, path)  # type: ignore[no-any-return,no-untyped-call]

    async def keep(self, lock: DatabaseLock) -> None:
        """Take the lock anew where somebody has removed its file."""
        await self._execute(lock.keep)  # type: ignore[no-untyped-call]

    async def checkpoint(self, *, empty: bool) -> Checkpoint:
        """Move the write-ahead log into the file."""
        return await self._execute(checkpoint, self._conn, empty=empty)  # type: ignore[no-any-return,no-untyped-call]


def _write_group(
    connection: sqlite3.Connection, file: OpenedFile, works: Sequence[Work[Any]]
) -> GroupEnd:
    try:
        file.require_in_place()
    except StoreUnavailable as error:
        return GroupEnd([WorkResult(error=error)] * len(works), 0.0)
    return _run_group(connection, works)


def _run_group(connection: sqlite3.Connection, works: Sequence[Work[Any]]) -> GroupEnd:
    began, unchanged = time.monotonic(), connection.total_changes
    try:
        connection.execute("BEGIN IMMEDIATE")
        within = SqliteConnection(connection)
        before = newest_line(within)
        first, *others = works
        results = [_run_first(within, first), *(_run_one(within, work) for work in others)]
        chain_new(within, before)
        flushing = time.monotonic()
        connection.execute("COMMIT")
    except (sqlite3.Error, StoreError) as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        results = [WorkResult(error=translated(error))] * len(works)
        return GroupEnd(results, time.monotonic() - began)
    ended = time.monotonic()
    return GroupEnd(results, ended - began, ended - flushing, connection.total_changes > unchanged)


def _run_first(connection: SqliteConnection, work: Work[Any]) -> WorkResult:
    """Run the work that begins the transaction; to undo it alone is to begin that again."""
    try:
        return WorkResult(value=work(connection))
    except Exception as error:  # unit of work
        _refuse_what_is_lost(connection, error)
        connection.raw.execute("ROLLBACK")
        connection.raw.execute("BEGIN IMMEDIATE")
        return WorkResult(error=translated(error))


def _run_one(connection: SqliteConnection, work: Work[Any]) -> WorkResult:
    """Run one work; its caller alone gets what it raises, and the others reach the disk."""
    try:
        with connection.savepoint():
            return WorkResult(value=work(connection))
    except Exception as error:  # unit of work
        _refuse_what_is_lost(connection, error)
        return WorkResult(error=translated(error))


def _refuse_what_is_lost(connection: SqliteConnection, error: Exception) -> None:
    """Raise for everybody where *error* was a disk's, over which SQLite rolls back by itself."""
    if not connection.raw.in_transaction:
        if isinstance(error, StoreUnavailable):
            raise error
        raise sqlite3.OperationalError("the transaction was lost in the middle") from error


@frozen(kw_only=True)
class Readers:
    """The connections that cannot write, each with a thread of its own."""

    serving: aiosqlite.Connection  # for messages and the EPR
    looking: aiosqlite.Connection  # for pages and figures


class SqliteDatabase:
    """The open database. Get one from `open_database`."""

    def __init__(
        self,
        path: Path,
        writer: _Writer,
        readers: Readers,
        limit: int,
        opening: Opening,
        *,
        vault: Vault,
    ) -> None:
        self.path, self.vault, self.file = path, vault, OpenedFile(path)
        self.after_orderly_stop = opening.after_orderly_stop
        self.left = {gap.index: gap for gap in opening.left}  # what lacks rows and stays so
        self._writer = writer
        self._readers = readers
        self._gathering = Gathering[SqliteConnection](limit)
        self._checkpoints = Schedule()
        self._failing = False  # the last checkpoint was unavailable
        self._emptied: asyncio.Future[None] | None = None  # set: the log's file is to be emptied
        self._log_watch = LogWatch()
        self._stuck_is_told = False
        self._unwritten: StoreUnavailable | None = None  # why the last write came to nothing
        self._unwritten_at = 0.0  # on the loop's clock
        self._free_then: int | None = None  # bytes, beside the file; None: nobody could tell
        self.measures: Measures = Unmeasured()
        self.nodes: Nodes = OnlyNode()

    async def write(self, work: Work[T]) -> T:
        """
        Run *work* in the writer's next transaction; return once that is on disk.

        A work that raises undoes itself alone, and its caller gets the error. A caller
        that is cancelled stops waiting; its work is committed or not, but never half.
        Raises StoreUnavailable, DatabaseDamaged or StoreError where SQLite says no.
        """
        return await self._gathering.done(work)

    def room(self) -> Room:
        """Return how large the file is, and how much is free on its disk; or StoreUnavailable."""
        return self.file.room()

    @property
    def unwritten(self) -> StoreUnavailable | None:
        """Why no write came to be lately; None: all do. On a full disk small ones may pass."""
        return self._unwritten

    @property
    def stuck_log(self) -> StuckLog | None:
        """How far the write-ahead log has grown because a reader does not end; None: it has not."""
        return self._log_watch.at(asyncio.get_running_loop().time())

    async def read(self, work: Work[T]) -> T:
        """Run *work* on a reading connection, on a snapshot of its own."""
        readers = self._readers
        return await read_with(readers.looking if LOOKING.get() else readers.serving, work)

    async def give_back(self, pages: int) -> tuple[int, float]:
        """
        Give up to so many empty pages back; return how many are left, and the seconds it took.

        A file that was made without `auto_vacuum` keeps them for itself: none is left then.
        """
        return await self.write(on_raw(given_back, pages=pages))

    async def empty_log(self) -> None:
        """Return once nothing that was overwritten is left in the write-ahead log's file."""
        if self._emptied is None:
            self._emptied = asyncio.get_running_loop().create_future()
        self._checkpoints.committed(asyncio.get_running_loop().time())
        self._gathering.rouse()
        await asyncio.shield(self._emptied)

    def soundness(self, wake: Callable[[], None]) -> SqliteSoundness:
        """Return what looks after the file; *wake* is called once it has found what was hidden."""
        return SqliteSoundness(self, wake)

    async def commit_groups(self) -> None:
        """Serve `write` until the database closes."""
        try:
            with self._gathering.served():
                while not self._gathering.is_over:
                    await self._commit_next(self._gathering)
        finally:
            if self._emptied is not None:
                self._emptied.set_exception(broken_off())
                self._emptied.exception()  # whoever asked may have left: nobody else logs it

    async def _commit_next(self, gathering: Gathering[SqliteConnection]) -> None:
        """Commit the next group; then, where it is time, move the log into the file."""
        now = asyncio.get_running_loop().time
        await gathering.wait_for_work(self._checkpoints.seconds_left(now()))
        group = await gathering.take()
        if group and await self._commit(group):
            self._checkpoints.committed(now())
        idle = not gathering and self._checkpoints.is_idle(now())
        if idle or self._checkpoints.is_due(now(), waiting=bool(gathering)):
            self._checkpoints.ended(await self._checkpoint(idle=idle), now())

    async def _checkpoint(self, *, idle: bool) -> Checkpoint:
        ended = await self._writer.checkpoint(empty=idle or self._emptied is not None)
        if ended.emptied and self._emptied is not None:
            self._emptied.set_result(None)
            self._emptied = None
        failing = ended.reason is not None
        if failing and not self._failing:
            log.error("store.checkpoint_failed", reason=ended.reason)
        elif self._failing and not failing:
            log.info("store.checkpoint_resumed")
        self._failing = failing
        self._note_held(ended)
        return ended

    def _note_held(self, ended: Checkpoint) -> None:
        self._log_watch.ended(ended, asyncio.get_running_loop().time())
        stuck = self.stuck_log
        if stuck is not None and not self._stuck_is_told:
            log.warning("store.log_stuck", bytes=stuck.size, seconds=round(stuck.seconds))
        self._stuck_is_told = stuck is not None

    async def _commit(self, group: Group[SqliteConnection]) -> bool:
        """Run *group* in one transaction; return whether that changed anything."""
        done = await self._writer.transact(self.file, group.works)
        results = done.results
        if done.flush_seconds is not None:
            self.measures.committed(done.seconds, done.flush_seconds)
        self._note_unwritten(results, asyncio.get_running_loop().time())
        group.settle(results)
        return done.changed

    def _note_unwritten(self, results: Sequence[WorkResult], now: float) -> None:
        refused = [result.error for result in results if isinstance(result.error, StoreUnavailable)]
        # A disk that is full takes what is small; whoever held the database holds it no more.
        quiet = 0.0 if isinstance(self._unwritten, DatabaseHeld) else _QUIET_SECONDS
        if refused:
            self._unwritten, self._unwritten_at = refused[0], now
            self._free_then = self._free_bytes()
        elif self._unwritten and (now >= self._unwritten_at + quiet or self._has_more_room()):
            self._unwritten = None

    def _has_more_room(self) -> bool:
        free = self._free_bytes()
        then = self._free_then
        return free is not None and then is not None and free >= then + _ROOM_MADE

    def _free_bytes(self) -> int | None:
        try:
            return self.room().free_bytes
        except StoreUnavailable:
            return None

    def close(self) -> None:
        """Take no further work; what waits is still committed."""
        self._gathering.close()


@asynccontextmanager
async def open_database(
    path: Path,
    *,
    vault: Vault = CLEAR,
    group_limit: int = 100,
    busy_seconds: float = BUSY_SECONDS,
    look_seconds: float = _LOOK_SECONDS,
) -> AsyncIterator[SqliteDatabase]:
    """
    Open *path*, creating it where there is none, and serve it until the block ends.

    *busy_seconds*: for how long another program may hold it before that is an error;
    *look_seconds*: between two looks at its lock. *vault* encrypts what is stored. Raises
    DatabaseUnfit, DatabaseInUse, DatabaseHeld, DatabaseNewer, KeyMissing or DatabaseDamaged; a
    damaged file is left as it is.
    """
    require_fit()
    async with AsyncExitStack() as stack:
        lock = take_lock(path, stack)
        permissions.require_database(path, write=True)
        writer = _Writer(connector(path, busy_seconds, vault), 64)
        await stack.enter_async_context(writer)
        opening = await _prepare(writer, path)
        lock.mark_in_use()
        serving = await stack.enter_async_context(open_reader(path, vault))
        looking = await stack.enter_async_context(open_reader(path, vault))
        readers = Readers(serving=serving, looking=looking)
        database = SqliteDatabase(path, writer, readers, group_limit, opening, vault=vault)
        try:
            async with _served(database, _keep(writer, lock, look_seconds)):
                yield database
        except BaseExceptionGroup as errors:
            if errors.subgroup((StoreError, sqlite3.Error)) is None:
                await _mark_stopped(writer, database)
            # One error is that error: the group is our doing and says nothing to a reader.
            raise (errors.exceptions[0] if len(errors.exceptions) == 1 else errors) from None
        await _mark_stopped(writer, database)


@asynccontextmanager
async def _served(
    database: SqliteDatabase, keep: Coroutine[None, None, None]
) -> AsyncIterator[None]:
    """Commit what is written until the block ends, and *keep* the lock meanwhile."""
    async with asyncio.TaskGroup() as group:
        group.create_task(database.commit_groups(), name="store-writer")
        keeping = group.create_task(keep, name="store-lock")
        try:
            yield
        finally:
            keeping.cancel()
            database.close()


async def _keep(writer: _Writer, lock: DatabaseLock, look_seconds: float) -> None:
    while True:
        await asyncio.sleep(look_seconds)
        await writer.keep(lock)


async def _mark_stopped(writer: _Writer, database: SqliteDatabase) -> None:
    """Commit the mark of an orderly stop: nobody writes any more, and the file is sound."""
    if database.left:  # the next start is to try again before its doors open
        return
    (result,) = (await writer.transact(database.file, [on_raw(mark, stopped=True)])).results
    if result.error is not None:
        log.warning("store.stop_not_marked", reason=str(result.error))


async def _prepare(writer: _Writer, path: Path) -> Opening:
    try:
        return await writer.prepare(path)
    except sqlite3.Error as error:
        cause = translated(error)
        if isinstance(cause, DatabaseDamaged):
            raise DatabaseDamaged(f"{path} is damaged: {words_of(error)}") from None
        raise cause from None
