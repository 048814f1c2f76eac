"""What is seen, printed when it is seen, with the time since the start."""

import asyncio
import time

from rich.console import Console
from rich.text import Text

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue")


class Timeline:
    """Prints one line for each thing that happened, and remembers which were seen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._colours: dict[str, str] = {}
        self._seen: set[str] = set()
        self._more = asyncio.Event()

    @property
    def seconds(self) -> float:
        """How long ago the demo began."""
        return time.monotonic() - self._started

    def begin(self, title: str) -> None:
        """Print the head of a chapter; nothing of it has been seen yet."""
        self._seen.clear()
        self._console.print(Text(f"\n{title}", style="bold"))

    def say(self, who: str, what: str, step: str | None = None) -> None:
        """Print a line; *step* marks it as one of those that a chapter is made of."""
        colour = self._colours.setdefault(who, _COLOURS[len(self._colours) % len(_COLOURS)])
        line = Text(f"{self.seconds:7.2f} s  ")
        line.append(f"{who:<22}", style=colour)
        line.append(what)
        self._console.print(line)
        if step is not None:
            self._seen.add(step)
            self._more.set()

    def missing(self, steps: frozenset[str]) -> frozenset[str]:
        """Return those of *steps* that were not seen in this chapter."""
        return steps - self._seen

    async def until(self, steps: frozenset[str]) -> None:
        """Return once all *steps* were seen."""
        while self.missing(steps):
            self._more.clear()
            await self._more.wait()
