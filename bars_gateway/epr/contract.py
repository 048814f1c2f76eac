"""
The contract with EPRs for programs: every file that either side writes, and the schema of each.

    openapi_schemas ──strict()────► what this version writes, member by member (the tests)
          │
          ├────────published()────► what a reader must be able to read of every version 1.x
          │                         └─► schemas/NAME.schema.json ─► bars-gateway schemas DIR
          └────────described()────► the same for the socket ──────► GET /openapi.json

A document of ours may get further members, and a list of values further ones unless it is `fixed`:
so the published schema allows for them, and an EPR that holds what it reads against it, or has its
client made from it, does not break on the day that something is added. What the EPR writes gets no
further member, for a misspelt member would say nothing: there both are the same. A published schema
has keywords of the dialect alone, and no type that is several but for null: strict validators
refuse both.

Each schema stands by itself, in a file: whatever it refers to is in its `$defs`. They are written
again by `python tests/epr/test_contract.py`, and a test holds them against the code.
`docs/epr-contract.md` is the contract for people.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from importlib import resources
from pathlib import Path

import orjson

from bars_gateway.epr import openapi
from bars_gateway.epr.documents import CONTRACT_VERSION
from bars_gateway.epr.inbox import file_of
from bars_gateway.epr.openapi_schemas import Schema, flag, instant, some, text, uuid
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import NoticeKind

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OF_OPENAPI, _OF_A_FILE = "#/components/schemas/", "#/$defs/"
_FIXED = "x-fixed"  # of OpenAPI alone: here those that are not fixed have no enum
_HEX = "^ *[0-9A-Fa-f]{64} *$"

ENVELOPE = some(
    "What goes with a message beyond its Bundle: NAME.envelope.json.",
    correlation_id=uuid("of a conversation to go on with"),
    needed_by=instant("the clinical time that ends the retries, with an offset"),
    practitioner={
        "type": "object",
        "description": "a PractitionerRole that goes in a header",
        "properties": {
            "resourceType": {"const": "PractitionerRole", "description": "says that it is one"}
        },
        "required": ["resourceType"],
        "additionalProperties": True,
    },
    patient_changed=flag(
        "it names the patient otherwise than what it belongs to began with, and that is right"
    ),
    bundle_id=text("Bundle.id of the message that it means, and of no other", minLength=1),
    sha256=text("of that message's bytes: 64 hexadecimal digits", pattern=_HEX),
)


class DocumentWriter(StrEnum):
    """Who writes a document; the other side reads it."""

    EPR = "EPR"
    GATEWAY = "gateway"


_EPR, _US = DocumentWriter.EPR, DocumentWriter.GATEWAY


@frozen(kw_only=True)
class EprFile:
    """A file that one side writes for the other, below the provider's spool folder."""

    folder: str
    name: str  # NAME: the EPR's; N: the number of a notice or question, of twelve digits
    schema: str | None  # None: FHIR, byte for byte as it came or is sent
    writer: DocumentWriter
    what: str

    def fits(self, folder: str, name: str) -> bool:
        """Tell whether a file of that *name* in that *folder* is one of these."""
        pattern = re.escape(self.name)
        pattern = pattern.replace("NAME", r".+?").replace("N\\.", r"\d{1,18}(\.\d+)?\.")
        pattern = pattern.replace(r"\.json\|xml", r"\.(json|xml)")
        return folder == self.folder and bool(re.fullmatch(pattern, name, re.IGNORECASE))


def _notices() -> Iterator[EprFile]:
    told = dict.fromkeys(file_of(kind, "N") for kind in NoticeKind)
    for name in told:
        kinds = " or ".join(kind for kind in NoticeKind if file_of(kind, "N") == name)
        what = f"a notice of the kind {kinds}"
        yield EprFile(
            folder="inbox/new", name=name, schema="Notice", writer=DocumentWriter.GATEWAY, what=what
        )


def _file(path: str, writer: DocumentWriter, schema: str | None, what: str) -> EprFile:
    folder, _, name = path.rpartition("/")
    return EprFile(folder=folder, name=name, schema=schema, writer=writer, what=what)


# The first that fits is meant: a move is named like a message, and more precisely.
FILES: tuple[EprFile, ...] = (
    _file("contract.json", _US, "Contract", "which contract is kept"),
    _file("outbox/new/NAME.envelope.json", _EPR, "Envelope", "what goes with a message"),
    _file("outbox/new/NAME.move.json", _EPR, "Move", "a message in a few words"),
    _file("outbox/new/NAME.json|xml", _EPR, None, "a FHIR message Bundle"),
    _file(
        "outbox/accepted/NAME.move.receipt.json",
        _US,
        "Made",
        "a move is on disk",
    ),
    _file(
        "outbox/accepted/NAME.receipt.json",
        _US,
        "Receipt",
        "a message is on disk",
    ),
    _file(
        "outbox/refused/NAME.move.reason.json",
        _US,
        "MoveRefusal",
        "a move is not made",
    ),
    _file(
        "outbox/refused/NAME.reason.json",
        _US,
        "Refusal",
        "a message is not taken",
    ),
    *_notices(),
    _file(
        "inbox/new/N.answer.json|xml",
        _US,
        None,
        "what was answered to a message",
    ),
    _file("inbox/new/N.message.json|xml", _US, None, "the message that came"),
    _file("questions/new/N.question.json", _US, "Question", "a question"),
    _file(
        "questions/new/N.request.json|xml",
        _US,
        None,
        "what the question is about",
    ),
    _file("answers/new/N.json", _EPR, "Answer", "an answer"),
    _file("answers/new/N.xml", _EPR, None, "an answer: a FHIR resource"),
    _file("answers/accepted/N.decided.json", _US, "Decided", "an answer was taken"),
    _file("answers/refused/NAME.reason.json", _US, "AnswerRefusal", "it was not taken"),
)


def _components() -> Mapping[str, Schema]:
    found: Mapping[str, Schema] = openapi.document()["components"]["schemas"]
    return {**found, "Envelope": ENVELOPE}


def writers() -> Mapping[str, DocumentWriter]:
    """Return who writes each document of the contract, in folders or on the socket, by name."""
    found = {file.schema: file.writer for file in FILES if file.schema is not None}
    for operation in openapi.OPERATIONS.values():
        found |= dict.fromkeys(_named(operation.get("requestBody", {})), DocumentWriter.EPR)
        found |= dict.fromkeys(_named(operation["responses"]), DocumentWriter.GATEWAY)
    return dict(sorted(found.items()))


def _named(part: object) -> Iterator[str]:
    """Yield the name of each schema that *part* refers to."""
    if isinstance(part, list):
        for each in part:
            yield from _named(each)
    elif isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        for each in part.values():
            yield from _named(each)


def strict(name: str) -> Schema:
    """Return the schema of a document as this version writes it: no member missing, none extra."""
    components = _components()
    needed: dict[str, Schema] = {}
    left = [name]
    while left:
        for each in _named(components[left.pop()]):
            if each not in needed:
                needed[each] = components[each]
                left.append(each)
    return {
        "$schema": _DIALECT,
        "$id": f"urn:bars-gateway:epr-contract:{CONTRACT_VERSION.partition('.')[0]}:{_stem(name)}",
        "title": name,
        **_moved(components[name]),
        **({"$defs": {each: _moved(needed[each]) for each in sorted(needed)}} if needed else {}),
    }


def published(name: str) -> Schema:
    """Return the schema of a document in every version 1.x of the contract."""
    schema = strict(name)
    return _opened(schema) if writers()[name] is DocumentWriter.GATEWAY else schema


def described() -> Schema:
    """Return the description of the socket, as open as what is published."""
    whole = openapi.document()
    written = {name for name, writer in writers().items() if writer is DocumentWriter.EPR}
    schemas = {
        name: schema if name in written else _opened(schema)
        for name, schema in whole["components"]["schemas"].items()
    }
    return whole | {"components": {"schemas": schemas}}


def _moved(part: object) -> Schema:
    """Return *part* with its references leading into the same file."""
    text_of_it = orjson.dumps(part, default=str).decode()
    moved: Schema = orjson.loads(text_of_it.replace(_OF_OPENAPI, _OF_A_FILE))
    return moved


def _opened(part: Schema) -> Schema:
    """Return *part* as it stands once members and values have been added."""
    found: Schema = {}
    for key, value in part.items():
        if (key, value) == ("additionalProperties", False):
            found[key] = True  # said, for generators of clients take silence for a no
        elif key == "enum" and not part.get(_FIXED):
            found["examples"] = value
        elif key != _FIXED:
            found[key] = _opened_within(value)
    return found


def _opened_within(value: object) -> object:
    if isinstance(value, list):
        return [_opened_within(each) for each in value]
    return _opened(value) if isinstance(value, dict) else value


def _stem(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def file_name(name: str) -> str:
    """Return what the file is called that holds the schema of a document."""
    return f"{_stem(name)}.schema.json"


def encoded(name: str) -> bytes:
    """Return the published schema of a document, as its file holds it."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(published(name), option=options)


def shipped() -> Mapping[str, bytes]:
    """Return the files that this release brings, by name."""
    folder = resources.files("bars_gateway.epr") / "schemas"
    return {
        file.name: file.read_bytes()
        for file in sorted(folder.iterdir(), key=lambda each: each.name)
        if file.name.endswith(".schema.json")
    }


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema into *folder*, which is made where it is missing; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in shipped().items():
        (folder / name).write_bytes(content)
        written.append(folder / name)
    return written
