"""An answer to a read proves something only if it is what was asked for."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asked_proxy import ID, IDS, OTHER_ID, answer, bars_request, outcome, record

from bars_gateway.standard.formats import Format, to_tree
from bars_gateway.standard.reads import proves_itself, shortcomings, shown

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DEFINITION = {"resourceType": "MessageDefinition", "url": "x"}
CODING = {"system": "https://fhir.nhs.uk/Id/dos-service-id", "code": "2000099999"}
OTHERS = DEFINITION | {"useContext": [{"valueCodeableConcept": {"coding": [CODING]}}]}
STATEMENT = {"resourceType": "CapabilityStatement"}


def searchset(*resources: object, kind: str = "searchset", **more: object) -> dict[str, object]:
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": kind, "entry": entries, **more}


LIST = {"resourceType": "Bundle", "type": "searchset"}
REQUEST = record("ServiceRequest")
READ = bars_request("ServiceRequest")
SEARCH = bars_request("ServiceRequest", None)
SLOTS = bars_request("Slot", None)
DEFINITIONS = bars_request("MessageDefinition", None)
METADATA = bars_request("metadata", None)


@pytest.mark.parametrize(
    ("asked", "document"),
    [
        (READ, record("ServiceRequest")),
        (READ, record("ServiceRequest", identifier=ID.upper())),
        (SEARCH, searchset()),
        (SLOTS, searchset({"resourceType": "Slot"})),
        (SLOTS, searchset({"resourceType": "Schedule"}, {"resourceType": "Slot"})),
        (SEARCH, searchset({"resourceType": "OperationOutcome"})),
        (SEARCH, searchset({"resourceType": "Patient"}, record("ServiceRequest"))),
        (DEFINITIONS, searchset(OTHERS, DEFINITION)),
        (DEFINITIONS, searchset(DEFINITION)),
        (METADATA, STATEMENT),
    ],
)
def test_what_was_asked_for_is_shown(asked: object, document: object) -> None:
    """By type and id; a search that finds nothing is an answer too."""
    assert document == shown(asked, answer(document))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "document"),
    [
        (READ, record("ServiceRequest", identifier=OTHER_ID)),
        (READ, {"resourceType": "ServiceRequest", "status": "active"}),
        (READ, record("Appointment")),
        (READ, searchset(record("ServiceRequest"))),
        (READ, outcome("REC_NOT_FOUND")),
        (SEARCH, record("ServiceRequest")),
        (SEARCH, searchset(kind="message")),
        (SEARCH, outcome("REC_NOT_FOUND")),
        (SLOTS, STATEMENT),
        (SLOTS, searchset({"resourceType": "Schedule"})),
        (SEARCH, searchset(record("Appointment"))),
        (SEARCH, searchset({"resourceType": "Patient"})),
        (SEARCH, searchset(outcome("REC_SERVER_ERROR"))),
        (SEARCH, searchset(record("ServiceRequest"), outcome("REC_SERVER_ERROR"))),
        (SEARCH, searchset(total=3)),
        (SEARCH, searchset(record("ServiceRequest"), total=3)),
        (SEARCH, searchset(record("ServiceRequest"), total=0)),
        (SEARCH, searchset(total="0")),
        (SEARCH, searchset(total=-1)),
        (SEARCH, searchset(total=10**4000)),
        (SEARCH, searchset(record("ServiceRequest"), link=[{"relation": "next", "url": "x"}])),
        (SEARCH, {"resourceType": "Bundle", "type": "searchset", "entry": [{"fullUrl": "x"}]}),
        (SEARCH, searchset(record("ServiceRequest") | {"contained": [outcome("REC_X")]})),
        (SEARCH, LIST | {"entry": [{"response": {"status": "500"}, "resource": REQUEST}]}),
        (READ, REQUEST | {"contained": [outcome("REC_SERVER_ERROR")]}),
        (DEFINITIONS, searchset(DEFINITION, outcome("REC_SERVER_ERROR"))),
        (SEARCH, LIST | {"entry": {"resource": REQUEST}}),
        (SEARCH, LIST | {"entry": "none"}),
        (SEARCH, LIST | {"entry": None}),
        (SEARCH, LIST | {"entry": [None]}),
        (SEARCH, LIST | {"entry": ["x", {"resource": REQUEST}]}),
        (SEARCH, LIST | {"entry": [{"resource": [REQUEST]}]}),
        (SEARCH, LIST | {"entry": [{"resource": {"id": ID}}]}),
        (SEARCH, LIST | {"entry": [{"resource": {"resourceType": 1}}, {"resource": REQUEST}]}),
        (SEARCH, LIST | {"entry": [{"resource": REQUEST, "search": "include"}]}),
        (SEARCH, LIST | {"entry": [{"resource": REQUEST, "search": {"mode": ["include"]}}]}),
        (SEARCH, LIST | {"entries": [{"resource": REQUEST}]}),
        (SEARCH, LIST | {"link": {"relation": "next", "url": "x"}}),
        (SEARCH, LIST | {"link": ["next"]}),
        (SEARCH, LIST | {"total": None}),
        (DEFINITIONS, searchset(OTHERS)),
        (DEFINITIONS, searchset()),
        (DEFINITIONS, searchset({"resourceType": "OperationOutcome"})),
        (DEFINITIONS, STATEMENT),
        (DEFINITIONS, outcome("REC_NOT_FOUND")),
        (METADATA, searchset(DEFINITION)),
        (METADATA, b"<html>"),
        (METADATA, b""),
        (METADATA, b"[1]"),
        (METADATA, b"\xff"),
    ],
)
def test_anything_else_proves_nothing(asked: object, document: object) -> None:
    """However like it looks."""
    assert shown(asked, answer(document)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("within", "shows"), [(b"", True), (b"<entries/>", False), (b"<total/>", False)]
)
def test_a_list_in_xml_that_cannot_be_read_is_no_answer(*, within: bytes, shows: bool) -> None:
    """To a reader who passes over what R4 does not know, it would be empty."""
    start, end = b'<Bundle xmlns="http://hl7.org/fhir"><type value="searchset"/>', b"</Bundle>"
    given = replace(answer(start + within + end), media_type=str(Format.XML))

    assert shows == (shown(SEARCH, given) is not None)


@pytest.mark.parametrize(
    ("held", "total"),
    [([], 0), ([record("Patient"), record("ServiceRequest")], 1), ([record("ServiceRequest")], 1)],
)
def test_a_list_may_count_what_it_holds(held: list[object], total: int) -> None:
    """What came along is counted in some published answers, and in others not."""
    assert shown(SEARCH, answer(searchset(*held, total=total))) is not None
    assert shown(SEARCH, answer(searchset(*held, total=len(held)))) is not None


PUBLISHED = {  # but for one of a ServiceRequest, which is its entry instead of standing in it
    "harness/slot-searchsets/*.xml": ("Slot", 5),
    "examples/slots/*.xml": ("Slot", 1),
    "openapi/examples*/slots/GET-success.json": ("Slot", 2),
    "openapi/examples*/appointment/GET-success.json": ("Appointment", 2),
}


@pytest.mark.parametrize("where", PUBLISHED)
def test_every_list_that_is_published_is_an_answer(reference_data: Path, where: str) -> None:
    """However it counts, and whatever else came along."""
    kind, count = PUBLISHED[where]
    files = sorted(reference_data.glob(where))
    written_in = Format.XML if where.endswith("xml") else Format.JSON
    found = [shortcomings(to_tree(each.read_bytes(), written_in), kind) for each in files]

    assert [[]] * count == found


NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
OURS, ANOTHER = "9990000018", "9990000026"


HELD = {"resourceType": "Patient", "identifier": [{"system": NUMBER, "value": ANOTHER}]}


def of(number: str, system: str = NUMBER) -> dict[str, object]:
    return {"subject": {"identifier": {"system": system, "value": number}}}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param([], True, id="nothing"),
        pytest.param([of(OURS)], True, id="ours"),
        pytest.param([{}], True, id="nobody-named"),
        pytest.param([of(ANOTHER)], False, id="another"),
        pytest.param([of(ANOTHER, NUMBER.replace("https", "http"))], False, id="spelt"),
        pytest.param([of(OURS), of(ANOTHER)], False, id="one-of-two"),
        pytest.param([{"contained": [HELD]}], False, id="contained"),
    ],
)
@pytest.mark.parametrize(
    "query", [f"patient:identifier={NUMBER}|{OURS}", f"patient.identifier={OURS}"]
)
def test_a_search_is_answered_with_the_records_of_whom_it_asks_for(
    query: str, records: list[dict[str, object]], *, expected: bool
) -> None:
    """Another patient's would be filed as this one's."""
    asked = replace(SEARCH, query=query)
    document = searchset(*(record("ServiceRequest") | each for each in records))

    assert expected is proves_itself(asked, answer(document))


def test_what_names_nobody_is_asked_for_without_a_number_too() -> None:
    """By name and birth date nothing is compared: the answer is as good as its ids."""
    asked = replace(SEARCH, query="patient:name=x&patient:birthdate=1950-01-31")

    assert proves_itself(asked, answer(searchset(record("ServiceRequest") | of(ANOTHER))))


@pytest.mark.parametrize(
    "context", ["2000099999", "https://fhir.nhs.uk/Id/dos-service-id|2000099999"]
)
def test_the_definitions_of_the_service_that_was_named_are_an_answer(context: str) -> None:
    """A read may name another service than the one that it goes to."""
    asked = replace(DEFINITIONS, query=f"context={context}")

    assert shown(asked, answer(searchset(OTHERS))) is not None


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("value", [None, "", "00000000-4f0e-4b0c-9a1d-2f6f3c1d7e01"])
def test_without_both_ids_it_may_be_the_answer_to_something_else(
    name: str, value: str | None
) -> None:
    """Missing, empty or another's."""
    headers = {key: text for key, text in {**IDS, name: value}.items() if text is not None}
    given = replace(answer(record("ServiceRequest")), headers=headers)

    assert shown(READ, given) is None


def test_ids_come_back_in_whatever_case() -> None:
    """A UUID is the same in capital letters."""
    given = replace(
        answer(record("ServiceRequest")),
        headers={name: f" {value.upper()}" for name, value in IDS.items()},
    )

    assert shown(READ, given) is not None


def test_a_request_without_ids_is_answered_by_nothing() -> None:
    """What was not sent cannot have come back."""
    asked = replace(READ, headers={})

    assert shown(asked, replace(answer(record("ServiceRequest")), headers={})) is None


@pytest.mark.parametrize("status", [201, 206, 404, 503])
def test_only_a_200_shows_anything(status: int) -> None:
    """Even where the right record comes with it."""
    assert shown(READ, answer(record("ServiceRequest"), status)) is None


def test_what_was_kept_was_proved_when_it_came() -> None:
    """Its ids were those of the request then."""
    kept = replace(answer(STATEMENT), headers={}, kept_since=NOW)

    assert STATEMENT == shown(METADATA, kept)
