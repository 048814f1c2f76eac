"""Whoever looks at a message reads how it stands now: late, owed, not found, or still alarming."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from own_words import said
from store_values import (
    ANSWER,
    NOW,
    arrival,
    attempt,
    claim_next,
    owed,
    payload,
    submission,
    wording,
)

from bars_gateway.model.explanation import Case, explain
from bars_gateway.model.interventions import Candidate, Verb
from bars_gateway.model.messages import Accepted, Actor, OutboundState, Settled
from bars_gateway.model.standing_alarms import Chosen
from bars_gateway.standard.findings import Matched, Reconciliation
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences import NOTHING_TO_DO, means
from bars_gateway.standard.sentences.outcomes import UNSEEN
from bars_gateway.standard.timing import Limits
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.store import Store

MINUTE = timedelta(minutes=1)
DUE = NOW + 20 * MINUTE
VALIDATION = {"request_type": RequestType.VALIDATION, "use_case": "a4t1"}
HELP = {"request_type": RequestType.REFERRAL, "use_case": "a6t2"}
JO = Actor(role="operator", who="jo", why="INC-1")
FALLBACK = "Start your fallback now; then telephone."
NOT_GIVEN = "You have not given your final answer in time"


async def looked_at(store: Store, request_id: str, at: datetime) -> str:
    (found,) = await store.messages.history("trust", request_id)
    return means(found.message.seen_at(at))


async def requested(store: Store, focus_id: str | None = "sr-1", **about: object) -> Accepted:
    """Send a request, and have it acknowledged."""
    sent = await store.outbound.submit(submission(bundle_id="b1", **about), NOW)
    await acknowledged(store, focus_id=focus_id)
    return sent


async def acknowledged(store: Store, **settled: object) -> None:
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    fate = Settled(state=OutboundState.ACKNOWLEDGED, **settled)  # type: ignore[arg-type]
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=fate)


async def answered(
    store: Store,
    encounter: str,
    ago: timedelta,
    *,
    plan: str = "",
    to: tuple[str, str] = ("b1", "sr-1"),
    **about: object,
) -> str:
    """Take a response that was written so long before; return its X-Request-Id."""
    at = NOW + 10 * MINUTE
    words = wording(encounter, at - ago, **({"plan": plan} | about))
    responds_to, focus_id = to
    changes = {"responds_to": responds_to, "focus_id": focus_id, "wording": words, **about}
    came = arrival(move=Move.UNCLEAR, **changes)
    await store.responses.respond(came, payload(), at)
    return came.request_id


# An answer that is owed.


async def test_a_request_says_that_its_answer_is_overdue(store: Store) -> None:
    """By the time itself: also where no gateway runs that could have told of it."""
    sent = await requested(store, owed=owed(DUE), **VALIDATION)
    before, after = [await looked_at(store, sent.request_id, at) for at in (NOW, DUE)]

    assert before.endswith(NOTHING_TO_DO)
    assert after.endswith(f"has not come in time. {FALLBACK}")


async def test_whoever_looks_is_warned_as_whoever_is_told(store: Store) -> None:
    """As soon as the warning is due, and after it was given."""
    sent = await requested(store, owed=owed(DUE), **VALIDATION)
    warned = NOW + 15 * MINUTE
    due = await looked_at(store, sent.request_id, warned)
    await store.conversations.tell_due(warned)

    assert due.endswith("Be ready to start your fallback.")
    assert due == await looked_at(store, sent.request_id, warned + MINUTE)


async def test_an_interim_response_says_so_too(store: Store) -> None:
    """They have started, and that is not the answer; nor is the request answered by it."""
    sent = await requested(store, owed=owed(DUE), **VALIDATION)
    interim = await answered(store, "in-progress", MINUTE, **VALIDATION)
    texts = [await looked_at(store, each, DUE) for each in (sent.request_id, interim)]

    assert texts[0] == texts[1]
    assert texts[0].endswith(
        "They have started, but the final answer to the request for validation has not come in"
        f" time. {FALLBACK}"
    )


async def test_a_change_says_so_too(store: Store) -> None:
    """It was received; the answer that is owed to both has not come."""
    await requested(store, owed=owed(DUE), **VALIDATION)
    update = submission(move=Move.UPDATE, focus_id="sr-1", owed=owed(DUE), **VALIDATION)
    await store.outbound.submit(update, NOW)
    await acknowledged(store)

    assert (await looked_at(store, update.request_id, DUE)).endswith(FALLBACK)


async def test_who_owes_it_is_told_to_give_it(store: Store) -> None:
    """It read: answer by a time that had passed."""
    came = arrival(owed=owed(DUE), **VALIDATION)
    await store.inbound.receive(came, NOW)
    before, after = [await looked_at(store, came.request_id, at) for at in (NOW, DUE)]

    assert NOT_GIVEN not in before
    assert f"{NOT_GIVEN}: the ambulance service may act without it." in after


async def test_what_was_answered_is_owed_no_more(store: Store) -> None:
    """The request says what was answered, whenever somebody looks."""
    sent = await requested(store, owed=owed(DUE), **HELP)
    await answered(store, "planned", MINUTE, **HELP)

    assert (await looked_at(store, sent.request_id, DUE)).endswith(NOTHING_TO_DO)


async def told_last(store: Store, request_id: str) -> str:
    found = await store.notices.pending("trust", 99)
    return [means(each.situation) for each in found if each.request_id == request_id][-1]


@pytest.mark.parametrize("minutes", [16, 21])
async def test_an_outcome_says_what_was_said_just_before_of_the_answer(
    store: Store, minutes: int
) -> None:
    """Nearly late, or late, said the notice before: there is nothing to do, says none after it."""
    await requested(store, owed=owed(DUE), **VALIDATION)
    at = NOW + minutes * MINUTE
    await store.conversations.tell_due(at)
    update = submission(move=Move.UPDATE, focus_id="sr-1", owed=owed(DUE), **VALIDATION)
    await store.outbound.submit(replace(update, give_up_at=at + 15 * MINUTE), at)
    claim = await claim_next(store, at, {"trust"})
    assert claim is not None
    fate = Settled(state=OutboundState.ACKNOWLEDGED)
    took = attempt(claim, started_at=at, ended_at=at)
    await store.outbound.settle(claim, ANSWER, attempt=took, settlement=fate)
    text = await told_last(store, update.request_id)

    assert NOTHING_TO_DO not in text
    assert text == await looked_at(store, update.request_id, at)


async def test_an_interim_that_comes_when_it_is_nearly_late_says_so(store: Store) -> None:
    """They have started; and be ready to start your fallback stays so."""
    await requested(store, owed=owed(NOW + 12 * MINUTE), **VALIDATION)
    await store.conversations.tell_due(NOW + 9 * MINUTE)
    interim = await answered(store, "in-progress", MINUTE, **VALIDATION)
    text = await told_last(store, interim)

    assert text.endswith("Be ready to start your fallback.")
    assert text == await looked_at(store, interim, NOW + 10 * MINUTE)


async def test_what_is_told_before_it_is_nearly_late_says_nothing_of_it(store: Store) -> None:
    """As ever: there is nothing to do yet."""
    sent = await requested(store, owed=owed(DUE), **VALIDATION)

    assert (await told_last(store, sent.request_id)).endswith(NOTHING_TO_DO)


# What has not gone.


async def test_what_is_late_is_not_waited_for(store: Store) -> None:
    """From the word to the EPR on, and before it where it is overdue itself."""
    sent = await store.outbound.submit(submission(), NOW)
    at_first = await looked_at(store, sent.request_id, NOW)
    late = await looked_at(store, sent.request_id, NOW + MINUTE)
    await store.outbound.tell_delays(NOW + MINUTE)

    assert at_first.endswith("Wait: you will be told how it ends.")
    assert late.endswith("Telephone if it cannot wait.")
    assert late == await looked_at(store, sent.request_id, NOW + MINUTE)


async def test_what_is_past_its_clinical_time_says_so(store: Store) -> None:
    """Told as late before, and once more at that time."""
    needed_by = NOW + 5 * MINUTE
    sent = await store.outbound.submit(submission(needed_by=needed_by), NOW)
    await store.outbound.tell_delays(NOW + MINUTE)
    texts = [await looked_at(store, sent.request_id, at) for at in (NOW + 2 * MINUTE, needed_by)]

    assert ["Its clinical time has passed" in each for each in texts] == [False, True]
    assert all("Telephone if it cannot wait." in each for each in texts)


async def test_what_is_tried_again_is_late_no_more(store: Store) -> None:
    """It has its own time, from then on."""
    sent = await store.outbound.submit(submission(), NOW)
    await store.outbound.tell_delays(NOW + MINUTE)
    await store.outbound.give_up(NOW + 15 * MINUTE)
    again = NOW + 20 * MINUTE
    limits = Limits(give_up_at=again + 15 * MINUTE, delayed_at=again + MINUTE)
    await store.interventions.intervene(Verb.RETRY, sent.message_id, JO, lambda *_: limits, again)
    texts = [await looked_at(store, sent.request_id, at) for at in (again, again + MINUTE)]

    assert ["Wait: you will be told" in each for each in texts] == [True, False]


async def test_what_is_held_and_late_is_to_be_released_now(store: Store) -> None:
    """As the EPR was told."""
    sent = await store.outbound.submit(submission(), NOW)
    limits = Limits(give_up_at=NOW + 15 * MINUTE, delayed_at=NOW + MINUTE)
    await store.interventions.intervene(Verb.HOLD, sent.message_id, JO, lambda *_: limits, NOW)
    texts = [await looked_at(store, sent.request_id, at) for at in (NOW, NOW + MINUTE)]

    assert "Have it released or withdrawn." in texts[0]
    assert "Have it released or telephone, now." in texts[1]


@pytest.mark.parametrize("tried", [False, True], ids=["never tried", "tried"])
@pytest.mark.parametrize("held", [False, True], ids=["queued", "held"])
@pytest.mark.parametrize("move", [Move.REQUEST, Move.UPDATE, Move.CANCEL], ids=str)
async def test_what_has_ended_while_no_gateway_ran_reads_as_it_ends(
    store: Store, move: Move, *, held: bool, tried: bool
) -> None:
    """By the time itself: nobody goes on trying until a time that has passed."""
    if move is not Move.REQUEST:
        await requested(store, owed=owed(DUE), **VALIDATION)
    about = {"focus_id": None if move is Move.REQUEST else "sr-1", **VALIDATION}
    sent = await store.outbound.submit(submission(move=move, bundle_id="last", **about), NOW)
    if tried:
        claim = await claim_next(store, NOW, {"trust"})
        assert claim is not None
        await store.outbound.release_own(NOW)
    if held:
        limits = Limits(give_up_at=NOW + 15 * MINUTE, delayed_at=NOW + MINUTE)
        await store.interventions.intervene(Verb.HOLD, sent.message_id, JO, lambda *_: limits, NOW)
    at = NOW + 15 * MINUTE
    before = await looked_at(store, sent.request_id, at)
    await store.outbound.give_up(at)

    assert before == await looked_at(store, sent.request_id, at)
    assert ("do not know" if tried else "never left") in before


@pytest.mark.parametrize("move", [Move.REQUEST, Move.UPDATE, Move.CANCEL], ids=str)
async def test_what_ended_in_the_middle_of_an_attempt_reads_as_it_ends(
    store: Store, move: Move
) -> None:
    """Its gateway died over it: nobody tries any more, and whether it arrived is not known."""
    if move is not Move.REQUEST:
        await requested(store, owed=owed(DUE), **VALIDATION)
    about = {"focus_id": None if move is Move.REQUEST else "sr-1", **VALIDATION}
    sent = await store.outbound.submit(submission(move=move, bundle_id="last", **about), NOW)
    assert await claim_next(store, NOW, {"trust"}) is not None
    at = NOW + 15 * MINUTE
    before = await looked_at(store, sent.request_id, at)
    (waits,) = [each for each in await waited_for(store, sent.request_id, at) if "tries" in each]
    await store.outbound.release_own(at)
    await store.outbound.give_up(at)

    assert before == await looked_at(store, sent.request_id, at)
    assert "do not know whether" in before
    assert "elephone" in before
    assert "it ends as unconfirmed, for it may have arrived" in waits


async def test_an_attempt_at_the_very_end_goes_on_until_its_claim_has_lapsed(store: Store) -> None:
    """Its answer may come yet; and no time that has passed is named."""
    sent = await store.outbound.submit(submission(bundle_id="last", **VALIDATION), NOW)
    claim = await claim_next(store, NOW + 14 * MINUTE, {"trust"})
    assert claim is not None
    during, lapsed = [
        await looked_at(store, sent.request_id, NOW + each)
        for each in (15 * MINUTE, 15 * MINUTE + timedelta(seconds=30))
    ]

    assert "goes on trying until 09:15 UTC" in during
    assert "do not know whether" in lapsed


async def waited_for(store: Store, request_id: str, at: datetime) -> list[str]:
    (found,) = await store.messages.history("trust", request_id)
    verbs: dict[Verb, Candidate] = {}
    case = Case(at=at, history=found, notices=(), verbs=verbs)
    return [each.text for each in explain(case).waits]


# What was looked for at the Receiver.


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Reconciliation.NONE, "but we cannot find it there. Telephone: nobody there may know"),
        (Reconciliation.SEVERAL, "Telephone: ask which one it is before you change or cancel"),
        (Reconciliation.UNNAMED, "Telephone: ask whether it is this patient's"),
        (Reconciliation.UNREAD, "Ask before you change or cancel anything."),
    ],
    ids=str,
)
async def test_what_could_not_be_found_says_so(
    store: Store, result: Reconciliation, words: str
) -> None:
    """Also after somebody has seen to its alarm: it is still not known here."""
    sent = await requested(store, None, **HELP)
    await store.reconciliations.settle(sent.message_id, Matched(result=result), NOW)
    before = await looked_at(store, sent.request_id, NOW)
    await handled(store)

    assert words in before
    assert before == await looked_at(store, sent.request_id, NOW)


async def handled(store: Store) -> None:
    """Mark whatever stands as handled."""
    await store.alarms.handle("trust", Chosen(up_to=99), JO, NOW, dry_run=False)


# What else is alarming.


async def test_an_older_stand_down_is_told_with_the_request(store: Store) -> None:
    """A resource has been assigned, but two of their messages disagree; until somebody has seen."""
    sent = await requested(store, **HELP)
    for encounter, ago in (("planned", 9), ("in-progress", 3), ("planned", 5)):
        await answered(store, encounter, ago * MINUTE, **HELP)
    before = await looked_at(store, sent.request_id, NOW)
    await handled(store)
    after = await looked_at(store, sent.request_id, NOW)

    assert before.endswith(UNSEEN.text)
    assert "A resource has been assigned" in before
    assert after.endswith(NOTHING_TO_DO)


async def test_what_alarms_of_itself_alone_says_it_by_itself(store: Store) -> None:
    """A response that was late says so; that something else came of it would be untrue."""
    await requested(store, owed=owed(NOW + MINUTE), **VALIDATION)
    late = await answered(store, "finished", MINUTE, plan="completed", **VALIDATION)
    text = await looked_at(store, late, NOW)

    assert "This came after its time" in text
    assert UNSEEN.text not in text


async def test_what_a_newer_word_has_replaced_alarms_no_more_who_looks(store: Store) -> None:
    """Sent again after a stand-down, and on scene: the request says so, and that is all."""
    sent = await requested(store, **HELP)
    told = []
    for encounter, ago in (("in-progress", 9), ("planned", 7), ("in-progress", 5), ("arrived", 3)):
        await answered(store, encounter, ago * MINUTE, **HELP)
        told.append(await looked_at(store, sent.request_id, NOW))

    assert "Nobody is on the way now" in told[1]
    assert ["response.remarked"] == await standing(store)
    assert not any(UNSEEN.text in each for each in told)


async def test_a_stand_down_is_told_whoever_looks_at_an_earlier_word(store: Store) -> None:
    """What the newest word remarks stands, whichever message is looked at."""
    await requested(store, **HELP)
    first = await answered(store, "in-progress", 9 * MINUTE, **HELP)
    await answered(store, "planned", 7 * MINUTE, **HELP)

    assert "Nobody is on the way now" in await looked_at(store, first, NOW)


async def test_an_acceptance_after_an_allocation_stands_down(store: Store) -> None:
    """Whoever looks is told so, though the allocation came last: also once that was seen to."""
    sent = await requested(store, **HELP)
    for encounter, ago in (("planned", 5), ("in-progress", 8)):
        await answered(store, encounter, ago * MINUTE, **HELP)
    await handled(store)

    assert "Nobody is on the way now" in await looked_at(store, sent.request_id, NOW)


# Another record of the same request.


WHICH = "There may be two records of this patient's request."
STANDS = "Another one stands there"
ONE_STANDS = "Another record of this patient's request stands."


async def two_records(store: Store) -> tuple[Accepted, Accepted]:
    """Ask twice for the same, each acknowledged, and keep that it is the same."""
    first = await requested(store, **HELP)
    again = submission(bundle_id="b2", correlation_id=str(uuid4()), **HELP)
    second = await store.outbound.submit(again, NOW)
    await acknowledged(store, focus_id="sr-2")
    at = "2026-03-02T09:00:00.000Z"
    tie = (second.workflow_id, first.workflow_id, "record", "likeness", second.message_id, at)
    told = (at, "trust", "record.other", second.message_id, second.request_id)
    await said(store._database, "INSERT INTO links VALUES (?, ?, ?, ?, ?, ?)", *tie)
    tell = "INSERT INTO events (at, provider, kind, message_id, request_id) VALUES (?, ?, ?, ?, ?)"
    await said(store._database, tell, *told)
    return first, second


async def cancelled(store: Store, of: Accepted, focus_id: str) -> Accepted:
    (found,) = await store.messages.history("trust", of.request_id)
    cancel = submission(
        move=Move.CANCEL,
        bundle_id=f"cancels-{focus_id}",
        focus_id=focus_id,
        correlation_id=found.message.correlation_id,
        **HELP,
    )
    taken = await store.outbound.submit(cancel, NOW)
    await acknowledged(store)
    return taken


async def standing(store: Store) -> list[str]:
    return [each.kind for each in (await store.overview(NOW)).standing]


async def test_each_of_two_records_says_that_there_are_two(store: Store) -> None:
    """Also the first, which nobody was told of when it was taken."""
    texts = [await looked_at(store, each.request_id, NOW) for each in await two_records(store)]

    assert [True, True] == [WHICH in each for each in texts]


async def test_who_looks_at_a_cancelled_record_reads_that_the_other_stands(store: Store) -> None:
    """The patient is not back with whoever asked; and nobody is asked which of the two stands."""
    first, second = await two_records(store)
    cancel = await cancelled(store, first, "sr-1")
    texts = [await looked_at(store, each.request_id, NOW) for each in (first, cancel, second)]

    assert [True, True, False] == [STANDS in each for each in texts]
    assert not any(WHICH in each or "is yours" in each for each in texts)


async def test_of_two_that_are_cancelled_none_is_said_to_stand(store: Store) -> None:
    """The first cancellation said that another one stands; that one is cancelled, too."""
    first, second = await two_records(store)
    cancels = [await cancelled(store, first, "sr-1"), await cancelled(store, second, "sr-2")]
    looked = (first, second, *cancels)
    texts = [await looked_at(store, each.request_id, NOW) for each in looked]

    assert not any(STANDS in each or WHICH in each for each in texts)
    assert all("is yours" in each for each in texts)


async def test_a_response_says_what_is_so_of_the_other_now(store: Store) -> None:
    """It was told with two records; one of them is cancelled since."""
    _, second = await two_records(store)
    came = await answered(store, "in-progress", MINUTE, **HELP)
    before = await looked_at(store, came, NOW)
    await cancelled(store, second, "sr-2")
    after = await looked_at(store, came, NOW)

    assert (True, False) == (WHICH in before, WHICH in after)


@pytest.mark.parametrize("first_is", ["cancelled", "finished"])
async def test_of_a_record_that_is_over_the_other_is_said_to_stand(
    store: Store, first_is: str
) -> None:
    """Act now, and there may be two, say two different things: it is known that one stands."""
    first, second = await two_records(store)
    await second_says(store, "planned", 2 * MINUTE)
    came = await answered(store, first_is, MINUTE, **HELP)
    (told,) = [n for n in await store.notices.pending("trust", 99) if n.request_id == came]
    texts = [
        means(told.situation),
        *[await looked_at(store, x, NOW) for x in (came, first.request_id)],
    ]

    assert [Remark.OTHER_STANDS] == list(told.remarks)
    assert not any("act now" in each or WHICH in each for each in texts)
    words = STANDS if first_is == "cancelled" else ONE_STANDS
    assert [True] * 3 == [words in each and "Telephone" in each for each in texts]
    assert STANDS not in await looked_at(store, second.request_id, NOW)


async def test_of_a_record_that_is_over_nothing_more_is_said_once_the_other_is(
    store: Store,
) -> None:
    """Turned down, and the other one cancelled: the patient is back."""
    _, second = await two_records(store)
    came = await answered(store, "cancelled", MINUTE, **HELP)
    await cancelled(store, second, "sr-2")
    text = await looked_at(store, came, NOW)

    assert "has turned this down. The patient is your responsibility again: act now." in text
    assert STANDS not in text


async def test_of_a_record_that_is_over_the_other_may_stand(store: Store) -> None:
    """Nobody knows whether it has arrived: the patient is back, and that is to be asked."""
    _, second = await two_records(store)
    unproven = f"UPDATE workflows SET state = 'unconfirmed' WHERE id = {second.workflow_id}"
    await said(store._database, unproven)
    came = await answered(store, "cancelled", MINUTE, **HELP)
    (told,) = [n for n in await store.notices.pending("trust", 99) if n.request_id == came]

    assert [Remark.OTHER_RECORD] == list(told.remarks)
    assert "responsibility again: act now. There may be another record" in means(told.situation)


async def second_says(store: Store, encounter: str, ago: timedelta) -> str:
    """Let a response come to the second of the records."""
    return await answered(store, encounter, ago, to=("b2", "sr-2"), **HELP)


async def _stood_down(store: Store, _: Accepted) -> None:
    await second_says(store, "in-progress", 3 * MINUTE)
    await second_says(store, "planned", 2 * MINUTE)


async def _only_acknowledged(store: Store, _: Accepted) -> None:
    """Nobody has agreed to it."""


async def _being_cancelled(store: Store, second: Accepted) -> None:
    await second_says(store, "planned", 2 * MINUTE)
    (found,) = await store.messages.history("trust", second.request_id)
    cancel = submission(
        move=Move.CANCEL,
        bundle_id="cancels-sr-2",
        focus_id="sr-2",
        correlation_id=found.message.correlation_id,
        **HELP,
    )
    await store.outbound.submit(cancel, NOW)


async def _shown_over(store: Store, second: Accepted) -> None:
    await second_says(store, "planned", 2 * MINUTE)
    over = f"UPDATE messages SET reconciliation = 'over' WHERE id = {second.message_id}"
    await said(store._database, over)


@pytest.mark.parametrize(
    "second_is", [_stood_down, _only_acknowledged, _being_cancelled, _shown_over]
)
async def test_who_is_turned_down_acts_now_unless_somebody_has_agreed_to_the_other(
    store: Store, second_is: Callable[[Store, Accepted], Awaitable[None]]
) -> None:
    """What speaks against the other record is enough: nobody waits for it."""
    _, second = await two_records(store)
    await second_is(store, second)
    came = await answered(store, "cancelled", MINUTE, **HELP)
    (told,) = [n for n in await store.notices.pending("trust", 99) if n.request_id == came]
    texts = [means(told.situation), await looked_at(store, came, NOW)]

    assert [Remark.OTHER_RECORD] == list(told.remarks)
    assert all("act now. There may be another record" in each for each in texts)
    assert not any(STANDS in each for each in texts)


async def updated(store: Store, of: Accepted) -> Accepted:
    """Change the first of the records, and have that acknowledged."""
    (found,) = await store.messages.history("trust", of.request_id)
    talk = {"focus_id": "sr-1", "correlation_id": found.message.correlation_id}
    sent = await store.outbound.submit(submission(move=Move.UPDATE, **talk, **HELP), NOW)
    await acknowledged(store)
    return sent


ONE_OVER = "is over: read how that one ended. No final answer to this one has come. Telephone"


async def test_who_looks_at_a_record_that_waits_reads_that_the_other_was_turned_down(
    store: Store,
) -> None:
    """That one said to act now, and to ask after this one: it does not read as done."""
    first, _ = await two_records(store)
    update = await updated(store, first)
    await second_says(store, "cancelled", 2 * MINUTE)
    sent = (first.request_id, update.request_id)
    waiting = [await looked_at(store, each, NOW) for each in sent]
    await answered(store, "planned", MINUTE, **HELP)
    agreed = [await looked_at(store, each, NOW) for each in sent]

    assert [True] * 2 == [ONE_OVER in each for each in waiting]
    assert not any(NOTHING_TO_DO in each for each in waiting)
    assert not any("record" in each for each in agreed)


@pytest.mark.parametrize("end", ["cancelled", "finished"])
async def test_who_looks_at_a_record_that_is_over_is_not_told_that_it_waits(
    store: Store, end: str
) -> None:
    """Its answer has come, or nobody waits for one."""
    first, _ = await two_records(store)
    await second_says(store, "cancelled", 2 * MINUTE)
    if end == "cancelled":
        await cancelled(store, first, "sr-1")
    else:
        await answered(store, "finished", MINUTE, **HELP)

    assert ONE_OVER not in await looked_at(store, first.request_id, NOW)


async def test_of_two_that_are_turned_down_nobody_is_asked_after(store: Store) -> None:
    """Neither stands: not for who is told of the second, nor for who looks at either."""
    await two_records(store)
    first = await answered(store, "cancelled", 2 * MINUTE, **HELP)
    second = await second_says(store, "cancelled", MINUTE)
    (told,) = [n for n in await store.notices.pending("trust", 99) if n.request_id == second]
    texts = [means(told.situation), *[await looked_at(store, x, NOW) for x in (first, second)]]

    assert not any("record" in each for each in texts)


async def test_who_looks_at_one_that_was_stood_down_is_not_asked_after_one_turned_down(
    store: Store,
) -> None:
    """There is nothing there that could be cancelled."""
    await two_records(store)
    await second_says(store, "in-progress", 4 * MINUTE)
    stood_down = await second_says(store, "planned", 3 * MINUTE)
    await answered(store, "cancelled", MINUTE, **HELP)

    assert WHICH not in await looked_at(store, stood_down, NOW)


async def test_two_records_alarm_until_one_is_cancelled(store: Store) -> None:
    """Whichever: nobody is to be asked to have the other one cancelled, then."""
    first, _ = await two_records(store)
    before = await standing(store)
    await cancelled(store, first, "sr-1")

    assert ["record.other"] == before
    assert [] == await standing(store)


async def test_two_records_alarm_while_one_goes_on_after_the_end_of_the_other(
    store: Store,
) -> None:
    """Nobody has cancelled it, and somebody may be sent for what is done."""
    await two_records(store)
    await answered(store, "finished", MINUTE, plan="completed", **HELP)

    assert "record.other" in await standing(store)


async def test_what_is_cancelled_is_not_asked_after_any_more(store: Store) -> None:
    """Nobody knew whether it had arrived; the Receiver has confirmed its end since."""
    sent = await store.outbound.submit(submission(bundle_id="b1", **HELP), NOW)
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    lost = Settled(state=OutboundState.UNCONFIRMED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=lost)
    before = await standing(store)
    focus = "UPDATE workflows SET focus_id = 'sr-1'"  # as somebody was told by telephone
    await said(store._database, focus)
    await cancelled(store, sent, "sr-1")

    assert ["message.unconfirmed"] == before
    assert [] == await standing(store)
    assert UNSEEN.text not in await looked_at(store, sent.request_id, NOW)


@pytest.mark.parametrize("lost", [OutboundState.REFUSED, OutboundState.NOT_SENT])
@pytest.mark.parametrize("move", [Move.UPDATE, Move.CANCEL])
async def test_what_failed_before_a_cancellation_is_no_news_after_it(
    store: Store, move: Move, lost: OutboundState
) -> None:
    """Refused, or never sent; the one that came after it was received, and nothing stands."""
    sent = await requested(store, **HELP)
    (found,) = await store.messages.history("trust", sent.request_id)
    talk = {"focus_id": "sr-1", "correlation_id": found.message.correlation_id}
    await store.outbound.submit(submission(move=move, bundle_id="first", **talk, **HELP), NOW)
    if lost is OutboundState.NOT_SENT:
        await store.outbound.give_up(NOW + 15 * MINUTE)
    else:
        claim = await claim_next(store, NOW, {"trust"})
        assert claim is not None
        fate = Settled(state=lost)
        await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=fate)
    before = await standing(store)
    await cancelled(store, sent, "sr-1")

    assert [f"message.{lost}"] == before
    assert [] == await standing(store)
    assert UNSEEN.text not in await looked_at(store, sent.request_id, NOW)


MAY_BE_THERE = "Another one with the same request may be there: telephone"


@pytest.mark.parametrize("end", ["refused", "not_sent", "withdrawn"])
async def test_of_a_request_that_came_to_nothing_another_may_be_there(
    store: Store, end: str
) -> None:
    """The first one was acknowledged: that nobody has taken the patient on is not so."""
    _, second = await two_records(store)
    stands = "refused" if end == "refused" else "abandoned"
    tried, closed = int(end == "refused"), "2026-03-02T09:00:00.000Z"
    message, workflow = second.message_id, second.workflow_id
    writes = (
        f"UPDATE messages SET state = '{end}', attempts = {tried} WHERE id = {message}",
        f"UPDATE workflows SET state = '{stands}', closed_at = '{closed}' WHERE id = {workflow}",
    )
    for each in writes:
        await said(store._database, each)
    beside = await looked_at(store, second.request_id, NOW)
    await answered(store, "cancelled", MINUTE, **HELP)
    alone = await looked_at(store, second.request_id, NOW)

    assert MAY_BE_THERE in beside
    assert "If it has none, nobody has agreed to help, and you remain responsible" in beside
    assert "two records" not in beside
    assert MAY_BE_THERE not in alone
