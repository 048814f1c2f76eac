"""
A power cut at any moment: all that was not synced is dropped, and the rest must keep every promise.

One gateway takes messages from others and from its EPR while its system calls are written
down. The disk is rebuilt as it was for certain when each promise was made, and looked at.
"""

import asyncio
import json
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import turning_keys
from forgetful_disk import CALLS, HEXADECIMAL, OPTIONS, ForgetfulDisk, names
from messages import RECEIVER, SENDER, referral
from tracing import Call, read, traced
from world import Node, World, headers, post, world_in

from bars_gateway.keyring import encrypted_by
from bars_gateway.store.rows import unpacked
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.integrity import examine

pytestmark = [pytest.mark.needs("strace"), pytest.mark.of_sqlite]

MESSAGES = 24  # each way; for longer than it takes to move the log into the database
PAUSE = 0.25  # seconds
SENDS = ("sendto(", "sendmsg(", "write(", "writev(")


@dataclass(frozen=True)
class Said:
    """What a gateway has promised, in the order in which it did."""

    posts: list[tuple[bytes, dict[str, str]]]  # what was answered with 200
    bodies: dict[str, bytes]  # what was dropped, by the name of the file
    receipts: dict[str, str]  # X-Request-Id by the name of the receipt

    @property
    def received(self) -> list[str]:
        return [sent["X-Request-Id"] for _, sent in self.posts]


async def run_under_trace(world: World, trace: Path, messages: int = MESSAGES) -> Said:
    """Let the hospital begin with empty folders, and receive and send."""
    node = world.hospital
    await node.stop()
    for folder in (node.folder / "state", node.spool):
        shutil.rmtree(folder)
        folder.mkdir()
    said = Said([], {}, {})
    async with traced(node, trace, CALLS, *OPTIONS):
        for number in range(messages):
            received = (referral(), headers(Accept_Encoding="identity"))
            status, _, _ = await post(world, *received)
            assert 200 == status
            said.posts.append(received)
            name, body = f"r{number}.json", referral(sender=RECEIVER, receiver=SENDER)
            receipt = await node.sent(name, body)
            said.bodies[name] = body
            said.receipts[f"r{number}.receipt.json"] = receipt["request_id"]
            await asyncio.sleep(PAUSE)
        await asyncio.gather(*(node.outcome(one) for one in said.receipts.values()))
    return said


def promise(call: Call, node: Node) -> str | None:
    """Return what the call lets somebody see: an answer, or the name of a file."""
    if not call.ended and call.text.startswith(SENDS):
        an_answer = f"<TCP:[127.0.0.1:{node._port}->" in call.text
        return "200" if an_answer and len(call.text) > HEXADECIMAL * 5000 else None
    if call.succeeded and call.name == "renameat":
        name = names(call)[-1].rpartition("/")[2]
        return name if name.endswith((".receipt.json", ".outcome.json", ".message.json")) else None
    return None


def moments(node: Node, said: Said, trace: Path) -> Iterator[tuple[ForgetfulDisk, set[str]]]:
    """Yield the disk at each promise, with the ids of the messages that were promised by then."""
    new = node.spool / "outbox" / "new"
    dropped = {new / name: body for name, body in said.bodies.items()}
    disk = ForgetfulDisk(node.folder / "state", node.spool, dropped=dropped)
    received = iter(said.received)
    promised: set[str] = set()
    for call in read(trace):
        disk.follow(call)
        seen = promise(call, node)
        if seen == "200":
            promised.add(next(received))
        elif seen in said.receipts:
            promised.add(said.receipts[seen])
        if seen:
            yield disk, set(promised)
    yield disk, set(promised)


async def found_after(disk: ForgetfulDisk, node: Node, to: Path) -> set[str]:
    """Open a store on what is left; return its messages, once that is seen to be sound."""
    for folder in (node.folder / "state", node.spool):
        disk.power_cut(folder, to / folder.name)
    path = to / "state" / node.database.name
    async with open_database(path):
        with closing(sqlite3.connect(path)) as connection:
            sound = connection.execute("PRAGMA integrity_check").fetchall()
            found = {one for (one,) in connection.execute("SELECT request_id FROM messages")}
            collected = connection.execute(
                "SELECT id, kind FROM notices WHERE collected_at NOT NULL"
            ).fetchall()
    inbox = to / "spool" / "inbox" / "new"

    assert [("ok",)] == sound
    for number, kind in collected:
        assert json.loads((inbox / f"{number:012d}.{kind}.json").read_bytes())
    return found


def receipts_in(accepted: Path) -> dict[str, str]:
    """Return the X-Request-Id of each receipt that is there, by its name."""
    files = accepted.glob("*.receipt.json")
    return {
        file.name: json.loads(file.read_bytes() or b"{}").get("request_id", "") for file in files
    }


async def test_promises_survive_the_loss_of_all_that_was_not_synced(tmp_path: Path) -> None:
    """At each 200, receipt and delivery: every message promised, and every notice collected."""
    async with world_in(tmp_path / "world") as world:
        said = await run_under_trace(world, tmp_path / "trace")
        for disk, promised in moments(world.hospital, said, tmp_path / "trace"):
            left = tmp_path / "left"
            found = await found_after(disk, world.hospital, left)
            receipts = receipts_in(left / "spool" / "outbox" / "accepted")
            shutil.rmtree(left)

            assert promised <= found

    assert {*said.received, *said.receipts.values()} == promised
    assert said.receipts == receipts


async def test_a_gateway_goes_on_from_what_was_synced(tmp_path: Path) -> None:
    """After the power cut nothing is taken twice and nothing is sent twice."""
    async with world_in(tmp_path / "world") as world:
        node = world.hospital
        said = await run_under_trace(world, tmp_path / "trace", messages=3)
        *_, (disk, _) = moments(node, said, tmp_path / "trace")
        for folder in (node.folder / "state", node.spool):
            shutil.rmtree(folder)
            disk.power_cut(folder, folder)
        await node.restart()
        again = [await post(world, *one) for one in said.posts]
        for name, body in said.bodies.items():
            node.drop(f"again-{name}", body)
        receipts = [await node.document(f"outbox/accepted/again-{name}") for name in said.receipts]

        assert {409} == {status for status, _, _ in again}
        assert list(said.receipts.values()) == [receipt["request_id"] for receipt in receipts]
        assert len(said.bodies) == (await world.ambulance.overview()).inbound


async def test_a_rotation_that_loses_its_power_goes_on_from_what_was_synced(
    tmp_path: Path,
) -> None:
    """At each sync every message can be read, by the old key or the new; none is half done."""
    state, trace, left = (tmp_path / name for name in ("state", "trace", "left"))
    state.mkdir()
    program = (sys.executable, str(turning_keys.__file__), str(state / "gateway.db"))
    words = ("strace", "-f", "-o", str(trace), "-e", f"trace={CALLS}", *OPTIONS, *program)
    done = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.DEVNULL)
    assert 0 == await done.wait()
    disk, filled, seen = ForgetfulDisk(state, dropped={}), False, set()
    for call in read(trace):
        filled = filled or (call.name == "write" and _hexadecimal(turning_keys.FILLED) in call.text)
        disk.follow(call)
        if filled and call.succeeded and call.name in {"fsync", "fdatasync"}:
            disk.power_cut(state, left)
            seen.add(await keys_after(left / "gateway.db"))
            shutil.rmtree(left)

    all_of_them = 2 * turning_keys.MESSAGES  # with what each was answered
    assert {all_of_them} == {first + second for first, second in seen}
    assert {(all_of_them, 0), (0, all_of_them)} < seen


def _hexadecimal(text: bytes) -> str:
    return "".join(f"\\x{each:02x}" for each in text)


async def keys_after(database: Path) -> tuple[int, int]:
    """Open what is left; return how many bodies can be read by the first key, and by the second."""
    async with open_database(database, vault=turning_keys.BOTH):
        pass
    assert [] == examine(database, vault=turning_keys.BOTH).problems
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM payloads").fetchall()
    assert all(unpacked(row, turning_keys.BOTH, "payloads") for row in rows)
    by = [encrypted_by(bytes(row["body"])) for row in rows]
    return by.count("first"), by.count("second")
