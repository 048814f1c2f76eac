"""
Since when what we ourselves need is out of order, kept so that a restart forgets none of it.

    egress proxy, token services ──once a second──► what is new ──► store.breaks ──► next start

Compared now and then, and not written where it is met: whoever meets it has a message in hand,
which need not wait for a disk. A restart within that second forgets no more than a second.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from bars_gateway.store.breaks import Breaks, is_our_own


class Troubles:
    """Lets the store have what is out of order, and forget what is no more."""

    def __init__(self, breaks: Breaks, found: Callable[[], Mapping[str, datetime]]) -> None:
        """*found* says what is out of order by its name there, and since when."""
        self._breaks = breaks
        self._found = found
        self._kept: dict[str, datetime] | None = None  # None: nobody has looked yet

    async def keep(self) -> None:
        """Keep what has changed since the last time."""
        found = self._found()
        if self._kept is None:
            known = await self._breaks.known()
            self._kept = {name: since for name, since in known.items() if is_our_own(name)}
        for name in [name for name, since in self._kept.items() if found.get(name) != since]:
            await self._breaks.ended(name)
            del self._kept[name]
        for name in found.keys() - self._kept.keys():
            await self._breaks.began(name, found[name])
            self._kept[name] = found[name]
