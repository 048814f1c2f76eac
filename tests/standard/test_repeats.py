"""Whether two messages under one X-Request-Id say the same."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import RECEIVER
from variants import (
    KINDS,
    Bundle,
    a_booking,
    a_cancelled_referral,
    a_full_response,
    a_referral,
    an_update,
    header,
    resource,
)

from bars_gateway.standard.bundle import read
from bars_gateway.standard.consistency import said
from bars_gateway.standard.formats import Format, converted
from bars_gateway.standard.meaning import move_of
from bars_gateway.standard.workflow import Move

CORRELATION = "11111111-2222-4333-8444-555555555555"


def digest(bundle: Bundle, target: str = RECEIVER, correlation_id: str = CORRELATION) -> str:
    message = read(json.dumps(bundle).encode())
    return said(message, move_of(message) or Move.REQUEST, target, correlation_id)


def renumbered(bundle: Bundle) -> Bundle:
    """Return the Bundle with another Bundle.id, MessageHeader.id and other fullUrls."""
    text = json.dumps(bundle)
    for entry in bundle["entry"]:
        text = text.replace(f'"{entry["fullUrl"]}"', f'"urn:uuid:{uuid.uuid4()}"')
    again: Bundle = json.loads(text)
    again |= {"id": str(uuid.uuid4()), "timestamp": "2026-03-02T11:00:00+00:00"}
    header(again)["id"] = str(uuid.uuid4())
    return again


@pytest.mark.parametrize("make", KINDS)
def test_what_is_only_numbered_anew_says_the_same(make: Callable[[], Bundle]) -> None:
    """Every kind of message: Bundle.id, MessageHeader.id, fullUrls, and what refers to them."""
    bundle = make()

    assert digest(bundle) == digest(renumbered(bundle))


@pytest.mark.parametrize("make", KINDS)
def test_it_says_the_same_in_either_format(make: Callable[[], Bundle]) -> None:
    """And with its members in another order."""
    bundle = make()
    body = json.dumps(bundle).encode()
    message = read(converted(body, Format.JSON, Format.XML), Format.XML)
    move = move_of(message) or Move.REQUEST

    assert digest(bundle) == said(message, move, RECEIVER, CORRELATION)


def _stamps(bundle: Bundle) -> None:
    for each in (bundle, *(entry["resource"] for entry in bundle["entry"])):
        each.setdefault("meta", {})["lastUpdated"] = "2026-03-02T11:00:00.0000001+00:00"


def _written_on(bundle: Bundle) -> None:
    resource(bundle, "ServiceRequest")["authoredOn"] = "2026-03-02T11:00:00+00:00"


def _made(bundle: Bundle) -> None:
    resource(bundle, "Appointment")["created"] = "2026-03-02T11:00:00+00:00"


def _ids(bundle: Bundle) -> None:
    for entry in bundle["entry"][1:]:
        if entry["resource"]["resourceType"] in {"ServiceRequest", "Patient", "Encounter"}:
            entry["resource"]["id"] = str(uuid.uuid4())


def _no_ids(bundle: Bundle) -> None:
    for entry in bundle["entry"]:
        entry["resource"]["id"] = "__ORG1_ID__"


REFERRAL = a_referral()


def holding(*numbers: str) -> Bundle:
    """Return the referral with a Patient that contains two practices, and names the first."""
    bundle: Bundle = json.loads(json.dumps(REFERRAL))
    resource(bundle, "Patient")["contained"] = [
        {"resourceType": "Organization", "id": each, "name": f"Practice {place}"}
        for place, each in enumerate(numbers)
    ]
    resource(bundle, "Patient")["generalPractitioner"] = [{"reference": f"#{numbers[0]}"}]
    return bundle


def test_what_is_contained_may_be_numbered_anew_as_well() -> None:
    """A program that builds a message again numbers those resources, too."""
    assert digest(holding("gp1", "gp2")) == digest(holding("a", "b"))


def test_what_refers_to_another_that_is_contained_says_something_else() -> None:
    """It is the place that counts, and not the number."""
    other = holding("gp1", "gp2")
    resource(other, "Patient")["generalPractitioner"] = [{"reference": "#gp2"}]

    assert digest(holding("gp1", "gp2")) != digest(other)


def test_of_two_that_are_contained_under_one_number_the_first_is_meant() -> None:
    """So whoever names the second says something else."""
    other = holding("gp1", "gp2")
    resource(other, "Patient")["generalPractitioner"] = [{"reference": "#gp2"}]

    assert digest(holding("gp", "gp")) != digest(other)


def test_a_bare_number_sign_names_nothing_that_is_contained() -> None:
    """It is whatever contains it."""
    assert digest(holding("", "gp2")) != digest(holding("gp1", "gp2"))


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (a_referral, _stamps),
        (a_booking, _stamps),
        (an_update, _stamps),
        (a_cancelled_referral, _stamps),
        (a_referral, _written_on),
        (a_booking, _made),
        (a_referral, _ids),
        (a_referral, _no_ids),
    ],
)
def test_when_a_request_was_written_says_nothing(
    make: Callable[[], Bundle], change: Callable[[Bundle], None]
) -> None:
    """Nor do the ids of what is new."""
    bundle = make()
    other = json.loads(json.dumps(bundle))
    change(other)

    assert digest(bundle) == digest(other)


def _of(kind: str, **values: Any) -> Callable[[Bundle], None]:
    return lambda bundle: resource(bundle, kind).update(values)


def _in_meta(kind: str) -> Callable[[Bundle], None]:
    stamp = "2026-03-02T11:00:00.0000001+00:00"
    return lambda bundle: resource(bundle, kind).setdefault("meta", {}).update(lastUpdated=stamp)


def _answers_another(bundle: Bundle) -> None:
    header(bundle)["response"]["identifier"] = str(uuid.uuid4())


def _identified(bundle: Bundle) -> None:
    resource(bundle, "Patient")["identifier"][0]["value"] = "9000000017"


def _linked(bundle: Bundle) -> None:
    resource(bundle, "ServiceRequest")["supportingInfo"] = [{"reference": "Appointment/x"}]


def _elsewhere(bundle: Bundle) -> None:
    header(bundle)["destination"][0]["endpoint"] += "1"


def _turned(bundle: Bundle) -> None:
    """Let a reference lead to another entry."""
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    resource(bundle, "ServiceRequest")["requester"] = {"reference": urls[-1]}


@pytest.mark.parametrize(
    ("make", "change"),
    [
        pytest.param(a_full_response, _in_meta("Encounter"), id="stamp of an Encounter"),
        pytest.param(a_full_response, _answers_another, id="another request"),
        pytest.param(a_full_response, _of("ServiceRequest", id="x"), id="record of a response"),
        pytest.param(an_update, _of("ServiceRequest", id="x"), id="record of an update"),
        pytest.param(an_update, _of("Patient", id="x"), id="patient of an update"),
        pytest.param(a_cancelled_referral, _of("ServiceRequest", id="x"), id="of a cancellation"),
        pytest.param(a_booking, _of("Slot", id="x"), id="another slot"),
        pytest.param(a_referral, _identified, id="another patient"),
        pytest.param(a_referral, _linked, id="another booking"),
        pytest.param(a_referral, _elsewhere, id="another service in the message"),
        pytest.param(a_referral, _turned, id="another entry"),
        pytest.param(a_referral, _of("Patient", birthDate="1960-01-01"), id="content"),
        pytest.param(a_referral, _of("CarePlan", created="2020-01-01"), id="another's time"),
    ],
)
def test_all_else_counts(make: Callable[[], Bundle], change: Callable[[Bundle], None]) -> None:
    """What was not processed is never called a duplicate."""
    bundle = make()
    other = renumbered(bundle)
    change(other)

    assert digest(bundle) != digest(other)


@pytest.mark.parametrize("make", KINDS)
def test_so_do_the_service_and_the_correlation_id(make: Callable[[], Bundle]) -> None:
    """They stand in headers; a UUID is the same in another letter case."""
    bundle = make()
    found = {
        digest(bundle),
        digest(bundle, target=f"{RECEIVER}1"),
        digest(bundle, correlation_id=str(uuid.uuid4())),
    }

    assert 3 == len(found)
    assert digest(bundle, correlation_id=CORRELATION.upper()) in found


TEXTS = [
    (index, name)
    for index, entry in enumerate(REFERRAL["entry"])
    for name, value in entry["resource"].items()
    if isinstance(value, str) and name not in {"id", "resourceType", "authoredOn"}
]


@given(place=st.sampled_from(TEXTS), text=st.text(min_size=1))
def test_no_text_may_differ(place: tuple[int, str], text: str) -> None:
    """Whatever it is: it was not processed."""
    index, name = place
    other = json.loads(json.dumps(REFERRAL))
    other["entry"][index]["resource"][name] = text

    same = text == REFERRAL["entry"][index]["resource"][name]

    assert same == (digest(REFERRAL) == digest(other))


def test_numbers_count_as_they_are_written() -> None:
    """1.0 and 1.00 are not the same measurement."""
    body = json.dumps(a_referral())
    messages = [
        read(body.replace('"type": "message"', f'"type": "message", "total": {each}').encode())
        for each in ("1", "1.0", '"1"')
    ]

    assert 3 == len({said(each, Move.REQUEST, RECEIVER, CORRELATION) for each in messages})
