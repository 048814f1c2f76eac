"""What is known of the gateways that work on one database."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bars_gateway.frozen import frozen

AWAY_AFTER = timedelta(seconds=10)  # without a word: others take over what it alone did


@frozen(kw_only=True)
class Node:
    """One of several gateways, as the database has it."""

    name: str
    version: str
    started_at: datetime
    seen_at: datetime  # by the server's clock
    silent: timedelta  # since then
    clock_ahead: timedelta  # how far its machine's clock was ahead of the server's
    leases: Sequence[str] = ()  # what it alone does now
    is_this: bool = False

    @property
    def is_away(self) -> bool:
        """Whether it has said nothing for so long that others do its part."""
        return self.silent >= AWAY_AFTER

    def __str__(self) -> str:
        silent = f"{self.silent.total_seconds():.0f} s"
        seen = f"away for {silent}" if self.is_away else f"there, seen {silent} ago"
        alone = f", alone does {', '.join(self.leases)}" if self.leases and not self.is_away else ""
        clock = f"clock {self.clock_ahead.total_seconds():+.1f} s"
        return f"{self.name} ({seen}, since {self.started_at:%d %b %H:%M} UTC, {clock}{alone})"
