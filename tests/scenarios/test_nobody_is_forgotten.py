"""
Whatever a Responder's clock says, and whatever gets lost: nobody is forgotten.

One control room asks another for help. Answers get lost, or are about somebody else; what the
other room reports is stamped by clocks that are hours or years wrong, comes in other orders than
it was written in, and goes on after its end. Requests that ended badly are sent again as new.

    newest true word: somebody is on the way ─► the workflow says so too, or an alarm stands
    ids of a record ─► are those of that record, and of no other
    alarms ─► stand until somebody has seen them, over restarts too
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from drawing import each_drawn
from hypothesis import strategies as st
from messages import NHS_NUMBER
from moving import socket_of, transfer
from telling import told
from world import Node, World, answer_of, headers, in_time, post, world_in

from bars_gateway.standard.workflow import State
from bars_gateway.store.database import open_reader, read_with

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
QUIET = frozenset({State.DECLINED, State.COMPLETED, State.REFUSED, State.ABANDONED})

WORDS = st.tuples(
    st.sampled_from(["planned", "in-progress", "arrived", "cancelled", "finished"]),
    st.sampled_from(["right", "right", *CLOCKS]),
)
PLANS = st.fixed_dictionaries(
    {
        "words": st.lists(WORDS, min_size=2, max_size=5),
        "swapped": st.booleans(),  # the last two come in the other order
        "answers": st.sampled_from(["right", "right", "lost", "foreign", "lost-then-foreign"]),
        "resent": st.booleans(),  # somebody tries to send it again as new at the end
    }
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


@pytest.mark.timeout(400)
async def test_nobody_is_forgotten(world: World) -> None:
    """Thirty courses, drawn anew in the same way each time."""
    await each_drawn(PLANS, partial(play, world), examples=30)
    before = await standing(world.ambulance)
    await world.ambulance.restart()

    assert before
    assert before == await standing(world.ambulance)


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
    await play(world, words, swapped=False, answers="right", resent=False)


async def play(
    world: World, words: Sequence[tuple[str, str]], *, swapped: bool, answers: str, resent: bool
) -> None:
    """Ask, report what is drawn, and look at what became of it."""
    await somebody_else(world)
    for kind in FAULTS[answers]:
        world.sandbox.faults.arm({"kind": kind, "method": "POST", "count": 1})
    body = transfer("a6t2")
    name = json.loads(body)["id"]
    world.ambulance.drop(f"{name}.json", body)
    receipt = await world.ambulance.document(f"outbox/accepted/{name}.receipt.json")
    request_id = receipt["request_id"]
    acknowledgement = await in_time(lambda: answer_of(world.hospital, request_id))
    assert acknowledgement is not None
    written = [(word, told(acknowledgement, word, ago=CLOCKS[clock])) for word, clock in words]
    for _, each in [*written[:-2], *(written[:-3:-1] if swapped else written[-2:])]:
        sent = headers(world.ambulance.service)
        status, _, _ = await post(world, each, sent, node=world.ambulance)
        assert 200 == status
        await asyncio.sleep(0.002)  # so that no two are stamped alike
    if resent:
        await try_to_resend(world, request_id)
    await look(world, request_id, newest=words[-1][0])
    outcome = await world.ambulance.outcome(request_id)
    answer = world.ambulance.spool / "inbox" / "new" / f"{outcome['notice_id']:012d}.answer.json"
    assert not answer.exists() or ANOTHER_PATIENT.encode() not in answer.read_bytes()


async def somebody_else(world: World) -> None:
    """Ask for another patient first, so that there is an answer to be mixed up with."""
    body = transfer("a6t2").replace(NHS_NUMBER.encode(), ANOTHER_PATIENT.encode())
    name = json.loads(body)["id"]
    world.ambulance.drop(f"{name}.json", body)
    receipt = await world.ambulance.document(f"outbox/accepted/{name}.receipt.json")
    outcome = await world.ambulance.outcome(receipt["request_id"])
    assert "acknowledged" == outcome["state"]


async def try_to_resend(world: World, request_id: str) -> None:
    """Ask for a second record: refused while the first stands, and made after its end."""
    order = {"why": "drawn", "by": "test", "confirmed": True}
    async with (
        socket_of(world.ambulance) as session,
        session.post(f"/messages/{request_id}/resend", json=order) as answer,
    ):
        assert answer.status in {200, 409}


async def look(world: World, request_id: str, *, newest: str) -> None:
    """Hold both sides against the truth."""
    history = await world.ambulance.history(request_id)
    assert history is not None
    state, number = history.workflow.state, history.workflow.workflow_id
    alarms = await standing(world.ambulance)
    if newest in ON_THE_WAY:
        assert state not in QUIET or alarms.get(number), f"{state}, and nobody is told"
    theirs = await world.hospital.history(request_id)
    assert theirs is not None
    ids = {await focus_of(world.ambulance, request_id), await focus_of(world.hospital, request_id)}
    assert 1 == len(ids - {None})


async def focus_of(node: Node, request_id: str) -> str | None:
    query = (
        "SELECT w.focus_id FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id"
        " WHERE m.request_id = ?"
    )
    async with open_reader(node.database) as reader:
        row = await read_with(reader, lambda c: c.raw.execute(query, [request_id]).fetchone())
    found: str | None = row["focus_id"]
    return found


async def standing(node: Node) -> dict[int | None, set[str]]:
    """Return the kinds of alarm that stand, by workflow."""
    query = "SELECT workflow_id, message_id, kind FROM alarms WHERE ended_at IS NULL"
    of = "SELECT workflow_id FROM messages WHERE id = ?"
    found: dict[int | None, set[str]] = {}
    async with open_reader(node.database) as reader:
        rows = await read_with(reader, lambda c: c.raw.execute(query).fetchall())
        for row in rows:
            number = row["workflow_id"]
            if number is None and row["message_id"] is not None:
                keys = [row["message_id"]]
                number = (
                    await read_with(reader, lambda c, k=keys: c.raw.execute(of, k).fetchone())
                )[0]
            found.setdefault(number, set()).add(row["kind"])
    return found
