"""
The store, over each engine: a test that asks for `store` or `database` runs on both.

    @pytest.mark.of_sqlite        it is about the file, or SQLite's own words: on SQLite alone
    @pytest.mark.unrehearsed      what it plans for a work happens once: none is tried beforehand
    @pytest.mark.impure           a work does otherwise the second time, for the reason beside it
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

import engines
import psycopg
import pytest
import run_again
from postgres_server import PostgresServer
from psycopg.rows import tuple_row

from bars_gateway.errors import StoreError
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.store.connection import Database
from bars_gateway.store.postgresql import PostgresConnection, Raw, translated
from bars_gateway.store.postgresql.database import PostgresDatabase, open_server
from bars_gateway.store.postgresql.server import ServerAddress
from bars_gateway.store.postgresql.transactions import Writer
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite import database as sqlite_database
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

Opener = Callable[..., AbstractAsyncContextManager[Database]]  # vault: what encrypts
ENGINES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres")))


def pytest_configure(config):
    config.addinivalue_line("markers", "unrehearsed: what it plans for a work happens once")
    config.addinivalue_line("markers", "impure: a work does otherwise the second time")


def pytest_generate_tests(metafunc):
    if "engine" in metafunc.fixturenames:
        of_sqlite = metafunc.definition.get_closest_marker("of_sqlite")
        metafunc.parametrize("engine", ENGINES[:1] if of_sqlite else ENGINES)


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """Return the server of this process's own, which is started when the first test needs it."""
    return engines.server()


@pytest.fixture
def empty_database(tmp_path: Path, engine: str, request: pytest.FixtureRequest) -> Opener:
    """Return what opens an empty database of that engine, a new one each time."""
    numbers = count(1)

    @asynccontextmanager
    async def of_sqlite(*, vault: Vault = CLEAR) -> AsyncIterator[Database]:
        number = next(numbers)
        path = tmp_path / f"gateway{number if number > 1 else ''}.db"
        async with open_database(path, vault=vault) as opened:
            yield opened

    @asynccontextmanager
    async def of_postgresql(*, vault: Vault = CLEAR) -> AsyncIterator[Database]:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.ready()
        async with open_server(ServerAddress(url=url, node="here"), vault=vault) as opened:
            yield opened
        server.drop(url)

    on_file = engine == "sqlite"
    if not {"statements", "unrehearsed"} & {*request.fixturenames, *request.keywords}:
        request.getfixturevalue("rehearsed" if on_file else "refused_once")
    return of_sqlite if on_file else of_postgresql


@pytest.fixture
async def database(empty_database: Opener) -> AsyncIterator[Database]:
    async with empty_database() as opened:
        yield opened


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Run every work that writes twice, and undo what it did the first time.

    A conflict between nodes runs a group again. So a work may do nothing but what it does to its
    connection: what it kept of the first time would make the second time another. It is tried on a
    file, where numbers that are undone are given again.
    """
    run_group = sqlite_database._run_group

    def rehearsing(work: Callable[[SqliteConnection], object]) -> Callable[..., object]:
        def twice(connection: SqliteConnection) -> object:
            with contextlib.suppress(Exception), connection.savepoint():
                work(connection)
                raise UndoneError
            return work(connection)

        twice.__name__ = getattr(work, "__name__", "work")
        return twice

    def rehearsed_group(connection: object, works: Sequence[Callable[..., object]]) -> object:
        return run_group(connection, [rehearsing(work) for work in works])

    monkeypatch.setattr(sqlite_database, "_run_group", rehearsed_group)


_NUMBERS = "SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences"
_NUMBERS_AGAIN = "SELECT setval(%s, coalesce(%s::bigint, 1), %s::bigint IS NOT NULL)"


@pytest.fixture
def refused_once(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """
    Let the server refuse each group that changes something at its COMMIT, once: it runs again.

    That is what a conflict between nodes does. The numbers that it was given are given again here,
    since tests say which they expect. Each of its works asks for the same the second time, and has
    the same result.
    """
    watched = run_again.Watched()
    _watch(watched, monkeypatch)
    begin, commit = Writer._begun, Writer._commit
    numbers: dict[Writer, list[tuple[str, int | None]]] = {}
    again: set[Writer] = set()

    def begun(writer: Writer) -> Raw:
        raw = begin(writer)
        with raw.cursor(row_factory=tuple_row) as cursor:
            numbers[writer] = cursor.execute(_NUMBERS, prepare=False).fetchall()
        return raw

    def refusing(writer: Writer, within: PostgresConnection) -> None:
        if writer in again or not within.changed:
            again.discard(writer)
            commit(writer, within)
            return
        again.add(writer)
        try:
            within.settle()
        except StoreError as error:
            writer._undo(within.raw, error)
        within.say("ROLLBACK")
        for name, last in numbers[writer]:
            within.raw.execute(_NUMBERS_AGAIN, (name, last, last), prepare=False)
        raise translated(psycopg.errors.SerializationFailure("could not serialize access"))

    monkeypatch.setattr(Writer, "_begun", begun)
    monkeypatch.setattr(Writer, "_commit", refusing)
    yield
    request.node.user_properties.append((run_again.PROPERTY, " ".join(sorted(watched.ran_again))))
    assert request.node.get_closest_marker("impure") or [] == watched.differ


def _watch(watched: run_again.Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have *watched* see each work that is handed to a server, and what it asks for."""
    write, ask = PostgresDatabase.write, PostgresConnection._ask

    async def writing(database: PostgresDatabase, work: Callable[..., object]) -> object:
        return await write(database, watched.watching(work))

    def asking(connection: PostgresConnection, *arguments: object) -> object:
        run_again.asks(*arguments[1:])
        return ask(connection, *arguments)

    monkeypatch.setattr(PostgresDatabase, "write", writing)
    monkeypatch.setattr(PostgresConnection, "_ask", asking)


class UndoneError(Exception):
    """The rehearsal is over."""


@pytest.fixture
async def store(database: Database) -> Store:
    return Store(database, node="here")


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the statements that run from now on: a group's end is none of them."""
    of_groups = {"newest_event", "unchained", "chain_lines", "note_group"}
    ran: list[str] = []

    def asking(kind: type) -> None:
        ask = kind._ask

        def asked(connection: object, *arguments: object) -> object:
            statement = arguments[0] if isinstance(arguments[0], str) else arguments[1]
            if statement not in of_groups:
                ran.append(statement)
            return ask(connection, *arguments)

        monkeypatch.setattr(kind, "_ask", asked)

    asking(SqliteConnection)
    asking(PostgresConnection)
    return ran
