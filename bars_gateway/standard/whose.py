"""
Whose a record is that a Receiver shows: what it says of its patient, in every way it may.

    our Patient + record + what came beside it ──sameness_of──► Sameness (`patients`)

A record names its patient by number (`subject.identifier`, the actor of an Appointment), holds a
Patient, or refers to one that came beside it, by its fullUrl or as `Patient/id`. Whoever mixes up
two records may name one patient here and another there: then it is another's. Where it says
nothing at all, the Patients that came with it are whom the answer is about.

That nothing is said, as in the answers that the guide shows, proves nothing and contradicts
nothing (`unknown_patient`). An id that we know stands then; none is learnt from such a record.

Decisions: D-same-patient, D-duplicate.
"""

import re
from collections.abc import Iterator, Sequence

from bars_gateway.standard.bundle import Entry, Message, bare_id, map_of, maps_of, text_of
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.patients import (
    Patient,
    Sameness,
    are_one,
    compare,
    numbered_in,
    patient_in,
)
from bars_gateway.standard.tree import Resource

_PATIENT = "patient"
_VERSION = re.compile(r"/_history/[^/]*$")
_TO_A_TYPE = re.compile(r"(?:^|/)([a-z]+)/([^/]+)$")


def sameness_of(ours: Patient, record: Resource, beside: Sequence[Entry] = ()) -> Sameness:
    """Return whether *record* is of our patient; *beside*: what came in the same Bundle."""
    people = are_one(_people(record, beside))
    numbered = [each for each in people if each.nhs_numbers]
    deciding = numbered if ours.nhs_numbers and numbered else people
    found = {compare(ours, each) for each in deciding}
    order = (Sameness.OTHER_PATIENT, Sameness.SAME, Sameness.NEWLY_TRACED)
    return next((each for each in order if each in found), Sameness.UNKNOWN_PATIENT)


def refers_to_ours(message: Message, record: Resource) -> bool:
    """
    Tell whether *record* refers to the very Patient of *message*, by the UUID that we gave.

    The guide's own answers show nothing else of whom they are about.
    """
    ours = {bare_id(each.full_url) for each in message.entries if each.type == "Patient"}
    return any(is_uuid(each) and each in ours for each in map(bare_id, _references(record)))


def _people(record: Resource, beside: Sequence[Entry]) -> list[Patient]:
    patients = [each for each in beside if each.type == "Patient"]
    references = list(_references(record))
    held = [each for each in maps_of(record, "contained") if _is_patient(each)]
    held += [each.resource for each in patients if any(_is_at(each, ref) for ref in references)]
    said = [*numbered_in(record), *map(patient_in, held)]
    if any(each != Patient() for each in said):
        return said
    return [patient_in(each.resource) for each in patients]


def _references(record: Resource) -> Iterator[str]:
    """Yield what it says that it is about; the reference of an actor may be to a clinician."""
    actors = [map_of(each, "actor") for each in maps_of(record, "participant")]
    for each in (map_of(record, "subject"), map_of(record, "patient"), *actors):
        if text_of(each, "reference"):
            yield text_of(each, "reference")


def _is_patient(resource: Resource) -> bool:
    return text_of(resource, "resourceType") == "Patient"


def _is_at(patient: Entry, reference: str) -> bool:
    """Tell whether *reference* is to that entry: by its fullUrl, or as `Patient/id`."""
    if reference == patient.full_url:
        return True
    known = {_typed(patient.full_url), (_PATIENT, text_of(patient.resource, "id").lower())}
    bare = (_PATIENT, bare_id(reference))  # of a urn:uuid, which has no type
    return (_typed(reference) or bare) in known


def _typed(url: str) -> tuple[str, str] | None:
    found = _TO_A_TYPE.search(_VERSION.sub("", url.strip().lower()))
    return (found[1], found[2]) if found else None
