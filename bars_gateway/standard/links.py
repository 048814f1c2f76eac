"""
Which workflows belong together: a booking and its referral, what is carried on, what takes a place.

    new request ──names_in, journey_of──► candidates
    new request + candidate ──patients.compare──► the same, another's, or nobody can tell

Nothing is guessed. A booking and a referral are tied by the id that the Receiver gave to the
one, in the other; `link_rules` has what speaks against that. Where the standard has no such
element (what is referred onward, what is booked again) only workflows of the same
X-Correlation-Id are looked at, the patient has to be the same, and where several fit none is
linked.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bars_gateway.standard.bundle import Message, bare_id, maps_of, text_of
from bars_gateway.standard.workflow import Subject, subject_of


class LinkKind(StrEnum):
    """What sort of link there is between two workflows."""

    PAIR = "pair"  # a booking and the referral that it is made for
    ONWARD = "onward"  # a referral that came, and the one that carries it on
    REPLACEMENT = "replacement"  # what was cancelled, and what takes its place
    RECORD = "record"  # two records of one patient's request at one service
    ONE_RECORD = "one_record"  # two requests that the Receiver keeps as one


class By(StrEnum):
    """What says that two workflows belong together."""

    SUPPORTING_INFO = "ServiceRequest.supportingInfo"
    BASED_ON = "Appointment.basedOn"
    JOURNEY = "Encounter.episodeOfCare"
    CONVERSATION = "X-Correlation-Id"
    RESEND = "resend"  # somebody had it sent again as a new message
    ALIKE = "likeness"  # built twice: the same patient, case numbers and instants
    FOCUS_ID = "focus_id"  # the Receiver has given both the same id


class Relation(StrEnum):
    """What the other workflow is to the one that is looked at."""

    BOOKING = "booking"
    REFERRAL = "referral"
    PARENT = "parent"  # it came to us, or left us, and this one carries it on
    CHILD = "child"
    REPLACED = "replaced"  # it was cancelled, and this one takes its place
    REPLACEMENT = "replacement"
    OTHER_RECORD = "other_record"  # there may be two records of one patient's request
    SAME_RECORD = "same_record"  # the Receiver keeps both as one


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """One row: how a new request is tied to an earlier workflow."""

    kind: LinkKind
    there: Relation  # what the earlier one is to the new one
    back: Relation  # and the new one to the earlier
    text: str


TIES: Mapping[By, Tie] = {
    By.SUPPORTING_INFO: Tie(
        kind=LinkKind.PAIR,
        there=Relation.BOOKING,
        back=Relation.REFERRAL,
        text="a new referral names its booking as `Appointment/id`",
    ),
    By.BASED_ON: Tie(
        kind=LinkKind.PAIR,
        there=Relation.REFERRAL,
        back=Relation.BOOKING,
        text="a new booking names its referral as `ServiceRequest/id`",
    ),
    By.JOURNEY: Tie(
        kind=LinkKind.ONWARD,
        there=Relation.PARENT,
        back=Relation.CHILD,
        text="a new referral of whoever had got the other one; the same journey, patient and"
        " X-Correlation-Id",
    ),
    By.CONVERSATION: Tie(
        kind=LinkKind.REPLACEMENT,
        there=Relation.REPLACED,
        back=Relation.REPLACEMENT,
        text="a new request after one of its kind was cancelled; the same patient and"
        " X-Correlation-Id",
    ),
    By.RESEND: Tie(
        kind=LinkKind.RECORD,
        there=Relation.OTHER_RECORD,
        back=Relation.OTHER_RECORD,
        text="a request that was sent again as a new one, under a Bundle.id of its own",
    ),
    By.ALIKE: Tie(
        kind=LinkKind.RECORD,
        there=Relation.OTHER_RECORD,
        back=Relation.OTHER_RECORD,
        text="a new request that was built twice: the same patient, services, use case, case"
        " numbers and instants; another Bundle.id",
    ),
    By.FOCUS_ID: Tie(
        kind=LinkKind.ONE_RECORD,
        there=Relation.SAME_RECORD,
        back=Relation.SAME_RECORD,
        text="a request that the Receiver has given the id of an earlier one; the same patient and"
        " case number",
    ),
}
_NAMES: Mapping[Subject, tuple[By, str, str]] = {
    Subject.REFERRAL: (By.SUPPORTING_INFO, "supportingInfo", "Appointment"),
    Subject.BOOKING: (By.BASED_ON, "basedOn", "ServiceRequest"),
}
NAMED_SUBJECTS: Mapping[By, frozenset[Subject]] = {
    By.SUPPORTING_INFO: frozenset({Subject.BOOKING}),
    By.BASED_ON: frozenset({Subject.REFERRAL, Subject.VALIDATION}),
}


def names_in(message: Message) -> tuple[tuple[By, str], ...]:
    """Return what a new request names of others: by which element, and the Receiver's id."""
    return tuple(_named(message, subject_of(message)))


def _named(message: Message, subject: Subject) -> Iterator[tuple[By, str]]:
    if subject not in _NAMES:
        return
    by, element, kind = _NAMES[subject]
    references = (text_of(each, "reference") for each in maps_of(message.focus, element))
    found = (_id_in(message, reference, kind) for reference in references)
    yield from ((by, each) for each in dict.fromkeys(found) if each)


_REFERENCE = re.compile(r"(?:.*/)?([A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/.*)?", re.ASCII)


def _id_in(message: Message, reference: str, kind: str) -> str:
    """Return the id that the Receiver gave to what *reference* names, or an empty text."""
    entry = message.resolve(reference)
    if entry is not None:
        return text_of(entry.resource, "id") if entry.type == kind else ""
    match = _REFERENCE.fullmatch(reference)
    return match[2] if match and match[1] == kind else ""


def journey_of(message: Message) -> str | None:
    """Return the journey id, if the Encounters of *message* name one and no more (CS-117)."""
    found = {
        bare_id(text_of(episode, "reference").rpartition("/")[2])
        for _, encounter in message.all("Encounter")
        for episode in maps_of(encounter, "episodeOfCare")
    } - {""}
    return found.pop() if len(found) == 1 else None
