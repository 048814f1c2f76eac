"""
Measures how the cost of a message grows with what there is: `python growth.py`.

By what is stored, by how many callers there are at once, by providers and by the size of a message:
the processor's milliseconds for each message, out (intake and drain) and in, once each and of this
build alone. A row that is hardly dearer than the one before says that nothing grows.
"""

import os
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from builds import builds
from figures import plain
from filling import fill
from staging import Gateway, ground, sink

MESSAGES = int(os.environ.get("MESSAGES", "640"))
LARGEST = int(os.environ.get("LARGEST", "1000000"))  # messages stored, at most
LARGE = int(os.environ.get("LARGE", "5000000"))
STORED = tuple(n for n in (1, 1_000, 100_000, 1_000_000) if n <= LARGEST)
AT_ONCE = (1, 4, 16, 64)
PROVIDERS = (1, 10, 50)
SIZES = (9_700, 12_900, 100_000, 1_000_000, LARGE)
_AS_IT_IS = 12_900
_LOOKED_THROUGH = 1.0  # seconds of rest: what is stored was compared, behind the open doors
_BYTES_AT_ALL = 12_000_000  # sent of each size, so that a large one does not take for ever


@dataclass(frozen=True)
class Growth:
    """One table: what grows, and the rows."""

    name: str
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Named:
    """What the document has a table of."""

    name: str


FIGURES = tuple(
    Named(name) for name in ("messages stored", "in flight", "providers", "bytes of a message")
)


Make = Callable[..., Awaitable[Gateway]]


async def cost(gateway: Gateway, count: int = MESSAGES, **how: object) -> tuple[str, ...]:
    """Return the processor's milliseconds of a message, out and in."""
    out = await gateway.taking(count, **how)
    received = await gateway.receiving(count, **how)
    return f"{out.ms_each:.2f} ms", f"{received.ms_each:.2f} ms"


async def by_stored(make: Make) -> Iterable[tuple[str, ...]]:
    """Fill the database further and further."""
    gateway, rows, before = await make("stored"), [], 0
    for stored in STORED:
        await gateway.stop()
        fill(gateway.database, stored=stored - before)
        before = stored
        await gateway.start()
        await gateway.quiet(_LOOKED_THROUGH)
        rows.append((f"{stored:,}", *await cost(gateway)))
    await gateway.stop()
    return rows


async def by_callers(make: Make) -> Iterable[tuple[str, ...]]:
    """Let more and more call at once, and as many be under way."""
    rows = []
    for callers in AT_ONCE:
        limits = (f"max_in_flight = {callers}", f"max_in_flight_per_receiver = {min(4, callers)}")
        gateway = await make(f"callers{callers}", extra={"outbound": "\n".join(limits)})
        rows.append((str(callers), *await cost(gateway, callers=callers)))
        await gateway.stop()
    return rows


async def by_providers(make: Make) -> Iterable[tuple[str, ...]]:
    """Speak for more and more organisations."""
    rows = []
    for providers in PROVIDERS:
        gateway = await make(f"providers{providers}", providers=providers)
        rows.append((str(providers), *await cost(gateway)))
        await gateway.stop()
    return rows


async def by_size(make: Make) -> Iterable[tuple[str, ...]]:
    """Send larger and larger messages, fewer of them; one that takes too long is told so."""
    gateway, rows = await make("size"), []
    for size in SIZES:
        count = max(2, min(MESSAGES, _BYTES_AT_ALL // size))
        how = {"bytes": 0 if size == _AS_IT_IS else size, "good": [408, 503]}
        few = {} if size <= _AS_IT_IS else {"callers": min(4, count), "warm": 1}
        rows.append((f"{size:,}", *await cost(gateway, count, **how, **few)))
    await gateway.stop()
    return rows


async def measured(temporary: Path) -> Sequence[Growth]:
    """Measure each table."""
    with builds(temporary) as compared:
        this, tables = compared[0], []
        async with ground(temporary) as at, sink(at) as there:

            async def make(name: str, **options: object) -> Gateway:
                gateway = Gateway(this, at, temporary / name, there, **options)
                gateway.prepare()
                await gateway.start()
                return gateway

            parts = (by_stored, by_callers, by_providers, by_size)
            for named, part in zip(FIGURES, parts, strict=True):
                tables.append(Growth(named.name, list(await part(make))))
    return tables


def printed(tables: Sequence[Growth]) -> list[str]:
    """Return the section of the document."""
    lines: list[str] = []
    for table in tables:
        head = [table.name, "Out, processor", "In, processor"]
        lines += [*plain(head, table.rows), ""]
    return lines[:-1]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bars-bench-") as made:
        print(*printed(uvloop.run(measured(Path(made)))), sep="\n")
