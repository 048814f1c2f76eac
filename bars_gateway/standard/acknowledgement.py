"""
What the body of a 2xx says: whether it speaks of our message, of another, or of nobody.

    our Bundle + the body ──read_acknowledgement──► Acknowledgement(said, focus_id)

Core does not describe this body, and Receivers fill it as they like: with our Bundle and their
ids, with ids of their own alone, with nothing. So the body decides what is *taken* from it,
and only a contradiction decides what is *believed*: whoever answers with another patient, case
or event has mixed up two requests, and an id from there would cancel somebody else's referral.

Decisions: D-foreign-answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bars_gateway.standard import xml
from bars_gateway.standard.bundle import (
    MalformedBundle,
    Message,
    from_json,
    maps_of,
    said_by,
    text_of,
)
from bars_gateway.standard.particulars import Particulars, particulars_of, same_case
from bars_gateway.standard.patients import Sameness, compare, numbered_in, patient_of
from bars_gateway.standard.tree import Resource


class Said(StrEnum):
    """Of whom the body of a 2xx speaks."""

    NOTHING = "nothing"  # of nobody: there is none, or it is no Bundle, or one without a message
    OURS = "ours"  # it has our focus, or our Bundle.id
    OTHER = "other"  # it does not say that it is about our message, nor anything against it
    FOREIGN = "foreign"  # it names another patient, case number or event than ours


MEANINGS: Mapping[Said, str] = {
    Said.NOTHING: "no message",
    Said.OURS: "our focus or our Bundle.id",
    Said.OTHER: "another Bundle, which contradicts nothing",
    Said.FOREIGN: "another NHS number, case number or event than ours",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What is to be believed of the body of a 2xx, and what may be taken from it."""

    said: Said
    focus_id: str | None = None  # what the Receiver calls the record; of ours alone


NO_BODY = Acknowledgement(said=Said.NOTHING)


def read_acknowledgement(ours: Message, body: bytes, media_type: str) -> Acknowledgement:
    """Return what *body* says as an answer to *ours*; never raises, wherever it came from."""
    tree = _tree(body, media_type)
    return NO_BODY if tree is None else _judged(ours, tree)


def bundle_about(ours: Message, body: bytes, media_type: str) -> Resource:
    """
    Return the Bundle in *body* where it speaks of *ours*, or else an empty one.

    Whatever is made of an answer later rests on this: bytes that are none, whatever their header
    says, and what is about another message, are as no answer at all.
    """
    tree = _tree(body, media_type)
    return tree if tree is not None and _judged(ours, tree).said is Said.OURS else {}


def _judged(ours: Message, tree: Resource) -> Acknowledgement:
    found = _message(tree)
    if _names_another(ours, tree) or (found is not None and _contradicts(ours, found)):
        return Acknowledgement(said=Said.FOREIGN)
    if found is None or found.root is not tree or _is_without_message(found):
        return NO_BODY
    return _taken(ours, found)


def _tree(body: bytes, media_type: str) -> Resource | None:
    """Return what *body* holds, whichever of the two formats its header gives it out for."""
    is_xml = body.lstrip()[:1] == b"<" or ("xml" in media_type and body.lstrip()[:1] != b"{")
    try:
        return xml.to_tree(body).tree if is_xml else from_json(body)
    except MalformedBundle:
        return None


def _message(tree: Resource) -> Message | None:
    """Return a Bundle, or a record as if it came in one; None where neither can be read."""
    alone: Resource = {"resourceType": "Bundle", "entry": [{"resource": tree}]}
    try:
        return said_by(tree if text_of(tree, "resourceType") == "Bundle" else alone)
    except MalformedBundle:
        return None


def _is_without_message(found: Message) -> bool:
    return all(entry.type == "OperationOutcome" for entry in found.entries)


def _taken(ours: Message, found: Message) -> Acknowledgement:
    """Return what may be taken of an answer that contradicts nothing."""
    if compare(patient_of(ours), patient_of(found)) is Sameness.OTHER_PATIENT:
        return Acknowledgement(said=Said.OTHER)  # by the name alone, which may be spelt otherwise
    entry = found.resolve(ours.focus_url)
    if entry is not None:
        return Acknowledgement(said=Said.OURS, focus_id=text_of(entry.resource, "id") or None)
    if ours.bundle_id and found.bundle_id == ours.bundle_id:
        return Acknowledgement(said=Said.OURS, focus_id=found.focus_id)
    return Acknowledgement(said=Said.OTHER)


def _contradicts(ours: Message, found: Message) -> bool:
    if ours.event and found.event and ours.event != found.event:
        return True
    return _is_other_case(particulars_of(ours), particulars_of(found), found)


def _names_another(ours: Message, tree: Resource) -> bool:
    """Tell whether any number in it is not our patient's, in a Patient or in a record."""
    here = patient_of(ours)
    return bool(here.nhs_numbers) and any(
        compare(here, each) is Sameness.OTHER_PATIENT for each in numbered_in(tree)
    )


def _is_other_case(here: Particulars, there: Particulars, found: Message) -> bool:
    """
    Tell whether what comes back as our Encounter has another case number.

    A Receiver adds a `planned` Encounter with a number of its own: that contradicts nothing.
    """
    if not here.case_numbers or same_case(here, there):
        return False
    return any(
        text_of(each, "value")
        for _, encounter in found.all("Encounter")
        if text_of(encounter, "status") != "planned"
        for each in maps_of(encounter, "identifier")
    )
