"""
Types the way back of `docs/installing.md`, to a release that cannot read the later database.

    earlier.deb ─► a message ─► apt-get ─► this.deb ─► another ─► refused
                ─► the lines of the page ─► earlier.deb, with the first of the two, and a third

    python tests/vm/going_back.py FOLDER

The release is the one that the page names, built from its commit (packaging/deb-earlier).
"""

import asyncio
import sys
from pathlib import Path

from facts import Facts
from messages import RECEIVER, SENDER, referral
from pages import block
from scene import Scene, go_through, scene
from service import UNIT, installed, is_ready
from upgrade import COPY, UPGRADED, VERSION, releases, with_release

_PAGE = "installing.md"
_AS_GATEWAY = "runuser -u bars-gateway --"
_THERE = "/root/there"  # where somebody has taken the package
_KEPT = "/var/lib/bars-gateway/newer/gateway.db"


def _lines() -> list[str]:
    return block(_PAGE, "--allow-downgrades").splitlines()


def _apt() -> str:
    (line,) = [line for line in _lines() if line.startswith("apt ")]
    return f"cd {_THERE} && yes | {line}"


async def _goes(made: Scene, facts: Facts, name: str) -> None:
    """Send one message, to the far side."""
    before, file = made.at_far_side(), f"/srv/{name}.json"
    await made.machine.put({file: referral(sender=SENDER, receiver=RECEIVER)})
    await facts.ran(f"the {name} message is taken", f"{_AS_GATEWAY} bars-gateway send {file}")

    async def arrived() -> bool:
        return bool(made.at_far_side() - before)

    await facts.becomes("and is at the far side", arrived)


async def _kept(made: Scene) -> str:
    """Return the X-Request-Ids that its database has, as it was last written."""
    asked = "import sqlite3; print(*sqlite3.connect('/var/lib/bars-gateway/gateway.db').execute("
    asked += "'SELECT request_id FROM messages ORDER BY id').fetchall())"
    return (await made.machine.run(f'{_AS_GATEWAY} /opt/bars-gateway/bin/python -c "{asked}"')).said


async def tried(made: Scene, facts: Facts) -> None:
    """Go there and back, in a machine that is off."""
    machine = made.machine
    facts.note(f"the machine is there after {await machine.start():.0f} s")
    await installed(made, facts, "earlier")
    await facts.ran("it is enabled, and starts", f"systemctl enable --now {UNIT}", 900)
    earlier = (await machine.run(VERSION)).said
    facts.require(f"{earlier} is ready", await is_ready(machine))
    await _goes(made, facts, "first")
    first = await _kept(made)
    await facts.ran("apt-get upgrades the package", UPGRADED, 1800)
    await facts.becomes("this one is ready", lambda: is_ready(machine), 900)
    await _goes(made, facts, "second")
    named = _apt().split()[-1]
    laid = f"mkdir {_THERE} && cp /root/trial/earlier.deb {_THERE}/{named}"
    assert (await machine.run(laid)).code == 0
    refused = await machine.run(_apt(), 1800)
    facts.require("the earlier one is refused", refused.code, refused.said)
    facts.require("and says why", "Stay with the later version" in refused.said, refused.said)
    facts.require("this one runs on", await is_ready(machine))
    await typed(made, facts)
    await facts.becomes("the earlier one is ready", lambda: is_ready(machine), 900)
    now = (await machine.run(VERSION)).said
    facts.require(f"it is {earlier}", now == earlier, now)
    facts.require("with what was there before the upgrade", await _kept(made) == first != "", first)
    await facts.ran("what came since is kept aside", f"ls -l {_KEPT}")
    await _goes(made, facts, "third")


async def typed(made: Scene, facts: Facts) -> None:
    """Type the page, line by line; apt is told yes."""
    (copy,) = (await made.machine.run(f"ls {COPY}")).said.split()
    for line in _lines():
        there = line.replace("/var/backups/bars-gateway/FILE", copy)
        said = await facts.ran(line, _apt() if line.startswith("apt ") else there, 1800)
        if " restore " in line:
            print(said)


async def main(boot: Path) -> None:
    """See everything."""
    folder, named = boot / "going_back", _apt().split()[-1].removeprefix("./").partition("+")[0]
    packages = await asyncio.to_thread(releases, boot)
    (package,) = [each for each in packages if Path(each).name.startswith(f"{named}+")]
    image = await asyncio.to_thread(with_release, boot, folder, package)
    await go_through(scene(boot, image, folder, national=folder / "national"), tried)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
