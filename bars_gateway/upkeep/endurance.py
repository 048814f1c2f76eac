"""
Loops that go on: what one of them fails over, in a way that nobody foresaw, ends one round.

    run ──raises──► alarm · log ──pause──► run

What is about one file, message or notice is set aside where it is met, and never comes here.
This is for the rest: a folder that cannot be listed, a look at what is due. Each loop keeps what
it promises in the store or in folders, so it may begin again at any time.

Decisions: D-set-aside.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

Beat = Callable[[], None]
Loop = Callable[[Beat], Awaitable[None]]
Endless = Callable[[Beat], Coroutine[Any, Any, None]]

PAUSE_SECONDS = 5.0


def enduring(
    loop: Loop,
    tell: Callable[[BaseException], Awaitable[None]],
    stopping: Callable[[], bool],
    *,
    pause_seconds: float = PAUSE_SECONDS,
) -> Endless:
    """Return *loop* as one that is run again when it fails, unless *stopping*; *tell* is told."""

    async def run(beat: Beat) -> None:
        while True:
            try:
                return await loop(beat)
            except Exception as error:  # unit of work
                await tell(error)
            if stopping():
                return None
            beat()
            await asyncio.sleep(pause_seconds)

    return run
