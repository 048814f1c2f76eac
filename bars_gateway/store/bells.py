"""
Bells: how the flows learn that there is work, without polling and without calling each other.

A bell is rung after a commit, and silenced before looking. It remembers one ring
that nobody heard, so that work which arrives between looking and waiting is not
left until the next timeout.
"""

import asyncio


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
