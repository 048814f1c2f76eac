"""
What the pages tell to type where systemd runs, typed there as it stands on them.

It begins with the package that the README has made before (`make fresh` types that), and ends with
what `docs/installing.md` has instead of the README's lines.

    apt install ─► init ─► enable, its page ─► doctor ─► edit ─► the journal ─► reload, disable
                ─► remove, purge ─► apt install, init, enable

    python tests/vm/commands.py FOLDER

`make vm PARTS="image commands"` makes the disk with `man` on it, and D-Bus, which timedatectl asks.
"""

import asyncio
import re
import shlex
import shutil
import sys
from pathlib import Path

from facts import Facts
from pages import block, quoted
from scene import NATIONAL, Scene, go_through, scene
from service import copy, is_ready, registered, sends, shown

_THERE = "/root/there"  # where somebody has taken the package
# What `init` asks; then what the desks would tell.
_ANSWERS = f"local ZX901 trust provider 2000000101 socket {NATIONAL}"
_TOLD = {"#?api_key": "trust-sandbox-api-key", "#?fqdn": "trust.sandbox.local"}
_EDITOR = "/root/editor"  # the file that it is given comes last
_EDITS = '#!/bin/sh\nfor file; do :; done\nprintf "[Service]\\nEnvironment=EDITED=1\\n" >"$file"\n'
_AT_A_TERMINAL = "script --quiet --return --command {} /dev/null"
_SETTINGS = "/etc/bars-gateway/bars-gateway.toml"
_RECORDS = "/etc/bars-gateway /var/lib/bars-gateway /var/spool/bars-gateway"
# Where a command needs no more than to end well, and to say this.
_SAYS = (
    ("debugging.md", "systemctl status bars-gateway", "active (running)"),
    ("debugging.md", "journalctl --pager-end --unit bars-gateway", "daemon.started"),
    ("log-events.md", "journalctl --output cat --unit bars-gateway", "daemon.started"),
    ("installing.md", "journalctl -u bars-gateway", "daemon.started"),
    ("runbooks.md", "journalctl -u bars-gateway", "daemon.started"),
    ("runbooks.md", "systemctl status systemd-journald", "active (running)"),
    ("runbooks.md", "timedatectl", "Time zone"),
    ("installing.md", "man bars-gateway", "NAME"),
    ("installing.md", "man bars-gateway-backup", "NAME"),
    ("installing.md", "man bars-gateway.toml", "NAME"),
    ("installing.md", "systemctl daemon-reload", ""),
    ("connecting.md", "systemctl reload bars-gateway", ""),
    ("settings.md", "systemctl reload bars-gateway", ""),
)


async def installed(made: Scene, facts: Facts) -> None:
    """Type the README's block on the server; `init` asks at a terminal."""
    apt, init, usermod, enable = block("README.md", "usermod").splitlines()
    laid = f"mkdir {_THERE} && cp /root/trial/this.deb {_THERE}/{apt.split()[2]}"
    assert (await made.machine.run(laid)).code == 0
    await facts.ran(apt, f"cd {_THERE} && {apt}", 1200)
    await made.furnish()
    answered = f"printf '%s\\n' {_ANSWERS} | {_AT_A_TERMINAL.format(shlex.quote(init))}"
    await facts.ran(init, answered, 600)
    for key, value in _TOLD.items():
        told = f"""sed -i -E 's/^{key} =.*/{key[2:]} = "{value}"/' {_SETTINGS}"""
        assert (await made.machine.run(told)).code == 0
    await registered(made)
    await made.machine.run("printf 'u hospital - -\\n' | systemd-sysusers -")
    await facts.ran(usermod, usermod.replace("EPRUSER", "hospital"))
    await facts.ran("it may use the doors", "id -nG hospital | grep -qw bars-gateway-epr")
    await facts.ran(enable, enable, 900)
    facts.require("it is ready", await is_ready(made.machine))
    said = await facts.ran("its page is there", f"curl --silent --fail {_page()}")
    facts.require("with the overview", "<h1>Overview</h1>" in said, said)


def _page() -> str:
    """Return where the README says that its page is."""
    (found,) = re.findall(r"http://\S+", block("README.md", "usermod"))
    return str(found)


async def connected(made: Scene, facts: Facts) -> None:
    """Type what comes last on the way to a connection; a doubt is no failure."""
    for line in block("connecting.md", "bars-gateway doctor\n", "systemctl").splitlines():
        await facts.ran(line, f"{line} || [ $? = 1 ]", 600)
    await sends(made, facts, "a message goes out")


async def edited(made: Scene, facts: Facts) -> None:
    """Change the unit, at a terminal, with an editor."""
    typed = quoted("installing.md", "systemctl edit bars-gateway")
    await made.machine.put({_EDITOR: _EDITS.encode()})
    await made.machine.run(f"chmod +x {_EDITOR}")
    at_a_terminal = _AT_A_TERMINAL.format(shlex.quote(typed))
    await facts.ran(typed, f"SYSTEMD_EDITOR={_EDITOR} {at_a_terminal}")
    kept = await shown(made.machine, "Environment", "DropInPaths")
    facts.require("what was written is the unit's", "EDITED=1" in kept["Environment"], kept)
    facts.require("and lies below /etc", "/etc/systemd/" in kept["DropInPaths"], kept)


async def says(_made: Scene, facts: Facts) -> None:
    """Type what only looks, or loads anew."""
    for page, command, wanted in _SAYS:
        said = await facts.ran(command, quoted(page, command))
        facts.require(f"says {wanted!r}", wanted in said, said)


async def followed(made: Scene, facts: Facts) -> None:
    """Find one message in the journal, and on the page."""
    (typed,) = block("debugging.md", "grep REQUEST_ID").splitlines()
    (request_id, *_) = made.at_far_side()
    said = await facts.ran(typed, typed.replace("REQUEST_ID", request_id))
    facts.require("has its attempt", "outbound.attempt_ended" in said, said)
    listed = await facts.ran("the page lists messages", f"curl --silent --fail {_page()}messages")
    facts.require("and that one", request_id in listed, listed)


async def stopped(made: Scene, facts: Facts) -> None:
    """Stop it for a machine that goes back, and begin again."""
    for page, command, active, enabled in (
        ("several-nodes.md", "systemctl stop bars-gateway", "inactive", "enabled"),
        ("restoring.md", "systemctl disable --now bars-gateway", "inactive", "disabled"),
        ("restoring.md", "systemctl enable --now bars-gateway", "active", "enabled"),
    ):
        await facts.ran(command, quoted(page, command), 900)
        now = await shown(made.machine, "ActiveState", "UnitFileState")
        wanted = {"ActiveState": active, "UnitFileState": enabled}
        facts.require(f"it is {active}, and {enabled}", now == wanted, now)


async def folders(made: Scene, facts: Facts) -> None:
    """Make folders: those of the package, and a spool of one's own."""
    assert (await made.machine.run("chmod 700 /etc/bars-gateway")).code == 0
    typed = quoted("installing.md", "systemd-tmpfiles --create bars-gateway.conf")
    own = quoted(
        "folders.md", "install -d -m 2750 -g bars-gateway-epr -o bars-gateway FOLDER"
    ).replace("FOLDER", "/srv/spool")
    for command, folder, wanted in (
        (typed, "/etc/bars-gateway", "750 root bars-gateway"),
        (own, "/srv/spool", "2750 bars-gateway bars-gateway-epr"),
    ):
        await facts.ran(command, command)
        whose = (await made.machine.run(f"stat -c '%a %U %G' {folder}")).said
        facts.require(f"{folder} is {wanted}", whose == wanted, whose)


async def removed(made: Scene, facts: Facts) -> None:
    """Take the package away; the answer to apt's own question is yes."""
    for command in ("apt remove bars-gateway", "apt purge bars-gateway"):
        await facts.ran(command, f"yes | {quoted('installing.md', command)}", 900)
        await facts.ran("records are kept", f"ls -d {_RECORDS}")
        gone = await made.machine.run("ls /opt/bars-gateway /usr/bin/bars-gateway")
        facts.require("the program is gone", gone.code != 0, gone.said)


async def again(made: Scene, facts: Facts) -> None:
    """Type what `docs/installing.md` has for the same: settings and records are there already."""
    for line in block("installing.md", "bars-gateway init  ").splitlines():
        await facts.ran(line, f"cd {_THERE} && {line}", 1200)
    await facts.becomes("it is ready", lambda: is_ready(made.machine))
    await sends(made, facts, "and goes on: a message goes out")


async def tried(made: Scene, facts: Facts) -> None:
    """Go through all of it, in a machine that is off."""
    facts.note(f"the machine is there after {await made.machine.start():.0f} s")
    for step in (
        *(installed, connected, edited, says, followed),
        *(stopped, folders, removed, again),
    ):
        await step(made, facts)


async def main(boot: Path) -> None:
    """Type everything."""
    folder = boot / "commands"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    image = folder / "disk.img"
    await asyncio.to_thread(copy, boot / "disk.img", image)
    await go_through(scene(boot, image, folder, national=folder / "national"), tried)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
