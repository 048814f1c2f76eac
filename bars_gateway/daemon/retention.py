"""Makes what lets records leave, and what is asked of them, from the settings."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from bars_gateway.config import Settings
from bars_gateway.epr.inbox import LeftCopies
from bars_gateway.epr.record_requests import RecordRequests
from bars_gateway.store.store import Store
from bars_gateway.upkeep.purging import RESTS, OwnFolders, Purger, Purging

Clock = Callable[[], datetime]


def record_requests_of(
    settings: Settings, store: Store, provider: str, now: Clock
) -> RecordRequests:
    """Return what one provider's socket serves of records."""
    rules = settings.retention_rules
    return RecordRequests(
        store.record_holds, store.purges, rules, store.wake_purger, provider=provider, now=now
    )


def purger_of(settings: Settings, store: Store, now: Clock) -> Purger:
    """Return what purges each night, and when somebody asks."""
    retention = settings.retention
    return Purger(
        store.purges,
        partial(purging_of, settings, store, now),
        settings.retention_rules,
        nightly_at=retention.nightly_at if retention.nightly else None,
        wait=store.wait_for_purge,
        wake=store.wake_purger,
        now=now,
    )


def purging_of(
    settings: Settings, store: Store, now: Clock, stopping: asyncio.Event, *, rests: float = RESTS
) -> Purging:
    """Return what carries a purge out; *rests*: 0 where nothing else works."""
    return Purging(
        store.purges,
        dict(_copies(settings)),
        now=now,
        monotonic=time.monotonic,
        stopping=stopping,
        rests=rests,
    )


def own_folders_of(settings: Settings, store: Store, now: Clock) -> OwnFolders:
    """Return what clears this node's folders after a purge that another one carried out."""
    return OwnFolders(store.purges, dict(_copies(settings)), node=settings.node, now=now)


def _copies(settings: Settings) -> Iterator[tuple[str, LeftCopies]]:
    for name, provider in settings.providers.items():
        yield name, LeftCopies(provider.spool_dir / "inbox" / "new")
