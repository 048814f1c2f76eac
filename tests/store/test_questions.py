"""What the store promises of questions."""

import asyncio
import json
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from epr_side import OWNER
from store_values import NOW, TERMS, arrival, decision, payload
from variants import a_referral

from bars_gateway.epr import documents
from bars_gateway.epr.answering import Answering, AnswerRefused
from bars_gateway.epr.folders import SpoolRoot
from bars_gateway.epr.questions import QuestionFolder
from bars_gateway.model.messages import Processing, Repeated
from bars_gateway.model.questions import (
    Answered,
    QuestionOpen,
    ResourceRequest,
    Unattended,
)
from bars_gateway.standard.formats import Format, digest, to_tree
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.rules.modifiers import modifiers_of
from bars_gateway.standard.workflow import Move
from bars_gateway.store import modified
from bars_gateway.store.store import Store

LATER = NOW + timedelta(minutes=20)


def resource_request(**changes: object) -> ResourceRequest:
    values: dict[str, object] = {
        "provider": "trust",
        "request_id": "0f9f5d2c-6d0e-4a86-9d2c-0d6a3a1f9b11",
        "correlation_id": "7c1d1df5-93c2-4b55-8f0e-3f2b0b6c8a22",
        "operation": "GET Slot",
        "changes": False,
        "resource_id": None,
        "parameters": {},
        "query": "",
        "fingerprint": "f",
        "body": None,
    }
    return ResourceRequest(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def attended(store: Store) -> Store:
    store.questions.attend("trust", NOW)
    return store


async def put(store: Store, now: datetime = NOW, **changes: object) -> int:
    asked = await store.questions.ask_about(arrival(**changes), None, TERMS, now)
    assert isinstance(asked, QuestionOpen)
    return asked.question_id


async def test_what_may_change_its_meaning_is_looked_for_once_and_beside_the_loop(
    attended: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An EPR looks every second, and a message may be megabytes: nobody else waits for it."""
    looked: list[threading.Thread] = []

    def look(*message: Any) -> list[Issue]:
        looked.append(threading.current_thread())
        return modifiers_of(*message)

    monkeypatch.setattr(modified, "modifiers_of", look)
    body = json.dumps(a_referral() | {"implicitRules": "https://gateway.example/x"}).encode()
    number = await put(attended, body=body, doubts=(Remark.MEANING_CHANGED,))
    one = await attended.questions.question("trust", number)
    (listed,) = await attended.questions.open_questions("trust", after=0, limit=9)
    assert one is not None
    shown = [documents.question(each)["modifiers"] for each in (one, listed)]

    assert [["Bundle.implicitRules"]] * 2 == [[each["path"] for each in places] for places in shown]
    assert 1 == len(looked)
    assert threading.main_thread() not in looked


async def test_what_is_listed_says_what_it_is_and_whose(attended: Store) -> None:
    """An operator knows whom to telephone; of a read nothing is told but that it is one."""
    await put(attended)
    await attended.questions.ask(resource_request(), TERMS, NOW)
    message, read = await attended.questions.questions_listed(9)

    assert ("request", "referral") == (message.move, message.request_type)
    assert arrival().sender == message.sender
    assert (None, None, None) == (read.move, read.request_type, read.sender)


async def test_twenty_at_once_are_one_question(attended: Store) -> None:
    """The ledger decides inside the transaction."""
    came = arrival()
    fates = await asyncio.gather(
        *(attended.questions.ask_about(came, None, TERMS, NOW) for _ in range(20))
    )

    assert {QuestionOpen: 1, Processing: 19} == Counter(type(fate) for fate in fates)


async def test_the_answer_is_told_to_who_waits(attended: Store) -> None:
    """Once it is on disk, whoever came first."""
    number = await put(attended)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(attended.questions.answer_to(number))
        await attended.questions.decide("trust", number, decision(), NOW)

    expected = Answered(http_status=200, code=None, answer=payload(b'{"yes":true}'))
    assert expected == waiting.result()


@pytest.mark.parametrize(
    ("seconds", "expected"), [(29, QuestionOpen), (31, Unattended)], ids=["just-there", "gone"]
)
async def test_an_epr_is_there_for_half_a_minute(
    attended: Store, seconds: int, expected: type
) -> None:
    """D-who-answers: whoever has not asked for questions since then is not there."""
    now = NOW + timedelta(seconds=seconds)

    assert expected is type(await attended.questions.ask_about(arrival(), None, TERMS, now))


async def test_an_epr_with_a_folder_is_there_before_the_first_look(
    store: Store, tmp_path: Path
) -> None:
    """The folder is, and so is the server: nobody gets 503 for having come first."""
    answering = Answering(
        store.questions, provider="trust", now=lambda: NOW, new_id=str, max_bytes=1
    )
    with closing(SpoolRoot(tmp_path, OWNER)) as root:
        QuestionFolder(
            store.questions,
            store.asides,
            answering,
            provider="trust",
            root=root,
            now=lambda: NOW,
            monotonic=time.monotonic,
        ).close()

    assert await put(store)


async def test_another_provider_sees_nothing(attended: Store) -> None:
    """Every question belongs to one provider, and only its EPR may answer."""
    number = await put(attended)

    assert [] == list(await attended.questions.open_questions("other", after=0, limit=9))
    assert await attended.questions.question("other", number) is None
    assert await attended.questions.decide("other", number, decision(), NOW) is None


async def test_the_first_answer_stands(attended: Store) -> None:
    """The Sender was told it."""
    number = await put(attended)
    await attended.questions.decide("trust", number, decision(), NOW)
    other = decision(accepted=False, word="exists", http_status=409, answered_with="second")
    decided = await attended.questions.decide("trust", number, other, NOW)

    assert decided is not None
    assert (True, True, 200) == (
        decided.other,
        decided.question.accepted,
        decided.question.http_status,
    )


@pytest.mark.parametrize(
    ("first", "again", "is_other"),
    [
        pytest.param(
            '{"accept": true, "reference": "A1"}',
            '{ "reference" : "A1", "accept" : true }',
            False,
            id="members-in-another-order",
        ),
        pytest.param(
            '{"resourceType":"Parameters","id":"p"}',
            '<Parameters xmlns="http://hl7.org/fhir"><id value="p"/></Parameters>',
            False,
            id="the-other-format",
        ),
        pytest.param('{"accept": true}', '{"refuse": "exists"}', True, id="other-words"),
        pytest.param('{"accept": true}', '{"accept": true', True, id="no-words"),
    ],
)
async def test_the_same_answer_is_the_same_however_it_is_written(
    attended: Store, first: str, again: str, *, is_other: bool
) -> None:
    """An EPR that hears of other words, which stand, may undo what the Sender was told is done."""
    answering = Answering(
        attended.questions, provider="trust", now=lambda: NOW, new_id=str, max_bytes=999
    )
    number = await put(attended)
    said = digest(to_tree(first.encode(), Format.JSON))
    await attended.questions.decide("trust", number, decision(answered_with=said), NOW)
    answer = answering.answer(number, again.encode(), "xml" if again[0] == "<" else "json")

    if is_other:
        with pytest.raises(AnswerRefused) as refused:
            await answer
        assert 409 == refused.value.http_status
    else:
        assert (await answer).again


async def test_what_1_0_0_was_answered_is_the_same_in_its_bytes(attended: Store) -> None:
    """It kept the digest of the bytes."""
    number = await put(attended)
    await attended.questions.decide("trust", number, decision(answered_with="the bytes"), NOW)
    decided = await attended.questions.decide(
        "trust", number, decision(answered_with="the words", answered_in="the bytes"), NOW
    )

    assert decided is not None
    assert not decided.other


async def test_a_change_of_what_the_gateway_never_saw_is_taken(attended: Store) -> None:
    """The EPR may know it from before; then its workflow begins here, and ends."""
    change = {"move": Move.CANCEL, "focus_id": "known-to-the-epr"}
    number = await put(attended, **change, earlier_records=True)
    await attended.questions.decide("trust", number, decision(), NOW)
    workflows = (await attended.overview(NOW)).workflows

    assert {"cancelled": 1} == {state: count for state, count in workflows.items() if count}


async def test_a_question_that_nobody_answers_is_an_alarm_once(attended: Store) -> None:
    """And it stays open: only the EPR or an operator can say what was done."""
    number = await put(attended)
    told = [await attended.questions.tell_unanswered(at) for at in (NOW, LATER, LATER)]
    overview = await attended.overview(LATER)
    (still_open,) = await attended.questions.open_questions("trust", after=0, limit=9)

    assert [0, 1, 0] == told
    assert ["question.unanswered"] == [alarm.kind for alarm in overview.alarms]
    assert (number, 1) == (still_open.question_id, overview.questions_open["trust"].late)


async def test_a_read_is_forgotten_after_a_minute(attended: Store) -> None:
    """Open or answered: nobody waits for it any more, and no patient's data stays."""
    first = await attended.questions.ask(resource_request(), TERMS, NOW)
    await attended.questions.tell_unanswered(NOW + timedelta(seconds=61))

    assert isinstance(first, QuestionOpen)
    assert await attended.questions.question("trust", first.question_id) is None


async def test_a_read_that_is_repeated_later_is_asked_anew(attended: Store) -> None:
    """Before housekeeping has come round, too."""
    first = await attended.questions.ask(resource_request(), TERMS, NOW)
    early = await attended.questions.ask(resource_request(), TERMS, NOW + timedelta(seconds=20))
    attended.questions.attend("trust", NOW + timedelta(seconds=61))
    late = await attended.questions.ask(resource_request(), TERMS, NOW + timedelta(seconds=61))

    assert isinstance(first, QuestionOpen)
    assert Processing() == early
    assert isinstance(late, QuestionOpen)
    assert first.question_id < late.question_id


async def test_a_write_is_good_for_once(attended: Store) -> None:
    """Its X-Request-Id is in the ledger, as a message's is."""
    write = resource_request(operation="DELETE Appointment", changes=True)
    asked = await attended.questions.ask(write, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    await attended.questions.decide("trust", asked.question_id, decision(), NOW)

    assert Repeated(reference=None) == await attended.questions.ask(write, TERMS, LATER)


async def test_the_bytes_of_what_was_refused_are_not_kept(attended: Store) -> None:
    """What was refused is nobody's record."""
    number = await put(attended)
    no = decision(accepted=False, word="exists", http_status=409)
    await attended.questions.decide("trust", number, no, NOW)
    question = await attended.questions.question("trust", number)

    assert question is not None
    assert question.request is None


async def test_what_the_sender_has_heard_on_its_retry_alarms_no_more(attended: Store) -> None:
    """It was decided too late; the retry is told, and so is the EPR."""
    came = arrival()
    asked = await attended.questions.ask_about(came, None, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    await attended.questions.decide("trust", asked.question_id, decision(), LATER)
    before = await attended.overview(LATER)
    for _ in range(2):
        assert isinstance(await attended.questions.ask_about(came, None, TERMS, LATER), Repeated)
    after = await attended.overview(LATER)
    notices = await attended.notices.pending("trust", 9)

    assert ["question.decided_late"] == [alarm.kind for alarm in before.alarms]
    assert [] == list(after.alarms)
    assert [("decided_late", []), ("decided_late", ["heard"])] == [
        (notice.kind, list(notice.remarks)) for notice in notices
    ]
    assert "the Sender has asked again since" in str(documents.notice(notices[-1])["means"])


async def test_that_the_sender_has_been_answered_is_told_at_once(attended: Store) -> None:
    """An EPR with a folder has it from there: somebody may be about to telephone."""
    came = arrival()
    asked = await attended.questions.ask_about(came, None, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    await attended.questions.decide("trust", asked.question_id, decision(), LATER)
    await attended.notices.wait_for_work("trust", 0)  # what it was told of the decision
    waiting = asyncio.create_task(attended.notices.wait_for_work("trust", 60))
    await asyncio.sleep(0)
    await attended.questions.ask_about(came, None, TERMS, LATER)

    assert await asyncio.wait_for(waiting, 5) is None


async def test_a_sender_that_has_not_asked_again_may_not_know(attended: Store) -> None:
    """A decision in time is no news on a retry; one that came late stands as an alarm."""
    in_time = arrival()
    asked = await attended.questions.ask_about(in_time, None, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    await attended.questions.decide("trust", asked.question_id, decision(), NOW)
    await attended.questions.ask_about(in_time, None, TERMS, LATER)
    late = await put(attended)
    await attended.questions.decide("trust", late, decision(answered_with="other"), LATER)
    found = await attended.overview(LATER)

    assert ["question.decided_late"] == [alarm.kind for alarm in found.alarms]
    assert 1 == len(await attended.notices.pending("trust", 9))
