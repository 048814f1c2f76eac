"""
Cuts the power of the machine under traffic, again and again: what was acknowledged is there once.

    python tests/vm/power_cuts.py FOLDER     CUTS=30 SEED=1 of them, on a disk that may lose
                                             whatever was not flushed
    DISK=liar                                the disk lies about FLUSH: then something IS lost, and
    DISK=nobarrier                           so it is where ext4 is told to do without; to be seen

A cut kills QEMU under traffic, in a write. The disk then loses what was not flushed, all of it or
by chance block by block; the machine starts again, and by itself so does the gateway.
"""

import asyncio
import io
import os
import random
import shutil
import sys
import tarfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from facts import Facts
from messages import RECEIVER, SENDER, referral
from scene import Scene, go_through, scene
from service import copy, is_ready
from traffic import Traffic

Step = Callable[[Scene, Facts, int, random.Random], Awaitable[None]]
LONGEST_PAUSE = 8.0  # seconds of traffic before a cut
LIE_SECONDS = 20.0  # by which a disk that lies is late
_LOOK = """
import sqlite3
asked = sqlite3.connect("file:/var/lib/bars-gateway/gateway.db?mode=ro", uri=True)
print(*(each for each, in asked.execute("PRAGMA quick_check")))
for each in asked.execute("SELECT request_id FROM messages"):
    print(*each)
"""
_EPR = """
[Unit]
BindsTo=dev-virtio\\x2dports-told.device
After=dev-virtio\\x2dports-told.device
[Service]
User=epr
ExecStart=/opt/bars-gateway/bin/python -IB /srv/epr_by_folder.py /srv/bodies \\
  /var/spool/bars-gateway/trust
StandardOutput=file:/dev/virtio-ports/told
StandardError=journal
Restart=always
TimeoutStopSec=10min
[Install]
WantedBy=multi-user.target
"""
BODIES = 200
AS_GATEWAY = "setpriv --reuid=bars-gateway --regid=bars-gateway --clear-groups"


async def with_folder_epr(scene: Scene, traffic: Traffic) -> None:
    """Let an EPR of the folders begin in there, with each start of the machine."""
    machine, here = scene.machine, Path(__file__).parent
    machine.hears = traffic.epr.heard
    for first in range(0, BODIES, 20):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for number in range(first, first + 20):
                body = referral(sender=SENDER, receiver=RECEIVER)
                entry = tarfile.TarInfo(f"{number:04d}.json")
                entry.size, entry.mode = len(body), 0o644
                tar.addfile(entry, io.BytesIO(body))
        await machine.put({"/srv/bodies.tgz": packed.getvalue()})
        done = await machine.run("mkdir -p /srv/bodies && tar -C /srv/bodies -xzf /srv/bodies.tgz")
        assert done.code == 0, done.said
    await machine.put(
        {
            "/srv/epr_by_folder.py": (here / "epr_by_folder.py").read_bytes(),
            "/etc/systemd/system/epr-by-folder.service": _EPR.encode(),
        }
    )
    done = await machine.run("sync; systemctl enable --now epr-by-folder.service")
    assert done.code == 0, done.said


async def without_folder_epr(facts: Facts) -> None:
    """Let it end once it has its last receipt: what is acknowledged later, nobody would hear."""
    ends = "systemctl disable --now epr-by-folder.service"
    await facts.ran("the EPR of the folders has its last receipt", ends, 600)


async def kept(scene: Scene) -> tuple[str, list[str]]:
    """Return what SQLite says of the database, and the X-Request-Ids that are in it."""
    await scene.machine.put({"/srv/look.py": _LOOK.encode()})
    python = "/opt/bars-gateway/bin/python"
    done = await scene.machine.run(f"{AS_GATEWAY} {python} -IB /srv/look.py", 300)
    sound, *ids = done.said.splitlines()
    return sound, ids


async def looked_at(scene: Scene, traffic: Traffic, facts: Facts) -> None:
    """Require that everything that was acknowledged is there, once the gateway is ready."""
    promised = traffic.promised
    sound, ids = await kept(scene)
    facts.require("the database is sound", sound == "ok", sound)
    missing = promised - set(ids)
    facts.require(
        f"all {len(promised)} that were acknowledged are there, each once",
        not missing and len(ids) == len(set(ids)),
        f"LOST: {len(missing)} of {len(promised)}: {sorted(missing)[:5]}",
    )


async def started(scene: Scene, facts: Facts, *, after_cut: bool) -> None:
    """Switch it on, and wait for the gateway to be ready, by itself."""
    seconds = await scene.machine.start()
    recovered = await scene.machine.run(
        "dmesg | grep -i 'ext4-fs.*\\(recovery\\|error\\|warning\\)'"
    )
    facts.require(f"it starts in {seconds:.0f} s", "error" not in recovered.said, recovered.said)
    if after_cut:
        facts.require(
            "ext4 has recovered from its journal",
            "recovery complete" in recovered.said
            or "recovering journal" in scene.machine.console.read_text("utf-8", "replace"),
            recovered.said,
        )
    await facts.becomes("the gateway is ready by itself", lambda: is_ready(scene.machine), 600)


async def cut_again_and_again(scene: Scene, facts: Facts, cuts: int, rng: random.Random) -> None:
    """Cut so often, and see each time that nothing is missing; in the end, that all was told."""
    await started(scene, facts, after_cut=False)
    traffic = scene.traffic(0.1)
    await with_folder_epr(scene, traffic)
    async with traffic.flowing(900):
        for number in range(1, cuts + 1):
            await traffic.flows()
            pause = rng.uniform(0, LONGEST_PAUSE)
            await asyncio.sleep(pause)
            lost, unflushed = await scene.machine.cut(rng)
            by_folder, traffic.epr.heard_again = set(traffic.epr.by_folder), set()
            facts.note(
                f"cut {number} of {cuts}, after {pause:.1f} s: of {unflushed} blocks that were not"
                f" flushed {lost} are lost; {len(traffic.epr.receipts)} messages were acknowledged"
                f" to the EPR, of them {len(by_folder)} by folder, and"
                f" {len(traffic.sender.acknowledged)} to the Sender"
            )
            await started(scene, facts, after_cut=True)
            await looked_at(scene, traffic, facts)

            async def heard(before: set[str] = by_folder) -> bool:
                return before <= traffic.epr.heard_again

            await facts.becomes("every receipt in the folder is there again", heard)
        await without_folder_epr(facts)
    problems = await traffic.problems(scene.at_far_side)
    facts.require(
        f"of {len(traffic.promised)} messages each was told, and is at the far side, once",
        not problems,
        "\n".join(problems),
    )
    verified = await facts.ran("bars-gateway verify", f"{AS_GATEWAY} bars-gateway verify", 900)
    facts.note(verified.splitlines()[-1])
    await scene.machine.stop()


async def tried(step: Step, folder: Path, times: int) -> None:
    """Take that step so often, with what `service` has left beside *folder*, which is made anew."""
    seed, disk = int(os.environ.get("SEED") or time.time()), os.environ.get("DISK") or "volatile"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    boot, image = folder.parent, folder / "disk.img"
    await asyncio.to_thread(copy, boot / "installed.img", image)
    lies = LIE_SECONDS if disk == "liar" else 0.0
    options = "rootflags=nobarrier" if disk == "nobarrier" else ""
    print(f"seed {seed}, disk: {disk}", flush=True)

    async def taken(made: Scene, facts: Facts) -> None:
        await step(made, facts, times, random.Random(seed))

    await go_through(scene(boot, image, folder, lies=lies, options=options), taken)


if __name__ == "__main__":
    cuts = int(os.environ.get("CUTS") or 30)
    asyncio.run(tried(cut_again_and_again, Path(sys.argv[1]) / "cuts", cuts))
