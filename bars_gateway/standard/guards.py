"""
Which moves are impossible, per Application, direction and state: a table, and who asks it.

    Message + Move ─────foreseen───► Issues    moves that an Application never knows
    State + Move ───────too_late───► Issues    moves that come too late, asked in the transaction
    CaseDetails ─────inconsistent──► Issues    moves of what began otherwise, asked there, too

Strict before sending: the user is still there, and can be told what to do instead. On
receipt a response is never refused for its time, nor because its Application has none: it
is stored, delivered and remarked upon (`remarks`), for it may be the only word that there is
about a patient.

Each row has an id that an agreement with a counterparty may soften or harden, as any
rule's (`rule`). `states` are those in which the move is guarded against; a row for
every state needs no workflow to be asked, unless it has something to compare (`differs`).

Decisions: D-other-patient, D-never-too-late.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.standard.applications import APPLICATIONS
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.consistency import CaseDetails, other_patient, other_use_case
from bars_gateway.standard.issues import (
    BAD_REQUEST,
    CONFLICT,
    NOT_FOUND,
    NOT_SUPPORTED,
    Issue,
    Severity,
)
from bars_gateway.standard.rule import HEADER, NOTHING_AGREED, Overrides, Rule, Side
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import CHANGES, FINAL, Move, RequestType, State, request_type_of

OTHER_PATIENT = "G14"  # the rule that who knows that a patient was traced or merged overrules

_ERROR, _WARN = Severity.ERROR, Severity.WARNING
_RESPONSES = frozenset({Move.WAIT, Move.PROGRESS, Move.DECLINE, Move.CONCLUDE, Move.UNCLEAR})
_LATER = _RESPONSES | CHANGES
_EVERY = frozenset(State)
_EVERYBODY = frozenset(APPLICATIONS) | {""}


@frozen(kw_only=True)
class Guard(Rule):
    """One row of the table."""

    moves: frozenset[Move]
    states: frozenset[State] = _EVERY  # in which the move is guarded against
    applications: frozenset[str] = _EVERYBODY
    use_cases: frozenset[str] | None = None  # None: every one of the Applications
    request_types: frozenset[RequestType] = frozenset(RequestType)
    http_status: int = CONFLICT["http_status"]
    code: str = CONFLICT["code"]
    issue: str = CONFLICT["issue"]
    path: str = HEADER
    differs: Callable[[CaseDetails, CaseDetails], bool] | None = None  # from what began it

    def about(self, move: Move, request_type: RequestType, use_case: str) -> bool:
        """Tell whether the row is about such a move at all."""
        return (
            move in self.moves
            and request_type in self.request_types
            and application_of(use_case) in self.applications
            and (self.use_cases is None or use_case in self.use_cases)
        )


GUARDS: tuple[Guard, ...] = (
    Guard(
        rule="G01",
        text="this can no longer be changed: it is over. Make a new request, or telephone",
        source="Core: Cancellation; Applications 4 and 6: How-does-it-work",
        moves=frozenset({Move.UPDATE}),
        states=FINAL,
    ),
    Guard(
        rule="G02",
        text="this can no longer be cancelled: it is over. Telephone if somebody is on the way",
        source="Core: Cancellation",
        moves=frozenset({Move.CANCEL}),
        states=FINAL,
    ),
    Guard(
        rule="G03",
        text="this was cancelled by the Requester: nothing more may be answered to it. Telephone if"
        " somebody is still on the way, or the patient needs something that was found",
        source="Application 4: How-does-it-work",
        moves=_RESPONSES,
        states=frozenset({State.CANCELLED}),
        receiving=None,
    ),
    Guard(
        rule="G04",
        text="the last word about this was sent; only another final response may amend it."
        " Telephone if it does not hold any more: nobody there expects anything of you now",
        source="Applications 4 and 6: How-does-it-work",
        moves=_RESPONSES - {Move.CONCLUDE},
        states=frozenset({State.COMPLETED, State.DECLINED}),
        receiving=None,
    ),
    Guard(
        rule="G05",
        text="by its payloads this Application does not support updates: cancel, and send a new"
        " request",
        source="Application 3: requirements and payloads disagree",
        moves=frozenset({Move.UPDATE}),
        applications=frozenset({"a3"}),
        receiving=_WARN,
        **BAD_REQUEST,
    ),
    Guard(
        rule="G06",
        text="this Application does not support updates: cancel, and send a new request",
        source="Applications 1, 2, 5, 7 and 8: How-does-it-work",
        moves=frozenset({Move.UPDATE}),
        applications=frozenset({"a1", "a2", "a5", "a7", "a8"}),
        **BAD_REQUEST,
    ),
    Guard(
        rule="G07",
        text="this was turned down, and has gone back to the Requester: nothing can conclude it."
        " Telephone if somebody here has seen to the patient after all, or is on the way: nobody"
        " there knows it",
        source="Applications 4 and 6: How-does-it-work",
        moves=frozenset({Move.CONCLUDE}),
        states=frozenset({State.DECLINED}),
        receiving=None,
    ),
    Guard(
        rule="G08",
        text="the Responder has begun: what has changed since is told by telephone",
        source="Application 4: How-does-it-work (SHOULD NOT)",
        moves=frozenset({Move.UPDATE}),
        states=frozenset({State.IN_PROGRESS}),
        applications=frozenset({"a4"}),
        receiving=_WARN,
    ),
    Guard(
        rule="G09",
        text="what was begun is not turned down any more: conclude it, and say what was found."
        " Telephone now if nobody here goes on with it: the Requester counts on whoever had begun",
        source="Applications 4 and 6: How-does-it-work",
        moves=frozenset({Move.DECLINE}),
        states=frozenset({State.IN_PROGRESS}),
        receiving=_WARN,
    ),
    Guard(
        rule="G11",
        text="this Application does not support responses beyond the acknowledgement: telephone"
        " whoever referred, also about a patient who did not attend",
        source="Applications 1, 2, 3, 5, 7 and 8; the no-show response was withdrawn at 1.0.0",
        moves=_RESPONSES,
        applications=frozenset({"a1", "a2", "a3", "a5", "a7", "a8"}),
        # It may be the only word that the patient was turned down: a person has to read it.
        receiving=_WARN,
        **NOT_SUPPORTED,
    ),
    Guard(
        rule="G12",
        text="this Application does not support digital cancellation: telephone the broker",
        source="Application 8: How-does-it-work",
        moves=frozenset({Move.CANCEL}),
        applications=frozenset({"a8"}),
        receiving=_WARN,
        **BAD_REQUEST,
    ),
    Guard(
        rule=OTHER_PATIENT,
        text="what this belongs to began with another patient: find out whose it is. If it is the"
        " same patient, traced or merged since, submit it again with patient_changed: true. If"
        " the number was wrong from the start, cancel with that one, and send a new request",
        source="Core: Cancellation (the Receiver cross-checks the patient)",
        moves=_LATER,
        # On receipt it is taken, or put to the EPR, with a remark: it may be the only word.
        receiving=None,
        fixed=True,
        path="Patient",
        differs=other_patient,
    ),
    Guard(
        rule="G15",
        text="what this belongs to began in another use case: cancel, and send a new request",
        source="Core: Cancellation (category unchanged)",
        moves=CHANGES,
        path="ServiceRequest.category",
        differs=other_use_case,
    ),
)

BUNDLE_ID_TAKEN = Issue(
    rule="B05",
    path="Bundle.id",
    text="belongs to a message about another patient, which was submitted before: give this one a"
    " Bundle.id of its own, a new UUID",
    **CONFLICT,
)

SENT_BEFORE = Issue(
    rule="E04",
    path="Bundle",
    text="these bytes were sent once, so long ago that nothing else is known of them: build the"
    " message again, with a new Bundle.id, if it is meant once more",
    **CONFLICT,
)

UNKNOWN_RECORD = Issue(
    rule="R10",
    path="MessageHeader.focus",
    text="this Receiver never gave a record that id: send the id of its own acknowledgement, or"
    " telephone",
    **NOT_FOUND,
)

OTHER_ID = Issue(
    rule="R10",
    path="MessageHeader.focus",
    text="the Receiver gave this record another id: take focus_id of the outcome of the request",
    **CONFLICT,
)
OTHER_CONVERSATION = Issue(
    rule="H04",
    path="correlation_id",
    text="what this belongs to has another X-Correlation-Id: leave correlation_id out, and the"
    " right one is sent",
    **CONFLICT,
)


def named_unclearly(workflow_ids: Sequence[int]) -> Issue:
    """Return the refusal of a change whose id and patient fit each of these workflows, or none."""
    listed = ", ".join(map(str, workflow_ids))
    return replace(
        _NOT_TOLD_APART,
        text=f"the Receiver's id may be of any of the workflows {listed}, and nothing was sent:"
        " telephone that service, and have them change or cancel this patient's record. Where"
        " the message has too little of the patient, an NHS number may tell them apart",
    )


def of_other_records(workflow_ids: Sequence[int]) -> Issue:
    """Return the refusal of a change of another patient's record, who has these workflows there."""
    listed = ", ".join(map(str, workflow_ids))
    return replace(
        _NOT_TOLD_APART,
        text="what this belongs to began with another patient, and patient_changed does not help:"
        f" this patient has a request of their own there, workflow {listed}. If that is meant,"
        " name its focus_id. If the patient was merged, name the patient as this began",
    )


_NOT_TOLD_APART = Issue(
    rule=OTHER_PATIENT,
    path="MessageHeader.focus",
    text="",
    **CONFLICT,
)

_COMPARED = tuple(guard for guard in GUARDS if guard.differs is not None)
_IN_TIME = tuple(guard for guard in GUARDS if guard.states != _EVERY)
_AT_ANY_TIME = tuple(guard for guard in GUARDS if guard not in {*_COMPARED, *_IN_TIME})


def foreseen(
    message: Message, move: Move, side: Side, overrides: Overrides = NOTHING_AGREED
) -> Iterator[Issue]:
    """Yield what speaks against *move* in whatever state the workflow is."""
    agreed = overrides.with_the_other_side(message, side)
    for guard in _AT_ANY_TIME:
        severity = guard.severity(side, agreed)
        if severity is not None and guard.about(move, request_type_of(message), message.use_case):
            yield guard.at(guard.path, severity)


def enforced(
    side: Side, message: Message | None = None, overrides: Overrides = NOTHING_AGREED
) -> frozenset[str]:
    """Return the ids of the rows that refuse a move of a workflow, on that side."""
    agreed = overrides.with_the_other_side(message, side) if message else {}
    return frozenset(
        guard.rule for guard in (*_IN_TIME, *_COMPARED) if guard.severity(side, agreed) is _ERROR
    )


def too_late(
    state: State, move: Move, request_type: RequestType, use_case: str, enforced: frozenset[str]
) -> Sequence[Issue]:
    """Return what speaks against *move* in *state*, of the rows that are *enforced*."""
    return [
        guard.at(guard.path)
        for guard in _IN_TIME
        if guard.rule in enforced
        and state in guard.states
        and guard.about(move, request_type, use_case)
    ]


# How people call what is over.
_ENDS: Mapping[State, str] = {
    State.CANCELLED: "cancelled",
    State.DECLINED: "turned down",
    State.COMPLETED: "answered in full",
    State.REFUSED: "refused by the Receiver",
}


def with_its_end(issues: Sequence[Issue], state: State, since: datetime | None) -> Sequence[Issue]:
    """Return what is too late, with how it ended and when; *since* None: that is on its way."""
    if state not in _ENDS:
        return issues
    end = _ENDS[state]
    said = f"It is being {end}" if since is None else f"It was {end} at {since:%Y-%m-%d %H:%M:%S}Z"
    return [replace(issue, text=f"{issue.text}. {said}") for issue in issues]


def inconsistent(
    move: Move, later: CaseDetails, began: CaseDetails, enforced: frozenset[str]
) -> Sequence[Issue]:
    """Return in what a *later* message disagrees with what its workflow *began* with."""
    return [
        guard.at(guard.path)
        for guard in _COMPARED
        if guard.rule in enforced
        and move in guard.moves
        and guard.differs is not None
        and guard.differs(later, began)
    ]


class MoveRefused(ValueError):
    """The workflow is none for the move that the EPR wants; `issues` says why."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(", ".join(issue.rule for issue in issues))
        self.issues = tuple(issues)
