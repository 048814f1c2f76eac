"""
What the body of a 2xx says: whether it speaks of our message, of another, or of nobody.

    our Bundle + the body ──read_acknowledgement──► Acknowledgement(said, focus_id)

Core does not describe this body, and Receivers fill it as they like: with our Bundle and their
ids, with ids of their own alone, with nothing. So the body decides what is *taken* from it,
and only a contradiction decides what is *believed*: whoever answers with another patient, case
or event has mixed up two requests, and an id from there would cancel somebody else's referral.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bars_gateway.standard.bundle import MalformedBundle, Message, maps_of, read, text_of
from bars_gateway.standard.particulars import Particulars, particulars_of, same_case
from bars_gateway.standard.patients import Sameness, compare, patient_of


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
    try:
        found = read(body, media_type)
    except MalformedBundle:
        return NO_BODY
    if all(entry.type == "OperationOutcome" for entry in found.entries):
        return NO_BODY
    if _contradicts(ours, found):
        return Acknowledgement(said=Said.FOREIGN)
    return _taken(ours, found)


def _taken(ours: Message, found: Message) -> Acknowledgement:
    """Return what may be taken of an answer that contradicts nothing."""
    if compare(patient_of(ours), patient_of(found)) is Sameness.OTHER_PATIENT:
        return Acknowledgement(said=Said.OTHER)  # by the name alone, which may be spelt otherwise
    url = _focus_url(ours)
    entry = found.resolve(url) if url else None
    if entry is not None:
        return Acknowledgement(said=Said.OURS, focus_id=text_of(entry.resource, "id") or None)
    if ours.bundle_id and found.bundle_id == ours.bundle_id:
        return Acknowledgement(said=Said.OURS, focus_id=found.focus_id)
    return Acknowledgement(said=Said.OTHER)


def _contradicts(ours: Message, found: Message) -> bool:
    if ours.event and found.event and ours.event != found.event:
        return True
    here, there = patient_of(ours), patient_of(found)
    both_numbered = bool(here.nhs_numbers and there.nhs_numbers)
    if both_numbered and compare(here, there) is Sameness.OTHER_PATIENT:
        return True
    return _is_other_case(particulars_of(ours), particulars_of(found), found)


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


def _focus_url(message: Message) -> str:
    return next((text_of(each, "reference") for each in maps_of(message.header, "focus")), "")
