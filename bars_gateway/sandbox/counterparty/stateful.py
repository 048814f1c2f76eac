"""
The official stateful scenario: one patient, whose booking and referral go by a table.

    event ──► TABLE[event][state] ──► taken, and the next state │ the problem

The table is that of the applications page, 6.4. Each end-user organisation has a state of
its own, and every night all of them begin again. Where a booking is cancelled under a
referral, the page names no next state: nothing of the three but *initial* fits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from bars_gateway.standard.answers import Problem


class Event(StrEnum):
    """What a message asks for."""

    MAKE_BOOKING = "make booking"
    CANCEL_BOOKING = "cancel booking"
    CREATE_LINKED = "create linked referral"
    CREATE_MISLINKED = "create mis-linked referral"
    CANCEL_REFERRAL = "cancel referral"


class Stage(StrEnum):
    """How far the patient is."""

    INITIAL = "initial"
    BOOKED = "booked"
    REFERRED = "referral created"


def _no(http_status: int, text: str) -> Problem:
    code, issue = {400: ("REC_BAD_REQUEST", "invariant"), 409: ("REC_CONFLICT", "conflict")}[
        http_status
    ]
    return Problem(http_status=http_status, code=code, issue=issue, text=text)


_NO_BOOKING = _no(400, "booking does not exist")
_NO_REFERRAL = _no(400, "no referral")
_BOOKED_BEFORE = _no(409, "booking exists")
_REFERRED_BEFORE = _no(409, "referral exists")
_NOT_LINKED = _no(409, "not linked to correct booking")

TABLE: Mapping[Event, Mapping[Stage, Stage | Problem]] = {
    Event.MAKE_BOOKING: {
        Stage.INITIAL: Stage.BOOKED,
        Stage.BOOKED: _BOOKED_BEFORE,
        Stage.REFERRED: _BOOKED_BEFORE,
    },
    Event.CANCEL_BOOKING: {
        Stage.INITIAL: _NO_BOOKING,
        Stage.BOOKED: Stage.INITIAL,
        Stage.REFERRED: Stage.INITIAL,
    },
    Event.CREATE_LINKED: {
        Stage.INITIAL: _NO_BOOKING,
        Stage.BOOKED: Stage.REFERRED,
        Stage.REFERRED: _REFERRED_BEFORE,
    },
    Event.CREATE_MISLINKED: {
        Stage.INITIAL: _NO_BOOKING,
        Stage.BOOKED: _NOT_LINKED,
        Stage.REFERRED: _REFERRED_BEFORE,
    },
    Event.CANCEL_REFERRAL: {
        Stage.INITIAL: _NO_BOOKING,
        Stage.BOOKED: _NO_REFERRAL,
        Stage.REFERRED: Stage.BOOKED,
    },
}


@dataclass(slots=True)
class _Patient:
    stage: Stage
    day: date
    booking_id: str | None = None


class Stateful:
    """The states of the one patient, by end-user organisation."""

    def __init__(self) -> None:
        self._patients: dict[str, _Patient] = {}

    def booking_id(self, organisation: str, day: date) -> str | None:
        """Return the id of the booking that a referral must be linked to, if there is one."""
        return self._patient(organisation, day).booking_id

    def problem(self, organisation: str, event: Event, day: date) -> Problem | None:
        """Return why *event* is refused in the present state, or None."""
        found = TABLE[event][self._patient(organisation, day).stage]
        return None if isinstance(found, Stage) else found

    def move(self, organisation: str, event: Event, focus_id: str, day: date) -> None:
        """Go on to the next state: *event* was taken, and is about *focus_id*."""
        patient = self._patient(organisation, day)
        found = TABLE[event][patient.stage]
        assert isinstance(found, Stage)
        patient.stage = found
        if event is Event.MAKE_BOOKING:
            patient.booking_id = focus_id
        elif event is Event.CANCEL_BOOKING:
            patient.booking_id = None

    def forget(self) -> None:
        """Begin again, as every night."""
        self._patients.clear()

    def _patient(self, organisation: str, day: date) -> _Patient:
        patient = self._patients.get(organisation)
        if patient is None or patient.day != day:
            patient = self._patients[organisation] = _Patient(Stage.INITIAL, day)
        return patient
