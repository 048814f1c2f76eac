"""What the store promises when a person acts on an outbound message."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
from own_words import said
from store_values import (
    ANSWER,
    NOW,
    SILENCE,
    arrival,
    attempt,
    claim_next,
    payload,
    submission,
    wording,
)

from bars_gateway.model.interventions import FROM, IN_BULK, Done, Resent, Selection, Verb
from bars_gateway.model.messages import (
    Accepted,
    Actor,
    Claim,
    Objection,
    OutboundState,
    Part,
    Received,
    Settled,
    TryAgain,
)
from bars_gateway.model.readings import MessageHistory
from bars_gateway.standard.links import Relation
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.timing import Limits
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move, RequestType, State
from bars_gateway.store.store import Store

OPERATOR = Actor(role="operator", who="jo (uid 1000)", why="INC-7")
EPR = replace(OPERATOR, role="epr")
LATER = NOW + timedelta(hours=3)


def schedule(
    _use_case: str, _move: Move, _request_type: RequestType, _needed_by: datetime | None
) -> Limits:
    return Limits(give_up_at=LATER + timedelta(hours=2), delayed_at=LATER + timedelta(minutes=5))


async def queued(store: Store, **changes: object) -> Accepted:
    return await store.outbound.submit(submission(**changes), NOW)


async def claim(store: Store) -> Claim:
    found = await claim_next(store, LATER, ["trust"])
    assert found is not None
    return found


async def ended(store: Store, state: OutboundState, **changes: object) -> Accepted:
    """Return a message that has ended in *state*."""
    accepted = await queued(store, **changes)
    if state is OutboundState.WITHDRAWN:
        await act(store, Verb.WITHDRAW, accepted, EPR)
    elif state is OutboundState.NOT_SENT:
        await store.outbound.give_up(LATER)
    else:
        claimed = await claim_next(store, NOW, ["trust"])
        assert claimed is not None
        verdict = {
            OutboundState.ACKNOWLEDGED: Verdict.ACKNOWLEDGED,
            OutboundState.REFUSED: Verdict.REFUSED,
        }.get(state, Verdict.RETRY)
        answer = ANSWER if verdict is Verdict.ACKNOWLEDGED else SILENCE
        tried = attempt(claimed, verdict)
        await store.outbound.settle(claimed, answer, attempt=tried, settlement=Settled(state=state))
    return accepted


async def act(
    store: Store, verb: Verb, accepted: Accepted, actor: Actor = OPERATOR
) -> Done | Objection:
    return await store.interventions.intervene(verb, accepted.message_id, actor, schedule, LATER)


async def resent(store: Store, accepted: Accepted, number: int = 1) -> Done | Objection:
    resent = Resent(
        request_id=f"00000000-0000-4000-8000-{number:012}",
        bundle_id="new-bundle",
        fingerprint="f" * 64,
        request=payload(b"again"),
    )
    return await store.interventions.resend(accepted.message_id, resent, OPERATOR, schedule, LATER)


async def history(store: Store, accepted: Accepted) -> MessageHistory:
    (found,) = await store.messages.history("trust", accepted.request_id)
    return found


async def notices(store: Store) -> list[str]:
    return [notice.kind for notice in await store.notices.pending("trust", 50)]


def code(found: Done | Objection) -> str:
    return found.code if isinstance(found, Objection) else "done"


async def test_a_held_message_is_not_sent(store: Store) -> None:
    """Nor is what waits behind it in its conversation."""
    first = await queued(store)
    await queued(store, correlation_id=first.correlation_id)
    await act(store, Verb.HOLD, first)

    assert await claim_next(store, LATER, ["trust"]) is None


async def test_a_released_message_is_due_at_once(store: Store) -> None:
    """It goes on from where it was held."""
    accepted = await queued(store, give_up_at=LATER + timedelta(hours=1))
    await act(store, Verb.HOLD, accepted)
    await act(store, Verb.RELEASE, accepted)

    assert accepted.request_id == (await claim(store)).request_id


async def test_holding_stops_no_clock(store: Store) -> None:
    """The patient's time passes all the same, and the EPR hears that nothing left."""
    accepted = await queued(store)
    await act(store, Verb.HOLD, accepted)
    await store.outbound.give_up(LATER)

    assert OutboundState.NOT_SENT == (await history(store, accepted)).message.state


async def test_a_withdrawn_request_ends_its_workflow(store: Store) -> None:
    """It never left this organisation, and the EPR has an outcome."""
    accepted = await queued(store)
    await act(store, Verb.WITHDRAW, accepted)
    found = await history(store, accepted)

    assert (OutboundState.WITHDRAWN, State.ABANDONED) == (found.message.state, found.workflow.state)
    assert ["outcome"] == await notices(store)


async def test_what_would_change_a_withdrawn_request_is_withdrawn_with_it(
    store: Store,
) -> None:
    """A cancellation of what never left would only puzzle the Receiver."""
    request = await queued(store, bundle_id="b-1")
    cancel = await queued(
        store, move=Move.CANCEL, bundle_id="b-1", correlation_id=request.correlation_id
    )

    assert Done(state=OutboundState.WITHDRAWN, also=[cancel.request_id]) == await act(
        store, Verb.WITHDRAW, request
    )
    assert ["outcome", "outcome"] == await notices(store)


async def test_a_withdrawn_change_leaves_its_workflow_alone(store: Store) -> None:
    """The referral is as the Receiver knows it."""
    accepted = await queued(store, move=Move.UPDATE)
    await act(store, Verb.WITHDRAW, accepted)

    assert State.ACTIVE == (await history(store, accepted)).workflow.state


@pytest.mark.parametrize("state", sorted(FROM[Verb.RETRY] - {OutboundState.QUEUED}))
async def test_a_retry_sends_the_same_bytes_under_the_same_ids(
    store: Store, state: OutboundState
) -> None:
    """So it can never make a second record at the Receiver."""
    accepted = await ended(store, state, body=b"same")
    await act(store, Verb.RETRY, accepted)
    claimed = await claim(store)

    assert (accepted.request_id, payload(b"same")) == (claimed.request_id, claimed.request)
    assert State.COMPLETED != (await history(store, accepted)).workflow.state


@pytest.mark.parametrize(
    ("state", "workflow"),
    [
        (OutboundState.REFUSED, State.REQUESTED),
        (OutboundState.NOT_SENT, State.REQUESTED),
        (OutboundState.WITHDRAWN, State.REQUESTED),
        (OutboundState.UNCONFIRMED, State.UNCONFIRMED),
    ],
)
async def test_a_retried_request_opens_its_workflow_again(
    store: Store, state: OutboundState, workflow: State
) -> None:
    """What its fate meant for the workflow is undone with that fate."""
    accepted = await ended(store, state)
    await act(store, Verb.RETRY, accepted)

    assert workflow == (await history(store, accepted)).workflow.state


async def test_a_retried_message_has_its_time_anew(store: Store) -> None:
    """Whoever asks for a retry wants it to be tried, and not to be given up at once."""
    accepted = await ended(store, OutboundState.NOT_SENT)
    await act(store, Verb.RETRY, accepted)

    assert 0 == await store.outbound.give_up(LATER)


PAST = NOW + timedelta(hours=1)  # at LATER, when people act, it is over
AWARE = replace(OPERATOR, after_its_time=True)


@pytest.mark.parametrize("move", [Move.REQUEST, Move.UPDATE])
@pytest.mark.parametrize(
    ("verb", "state"),
    [(Verb.RETRY, OutboundState.UNCONFIRMED), (Verb.RETRY, OutboundState.NOT_SENT)],
)
async def test_what_is_past_its_time_is_not_retried_unasked(
    store: Store, verb: Verb, state: OutboundState, move: Move
) -> None:
    """A fallback may be running by then, and two ambulances go to one door."""
    accepted = await ended(store, state, needed_by=PAST, move=move)
    refused = await act(store, verb, accepted)
    done = await act(store, verb, accepted, AWARE)

    assert isinstance(refused, Objection)
    assert ("past_its_time", True) == (refused.code, isinstance(done, Done))


async def test_what_is_past_its_time_is_not_released_unasked(store: Store) -> None:
    """It was held while its time passed."""
    accepted = await queued(store, needed_by=PAST, give_up_at=LATER + timedelta(hours=1))
    await act(store, Verb.HOLD, accepted)
    refused = await act(store, Verb.RELEASE, accepted)
    done = await act(store, Verb.RELEASE, accepted, AWARE)

    assert isinstance(refused, Objection)
    assert ("past_its_time", True) == (refused.code, isinstance(done, Done))


async def test_a_copy_is_not_sent_past_its_time_unasked(store: Store) -> None:
    """The same patient, the same fallback; new ids make it no better."""
    accepted = await ended(store, OutboundState.NOT_SENT, needed_by=PAST)
    refused = await resent(store, accepted)

    assert isinstance(refused, Objection)
    assert "past_its_time" == refused.code


@pytest.mark.parametrize("move", [Move.CANCEL, Move.WAIT, Move.CONCLUDE, Move.DECLINE])
async def test_cancellations_and_responses_are_never_too_late(store: Store, move: Move) -> None:
    """Late, they still tell the other side the truth."""
    accepted = await ended(store, OutboundState.NOT_SENT, needed_by=PAST, move=move)

    assert isinstance(await act(store, Verb.RETRY, accepted), Done)


async def test_who_sent_it_after_its_time_is_in_the_audit_trail(store: Store) -> None:
    """With the reason that they gave."""
    accepted = await ended(store, OutboundState.NOT_SENT, needed_by=PAST)
    await act(store, Verb.RETRY, accepted, AWARE)
    (found,) = [
        json.loads(event.detail)
        for event in (await history(store, accepted)).events
        if event.kind == "operator.retried"
    ]

    assert ("yes", "INC-7") == (found["after_its_time"], found["why"])


async def test_what_is_tried_all_the_same_may_be_hastened(store: Store) -> None:
    """A3 goes on past its time: nothing is begun by trying it a little sooner."""
    accepted = await queued(store, needed_by=PAST, give_up_at=LATER + timedelta(hours=1))

    assert isinstance(await act(store, Verb.RETRY, accepted), Done)


@pytest.mark.parametrize("actor", [OPERATOR, EPR])
async def test_a_retried_message_may_meet_as_many_server_errors_again(
    store: Store, actor: Actor
) -> None:
    """Those that ended it do not count twice; those since then do."""
    accepted = await queued(store, give_up_at=LATER + timedelta(hours=1))
    first = await claim(store)
    error = attempt(first, Verdict.RETRY_LIMITED)
    unconfirmed = Settled(state=OutboundState.UNCONFIRMED)
    await store.outbound.settle(first, SILENCE, attempt=error, settlement=unconfirmed)
    await act(store, Verb.RETRY, accepted, actor)
    second = await claim(store)
    since = attempt(second, Verdict.RETRY_LIMITED, started_at=LATER)
    await store.outbound.settle(second, SILENCE, attempt=since, settlement=TryAgain(at=LATER))
    third = await claim(store)

    assert [0, 0, 1] == [each.server_errors for each in (first, second, third)]


async def test_a_queued_message_is_retried_at_once(store: Store) -> None:
    """Without waiting for the pause after its last attempt to pass."""
    accepted = await queued(store, give_up_at=LATER + timedelta(hours=1))
    await store.outbound.put_back(await claim(store), LATER + timedelta(minutes=5))
    await act(store, Verb.RETRY, accepted)

    assert accepted.request_id == (await claim(store)).request_id


@pytest.mark.parametrize("verb", [None, Verb.HOLD])
async def test_nothing_is_resent_past_what_waits(store: Store, verb: Verb | None) -> None:
    """Its copy would come after the cancellation, and a cancelled referral arrive."""
    bundle = "17e2f9d6-2e5b-4a5e-8f6d-6c1a4f4f2b10"
    first = await ended(store, OutboundState.UNCONFIRMED, bundle_id=bundle)
    cancellation = await queued(store, bundle_id=bundle, move=Move.CANCEL)
    if verb is not None:
        await act(store, verb, cancellation)
    refused = await resent(store, first)

    assert isinstance(refused, Objection)
    assert "outrun" == refused.code


async def test_what_is_retried_keeps_its_place_before_what_waits(store: Store) -> None:
    """The same message under the same ids goes first: order is that of the messages."""
    bundle, conversation = "17e2f9d6-2e5b-4a5e-8f6d-6c1a4f4f2b10", "c"
    first = await ended(
        store, OutboundState.UNCONFIRMED, bundle_id=bundle, correlation_id=conversation
    )
    late = LATER + timedelta(hours=1)
    await queued(
        store, bundle_id=bundle, correlation_id=conversation, move=Move.CANCEL, give_up_at=late
    )
    await act(store, Verb.RETRY, first)

    assert first.request_id == (await claim(store)).request_id


async def test_what_was_withdrawn_stands_in_nobodys_way(store: Store) -> None:
    """Once the later message is out of the way for good, the earlier one may be resent."""
    bundle = "17e2f9d6-2e5b-4a5e-8f6d-6c1a4f4f2b10"
    first = await ended(store, OutboundState.UNCONFIRMED, bundle_id=bundle)
    cancellation = await queued(store, bundle_id=bundle, move=Move.CANCEL)
    await act(store, Verb.WITHDRAW, cancellation)

    assert isinstance(await resent(store, first), Done)


async def test_what_was_overtaken_is_not_revived(store: Store) -> None:
    """D-no-late-revival: a cancelled referral must not arrive."""
    request = await ended(store, OutboundState.UNCONFIRMED, bundle_id="b-1")
    await ended(store, OutboundState.UNCONFIRMED, bundle_id="b-1", move=Move.CANCEL)

    assert ["overtaken", "overtaken"] == [
        code(await act(store, Verb.RETRY, request)),
        code(await resent(store, request)),
    ]


async def test_a_request_that_is_resent_has_a_workflow_of_its_own(store: Store) -> None:
    """There may be two records: what is said of the one is not said of the other."""
    accepted = await ended(store, OutboundState.REFUSED)
    done = await resent(store, accepted)
    assert isinstance(done, Done)
    (new,) = await store.messages.history("trust", done.resent_as or "")

    assert accepted.workflow_id != new.message.workflow_id
    assert [(Relation.OTHER_RECORD, accepted.workflow_id)] == [
        (link.relation, link.workflow_id) for link in new.workflow.links
    ]
    assert (accepted.correlation_id, "new-bundle", State.REQUESTED) == (
        new.message.correlation_id,
        new.message.bundle_id,
        new.workflow.state,
    )
    assert payload(b"again") == await store.messages.payload(new.message.message_id, Part.REQUEST)


async def test_the_notice_of_a_resend_names_the_earlier_message(store: Store) -> None:
    """The EPR knows that one, and not the new one."""
    accepted = await ended(store, OutboundState.REFUSED)
    await resent(store, accepted)
    *_, notice = await store.notices.pending("trust", 50)

    assert ("resent", accepted.request_id) == (notice.kind, notice.resend_of)


async def test_what_was_resent_is_revived_no_more(store: Store) -> None:
    """Two of one payload on their way would be two records."""
    accepted = await ended(store, OutboundState.REFUSED)
    await resent(store, accepted)

    assert ["resent", "resent"] == [
        code(await act(store, Verb.RETRY, accepted)),
        code(await resent(store, accepted, 2)),
    ]


async def test_what_is_being_sent_is_left_alone(store: Store) -> None:
    """Its answer is on the way, and says more than a person can."""
    accepted = await queued(store, give_up_at=LATER + timedelta(hours=1))
    await claim(store)

    verbs = set(Verb) - {Verb.RESEND}

    assert {"in_flight"} == {code(await act(store, verb, accepted)) for verb in verbs}


async def test_what_was_tried_is_not_withdrawn(store: Store) -> None:
    """The Receiver may have it: only a cancellation takes it back."""
    accepted = await ended(store, OutboundState.UNCONFIRMED)
    await act(store, Verb.RETRY, accepted)

    assert "attempted" == code(await act(store, Verb.WITHDRAW, accepted))


@pytest.mark.parametrize(
    ("state", "closed_at", "expected"),
    [
        pytest.param("active", None, "stands", id="it-has-it"),
        pytest.param("in_progress", None, "stands", id="somebody-is-on-the-way"),
        pytest.param("unclear", None, "stands", id="nobody-knows-what-it-says"),
        pytest.param("contradicted", None, "stands", id="somebody-may-be-on-the-way"),
        pytest.param("unconfirmed", None, "done", id="it-may-have-it-which-was-read"),
        pytest.param("completed", "x", "done", id="after-the-end"),
        pytest.param("declined", "x", "done", id="after-a-decline"),
        pytest.param("cancelled", "x", "done", id="after-a-cancellation"),
    ],
)
async def test_what_is_open_at_the_receiver_is_not_asked_anew(
    store: Store, state: str, closed_at: str | None, expected: str
) -> None:
    """A second record of a patient whom somebody works on; after its end nobody does."""
    accepted = await ended(store, OutboundState.ACKNOWLEDGED, bundle_id="b-1")
    moved = "UPDATE workflows SET state = ?, closed_at = ?"
    await said(store._database, moved, state, closed_at)

    assert expected == code(await resent(store, accepted))


ENCOUNTERS = {
    Move.WAIT: "planned",
    Move.PROGRESS: "in-progress",
    Move.DECLINE: "cancelled",
    Move.CONCLUDE: "finished",
    Move.UNCLEAR: "triaged",
}


async def answered(store: Store, move: Move, to: str = "b-1", *, written: datetime = LATER) -> None:
    """Take what another control room says, that was written then."""
    words = wording(ENCOUNTERS[move], written)
    came = arrival(move=move, responds_to=to, use_case="a6t2", wording=words)
    assert isinstance(await store.responses.respond(came, payload(b"{}"), LATER), Received)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(
            [(Move.WAIT, 9), (Move.PROGRESS, 6), (Move.WAIT, 3)],
            ["stands", "stands", "done"],
            id="in-turn",
        ),
        pytest.param([(Move.WAIT, 3), (Move.PROGRESS, 9)], ["stands", "done"], id="out-of-order"),
        pytest.param(
            [(Move.PROGRESS, 3), (Move.WAIT, 9)], ["stands", "stands"], id="it-is-the-older"
        ),
    ],
)
async def test_after_a_stand_down_the_patient_is_asked_for_anew(
    store: Store, said: list[tuple[Move, int]], expected: list[str]
) -> None:
    """Nobody is on the way any more; a first *planned* is no stand-down: somebody will be."""
    accepted = await ended(store, OutboundState.ACKNOWLEDGED, bundle_id="b-1", use_case="a6t2")
    objections = []
    for move, ago in said:
        await answered(store, move, written=LATER - timedelta(minutes=ago))
        objections.append(code(await resent(store, accepted)))

    assert expected == objections


async def test_a_stand_down_is_one_whatever_came_last(store: Store) -> None:
    """An older allocation that comes after it moves nothing."""
    accepted = await ended(store, OutboundState.ACKNOWLEDGED, bundle_id="b-1", use_case="a6t2")
    for move, ago in ((Move.PROGRESS, 9), (Move.WAIT, 3), (Move.PROGRESS, 6)):
        await answered(store, move, written=LATER - timedelta(minutes=ago))

    assert "done" == code(await resent(store, accepted))


async def test_a_response_to_a_record_stays_with_it(store: Store) -> None:
    """An allocation to the first and a refusal of the second are two truths about two records."""
    accepted = await ended(store, OutboundState.UNCONFIRMED, bundle_id="b-1")
    done = await resent(store, accepted)
    assert isinstance(done, Done)
    moves = {"b-1": Move.PROGRESS, "new-bundle": Move.DECLINE}
    for bundle_id, move in moves.items():
        came = arrival(move=move, responds_to=bundle_id)
        assert isinstance(await store.responses.respond(came, payload(b"{}"), LATER), Received)
    states = [
        (await store.messages.history("trust", name))[0].workflow.state
        for name in (accepted.request_id, done.resent_as or "")
    ]
    told = [n.remarks for n in await store.notices.pending("trust", 50) if n.direction == "inbound"]

    # Nobody has said of the first in so many words that somebody comes.
    beside = {Remark.OTHER_RECORD, Remark.OTHER_STANDS}

    assert [State.IN_PROGRESS, State.DECLINED] == states
    assert [{Remark.OTHER_RECORD}, {Remark.OTHER_RECORD}] == [beside & {*each} for each in told]


async def records(store: Store, *moves: Move | None) -> list[int]:
    """
    Ask and ask again as new, each unconfirmed; then the Receiver says *moves*, of one each.

    Return the numbers of the messages.
    """
    first = await ended(store, OutboundState.UNCONFIRMED, bundle_id="b-0", use_case="a6t2")
    numbers = [first.message_id]
    for number in range(1, len(moves)):
        numbers.append(await copied(store, numbers[-1], f"b-{number}"))
    for number, move in enumerate(moves):
        if move is not None:
            await answered(store, move, f"b-{number}")
    return numbers


async def copied(store: Store, of: int, bundle_id: str) -> int:
    """Have a request sent as new, of which nobody learns whether it arrived; return its number."""
    assert isinstance(await sent_as_new(store, of, bundle_id), Done)
    claimed = await claim(store)
    tried, lost = attempt(claimed, Verdict.RETRY), Settled(state=OutboundState.UNCONFIRMED)
    await store.outbound.settle(claimed, SILENCE, attempt=tried, settlement=lost)
    return claimed.message_id


async def sent_as_new(store: Store, of: int, bundle_id: str) -> Done | Objection:
    resent = Resent(
        request_id=str(uuid4()),
        bundle_id=bundle_id,
        fingerprint=uuid4().hex * 2,
        request=payload(b"again"),
    )
    return await store.interventions.resend(of, resent, OPERATOR, schedule, LATER)


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        pytest.param([Move.PROGRESS, Move.DECLINE], "other_stands", id="the-first-is-on-the-way"),
        pytest.param([Move.WAIT, Move.DECLINE], "other_stands", id="the-first-will-be"),
        pytest.param([Move.PROGRESS, None, Move.DECLINE], "other_stands", id="of-a-chain"),
        pytest.param([Move.UNCLEAR, Move.DECLINE], "other_stands", id="the-first-is-unclear"),
        pytest.param([Move.CONCLUDE, Move.DECLINE], "done", id="the-first-is-over"),
        pytest.param([None, Move.DECLINE], "done", id="nobody-knows-of-the-first"),
        pytest.param([Move.DECLINE, Move.DECLINE], "done", id="both-are-declined"),
    ],
)
async def test_beside_a_record_that_stands_none_is_made(
    store: Store, moves: list[Move | None], expected: str
) -> None:
    """The second was turned down, but somebody is on the way to the first; it is named."""
    *_, last = await records(store, *moves)
    found = await sent_as_new(store, last, "b-new")
    named = expected == "done" or "workflow 1 (" in str(getattr(found, "text", ""))

    assert (expected, True) == (code(found), named)


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        pytest.param([Move.WAIT, Move.WAIT], ["other_stands"], id="both-stand"),
        pytest.param([None, Move.WAIT], ["other_record"], id="nobody-knows-of-the-other"),
        pytest.param([Move.DECLINE, Move.WAIT], [], id="the-other-is-declined"),
    ],
)
async def test_a_cancellation_of_one_of_two_records_says_whether_the_other_stands(
    store: Store, moves: list[Move | None], expected: list[str]
) -> None:
    """Nobody is to believe that the patient is theirs again, nor to ask what we know."""
    *_, last = await records(store, *moves)
    of = await name_of(store, last)
    (found,) = await store.messages.history("trust", of)
    own = found.workflow.workflow_id
    told = [n for n in await store.notices.pending("trust", 50) if n.workflow_id == own]
    cancel = submission(
        move=Move.CANCEL,
        use_case="a6t2",
        focus_id=told[-1].focus_id,
        give_up_at=LATER + timedelta(hours=1),
        correlation_id=found.message.correlation_id,
    )
    number = (await store.outbound.submit(cancel, LATER)).message_id
    claimed = await claim(store)
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claimed, ANSWER, attempt=attempt(claimed), settlement=settled)
    outcomes = [n for n in await store.notices.pending("trust", 50) if n.message_id == number]

    assert [(own, expected)] == [(each.workflow_id, list(each.remarks)) for each in outcomes]


async def test_beside_one_that_was_stood_down_another_is_asked_for(store: Store) -> None:
    """Nobody comes for either."""
    first, second = await records(store, Move.PROGRESS, Move.DECLINE)
    before = await sent_as_new(store, second, "b-new")
    await answered(store, Move.WAIT, "b-0")
    after = await sent_as_new(store, second, "b-new")

    assert first < second
    assert ("other_stands", "done") == (code(before), code(after))


async def test_a_copy_that_has_not_arrived_waits_while_the_first_stands(store: Store) -> None:
    """Neither a retry nor a release makes the second record, once the first is answered."""
    _, second = await records(store, None, None)
    act_on_it = partial(_act_on, store, second)
    before = [await act_on_it(verb) for verb in (Verb.RETRY, Verb.HOLD)]
    came = arrival(move=Move.PROGRESS, responds_to="b-0", use_case="a6t2")
    await store.responses.respond(came, payload(b"{}"), LATER)

    assert ["done", "done"] == before
    assert "other_stands" == await act_on_it(Verb.RELEASE)


async def _act_on(store: Store, message_id: int, verb: Verb) -> str:
    return code(await store.interventions.intervene(verb, message_id, OPERATOR, schedule, LATER))


async def test_a_record_that_was_tied_later_is_known_to_each_copy(store: Store) -> None:
    """Built again beside the second, which is sent as new: the third knows of all."""
    _, second = await records(store, None, None)
    other = await queued(store, bundle_id="b-9", use_case="a6t2")
    await act(store, Verb.HOLD, other)
    tie = (other.workflow_id, 2, "record", "likeness", other.message_id, "2026-03-02T09:00:00.000Z")
    await said(store._database, "INSERT INTO links VALUES (?, ?, ?, ?, ?, ?)", *tie)
    third = await copied(store, second, "b-2")
    query = "SELECT to_id FROM links JOIN messages USING (workflow_id) WHERE messages.id = ?"
    found = await said(store._database, query, third)

    assert {(1,), (2,), (other.workflow_id,)} == set(found)


async def test_a_dry_run_names_the_other_records(store: Store) -> None:
    """Before anybody confirms that there is to be one more."""
    _, second = await records(store, None, Move.DECLINE)
    name = await name_of(store, second)
    looked_at = await store.interventions.candidate("trust", name, Verb.RESEND, LATER)

    assert looked_at is not None
    assert (None, "workflow 1 (unconfirmed)") == (looked_at.objection, looked_at.others)


async def name_of(store: Store, number: int) -> str:
    query = "SELECT request_id FROM messages WHERE id = ?"
    ((name,),) = await said(store._database, query, number)
    return str(name)


async def test_the_audit_trail_says_who_and_why(store: Store) -> None:
    """Whatever a person did can be asked for years later."""
    accepted = await queued(store)
    await act(store, Verb.HOLD, accepted)
    event = (await history(store, accepted)).events[-1]

    assert ("operator.held", {"who": "jo (uid 1000)", "why": "INC-7"}) == (
        event.kind,
        json.loads(event.detail),
    )


@pytest.mark.parametrize(("actor", "told"), [(OPERATOR, ["held", "released"]), (EPR, [])])
async def test_the_epr_is_told_what_others_did(store: Store, actor: Actor, told: list[str]) -> None:
    """And not what it did itself."""
    accepted = await queued(store)
    await act(store, Verb.HOLD, accepted, actor)
    await act(store, Verb.RELEASE, accepted, actor)

    assert told == await notices(store)


async def test_a_selection_asks_for_all_that_it_names(store: Store) -> None:
    """What differs in one respect is not meant."""
    wanted = await queued(store, receiver="s|1", use_case="a1t1")
    await queued(store, receiver="s|1", use_case="a3t1")
    await queued(store, receiver="s|2", use_case="a1t1")
    await queued(store, receiver="s|1", use_case="a1t1", provider="other")
    selection = Selection(
        states=IN_BULK[Verb.HOLD],
        receiver="s|1",
        use_case="a1t1",
        taken_from=NOW,
        taken_before=LATER,
    )
    found = await store.interventions.candidates("trust", selection, Verb.HOLD, 10, NOW)

    assert [wanted.request_id] == [each.message.request_id for each in found]


async def test_a_candidate_is_only_looked_at(store: Store) -> None:
    """A dry run changes nothing, and tells what stands against the verb."""
    accepted = await queued(store)
    found = [
        await store.interventions.candidate("trust", accepted.request_id, verb, NOW)
        for verb in (Verb.HOLD, Verb.RELEASE)
    ]

    assert [None, "wrong_state"] == [
        each.objection and each.objection.code for each in found if each
    ]
    assert OutboundState.QUEUED == (await history(store, accepted)).message.state
