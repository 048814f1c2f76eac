"""What may change the meaning of a message: where it is found, and what it costs others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from variants import (
    Bundle,
    a_cancelled_referral,
    a_full_response,
    a_pharmacy_referral,
    a_referral,
    a_transfer_response,
    add,
    path_of,
    resource,
)

from bars_gateway.standard import bundle, modifiers, structure
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.meaning import Said, read_alone
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.rule import AgreedSeverity
from bars_gateway.standard.rules.modifiers import (
    doubts_about,
    heard_in,
    modifiers_of,
)

MODIFIED = {"modifierExtension": [{"url": "https://gateway.example/x", "valueBoolean": True}]}
RULES = {"implicitRules": "https://gateway.example/rules"}


def read(tree: Bundle, *, sound: bool) -> Message:
    """Read it as a message is that shows to be R4 at once, or as one that is looked at closely."""
    body = json.dumps(tree).encode()
    found = structure.sound_in(body) if sound else None
    return bundle.said_by(found.tree, found.by_type) if found else bundle.read(body)


def in_the(kind: str, *names: Any) -> Callable[[Bundle], Any]:
    def found(tree: Bundle) -> Any:
        node: Any = resource(tree, kind)
        for name in names:
            node = node[name]
        return node

    return found


PLACES = [
    pytest.param(lambda tree: tree, RULES, "Bundle.implicitRules", id="bundle"),
    pytest.param(
        lambda tree: tree["entry"][1], MODIFIED, "Bundle.entry[1].modifierExtension", id="entry"
    ),
    pytest.param(
        in_the("MessageHeader", "source"),
        MODIFIED,
        "MessageHeader.source.modifierExtension",
        id="source",
    ),
    pytest.param(in_the("Patient"), RULES, "Patient.implicitRules", id="patient"),
    pytest.param(
        in_the("Patient", "contact", 0),
        MODIFIED,
        "Patient.contact[0].modifierExtension",
        id="contact",
    ),
    pytest.param(
        in_the("CarePlan", "activity", 0),
        MODIFIED,
        "CarePlan.activity[0].modifierExtension",
        id="activity",
    ),
]


@pytest.mark.parametrize(("where", "what", "path"), PLACES)
def test_what_nobody_knows_is_named(
    where: Callable[[Bundle], Any], what: Bundle, path: str
) -> None:
    """Wherever it stands."""
    tree = a_referral()
    where(tree).update(what)
    kind, _, rest = path.partition(".")
    expected = path if kind == "Bundle" else f"{path_of(tree, kind)}.{rest}"

    assert (expected,) == modifiers.unknown(read(tree, sound=True))


@pytest.mark.parametrize(("where", "what", "path"), PLACES)
def test_what_nobody_knows_takes_a_close_look(
    where: Callable[[Bundle], Any], what: Bundle, path: str
) -> None:
    """So nobody has to look for one in what is sound at first sight, as nearly every message is."""
    tree = a_referral()
    where(tree).update(what)
    said = bundle.from_json(json.dumps(tree).encode())

    assert structure.sound(said) is None, path
    assert structure.problems(said, path="Bundle") == []


def test_what_is_contained_is_looked_into() -> None:
    """A resource within another is one, too."""
    tree = a_referral()
    known = {"resourceType": "Condition", "id": "c", "subject": {"reference": "#p"}}
    refuted = {"verificationStatus": {"coding": [{"code": "refuted"}]}}
    resource(tree, "CarePlan")["contained"] = [known | refuted | RULES]
    plan = path_of(tree, "CarePlan")
    message = read(tree, sound=True)

    assert (f"{plan}.contained[0].implicitRules",) == modifiers.unknown(message)
    assert (f"{plan}.contained[0].verificationStatus",) == modifiers.denied(message)


@pytest.mark.parametrize(
    ("contained", "element"),
    [
        ({"resourceType": "ServiceRequest", "doNotPerform": True}, "doNotPerform"),
        (
            {"resourceType": "CarePlan", "activity": [{"detail": {"status": "cancelled"}}]},
            "activity[0].detail.status",
        ),
    ],
)
def test_what_is_contained_and_not_to_be_done_is_a_part_that_is_denied(
    contained: Bundle, element: str
) -> None:
    """A request within a plan is a part of the plan: the message asks for more than that."""
    tree = a_referral()
    resource(tree, "CarePlan")["contained"] = [contained]
    message = read(tree, sound=False)

    assert (f"{path_of(tree, 'CarePlan')}.contained[0].{element}",) == modifiers.denied(message)
    assert (Remark.PARTS_DENIED,) == doubts_about(message)


def coded(code: str) -> Bundle:
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/x", "code": code}]}


DENIED = [
    ("AllergyIntolerance", {"verificationStatus": coded("refuted")}),
    ("CarePlan", {"activity": [{"detail": {"status": "not-started", "doNotPerform": True}}]}),
    ("CarePlan", {"activity": [{"detail": {"status": "entered-in-error"}}]}),
    ("Condition", {"verificationStatus": coded("entered-in-error")}),
    ("Consent", {"status": "inactive"}),
    ("Encounter", {"status": "entered-in-error"}),
    ("Flag", {"status": "inactive"}),
    ("HealthcareService", {"active": False}),
    ("MedicationRequest", {"doNotPerform": True}),
    ("MedicationStatement", {"status": "not-taken"}),
    ("Observation", {"status": "cancelled"}),
    ("Observation", {"status": "entered-in-error"}),
    ("Patient", {"active": False}),
    ("Patient", {"deceasedBoolean": True}),
    ("Patient", {"deceasedDateTime": "2026-03-01"}),
    ("Patient", {"link": [{"other": {"reference": "Patient/2"}, "type": "replaced-by"}]}),
    ("Procedure", {"status": "not-done"}),
    ("QuestionnaireResponse", {"status": "entered-in-error"}),
    ("Task", {"status": "rejected"}),
]
STANDS = [
    ("AllergyIntolerance", {"clinicalStatus": coded("resolved")}),
    ("Condition", {"verificationStatus": coded("provisional")}),
    ("MedicationStatement", {"status": "stopped"}),
    ("Observation", {"status": "preliminary"}),
    ("Patient", {"active": True, "deceasedBoolean": False}),
    ("Patient", {"link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}]}),
]


def with_one(kind: str, content: Bundle) -> tuple[Bundle, str]:
    """Return a referral with a resource of that type and content, and the path of the resource."""
    tree = a_pharmacy_referral()
    there = [e for e in tree["entry"] if e["resource"]["resourceType"] == kind]
    if there:
        there[0]["resource"].update(content)
    else:
        add(tree, kind, **content)
    return tree, path_of(tree, kind)


@pytest.mark.parametrize(("kind", "content"), DENIED)
def test_what_does_not_hold_is_named(kind: str, content: Bundle) -> None:
    """Of what it is about, and of that element alone."""
    tree, path = with_one(kind, content)
    (found,) = modifiers.denied(read(tree, sound=False))

    assert found.startswith(f"{path}.")
    assert found.rpartition(".")[2] in json.dumps(content)


@pytest.mark.parametrize(("kind", "content"), STANDS)
def test_what_holds_is_not_named(kind: str, content: Bundle) -> None:
    """What has passed, or is not certain yet, is the EPR's to read: a remark would be noise."""
    tree, _ = with_one(kind, content)

    assert () == modifiers.denied(read(tree, sound=False))


def test_the_status_that_the_move_says_is_none() -> None:
    """A request that was made by mistake is cancelled so, and the notice says that."""
    tree = a_cancelled_referral()
    resource(tree, "ServiceRequest")["status"] = "entered-in-error"

    assert () == doubts_about(read(tree, sound=True))


@pytest.mark.parametrize("make", [a_full_response, a_transfer_response])
@pytest.mark.parametrize("kind", ["CarePlan", "Encounter", "MessageHeader", "ServiceRequest"])
def test_a_word_that_may_mean_something_else_is_unclear(
    make: Callable[[], Bundle], kind: str
) -> None:
    """Nobody is told that help is on its way, or that nothing is to be done, on such a word."""
    tree = make()
    if not any(e["resource"]["resourceType"] == kind for e in tree["entry"]):
        add(tree, kind, status="active", intent="plan")
    resource(tree, kind).update(MODIFIED)
    message = read(tree, sound=False)
    heard = heard_in(message, doubts_about(message))

    assert heard is not None
    assert Said.UNCLEAR is read_alone(heard).said


def test_a_word_beside_which_something_is_changed_is_what_it_is() -> None:
    """What nobody knows of a service or a consent turns no *finished* into something else."""
    tree = a_full_response()
    resource(tree, "Consent").update(MODIFIED)
    message = read(tree, sound=True)
    doubts = doubts_about(message)
    heard = heard_in(message, doubts)

    assert (Remark.MEANING_CHANGED,) == doubts
    assert heard is not None
    assert Said.UNCLEAR is not read_alone(heard).said


def test_what_is_agreed_on_is_no_remark() -> None:
    """Two organisations may know what BaRS does not."""
    tree = a_full_response()
    resource(tree, "Encounter").update(MODIFIED)
    message = read(tree, sound=True)
    doubts = doubts_about(message, {"B01M": AgreedSeverity.OFF})
    heard = heard_in(message, doubts)

    assert () == doubts
    assert heard is not None
    assert not heard.modified


def test_only_what_was_remarked_upon_is_named() -> None:
    """And each by its rule and place, without what stands there."""
    tree = a_referral()
    resource(tree, "ServiceRequest")["doNotPerform"] = True
    resource(tree, "Consent").update(MODIFIED)
    message = read(tree, sound=True)
    told = modifiers_of(message, [Remark.NOT_TO_BE_DONE])

    assert (Remark.NOT_TO_BE_DONE, Remark.MEANING_CHANGED) == doubts_about(message)
    assert [("R04N", f"{path_of(tree, 'ServiceRequest')}.doNotPerform")] == [
        (each.rule, each.path) for each in told
    ]
    assert "gateway.example" not in repr(modifiers_of(message, list(Remark)))


def test_no_published_message_has_any(reference_data: Path) -> None:
    """A remark that is always there is read by nobody."""
    for file in sorted((reference_data / "examples" / "messages").rglob("*.*")):
        written = "xml" if file.suffix == ".xml" else "json"
        message = bundle.read(file.read_bytes(), f"application/fhir+{written}")
        found = (modifiers.unknown, modifiers.not_to_be_done, modifiers.denied)
        assert [(), (), ()] == [look(message) for look in found], file.name
