"""
Since when those have not answered who are left in peace, so that a restart forgets none of it.

    a break begins ──► began ─┐
    an answer comes ──► ended ┴─► known: what the next start says on the page

Whether they answer by now the next start finds out by itself; only since when is told from here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol


class Breaks(Protocol):
    """Receivers that do not answer, and providers that the proxy keeps out."""

    async def began(self, name: str, since: datetime) -> None:
        """Keep that nothing came from *name* since then, unless an earlier moment is kept."""

    async def ended(self, name: str) -> None:
        """Forget it: an answer came."""

    async def known(self) -> Mapping[str, datetime]:
        """Return who had not answered, and since when."""
