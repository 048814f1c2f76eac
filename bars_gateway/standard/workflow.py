"""
Moves and states: what a message does to its workflow, and where that leads.

    request ──classify──► Move          after(State, Move) ──► State
    response ──meaning───► Move

Two rules govern everything here. A move is made by an inbound message when it is
*received* and by an outbound one when it is *acknowledged*. And an answer proves
that the request arrived, whatever we believed until then: that is why the edges
from `requested` and `unconfirmed` lead to the responder's states.

A final state is final for the Requester. What the Responder says is another matter: where
something *newer* than the end speaks against it, a vehicle on scene after *declined*, the
workflow is open again as `contradicted` until a person has settled which holds. What is
older than what came before it makes no move at all (`store.responses`).

Rows of `DISPATCH_TABLE` are tried in order; a request that fits none has no meaning in the
standard (Core, Standard-Pattern-For-Composites) and is refused by rule W01. A response
never is: it is read by `meaning`.
"""

from collections.abc import Mapping
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import Message


class Move(StrEnum):
    """What a message, or the loss of one, does to its workflow."""

    REQUEST = "request"  # the Requester asks: referral, validation or booking
    UPDATE = "update"  # the Requester changes what it asked
    CANCEL = "cancel"  # the Requester takes it back
    WAIT = "wait"  # the Responder waits for somebody to send, for the first time or again
    PROGRESS = "progress"  # the Responder has begun
    DECLINE = "decline"  # the Responder turns it down
    CONCLUDE = "conclude"  # the Responder has finished
    UNCLEAR = "unclear"  # the Responder has written, and a person has to find out what it means
    REFUSE = "refuse"  # the Receiver's gateway or BaRS said no to the request
    LAPSE = "lapse"  # we stopped asking and do not know
    ABANDON = "abandon"  # it never left: given up or withdrawn before the first POST


# What changes a record there, rather than ask for one or answer.
CHANGES = frozenset({Move.UPDATE, Move.CANCEL})


class RequestType(StrEnum):
    """What a workflow is about."""

    REFERRAL = "referral"  # somebody else is to take the patient over, or to help
    VALIDATION = "validation"  # somebody else is to look again at what a call has found
    BOOKING = "booking"  # an appointment, made or called off


class State(StrEnum):
    """Where a workflow is. The last five are final."""

    REQUESTED = "requested"  # sent, not yet known to have arrived
    UNCONFIRMED = "unconfirmed"  # we stopped asking; it may have arrived
    ACTIVE = "active"  # the Receiver has it
    IN_PROGRESS = "in_progress"  # the Responder has said that it began
    UNCLEAR = "unclear"  # what the Responder said last does not add up: a person has to look
    CONTRADICTED = "contradicted"  # something newer speaks against its end: a person settles it
    COMPLETED = "completed"  # the Responder has finished
    DECLINED = "declined"  # the Responder has turned it down
    CANCELLED = "cancelled"  # the Requester has taken it back
    REFUSED = "refused"  # the Receiver's gateway or BaRS said no to the request
    ABANDONED = "abandoned"  # never left this organisation


class Role(StrEnum):
    """Which side of a workflow we are on."""

    REQUESTER = "requester"  # we ask, or have asked
    RESPONDER = "responder"  # we were asked


class MoveNotAllowed(ValueError):
    """The standard has no such move from that state."""

    def __init__(self, state: State, move: Move) -> None:
        super().__init__(f"a workflow that is {state} cannot {move}")
        self.state = state
        self.move = move


# Where each word of a Responder leads.
ANSWERS: dict[Move, State] = {
    Move.WAIT: State.ACTIVE,
    Move.PROGRESS: State.IN_PROGRESS,
    Move.DECLINE: State.DECLINED,
    Move.CONCLUDE: State.COMPLETED,
    Move.UNCLEAR: State.UNCLEAR,
}
_FATE = {Move.REQUEST: State.ACTIVE, Move.REFUSE: State.REFUSED}
_CANCEL = {Move.CANCEL: State.CANCELLED}
_AGAINST = dict.fromkeys(ANSWERS, State.CONTRADICTED)
# The other side acts on what it should not have: that it turns it down is as it should be.
_ACTED_UPON: Mapping[Move, State] = {
    move: state for move, state in _AGAINST.items() if move is not Move.DECLINE
}

TRANSITIONS: Mapping[State, Mapping[Move, State]] = {
    State.REQUESTED: _FATE
    | {Move.LAPSE: State.UNCONFIRMED, Move.ABANDON: State.ABANDONED}
    | ANSWERS,
    # What changes it goes after it, and proves like an answer that it had arrived.
    State.UNCONFIRMED: _FATE | _CANCEL | {Move.UPDATE: State.ACTIVE} | ANSWERS,
    State.ACTIVE: _CANCEL | {Move.UPDATE: State.ACTIVE} | ANSWERS,
    State.IN_PROGRESS: _CANCEL | {Move.UPDATE: State.IN_PROGRESS} | ANSWERS,
    State.UNCLEAR: _CANCEL | {Move.UPDATE: State.UNCLEAR} | ANSWERS,
    # Nothing that the Responder says settles it: only a person does.
    State.CONTRADICTED: _CANCEL | {Move.UPDATE: State.CONTRADICTED} | _AGAINST,
    State.COMPLETED: _AGAINST | {Move.CONCLUDE: State.COMPLETED},
    State.DECLINED: _AGAINST | {Move.DECLINE: State.DECLINED},
    # Whoever waits, has finished or turns it down does not act against a cancellation.
    State.CANCELLED: {Move.PROGRESS: State.CONTRADICTED, Move.UNCLEAR: State.CONTRADICTED},
    State.REFUSED: _ACTED_UPON,
    State.ABANDONED: _ACTED_UPON,
}

# Ended: the Requester changes nothing any more, and no clock runs.
FINAL = frozenset(
    {State.COMPLETED, State.DECLINED, State.CANCELLED, State.REFUSED, State.ABANDONED}
)
# It never led anywhere: the Receiver did not take it, or it never left.
CAME_TO_NOTHING = frozenset({State.REFUSED, State.ABANDONED})
# A person has to settle these; the higher, the worse.
DOUBTS: Mapping[State, int] = {State.UNCLEAR: 1, State.CONTRADICTED: 2}

# What somebody who has telephoned may say of them.
CONFIRMABLE = frozenset({State.ACTIVE, State.IN_PROGRESS} | FINAL - {State.ABANDONED})


def is_worse(before: State, now: State) -> bool:
    """Tell whether there is more to doubt than before: then somebody is told once more."""
    return DOUBTS.get(now, 0) > DOUBTS.get(before, 0)


def after(state: State, *moves: Move) -> State:
    """Return where *moves*, one after the other, lead from *state*."""
    for move in moves:
        try:
            state = TRANSITIONS[state][move]
        except KeyError:
            raise MoveNotAllowed(state, move) from None
    return state


def led_on(state: State, *moves: Move) -> State:
    """Return where *moves* lead from *state*; one that leads nowhere leaves it as it is."""
    for move in moves:
        state = TRANSITIONS[state].get(move, state)
    return state


@frozen(kw_only=True)
class DispatchRow:
    """One row of the standard's dispatch table: what these words together mean."""

    event: str
    reasons: frozenset[str]
    focus: frozenset[str]  # resource types that MessageHeader.focus may point to
    statuses: frozenset[str]  # of the focus resource
    categories: frozenset[str | None]  # of the ServiceRequest; None for bookings
    move: Move


_NEW = frozenset({"new"})
_CHANGE = frozenset({"update", "delete"})  # `delete` is read, never written (M05)
_SERVICE_REQUEST = frozenset({"ServiceRequest"})
_APPOINTMENT = frozenset({"Appointment"})
_BOTH: frozenset[str | None] = frozenset({"referral", "validation"})
_BOOKING: frozenset[str | None] = frozenset({None, "referral", "validation"})

# Core, Standard-Pattern-For-Composites; Cancellation; Applications 4 and 6.
DISPATCH_TABLE: tuple[DispatchRow, ...] = (
    DispatchRow(
        event="servicerequest-request",
        reasons=_NEW,
        focus=_SERVICE_REQUEST,
        statuses=frozenset({"active"}),
        categories=_BOTH,
        move=Move.REQUEST,
    ),
    DispatchRow(
        event="servicerequest-request",
        reasons=_CHANGE,
        focus=_SERVICE_REQUEST,
        statuses=frozenset({"revoked", "entered-in-error"}),
        categories=_BOTH,
        move=Move.CANCEL,
    ),
    DispatchRow(
        event="servicerequest-request",
        reasons=_CHANGE,
        focus=_SERVICE_REQUEST,
        statuses=frozenset({"active", "on-hold"}),
        categories=_BOTH,
        move=Move.UPDATE,
    ),
    DispatchRow(
        event="booking-request",
        reasons=_NEW,
        focus=_APPOINTMENT,
        statuses=frozenset({"booked"}),
        categories=_BOOKING,
        move=Move.REQUEST,
    ),
    # A published cancellation says `new`; on receipt all three reasons are read (D-cancel-read).
    DispatchRow(
        event="booking-request",
        reasons=_NEW | _CHANGE,
        focus=_APPOINTMENT,
        statuses=frozenset({"cancelled", "entered-in-error"}),
        categories=_BOOKING,
        move=Move.CANCEL,
    ),
    DispatchRow(
        event="booking-request",
        reasons=_CHANGE,
        focus=_APPOINTMENT,
        statuses=frozenset({"booked"}),
        categories=_BOOKING,
        move=Move.UPDATE,
    ),
)

REQUESTER_MOVES = frozenset({Move.REQUEST, Move.UPDATE, Move.CANCEL})


def classify(message: Message) -> Move | None:
    """Return the move that *message* makes, or None if its words mean nothing together."""
    for row in DISPATCH_TABLE:
        if (
            row.event == message.event
            and message.reason in row.reasons
            and message.focus_type in row.focus
            and message.focus_status in row.statuses
            and message.category in row.categories
        ):
            return row.move
    return None


def role_of(move: Move) -> Role:
    """Return which side makes *move*."""
    return Role.REQUESTER if move in REQUESTER_MOVES else Role.RESPONDER


def request_type_of(message: Message) -> RequestType:
    """Return what the workflow of *message* is about."""
    if message.event.startswith("booking"):
        return RequestType.BOOKING
    return RequestType.VALIDATION if message.category == "validation" else RequestType.REFERRAL
