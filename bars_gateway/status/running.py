"""What the running parts know of themselves, beside the store: page, health and figures read it."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.nodes import Node
from bars_gateway.model.readings import Inspection, StuckLog
from bars_gateway.store.readings import EprCondition
from bars_gateway.upkeep.housekeeping import ClockStep, Expiry
from bars_gateway.upkeep.purging import PurgeState
from bars_gateway.upkeep.trail import TrailState


@frozen(kw_only=True)
class TokenState:
    """How one provider stands with the token service."""

    provider: str
    key_id: str
    refused_keys: Sequence[str]  # that should sign, and that the token service does not know
    expires_at: datetime | None  # None: no token in hand
    failing_since: datetime | None
    reason: str | None  # what the last failure was, in our words
    advice: str | None
    clock_skew_seconds: float | None
    retry_at: datetime | None = None  # no sooner is one asked for; None: with the next message


@frozen(kw_only=True)
class KeptOutState:
    """A provider whose token or registration the proxy refuses."""

    provider: str
    since: datetime
    reason: str
    advice: str


@frozen(kw_only=True)
class UnavailableState:
    """Nothing can be stored."""

    reason: str
    advice: str


@frozen(kw_only=True)
class EgressState:
    """Nothing gets out of our own network."""

    since: datetime
    reason: str
    advice: str


@frozen(kw_only=True)
class Lying:
    """Files that an EPR has dropped and that cannot be taken, for one reason."""

    folder: str
    count: int
    seconds: float  # since the first of them was dropped
    means: str  # what has not happened
    cure: str
    may_be_all: bool = False  # the cause may hold up whatever that EPR drops, and no stray file


@frozen(kw_only=True)
class BudgetState:
    """How much of a minute's quota is used; providers under one application key share it."""

    providers: Sequence[str]
    per_minute: int
    used: int  # of the last minute
    paused_seconds: float  # for which the platform has asked us to send nothing


@frozen(kw_only=True)
class RuntimeState:
    """What the running parts know of themselves, beside the store."""

    version: str
    environment: str
    node: str
    started_at: datetime
    address: str | None  # where the listener answers; None: it does not run
    stopping: bool
    tokens: Sequence[TokenState]
    expiries: Sequence[Expiry]
    handshake_failures: Mapping[str, int]  # by reason, since the start
    clock_step: ClockStep | None = None  # the last, since the start
    silent: Mapping[str, datetime] = field(default_factory=dict)  # Receivers, and since when
    failing: Mapping[str, datetime] = field(default_factory=dict)  # Receivers with errors only
    remembered: Mapping[str, datetime] = field(default_factory=dict)  # silent before the start
    egress: EgressState | None = None  # why nothing gets out; None: it does
    missing: Mapping[str, datetime] = field(default_factory=dict)  # in no settings, since when
    kept_out: Sequence[KeptOutState] = ()  # providers that the proxy refuses
    hosted: frozenset[str] = frozenset()  # services that we receive for ourselves
    stalled: Mapping[str, str] = field(default_factory=dict)  # folders without use, and why
    unavailable: UnavailableState | None = None  # why nothing can be stored; None: all can
    stuck_log: StuckLog | None = None  # a reader keeps the write-ahead log from being moved
    lines_stuck_seconds: float = 0.0  # for which nobody has taken what was said to the log
    lines_lost: int = 0  # of the log, since the start
    lying: Sequence[Lying] = ()  # files of the EPR's that can never be taken
    observes_until: datetime | None = None  # until then, names that are not listed are let in
    refused: Mapping[str, str] = field(default_factory=dict)  # new files, and why they wait
    shut_out: Sequence[str] = ()  # recent callers that would no longer get in, and why
    eprs: Sequence[EprCondition] = ()
    inspection: Inspection | None = None  # None: nobody looks whether the database is sound
    minimum_free_bytes: int = 0  # below it nothing is taken; 0: nobody asks
    budgets: Sequence[BudgetState] = ()
    nodes: Sequence[Node] = ()  # all that share the database; none: it is one gateway's
    undelivered: Mapping[str, datetime] = field(default_factory=dict)  # channels, and since when
    purges: PurgeState | None = None  # None: nobody purges
    trail: TrailState | None = None  # None: nobody looks after the audit trail
