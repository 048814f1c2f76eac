"""What stands against attaching a quarantined response, and what becomes of its copies."""

from dataclasses import replace
from typing import Any

import pytest
from store_values import ANSWER, NOW, OURS, THEIRS, arrival, attempt, payload, submission

from bars_gateway.standard.workflow import Move, Subject
from bars_gateway.store.interventions import Actor
from bars_gateway.store.port import Arrival, OutboundState, Quarantined, Settled
from bars_gateway.store.quarantine import AGAINST, Attached
from bars_gateway.store.sqlite import SqliteStore

NOT_FOUND = payload(b'{"resourceType":"OperationOutcome"}')
OPERATOR = Actor(role="operator", who="jo (uid 1000)", why="INC-7")
STRANGER = THEIRS.replace("2000000202", "2000000909")
FOCUS = "00000000-0000-4000-8000-000000000005"


def answer(**changes: object) -> Arrival:
    """Return a response to nothing that was sent."""
    values: dict[str, object] = {
        "move": Move.CONCLUDE,
        "subject": Subject.VALIDATION,
        "use_case": "a4t1",
        "focus_id": FOCUS,
        "reference": None,
        "responds_to": "00000000-0000-4000-8000-000000000404",
    }
    return arrival(**(values | changes))


async def asked(store: SqliteStore) -> int:
    """Send a validation request that the Receiver calls FOCUS; return its workflow's number."""
    values = {"subject": Subject.VALIDATION, "use_case": "a4t1"}
    sent = await store.submit(submission(sender=OURS, receiver=THEIRS, **values), NOW)
    claim = await store.claim_next(NOW, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=FOCUS)
    await store.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    return sent.workflow_id


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"sender": STRANGER}, "other_service", id="service"),
        pytest.param({"use_case": "a4t3"}, "other_use_case", id="use-case"),
        pytest.param({"subject": Subject.REFERRAL}, "other_use_case", id="kind-of-request"),
        pytest.param({"focus_id": "another"}, "other_record", id="record"),
    ],
)
async def test_what_does_not_fit_is_not_attached(
    store: SqliteStore, changes: dict[str, Any], code: str
) -> None:
    """Asked beforehand or done at once, the answer is the same, and nothing is changed."""
    workflow_id, response = await asked(store), answer(**changes)
    await store.respond(response, NOT_FOUND, NOW)
    before = await store.quarantine.against(1, workflow_id, response)
    done = await store.quarantine.attach(1, workflow_id, response, OPERATOR, NOW)

    kept = await store.quarantine.quarantined("trust", 1)

    assert before == done == AGAINST[code]
    assert kept is not None
    assert kept[0].attached_to is None


async def test_a_copy_that_comes_later_is_kept_aside_again(store: SqliteStore) -> None:
    """Under another X-Request-Id nobody can tell that it is the same response: a person can."""
    workflow_id, response = await asked(store), answer()
    await store.respond(response, NOT_FOUND, NOW)
    done = await store.quarantine.attach(1, workflow_id, response, OPERATOR, NOW)
    copy = replace(response, request_id="00000000-0000-4000-8000-0000000000c2")
    fate = await store.respond(copy, NOT_FOUND, NOW)

    assert isinstance(done, Attached)
    assert isinstance(fate, Quarantined)
