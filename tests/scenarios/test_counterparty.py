"""One gateway and no partner: a conversation of each Application with the counterparty."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asked_epr import answering
from world import Node, eventually, in_time

from bars_gateway.demo.messages import response
from bars_gateway.sandbox.counterparty.correspondence import cancellation, request
from bars_gateway.sandbox.counterparty.message_handler import Direction, Held
from bars_gateway.sandbox.counterparty.services import own_service
from bars_gateway.sandbox.server import Sandbox, SandboxSettings
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import State

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]

SERVICE = "2000000101"


class Lone:
    """One gateway, and whoever the sandbox plays."""

    def __init__(self, sandbox: Sandbox, trust: Node) -> None:
        self.sandbox = sandbox
        self.trust = trust

    def to(self, use_case: str, *, books: bool = False) -> bytes:
        """Return a request to the counterparty's service of that Application."""
        receiver = own_service(use_case[:2]).identifier
        return request(use_case, sender=self.trust.service, receiver=receiver, books=books)

    def of(self, use_case: str, *, books: bool = False) -> bytes:
        """Return a request of the counterparty's to the gateway."""
        sender = own_service(use_case[:2]).identifier
        return request(use_case, sender=sender, receiver=self.trust.service, books=books)

    async def sent(self, name: str, body: bytes) -> tuple[str, bytes]:
        """Let the EPR send a message; return the state of its outcome, and the answer."""
        receipt = await self.trust.sent(name, body)
        outcome = await self.trust.outcome(receipt["request_id"])
        (answer,) = self.trust.files(f"inbox/new/*{outcome['notice_id']}.answer.json")
        return outcome["state"], answer.read_bytes()

    async def received(self, count: int) -> list[dict[str, Any]]:
        """Wait until the EPR was told of so many messages; return their notices, in order."""
        files = await eventually(
            lambda: len(f := self.trust.files("inbox/new/*.notice.json")) >= count and f
        )
        return [json.loads(file.read_bytes()) for file in files]

    def held(self, direction: Direction) -> Held:
        """Return the only thing that the counterparty holds."""
        kept = self.sandbox.counterparty.holdings.listed()
        (found,) = [held for held in kept if held.happened and held.direction is direction]
        return found

    async def reaches(self, direction: Direction, state: State) -> None:
        """Wait until what the counterparty holds is in that state."""

        async def reached() -> bool:
            return self.held(direction).state is state

        await in_time(reached)


@pytest.fixture
async def lone(tmp_path: Path) -> AsyncIterator[Lone]:
    settings = SandboxSettings(
        folder=tmp_path / "sandbox", key_bits=2048, counterparty=True, pause_seconds=0.05
    )
    async with Sandbox(settings) as sandbox, asyncio.TaskGroup() as group:
        trust = Node("trust", SERVICE, tmp_path / "trust", sandbox)
        trust.asked = 'questions = "socket"'
        await trust.register()
        await trust.start(group)
        try:
            yield Lone(sandbox, trust)
        finally:
            await trust.stop()


@pytest.mark.parametrize(
    ("use_case", "books"),
    [
        ("a1t1", False),
        ("a1t1", True),
        ("a2t1", False),
        ("a3t1", False),
        ("a5t1", False),
        ("a7t1", True),
    ],
)
async def test_what_is_asked_is_acknowledged_and_can_be_cancelled(
    lone: Lone, use_case: str, *, books: bool
) -> None:
    """Applications 1, 2, 3, 5 and 7, as the Sender."""
    state, answer = await lone.sent("request.json", lone.to(use_case, books=books))
    cancelled, _ = await lone.sent("cancel.json", cancellation(answer))

    assert ["acknowledged"] * 2 == [state, cancelled]
    assert State.CANCELLED is lone.held(Direction.RECEIVED).state


@pytest.mark.parametrize(
    ("use_case", "moves"),
    [
        pytest.param("a4t1", ["progress", "conclude"], id="a4"),
        pytest.param("a6t1", ["progress", "progress", "conclude"], id="a6"),
        pytest.param("a8t1", [], id="a8"),
    ],
)
async def test_what_is_asked_is_responded_to(lone: Lone, use_case: str, moves: list[str]) -> None:
    """Applications 4, 6 and 8, as the Sender: the EPR is told of each response."""
    state, _ = await lone.sent("request.json", lone.to(use_case))
    notices = await lone.received(len(moves)) if moves else []

    assert "acknowledged" == state
    assert moves == [notice["move"] for notice in notices]


@pytest.mark.parametrize(
    ("use_case", "move"), [("a4t1", "decline"), ("a6t1", "unclear"), ("a6t2", "decline")]
)
async def test_a_rejection_reaches_the_epr(lone: Lone, use_case: str, move: str) -> None:
    """A script makes the counterparty say no, which an out-of-area referral does not know."""
    lone.sandbox.counterparty.scripts.add({"verb": "reject", "code": "RRNA", "count": 1})
    await lone.sent("request.json", lone.to(use_case))
    (notice,) = await lone.received(1)

    assert move == notice["move"]


@pytest.mark.parametrize("use_case", ["a1t1", "a2t1", "a3t1", "a5t1", "a8t1"])
async def test_the_counterparty_refers(lone: Lone, use_case: str) -> None:
    """Applications 1, 2, 3, 5 and 8, as the Receiver: the EPR is told."""
    sent, held = await lone.sandbox.counterparty.correspondence.request(lone.of(use_case))
    (notice,) = await lone.received(1)

    assert (Verdict.ACKNOWLEDGED, State.ACTIVE) == (sent.verdict, held.state)
    assert ("request", use_case) == (notice["move"], notice["use_case"])


@pytest.mark.parametrize("use_case", ["a1t1", "a2t1", "a7t1"])
async def test_the_counterparty_books(lone: Lone, use_case: str) -> None:
    """Applications 1, 2 and 7, as the Receiver: the EPR says yes while it waits."""
    async with answering(lone.trust.socket) as epr:
        body = lone.of(use_case, books=True)
        sent, held = await lone.sandbox.counterparty.correspondence.request(body)

    assert (Verdict.ACKNOWLEDGED, State.ACTIVE) == (sent.verdict, held.state)
    assert ["booking"] == [question["request_type"] for question in epr.seen]


@pytest.mark.parametrize("use_case", ["a4t1", "a6t1"])
async def test_the_counterparty_asks_and_is_responded_to(lone: Lone, use_case: str) -> None:
    """Applications 4 and 6, as the Receiver: the EPR's responses find their request."""
    await lone.sandbox.counterparty.correspondence.request(lone.of(use_case))
    await lone.received(1)
    (answer,) = lone.trust.files("inbox/new/*.answer.json")
    acknowledgement = answer.read_bytes()
    begun, _ = await lone.sent("i.json", response(acknowledgement, encounter="in-progress"))
    await lone.reaches(Direction.SENT, State.IN_PROGRESS)
    ended, _ = await lone.sent("f.json", response(acknowledgement, encounter="finished"))

    assert ["acknowledged"] * 2 == [begun, ended]
    assert State.COMPLETED is lone.held(Direction.SENT).state


@pytest.mark.parametrize("cancel", [False, True])
async def test_the_counterparty_changes_what_it_asked(lone: Lone, *, cancel: bool) -> None:
    """An update and a cancellation are put to the EPR, which says yes."""
    correspondence = lone.sandbox.counterparty.correspondence
    async with answering(lone.trust.socket) as epr:
        _, held = await correspondence.request(lone.of("a4t1"))
        sent = await correspondence.change(held, cancel=cancel)

    assert Verdict.ACKNOWLEDGED is sent.verdict
    assert ["cancel" if cancel else "update"] == [question["move"] for question in epr.seen]
