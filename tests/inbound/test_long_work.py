"""What is long is done beside the loop, and one caller's is never everybody's."""

import asyncio
import gc
import threading
from collections.abc import Iterator

import pytest

from bars_gateway.inbound.message_handler import Busy, LongWork
from bars_gateway.standard.formats import LONG


class Held:
    """Work that lasts until it is let go."""

    def __init__(self) -> None:
        self.begun, self._over = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self._over.wait(20)
        return "done"

    def let_go(self) -> None:
        self._over.set()


@pytest.fixture
def held() -> Iterator[Held]:
    work = Held()
    yield work
    work.let_go()


async def begun(long_work: LongWork, work: Held, caller: str) -> "asyncio.Task[str]":
    task = asyncio.create_task(long_work.run(work, LONG, caller))
    await asyncio.to_thread(work.begun.wait, 20)
    return task


async def test_what_is_short_is_done_at_once() -> None:
    """A thread would cost more than it frees."""
    doing = await LongWork().run(threading.current_thread, LONG - 1, "one")

    assert threading.main_thread() is doing


async def test_what_is_long_is_done_beside_the_loop() -> None:
    """And its result comes back."""
    doing = await LongWork().run(threading.current_thread, LONG, "one")

    assert threading.main_thread() is not doing


async def test_nobody_looks_for_garbage_while_what_is_long_is_read() -> None:
    """It would halt every thread, the loop's too, for as long as the reading takes."""
    meanwhile = await LongWork().run(gc.isenabled, LONG, "one")

    assert [False, True] == [meanwhile, gc.isenabled()]


async def test_a_caller_has_one_thread(held: Held) -> None:
    """Its second long message hears at once that it must come again; others go on."""
    long_work = LongWork(wait_seconds=0.05)
    first = await begun(long_work, held, "one")
    with pytest.raises(Busy):
        await long_work.run(str, LONG, "one")
    other = await long_work.run(lambda: "other", LONG, "two")
    held.let_go()

    assert ("done", "other") == (await first, other)


async def test_one_who_has_left_still_holds_his_thread(held: Held) -> None:
    """A thread cannot be stopped: retries must not take one after the other."""
    long_work = LongWork(wait_seconds=0.05)
    first = await begun(long_work, held, "one")
    first.cancel()
    await asyncio.wait([first])
    with pytest.raises(Busy):
        await long_work.run(str, LONG, "one")
    held.let_go()

    assert "again" == await LongWork(wait_seconds=20).run(lambda: "again", LONG, "one")


async def test_a_thread_that_comes_free_is_given_on(held: Held) -> None:
    """Whoever waits for it a moment is served, and hears nothing of it."""
    long_work = LongWork(threads=1, wait_seconds=20)
    first = await begun(long_work, held, "one")
    second = asyncio.create_task(long_work.run(lambda: "second", LONG, "two"))
    await asyncio.sleep(0)
    held.let_go()

    assert ("done", "second") == (await first, await second)


async def test_few_wait(held: Held) -> None:
    """Behind a long queue an answer would be late in any case."""
    long_work = LongWork(threads=1, wait_seconds=20)
    await begun(long_work, held, "first")
    waiting = [asyncio.create_task(long_work.run(str, LONG, f"{n}")) for n in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await long_work.run(str, LONG, "one too many")
    held.let_go()

    assert [""] * 8 == await asyncio.gather(*waiting)


async def test_an_error_gives_the_thread_back() -> None:
    """And is the caller's."""
    long_work = LongWork(threads=1)
    with pytest.raises(ZeroDivisionError):
        await long_work.run(lambda: 1 // 0, LONG, "one")

    assert "next" == await long_work.run(lambda: "next", LONG, "one")
