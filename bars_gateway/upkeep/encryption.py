"""
Goes on encryption what is stored as it is wanted, behind the open doors, until all of it is.

    start, or a new key ring ─► begin ─► step · pause · step … ─► done
                                           └─ three times as long as the step took

A step is a few rows and a small transaction, so that no message waits for it. Where the gateway
stops or dies, the next start goes on from the step before.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime

import structlog

from bars_gateway.stopping import pause
from bars_gateway.store.encryption import Encryption

_REST = 3.0  # how much longer than a step the pause after it is
LEAST_SECONDS = 0.01
_LOG_SECONDS = 5.0  # a reader may hold on to the log: the last step is tried again
log = structlog.get_logger(__name__)


class Encrypter:
    """Encrypts again what is not as it is wanted."""

    def __init__(
        self,
        encryption: Encryption,
        now: Callable[[], datetime],
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._encryption, self._now, self._monotonic = encryption, now, monotonic
        self._again = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Encrypt at the start, and whenever another key is wanted, until stopped."""
        while not self._stopping.is_set():
            self._again.clear()
            await self._go_through()
            await self._again.wait()

    async def _go_through(self) -> None:
        if not await self._encryption.begin_encryption(self._now()):
            return
        log.info("encryption.began")
        left = True
        while left and not (self._again.is_set() or self._stopping.is_set()):
            started = self._monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOG_SECONDS):
                    left = await self._encryption.step(self._now())
            took = self._monotonic() - started
            await pause(self._stopping, max(LEAST_SECONDS, took * _REST))
        if not left:
            found = await self._encryption.standing()
            log.info("encryption.completed", count=found.changed, key_id=found.wanted.split()[0])

    def again(self) -> None:
        """Look whether another key is wanted."""
        self._again.set()

    def stop(self) -> None:
        """End after this step."""
        self._stopping.set()
        self._again.set()
