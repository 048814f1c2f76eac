"""What options do that no test of their command needs: each fails without it."""

import asyncio
import json
import shlex
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from unittest import mock

import pytest
from epr_side import PROVIDER
from messages import referral
from pages import block
from store_values import SILENCE, arrival, attempt, claim_next, owed, payload, submission
from typed import WHY, Done, settings_text, typed

from bars_gateway.model.messages import Actor, OutboundState, Settled
from bars_gateway.sandbox import server
from bars_gateway.sandbox.server import SandboxSettings
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move
from bars_gateway.store.record_holds import HeldThing
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(hours=1)
BEGAN = NOW - timedelta(days=2)  # when the first of each pair was there
JO = Actor(role="operator", who="jo", why="INC-7")
PATIENCE = 30.0  # seconds


class House:
    """A database with two of everything that is listed, on two days, and who types beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "bars-gateway.toml"
        self.ids: list[str] = []  # of two messages that wait, the older first

    async def fill(self) -> None:
        """Let there be two of each, one on each day."""
        async with open_database(self.folder / "state" / "gateway.db") as database:
            store = Store(database, node="here")
            for at in (BEGAN, NOW):
                await self._ended(store, at)
            for at in (BEGAN, NOW):
                await self._waits(store, at)
                await store.chain.seal(at)

    async def _ended(self, store: Store, at: datetime) -> None:
        bad = await store.outbound.submit(submission(body=referral(), give_up_at=LATER), at)
        claim = await claim_next(store, at, [PROVIDER])
        assert claim is not None
        await store.outbound.settle(
            claim,
            SILENCE,
            attempt=attempt(claim, Verdict.REFUSED),
            settlement=Settled(state=OutboundState.REFUSED),
        )
        await store.record_holds.hold_record(PROVIDER, HeldThing(request_id=bad.request_id), JO, at)

    async def _waits(self, store: Store, at: datetime) -> None:
        asked = submission(body=referral(), owed=owed(LATER), give_up_at=LATER)
        self.ids.append((await store.outbound.submit(asked, at)).request_id)
        orphan = arrival(move=Move.CONCLUDE, responds_to="nothing")
        await store.responses.respond(orphan, payload(), at)

    def types(self, *words: object) -> Done:
        """Type a command of this house."""
        return typed(*words, "--config", self.config)

    def lists(self, *words: object) -> list[dict[str, object]]:
        """Return what a command lists, as a program reads it."""
        done = self.types(*words, "--json")
        assert 0 == done.code, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    def lists_audit(self, *words: object) -> list[dict[str, object]]:
        return self.lists("audit", "--limit", "500", *words)

    def exports(self, *words: object) -> list[dict[str, object]]:
        """Return the lines that an export has in full."""
        file = self.folder / f"{time.monotonic_ns()}.jsonl"
        done = self.types("audit", "export", file, *WHY, *words)
        assert 0 == done.code, done.err
        return [
            line for each in file.read_text().splitlines() if "kind" in (line := json.loads(each))
        ]


Asks = Callable[..., list[dict[str, object]]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    made = House(tmp_path_factory.mktemp("house"))
    (made.folder / "state").mkdir()
    made.config.write_text(settings_text(made.folder), "utf-8")
    asyncio.run(made.fill())
    for _ in range(2):
        done = made.types("purge", *WHY)
        assert 0 == done.code, done.err
    return made


@pytest.mark.parametrize(
    "command",
    [
        *("queue", "owed", "alarms", "quarantine", "held-records"),
        *("audit", "audit seals", "purge --certificates"),
    ],
)
def test_no_more_are_listed_than_were_asked_for(house: House, command: str) -> None:
    """Of two or more, the first of the list: `--limit`."""
    whole = house.lists(*command.split())
    first = house.lists(*command.split(), "--limit", "1")

    assert len(whole) > 1
    assert whole[:1] == first


def instants(lines: list[dict[str, object]]) -> list[datetime]:
    return [datetime.fromisoformat(str(each["at"])) for each in lines]


DAY_BETWEEN = (BEGAN + timedelta(days=1)).isoformat()


@pytest.mark.parametrize("ask", [House.lists_audit, House.exports])
def test_a_trail_ends_before_an_instant(house: House, ask: Asks) -> None:
    """`--before`: what was written then or later is not told; all that was before it is."""
    every, before = instants(ask(house)), instants(ask(house, "--before", DAY_BETWEEN))
    between = datetime.fromisoformat(DAY_BETWEEN)

    assert before
    assert sorted(before) == sorted(each for each in every if each < between) != sorted(every)


@pytest.mark.parametrize("ask", [House.lists_audit, House.exports])
def test_a_trail_is_of_one_message(house: House, ask: Asks) -> None:
    """`--id`: no line of another message is told."""
    first, other = house.ids
    found = ask(house, "--id", first)

    assert {first} == {each["request_id"] for each in found}
    assert other in {each["request_id"] for each in ask(house)}


def test_an_export_is_of_the_messages_that_a_file_names(house: House) -> None:
    """`--ids`, and `--id` more than once: the same lines, and none of another."""
    names = house.folder / "ids"
    names.write_text("\n".join(house.ids), "utf-8")
    by_file = house.exports("--ids", names)
    one_by_one = house.exports(*(word for each in house.ids for word in ("--id", each)))

    assert set(house.ids) == {each["request_id"] for each in by_file}
    assert by_file == one_by_one


def test_an_export_is_of_one_kind_and_one_provider(house: House) -> None:
    """`--kind` and `--provider`."""
    kinds = {str(each["kind"]) for each in house.exports()}
    refused = {str(each["kind"]) for each in house.exports("--kind", "message.refused")}
    whose = {each["provider"] for each in house.exports("--provider", PROVIDER)}

    assert {"message.refused"} == refused < kinds
    assert {PROVIDER} == whose < {each["provider"] for each in house.exports()}


def test_a_key_is_named_after_whoever_owns_it(tmp_path: Path) -> None:
    """`init --key-owner`: else it is named after the organisation."""
    flags = (
        "--environment",
        "int",
        "--ods-code",
        "ZX901",
        "--name",
        "Northshire",
        "--service",
        "1",
    )
    homes = {owner: tmp_path / (owner or "none") for owner in ("", "Southshire")}
    for owner, home in homes.items():
        more = ("--key-owner", owner) if owner else ()
        done = typed("init", "--folder", home, *flags, *more)
        assert 0 == done.code, done.err
    keys = {owner: [key.name for key in home.glob("keys/*-1.pem")] for owner, home in homes.items()}

    assert {"": ["Northshire-INT-1.pem"], "Southshire": ["Southshire-INT-1.pem"]} == keys


class Begun:
    """A command that goes on, in a process of its own, and what it has printed."""

    def __init__(self, *words: object) -> None:
        command = [sys.executable, "-m", "bars_gateway", *map(str, words)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []

    def until(self, words: str) -> str:
        """Return the line that has those words, once it is printed."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError("".join(self.lines))

    def to_its_end(self) -> str:
        """Return all that it has printed, once it ends by itself."""
        assert self._process.stdout is not None
        self.lines += self._process.stdout
        self._process.wait(PATIENCE)
        return "".join(self.lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=PATIENCE)


OTHER_EPR = (
    *("--by", "socket", "--no-questions", "--no-sends"),
    *("--service", "2000000102", "--ods-code", "ZX902"),
)
THE_EPR = ("--by", "folder", "--questions", "--sends")


def checked(folder: Path, *options: str) -> tuple[str, dict[str, object]]:
    """Check an EPR that shows itself by a file; return what was printed, and whose it is."""
    words = shlex.split(block("epr-contract.md", "epr-check"), comments=True)[1:]
    with Begun(*words, "--minutes", "0.1", "--folder", folder, *options) as check:
        check.until("The check begins when")
        spool = folder / "gateway" / "spool"
        (spool / "outbox" / "tmp" / "a.json").write_bytes(referral())
        (spool / "outbox" / "tmp" / "a.json").rename(spool / "outbox" / "new" / "a.json")
        printed = check.to_its_end()
    (settings,) = (folder / "gateway").glob("*.toml")
    (provider,) = tomllib.loads(settings.read_text("utf-8"))["providers"].values()
    return printed, provider


def test_an_epr_is_checked_as_the_one_that_it_is(tmp_path: Path) -> None:
    """Its service, its organisation, where its notices come, what it is asked, whether it sends."""
    printed, provider = checked(tmp_path, *OTHER_EPR)

    assert "message 1 of" not in printed
    assert "(--no-questions)" in printed
    assert ["https://fhir.nhs.uk/Id/dos-service-id|2000000102"] == provider["services"]
    assert ("ZX902", "socket", "none") == (
        *(provider[each] for each in ("ods_code", "notices", "questions")),
    )


def test_an_epr_is_asked_and_told_to_send_unless_somebody_says_not(tmp_path: Path) -> None:
    """`--questions` and `--sends` are what is done without a word."""
    printed, provider = checked(tmp_path, *THE_EPR)

    assert "message 1 of" in printed
    assert "(--no-questions)" not in printed
    assert ("folder", "folder") == (provider["notices"], provider["questions"])


@pytest.mark.parametrize(
    ("option", "status"), [("--counterparty", 200), ("--no-counterparty", 404)]
)
def test_somebody_stands_behind_the_proxy_or_nobody(
    tmp_path: Path, option: str, status: int
) -> None:
    """Without it there is nobody to write to, and nothing to ask of them."""
    ports = ("--port", "0", "--admin-port", "0", "--key-bits", "2048")
    with Begun("sandbox", tmp_path / "national", *ports, option) as sandbox:
        admin = sandbox.until("admin ").split()[-1]
        sandbox.until("Ctrl-C ends it.")
        try:
            with urllib.request.urlopen(f"{admin}/counterparty") as reply:
                found = reply.status
        except urllib.error.HTTPError as refused:
            found = refused.code

    assert status == found
    assert ("Services behind the proxy" in "".join(sandbox.lines)) is (status == 200)


def test_the_counterparty_pauses_for_as_long_as_is_said(tmp_path: Path) -> None:
    """`--pause-seconds` is what the counterparty is begun with: `tests/sandbox` sees it wait."""
    begun: list[SandboxSettings] = []

    async def run(settings: SandboxSettings, _gateways: object) -> None:
        begun.append(settings)

    with mock.patch.object(server, "run", run):
        typed("sandbox", tmp_path)
        typed("sandbox", tmp_path, "--pause-seconds", "0.5")

    assert [2.0, 0.5] == [each.pause_seconds for each in begun]
