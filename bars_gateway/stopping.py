"""Waiting that ends at once when the gateway stops."""

import asyncio
from collections.abc import Coroutine


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Return after *seconds*, or as soon as *stopping* is set."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return


async def unless_stopped(stopping: asyncio.Event, wait: Coroutine[object, object, None]) -> None:
    """Return when *wait* does, or as soon as *stopping* is set; *wait* is cancelled then."""
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait)
        watching = group.create_task(stopping.wait())
        await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        watching.cancel()
