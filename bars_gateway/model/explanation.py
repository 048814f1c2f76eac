"""
How a message stands, in words that somebody reads once: happened, waits, whose turn, what to do.

    history · notices · verbs · alarms · quarantine ──explain──► Explanation

`explain ID` prints it, and the page of a message shows it. What a person is to do is said by the
sentence that the EPR was told too (`means`), and nothing here says it a second time. What one may
do now comes of the objections by which the verbs themselves decide (`model.interventions`).

It is the turn of a person wherever that sentence asks for a telephone call or more, and as long as
an alarm stands: to look in vain does less harm than to wait in vain. Once somebody has marked the
last alarm as handled, and the EPR has been told nothing since, the sentence says what was so then.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.interventions import (
    DOES,
    HANDLING_OBJECTIONS,
    NOT_CONFIRMED,
    Candidate,
    Quarantine,
    Verb,
    may_happen,
)
from bars_gateway.model.messages import NoticeKind, Objection, OutboundState
from bars_gateway.model.readings import MessageHistory, MessageRow, Notice
from bars_gateway.model.retention import RecordHold
from bars_gateway.model.standing_alarms import Alarm
from bars_gateway.model.timeline import TimelineStep, steps
from bars_gateway.standard.findings import ReadProgress
from bars_gateway.standard.sentences import means, sentences
from bars_gateway.standard.sentences.words import Asks, clock
from bars_gateway.standard.verdict import FaultSide, Verdict
from bars_gateway.standard.workflow import DOUBTS, FINAL, RequestType, Role


class Turn(StrEnum):
    """Who is to do the next thing."""

    PERSON = "person"  # a person's, here
    EPR = "epr"  # our EPR's
    GATEWAY = "gateway"  # the gateway's: it goes on by itself
    THEIRS = "theirs"  # the other side's
    NOBODY = "nobody"  # nobody's: it is over, or nothing is owed


TURNS: Mapping[Turn, str] = {
    Turn.PERSON: "a person's, here",
    Turn.EPR: "our EPR's",
    Turn.GATEWAY: "the gateway's: it goes on by itself",
    Turn.THEIRS: "the other side's",
    Turn.NOBODY: "nobody's",
}
# By the side that the last answer names, or that the verdict table takes it for.
FAULTS: Mapping[FaultSide, str] = {
    FaultSide.SEND: "here: the answer says that it comes of what was sent, or of how",
    FaultSide.PROXY: "between here and the Receiver: the network, or the national proxy",
    FaultSide.REC: "at the Receiver",
    FaultSide.HERE: "here: our access token, our registration, or our own network",
}


class Stall(StrEnum):
    """Why nothing goes out that could."""

    SETTINGS = "settings"  # there is no such provider in the settings any more
    EGRESS = "egress"  # nothing gets out of our own network
    TOKEN = "token"  # no access token can be had  # noqa: S105
    KEPT_OUT = "kept_out"  # the platform does not let us through
    RECEIVER = "receiver"  # that Receiver gives no answer


_STALLS: Mapping[Stall, tuple[str, Turn, FaultSide | None]] = {
    Stall.SETTINGS: (
        "no provider of that name is in the settings, so that nothing of it is sent or told",
        Turn.PERSON,
        FaultSide.HERE,
    ),
    Stall.EGRESS: ("nothing gets out of our own network", Turn.PERSON, FaultSide.HERE),
    Stall.TOKEN: ("no access token can be had", Turn.PERSON, None),
    Stall.KEPT_OUT: (
        "the national proxy lets nothing of this organisation through",
        Turn.PERSON,
        FaultSide.HERE,
    ),
    Stall.RECEIVER: (
        "no answer that counts has come from its Receiver; the gateway retries periodically",
        Turn.THEIRS,
        None,
    ),
}
_READS: Mapping[ReadProgress, str] = {
    ReadProgress.WAITS: "It waits for a read of what stands there, before it goes.",
    ReadProgress.UNREAD: (
        "It waits for a read of what stands there, and none has been answered yet."
    ),
    ReadProgress.OTHER_PATIENT: (
        "It does not go: what was shown under that number is the record of another patient."
    ),
}
# Of what is settled otherwise than by an acknowledgement.
_ENDS: Mapping[OutboundState, str] = {
    OutboundState.REFUSED: "Nothing: it was refused, and is not sent again by itself.",
    OutboundState.UNCONFIRMED: (
        "Nothing: nobody tries any more, and whether it arrived is not known."
    ),
    OutboundState.NOT_SENT: "Nothing: its time has passed, and no attempt had begun.",
    OutboundState.WITHDRAWN: "Nothing: it was taken back before any attempt.",
}
_END_UNSENT = "it ends as not sent, for no attempt has begun"
_END_UNCONFIRMED = "it ends as unconfirmed, for it may have arrived"
_NOTHING_NEAR = Objection(
    code="nothing_near",
    text="nothing in quarantine came in its conversation, or names it as what it answers",
    cure="see bars-gateway quarantine, which lists all that lies there",
)


@frozen(kw_only=True)
class Ahead:
    """An earlier message of its conversation, to the same Receiver: it has to be settled first."""

    message_id: int
    request_id: str
    state: str


@frozen(kw_only=True)
class Case:
    """What is known of one message, as it was read in one moment."""

    at: datetime
    history: MessageHistory
    notices: Sequence[Notice]  # of the message, oldest first
    verbs: Mapping[Verb, Candidate]  # of a message of ours: what each would meet
    alarms: Sequence[Alarm] = ()  # that stand, of the message or its workflow
    quarantined: Sequence[tuple[Quarantine, Objection | None]] = ()  # and what is against attaching
    ahead: Ahead | None = None
    stall: Stall | None = None
    stalled_since: datetime | None = None

    @property
    def message(self) -> MessageRow:
        """The message."""
        return self.history.message


@frozen(kw_only=True)
class Waits:
    """One thing that is waited for."""

    text: str
    turn: Turn
    until: datetime | None = None
    then: str | None = None  # what happens at that time


@frozen(kw_only=True)
class Option:
    """One thing that somebody may do, or may not do now."""

    verb: str
    does: str
    command: str
    objection: Objection | None  # None: it would be accepted now
    may_happen: str | None = None  # of a resend: what it may lead to


@frozen(kw_only=True)
class Told:
    """What the EPR was told in one notice."""

    notice_id: int
    kind: NoticeKind
    at: datetime
    collected_at: datetime | None  # None: it has not been given it yet
    means: str


@frozen(kw_only=True)
class Explanation:
    """How a message stands, in words."""

    message: MessageRow
    means: str  # what is so now, and what to do about it
    asks: Asks
    handled_at: datetime | None  # somebody has dealt with its alarms; None: nobody since the last
    happened: Sequence[TimelineStep]
    waits: Sequence[Waits]  # never empty
    turn: Turn
    fault: FaultSide | None  # None: nothing says that anybody is at fault
    may: Sequence[Option]
    told: Sequence[Told]
    held: RecordHold | None  # kept from every purge, by whom and why

    @property
    def handled_in_words(self) -> str | None:
        """That somebody has dealt with it, and when."""
        if self.handled_at is None:
            return None
        when = clock(self.handled_at)
        return f"Somebody has marked its alarms as handled since, at {when}: see what happened."

    @property
    def turn_in_words(self) -> str:
        """Whose turn it is."""
        return TURNS[self.turn]

    @property
    def fault_in_words(self) -> str | None:
        """Where to look for the cause first."""
        return None if self.fault is None else FAULTS[self.fault]


def explain(case: Case) -> Explanation:
    """Return how the message stands, in words."""
    situation = case.message.seen_at(case.at)
    asks = max(each.asks for each in sentences(situation))
    waits = [*_waits(case), *_of_notices(case), *_of_alarms(case)]
    handled_at = _handled_at(case)
    urgent = bool(case.alarms) or (asks >= Asks.TELEPHONE and handled_at is None)
    return Explanation(
        message=case.message,
        means=means(situation),
        asks=asks,
        handled_at=handled_at,
        happened=steps(case.history, case.notices),
        waits=waits,
        turn=Turn.PERSON if urgent else waits[0].turn,
        fault=_fault(case),
        may=[*_verbs(case), _confirming(case), *_attaching(case), *_handling(case)],
        told=[_told(notice) for notice in case.notices],
        held=case.history.held,
    )


def _handled_at(case: Case) -> datetime | None:
    """Return when the last of its alarms was marked as handled, if nothing was told since."""
    marked = [each.at for each in case.history.events if each.kind.endswith(".marked_handled")]
    told = [notice.created_at for notice in case.notices]
    if case.alarms or not marked or max(told, default=marked[0]) > max(marked):
        return None
    return max(marked)


def _waits(case: Case) -> Iterator[Waits]:
    message = case.message
    if message.direction == "inbound":
        yield _of_case(case)
        return
    if message.is_past_its_end(case.at):
        ends = _how_it_ends(message)
        text = f"Nothing: nobody tries any more. When the gateway runs again, {ends}."
        yield Waits(text=text, turn=Turn.PERSON)
        return
    match OutboundState(message.state):
        case OutboundState.QUEUED:
            yield _queued(case)
        case OutboundState.HELD:
            text = "It waits until somebody releases it, or withdraws it if it never left."
            yield _until_its_end(message, text, Turn.PERSON)
        case OutboundState.SENDING:
            yield Waits(text="It waits for the answer to its attempt.", turn=Turn.THEIRS)
        case OutboundState.ACKNOWLEDGED:
            yield _of_case(case)
        case ended:
            yield Waits(text=_ENDS[ended], turn=Turn.NOBODY)


def _queued(case: Case) -> Waits:
    message, ahead = case.message, case.ahead
    if ahead is not None:
        turn = Turn.PERSON if ahead.state == OutboundState.HELD else Turn.GATEWAY
        text = (
            "It waits for an earlier message to the same Receiver in its conversation:"
            f" {ahead.request_id}, which is {ahead.state}."
        )
        return _until_its_end(message, text, turn)
    if message.reading is not None:
        return _until_its_end(message, _READS[message.reading], Turn.GATEWAY)
    which = "another attempt" if message.attempts else "its first attempt"
    due = message.next_attempt_at
    when = f", at {clock(due)}" if due is not None and due > case.at else ", which is due"
    if case.stall is None:
        return _until_its_end(message, f"It waits for {which}{when}.", Turn.GATEWAY)
    why, turn, _ = _STALLS[case.stall]
    since = f" since {clock(case.stalled_since)}" if case.stalled_since else ""
    return _until_its_end(message, f"It waits for {which}: {why}{since}.", turn)


def _until_its_end(message: MessageRow, text: str, turn: Turn) -> Waits:
    ends_at = message.give_up_at
    then = f"then {_how_it_ends(message)}" if ends_at else None
    return Waits(text=text, turn=turn, until=ends_at, then=then)


def _how_it_ends(message: MessageRow) -> str:
    return _END_UNCONFIRMED if message.attempts else _END_UNSENT


def _of_case(case: Case) -> Waits:
    """Return what its workflow waits for: the message itself is where it was to go."""
    workflow = case.history.workflow
    if workflow.state in DOUBTS:
        text = f"It waits until somebody has found out how the case stands: it is {workflow.state}."
        return Waits(text=text, turn=Turn.PERSON)
    if workflow.state in FINAL:
        text = f"Nothing: its workflow has ended, as {workflow.state}."
        return Waits(text=text, turn=Turn.NOBODY)
    asked = workflow.role == Role.REQUESTER
    due = workflow.answer_due_at
    if due is not None:
        text = "The other side owes an answer" if asked else "We owe an answer"
        late = due <= case.at
        then = "it has not come in time" if late else "then it is overdue, and people are told"
        turn = Turn.THEIRS if asked else Turn.EPR
        return Waits(text=f"{text}.", turn=turn, until=due, then=then)
    if workflow.request_type is RequestType.BOOKING:
        return Waits(text="Nothing: no answer is owed.", turn=Turn.NOBODY)
    whose = "what the other side answers" if asked else "what our EPR answers"
    text = f"Nothing that has a time: {whose} goes on when it comes."
    return Waits(text=text, turn=Turn.THEIRS if asked else Turn.EPR)


def _of_notices(case: Case) -> Iterator[Waits]:
    left = [each for each in case.notices if each.collected_at is None]
    if left:
        numbers = ", ".join(str(each.notice_id) for each in left)
        which = f"notices {numbers}, the first" if len(left) > 1 else f"notice {numbers}"
        text = f"Our EPR has not collected {which} of {clock(left[0].created_at)}."
        yield Waits(text=text, turn=Turn.EPR)


def _of_alarms(case: Case) -> Iterator[Waits]:
    for alarm in case.alarms:
        words = alarm.words
        says = words.says.format(n=f"1 {ALARMS[alarm.kind].noun}")
        text = f"Alarm {alarm.number} waits to be seen to: {says}. {words.advice}"
        yield Waits(text=text, turn=Turn.PERSON)


def _fault(case: Case) -> FaultSide | None:
    message, attempts = case.message, case.history.attempts
    if message.direction == "inbound" or message.state == OutboundState.ACKNOWLEDGED:
        return None
    if attempts and attempts[-1].verdict is not Verdict.ACKNOWLEDGED:
        return attempts[-1].fault
    waits = message.state == OutboundState.QUEUED and case.stall is not None
    return _STALLS[case.stall][2] if waits and case.stall is not None else None


def _verbs(case: Case) -> Iterator[Option]:
    for verb, candidate in case.verbs.items():
        allowed = candidate.objection is None
        yield Option(
            verb=verb,
            does=DOES[verb],
            command=_command(case, verb, case.message.request_id),
            objection=candidate.objection,
            may_happen=may_happen(candidate) if verb is Verb.RESEND and allowed else None,
        )


def _confirming(case: Case) -> Option:
    workflow = case.history.workflow
    doubtful = workflow.state in DOUBTS
    return Option(
        verb="confirm",
        does="Say how its workflow stands, once somebody has telephoned.",
        command=_command(case, "confirm", workflow.workflow_id, "STATE"),
        objection=None if doubtful else NOT_CONFIRMED["not_in_doubt"],
    )


def _attaching(case: Case) -> Iterator[Option]:
    workflow_id = case.history.workflow.workflow_id
    near = [(str(each.number), against) for each, against in case.quarantined]
    for number, against in near or [("NUMBER", _NOTHING_NEAR)]:
        yield Option(
            verb="attach",
            does="Give the EPR a quarantined response, as one that belongs to its workflow.",
            command=_command(case, "attach", number, workflow_id),
            objection=against,
        )


def _handling(case: Case) -> Iterator[Option]:
    numbers = [str(alarm.number) for alarm in case.alarms]
    yield Option(
        verb="mark-handled",
        does="Say that somebody has dealt with its alarms. Nothing else changes.",
        command=_command(case, "mark-handled", *(numbers or ["ALARM"])),
        objection=None if numbers else HANDLING_OBJECTIONS["no_alarm"],
    )


def _command(case: Case, verb: str, *names: object) -> str:
    """Return what to type: it names whose it is, for a gateway may serve several."""
    words = ["bars-gateway", verb, *map(str, names), "--provider", case.message.provider]
    return f"{shlex.join(words)} --why TEXT"


def _told(notice: Notice) -> Told:
    return Told(
        notice_id=notice.notice_id,
        kind=notice.kind,
        at=notice.created_at,
        collected_at=notice.collected_at,
        means=means(notice.situation),
    )
