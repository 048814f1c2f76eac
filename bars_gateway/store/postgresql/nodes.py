"""
Several gateways on one database: who is there, who alone may do what, and waking each other.

    each second ─► seen_at, leases ─► who else is there, and what time it is on the server
    wake-up here ─► NOTIFY ─► the others' ears ─► wake-up there

A lease is an advisory lock of the session that beats. The server gives it to one at a time and
frees it with the session: at once where the process dies, after some nine seconds where the way to
it is cut. A holder that has heard nothing from the server for SURE_SECONDS holds nothing any more,
so it has stopped before another begins. One that stands still keeps its session alive without a
beat: the first of the others that misses it for STALLED_SECONDS ends that session.

Nobody is woken by what died between a commit and its NOTIFY, or while the ear was deaf: whoever
waits looks again after a while by itself, and all do when the ear hears again.

A node is dead once nobody holds its name, which is an advisory lock of the session that writes, and
it has missed a few beats: the places that it had with Receivers are free then. One that lives, and
has lost that session alone, beats on.

The time is the server's, on all nodes: measured with each beat, and counted on by the monotonic
clock in between. So what one has stamped is no riddle to another, whatever its machine's clock
says.

What is here is no change of what is stored: no group waits for it, and none reads it.

Decisions: D-several-nodes.
"""

import asyncio
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta

import psycopg
import structlog

from bars_gateway import __version__
from bars_gateway.errors import DatabaseAway, StoreError
from bars_gateway.frozen import frozen
from bars_gateway.model.nodes import AWAY_AFTER, Node
from bars_gateway.store.nodes import Clock, Heard, Tell
from bars_gateway.store.postgresql import Raw, require_known, row, say, translated
from bars_gateway.store.postgresql.prepared import Values
from bars_gateway.store.postgresql.server import (
    ServerAddress,
    ServerSession,
    SessionThread,
    connect,
)
from bars_gateway.store.rows import instant, text

log = structlog.get_logger(__name__)
BEAT_SECONDS = 1.0
SURE_SECONDS = 5.0  # after its last beat began a node holds nothing: the server frees it after nine
SILENT_SECONDS = 3.0  # without a beat, and without its name: it is dead
STALLED_SECONDS = 15.0  # without a beat: the others end the session that has the leases
GATHERED_SECONDS = 0.005  # what is to be told in one statement
_MOST_TOLD = 100  # names of one notification: it may have 8000 bytes
_SHORT_SECONDS = 0.25  # a longer way to the server and back measures no time
_MEASURED_SECONDS = 60.0  # ... unless it is the only measure for so long
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHANNEL = "bars_gateway"
_NOW = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
_BEFORE = (
    "to_char((clock_timestamp() - interval '{}') AT TIME ZONE 'UTC',"
    ' \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')'
)
# A beat that a crash of the server forgets is no loss: nobody waits for a disk.
_BEATING = "SET synchronous_commit = off; SET statement_timeout = 3000; SET lock_timeout = 3000"
_WAITING_FOR_NOBODY = (
    "SELECT set_config('synchronous_commit', 'off', true)"
    " WHERE pg_current_xact_id_if_assigned() IS NULL"
)
_JOIN = f"""
    INSERT INTO nodes (name, incarnation, version, started_at, seen_at, ahead_ms, asked, leases,
                       pid, session_since)
    SELECT %(node)s, %(incarnation)s, %(version)s, {_NOW}, {_NOW}, 0, '{{}}', '[]', pid,
           backend_start::text
      FROM pg_stat_activity WHERE pid = pg_backend_pid()
        ON CONFLICT (name) DO UPDATE
       SET incarnation = excluded.incarnation, version = excluded.version,
           seen_at = excluded.seen_at, leases = '[]', pid = excluded.pid,
           session_since = excluded.session_since,
           started_at = CASE WHEN nodes.incarnation = excluded.incarnation THEN nodes.started_at
                             ELSE excluded.started_at END
     WHERE nodes.incarnation = excluded.incarnation OR %(first)s = 1
           OR nodes.seen_at < {_BEFORE.format("15 seconds")}
    RETURNING name
"""  # noqa: S608 # nothing but constants
_FORGET = f"DELETE FROM nodes WHERE seen_at < {_BEFORE.format('7 days')}"  # noqa: S608
_HAS_NAME = """
           EXISTS (SELECT 1 FROM pg_locks AS held
                    WHERE held.locktype = 'advisory' AND held.objsubid = 2
                      AND held.classid = hashtext('bars-gateway node')::oid
                      AND held.objid = hashtext(n.name)::oid
                      AND held.database = (SELECT oid FROM pg_database
                                            WHERE datname = current_database()))
"""
_BEAT = f"""
    WITH ours AS (
        UPDATE nodes SET seen_at = {_NOW}, ahead_ms = %(ahead_ms)s, asked = %(asked)s,
                         leases = %(leases)s
         WHERE name = %(node)s AND incarnation = %(incarnation)s
        RETURNING name)
    SELECT n.*, {_NOW} AS at, (SELECT count(*) FROM ours) AS ours,
           {_HAS_NAME} AS has_name
      FROM nodes AS n ORDER BY name
"""  # noqa: S608
_TAKE = (
    "SELECT lease FROM json_array_elements_text(%(leases)s::json) AS wanted (lease)"
    " WHERE pg_try_advisory_lock(hashtext('bars-gateway lease'), hashtext(lease))"
)
# Columns of every release: it is asked before a database is brought to the schema of this one.
_OTHERS = f"""
    SELECT n.name, n.version, n.started_at, n.seen_at, n.ahead_ms, n.leases, {_NOW} AS at
      FROM nodes AS n
     WHERE n.name <> %(node)s
       AND (n.seen_at > {_BEFORE.format(f"{AWAY_AFTER.total_seconds()} seconds")} OR {_HAS_NAME})
     ORDER BY n.name
"""  # noqa: S608
_TELL = "SELECT pg_notify(%(channel)s, %(told)s)"
_END = (
    "WITH ended AS (UPDATE nodes SET pid = NULL WHERE name = %(name)s AND pid = %(pid)s"
    " AND incarnation = %(incarnation)s AND seen_at = %(seen_at)s RETURNING name)"
    " SELECT count(pg_terminate_backend(a.pid)) AS ended FROM pg_stat_activity AS a, ended"
    " WHERE a.pid = %(pid)s AND a.backend_start::text = %(session_since)s"
)
_LEAVE = "DELETE FROM nodes WHERE name = %(node)s AND incarnation = %(incarnation)s"
_REMOVE = f"""
    DELETE FROM nodes WHERE name = %(node)s AND seen_at < {_BEFORE.format("15 seconds")}
    RETURNING *, {_NOW} AS at
"""  # noqa: S608
_SENDING = "SELECT count(*) AS n FROM messages WHERE state = 'sending' AND claimed_by = %(node)s"
_AWAY = (
    "Look at that machine. The other nodes go on: what it had in flight goes out from another one"
    " once its lease has run out, and its EPR can use another node's socket. If it will never come"
    " back: bars-gateway nodes remove NAME."
)


class ServerTime:
    """The server's clock, as it was measured."""

    def __init__(self) -> None:
        self._ahead: float | None = None  # seconds of the epoch, less the monotonic clock
        self._measured_at = 0.0

    def measured(self, at: datetime, began: float, ended: float) -> None:
        """Note that it was *at* between two moments of the monotonic clock."""
        is_old = ended - self._measured_at > _MEASURED_SECONDS
        if self._ahead is None or is_old or ended - began <= _SHORT_SECONDS:
            self._ahead = (at - _EPOCH).total_seconds() - (began + ended) / 2
            self._measured_at = ended

    def now(self) -> datetime:
        """Return what it says, in UTC; raise DatabaseAway before the first measure."""
        if self._ahead is None:
            raise DatabaseAway("the database server was not asked for the time yet")
        return _EPOCH + timedelta(seconds=self._ahead + time.monotonic())


@frozen(kw_only=True)
class _Beat:
    """What a beat has found."""

    began: float  # on the monotonic clock
    held: frozenset[str]
    nodes: Sequence[Values]


class _Ear:
    """Hears what the others tell, on a session of its own."""

    def __init__(self, opened: Callable[[], Raw], node: str) -> None:
        self._opened, self._node = opened, node
        self._raw: Raw | None = None
        self._fresh: Raw | None = None  # not watched yet: who wanted it may be gone by then
        self._watched = -1  # its socket, by a number of our own: libpq closes one that was lost
        self.heard: Heard = lambda _names: None

    async def open(self, thread: SessionThread) -> None:
        """Hear from now on; where something may have been missed, that is told."""
        if self._raw is not None:
            return
        await thread.run(self._listen)
        assert self._fresh is not None
        self._raw, self._fresh = self._fresh, None
        self._watched = os.dup(self._raw.pgconn.socket)
        asyncio.get_running_loop().add_reader(self._watched, self._readable)
        self.heard(None)

    def _listen(self) -> None:
        self.drop_fresh()
        try:
            self._fresh = self._opened()
            say(self._fresh, f"LISTEN {_CHANNEL}")
        except psycopg.Error as error:
            raise translated(error) from error

    def drop_fresh(self) -> None:
        """On the same thread: close a session that nobody has come to watch."""
        if self._fresh is not None:
            self._fresh.close()
            self._fresh = None

    def _readable(self) -> None:
        assert self._raw is not None
        try:
            self._raw.pgconn.consume_input()
            while (told := self._raw.pgconn.notifies()) is not None:
                who, *names = told.extra.decode().split("\n")
                if who != self._node:
                    self.heard(names or None)
        except psycopg.Error:
            self.close()

    def close(self) -> None:
        """Hear no more."""
        if self._raw is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            os.close(self._watched)
            self._raw.close()
            self._raw = None


class ServerNodes:
    """The gateways that share a server's database, as one of them sees the others."""

    several = True

    def __init__(self, address: ServerAddress) -> None:
        self._address, self._incarnation = address, secrets.token_hex(8)
        self._session = ServerSession(self._joined)
        self._thread = SessionThread("store-nodes")
        self._ear = _Ear(lambda: connect(address), address.node)
        self._time = ServerTime()
        self._wall: Clock | None = None  # this machine's own
        self._has_joined = False
        self._taken: frozenset[str] = frozenset()  # by the session, as its thread knows
        self._wanted: set[str] = set()
        self._held: frozenset[str] = frozenset()
        self._sure_until = 0.0  # on the monotonic clock
        self._nodes: Sequence[Node] | None = None  # None: nobody has looked yet
        self._dead: frozenset[str] = frozenset()
        self._asked: dict[str, datetime] = {}
        self._asked_elsewhere: Mapping[str, datetime] = {}
        self._untold: dict[str, None] = {}
        self._stirred = asyncio.Event()

    # What the others hear, and the time.

    @property
    def tell(self) -> Tell:
        """What wakes whoever waits for something of that name on the others."""
        return self._tell

    def _tell(self, name: str) -> None:
        self._untold[name] = None
        self._stirred.set()

    def hear(self, heard: Heard) -> None:
        """Let *heard* be called with what others tell."""
        self._ear.heard = heard

    def clock(self, wall: Clock) -> Clock:
        """Return the server's clock; *wall*: this machine's own, whose difference is told."""
        self._wall = wall
        return self._time.now

    # What one of them alone may do.

    def want(self, lease: str) -> None:
        """Take that lease whenever it is free, from now on."""
        self._wanted.add(lease)

    def holds(self, lease: str) -> bool:
        """Tell whether this node alone may now do what that lease is for."""
        return lease in self._held and time.monotonic() < self._sure_until

    # Who is there.

    def attend(self, provider: str, now: datetime) -> None:
        """Let the others know, at the next beat at the latest."""
        if provider not in self._asked:
            self._stirred.set()
        self._asked[provider] = now

    def attended(self, provider: str) -> datetime | None:
        """Return when *provider*'s EPR last asked for questions at another living node."""
        return self._asked_elsewhere.get(provider)

    def listed(self) -> Sequence[Node]:
        """Return those that there are, as they were at the last beat."""
        return self._nodes or ()

    def living(self) -> Sequence[str]:
        """Return the names of those that were not away at the last beat, this one included."""
        return [each.name for each in self.listed() if each.is_this or not each.is_away]

    def dead(self) -> Sequence[str]:
        """Return the names of those that had died by the last beat."""
        return sorted(self._dead)

    def others_at_work(self, raw: Raw) -> list[Node]:
        """
        Return which nodes beside this one are at work; raise psycopg's errors.

        One that stands still is among them while the server holds its session: it may go on.
        """
        found = raw.execute(_OTHERS.encode(), {"node": self._address.node}).fetchall()
        return [_node_of(each, self._address.node) for each in found]

    def enter(self, raw: Raw) -> None:
        """
        Be there before the first beat, once the transaction of *raw* is committed.

        Where it changes nothing else, nobody waits for a standby: that may be away at a start.
        """
        raw.execute(_WAITING_FOR_NOBODY.encode())
        self._is_entered(raw)

    async def join(self) -> None:
        """Beat for the first time; raise StoreError."""
        await self._beat_once()
        await self._ear.open(self._thread)

    async def run(self) -> None:
        """Beat, and tell the others, until cancelled."""
        while True:
            due = time.monotonic() + BEAT_SECONDS
            while await self._is_stirred(due - time.monotonic()):
                if not self._untold:
                    break  # an EPR has come: the others are to know it now
                if not await self._told():
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._look()

    async def _is_stirred(self, seconds: float) -> bool:
        """Tell whether there is something to tell, within so many seconds."""
        if seconds <= 0:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return False
        self._stirred.clear()
        return True

    async def _look(self) -> None:
        try:
            await self._beat_once()
            await self._ear.open(self._thread)
        except StoreError:  # whoever writes says so, and all goes on by itself
            self._held = frozenset()

    async def _beat_once(self) -> None:
        ahead = timedelta() if self._wall is None else self._wall() - self._time.now()
        asked = json.dumps({name: text(at) for name, at in self._asked.items()})
        wanted = frozenset(self._wanted)
        beat = await self._thread.run(lambda: self._beat(wanted, asked, ahead))
        for lease in sorted(beat.held - self._held):
            log.info("node.lease_taken", name=lease)
        self._held, self._sure_until = beat.held, beat.began + SURE_SECONDS
        self._know([_node_of(each, self._address.node) for each in beat.nodes])
        self._bury(beat.nodes)
        self._asked_elsewhere = _asked(
            each for each in beat.nodes if each["name"] != self._address.node
        )

    def _know(self, nodes: Sequence[Node]) -> None:
        before = {each.name: each.is_away for each in self._nodes or ()}
        for each in nodes:
            was_away = before.get(each.name)
            if each.is_away and was_away is False:
                seconds = round(each.silent.total_seconds())
                log.error("node.away", name=each.name, seconds=seconds, advice=_AWAY)
                self._ear.heard(None)  # it may have stored something, and died before it said so
            elif not each.is_away and was_away is not False and not each.is_this:
                log.info("node.seen", name=each.name, version=each.version)
        self._nodes = nodes

    def _bury(self, nodes: Sequence[Values]) -> None:
        """Know which have died; who is taken out of the list has not come back by that."""
        listed = {each["name"] for each in nodes}
        dead = {each["name"] for each in nodes if _is_dead(each)} - {self._address.node}
        found = frozenset(dead | self._dead - listed)
        new, self._dead = found - self._dead, found
        if new:
            self._ear.heard(None)  # what waits for a place with a Receiver may have one now

    async def _told(self) -> bool:
        await asyncio.sleep(GATHERED_SECONDS)
        names, self._untold = list(self._untold), {}
        told = "\n".join([self._address.node, *(names if len(names) <= _MOST_TOLD else ())])
        try:
            await self._thread.run(lambda: self._ask(_TELL, channel=_CHANNEL, told=told))
        except StoreError:
            self._untold = {**dict.fromkeys(names), **self._untold}
            return False
        return True

    async def leave(self) -> None:
        """Be there no more: what it held is free at once."""
        self._ear.close()
        await self._thread.run(self._left)
        self._thread.end()

    # On the thread of the session.

    def _joined(self) -> Raw:
        """Open the session, and be there by it."""
        raw = connect(self._address)
        self._taken = frozenset()
        with ExitStack() as unless_joined:
            unless_joined.callback(raw.close)
            say(raw, _BEATING)
            if not self._is_entered(raw):
                raise DatabaseAway(f"another gateway works here as node {self._address.node}")
            raw.execute(_FORGET.encode())
            unless_joined.pop_all()
        self._has_joined = True
        return raw

    def _is_entered(self, raw: Raw) -> bool:
        values: dict[str, object] = {
            "node": self._address.node,
            "incarnation": self._incarnation,
            "version": __version__,
            "first": 0 if self._has_joined else 1,
        }
        return raw.execute(_JOIN.encode(), values).fetchone() is not None

    def _beat(self, wanted: frozenset[str], asked: str, ahead: timedelta) -> _Beat:
        self._open()
        began = time.monotonic()
        values = {"node": self._address.node, "incarnation": self._incarnation, "asked": asked}
        values["leases"] = json.dumps(sorted(self._taken))
        nodes = self._ask(_BEAT, **values, ahead_ms=round(ahead / timedelta(milliseconds=1)))
        if not nodes or not nodes[0]["ours"]:
            self._session.drop()  # and be there again by another one
            raise DatabaseAway("the database does not know this node any more")
        self._time.measured(instant(nodes[0]["at"]), began, time.monotonic())
        if wanted - self._taken:
            found = self._ask(_TAKE, leases=json.dumps(sorted(wanted - self._taken)))
            self._taken |= {each["lease"] for each in found}
        for each in nodes:
            if each["pid"] is not None and _silent(each) >= timedelta(seconds=STALLED_SECONDS):
                self._end(each)
        return _Beat(began=began, held=self._taken, nodes=nodes)

    def _open(self) -> Raw:
        try:
            return self._session.opened()
        except psycopg.Error as error:
            raise translated(error) from error

    def _end(self, node: Values) -> None:
        """End the session of one that stands still: it keeps what it alone may do."""
        names = ("name", "pid", "incarnation", "seen_at", "session_since")
        self._ask(_END, **{name: node[name] for name in names})

    def _ask(self, sql: str, **values: object) -> list[Values]:
        """Return the rows of *sql*; raise StoreError, and then the session is dropped."""
        raw = self._open()
        try:
            found = raw.execute(sql.encode(), values)
            return found.fetchall() if found.description else []
        except psycopg.Error as error:
            self._session.drop()
            raise translated(error) from error

    def _left(self) -> None:
        with suppress(StoreError):  # the others miss it soon enough
            if self._session.is_open:
                self._ask(_LEAVE, node=self._address.node, incarnation=self._incarnation)
        self._session.drop()
        self._ear.drop_fresh()


def _silent(node: Values) -> timedelta:
    seconds = (instant(node["at"]) - instant(node["seen_at"])).total_seconds()
    return timedelta(seconds=max(0.0, seconds))


def _is_dead(node: Values) -> bool:
    return not node["has_name"] and _silent(node) >= timedelta(seconds=SILENT_SECONDS)


def _node_of(node: Values, this: str) -> Node:
    is_this = node["name"] == this
    return Node(
        name=node["name"],
        version=node["version"],
        started_at=instant(node["started_at"]),
        seen_at=instant(node["at"] if is_this else node["seen_at"]),
        silent=timedelta() if is_this else _silent(node),
        clock_ahead=timedelta(milliseconds=node["ahead_ms"]),
        leases=tuple(json.loads(node["leases"])),
        is_this=is_this,
    )


def _asked(nodes: Iterable[Values]) -> Mapping[str, datetime]:
    """Return when the EPR of each provider asked at any of *nodes* that live."""
    found: dict[str, datetime] = {}
    for each in nodes:
        if _silent(each) < AWAY_AFTER:
            for provider, at in json.loads(each["asked"]).items():
                found[provider] = max(instant(at), found.get(provider, _EPOCH))
    return found


def nodes_at(address: ServerAddress) -> list[Node]:
    """Return the nodes that the database at *address* knows; raise StoreError."""
    raw = connect(address)
    try:
        if not row(raw, "SELECT to_regclass('public.nodes') IS NOT NULL AS there")["there"]:
            return []
        require_known(raw, address.name)
        query = f"SELECT n.*, {_NOW} AS at FROM nodes AS n ORDER BY name"  # noqa: S608
        return [_node_of(each, "") for each in raw.execute(query.encode()).fetchall()]
    except psycopg.Error as error:
        raise translated(error) from error
    finally:
        raw.close()


def remove_node(address: ServerAddress, name: str) -> tuple[Node, int] | None:
    """
    Take node *name* out for good; return what it was, and how many messages it was sending.

    None: it is not there, or lives: it was seen within the last 15 seconds. One that comes back all
    the same is there again by that. Raises StoreError.
    """
    raw = connect(address)
    try:
        require_known(raw, address.name)
        with raw.transaction():
            found = raw.execute(_REMOVE.encode(), {"node": name}).fetchone()
            sending = row(raw, _SENDING, node=name)["n"]
        return None if found is None else (_node_of(found, ""), sending)
    except psycopg.Error as error:
        raise translated(error) from error
    finally:
        raw.close()
