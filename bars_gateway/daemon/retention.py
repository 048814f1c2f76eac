"""Makes what lets records leave, and what is asked of them, from the settings."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial

from bars_gateway.config import Settings
from bars_gateway.epr.inbox import LeftCopies
from bars_gateway.epr.record_requests import RecordRequests
from bars_gateway.store.store import Store
from bars_gateway.upkeep.purging import RESTS, OwnFolders, Purger, Purging

Clock = Callable[[], datetime]
# By provider: whether the spool folder that lies at its path is the one that this gateway holds.
InPlace = Mapping[str, Callable[[], bool]]
_WHATEVER_LIES_THERE: InPlace = {}  # no gateway runs, and the folders are as somebody has them


def record_requests_of(
    settings: Settings, store: Store, provider: str, now: Clock
) -> RecordRequests:
    """Return what one provider's socket serves of records."""
    rules = settings.retention_rules
    return RecordRequests(
        store.record_holds, store.purges, rules, store.wake_purger, provider=provider, now=now
    )


def purger_of(settings: Settings, store: Store, now: Clock, in_place: InPlace) -> Purger:
    """Return what purges each night, and when somebody asks."""
    retention = settings.retention
    return Purger(
        store.purges,
        partial(purging_of, settings, store, now, in_place=in_place),
        settings.retention_rules,
        nightly_at=retention.nightly_at if retention.nightly else None,
        wait=store.wait_for_purge,
        wake=store.wake_purger,
        now=now,
    )


def purging_of(
    settings: Settings,
    store: Store,
    now: Clock,
    stopping: asyncio.Event,
    *,
    in_place: InPlace = _WHATEVER_LIES_THERE,
    rests: float = RESTS,
) -> Purging:
    """Return what carries a purge out; *rests*: 0 where nothing else works."""
    return Purging(
        store.purges,
        dict(_copies(settings, in_place)),
        now=now,
        monotonic=time.monotonic,
        stopping=stopping,
        rests=rests,
    )


def own_folders_of(settings: Settings, store: Store, now: Clock, in_place: InPlace) -> OwnFolders:
    """Return what clears this node's folders after a purge that another one carried out."""
    copies = dict(_copies(settings, in_place))
    return OwnFolders(store.purges, copies, node=settings.node, now=now)


def _copies(settings: Settings, in_place: InPlace) -> Iterator[tuple[str, LeftCopies]]:
    for name, provider in settings.providers.items():
        inbox = provider.spool_dir / "inbox" / "new"
        yield name, LeftCopies(inbox, in_place.get(name, lambda: True))
