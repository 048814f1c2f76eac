"""What the EPR has answered since the backup holds after a restore: it is not asked again."""

import pytest
from store.test_restoring import LATER, PAST, SINCE, Home, fates, home
from store_values import NOW, arrival, decision, payload

from bars_gateway.model.messages import Part, RefusedBefore, Repeated
from bars_gateway.model.questions import Decided, QuestionOpen, Terms
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, RequestType, State
from bars_gateway.store.aftermath import Became
from bars_gateway.store.store import Store

__all__ = ["home"]  # a fixture

TERMS = Terms(answer_by=PAST, alarm_at=PAST)
REQUEST = arrival(request_id="request", use_case="a6t2", focus_id="f-1")
CANCEL = arrival(
    request_id="cancel",
    move=Move.CANCEL,
    use_case="a6t2",
    focus_id="f-1",
    request_type=RequestType.REFERRAL,
)
YES = decision(answered_with="yes", answer=payload(b'{"resourceType":"Bundle","id":"yes"}'))
NO = decision(
    accepted=False,
    word="too-late",
    http_status=409,
    code="REC_CONFLICT",
    answered_with="no",
    answer=payload(b'{"resourceType":"OperationOutcome"}'),
)


async def asks(store: Store) -> int:
    """Take a request, and put its cancellation to the EPR."""
    await store.inbound.receive(REQUEST, NOW)
    return await asks_again(store)


async def asks_again(store: Store) -> int:
    store.questions.attend("trust", NOW)
    asked = await store.questions.ask_about(CANCEL, None, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    return asked.question_id


def says(answer: object):
    async def decide(store: Store) -> Decided | None:
        (found,) = await store.questions.open_questions("trust", after=0, limit=9)
        return await store.questions.decide("trust", found.question_id, answer, SINCE)

    return decide


async def stands(store: Store) -> State:
    (found,) = await store.messages.history("trust", "request")
    return found.workflow.state


async def still_open(store: Store) -> list[list[Remark]]:
    found = await store.questions.open_questions("trust", after=0, limit=9)
    return [list(each.remarks) for each in found]


def sent_again(store: Store):
    return store.questions.ask_about(CANCEL, None, TERMS, LATER)


async def answer_of(store: Store) -> bytes:
    (found,) = await store.messages.history("trust", "cancel")
    kept = await store.messages.payload(found.message.message_id, Part.ANSWER)
    assert kept is not None
    return kept.body


async def told(store: Store) -> list[tuple[str, list[Remark]]]:
    return [(n.request_id, list(n.remarks)) for n in await store.notices.pending("trust", 9)]


async def test_a_yes_since_the_backup_is_believed(home: Home) -> None:
    """The Sender was told it: the workflow is cancelled here too, and nobody is asked again."""
    await home.backed_up(asks)
    await home.does(says(YES))
    restored = home.restored()
    state, questions, fate, answer, notices = await home.does(
        stands, still_open, sent_again, answer_of, told
    )

    assert Became.DECIDED is fates(restored)["cancel"]
    assert (State.CANCELLED, []) == (state, questions)
    assert isinstance(fate, Repeated)
    assert YES.answer.body == answer
    assert ("cancel", [Remark.RESTORED]) in notices


async def test_a_no_since_the_backup_is_believed(home: Home) -> None:
    """A repetition hears it once more; the workflow stands."""
    await home.backed_up(asks)
    await home.does(says(NO))
    restored = home.restored()
    state, questions, fate = await home.does(stands, still_open, sent_again)

    assert Became.DECIDED is fates(restored)["cancel"]
    assert (State.ACTIVE, []) == (state, questions)
    assert isinstance(fate, RefusedBefore)
    assert (409, NO.answer.body) == (fate.http_status, fate.answer.body)


@pytest.mark.parametrize("answer", [YES, NO], ids=["yes", "no"])
async def test_it_says_how_it_was_answered(home: Home, answer: object) -> None:
    """The same words are no second answer; others are told that the first holds."""
    await home.backed_up(asks)
    (decided,) = await home.does(says(answer))
    home.restored()
    (again,) = await home.does(
        lambda store: store.questions.decide("trust", decided.question.question_id, NO, PAST)
    )

    assert decided.question.accepted == again.question.accepted
    assert (answer is YES) is again.other


async def test_a_hand_over_after_it_finds_nothing_to_hand_over(home: Home) -> None:
    """It is here already, and is not entered twice."""
    await home.backed_up(asks)
    await home.does(says(YES))
    restored = home.restored()
    handed_over = home.handed_over(restored)
    (state,) = await home.does(stands)

    assert "cancel" not in fates(handed_over)
    assert State.CANCELLED is state


async def test_what_nobody_can_say_is_asked_again_with_a_word(home: Home) -> None:
    """The kept database is gone: the EPR may have answered, and is told to look."""
    await home.backed_up(asks)
    await home.does(says(YES))
    home.database.unlink()
    home.restored()
    (questions,) = await home.does(still_open)

    assert [[Remark.RESTORED]] == questions


async def test_what_was_open_there_too_is_asked_as_before(home: Home) -> None:
    """Nobody has answered it: there is nothing to look for."""
    await home.backed_up(asks)
    restored = home.restored()
    (questions,) = await home.does(still_open)

    assert [[]] == questions
    assert "cancel" not in fates(restored)
