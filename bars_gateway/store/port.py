"""
The store as the flows see it: whole transactions, and the values they trade in.

    submit ─► claim_next ─► settle │ put_back          an outbound message
    receive │ refuse                                   an inbound request
    pending_notices ─► collect                         what we owe the EPR

One method is one transaction is one sentence. A method returns after its changes
are on disk, and not before; a caller can neither begin a transaction nor forget to
end one. A caller that is cancelled stops waiting: its change is made or not made,
never half.

The two bells (`outbound_work`, `notice_work`) are rung after a commit. Silence a
bell *before* looking and nothing is missed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bars_gateway.standard.verdict import Answer, Fault, Verdict
from bars_gateway.standard.workflow import Move, State, Subject


class OutboundState(StrEnum):
    """
    Where an outbound message is. Who moves it there is part of the meaning.

    The first three are open: the message keeps its place, and later messages to
    the same Receiver in the same conversation wait behind it.
    """

    QUEUED = "queued"  # intake, or the dispatcher after a retry; waits for next_attempt_at
    HELD = "held"  # an operator; waits for an operator
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
    OVERDUE = "overdue"  # an answer that is owed has not come
    RECONCILED = "reconciled"  # the Receiver's ids were found after a duplicate
    CANCEL_NOT_SENT = "cancel_not_sent"  # the read before a cancel could not be made
    AMENDED = "amended"  # a second, different final response came


class Part(StrEnum):
    """Which bytes of a message."""

    REQUEST = "request"  # the Bundle, as it was sent or as it came
    ANSWER = "answer"  # what was answered to it
    UNPROVEN = "unproven"  # a 2xx without our ids: kept for the ids in it (S2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Bytes as they were on the wire, and the headers that said what they were."""

    media_type: str
    headers: Mapping[str, str]  # without Authorization
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What the EPR hands in, checked, with everything decided that a retry must repeat."""

    provider: str
    request_id: str  # X-Request-Id, minted for this message
    correlation_id: str  # X-Correlation-Id
    bundle_id: str
    responds_to: str | None  # MessageHeader.response.identifier, for a response
    move: Move
    subject: Subject
    use_case: str  # a4t1; empty where the message names none
    sender: str  # system|value of our service
    receiver: str  # system|value of the service it is for
    focus_id: str | None  # the Receiver's ServiceRequest.id or Appointment.id, if known
    fingerprint: str  # SHA-256 of the body, hex
    request: Payload  # headers are frozen here: the token is the only one to change
    needed_by: datetime | None  # the clinical time, from envelope or Bundle
    give_up_at: datetime  # after this a retry becomes unconfirmed, or not_sent
    delayed_at: datetime  # after this the EPR is told that it is late


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The receipt for a submission, the same however often the same bytes are handed in."""

    message_id: int
    workflow_id: int
    request_id: str
    correlation_id: str
    receiver: str
    fingerprint: str
    state: OutboundState  # queued when it is new
    code: str | None  # what the Receiver said, if it has refused these bytes before
    accepted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
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
    use_case: str  # chooses the timing of retries
    claim: int  # the fencing token: grows with every claim
    attempt: int  # 1 for the first; counts POSTs begun
    server_errors: int  # answers of 500 so far (S2 allows five)
    created_at: datetime
    give_up_at: datetime  # after this a retry becomes unconfirmed
    request: Payload  # the Bundle, byte for byte as the EPR gave it, and its frozen headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST and what its answer meant, as it is kept for good."""

    number: int
    started_at: datetime
    ended_at: datetime
    verdict: Verdict
    row: str  # the row of the verdict table that was chosen
    fault: Fault | None  # whose; None when it was acknowledged
    http_status: int | None  # None: nothing came back
    code: str | None  # REC_TIMEOUT, PROXY_NOT_FOUND, …
    issue: str | None  # FHIR IssueType
    ids_echoed: bool  # whether both of our ids came back


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAgain:
    """The attempt proved nothing; the message goes back to the queue until `at`."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The message has reached a final state."""

    state: OutboundState
    focus_id: str | None = None  # the id that the Receiver minted, where its answer had one


Settlement = TryAgain | Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An inbound message that every rule has passed, with the answer it will get."""

    provider: str
    request_id: str
    correlation_id: str
    bundle_id: str
    move: Move
    subject: Subject
    use_case: str
    sender: str  # system|value of the counterparty's service
    receiver: str  # system|value of our service
    focus_id: str  # the id that we mint for the ServiceRequest
    reference: str  # the human-readable case number that we mint
    fingerprint: str
    request: Payload
    answer: Payload  # the acknowledgement that the Sender gets if this is taken
    answer_due_at: datetime | None  # when a response is owed


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An inbound request that a rule refused, with the answer it will get again and again."""

    provider: str
    request_id: str
    correlation_id: str
    fingerprint: str
    rules: Sequence[str]  # ids of the rules that it broke
    http_status: int
    answer: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The message is on disk; its acknowledgement may go out."""

    message_id: int
    workflow_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The same message was taken before: 409 duplicate."""

    reference: str | None  # what its first answer called it


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedBefore:
    """A rule refused it, now or before: this is the answer."""

    http_status: int
    answer: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflicting:
    """The same X-Request-Id came with other bytes: 409 conflict, and an alarm (S5)."""


Fate = Taken | Repeated | RefusedBefore | Conflicting


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that we owe the EPR, until it has collected it."""

    notice_id: int  # the EPR's key: the same notice keeps its number
    kind: NoticeKind
    provider: str
    created_at: datetime
    collected_at: datetime | None
    message_id: int
    workflow_id: int
    direction: str  # of the message: outbound or inbound
    request_id: str
    correlation_id: str
    bundle_id: str
    move: Move
    use_case: str
    sender: str
    receiver: str
    state: str  # of the message
    attempts: int
    reference: str | None  # inbound: the case number that we gave it
    http_status: int | None  # of the last attempt
    code: str | None
    issue: str | None
    fault: str | None
    media_type: str  # of the Bundle
    fingerprint: str
    answer_media_type: str | None  # None: there is no answer to read


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """One message as the operator's lists show it: no payload."""

    message_id: int
    workflow_id: int
    provider: str
    direction: str
    request_id: str
    correlation_id: str
    bundle_id: str
    move: Move
    use_case: str
    sender: str
    receiver: str
    state: str
    attempts: int
    next_attempt_at: datetime | None
    give_up_at: datetime | None
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the audit trail."""

    at: datetime
    provider: str | None
    kind: str  # message.queued, inbound.refused, …
    request_id: str | None
    detail: str  # JSON of ids, rules and codes; never a payload


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageHistory:
    """One message with all that happened to it."""

    message: MessageRow
    workflow: "WorkflowRow"
    attempts: Sequence[Attempt]
    events: Sequence[Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRow:
    """One workflow as the operator's lists show it."""

    workflow_id: int
    provider: str
    correlation_id: str
    counterparty: str
    role: str  # ours: requester or responder
    subject: Subject
    use_case: str
    state: State
    opened_at: datetime
    closed_at: datetime | None
    answer_due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAttempt:
    """One attempt with the message it was for."""

    request_id: str
    provider: str
    receiver: str
    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the status page and the metrics show, read in one moment."""

    at: datetime
    outbound: Mapping[OutboundState, int]  # every state, also those with none
    inbound: int  # messages received
    workflows: Mapping[State, int]
    notices_pending: Mapping[str, int]  # by provider
    oldest_open_at: datetime | None  # of the outbound messages that are not settled
    next_due_at: datetime | None  # of the queued ones
    last_attempts: Sequence[LastAttempt]  # newest first
    last_workflows: Sequence[WorkflowRow]  # newest first
    alarms: Sequence[Event]  # newest first: what a person should look at
    database_bytes: int
    free_bytes: int


class Store(Protocol):
    """What the flows may ask of the store. Instants are aware and in UTC."""

    async def submit(self, submission: Submission, now: datetime) -> Accepted:
        """Queue the message, or return the receipt that the same bytes were given before."""

    async def correlation_of(self, provider: str, *keys: str) -> str | None:
        """Return the X-Correlation-Id of the workflow that one of *keys* belongs to."""

    async def claim_next(self, now: datetime, providers: Collection[str]) -> Claim | None:
        """Take the message of one of *providers* that has been due longest, for us alone."""

    async def settle(
        self, claim: Claim, answer: Answer, *, attempt: Attempt, settlement: Settlement
    ) -> None:
        """Record the attempt and what it led to; raise StaleState if the claim has lapsed."""

    async def put_back(self, claim: Claim, retry_at: datetime) -> None:
        """Undo the claim: no POST began, so it was no attempt."""

    async def release_own(self, now: datetime) -> int:
        """Queue again what this node was sending when it died; return how many."""

    async def release_lapsed(self, now: datetime) -> int:
        """Queue again what a lease ran out on; return how many."""

    async def give_up(self, now: datetime) -> int:
        """Settle what is queued and past its time as unconfirmed or not_sent; return how many."""

    async def tell_delays(self, now: datetime) -> int:
        """Write a delayed notice for each open message that is late; return how many."""

    async def next_due(self, now: datetime, providers: Collection[str]) -> datetime | None:
        """
        Return when, after *now*, the next queued message of *providers* is due, or None.

        Pass the *now* of the claim that found nothing: what was due then and not
        claimable waits for another message, and the bell rings when that is settled.
        """

    async def attempts_since(self, since: datetime) -> Mapping[str, Sequence[datetime]]:
        """Return when each provider's POSTs of the time since *since* began (M7)."""

    async def receive(self, arrival: Arrival, now: datetime) -> Fate:
        """Take the message with its workflow, answer and notice, or say what it met."""

    async def refuse(self, refusal: Refusal, now: datetime) -> Fate:
        """Remember the refusal, so that a retry gets the same, or say what it met."""

    async def note(
        self, kind: str, now: datetime, *, provider: str | None, request_id: str | None
    ) -> None:
        """Add a line to the audit trail."""

    async def pending_notices(self, provider: str, limit: int) -> Sequence[Notice]:
        """Return what *provider*'s EPR has not collected yet, oldest first."""

    async def notice(self, provider: str, notice_id: int) -> Notice | None:
        """Return that notice, collected or not, or None if *provider* has no such."""

    async def collect(self, provider: str, notice_ids: Sequence[int], now: datetime) -> int:
        """Mark notices as collected; return how many were not before."""

    async def payload(self, message_id: int, part: Part) -> Payload | None:
        """Return those bytes, or None if there are none (any more)."""

    async def queue(self, provider: str | None, limit: int) -> Sequence[MessageRow]:
        """Return outbound messages that are not settled, in the order they were taken."""

    async def history(self, provider: str | None, request_id: str) -> Sequence[MessageHistory]:
        """Return every message with that X-Request-Id (of *provider*), with all that happened."""

    async def overview(self, now: datetime) -> Overview:
        """Return what the status page shows."""

    async def checkpoint(self) -> None:
        """Move the write-ahead log into the database, without making writers wait."""

    async def outbound_work(self, seconds: float) -> None:
        """Return when a message may have become due, after *seconds* at the latest."""

    async def notice_work(self, provider: str, seconds: float) -> None:
        """Return when *provider* may have a new notice, after *seconds* at the latest."""

    def ring_outbound(self) -> None:
        """Wake one sender: there may be more to claim."""
