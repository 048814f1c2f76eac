"""What happened in a period, counted: the figures that a safety report rests on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from bars_gateway.frozen import frozen


class AlarmEnd(StrEnum):
    """How an alarm ended."""

    HANDLED = "handled"  # somebody said that they had seen to it
    SETTLED = "settled"  # what it was about came right by itself


@frozen(kw_only=True)
class AlarmSpan:
    """For how long one alarm stood; raised again meanwhile, it is the same one."""

    kind: str
    since: datetime
    ended_at: datetime | None  # None: it stands
    ended_how: AlarmEnd | None


@frozen(kw_only=True)
class Counts:
    """What was counted between two instants."""

    since: datetime
    until: datetime  # before that moment
    trail_since: datetime | None  # the oldest line of the audit trail; None: there is none
    events: Mapping[str, int]  # by kind of the audit trail
    judged: Mapping[str, int]  # attempts, by the row of the verdict table
    alarms: Sequence[AlarmSpan]  # that were raised in that time
