"""
What a person should look at, and why: the top of the status page.

    Overview + RuntimeState ──concerns──► each with a sentence and what to do, most severe first

A concern is there because of what the store and the running parts say now. What has happened
and nobody has seen is an alarm (`store.alarms`), and stays one until a person says that it is
handled (`bars-gateway mark-handled`), or it comes right: no day that passes ends it. Each names
exactly what it speaks of. All else is a state, and ends with it.

Each has a code, by which others speak of it: the kind of its alarm, or one of `ConcernKind`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from bars_gateway.disk import room
from bars_gateway.model.alarms import ALARMS, AlarmWords, Whose
from bars_gateway.model.messages import OutboundState
from bars_gateway.model.nodes import Node
from bars_gateway.model.readings import Inspection, Overview, StuckLog
from bars_gateway.model.standing_alarms import Alarm, StandingAlarms, by_provider
from bars_gateway.status.ages import lasting
from bars_gateway.status.concern import TELEPHONE, Concern, ConcernKind, of_provider, some
from bars_gateway.status.epr_concerns import not_attending, not_taken, questions, stalled
from bars_gateway.status.running import (
    EgressState,
    KeptOutState,
    RuntimeState,
    TokenState,
    UnavailableState,
)
from bars_gateway.store.figures import bucket_of
from bars_gateway.upkeep.housekeeping import ClockStep, Expiry, is_imminent, remaining, stage
from bars_gateway.upkeep.purging import PurgeState
from bars_gateway.upkeep.trail import TrailState

CLOCK_STEP_SHOWN = timedelta(days=1)
SKEW_SHOWN = 5.0  # seconds
LATE = timedelta(minutes=5)  # for a message that is not settled; before that, see `_waiting`
UNINSPECTED = "The database is being compared with its indexes, in the background,"
LOG_UNREAD_SECONDS = 10.0  # a reader may be busy for a moment
LOW_TIMES = 4  # as much as is asked for: then the disk wants room
_QUEUED = f"{TELEPHONE} Messages to this Receiver are queued; the gateway retries periodically."
_SILENT = (
    f"{_QUEUED} Tell whoever runs it. Where all of them are silent, see our own way out first"
    " (bars-gateway doctor), then the national proxy."
)
_OURS = (
    f"{_QUEUED} It is a service of this gateway itself, so look here and not outside: what else"
    " stands on this page, then bars-gateway doctor, which tries the way in."
)
_FAILING = (
    f"{_QUEUED} Where it is so for all Receivers, the national proxy has trouble of its own: ask"
    " the national service desk. Otherwise tell whoever runs it."
)
MISSING = (
    "Put it back under that name, and start again: what waits goes on then. Never change the name"
    f" of a provider: its messages belong to that name. {TELEPHONE}"
)


def concerns(overview: Overview, running: RuntimeState, first_days: int) -> list[Concern]:
    """
    Return what a person should look at, most severe first; none means that all is well.

    *first_days*: how many days before its end a thing becomes news.
    """
    return [
        *_unavailable(running.unavailable),
        *_over(overview.at, running.expiries),
        *_alarms(overview, running, severe=True),
        *not_attending(overview.at, running),
        *_held(overview),
        *_not_rebuilt(running.inspection),
        *_stuck_log(running.stuck_log),
        *_missing(running.missing),
        *_egress(running.egress),
        *_without_token(running),
        *_kept_out(running.kept_out),
        *_imminent(overview.at, running.expiries, first_days),
        *_keys(running.tokens),
        *_skews(running.tokens),
        *stalled(running.stalled),
        *not_taken(running.lying),
        *_away(running),
        *questions(overview),
        *_open_doors(overview.at, running.observes_until),
        *_shut_out(running.shut_out),
        *_refused(running.refused),
        *_expiries(overview.at, running.expiries, first_days),
        *_alarms(overview, running, severe=False),
        *_unread_log(running),
        *_disk_low(overview, running.minimum_free_bytes),
        *_clock_step(overview.at, running.clock_step),
        *_uninspected(running.inspection),
        *_waiting(overview),
        *_undelivered(running.undelivered),
        *_unpurged(overview.at, running.purges),
        *_untended(overview.at, running.trail),
        *_nodes_away(running.nodes),
    ]


def _unavailable(store: UnavailableState | None) -> Iterator[Concern]:
    if store is not None:
        harm = "Nothing is received, and nothing is taken from the EPR."
        advice = f"{harm} {TELEPHONE} {store.advice}"
        text = f"Nothing can be stored: {store.reason}"
        yield Concern(kind=ConcernKind.STORE_UNAVAILABLE, text=text, advice=advice)


def _over(now: datetime, expiries: Sequence[Expiry]) -> Iterator[Concern]:
    for each in expiries:
        if text := each.over(now):
            kind, name = ConcernKind.EXPIRY_OVER, each.name
            yield Concern(kind=kind, about=name, name=name, text=text, advice=each.advice_once_over)


def _stuck_log(log: StuckLog | None) -> Iterator[Concern]:
    if log is not None:
        size, minutes = room(log.size), f"{log.seconds / 60:.0f} min"
        yield Concern(
            kind=ConcernKind.DATABASE_LOG_STUCK,
            text=f"The database's write-ahead log has grown to {size}: a program has been reading"
            f" it for {minutes}",
            advice="Find it (fuser -v on the database) and end it: sqlite3, or a backup program."
            " Nothing is lost; until then the log takes more and more of the disk.",
        )


def _unread_log(running: RuntimeState) -> Iterator[Concern]:
    if running.lines_stuck_seconds >= LOG_UNREAD_SECONDS:
        lost, lasted = running.lines_lost, lasting(running.lines_stuck_seconds)
        beside = f", and {some(lost, 'line')} of it {'is' if lost == 1 else 'are'} lost" * bool(
            lost
        )
        yield Concern(
            kind=ConcernKind.LOG_STUCK,
            text=f"Nobody has taken what the gateway says to its log for {lasted}{beside}",
            advice="Messages go on, and the audit trail has what became of them. See what reads the"
            " log: is systemd-journald running, and is there room on its disk?",
        )


def _not_rebuilt(inspection: Inspection | None) -> Iterator[Concern]:
    if inspection is not None and inspection.left:
        yield Concern(
            kind=ConcernKind.DATABASE_GAP,
            text=f"The database lacks rows where it looks for them: {', '.join(inspection.left)}",
            advice="Make room on that disk: the gateway tries to rebuild it every minute. If this"
            " lasts, bars-gateway verify says why; the same bytes may have been taken twice.",
        )


def _uninspected(inspection: Inspection | None) -> Iterator[Concern]:
    if inspection is None or inspection.waits_since is None:
        return
    before = "Messages go on meanwhile."
    if not inspection.after_orderly_stop:
        before += " The last stop was a kill or a power cut: what waits was compared first."
    yield Concern(
        kind=ConcernKind.DATABASE_UNCOMPARED,
        text=f"{UNINSPECTED} since {inspection.waits_since:%d %b %H:%M} UTC",
        advice=f"{before} There is nothing to do unless this lasts for hours.",
    )


def _away(running: RuntimeState) -> Iterator[Concern]:
    silent, failing = ConcernKind.RECEIVER_SILENT, ConcernKind.RECEIVER_FAILING
    for kind, receivers, what, advice in (
        (silent, running.silent, "has not answered", _SILENT),
        (failing, running.failing, "has answered with errors only", _FAILING),
        (silent, running.remembered, "had given no good answer before this start: none", _SILENT),
    ):
        for receiver, since in receivers.items():
            yield Concern(
                kind=kind,
                text=f"{receiver} {what} since {since:%d %b %H:%M} UTC",
                advice=_OURS if receiver in running.hosted else advice,
                about=receiver,
                name=_named(receiver, running.hosted),
                whose=Whose.OURS if receiver in running.hosted else Whose.THEIRS,
            )


def _named(receiver: str, hosted: Collection[str]) -> str:
    bucket = f"bucket {bucket_of(receiver)}"
    return f"{bucket}, a service of this gateway itself" if receiver in hosted else bucket


def _missing(providers: Mapping[str, datetime]) -> Iterator[Concern]:
    for name, since in providers.items():
        since_when = f"since {since:%d %b %H:%M} UTC, and it had messages under way"
        text = f"Provider {name} has not been in the settings {since_when}: nothing is sent or told"
        yield of_provider(ConcernKind.PROVIDER_MISSING, name, text, MISSING)


def _egress(egress: EgressState | None) -> Iterator[Concern]:
    if egress is not None:
        since = f"{egress.since:%d %b %H:%M} UTC"
        text = f"Nothing has got out since {since}: {egress.reason}"
        advice = f"{TELEPHONE} {egress.advice}"
        yield Concern(kind=ConcernKind.EGRESS_BLOCKED, text=text, advice=advice)


def _without_token(running: RuntimeState) -> Iterator[Concern]:
    if running.egress is not None:
        return  # which is why, for every one of them
    for token in running.tokens:
        if token.failing_since is not None:
            since = f"{token.failing_since:%d %b %H:%M} UTC"
            text = f"No access token for {token.provider} since {since}: {token.reason}"
            parts = (TELEPHONE, token.advice, _next_try(token, running))
            advice = " ".join(filter(None, parts))
            yield of_provider(ConcernKind.TOKEN_MISSING, token.provider, text, advice)


def _next_try(token: TokenState, running: RuntimeState) -> str:
    """Return, in a sentence, when a token is asked for again; what was put right counts then."""
    if token.retry_at is None:
        stored = "" if running.unavailable is None else ", once something can be stored again"
        return f"The next try is with the next message{stored}."
    at = f"{token.retry_at:%H:%M:%S} UTC, or with a reload (systemctl reload bars-gateway)"
    return f"The next try is at {at}; a new key is tried at once."


def _kept_out(kept_out: Sequence[KeptOutState]) -> Iterator[Concern]:
    for each in kept_out:
        since = f"{each.since:%d %b %H:%M} UTC"
        text = f"Nothing from {each.provider} has got past the national proxy since {since}:"
        text, advice = f"{text} {each.reason}", f"{TELEPHONE} {each.advice}"
        yield of_provider(ConcernKind.PROVIDER_KEPT_OUT, each.provider, text, advice)


def _alarms(overview: Overview, running: RuntimeState, *, severe: bool) -> list[Concern]:
    """Return one concern for each kind that stands, and for each way in which it is told."""
    any_door = running.eprs[0].provider if len(running.eprs) > 1 else ""
    return [
        _alarming(kind, words, overview, any_door)
        for kind, each in ALARMS.items()
        if each.severe is severe
        for words in each.ways
        if any(found.kind == kind and found.words == words for found in overview.standing)
    ]


def _alarming(kind: str, words: AlarmWords, overview: Overview, any_door: str) -> Concern:
    each = ALARMS[kind]
    found = [s for s in overview.standing if s.kind == kind and s.words == words]
    listed = [a for a in overview.alarms if a.kind == kind and a.words == words]
    count = sum(s.count for s in found)
    by_number = count == 1 or len(each.ways) > 1  # the kind alone would name others, too
    return Concern(
        kind=kind,
        text=words.says.format(n=some(count, each.noun)),
        advice=words.advice,
        whose=words.whose,
        alarms=listed,
        more=count - len(listed),
        cure="; ".join(_marking(kind, found, listed if by_number else None, any_door)),
    )


def _marking(
    kind: str, found: Sequence[StandingAlarms], named: Sequence[Alarm] | None, any_door: str
) -> Iterator[str]:
    """Yield what marks them as handled, by number or all: at the door of each provider, or any."""
    numbered = by_provider(named or ())
    for name, of in by_provider(found).items():
        if named is None:
            which = f"--all --kind {kind} --up-to {max(each.newest for each in of)}"
        else:
            which = " ".join(str(each.number) for each in numbered.get(name, ()))
        door = name or any_door
        whose = f" --provider {door}" if door else ""
        if which:
            yield f"bars-gateway mark-handled {which}{whose} --why …"


def _held(overview: Overview) -> list[Concern]:
    held = overview.outbound[OutboundState.HELD]
    if not held:
        return []
    advice = (
        "Telephone where a patient waits. Release or withdraw them: what waits behind them does"
        " not leave, and a message whose time passes ends: as not sent, or as unconfirmed where it"
        " had been tried."
    )
    text = f"{some(held, 'message')} held, by hand or set aside"
    return [Concern(kind=ConcernKind.MESSAGE_HELD, text=text, advice=advice)]


def _keys(tokens: Sequence[TokenState]) -> list[Concern]:
    return [
        Concern(
            kind=ConcernKind.KEY_UNKNOWN,
            about=f"{token.provider} {key_id}",
            name=f"{token.provider}, {key_id}",
            text=f"The token service does not know the key {key_id} of {token.provider}",
            advice=f"{token.key_id} signs in its place. A key that was published within the last"
            " hour is picked up by itself; otherwise check what is registered.",
        )
        for token in tokens
        if token.failing_since is None
        for key_id in token.refused_keys
    ]


def _skews(tokens: Sequence[TokenState]) -> list[Concern]:
    return [
        Concern(
            kind=ConcernKind.CLOCK_SKEWED,
            text=f"Our clock is {token.clock_skew_seconds:+.0f} s off the token service's",
            advice="Correct it (timedatectl): from 150 s on, no token is given.",
        )
        for token in tokens
        if abs(token.clock_skew_seconds or 0) > SKEW_SHOWN
    ][:1]  # it is the same clock for all of them


def _open_doors(now: datetime, until: datetime | None) -> list[Concern]:
    if until is None or until <= now:
        return []
    return [
        Concern(
            kind=ConcernKind.CALLER_OBSERVED,
            text=f"Callers whose names are not listed are let in until {until:%d %b %H:%M} UTC",
            advice="Add the name that the log gives to inbound.allowed_client_names, and remove"
            " callers.observe_until.",
        )
    ]


def _shut_out(callers: Sequence[str]) -> list[Concern]:
    return [
        Concern(
            kind=ConcernKind.CALLER_SHUT_OUT,
            about=each,
            text=f"Would no longer get in: {each}",
            advice="What it sends is lost on the way. Add the authority that is named, with its"
            " root, to inbound.client_ca_file; if it is to stay out, remove its name from"
            " inbound.allowed_client_names.",
        )
        for each in callers
    ]


def _refused(refused: Mapping[str, str]) -> list[Concern]:
    return [
        Concern(
            kind=ConcernKind.RENEWAL_REFUSED,
            about=name,
            name=name,
            text=f"A change of {name} was not taken: {reason}",
            advice="The old one stays in use. Correct it, and it is taken; bars-gateway doctor says"
            " more.",
        )
        for name, reason in refused.items()
    ]


def _imminent(now: datetime, expiries: Sequence[Expiry], first_days: int) -> Iterator[Concern]:
    for each in expiries:
        if is_imminent(each, now, first_days):
            kind, name = ConcernKind.EXPIRY_IMMINENT, each.name
            text = f"{name} {remaining(each, now)}: {each.harm_once_over}"
            yield Concern(kind=kind, about=name, name=name, text=text, advice=each.advice)


def _expiries(now: datetime, expiries: Sequence[Expiry], first_days: int) -> Iterator[Concern]:
    for each in sorted(expiries, key=lambda expiry: expiry.ends_at):
        told_above = each.over(now) or is_imminent(each, now, first_days)
        if stage(each, now, first_days) is not None and not told_above:
            kind, name = ConcernKind.EXPIRY_NEAR, each.name
            text = f"{name} {remaining(each, now)}"
            yield Concern(kind=kind, about=name, name=name, text=text, advice=each.advice)


def _clock_step(now: datetime, step: ClockStep | None) -> list[Concern]:
    if step is None or now - step.at > CLOCK_STEP_SHOWN:
        return []
    text = f"{step} at {step.at:%d %b %H:%M} UTC"
    return [Concern(kind=ConcernKind.CLOCK_STEPPED, text=text, advice=step.advice)]


def _waiting(overview: Overview) -> list[Concern]:
    since = overview.oldest_waiting_at
    if since is None or overview.at - since < LATE:
        # What the EPR knows, the operator knows as well, where it is the oldest for its Receiver.
        since = overview.oldest_late_at
    if since is None:
        return []
    advice = (
        "Telephone where a patient waits. See the last attempts for the reason. The gateway keeps"
        " trying, except with what waits behind a message that is held."
    )
    text = f"A message has waited since {since:%d %b %H:%M} UTC"
    return [Concern(kind=ConcernKind.MESSAGE_WAITING, text=text, advice=advice)]


def _undelivered(channels: Mapping[str, datetime]) -> Iterator[Concern]:
    for channel, since in channels.items():
        yield Concern(
            kind=ConcernKind.ALERT_UNDELIVERED,
            about=channel,
            name=channel,
            text=f"Not everybody has been told by {channel} of what stands here since"
            f" {since:%d %b %H:%M} UTC",
            advice="Look at this page instead. The log says why; the gateway keeps trying.",
        )


def _unpurged(now: datetime, purges: PurgeState | None) -> Iterator[Concern]:
    late = purges.late_since(now) if purges else None
    if late is None or purges is None:
        return
    if purges.doubted is not None:
        yield _clock_doubted(purges.doubted)
    else:
        yield Concern(
            kind=ConcernKind.PURGE_LATE,
            text=f"No purge has come to its end since {late:%d %b %H:%M} UTC",
            advice="Records that should have left are still here, and the database grows. See what"
            " the log says; the gateway has to be running at retention.nightly_at.",
        )


def _untended(now: datetime, trail: TrailState | None) -> Iterator[Concern]:
    late = trail.late_since(now) if trail else None
    if late is not None:
        yield Concern(
            kind=ConcernKind.AUDIT_LATE,
            text=f"The audit trail has not been looked after since {late:%d %b %H:%M} UTC",
            advice="It should be verified daily, and its head kept every hour. See what the log"
            " says: audit.head_not_kept names the file.",
        )


def _clock_doubted(doubted: datetime) -> Concern:
    return Concern(
        kind=ConcernKind.PURGE_LATE,
        text=f"Nothing is purged: by the clock it is {doubted:%d %b %Y}, and none has begun for"
        " more than a week",
        advice="The clock may be ahead, and then everything would look old enough to leave. Check"
        " that it is right (timedatectl). If it is, begin one: bars-gateway purge --why TEXT.",
    )


def _nodes_away(nodes: Sequence[Node]) -> Iterator[Concern]:
    for each in nodes:
        if each.is_away and not each.is_this:
            yield Concern(
                kind=ConcernKind.NODE_AWAY,
                about=each.name,
                name=each.name,
                text=f"The gateway of node {each.name} has been away since"
                f" {each.seen_at:%d %b %H:%M} UTC",
                advice="The others go on. Start it again: what lies in its folders is taken by"
                " nobody else. If it will never come back: bars-gateway nodes remove NAME.",
            )


def _disk_low(overview: Overview, minimum: int) -> list[Concern]:
    left = overview.free_bytes
    if left is None or left >= LOW_TIMES * minimum:
        return []
    return [
        Concern(
            kind=ConcernKind.DISK_LOW,
            text=f"The disk of the database is filling up: {room(left)} are free beside"
            f" {overview.database}",
            advice=f"Make room. Below {room(minimum)} (store.minimum_free_bytes) nothing is"
            " received, and nothing is taken from the EPR.",
        )
    ]
