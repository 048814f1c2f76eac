"""
One node's way into a database that several share: a session that writes, two that read.

    write(work) ─┐
    write(work) ─┼─► the node's group ─► its turn among the nodes ─► COMMIT ─► each caller's result
    write(work) ─┘
    read(work) ────► a session of its own, which cannot write; another one for pages and figures

As on a file, works that wait at the same time share one transaction, and a caller learns of its
result after the COMMIT (`transactions`). Each session is used by one thread.

Where the server goes away, whoever writes or reads gets DatabaseAway; the gateway asks for it each
second, and goes on by itself once it is back.

Several nodes may write (`alone=False`): their groups take turns. A node's name is its own, for two
by one name would take each other's claims for their own. What each knows of the others stands in
`nodes`.

Decisions: D-durable, D-group-commit, D-one-instance.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from bars_gateway.errors import (
    DatabaseAway,
    DatabaseInUse,
    StorageFull,
    StoreError,
    StoreUnavailable,
)
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.model.readings import Findings, StuckLog
from bars_gateway.store.connection import LOOKING, Measures, Room, Unmeasured
from bars_gateway.store.groups import Gathering, Group, WorkResult
from bars_gateway.store.nodes import Nodes, OnlyNode
from bars_gateway.store.postgresql import PostgresConnection, Raw, require_known, row
from bars_gateway.store.postgresql.nodes import ServerNodes
from bars_gateway.store.postgresql.schema import prepare
from bars_gateway.store.postgresql.server import (
    ServerAddress,
    ServerSession,
    SessionThread,
    connect,
    require_fit,
)
from bars_gateway.store.postgresql.transactions import Reader, Work, Writer

T = TypeVar("T")
log = structlog.get_logger(__name__)
GROUP_LIMIT = 50  # a transaction of more than 64 savepoints is slow for everybody
_SIZED_SECONDS = 60.0  # how often it is asked how large the database is
_ASKED_SECONDS = 1.0  # how often a server that has gone is asked for
_HANGS_AFTER_SECONDS = 4.0  # before a Sender's own time is over, so that it is told why
_QUIET_SECONDS = 30.0  # without a refusal, until a full disk is believed to take all again
_OLD_SESSION_SECONDS = 20.0  # how long the server may take to notice that our last one has gone
_TAKEN_SECONDS = 2.0  # the same, of one that we have told the server to end
NAMED = "SELECT pg_try_advisory_lock(hashtext('bars-gateway node'), hashtext(%(node)s)) AS ours"
# Whoever works there with others keeps out who wants it alone, and is kept out by that one.
_BESIDE_OTHERS = (
    "SELECT pg_try_advisory_lock_shared(hashtext('bars-gateway node'), hashtext('')) AS ours"
)
_HOLDER = (
    "SELECT max(application_name || ' at ' || coalesce(host(client_addr), 'the server itself'))"
    " AS who FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'"
    " AND classid = hashtext('bars-gateway node')::oid AND objid = hashtext(%(node)s)::oid"
)
_SINCE = (
    "SELECT pid, backend_start::text AS since FROM pg_stat_activity WHERE pid = pg_backend_pid()"
)
_END = (
    "SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity"
    " WHERE pid = %(pid)s AND backend_start::text = %(since)s"
)


_ONLY_ONE = (
    "Only one gateway may use a database, unless each says `store.several_nodes = true`. Stop that"
    " one, or give this one a database of its own in `store.url`."
)
_OTHER_NAME = "Stop that one, or give this one another name: `node`."


class ServerSoundness:
    """Soundness on PostgreSQL: the server looks after its own indexes and its own crashes."""

    def __init__(self, database: "PostgresDatabase") -> None:
        self._database = database
        self.after_orderly_stop = True
        self.left: Sequence[str] = ()

    async def begin(self, _now: datetime) -> None:
        """Do nothing."""

    async def step(self) -> Findings | None:
        """Return None: everything has been looked at."""
        return None

    async def end(self, _found: Sequence[str], _now: datetime) -> None:
        """Do nothing."""

    async def retry(self) -> None:
        """Do nothing."""

    async def newest_message(self) -> int:
        """Return the number of the message that was taken last: whether it is quiet."""
        found = await self._database.read(lambda connection: connection.one("newest_message"))
        return int(next(iter(found.values())) or 0) if found else 0

    def break_off(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class PostgresDatabase:
    """The open database. Get one from `open_server`."""

    def __init__(
        self, address: ServerAddress, vault: Vault, group_limit: int, *, alone: bool
    ) -> None:
        self.vault = vault
        self._several = None if alone else ServerNodes(address)
        self.nodes: Nodes = self._several or OnlyNode()
        self.measures: Measures = Unmeasured()
        self.address = address
        self._gathering = Gathering[PostgresConnection](group_limit)
        self._unwritten: StoreUnavailable | None = None  # why the last write came to nothing
        self._unwritten_at = 0.0  # on the loop's clock
        self._asked_at: float | None = None  # since when a group is under way
        self._size = 0
        self._writes_as: Mapping[str, object] | None = (
            None  # the session that has the name, as the server knows it
        )
        self.sessions = {name: ServerSession(self._opened) for name in ("serving", "looking")}
        self.sessions["writing"] = ServerSession(self._opened_by_name)
        self._writer = Writer(self.sessions["writing"], address.node, vault)
        self._serving = Reader(self.sessions["serving"], vault)
        self._looking = Reader(self.sessions["looking"], vault)
        self._threads = {name: SessionThread(f"store-{name}") for name in self.sessions}

    def _opened(self) -> Raw:
        return connect(self.address)

    def _opened_by_name(self) -> Raw:
        """Open a session that no other gateway has, or none of this node's name."""
        with ExitStack() as unless_ours:
            raw = connect(self.address)
            unless_ours.callback(raw.close)
            self._take_name(raw)
            self._writes_as = row(raw, _SINCE)
            unless_ours.pop_all()
        return raw

    def _take_name(self, raw: Raw) -> None:
        """Take it from our own session that was lost, which the server may still believe in."""
        until = time.monotonic() + _OLD_SESSION_SECONDS
        if self._writes_as is not None:
            row(raw, _END, **self._writes_as)
            until = time.monotonic() + _TAKEN_SECONDS
        steps = [(NAMED, "")]
        if self._several is not None:
            steps = [(_BESIDE_OTHERS, ""), (NAMED, self.address.node)]
        is_told = self._writes_as is not None
        for take, name in steps:
            while not row(raw, take, node=name)["ours"]:
                if time.monotonic() > until:
                    raise DatabaseInUse(self._holder(raw, name), _OTHER_NAME if name else _ONLY_ONE)
                if not is_told:
                    self._say_that_we_wait(raw, name)
                    is_told = True
                time.sleep(0.1)

    def _say_that_we_wait(self, raw: Raw, name: str) -> None:
        log.warning(
            "store.name_taken",
            reason=self._holder(raw, name),
            seconds=_OLD_SESSION_SECONDS,
            advice=_OTHER_NAME if name else _ONLY_ONE,
        )

    def _holder(self, raw: Raw, name: str) -> str:
        called = f" as node {name}" if name else ""
        found = row(raw, _HOLDER, node=name)["who"] or "has just left"
        return f"another gateway works on {self.address.name}{called}: {found}"

    async def open(self) -> None:
        """Look at the server, and bring its schema up to this release's; raise StoreError."""
        await self._threads["writing"].run(self._prepare)
        if self._several is not None:
            await self._several.join()
        await self.look_at_size()

    def _prepare(self) -> None:
        raw = self.sessions["writing"].opened()
        require_fit(raw, self.address.name)
        prepare(raw, self.address.name, self.vault, self._several)

    async def write(self, work: Work[T]) -> T:
        """
        Run *work* in the node's next transaction; return once that is on the server's disk.

        A work that raises undoes itself alone, and its caller gets the error. A caller
        that is cancelled stops waiting; its work is committed or not, but never half.
        Raises StoreUnavailable or StoreError where the server says no, and at once where it
        has said nothing for a while: nobody joins those who wait.
        """
        if (hangs := self._hangs()) is not None:
            raise hangs
        return await self._gathering.done(work)

    async def read(self, work: Work[T]) -> T:
        """Run *work* on a reading session, on a snapshot of its own."""
        name, reader = ("looking", self._looking) if LOOKING.get() else ("serving", self._serving)
        return await self._threads[name].run(partial(reader.read, work))

    def room(self) -> Room:
        """Return how large it was a minute ago; what is free there, nobody here knows."""
        return Room(name=self.address.name, size_bytes=self._size, free_bytes=None)

    @property
    def unwritten(self) -> StoreUnavailable | None:
        """Why no write came to be lately, or comes to an end; None: all do."""
        return self._unwritten or self._hangs()

    def _hangs(self) -> DatabaseAway | None:
        seconds = 0.0 if self._asked_at is None else time.monotonic() - self._asked_at
        if seconds < _HANGS_AFTER_SECONDS:
            return None
        return DatabaseAway(f"the database server has not answered for {seconds:.0f} s")

    @property
    def stuck_log(self) -> StuckLog | None:
        """None: no reader of ours holds up the server's log."""
        return None

    async def give_back(self, _pages: int) -> tuple[int, float]:
        """Return that nothing is left: the server's autovacuum fills the room again."""
        return 0, 0.0

    async def empty_log(self) -> None:
        """Return at once: the server alone knows when it reuses its log."""

    def soundness(self, _wake: Callable[[], None]) -> ServerSoundness:
        """Return what looks after it."""
        return ServerSoundness(self)

    async def look_at_size(self) -> None:
        """Ask how large it is; while it cannot be asked, it is as large as it was."""

        def size(connection: PostgresConnection) -> int:
            query = "SELECT pg_database_size(current_database()) AS bytes"
            return int(row(connection.raw, query)["bytes"])

        try:
            self._size = await self._threads["looking"].run(partial(self._looking.read, size))
        except StoreError:
            return

    async def keep(self) -> None:
        """Know how large it is, and who else works there, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_size(), name="store-size")
            if self._several is not None:
                group.create_task(self._several.run(), name="store-nodes")

    async def _keep_size(self) -> None:
        while True:
            await asyncio.sleep(_SIZED_SECONDS)
            await self.look_at_size()

    async def commit_groups(self) -> None:
        """Serve `write` until the database closes."""
        with self._gathering.served():
            while not self._gathering.is_over:
                await self._gathering.wait_for_work(_ASKED_SECONDS if self._unwritten else None)
                group = await self._gathering.take()
                if group or self._unwritten:
                    await self._commit(group)

    async def _commit(self, group: Group[PostgresConnection]) -> None:
        """Run *group* in a transaction; an empty one finds out whether there can be any."""
        works = group.works or [_nothing]
        self._asked_at = time.monotonic()
        done = await self._threads["writing"].run(partial(self._writer.transact, works))
        self._asked_at = None
        if done.flush_seconds is not None:
            self.measures.committed(done.seconds, done.flush_seconds)
        self._note_unwritten(done.results, asyncio.get_running_loop().time())
        if group:
            group.settle(done.results)

    def _note_unwritten(self, results: Sequence[WorkResult], now: float) -> None:
        refused = [result.error for result in results if isinstance(result.error, StoreUnavailable)]
        # A disk that is full takes what is small; a server that has answered is there.
        quiet = _QUIET_SECONDS if isinstance(self._unwritten, StorageFull) else 0.0
        if refused:
            if self._unwritten is None and isinstance(refused[0], DatabaseAway):
                log.error("store.server_lost", reason=str(refused[0]), advice=refused[0].advice)
            self._unwritten, self._unwritten_at = refused[0], now
        elif self._unwritten is not None and now >= self._unwritten_at + quiet:
            if isinstance(self._unwritten, DatabaseAway):
                log.info("store.server_back")
            self._unwritten = None

    def close(self) -> None:
        """Take no further work; what waits is still committed."""
        self._gathering.close()

    async def end(self) -> None:
        """Close every session, once nobody writes any more."""
        if self._several is not None:
            await self._several.leave()
        for name, thread in self._threads.items():
            await thread.run(self.sessions[name].drop)
            thread.end()


def _nothing(_connection: PostgresConnection) -> None:
    """Do nothing, in a transaction."""


@asynccontextmanager
async def open_server(
    address: ServerAddress,
    *,
    vault: Vault = CLEAR,
    group_limit: int = GROUP_LIMIT,
    alone: bool = True,
) -> AsyncIterator[PostgresDatabase]:
    """
    Open the database at *address*, make its tables where it has none, and serve it.

    *vault* encrypts what is stored; *alone*: no other gateway may work on it. Raises
    DatabaseAway, DatabaseUnfit, DatabaseInUse, DatabaseNewer or KeyMissing; nothing was changed.
    """
    database = PostgresDatabase(address, vault, min(group_limit, GROUP_LIMIT), alone=alone)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.end)
        await database.open()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(database.commit_groups(), name="store-writer")
                kept = group.create_task(database.keep(), name="store-kept")
                try:
                    yield database
                finally:
                    kept.cancel()
                    database.close()
        except BaseExceptionGroup as errors:
            # One error is that error: the group is our doing and says nothing to a reader.
            raise (errors.exceptions[0] if len(errors.exceptions) == 1 else errors) from None


class _Looks:
    """Looks at a database on one session."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def __call__(self, work: Work[T], /) -> T:
        """Return what *work* finds there, on a snapshot of its own; raise StoreError."""
        return await asyncio.to_thread(self._reader.read, work)


@asynccontextmanager
async def open_looks(address: ServerAddress, vault: Vault = CLEAR) -> AsyncIterator[_Looks]:
    """Look at the database at *address*, beside whoever works there."""
    session = ServerSession(partial(connect, address))
    try:
        looks = _Looks(Reader(session, vault))
        await looks(lambda connection: require_known(connection.raw, address.name))
        yield looks
    finally:
        session.drop()
