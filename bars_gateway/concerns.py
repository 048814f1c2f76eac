"""
What a person should look at, and why: the top of the status page.

    Overview + Conditions ──concerns──► each with a sentence and what to do, gravest first

A concern is there because of what the store and the running parts say now. None is ever
stored, so none can outlive its cause; what ended badly is a concern for 24 hours, or until
a person says that it was seen to (`bars-gateway see`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bars_gateway.clock import ClockStep
from bars_gateway.expiry import Expiry, remaining, stage
from bars_gateway.standard.workflow import Role
from bars_gateway.store.port import OutboundState, Overview

CLOCK_STEP_SHOWN = timedelta(days=1)
SKEW_SHOWN = 5.0  # seconds
LATE = timedelta(minutes=5)  # for a message that is not settled: the latest that an EPR is told


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCondition:
    """How one provider stands with the token service."""

    provider: str
    key_id: str
    refused_keys: Sequence[str]  # that should sign, and that the token service does not know
    expires_at: datetime | None  # None: no token in hand
    failing_since: datetime | None
    reason: str | None  # what the last failure was, in our words
    advice: str | None
    clock_skew_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the running parts know of themselves, beside the store."""

    version: str
    environment: str
    node: str
    started_at: datetime
    address: str | None  # where the listener answers; None: it does not run
    stopping: bool
    tokens: Sequence[TokenCondition]
    expiries: Sequence[Expiry]
    handshake_failures: Mapping[str, int]  # by reason, since the start
    clock_step: ClockStep | None = None  # the last, since the start
    silent: Mapping[str, datetime] = field(default_factory=dict)  # Receivers, and since when
    stalled: Mapping[str, str] = field(default_factory=dict)  # folders without use, and why
    observes_until: datetime | None = None  # until then, names that are not listed are let in
    refused: Mapping[str, str] = field(default_factory=dict)  # new files, and why they wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """One thing that a person should look at."""

    text: str
    advice: str


def concerns(overview: Overview, conditions: Conditions, first_days: int) -> list[Concern]:
    """
    Return what a person should look at, gravest first; none means that all is well.

    *first_days*: how many days before its end a thing becomes news.
    """
    return [
        *_overdue(overview),
        *_unreplaced(overview),
        *_settled_badly(overview),
        *_held(overview),
        *(
            Concern(text=f"No access token for {t.provider}: {t.reason}", advice=t.advice or "")
            for t in conditions.tokens
            if t.failing_since
        ),
        *_keys(conditions.tokens),
        *_skews(conditions.tokens),
        *(
            Concern(text=f"{folder} stands still: {reason}", advice=_STALLED)
            for folder, reason in conditions.stalled.items()
        ),
        *(
            Concern(
                text=f"{receiver} has not answered since {since:%d %b %H:%M} UTC", advice=_SILENT
            )
            for receiver, since in conditions.silent.items()
        ),
        *_questions(overview),
        *_open_doors(overview.at, conditions.observes_until),
        *_refused(conditions.refused),
        *_expiries(overview.at, conditions.expiries, first_days),
        *_inbound_alarms(overview),
        *_clock_step(overview.at, conditions.clock_step),
        *_waiting(overview),
    ]


_SILENT = "What is for it waits, and it is asked now and then. Tell whoever runs it."
_STALLED = "Make the folder usable, or room on its disk. What is to go there waits, and is kept."
_BAD_ENDS = {
    OutboundState.NOT_SENT: Concern(
        text="never left this organisation",
        advice="Act now by other means: nobody else knows what was asked.",
    ),
    OutboundState.UNCONFIRMED: Concern(
        text="may or may not have arrived",
        advice="Ask the Receiver by telephone before anything is sent again.",
    ),
    OutboundState.REFUSED: Concern(
        text="got a refusal",
        advice="The reason is in the notice to the EPR; bars-gateway show tells it too.",
    ),
}


_OWED = {
    Role.REQUESTER: (
        "owed to us",
        "Do what is foreseen for silence, now: the patient may be waiting. Then telephone.",
    ),
    Role.RESPONDER: (
        "that we owe",
        "The other side may act without it. See that it is given; telephone if it cannot be.",
    ),
}


def _overdue(overview: Overview) -> list[Concern]:
    return [
        Concern(text=f"Overdue: {_some(overview.overdue[role], 'answer')} {text}", advice=advice)
        for role, (text, advice) in _OWED.items()
        if overview.overdue.get(role)
    ]


def _settled_badly(overview: Overview) -> list[Concern]:
    return [
        Concern(text=f"{_some(overview.lately[state], 'message')} {end.text}", advice=end.advice)
        for state, end in _BAD_ENDS.items()
        if overview.lately[state]
    ]


def _unreplaced(overview: Overview) -> list[Concern]:
    if not overview.unreplaced:
        return []
    advice = "The patient has neither the old nor the new: see that somebody asks anew, now."
    text = f"{_some(overview.unreplaced, 'cancellation')} for something new that came to nothing"
    return [Concern(text=text, advice=advice)]


def _held(overview: Overview) -> list[Concern]:
    held = overview.outbound[OutboundState.HELD]
    if not held:
        return []
    advice = (
        "Release or withdraw them: nothing leaves of what waits behind them, and a message whose"
        " time passes ends as not sent."
    )
    return [Concern(text=f"{_some(held, 'message')} held by hand", advice=advice)]


def _keys(tokens: Sequence[TokenCondition]) -> list[Concern]:
    return [
        Concern(
            text=f"The token service does not know the key {key_id} of {token.provider}",
            advice=f"{token.key_id} signs in its place. A key that was published within the last"
            " hour is noticed by itself; otherwise see what is registered.",
        )
        for token in tokens
        if token.failing_since is None
        for key_id in token.refused_keys
    ]


def _skews(tokens: Sequence[TokenCondition]) -> list[Concern]:
    return [
        Concern(
            text=f"Our clock is {token.clock_skew_seconds:+.0f} s off the token service's",
            advice="Set it right (timedatectl): at 150 s no token is given any more.",
        )
        for token in tokens
        if abs(token.clock_skew_seconds or 0) > SKEW_SHOWN
    ][:1]  # it is the same clock for all of them


def _questions(overview: Overview) -> list[Concern]:
    waiting = sum(found.late for found in overview.questions_open.values())
    decided_late = sum(alarm.kind == "question.decided_late" for alarm in overview.alarms)
    counted = (
        (
            f"{_some(waiting, 'question')} without an answer: the Sender was told that none came",
            "See that the EPR answers; or find out what was done, and answer in its place.",
            waiting,
        ),
        (
            f"{_some(decided_late, 'question')} decided after the Sender had stopped waiting",
            "The Sender may not know. If it matters to the patient, telephone.",
            decided_late,
        ),
    )
    return [Concern(text=text, advice=advice) for text, advice, count in counted if count]


def _open_doors(now: datetime, until: datetime | None) -> list[Concern]:
    if until is None or until <= now:
        return []
    return [
        Concern(
            text=f"Callers whose names are not listed are let in until {until:%d %b %H:%M} UTC",
            advice="Write the name that the log tells into inbound.allowed_client_names, and"
            " take callers.observe_until out.",
        )
    ]


def _refused(refused: Mapping[str, str]) -> list[Concern]:
    return [
        Concern(
            text=f"What is new of {name} was not taken: {reason}",
            advice="The old goes on. Put it right, and it is taken; bars-gateway doctor says more.",
        )
        for name, reason in refused.items()
    ]


def _expiries(now: datetime, expiries: Sequence[Expiry], first_days: int) -> list[Concern]:
    near = [expiry for expiry in expiries if stage(expiry, now, first_days) is not None]
    return [
        Concern(text=f"{expiry.name} {remaining(expiry, now)}", advice=expiry.advice)
        for expiry in sorted(near, key=lambda expiry: expiry.ends_at)
    ]


def _inbound_alarms(overview: Overview) -> list[Concern]:
    kinds = Counter(alarm.kind for alarm in overview.alarms)
    reused = kinds["inbound.request_id_reused"]
    misnaming = _some(kinds["link.refused"], "message")
    counted = (
        (
            f"{misnaming} named a record of another Sender or patient",
            "The Sender was told so. Find out with them: two patients may have been mixed up.",
            kinds["link.refused"],
        ),
        (
            f"{_some(kinds['response.remarked'], 'response')} came with a remark",
            "Late, out of turn or stood down: its notice says which. See that somebody looks.",
            kinds["response.remarked"],
        ),
        (
            f"{_some(reused, 'inbound message')} came with the X-Request-Id of another message",
            "Tell the Sender's supplier: what came second was not taken.",
            reused,
        ),
        (
            f"{_some(overview.quarantined, 'response')} came that no request of ours asked for",
            "The Sender was told so. Find out with them whose patient it is about; then attach it.",
            overview.quarantined,
        ),
    )
    return [Concern(text=text, advice=advice) for text, advice, count in counted if count]


def _clock_step(now: datetime, step: ClockStep | None) -> list[Concern]:
    if step is None or now - step.at > CLOCK_STEP_SHOWN:
        return []
    return [Concern(text=f"{step} at {step.at:%d %b %H:%M} UTC", advice=step.advice)]


def _waiting(overview: Overview) -> list[Concern]:
    since = overview.oldest_open_at
    if since is None or overview.at - since < LATE:
        return []
    advice = "See the last attempts for the reason; the gateway goes on trying meanwhile."
    return [Concern(text=f"A message has waited since {since:%d %b %H:%M} UTC", advice=advice)]


def _some(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
