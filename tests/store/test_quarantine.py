"""Which response is quarantined, what stands against attaching it, and what becomes of copies."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from messages import validation_request
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

from bars_gateway.model.interventions import AGAINST, Attached
from bars_gateway.model.messages import (
    Actor,
    Arrival,
    OutboundState,
    Quarantined,
    Received,
    Settled,
)
from bars_gateway.standard.bundle import read
from bars_gateway.standard.consistency import case_details_of
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.store import Store

VALIDATION = {"request_type": RequestType.VALIDATION, "use_case": "a4t1"}
NOT_FOUND = payload(b'{"resourceType":"OperationOutcome"}')
OPERATOR = Actor(role="operator", who="jo (uid 1000)", why="INC-7")
STRANGER = THEIRS.replace("2000000202", "2000000909")
FOCUS = "00000000-0000-4000-8000-00000000000a"


def answer(**changes: object) -> Arrival:
    """Return a response to nothing that was sent."""
    values: dict[str, object] = {
        "move": Move.CONCLUDE,
        "request_type": RequestType.VALIDATION,
        "use_case": "a4t1",
        "focus_id": FOCUS,
        "reference": None,
        "responds_to": "00000000-0000-4000-8000-000000000404",
    }
    return arrival(**(values | changes))


async def asked(store: Store, focus_id: str = FOCUS, **changes: object) -> int:
    """Send a validation request that the Receiver calls so; return its workflow's number."""
    values = {"sender": OURS, "receiver": THEIRS, **VALIDATION, **changes}
    sent = await store.outbound.submit(submission(**values), NOW)
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=focus_id)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    return sent.workflow_id


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"sender": STRANGER}, "other_service", id="service"),
        pytest.param({"use_case": "a4t3"}, "other_use_case", id="use-case"),
        pytest.param(
            {"request_type": RequestType.REFERRAL}, "other_use_case", id="kind-of-request"
        ),
        pytest.param({"focus_id": "another"}, "other_record", id="record"),
    ],
)
async def test_what_does_not_fit_is_not_attached(
    store: Store, changes: dict[str, Any], code: str
) -> None:
    """Asked beforehand or done at once, the answer is the same, and nothing is changed."""
    workflow_id, response = await asked(store), answer(**changes)
    await store.responses.respond(response, NOT_FOUND, NOW)
    before = await store.quarantine.against(1, workflow_id, response)
    done = await store.quarantine.attach(1, workflow_id, response, OPERATOR, NOW)

    kept = await store.quarantine.quarantined("trust", 1)

    assert before == done == AGAINST[code]
    assert kept is not None
    assert kept[0].attached_to is None


async def test_a_record_that_is_named_in_capitals_fits(store: Store) -> None:
    """A database that keeps UUIDs writes them so: it is the record that was acknowledged."""
    workflow_id = await asked(store)
    response = answer(focus_id=FOCUS.upper())
    await store.responses.respond(response, NOT_FOUND, NOW)

    assert await store.quarantine.against(1, workflow_id, response) is None


@pytest.mark.parametrize("as_written", [str.lower, str.upper])
async def test_a_response_to_one_request_about_the_record_of_another_is_kept_aside(
    store: Store, as_written: Callable[[str], str]
) -> None:
    """One of the two is wrong, in whatever letters: nobody here can tell which."""
    one, other = "0000000a-0000-4000-8000-000000000001", "0000000b-0000-4000-8000-000000000001"
    await asked(store, one, bundle_id="00000000-0000-4000-8000-0000000000b1")
    await asked(store, other, bundle_id="00000000-0000-4000-8000-0000000000b2")
    response = answer(
        responds_to="00000000-0000-4000-8000-0000000000b1", focus_id=as_written(other)
    )

    assert isinstance(await store.responses.respond(response, NOT_FOUND, NOW), Quarantined)


async def test_a_copy_that_comes_later_is_kept_aside_again(store: Store) -> None:
    """Under another X-Request-Id nobody can tell that it is the same response: a person can."""
    workflow_id, response = await asked(store), answer()
    await store.responses.respond(response, NOT_FOUND, NOW)
    done = await store.quarantine.attach(1, workflow_id, response, OPERATOR, NOW)
    copy = replace(response, request_id="00000000-0000-4000-8000-0000000000c2")
    fate = await store.responses.respond(copy, NOT_FOUND, NOW)

    assert isinstance(done, Attached)
    assert isinstance(fate, Quarantined)


@pytest.mark.parametrize("element", ["identifier", "episodeOfCare"])
async def test_one_bundle_id_is_told_apart_by_case_number_or_journey(
    store: Store, element: str
) -> None:
    """Two requests of one conversation under one Bundle.id: what their Encounters say decides."""
    ids = {"bundle_id": "b1", "correlation_id": "c1"}
    bodies = [validation_request(), validation_request()]
    marked = [with_encounter(body, element, str(number)) for number, body in enumerate(bodies)]
    receipts = []
    for body in marked:
        fields = {"fingerprint": str(len(receipts)), "request": payload(body)}
        receipts.append(await store.outbound.submit(submission(**(VALIDATION | ids | fields)), NOW))
    about = {"responds_to": "b1", "correlation_id": "c1", "focus_id": None}
    said = case_details_of(read(marked[1]))
    unsaid = await store.responses.respond(
        arrival(move=Move.PROGRESS, **(VALIDATION | about)), NOT_FOUND, NOW
    )
    fate = await store.responses.respond(
        arrival(move=Move.PROGRESS, case_details=said, **(VALIDATION | about)), NOT_FOUND, NOW
    )

    assert isinstance(unsaid, Quarantined)
    assert isinstance(fate, Received)
    assert receipts[1].workflow_id == fate.workflow_id != receipts[0].workflow_id


def with_encounter(body: bytes, element: str, name: str) -> bytes:
    """Return the request with Encounters that say that alone of their case."""
    bundle = json.loads(body)
    for encounter in (entry["resource"] for entry in bundle["entry"]):
        if encounter["resourceType"] == "Encounter":
            encounter.pop("identifier", None)
            encounter.pop("episodeOfCare", None)
            written = {"identifier": {"value": name}, "episodeOfCare": {"reference": name}}
            encounter[element] = [written[element]]
    return json.dumps(bundle).encode()
