"""
What a power cut would have left, at many moments of one run; nothing is cut.

    python tests/vm/moments.py FOLDER     MOMENTS=40 SEED=1; DISK as for power_cuts

`power_cuts` takes a minute or two for each cut, most of it for the machine to start again. Here
the machine goes on: in the middle of a write the disk is copied as a cut would leave it, with what
was acknowledged by then. The copy is recovered and looked at out here:

    copy ─► ext4's journal (e2fsck) ─► database and receipts, taken out ─► is everything there?

That the machine and the gateway start again by themselves is for `power_cuts` to show.
"""

import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from facts import Facts
from power_cuts import LONGEST_PAUSE, started, tried, with_folder_epr, without_folder_epr
from scene import Scene
from traffic import Traffic

_STATE = "/var/lib/bars-gateway"
_RECEIPTS = "/var/spool/bars-gateway/trust/outbox/accepted"
_MOST_WRITES = 12


@dataclass(frozen=True)
class Moment:
    """One of them: the copy, what was promised by then, and what had not been flushed."""

    image: Path
    promised: frozenset[str]
    by_folder: dict[str, str]
    lost: int
    unflushed: int


def ran(*command: str | Path) -> tuple[int, str]:
    """Return how *command* ended, and what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def wrong(moment: Moment, folder: Path) -> list[str]:
    """Recover the copy, and return what is not as it was promised."""
    ran("e2fsck", "-E", "journal_only", moment.image)
    ran("e2fsck", "-p", moment.image)  # and what a kernel does with orphans
    code, said = ran("e2fsck", "-fn", moment.image)
    problems = [f"ext4 is not sound: {said}"] if code else []
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for each in (_STATE, _RECEIPTS):
        ran("debugfs", "-R", f"rdump {each} {folder}", moment.image)
    database = folder / Path(_STATE).name / "gateway.db"
    try:
        with closing(sqlite3.connect(database)) as asked:
            sound = [each for (each,) in asked.execute("PRAGMA quick_check")]
            ids = [each for (each,) in asked.execute("SELECT request_id FROM messages")]
    except sqlite3.Error as error:
        return [*problems, f"LOST: the database: {error}"]
    missing = moment.promised - set(ids)
    if sound != ["ok"]:
        problems.append(f"the database is not sound: {sound[:3]}")
    if missing or len(ids) != len(set(ids)):
        problems.append(f"LOST: {len(missing)} of {len(moment.promised)}: {sorted(missing)[:5]}")
    receipts = folder / Path(_RECEIPTS).name
    for name, request_id in moment.by_folder.items():
        try:
            told = json.loads((receipts / f"{name}.receipt.json").read_bytes())["request_id"]
        except (OSError, ValueError) as error:
            told = repr(error)
        if told != request_id:
            problems.append(f"LOST: the receipt of {name}: {told}")
    return problems


async def moment_of(scene: Scene, traffic: Traffic, image: Path, rng: random.Random) -> Moment:
    """Let both flow for a while, and return a moment in the middle of a write."""
    await traffic.flows()
    await asyncio.sleep(rng.uniform(0, LONGEST_PAUSE))
    found = asyncio.get_running_loop().create_future()

    def look() -> None:
        lost, unflushed = scene.disk.cache.keep(image, rng)
        promised = frozenset(traffic.promised)
        found.set_result(Moment(image, promised, dict(traffic.epr.by_folder), lost, unflushed))

    scene.disk.at_a_write(rng.randint(1, _MOST_WRITES), look)
    return await found


async def look_again_and_again(
    scene: Scene, facts: Facts, moments: int, rng: random.Random
) -> None:
    """Look at so many moments; in the end, that all was told."""
    await started(scene, facts, after_cut=False)
    traffic = scene.traffic(0.1)
    await with_folder_epr(scene, traffic)
    image = scene.folder / "moment.img"
    async with traffic.flowing(900):
        for number in range(1, moments + 1):
            moment = await moment_of(scene, traffic, image, rng)
            problems = await asyncio.to_thread(wrong, moment, scene.folder / "moment")
            facts.require(
                f"moment {number} of {moments}: of {moment.unflushed} blocks that were not flushed"
                f" {moment.lost} are lost, and none of {len(moment.promised)} messages that were"
                f" acknowledged, nor of {len(moment.by_folder)} receipts; all is sound",
                not problems,
                "\n".join([f"of {moment.unflushed} blocks {moment.lost} are lost", *problems]),
            )
        await without_folder_epr(facts)
    problems = await traffic.problems(scene.at_far_side)
    facts.require(
        f"of {len(traffic.promised)} messages each was told, and is at the far side, once",
        not problems,
        "\n".join(problems),
    )
    await scene.machine.stop()


if __name__ == "__main__":
    wanted = int(os.environ.get("MOMENTS") or 40)
    asyncio.run(tried(look_again_and_again, Path(sys.argv[1]) / "moments", wanted))
