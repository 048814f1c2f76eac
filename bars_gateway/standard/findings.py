"""
What the records that a Receiver shows tell: whether one can be cancelled, and which is ours.

Whether there is still something to cancel is asked before a cancellation goes (D-cancel-read).

    GET /ServiceRequest/{id} or /Appointment/{id} + its answer ──finding_in──► Finding

Only the Receiver knows. That there is nothing to cancel is proved by that very record, which
says so by its status. A Receiver that shows nothing of it, or something else, has proved
nothing: it judges by itself whether a cancellation comes too late, and is not spared one.
But to a record that names another patient, or may be another's, no cancellation goes.

Which record is the one that a message made is asked after a duplicate (D-duplicate).

    our Bundle ──search_of──► GET …?patient:identifier=…
    our Bundle + what came ──matched──► Matched: the one that can only be ours, if any

A patient may have several referrals at one service, and a change that names the wrong one
cancels somebody else's work. So a record counts only if it shows our patient, or refers
to the Patient that we sent, and says itself that it is ours: by an identifier that we gave, by our
id, or by the very instant that we wrote into it. None of these is enough alone: two patients of
one incident have its number, and two may have one time. Databases keep fewer digits of an instant
than we wrote: where none has the very instant, one that is ours cut or rounded to whole
microseconds, milliseconds or seconds will do.

That it is there does not say that anybody acts on it: a record that is over says so by its status,
and that is told (`over`).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from operator import eq

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import Message, instant, maps_of, text_of
from bars_gateway.standard.patients import (
    NHS_NUMBER_SYSTEM,
    ONE_PATIENT,
    Patient,
    Sameness,
    is_nhs_number,
    is_placeholder,
    numbers_written,
    patient_of,
    refers_to_ours,
    sameness_of,
)
from bars_gateway.standard.reads import BarsAnswer, BarsRequest, Unanswered, shown
from bars_gateway.standard.tree import Resource

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
_NOT_KNOWN = Patient()
_OK = 200
# Somebody is busy, or does not let us in: later it may be otherwise.
_PASSING = frozenset({401, 403, 408, 425, 429})
_CLIENT_ERRORS = range(400, 500)
_NOT_OFFERED = 501
_MICROSECOND = timedelta(microseconds=1)  # our own instants are cut to it
_KEPT = (_MICROSECOND, timedelta(milliseconds=1), timedelta(seconds=1))
_INSTANTS = {"ServiceRequest": ("authoredOn",), "Appointment": ("start", "end")}


class ReadProgress(StrEnum):
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


@frozen
class Finding:
    """What a read has shown, and for what is over, how that ended."""

    current: Current
    status: str | None = None


SHOWN = ENDED | {Current.UNSHOWN.value}


def finding_in(
    request: BarsRequest,
    answer: BarsAnswer | Unanswered,
    whose: Patient = _NOT_KNOWN,
    *,
    contested: bool = False,
) -> Finding:
    """
    Return what *answer* shows of the record that *request* asks for.

    *whose*: the patient of the cancellation. *contested*: another patient's workflow has that
    id too; then only a record that names our patient counts, for it could be the other's.
    """
    found = _finding_in(request, answer, whose, contested=contested)
    unsafe = contested and found.current is Current.UNSHOWN
    return Finding(Current.UNKNOWN) if unsafe else found


def _finding_in(
    request: BarsRequest, answer: BarsAnswer | Unanswered, whose: Patient, *, contested: bool
) -> Finding:
    if isinstance(answer, Unanswered):
        return Finding(Current.UNKNOWN)
    if answer.http_status != _OK:
        return Finding(_without_record(answer.http_status))
    record = shown(request, answer)
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


@frozen(kw_only=True)
class Search:
    """A search of a Receiver for what it has of one patient."""

    resource_type: str
    identifier: str  # of the patient, system|value


def search_of(message: Message) -> Search | None:
    """
    Return how to look for the record that *message* made; None: it names no NHS number.

    One that fails its check digit finds what is kept under it, where there is no right one beside
    it; a placeholder finds everybody.
    """
    written = {each for each in numbers_written(message) if not is_placeholder(each)}
    numbers = set(filter(is_nhs_number, written)) or written
    if message.focus_type not in _INSTANTS or len(numbers) != 1:
        return None
    (number,) = numbers
    return Search(resource_type=message.focus_type, identifier=f"{NHS_NUMBER_SYSTEM}|{number}")


class Reconciliation(StrEnum):
    """What came of looking for the ids that the Receiver gave to a message."""

    FOUND = "found"  # one record is ours: its id is known
    OVER = "over"  # it is, and by its status it has ended there
    NONE = "none"  # no record says that it is ours
    SEVERAL = "several"  # more than one does
    UNNAMED = "unnamed"  # what may be ours does not show whose it is
    UNREAD = "unread"  # nobody could be asked, or by nothing: the Bundle names no NHS number


@frozen(kw_only=True)
class Matched:
    """What a searchset shows of what a message made."""

    result: Reconciliation
    focus_id: str | None = None  # of the one record that is ours
    status: str | None = None  # of one that is over: how it ended


def matched(message: Message, found: Message) -> Matched:
    """Return which of the records in *found*, a searchset, *message* made."""
    records = [record for _, record in found.all(message.focus_type or "") if record.get("id")]
    whose = {id(record): _whose(message, record, found) for record in records}
    ours = _made_by(message, [each for each in records if whose[id(each)] in ONE_PATIENT])
    if not ours:
        unknown = [each for each in records if whose[id(each)] is Sameness.UNKNOWN_PATIENT]
        may_be = _made_by(message, unknown)
        return Matched(result=Reconciliation.UNNAMED if may_be else Reconciliation.NONE)
    if len(ours) > 1:
        return Matched(result=Reconciliation.SEVERAL)
    ((focus_id, record),) = ours.items()
    status = text_of(record, "status")
    if status in OVER[text_of(record, "resourceType")]:
        return Matched(result=Reconciliation.OVER, focus_id=focus_id, status=status)
    return Matched(result=Reconciliation.FOUND, focus_id=focus_id)


def _whose(message: Message, record: Resource, found: Message) -> Sameness:
    """Tell whose it shows that it is: another patient's may have our case number, or our time."""
    sameness = sameness_of(patient_of(message), record, found.entries)
    if sameness is Sameness.UNKNOWN_PATIENT and refers_to_ours(message, record):
        return Sameness.SAME
    return sameness


def _made_by(message: Message, records: list[Resource]) -> dict[str, Resource]:
    """Return those that say themselves that they are what *message* made, by their ids."""
    same = [each for each in records if _is_same(message.focus, each)]
    same = same or [each for each in records if _is_at_the_time(message.focus, each, _is_kept_as)]
    return {text_of(each, "id"): each for each in same}


def _is_same(ours: Resource, theirs: Resource) -> bool:
    if _identifiers(ours) & _identifiers(theirs):
        return True
    if text_of(ours, "id") == text_of(theirs, "id") != "":
        return True
    return _is_at_the_time(ours, theirs, eq)


def _is_at_the_time(
    ours: Resource, theirs: Resource, is_same: Callable[[datetime, datetime], bool]
) -> bool:
    names = _INSTANTS.get(text_of(ours, "resourceType"), ("id",))
    moments = [(instant(text_of(ours, name)), instant(text_of(theirs, name))) for name in names]
    return all(our and their and is_same(our, their) for our, their in moments)


def _is_kept_as(our: datetime, their: datetime) -> bool:
    """Tell whether *their* is our instant, cut or rounded to fewer digits."""
    less = our - their
    whole = timedelta(seconds=their.second, microseconds=their.microsecond)
    return any(
        whole % kept == timedelta(0) and -kept / 2 - _MICROSECOND <= less < kept for kept in _KEPT
    )


def _identifiers(resource: Resource) -> set[tuple[str, str]]:
    return {
        (text_of(each, "system"), text_of(each, "value"))
        for each in maps_of(resource, "identifier")
        if text_of(each, "value")
    }
