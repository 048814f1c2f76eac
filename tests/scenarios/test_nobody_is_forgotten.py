"""
Whatever a Responder's clock says, and whatever gets lost: nobody is forgotten.

One control room asks another for help. Answers get lost, or are about somebody else; what the
other room reports is stamped by clocks that are hours or years wrong, comes in other orders than
it was written in, and goes on after its end. Either room loses its database, goes back to a
backup, and is handed what it lacks, or is not. Requests are sent again as new where they may be,
and the second record of the patient is answered, too, while what was said of the first still holds.

    newest true word: somebody is on the way ─► the workflow says so too, or an alarm about it
    ids of a record ─► are those of that record, and of no other
    alarms ─► stand until somebody has seen them, over restarts and restores too
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, cycle, product
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from drawing import each_drawn
from hypothesis import strategies as st
from messages import NHS_NUMBER
from moving import socket_of, transfer
from telling import told
from world import Node, World, answer_of, headers, in_time, post, world_in

from bars_gateway.daemon.gateway import now
from bars_gateway.model.readings import MessageHistory
from bars_gateway.standard.meaning import Said
from bars_gateway.standard.workflow import State
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.restore import hand_over, restore

pytestmark = pytest.mark.both_engines

HOUR = timedelta(hours=1)
CLOCKS = {  # how far a stamp lies behind the truth
    "right": timedelta(0),
    "summer-time": -HOUR,
    "winter-time": HOUR,
    "years-ahead": -timedelta(days=3650),
    "years-behind": timedelta(days=3650),
}
FAULTS = {  # what the answers to the request meet on their way, one after the other
    "right": (),
    "lost": ("drop_after",),
    "foreign": ("other_body",),  # the body is the answer about the patient before
    "lost-then-foreign": ("drop_after", "other_body"),
}
ANOTHER_PATIENT = "9990000026"
ON_THE_WAY = frozenset({"in-progress", "arrived"})
# What alarms of a word that a quiet workflow does not follow.
OF_THE_WORD = frozenset({"response.remarked", "restore.not_handed_over"})
OPEN_THERE = frozenset({State.ACTIVE, State.IN_PROGRESS, State.UNCLEAR, State.CONTRADICTED})
QUIET = frozenset({State.DECLINED, State.COMPLETED, State.REFUSED, State.ABANDONED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Who goes back to a backup at the end, to which, and whether what it lacks is entered."""

    side: str
    before_the_request: bool  # or after the first word
    handed_over: bool


WORDS = st.tuples(
    st.sampled_from(["planned", "in-progress", "arrived", "cancelled", "finished"]),
    st.sampled_from(["right", "right", *CLOCKS]),
)
RESTORES = [
    Restore(side=side, before_the_request=before, handed_over=handed_over)
    for side, before, handed_over in product(
        ["ambulance", "hospital"], [True, False], [True, False]
    )
]
PLANS = st.fixed_dictionaries(
    {
        "words": st.lists(WORDS, min_size=2, max_size=5),
        "swapped": st.booleans(),  # the last two come in the other order
        "answers": st.sampled_from(["right", "right", "lost", "foreign", "lost-then-foreign"]),
        # somebody tries to send it again as new at the end, and of that record this is reported
        "resent": st.none() | WORDS,
    }
)


class Alarm(NamedTuple):
    """One alarm that stands, and what it is about."""

    kind: str
    request_id: str | None
    workflow_id: int | None


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


@pytest.mark.of_sqlite
@pytest.mark.long
async def test_nobody_is_forgotten(world: World) -> None:
    """Thirty courses, drawn again in the same way each time; each third ends with a restore."""
    turns = chain.from_iterable((each, None, None) for each in cycle(RESTORES))

    async def course(**drawn: Any) -> None:
        await play(world, restored=next(turns), **drawn)

    await each_drawn(PLANS, course, examples=30)
    before = await alarms(world.ambulance)
    await world.ambulance.restart()

    assert before
    assert before == await alarms(world.ambulance)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([("cancelled", "right"), ("in-progress", "winter-time")], id="behind"),
        pytest.param([("finished", "right"), ("arrived", "winter-time")], id="after-the-end"),
        pytest.param([("finished", "years-ahead"), ("in-progress", "right")], id="years"),
        pytest.param([("cancelled", "summer-time"), ("in-progress", "right")], id="ahead"),
    ],
)
async def test_activity_after_an_end_is_told_whatever_its_stamp(
    world: World, words: Sequence[tuple[str, str]]
) -> None:
    """It looks older than the end, so it changes nothing; but somebody may be on the way."""
    await play(world, words, swapped=False, answers="right", resent=None, restored=None)


@pytest.mark.of_sqlite
@pytest.mark.parametrize("handed_over", [True, False])
async def test_activity_that_a_restore_has_lost_is_told(world: World, handed_over: bool) -> None:  # noqa: FBT001
    """Declined in the backup, and somebody went after it: handed over or not, a person hears."""
    words = [("cancelled", "right"), ("in-progress", "right")]
    lost = Restore(side="ambulance", before_the_request=False, handed_over=handed_over)
    await play(world, words, swapped=False, answers="right", resent=None, restored=lost)


async def play(
    world: World,
    words: Sequence[tuple[str, str]],
    *,
    swapped: bool,
    answers: str,
    resent: tuple[str, str] | None,
    restored: Restore | None,
) -> None:
    """Ask, report what is drawn, and look at what became of it."""
    await somebody_else(world)
    backup = backed_up(world, restored, before_the_request=True)
    request_id, acknowledgement = await asked(world, answers)
    written = []
    for word, clock in words:
        written.append((word, told(acknowledgement, word, ago=CLOCKS[clock])))
        await asyncio.sleep(0.002)  # so that no two are stamped alike
    sent = dict[bytes, str]()  # under which X-Request-Id each came
    for _, each in [*written[:-2], *(written[:-3:-1] if swapped else written[-2:])]:
        sent[each] = await reported(world, each)
        backup = backup or backed_up(world, restored, before_the_request=False)
    outcome = await world.ambulance.outcome(request_id)
    if restored is not None and backup is not None:
        await gone_back(getattr(world, restored.side), backup, handed_over=restored.handed_over)
    if resent and (again := await try_to_resend(world, request_id)):
        await answered(world, again, *resent)
    newest, written_last = written[-1]
    await look(world, request_id, newest=newest, came_as=sent[written_last])
    answer = world.ambulance.spool / "inbox" / "new" / f"{outcome['notice_id']:012d}.answer.json"
    assert not answer.exists() or ANOTHER_PATIENT.encode() not in answer.read_bytes()


async def asked(world: World, answers: str) -> tuple[str, bytes]:
    """Send a request; return its X-Request-Id, and what the hospital answered to it."""
    for kind in FAULTS[answers]:
        world.sandbox.faults.arm({"kind": kind, "method": "POST", "count": 1})
    body = transfer("a6t2")
    name = json.loads(body)["id"]
    world.ambulance.drop(f"{name}.json", body)
    receipt = await world.ambulance.document(f"outbox/accepted/{name}.receipt.json")
    acknowledgement = await in_time(lambda: answer_of(world.hospital, receipt["request_id"]))
    assert acknowledgement is not None
    return receipt["request_id"], acknowledgement


async def reported(world: World, body: bytes) -> str:
    """Let the hospital say something; return the X-Request-Id."""
    sent = headers(world.ambulance.service)
    status, _, _ = await post(world, body, sent, node=world.ambulance)
    assert 200 == status
    await asyncio.sleep(0.002)  # nor any two of one instant
    return sent["X-Request-Id"]


def backed_up(world: World, restored: Restore | None, *, before_the_request: bool) -> Path | None:
    """Return a backup, where the plan is to go back to now."""
    if restored is None or restored.before_the_request is not before_the_request:
        return None
    node: Node = getattr(world, restored.side)
    file = node.folder / f"{uuid4()}.db"
    back_up(node.database, file)
    return file


async def gone_back(node: Node, backup: Path, *, handed_over: bool) -> None:
    """Go back to a backup, and hand over what was received since; no alarm is lost by that."""
    stood = await alarms(node)
    await node.stop()
    done = await asyncio.to_thread(restore, backup, node.database, now(), older=True)
    assert done.aside is not None
    if handed_over:
        await asyncio.to_thread(hand_over, done.aside, node.database, now())
    await node.restart()
    stands = await alarms(node)
    lacking = {each.request_id for each in stands if each.kind == "restore.not_handed_over"}
    lost = {(each.kind, each.request_id) for each in stood if each.request_id not in lacking}
    assert set() == lost - {(each.kind, each.request_id) for each in stands}


async def somebody_else(world: World) -> None:
    """Ask for another patient first, so that there is an answer to be mixed up with."""
    body = transfer("a6t2").replace(NHS_NUMBER.encode(), ANOTHER_PATIENT.encode())
    name = json.loads(body)["id"]
    world.ambulance.drop(f"{name}.json", body)
    receipt = await world.ambulance.document(f"outbox/accepted/{name}.receipt.json")
    outcome = await world.ambulance.outcome(receipt["request_id"])
    assert "acknowledged" == outcome["state"]


async def try_to_resend(world: World, request_id: str) -> str | None:
    """Ask for a second record: None while the first stands, and one of its own after its end."""
    found = await history_of(world.ambulance, request_id)
    nobody_comes = found.workflow.state is State.ACTIVE and (
        found.message.newest is Said.STOOD_DOWN
    )
    stands = found.workflow.state in OPEN_THERE and not nobody_comes
    order = {"why": "drawn", "by": "test", "confirmed": True}
    async with (
        socket_of(world.ambulance) as session,
        session.post(f"/messages/{request_id}/resend", json=order) as answer,
    ):
        document = await answer.json()
    if answer.status == 409:
        assert (stands, "stands") == (True, document["objection"]["code"])
        return None
    assert (False, 200) == (stands, answer.status)
    again: str = document["resent_as"]
    await world.ambulance.outcome(again)
    ids = [await focuses(world, each) for each in (request_id, again)]
    assert [True, set()] == [len(ids[1]) == 1, ids[0] & ids[1]]
    return again


async def answered(world: World, request_id: str, word: str, clock: str) -> None:
    """Let the hospital say something of the second record, and look at what became of that."""
    acknowledgement = await in_time(lambda: answer_of(world.hospital, request_id))
    assert acknowledgement is not None
    came_as = await reported(world, told(acknowledgement, word, ago=CLOCKS[clock]))
    await look(world, request_id, newest=word, came_as=came_as)


async def look(world: World, request_id: str, *, newest: str, came_as: str) -> None:
    """Hold both sides against the truth."""
    found = await history_of(world.ambulance, request_id)
    state, number = found.workflow.state, found.workflow.workflow_id
    told_of = [
        each.kind
        for each in await alarms(world.ambulance)
        if (each.kind in OF_THE_WORD and each.request_id == came_as)
        or (each.kind == "workflow.contradicted" and each.workflow_id == number)
    ]
    if newest in ON_THE_WAY:
        assert state not in QUIET or told_of, f"{state}, and nobody is told of that"
    lacking = [each.request_id for each in await alarms(world.hospital) if each.kind in OF_THE_WORD]
    assert request_id in lacking or await world.hospital.history(request_id)
    assert 1 == len(await focuses(world, request_id))


async def history_of(node: Node, request_id: str) -> MessageHistory:
    found = await node.history(request_id)
    assert found is not None
    return found


async def focuses(world: World, request_id: str) -> set[str]:
    """Return what each side calls the record of a request."""
    found = {await focus_of(node, request_id) for node in (world.ambulance, world.hospital)}
    return {each for each in found if each}


async def focus_of(node: Node, request_id: str) -> str | None:
    query = (
        "SELECT w.focus_id FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id"
        " WHERE m.request_id = ?"
    )
    found = await asyncio.to_thread(node.ask, query, request_id)
    return next((focus_id for (focus_id,) in found), None)


async def alarms(node: Node) -> Sequence[Alarm]:
    """Return what stands, each with the request or workflow that it is about."""
    async with socket_of(node) as session, session.get("/alarms") as answer:
        found = (await answer.json())["alarms"]
    return [Alarm(each["kind"], each["request_id"], each["workflow_id"]) for each in found]
