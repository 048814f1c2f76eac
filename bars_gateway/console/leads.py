"""
Where each thing that needs a person leads: to exactly what it speaks of, and to nothing else.

    concern ──leads_of──► places: the messages, the counterparty, the key, the file, the notices
            ──waits_for─► how much waits meanwhile because of it, of how many workflows

A place is a page of the console with its filters in the address, so that it can be sent on. What an
alarm speaks of is named by the alarm itself, and its lead has all of its kind.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote, urlencode

from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS
from bars_gateway.status.concern import Concern, ConcernKind
from bars_gateway.status.concerns import LATE
from bars_gateway.store.figures import Waiting, WaitingCounted


@frozen(kw_only=True)
class Lead:
    """One place, and what is seen there."""

    place: str
    words: str


@frozen(kw_only=True)
class HeldUp:
    """What waits because of it, and is not held."""

    messages: int
    workflows: int  # each is about one patient
    since: datetime  # the oldest was handed over


def leads_of(concern: Concern, at: datetime) -> Sequence[Lead]:
    """Return where what it speaks of is listed."""
    if concern.kind in ALARMS:
        place = f"/alarms?{urlencode({'kind': concern.kind})}#alarms"
        return [*_ALSO.get(concern.kind, ()), Lead(place=place, words="each of these alarms")]
    return _LEADS[ConcernKind(concern.kind)](concern, at)


def holds_up(concern: Concern) -> bool:
    """Tell whether something may wait because of it."""
    return concern.kind in _BLOCKS


def waits_for(concern: Concern, waiting: Sequence[WaitingCounted]) -> HeldUp | None:
    """Return what waits because of it; None: nothing does."""
    blocks = _BLOCKS.get(concern.kind)
    found = [each for each in waiting if blocks is not None and blocks(concern, each)]
    if not found:
        return None
    return HeldUp(
        messages=sum(each.messages for each in found),
        workflows=sum(each.workflows for each in found),
        since=min(each.since for each in found),
    )


_Leads = Callable[[Concern, datetime], Sequence[Lead]]


def _to(place: str, words: str) -> _Leads:
    found = [Lead(place=place, words=words)]
    return lambda _concern, _at: found


def _of_receiver(concern: Concern, _at: datetime) -> Sequence[Lead]:
    waiting = {"counterparty": concern.about, "state": "queued"}
    return [
        Lead(place=f"/counterparties#{quote(concern.about)}", words="how it stands"),
        Lead(place=f"/messages?{urlencode(waiting)}", words="what waits for it"),
    ]


def _of_provider(concern: Concern, _at: datetime) -> Sequence[Lead]:
    waiting = {"provider": concern.about, "state": "queued"}
    return [
        Lead(place=f"/keys#token-{quote(concern.about)}", words="its token and keys"),
        Lead(place=f"/messages?{urlencode(waiting)}", words="what waits meanwhile"),
    ]


def _left_lying(concern: Concern, _at: datetime) -> Sequence[Lead]:
    waiting = {"provider": concern.about, "state": "queued"}
    return [Lead(place=f"/messages?{urlencode(waiting)}", words="what waits meanwhile")]


def _of_key(concern: Concern, _at: datetime) -> Sequence[Lead]:
    provider, _, _ = concern.about.partition(" ")
    return [Lead(place=f"/keys#token-{quote(provider)}", words="which key signs")]


def _of_expiry(concern: Concern, _at: datetime) -> Sequence[Lead]:
    return [Lead(place=f"/keys#{anchor(concern.about)}", words="when it ends")]


def _late(_concern: Concern, at: datetime) -> Sequence[Lead]:
    late = {"state": "queued", "before": f"{at - LATE:%Y-%m-%dT%H:%M:%S}"}
    return [Lead(place=f"/messages?{urlencode(late)}", words="what has waited so long")]


def anchor(name: str) -> str:
    """Return how the row of that name is called on its page."""
    return "".join(each if each.isascii() and each.isalnum() else "-" for each in name.lower())


_ALSO: Mapping[str, Sequence[Lead]] = {
    "workflow.overdue": [Lead(place="/owed", words="all that is owed")],
    "inbound.quarantined": [Lead(place="/quarantine", words="the quarantine")],
    "message.refused": [Lead(place="/messages?state=refused", words="what was refused")],
    "message.unconfirmed": [
        Lead(place="/messages?state=unconfirmed", words="what nobody has confirmed")
    ],
    "message.not_sent": [Lead(place="/messages?state=not_sent", words="what was not sent")],
}
_MACHINE, _EPR = _to("/#machine", "this machine"), _to("/#epr", "the EPR")
_HELD_UP = _to("/messages?state=queued", "what waits meanwhile")
_LEADS: Mapping[ConcernKind, _Leads] = {
    ConcernKind.STORE_UNAVAILABLE: _MACHINE,
    ConcernKind.NOTICE_UNREAD: _EPR,
    ConcernKind.REFUSAL_UNREAD: _EPR,
    ConcernKind.EPR_NOT_ASKING: _EPR,
    ConcernKind.MESSAGE_HELD: _to("/messages?state=held", "what is held"),
    ConcernKind.DATABASE_GAP: _MACHINE,
    ConcernKind.DATABASE_LOG_STUCK: _MACHINE,
    ConcernKind.LOG_STUCK: _MACHINE,
    ConcernKind.EGRESS_BLOCKED: _HELD_UP,
    ConcernKind.TOKEN_MISSING: _of_provider,
    ConcernKind.PROVIDER_MISSING: _left_lying,
    ConcernKind.PROVIDER_KEPT_OUT: _of_provider,
    ConcernKind.KEY_UNKNOWN: _of_key,
    ConcernKind.CLOCK_SKEWED: _to("/keys#tokens", "how far it is off"),
    ConcernKind.FOLDER_STALLED: _EPR,
    ConcernKind.FILE_NOT_TAKEN: _EPR,
    ConcernKind.RECEIVER_SILENT: _of_receiver,
    ConcernKind.RECEIVER_FAILING: _of_receiver,
    ConcernKind.QUESTION_LATE: _to("/#questions", "the questions that are open"),
    ConcernKind.CALLER_OBSERVED: _to("/configuration#callers.observe_until", "the setting"),
    ConcernKind.CALLER_SHUT_OUT: _to("/keys#shut", "which callers"),
    ConcernKind.RENEWAL_REFUSED: _to("/keys#refused", "which files"),
    ConcernKind.EXPIRY_OVER: _of_expiry,
    ConcernKind.EXPIRY_IMMINENT: _of_expiry,
    ConcernKind.EXPIRY_NEAR: _of_expiry,
    ConcernKind.CLOCK_STEPPED: _MACHINE,
    ConcernKind.DATABASE_UNCOMPARED: _MACHINE,
    ConcernKind.DISK_LOW: _MACHINE,
    ConcernKind.PURGE_LATE: _MACHINE,
    ConcernKind.AUDIT_LATE: _to("/audit", "the audit trail"),
    ConcernKind.NODE_AWAY: _to("/#nodes", "the gateways of this database"),
    ConcernKind.MESSAGE_WAITING: _late,
    ConcernKind.ALERT_UNDELIVERED: _to("/alarms#alerts", "the alerts that are open"),
}
# What a concern holds up: all, what is of one provider, or what is for one Receiver.
_BLOCKS: Mapping[str, Callable[[Concern, Waiting], bool]] = {
    ConcernKind.EGRESS_BLOCKED: lambda _concern, _each: True,
    ConcernKind.TOKEN_MISSING: lambda concern, each: each.provider == concern.about,
    ConcernKind.PROVIDER_MISSING: lambda concern, each: each.provider == concern.about,
    ConcernKind.PROVIDER_KEPT_OUT: lambda concern, each: each.provider == concern.about,
    ConcernKind.RECEIVER_SILENT: lambda concern, each: each.receiver == concern.about,
    ConcernKind.RECEIVER_FAILING: lambda concern, each: each.receiver == concern.about,
}
