"""
What a person may do: to an outbound message, with what came and could not be tied to a workflow.

    queued ─hold─► held ─release─► queued          queued, held ─withdraw─► withdrawn
    settled badly, withdrawn ─retry─► queued       the same ids: never a second record
    settled ─resend─► a new message, queued        new ids: the Receiver may end up with two

    quarantine ──attach──► its workflow, with notice and audit trail
                     └──► why not

Every verb names who and why, and leaves both in the audit trail. An objection is a value:
it is what somebody is told who asked for what would harm a patient, or make no sense.

An attached response counts as one that was correlated: the EPR gets it byte for byte, with the
remark `attached`, and the workflow moves as far as its state allows. Its Sender got 404.
Once attached, the same X-Request-Id is a duplicate (409): that tells the Sender that it is
here, and no second notice is written.

Decisions: D-no-late-revival, D-resent-record.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Objection, OutboundState, Payload
from bars_gateway.model.readings import MessageRow
from bars_gateway.standard.timing import Limits
from bars_gateway.standard.workflow import Move, RequestType

_OPEN = frozenset({OutboundState.QUEUED, OutboundState.HELD})
_BAD_ENDS = frozenset({OutboundState.REFUSED, OutboundState.UNCONFIRMED, OutboundState.NOT_SENT})
_NOT_THERE = _BAD_ENDS | {OutboundState.WITHDRAWN}
# What a resend may lead to, by what is known of the message.
UNKNOWN_RECORD = "unknown_record"  # the reason of a change
MAY_HAPPEN: Mapping[OutboundState, str] = {
    OutboundState.ACKNOWLEDGED: (
        "the Receiver has had the message, and will have a second record of it under new ids"
    ),
    OutboundState.UNCONFIRMED: (
        "the Receiver may have the message, and will then have a second record of it; retry"
        " cannot do that"
    ),
    OutboundState.REFUSED: "the Receiver may refuse the same payload for the same reason again",
    OutboundState.NOT_SENT: "the message arrives late; retry does the same under the old ids",
    OutboundState.WITHDRAWN: "what was withdrawn leaves after all; retry does so under the old ids",
}
LONGEST_REASON = 200  # characters; it names a ticket, and never a patient
PAST_ITS_TIME = "past_its_time"  # the one that whoever acts may set aside
OTHER_STANDS = "other_stands"  # the one that names others
IN_FLIGHT = "in_flight"  # the one that passes by itself, and soon
WRONG_STATE = "wrong_state"
# Of a use case, a move, a request type and a clinical time.
Schedule = Callable[[str, Move, RequestType, datetime | None], Limits]


class Verb(StrEnum):
    """What a person may do."""

    HOLD = "hold"  # it stays where it is, and so does what waits behind it
    RELEASE = "release"  # it goes on from where it was held
    WITHDRAW = "withdraw"  # it never leaves; only before its first attempt
    RETRY = "retry"  # the same bytes under the same ids, at once
    RESEND = "resend"  # the same payload under new ids


# What each does, as the commands' help has it.
DOES: Mapping[Verb, str] = {
    Verb.HOLD: "Stop messages where they are. No clock stops, and what is behind them waits too."
    " What is submitted later is not held, unless it is behind one of them.",
    Verb.RELEASE: "Let held messages go on.",
    Verb.WITHDRAW: "Take messages back that never left. With a request goes what waits behind it.",
    Verb.RETRY: "Send messages again, under the same ids. Never makes a second record.",
    Verb.RESEND: "Send payloads again, under new ids. The Receiver may end up with two records.",
}

# From which states a verb leads on.
FROM: Mapping[Verb, frozenset[OutboundState]] = {
    Verb.HOLD: frozenset({OutboundState.QUEUED}),
    Verb.RELEASE: frozenset({OutboundState.HELD}),
    Verb.WITHDRAW: _OPEN,
    Verb.RETRY: _NOT_THERE | {OutboundState.QUEUED},
    Verb.RESEND: _NOT_THERE | {OutboundState.ACKNOWLEDGED},
}

# What the Receiver has is sent a second time one by one, by somebody who looked at it; and
# what is queued needs no help from a filter to be tried again. What is being sent at the moment may
# come back to the queue: whoever stops or takes back all there is, is told of it.
IN_BULK: Mapping[Verb, frozenset[OutboundState]] = {
    **FROM,
    Verb.HOLD: FROM[Verb.HOLD] | {OutboundState.SENDING},
    Verb.WITHDRAW: FROM[Verb.WITHDRAW] | {OutboundState.SENDING},
    Verb.RETRY: _NOT_THERE,
    Verb.RESEND: _NOT_THERE,
}


OBJECTIONS: Mapping[str, Objection] = {
    each.code: each
    for each in (
        Objection(
            code=IN_FLIGHT,
            text="an attempt to send it has begun, and how it ended is not known yet",
            cure="ask again once it is: within a minute and a half, where the gateway runs",
        ),
        Objection(
            code=WRONG_STATE,
            text="its state does not allow for that",
            cure="look at its state: each verb leads on from some states only",
        ),
        Objection(
            code="attempted",
            text="a POST of it has begun, so the Receiver may have it",
            cure="hold it, or take it back by a cancellation",
        ),
        Objection(
            code="overtaken",
            text="a later message of its workflow has left, and this one must not come after it",
            cure="find out what the Receiver has, and send what is true now as a new message",
        ),
        Objection(
            code="outrun",
            text="a later message of its workflow waits, and would leave before its copy",
            cure="withdraw that one, or retry this one, which keeps its place before it",
        ),
        Objection(
            code="stands",
            text="the Receiver has it, and it stands: a copy would make a second record of one"
            " patient, and each would be worked on apart",
            cure="change or cancel the record that is there; after its end it may be sent as new",
        ),
        Objection(
            code=OTHER_STANDS,
            text="the Receiver has another record of this patient's request, and it stands:"
            " {others}. This would make one more, and each would be worked on apart",
            cure="telephone; change or cancel the record that stands, and withdraw this one if it"
            " waits. After the end of that one this may be sent",
        ),
        Objection(
            code="ended",
            text="its workflow has ended",
            cure="if it is still wanted, begin again with a message of its own",
        ),
        Objection(
            code="resent",
            text="its payload was sent again under new ids",
            cure="act on the later message: see resend_of",
        ),
        Objection(
            code=PAST_ITS_TIME,
            text="its clinical time has passed: a fallback may be running, and two may then act",
            cure="telephone first; if it is still wanted, ask again and say after its time",
        ),
        Objection(
            code="bytes_gone",
            text="its bytes are no longer kept",
            cure="submit a new message",
        ),
        Objection(
            code="id_fixed",
            text="its Bundle.id is written so that it cannot be changed safely",
            cure="submit a new message",
        ),
    )
}


@frozen(kw_only=True)
class Selection:
    """Which of a provider's outbound messages: all that is given has to fit."""

    states: frozenset[OutboundState]
    receiver: str | None = None  # system|value
    use_case: str | None = None
    correlation_id: str | None = None
    taken_from: datetime | None = None
    taken_before: datetime | None = None
    after: int = 0  # only messages behind that number: where the round before this one ended
    up_to: int | None = None  # none that came after the first round began


@frozen(kw_only=True)
class Candidate:
    """A message, and what would become of a verb on it."""

    message: MessageRow
    objection: Objection | None
    others: str | None = None  # other records of its request that there may be: how each stands


def may_happen(candidate: Candidate) -> str:
    """Return what a resend may lead to, and which further records there may be already."""
    text = MAY_HAPPEN[OutboundState(candidate.message.state)]
    others = candidate.others
    return f"{text}; there may be others of its request already: {others}" if others else text


@frozen(kw_only=True)
class Resent:
    """A payload under new ids, ready to be queued."""

    request_id: str
    bundle_id: str  # new where the message's reason is `new`, else the old one
    fingerprint: str
    request: Payload


@frozen(kw_only=True)
class Done:
    """What a verb led to."""

    state: OutboundState  # of the message that was named
    resent_as: str | None = None  # X-Request-Id of the message that a resend made
    also: Sequence[str] = ()  # X-Request-Ids of those withdrawn with it


# What stands against marking an alarm as handled.
HANDLING_OBJECTIONS: Mapping[str, Objection] = {
    each.code: each
    for each in (
        Objection(
            code="no_alarm",
            text="no alarm of this provider has that number or X-Request-Id",
            cure="see the status page, or bars-gateway alarms",
        ),
        Objection(
            code="handled_before",
            text="somebody has marked it as handled before",
            cure="there is nothing to do",
        ),
        Objection(
            code="settled",
            text="what it was about has come right meanwhile",
            cure="there is nothing to do",
        ),
        Objection(
            code="superseded",
            text="it was raised again since, under a new number",
            cure="look at the new one: something has happened after the first",
        ),
    )
}

# What stands against saying how a workflow stands.
NOT_CONFIRMED: Mapping[str, Objection] = {
    each.code: each
    for each in (
        Objection(
            code="not_in_doubt",
            text="the workflow is neither unclear nor contradicted",
            cure="there is nothing to confirm: messages alone move it",
        ),
    )
}

AGAINST: Mapping[str, Objection] = {
    each.code: each
    for each in (
        Objection(
            code="attached_before",
            text="it was attached before",
            cure="there is nothing to do: its workflow has it",
        ),
        Objection(
            code="no_workflow",
            text="no request of this provider has that workflow",
            cure="take workflow_id from the receipt of the request, or GET /messages/REQUEST_ID",
        ),
        Objection(
            code="other_service",
            text="the request went to another service than the one that responds",
            cure="look for the request among those that went to the Sender of the response",
        ),
        Objection(
            code="other_use_case",
            text="the response is about another kind of request, or another use case",
            cure="look for the request whose use case the response repeats",
        ),
        Objection(
            code="other_record",
            text="the Receiver gave the request another id than the one the response is about",
            cure="look for the request whose ServiceRequest.id the response repeats",
        ),
        Objection(
            code="other_patient",
            text="the response has another NHS number than the request",
            cure="ask the Sender whose it is: nothing of it may go to this patient's record",
        ),
        Objection(
            code="no_response",
            text="it is an update or a cancellation of a record that this Receiver never gave",
            cure="telephone the Sender, and ask which record it means",
        ),
        Objection(
            code="unreadable",
            text="its bytes can no longer be read as a response",
            cure="ask the Sender for it by telephone",
        ),
    )
}


@frozen(kw_only=True)
class Quarantine:
    """A response or a change that belongs to no workflow yet, without what it says."""

    number: int
    provider: str
    request_id: str
    correlation_id: str
    bundle_id: str
    responds_to: str | None
    sender: str
    receiver: str
    reason: str  # orphan or ambiguous, of a response; unknown_record, of a change
    fingerprint: str
    came_at: datetime
    attached_to: int | None


@frozen(kw_only=True)
class Attached:
    """The response is in its workflow, and the EPR will hear of it."""

    workflow_id: int
    state: str  # of the workflow, afterwards
