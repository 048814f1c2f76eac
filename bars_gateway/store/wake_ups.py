"""
Wake-ups: how the flows learn that there is work, without polling and without calling each other.

    commit ─► wake ─► whoever waits looks into the store

It is sent after a commit, and waited for after looking. One that nobody waited for is
remembered, so that work which arrives between looking and waiting is not
left until the next timeout.
"""

import asyncio
from collections import defaultdict
from functools import partial


class WakeUp:
    """Wakes one waiter each time, or all of them."""

    def __init__(self, *, wakes_all: bool = False) -> None:
        self._wakes_all = wakes_all
        self._waiting: list[asyncio.Future[None]] = []
        self._unheard = False

    def wake(self) -> None:
        """Wake whoever waits; with nobody there, the next one does not wait."""
        self._waiting = [future for future in self._waiting if not future.done()]
        if not self._waiting:
            self._unheard = True
        for future in self._waiting[: None if self._wakes_all else 1]:
            future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return at the next wake-up, or after *seconds*."""
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


class WakeUps:
    """The wake-ups of one store: for senders, and for each provider's EPR."""

    def __init__(self) -> None:
        self.outbound = WakeUp()  # a message may have become due
        self.cancellations = WakeUp()  # one may be read for
        self.notices: defaultdict[str, WakeUp] = defaultdict(partial(WakeUp, wakes_all=True))

    def wake_outbound(self) -> None:
        """Wake a sender."""
        self.outbound.wake()

    def wake_submitted(self) -> None:
        """Wake a sender, and whoever reads before a cancellation: a message was taken."""
        self.outbound.wake()
        self.cancellations.wake()

    def wake_everybody(self) -> None:
        """Wake a sender, and whoever waits for a notice."""
        self.outbound.wake()
        self.wake_all_notices()

    def wake_all_notices(self) -> None:
        """Wake whoever waits for a notice of any provider."""
        for each in self.notices.values():
            each.wake()
