"""An incident draft: found by whatever name somebody has, with its desk, and with no patient."""

from datetime import timedelta
from types import SimpleNamespace

import orjson
import pytest
from store_values import (
    ANSWER,
    NOW,
    SILENCE,
    THEIRS,
    arrival,
    attempt,
    claim_next,
    owed,
    refusal,
    submission,
)

from bars_gateway.cli.incident import _text
from bars_gateway.cli.output import _simple
from bars_gateway.demo.messages import FAMILY, GIVEN, NHS_NUMBER, referral
from bars_gateway.model.incidents import IncidentFacts, IncidentKind
from bars_gateway.model.interventions import Limits, Verb
from bars_gateway.model.messages import Accepted, Actor, Arrival, OutboundState, Settled, TryAgain
from bars_gateway.model.standing_alarms import Chosen
from bars_gateway.model.trail import Breach, BreachKind
from bars_gateway.safety.desks import DeskName
from bars_gateway.safety.incident import WITHHELD, IncidentDraft, drafted
from bars_gateway.standard.verdict import FaultSide, Verdict
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.chain import Walk
from bars_gateway.store.incidents import facts_of
from bars_gateway.store.store import Store

MINUTE = timedelta(minutes=1)
LATER = NOW + timedelta(hours=3)
WHO, WHY = "sam.surname (uid 1000)", f"rang about {GIVEN} {FAMILY}, {NHS_NUMBER}"
SAM = Actor(role="operator", who=WHO, why=WHY)
PLANTED = (NHS_NUMBER, FAMILY, GIVEN, "sam.surname")
SETTINGS = SimpleNamespace(
    environment="local",
    providers={"trust": SimpleNamespace(name="Northshire General Hospital", ods_code="ZX901")},
)


async def facts(
    store: Store, name: object, kind: IncidentKind = IncidentKind.MESSAGE
) -> IncidentFacts | None:
    return await store._database.read(lambda c: facts_of(c, None, kind, str(name), LATER))


async def draft(
    store: Store, name: object, kind: IncidentKind = IncidentKind.MESSAGE
) -> IncidentDraft:
    found = await facts(store, name, kind)
    assert found is not None
    return drafted(found)


def written(found: IncidentDraft) -> str:
    """Return all that leaves this machine of it: for people, and for programs."""
    text = "\n".join(_text(found, SETTINGS, LATER))  # type: ignore[arg-type]
    return text + orjson.dumps(found, default=_simple).decode()


async def failed(
    store: Store, state: OutboundState, fault: FaultSide, **changes: object
) -> Accepted:
    sent = await store.outbound.submit(submission(**changes), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    tried = attempt(
        claim, Verdict.RETRY, fault=fault, http_status=500, code=f"{fault}_SERVER_ERROR"
    )
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=Settled(state=state))
    return sent


def answer_to_nothing(**changes: object) -> Arrival:
    values: dict[str, object] = {
        "move": Move.CONCLUDE,
        "request_type": RequestType.VALIDATION,
        "use_case": "a4t1",
        "reference": None,
        "responds_to": "00000000-0000-4000-8000-000000000404",
    }
    return arrival(**(values | changes))


@pytest.mark.parametrize(
    ("fault", "desks"),
    [
        (FaultSide.SEND, [DeskName.EPR, DeskName.MAKER]),
        (FaultSide.PROXY, [DeskName.NATIONAL, DeskName.BARS]),
        (FaultSide.REC, [DeskName.COUNTERPARTY, DeskName.BARS]),
        (FaultSide.HERE, [DeskName.NETWORK, DeskName.BARS]),
    ],
)
async def test_a_message_goes_to_the_desk_of_its_fault(
    store: Store, fault: FaultSide, desks: list[DeskName]
) -> None:
    """As the last attempt that failed has it; and to our own safety officer before all others."""
    sent = await failed(store, OutboundState.UNCONFIRMED, fault)
    found = await draft(store, sent.request_id)

    assert fault is found.fault
    assert [DeskName.SAFETY_OFFICER, *desks] == list(found.desks)


async def test_what_arrived_after_all_still_names_what_went_wrong(store: Store) -> None:
    """A message that was late is asked about, too: what kept it is told, not that it came."""
    sent = await store.outbound.submit(submission(), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    tried = attempt(claim, Verdict.RETRY, fault=FaultSide.PROXY)
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=TryAgain(at=NOW + MINUTE))
    claim = await claim_next(store, NOW + MINUTE, ["trust"])
    assert claim is not None
    fate = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=fate)
    found = await draft(store, sent.request_id)

    assert (FaultSide.PROXY, "acknowledged") == (found.fault, found.involved[0].state)


async def test_it_has_the_ids_the_times_and_what_the_epr_was_told(store: Store) -> None:
    """A desk that is told finds the message in its own system by them."""
    sent = await failed(store, OutboundState.UNCONFIRMED, FaultSide.REC)
    text = written(await draft(store, sent.request_id))

    told = ("may have arrived", "ZX901", THEIRS, "REC_SERVER_ERROR", "2026-", "notice 1 (outcome)")
    assert [] == [
        each for each in (sent.request_id, sent.correlation_id, *told) if each not in text
    ]


async def test_it_has_what_people_did_and_not_who_or_why(store: Store) -> None:
    """What somebody typed may name the patient, and who it was concerns nobody outside."""
    sent = await store.outbound.submit(submission(), NOW)

    def schedule(*_: object) -> Limits:
        return Limits(give_up_at=LATER, delayed_at=LATER)

    await store.interventions.intervene(Verb.HOLD, sent.message_id, SAM, schedule, NOW)
    text = written(await draft(store, sent.request_id))

    assert "operator: Held." in text
    assert [] == [each for each in PLANTED if each in text]


async def test_what_was_refused_before_it_was_a_message_is_found(store: Store) -> None:
    """By its X-Request-Id, with the rules that it broke: they are the Sender's to mend."""
    came = arrival()
    await store.inbound.refuse(refusal(came), NOW)
    found = await draft(store, came.request_id)

    assert ([], FaultSide.SEND) == (found.involved, found.fault)
    assert [DeskName.SAFETY_OFFICER, DeskName.COUNTERPARTY] == list(found.desks)
    assert "rules B07; http_status 400" in written(found)


async def test_a_quarantined_response_is_found_by_its_number(store: Store) -> None:
    """It is the other side's to say whose patient it is about."""
    came = answer_to_nothing()
    await store.responses.respond(came, refusal(came, 404).answer, NOW)
    found = await draft(store, 1, IncidentKind.QUARANTINE)

    assert found.quarantined is not None
    assert (came.request_id, FaultSide.SEND) == (found.quarantined.request_id, found.fault)
    assert found.beside


async def test_an_alarm_is_found_by_its_number_though_it_has_ended(store: Store) -> None:
    """Whoever has handled it writes afterwards."""
    sent = await failed(store, OutboundState.UNCONFIRMED, FaultSide.PROXY)
    await store.alarms.handle("trust", Chosen(numbers=[1]), SAM, LATER, dry_run=False)
    found = await draft(store, 1, IncidentKind.ALARM)
    text = written(found)

    assert found.alarm is not None
    assert ("message.unconfirmed", "handled") == (found.alarm.kind, found.alarm.ended_how)
    assert (sent.request_id, FaultSide.PROXY) == (found.involved[0].request_id, found.fault)
    assert "An alarm was marked as handled." in text
    assert [] == [each for each in PLANTED if each in text]


async def test_an_alarm_sends_to_whom_it_says_to_look_at(store: Store) -> None:
    """An answer that they owe is theirs, though each attempt of ours went well."""
    due = {"request_type": RequestType.VALIDATION, "use_case": "a4t1", "owed": owed(NOW + MINUTE)}
    await store.outbound.submit(submission(**due), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    fate = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="sr-1")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=fate)
    await store.conversations.tell_due(LATER)
    found = await draft(store, 1, IncidentKind.ALARM)

    assert (FaultSide.REC, "workflow.overdue") == (found.fault, found.alarm and found.alarm.kind)
    assert DeskName.COUNTERPARTY == found.desks[1]


async def test_a_workflow_is_told_as_a_whole(store: Store) -> None:
    """Its messages in both directions, and what happened with each, in one order."""
    sent = await failed(store, OutboundState.UNCONFIRMED, FaultSide.PROXY)
    found = await draft(store, sent.workflow_id, IncidentKind.WORKFLOW)

    assert [sent.request_id] == [each.request_id for each in found.involved]


@pytest.mark.parametrize("kind", IncidentKind)
@pytest.mark.parametrize("name", ["7", "0", "-1", "9" * 40, "no such thing", ""])
async def test_what_is_not_there_is_nothing(store: Store, kind: IncidentKind, name: str) -> None:
    """Whatever somebody types."""
    assert await facts(store, name, kind) is None


async def test_an_alarm_about_the_gateway_itself_is_about_no_message(store: Store) -> None:
    """It says so, and whose gateway it is, where nothing came that could have been refused."""
    breach = Breach(kind=BreachKind.CHANGED, line=5)
    await store.chain.note_walk(Walk(breaches=[breach]), NOW)
    (alarm,) = await store.alarms.standing(None, 10)
    told = written(await draft(store, alarm.number, IncidentKind.ALARM))

    assert "It is about the gateway itself, and about no message of its own." in told
    assert "Our organisation: Northshire General Hospital (ZX901)" in told
    assert "refused before" not in told
    assert "is not a message here" not in told


async def test_what_an_organisation_sent_to_itself_names_both_messages(store: Store) -> None:
    """Under one X-Request-Id: what happened to which of them, that does not say."""
    sent = await store.outbound.submit(submission(), NOW)
    await store.inbound.receive(arrival(request_id=sent.request_id), NOW)
    told = written(await draft(store, sent.request_id))

    assert "message 1 and 2, our EPR: Taken from the EPR" in told


async def test_nothing_of_a_patient_is_in_it_wherever_it_was_planted(store: Store) -> None:
    """In the message, in an id, in a code of the Receiver's, in reasons and names of people."""
    sent = await store.outbound.submit(
        submission(body=referral(receiver=THEIRS), bundle_id=NHS_NUMBER), NOW
    )
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    tried = attempt(claim, Verdict.REFUSED, fault=FaultSide.REC, code=f"REC_{FAMILY}")
    fate = Settled(state=OutboundState.REFUSED)
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=fate)
    await store.alarms.handle("trust", Chosen(numbers=[1]), SAM, LATER, dry_run=False)
    came = answer_to_nothing(bundle_id=NHS_NUMBER, responds_to=f"{FAMILY}-{NHS_NUMBER}")
    await store.responses.respond(came, refusal(came, 404).answer, NOW)
    texts = [
        written(await draft(store, name, kind))
        for kind, name in (
            (IncidentKind.MESSAGE, sent.request_id),
            (IncidentKind.WORKFLOW, sent.workflow_id),
            (IncidentKind.ALARM, 1),
            (IncidentKind.ALARM, 2),
            (IncidentKind.QUARANTINE, 1),
        )
    ]

    assert WITHHELD in texts[0]
    assert [] == [(each, text) for text in texts for each in PLANTED if each in text]
