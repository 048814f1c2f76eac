"""
The contract for programs: a schema of each document, shipped, and that of the code.

To write the schemas again after a change:

    .venv/bin/python tests/epr/test_contract.py

What was promised lies in `promised-1.0.json` and its like, one for each version, and is held
against what is written now. A release makes it a promise for good: from then on nobody edits it.
Before that, take away that of the version to come where something in it has to go, and it is
written again with the schemas.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import bars_gateway
from bars_gateway.epr import contract, documents, openapi
from bars_gateway.epr.contract import (
    FILES,
    DocumentWriter,
    encoded,
    file_name,
    published,
    strict,
    writers,
)
from bars_gateway.epr.documents import CONTRACT_VERSION, EprWays
from bars_gateway.epr.envelope import Envelope, EnvelopeProblem, read_envelope
from bars_gateway.epr.moves import AskedMove, read_asked
from bars_gateway.standard.reads import PatientSearch, SlotSearch

PROMISES = Path(__file__).parent
PROMISED = PROMISES / f"promised-{CONTRACT_VERSION}.json"
VERSIONS = sorted(file.stem.partition("-")[2] for file in PROMISES.glob("promised-*.json"))
WORDS = frozenset("$id $schema default description examples title x-fixed".split())  # annotations
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


# Where the schema of what an EPR writes says more than 1.0 promised: no door has ever taken that.
ALREADY_REFUSED = {
    "Answer": {
        "/anyOf/0/properties/focus_id: pattern is asked for",
        "/anyOf/0/properties/reference: pattern is asked for",
    },
    "Handling": {
        "/properties/after_its_time: {'type': 'boolean'} became None",
        "/properties/up_to/minimum: 0 became 1",
    },
    "Move": {
        "/properties/in_reply_to: pattern is asked for",
        "/properties/outcome: maxLength is asked for",
        "/properties/outcome: minLength is asked for",
        "/properties/resources/items: properties is asked for",
        "/properties/resources/items: resourceType is not required as it was",
        "/properties/submission_id: maxLength is asked for",
        "/properties/submission_id: minLength is asked for",
        "/properties/submission_id: pattern is asked for",
        "/properties/text: maxLength is asked for",
        "/properties/text: minLength is asked for",
    },
}


def fits(schema: dict[str, Any], document: object) -> bool:
    return bool(jsonschema_rs.validator_for(schema).is_valid(document))


def test_every_document_has_a_schema_that_is_shipped() -> None:
    """And nothing lies there that belongs to none."""
    assert {file_name(name) for name in NAMES} == set(contract.shipped())


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_schema_is_that_of_the_code(name: str) -> None:
    """Whoever changes what is written writes it again."""
    assert encoded(name) == contract.shipped()[file_name(name)]


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_stands_by_itself(name: str) -> None:
    """It is one of draft 2020-12, and refers to nothing beyond its file."""
    schema = published(name)
    referred = set(re.findall(r'"\$ref": "(.*?)"', json.dumps(schema)))

    jsonschema_rs.meta.validate(schema)
    assert {f"#/$defs/{each}" for each in schema.get("$defs", ())} >= referred
    assert "https://json-schema.org/draft/2020-12/schema" == schema["$schema"]


KEYWORDS = frozenset(
    "$defs $id $ref $schema additionalProperties anyOf const description enum examples format items"
    " maxItems maxLength minItems minLength minimum pattern properties required title type".split()
)
FORMATS = frozenset({"date", "date-time", "uuid"})


def parts_of(schema: Any, *, members: bool = False) -> Iterator[dict[str, Any]]:
    """Yield every schema within *schema*, which holds *members* and is none itself if so."""
    if isinstance(schema, list):
        for each in schema:
            yield from parts_of(each)
    elif isinstance(schema, dict):
        if not members:
            yield schema
        for name, each in schema.items():
            if members or name not in {"const", "enum", "examples", "required"}:
                yield from parts_of(each, members=not members and name in {"properties", "$defs"})


def members_of(schema: Any) -> Iterator[tuple[str, Any]]:
    """Yield each member that a schema describes, with what it says of it."""
    for part in parts_of(schema):
        yield from part.get("properties", {}).items()


@pytest.mark.parametrize("name", NAMES)
def test_every_member_is_described_in_words(name: str) -> None:
    """There, or where the schema that it names is: nobody has to guess what to write or to read."""
    schema = published(name)
    named = schema.get("$defs", {})

    def words(of: Any) -> str:
        leads_to = named.get(of.get("$ref", "").rpartition("/")[2], {})
        return str(of.get("description") or leads_to.get("description") or "")

    assert [] == [
        member
        for member, of in members_of(schema)
        if not any(map(words, (of, *of.get("anyOf", ()))))
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_strict_validator_takes_a_schema(name: str) -> None:
    """Those for JavaScript refuse, by default, keywords of nobody, and types that are several."""
    parts = list(parts_of(published(name)))
    types = [each["type"] for each in parts if isinstance(each.get("type"), list)]

    assert set() == {keyword for each in parts for keyword in each} - KEYWORDS
    assert set() == {each["format"] for each in parts if "format" in each} - FORMATS
    assert all(len(each) == 2 and each[1] == "null" for each in types)


def test_every_document_of_the_socket_is_one_of_the_contract() -> None:
    """Whatever an operation takes or answers has a schema of its own."""
    text = json.dumps(openapi.document()["paths"])

    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= set(NAMES)


def test_a_reader_lives_with_what_is_added() -> None:
    """A member that came later is no fault to who reads by the published schema."""
    later = RECEIPT | {"later": 1}

    assert not fits(strict("Receipt"), later)
    assert fits(published("Receipt"), later)


@pytest.mark.parametrize("name", NAMES)
def test_what_may_get_further_members_says_so(name: str) -> None:
    """What makes programs from schemas takes silence for a no: such a client stops at the first."""
    parts = [part for part in parts_of(published(name)) if part.get("properties")]

    assert [] == [part for part in parts if "additionalProperties" not in part]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"Envelope"}))
def test_the_socket_describes_a_document_as_its_schema_does(name: str) -> None:
    """A client made from either reads what a later version adds."""
    described = contract.described()["components"]["schemas"][name]
    of_a_file = {"$schema", "$id", "$defs", "title"}
    text = json.dumps({key: of for key, of in published(name).items() if key not in of_a_file})

    assert json.loads(text.replace("#/$defs/", "#/components/schemas/")) == described


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
        ("outbox/refused", "case.2.move.reason.json", "MoveRefusal"),
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
    told = documents.contract(EprWays(provider="trust", tells="socket", asks="none"))

    assert (CONTRACT_VERSION, bars_gateway.__version__) == (told["contract"], told["version"])
    assert CONTRACT_VERSION == openapi.document()["info"]["x-epr-contract"]


def promised(version: str) -> dict[str, Any]:
    """Return what was promised with that version of the contract."""
    found: dict[str, Any] = json.loads((PROMISES / f"promised-{version}.json").read_bytes())
    return found | {"documents": without_words(found["documents"], members=True)}


def documents_promised() -> list[tuple[str, str]]:
    return [(each, name) for each in VERSIONS for name in sorted(promised(each)["documents"])]


def promise(name: str) -> dict[str, Any]:
    """Return what a schema promises, without what is for people."""
    found: dict[str, Any] = without_words(published(name))
    return found


def without_words(part: Any, *, members: bool = False) -> Any:
    """Return *part* without descriptions; where it holds *members*, those may be called so."""
    if isinstance(part, list):
        return [without_words(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: without_words(each, members=name in {"properties", "$defs"})
        for name, each in part.items()
        if members or name not in WORDS
    }


def broken(old: Any, new: Any, writer: DocumentWriter, path: str = "") -> Iterator[str]:
    """Yield where *new* does not keep what *old* promised to who reads it, or who writes it."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield f"{path}: {old} became {new}"
        return
    new = next((each for each in new.get("anyOf", ()) if is_wider(each, old)), new)
    yield from broken_lists(old, new, writer, path)
    wider = writer is DocumentWriter.EPR and old.get("type") in as_list(new.get("type"))
    for name in old.keys() - {"required", "enum", "anyOf"} - ({"type"} if wider else set()):
        yield from broken(old[name], new.get(name), writer, f"{path}/{name}")
    if writer is DocumentWriter.EPR and not path.endswith(("/properties", "/$defs")):
        asked = new.keys() - old.keys() - {"required", "enum", "anyOf"}
        of_any = {name for name in asked if new[name] is True}  # further members, as before
        yield from (f"{path}: {name} is asked for" for name in sorted(asked - of_any))


def is_wider(alternative: Any, old: dict[str, Any]) -> bool:
    """Tell whether one of several holds what was the only one before."""
    return "anyOf" not in old and alternative.get("type") == old.get("type")


def as_list(types: object) -> list[object]:
    return types if isinstance(types, list) else [types]


def broken_lists(
    old: dict[str, Any], new: dict[str, Any], writer: DocumentWriter, path: str
) -> Iterator[str]:
    """Yield the same of what is a list: members that are required, values, alternatives."""
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    lost = before - after if writer is DocumentWriter.GATEWAY else after - before
    yield from (f"{path}: {member} is not required as it was" for member in sorted(lost))
    values, later = set(old.get("enum", ())), set(new.get("enum", ()))
    is_fixed = writer is DocumentWriter.GATEWAY or not values  # one that may grow has no enum there
    gone = values ^ later if is_fixed else values - later
    yield from (f"{path}: the value {value}" for value in sorted(gone))
    pairs = zip(old.get("anyOf", ()), new.get("anyOf", ()), strict=False)
    for number, (one, other) in enumerate(pairs):
        yield from broken(one, other, writer, f"{path}/anyOf/{number}")
    if len(old.get("anyOf", ())) > len(new.get("anyOf", ())):
        yield f"{path}: an alternative is gone"


@pytest.mark.parametrize(("version", "name"), documents_promised())
def test_what_was_promised_is_kept(version: str, name: str) -> None:
    """No member goes, none gets another type, and nothing more is asked of an EPR."""
    old = promised(version)["documents"][name]
    refused = ALREADY_REFUSED.get(name, set()) if version == "1.0" else set()

    assert refused == set(broken(old, promise(name), writers()[name]))


def test_every_version_has_its_promise() -> None:
    """That of the version to come is written with the schemas."""
    assert CONTRACT_VERSION == VERSIONS[-1]


def test_what_a_search_asks_for_is_described() -> None:
    """Each parameter of a question, as it was understood."""
    described = published("Question")["properties"]["parameters"]["properties"]
    asked = {each.name for each in (*fields(SlotSearch), *fields(PatientSearch))}

    assert asked == set(described)


def of_a_move(**members: object) -> bytes:
    return json.dumps(
        {"submission_id": "1", "in_reply_to": "1", "move": "progress"} | members
    ).encode()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("in_reply_to", ""),
        ("in_reply_to", -1),
        ("in_reply_to", "number 1"),
        ("outcome", ""),
        ("resources", [{}]),
        ("submission_id", ""),
        ("submission_id", "a\nb"),
        ("submission_id", "x" * 201),
        ("text", ""),
        ("text", "x" * 4001),
    ],
)
def test_what_the_schema_of_a_move_refuses_the_door_has_always_refused(
    member: str, value: object
) -> None:
    """So nothing that an EPR could write has become wrong."""
    asked = of_a_move(**{member: value})

    assert isinstance(read_asked(asked), list)
    assert not fits(strict("Move"), json.loads(asked))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("in_reply_to", 1),
        ("in_reply_to", "7A1C3F0E-1111-4222-8333-444455556666"),
        ("outcome", None),
        ("patient_changed", None),
        ("resources", None),
        ("submission_id", "é" * 200),
        ("text", None),
    ],
)
def test_what_the_door_takes_of_a_move_its_schema_has(member: str, value: object) -> None:
    """`workflow_id` is a number in every notice; and null says as much as nothing."""
    asked = of_a_move(**{member: value})

    assert isinstance(read_asked(asked), AskedMove)
    assert fits(strict("Move"), json.loads(asked))


def test_every_file_that_was_promised_is_there() -> None:
    """In its folder, by its name, before or behind the same others."""
    old = promised(VERSIONS[-1])["files"]
    now = [[each.folder, each.name, each.schema] for each in FILES]

    assert old
    assert old == [each for each in now if each in old]


@pytest.mark.parametrize(
    ("writer", "old", "new", "kept"),
    [
        ("gateway", {"required": ["a"]}, {"required": ["a", "b"]}, True),
        ("gateway", {"required": ["a", "b"]}, {"required": ["a"]}, False),
        ("EPR", {"required": ["a"]}, {"required": ["a", "b"]}, False),
        ("EPR", {}, {"required": ["a"]}, False),
        ("EPR", {"type": "string"}, {"type": "string", "maxLength": 3}, False),
        ("EPR", {"properties": {}}, {"properties": {"a": {"maxLength": 3}}}, True),
        ("EPR", {"type": "object"}, {"type": "object", "additionalProperties": True}, True),
        ("EPR", {"type": "object"}, {"type": "object", "additionalProperties": False}, False),
        ("EPR", {"anyOf": [{}, {}]}, {"anyOf": [{}]}, False),
        ("EPR", {"enum": ["x"]}, {"enum": ["x", "y"]}, True),
        ("EPR", {"enum": ["x", "y"]}, {"enum": ["x"]}, False),
        ("gateway", {"enum": ["x"]}, {"enum": ["x", "y"]}, False),
        ("EPR", {"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, True),
        ("EPR", {"type": "string"}, {"anyOf": [{"type": "integer"}]}, False),
        ("gateway", {"properties": {"a": {"type": "string"}}}, {"properties": {}}, False),
        ("gateway", {"type": "string"}, {"type": "integer"}, False),
        ("gateway", {"properties": {}}, {"properties": {"a": {}}}, True),
    ],
)
def test_a_broken_promise_would_be_seen(
    writer: str, *, old: dict[str, Any], new: dict[str, Any], kept: bool
) -> None:
    """What an EPR reads may grow; what it writes may be asked less of."""
    assert kept is not any(broken(old, new, DocumentWriter(writer)))


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
    if not PROMISED.exists():
        now = {
            "documents": {each: promise(each) for each in NAMES},
            "files": [[each.folder, each.name, each.schema] for each in FILES],
        }
        PROMISED.write_text(json.dumps(now, indent=1) + "\n", "utf-8")
