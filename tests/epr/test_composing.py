"""What the Sender gets for what an EPR says, and what an EPR cannot say."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bookings import booking, focus, searchset
from mixed_up import ANOTHER, in_a_second_patient, in_a_task, mixed_up
from store_values import NOW, payload
from variants import resource

from bars_gateway.epr.answering import ComposedAnswer, composed
from bars_gateway.model.questions import Question
from bars_gateway.standard.answers import REFUSALS, Minted, no_matches

BODY = booking()
ID = "95e58add-0b10-4a8c-817c-2729eb0cab75"
BOOKING = Question(
    question_id=1,
    provider="trust",
    operation="$process-message",
    request_id=str(uuid.uuid4()),
    correlation_id=str(uuid.uuid4()),
    about={"move": "request", "request_type": "booking", "bundle_id": json.loads(BODY)["id"]},
    minted=Minted(
        focus_id=str(uuid.uuid4()),
        encounter_id=str(uuid.uuid4()),
        reference="RAE-1",
        reference_system="urn:x",
    ),
    asked_at=NOW,
    answer_by=NOW + timedelta(seconds=4),
    decided_at=None,
    accepted=None,
    http_status=None,
    request=payload(BODY),
)
SEARCH = replace(
    BOOKING,
    operation="GET Appointment",
    about={
        "resource_id": None,
        "parameters": {
            "identifier_system": "https://fhir.nhs.uk/Id/nhs-number",
            "identifier_value": "9990000018",
        },
    },
    minted=None,
    request=None,
)
SLOTS = replace(SEARCH, operation="GET Slot")
READ = replace(SEARCH, about={"resource_id": ID})
CHANGE = replace(BOOKING, about={**BOOKING.about, "move": "cancel"}, minted=None)
DELETE = replace(READ, operation="DELETE Appointment")
PATCH = replace(READ, operation="PATCH Appointment")


NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
PATIENT = {"resourceType": "Patient", "id": ID}


def a_booked(number: str = "9990000026") -> dict[str, Any]:
    """Return an Appointment of somebody."""
    who = {"actor": {"identifier": {"system": NUMBER, "value": number}}, "status": "accepted"}
    return {"resourceType": "Appointment", "id": ID, "status": "booked", "participant": [who]}


def said(question: Question, words: Mapping[str, Any] | bytes) -> Any:
    body = words if isinstance(words, bytes) else json.dumps(words).encode()
    return composed(question, body, "application/fhir+json", lambda: str(uuid.uuid4()), NOW)


def test_an_answer_may_begin_with_a_byte_order_mark() -> None:
    """PowerShell writes one; the Sender gets none, for the answer is written again."""
    found = said(BOOKING, b"\xef\xbb\xbf" + json.dumps(own()).encode())

    assert isinstance(found, ComposedAnswer)
    assert found.body.startswith(b"{")


def own(**changes: Any) -> dict[str, Any]:
    """Return the EPR's own acknowledgement of the booking."""
    bundle: dict[str, Any] = json.loads(BODY)
    focus(bundle)["id"] = ID
    return bundle | changes


@pytest.mark.parametrize("word", REFUSALS)
def test_every_word_of_the_table_is_a_refusal(word: str):
    """The EPR needs no status and no code."""
    assert word == said(BOOKING, {"refuse": word})


def test_no_refusal_says_duplicate_or_is_replaced_on_the_way():
    """`duplicate` means that it was taken; 403, 503, 504 lose their bodies: D-lost-statuses."""
    assert not [
        word
        for word, problem in REFUSALS.items()
        if problem.issue == "duplicate" or problem.http_status in {403, 503, 504}
    ]


def test_a_mere_yes_takes_the_ids_that_were_minted():
    """The acknowledgement is the message with them in it."""
    answer = said(BOOKING, {"accept": True})

    assert BOOKING.minted is not None
    assert isinstance(answer, ComposedAnswer)
    assert BOOKING.minted.focus_id == focus(json.loads(answer.body))["id"] == answer.focus_id


def test_an_own_acknowledgement_goes_out_as_it_is():
    """Its ids are remembered."""
    answer = said(BOOKING, own())

    assert isinstance(answer, ComposedAnswer)
    assert (own(), ID) == (json.loads(answer.body), answer.focus_id)


@pytest.mark.parametrize("question", [SEARCH, SLOTS], ids=["patient", "slots"])
def test_that_nothing_was_found_is_said_in_words(question: Question):
    """CS-173: the EPR states it by an empty searchset; the Sender's user can read it."""
    answer = said(question, searchset())
    (entry,) = json.loads(answer.body)["entry"]

    assert ("OperationOutcome", "outcome") == (
        entry["resource"]["resourceType"],
        entry["search"]["mode"],
    )


@pytest.mark.parametrize(
    ("question", "words", "path"),
    [
        pytest.param(BOOKING, b"{", "answer", id="no-json"),
        pytest.param(BOOKING, {}, "answer", id="nothing"),
        pytest.param(BOOKING, {"accept": False}, "answer", id="false"),
        pytest.param(BOOKING, {"accept": True, "refuse": "exists"}, "answer", id="both"),
        pytest.param(BOOKING, {"refuse": "because"}, "answer.refuse", id="unknown-word"),
        pytest.param(BOOKING, {"refuse": ["exists"]}, "answer.refuse", id="no-word"),
        pytest.param(BOOKING, {"accept": True, "note": "x"}, "answer", id="unknown-member"),
        pytest.param(BOOKING, {"accept": True, "focus_id": "7"}, "answer.focus_id", id="no-uuid"),
        pytest.param(
            BOOKING, {"accept": True, "reference": "<b>"}, "answer.reference", id="no-reference"
        ),
        pytest.param(
            CHANGE, {"accept": True, "focus_id": ID}, "answer.focus_id", id="nothing-is-new"
        ),
        pytest.param(READ, {"accept": True}, "answer", id="read-without-resource"),
        pytest.param(SEARCH, {"accept": True}, "answer", id="search-without-searchset"),
        pytest.param(SLOTS, {"accept": True}, "answer", id="slots-without-searchset"),
        pytest.param(PATCH, {"accept": True}, "answer", id="patch-without-resource"),
        pytest.param(BOOKING, own(id=ID), "Bundle.id", id="another-bundle"),
        pytest.param(BOOKING, own(type="searchset"), "Bundle", id="no-message"),
        pytest.param(BOOKING, json.loads(BODY), "Bundle.entry", id="no-id-in-it"),
        pytest.param(SEARCH, {"resourceType": "Patient"}, "Patient", id="no-searchset"),
        pytest.param(READ, {"resourceType": "Patient", "id": ID}, "Patient", id="another-type"),
        pytest.param(SEARCH, searchset(PATIENT), "Bundle.entry", id="patients-alone"),
        pytest.param(SEARCH, searchset(a_booked()), "Bundle.entry", id="another-patient"),
        pytest.param(SLOTS, searchset(a_booked()), "Bundle.entry", id="no-slots"),
        pytest.param(SEARCH, searchset() | {"totals": 1}, "Bundle.?[0]", id="no-r4"),
        pytest.param(DELETE, searchset(), "Bundle", id="a-removal-has-no-resource"),
    ],
)
def test_what_cannot_be_used_says_where(question: Question, words: Any, path: str):
    """Every issue names a place, and none a value."""
    issues = said(question, words)

    assert isinstance(issues, list)
    assert path in [issue.path for issue in issues]


def test_what_was_searched_for_may_come_with_its_patient():
    """What else is in the answer is of use to the Sender."""
    found = said(SEARCH, searchset(a_booked("9990000018"), PATIENT))

    assert isinstance(found, ComposedAnswer)


OURS = a_booked("9990000018")
NEXT = {"link": [{"relation": "next", "url": "https://epr.invented.example/2"}]}


def says(severity: str) -> dict[str, Any]:
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": "processing"}],
    }


def listing(*resources: Mapping[str, Any], mode: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a searchset, whose entries may all say how they came to be in it."""
    found = [{"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": each} for each in resources]
    search = {"search": {"mode": mode}} if mode else {}
    entries = [each | search for each in found]
    bundle = {"resourceType": "Bundle", "type": "searchset", **more}
    return bundle | ({"entry": entries} if entries else {})


NO_RESOURCE = {"entry": [{"fullUrl": f"urn:uuid:{ID}"}]}
FAILED = own()
resource(FAILED, "MessageHeader")["response"] = {"identifier": ID, "code": "fatal-error"}
CANCELLED_IN_ERROR = own(entry=[*own()["entry"], {"resource": says("error")}])


@pytest.mark.parametrize(
    ("question", "words", "path", "cure"),
    [
        pytest.param(SEARCH, listing(total=3), "Bundle.total", "give them all", id="none-of-3"),
        pytest.param(SLOTS, listing(total=1), "Bundle.total", "give them all", id="no-slots-of-1"),
        pytest.param(SEARCH, listing(OURS, total=2), "Bundle.total", "too-costly", id="1-of-2"),
        pytest.param(
            SEARCH, listing(says("information"), total=1), "Bundle.total", "all", id="hint-of-1"
        ),
        pytest.param(
            SEARCH,
            listing(OURS, PATIENT, mode="match", total=3),
            "Bundle.total",
            "all",
            id="2-of-3",
        ),
        pytest.param(SEARCH, listing(OURS, total=0), "Bundle.total", "leave it out", id="1-of-0"),
        pytest.param(SEARCH, listing(total=-1), "Bundle.total", "not negative", id="negative"),
        pytest.param(SEARCH, listing(total=1.5), "Bundle.total", "whole number", id="a-half"),
        pytest.param(SEARCH, listing(total="0"), "Bundle.total", "whole number", id="a-text"),
        pytest.param(SEARCH, listing(OURS, total=2) | NEXT, "Bundle.link", "once", id="a-page"),
        pytest.param(SEARCH, listing() | NEXT, "Bundle.link", "at once", id="an-empty-page"),
        pytest.param(
            SEARCH, listing(says("error"), total=0), "Bundle.entry", "not-allowed", id="an-error"
        ),
        pytest.param(SLOTS, listing(says("fatal")), "Bundle.entry", "not-done", id="fatal"),
        pytest.param(
            SEARCH, listing(OURS, says("error")), "Bundle.entry", "refuse", id="an-error-beside"
        ),
        pytest.param(SEARCH, listing(OURS, mode="include"), "Bundle.entry", "match", id="includes"),
        pytest.param(SEARCH, listing(OURS, mode="outcome"), "Bundle.entry", "match", id="outcomes"),
        pytest.param(SEARCH, listing() | NO_RESOURCE, "Bundle.entry", "give", id="no-resource"),
        pytest.param(
            SLOTS, listing() | NO_RESOURCE, "Bundle.entry", "give", id="slots-without-resource"
        ),
        pytest.param(SEARCH, says("error"), "OperationOutcome", "too-costly", id="instead-of-list"),
        pytest.param(READ, says("error"), "OperationOutcome", "not-done", id="instead-of-record"),
        pytest.param(READ, says("information"), "OperationOutcome", "asked for", id="hint-alone"),
        pytest.param(READ, listing(OURS), "Bundle", "asked for", id="list-instead-of-record"),
        pytest.param(READ, OURS | {"id": str(uuid.uuid4())}, "Appointment.id", "id", id="other-id"),
        pytest.param(
            SEARCH, listing(OURS) | {"type": "collection"}, "Bundle", "searchset", id="collection"
        ),
        pytest.param(DELETE, says("fatal"), "OperationOutcome", "refuse", id="removal-in-error"),
        pytest.param(CHANGE, CANCELLED_IN_ERROR, "Bundle.entry", "refuse", id="change-in-error"),
        pytest.param(CHANGE, FAILED, "Bundle.entry", "refuse", id="header-in-error"),
        pytest.param(
            READ, OURS | {"contained": [says("error")]}, "Appointment", "refuse", id="error-within"
        ),
    ],
)
def test_what_would_tell_the_asker_something_untrue_is_not_passed_on(
    question: Question, words: Any, path: str, cure: str
) -> None:
    """Less than there is, an error as if nothing were there, another record: the EPR hears why."""
    issues = said(question, words)

    assert isinstance(issues, list)
    assert [(path, True)] == sorted({(each.path, cure in each.text) for each in issues})


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(listing(OURS, total=1), id="counted"),
        pytest.param(listing(OURS, PATIENT, total=1), id="with-its-patient"),
        pytest.param(listing(OURS, PATIENT, total=2), id="all-counted-as-published"),
        pytest.param(listing(OURS, says("warning"), total=1), id="with-a-warning"),
        pytest.param(listing(says("warning"), total=0), id="nothing-with-a-warning"),
        pytest.param(json.loads(no_matches(lambda: ID)), id="nothing-in-so-many-words"),
        pytest.param(listing(OURS, link=[{"relation": "self", "url": "urn:x"}]), id="itself"),
    ],
)
def test_an_honest_list_goes_out_as_it_is(words: Any) -> None:
    """The guide's own count what came along, or do not."""
    answer = said(SEARCH, words)

    assert isinstance(answer, ComposedAnswer)
    assert words == json.loads(answer.body)


def of_another_patient() -> dict[str, Any]:
    bundle = own()
    resource(bundle, "Patient")["identifier"][0]["value"] = ANOTHER
    return bundle


def of_another_event() -> dict[str, Any]:
    bundle = own()
    resource(bundle, "MessageHeader")["eventCoding"]["code"] = "servicerequest-response"
    return bundle


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(of_another_patient(), id="patient"),
        pytest.param(json.loads(mixed_up(json.dumps(own()).encode(), in_a_task)), id="record"),
        pytest.param(of_another_event(), id="event"),
    ],
)
@pytest.mark.parametrize("question", [BOOKING, CHANGE], ids=["new", "change"])
def test_the_record_of_somebody_else_is_no_answer(
    question: Question, words: Mapping[str, Any]
) -> None:
    """An EPR that mixes up two patients would have one cancelled for the other: it hears why."""
    (issue,) = said(question, words)

    assert ("Q01", "Bundle.entry") == (issue.rule, issue.path)
    assert "another patient, case number or event" in issue.text


STRANGER = {"name": [{"family": "Elsewhere", "given": ["Else"]}], "birthDate": "1970-01-01"}
MARRIED = {"name": [{"family": "Elsewhere", "given": ["Mary"]}]}
TRACED = {"identifier": [{"system": NUMBER, "value": ANOTHER}]}
NO_NUMBER: dict[str, Any] = {"identifier": []}
PLACEHOLDER = {"identifier": [{"system": NUMBER, "value": "0000000000"}]}


def with_patient(**changes: Any) -> dict[str, Any]:
    """Return the booking, its focus named by the EPR, with a Patient who is said to be so."""
    bundle = own()
    resource(bundle, "Patient").update(changes)
    for name in [name for name, value in changes.items() if value in ([], None)]:
        del resource(bundle, "Patient")[name]
    return bundle


def asked_with(question: Question, **changes: Any) -> Question:
    """Return the question about a message whose Patient is said to be so."""
    body = json.dumps(with_patient(**changes)).encode()
    return replace(question, request=payload(body))


@pytest.mark.parametrize("question", [BOOKING, CHANGE], ids=["new", "change"])
@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        pytest.param({}, NO_NUMBER | STRANGER, id="answered-without-a-number"),
        pytest.param(NO_NUMBER, STRANGER, id="sent-without-a-number"),
        pytest.param(NO_NUMBER, NO_NUMBER | STRANGER, id="neither-has-one"),
        pytest.param(NO_NUMBER, TRACED | STRANGER, id="traced-as-somebody-else"),
        pytest.param({}, PLACEHOLDER | STRANGER, id="a-placeholder-is-no-number"),
        pytest.param({}, NO_NUMBER | MARRIED, id="another-name-alone"),
        pytest.param({}, NO_NUMBER | {"birthDate": "1970-01-01"}, id="another-day-alone"),
    ],
)
def test_another_name_or_birth_date_is_somebody_else_where_a_number_is_missing(
    question: Question, sent: Mapping[str, Any], answered: Mapping[str, Any]
) -> None:
    """As everywhere: numbers decide where both sides have one, and else these two."""
    issues = said(asked_with(question, **sent), with_patient(**answered))

    assert isinstance(issues, list)
    assert ["Bundle.entry"] == [issue.path for issue in issues]
    assert "another patient" in issues[0].text


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        pytest.param({}, STRANGER, id="the-number-decides"),
        pytest.param({}, NO_NUMBER, id="the-number-left-out"),
        pytest.param(NO_NUMBER, TRACED, id="newly-traced"),
        pytest.param(NO_NUMBER, TRACED | {"birthDate": None}, id="no-birth-date"),
        pytest.param({}, NO_NUMBER | MARRIED | {"birthDate": "1951"}, id="a-year-alone"),
        pytest.param(STRANGER | {"name": None}, NO_NUMBER, id="no-name-was-sent"),
    ],
)
def test_too_little_to_compare_is_nobody_else(
    sent: Mapping[str, Any], answered: Mapping[str, Any]
) -> None:
    """The same patient, or one of whom nothing says that it is another, goes out as it is."""
    answer = said(asked_with(BOOKING, **sent), with_patient(**answered))

    assert isinstance(answer, ComposedAnswer)


def test_a_message_about_two_may_be_answered_for_either() -> None:
    """Neither of them is a stranger to whoever sent it."""
    both = mixed_up(json.dumps(own()).encode(), in_a_second_patient)
    question = replace(BOOKING, request=payload(both))

    assert isinstance(said(question, json.loads(both)), ComposedAnswer)
    assert isinstance(said(question, own()), ComposedAnswer)


def held_by(**who: Any) -> dict[str, Any]:
    """Return an Appointment of a patient who is held in it."""
    patient = {"resourceType": "Patient", "id": "p", **who}
    actor = {"actor": {"reference": "#p"}, "status": "accepted"}
    return OURS | {"contained": [patient], "participant": [actor]}


MARY = {"name": [{"family": "Testcase", "given": ["Mary"]}], "birthDate": "1951-02-28"}


@pytest.mark.parametrize("method", ["PATCH", "POST", "PUT"])
@pytest.mark.parametrize(
    ("sent", "answered", "is_taken"),
    [
        pytest.param(OURS, OURS, True, id="ours"),
        pytest.param(OURS, a_booked(), False, id="another-number"),
        pytest.param(held_by(**MARY), held_by(**STRANGER), False, id="another-name"),
        pytest.param(held_by(**MARY), held_by(**MARY), True, id="the-same-name"),
        pytest.param(held_by(**MARY), OURS, True, id="too-little-to-compare"),
    ],
)
def test_a_record_that_is_written_is_answered_with_that_patients(
    method: str, sent: dict[str, Any], answered: dict[str, Any], *, is_taken: bool
) -> None:
    """The preview operations: what comes back is of whom it was written for."""
    about = {"resource_id": None if method == "POST" else ID}
    record = payload(json.dumps(sent).encode())
    question = replace(READ, operation=f"{method} Appointment", about=about, request=record)

    assert is_taken == isinstance(said(question, answered), ComposedAnswer)


def test_a_patient_who_was_merged_may_be_answered_with_both_numbers() -> None:
    """The one that was asked with is among them."""
    bundle = own()
    merged = {"system": NUMBER, "value": ANOTHER}
    resource(bundle, "Patient")["identifier"].append(merged)

    assert isinstance(said(BOOKING, bundle), ComposedAnswer)


def test_the_words_that_are_named_instead_of_an_error_are_words_of_the_table() -> None:
    """Whoever does as the text says is understood."""
    named = {word for word in REFUSALS if word in said(READ, says("error"))[0].text}

    assert {"not-allowed", "not-supported", "too-costly", "not-done"} == named


def test_nothing_of_an_answer_is_in_an_issue():
    """The EPR's log is no place for patients' data either."""
    canary = "Zebedee-9434765919"
    answers = (
        {"resourceType": "Patient", "id": canary, canary: canary},
        {"resourceType": canary},
        {"refuse": canary, canary: 1},
    )
    issues = [said(SEARCH, answer) for answer in answers]

    assert all(issues)
    assert canary not in repr(issues)
