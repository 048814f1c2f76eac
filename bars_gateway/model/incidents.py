"""What is known of something that went wrong, as it was read in one moment: ids, codes, times."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.model.explanation import Case
from bars_gateway.model.interventions import Quarantine
from bars_gateway.model.readings import AuditLine
from bars_gateway.standard.workflow import Role


class IncidentKind(StrEnum):
    """What an incident is about, by the name that somebody has of it."""

    MESSAGE = "message"  # an X-Request-Id, a Bundle.id or a number; also one that was refused
    WORKFLOW = "workflow"  # its number: all of its messages
    ALARM = "alarm"  # its number, whether it stands or has ended
    QUARANTINE = "quarantine"  # the number of what lies there, or lay


@frozen(kw_only=True)
class RaisedAlarm:
    """An alarm that an incident is about, or that was raised about it."""

    number: int
    kind: str
    role: Role | None  # ours in its workflow
    provider: str | None  # None: it is no one provider's
    request_id: str | None
    since: datetime
    times: int
    ended_at: datetime | None  # None: it stands
    ended_how: str | None


@frozen(kw_only=True)
class IncidentFacts:
    """All that is known here of what somebody names."""

    kind: IncidentKind
    cases: Sequence[Case]  # the messages that are meant, in the order in which they were taken
    lines: Sequence[AuditLine] = ()  # of what is not a message, oldest first
    alarm: RaisedAlarm | None = None
    quarantined: Quarantine | None = None
