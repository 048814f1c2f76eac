"""
Which engine the gateways of the tests keep everything in: a file, or a server's database.

    BARS_TEST_ENGINE=postgresql     every test that can runs on a server of this process's own
    @pytest.mark.both_engines       it runs on both, each time: what tells most
    @pytest.mark.of_sqlite          it is about a file, or SQLite's own words: on SQLite alone

A test names the file that its database would be; on a server there is a database in its place,
which is made when it is first asked for, and gone once the test has ended.
"""

import asyncio
import atexit
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.store.connection import Connection, Database, Room
from bars_gateway.store.sqlite import open_reader, read_with
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.space import room_of

if TYPE_CHECKING:
    from postgres_server import PostgresServer

T = TypeVar("T")
SQLITE, POSTGRESQL = "sqlite", "postgresql"
ENGINES = (SQLITE, POSTGRESQL)
SWITCH = "BARS_TEST_ENGINE"
WANTED = os.environ.get(SWITCH, SQLITE)
_made: dict[Path, str] = {}  # which database stands for which file
_kept: set[Path] = set()  # of those, what several tests share
_in_use = [WANTED]
_looks: dict[str, "_Look"] = {}  # by URL, for as long as a test lasts


def programs() -> Path | None:
    """Return the folder of the server's programs; None: this machine has none."""
    own = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name))
    return own[-1] if own and (own[-1] / "initdb").exists() else None


def use(engine: str) -> None:
    """Let databases be of *engine* from now on."""
    _in_use[0] = engine


def on_server() -> bool:
    """Tell whether they are a server's."""
    return _in_use[0] == POSTGRESQL


@cache
def server() -> "PostgresServer":
    """Return the server of this process's own, which is started when it is first needed."""
    from postgres_server import postgres_server

    stack = ExitStack()
    started = stack.enter_context(postgres_server())
    atexit.register(stack.close)
    return started


def url_of(path: Path) -> str:
    """Return where the database is that stands for the file at *path*."""
    if path not in _made:
        _made[path] = server().ready()
    return _made[path]


def url_of_empty(path: Path) -> str:
    """Let an empty database, without a table, stand for the file at *path*; return where it is."""
    _made[path] = server().empty()
    return _made[path]


def dump(path: Path, to: Path) -> None:
    """Write what is there into a file *to* by PostgreSQL's own tool, whoever works on it."""
    _tool("pg_dump", "--format=custom", f"--file={to}", url_of(path))


def put_back(path: Path, dumped: Path) -> None:
    """Let what was *dumped* stand where the database is that there is: that one is gone."""
    let_go()
    server().drop(url_of(path))
    url = url_of_empty(path)
    _tool("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={url}", dumped)


def _tool(name: str, *words: object) -> None:
    folder = programs()
    assert folder is not None
    subprocess.run([folder / name, *words], check=True)


def made() -> frozenset[Path]:
    """Return for which files a database stands."""
    return frozenset(_made)


def keep() -> None:
    """Let the databases that there are outlast the test that made them."""
    _kept.update(_made)


def let_go() -> None:
    """Close each session by which somebody has looked into a server's database."""
    while _looks:
        _looks.popitem()[1].close()


def forget(before: frozenset[Path]) -> None:
    """Remove every database that was made since: those *before* are of tests yet to come."""
    let_go()
    for path in made() - before - _kept:
        server().drop(_made.pop(path))


@asynccontextmanager
async def opened(path: Path, *, vault: Vault = CLEAR) -> AsyncIterator[Database]:
    """Open it as a gateway does, and serve it until the block ends."""
    if not on_server():
        async with open_database(path, vault=vault) as file:
            yield file
        return
    from bars_gateway.store.postgresql.database import open_server
    from bars_gateway.store.postgresql.server import ServerAddress

    async with open_server(ServerAddress(url=url_of(path), node="here"), vault=vault) as database:
        yield database


class _Look:
    """Looks into a server's database by sessions of its own: to open one costs more than a look."""

    def __init__(self, url: str) -> None:
        from bars_gateway.store.postgresql.server import ServerAddress, ServerSession, connect
        from bars_gateway.store.postgresql.transactions import Reader

        self._url, self._alone = url, Lock()
        self._session = ServerSession(lambda: connect(ServerAddress(url=url, node="looks")))
        self._reader = Reader(self._session, CLEAR)
        self._beside: Any = None  # psycopg's own, by which everything may be changed

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* finds."""
        with self._alone:
            return self._reader.read(work)

    def ask(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Run *sql* and commit it; return its rows."""
        import psycopg

        with self._alone:
            if self._beside is not None and not _answers(self._beside):
                self._beside.close()
                self._beside = None
            self._beside = self._beside or psycopg.connect(self._url, autocommit=True)
            cursor = self._beside.execute(sql.replace("?", "%s").encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        with self._alone:
            self._session.drop()
            if self._beside is not None:
                self._beside.close()


def _answers(session: Any) -> bool:
    """Tell whether the server still knows it: it may have been stopped meanwhile."""
    import psycopg

    try:
        session.execute(b"")
    except psycopg.OperationalError:
        return False
    return True


def _look(path: Path) -> _Look:
    url = url_of(path)
    return _looks.get(url) or _looks.setdefault(url, _Look(url))


async def seen(path: Path, work: Callable[[Connection], T], vault: Vault = CLEAR) -> T:
    """Return what *work* finds there."""
    if not on_server():
        async with open_reader(path, vault) as reader:
            return await read_with(reader, work)
    if vault is CLEAR:
        return await asyncio.to_thread(_look(path).read, work)
    from bars_gateway.store.postgresql.database import open_looks
    from bars_gateway.store.postgresql.server import ServerAddress

    async with open_looks(ServerAddress(url=url_of(path), node="looks"), vault) as looks:
        return await looks(work)


def room(path: Path) -> Room:
    """Return what it takes of its disk."""
    if not on_server():
        return room_of(path)
    return Room(name=path.name, size_bytes=1, free_bytes=None)


def ask(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Run *sql* beside the gateway, with a `?` for each value, and commit it; return its rows."""
    if not on_server():
        there = f"{path.absolute().as_uri()}?mode=rw"  # a gateway alone makes it
        with closing(sqlite3.connect(there, timeout=10, uri=True)) as connection, connection:
            return connection.execute(sql, values).fetchall()
    return _look(path).ask(sql, values)
