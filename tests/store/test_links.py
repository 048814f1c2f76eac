"""What belongs together is linked in the transaction that takes the request, and never guessed."""

import json
from datetime import datetime, timedelta

import pytest
from bookings import booking, focus
from messages import RECEIVER, SENDER, referral
from store_values import (
    ANSWER,
    NOW,
    SILENCE,
    TERMS,
    arrival,
    attempt,
    claim_next,
    decision,
    submission,
)
from unguarded import let_delete

from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import (
    Accepted,
    Actor,
    Arrival,
    NoticeKind,
    OutboundState,
    Received,
    RefusedBefore,
    Settled,
    Submission,
)
from bars_gateway.model.questions import QuestionOpen
from bars_gateway.model.readings import Link, MessageHistory
from bars_gateway.model.standing_alarms import Chosen
from bars_gateway.standard.bundle import read
from bars_gateway.standard.guards import MoveRefused
from bars_gateway.standard.links import ties_of
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.rule import Side
from bars_gateway.standard.timing import Limits
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move, RequestType, request_type_of
from bars_gateway.store.record_holds import HeldThing
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import SqliteDatabase
from bars_gateway.store.sqlite.integrity import examine
from bars_gateway.store.statements import SQLITE, statements_of
from bars_gateway.store.store import Store

TALK = "00000000-0000-4000-8000-0000000000c1"
THIRD = RECEIVER.replace("2000000202", "2000000303")
OPERATOR = Actor(role="operator", who="jo (uid 1000)", why="INC-7")


def said_in(body: bytes, side: Side) -> dict[str, object]:
    """Return all that a message says."""
    found = read(body)
    return {
        "request_type": request_type_of(found),
        "use_case": found.use_case,
        "bundle_id": found.bundle_id,
        "sender": found.source,
        "receiver": found.destinations[0],
        "correlation_id": TALK,
        "ties": ties_of(found, side),
    }


def to_send(body: bytes, **changes: object) -> Submission:
    """Return what the EPR submits, with all that it says."""
    return submission(body=body, **(said_in(body, Side.SENDING) | changes))


def to_take(body: bytes, **changes: object) -> Arrival:
    """Return what comes from another organisation, with all that it says."""
    return arrival(body=body, **(said_in(body, Side.RECEIVING) | changes))


async def settled(
    store: Store, state: OutboundState = OutboundState.ACKNOWLEDGED, number: str | None = None
) -> None:
    """Settle the message that is next."""
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    taken = state is OutboundState.ACKNOWLEDGED
    answer = ANSWER if taken else SILENCE
    tried = attempt(claim, Verdict.ACKNOWLEDGED if taken else Verdict.REFUSED)
    settlement = Settled(state=state, focus_id=number)
    await store.outbound.settle(claim, answer, attempt=tried, settlement=settlement)


async def booked(store: Store, number: str = "ap-1", **changes: object) -> Accepted:
    accepted = await store.outbound.submit(to_send(booking(), **changes), NOW)
    await settled(store, number=number)
    return accepted


async def cancelling(store: Store, number: str = "ap-1") -> Accepted:
    values = {"move": Move.CANCEL, "focus_id": number, "correlation_id": TALK, "use_case": "a1t1"}
    return await store.outbound.submit(submission(sender=SENDER, receiver=RECEIVER, **values), NOW)


async def history(store: Store, request_id: str) -> MessageHistory:
    (found,) = await store.messages.history("trust", request_id)
    return found


async def links_of(store: Store, request_id: str) -> list[tuple[str, int]]:
    links: list[Link] = list((await history(store, request_id)).workflow.links)
    return [(link.relation, link.workflow_id) for link in links]


def referral_for(number: str, **changes: str) -> bytes:
    bundle = json.loads(referral(**changes))
    focus(bundle)["supportingInfo"] = [{"reference": f"Appointment/{number}"}]
    return json.dumps(bundle).encode()


def with_journey(number: int, **changes: str) -> bytes:
    bundle = json.loads(referral(**changes))
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Encounter":
            entry["resource"]["episodeOfCare"] = [{"reference": f"EpisodeOfCare/j{number}"}]
    return json.dumps(bundle).encode()


async def test_the_link_is_there_with_the_message(store: Store) -> None:
    """Before anything was sent: the EPR's own screen shows the two together."""
    first = await booked(store)
    second = await store.outbound.submit(to_send(referral_for("ap-1")), NOW)

    assert [("booking", first.workflow_id)] == await links_of(store, second.request_id)
    assert [("referral", second.workflow_id)] == await links_of(store, first.request_id)


async def test_what_is_refused_for_its_link_leaves_nothing(store: Store) -> None:
    """Another patient's booking: no message, no workflow."""
    await booked(store)
    with pytest.raises(MoveRefused) as refused:
        await store.outbound.submit(to_send(referral_for("ap-1", nhs_number="9990000026")), NOW)

    assert ["L02"] == [issue.rule for issue in refused.value.issues]
    assert [] == list(await store.messages.queue("trust", 10))


async def test_an_id_is_of_one_receiver(store: Store) -> None:
    """Two Receivers may give the same id: the one is meant that the referral goes to."""
    await booked(store)
    there = await store.outbound.submit(to_send(booking(receiver=THIRD)), NOW)
    await settled(store, number="ap-1")
    to = await store.outbound.submit(to_send(referral_for("ap-1", receiver=THIRD)), NOW)

    assert [("booking", there.workflow_id)] == await links_of(store, to.request_id)


async def test_what_is_being_cancelled_is_over(store: Store) -> None:
    """The Receiver will have cancelled it by the time that the referral arrives."""
    await booked(store)
    await cancelling(store)
    with pytest.raises(MoveRefused) as refused:
        await store.outbound.submit(to_send(referral_for("ap-1")), NOW)

    assert ["L07"] == [issue.rule for issue in refused.value.issues]


async def test_what_we_gave_an_id_to_is_not_what_they_gave_it_to(store: Store) -> None:
    """Each asks the other, and both Receivers gave the same id."""
    back = {"sender": RECEIVER, "receiver": SENDER}
    ours = await booked(store)
    theirs = await came_in(store, booking(**back), focus_id="ap-1")
    sent = await store.outbound.submit(to_send(referral_for("ap-1")), NOW)
    taken = to_take(referral_for("ap-1", **back), request_id="came")
    await store.inbound.receive(taken, NOW)

    assert [("booking", ours.workflow_id)] == await links_of(store, sent.request_id)
    assert [("booking", theirs)] == await links_of(store, taken.request_id)


async def test_a_cancellation_that_is_refused_says_nothing_of_the_partner(
    store: Store,
) -> None:
    """Both stand."""
    await booked(store)
    await store.outbound.submit(to_send(referral_for("ap-1")), NOW)
    await settled(store)
    refused = await cancelling(store)
    await settled(store, OutboundState.REFUSED)

    assert [] == await remarks(store, refused.request_id)


async def test_what_is_not_known_here_is_sent_without_a_link(store: Store) -> None:
    """It may have been booked before this gateway was; the history says why there is no link."""
    sent = await store.outbound.submit(to_send(referral_for("ap-9")), NOW)
    found = await history(store, sent.request_id)
    (event,) = [each for each in found.events if each.kind == "link.not_made"]

    assert ([], ["L01"]) == (list(found.workflow.links), json.loads(event.detail)["rules"])


async def test_the_epr_decides_about_what_is_not_known_here(store: Store) -> None:
    """A booking for a referral that the EPR alone knows is asked about, and taken."""
    store.questions.attend("trust", NOW)
    bundle = json.loads(booking())
    focus(bundle)["basedOn"] = [{"reference": "ServiceRequest/sr-9"}]
    came = to_take(json.dumps(bundle).encode())
    asked = await store.questions.ask_about(came, None, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    decided = await store.questions.decide("trust", asked.question_id, decision(), NOW)

    assert decided is not None
    assert [] == await links_of(store, came.request_id)


async def test_an_id_in_capitals_is_the_one_that_was_given(store: Store) -> None:
    """A database that keeps UUIDs writes them so; another patient's record is no less theirs."""
    given = "6f1d0c52-0000-4000-8000-00000000000a"
    first = await booked(store, given)
    second = await store.outbound.submit(to_send(referral_for(given.upper())), NOW)

    assert [("booking", first.workflow_id)] == await links_of(store, second.request_id)


async def test_what_is_no_uuid_is_another_id_in_capitals(store: Store) -> None:
    """R4 tells ids apart by their letters, and a Receiver may count in them."""
    await booked(store, "ap-1")
    second = await store.outbound.submit(to_send(referral_for("AP-1")), NOW)

    assert [] == await links_of(store, second.request_id)


async def test_the_epr_is_not_asked_about_another_patients_record(store: Store) -> None:
    """Refused at once, with an alarm; the retry gets the same answer."""
    store.questions.attend("trust", NOW)
    await store.inbound.receive(to_take(referral(nhs_number="9990000026"), focus_id="sr-1"), NOW)
    bundle = json.loads(booking())
    focus(bundle)["basedOn"] = [{"reference": "ServiceRequest/sr-1"}]
    came = to_take(json.dumps(bundle).encode())
    fates = [await store.questions.ask_about(came, None, TERMS, NOW) for _ in range(2)]
    alarms = [alarm.kind for alarm in (await store.overview(NOW)).alarms]

    assert [409, 409] == [each.http_status for each in fates if isinstance(each, RefusedBefore)]
    assert ["link.refused"] == alarms


async def came_in(store: Store, body: bytes, **changes: object) -> int:
    taken = await store.inbound.receive(to_take(body, **changes), NOW)
    assert isinstance(taken, Received)
    return taken.workflow_id


async def test_an_onward_referral_has_its_parent(store: Store) -> None:
    """Of the same conversation, journey and patient; others of the conversation are not."""
    await came_in(store, with_journey(2, sender=RECEIVER, receiver=SENDER))
    parent = await came_in(store, with_journey(1, sender=RECEIVER, receiver=SENDER))
    child = await store.outbound.submit(to_send(with_journey(1, receiver=THIRD)), NOW)

    assert [("parent", parent)] == await links_of(store, child.request_id)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"correlation_id": "another"}, id="another-conversation"),
        pytest.param({"body": with_journey(1, nhs_number="9990000026")}, id="another-patient"),
        pytest.param({"body": with_journey(2)}, id="another-journey"),
        pytest.param({"sender": SENDER}, id="what-we-sent-ourselves"),
    ],
)
async def test_what_is_no_parent(store: Store, other: dict[str, object]) -> None:
    """Nothing is carried on of which conversation, patient and journey are not the same."""
    values = {"sender": RECEIVER, "receiver": SENDER} | other
    body = values.pop("body", with_journey(1))
    assert isinstance(body, bytes)
    await came_in(store, body, **values)
    child = await store.outbound.submit(to_send(with_journey(1, receiver=THIRD)), NOW)

    assert [] == await links_of(store, child.request_id)


async def test_of_two_parents_none_is_taken(store: Store) -> None:
    """The history says that more than one would fit."""
    for _ in range(2):
        await came_in(store, with_journey(1, sender=RECEIVER, receiver=SENDER))
    child = await store.outbound.submit(to_send(with_journey(1, receiver=THIRD)), NOW)
    events = (await history(store, child.request_id)).events

    assert [] == await links_of(store, child.request_id)
    assert ["L10"] == json.loads(events[-1].detail)["rules"]


async def test_a_long_conversation_is_not_read_through(store: Store) -> None:
    """Among more workflows than one conversation has there is nothing to choose."""
    for _ in range(8):
        await came_in(store, with_journey(2, sender=RECEIVER, receiver=SENDER))
    await came_in(store, with_journey(1, sender=RECEIVER, receiver=SENDER))
    child = await store.outbound.submit(to_send(with_journey(1, receiver=THIRD)), NOW)

    assert [] == await links_of(store, child.request_id)


async def test_a_replacement_may_wait_behind_the_cancellation(store: Store) -> None:
    """Both are submitted at once; the queue keeps their order."""
    old = await booked(store)
    await cancelling(store)
    new = await store.outbound.submit(to_send(booking()), NOW)

    assert [("replaced", old.workflow_id)] == await links_of(store, new.request_id)


async def test_a_second_try_takes_the_place_of_the_first(store: Store) -> None:
    """What came to nothing replaced nothing, and the page is quiet again."""
    old = await booked(store)
    await cancelling(store)
    await settled(store)
    failed = await store.outbound.submit(to_send(booking()), NOW)
    await settled(store, OutboundState.REFUSED)
    before = (await store.overview(NOW)).alarmed("workflow.unreplaced")
    again = await store.outbound.submit(to_send(booking()), NOW)

    assert [("replaced", old.workflow_id)] == await links_of(store, again.request_id)
    assert [("replaced", old.workflow_id)] == await links_of(store, failed.request_id)
    assert (1, 0) == (before, (await store.overview(NOW)).alarmed("workflow.unreplaced"))


async def test_a_third_booking_replaces_the_second_alone(store: Store) -> None:
    """A chain of rebookings: each takes the place of the one before."""
    await booked(store, "ap-1")
    await cancelling(store, "ap-1")
    await settled(store)
    second = await booked(store, "ap-2")
    await cancelling(store, "ap-2")
    await settled(store)
    third = await booked(store, "ap-3")

    assert [("replaced", second.workflow_id)] == await links_of(store, third.request_id)


async def remarks(store: Store, request_id: str) -> list[Remark]:
    notices = await store.notices.pending("trust", 50)
    (found,) = [
        each for each in notices if (each.request_id, each.kind) == (request_id, NoticeKind.OUTCOME)
    ]
    return list(found.remarks)


def schedule(
    _use_case: str, _move: Move, _request_type: RequestType, _needed_by: datetime | None
) -> Limits:
    return Limits(give_up_at=NOW + timedelta(hours=5), delayed_at=NOW + timedelta(minutes=5))


async def test_a_replacement_that_is_withdrawn_leaves_nothing(store: Store) -> None:
    """Whoever withdraws it is told what the patient has left."""
    await booked(store)
    await cancelling(store)
    await settled(store)
    new = await store.outbound.submit(to_send(booking()), NOW)
    await store.interventions.intervene(Verb.WITHDRAW, new.message_id, OPERATOR, schedule, NOW)

    assert [Remark.UNREPLACED] == await remarks(store, new.request_id)


async def test_a_replacement_that_never_left_leaves_nothing(store: Store) -> None:
    """Its time passed before it was tried."""
    await booked(store)
    await cancelling(store)
    await settled(store)
    new = await store.outbound.submit(to_send(booking()), NOW)
    await store.outbound.give_up(NOW + timedelta(hours=1))

    assert [Remark.UNREPLACED] == await remarks(store, new.request_id)


async def test_a_cancellation_that_ends_last_tells_it(store: Store) -> None:
    """At another Receiver the new request may be refused before the old one is cancelled."""
    await booked(store)
    old = await cancelling(store)
    await store.interventions.intervene(Verb.HOLD, old.message_id, OPERATOR, schedule, NOW)
    new = await store.outbound.submit(to_send(booking(receiver=THIRD)), NOW)
    await settled(store, OutboundState.REFUSED)
    before = (await store.overview(NOW)).alarmed("workflow.unreplaced")
    await store.interventions.intervene(Verb.RELEASE, old.message_id, OPERATOR, schedule, NOW)
    await settled(store)

    assert ([], 0) == (await remarks(store, new.request_id), before)
    assert [Remark.UNREPLACED] == await remarks(store, old.request_id)
    assert 1 == (await store.overview(NOW)).alarmed("workflow.unreplaced")


async def test_what_a_person_has_seen_is_no_concern_any_more(store: Store) -> None:
    """Somebody dealt with it, by telephone or otherwise."""
    await booked(store)
    await cancelling(store)
    await settled(store)
    failed = await store.outbound.submit(to_send(booking()), NOW)
    await settled(store, OutboundState.REFUSED)
    named = Chosen(request_ids=[failed.request_id])
    await store.alarms.handle("trust", named, OPERATOR, NOW, dry_run=False)

    assert 0 == (await store.overview(NOW)).alarmed("workflow.unreplaced")


async def test_an_unconfirmed_replacement_may_be_there(store: Store) -> None:
    """Nobody knows; the outcome says so itself, and nothing is said beyond that."""
    await booked(store)
    await cancelling(store)
    await settled(store)
    new = await store.outbound.submit(to_send(booking()), NOW)
    await settled(store, OutboundState.UNCONFIRMED)

    assert [] == await remarks(store, new.request_id)


async def test_what_others_book_anew_is_theirs(store: Store) -> None:
    """A conversation spans organisations: what one cancels, another does not replace."""
    first = await came_in(store, with_journey(1, sender=RECEIVER, receiver=SENDER), focus_id="sr-1")
    await _cancelled_there(store, "sr-1")
    await came_in(store, with_journey(2, sender=THIRD, receiver=SENDER))
    mine = to_take(with_journey(3, sender=RECEIVER, receiver=SENDER))
    await store.inbound.receive(mine, NOW)

    assert [("replaced", first)] == await links_of(store, mine.request_id)


async def _cancelled_there(store: Store, number: str) -> None:
    store.questions.attend("trust", NOW)
    came = arrival(move=Move.CANCEL, focus_id=number, sender=RECEIVER, use_case="a1t1")
    asked = await store.questions.ask_about(came, None, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    await store.questions.decide("trust", asked.question_id, decision(), NOW)


@pytest.mark.of_sqlite
@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param("DELETE FROM payloads WHERE message_id = 1", id="purged"),
        pytest.param("UPDATE payloads SET body = x'00', encoding = 'zstd'", id="no-zstd"),
        pytest.param("UPDATE payloads SET body = x'00', encoding = 'identity'", id="no-bundle"),
    ],
)
async def test_a_bundle_that_is_gone_does_not_stop_another(
    store: Store, database: SqliteDatabase, spoilt: str
) -> None:
    """Whose the booking is cannot be told: the referral is taken, and not linked."""
    await came_in(store, booking(), focus_id="ap-1")
    await database.write(lambda c: let_delete(c.raw))
    await database.write(lambda c: c.raw.execute(spoilt).rowcount)
    came = to_take(referral_for("ap-1"))
    await store.inbound.receive(came, NOW)
    found = await history(store, came.request_id)

    assert [] == list(found.workflow.links)
    assert ["L03"] == json.loads(found.events[-1].detail)["rules"]


@pytest.mark.of_sqlite
@pytest.mark.parametrize(
    ("name", "index"),
    [
        pytest.param("workflows_named", "workflows_focus", id="by-id"),
        pytest.param("workflows_to_carry_on", "workflows_talk", id="onward"),
        pytest.param("workflows_to_replace", "workflows_talk", id="replaced"),
        pytest.param("links_of", "links_back", id="of-a-workflow"),
    ],
)
async def test_links_are_found_by_an_index(database: SqliteDatabase, name: str, index: str) -> None:
    """However many workflows there are."""
    sql = statements_of(SQLITE)[name]
    values = dict.fromkeys(
        (
            "id",
            "provider",
            "focus_id",
            "role",
            "request_type",
            "request_types",
            "correlation_id",
            "since",
        )
    )

    def explain(connection: SqliteConnection) -> list[str]:
        plan = connection.raw.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        return [row["detail"] for row in plan]

    assert any(index in step for step in await database.read(explain))


@pytest.mark.of_sqlite
async def test_a_link_that_its_message_does_not_ask_for_is_a_contradiction(
    store: Store, database: SqliteDatabase
) -> None:
    """`verify` counts links, and names the request of one that cannot be."""
    first = await booked(store)
    await store.outbound.submit(to_send(referral_for("ap-1")), NOW)
    whole = examine(database.path)
    await database.write(
        lambda c: c.raw.execute("UPDATE links SET message_id = ?", [first.message_id]).rowcount
    )
    (problem,) = examine(database.path).problems

    assert ([], 1) == (list(whole.problems), whole.counts["links"])
    assert "1 messages link workflows" in problem
    assert first.request_id in problem


async def test_a_hold_tells_what_is_linked_to_it_and_holds_it_when_asked(store: Store) -> None:
    """Whichever of the two names the other; what is linked is held by a hold of its own."""
    first = await booked(store)
    second = await store.outbound.submit(to_send(referral_for("ap-1")), NOW)
    booking_alone = HeldThing(workflow_id=first.workflow_id)
    (alone,) = await store.record_holds.hold_record("trust", booking_alone, OPERATOR, NOW)
    both = HeldThing(workflow_id=second.workflow_id, with_linked=True)
    held = await store.record_holds.hold_record("trust", both, OPERATOR, NOW)

    assert [(second.workflow_id, "referral", False)] == [
        (each.workflow_id, each.request_type, each.is_held) for each in alone.linked
    ]
    assert {first.workflow_id, second.workflow_id} == {each.workflow_id for each in held}
    assert all(other.is_held for each in held for other in each.linked)
