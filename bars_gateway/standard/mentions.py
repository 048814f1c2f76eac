"""
What stands in a message at whatever depth: its references, and its Patients.

    objects by type, of what shows to be sound ──mentions_by_type──┐
                                                                   ├──► Mentions(references, …)
    every object, of what does not ───────────────────mentions_in──┘

Nearly every message shows to be sound where its structure is looked at, and that look puts every
object with the others of its type (`structure.Sound`). Nobody has to go through all of them again
for the few that refer to something.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import contains

from bars_gateway.frozen import frozen
from bars_gateway.standard.tree import Json, Resource, text_of

Held = Mapping[str, list[Resource]]  # every object of a resource that is sound, by its type
# R4's types with a text of that name; an identifier stands beside that of the first alone.
_REFERRING = ("Reference", "Expression", "DetectedIssue", "Immunization.education")


@frozen(kw_only=True)
class Mentions:
    """What was found in all that a message holds."""

    references: frozenset[str]
    names_by_identifier: bool  # whether anything is referred to by an identifier
    patients: list[Resource]


def mentions_by_type(held: Held) -> Mentions:
    """Return what is found in what shows to be sound."""
    found = [each for kind in _REFERRING if kind in held for each in held[kind]]
    return Mentions(
        references=frozenset([text_of(each, "reference") for each in found if "reference" in each]),
        names_by_identifier=any(map(contains, held.get("Reference", ()), repeat("identifier"))),
        patients=held.get("Patient", []),
    )


def mentions_in(objects: Sequence[Resource]) -> Mentions:
    """Return what is found in *objects*, which may hold anything."""
    references: set[str] = set()
    identifiers: list[Json] = []
    patients: list[Resource] = []
    for each in objects:
        if "reference" in each and (reference := each["reference"]).__class__ is str:
            references.add(reference)
        if "identifier" in each:
            identifiers.append(each["identifier"])
        if "resourceType" in each and is_patient(each):
            patients.append(each)
    return Mentions(
        references=frozenset(references),
        names_by_identifier=any(each.__class__ is dict for each in identifiers),
        patients=patients,
    )


def is_patient(each: Resource) -> bool:
    """Tell whether an object is a Patient."""
    return each.get("resourceType") == "Patient"
