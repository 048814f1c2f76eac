"""What can be read of the store: notices for an EPR, lists and the overview for an operator."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Attempt, NoticeKind, OutboundState
from bars_gateway.model.questions import OpenQuestions
from bars_gateway.model.retention import RecordHold
from bars_gateway.model.standing_alarms import Alarm, StandingAlarms
from bars_gateway.standard.findings import ReadProgress
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.links import By, Relation
from bars_gateway.standard.meaning import Reason, Said
from bars_gateway.standard.remarks import (
    OF_KNOWN,
    Remark,
    goes_on_beside_an_end,
    seen_beside,
)
from bars_gateway.standard.sentences import Situation
from bars_gateway.standard.workflow import FINAL, Move, RequestType, State

# In these it ends by its time alone, and nobody takes it up after that.
_OPEN = frozenset({OutboundState.QUEUED, OutboundState.HELD, OutboundState.SENDING})
_NOT_THERE = frozenset({OutboundState.REFUSED, OutboundState.NOT_SENT, OutboundState.WITHDRAWN})


@frozen(kw_only=True)
class Link:
    """Another workflow that belongs to the one that is looked at."""

    relation: Relation  # what the other is to this one
    by: By  # what says so
    workflow_id: int  # of the other
    request_type: RequestType
    role: str  # ours in the other
    state: State
    focus_id: str | None  # what the Receiver calls the other, where that is known
    may_be_there: bool  # something of the other has been sent, or has come
    followed: bool  # the other was over already when this one was sent again for it


@frozen(kw_only=True)
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
    request_type: RequestType  # of its workflow
    use_case: str
    sender: str
    receiver: str
    state: str  # of the message
    attempts: int
    give_up_at: datetime | None  # outbound: when the gateway stops trying
    answer_due_at: datetime | None  # of its workflow: when an answer is owed
    reference: str | None  # inbound: the case number that we gave it
    http_status: int | None  # of the last attempt
    code: str | None
    issue: str | None
    fault: str | None
    media_type: str  # of the Bundle
    fingerprint: str
    answer_media_type: str | None  # None: there is no answer to read
    says: Said | None  # of a response: what the Responder says with it
    reason_code: Reason | None  # of a rejection, where it gives a code of the standard's
    resend_of: str | None  # X-Request-Id of the message whose payload this sends again
    reconciled: str | None  # where no id came: what came of looking for it
    focus_id: str | None  # what the Receiver calls the record, where that is known
    shown: str | None  # how the record ended there, or that no read of it said so
    remarks: Sequence[Remark]  # what a person should know beside what it says
    stands: State  # its workflow, now
    warned_from: datetime | None  # when the EPR was, or is to be, told that an answer is owed soon
    links: Sequence[Link]  # of its workflow
    modifiers: Sequence[Issue] = ()  # what in it may change its meaning, and where

    @property
    def situation(self) -> Situation:
        """What it tells, as a sentence is made of it."""
        return Situation(
            kind=self.kind,
            direction=self.direction,
            state=self.state,
            move=self.move,
            request_type=self.request_type,
            use_case=self.use_case,
            attempts=self.attempts,
            says=self.says,
            reason_code=self.reason_code,
            remarks=self.remarks,
            reconciled=self.reconciled,
            shown=self.shown,
            reading=self._reading,
            due_at=self.answer_due_at,
            ends_at=self.give_up_at,
            stands=self.stands,
            owed=_owed(self.stands, self.answer_due_at, self.warned_from, self.created_at),
        )

    @property
    def _reading(self) -> ReadProgress | None:
        if self.kind is not NoticeKind.CANCEL_NOT_SENT:
            return None
        another = Remark.OTHER_PATIENT in self.remarks
        return ReadProgress.OTHER_PATIENT if another else ReadProgress.UNREAD


@frozen(kw_only=True)
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
    request_type: RequestType  # of its workflow
    use_case: str
    sender: str
    receiver: str
    state: str
    attempts: int
    next_attempt_at: datetime | None
    give_up_at: datetime | None
    answer_due_at: datetime | None  # of its workflow: when an answer is owed
    created_at: datetime
    settled_at: datetime | None
    says: Said | None  # of a response: what the Responder says with it
    reason_code: Reason | None  # of a rejection, where it gives a code of the standard's
    target_unchecked: str | None  # why nobody knew, when it came, that its service takes it
    remarks: Sequence[Remark] = ()  # what its notice told beside what it says
    stands: State | None = None  # its workflow, now
    newest: Said | None = None  # what the Responder said last, of all that holds
    newest_plan: Remark | None = None  # and what was remarked upon its CarePlan
    reading: ReadProgress | None = None  # the read that it waits for
    shown: str | None = None  # how the record ended there, or that no read of it said so
    reconciled: str | None = None  # where its record has no id here: what came of looking for it
    claimed_until: datetime | None = None  # of an attempt under way: when its claim lapses
    needed_by: datetime | None = None  # its clinical time
    late_from: datetime | None = None  # when the EPR was, or is to be, told that it is late
    warned_from: datetime | None = None  # likewise, that an answer is owed soon
    alarmed: bool = False  # an alarm of its workflow stands
    known: Remark | None = None  # what is said of it where its case has gone on without it
    others: Sequence[State] = ()  # how other records of the same request stand now
    others_there: Sequence[State] = ()  # of these, those that may have arrived, and may be meant
    others_over: Sequence[State] = ()  # of these, those that have ended since this one was sent
    other_agreed: bool = False  # somebody has agreed to one of these, and nothing speaks against it

    def seen_at(self, now: datetime) -> Situation:
        """Return how it and its workflow stand at *now*: what a sentence is made of."""
        if self.is_past_its_end(now):
            return self._ended().seen_at(now)
        past = self._is_open and _has_come(self.needed_by, now)
        return Situation(
            direction=self.direction,
            state=self.state,
            move=self.move,
            request_type=self.request_type,
            use_case=self.use_case,
            attempts=self.attempts,
            says=self.says,
            reason_code=self.reason_code,
            remarks=self._remarks(past=past),
            reconciled=self.reconciled,
            stands=self.stands,
            newest=self.newest,
            newest_plan=self.newest_plan,
            late=past or (self._is_open and _has_come(self.late_from, now)),
            owed=_owed(self.stands, self.answer_due_at, self.warned_from, now),
            alarmed=self.alarmed,
            one_over=self._goes_on_alone,
            reading=self.reading,
            shown=self.shown,
            due_at=self.answer_due_at,
            ends_at=self.ends_at,
        )

    @property
    def ends_at(self) -> datetime | None:
        """When nobody tries any more: of what is being sent, not before its claim has lapsed."""
        if self.give_up_at is None or self.claimed_until is None:
            return self.give_up_at
        return max(self.give_up_at, self.claimed_until)

    def is_past_its_end(self, now: datetime) -> bool:
        """Tell whether nobody tries any more, and no gateway has run since that could say so."""
        return self.state in _OPEN and _has_come(self.ends_at, now)

    def _ended(self) -> "MessageRow":
        """Return it as it has ended by now, though no gateway has run since to write it down."""
        fate = OutboundState.UNCONFIRMED if self.attempts else OutboundState.NOT_SENT
        stands = self.stands
        if self.move is Move.REQUEST and stands is State.REQUESTED:
            stands = State.UNCONFIRMED if self.attempts else State.ABANDONED
        ended = {"state": fate, "settled_at": self.give_up_at, "stands": stands}
        left = {"remarks": (), "reading": None, "claimed_until": None}
        return replace(self, **ended, **left)  # type: ignore[arg-type]

    @property
    def _is_open(self) -> bool:
        return self.direction == "outbound" and self.settled_at is None

    @property
    def _goes_on_alone(self) -> bool:
        return goes_on_beside_an_end(self.stands, self.newest, self.others_over)

    def _remarks(self, *, past: bool) -> Sequence[Remark]:
        """Return what is so still: of what goes on nothing that was told before."""
        told = self.remarks if self.settled_at or self.state == OutboundState.HELD else ()
        if self.state != OutboundState.ACKNOWLEDGED:
            told = [each for each in told if each not in OF_KNOWN]
            told += [self.known] if self.known else []
        if self.stands:
            lost = self.move is Move.REQUEST and self.state in _NOT_THERE
            told = seen_beside(
                told,
                self.stands,
                self.others_there if lost else self.others,
                settled=bool(self.settled_at),
                agreed=self.other_agreed,
                lost=lost,
            )
        return [*told, Remark.PAST_ITS_TIME] if past else told


def _owed(
    stands: State | None, due_at: datetime | None, warned_from: datetime | None, at: datetime
) -> str | None:
    """Return how an answer that was owed *at* that time, and has not come, is told."""
    if stands in FINAL or due_at is None:
        return None
    if _has_come(due_at, at):
        return "overdue"
    return "due_soon" if _has_come(warned_from, at) else None


def _has_come(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now


@frozen(kw_only=True)
class Event:
    """One line of the audit trail."""

    at: datetime
    provider: str | None
    kind: str  # message.queued, inbound.refused, …
    request_id: str | None
    detail: str  # JSON of ids, rules and codes; never a payload


@frozen(kw_only=True)
class MessageHistory:
    """One message with all that happened to it."""

    message: MessageRow
    workflow: "WorkflowRow"
    attempts: Sequence[Attempt]
    events: Sequence[Event]
    held: RecordHold | None = None  # kept from every purge, by whom and why


@frozen(kw_only=True)
class WorkflowRow:
    """One workflow as the operator's lists show it."""

    workflow_id: int
    provider: str
    correlation_id: str
    counterparty: str
    role: str  # ours: requester or responder
    request_type: RequestType
    use_case: str
    state: State
    opened_at: datetime
    closed_at: datetime | None
    answer_due_at: datetime | None
    told_status: str | None  # how far the Responder says that it is: its Encounter.status
    links: Sequence[Link]  # oldest first


@frozen(kw_only=True)
class Debt:
    """One answer that is owed and has not come: to us, or by us."""

    ours: bool  # we owe it; else it is owed to us
    workflow_id: int
    counterparty: str  # system|value of the other side's service
    state: State  # of the workflow
    since: datetime  # when the workflow began
    due_at: datetime
    request: MessageRow  # the message that began it

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether its time has come."""
        return self.due_at <= now


_OF_SOMEBODY = frozenset({"who", "role", "why"})


@frozen(kw_only=True)
class AuditLine:
    """One line of the audit trail: who did what, why, and to which message."""

    number: int
    at: datetime
    provider: str | None
    kind: str  # operator.held, message.refused, …
    role: str | None  # operator, epr or reveal, where somebody acted as that
    who: str | None
    why: str | None
    request_id: str | None
    message_id: int | None
    detail: Mapping[str, object]  # ids, rules and codes; who and why are in it

    @property
    def codes(self) -> str:
        """What it names beside ids, who and why: rules, states and codes; empty: nothing."""
        named = {name: each for name, each in self.detail.items() if name not in _OF_SOMEBODY}
        texts = (
            ", ".join(map(str, each)) if isinstance(each, list) else each for each in named.values()
        )
        return "; ".join(f"{name} {text}" for name, text in zip(named, texts, strict=True))


@frozen(kw_only=True)
class LastAttempt:
    """One attempt with the message it was for."""

    request_id: str
    provider: str
    receiver: str
    attempt: Attempt


@frozen(kw_only=True)
class Overview:
    """What the status page and the metrics show, read in one moment."""

    at: datetime
    outbound: Mapping[OutboundState, int]  # every state, also those with none
    inbound: int  # messages received
    workflows: Mapping[State, int]
    notices_pending: Mapping[str, int]  # by provider
    questions_open: Mapping[str, OpenQuestions]  # by provider; only those that have any
    cancels_waiting: Mapping[ReadProgress, int]  # for the read before them
    oldest_open_at: datetime | None  # of the outbound messages that are not settled
    oldest_waiting_at: datetime | None  # of those, but for what is held
    oldest_late_at: datetime | None  # of these, where the EPR was told that it is late
    next_due_at: datetime | None  # of the queued ones
    last_attempts: Sequence[LastAttempt]  # newest first
    last_workflows: Sequence[WorkflowRow]  # newest first
    standing: Sequence[StandingAlarms]  # how many alarms stand: nobody has seen to them
    alarms: Sequence[Alarm]  # the newest of each kind
    database: str  # its file, or the server's name for it
    database_bytes: int
    free_bytes: int | None  # beside it; None: its disk is another machine's

    def alarmed(self, kind: str) -> int:
        """How many alarms of that kind stand."""
        return sum(each.count for each in self.standing if each.kind == kind)


@frozen
class StuckLog:
    """The log grows, because somebody has been reading in it all the time."""

    seconds: float  # since it was last complete
    size: int  # bytes


@frozen(kw_only=True)
class EncryptionStanding:
    """How what is stored is encrypted, and how far it has come to be encrypted as it is wanted."""

    wanted: str  # the keys that encrypt ("-": none) and that hash; "": there is no key ring
    place: str | None  # the table that is gone through now; None: everything is as wanted
    changed: int  # rows that were encrypted again, or opened, since it began
    left_over: int  # rows that cannot be opened, and stay as they are
    began_at: datetime | None
    ended_at: datetime | None  # None: it has not ended
    needed: Sequence[str]  # the ids of the keys by which something is encrypted


@frozen(kw_only=True)
class SubjectHeld:
    """One thing that is held about a person: ids, states and times, nothing of what it says."""

    kind: str  # message, question or quarantine
    number: int  # of that kind
    named: str  # where the number stands: patient, text, or unknown
    provider: str
    direction: str
    counterparty: str | None  # system|value; None: a question, whose message has it
    use_case: str | None
    move: str | None
    state: str  # of a message or question; why it lies in quarantine
    request_id: str
    bundle_id: str | None
    workflow_id: int | None
    workflow_state: str | None
    at: datetime  # when it was submitted or came
    kept: Sequence[str]  # the parts whose bytes are still kept
    notices: Sequence[int]  # by which the EPR was given it


@frozen(kw_only=True)
class Inspected:
    """The last comparison of everything."""

    began_at: datetime | None  # None: there was none
    ended_at: datetime | None  # None: it has not, or was broken off
    found: Sequence[str]  # in our words, with names of tables and indexes; empty: all was well


@frozen(kw_only=True)
class Inspection:
    """How far the file of a running gateway is known to be sound."""

    after_orderly_stop: bool
    waits_since: datetime | None  # since when this start has not compared everything; None: it has
    last: Inspected | None  # the last comparison of this start; None: it has not ended
    left: Sequence[str] = ()  # indexes that lack rows and could not be rebuilt


@frozen(kw_only=True)
class Findings:
    """What one step found, and what was done about it."""

    table: str
    rebuilt: Sequence[str] = ()  # indexes, and how many rows they lacked
    left: Sequence[str] = ()  # indexes that could not be rebuilt, and why
    damaged: int = 0  # findings that nobody can put right from here

    @property
    def sentences(self) -> Sequence[str]:
        """What is told of it."""
        return [
            *(f"{each} lacked, and rebuilt" for each in self.rebuilt),
            *(f"{each} lacked, and not rebuilt" for each in self.left),
            *([f"{self.table}: {self.damaged} damaged"] if self.damaged else []),
        ]
