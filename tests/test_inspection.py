"""Everything is compared behind the open doors: at a start, and every day when it is quiet."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from store_values import NOW
from structlog.testing import capture_logs

from bars_gateway.model.readings import Findings, Inspected
from bars_gateway.upkeep.housekeeping import INSPECTED_AT_LATEST, INSPECTED_EVERY, Inspector

HIDDEN = Findings(table="messages", rebuilt=["messages_due: 1 row"])
WELL = Findings(table="messages")


class Scripted:
    """A soundness whose steps find what they are told to; it notes what it is asked."""

    def __init__(self, *steps: Findings) -> None:
        self.steps = steps
        self.after_orderly_stop = True
        self.left: Sequence[str] = ()
        self.asked: list[str] = []
        self.newest = 0
        self.before_step: Callable[[], None] = lambda: None
        self._waiting: list[Findings] = []

    async def last(self) -> Inspected:
        return Inspected(began_at=None, ended_at=None, found=[])

    async def begin(self, now: datetime) -> None:
        self.asked.append("begin")
        self._waiting = list(self.steps)

    async def step(self) -> Findings | None:
        self.before_step()
        return self._waiting.pop(0) if self._waiting else None

    async def retry(self) -> None:
        self.asked.append("retry")

    async def end(self, found: Sequence[str], now: datetime) -> None:
        self.asked.append(f"end {len(found)}")

    async def newest_message(self) -> int:
        return self.newest

    def break_off(self) -> None:
        self.asked.append("break off")

    async def close(self) -> None:
        self.asked.append("close")


class Clock:
    """A clock that goes on by an hour each time that somebody waits a round."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


def inspector(soundness: Scripted, clock: Clock) -> Inspector:
    return Inspector(soundness, clock.now, monotonic=lambda: 0.0, quiet_seconds=0.0)


@asynccontextmanager
async def running(made: Inspector) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(made.run())
        yield
        made.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_it_says_that_it_is_not_done_until_it_is() -> None:
    """What the page shows as a concern ends with the last step."""
    soundness, clock = Scripted(WELL, HIDDEN), Clock()
    made = inspector(soundness, clock)
    seen = []
    soundness.before_step = lambda: seen.append(made.inspection.waits_since)
    await made.inspect()

    assert [NOW, NOW, NOW] == seen
    assert made.inspection.waits_since is None
    assert made.inspection.last is not None
    assert HIDDEN.sentences == made.inspection.last.found


async def test_what_was_found_is_written_down() -> None:
    """With the log's line that it has come to its end."""
    soundness = Scripted(HIDDEN)
    with capture_logs() as logs:
        await inspector(soundness, Clock()).inspect()

    assert ["begin", "end 1"] == soundness.asked
    assert [("store.compared", 1)] == [(line["event"], line["count"]) for line in logs]


async def test_it_is_done_again_after_a_day_when_it_is_quiet() -> None:
    """And no earlier, however quiet it is."""
    soundness, clock = Scripted(), Clock()
    async with running(inspector(soundness, clock)):
        await until(lambda: soundness.asked.count("retry") > 3)
        clock.at = NOW + INSPECTED_EVERY - timedelta(seconds=1)
        before = soundness.asked.count("retry")
        await until(lambda: soundness.asked.count("retry") > before + 3)
        early = soundness.asked.count("begin")
        clock.at = NOW + INSPECTED_EVERY
        await until(lambda: soundness.asked.count("begin") > 1)

    assert 1 == early


async def test_it_waits_for_a_quiet_moment_and_not_for_ever() -> None:
    """Where messages come all the time, it is done at the latest hour."""
    soundness, clock = Scripted(), Clock()

    class Busy(Scripted):
        async def newest_message(self) -> int:
            self.newest += 1
            return self.newest

    soundness = Busy()
    async with running(inspector(soundness, clock)):
        await until(lambda: "retry" in soundness.asked)
        clock.at = NOW + INSPECTED_EVERY + INSPECTED_AT_LATEST - timedelta(seconds=1)
        before = soundness.asked.count("retry")
        await until(lambda: soundness.asked.count("retry") > before + 3)
        busy = soundness.asked.count("begin")
        clock.at = NOW + INSPECTED_EVERY + INSPECTED_AT_LATEST
        await until(lambda: soundness.asked.count("begin") > 1)

    assert 1 == busy


async def test_a_stop_ends_it_in_the_middle() -> None:
    """Nothing is written down as done; the next start begins again."""
    soundness = Scripted(*[WELL] * 1000)
    made = inspector(soundness, Clock())
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            made.stop()

    soundness.before_step = count
    await made.run()

    assert 3 == steps
    assert ["begin", "break off", "close"] == soundness.asked
    assert made.inspection.waits_since == NOW
