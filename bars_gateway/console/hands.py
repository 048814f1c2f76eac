"""
What acts for the pages: the daemon supplies it, for the console itself does nothing.

    page ─► Wish ─► Hands (the daemon: what the command line asks for, too) ─► ActionOutcome ─► page

The same objections, in the same words and with the same limits as on the command line: they come
from one place, and the console adds none.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlencode

from bars_gateway.frozen import frozen
from bars_gateway.model.explanation import Option
from bars_gateway.model.interventions import PAST_ITS_TIME, Verb
from bars_gateway.model.messages import Objection


@frozen(kw_only=True)
class Wish:
    """Who wants something done, why, and what they have read of it."""

    by: str
    why: str
    dry_run: bool = False
    confirmed: bool = False  # what may come of a resend
    after_its_time: bool = False  # that its clinical time has passed


@frozen(kw_only=True)
class Effect:
    """What became, or would become, of one thing."""

    name: str  # the X-Request-Id of a message; else what it is, and its number
    message_id: int | None = None
    state: str | None = None  # of the message or workflow; before it is done, as it is
    objection: Objection | None = None
    may_happen: str | None = None  # of a resend
    resent_as: str | None = None
    also: Sequence[str] = ()  # X-Request-Ids of what went with it


@frozen(kw_only=True)
class ActionOutcome:
    """What became, or would become, of everything that was asked for."""

    effects: Sequence[Effect] = ()
    problem: str | None = None  # it could not be understood, and nothing was done
    unknown: bool = False  # nothing has any of the numbers that were named

    @property
    def possible(self) -> int:
        """How many were done, or would be."""
        return sum(each.objection is None for each in self.effects)

    @property
    def late(self) -> int:
        """How many would be, if it were said that their time has passed."""
        found = [each.objection.code for each in self.effects if each.objection]
        return found.count(PAST_ITS_TIME)

    @property
    def against(self) -> Mapping[str, int]:
        """How many would not be, by what stands against it."""
        return Counter(each.objection.text for each in self.effects if each.objection)


class Hands(Protocol):
    """What does as the pages ask, for every provider. Nothing is done in a dry run."""

    at_once: int  # messages, at most

    async def act(
        self, verb: Verb, numbers: Sequence[int], wish: Wish, *, in_bulk: bool
    ) -> ActionOutcome:
        """Do it with these outbound messages; *in_bulk*: with those whose state is for that."""

    async def attach(self, number: int, workflow_id: int, wish: Wish) -> ActionOutcome:
        """Attach a quarantined response to a workflow."""

    async def confirm(self, workflow_id: int, state: str, wish: Wish) -> ActionOutcome:
        """Say how a workflow in doubt stands."""

    async def handle(self, alarms: Sequence[int], wish: Wish) -> ActionOutcome:
        """Mark alarms as handled."""

    async def acknowledge(self, alert: int, wish: Wish) -> ActionOutcome:
        """Say that somebody sees to an alert."""


def place_of(option: Option, message_id: int) -> str:
    """Return the page on which that is done; what it is about stands in its command."""
    named, _, _ = option.command.partition(" --provider ")  # which may be called by a number, too
    numbers = [word for word in named.split() if word.isdecimal()]
    if option.verb == "confirm":
        return f"/confirm?{urlencode({'workflow': numbers[0]})}"
    if option.verb == "attach":
        return f"/attach?{urlencode({'quarantine': numbers[0], 'workflow': numbers[-1]})}"
    if option.verb == "mark-handled":
        return f"/handle?{urlencode([('alarm', number) for number in numbers])}"
    return f"/act?{urlencode({'verb': option.verb, 'of': message_id})}"
