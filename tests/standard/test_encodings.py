"""What others answer is read in whichever encoding it is; Siân has to be found in each."""

import json
from typing import Any

import pytest
from asked_proxy import answer, bars_request, record
from messages import NHS_NUMBER, referral
from store_values import NOW

from bars_gateway.standard.answers import (
    AnswerSubject,
    Minted,
    Outcome,
    acknowledge,
    own_words,
    read_acknowledgement,
    read_outcome,
)
from bars_gateway.standard.bundle import read
from bars_gateway.standard.findings import Current, finding_in
from bars_gateway.standard.formats import Format, converted, to_bytes
from bars_gateway.standard.our_message import OurMessage
from bars_gateway.standard.patients import patient_of

SIAN = "Siân"
MINTED = Minted(focus_id="8f9f3c1e", encounter_id="e", reference="R-1", reference_system="urn:s")
SENT = referral()
ENCODINGS = ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le"]
OUTCOME: dict[str, Any] = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "error",
            "code": "duplicate",
            "details": {"coding": [{"code": "REC_CONFLICT"}]},
            "diagnostics": f"{SIAN} is here",
        }
    ],
}


def written(document: object, encoding: str) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode(encoding)


def acknowledged(number: str) -> dict[str, Any]:
    """Return what a Receiver answers, about the patient of that number, called Siân."""
    tree = acknowledge(read(SENT), MINTED, lambda: "minted", NOW)
    found: dict[str, Any] = json.loads(to_bytes(tree, Format.JSON))
    for each in found["entry"]:
        if each["resource"]["resourceType"] == "Patient":
            each["resource"]["identifier"][0]["value"] = number
            each["resource"]["name"][0]["given"] = [SIAN]
    return found


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_refusal_is_read_in_any_encoding(encoding: str) -> None:
    """It would count as silence, and end as unconfirmed where nobody has taken the patient on."""
    body = written(OUTCOME, encoding)
    (words,) = own_words(body)

    assert Outcome(is_outcome=True, code="REC_CONFLICT", issue="duplicate") == read_outcome(body)
    assert (f"{SIAN} is here",) == tuple(words.says)


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "windows-1252", "utf-16"])
def test_xml_says_in_which_encoding_it_is(encoding: str) -> None:
    """What is declared is left out once the bytes are in another one."""
    body = converted(json.dumps(OUTCOME).encode(), Format.JSON, Format.XML).decode()
    other = body.replace('encoding="UTF-8"', f'encoding="{encoding}"').encode(encoding)

    assert Outcome(is_outcome=True, code="REC_CONFLICT", issue="duplicate") == read_outcome(other)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_acknowledgement_is_compared_in_any_encoding(encoding: str) -> None:
    """One about another patient proves nothing, and from one about ours its id is taken."""
    ours = read_acknowledgement(OurMessage(SENT), written(acknowledged(NHS_NUMBER), encoding))
    other = read_acknowledgement(OurMessage(SENT), written(acknowledged("9990000026"), encoding))

    assert (AnswerSubject.OURS, MINTED.focus_id) == (ours.said, ours.focus_id)
    assert AnswerSubject.FOREIGN == other.said


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_another_patients_record_is_seen_in_any_encoding(encoding: str) -> None:
    """Else a cancellation would go out to somebody else's, as if nothing had been shown."""
    theirs = record("ServiceRequest", "active") | {
        "contained": [
            {
                "resourceType": "Patient",
                "id": "p",
                "identifier": [
                    {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000026"}
                ],
                "name": [{"family": "TESTCASE", "given": [SIAN]}],
            }
        ],
        "subject": {"reference": "#p"},
    }
    shown = answer(written(theirs, encoding))
    found = finding_in(bars_request("ServiceRequest"), shown, patient_of(read(SENT)))

    assert Current.OTHER_PATIENT == found.current
