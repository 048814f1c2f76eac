"""One id that an EPR has given to several patients of a Sender: whose a change of it is."""

import json

import pytest
from messages import referral
from store_values import NOW, TERMS, arrival, decision

from bars_gateway.model.questions import Question, QuestionOpen
from bars_gateway.standard.bundle import read
from bars_gateway.standard.consistency import case_details_of
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, State
from bars_gateway.store.store import Store

SHARED = "33333333-0000-4000-8000-000000000001"
ONE, OTHER, THIRD = "9990000018", "9990000026", "9990000034"


def unnamed() -> bytes:
    """Return a referral that says nothing of its patient."""
    bundle = json.loads(referral())
    for each in bundle["entry"]:
        if each["resource"]["resourceType"] == "Patient":
            for name in ("identifier", "name", "birthDate"):
                del each["resource"][name]
    return json.dumps(bundle).encode()


@pytest.fixture
def attended(store: Store) -> Store:
    store.questions.attend("trust", NOW)
    return store


async def given(store: Store, *numbers: str) -> list[str]:
    """Let the EPR give that id to a request of each patient; return their X-Request-Ids."""
    found = []
    for number in numbers:
        came = arrival(body=referral(nhs_number=number), focus_id=SHARED)
        asked = await store.questions.ask_about(came, None, TERMS, NOW)
        assert isinstance(asked, QuestionOpen)
        await store.questions.decide("trust", asked.question_id, decision(), NOW)
        found.append(came.request_id)
    return found


async def cancelled(store: Store, body: bytes) -> Question:
    """Let a cancellation of that id come, and the EPR agree to it; return what it was asked."""
    said = case_details_of(read(body))
    came = arrival(body=body, focus_id=SHARED, move=Move.CANCEL, case_details=said)
    asked = await store.questions.ask_about(came, None, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    question = await store.questions.question("trust", asked.question_id)
    assert question is not None
    await store.questions.decide("trust", asked.question_id, decision(), NOW)
    return question


async def states(store: Store, request_ids: list[str]) -> list[State]:
    found = []
    for each in request_ids:
        (history,) = await store.messages.history("trust", each)
        found.append(history.workflow.state)
    return found


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        pytest.param(ONE, [State.CANCELLED, State.ACTIVE], id="the-first"),
        pytest.param(OTHER, [State.ACTIVE, State.CANCELLED], id="the-second"),
    ],
)
async def test_a_change_is_of_the_request_of_its_patient(
    attended: Store, number: str, expected: list[State]
) -> None:
    """Whichever of them came last."""
    begun = await given(attended, ONE, OTHER)
    question = await cancelled(attended, referral(nhs_number=number))

    assert expected == await states(attended, begun)
    assert [] == list(question.about["remarks"])


@pytest.mark.parametrize(
    ("body", "remark"),
    [
        pytest.param(referral(nhs_number=THIRD), Remark.OTHER_PATIENT, id="a-third"),
        pytest.param(unnamed(), Remark.UNKNOWN_PATIENT, id="nobody-can-tell"),
    ],
)
async def test_a_change_that_is_of_neither_ends_neither(
    attended: Store, body: bytes, remark: Remark
) -> None:
    """Its EPR is told, and what it agrees to is no end of either's."""
    begun = await given(attended, ONE, OTHER)
    question = await cancelled(attended, body)

    assert [State.ACTIVE, State.ACTIVE] == await states(attended, begun)
    assert [remark] == list(question.about["remarks"])


@pytest.mark.parametrize(("number", "alarms"), [(OTHER, ["question.shared_id"]), (ONE, [])])
async def test_an_id_that_is_given_to_another_patient_is_an_alarm(
    attended: Store, number: str, alarms: list[str]
) -> None:
    """The same patient's request may be kept as one record."""
    await given(attended, ONE, number)
    found = await attended.overview(NOW)

    assert alarms == [alarm.kind for alarm in found.alarms]
