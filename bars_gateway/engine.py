"""
From the settings to the open database: a file, or a database on a server.

    store.path ─► store.sqlite          store.url ─► store.postgresql, and its driver

What is not asked for is not loaded: who has a file needs no driver, and who has a server no file.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bars_gateway.config import Settings
from bars_gateway.config.encryption import vault_of
from bars_gateway.errors import DatabaseUnfit
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.store.connection import Connection, Database

if TYPE_CHECKING:
    from bars_gateway.store.postgresql.server import ServerAddress

T = TypeVar("T")


@asynccontextmanager
async def open_engine(settings: Settings, *, alone: bool = True) -> AsyncIterator[Database]:
    """
    Open what the gateway of *settings* keeps everything in; raise StoreError as it does.

    *alone*: no other gateway may work on it meanwhile; on a file none ever may.
    """
    vault, limit = vault_of(settings), settings.store.group_limit
    if settings.store.url is None:
        from bars_gateway.store.sqlite.database import open_database

        async with open_database(settings.database_path, vault=vault, group_limit=limit) as file:
            yield file
        return
    address = address_of(settings)
    from bars_gateway.store.postgresql.database import open_server

    async with open_server(address, vault=vault, group_limit=limit, alone=alone) as server:
        yield server


async def looked(at: Path | Settings, work: Callable[[Connection], T], vault: Vault = CLEAR) -> T:
    """Return what *work* finds in that file, or in the database of those settings."""
    if isinstance(at, Path) or at.store.url is None:
        from bars_gateway.store.sqlite import open_reader, read_with

        async with open_reader(at if isinstance(at, Path) else at.database_path, vault) as reader:
            return await read_with(reader, work)
    address = address_of(at)
    from bars_gateway.store.postgresql.database import look

    return await look(address, work, vault)


def server_found(settings: Settings) -> str:
    """Return what the server of *settings* is, in words; raise StoreError where it will not do."""
    address = address_of(settings)
    from bars_gateway.store.postgresql.nodes import nodes_at
    from bars_gateway.store.postgresql.server import found_by

    nodes = "; ".join(map(str, nodes_at(address)))
    return found_by(address) + (f"; nodes: {nodes}" if nodes else "")


def address_of(settings: Settings) -> "ServerAddress":
    """Return where the server of *settings* is; raise DatabaseUnfit without its driver."""
    store = settings.store
    return address_at(store.url or "", settings.node, store.password_file)


def address_at(url: str, node: str, password_file: Path | None) -> "ServerAddress":
    """Return where *url* is, for that node; raise DatabaseUnfit without PostgreSQL's driver."""
    try:
        from bars_gateway.store.postgresql.server import ServerAddress
    except ImportError as error:
        raise DatabaseUnfit(
            f"a server is named, and PostgreSQL's driver is not installed: {error.name}",
            "Install the gateway with its extra: pip install 'bars_gateway[postgres]'.",
        ) from None
    return ServerAddress(url=url, node=node, password_file=password_file)
