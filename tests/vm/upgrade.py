"""
Upgrades the last release's package to this one under systemd, while messages come, go and wait.

    earlier.deb ─► at work, with messages both ways ─► the far side is away: some wait
                ─► apt-get ─► this.deb ─► the far side is there again: each is there, once

    python tests/vm/upgrade.py FOLDER

The release is built from its commit (packaging/deb-earlier), and laid into a copy of the disk.
"""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

from facts import Facts
from power_cuts import with_folder_epr, without_folder_epr
from scene import Scene, go_through, scene
from service import UNIT, copy, installed, is_ready, shown
from traffic import Traffic

_ROOT = Path(__file__).parents[2]
# Also where it has the number of the release that it comes after, as all have until the next one.
UPGRADED = "apt-get install -y --reinstall /root/trial/this.deb"
VERSION = "dpkg-query --show --showformat '${Version}' bars-gateway"
_PROGRAM = "cat /var/lib/dpkg/info/bars-gateway.md5sums"
_SETTINGS = "find /etc/bars-gateway /etc/default/bars-gateway -type f | sort | xargs sha256sum"
COPY = "/var/backups/bars-gateway/*-from-*.db"
_ITS_OWN = "600 bars-gateway bars-gateway"
_AS_BEFORE = {"ActiveState": "active", "NeedDaemonReload": "no"}
_AS_BEFORE |= {"NRestarts": "0", "UnitFileState": "enabled"}
_WHEN = f"journalctl -b -u {UNIT} -o short-monotonic --no-pager | grep 'systemd.1.:' | tail -n 5"
_AS_GATEWAY = "runuser -u bars-gateway --"


async def at_work(scene: Scene, facts: Facts) -> None:
    """Install the release, and start it."""
    await installed(scene, facts, "earlier")
    await facts.ran("it is enabled, and starts", f"systemctl enable --now {UNIT}", 900)
    facts.require("it is ready", await is_ready(scene.machine))


async def some_wait(scene: Scene, facts: Facts, traffic: Traffic) -> None:
    """Let messages come and go, and then wait, for nobody is at the far side."""
    for _ in range(4):
        await traffic.flows()
    await scene.ambulance.stop()
    for _ in range(4):
        await traffic.flows()
    waiting = traffic.missing()[0]
    facts.require(
        f"{len(traffic.promised)} messages are acknowledged, of which {len(waiting)} wait for the"
        " far side, which is away",
        len(waiting) > 3,
    )


async def upgraded(scene: Scene, facts: Facts, traffic: Traffic) -> None:
    """Upgrade it under that traffic, and see what there is afterwards."""
    machine = scene.machine

    async def said(command: str) -> str:
        return (await machine.run(command)).said

    asked = (VERSION, _PROGRAM, _SETTINGS)
    before = [await said(each) for each in asked]
    acknowledged = len(traffic.promised)
    await facts.ran("apt-get upgrades the package", UPGRADED, 1800)
    await facts.becomes("the gateway is ready again, by itself", lambda: is_ready(machine), 900)
    after = [await said(each) for each in asked]
    facts.note(
        f"from {before[0]} to {after[0]}, while {len(traffic.promised) - acknowledged} more"
        " messages were acknowledged"
    )
    facts.require("it is another program", before[1] != after[1])
    facts.require("with the settings and keys that there were", before[2] == after[2], after[2])
    is_now = await shown(machine, *_AS_BEFORE)
    facts.require("systemd has its unit, enabled as before", is_now == _AS_BEFORE, is_now)
    print(await said(_WHEN))
    whose = await said(f"stat -c '%a %U %G' {COPY}")
    facts.require("there is one copy, for the gateway alone", whose == _ITS_OWN, whose)
    whole = await facts.ran("which is whole", f"{_AS_GATEWAY} bars-gateway verify {COPY}", 600)
    facts.note(whole.splitlines()[-1])
    await facts.ran("nothing is wrong, says check", "bars-gateway check", 600)


async def tried(made: Scene, facts: Facts) -> None:
    """Go through all of it, in a machine that is off."""
    facts.note(f"the machine is there after {await made.machine.start():.0f} s")
    await at_work(made, facts)
    traffic = made.traffic(0.5)
    await with_folder_epr(made, traffic)
    async with traffic.flowing(900):
        await some_wait(made, facts, traffic)
        await upgraded(made, facts, traffic)
        await made.ambulance.restart()
        for _ in range(4):
            await traffic.flows()
        await without_folder_epr(facts)
    problems = await traffic.problems(made.at_far_side)
    facts.require(
        f"of {len(traffic.promised)} messages each was told, and is at the far side, once; of them"
        f" {len(traffic.epr.by_folder)} were handed over by folder",
        not problems,
        "\n".join(problems),
    )
    await made.machine.stop()


def releases(boot: Path, *last: str) -> list[str]:
    """Build the releases before this one, or so many of the last; return their packages."""
    build = [_ROOT / "packaging" / "deb-earlier", boot.name, *last]
    return subprocess.run(build, check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def with_release(boot: Path, folder: Path, package: str) -> Path:
    """Return a copy of the disk on which that package lies, too."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    image = folder / "disk.img"
    copy(boot / "disk.img", image)
    laid = f"cd /root/trial\nwrite {package} earlier.deb\n"
    subprocess.run(
        ["debugfs", "-w", "-f", "-", image], input=laid, text=True, check=True, capture_output=True
    )
    return image


async def main(boot: Path) -> None:
    """See everything."""
    folder = boot / "upgrade"
    (package,) = await asyncio.to_thread(releases, boot, "1")
    image = await asyncio.to_thread(with_release, boot, folder, package)
    await go_through(scene(boot, image, folder, national=folder / "national"), tried)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
