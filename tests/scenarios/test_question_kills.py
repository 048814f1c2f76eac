"""A gateway is killed at each step of a question: nobody is asked twice, nothing is lost."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from asked_epr import YES, Epr, epr_at
from bookings import booking
from world import World, begun, eventually, headers, post, world_in

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]

LAUNCHER = Path(__file__).parent.parent / "support" / "crashing_gateway.py"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked='questions = "socket"') as running:
        yield running


@asynccontextmanager
async def dying(world: World, point: str) -> AsyncIterator[Epr]:
    """Run the hospital's gateway as a process that kills itself at *point*, as it must."""
    await world.hospital.stop()
    log = world.hospital.folder / "dying.log"
    command = [sys.executable, str(LAUNCHER), point, *world.hospital.command("run")[3:]]
    async with begun(log, *command) as process:
        await eventually(lambda: b"daemon.started" in log.read_bytes())
        async with epr_at(world.hospital.socket) as epr:
            await epr.questions(wait=0)
            yield epr
        async with asyncio.timeout(20):
            code = await process.wait()
    assert -signal.SIGKILL == code, log.read_text()[-2000:]
    await world.hospital.restart()


async def posted(world: World, body: bytes, sent: dict[str, str]) -> int | None:
    """Return the status of a booking, or None where the gateway died over it."""
    try:
        status, _, _ = await post(world, body, sent)
    except aiohttp.ClientError:
        return None
    return status


async def test_dead_before_the_question_is_on_disk(world: World) -> None:
    """Nobody was asked; the retry asks."""
    body, sent = booking(), headers()
    async with dying(world, "before:ask_about"):
        first = await posted(world, body, sent)
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        open_ones = await epr.questions(wait=0)
        retry = group.create_task(post(world, body, sent))
        await epr.answer((await epr.question())["question_id"], YES)

    assert (None, [], 200) == (first, open_ones, retry.result()[0])


async def test_dead_after_the_question_is_on_disk(world: World) -> None:
    """The EPR finds it after the restart, and the retry waits for its answer."""
    body, sent = booking(), headers()
    async with dying(world, "after:ask_about"):
        first = await posted(world, body, sent)
    early, _, _ = await post(world, body, sent)
    async with epr_at(world.hospital.socket) as epr:
        await epr.answer((await epr.question())["question_id"], YES)
    late, _, _ = await post(world, body, sent)

    assert (None, 425, 409) == (first, early, late)
    assert 1 == await world.hospital.rows("messages")


@pytest.mark.parametrize(
    ("point", "state"), [("before:decide", "open"), ("after:decide", "answered")]
)
async def test_dead_over_the_answer(world: World, point: str, state: str) -> None:
    """No 200 went out; the EPR, which got no receipt, repeats its answer, and it counts once."""
    body, sent = booking(), headers()
    async with dying(world, point) as epr, asyncio.TaskGroup() as group:
        first = group.create_task(posted(world, body, sent))
        number = (await epr.question())["question_id"]
        with pytest.raises(aiohttp.ClientError):
            await epr.answer(number, YES)
    async with epr_at(world.hospital.socket) as epr:
        _, shown = await epr.shown(number)
        status, receipt = await epr.answer(number, YES)
    retry, _, _ = await post(world, body, sent)

    assert (None, state) == (first.result(), shown["state"])
    assert (200, True, 409) == (status, receipt["accepted"], retry)
    assert 1 == await world.hospital.rows("messages")
