"""What is believed of the body of a 2xx, and what is taken from it: row by row."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import NHS_NUMBER, referral
from store_values import NOW

from bars_gateway.standard.answers import (
    NO_BODY,
    Acknowledgement,
    AnswerSubject,
    Minted,
    acknowledge,
    read_acknowledgement,
)
from bars_gateway.standard.bundle import MalformedBundle, read
from bars_gateway.standard.formats import Format, converted, to_bytes
from bars_gateway.standard.our_message import OurMessage

FOCUS_ID = "8f9f3c1e-1f57-4f55-8a52-6f1f3a3d5b03"
MINTED = Minted(focus_id=FOCUS_ID, encounter_id="e", reference="R-1", reference_system="urn:s")
SENT = referral()
Bundle = dict[str, Any]


def acknowledged(sent: bytes = SENT) -> Bundle:
    """Return what a Receiver such as this gateway answers."""
    tree = acknowledge(read(sent), MINTED, lambda: "minted", NOW)
    found: Bundle = json.loads(to_bytes(tree, Format.JSON))
    return found


def xml_of(body: bytes) -> bytes:
    return converted(body, Format.JSON, Format.XML)


def resources(bundle: Bundle, kind: str) -> list[Bundle]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def said(bundle: Bundle, sent: bytes = SENT) -> Acknowledgement:
    body = json.dumps(bundle).encode()
    return read_acknowledgement(OurMessage(sent), body)


def with_ids_of_its_own() -> Bundle:
    """Return what the NHS toolkit answers: nothing of it has our ids."""
    bundle = acknowledged()
    bundle["id"] = "5c5b8f52-6d1a-4f0a-9b60-0f2d6c7c1a11"
    text = json.dumps(bundle)
    for number, entry in enumerate(bundle["entry"]):
        text = text.replace(entry["fullUrl"], f"urn:uuid:00000000-0000-4000-8000-{number:012}")
    found: Bundle = json.loads(text)
    return found


def test_our_own_focus_gives_the_id() -> None:
    """Its fullUrl is ours, whatever the Bundle is called."""
    bundle = acknowledged() | {"id": "0e4d2c9a-3f0e-4a8f-9d52-0b1c2d3e4f50"}

    assert Acknowledgement(said=AnswerSubject.OURS, focus_id=FOCUS_ID) == said(bundle)


def test_our_bundle_id_gives_the_id() -> None:
    """A Receiver may name its resources again."""
    bundle = with_ids_of_its_own() | {"id": json.loads(SENT)["id"]}

    assert Acknowledgement(said=AnswerSubject.OURS, focus_id=FOCUS_ID) == said(bundle)


def test_ids_of_its_own_alone_are_not_taken() -> None:
    """Nothing speaks against it, and nothing says that it is about ours."""
    assert Acknowledgement(said=AnswerSubject.OTHER) == said(with_ids_of_its_own())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{ this is no JSON",
        b'{"resourceType": "Bundle"}',
        b'{"resourceType": "Bundle", "entry": [{"response": {"status": "201"}}]}',
        b'{"resourceType": "OperationOutcome", "issue": []}',
        b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"OperationOutcome"}}]}',
    ],
)
def test_a_body_without_a_message_says_nothing(body: bytes) -> None:
    """Core does not say that there has to be one."""
    assert NO_BODY == read_acknowledgement(OurMessage(SENT), body)


ERROR = (
    b'{"resourceType": "OperationOutcome", "issue": [{"severity": "information"},'
    b' {"severity": "error", "code": "processing"}]}'
)


WITH_ERROR = json.loads(SENT)
WITH_ERROR["entry"].append({"resource": json.loads(ERROR)})


@pytest.mark.parametrize(
    "body",
    [
        ERROR,
        b'{"resourceType": "Bundle", "entry": [{"resource": ' + ERROR + b"}]}",
        json.dumps(WITH_ERROR).encode(),
    ],
    ids=["alone", "in-a-bundle", "beside-our-message"],
)
def test_an_error_is_no_yes(body: bytes) -> None:
    """Whatever its status says: who answered so may not have taken it."""
    assert Acknowledgement(said=AnswerSubject.ERROR) == read_acknowledgement(OurMessage(SENT), body)


AN_ERROR, A_HINT = json.loads(ERROR), json.loads(ERROR.replace(b'"error"', b'"warning"'))


def beside(resource: Bundle) -> Bundle:
    """Return our message as it would be acknowledged, and one resource more."""
    bundle = acknowledged()
    bundle["entry"].append({"fullUrl": "urn:uuid:more", "resource": resource})
    return bundle


def in_a_nested_bundle(outcome: Bundle) -> Bundle:
    return beside({"resourceType": "Bundle", "type": "batch", "entry": [{"resource": outcome}]})


def in_parameters(outcome: Bundle) -> Bundle:
    return {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": outcome}]}


def in_a_record(outcome: Bundle) -> Bundle:
    bundle = acknowledged()
    resources(bundle, "ServiceRequest")[0]["contained"] = [outcome | {"id": "o"}]
    return bundle


def as_what_became_of_an_entry(outcome: Bundle) -> Bundle:
    response = {"status": "200", "outcome": outcome}
    return {"resourceType": "Bundle", "type": "batch-response", "entry": [{"response": response}]}


def beside_a_record_alone(outcome: Bundle) -> Bundle:
    return {"resourceType": "ServiceRequest", "contained": [outcome | {"id": "o"}]}


AROUND = (
    in_a_nested_bundle,
    in_parameters,
    in_a_record,
    as_what_became_of_an_entry,
    beside_a_record_alone,
)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("written_in", [Format.JSON, Format.XML])
def test_an_error_is_no_yes_wherever_it_stands(written_in: Format, around: Any) -> None:
    """Some makes wrap what they say; a hint in the same place is none."""
    found = []
    for outcome in (AN_ERROR, A_HINT):
        body = json.dumps(around(outcome)).encode()
        if written_in is Format.XML:
            body = converted(body, Format.JSON, Format.XML)
        found.append(read_acknowledgement(OurMessage(SENT), body).said is AnswerSubject.ERROR)

    assert [True, False] == found


def answering(code: str) -> Bundle:
    """Return our message, whose header responds with that code."""
    bundle = acknowledged()
    response = {"identifier": "a1b2", "code": code}
    resources(bundle, "MessageHeader")[0]["response"] = response
    return bundle


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("fatal-error", AnswerSubject.ERROR),
        ("ok", AnswerSubject.OURS),
        ("transient-error", AnswerSubject.ERROR),
    ],
)
def test_a_header_that_responds_with_an_error_is_no_yes(code: str, expected: AnswerSubject) -> None:
    """FHIR's own way to say in a message that another one failed."""
    assert expected is said(answering(code)).said


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("201 Created", AnswerSubject.NOTHING),
        ("422", AnswerSubject.ERROR),
        ("503 Unavailable", AnswerSubject.ERROR),
        (422, AnswerSubject.ERROR),
        (201, AnswerSubject.NOTHING),
    ],
)
def test_an_entry_that_met_an_error_is_no_yes(status: str | int, expected: AnswerSubject) -> None:
    """What FHIR servers say of each entry, with 200 above all of them."""
    entry = {"response": {"status": status}}
    bundle = {"resourceType": "Bundle", "type": "batch-response", "entry": [entry]}

    assert expected is said(bundle).said


def test_an_error_in_what_we_sent_is_none_of_the_receivers() -> None:
    """It comes back as it was; one that is added to it is the Receiver's."""
    sent = json.dumps(answering("fatal-error")).encode()
    with_one_more = answering("fatal-error")
    with_one_more["entry"].append({"resource": AN_ERROR})

    assert AnswerSubject.OURS is said(answering("fatal-error"), sent).said
    assert AnswerSubject.ERROR is said(with_one_more, sent).said


@pytest.mark.parametrize(
    "outcome",
    [
        {"issue": {"severity": "error", "code": "processing"}},
        {"issue": [{"severity": "ERROR", "code": "processing"}]},
        {"issue": [{"severity": ["error"], "code": "processing"}]},
        {"issue": [{"severity": "critical", "code": "processing"}]},
        {"issue": [{"code": "processing"}]},
        {"issue": [{"details": {"coding": [{"code": "REC_CONFLICT"}]}}]},
    ],
    ids=["no-list", "in-capitals", "in-a-list", "of-no-such-severity", "of-none", "in-details"],
)
def test_an_error_that_is_not_quite_r4_is_no_yes(outcome: Bundle) -> None:
    """Whoever writes so means an error all the same."""
    assert AnswerSubject.ERROR is said({"resourceType": "OperationOutcome", **outcome}).said


ERROR_IN_XML = converted(ERROR, Format.JSON, Format.XML)
OF_NO_NAMESPACE = ERROR_IN_XML.replace(b' xmlns="http://hl7.org/fhir"', b"")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            ERROR.replace(b"{", b'{"x": 1, "x": 2,', 1), AnswerSubject.ERROR, id="a-member-twice"
        ),
        pytest.param(ERROR.decode().encode("utf-16"), AnswerSubject.ERROR, id="in-utf-16"),
        pytest.param(ERROR.replace(b"{", b'{"x": NaN,', 1), AnswerSubject.ERROR, id="no-number"),
        pytest.param(ERROR[:-3], AnswerSubject.ERROR, id="cut-off"),
        pytest.param(b"[" + ERROR + b"]", AnswerSubject.ERROR, id="in-a-list"),
        pytest.param(json.dumps(ERROR.decode()).encode(), AnswerSubject.ERROR, id="in-a-text"),
        pytest.param(ERROR_IN_XML[:-3], AnswerSubject.ERROR, id="xml-cut-off"),
        pytest.param(OF_NO_NAMESPACE, AnswerSubject.ERROR, id="xml-of-no-namespace"),
        pytest.param(
            ERROR_IN_XML.decode().encode("utf-16"), AnswerSubject.ERROR, id="xml-in-utf-16"
        ),
        pytest.param(SENT.replace(b"{", b'{"x": NaN,', 1), AnswerSubject.NOTHING, id="no-outcome"),
    ],
)
def test_an_outcome_that_cannot_be_read_is_no_yes(body: bytes, expected: AnswerSubject) -> None:
    """As far as it can be read, it says what became of the message; and that is not known."""
    assert expected is read_acknowledgement(OurMessage(SENT), body).said


@pytest.mark.parametrize("issue", [{"severity": "WARNING"}, {"code": "informational"}])
def test_a_hint_that_is_not_quite_r4_is_no_error(issue: Bundle) -> None:
    """Nobody is to telephone about what went well."""
    assert NO_BODY == said({"resourceType": "OperationOutcome", "issue": [issue]})


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\n ", b"\xef\xbb\xbf\r\n"])
@pytest.mark.parametrize("written_in", [Format.JSON, Format.XML])
def test_an_error_behind_a_mark_is_no_yes(written_in: Format, mark: bytes) -> None:
    """A byte order mark or white space may stand before it."""
    body = ERROR if written_in is Format.JSON else converted(ERROR, Format.JSON, Format.XML)
    found = read_acknowledgement(OurMessage(SENT), mark + body)

    assert AnswerSubject.ERROR is found.said


def other_patient(bundle: Bundle) -> None:
    for patient in resources(bundle, "Patient"):
        patient["identifier"][0]["value"] = "9990000026"


def other_case(bundle: Bundle) -> None:
    for encounter in resources(bundle, "Encounter"):
        if encounter["status"] != "planned":
            encounter["identifier"][0]["value"] = "ANOTHER-CASE"


def other_event(bundle: Bundle) -> None:
    resources(bundle, "MessageHeader")[0]["eventCoding"]["code"] = "booking-request"


@pytest.mark.parametrize("change", [other_patient, other_case, other_event])
@pytest.mark.parametrize("make", [acknowledged, with_ids_of_its_own])
def test_a_contradiction_is_about_somebody_else(make: Any, change: Any) -> None:
    """Even where our Bundle.id and our focus come back: no id is taken."""
    bundle = make()
    change(bundle)

    assert Acknowledgement(said=AnswerSubject.FOREIGN) == said(bundle)


def test_the_answer_to_another_request_is_foreign() -> None:
    """The course that cancelled another patient's referral."""
    other = SENT.replace(NHS_NUMBER.encode(), b"9990000026")

    assert Acknowledgement(said=AnswerSubject.FOREIGN) == said(acknowledged(other))


def test_a_case_number_that_the_receiver_adds_contradicts_nothing() -> None:
    """Only its own planned Encounter comes back, with the number that it gave."""
    bundle = acknowledged()
    bundle["entry"] = [
        e
        for e in bundle["entry"]
        if e["resource"]["resourceType"] != "Encounter" or e["resource"]["status"] == "planned"
    ]

    assert AnswerSubject.OURS is said(bundle).said


def test_a_patient_who_is_not_named_contradicts_nothing() -> None:
    """An answer may leave the patient out."""
    bundle = acknowledged()
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != "Patient"]

    assert AnswerSubject.OURS is said(bundle).said


def test_another_name_without_a_number_is_no_other_patients() -> None:
    """A name may be spelt otherwise: nothing is taken, and the message counts as acknowledged."""
    bundle = acknowledged()
    (patient,) = resources(bundle, "Patient")
    del patient["identifier"]
    patient["name"] = [{"family": "Written", "given": ["Otherwise"]}]

    assert Acknowledgement(said=AnswerSubject.OTHER) == said(bundle)


def without_number(sent: bytes) -> bytes:
    bundle = json.loads(sent)
    del resources(bundle, "Patient")[0]["identifier"]
    return json.dumps(bundle).encode()


ELSEWHERE = {"name": [{"family": "Elsewhere", "given": ["Else"]}], "birthDate": "1970-01-01"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Acknowledgement(said=AnswerSubject.OURS, focus_id=FOCUS_ID)),
        (ELSEWHERE, Acknowledgement(said=AnswerSubject.OTHER)),
    ],
    ids=["newly-traced", "somebody-else"],
)
def test_of_whom_we_know_no_number_the_name_and_birth_date_are_compared(
    changes: Bundle, expected: Acknowledgement
) -> None:
    """The Receiver gives one: it is the same patient's, or no id is taken."""
    bundle = acknowledged()
    resources(bundle, "Patient")[0].update(changes)

    assert expected == said(bundle, without_number(SENT))


ANOTHER = {"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000026"}}


def of_another(bundle: Bundle) -> Bundle:
    """Name the other patient in the ServiceRequest alone, and leave every Patient out."""
    (request,) = resources(bundle, "ServiceRequest")
    request["subject"] = ANOTHER
    kept = ("MessageHeader", "ServiceRequest")
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] in kept]
    return bundle


def bare(bundle: Bundle) -> Bundle:
    """Answer with the record alone."""
    found: Bundle = resources(of_another(bundle), "ServiceRequest")[0]
    return found


def contained(bundle: Bundle) -> Bundle:
    """Answer with the record alone, which holds its patient within itself."""
    held = {"resourceType": "Patient", "id": "p", "identifier": [ANOTHER["identifier"]]}
    return bare(bundle) | {"contained": [held], "subject": {"reference": "#p"}}


def beside_ours(bundle: Bundle) -> Bundle:
    """Name our patient in the Patient, and another in the record."""
    resources(bundle, "ServiceRequest")[0]["subject"] = ANOTHER
    return bundle


def on_an_appointment(bundle: Bundle) -> Bundle:
    """Name the patient among the participants, as a booking does."""
    return {"resourceType": "Appointment", "participant": [{"actor": ANOTHER}]}


def beside_an_empty_entry(bundle: Bundle) -> Bundle:
    """Answer with a Bundle that is none by its form, and names the patient all the same."""
    bundle = of_another(bundle)
    return bundle | {"entry": [*bundle["entry"], {"response": {"status": "201"}}]}


def the_patient_alone(bundle: Bundle) -> Bundle:
    """Answer with nothing but a Patient."""
    return {"resourceType": "Patient", "identifier": [ANOTHER["identifier"]]}


@pytest.mark.parametrize(
    "make",
    [
        of_another,
        bare,
        contained,
        beside_ours,
        on_an_appointment,
        beside_an_empty_entry,
        the_patient_alone,
    ],
)
def test_another_number_is_seen_wherever_it_names_the_patient(make: Any) -> None:
    """A record names its patient by number alone, too: nothing of such an answer is ours."""
    assert Acknowledgement(said=AnswerSubject.FOREIGN) == said(make(acknowledged()))


def test_another_number_is_seen_in_a_format_that_the_header_denies() -> None:
    """XML that is given out as JSON."""
    body = converted(json.dumps(of_another(acknowledged())).encode(), Format.JSON, Format.XML)

    assert AnswerSubject.FOREIGN is read_acknowledgement(OurMessage(SENT), body).said


def test_a_record_alone_that_names_our_patient_says_nothing() -> None:
    """It contradicts nothing, and nothing says that it is about this message."""
    (request,) = resources(acknowledged(), "ServiceRequest")
    ours = {"identifier": ANOTHER["identifier"] | {"value": NHS_NUMBER}}

    assert NO_BODY == said(request | {"subject": ours})


def test_our_own_bytes_are_not_foreign() -> None:
    """Whoever it was that was named in what was sent: the echo of it names nobody else."""
    bundle = json.loads(SENT)
    identifier = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000026"}
    for each in resources(bundle, "CarePlan"):
        each["subject"] = {"identifier": identifier}
    sent = json.dumps(bundle).encode()

    assert AnswerSubject.OURS is said(bundle, sent).said
    assert AnswerSubject.FOREIGN is said(bundle, SENT).said


@pytest.mark.parametrize("by", [{"type": "RelatedPerson"}, {"reference": "RelatedPerson/m"}])
def test_a_relative_is_not_the_patient(by: Bundle) -> None:
    """A mother who stands in an Appointment has a number of her own."""
    bundle = acknowledged()
    resources(bundle, "ServiceRequest")[0]["participant"] = [{"actor": ANOTHER | by}]

    assert AnswerSubject.OURS is said(bundle).said


def test_an_answer_in_xml_is_read_alike() -> None:
    """D-formats: the format is no difference."""
    body = converted(json.dumps(acknowledged()).encode(), Format.JSON, Format.XML)
    found = read_acknowledgement(OurMessage(SENT), body)

    assert Acknowledgement(said=AnswerSubject.OURS, focus_id=FOCUS_ID) == found


@given(st.binary(max_size=300))
def test_no_body_crashes_the_reader(body: bytes) -> None:
    """Whatever stands between us and the Receiver may say anything."""
    read_acknowledgement(OurMessage(SENT), body)


@pytest.mark.reference_data
def test_no_published_message_contradicts_its_own_acknowledgement(reference_data: Path) -> None:
    """A false alarm would keep a patient waiting for a call that nobody needed."""
    found = {}
    for file in sorted((reference_data / "examples" / "messages").rglob("*.json")):
        try:
            message = read(file.read_bytes())
        except MalformedBundle:
            continue
        if not message.header:
            continue
        body = to_bytes(acknowledge(message, MINTED, lambda: "minted", NOW), Format.JSON)
        found[file.name] = read_acknowledgement(OurMessage(file.read_bytes()), body).said

    assert len(found) > 20
    assert {AnswerSubject.OURS} == set(found.values())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"resourceType": "Bundle", "type": "message"}, AnswerSubject.NOTHING, id="empty"
        ),
        pytest.param(
            {"resourceType": "OperationOutcome", "issue": [{"severity": "information"}]},
            AnswerSubject.NOTHING,
            id="hint",
        ),
    ],
)
def test_our_own_message_is_not_read_where_nothing_is_to_be_compared(
    body: Bundle, expected: AnswerSubject
) -> None:
    """Most answers hold nothing, and to read what was sent is the dearest step of a POST."""
    assert expected is read_acknowledgement(OurMessage(b"spoilt"), json.dumps(body).encode()).said


def test_what_a_record_alone_is_compared_with_is_found_without_reading_all_that_was_sent() -> None:
    """Many Receivers answer with the record that they have made, and no more."""
    ours = OurMessage(SENT)
    url = read(SENT).focus_url
    record = {"fullUrl": url, "resource": {"resourceType": "ServiceRequest", "id": FOCUS_ID}}
    body = json.dumps({"resourceType": "Bundle", "type": "message", "entry": [record]}).encode()

    assert Acknowledgement(said=AnswerSubject.OURS, focus_id=FOCUS_ID) == read_acknowledgement(
        ours, body
    )
    assert "message" not in vars(ours)


@pytest.mark.reference_data
def test_what_a_message_is_compared_by_is_the_same_however_far_it_is_read(
    reference_data: Path,
) -> None:
    """Of each that is published, in JSON and in XML."""
    apart = []
    for file in sorted((reference_data / "examples" / "messages").rglob("*.json")):
        body = file.read_bytes()
        try:
            message = read(body)
        except MalformedBundle:
            continue
        found = OurMessage(body).names, OurMessage(xml_of(body), Format.XML).names
        apart += [file.name] if set(found) != {(message.bundle_id, message.focus_url)} else []

    assert [] == apart
