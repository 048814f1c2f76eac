"""
The rate of one application key over several gateways: each has an equal share of its quota.

    who lives ─ changes ─► what all have asked in the last minute ─► each budget: its share, loaded

The platform counts what all of them send. What waits is one queue, from which any may claim, so
that nothing waits for one gateway while another is idle. Whoever comes or goes changes every share,
within a second. What was asked in the last minute counts in each budget then, whoever asked it: so
together they ask for no more than the quota, even while one still goes by its former share.

One that died still counts for ten seconds, until the others know: its share is not used
meanwhile.

Decisions: D-quota, D-several-nodes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from bars_gateway.errors import StoreError
from bars_gateway.outbound.budget import Budget
from bars_gateway.stopping import pause

_LOOKS_EACH = 0.5  # seconds
Ages = Mapping[str, Iterable[float]]  # by provider: how many seconds ago each call began


class Shares:
    """Keeps the budgets of one of several nodes at its share of the quota."""

    def __init__(
        self,
        budgets: Mapping[str, Budget],
        per_minute: int,
        *,
        living: Callable[[], Collection[str]],
        asked: Callable[[], Awaitable[Ages]],
    ) -> None:
        """*living*: the nodes that send, this one among them; *asked*: what all asked lately."""
        self._budgets, self._per_minute = budgets, per_minute
        self._living, self._asked = living, asked
        self._known: frozenset[str] = frozenset()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Keep them until stopped."""
        while not self._stopping.is_set():
            await self.keep()
            await pause(self._stopping, _LOOKS_EACH)

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    async def keep(self) -> None:
        """Divide again, if somebody has come or gone."""
        living = frozenset(self._living())
        if not living or living == self._known:
            return
        share = max(1, self._per_minute // len(living))
        try:
            asked = await self._asked()
        except StoreError:  # nothing is claimed meanwhile; it is looked at again
            return
        for budget, providers in self._by_budget().items():
            budget.share(share, [age for name in providers for age in asked.get(name, ())])
        self._known = living

    def _by_budget(self) -> Mapping[Budget, list[str]]:
        found: dict[Budget, list[str]] = {}
        for name, budget in self._budgets.items():
            found.setdefault(budget, []).append(name)
        return found
