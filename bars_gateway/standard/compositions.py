"""
What each move is written as, per Application: the rows that `composition` follows.

    (Application, move, outcome) ──► definition · statuses · codes · what it says · what only
                                     the EPR knows

`outcome` is the EPR's word; without one the first row of a move is meant, unless it
needs a word. Where
the guide's pages, examples and pseudo-code differ, rows follow the pages and examples:
the ServiceRequest stays active in a response, and its focus is the Responder's Encounter.
"""

from collections.abc import Iterator
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard.meaning import REASONS, Reason, Said
from bars_gateway.standard.rules.substance import REJECTIONS, VALIDATED
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import Move, RequestType

_VALIDATED = (*VALIDATED, "Validation of triage outcome")
_PEOPLE = frozenset({"Organization", "Practitioner", "PractitionerRole"})
_SHORT = _PEOPLE | {"ServiceRequest", "Patient", "Encounter", "HealthcareService"}
_WHERE = frozenset({"Consent", "Location", "Flag"})  # scene safety goes with the place


class Need(StrEnum):
    """What only the EPR knows, and without which a message says nothing."""

    WORDS = "text"  # the reason, where no code tells it
    FINDINGS = "CarePlan"  # what was found, and not merely a resource for it
    CHANGE = "what has changed"


@frozen(kw_only=True)
class Composition:
    """One row of the table."""

    move: Move
    outcome: str  # the EPR's word
    applications: frozenset[str]
    request_types: frozenset[RequestType] = frozenset(
        {RequestType.REFERRAL, RequestType.VALIDATION}
    )
    definition: str | None  # the last part of its URL; None: that of the request
    repeats: frozenset[str] | None  # types that are taken over; None: all of them
    status: str  # of the focus
    encounter: str | None = None  # status of the Responder's Encounter, which is the focus then
    plan: str | None = None  # status of the CarePlan, which the EPR has to give
    code: tuple[str, str, str] | None = None  # system, code and display of Encounter.reasonCode
    needs_word: bool = False  # whether silence would say too much
    need: Need | None = None
    says: frozenset[Said] = frozenset()  # what a response is read as by whoever gets it
    takes_words: bool = False  # whether `text` has a place in it
    after_interim: str = "new"  # the reason code, once an interim response was sent
    echoes: bool = False  # whether the Responder's Encounter is repeated to it

    @property
    def is_response(self) -> bool:
        """Whether the Responder sends it."""
        return self.encounter is not None


_A4, _A6 = frozenset({"a4"}), frozenset({"a6"})
_INTERIM = "servicerequest-response-validation-interim"
_FULL = "servicerequest-response-validation-full"
_STREAM = "servicerequest-response-referral-short"
_CANCELLED = frozenset({"Patient", "Organization"})
_ANY = frozenset(f"a{number}" for number in range(1, 9))


def _rejections(applications: frozenset[str], definition: str) -> Iterator[Composition]:
    for code in Reason:
        yield Composition(
            move=Move.DECLINE,
            outcome=code,
            applications=applications,
            definition=definition,
            repeats=_SHORT,
            status="active",
            encounter="cancelled",
            code=(REJECTIONS, code, REASONS[code]),
            needs_word=True,
            need=Need.WORDS if code is Reason.OTH else None,
            says=frozenset({Said.REJECTED}),
            takes_words=True,
        )


def _final(outcome: str, plan: str, says: Said) -> Composition:
    return Composition(
        move=Move.CONCLUDE,
        outcome=outcome,
        applications=_A4,
        definition=_FULL,
        repeats=_SHORT | _WHERE,
        status="active",
        encounter="finished",
        plan=plan,
        code=_VALIDATED,
        needs_word=True,
        need=Need.FINDINGS,
        says=frozenset({says}),
        after_interim="update",
    )


def _news(move: Move, outcome: str, encounter: str, *says: Said) -> Composition:
    return Composition(
        move=move,
        outcome=outcome,
        applications=_A6,
        definition=_STREAM,
        repeats=_SHORT,
        status="active",
        encounter=encounter,
        says=frozenset(says),
    )


def _cancellation(
    definition: str, focus: str, status: str, *request_types: RequestType
) -> Composition:
    return Composition(
        move=Move.CANCEL,
        outcome=status,
        applications=_ANY,
        request_types=frozenset(request_types),
        definition=definition,
        repeats=_CANCELLED | {focus},
        status=status,
        takes_words=True,
    )


def _change(applications: frozenset[str], *, echoes: bool) -> Composition:
    return Composition(
        move=Move.UPDATE,
        outcome="",
        applications=applications,
        definition=None,
        repeats=None,
        status="active",
        need=None if echoes else Need.CHANGE,  # a case may be shared as it stands
        echoes=echoes,
    )


_REQUEST = "servicerequest-request-cancelled"

COMPOSITIONS: tuple[Composition, ...] = (
    Composition(
        move=Move.PROGRESS,
        outcome="",
        applications=_A4,
        definition=_INTERIM,
        repeats=_SHORT,
        status="active",
        encounter="in-progress",
        code=_VALIDATED,
        says=frozenset({Said.VALIDATION_STARTED}),
    ),
    *_rejections(_A4, _INTERIM),
    _final("no_action", "completed", Said.VALIDATION_CLOSES),  # the Requester may close
    _final("action", "active", Said.VALIDATION_ACTS),  # the Requester has to act
    _news(Move.WAIT, "", "planned", Said.ACCEPTED, Said.STOOD_DOWN),
    _news(Move.PROGRESS, "allocated", "in-progress", Said.ASSIGNED),
    _news(Move.PROGRESS, "arrived", "arrived", Said.ON_SCENE),
    *_rejections(_A6, _STREAM),
    _news(Move.CONCLUDE, "", "finished", Said.FINISHED),
    _change(_ANY - _A6, echoes=False),
    _change(_A6, echoes=True),
    _cancellation(
        _REQUEST, "ServiceRequest", "revoked", RequestType.REFERRAL, RequestType.VALIDATION
    ),
    _cancellation(
        _REQUEST, "ServiceRequest", "entered-in-error", RequestType.REFERRAL, RequestType.VALIDATION
    ),
    _cancellation("booking-request-cancelled", "Appointment", "cancelled", RequestType.BOOKING),
)


def known_for(use_case: str, request_type: RequestType, move: Move) -> tuple[Composition, ...]:
    """Return the rows that there are for such a move, in the order of the table."""
    application = application_of(use_case)
    return tuple(
        row
        for row in COMPOSITIONS
        if row.move is move
        and application in row.applications
        and request_type in row.request_types
    )


def chosen(rows: tuple[Composition, ...], outcome: str | None) -> Composition | None:
    """Return the row for the EPR's word, or None where it has to choose or misspelt it."""
    if outcome is None:
        return rows[0] if rows and not rows[0].needs_word else None
    return next((row for row in rows if row.outcome == outcome), None)
