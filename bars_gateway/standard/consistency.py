"""
Whether messages belong together: a later one with the first, two requests, two attempts.

Every later message of a workflow has to agree in some things with the one that began it.

    message ──case_details_of──► CaseDetails ──┬─ other_patient, other_use_case: it is refused
                                               └─ same_case, same_journey: where several fit

The right id with the wrong patient is how one patient's booking is cancelled for another's.
Who is who is decided in `patients`, and nowhere else. Where one message names no use case,
nothing is said against it. (Guide: Cancellation; the Receiver cross-checks.)

Case numbers and the journey never find a workflow: they tell apart those that ids have found.

Two new requests may be one that was built twice: an EPR restored from a backup does that.

    request ──likeness_of──► digest of use case, case numbers and instants ──► candidates
    candidates ──patients.compare──► the same patient: two records of one referral

Nothing is refused for it, and nothing waits: a second referral may be meant. But two records
of one patient are worked on apart, and who cancels the one believes that nobody comes. So both
sides are told. What a likeness is made of stands in the message; of the patient it has nothing.

Two messages under one X-Request-Id may say the same (D-same-request-id).

    Message, target, correlation id ──said──► one digest, whatever was only numbered again

A Sender that lost our answer should repeat its bytes. Some make the message again: with
another Bundle.id and MessageHeader.id, other fullUrls, and in a new request other resource
ids. Then nothing else was said, and *duplicate* is the truth. All else counts as it is
written: identifiers, `response.identifier`, the ids of an update, a cancellation or a response,
the slot of a booking, the service and the correlation id. What was not processed is
never called a duplicate.

When it was written counts in a response only: there it says which of two is newer.

Decisions: D-second-record.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import field

import orjson

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import (
    Entry,
    Json,
    Message,
    Number,
    bare_id,
    instant,
    map_of,
    maps_of,
    text_of,
)
from bars_gateway.standard.patients import ONE_PATIENT, Patient, Sameness, compare, patient_of
from bars_gateway.standard.workflow import FINAL, REQUESTER_MOVES, Move, State

# A member, and never within a text: there its quotation marks would be escaped.
_REFERENCE = re.compile(rb'"reference":("[^"\\]*(?:\\.[^"\\]*)*")')
# What an EPR writes into a record once, when somebody asks: a second asking has others.
_INSTANTS: Mapping[str, tuple[str, ...]] = {
    "ServiceRequest": ("authoredOn",),
    "Appointment": ("start", "end"),
}
# Nobody there acts on these: to ask again after them is no second record.
NOBODY_ACTS = frozenset({State.REFUSED, State.ABANDONED, State.CANCELLED})
# There the Receiver is known to have the request, and nothing has ended it.
PROVED = frozenset(State) - FINAL - {State.REQUESTED, State.UNCONFIRMED}
# What a Receiver's search gave to a booking, which says by it what it books.
_GIVEN = frozenset("HealthcareService Location Practitioner PractitionerRole Schedule Slot".split())
_WRITTEN_ON = {"ServiceRequest": "authoredOn", "Appointment": "created"}


@frozen(kw_only=True)
class CaseDetails:
    """Whom a message is about, and in which use case."""

    patient: Patient
    use_case: str  # a4t1; empty where the message names none
    case_numbers: frozenset[str] = field(default=frozenset(), repr=False)  # of its Encounters
    journey_id: str | None = None


def case_details_of(message: Message) -> CaseDetails:
    """Return what *message* says of itself."""
    return CaseDetails(
        patient=patient_of(message),
        use_case=message.use_case,
        case_numbers=case_numbers_of(message),
        journey_id=journey_of(message),
    )


def case_numbers_of(message: Message) -> frozenset[str]:
    """Return the case numbers that *message* names."""
    # By the value alone: published examples have one organisation's under the other's system.
    encounters = (encounter for _, encounter in message.all("Encounter"))
    identifiers = (each for encounter in encounters for each in maps_of(encounter, "identifier"))
    return frozenset(text_of(each, "value") for each in identifiers) - {""}


def journey_of(message: Message) -> str | None:
    """Return the journey id, if the Encounters of *message* name one and no more (CS-117)."""
    found = {
        bare_id(text_of(episode, "reference").partition("/_history/")[0].rpartition("/")[2])
        for _, encounter in message.all("Encounter")
        for episode in maps_of(encounter, "episodeOfCare")
    } - {""}
    return found.pop() if len(found) == 1 else None


def other_patient(one: CaseDetails, other: CaseDetails) -> bool:
    """Tell whether what they say of the patient speaks of two."""
    return compare(one.patient, other.patient) is Sameness.OTHER_PATIENT


def other_use_case(one: CaseDetails, other: CaseDetails) -> bool:
    """Tell whether both name a use case, and not the same."""
    return bool(one.use_case and other.use_case) and one.use_case != other.use_case


def same_case(one: CaseDetails, other: CaseDetails) -> bool:
    """Tell whether they have a case number in common."""
    return not one.case_numbers.isdisjoint(other.case_numbers)


def same_journey(one: CaseDetails, other: CaseDetails) -> bool:
    """Tell whether both name the same journey, of the same patient."""
    journey = one.journey_id is not None and one.journey_id == other.journey_id
    return journey and compare(one.patient, other.patient) in ONE_PATIENT


def likeness_of(message: Message) -> str | None:
    """Return what new requests that are one have in common; None: it has no instants."""
    moments = [instant(written) for written in _written(message)]
    if not moments or None in moments:
        return None
    said = [
        message.use_case,
        message.focus_type or "",
        *sorted(case_numbers_of(message)),
        *_slots(message),
        *(moment.isoformat() for moment in moments if moment),
    ]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def stands(state: State) -> bool:
    """Tell whether somebody may be working on a record whose workflow is in *state*."""
    return state not in FINAL


def matters(state: State) -> bool:
    """Tell whether who reads of one record may mean the other, which is in *state*."""
    return state not in NOBODY_ACTS


def _written(message: Message) -> Iterator[str]:
    focus = message.focus
    for name in _INSTANTS.get(text_of(focus, "resourceType"), ()):
        yield text_of(focus, name)


def _slots(message: Message) -> list[str]:
    """Return what is booked: two at one time are two, if they are of different slots."""
    return sorted(text_of(each, "reference") for each in maps_of(message.focus, "slot"))


def said(message: Message, move: Move, target: str, correlation_id: str) -> str:
    """Return what tells what *message* says to *target* from all else, in hex."""
    each_alone = [
        _renumbered(
            _without(entry, message, move, first=index == 0), _places_within(entry, message, move)
        )
        for index, entry in enumerate(message.entries)
    ]
    entries = _renumbered(each_alone, _places(message, move))
    root = {
        name: value
        for name, value in message.root.items()
        if name not in {"id", "timestamp", "entry"}
    }
    beside = [_beside(each) for each in maps_of(message.root, "entry")]
    whole = [target, correlation_id.lower(), _stamped(root, move), beside, entries]
    return hashlib.sha256(_as_json(whole)).hexdigest()


def _beside(entry: Mapping[str, Json]) -> Json:
    """Return what an entry has but its url and its resource."""
    return {name: value for name, value in entry.items() if name not in {"fullUrl", "resource"}}


def _places(message: Message, move: Move) -> dict[str, int]:
    """Return where each reference into the Bundle leads: of several with one url, to the first."""
    found: dict[str, int] = {}
    for index, entry in enumerate(message.entries):
        if entry.full_url:
            found.setdefault(entry.full_url, index)
        if _is_numbered_anew(entry, message, move) and "id" in entry.resource:
            found.setdefault(f"{entry.type}/{text_of(entry.resource, 'id')}", index)
    return found


def _places_within(entry: Entry, message: Message, move: Move) -> dict[str, int]:
    """Return where each reference into what the entry's resource contains leads: below zero."""
    if not _is_numbered_anew(entry, message, move):
        return {}
    found: dict[str, int] = {}
    for number, each in enumerate(maps_of(entry.resource, "contained"), 1):
        if text_of(each, "id"):  # a bare # is whatever contains it
            found.setdefault(f"#{text_of(each, 'id')}", -number)
    return found


def _is_numbered_anew(entry: Entry, message: Message, move: Move) -> bool:
    """Tell whether the id of the entry's resource says nothing."""
    is_given = message.focus_type == "Appointment" and entry.type in _GIVEN
    return move is Move.REQUEST and not is_given


def _without(entry: Entry, message: Message, move: Move, *, first: bool) -> Mapping[str, Json]:
    """Return the resource without what says nothing."""
    kept, is_numbered_anew = dict(entry.resource), _is_numbered_anew(entry, message, move)
    if first or is_numbered_anew:
        kept.pop("id", None)
    if move is Move.REQUEST and entry.type in _WRITTEN_ON:
        kept.pop(_WRITTEN_ON[entry.type], None)
    if is_numbered_anew and "contained" in kept:
        contained = maps_of(entry.resource, "contained")
        kept["contained"] = [{n: v for n, v in each.items() if n != "id"} for each in contained]
    return _stamped(kept, move)


def _stamped(resource: Mapping[str, Json], move: Move) -> Mapping[str, Json]:
    """Return the resource without its stamp, but for a response."""
    if move not in REQUESTER_MOVES or "meta" not in resource:
        return resource
    meta = {name: each for name, each in map_of(resource, "meta").items() if name != "lastUpdated"}
    return {**resource, "meta": meta}


def _renumbered(said: object, places: Mapping[str, int]) -> object:
    """Return *said*, in whose JSON references that lead to one of *places* are its number."""
    if not places:
        return said
    led = {orjson.dumps(name): b'"reference":%d' % place for name, place in places.items()}
    written = _REFERENCE.sub(lambda found: led.get(found[1], found[0]), _as_json(said))
    return orjson.Fragment(written)


def _as_json(said: object) -> bytes:
    return orjson.dumps(said, default=_number, option=orjson.OPT_SORT_KEYS)


def _number(value: object) -> list[str]:
    assert isinstance(value, Number)
    return ["number", value.text]
