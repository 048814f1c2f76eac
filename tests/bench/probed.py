"""
Runs `bars-gateway` with two probes: SQL statements it runs, and how long its loop stands.

Where it is to answer is its first argument, a Unix socket: each connection gets the figures since
the last one, as JSON. Statements are counted by SQLite's trace of each connection; those of
triggers are not among them, nor what opens, closes and undoes a transaction, which has a count of
its own. The loop has a timer of a millisecond; by how much it was late is how long nothing else
could run, and what the process has spent meanwhile is how long of that was its own doing.
"""

import asyncio
import json
import re
import socket
import sqlite3
import sys
import threading
import time
from collections import Counter
from functools import partial

EACH_SECONDS = 0.001
_BRACKETS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "END")
_COMMENTS = re.compile(r"\A(\s*--[^\n]*\n)*\s*")
_VALUES = re.compile(r"'[^']*'|\b\d+\b")
_READ = 400
_SHOWN = 100  # characters by which a statement is told from others


class Probe:
    """What was counted since it was last asked."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.by_text: Counter[str] = Counter()
        self.stalled = self.worked = 0.0
        self._last = ""

    def trace(self, statement: str) -> None:
        """Count a statement that SQLite begins."""
        same, self._last = statement == self._last, statement
        if same:  # a trigger of it begins: Python is told of that in the same words
            return
        said = _COMMENTS.sub("", statement)
        kind = "transactions" if said.startswith(_BRACKETS) else "statements"
        self.counted[kind] += 1
        if kind == "statements":
            self.by_text[" ".join(_VALUES.sub("?", said[:_READ]).split())[:_SHOWN]] += 1

    async def watch(self) -> None:
        """Note by how much a timer is late."""
        while True:
            due, spent = time.perf_counter() + EACH_SECONDS, time.process_time()
            await asyncio.sleep(EACH_SECONDS)
            self.stalled = max(self.stalled, time.perf_counter() - due)
            self.worked = max(self.worked, time.process_time() - spent)

    def taken(self) -> bytes:
        """Return what was counted, and begin again."""
        told = {
            "statements": self.counted["statements"],
            "transactions": self.counted["transactions"],
            "stalled_ms": self.stalled * 1000,
            "worked_ms": self.worked * 1000,
            "often": self.by_text.most_common(40),
        }
        self.counted, self.by_text = Counter(), Counter()
        self.stalled = self.worked = 0.0
        return json.dumps(told).encode()

    def answer(self, path: str) -> None:
        """Tell everybody who connects."""
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(path)
            door.listen()
            while True:
                connection, _ = door.accept()
                with connection:
                    connection.sendall(self.taken())


def install(probe: Probe) -> None:
    """Put the probe where connections and the loop are made, whatever makes them."""
    run = asyncio.Runner.run

    class Traced(sqlite3.Connection):
        """What each connection is, of whatever class."""

        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            self.set_trace_callback(probe.trace)

    def watched(self, coroutine, **named):
        async def both():
            watching = asyncio.create_task(probe.watch())
            try:
                return await coroutine
            finally:
                watching.cancel()

        return run(self, both(), **named)

    sqlite3.Connection = Traced
    sqlite3.connect = sqlite3.dbapi2.connect = partial(sqlite3.connect, factory=Traced)
    asyncio.Runner.run = watched


if __name__ == "__main__":
    probe = Probe()
    install(probe)
    threading.Thread(target=probe.answer, args=(sys.argv.pop(1),), daemon=True).start()
    from bars_gateway.__main__ import main

    main()
