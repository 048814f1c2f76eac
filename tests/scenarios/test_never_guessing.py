"""
Whatever is thrown at two gateways, in whatever order: nothing ends in the wrong workflow.

Each organisation asks the other. What then comes is shuffled, repeated, sent again under new
ids, about other patients, from strangers, or about two cases at once; some of it comes before
the Requester has heard that its request arrived. Two things have to hold afterwards: a
workflow has the messages of one case and of no other, and it is where those lead by the table.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import engines
import pytest
from asked_epr import YES, Document, answering
from bookings import cancelled_referral
from drawing import each_drawn
from hypothesis import strategies as st
from messages import NHS_NUMBER, validation_request
from world import Node, World, answer_of, headers, in_time, post, world_in

from bars_gateway.demo.messages import response
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, State, led_on

ANOTHER_PATIENT = "9990000026"
STRANGER = "2000000909"
TO_REQUESTER = (
    "interim",
    "planned",
    "final",
    "decline",
    "by-a-stranger",
    "of-another",
    "nowhere",
    "two-cases",
)
TO_RESPONDER = ("cancel", "asked-again", "cancel-by-a-stranger", "cancel-of-another")
TAKEN_BY_NOBODY = {
    "by-a-stranger": {404},
    "nowhere": {404},
    "two-cases": {404},
    "asked-again": {400},
    "cancel-of-another": {409, 425},  # what its EPR has said, or has yet to say
}

THROWS = st.tuples(
    st.integers(0, 2),
    st.sampled_from([*("interim", "planned") * 4, *TO_REQUESTER, *TO_REQUESTER, *TO_RESPONDER]),
    st.sampled_from(["once", "twice", "again under a new id"]),
    st.integers(0, 9),  # how late it comes: all are written before the first is on its way
)
SELDOM = st.sampled_from([False, False, True])  # the other way about; its answer lost
PLANS = st.fixed_dictionaries(
    {
        "cases": st.lists(st.tuples(SELDOM, SELDOM), min_size=3, max_size=3),
        "throws": st.lists(THROWS, min_size=8, max_size=16),
        "at_once": st.integers(1, 4),
    }
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request, and both sides of it."""

    requester: Node
    responder: Node
    bundle_id: str
    request_id: str
    body: bytes
    acknowledgement: bytes  # as the Responder wrote it, whether or not it was heard


@dataclass(frozen=True, kw_only=True)
class Throw:
    """One message, addressed to one of the two."""

    kind: str
    copies: str
    node: Node
    belongs_to: str
    body: bytes


@dataclass
class Course:
    """What was thrown in one example, and what it was really about."""

    about: dict[str, str] = field(default_factory=dict)  # Bundle.id → what it belongs to
    answers: list[tuple[str, Node, str, int]] = field(default_factory=list)


def unless_another_patient(question: Document) -> Document:
    return {"refuse": "changed-here"} if "other_patient" in question.get("remarks", ()) else YES


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Return a world in which either EPR says yes, but to what is about another patient."""
    asked = 'questions = "socket"'
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(world_in(tmp_path, asked=asked))
        made.ambulance.asked, made.hospital.outbound = asked, made.ambulance.outbound
        for node in (made.ambulance, made.hospital):
            await node.restart()
            await stack.enter_async_context(answering(node.socket, unless_another_patient))
        yield made


@pytest.mark.both_engines
@pytest.mark.long
async def test_nothing_ends_in_the_wrong_workflow(world: World) -> None:
    """Sixty courses of events, drawn again in the same way each time; on a server the first 20."""
    await each_drawn(PLANS, partial(play, world), examples=20 if engines.on_server() else 60)


async def play(
    world: World,
    cases: Sequence[tuple[bool, bool]],
    throws: Sequence[tuple[int, str, str, int]],
    at_once: int,
) -> None:
    """Ask what is asked, throw what is thrown, so many at once, and look at what became of it."""
    course, conversation = Course(), str(uuid4())
    begun = [
        await begin(world, course, conversation, turned=turned, lost=lost) for turned, lost in cases
    ]
    late = [late for _, _, _, late in throws]
    made = [thrown(begun, begun[number], kind, copies) for number, kind, copies, _ in throws]
    order = sorted(range(len(made)), key=late.__getitem__)
    for start in range(0, len(order), at_once):
        async with asyncio.TaskGroup() as group:
            for number in order[start : start + at_once]:
                group.create_task(throw(world, course, begun, made[number]))
    for case in begun:
        outcome = await case.requester.outcome(case.request_id)
        assert "acknowledged" == outcome["state"]
    for node in (world.ambulance, world.hospital):
        await look(node, course)


async def begin(
    world: World, course: Course, conversation: str, *, turned: bool, lost: bool
) -> Case:
    """Send a request, all in one conversation and about one patient; its answer may get lost."""
    sides = (world.hospital, world.ambulance) if turned else (world.ambulance, world.hospital)
    requester, responder = sides
    bundle_id = str(uuid4())
    body = validation_request(
        bundle_id=bundle_id, sender=requester.service, receiver=responder.service
    )
    if lost:
        world.sandbox.faults.arm({"kind": "drop_after", "method": "POST", "count": 1})
    envelope = json.dumps({"correlation_id": conversation}).encode()
    requester.drop(f"{bundle_id}.json", body, envelope)
    receipt = await requester.document(f"outbox/accepted/{bundle_id}.receipt.json")
    course.about[bundle_id] = bundle_id
    return Case(
        requester=requester,
        responder=responder,
        bundle_id=bundle_id,
        request_id=receipt["request_id"],
        body=body,
        acknowledgement=await in_time(lambda: answer_of(responder, receipt["request_id"])),
    )


def thrown(cases: Sequence[Case], case: Case, kind: str, copies: str) -> Throw:
    belongs_to = case.bundle_id
    return Throw(
        kind=kind,
        copies=copies,
        node=case.requester if kind in TO_REQUESTER else case.responder,
        belongs_to=f"{belongs_to}, but a stranger's" if "stranger" in kind else belongs_to,
        body=written(cases, case, kind),
    )


async def throw(world: World, course: Course, cases: Sequence[Case], one: Throw) -> None:
    """Hand one message over as the proxy would, and perhaps a second time."""
    if one.kind == "two-cases" and not await ids_are_known(cases):
        return
    course.about.setdefault(json.loads(one.body)["id"], one.belongs_to)
    sent = headers(one.node.service)
    again = headers(one.node.service) if one.copies == "again under a new id" else sent
    async with asyncio.TaskGroup() as group:
        for each in (sent,) if one.copies == "once" else (sent, again):
            group.create_task(hand_over(world, course, one, each))


async def ids_are_known(cases: Sequence[Case]) -> bool:
    """Tell whether the Requesters could see that two ids are of two cases."""
    outcomes = [await each.requester.outcome(each.request_id) for each in cases]
    return all(each["focus_id"] for each in outcomes)


async def hand_over(world: World, course: Course, one: Throw, sent: dict[str, str]) -> None:
    status, _, _ = await post(world, one.body, sent, node=one.node)
    course.answers.append((one.kind, one.node, sent["X-Request-Id"], status))


def written(cases: Sequence[Case], case: Case, kind: str) -> bytes:
    """Return the message; each has a Bundle.id of its own, but for what is asked again."""
    own, theirs = case.requester.service, case.responder.service
    other = next(each for each in cases if each is not case)
    rejection = ("RRNA", "Invented.")
    match kind:
        case "asked-again":
            return case.body
        case "interim" | "two-cases" | "nowhere":
            points = {"two-cases": other.bundle_id, "nowhere": str(uuid4())}
            return response(
                case.acknowledgement, encounter="in-progress", responds_to=points.get(kind)
            )
        case "planned":
            return response(case.acknowledgement, encounter="planned")
        case "decline":
            return response(case.acknowledgement, encounter="cancelled", rejection=rejection)
        case "final" | "by-a-stranger" | "of-another":
            body = response(case.acknowledgement, encounter="finished")
            stranger = theirs.replace(theirs.rpartition("|")[2], STRANGER)
        case _:
            body = cancelled_referral(json.loads(case.acknowledgement))
            stranger = own.replace(own.rpartition("|")[2], STRANGER)
    if kind.endswith("by-a-stranger"):
        known = theirs if kind == "by-a-stranger" else own
        return body.replace(known.encode(), stranger.encode())
    number = ANOTHER_PATIENT if kind.endswith("of-another") else NHS_NUMBER
    return body.replace(NHS_NUMBER.encode(), number.encode())


KEPT = """
SELECT w.id, w.role, w.state, m.bundle_id, m.request_id, m.direction, m.move,
       (SELECT n.remarks FROM notices AS n
         WHERE n.message_id = m.id AND n.kind IN ('message', 'amended')) AS remarks
  FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id ORDER BY m.id
"""
COLUMNS = ("id", "role", "state", "bundle_id", "request_id", "direction", "move", "remarks")


async def look(node: Node, course: Course) -> None:
    """Hold what the gateway has against what was thrown at it."""
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in await asyncio.to_thread(node.ask, KEPT)]
    kept = [row for row in rows if row["bundle_id"] in course.about]
    for number in {row["id"] for row in kept}:
        history = [row for row in kept if row["id"] == number]
        assert 1 == len({course.about[row["bundle_id"]] for row in history})
        assert history[-1]["state"] == State(led_on(State.REQUESTED, *moves(history)))
    taken = Counter(row["request_id"] for row in kept if row["direction"] == "inbound")
    answers = [(kind, of, status) for kind, at, of, status in course.answers if at is node]
    assert set(taken.values()) <= {1}
    assert {of for _, of, status in answers if status == 200} <= set(taken)
    assert {} == {
        kind: status
        for kind, of, status in answers
        if kind in TAKEN_BY_NOBODY and (of in taken or status not in TAKEN_BY_NOBODY[kind])
    }


def moves(history: Sequence[Any]) -> Iterator[Move]:
    """Yield what moved it: what came out of order did not, and another patient's is unclear."""
    yield Move.REQUEST
    for row in history:
        remarks = (row["remarks"] or "").split()
        if Remark.OTHER_PATIENT in remarks:
            yield Move.UNCLEAR
        elif Remark.OUT_OF_ORDER not in remarks:
            yield Move(row["move"])
