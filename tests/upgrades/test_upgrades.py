"""
What each release has left is taken over by the program of now, which goes on where that stopped.

Since 1.0.0 that may be a server's database: it is made from the file that the release has left, by
the schema of that release.

The folders beside this hold what releases left (`make keep-release`, `support/kept_release.py`).
TODAY is made by this very program, so that the next release is tried before there is one.
"""

import json
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import engines
import pytest
from kept_release import KEPT, ORDER, Clock, kept_world, make, released
from messages import NHS_NUMBER, referral
from world import Node, World, eventually, headers, issue, post

from bars_gateway.config import describe
from bars_gateway.config.sources import RENAMED

ROOT = KEPT.parent.parent
TODAY = "today"
HEADING = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", re.MULTILINE)
TAG = re.compile(r"^v?(\d+\.\d+\.\d+)$", re.MULTILINE)
FIRST_KEPT = (0, 2, 0)
FIRST_ON_SERVER = (1, 0, 0)
MOST_BYTES = 300_000


class Upgraded(NamedTuple):
    """A world that an older release has left and this one has begun."""

    world: World
    known: dict[str, Any]
    clock: Clock

    @property
    def asked(self) -> bytes:
        """The request that the hospital's EPR was asked about, and nobody has answered."""
        return str(self.known["asked_about"]).encode()

    def request_id(self, name: str) -> str:
        return str(self.known["request_ids"][name])


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


LEFT = [
    *((each, engines.SQLITE) for each in (*released(), TODAY)),
    *(
        pytest.param((each, engines.POSTGRESQL), marks=pytest.mark.needs("postgres"))
        for each in released()
        if version(each) >= FIRST_ON_SERVER
    ),
]


@pytest.fixture(params=LEFT, ids=" on ".join)
async def upgraded(request, todays: Path, tmp_path: Path) -> AsyncIterator[Upgraded]:
    release, engine = request.param
    engines.use(engine)
    kept = todays if release == TODAY else KEPT / release
    if not kept.exists():
        await make(kept)
    async with kept_world(kept, tmp_path) as (world, known, clock):
        yield Upgraded(world, known, clock)


def received(node: Node) -> Counter[str]:
    """Return how often the EPR was given each message, by its X-Request-Id."""
    notices = [json.loads(file.read_bytes()) for file in node.files("inbox/new/*.notice.json")]
    return Counter(notice["request_id"] for notice in notices)


async def test_what_waited_leaves_once(upgraded: Upgraded) -> None:
    """So does what was on its way when the power went; what a person held waits for a person."""
    ambulance, hospital = upgraded.world.ambulance, upgraded.world.hospital
    dropped = (await ambulance.document("outbox/accepted/dropped.receipt.json"))["request_id"]
    waited = [upgraded.request_id(name) for name in ("queued", "sending")] + [dropped]
    states = [(await ambulance.outcome(each))["state"] for each in waited]
    held = await ambulance.history(upgraded.request_id("held"))
    await ambulance.ran("release", upgraded.request_id("held"), *ORDER)
    states.append((await ambulance.outcome(upgraded.request_id("held")))["state"])
    waited.append(upgraded.request_id("held"))
    await eventually(lambda: all(received(hospital)[each] for each in waited))

    assert held is not None
    assert "held" == held.message.state
    assert ["acknowledged"] * 4 == states
    assert [1] * 4 == [received(hospital)[each] for each in waited]


async def test_what_was_told_is_told_once(upgraded: Upgraded) -> None:
    """What the EPR has not read still lies there as it was, and nothing is put there twice."""
    ambulance, hospital = upgraded.world.ambulance, upgraded.world.hospital
    unread = [file for node in (ambulance, hospital) for file in node.files("inbox/new/*")]
    before = {file: file.read_bytes() for file in unread}
    sent = await ambulance.sent("another.json", referral())
    await ambulance.outcome(sent["request_id"])
    await eventually(lambda: received(hospital)[sent["request_id"]])

    assert len(before) > 10
    assert before == {file: file.read_bytes() for file in unread}
    assert 1 == received(hospital)[upgraded.request_id("unread")]


async def test_what_was_received_is_a_duplicate(upgraded: Upgraded) -> None:
    """The ledger holds, and what is stored encrypted is opened by the key ring of that release."""
    hospital = upgraded.world.hospital
    (message,) = (
        file.with_name(file.name.replace("notice", "message"))
        for file in hospital.files("inbox/new/*.notice.json")
        if json.loads(file.read_bytes())["request_id"] == upgraded.request_id("unread")
    )
    body = message.read_bytes()
    asked = headers(X_Request_Id=upgraded.request_id("unread"))
    status, _, outcome = await post(upgraded.world, body, asked)
    found = await hospital.ran("subject", NHS_NUMBER, "--why", "INC-7")

    assert (409, ("REC_CONFLICT", "duplicate")) == (status, issue(outcome))
    assert upgraded.request_id("unread") in found


async def test_a_question_that_was_open_is_answered(upgraded: Upgraded) -> None:
    """Too late for whoever asked: they hear that it was taken when they ask again."""
    hospital, number = upgraded.world.hospital, upgraded.known["question"]
    half = hospital.spool / "answers" / "tmp" / f"{number}.json"
    half.write_bytes(b'{"accept": true}')
    half.rename(hospital.spool / "answers" / "new" / half.name)
    receipt = await hospital.document(f"answers/accepted/{number}.decided.json")
    asked = headers(X_Request_Id=upgraded.known["asked"])
    status, _, outcome = await post(upgraded.world, upgraded.asked, asked)

    assert (True, True) == (receipt["accepted"], receipt["late"])
    assert (409, ("REC_CONFLICT", "duplicate")) == (status, issue(outcome))


async def test_what_lay_in_quarantine_is_attached(upgraded: Upgraded) -> None:
    """The alarm ends, the workflow moves, and the EPR gets the response."""
    ambulance = upgraded.world.ambulance
    (line,) = (await ambulance.ran("quarantine", "--json")).splitlines()
    asked = await ambulance.history(upgraded.request_id("answered"))
    assert asked is not None
    workflow = str(asked.workflow.workflow_id)
    done = await ambulance.ran("attach", str(json.loads(line)["number"]), workflow, *ORDER)
    (message,) = await eventually(lambda: ambulance.files("inbox/new/*.message.json"))

    assert "attached; the workflow is completed" in done
    assert b'"Bundle"' in message.read_bytes()
    assert 0 == (await ambulance.overview()).alarmed("inbound.quarantined")


async def test_what_was_certified_is_proved(upgraded: Upgraded, tmp_path: Path) -> None:
    """Audit trail, purge certificate and every stored byte; and a backup of it is whole."""
    for node in (upgraded.world.ambulance, upgraded.world.hospital):
        heads = node.folder / "state" / "audit-heads.jsonl"
        await node.ran("audit", "verify", "--against", str(heads))
        await node.ran("purge", "--verify", "1")
        await node.ran("verify")
        if not engines.on_server():  # a server has tools of its own
            await node.ran("backup", str(tmp_path / f"{node.name}.db"))
            await node.ran("verify", str(tmp_path / f"{node.name}.db"))


async def test_records_leave_when_their_time_is_over(upgraded: Upgraded) -> None:
    """Two months on, all that may leave has left, and what is under legal hold is there."""
    ambulance = upgraded.world.ambulance
    for name in ("queued", "sending"):
        await ambulance.outcome(upgraded.request_id(name))
    upgraded.clock.leap(upgraded.clock() + timedelta(days=60))
    await ambulance.restart()
    await ambulance.ran("purge", *ORDER)
    await ambulance.ran("purge", "--verify", "2")
    payloads = [
        message
        for name in ("answered", "unread", "sending")
        if (message := (await ambulance.history(upgraded.request_id(name))))
    ]
    held = await ambulance.ran("held-records")

    assert 3 == len(payloads)
    assert [True, False, False] == [
        bool(ambulance.ask("SELECT 1 FROM payloads WHERE message_id = ?", each.message.message_id))
        for each in payloads
    ]
    assert "INC-7" in held


async def test_each_setting_is_there_or_has_a_new_name(upgraded: Upgraded) -> None:
    """What was removed without a word would keep a gateway from starting after an upgrade."""
    nodes = (upgraded.world.ambulance, upgraded.world.hospital)
    now = {each.key for node in nodes for each in describe(node.settings())}
    former = {each.replace("*", node.name) for each in RENAMED for node in nodes}

    assert [] == sorted({*upgraded.known["settings"]} - now - former)
    assert [] == sorted(former & now)


def missing(changelog: str, tags: str, kept: list[str]) -> list[str]:
    """Return the versions that are out, and of which nothing is kept."""
    out = {*HEADING.findall(changelog), *TAG.findall(tags)}
    return sorted(each for each in out if version(each) >= FIRST_KEPT and each not in kept)


def test_each_release_is_kept() -> None:
    """Of every version that the changelog has a heading for, or that has a tag."""
    done = subprocess.run(["git", "tag"], cwd=ROOT, capture_output=True, text=True, check=False)
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    kept = released()

    assert [] == missing(changelog, done.stdout, kept)
    assert kept == [
        json.loads((KEPT / each / "kept.json").read_bytes())["version"] for each in kept
    ]
    assert [] == [
        each for each in kept if sum(f.stat().st_size for f in (KEPT / each).iterdir()) > MOST_BYTES
    ]


@pytest.mark.parametrize(
    ("changelog", "tags", "kept", "expected"),
    [
        ("## [Unreleased]\n", "", [], []),
        ("## [Unreleased]\n## [0.1.0] - 2026-01-01\n", "v0.1.0\n", [], []),
        ("## [0.2.0] - 2027-01-01\n", "", [], ["0.2.0"]),
        ("", "v0.2.0\nv0.10.1\n", ["0.2.0"], ["0.10.1"]),
        ("## [0.2.0]\n", "v0.2.0\n", ["0.2.0"], []),
    ],
    ids=["none is out", "before any was kept", "forgotten", "tagged and forgotten", "kept"],
)
def test_a_release_that_was_not_kept_is_named(changelog, tags, kept, expected) -> None:
    """`make keep-release` makes what is missing."""
    assert expected == missing(changelog, tags, kept)
