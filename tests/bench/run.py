"""
Prints docs/performance.md: `make bench`, or `make bench BASE=v0.1.0` with ratios to another build.

`COMPILED=build/compiled` measures the compiled one, too (`builds`).

What is measured, and how, is said in the module of each section. `ONLY=doors,probes` prints only
those; `ROUNDS` and `MESSAGES` make everything shorter, for trying. `ARGS=--write` writes the file;
with `ONLY` it writes those sections anew, and leaves the others as they are.
"""

import asyncio
import os
import platform
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import doors
import examining
import growth
import on_a_server
import probes
import resident
import starts
import uvloop
from bodies import AS_IT_IS, body_of
from builds import ROOT, builds, commit_of
from doors import MESSAGES, ROUNDS
from staging import CALLERS, OURS

DOCUMENT = ROOT / "docs" / "performance.md"
SECTIONS: dict[str, tuple[str, ModuleType]] = {
    "doors": ("The doors", doors),
    "server": ("On a database server", on_a_server),
    "examining": ("Saying all that is wrong with a message", examining),
    "starts": ("Starts, commands, memory", starts),
    "resident": ("What is in memory before anything was done", resident),
    "probes": ("Statements and stalls", probes),
    "growth": ("How the cost of a message grows", growth),
}
_HEAD = """\
# What it costs

This page is printed by `make bench`, which measures real gateways, each a process of its own that
is reached by its doors alone: an EPR's socket, mutual TLS, the status page, commands. A stand-in
for the national side answers at once. Nothing here is a promise for another machine; the ratios
are what carries over. Each is taken within a round, between two that had their turn one after the
other, and the next round is the other way round. A figure is the median of its rounds, with the
lowest and the highest. Processor time is user and system time of the gateway's process.

The compiled build is an option (`make wheel-compiled`): what goes through every element of a
message is machine code in it. It finds the same (`make compiled`). Its ratio is to the base, too.
"""


def file_system_of(folder: Path) -> str:
    """Return the kind of the disk: on a tmpfs, durable means nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    above = [mount for mount in mounts if folder.is_relative_to(mount[0])]
    if not above:  # in a root file system below another one's folder
        return "an unknown file system"
    return max(reversed(above), key=lambda mount: len(mount[0]))[1]  # the last covers the others


def machine(folder: Path) -> Iterator[str]:
    """Say on what, and with which builds, it was measured."""
    cpu = Path("/proc/cpuinfo").read_text("utf-8").partition("model name\t: ")[2].splitlines()[:1]
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    yield f"- {os.cpu_count()} processors ({cpu[0] if cpu else platform.machine()}); load {load}"
    yield f"- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, uvloop"
    yield f"- {file_system_of(folder.resolve())} beneath the database"
    yield f"- {ROUNDS} rounds of {MESSAGES} messages of {len(body_of(AS_IT_IS, OURS)):,} bytes,"
    yield f"  {CALLERS} callers"
    with builds(folder) as compared:
        for build in compared:
            yield f"- {build.name}: {build.commit}"


def names() -> Iterator[str]:
    """Yield the name of everything that has a line of its own."""
    for title, module in SECTIONS.values():
        yield f"## {title}"
        for each in (*module.FIGURES, *getattr(module, "RATIOS", ())):
            yield f"| {each.name} |"


async def section(name: str, folder: Path) -> list[str]:
    """Measure what it is about; return its lines, of which the first is its heading."""
    title, module = SECTIONS[name]
    load, began = os.getloadavg()[0], time.monotonic()
    folder.mkdir()
    samples = await module.measured(folder)
    print(f"{title}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    said = f"Printed with load {load:.0f}, this build {commit_of(ROOT)}."
    return [f"## {title}", "", said, "", *module.printed(samples), ""]


async def document(wanted: Sequence[str]) -> list[str]:
    """Measure everything that is *wanted*; return the lines."""
    lines = [_HEAD]
    with tempfile.TemporaryDirectory(prefix="bars-bench-") as made:
        (Path(made) / "who").mkdir()
        lines += [*machine(Path(made) / "who"), ""]
        for name in wanted:
            lines += await section(name, Path(made) / name)
    return lines


def within(written: str, lines: Sequence[str]) -> str:
    """Return the document as *written*, with the sections of *lines* in the place of its own."""
    head, old = _sections(written)
    _, new = _sections("\n".join(lines))
    return "\n\n".join(each.strip() for each in (head, *(old | new).values())) + "\n"


def _sections(text: str) -> tuple[str, dict[str, str]]:
    head, *rest = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    return head, {each.partition("\n")[0]: each for each in rest}


def main() -> None:
    """Print, or write; `--names` measures nothing, and prints what would be measured."""
    if "--names" in sys.argv:
        print(*names(), sep="\n")
        return
    only = os.environ.get("ONLY")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        lines = runner.run(document(only.split(",") if only else list(SECTIONS)))
    text = "\n".join(lines)
    if "--write" in sys.argv:
        DOCUMENT.write_text(within(DOCUMENT.read_text("utf-8"), lines) if only else text, "utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
