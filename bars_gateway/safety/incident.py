"""
An incident draft: what happened, whose fault it was, and which desk it goes to, ready to be read.

    IncidentFacts ──drafted──► IncidentDraft ──text──► lines that somebody reads, completes, sends

Nobody outside may learn from it whose patient it was: ids, services, states, codes and times alone
are in it. What people typed as reasons, and who they are, stays in the audit trail; an id that is
no UUID is not repeated, for somebody may have put a number of a patient there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS, Whose
from bars_gateway.model.explanation import Case, explain
from bars_gateway.model.incidents import IncidentFacts, IncidentKind, RaisedAlarm
from bars_gateway.model.interventions import Quarantine
from bars_gateway.model.messages import NoticeKind
from bars_gateway.model.readings import AuditLine
from bars_gateway.model.timeline import (
    Party,
    TimelineStep,
    act_in_words,
    attempt_in_words,
    kind_in_words,
)
from bars_gateway.safety.desks import FAULT_WORDS, DeskName, desks_for
from bars_gateway.standard.verdict import FaultSide, Verdict
from bars_gateway.standard.workflow import Role

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# The codes of the guide's table of errors: a Receiver may write anything in their place.
_CODES_OF_BARS = frozenset(
    f"{side}_{word}"
    for side in ("SEND", "PROXY", "REC")
    for word in (
        "BAD_REQUEST UNAUTHORIZED FORBIDDEN NOT_FOUND METHOD_NOT_ALLOWED NOT_ACCEPTABLE TIMEOUT"
        " CONFLICT UNSUPPORTED_MEDIA_TYPE UNPROCESSABLE_ENTITY TOO_EARLY TOO_MANY_REQUESTS"
        " SERVER_ERROR NOT_IMPLEMENTED SERVICE_UNAVAILABLE"
    ).split()
) | {"ACCESS_DENIED"}
WITHHELD = "(no UUID: not repeated here)"
# What of a line of the audit trail is a code of ours, and may be told to anybody.
_CODES = ("rules", "http_status", "result", "remarks", "exception", "place", "index", "table")
_OURS = {"operator", "epr", "reveal"}  # what people did: who and why stays here
_OF_WHOSE: Mapping[tuple[str, Whose], FaultSide | None] = {
    ("outbound", Whose.OURS): FaultSide.HERE,
    ("outbound", Whose.THEIRS): FaultSide.REC,
    ("outbound", Whose.EITHER): None,
    ("inbound", Whose.OURS): FaultSide.HERE,
    ("inbound", Whose.THEIRS): FaultSide.SEND,
    ("inbound", Whose.EITHER): None,
}
_SERVER_ERROR = 500


@frozen(kw_only=True)
class DraftedStep:
    """One thing that happened, without who or why where a person did it."""

    at: datetime
    by: Party
    text: str


@frozen(kw_only=True)
class ToldNotice:
    """What our EPR was told, and when it was given it."""

    notice_id: int
    kind: NoticeKind
    written_at: datetime
    given_at: datetime | None  # None: it has not been given to it yet
    means: str


@frozen(kw_only=True)
class IncidentMessage:
    """One message of an incident: whose, which, how it stands, and all that happened with it."""

    number: int
    provider: str
    direction: str
    move: str
    use_case: str
    request_id: str
    correlation_id: str
    bundle_id: str
    service: str  # of the other side, system|value
    workflow_id: int
    workflow_state: str
    state: str
    means: str  # what our EPR is told of it now
    fault: FaultSide | None
    course: Sequence[DraftedStep]  # all that happened with it, oldest first
    notices: Sequence[ToldNotice]
    alarms: Sequence[str]  # kinds of those that stand


@frozen(kw_only=True)
class IncidentDraft:
    """What is known of an incident, and whom it goes to."""

    kind: IncidentKind
    provider: str | None
    direction: str
    fault: FaultSide | None
    fault_in_words: str
    desks: Sequence[DeskName]
    involved: Sequence[IncidentMessage]
    beside: Sequence[DraftedStep]  # what happened where nothing was taken
    alarm: RaisedAlarm | None
    quarantined: Quarantine | None


def drafted(facts: IncidentFacts) -> IncidentDraft:
    """Return the draft of an incident, from what is known here."""
    messages = [_message(case) for case in facts.cases]
    direction, fault = _fault(facts, messages)
    return IncidentDraft(
        kind=facts.kind,
        provider=_provider(facts),
        direction=direction,
        fault=fault,
        fault_in_words=FAULT_WORDS[(direction, fault)],
        desks=desks_for(direction, fault),
        involved=messages,
        beside=[_line(each) for each in facts.lines],
        alarm=_raised(facts.alarm),
        quarantined=_kept(facts.quarantined),
    )


def _provider(facts: IncidentFacts) -> str | None:
    for case in facts.cases:
        return case.message.provider
    if facts.quarantined is not None:
        return facts.quarantined.provider
    if facts.alarm is not None:
        return facts.alarm.provider
    return next((line.provider for line in facts.lines if line.provider), None)


def _fault(
    facts: IncidentFacts, messages: Sequence[IncidentMessage]
) -> tuple[str, FaultSide | None]:
    """Return the direction that counts, and whose fault it is: the newest that anything names."""
    if facts.alarm is not None:
        direction = _direction(facts, messages)
        fault = _of_alarm(direction, facts.alarm.kind, facts.alarm.role)
        if fault is not None or not messages:
            return direction, fault
    for each in reversed(messages):
        if each.fault is not None:
            return each.direction, each.fault
    if facts.quarantined is not None:
        return "inbound", FaultSide.SEND
    if messages:
        return messages[-1].direction, None
    return "inbound", _of_lines(facts.lines)


def _direction(facts: IncidentFacts, messages: Sequence[IncidentMessage]) -> str:
    if messages:
        return messages[-1].direction
    asked = facts.alarm is not None and facts.alarm.role is Role.REQUESTER
    return "outbound" if asked else "inbound"


def _of_alarm(direction: str, kind: str, role: Role | None) -> FaultSide | None:
    alarm = ALARMS.get(kind)  # one of an earlier release may be gone
    return None if alarm is None else _OF_WHOSE[(direction, alarm.words(role).whose)]


def _of_lines(lines: Sequence[AuditLine]) -> FaultSide | None:
    """Return whose fault a refusal was: theirs, but where we answered that we had failed."""
    for line in reversed(lines):
        status = line.detail.get("http_status")
        if isinstance(status, int) and status >= _SERVER_ERROR:
            return FaultSide.HERE
        if line.detail.get("rules"):
            return FaultSide.SEND
        if line.kind in ALARMS:
            return _of_alarm("inbound", line.kind, None)
    return None


def _message(case: Case) -> IncidentMessage:
    message, workflow = case.message, case.history.workflow
    found = explain(case)
    inbound = message.direction == "inbound"
    return IncidentMessage(
        number=message.message_id,
        provider=message.provider,
        direction=message.direction,
        move=message.move,
        use_case=message.use_case,
        request_id=_uuid(message.request_id),
        correlation_id=_uuid(message.correlation_id),
        bundle_id=_uuid(message.bundle_id),
        service=message.sender if inbound else message.receiver,
        workflow_id=workflow.workflow_id,
        workflow_state=workflow.state,
        state=message.state,
        means=found.means,
        fault=_of_message(case),
        course=[_step(case, each) for each in found.happened],
        notices=[
            ToldNotice(
                notice_id=each.notice_id,
                kind=each.kind,
                written_at=each.at,
                given_at=each.collected_at,
                means=each.means,
            )
            for each in found.told
        ],
        alarms=[each.kind for each in case.alarms],
    )


def _of_message(case: Case) -> FaultSide | None:
    """Return whose fault it was: by the last attempt that failed, else by its alarms."""
    for attempt in reversed(case.history.attempts):
        if attempt.verdict is not Verdict.ACKNOWLEDGED and attempt.fault is not None:
            return attempt.fault
    for alarm in case.alarms:
        fault = _of_alarm(case.message.direction, alarm.kind, alarm.role)
        if fault is not None:
            return fault
    return None


def _step(case: Case, step: TimelineStep) -> DraftedStep:
    role, _, act = step.kind.partition(".")
    text = act_in_words(act) if role in _OURS and act else step.text
    for attempt in case.history.attempts if step.kind == "attempt" else ():
        if attempt.number == step.number and attempt.code not in _CODES_OF_BARS:
            text = attempt_in_words(replace(attempt, code=None))
    return DraftedStep(at=step.at, by=step.source, text=text)


def _line(line: AuditLine) -> DraftedStep:
    """Return what a line of the audit trail says, by its kind and codes."""
    role, _, act = line.kind.partition(".")
    if role in _OURS:
        by = Party.EPR if role == "epr" else Party.PERSON
        return DraftedStep(at=line.at, by=by, text=act_in_words(act))
    codes = "; ".join(
        f"{name} {', '.join(map(str, each)) if isinstance(each, list) else each}"
        for name, each in line.detail.items()
        if name in _CODES
    )
    text = kind_in_words(line.kind)
    return DraftedStep(at=line.at, by=Party.GATEWAY, text=f"{text} ({codes})" if codes else text)


def _raised(alarm: RaisedAlarm | None) -> RaisedAlarm | None:
    if alarm is None or alarm.request_id is None:
        return alarm
    return replace(alarm, request_id=_uuid(alarm.request_id))


def _kept(kept: Quarantine | None) -> Quarantine | None:
    if kept is None:
        return None
    return replace(
        kept,
        request_id=_uuid(kept.request_id),
        correlation_id=_uuid(kept.correlation_id),
        bundle_id=_uuid(kept.bundle_id),
        responds_to=_uuid(kept.responds_to) if kept.responds_to else None,
    )


def _uuid(name: str) -> str:
    return name if _UUID.fullmatch(name) else WITHHELD


def steps_of(draft: IncidentDraft) -> Iterator[tuple[str, DraftedStep]]:
    """Yield all that happened, oldest first, each with the X-Request-Id that it is of."""
    found = [(each.request_id, step) for each in draft.involved for step in each.course]
    found += [("", step) for step in draft.beside]
    yield from sorted(found, key=lambda one: one[1].at)
