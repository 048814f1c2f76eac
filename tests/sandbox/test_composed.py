"""What the counterparty writes is what a strict gateway would let out, for every use case."""

import uuid
from datetime import UTC, datetime

import pytest

from bars_gateway.demo.messages import no_show, response
from bars_gateway.sandbox.counterparty.correspondence import (
    BOOKED,
    ONLY_BOOKED,
    cancellation,
    request,
    update,
)
from bars_gateway.sandbox.counterparty.services import PLANS, SERVICES, own_service
from bars_gateway.standard import bundle
from bars_gateway.standard.answers import Minted, acknowledge
from bars_gateway.standard.applications import USE_CASE_NAMES, Offer, is_withdrawn
from bars_gateway.standard.examination import Examined, examine
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.headers import normalised
from bars_gateway.standard.rule import Side
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import Move

THERE = "https://fhir.nhs.uk/Id/dos-service-id|2000000202"
OFFER = Offer(
    services=frozenset(normalised(each.identifier) for each in SERVICES.values()),
    applications=dict.fromkeys((f"a{number}" for number in range(1, 9)), ()),
)
KINDS = [
    pytest.param(case, books, id=f"{case}-{'booking' if books else 'request'}")
    for case in USE_CASE_NAMES
    for books in (False, True)
    if not books or application_of(case) in BOOKED - ONLY_BOOKED
]


def new_id() -> str:
    return str(uuid.uuid4())


def examined(body: bytes) -> Examined:
    return examine(body, Format.JSON, Side.SENDING, OFFER)


def ours(case: str, books: object = None) -> bytes:
    """Return a request of the counterparty's."""
    own = own_service(application_of(case)).identifier
    return request(case, sender=own, receiver=THERE, books=bool(books))


def theirs(case: str) -> bytes:
    """Return a request to the counterparty."""
    own = own_service(application_of(case)).identifier
    return request(case, sender=THERE, receiver=own)


def acknowledged(body: bytes) -> bytes:
    minted = Minted(
        focus_id=new_id(),
        encounter_id=new_id(),
        reference="ZX909-1",
        reference_system="https://counterparty.sandbox.local/Id/case-number",
    )
    tree = acknowledge(bundle.read(body), minted, new_id, datetime.now(UTC))
    return to_bytes(tree, Format.JSON)


@pytest.mark.parametrize(("case", "books"), KINDS)
def test_a_request_breaks_no_rule(case, books):
    """But that it was withdrawn (R03W): each use case has one, and bookings have a second."""
    found = examined(ours(case, books))
    expected = ["R03W"] if is_withdrawn(case) else []

    assert expected == [error.rule for error in found.errors]
    assert found.move is (None if expected else Move.REQUEST)


@pytest.mark.parametrize(("case", "books"), KINDS)
def test_nothing_is_warned_of_in_a_request(case, books):
    """Whoever sends it as a first message would look for a fault of their own."""
    found = examined(ours(case, books))

    assert found.errors == list(found.issues)


@pytest.mark.parametrize(("case", "books"), KINDS)
def test_a_cancellation_breaks_no_rule(case, books):
    """But that a broker's referral has none (G12), which somebody may want to try."""
    found = examined(cancellation(acknowledged(ours(case, books))))
    expected = ["G12"] if application_of(case) == "a8" else []

    assert expected == [error.rule for error in found.errors]


@pytest.mark.parametrize("case", [c for c in USE_CASE_NAMES if application_of(c) in {"a4", "a6"}])
def test_an_update_and_the_responses_break_no_rule(case):
    """Of those Applications that know them."""
    changed = update(acknowledged(ours(case)))
    body = acknowledged(theirs(case))
    responses = [
        response(body, encounter=step.encounter, reason=step.reason)
        for step in PLANS[application_of(case)]
    ]
    breaks = [error for each in (changed, *responses) for error in examined(each).errors]

    assert [] == breaks


@pytest.mark.parametrize(("case", "expected"), [("a4t1", []), ("a6t1", ["G10"]), ("a6t2", [])])
def test_a_rejection_breaks_no_rule(case, expected):
    """But that an out-of-area referral has none (G10), which somebody may want to try."""
    rejection = response(
        acknowledged(theirs(case)), encounter="cancelled", rejection=("OTH", "Invented.")
    )

    assert expected == [error.rule for error in examined(rejection).errors]


def test_the_withdrawn_response_breaks_one_rule():
    """That it was withdrawn (G11): what else it is, is as it was published."""
    found = examined(no_show(acknowledged(theirs("a1t1"))))

    assert ["G11"] == [error.rule for error in found.errors]
