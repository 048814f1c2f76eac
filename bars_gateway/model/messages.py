"""
What the flows and the store trade in: submissions, claims, attempts, arrivals, fates; who acts.

Each is frozen, and says what a field means to whom. The store hands them on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import final

from bars_gateway.frozen import frozen
from bars_gateway.standard.applications import Owed
from bars_gateway.standard.consistency import CaseDetails
from bars_gateway.standard.guards import enforced
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.links import Ties
from bars_gateway.standard.meaning import Reason, Said, Wording
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.rule import Side
from bars_gateway.standard.verdict import TABLE_VERSION, Before, FaultSide, Verdict
from bars_gateway.standard.workflow import Move, RequestType, State


@frozen(kw_only=True)
class Actor:
    """Who acts, and why, as the audit trail keeps it."""

    role: str  # operator or epr
    who: str  # as they call themselves; the operating system's user id is in it
    why: str
    after_its_time: bool = False  # they know that its time has passed, and want it all the same


@frozen(kw_only=True)
class Objection:
    """Why a verb is not carried out."""

    code: str
    text: str
    cure: str


class OutboundState(StrEnum):
    """
    Where an outbound message is. Who moves it there is part of the meaning.

    The first three are open: the message keeps its place, and later messages to
    the same Receiver in the same conversation wait behind it.
    """

    QUEUED = "queued"  # intake, or the dispatcher after a retry; waits for next_attempt_at
    HELD = "held"  # an operator or the EPR; waits to be released, or for its time to pass
    SENDING = "sending"  # the dispatcher, for as long as its claim lasts
    ACKNOWLEDGED = "acknowledged"  # final: the Receiver has it
    REFUSED = "refused"  # final: the Receiver or BaRS said no, and why
    UNCONFIRMED = "unconfirmed"  # final: we stopped asking; the Receiver may have it
    NOT_SENT = "not_sent"  # final: its time passed and no POST ever began
    WITHDRAWN = "withdrawn"  # final: the EPR or an operator, before the first attempt


class NoticeKind(StrEnum):
    """What a notice tells the EPR."""

    MESSAGE = "message"  # an inbound message was received
    OUTCOME = "outcome"  # an outbound message is settled
    DELAYED = "delayed"  # an outbound message is later than its use case allows for
    DUE_SOON = "due_soon"  # an answer is owed soon, and has not come
    OVERDUE = "overdue"  # an answer that is owed has not come
    RECONCILED = "reconciled"  # what came of looking for the Receiver's id
    CANCEL_NOT_SENT = "cancel_not_sent"  # the read before a cancel could not be made
    CANCEL_TURNED_AWAY = "cancel_turned_away"  # others tried to cancel, and the EPR was not asked
    AMENDED = "amended"  # a further final response came, alike or not: compare the two
    DECIDED_LATE = "decided_late"  # the EPR said yes after the Sender had been told 408
    HELD = "held"  # an operator stopped an outbound message where it was
    RELEASED = "released"  # an operator let it go on
    RETRIED = "retried"  # an operator had it sent again under the same ids
    RESENT = "resent"  # an operator had its payload sent again under new ids: this message


class Part(StrEnum):
    """Which bytes of a message."""

    REQUEST = "request"  # the Bundle, as it was sent or as it came
    ANSWER = "answer"  # what was answered to it
    UNPROVEN = "unproven"  # a 2xx that does not prove that it arrived: for a person to look at


@frozen(kw_only=True)
class Payload:
    """Bytes as they were on the wire, and the headers that said what they were."""

    media_type: str
    headers: Mapping[str, str]  # without Authorization
    body: bytes
    # The NHS numbers by which it is to be found; None: nobody has looked for them yet.
    numbers: frozenset[str] | None = field(default=None, repr=False, compare=False)


class Names(StrEnum):
    """Whom a later message names, where that is not whom its workflow began with."""

    OTHER = "other"  # nobody has said that it is right
    CHANGED = "changed"  # traced or merged since, and somebody has said so: it is the same patient


@frozen(kw_only=True)
class Warned:
    """What is not as it should be about a message that was taken all the same."""

    rule: str
    path: str
    problem: str  # without content
    refused_in_production: bool = False  # there it would not have been taken


@frozen(kw_only=True)
class Word:
    """What a response says, as it was read beside its request, and where that stands in time."""

    says: Said
    reason_code: Reason | None  # of a rejection
    status: str | None  # of the Responder's Encounter
    said_at: datetime  # by the Responder's clock, or when it came, where that is ahead
    sent_at: datetime  # Bundle.timestamp, likewise: between two that were said at one time


@frozen(kw_only=True)
class Submission:
    """What the EPR submits, checked, with everything decided that a retry must repeat."""

    provider: str
    request_id: str  # X-Request-Id, minted for this message
    correlation_id: str  # X-Correlation-Id
    bundle_id: str
    responds_to: str | None  # MessageHeader.response.identifier, for a response
    move: Move
    request_type: RequestType
    use_case: str  # a4t1; empty where the message names none
    sender: str  # system|value of our service
    receiver: str  # system|value of the service it is for
    focus_id: str | None  # the Receiver's ServiceRequest.id or Appointment.id, if known
    fingerprint: str  # SHA-256 of the body, hex
    request: Payload  # headers are frozen here: the token is the only one to change
    needed_by: datetime | None  # the clinical time, from envelope or Bundle
    give_up_at: datetime  # after this a retry becomes unconfirmed, or not_sent
    delayed_at: datetime  # after this the EPR is told that it is late
    urgent: bool = False  # it goes out before what is not
    by_its_time: bool = False  # give_up_at follows from the clinical time, not from the hand-in
    owed: Owed | None = None  # a response, or what an update makes of that
    too_late: Sequence[Issue] = ()  # why it may not begin now; what was taken before may go on
    submission_id: str | None = None  # the EPR's own key, where the bytes were composed here
    asked_as: str | None = None  # SHA-256 of what they were composed for
    read_first: bool = False  # a cancellation: whether there is something to cancel (D-cancel-read)
    target_unchecked: str | None = None  # why nobody knows that the service takes the request
    enforced: frozenset[str] = enforced(Side.SENDING)  # guards that refuse a move
    ties: Ties | None = None  # of a new request: what it says of other workflows
    case_details: CaseDetails | None = None  # of what comes later: to agree with its workflow
    patient_changed: bool = False  # the EPR knows that it names the patient otherwise than before
    warnings: Sequence[Warned] = ()  # told with the receipt
    wording: Wording | None = None  # of a response: what its meaning follows from
    plans: tuple[frozenset[str], ...] = field(default=(), repr=False)  # likewise: what each says
    word: Word | None = None  # of a response that was read beside its workflow
    appointment_until: datetime | None = None  # when the appointment that it names is over


@frozen(kw_only=True)
class Change:
    """What an update or a cancellation of ours says about the record that it is of."""

    provider: str
    receiver: str
    request_type: RequestType
    focus_id: str
    said: CaseDetails
    patient_changed: bool = False


@frozen(kw_only=True)
class Accepted:
    """The receipt for a submission, the same however often the same bytes are submitted."""

    message_id: int
    workflow_id: int
    request_id: str
    correlation_id: str
    receiver: str
    fingerprint: str
    state: OutboundState  # queued when it is new
    code: str | None  # what the Receiver said, if it has refused these bytes before
    accepted_at: datetime
    led_to: State | None = None  # of a request: how its workflow stands; cancelled: or will be
    asked_as: str | None = None  # SHA-256 of what it was composed for, where it was
    target_unchecked: str | None = None  # why nobody knows that the service takes the request
    warnings: Sequence[Warned] = ()  # what was not as it should be when it was taken


@frozen(kw_only=True)
class Claim:
    """
    A message that this process alone may send now.

    A claim is a lease. It ends when the message is settled, or when the lease
    runs out and another process may take the message over.
    """

    message_id: int
    provider: str
    request_id: str  # X-Request-Id: the same for every attempt
    correlation_id: str  # X-Correlation-Id: the same for the whole conversation
    receiver: str  # system|value of the service it is for
    move: Move
    use_case: str  # chooses the timing of retries
    claim: int  # the fencing token: grows with every claim
    attempt: int  # 1 for the first; counts POSTs begun
    before: Before  # what the attempts before this one have left open
    server_errors: int  # answers of an error that counted so far (D-500s)
    created_at: datetime
    give_up_at: datetime  # after this a retry becomes unconfirmed
    request: Payload  # the Bundle, byte for byte as the EPR gave it, and its frozen headers
    previous_at: datetime | None = None  # when the attempt before this one began
    first_error_at: datetime | None = None  # when the first that met an error began
    claimed_at: datetime | None = None  # when it was noted as a call that counts for the quota


@frozen(kw_only=True)
class Attempt:
    """One POST and what its answer meant, as it is kept for good."""

    number: int
    started_at: datetime
    ended_at: datetime
    verdict: Verdict
    row: str  # the row of the verdict table that was chosen
    fault: FaultSide | None  # whose; None when it was acknowledged
    http_status: int | None  # None: nothing came back
    code: str | None  # REC_TIMEOUT, PROXY_NOT_FOUND, …
    issue: str | None  # FHIR IssueType
    ids_echoed: bool  # whether both of our ids came back
    table_version: int = TABLE_VERSION  # of the verdict table, as it was then


@frozen(kw_only=True)
class TryAgain:
    """The attempt proved nothing; the message goes back to the queue until `at`."""

    at: datetime


@frozen(kw_only=True)
class Settled:
    """The message has reached a final state."""

    state: OutboundState
    focus_id: str | None = None  # the id that the Receiver minted, where its answer had one
    by_earlier: bool = False  # the 2xx without our ids that came before was about us: its answer


Settlement = TryAgain | Settled


@final
@frozen(kw_only=True)
class Arrival:
    """An inbound message that every rule has passed, with the answer it will get."""

    provider: str
    request_id: str
    correlation_id: str
    bundle_id: str
    move: Move
    request_type: RequestType
    use_case: str
    sender: str  # system|value of the counterparty's service
    receiver: str  # system|value of our service
    focus_id: str | None  # the id that we mint for the ServiceRequest, or that a response names
    reference: str | None  # the human-readable case number that we mint; None for a response
    responds_to: str | None  # MessageHeader.response.identifier, of a response
    fingerprint: str
    request: Payload
    answer: Payload  # what the Sender gets if this is taken; empty until the EPR has decided
    owed: Owed | None  # a response
    reason: str = "new"  # of a response
    wording: Wording | None = None  # of a response: what its meaning follows from
    says_nothing: bool = False  # of a response: there is nothing to read in its CarePlan
    plans: tuple[frozenset[str], ...] = field(default=(), repr=False)  # likewise: what each says
    word: Word | None = None  # of a response that was read beside its workflow
    enforced: frozenset[str] = enforced(Side.RECEIVING)  # guards that refuse a move
    ties: Ties | None = None  # of a new request: what it says of other workflows
    case_details: CaseDetails | None = None  # of what comes later: to agree with its workflow
    said: str | None = None  # what tells what it says from all else; None: not known
    earlier_records: bool = False  # whether the EPR may know a record that we do not
    doubts: tuple[Remark, ...] = ()  # about it by itself: they go with the notice
    appointment_until: datetime | None = None  # when the appointment that it names is over


@frozen(kw_only=True)
class Refusal:
    """An inbound request that a rule refused, with the answer it will get again and again."""

    provider: str
    request_id: str
    correlation_id: str
    fingerprint: str
    rules: Sequence[str]  # ids of the rules that it broke
    http_status: int
    answer: Payload
    is_response: bool = False  # it would have answered something of ours: a person is told


@frozen(kw_only=True)
class Received:
    """The message is on disk; its acknowledgement may go out."""

    message_id: int
    workflow_id: int


@frozen(kw_only=True)
class Repeated:
    """The same message was taken before: 409 duplicate."""

    reference: str | None  # what its first answer called it


@frozen(kw_only=True)
class RefusedBefore:
    """A rule refused it, now or before: this is the answer."""

    http_status: int
    answer: Payload


@frozen(kw_only=True)
class Conflicting:
    """The same X-Request-Id, other bytes: 409 conflict, and an alarm (D-same-request-id)."""


@frozen(kw_only=True)
class Quarantined:
    """What belongs to no workflow, or to several: 404, a copy kept, an alarm (D-correlation)."""

    reason: str  # orphan or ambiguous, of a response; unknown_record, of a change
    answer: Payload  # the 404


@frozen(kw_only=True)
class Processing:
    """The EPR is asked about it and has not answered yet: 425 (D-asked-once)."""


@frozen(kw_only=True)
class BundleReused:
    """A new message has the Bundle.id of another one from that Sender: 400 (B05)."""


# What a request meets that is not taken, and the fate of every one.
Met = Repeated | RefusedBefore | Conflicting | Quarantined | Processing | BundleReused
Fate = Received | Met
