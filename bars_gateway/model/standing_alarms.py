"""
Alarms that stand: what is known of one, how many there are, and which of them somebody means.

    numbers, X-Request-Ids, or all of some kinds up to a number ─► Chosen ─► Handled, or why not

One that is raised again gets a new number, so that whoever has seen the first has not seen the
second: it is beyond `up_to`, and is none of those that were named. What each kind says, and what
ends it, is the table in `alarms`.

Decisions: D-alarms-stay.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TypeVar

from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS, AlarmWords, Meanwhile
from bars_gateway.model.messages import Objection
from bars_gateway.standard.workflow import Role

MOST_AT_ONCE = 500  # alarms of one round


@frozen(kw_only=True)
class _Told:
    kind: str
    role: Role | None  # ours in its workflow, where it has one
    meanwhile: Meanwhile | None  # what is so beside its message, as the case stands

    @property
    def words(self) -> AlarmWords:
        """What is said of it as the case stands."""
        return ALARMS[self.kind].words(self.role, self.meanwhile)


@frozen(kw_only=True)
class Alarm(_Told):
    """One alarm that stands: ids and codes, nothing else."""

    number: int  # by which people name it; raised again, it has a new one
    provider: str | None
    request_id: str | None
    workflow_id: int | None
    use_case: str | None
    quarantine: int | None  # its number there, where it lies there
    codes: Sequence[str]  # remarks or rules that the event names
    since: datetime  # when it was first raised
    times: int  # how often it was raised since, and nobody said that it was handled
    told: str | None = None  # what the EPR was told last of its message, where one is meant


@frozen(kw_only=True)
class StandingAlarms(_Told):
    """How many alarms of one kind stand."""

    provider: str | None
    count: int
    oldest_at: datetime
    newest: int  # the highest number


T = TypeVar("T", Alarm, StandingAlarms)


def by_provider(alarms: Iterable[T]) -> Mapping[str, Sequence[T]]:
    """Return them by provider, in the order of the names; those of no provider are under ''."""

    def whose(alarm: T) -> str:
        return alarm.provider or ""

    return {name: list(each) for name, each in groupby(sorted(alarms, key=whose), whose)}


@frozen(kw_only=True)
class Chosen:
    """Which of a provider's alarms are meant: named ones, or all of some kinds up to a number."""

    numbers: Sequence[int] = ()
    request_ids: Sequence[str] = ()
    kinds: Sequence[str] = ()
    up_to: int | None = None  # the highest that was seen: what came since is not meant
    after: int = 0  # of those up to it: only behind that number, where the last round ended


@frozen(kw_only=True)
class Handled:
    """What became, or would become, of one alarm that was named."""

    name: str  # its number, or the X-Request-Id under which it was named
    alarm: Alarm | None
    objection: Objection | None
