import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import engines
import pytest
from epr_side import (
    ON_SOCKET,
    PROVIDER,
    Hospital,
    at_work,
    attendance,
    intake_of,
    open_folder,
    question_requests,
    read_requests,
    record_requests,
    utc_now,
    verb_requests,
)

from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.intake import Intake
from bars_gateway.epr.intervention_requests import AlarmRequests, AlertRequests
from bars_gateway.epr.socket import EprSocket
from bars_gateway.store.sqlite.database import SqliteDatabase
from bars_gateway.store.store import Store


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with engines.opened(tmp_path / "gateway.db") as opened:
        yield opened


@pytest.fixture
async def store(database: SqliteDatabase) -> Store:
    return Store(database, node="here")


@pytest.fixture
def intake(store: Store) -> Intake:
    return intake_of(store)


@pytest.fixture
def folder(store: Store, intake: Intake, tmp_path: Path) -> Iterator[DropFolder]:
    with open_folder(store, intake, tmp_path / "spool") as opened:
        yield opened


@pytest.fixture
def hospital(folder: DropFolder, tmp_path: Path) -> Hospital:
    return Hospital(tmp_path / "spool")


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Return a path that is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="epr") as folder:
        yield Path(folder) / "trust.sock"


@pytest.fixture
async def door(store: Store, intake: Intake, socket_path: Path) -> AsyncIterator[EprSocket]:
    opened = EprSocket(
        store,
        intake,
        question_requests(store),
        verb_requests(store),
        AlarmRequests(store.alarms, provider=PROVIDER, now=utc_now),
        AlertRequests(store.alerts, now=utc_now),
        record_requests(store),
        read_requests(),
        attendance=attendance(store),
        ways=ON_SOCKET,
        path=socket_path,
        now=utc_now,
    )
    await opened.open()
    async with at_work(opened.stop, opened.run()):
        yield opened


@pytest.fixture
async def epr(door: EprSocket, socket_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(path=str(socket_path))
    async with aiohttp.ClientSession("http://epr", connector=connector) as session:
        yield session
