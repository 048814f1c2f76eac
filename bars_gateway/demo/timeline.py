"""What is seen, printed when it is seen, with the time since the start."""

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
        self.seen: list[str] = []

    @property
    def seconds(self) -> float:
        """How long ago the demo began."""
        return time.monotonic() - self._started

    def say(self, who: str, what: str, step: str | None = None) -> None:
        """Print a line; *step* marks it as one of those that the loop is made of."""
        if step is not None:
            self.seen.append(step)
        colour = self._colours.setdefault(who, _COLOURS[len(self._colours) % len(_COLOURS)])
        line = Text(f"{self.seconds:7.2f} s  ")
        line.append(f"{who:<22}", style=colour)
        line.append(what)
        self._console.print(line)
