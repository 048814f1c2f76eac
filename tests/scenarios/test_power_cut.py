"""The power fails: what was not synced is lost, and the gateway goes on with the rest."""

import json
import os
import sqlite3
from pathlib import Path

import pytest
from disks import disk_at, mounted, only_root
from messages import referral, validation_request
from world import World, eventually, headers, post, world_in

from bars_gateway.store.examination import examine

pytestmark = [pytest.mark.needs("mount", "mkfs.ext4"), only_root]

MESSAGES = 6


def stored(left: Path) -> set[str]:
    """Return the X-Request-Ids in what was left of a database, which must be whole."""
    with mounted(left) as folder:
        database = folder / "state" / "gateway.db"
        assert [] == examine(database).problems
        connection = sqlite3.connect(database)
        found = {row[0] for row in connection.execute("SELECT request_id FROM messages")}
        connection.close()
        return found


async def test_what_was_answered_200_is_there(tmp_path: Path) -> None:
    """M1: after each 200 the disk alone, without the system's memory, holds the message."""
    with disk_at(tmp_path / "hospital") as disk:
        async with world_in(tmp_path) as world:
            os.sync()  # the world itself is not what is tested
            said: list[set[str]] = []
            cuts: list[Path] = []
            for _ in range(MESSAGES):
                sent = headers()
                status, _, _ = await post(world, referral(), sent)
                cuts.append(disk.cut())
                assert 200 == status
                said.append({*(said[-1] if said else ()), str(sent["X-Request-Id"])})

    assert [set()] * MESSAGES == [
        promised - stored(left) for promised, left in zip(said, cuts, strict=True)
    ]


async def test_what_has_a_receipt_is_there(tmp_path: Path) -> None:
    """M1: a receipt that an EPR may have read stands for a message that is on disk."""
    with disk_at(tmp_path / "ambulance") as disk:
        async with world_in(tmp_path) as world:
            os.sync()
            said: list[set[str]] = []
            cuts: list[Path] = []
            for number in range(MESSAGES):
                receipt = await world.ambulance.sent(f"{number}.json", validation_request())
                cuts.append(disk.cut())
                said.append({*(said[-1] if said else ()), receipt["request_id"]})

    assert [set()] * MESSAGES == [
        promised - stored(left) for promised, left in zip(said, cuts, strict=True)
    ]


async def test_a_gateway_goes_on_after_a_power_cut(tmp_path: Path) -> None:
    """What had a receipt arrives once, whatever the disk knows of its having been sent."""
    with disk_at(tmp_path / "ambulance") as disk:
        async with world_in(tmp_path) as world:
            os.sync()
            receipts = [
                await world.ambulance.sent(f"{number}.json", referral())
                for number in range(MESSAGES)
            ]
            left = disk.cut()
            await world.ambulance.stop()
            disk.go_on_with(left)
            await world.ambulance.restart()
            outcomes = [await world.ambulance.outcome(each["request_id"]) for each in receipts]
            arrived = await notices(world)
            await world.ambulance.stop()

    assert ["acknowledged"] * MESSAGES == [outcome["state"] for outcome in outcomes]
    assert sorted(each["request_id"] for each in receipts) == sorted(arrived)


async def notices(world: World) -> list[str]:
    """Return the X-Request-Ids of what the hospital's EPR was handed."""
    files = await eventually(
        lambda: len(f := world.hospital.files("inbox/new/*.notice.json")) >= MESSAGES and f
    )
    return [json.loads(file.read_bytes())["request_id"] for file in files]
