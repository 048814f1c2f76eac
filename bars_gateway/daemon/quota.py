"""
The budgets of this install: one for each application key, loaded with the last minute.

    store.calls ─► ages ─► Budget of a key ─┬─► messages of its providers
                                            └─► their tokens and reads, each noted first

Providers that share a key share its quota, for the platform counts by key (D-quota).
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from bars_gateway.config import Settings
from bars_gateway.outbound.budget import NOTE_HOLDS, Budget, NotedTurns, Turns
from bars_gateway.store.store import Store

Clock = Callable[[], datetime]


async def budgets(
    settings: Settings,
    store: Store,
    now: Clock,
    monotonic: Callable[[], float] = time.monotonic,
) -> dict[str, Budget]:
    """Return each provider's budget, in which what was asked in the last minute counts."""
    moment = now() - NOTE_HOLDS  # as if each had begun as late after its note as it may
    asked = await store.calls.since(moment - timedelta(minutes=1))
    ages: dict[str, list[float]] = {}
    for name, provider in settings.providers.items():
        found = [(moment - at).total_seconds() for at in asked.get(name, ())]
        ages.setdefault(provider.api_key, []).extend(found)
    made = {
        key: Budget(settings.outbound.requests_per_minute, monotonic=monotonic, ages=of_key)
        for key, of_key in ages.items()
    }
    return {name: made[provider.api_key] for name, provider in settings.providers.items()}


def noted(of: Mapping[str, Budget], store: Store, now: Clock) -> dict[str, Turns]:
    """Return each provider's way into its budget for what is no message."""
    return {name: NotedTurns(each, partial(_note, store, name, now)) for name, each in of.items()}


async def _note(store: Store, provider: str, now: Clock) -> None:
    await store.calls.note(provider, now())
