"""
What a person says of alarms: they are handled, and the page lists them no more.

    numbers, X-Request-Ids, or all of some kinds up to a number ─► Chosen ─► Handled, or why not

Only alarms that somebody has seen are meant. What was raised anew since has a new number, so
that it is beyond `up_to` and is none of those that were named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bars_gateway.store.alarms import Alarm
from bars_gateway.store.interventions import Actor, Objection

MOST_AT_ONCE = 500  # alarms of one round


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which of a provider's alarms are meant: named ones, or all of some kinds up to a number."""

    numbers: Sequence[int] = ()
    request_ids: Sequence[str] = ()
    kinds: Sequence[str] = ()
    up_to: int | None = None  # the highest that was seen: what came since is not meant
    after: int = 0  # of those up to it: only behind that number, where the last round ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """What became, or would become, of one alarm that was named."""

    name: str  # its number, or the X-Request-Id under which it was named
    alarm: Alarm | None
    objection: Objection | None


HANDLING_OBJECTIONS: Mapping[str, Objection] = {
    each.code: each
    for each in (
        Objection(
            code="no_alarm",
            text="no alarm of this provider has that number or X-Request-Id",
            cure="see the status page, or bars-gateway alarms",
        ),
        Objection(
            code="handled_before",
            text="somebody has marked it as handled before",
            cure="there is nothing to do",
        ),
        Objection(
            code="settled",
            text="what it was about has come right meanwhile",
            cure="there is nothing to do",
        ),
        Objection(
            code="superseded",
            text="it was raised anew since, under a new number",
            cure="look at the new one: something has happened after the first",
        ),
    )
}


class Alarms(Protocol):
    """What may be asked of the alarms. Each method is one transaction."""

    async def standing(self, provider: str | None, limit: int) -> Sequence[Alarm]:
        """Return what stands, of *provider* or of all, newest first."""

    async def newest(self) -> int:
        """Return the number of the last that was raised; 0: none was."""

    async def raised(self, after: int, limit: int) -> Sequence[Alarm]:
        """Return what was raised after the alarm of that number, oldest first, ended or not."""

    async def handle(
        self,
        provider: str,
        chosen: Chosen,
        actor: Actor,
        now: datetime,
        *,
        dry_run: bool,
        at_once: int = MOST_AT_ONCE,
    ) -> Sequence[Handled]:
        """Mark as handled what is chosen, at most *at_once* of them, with audit trail."""
