"""Properties of what runs on a loop, held against examples that are the same in every run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st


def alike(examples: int) -> settings:
    """Draw so many examples, the same ones each time, for as long as each takes."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


async def each_drawn(
    strategy: st.SearchStrategy[dict[str, Any]],
    play: Callable[..., Awaitable[None]],
    *,
    examples: int,
) -> None:
    """Play each example on the running loop, while a thread draws them."""
    loop = asyncio.get_running_loop()

    async def played(drawn: dict[str, Any]) -> None:
        await play(**drawn)

    @alike(examples)
    @given(drawn=strategy)
    def holds(drawn: dict[str, Any]) -> None:
        asyncio.run_coroutine_threadsafe(played(drawn), loop).result(60)

    await asyncio.to_thread(holds)
