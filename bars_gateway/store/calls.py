"""
What went out to the platform in the last minute, so that a restart gives us no second quota.

    claim ────────► in the claim's own transaction ─┐
    token, read ──► note, before it is sent ────────┴─► since: what the next start counts

A call is noted before it begins, and so counts even where we died over it. What no
minute can hold any more is forgotten with the next one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol


class Calls(Protocol):
    """When each provider asked anything of the platform."""

    async def note(self, provider: str, now: datetime) -> None:
        """Note a call that is no message."""

    async def since(self, since: datetime) -> Mapping[str, Sequence[datetime]]:
        """Return when the calls since *since* began, by provider: a minute of them at most."""
