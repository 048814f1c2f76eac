"""One thing that a person should look at, and the code by which others speak of it."""

from collections.abc import Sequence
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.model.standing_alarms import Alarm
from bars_gateway.store.readings import UnreadNotice

# Before anybody looks for the cause: whoever reads it may have nothing but the page.
TELEPHONE = "Ask clinicians to telephone anything that cannot wait."


class ConcernKind(StrEnum):
    """What is a concern for as long as it is so; its value is its code."""

    STORE_UNAVAILABLE = "store.unavailable"
    EXPIRY_OVER = "expiry.over"
    NOTICE_UNREAD = "notice.unread"
    REFUSAL_UNREAD = "refusal.unread"
    EPR_NOT_ASKING = "epr.not_asking"
    MESSAGE_HELD = "message.held"
    DATABASE_GAP = "database.gap"
    DATABASE_LOG_STUCK = "database.log_stuck"
    LOG_STUCK = "log.stuck"
    EGRESS_BLOCKED = "egress.blocked"
    TOKEN_MISSING = "token.missing"  # noqa: S105 - a code
    PROVIDER_MISSING = "provider.missing"
    PROVIDER_KEPT_OUT = "provider.kept_out"
    KEY_UNKNOWN = "key.unknown"
    CLOCK_SKEWED = "clock.skewed"
    FOLDER_STALLED = "folder.stalled"
    FILE_NOT_TAKEN = "file.not_taken"
    RECEIVER_SILENT = "receiver.silent"
    RECEIVER_FAILING = "receiver.failing"
    QUESTION_LATE = "question.late"
    CALLER_OBSERVED = "caller.observed"
    CALLER_SHUT_OUT = "caller.shut_out"
    RENEWAL_REFUSED = "renewal.refused"
    EXPIRY_IMMINENT = "expiry.imminent"
    EXPIRY_NEAR = "expiry.near"
    CLOCK_STEPPED = "clock.stepped"
    DATABASE_UNCOMPARED = "database.uncompared"
    DISK_LOW = "disk.low"
    MESSAGE_WAITING = "message.waiting"
    ALERT_UNDELIVERED = "alert.undelivered"
    PURGE_LATE = "purge.late"
    AUDIT_LATE = "audit.late"
    NODE_AWAY = "node.away"


class FlowKind(StrEnum):
    """That nothing has flowed for as long as somebody has set: told by alerts alone."""

    NOTHING_RECEIVED = "flow.nothing_received"
    NOTHING_ACKNOWLEDGED = "flow.nothing_acknowledged"


class OutsideKind(StrEnum):
    """What only others can see: told by rules of Prometheus, or by what watches the service."""

    GATEWAY_DOWN = "gateway.down"


@frozen(kw_only=True)
class Concern:
    """One thing that a person should look at."""

    kind: str  # its code: a ConcernKind, or the kind of its alarms
    text: str
    advice: str
    about: str = ""  # which of its kind: a provider, folder, Receiver, …
    name: str = ""  # what of that may be told beyond this machine: names from the settings alone
    alarms: Sequence[Alarm] = ()  # the newest of those that it speaks of
    notices: Sequence[UnreadNotice] = ()  # the oldest of those that it speaks of
    more: int = 0  # alarms or notices beside those
    whose: str | None = None  # where to look for the cause first
    cure: str | None = None  # the command that marks as handled what is shown, and nothing later


def of_provider(kind: ConcernKind, provider: str, text: str, advice: str) -> Concern:
    """Return a concern about one provider, told beyond this machine by its name."""
    return Concern(kind=kind, text=text, advice=advice, about=provider, name=provider)


def some(count: int, noun: str) -> str:
    """Return so many of them in words: 1 notice, 2 notices."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
