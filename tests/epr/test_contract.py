"""
The contract for programs: a schema of each document, shipped, and that of the code.

To write the schemas anew after a change:

    .venv/bin/python tests/epr/test_contract.py
"""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import bars_gateway
from bars_gateway.epr import contract, documents, openapi
from bars_gateway.epr.contract import FILES, encoded, file_name, published, strict, writers
from bars_gateway.epr.documents import CONTRACT_VERSION
from bars_gateway.epr.envelope import Envelope, EnvelopeProblem, read_envelope

SCHEMAS = Path(bars_gateway.__file__).parent / "epr" / "schemas"
NAMES = list(writers())
RECEIPT: dict[str, Any] = {
    "request_id": "7a1c3f0e-1111-4222-8333-444455556666",
    "correlation_id": "7a1c3f0e-2222-4222-8333-444455556666",
    "message_id": 1,
    "workflow_id": 1,
    "receiver": "https://fhir.nhs.uk/Id/dos-service-id|2000000202",
    "fingerprint": "0" * 64,
    "accepted_at": "2026-03-02T09:00:00.000Z",
    "target_unchecked": None,
    "warnings": [],
}


def fits(schema: dict[str, Any], document: object) -> bool:
    return bool(jsonschema_rs.validator_for(schema).is_valid(document))


def test_every_document_has_a_schema_that_is_shipped() -> None:
    """And nothing lies there that belongs to none."""
    assert {file_name(name) for name in NAMES} == set(contract.shipped())


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_schema_is_that_of_the_code(name: str) -> None:
    """Whoever changes what is written writes it anew."""
    assert encoded(name) == contract.shipped()[file_name(name)]


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_stands_by_itself(name: str) -> None:
    """It is one of draft 2020-12, and refers to nothing beyond its file."""
    schema = published(name)
    referred = set(re.findall(r'"\$ref": "(.*?)"', json.dumps(schema)))

    jsonschema_rs.meta.validate(schema)
    assert {f"#/$defs/{each}" for each in schema.get("$defs", ())} >= referred
    assert "https://json-schema.org/draft/2020-12/schema" == schema["$schema"]


def test_every_document_of_the_socket_is_one_of_the_contract() -> None:
    """Whatever an operation takes or answers has a schema of its own."""
    text = json.dumps(openapi.document()["paths"])

    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= set(NAMES)


def test_a_reader_lives_with_what_is_added() -> None:
    """A member that came later is no fault to who reads by the published schema."""
    later = RECEIPT | {"later": 1}

    assert not fits(strict("Receipt"), later)
    assert fits(published("Receipt"), later)


def test_a_reader_notices_what_is_gone() -> None:
    """What was promised stays required."""
    less = {name: value for name, value in RECEIPT.items() if name != "workflow_id"}

    assert fits(published("Receipt"), RECEIPT)
    assert not fits(published("Receipt"), less)


def test_a_list_that_may_grow_binds_no_reader() -> None:
    """A kind of notice that comes later is read; a state that nobody promised is not."""
    members = published("Notice")["properties"]

    assert "overdue" in members["kind"]["examples"]
    assert "enum" not in members["kind"]
    assert "not_sent" in members["state"]["enum"]


def test_what_the_epr_writes_is_checked_to_the_letter() -> None:
    """A member that nobody knows is refused at the door, and by the schema."""
    answer = {"accept": True, "reference": "ED-1"}

    assert fits(published("Answer"), answer)
    assert not fits(published("Answer"), answer | {"refernce": "ED-1"})


SHA256 = "ab" * 32
ENVELOPES: list[dict[str, Any]] = [
    {},
    {"correlation_id": "7a1c3f0e-1111-4222-8333-444455556666"},
    {"needed_by": "2026-03-02T09:00:00+00:00"},
    {"practitioner": {"resourceType": "PractitionerRole"}},
    {"patient_changed": True},
    {"bundle_id": "b", "sha256": SHA256},
    {"bundle_id": ""},
    {"sha256": "ab"},
    {"practitioner": {"resourceType": "Practitioner"}},
    {"patient_changed": "true"},
    {"need_by": "2026-03-02T09:00:00+00:00"},
]


def is_read(envelope: dict[str, Any]) -> bool:
    try:
        read_envelope(json.dumps(envelope).encode())
    except EnvelopeProblem:
        return False
    return True


def test_an_envelope_is_described_as_it_is_read() -> None:
    """Its schema takes what the door takes, and refuses what it refuses."""
    schema = published("Envelope")

    assert [is_read(each) for each in ENVELOPES] == [fits(schema, each) for each in ENVELOPES]
    assert {each.name for each in fields(Envelope)} - {"in_headers"} == set(schema["properties"])


def test_every_file_has_the_schema_of_its_writer() -> None:
    """A document goes one way: nobody reads what he writes."""
    theirs = {file.schema: file.writer for file in FILES if file.schema is not None}

    assert theirs == {name: writers()[name] for name in theirs}


@pytest.mark.parametrize(
    ("folder", "name", "schema"),
    [
        ("", "contract.json", "Contract"),
        ("outbox/accepted", "a b.receipt.json", "Receipt"),
        ("outbox/accepted", "case.move.receipt.json", "Made"),
        ("outbox/refused", "case.2.reason.json", "Refusal"),
        ("outbox/refused", "case.move.reason.json", "MoveRefusal"),
        ("inbox/new", "000000000012.overdue.json", "Notice"),
        ("inbox/new", "000000000012.notice.json", "Notice"),
        ("questions/new", "000000000012.question.json", "Question"),
        ("answers/accepted", "12.decided.json", "Decided"),
        ("answers/refused", "12.2.reason.json", "AnswerRefusal"),
        ("answers/refused", "12.answer.reason.json", "AnswerRefusal"),
    ],
)
def test_a_file_is_known_by_its_name(folder: str, name: str, schema: str) -> None:
    """The folder and the ending say which document it is."""
    assert schema == next(file.schema for file in FILES if file.fits(folder, name))


def test_the_version_is_told_everywhere() -> None:
    """On the socket, beside the folders, and in the description of the socket."""
    told = documents.contract()

    assert (CONTRACT_VERSION, bars_gateway.__version__) == (told["contract"], told["version"])
    assert CONTRACT_VERSION == openapi.document()["info"]["x-epr-contract"]


def test_schemas_are_written_out(tmp_path: Path) -> None:
    """Into a folder that need not be there."""
    written = contract.write_schemas(tmp_path / "new")

    assert sorted(file_name(name) for name in NAMES) == [file.name for file in written]
    assert encoded("Notice") == (tmp_path / "new" / "notice.schema.json").read_bytes()


if __name__ == "__main__":
    for left in SCHEMAS.glob("*.schema.json"):
        left.unlink()
    for each in NAMES:
        (SCHEMAS / file_name(each)).write_bytes(encoded(each))
