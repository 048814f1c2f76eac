"""
A gateway whose system calls are written down, and how to read them again.

    traced(node, file, calls) ──strace──► file ──read──► begun(fsync …) · ended(fsync … = 0)

A call that another thread interrupts stands in the trace as two halves, and a call that
stands on one line begins and ends there.
"""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from world import Node, eventually

_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_UNFINISHED = "<unfinished ...>"


@dataclass(frozen=True, slots=True)
class Call:
    """One half of a system call: its beginning, or its end with all that stands in between."""

    thread: str
    text: str
    ended: bool

    @property
    def name(self) -> str:
        return self.text.partition("(")[0]

    @property
    def succeeded(self) -> bool:
        return self.ended and not re.search(r" = (-1 |\?)", self.text)


@asynccontextmanager
async def traced(node: Node, trace: Path, calls: str, *options: str) -> AsyncIterator[None]:
    """Run the node's gateway as a process whose system calls are written to *trace*."""
    await node.stop()
    log = node.folder / "traced.log"
    with log.open("ab") as output:
        strace = await asyncio.create_subprocess_exec(
            *("strace", "-f", "-o", str(trace), "-e", f"trace={calls}", *options),
            *node.command("run"),
            stdout=output,
            stderr=output,
        )
    try:
        await eventually(lambda: b"daemon.started" in log.read_bytes())
        yield
    finally:
        children = Path(f"/proc/{strace.pid}/task/{strace.pid}/children").read_text().split()
        for child in children:
            await asyncio.create_subprocess_exec("kill", f"-{signal.SIGTERM.value}", child)
        await strace.wait()


def read(trace: Path) -> Iterator[Call]:
    """Yield the beginnings and ends of all calls, in their order."""
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            thread, _, text = line.strip().partition(" ")
            text = text.strip()
            if text.endswith(_UNFINISHED):
                begun[thread] = text.removesuffix(_UNFINISHED)
                yield Call(thread, begun[thread], ended=False)
            elif match := _RESUMED.match(text):
                yield Call(thread, begun.pop(thread, "") + match[1], ended=True)
            elif "(" in text:
                yield Call(thread, text, ended=False)
                yield Call(thread, text, ended=True)
