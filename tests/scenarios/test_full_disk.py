"""A disk that is really full: a small file system of its own below a folder of the gateway's."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import engines
import pytest
from bookings import booking
from disks import fill, only_root, small_disk
from messages import referral
from world import Node, eventually, headers, in_time, post, world_in

pytestmark = [pytest.mark.needs("mount"), only_root]


@asynccontextmanager
async def database_on_a_small_disk(node: Node) -> AsyncIterator[Path]:
    """Start the node's gateway again with its database on a disk of its own, and stop it then."""
    await node.stop()
    if engines.on_server():
        server, url = engines.server(), engines.url_of(node.database)
        with small_disk(server.folder / "disk", "32m") as disk, server.moved(url, disk):
            await node.restart()
            yield disk
            await node.stop()
        return
    with small_disk(node.folder / "disk") as disk:
        node.database = disk / "gateway.db"
        node.store = f'[store]\npath = "{node.database}"\nminimum_free_bytes = 0\n'
        await node.restart()
        yield disk
        await node.stop()


@asynccontextmanager
async def spool_on_a_small_disk(node: Node) -> AsyncIterator[Path]:
    """Start the node's gateway again with its spool folder on a disk of its own."""
    await node.stop()
    with small_disk(node.spool) as disk:
        await node.restart()
        yield disk
        await node.stop()


def large_referral() -> bytes:
    """Return one that the log's old pages, which may be written over, have no room for."""
    bundle = json.loads(referral())
    narrative = f'<div xmlns="http://www.w3.org/1999/xhtml">{os.urandom(500_000).hex()}</div>'
    bundle["entry"][1]["resource"]["text"] = {"status": "generated", "div": narrative}
    return json.dumps(bundle).encode()


async def page(node: Node) -> str:
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"http://127.0.0.1:{node.gateway.status.port}/") as response,
    ):
        return await response.text()


async def stalled(node: Node) -> bool:
    return f"{node.spool} stands still: ENOSPC" in await page(node)


@pytest.mark.both_engines
async def test_a_full_disk_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """The file stays in the outbox, and leaves when there is room; nothing is said twice."""
    async with world_in(tmp_path) as world:
        async with database_on_a_small_disk(world.ambulance) as disk:
            ballast = fill(disk)
            body = large_referral()
            world.ambulance.drop("r.json", body)
            await eventually(lambda: world.ambulance.files("outbox/claimed/*"))
            await asyncio.sleep(0.3)  # a few more scans, each of which is refused
            taken = world.ambulance.files("outbox/accepted/*")
            ballast.unlink()
            receipt = await world.ambulance.document("outbox/accepted/r.receipt.json")
            outcome = await world.ambulance.outcome(receipt["request_id"])

        assert [] == taken
        assert "acknowledged" == outcome["state"]
        assert 1 == (await world.hospital.overview()).inbound


@pytest.mark.both_engines
async def test_a_full_disk_is_said_to_the_sender(tmp_path: Path) -> None:
    """503 and nothing stored; the same request is taken once there is room."""
    why = "database server has no room" if engines.on_server() else "database could not write"
    async with world_in(tmp_path) as world:
        async with database_on_a_small_disk(world.hospital) as disk:
            ballast = fill(disk)
            body, sent = large_referral(), headers()
            full, _, _ = await post(world, body, sent)
            said = await page(world.hospital)
            ballast.unlink()
            roomy, _, _ = await post(world, body, sent)

        assert (503, 200) == (full, roomy)
        assert f"Nothing can be stored: the {why}" in said


async def test_the_page_says_no_longer_than_it_is_so_that_the_disk_is_full(tmp_path: Path) -> None:
    """Who has made room sees at once that it was enough."""
    async with world_in(tmp_path) as world:
        async with database_on_a_small_disk(world.hospital) as disk:
            ballast = fill(disk)
            await post(world, large_referral(), headers())
            said = await page(world.hospital)
            ballast.unlink()
            roomy, _, _ = await post(world, large_referral(), headers())
            says = await page(world.hospital)

        assert 200 == roomy
        assert [True, False] == ["Nothing can be stored" in each for each in (said, says)]


@pytest.mark.long
async def test_a_full_spool_folder_holds_up_receipts_and_nothing_else(tmp_path: Path) -> None:
    """What was dropped is sent; receipt and outcome come once there is room, and once each."""
    async with (
        world_in(tmp_path) as world,
        spool_on_a_small_disk(world.ambulance) as disk,
    ):
        node = world.ambulance
        for number in range(3):
            (node.spool / f"outbox/tmp/r{number}.json").write_bytes(referral())
        ballast = fill(disk)
        for file in node.files("outbox/tmp/*"):
            file.rename(node.spool / "outbox" / "new" / file.name)
        await eventually(lambda: len(world.hospital.files("inbox/new/*.message.json")) == 3)
        told = node.files("outbox/accepted/*") + node.files("inbox/new/*")
        concern = await page(node)
        ballast.unlink()
        receipts = [await node.document(f"outbox/accepted/r{n}.receipt.json") for n in range(3)]
        outcomes = [await node.outcome(receipt["request_id"]) for receipt in receipts]

        assert [] == told
        assert f"{node.spool} stands still: ENOSPC" in concern
        assert ["acknowledged"] * 3 == [outcome["state"] for outcome in outcomes]
        assert 6 == len(node.files("outbox/accepted/*"))
        assert 3 == (await world.hospital.overview()).inbound


async def test_a_full_spool_folder_keeps_what_was_received(tmp_path: Path) -> None:
    """200, because it is stored; the EPR gets it byte for byte once there is room."""
    async with (
        world_in(tmp_path) as world,
        spool_on_a_small_disk(world.hospital) as disk,
    ):
        node, body = world.hospital, referral()
        ballast = fill(disk)
        status, _, _ = await post(world, body, headers())
        await in_time(lambda: stalled(node))
        told = node.files("inbox/new/*")
        ballast.unlink()
        (arrived,) = await eventually(lambda: node.files("inbox/new/*.message.json"))

        assert (200, []) == (status, told)
        assert body == arrived.read_bytes()


async def test_a_full_spool_folder_holds_up_questions(tmp_path: Path) -> None:
    """The Sender hears that nobody answered, the operator why; then the EPR is asked."""
    async with (
        world_in(tmp_path, asked='questions = "folder"') as world,
        spool_on_a_small_disk(world.hospital) as disk,
    ):
        node = world.hospital
        ballast = fill(disk)
        status, _, _ = await post(world, booking(), headers())
        told = await stalled(node)
        ballast.unlink()
        (asked,) = await eventually(lambda: node.files("questions/new/*.question.json"))

        assert (408, True) == (status, told)
        assert "open" == json.loads(asked.read_bytes())["state"]
