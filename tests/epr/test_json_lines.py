"""What each command prints for programs: JSON lines alone, with the members that are documented."""

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from desks import Desk, desk_of
from furnished import files, furnish
from json_lines import LINES, PARTS
from typed import Done, typed_beside

from bars_gateway.epr.intake import Intake
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.store import Store

pytestmark = pytest.mark.of_sqlite  # commands are typed beside it, by its file

WHY = ("--why", "INC-7")
OF_AN_ORDER = {"code", "problem", "cure"}


@dataclass(frozen=True)
class Full:
    """A desk at which each command finds something, and what it is told on the command line."""

    desk: Desk
    names: dict[str, str]

    async def types(self, command: str) -> Done:
        """Type it with `--json`."""
        words = [self.names.get(word, word) for word in command.split()]
        settings = () if command.startswith(WITHOUT_SETTINGS) else ("--config", self.desk.settings)
        return await typed_beside(*words, "--json", *settings)


WITHOUT_SETTINGS = ("lint", "evidence gaps", "epr-check")


@pytest.fixture
async def full(store: Store, intake: Intake, tmp_path: Path) -> AsyncIterator[Full]:
    database = tmp_path / "gateway.db"
    back_up(database, tmp_path / "empty.db")
    async with desk_of(store, intake, database) as desk:
        names = (await furnish(store)) | files(tmp_path, desk.settings.parent)
        back_up(database, tmp_path / "backup.db")
        shutil.copy(tmp_path / "backup.db", tmp_path / "restored.db")
        yield Full(desk, names | {"BACKUP": str(tmp_path / "backup.db")})


# Each command, as it is typed where there is something to find.
TYPED = {
    "queue": "queue",
    "show": "show BAD",
    "explain": "explain BAD",
    "explain (no message)": "explain ORPHAN",
    "timeline": "timeline TALK",
    "owed": "owed",
    "counterparties": "counterparties",
    "audit": "audit",
    "audit verify": "audit verify",
    "audit seals": "audit seals",
    "audit export": "audit export EXPORT.JSONL --why x",
    "stats": "stats",
    "safety report": "safety report",
    "incident": "incident BAD",
    "alarms": "alarms",
    "alerts": "alerts",
    "users list": "users list",
    "quarantine": "quarantine",
    "cache list": "cache list",
    "cache clear": "cache clear",
    "evidence gaps": "evidence gaps",
    "check": "check",
    "config": "config",
    "doctor": "doctor --offline",
    "lint": "lint WRONG.JSON",
    "send": "send M.JSON",
    "hold": "hold ID --why x",
    "release": "release ID --why x",
    "withdraw": "withdraw ID --why x",
    "retry": "retry ID --why x",
    "resend": "resend BAD --yes --why x",
    "mark-handled": "mark-handled ALARM --why x",
    "acknowledge": "acknowledge ALERT --why x",
    "attach": "attach QUARANTINE WORKFLOW --dry-run --why x",
    "confirm": "confirm WORKFLOW active --dry-run --why x",
    "encryption show": "encryption show",
    "purge": "purge --dry-run",
    "purge --certificates": "purge --certificates",
    "purge --verify": "purge --verify 1",
    "hold-record": "hold-record ID --why x",
    "release-record": "release-record BAD --why x",
    "held-records": "held-records",
    "subject": "subject 9990000018 --read-everything --why x",
    "epr-check": "epr-check --minutes 0.05 --no-sends",
    "backup": "backup COPY.DB",
    "verify": "verify",
    "restore": "restore BACKUP --older",
    "restore (no FILE)": "restore --why x",
    "restore --hand-over": "restore BACKUP --hand-over",
}

# Of a database server: store/test_copying.py and scenarios/test_several_nodes.py.
ELSEWHERE = {"store copy", "nodes list"}


def parts(document: Any, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Yield each document in a document, under the name of its member."""
    if isinstance(document, list):
        for each in document:
            yield from parts(each, name)
    elif isinstance(document, dict):
        yield name, set(document)
        for member, value in document.items():
            yield from parts(value, member)


def documented(command: str, member: str) -> set[str] | None:
    """Return the members of what stands under *member*, as far as they are documented."""
    if member == "objection" and "--why" in TYPED[command]:
        return OF_AN_ORDER
    part = part_of(command, member)
    return set(PARTS[part].members) if part else None


def part_of(command: str, member: str) -> str:
    """Return the part that stands under *member*: of that command, or of whichever."""
    of_this = f"{member} of {command.partition(' ')[0]}"
    named = (part for part in PARTS if member in part.split(", "))
    return of_this if of_this in PARTS else next(named, "")


def test_each_command_is_typed_here() -> None:
    """One that gets `--json` gets a line in the document, and one here."""
    assert set(LINES) == {*TYPED, *ELSEWHERE}


@pytest.mark.parametrize("command", TYPED)
async def test_a_program_reads_what_is_documented(full: Full, command: str) -> None:
    """Each line of standard output is a document, with those members and no others."""
    if command.startswith("restore"):  # nothing is restored under a gateway
        await restoring(full, command)
    done = await full.types(TYPED[command])
    found = [json.loads(line) for line in done.out.splitlines()]

    assert found, done.err
    assert {frozenset(LINES[command].members)} == set(map(frozenset, found))
    assert [] == [
        (member, members)
        for document in found
        for member, members in parts(document)
        if (wanted := documented(command, member)) is not None and wanted != members
    ]


async def restoring(full: Full, command: str) -> None:
    """Let the settings name a database that no gateway has: an empty one to hand over to."""
    name = "empty" if command.endswith("--hand-over") else "restored"
    text = full.desk.settings.read_text()
    full.desk.settings.write_text(text.replace("/gateway.db", f"/{name}.db"))


async def test_each_part_that_is_documented_is_met(full: Full) -> None:
    """What the document says that a member is made of, is printed by some command."""
    met = set()
    for command in (
        "explain",
        "show",
        "timeline",
        "counterparties",
        "stats",
        "safety report",
        "incident",
        "hold",
        "hold-record",
        "doctor",
        "purge --certificates",
        "restore --hand-over",
    ):
        if command.startswith("restore"):
            await restoring(full, command)
        done = await full.types(TYPED[command])
        found = [json.loads(line) for line in done.out.splitlines()]
        members = {member for each in found for member, _ in parts(each)}
        met |= members | {part_of(command, member) for member in members}
    named = {name for names in PARTS for name in names.split(", ")}

    # Of which there is none here.
    assert {"links", "linked", "publishes", "breaches", "beside"} >= named - met
