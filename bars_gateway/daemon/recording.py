"""
What the audit trail has of this gateway's own life: starts, stops, and what changed meanwhile.

    start ─► what is in force, held against the last time ─► lines
    SIGHUP, a renewal, the file of users ─► the same again
    orderly stop ─► a line, and the head to others
    start, every hour, orderly stop ─► how far it is, to each spool folder

Beside that it holds who keeps the trail (`upkeep.trail`).
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from bars_gateway import __version__
from bars_gateway.config import Settings
from bars_gateway.daemon.console import users_of
from bars_gateway.daemon.facts import FactFinder
from bars_gateway.daemon.reload import Reloader
from bars_gateway.epr.folders import SpoolRoot
from bars_gateway.errors import DatabaseSetBack, StoreUnavailable
from bars_gateway.inbound.server import InboundServer
from bars_gateway.outbound.token import Tokens
from bars_gateway.permissions import whoever_types
from bars_gateway.stopping import pause
from bars_gateway.store.connection import LOOKING
from bars_gateway.store.heads import last_told
from bars_gateway.store.in_force import Facts
from bars_gateway.store.nodes import HOUSEKEEPING
from bars_gateway.store.reached import REACHED_FILE, told_at, told_in
from bars_gateway.store.store import Store
from bars_gateway.upkeep.trail import HEAD_EVERY, TrailKeeper

log = structlog.get_logger(__name__)
_FOLDER_ADVICE = (
    "See that the gateway's user may write into `path`, and that there is room. Until then a"
    " database that another program puts back may not be noticed by it."
)


async def require_not_set_back(store: Store, heads: Path, name: str) -> None:
    """Raise DatabaseSetBack where *heads* tells of a line that is not in the trail, as it was."""
    told = await asyncio.to_thread(last_told, heads)
    if told is None:
        return
    reached = await store.chain.head()
    line = reached.line if reached else 0
    if told.line > line:
        raise DatabaseSetBack(
            f"{name} ends with line {line} of its audit trail, and {heads} tells of line"
            f" {told.line}: it is another database, or an older copy"
        )
    if await store.reaches.is_another(told):
        raise DatabaseSetBack(
            f"{name} has another line {told.line} of its audit trail than {heads} tells of: it is"
            " another database, or an older copy that has gone on since"
        )


async def require_not_gone_back(store: Store, settings: Settings) -> None:
    """Raise DatabaseSetBack where a spool folder tells of more of the same database file."""
    folders = [provider.spool_dir for provider in settings.providers.values()]
    told = await asyncio.to_thread(told_in, folders)
    await store.reaches.require_not_gone_back(told, str(settings.database_path))


class ReachTeller:
    """
    Tells each spool folder how far the database is, apart from all else: a share may hang.

    It only ever tells of what is on disk in the database. Where the process dies, the older file is
    there, or the newer one.
    """

    def __init__(
        self, store: Store, roots: Sequence[SpoolRoot], now: Callable[[], datetime], name: str
    ) -> None:
        """Tell the folders *roots*, without any nobody; *name* is the database's."""
        self._reaches, self._roots, self._now, self._name = store.reaches, roots, now, name
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Tell until stopped."""
        LOOKING.set(True)
        async with asyncio.TaskGroup() as group:
            for root in self._roots:
                group.create_task(self._keep_told(root))

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping.set()

    async def tell(self) -> None:
        """
        Tell each folder, as far as it can be written; the log says where not.

        One that knows of more keeps that: a snapshot with memory has put the database back under
        us, and the next start is refused.
        """
        for root in self._roots:
            await self._tell(root)

    async def _keep_told(self, root: SpoolRoot) -> None:
        while not self._stopping.is_set():
            await self._tell(root)
            await pause(self._stopping, HEAD_EVERY.total_seconds())

    async def _tell(self, root: SpoolRoot) -> None:
        try:
            await self._tell_or_raise(root)
        except StoreUnavailable as error:
            log.error("store.unavailable", reason=str(error), advice=error.advice)
        except DatabaseSetBack as error:
            log.error("store.gone_back", reason=str(error), advice=error.advice)
        except OSError as error:
            log.error(
                "audit.head_not_kept",
                path=str(root.path / REACHED_FILE),
                reason=error.strerror,
                advice=_FOLDER_ADVICE,
            )

    async def _tell_or_raise(self, root: SpoolRoot) -> None:
        before = await asyncio.to_thread(told_at, root.path)
        told = [] if before is None else [(root.path, before)]
        await self._reaches.require_not_gone_back(told, self._name)
        now = await self._reaches.reached(before, self._now())
        if now is not None:
            await asyncio.to_thread(root.put, REACHED_FILE, now.written)


class Recording:
    """Lets the audit trail have what concerns the gateway itself."""

    def __init__(
        self,
        reloader: Reloader,
        store: Store,
        tokens: Mapping[str, Tokens],
        inbound: InboundServer | None,
        now: Callable[[], datetime],
    ) -> None:
        """Go by the settings that *reloader* has in force, and hear of what it takes."""
        self._store, self._now = store, now
        settings = reloader.settings
        self._reloader, reloader.taken = reloader, self.renewed
        self._tokens, self._inbound = tokens, inbound
        self._facts = FactFinder(settings.settings_key_file, users_of(settings))
        self.keeper = TrailKeeper(
            store.chain,
            store.reports,
            heads=settings.heads_file,
            reports_dir=settings.reports_dir,
            now=now,
            monotonic=time.monotonic,
            look=self._look,
            kept_days=settings.retention.audit_days,
            leads=partial(store.nodes.holds, HOUSEKEEPING),
        )

    async def started(self) -> None:
        """Add a line about a start, and what changed since the last."""
        told = {
            "who": whoever_types(),
            "version": __version__,
            "environment": self._reloader.settings.environment,
            "after_orderly_stop": self._store.soundness.after_orderly_stop,
        }
        await self._store.in_force.started(await self._found(), told, self._now())

    async def renewed(self) -> None:
        """Add a line for each thing that changed."""
        try:
            await self._store.in_force.renewed(await self._found(), self._now())
        except StoreUnavailable as error:  # the next start compares with what was before
            log.error("store.unavailable", reason=str(error), advice=error.advice)

    async def stopped(self) -> None:
        """Add a line about an orderly stop, and tell others of the last line."""
        try:
            await self._store.in_force.stopped(self._now())
            await self.keeper.tell_head()
        except StoreUnavailable as error:  # the next start says that there was none
            log.error("store.unavailable", reason=str(error), advice=error.advice)

    async def _look(self) -> None:
        if self._facts.users_changed():
            await self.renewed()

    async def _found(self) -> Facts:
        identity = self._inbound.identity.identity if self._inbound else None
        settings = self._reloader.settings
        return await asyncio.to_thread(self._facts.find, settings, self._tokens, identity)
