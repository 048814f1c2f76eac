"""
Correlation never guesses: a property of two gateways' stores and the messages between them.

    A asks ──► B answers as its guards allow ──► shuffled, repeated, mixed with strangers' ──► A
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_values import (
    ANSWER,
    NOW,
    OURS,
    THEIRS,
    arrival,
    attempt,
    claim_next,
    payload,
    submission,
)

from bars_gateway.model.messages import Arrival, OutboundState, Received, Settled, Submission
from bars_gateway.standard.guards import MoveRefused
from bars_gateway.standard.workflow import FINAL, TRANSITIONS, Move, RequestType, State
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store

OTHERS = THEIRS.replace("2000000202", "2000000303")
STRANGERS = THEIRS.replace("2000000202", "2000000909")
NOT_FOUND = payload(b'{"resourceType":"OperationOutcome"}')
ANSWERS = [Move.WAIT, Move.PROGRESS, Move.DECLINE, Move.CONCLUDE]


@dataclass(frozen=True)
class Plan:
    """One request, and what its Responder would like to say about it."""

    bundle: int  # requests may share a Bundle.id
    conversation: int  # and an X-Correlation-Id
    receiver: str
    use_case: str
    answers: tuple[tuple[Move, bool], ...]  # True: points back to the last answer
    known: bool  # whether A learns the id that B gave


PLANS = st.builds(
    Plan,
    bundle=st.integers(1, 2),
    conversation=st.integers(1, 2),
    receiver=st.sampled_from([THEIRS, OTHERS]),
    use_case=st.sampled_from(["a4t1", "a6t2"]),
    answers=st.lists(st.tuples(st.sampled_from(ANSWERS), st.booleans()), max_size=4).map(tuple),
    known=st.booleans(),
)


def identifier(kind: int, number: int) -> str:
    return f"{kind:08d}-0000-4000-8000-{number:012d}"


def request_of(plan: Plan, number: int) -> Submission:
    return submission(
        provider="a",
        request_type=RequestType.VALIDATION,
        use_case=plan.use_case,
        bundle_id=identifier(1, plan.bundle),
        correlation_id=identifier(2, plan.conversation),
        request_id=identifier(3, number),
        sender=OURS,
        receiver=plan.receiver,
    )


async def asked(a: Store, plan: Plan, number: int) -> int:
    """Send the request from A; return its workflow there."""
    receipt = await a.outbound.submit(request_of(plan, number), NOW)
    claim = await claim_next(a, NOW, ["a"])
    assert claim is not None
    focus = identifier(4, number) if plan.known else None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=focus)
    await a.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    return receipt.workflow_id


async def answered(b: Store, plan: Plan, number: int) -> list[Arrival]:
    """Take the request at B, under a provider of its own; return what B's guards let it say."""
    request, provider = request_of(plan, number), f"b{number}"
    came = arrival(
        provider=provider,
        request_type=request.request_type,
        use_case=request.use_case,
        bundle_id=request.bundle_id,
        correlation_id=request.correlation_id,
        sender=OURS,
        receiver=plan.receiver,
        focus_id=identifier(4, number),
    )
    assert isinstance(await b.inbound.receive(came, NOW), Received)
    said: list[Arrival] = []
    for place, (move, chained) in enumerate(plan.answers):
        back = said[-1].bundle_id if chained and said else request.bundle_id
        response = submission(
            provider=provider,
            move=move,
            request_type=request.request_type,
            use_case=request.use_case,
            bundle_id=identifier(10 + number, place),
            request_id=identifier(30 + number, place),
            correlation_id=request.correlation_id,
            responds_to=back,
            sender=plan.receiver,
            receiver=OURS,
        )
        try:
            await b.outbound.submit(response, NOW)
        except MoveRefused:
            continue
        said.append(arrived(response, identifier(4, number)))
    return said


def arrived(sent: Submission, focus_id: str) -> Arrival:
    return arrival(
        provider="a",
        move=sent.move,
        request_type=sent.request_type,
        use_case=sent.use_case,
        bundle_id=sent.bundle_id,
        request_id=sent.request_id,
        correlation_id=sent.correlation_id,
        responds_to=sent.responds_to,
        sender=sent.sender,
        receiver=sent.receiver,
        focus_id=focus_id,
        reference=None,
        fingerprint=sent.fingerprint,
    )


def foreign(of: Arrival, number: int) -> Arrival:
    """Return a stranger's response to what it was never asked."""
    return replace(of, sender=STRANGERS, request_id=identifier(50, number), fingerprint="foreign")


def states(database: Path) -> dict[int, State]:
    with closing(sqlite3.connect(database)) as connection:
        return {
            row[0]: State(row[1]) for row in connection.execute("SELECT id, state FROM workflows")
        }


async def play(plans: Sequence[Plan], order: Sequence[int], folder: Path) -> None:
    async with open_database(folder / "a.db") as ours, open_database(folder / "b.db") as theirs:
        await _play(plans, order, ours, theirs)


async def _play(
    plans: Sequence[Plan], order: Sequence[int], ours: SqliteDatabase, theirs: SqliteDatabase
) -> None:
    a, b = Store(ours, node="a"), Store(theirs, node="b")
    workflows = [await asked(a, plan, number) for number, plan in enumerate(plans)]
    pool: list[tuple[int | None, Arrival]] = []
    for number, plan in enumerate(plans):
        said = await answered(b, plan, number)
        pool += [(workflows[number], each) for each in said]
        pool += [(None, foreign(each, 100 * number + at)) for at, each in enumerate(said)]
    taken: set[str] = set()
    for index in order:
        if not pool:
            return
        right, came = pool[index % len(pool)]
        before = states(ours.path)
        fate = await a.responses.respond(came, NOT_FOUND, NOW)
        after = states(ours.path)

        if isinstance(fate, Received):
            assert right == fate.workflow_id
            assert came.request_id not in taken
            taken.add(came.request_id)
        for workflow, state in after.items():
            was = before[workflow]
            moved = isinstance(fate, Received) and workflow == fate.workflow_id
            allowed = {was, TRANSITIONS[was].get(came.move, was)} if moved else {was}
            assert state in allowed
            assert was not in FINAL or state in {was, State.CONTRADICTED}


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    plans=st.lists(PLANS, min_size=1, max_size=4),
    order=st.lists(st.integers(0, 31), min_size=1, max_size=24),
)
def test_nothing_is_attached_to_the_wrong_workflow(plans: list[Plan], order: list[int]) -> None:
    """Whatever order, however often, from whoever: what is taken is where it belongs, once."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(plans, order, Path(folder)))
