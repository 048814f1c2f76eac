"""
Measures what it costs to say everything that is wrong with a message: `python examining.py`.

Of messages on which nothing is wrong, which is what nearly all are: every look is taken then, and
none ends early. Each build has a process of its own (`examiner`), which gives the processor's time.
"""

import asyncio
import json
import os
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop
from bodies import AS_IT_IS, body_of, xml_of
from builds import HERE, builds
from figures import Figure, Samples, table

from bars_gateway.demo.messages import RECEIVER

ROUNDS = int(os.environ.get("ROUNDS", "9"))
TIMES = int(os.environ.get("TIMES", "100"))
_JSON, _XML = "application/fhir+json", "application/fhir+xml"
XML_BYTES = 60_000
FIGURES = (
    Figure("examine, 12.9 kB JSON", "ms", "≤ 0.45 of base", 2),
    Figure("examine, 30 kB JSON", "ms", "≤ 0.45 of base", 2),
    Figure("examine, 60 kB XML", "ms", "≤ 0.6 of base", 2),
)


def messages() -> dict[str, tuple[bytes, str]]:
    """Return what is looked at, by the name of its figure."""
    smaller = next(n for n in range(30_000, 90_000, 500) if len(xml_of(n, RECEIVER)) > XML_BYTES)
    return {
        "examine, 12.9 kB JSON": (body_of(AS_IT_IS, RECEIVER), _JSON),
        "examine, 30 kB JSON": (body_of(30_000, RECEIVER), _JSON),
        "examine, 60 kB XML": (xml_of(smaller, RECEIVER), _XML),
    }


@asynccontextmanager
async def examiner(build):
    """Run a process of that build that examines what it is told to."""
    process = await asyncio.create_subprocess_exec(
        *(str(build.python), str(HERE / "examiner.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(build.environment),
    )

    async def examine(path: Path, media_type: str) -> float:
        told = json.dumps([str(path), media_type, RECEIVER, TIMES])
        process.stdin.write(told.encode() + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise SystemExit(f"{build.name} does not examine: see above.")
        return float(line)

    try:
        yield examine
    finally:
        process.stdin.close()
        await process.wait()


async def measured(temporary: Path) -> Samples:
    """Let the builds take turns with each message."""
    samples = Samples()
    async with AsyncExitStack() as stack:
        sides = [
            (build.name, await stack.enter_async_context(examiner(build)))
            for build in stack.enter_context(builds(temporary))
        ]
        for name, (body, media_type) in messages().items():
            path = temporary / "body"
            path.write_bytes(body)
            for number in range(ROUNDS + 1) if ROUNDS > 1 else [1]:
                for side, examine in sides[::-1] if number % 2 else sides:
                    spent = await examine(path, media_type)
                    if number:  # a first round is cold
                        samples.add(side, name, spent)
    return samples


def printed(samples: Samples) -> list[str]:
    """Return the section of the document."""
    return table(FIGURES, samples)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bars-bench-") as made:
        print(*printed(uvloop.run(measured(Path(made)))), sep="\n")
