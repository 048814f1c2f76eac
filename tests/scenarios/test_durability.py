"""On disk before it is said: the order of system calls, as the kernel saw them."""

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from asked_epr import answering
from bookings import booking, focus
from messages import referral
from tracing import read, traced
from world import World, headers, post, world_in

pytestmark = [pytest.mark.needs("strace"), pytest.mark.of_sqlite]

CALLS = "fsync,fdatasync,syncfs,rename,renameat,renameat2,recvfrom,read,sendto,sendmsg,write,writev"
OPTIONS = ("-y", "-s", "0")  # paths, and no data


def steps(trace: Path) -> list[str]:
    """Return the calls that succeeded, in the order in which they ended."""
    return [call.text for call in read(trace) if call.succeeded]


def last(calls: list[str], fits: Callable[[str], bool], before: int | None = None) -> int:
    """Return the place of the last call that fits, before that place."""
    return max(index for index, call in enumerate(calls[:before]) if fits(call))


def is_sync(call: str, name: str) -> bool:
    return call.startswith(("fsync(", "fdatasync(", "syncfs(")) and name in call


def is_message(call: str) -> bool:
    """Tell the bytes of a message on a socket from the small records of a handshake."""
    on_a_socket = "<socket:[" in call or "<TCP" in call
    return on_a_socket and int(call.rpartition("=")[2].split()[0]) > 5000


async def test_the_log_is_synced_before_the_200(world: World, tmp_path: Path) -> None:
    """Between the last byte of the request and the first of the answer lies an fsync of the WAL."""
    trace = tmp_path / "trace"
    async with traced(world.hospital, trace, CALLS, *OPTIONS):
        status, _, _ = await post(world, referral(), headers(Accept_Encoding="identity"))
    calls = steps(trace)
    reads, writes = ("recvfrom(", "read("), ("sendto(", "sendmsg(", "write(", "writev(")
    said = last(calls, lambda call: call.startswith(writes) and is_message(call))
    heard = last(calls, lambda call: call.startswith(reads) and is_message(call), said)

    assert 200 == status
    assert any(is_sync(call, "gateway.db-wal") for call in calls[heard:said])


async def test_the_log_is_synced_between_the_eprs_answer_and_the_200(tmp_path: Path) -> None:
    """The Sender hears yes after the EPR has said it and the yes is on disk, in that order."""
    trace, body = tmp_path / "trace", booking(padding="x" * 5000)
    accepted = json.loads(body)
    focus(accepted)["id"] = str(uuid.uuid4())
    async with (
        world_in(tmp_path, asked='questions = "socket"') as world,
        traced(world.hospital, trace, CALLS, *OPTIONS),
        answering(world.hospital.socket, lambda _: accepted),
    ):
        status, _, _ = await post(world, body, headers(Accept_Encoding="identity"))
    calls = steps(trace)
    reads, writes = ("recvfrom(", "read("), ("sendto(", "sendmsg(", "write(", "writev(")
    said = last(calls, lambda call: call.startswith(writes) and is_message(call))
    decided = last(calls, lambda call: call.startswith(reads) and is_message(call), said)
    asked = last(calls, lambda call: call.startswith(reads) and is_message(call), decided)

    assert 200 == status
    assert any(is_sync(call, "gateway.db-wal") for call in calls[asked:decided])
    assert any(is_sync(call, "gateway.db-wal") for call in calls[decided:said])


async def test_everything_is_synced_before_the_receipt_appears(
    world: World, tmp_path: Path
) -> None:
    """The WAL, the receipt's bytes, then its name, then its folder."""
    trace = tmp_path / "trace"
    async with traced(world.ambulance, trace, CALLS, *OPTIONS):
        await world.ambulance.sent("r.json", referral())
        await asyncio.sleep(0.3)
    calls = steps(trace)
    claimed = min(i for i, call in enumerate(calls) if call.startswith("rename") and "new" in call)
    named = last(calls, lambda call: call.startswith("rename") and "r.receipt.json" in call)
    written = last(calls, lambda call: is_sync(call, "spool/outbox"), named)

    assert any(is_sync(call, "gateway.db-wal") for call in calls[claimed:written])
    assert any(is_sync(call, "outbox/accepted") for call in calls[named:])
