"""
The structure checker against two others who know R4, and every disagreement explained.

HL7's JSON schema and fhir.resources were written independently of each other and of the
gateway. Over published examples and over copies with one defect each, all three should
say the same. Where they do not, a table below says who is wrong and why. In no case do
we accept what one of them refuses, but for the reasons in EXAMPLES.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import oracles
import pytest
from damages import DAMAGES, Site, damaged, sites
from oracles import Oracle, as_json

from bars_gateway.standard import bundle, structure, xml
from bars_gateway.standard.tree import MalformedBundle, Number

pytestmark = pytest.mark.exhaustive

SCHEMA, MODELS = "schema", "fhir.resources"
LISTS = "the schema does not say that a datatype is an object, and so takes a list of it"
CODES = "fhir.resources looks up no codes"
VERSION = "the schema lists FHIR's versions up to 4.0.0, and so refuses 4.0.1"
URI = "fhir.resources takes a uri that begins with a space"

# Published files on which not all three agree, and with which of the others we do not.
EXAMPLES = {
    "capability-statements/BARS-CapabilityStatement-example.xml": {SCHEMA: VERSION},
    "capability-statements/BaRS-Capability-Statement-Booking-and-Referral-Receiver.xml": {
        SCHEMA: VERSION
    },
    "capability-statements/BaRS-Capability-Statement-Booking-and-Referral-Sender.xml": {
        SCHEMA: VERSION
    },
    "capability-statements/BaRS-Capability-Statement-Referral-Receiver.xml": {SCHEMA: VERSION},
    "capability-statements/BaRS-Capability-Statement-Validation-Receiver.xml": {SCHEMA: VERSION},
    "capability-statements/BaRS-Capability-Statement-Validation-Sender.xml": {SCHEMA: VERSION},
    "capability-statements/CapabilityStatement-Response.xml": {SCHEMA: VERSION},
    "examples/slots/BOOKREQRESP01-slot-searchset.xml": {MODELS: URI},
    "openapi/examples/message_definition/"
    "MessageDefinition_ServiceRequest-request_CaseTransfer.json": {SCHEMA: LISTS},
    "openapi/examples/metadata/BaRS_API_Capability_Statement.json": {SCHEMA: VERSION},
    "openapi/examples1.4.0/HealthcareService/post_HealthcareService_Atomic.json": {SCHEMA: LISTS},
    "openapi/examples1.4.0/HealthcareService/success_HealthcareService_Atomic.json": {
        SCHEMA: LISTS
    },
    "openapi/examples1.4.0/HealthcareService/success_bundle.json": {SCHEMA: LISTS},
    "openapi/examples1.4.0/OperationOutcome/REC/500-REC_SERVER_ERROR-too-costly.json": {
        MODELS: CODES
    },
    "openapi/examples1.4.0/invalid-base64.json": {MODELS: CODES},
    "openapi/examples1.4.0/message_definition/"
    "MessageDefinition_ServiceRequest-request_CaseTransfer.json": {SCHEMA: LISTS},
    "openapi/examples1.4.0/unavailable.json": {MODELS: CODES},
}


@dataclass(frozen=True)
class Takes:
    """Why an oracle takes what we refuse, everywhere or but for some kinds of places."""

    because: str
    sometimes: bool = False  # it refuses the defect in other places, as it should


OBJECTS = Takes("the schema does not say that a datatype is an object", sometimes=True)
CONVERTS = Takes("fhir.resources makes a value of the right type of it, as pydantic does")
NARRATIVE = Takes("the schema gives narrative no type", sometimes=True)
NOTHING = "takes what is null or empty for nothing, where nothing is required"

# Defects that not all three see, and why the others do not.
DISAGREEMENTS: dict[str, dict[str, Takes]] = {
    "required element left out": {
        SCHEMA: Takes(
            "a required primitive or choice may be extended only, so it asks for none",
            sometimes=True,
        )
    },
    "text instead of an object": {SCHEMA: OBJECTS},
    "list instead of one object": {SCHEMA: OBJECTS},
    "list instead of one value": {SCHEMA: NARRATIVE},
    "object instead of a value": {SCHEMA: NARRATIVE},
    "number instead of a text": {
        MODELS: Takes("it reads numbers as seconds since 1970", sometimes=True)
    },
    "text instead of a boolean": {MODELS: CONVERTS},
    "text instead of a number": {MODELS: CONVERTS},
    "null": {SCHEMA: OBJECTS, MODELS: Takes(NOTHING, sometimes=True)},
    "null in a list": {
        SCHEMA: OBJECTS,
        MODELS: Takes("it does not ask whether an extension stands beside it", sometimes=True),
    },
    "empty text": {
        SCHEMA: Takes("R4's expression for a uri allows for no characters", sometimes=True),
        MODELS: Takes("so does that for a uri; and it has none for markdown", sometimes=True),
    },
    "empty list": {SCHEMA: Takes("it asks for no length"), MODELS: Takes(NOTHING)},
    "empty object": {
        SCHEMA: Takes("it asks for no members where none is required", sometimes=True),
        MODELS: Takes(NOTHING, sometimes=True),
    },
    "empty extensions of a value": {SCHEMA: Takes("as of any empty object", sometimes=True)},
    "code that R4 does not list": {
        SCHEMA: Takes("it lists the codes of some bindings only", sometimes=True),
        MODELS: Takes(CODES),
    },
    "id of 65 characters": {MODELS: Takes("it measures no id")},
    "day that does not exist": {SCHEMA: Takes("an expression knows no calendar")},
    "uri with a space": {MODELS: Takes(URI)},
    "control character": {
        SCHEMA: Takes("R4's expression lets pass what XML cannot carry"),
        MODELS: Takes("the same expression, or none"),
    },
    "form feed": {MODELS: Takes("it has no expression for texts")},
    "negative number": {SCHEMA: Takes("expressions do not apply to JSON numbers")},
    "broken whole number": {SCHEMA: Takes("expressions do not apply to JSON numbers")},
    "too large whole number": {SCHEMA: Takes("expressions do not apply to JSON numbers")},
    "narrative that is no XML": {
        SCHEMA: Takes("it does not look into narrative"),
        MODELS: Takes("it does not look into narrative"),
    },
    "narrative without its namespace": {
        SCHEMA: Takes("it does not look into narrative"),
        MODELS: Takes("it does not look into narrative"),
    },
    "unpadded Base64": {
        SCHEMA: Takes("it has no expression for Base64"),
    },
    "two types of one choice": {SCHEMA: Takes("it does not know that they are one element")},
}

# What no published example holds, so that each kind of defect has its place.
FURNISHED: dict[str, Any] = {
    "resourceType": "Patient",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'},
    "photo": [{"contentType": "image/png", "data": "QUJD", "size": Number("3")}],
    "multipleBirthInteger": Number("2"),
}


@pytest.fixture(scope="module")
def others(reference_data: Path) -> dict[str, Oracle]:
    schema = oracles.schema(reference_data / "fhir-r4" / "fhir.schema.json")
    return {SCHEMA: schema, MODELS: oracles.models}


def published(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the name and the tree of every published resource that can be read."""
    for area in ("examples", "capability-statements", "message-definitions", "harness", "openapi"):
        for file in sorted((folder / area).rglob("*.*")):
            if file.suffix not in {".xml", ".json"}:
                continue
            body = file.read_bytes()
            try:
                tree = xml.to_tree(body).tree if file.suffix == ".xml" else bundle.from_json(body)
            except MalformedBundle:  # no JSON, no namespace, no resource
                continue
            if "resourceType" in tree:
                yield str(file.relative_to(folder)), tree


def ours(tree: Any) -> bool:
    return not structure.check(tree)


def test_all_agree_on_what_was_published(reference_data: Path, others: dict[str, Oracle]) -> None:
    """Three verdicts on every file, and the table of those that differ."""
    found = {}
    for name, tree in published(reference_data):
        differing = {each for each, oracle in others.items() if oracle(tree) is not ours(tree)}
        if differing:
            found[name] = differing

    assert {name: set(reasons) for name, reasons in EXAMPLES.items()} == found


@pytest.fixture(scope="module")
def places(reference_data: Path, others: dict[str, Oracle]) -> dict[str, tuple[Any, Site]]:
    """Return a place for each member that the examples have on which all agree."""
    found: dict[str, tuple[Any, Site]] = {}
    verdicts = (ours, *others.values())
    clean = [
        tree for _, tree in published(reference_data) if all(verdict(tree) for verdict in verdicts)
    ]
    for tree in (FURNISHED, *(each for whole in clean for each in (*inner(whole), whole))):
        for site in sites(tree):
            found.setdefault(site.kind, (tree, site))
    return found


def inner(tree: Any) -> list[Any]:
    return [entry["resource"] for entry in tree.get("entry", []) if "resource" in entry]


@pytest.mark.parametrize("damage", DAMAGES)
def test_all_see_what_is_broken(
    damage: str, others: dict[str, Oracle], places: dict[str, tuple[Any, Site]]
) -> None:
    """We see each defect wherever it can be; the others do, or the table says why not."""
    copies = [
        damaged(tree, damage, site)
        for tree, site in places.values()
        if DAMAGES[damage].applies(site)
    ]
    overlooked = {name: sum(oracle(copy) for copy in copies) for name, oracle in others.items()}
    expected = DISAGREEMENTS.get(damage, {})

    assert copies, "no example has a place for this defect"
    assert [] == [copy for copy in copies if ours(copy)]
    assert set(expected) == {name for name, count in overlooked.items() if count}
    assert [] == [
        name
        for name, takes in expected.items()
        if takes.sometimes is (overlooked[name] == len(copies))
    ]


def test_xml_is_converted_as_others_convert_it(reference_data: Path) -> None:
    """fhir.resources reads the same values in our JSON of a message as in its XML."""
    differing = []
    for file in sorted((reference_data / "examples" / "messages").rglob("*.xml")):
        body = file.read_bytes()
        theirs = oracles.models_read(body)
        if theirs != type(theirs).model_validate_json(as_json(xml.to_tree(body).tree)):
            differing.append(file.name)

    assert [] == differing
