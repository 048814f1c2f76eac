"""
Whether there is still something to cancel, by what the Receiver says of it (D-cancel-read).

    GET /ServiceRequest/{id} or /Appointment/{id} + its answer ──finding_in──► Finding

Only the Receiver knows. That there is nothing to cancel is proved by that very record, which
says so by its status. A Receiver that shows nothing of it, or something else, has proved
nothing: it judges by itself whether a cancellation comes too late, and is not spared one.
But to a record that names another patient, or may be another's, no cancellation goes.
"""

from dataclasses import dataclass
from enum import StrEnum

from bars_gateway.standard.bundle import Resource, text_of
from bars_gateway.standard.patients import (
    ONE_PATIENT,
    Patient,
    Sameness,
)
from bars_gateway.standard.proving import shown
from bars_gateway.standard.reads import BarsAnswer, Enquiry, Unanswered
from bars_gateway.standard.whose import sameness_of


class Reading(StrEnum):
    """How far the read is that a cancellation waits for."""

    WAITS = "waits"  # it is to be made, or was made in vain a moment ago
    UNREAD = "unread"  # nobody answers, and the EPR has been told
    OTHER_PATIENT = "other_patient"  # what is there is another patient's, and the EPR was told


class Current(StrEnum):
    """What a read has shown."""

    YES = "yes"  # the record stands
    NO = "no"  # it is over
    UNSHOWN = "unshown"  # the Receiver shows nothing that says so: nor will it the next time
    UNKNOWN = "unknown"  # nobody could say: it is asked again
    OTHER_PATIENT = "other_patient"  # the record is of somebody else: nothing is sent to it


@dataclass(frozen=True, slots=True)
class Finding:
    """What a read has shown, and for what is over, how that ended."""

    current: Current
    status: str | None = None


# The guide asks for `active` and `booked`; what is on hold, or waits for a yes, is not over.
CURRENT = {
    "ServiceRequest": frozenset({"active", "on-hold"}),
    "Appointment": frozenset({"booked", "pending"}),
}
OVER = {
    "ServiceRequest": frozenset({"revoked", "completed", "entered-in-error"}),
    "Appointment": frozenset({"cancelled", "entered-in-error", "fulfilled", "noshow"}),
}
# What a read may have come to when its cancellation is settled.
ENDED = frozenset().union(*OVER.values())
SHOWN = ENDED | {Current.UNSHOWN.value}
_NOT_KNOWN = Patient()
_OK = 200
# Somebody is busy, or does not let us in: later it may be otherwise.
_PASSING = frozenset({401, 403, 408, 425, 429})
_CLIENT_ERRORS = range(400, 500)
_NOT_OFFERED = 501


def finding_in(
    enquiry: Enquiry,
    answer: BarsAnswer | Unanswered,
    whose: Patient = _NOT_KNOWN,
    *,
    contested: bool = False,
) -> Finding:
    """
    Return what *answer* shows of the record that *enquiry* asks for.

    *whose*: the patient of the cancellation. *contested*: another patient's workflow has that
    id too; then only a record that names our patient counts, for it could be the other's.
    """
    found = _finding_in(enquiry, answer, whose, contested=contested)
    unsafe = contested and found.current is Current.UNSHOWN
    return Finding(Current.UNKNOWN) if unsafe else found


def _finding_in(
    enquiry: Enquiry, answer: BarsAnswer | Unanswered, whose: Patient, *, contested: bool
) -> Finding:
    if isinstance(answer, Unanswered):
        return Finding(Current.UNKNOWN)
    if answer.http_status != _OK:
        return Finding(_without_record(answer.http_status))
    record = shown(enquiry, answer)
    if record is None:
        return Finding(Current.UNSHOWN)
    sameness = sameness_of(whose, record)
    if sameness is Sameness.OTHER_PATIENT:
        return Finding(Current.OTHER_PATIENT)
    if contested and sameness not in ONE_PATIENT:
        return Finding(Current.UNKNOWN)
    return _by_status(record)


def _without_record(http_status: int) -> Current:
    passing = http_status in _PASSING
    if http_status == _NOT_OFFERED or (http_status in _CLIENT_ERRORS and not passing):
        return Current.UNSHOWN
    return Current.UNKNOWN


def _by_status(record: Resource) -> Finding:
    kind, status = text_of(record, "resourceType"), text_of(record, "status")
    if status in OVER.get(kind, ()):
        return Finding(Current.NO, status)
    return Finding(Current.YES if status in CURRENT.get(kind, ()) else Current.UNSHOWN)
