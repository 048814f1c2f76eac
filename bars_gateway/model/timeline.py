"""
What has happened with a message, in plain words and in order: who did what towards whom.

    attempts ─┐
    events   ─┼──steps──► when, between whom, what       explain ID · timeline · the pages
    notices  ─┘

What an answer was, is told for each row of the verdict table, by `ANSWERS`; docs/answers.md prints
it. A sentence tells what came back, and what that proves: never more. Whether somebody has read a
message, no answer says. Ids, states and codes alone are named: nothing of a payload.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.messages import Attempt, OutboundState
from bars_gateway.model.readings import Event, MessageHistory, Notice
from bars_gateway.standard.workflow import Role

_PERHAPS = "the message may have arrived all the same"
_NOT_PAST = "this attempt did not get past it"
_NO_PROOF = "an attempt before it may have arrived, so this does not prove that it is not there"
# By the row of the verdict table: what came back, and what that proves.
ANSWERS: Mapping[str, str] = {
    "foreign-ack-again": (
        "once more the answer names another NHS number, case number or event than ours: nothing"
        " was taken from it, and what the Receiver has is not known"
    ),
    "foreign-ack": (
        "the answer names another NHS number, case number or event than ours: nothing was taken"
        " from it, and what the Receiver has is not known"
    ),
    "ok-with-an-error": (
        "a yes came that holds an error, which does not prove that the Receiver has it"
    ),
    "acknowledged-by-another-bundle": (
        "the Receiver has it: its answer repeats our two ids. The Bundle in it is another one, and"
        " contradicts nothing"
    ),
    "acknowledged": "the Receiver has it: its answer repeats our two ids",
    "ok-without-our-ids": (
        "a yes came without our two ids, which does not prove that the Receiver has it"
    ),
    "duplicate-after-foreign-ack": (
        "it was called a duplicate; but an earlier answer was about somebody else, so this does"
        " not prove that the Receiver has it"
    ),
    "duplicate-at-first": (
        "it was called a duplicate, although no earlier attempt can have arrived: this does not"
        " prove that the Receiver has it"
    ),
    "duplicate": "the Receiver has it: it was called a duplicate of an earlier attempt",
    "token-refused-by-platform": (
        f"the platform in front of BaRS did not take our access token: {_NOT_PAST}"
    ),
    "application-refused-by-platform": (
        f"the platform in front of BaRS did not let our application in: {_NOT_PAST}"
    ),
    "access-denied": f"BaRS did not take our access token: {_NOT_PAST}",
    "access-forbidden": f"BaRS did not let our application or organisation in: {_NOT_PAST}",
    "unfit-on-the-way": (
        "something on the way says that it does not let it pass, most likely for its size: as it"
        f" is, it may never get there; but {_PERHAPS}"
    ),
    "intermediary": (
        f"an error came that is none of BaRS's own: something on the way answered, and {_PERHAPS}"
    ),
    "too-early": (
        "the answer is to ask again later, for an earlier attempt may still be at work there:"
        f" {_PERHAPS}"
    ),
    "timeout": f"it was said that no answer came in time: {_PERHAPS}",
    "too-many-requests": "there were too many requests at that moment: this attempt was not taken",
    "unavailable": f"the service was unavailable at that moment; {_PERHAPS}",
    "quota-as-500": "there were too many requests at that moment: this attempt was not taken",
    "server-error": f"a server had an error, which proves nothing: {_PERHAPS}",
    "not-implemented-in-doubt": f"it was said that this is not supported there; {_NO_PROOF}",
    "not-implemented": "it was said that this is not supported there: it was not taken",
    "other-5xx": f"a server had an error, which proves nothing: {_PERHAPS}",
    "token-refused": f"BaRS did not take our access token: {_NOT_PAST}",
    "not-enabled": f"BaRS did not let our application or organisation in: {_NOT_PAST}",
    "refused-in-doubt": f"it was refused; {_NO_PROOF}",
    "conflict": "it was refused: it is said to be in conflict with what is there",
    "receiver-unauthorized": "it was refused: whoever sends it was not accepted there",
    "refused": "it was refused",
    "redirect": f"the answer points elsewhere, where nothing is sent: {_PERHAPS}",
    "unknown-status": f"an answer came that has no meaning here: {_PERHAPS}",
    "silence": f"nothing came back: {_PERHAPS}",
}
_UNKNOWN_ROW = "it was judged by a row of the table that this release does not have"

# By the kind of a line of the audit trail; those of ALARMS are told as there.
NOTED: Mapping[str, str] = {
    "message.queued": "It waits for an attempt.",
    "message.sending": "An attempt began.",
    "message.received": "It came, and is on disk.",
    "message.held": "It stands where it is until it is released.",
    "message.acknowledged": "The Receiver has it: that is proved.",
    "message.withdrawn": "It ended as withdrawn, before any attempt.",
    "message.answered": "An answer of theirs has told what was to be asked by telephone.",
    "cancel.confirmed": "A read has shown that there is something to cancel.",
    "cancel.nothing_to_cancel": "A read has shown that the record is over: it was not sent.",
    "cancel.sent_unshown": "No read has shown what stands there; it was let go all the same.",
    "cancel.asked": "The EPR is asked about the cancellation that had been turned away.",
    "question.heard": "The Sender has heard now what had been decided too late for it.",
    "inbound.other_conversation": "It came under another X-Correlation-Id than its request.",
    "inbound.repeated": "It came again, and was answered as a duplicate: no second record.",
    "inbound.refused": "What came was refused: it broke a rule.",
    "link.not_made": "What it says of another case of ours does not hold: they were not tied.",
    "workflow.due_soon": "An answer is owed soon, and had not come.",
    "restore.settled": "A restore found out how it had ended since the backup.",
    "restore.cancelled": "A restore found that it had been cancelled since the backup.",
    "restore.entered": "A restore entered it: the backup did not know it.",
    "restore.waits": "A restore let it go out again, under the ids that it had.",
    "restore.handed_over": "It was received after the backup, and a restore hands it to the EPR.",
    "operator.restored": "A backup was put back in place.",
    "operator.handed_over": "What had been received since the backup was handed over.",
}
# What each act is called, by the second word of its kind.
ACTS: Mapping[str, str] = {
    "held_record": "Put under legal hold",
    "released_record": "Taken out of legal hold",
    "held": "Held",
    "released": "Released",
    "withdrawn": "Withdrawn",
    "retried": "Sent once more under the same ids",
    "resent": "Sent again under new ids",
    "attached": "Attached to its workflow",
    "confirmed": "How its workflow stands was confirmed",
    "marked_handled": "An alarm was marked as handled",
}
# Told by the attempt that they begin or end, or by what somebody did.
_TOLD_ELSEWHERE = frozenset(
    {"message.queued", "message.sending", "message.received", "message.held"}
)


class Party(StrEnum):
    """Who does something, or to whom."""

    EPR = "epr"  # ours
    GATEWAY = "gateway"  # this program
    OTHER = "other"  # the other side's service, and what lies between
    PERSON = "person"  # an operator


@frozen(kw_only=True)
class TimelineStep:
    """One thing that happened."""

    at: datetime
    kind: str  # taken, received, attempt, notice, collected, question, or the event's own
    source: Party
    target: Party  # the same as the source: it is between nobody
    text: str
    provider: str | None
    request_id: str | None
    message_id: int | None
    number: int | None = None  # of the attempt, the notice, the question, the quarantined response
    other: str | None = None  # the other side's service, system|value


def steps(history: MessageHistory, notices: Sequence[Notice]) -> list[TimelineStep]:
    """Return all that happened with one message, oldest first."""
    found = [
        _beginning(history),
        *_attempts(history),
        *_noted(history),
        *_notices(history, notices),
    ]
    return sorted(found, key=lambda step: step.at)


def _step(  # noqa: PLR0917
    history: MessageHistory,
    at: datetime,
    kind: str,
    text: str,
    source: Party = Party.GATEWAY,
    target: Party = Party.GATEWAY,
    number: int | None = None,
) -> TimelineStep:
    message = history.message
    return TimelineStep(
        at=at,
        kind=kind,
        source=source,
        target=target,
        text=text,
        provider=message.provider,
        request_id=message.request_id,
        message_id=message.message_id,
        number=number,
        other=counterparty_of(history),
    )


def counterparty_of(history: MessageHistory) -> str:
    """Return the other side's service, of a message in either direction."""
    message = history.message
    return message.receiver if message.direction == "outbound" else message.sender


def _beginning(history: MessageHistory) -> TimelineStep:
    message = history.message
    if message.direction == "inbound":
        text = f"Received: {_named(history)}."
        return _step(history, message.created_at, "received", text, source=Party.OTHER)
    text = f"Taken from the EPR: {_named(history)}."
    return _step(history, message.created_at, "taken", text, source=Party.EPR)


def _named(history: MessageHistory) -> str:
    message = history.message
    return " ".join(filter(None, (message.move, message.use_case)))


def _attempts(history: MessageHistory) -> Iterator[TimelineStep]:
    known = {attempt.number: attempt for attempt in history.attempts}
    at = history.message.created_at
    begun = history.message.attempts
    flies = history.message.state == OutboundState.SENDING
    for number in range(1, max((begun, *known)) + 1):
        attempt = known.get(number)
        if attempt is not None:
            at = attempt.ended_at
            text = attempt_in_words(attempt)
            yield _step(
                history, attempt.started_at, "attempt", text, target=Party.OTHER, number=number
            )
        elif flies and number == begun:
            text = f"Attempt {number} has begun, and how it ended is not known yet."
            yield _step(history, at, "attempt", text, target=Party.OTHER, number=number)
        else:
            text = f"Attempt {number} began after this, and how it ended is not known: {_PERHAPS}."
            yield _step(history, at, "attempt", text, target=Party.OTHER, number=number)


def attempt_in_words(attempt: Attempt) -> str:
    """Return what came back for one attempt, and what that proves."""
    status = f"HTTP {attempt.http_status}" if attempt.http_status else "no answer"
    codes = ", ".join(filter(None, (status, attempt.code)))
    seconds = (attempt.ended_at - attempt.started_at).total_seconds()
    said = ANSWERS.get(attempt.row, _UNKNOWN_ROW)
    return f"Attempt {attempt.number} ({codes}, {seconds:.1f} s): {said}."


def _noted(history: MessageHistory) -> Iterator[TimelineStep]:
    role = Role(history.workflow.role)
    for event in history.events:
        if event.kind not in _TOLD_ELSEWHERE:
            source, target = _between(event.kind)
            text = event_in_words(event, role)
            yield _step(history, event.at, event.kind, text, source, target)


def _between(kind: str) -> tuple[Party, Party]:
    role = kind.partition(".")[0]
    source = {"operator": Party.PERSON, "epr": Party.EPR}.get(role, Party.GATEWAY)
    return source, Party.GATEWAY


def event_in_words(event: Event, role: Role | None = None) -> str:
    """Return what a line of the audit trail says; *role*: ours in its workflow."""
    detail = json.loads(event.detail)
    if "why" in detail:
        act = event.kind.partition(".")[2]
        named = ACTS.get(act, f"Done ({event.kind})")
        return f"{named} by {detail['who']}: {detail['why']}"
    return kind_in_words(event.kind, role)


def kind_in_words(kind: str, role: Role | None = None) -> str:
    """Return what a line of the audit trail says by its kind alone."""
    alarm = ALARMS.get(kind)
    if alarm is not None:
        says = alarm.words(role).says.format(n=f"1 {alarm.noun}")
        return f"An alarm was raised ({kind}): {says}."
    return NOTED.get(kind, f"Noted: {kind}.")


def act_in_words(act: str) -> str:
    """Return what somebody did, by the second word of its kind: without who it was, or why."""
    return f"{ACTS.get(act, act.replace('_', ' ').capitalize())}."


def _notices(history: MessageHistory, notices: Sequence[Notice]) -> Iterator[TimelineStep]:
    for notice in notices:
        number, kind = notice.notice_id, notice.kind
        text = f"Notice {number} ({kind}) was written for the EPR."
        yield _step(history, notice.created_at, "notice", text, target=Party.EPR, number=number)
        if notice.collected_at is not None:
            text = f"Notice {number} ({kind}) was collected by the EPR, or put into its folder."
            yield _step(
                history, notice.collected_at, "given", text, target=Party.EPR, number=number
            )
