"""Whose request a change is about, where the Receiver's id that it names is another patient's."""

import json
import re
from collections.abc import Awaitable, Callable

import pytest
from messages import NHS_NUMBER, referral
from store_values import ANSWER, NOW, OURS, arrival, attempt, claim_next, payload, submission

from bars_gateway.model.messages import (
    Accepted,
    Actor,
    BundleReused,
    Change,
    Fate,
    OutboundState,
    Received,
    Settled,
)
from bars_gateway.model.standing_alarms import Chosen
from bars_gateway.standard.bundle import read
from bars_gateway.standard.consistency import case_details_of
from bars_gateway.standard.guards import BUNDLE_ID_TAKEN, MoveRefused
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences import NOTHING_TO_DO, means
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.store import Store

ONE, OTHER, THIRD = NHS_NUMBER, "9990000026", "9434765919"
SHARED = "sr-1"
OPERATOR = Actor(role="operator", who="jo (uid 1000)", why="INC-7")
SECOND = "second"  # another provider of the same gateway


def about(number: str) -> bytes:
    """Return a Bundle about that patient."""
    return referral(nhs_number=number, family=f"F{number}", bundle_id="b")


def nameless() -> bytes:
    """Return one that says nothing of its patient."""
    bundle = json.loads(about(ONE))
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Patient":
            for key in ("identifier", "name", "birthDate"):
                entry["resource"].pop(key, None)
    return json.dumps(bundle).encode()


async def asked(
    store: Store, number: str, focus_id: str | None = SHARED, **changes: object
) -> Accepted:
    """Send a request, and have it acknowledged with that id."""
    body = about(number) + b" " * len(await store.messages.queue("trust", 99))
    receipt = await store.outbound.submit(submission(body=body, **changes), NOW)
    claim = await claim_next(store, NOW, {"trust", SECOND})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=focus_id)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    return receipt


async def changed(
    store: Store, body: bytes, *, move: Move = Move.CANCEL, **changes: object
) -> Accepted:
    """Submit what names the shared id, with that patient."""
    said = {"case_details": case_details_of(read(body)), "use_case": "a3t1", "focus_id": SHARED}
    handed_in = submission(move=move, body=body + b"  ", **(said | changes))
    return await store.outbound.submit(handed_in, NOW)


async def refused(store: Store, body: bytes, **changes: object) -> str:
    """Return why it is refused."""
    with pytest.raises(MoveRefused) as caught:
        await changed(store, body, **changes)
    (issue,) = caught.value.issues
    assert issue.rule == "G14"
    return issue.text


@pytest.mark.parametrize("move", [Move.CANCEL, Move.UPDATE])
@pytest.mark.parametrize("patient_changed", [False, True])
async def test_it_is_of_the_one_whose_claim_was_refused(
    store: Store,
    move: Move,
    *,
    patient_changed: bool,
) -> None:
    """Whatever the EPR says of a changed patient: that one never had this id."""
    first, second = await asked(store, ONE), await asked(store, OTHER)
    receipts = [
        await changed(store, about(number), move=move, patient_changed=patient_changed)
        for number in (OTHER, ONE)
    ]

    assert [second.workflow_id, first.workflow_id] == [each.workflow_id for each in receipts]


async def test_it_is_of_one_without_an_id(store: Store) -> None:
    """The answer came without: so it may be this one."""
    await asked(store, ONE)
    second = await asked(store, OTHER, None)

    assert second.workflow_id == (await changed(store, about(OTHER))).workflow_id


async def test_it_is_in_the_conversation_of_its_own_request(store: Store) -> None:
    """The header that it is sent with is not that of the other patient's."""
    await asked(store, ONE)
    second = await asked(store, OTHER)
    change = Change(
        provider="trust",
        receiver=second.receiver,
        request_type=RequestType.REFERRAL,
        focus_id=SHARED,
        said=case_details_of(read(about(OTHER))),
    )

    assert second.correlation_id == await store.outbound.correlation_of(
        "trust", SHARED, change=change
    )


@pytest.mark.parametrize("patient_changed", [False, True])
async def test_where_several_fit_it_is_refused(store: Store, *, patient_changed: bool) -> None:
    """Nobody can say which; the workflows are named, and what to do."""
    first = await asked(store, ONE)
    others = [await asked(store, OTHER, named) for named in (SHARED, None)]
    text = await refused(store, about(OTHER), patient_changed=patient_changed)

    assert f"workflows {others[1].workflow_id}, {others[0].workflow_id}" in text
    assert "telephone" in text
    assert f"{first.workflow_id}," not in text


async def test_where_none_fits_the_guard_refuses(store: Store) -> None:
    """As ever: and who knows that the patient changed overrules it."""
    first = await asked(store, ONE)
    await asked(store, OTHER)
    text = await refused(store, about(THIRD))
    receipt = await changed(store, about(THIRD), patient_changed=True)

    assert "submit it again with patient_changed" in text
    assert first.workflow_id == receipt.workflow_id


async def test_who_has_a_request_of_their_own_there_has_not_changed(store: Store) -> None:
    """It has another id: so the message names the wrong record, not the wrong patient."""
    await asked(store, ONE)
    second = await asked(store, OTHER, "sr-2")
    text = await refused(store, about(OTHER), patient_changed=True)

    assert f"workflow {second.workflow_id}." in text
    assert "patient_changed does not help" in text
    assert OTHER not in text


async def test_what_the_receiver_calls_otherwise_is_not_meant(store: Store) -> None:
    """A refused claim of another id shows what the Receiver calls it."""
    await asked(store, ONE)
    await asked(store, THIRD, "sr-2")
    second = await asked(store, OTHER, "sr-2")
    text = await refused(store, about(OTHER), patient_changed=True)

    assert f"workflow {second.workflow_id}." in text


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"receiver": OURS}, id="another-receiver"),
        pytest.param(
            {"request_type": RequestType.VALIDATION, "use_case": "a4t1"}, id="another-request-type"
        ),
    ],
)
async def test_a_request_elsewhere_is_not_meant(store: Store, elsewhere: dict[str, object]) -> None:
    """An id is its Receiver's own, of one kind of record."""
    await asked(store, ONE)
    await asked(store, OTHER, None, **elsewhere)

    assert "began with another patient" in await refused(store, about(OTHER))


async def test_what_is_over_is_not_meant(store: Store) -> None:
    """It was cancelled, and cannot be once more."""
    await asked(store, ONE)
    await asked(store, OTHER)
    await changed(store, about(OTHER))
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)

    assert "began with another patient" in await refused(store, about(OTHER) + b" ")


async def test_a_contested_id_needs_a_patient(store: Store) -> None:
    """Too little to compare is enough where one has the id, and never where two were given it."""
    first = await asked(store, ONE)
    alone = await changed(store, nameless(), move=Move.UPDATE)
    await claim_next(store, NOW, {"trust"})
    second = await asked(store, OTHER)
    text = await refused(store, nameless() + b" ")

    assert first.workflow_id == alone.workflow_id
    assert f"workflows {first.workflow_id}, {second.workflow_id}" in text


async def test_both_are_contested_where_both_were_given_the_id(store: Store) -> None:
    """With the read: only a record that names our patient lets either go."""
    await asked(store, ONE)
    await asked(store, OTHER)
    receipts = [await changed(store, about(number), read_first=True) for number in (ONE, OTHER)]

    assert [True, True] == [
        await store.cancellations.is_contested(each.message_id, SHARED) for each in receipts
    ]


# A number that nobody here was told: somebody has asked the Receiver by telephone.


@pytest.mark.parametrize("move", [Move.CANCEL, Move.UPDATE])
async def test_it_is_of_the_request_whose_number_is_unknown(store: Store, move: Move) -> None:
    """A workflow of its own would be cancelled, and the one that is meant owed an answer."""
    await asked(store, OTHER, None)
    meant = await asked(store, ONE, None)
    receipt = await changed(store, about(ONE), move=move)

    assert (meant.workflow_id, ()) == (receipt.workflow_id, tuple(receipt.warnings))


async def test_it_goes_out_in_the_conversation_of_that_request(store: Store) -> None:
    """The Receiver finds both under one X-Correlation-Id."""
    meant = await asked(store, ONE, None)
    change = Change(
        provider="trust",
        receiver=meant.receiver,
        request_type=RequestType.REFERRAL,
        focus_id=SHARED,
        said=case_details_of(read(about(ONE))),
    )

    assert meant.correlation_id == await store.outbound.correlation_of(
        "trust", SHARED, change=change
    )


def of_case(number: str, case: str) -> bytes:
    """Return a Bundle about that patient, whose Encounters have that case number."""
    bundle = json.loads(about(number))
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Encounter":
            entry["resource"]["identifier"] = [{"system": "urn:case", "value": case}]
    return json.dumps(bundle).encode()


def without_id(store: Store) -> Awaitable[Accepted]:
    return asked(store, ONE, None)


def with_another_id(store: Store) -> Awaitable[Accepted]:
    return asked(store, ONE, "sr-2")


async def twice(store: Store) -> Accepted:
    await asked(store, ONE, None)
    return await asked(store, ONE, None)


async def not_heard_of(store: Store) -> Accepted:
    return await store.outbound.submit(submission(body=about(ONE)), NOW)


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        pytest.param(without_id, of_case(ONE, "another"), id="another-case"),
        pytest.param(with_another_id, about(ONE), id="it-has-another-id"),
        pytest.param(twice, about(ONE), id="two-of-them"),
        pytest.param(not_heard_of, about(ONE), id="no-answer-yet"),
    ],
)
async def test_where_that_is_not_clear_the_receipt_says_what_stays_open(
    store: Store, begin: Callable[[Store], Awaitable[Accepted]], said: bytes
) -> None:
    """Else the EPR reads that there is nothing to do, and an answer is still owed."""
    began = await begin(store)
    receipt = await changed(store, said)
    (warning,) = receipt.warnings

    assert receipt.workflow_id > began.workflow_id
    assert ("L12", "MessageHeader.focus") == (warning.rule, warning.path)
    assert f"workflow {began.workflow_id} (there: " in warning.problem


async def settled(store: Store, state: OutboundState) -> None:
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    fate = Settled(state=state)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=fate)


@pytest.mark.parametrize("move", [Move.CANCEL, Move.UPDATE])
async def test_whose_receipt_warned_is_not_told_that_there_is_nothing_to_do(
    store: Store, move: Move
) -> None:
    """It was received there, and what was asked for here stays open: nothing else is said of it."""
    await without_id(store)
    receipt = await changed(store, of_case(ONE, "another"), move=move)
    await settled(store, OutboundState.ACKNOWLEDGED)
    (told,) = [
        n for n in await store.notices.pending("trust", 99) if n.message_id == receipt.message_id
    ]
    (found,) = await store.messages.history("trust", receipt.request_id)
    text = means(told.situation)

    assert [Remark.NO_RECORD] == list(told.remarks)
    assert "has been received there. No request here is known by the number in it" in text
    assert "stays as it was. Telephone if one of these was meant" in text
    assert not re.search(r"\bis cancelled|\bno answer will come|yours again", text)
    assert NOTHING_TO_DO not in text
    assert text == means(found.message.seen_at(NOW))


@pytest.mark.parametrize("state", [OutboundState.ACKNOWLEDGED, OutboundState.REFUSED])
@pytest.mark.parametrize("move", [Move.CANCEL, Move.UPDATE])
async def test_what_named_it_before_makes_no_record_of_that_number(
    store: Store, move: Move, state: OutboundState
) -> None:
    """A second try with the wrong number is warned of and told as the first was."""
    began = await without_id(store)
    first = await changed(store, of_case(ONE, "another"), move=Move.UPDATE)
    await settled(store, state)
    second = await changed(store, of_case(ONE, "another"), move=move, bundle_id="b-3")
    await settled(store, OutboundState.ACKNOWLEDGED)
    told = {n.message_id: n for n in await store.notices.pending("trust", 99)}

    assert first.workflow_id == second.workflow_id != began.workflow_id
    assert ["L12"] == [each.rule for each in second.warnings]
    assert [Remark.NO_RECORD] == list(told[second.message_id].remarks)
    assert not re.search(r"\bis cancelled|yours again", means(told[second.message_id].situation))
    assert second.request_id in {alarm.request_id for alarm in (await store.overview(NOW)).alarms}


async def test_whoever_looks_at_it_reads_nothing_of_a_request_that_ended(store: Store) -> None:
    """A later cancellation by the same number ends what only that number stands for here."""
    await without_id(store)
    first = await changed(store, of_case(ONE, "another"), move=Move.UPDATE)
    await settled(store, OutboundState.ACKNOWLEDGED)
    await changed(store, of_case(ONE, "another"), bundle_id="b-3")
    await settled(store, OutboundState.ACKNOWLEDGED)
    (found,) = await store.messages.history("trust", first.request_id)

    assert "has been received there. No request here" in means(found.message.seen_at(NOW))
    assert "is cancelled" not in means(found.message.seen_at(NOW))


async def test_somebody_is_called_to_it_until_it_is_marked_as_handled(store: Store) -> None:
    """Whoever reads the page telephones, too, and reads there what the EPR was told."""
    await without_id(store)
    receipt = await changed(store, of_case(ONE, "another"))
    await settled(store, OutboundState.ACKNOWLEDGED)
    (alarm,) = (await store.overview(NOW)).alarms
    chosen = Chosen(numbers=[alarm.number])
    await store.alarms.handle("trust", chosen, OPERATOR, NOW, dry_run=False)

    assert ("message.no_record", receipt.request_id) == (alarm.kind, alarm.request_id)
    assert "No request here is known by the number in it" in str(alarm.told)
    assert [] == (await store.overview(NOW)).alarms


@pytest.mark.parametrize("state", [OutboundState.REFUSED, OutboundState.UNCONFIRMED])
async def test_what_they_do_not_have_calls_nobody_to_that(
    store: Store, state: OutboundState
) -> None:
    """What became of it is told as ever."""
    await without_id(store)
    await changed(store, of_case(ONE, "another"))
    await settled(store, state)

    assert "message.no_record" not in {a.kind for a in (await store.overview(NOW)).alarms}


@pytest.mark.parametrize("number", [OTHER, THIRD])
async def test_of_another_patients_requests_nothing_is_said(store: Store, number: str) -> None:
    """What this patient had there began before the gateway did."""
    await asked(store, ONE, None)
    receipt = await changed(store, about(number))

    assert () == tuple(receipt.warnings)


# The number is the Receiver's, whichever provider it was told to.


async def test_a_number_of_another_providers_patient_is_not_taken(store: Store) -> None:
    """A cancellation by it would end that patient's referral; the alarm names nobody's workflow."""
    await asked(store, ONE)
    second = await asked(store, OTHER, provider=SECOND)
    (outcome,) = await store.notices.pending(SECOND, 9)
    (history,) = await store.messages.history(SECOND, second.request_id)

    assert ([Remark.SHARED_ID], None) == (outcome.remarks, outcome.focus_id)
    assert [SHARED] == [each.focus_id for each in await store.notices.pending("trust", 9)]
    assert [{"workflows": []}] == [
        json.loads(each.detail) for each in history.events if each.kind == "message.shared_id"
    ]


async def test_one_patient_may_have_one_number_with_two_providers(store: Store) -> None:
    """Both hold it; and neither is shown the other's workflow."""
    receipts = {
        provider: await asked(store, ONE, provider=provider) for provider in ("trust", SECOND)
    }
    for provider, receipt in receipts.items():
        (history,) = await store.messages.history(provider, receipt.request_id)
        (outcome,) = await store.notices.pending(provider, 9)

        assert (SHARED, []) == (outcome.focus_id, list(history.workflow.links))


async def test_it_is_of_the_claim_where_another_provider_holds_it(store: Store) -> None:
    """What its EPR writes by that number is about its own patient: no workflow is made up."""
    await asked(store, ONE)
    second = await asked(store, OTHER, provider=SECOND)
    cancel = await changed(store, about(OTHER), provider=SECOND)

    assert second.workflow_id == cancel.workflow_id


@pytest.mark.parametrize("holder", ["trust", SECOND])
async def test_what_another_providers_patient_is_called_is_contested(
    store: Store, holder: str
) -> None:
    """Whoever cancels by it: it goes out once a read has shown the patient."""
    for provider, number in (("trust", ONE), (SECOND, OTHER)):
        await asked(store, number, provider=provider)
    number = ONE if holder == "trust" else OTHER
    cancel = await changed(store, about(number), provider=holder)

    assert await store.cancellations.is_contested(cancel.message_id, SHARED)


async def test_one_bundle_id_is_of_one_patient_at_every_door(store: Store) -> None:
    """Two providers may send one case on; ids must tell two patients apart."""
    await asked(store, ONE, None, bundle_id="one")
    again, other = [
        submission(body=about(number) + b"    ", provider=SECOND, bundle_id="one")
        for number in (ONE, OTHER)
    ]
    with pytest.raises(MoveRefused) as refused:
        await store.outbound.submit(other, NOW)

    assert (BUNDLE_ID_TAKEN,) == refused.value.issues
    assert again.request_id == (await store.outbound.submit(again, NOW)).request_id


@pytest.mark.parametrize(("number", "fate"), [(ONE, Received), (OTHER, BundleReused)])
async def test_one_bundle_id_is_of_one_patient_on_receipt(
    store: Store, number: str, fate: type[Fate]
) -> None:
    """Whichever provider it is sent to; a copy to another service is none."""
    came = [
        arrival(provider=provider, bundle_id="one", request=payload(about(whose)), sender=OURS)
        for provider, whose in (("trust", ONE), (SECOND, number))
    ]
    _, second = [await store.inbound.receive(each, NOW) for each in came]

    assert isinstance(second, fate)


async def test_a_change_may_name_its_record_in_capitals(store: Store) -> None:
    """A database that keeps UUIDs writes them so: it is that record, and that conversation."""
    given = "6f1d0c52-0000-4000-8000-00000000000a"
    sent = await asked(store, ONE, given)
    named = Change(
        provider="trust",
        receiver=sent.receiver,
        request_type=RequestType.REFERRAL,
        focus_id=given.upper(),
        said=case_details_of(read(about(ONE))),
    )
    talk = await store.outbound.correlation_of("trust", given.upper(), change=named)
    receipt = await changed(store, about(ONE), focus_id=given.upper())

    assert (sent.correlation_id, sent.workflow_id) == (talk, receipt.workflow_id)


async def test_another_patients_record_in_capitals_is_no_less_theirs(store: Store) -> None:
    """Whose it is is looked at as of an id in its own letters."""
    given = "6f1d0c52-0000-4000-8000-00000000000a"
    await asked(store, ONE, given)
    second = await asked(store, OTHER, given)
    receipt = await changed(store, about(OTHER), focus_id=given.upper())

    assert second.workflow_id == receipt.workflow_id
