"""Facts as they are seen: each is printed, and the first that is not so ends everything."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from machine import Machine


class NotSo(Exception):
    """A fact that was to be seen, and was not."""


class Facts:
    """Prints what was seen in a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._begun = time.monotonic()
        self.seen = 0

    def note(self, fact: str) -> None:
        """Print a fact that the caller has seen."""
        self.seen += 1
        print(f"{time.monotonic() - self._begun:6.0f} s  {fact}", flush=True)

    def require(self, fact: str, so: object, said: object = "") -> None:
        """Print *fact* where it is so; else raise NotSo, with what was said instead."""
        if not so:
            raise NotSo(f"NOT SO: {fact}\n{said}")
        self.note(fact)

    async def ran(self, fact: str, command: str, seconds: float = 300.0) -> str:
        """Run *command* in the machine, which has to succeed; return what it said."""
        begun = time.monotonic()
        done = await self._machine.run(command, seconds)
        self.require(f"{fact} ({time.monotonic() - begun:.0f} s)", done.code == 0, done.said)
        return done.said

    async def becomes(
        self, fact: str, condition: Callable[[], Awaitable[object]], seconds: float = 300.0
    ) -> object:
        """Ask until there is something; it has to be there within those seconds."""
        begun = time.monotonic()
        while not (found := await condition()):
            late = time.monotonic() - begun > seconds
            self.require(fact, not late, f"not within {seconds:.0f} s") if late else None
            await asyncio.sleep(1.0)  # what is asked has the one processor in there
        self.note(f"{fact} ({time.monotonic() - begun:.0f} s)")
        return found
