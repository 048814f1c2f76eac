"""
Which of a Receiver's records is the one that a message made, after a duplicate (TI, 409).

    our Bundle ──search_of──► GET …?patient:identifier=…
    our Bundle + what came ──matches──► the ids of the records that can only be ours

A patient may have several referrals at one service, and a change that names the wrong one
cancels somebody else's work. So a record counts only if it says itself that it is ours: by an
identifier that we gave, by our id, or by the very instant that we wrote into it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bars_gateway.standard.bundle import Message, instant, map_of, maps_of, text_of
from bars_gateway.standard.patients import NHS_NUMBER, is_placeholder, numbers_written
from bars_gateway.standard.tree import Resource

_INSTANTS = {"ServiceRequest": ("authoredOn",), "Appointment": ("start", "end")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search of a Receiver for what it has of one patient."""

    resource_type: str
    identifier: str  # of the patient, system|value


def search_of(message: Message) -> Search | None:
    """
    Return how to look for the record that *message* made; None: it names no NHS number.

    One that fails its check digit finds what is kept under it; a placeholder finds everybody.
    """
    numbers = {each for each in numbers_written(message) if not is_placeholder(each)}
    if message.focus_type not in _INSTANTS or len(numbers) != 1:
        return None
    (number,) = numbers
    return Search(resource_type=message.focus_type, identifier=f"{NHS_NUMBER}|{number}")


def matches(message: Message, found: Message) -> Sequence[str]:
    """Return the ids of those records in *found*, a searchset, that *message* made."""
    references = [text_of(each, "reference") for each in maps_of(message.header, "focus")]
    ours = next((e.resource for ref in references if (e := message.resolve(ref))), {})
    theirs = (
        record
        for _, record in found.all(message.focus_type or "")
        if not _is_of_another(message, found, record)
    )
    return sorted({text_of(record, "id") for record in theirs if _is_same(ours, record)} - {""})


def _is_of_another(message: Message, found: Message, record: Resource) -> bool:
    """Tell whether the record names another patient, whatever was searched for."""
    subject = map_of(record, "subject")
    patient = found.resolve(text_of(subject, "reference"))
    shown = maps_of(patient.resource, "identifier") if patient else []
    identifiers = [map_of(subject, "identifier"), *shown]
    named = {text_of(i, "value") for i in identifiers if text_of(i, "system") == NHS_NUMBER} - {""}
    return bool(named) and named.isdisjoint(numbers_written(message))


def _is_same(ours: Resource, theirs: Resource) -> bool:
    if _identifiers(ours) & _identifiers(theirs):
        return True
    if text_of(ours, "id") == text_of(theirs, "id") != "":
        return True
    names = _INSTANTS.get(text_of(ours, "resourceType"), ("id",))
    moments = [(instant(text_of(ours, name)), instant(text_of(theirs, name))) for name in names]
    return all(our is not None and our == their for our, their in moments)


def _identifiers(resource: Resource) -> set[tuple[str, str]]:
    return {
        (text_of(each, "system"), text_of(each, "value"))
        for each in maps_of(resource, "identifier")
        if text_of(each, "value")
    }
