"""
Measures what is in memory before a gateway has done anything: `python resident.py`.

A new process loads what a gateway runs on, one after the other, as a gateway does (`libraries`),
and looks after each at how much of it is resident. Its own parts come last; settings, keys,
certificates and the database are then what is left to `memory, idle` (`starts`).
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import uvloop
from builds import Build, builds
from figures import Figure, Samples, table

ROUNDS = int(os.environ.get("ROUNDS", "9"))
STEPS = {
    "Python itself": "pass",
    "and asyncio, ssl, sqlite3": "import asyncio, ssl, sqlite3",
    "and uvloop": "import uvloop",
    "and structlog": "l.load_structlog()",
    "and pydantic": "from pydantic import BaseModel, Field, model_validator",
    "and aiohttp, both sides": "l.load_aiohttp(); from aiohttp import web",
    "and cryptography, PyJWT": "from cryptography import x509; import jwt.algorithms",
    "and all other libraries": "import aiosqlite, orjson, prometheus_client, zstandard",
    "and the gateway's own parts": "import bars_gateway.daemon.gateway",
}
FIGURES = tuple(
    Figure(name, "MB", "≤ 64 MB, idle" if name == list(STEPS)[-1] else "") for name in STEPS
)
_TRIED = """\
Three quarters of it is others' code, of which nothing can be left out: the least that a gateway
can take is what the libraries do. A look for garbage once all is loaded gives 1.8 MB back, for
70 ms of the start: each class with slots is made twice, and the first of each was kept. Tried, and
not kept: one heap for all threads and fixed thresholds to give back (`MALLOC_ARENA_MAX`,
`MALLOC_TRIM_THRESHOLD_` and `MALLOC_MMAP_THRESHOLD_`) save nothing idle, and 1 to 3 MB of 104 under
load; `malloc_trim` after the start finds 0.1 MB. Python without the columns of errors
(`-X no_debug_ranges`) saves 0.5 MB; without docstrings 1.2 MB, but then without assertions, too.
Validators of settings that are made when first used (`defer_build`) save 0.5 MB; pydantic without
its look for plugins, and without Python's own build settings for its time zones, 0.1 MB.

Of what is resident idle, 29 MB are pages of program files, which other processes share and the
kernel may drop. Load adds some 15 MB: SQLite's three connections have 4.8 MB then, 2 more than
idle; each TLS connection has 290 kB allocated, of which 55 are resident; and a third of the heap is
free in pieces, of which `malloc_trim` gave 1 to 5 MB back."""
_LOOKS = """
import gc, json, sys
gc.disable()
steps, found = json.loads(sys.argv[1]), {}
for name, step in steps.items():
    exec(step)
    with open("/proc/self/statm") as statm:
        found[name] = int(statm.read().split()[1]) * 4096
    if len(found) == 1:
        from bars_gateway import libraries as l
print(json.dumps(found))
"""


def loaded(build: Build) -> Mapping[str, int]:
    """Return how many bytes are resident after each step."""
    told = subprocess.run(
        [str(build.python), "-c", _LOOKS, json.dumps(STEPS)],
        env=dict(build.environment),
        capture_output=True,
        check=True,
    )
    found: Mapping[str, int] = json.loads(told.stdout)
    return found


async def measured(temporary: Path) -> Samples:
    """Let this build load everything, in every round."""
    samples = Samples()
    with builds(temporary) as compared:
        for _ in range(ROUNDS):
            for name, taken in loaded(compared[0]).items():
                samples.add(compared[0].name, name, taken / 2**20)
    return samples


def printed(samples: Samples) -> list[str]:
    """Return the section of the document."""
    return [*table(FIGURES, samples), "", *_TRIED.splitlines()]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bars-bench-") as made:
        print(*printed(uvloop.run(measured(Path(made)))), sep="\n")
