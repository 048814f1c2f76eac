"""The units as an operator installs them: systemd takes them, and they let little through."""

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest
from messages import referral
from pages import quoted
from world import eventually, world_in

from bars_gateway.config.outbound import OutboundSettings

FOLDER = Path(__file__).parent.parent / "systemd"
UNITS = ("bars-gateway.service", "bars-gateway@.service")
MOST_EXPOSED = 13  # tenths: systemd counts from 0.0 to 10.0; make vm asks of one that runs
# SQLite gives its log the owner of its database, but only where it runs as root.
AS_ROOT = {"fchown"} if os.geteuid() == 0 else set()
PROTECTING = re.compile(
    "Protect|Private|Proc|Restrict|System|Limit|NoNew|NoExec|Memory|Remove|Lock|Keyring"
    "|Capability|Ambient|Device|Tasks|UMask"
)
UNTRIED = {
    "AmbientCapabilities": "it gives none: CapabilityBoundingSet leaves none to give",
    "DevicePolicy": "PrivateDevices leaves no device to open",
    "MemoryMax": "to go beyond it would take the machine's own memory",
    "RemoveIPC": "it is about what a stop leaves",
    "SystemCallErrorNumber": "it says how the others refuse",
}


def ran(*command: str | Path) -> tuple[int, str]:
    """Return a command's exit code and everything that it says."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def settings(unit: str) -> dict[str, list[str]]:
    """Return what a unit says, by key: a key may be there several times."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / unit).read_text("utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def allowed_calls(filters: list[str]) -> set[str]:
    """Return the system calls that SystemCallFilter= lines leave."""
    left: set[str] = set()
    for line in filters:
        names = {call for group in line.lstrip("~").split() for call in calls_of(group)}
        left = left - names if line.startswith("~") else left | names
    return left


def calls_of(group: str) -> set[str]:
    if not group.startswith("@"):
        return {group}
    code, text = ran("systemd-analyze", "syscall-filter", group)
    assert 0 == code, text
    members = [line.strip() for line in text.splitlines()[1:]]
    return {
        call
        for member in members
        if member and not member.startswith("#")
        for call in calls_of(member)
    }


@pytest.mark.parametrize("unit", UNITS)
def test_what_protects_is_tried_from_inside(unit):
    """By `make vm`, of which this asks no more than that it has a probe for each line."""
    probes = (Path(__file__).parent / "vm" / "forbidden.py").read_text("utf-8")
    tried = set(re.findall(r'^        "(\w+): ', probes, re.MULTILINE))
    protecting = {key for key in settings(unit) if PROTECTING.match(key)}

    assert protecting - tried == UNTRIED.keys() & protecting


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS)
def test_the_exposure_stays_low(unit):
    """By the measure of systemd itself, without one that runs."""
    code, text = ran(
        *("systemd-analyze", "security", "--offline=true"),
        *(f"--threshold={MOST_EXPOSED}", FOLDER / unit),
    )

    assert 0 == code, text


@pytest.mark.needs("systemd-analyze", "kill")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line(unit, tmp_path):
    """Without a word of complaint, where the program is installed."""
    program = tmp_path / "bars-gateway"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = (FOLDER / unit).read_text("utf-8")
    (start,) = settings(unit)["ExecStart"]
    copy = tmp_path / unit
    copy.write_text(text.replace(start.split()[0], str(program)))
    code, words = ran("systemd-analyze", "verify", str(copy).replace("@.", "@example-trust."))

    assert (0, "") == (code, words)


def test_the_template_differs_in_its_folders_alone():
    """What hardens the one hardens the other."""
    one, many = (settings(unit) for unit in UNITS)
    differing = {key for key in one.keys() | many.keys() if one.get(key) != many.get(key)}
    folders = {"StateDirectory", "RuntimeDirectory", "ReadWritePaths", "NoExecPaths"}

    assert folders | {"Description", "ExecStart"} == differing


@pytest.mark.parametrize("unit", UNITS)
def test_a_core_dump_is_never_written(unit):
    """It would hold keys and patients' data."""
    assert ["0"] == settings(unit)["LimitCORE"]


def test_stopping_is_given_longer_than_an_answer_takes():
    """The last message may have begun right before: 45 s, and then the store closes."""
    longest = OutboundSettings.model_fields["answer_seconds"].default

    assert int(settings(UNITS[0])["TimeoutStopSec"][0]) >= longest + 15


@pytest.mark.needs("systemd-sysusers", "systemd-tmpfiles")
def test_users_and_folders_are_what_the_unit_names(tmp_path):
    """Made in a root of its own: each user, group and folder that the unit relies on."""
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    users = ran("systemd-sysusers", root, FOLDER / "bars-gateway.sysusers.conf")
    groups = (tmp_path / "etc" / "group").read_text()
    unit = settings(UNITS[0])
    folders = re.findall(r"^d (\S+)", _tmpfiles(), re.MULTILINE)

    assert 0 == users[0], users[1]
    assert {*unit["User"], *unit["Group"]} == set(re.findall(r"^(.+?):", groups, re.MULTILINE))
    assert "/etc/bars-gateway" in folders
    assert unit["ReadWritePaths"][0].removeprefix("-") in folders


def _tmpfiles() -> str:
    return (FOLDER / "bars-gateway.tmpfiles.conf").read_text("utf-8")


@pytest.mark.needs("systemd-tmpfiles")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_the_folders_are_made(tmp_path):
    """Closed to everybody but the gateway and, below the spool, the EPR."""
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    ran("systemd-sysusers", root, FOLDER / "bars-gateway.sysusers.conf")
    installed = tmp_path / "usr" / "lib" / "tmpfiles.d" / "bars-gateway.conf"
    installed.parent.mkdir(parents=True)
    installed.write_text(_tmpfiles(), "utf-8")
    typed = quoted("installing.md", "systemd-tmpfiles --create bars-gateway.conf")
    code, words = ran(*typed.split(), root)
    made = ("etc/bars-gateway", "etc/bars-gateway/keys", "var/spool/bars-gateway")

    assert (0, "") == (code, words)
    assert [0o750, 0o750, 0o2750] == [
        (tmp_path / folder).stat().st_mode & 0o7777 for folder in made
    ]


@pytest.mark.needs("systemd-analyze", "strace")
async def test_the_system_call_filter_lets_the_gateway_work(tmp_path):
    """Start, a message out, its answer, a notice into the folder, stop: all within the filter."""
    trace = tmp_path / "trace"
    async with world_in(tmp_path) as world:
        node = world.ambulance
        await node.stop()
        running = await asyncio.create_subprocess_exec(
            *("strace", "--daemonize", "--follow-forks", "--summary-only", f"--output={trace}"),
            *node.command("run"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            receipt = await node.sent("r.json", referral())
            await node.outcome(receipt["request_id"])
        finally:
            running.terminate()  # the gateway: strace stands beside it
            code = await running.wait()
        await eventually(lambda: "total" in trace.read_text())
    rows = trace.read_text().splitlines()[2:]
    used = {row.split()[-1] for row in rows if row[:1] == " " and "total" not in row}

    assert (0, True) == (code, "fdatasync" in used)
    assert set() == used - AS_ROOT - allowed_calls(settings(UNITS[0])["SystemCallFilter"])
