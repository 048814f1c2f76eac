"""
Which of a Receiver's records is the one that a message made, after a duplicate (D-duplicate).

    our Bundle ──search_of──► GET …?patient:identifier=…
    our Bundle + what came ──matched──► Matched: the one that can only be ours, if any

A patient may have several referrals at one service, and a change that names the wrong one
cancels somebody else's work. So a record counts only if it shows our patient (`whose`), or refers
to the Patient that we sent, and says itself that it is ours: by an identifier that we gave, by our
id, or by the very instant that we wrote into it. None of these is enough alone: two patients of
one incident have its number, and two may have one time. Databases keep fewer digits of an instant
than we wrote: where none has the very instant, one that is ours cut or rounded to whole
microseconds, milliseconds or seconds will do.

That it is there does not say that anybody acts on it: a record that is over says so by its status,
and that is told (`over`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import eq

from bars_gateway.standard.bundle import Message, instant, maps_of, text_of
from bars_gateway.standard.cancelling import OVER
from bars_gateway.standard.patients import (
    NHS_NUMBER,
    ONE_PATIENT,
    Sameness,
    is_placeholder,
    numbers_written,
    patient_of,
)
from bars_gateway.standard.tree import Resource
from bars_gateway.standard.whose import refers_to_ours, sameness_of

_MICROSECOND = timedelta(microseconds=1)  # our own instants are cut to it
_KEPT = (_MICROSECOND, timedelta(milliseconds=1), timedelta(seconds=1))
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


class Reconciliation(StrEnum):
    """What came of looking for the ids that the Receiver gave to a message."""

    FOUND = "found"  # one record is ours: its id is known
    OVER = "over"  # it is, and by its status it has ended there
    NONE = "none"  # no record says that it is ours
    SEVERAL = "several"  # more than one does
    UNNAMED = "unnamed"  # what may be ours does not show whose it is
    UNREAD = "unread"  # nobody could be asked, or by nothing: the Bundle names no NHS number


@dataclass(frozen=True, slots=True, kw_only=True)
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
