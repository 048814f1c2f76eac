"""What searches ask for, and what is wrong with those that cannot be answered."""

from datetime import UTC, date, datetime, timedelta

import pytest
from bookings import slot_query

from bars_gateway.standard import reads
from bars_gateway.standard.reads import SearchProblem, SlotSearch

SERVICES = ["2000000202", "NHS0001"]
MONTH = timedelta(days=31)
NHS = "https%3A%2F%2Ffhir.nhs.uk%2FId%2Fnhs-number%7C"


def slots(query: str) -> SlotSearch:
    return reads.slots(query, services=SERVICES, longest=MONTH)


def told(problem: SearchProblem) -> list[tuple[int, str, str]]:
    """Return status, FHIR issue type and parameter of each problem."""
    return [
        (issue.http_status, issue.issue, issue.path.removeprefix("parameter "))
        for issue in problem.issues
    ]


def wrong(query: str) -> list[tuple[int, str, str]]:
    """Return status, FHIR issue type and parameter of each problem of a search for slots."""
    with pytest.raises(SearchProblem) as caught:
        slots(query)
    return [
        (i.http_status, i.issue, i.path.removeprefix("parameter ")) for i in caught.value.issues
    ]


def wrong_patient(query: str) -> list[tuple[int, str, str]]:
    with pytest.raises(SearchProblem) as caught:
        reads.patient(query)
    return [
        (i.http_status, i.issue, i.path.removeprefix("parameter ")) for i in caught.value.issues
    ]


def test_a_search_for_slots_is_understood():
    """Times are told in UTC; the includes as they were asked for."""
    expected = SlotSearch(
        service="2000000202",
        begins_from=datetime(2026, 3, 2, 9, tzinfo=UTC),
        begins_until=datetime(2026, 3, 5, 9, tzinfo=UTC),
        statuses=["free"],
        includes=["Slot:schedule", "Schedule:actor:HealthcareService"],
    )

    assert expected == slots(slot_query())


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(
            "start=ge2026-03-02T09:00:00+00:00&start=le2026-03-05T09:00:00Z", id="bare-plus"
        ),
        pytest.param("start=ge2026-03-02T09:00:00%2B00&end=le2026-03-05T09:00:00%2B00", id="end"),
        pytest.param("start=le2026-03-05T09:00:00Z&start=ge2026-03-02T09:00:00Z", id="swapped"),
        pytest.param("start=ge2026-03-02T10:00%2B01:00&start=le2026-03-05T09:00Z", id="no-seconds"),
    ],
)
def test_a_range_may_be_written_otherwise(start: str):
    """The official tests and published samples write it so."""
    assert slots(slot_query()) == slots(slot_query(start=start))


def test_statuses_are_comma_separated():
    """One parameter, two words."""
    assert ["free", "busy"] == list(slots(slot_query(status="status=free%2Cbusy")).statuses)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"status": None}, (400, "required", "status"), id="no-status"),
        pytest.param({"status": "status="}, (400, "required", "status"), id="empty-status"),
        pytest.param({"status": "status=free,x"}, (400, "value", "status"), id="unknown-status"),
        pytest.param({"start": None}, (400, "required", "start"), id="no-start"),
        pytest.param(
            {"start": "start=ge2026-03-02T09:00:00Z"}, (400, "required", "start"), id="one-start"
        ),
        pytest.param(
            {"start": "start=ge2026-03-02T09:00:00Z" + 2 * "&start=le2026-03-05T09:00:00Z"},
            (400, "required", "start"),
            id="three-starts",
        ),
        pytest.param(
            {"start": "start=ge2026-03-02T09:00:00&start=le2026-03-05T09:00:00Z"},
            (400, "value", "start"),
            id="no-offset",
        ),
        pytest.param(
            {"start": "start=ge2026-02-30T09:00:00Z&start=le2026-03-05T09:00:00Z"},
            (400, "value", "start"),
            id="no-such-day",
        ),
        pytest.param(
            {"start": "start=ge2026-03-05T09:00:00Z&start=le2026-03-02T09:00:00Z"},
            (400, "value", "start"),
            id="backwards",
        ),
        pytest.param(
            {"start": "start=ge2026-03-02T09:00:00Z&start=ge2026-03-05T09:00:00Z"},
            (400, "value", "start"),
            id="two-lower-bounds",
        ),
        pytest.param(
            {"start": "start=ge2025-03-02T09:00:00Z&start=le2026-03-05T09:00:00Z"},
            (422, "too-costly", "start"),
            id="a-year",
        ),
        pytest.param(
            {"service": None},
            (400, "required", "Schedule.actor:HealthcareService"),
            id="no-service",
        ),
        pytest.param(
            {"service": "Schedule.actor:HealthcareService=XXXXXXX"},
            (400, "value", "Schedule.actor:HealthcareService"),
            id="no-id-of-a-service",
        ),
        pytest.param(
            {"service": "Schedule:actor:HealthcareService=2000000999"},
            (404, "not-found", "Schedule.actor:HealthcareService"),
            id="unknown-service",
        ),
        pytest.param(
            {"includes": "_include=Slot:schedule"},
            (400, "required", "_include"),
            id="include-missing",
        ),
    ],
)
def test_each_failure_of_the_guide(changes: dict[str, str | None], expected: tuple[int, str, str]):
    """Status and issue type are those of the guide's table."""
    assert [expected] == wrong(slot_query(**changes))


def test_everything_wrong_is_said_at_once():
    """An empty search misses all five."""
    missing = [path for _, _, path in wrong("")]

    assert [
        "Schedule.actor:HealthcareService",
        "start",
        "status",
        "_include",
        "_include",
    ] == missing


def test_no_problem_holds_what_was_sent():
    """An NHS number may stand anywhere in a query."""
    canary = "9434765919"
    with pytest.raises(SearchProblem) as caught:
        slots(f"Schedule.actor:HealthcareService={canary}X&start={canary}&start=2&status={canary}")

    assert canary not in "".join(issue.text + issue.path for issue in caught.value.issues)


def test_too_many_parameters_are_no_search():
    """What nobody would ask is not taken apart."""
    assert [(400, "value", "query")] == wrong("a=1&" * 200)


def test_a_patient_is_found_by_number():
    """The token, as system and value."""
    found = reads.patient(f"patient:identifier={NHS}9990000018")

    assert ("https://fhir.nhs.uk/Id/nhs-number", "9990000018") == (
        found.identifier_system,
        found.identifier_value,
    )


@pytest.mark.parametrize("system", [NHS.replace("https", "http"), NHS.replace("Id", "id")])
def test_the_system_of_a_number_may_be_spelt_otherwise(system):
    """The EPR is asked by the spelling of the guide, and a wrong number is refused as ever."""
    found = reads.patient(f"patient:identifier={system}9990000018")

    assert "https://fhir.nhs.uk/Id/nhs-number" == found.identifier_system
    with pytest.raises(SearchProblem):
        reads.patient(f"patient:identifier={system}999")


def test_a_number_alone_is_an_nhs_number():
    """As some Senders write it."""
    found = reads.patient("patient:identifier=9990000018")

    assert ("https://fhir.nhs.uk/Id/nhs-number", "9990000018") == (
        found.identifier_system,
        found.identifier_value,
    )


def test_a_search_at_a_foreign_service_is_not_found_as_a_whole():
    """Nothing of it can be answered here: 404, and no 400 around it."""
    query = "Schedule.actor:HealthcareService=2000000999&status=x"

    assert [(404, "not-found", "Schedule.actor:HealthcareService")] == wrong(query)


@pytest.mark.parametrize("birth_date", ["eq1951-02-28", "1951-02-28"])
def test_a_patient_is_found_by_name_birth_date_and_postcode(birth_date: str):
    """All three, where there is no number."""
    found = reads.patient(
        f"patient:name=Testcase&patient:birthdate={birth_date}&patient:address-postalcode=ZZ99%203VZ"
    )

    assert ("Testcase", date(1951, 2, 28), "ZZ99 3VZ") == (
        found.name,
        found.birth_date,
        found.postcode,
    )


def test_a_reference_narrows_a_search_down():
    """ServiceRequest.identifier goes on to the EPR as it came."""
    query = f"patient:identifier={NHS}9990000018&ServiceRequest.identifier=urn:x%7CRAE-1"

    assert "urn:x|RAE-1" == reads.patient(query).reference


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", [(400, "required", "patient:identifier")], id="nothing"),
        pytest.param(
            "ServiceRequest.identifier=1",
            [(400, "required", "patient:identifier")],
            id="no-patient",
        ),
        pytest.param(
            "patient:identifier=RAE-1", [(400, "value", "patient:identifier")], id="no-system"
        ),
        pytest.param("patient:identifier=", [(400, "value", "patient:identifier")], id="empty"),
        pytest.param(
            f"patient:identifier={NHS}99900", [(400, "value", "patient:identifier")], id="short"
        ),
        pytest.param(
            "patient:name=A",
            [
                (400, "required", "patient:birthdate"),
                (400, "required", "patient:address-postalcode"),
            ],
            id="name-alone",
        ),
        pytest.param(
            "patient:name=A&patient:birthdate=20/01/1995&patient:address-postalcode=B",
            [(400, "value", "patient:birthdate")],
            id="no-date",
        ),
    ],
)
def test_each_failure_of_a_search_by_patient(query: str, expected: list[tuple[int, str, str]]):
    """X02, and CS-176."""
    assert expected == wrong_patient(query)


@pytest.mark.parametrize(("text", "issue"), [("XXXXXXXXX", "value"), ("", "required")])
def test_an_id_in_a_path_is_a_uuid(text: str, issue: str):
    """CS-177."""
    with pytest.raises(SearchProblem) as caught:
        reads.known_id(text)

    assert [(400, issue, "X01")] == [(i.http_status, i.issue, i.rule) for i in caught.value.issues]
