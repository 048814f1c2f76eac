"""
From the settings to the open database: a file, or a database on a server.

    store.path ─► store.sqlite          store.url ─► store.postgresql, and its driver

What is not asked for is not loaded: who has a file needs no driver, and who has a server no file.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from bars_gateway.config import Settings
from bars_gateway.config.encryption import vault_of
from bars_gateway.errors import DatabaseUnfit
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.model.nodes import Node
from bars_gateway.store.connection import Connection, Database

if TYPE_CHECKING:
    from bars_gateway.store.aftermath import PutBack
    from bars_gateway.store.integrity import DatabaseReport
    from bars_gateway.store.postgresql.server import ServerAddress

T = TypeVar("T")


class Looks(Protocol):
    """An open database, looked at as often as wanted, on a snapshot of its own each time."""

    async def __call__(self, work: Callable[[Connection], T], /) -> T:
        """Return what *work* finds there."""


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


def name_of(at: Path | Settings) -> str:
    """Return how people call that file, or the database of those settings."""
    if isinstance(at, Path) or at.store.url is None:
        return str(at if isinstance(at, Path) else at.database_path)
    return address_of(at).name


@asynccontextmanager
async def open_looks(at: Path | Settings, vault: Vault = CLEAR) -> AsyncIterator[Looks]:
    """Open that file, or the database of those settings, to look at it more than once."""
    if isinstance(at, Path) or at.store.url is None:
        from bars_gateway.store.sqlite import open_reader, read_with

        async with open_reader(at if isinstance(at, Path) else at.database_path, vault) as reader:
            yield partial(read_with, reader)
        return
    address = address_of(at)
    from bars_gateway.store.postgresql.database import open_looks as open_server_looks

    async with open_server_looks(address, vault) as looks:
        yield looks


async def looked(at: Path | Settings, work: Callable[[Connection], T], vault: Vault = CLEAR) -> T:
    """Return what *work* finds in that file, or in the database of those settings."""
    async with open_looks(at, vault) as looks:
        return await looks(work)


def server_examined(settings: Settings) -> "DatabaseReport":
    """Return everything that is wrong with the server's database, down to every payload."""
    address = address_of(settings)
    from bars_gateway.store.postgresql.integrity import examine

    return examine(address, vault_of(settings))


def server_made_safe(
    settings: Settings, now: datetime, *, by: str, why: str, told: int
) -> "PutBack":
    """Make the server's database safe after it was put back; raise StoreError (its `restore`)."""
    address = address_of(settings)
    from bars_gateway.store.postgresql.restore import make_safe

    return make_safe(address, vault_of(settings), now, by=by, why=why, told=told)


def nodes_of(settings: Settings) -> Sequence[Node]:
    """Return the gateways that work, or have worked, on the server of *settings*, by name."""
    address = address_of(settings)
    from bars_gateway.store.postgresql.nodes import nodes_at

    return nodes_at(address)


def node_removed(settings: Settings, name: str) -> tuple[Node, int] | None:
    """Take that node out for good, as `remove_node` does; raise StoreError."""
    address = address_of(settings)
    from bars_gateway.store.postgresql.nodes import remove_node

    return remove_node(address, name)


def server_found(settings: Settings) -> str:
    """Return what the server of *settings* is, in words; raise StoreError where it will not do."""
    address = address_of(settings)
    from bars_gateway.store.postgresql.server import found_by

    nodes = "; ".join(map(str, nodes_of(settings)))
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
            "Install the gateway's wheel with its extra, 'bars_gateway-…-any.whl[postgres]'"
            " (docs/postgresql.md).",
        ) from None
    return ServerAddress(url=url, node=node, password_file=password_file)
