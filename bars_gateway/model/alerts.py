"""
Alerts: one for each condition that somebody is to be told of, for as long as it stands.

    Condition ─► opened ─┬─ reminded …        while nobody has acknowledged it, or it grows worse
                         ├─ acknowledged      somebody says that they see to it
                         └─ resolved          it stands no more

A condition is a code and what it is about: that 200 messages wait for one Receiver is one. What an
alert says are codes, counts, times and names from the settings: no id, and nothing of a message.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from bars_gateway.frozen import frozen

ON_NODE = " @"  # stands before the node's name in what an alert is about


class Channel(StrEnum):
    """By what somebody is told."""

    JOURNAL = "journal"  # the system's journal, where the log is
    COMMAND = "command"  # a program of yours, which is run for each
    MAIL = "mail"  # mail to the addresses that are set


class AlertStep(StrEnum):
    """What has become of an alert."""

    OPENED = "opened"  # it is so, and is told for the first time
    REMINDED = "reminded"  # it is still so, and nobody has acknowledged it
    RESOLVED = "resolved"  # it is so no longer


@frozen(kw_only=True)
class Condition:
    """Something that is so, and that somebody is to be told of."""

    code: str  # runbooks.RUNBOOKS has it
    about: str = ""  # which of its kind; stays on this machine
    says: str  # what people are told: counts, and names from the settings
    urgent: bool
    mark: int = 0  # grows as it grows worse
    opens: bool = True  # False: it keeps an alert that is open, and opens none
    kept_by: str | None = None  # what the store keeps of it over a restart (store.pacing)
    waits_for_maintenance: bool = True  # False: a patient may be waiting


@frozen(kw_only=True)
class Alert:
    """One alert, as it is kept."""

    number: int
    code: str
    says: str
    urgent: bool
    opened_at: datetime
    acknowledged_at: datetime | None  # None too where it has grown worse since
    acknowledged_by: str | None
    resolved_at: datetime | None

    @property
    def state(self) -> str:
        """How it stands: open, acknowledged or resolved."""
        if self.resolved_at is not None:
            return "resolved"
        return "acknowledged" if self.acknowledged_at else "open"


@frozen(kw_only=True)
class Delivery:
    """One thing that is to be told by one channel: at least once."""

    delivery_id: int
    channel: Channel
    step: AlertStep
    decided_at: datetime
    attempts: int
    alert: Alert


@frozen(kw_only=True)
class Telling:
    """By what people are told, and when."""

    channels: Sequence[Channel]
    digest: timedelta  # what is not urgent waits for so long, for company
    remind: timedelta  # of what is urgent and nobody has acknowledged; zero: never
    maintenance: tuple[datetime, datetime] | None = None

    def due_at(self, channel: Channel, condition: Condition, now: datetime) -> datetime:
        """Return when *channel* is to tell of it, if that is decided *now*."""
        if channel is Channel.JOURNAL:
            return now
        due = now if condition.urgent else now + self.digest
        if self.maintenance and condition.waits_for_maintenance:
            begins, ends = self.maintenance
            due = max(due, ends) if begins <= now < ends else due
        return due


@frozen(kw_only=True)
class ReservedNumbers:
    """Numbers that nothing else will bear: for an alert that is told before it can be stored."""

    alert: int
    deliveries: Mapping[Channel, int]


@frozen(kw_only=True)
class HeldDelivery:
    """A delivery that was held in memory, and how far it had come there."""

    delivery: Delivery
    due_at: datetime
    delivered_at: datetime | None


@frozen(kw_only=True)
class ToldFromMemory:
    """An alert that was opened while nothing could be stored, for the store to go on with."""

    condition: Condition
    number: int
    opened_at: datetime
    deliveries: Sequence[HeldDelivery]


@frozen(kw_only=True)
class StandingConditions:
    """What stands at one moment, and what is not known yet to have ended."""

    conditions: Sequence[Condition]
    unknown: frozenset[str] = frozenset()  # breaks of which this process knows nothing yet
    may_end: frozenset[str] | None = None  # only alerts of these codes may; None: any
    node: str | None = None  # which of several nodes has looked; None: there is one
    leads: bool = True  # whether it looks after what is the same for all of them
    others: frozenset[str] = frozenset()  # the nodes that there are beside it
    meanwhile: ToldFromMemory | None = None  # what was told while the store was away

    def is_ours(self, about: str) -> bool:
        """Tell whether this node may say that an alert *about* that has ended."""
        _, mark, whose = about.rpartition(ON_NODE)
        if self.node is None or (mark and whose == self.node):
            return True
        return self.leads and (not mark or whose not in self.others)
