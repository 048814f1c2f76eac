"""A request that an EPR writes anew under its Bundle.id: whether it is one with the first."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from store_values import (
    ANSWER,
    NOW,
    OURS,
    arrival,
    attempt,
    claim_next,
    payload,
    submission,
    wording,
)

from bars_gateway.demo import messages
from bars_gateway.model.messages import Accepted, OutboundState, Settled
from bars_gateway.standard.bundle import from_json
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.verdict import ProxyAnswer, Verdict
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.store import Store

THEIRS, ELSEWHERE = messages.RECEIVER, "https://fhir.nhs.uk/Id/dos-service-id|2000000999"
ID = "0b9fd5f1-4f62-4ae7-a8a6-6c3f6a3c2b11"
Bundle = dict[str, Any]


def later(bundle: Bundle) -> None:
    """As an EPR writes it that makes the same message once more, a minute later."""
    bundle["timestamp"] = bundle["meta"]["lastUpdated"] = "2026-03-02T09:01:00.0000000+00:00"
    bundle["entry"][0]["resource"]["id"] = "another"


def nothing(_bundle: Bundle) -> None:
    """Only the white space is another."""


def worse(bundle: Bundle) -> None:
    described(bundle, "Invented: worse than before.")


def better(bundle: Bundle) -> None:
    described(bundle, "Invented: better than before.")


def described(bundle: Bundle, how: str) -> None:
    plan = next(
        e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "CarePlan"
    )
    plan["description"] = how


async def submitted(
    store: Store, change: Callable[[Bundle], None] | None = None, **changes: object
) -> Accepted:
    """Submit the referral; *change*: written anew, with that changed."""
    body = REFERRAL
    if change is not None:
        bundle = json.loads(body)
        change(bundle)
        body = json.dumps(bundle, indent=3).encode()
    values = {"body": body, "bundle_id": ID, "sender": OURS, "receiver": THEIRS}
    return await store.outbound.submit(submission(**(values | changes)), NOW + timedelta(minutes=1))


REFERRAL = messages.referral(bundle_id=ID, sender=OURS)


@pytest.mark.parametrize("change", [nothing, later])
async def test_what_says_the_same_is_one_message(
    store: Store, change: Callable[[Bundle], None]
) -> None:
    """An EPR that got no receipt writes its JSON anew: the patient is referred once."""
    first = await submitted(store)
    second = await submitted(store, change)

    assert first == second
    assert 1 == (await store.overview(NOW)).outbound[OutboundState.QUEUED]


async def test_xml_says_the_same_as_json(store: Store) -> None:
    """The format is no part of what is said."""
    first = await submitted(store)
    xml = to_bytes(from_json(REFERRAL), Format.XML)
    second = await submitted(
        store, body=xml, request=replace(payload(xml), media_type="application/fhir+xml")
    )

    assert first == second


@pytest.mark.parametrize("move", [Move.UPDATE, Move.CANCEL, Move.CONCLUDE])
async def test_whatever_move_is_written_anew_is_one_message(store: Store, move: Move) -> None:
    """A second cancellation would be refused, and a second last word be compared with the first."""
    first = await submitted(store, move=move, responds_to=None)
    second = await submitted(store, nothing, move=move, responds_to=None)

    assert first == second


async def test_a_response_written_anew_is_one_message_however_it_was_heard(store: Store) -> None:
    """By itself it may be unclear; it is kept as what it means beside its request."""
    about = {"request_type": RequestType.REFERRAL, "use_case": "a6t2"}
    await store.inbound.receive(arrival(bundle_id="b1", **about), NOW)
    says = {"move": Move.UNCLEAR, "responds_to": "b1", "wording": wording("finished"), **about}
    first = await submitted(store, **says)
    second = await submitted(store, nothing, **says)

    assert first == second


async def test_an_update_may_say_again_what_holds_again(store: Store) -> None:
    """Better, worse, better, each under the Bundle.id of its request: three messages."""
    first = await submitted(store, move=Move.UPDATE)
    second = await submitted(store, later, move=Move.UPDATE)

    assert first.message_id != second.message_id


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        pytest.param(worse, {}, id="another-content"),
        pytest.param(nothing, {"bundle_id": "another"}, id="another-bundle-id"),
        pytest.param(nothing, {"receiver": ELSEWHERE}, id="another-receiver"),
        pytest.param(nothing, {"provider": "second"}, id="another-provider"),
    ],
)
async def test_what_says_something_else_is_a_message_of_its_own(
    store: Store, change: Callable[[Bundle], None], changes: dict[str, object]
) -> None:
    """What nobody has sent yet is never called sent."""
    first = await submitted(store)
    second = await submitted(store, change, **changes)

    assert first.message_id != second.message_id


async def test_another_content_under_its_id_is_warned_of(store: Store) -> None:
    """Receivers refuse it, or take it for the first, and then nobody has read what is new."""
    first = await submitted(store)
    second = await submitted(store, worse)

    assert ["B05"] == [each.rule for each in second.warnings]
    assert first.request_id in second.warnings[0].problem


async def test_elsewhere_nothing_is_warned_of(store: Store) -> None:
    """One case may be sent to two services."""
    await submitted(store)

    assert () == (await submitted(store, worse, receiver=ELSEWHERE)).warnings


async def ends(store: Store, answer: ProxyAnswer, verdict: Verdict, state: OutboundState) -> None:
    """Let what is sent next end so."""
    claim = await claim_next(store, NOW + timedelta(minutes=2), ("trust",))
    assert claim is not None
    settled = Settled(state=state)
    told = attempt(claim, verdict)
    await store.outbound.settle(claim, answer, attempt=told, settlement=settled)


REFUSED = ProxyAnswer(status=422, code="REC_UNPROCESSABLE_ENTITY")


async def test_what_was_refused_may_be_corrected_under_its_id(store: Store) -> None:
    """That Receiver has nothing of it."""
    await submitted(store)
    await ends(store, REFUSED, Verdict.REFUSED, OutboundState.REFUSED)

    assert () == (await submitted(store, worse)).warnings


async def test_what_is_there_is_warned_of_though_another_was_refused_since(store: Store) -> None:
    """As one is that has the Bundle.id of another: the next may be taken for the first."""
    first = await submitted(store)
    await ends(store, ANSWER, Verdict.ACKNOWLEDGED, OutboundState.ACKNOWLEDGED)
    await submitted(store, worse)
    await ends(store, REFUSED, Verdict.REFUSED, OutboundState.REFUSED)
    third = await submitted(store, better)

    assert ["B05"] == [each.rule for each in third.warnings if "another message" in each.problem]
    assert first.request_id in third.warnings[0].problem
