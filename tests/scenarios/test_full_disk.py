"""A disk that is really full: a small file system of its own below the state folder."""

import asyncio
from pathlib import Path

import pytest
from disks import fill, only_root, small_disk
from messages import referral
from world import Node, eventually, headers, post, world_in

pytestmark = [
    pytest.mark.needs("mount"),
    only_root,
]


async def moved(node: Node, disk: Path) -> None:
    """Start the node's gateway anew with its database on *disk*."""
    node.database = disk / "gateway.db"
    node.store = f'[store]\npath = "{node.database}"\nminimum_free_bytes = 0\n'
    await node.restart()


async def test_a_full_disk_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """The file stays in the outbox, and leaves when there is room; nothing is said twice."""
    async with world_in(tmp_path) as world:
        with small_disk(tmp_path / "disk") as disk:
            await moved(world.ambulance, disk)
            ballast = fill(disk)
            body = referral()
            world.ambulance.drop("r.json", body)
            await eventually(lambda: world.ambulance.files("outbox/claimed/*"))
            await asyncio.sleep(0.3)  # a few more scans, each of which is refused
            taken = world.ambulance.files("outbox/accepted/*")
            ballast.unlink()
            receipt = await world.ambulance.document("outbox/accepted/r.receipt.json")
            outcome = await world.ambulance.outcome(receipt["request_id"])
            await world.ambulance.stop()

        assert [] == taken
        assert "acknowledged" == outcome["state"]
        assert 1 == (await world.hospital.overview()).inbound


async def test_a_full_disk_is_said_to_the_sender(tmp_path: Path) -> None:
    """503 and nothing stored; the same request is taken once there is room."""
    async with world_in(tmp_path) as world:
        with small_disk(tmp_path / "disk") as disk:
            await moved(world.hospital, disk)
            ballast = fill(disk)
            body, sent = referral(), headers()
            full, _, _ = await post(world, body, sent)
            ballast.unlink()
            roomy, _, _ = await post(world, body, sent)
            await world.hospital.stop()

        assert (503, 200) == (full, roomy)


async def test_a_full_spool_folder_tells_nobody_what_is_not_there(tmp_path: Path) -> None:
    """No receipt while it cannot be written, whole and then there is; the message leaves once."""
    async with world_in(tmp_path) as world:
        node = world.ambulance
        await node.stop()
        with small_disk(node.spool, "1m") as disk:
            await node.restart()
            node.drop("r.json", referral())
            ballast = fill(disk)
            await eventually(lambda: node.files("outbox/claimed/*"))
            await asyncio.sleep(0.3)  # a few more scans, none of which finds room
            told = [*node.files("outbox/accepted/*"), *node.files("outbox/refused/*")]
            ballast.unlink()
            receipt = await node.document("outbox/accepted/r.receipt.json")
            outcome = await node.outcome(receipt["request_id"])
            await node.stop()

        assert [] == told
        assert "acknowledged" == outcome["state"]
        assert 1 == (await world.hospital.overview()).inbound


async def test_what_has_no_room_in_the_inbox_is_kept_for_it(tmp_path: Path) -> None:
    """The Sender has its 200, for the message is on disk; the EPR gets it when there is room."""
    async with world_in(tmp_path) as world:
        node = world.hospital
        await node.stop()
        with small_disk(node.spool, "1m") as disk:
            await node.restart()
            ballast = fill(disk)
            body = referral()
            status, _, _ = await post(world, body, headers())
            await asyncio.sleep(0.3)
            before = node.files("inbox/new/*")
            ballast.unlink()
            (message,) = await eventually(lambda: node.files("inbox/new/*.message.json"))
            delivered = message.read_bytes()
            await node.stop()

        assert (200, []) == (status, before)
        assert body == delivered
