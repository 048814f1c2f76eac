"""
Bells: how the flows learn that there is work, without polling and without calling each other.

    commit ─► ring ─► whoever waits looks into the store

A bell is rung after a commit, and silenced before looking. It remembers one ring
that nobody heard, so that work which arrives between looking and waiting is not
left until the next timeout.
"""

import asyncio
from collections import defaultdict
from functools import partial


class Bell:
    """Wakes one waiter for each ring, or all of them."""

    def __init__(self, *, wakes_all: bool = False) -> None:
        self._wakes_all = wakes_all
        self._waiting: list[asyncio.Future[None]] = []
        self._unheard = False

    def ring(self) -> None:
        """Wake whoever waits; with nobody there, the next one does not wait."""
        self._waiting = [future for future in self._waiting if not future.done()]
        if not self._waiting:
            self._unheard = True
        for future in self._waiting[: None if self._wakes_all else 1]:
            future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return at the next ring, or after *seconds*."""
        if self._unheard:
            self._unheard = False
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await future
        except TimeoutError:
            return
        finally:
            if future in self._waiting:
                self._waiting.remove(future)


class Bells:
    """The bells of one store: for senders, and for each provider's EPR."""

    def __init__(self) -> None:
        self.outbound = Bell()  # a message may have become due
        self.cancellations = Bell()  # one may be read for
        self.notices: defaultdict[str, Bell] = defaultdict(partial(Bell, wakes_all=True))

    def ring_outbound(self) -> None:
        """Wake a sender."""
        self.outbound.ring()

    def ring_submitted(self) -> None:
        """Wake a sender, and whoever reads before a cancellation: a message was taken."""
        self.outbound.ring()
        self.cancellations.ring()

    def ring_everybody(self) -> None:
        """Wake a sender, and whoever waits for a notice."""
        self.outbound.ring()
        self.ring_all_notices()

    def ring_all_notices(self) -> None:
        """Wake whoever waits for a notice of any provider."""
        for bell in self.notices.values():
            bell.ring()
