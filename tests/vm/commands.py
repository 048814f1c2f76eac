"""
What the pages tell to type where systemd runs, typed there as it stands on them.

It begins with the package that the first line of the README's block has left; `docs/installing.md`
has the others of its lines.

    apt install ─► init ─► enable, doctor ─► edit ─► the journal ─► reload, disable ─► remove, purge

    python tests/vm/commands.py FOLDER

`make vm PARTS="image commands"` makes the disk with `man` on it, and D-Bus, which timedatectl asks.
"""

import asyncio
import shutil
import sys
from pathlib import Path

from facts import Facts, NotSo
from pages import block, quoted
from scene import Scene, scene
from service import INIT, copy, is_ready, last_words, registered, sends, shown

_CLONE = "/root/clone"  # where `make deb` would have left the package
_EDITOR = "/root/editor"  # the file that it is given comes last
_EDITS = '#!/bin/sh\nfor file; do :; done\nprintf "[Service]\\nEnvironment=EDITED=1\\n" >"$file"\n'
_TERMINAL = f"SYSTEMD_EDITOR={_EDITOR} script --quiet --return --command '{{}}' /dev/null"
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
    """Type the README's block on the server; `init` is given its answers."""
    apt, init, usermod, enable = block("README.md", "usermod").splitlines()[1:]
    file = apt.split()[2]
    laid = f"mkdir -p {_CLONE}/dist && cp /root/trial/this.deb {_CLONE}/{file}"
    assert (await made.machine.run(laid)).code == 0
    await facts.ran(apt, f"cd {_CLONE} && {apt}", 1200)
    await made.furnish()
    as_called = INIT.replace("gateway.trust.example", "trust.sandbox.local")  # by the sandbox
    await facts.ran(init, f"{init.partition('#')[0]} {as_called}", 600)
    await registered(made)
    await made.machine.run("printf 'u hospital - -\\n' | systemd-sysusers -")
    await facts.ran(usermod, usermod.replace("EPRUSER", "hospital"))
    await facts.ran("it may use the doors", "id -nG hospital | grep -qw bars-gateway-epr")
    await facts.ran(enable, enable, 900)
    facts.require("it is ready", await is_ready(made.machine))


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
    await facts.ran(typed, _TERMINAL.format(typed))
    kept = await shown(made.machine, "Environment", "DropInPaths")
    facts.require("what was written is the unit's", "EDITED=1" in kept["Environment"], kept)
    facts.require("and lies below /etc", "/etc/systemd/" in kept["DropInPaths"], kept)


async def says(_made: Scene, facts: Facts) -> None:
    """Type what only looks, or loads anew."""
    for page, command, wanted in _SAYS:
        said = await facts.ran(command, quoted(page, command))
        facts.require(f"says {wanted!r}", wanted in said, said)


async def followed(made: Scene, facts: Facts) -> None:
    """Find one message in the journal."""
    (typed,) = block("debugging.md", "grep REQUEST_ID").splitlines()
    (request_id, *_) = made.at_far_side()
    said = await facts.ran(typed, typed.replace("REQUEST_ID", request_id))
    facts.require("has its attempt", "outbound.attempt_ended" in said, said)


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


async def main(boot: Path) -> None:
    """Type everything."""
    folder = boot / "commands"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    image = folder / "disk.img"
    await asyncio.to_thread(copy, boot / "disk.img", image)
    async with scene(boot, image, folder, national=folder / "national") as made:
        facts = Facts(made.machine)
        try:
            facts.note(f"the machine is there after {await made.machine.start():.0f} s")
            for step in (
                *(installed, connected, edited, says, followed),
                *(stopped, folders, removed),
            ):
                await step(made, facts)
        except (NotSo, TimeoutError) as error:
            await last_words(made, error)
            raise SystemExit(1) from None
    print(f"{facts.seen} facts were seen.")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
