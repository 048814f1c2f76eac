"""
`backup` and `verify`: what an operator types to keep what was promised safe.

    backup   the running gateway's database ─► a checked copy
    verify   a database, or a copy ─► everything that is wrong with it

The way back is `restore`, which has a module of its own: see `restoring`.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bars_gateway.config import load
from bars_gateway.options import DEFAULT_CONFIG, Config

if TYPE_CHECKING:
    from bars_gateway.store.examination import Examination


def backup(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", readable=False, help="Where to; it must not exist yet."),
    ],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """
    Write a checked copy of the database, while the gateway runs.

    The copy holds patients' data: its mode is 0600, and it needs the same protection
    as the database. Nothing is left behind if it cannot be written whole.
    """
    from bars_gateway.store.backup import back_up

    path = load(config, os.environ).database_path
    held = back_up(path, file)
    size = file.stat().st_size
    typer.echo(f"{file}: a whole copy of {path}, {size:,} bytes")
    echo(contents(held))


def verify(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", readable=False, help="A backup, instead of the database."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """
    Check the database, or a backup, down to every stored message.

    Every index is compared with its table, too (PRAGMA integrity_check), whatever the size.
    Only reads, and may run beside the gateway. Exits with 1 if anything is wrong.
    """
    from bars_gateway.store.examination import examine

    path = file or load(config, os.environ).database_path
    found = examine(path)
    typer.echo(f"{path} at {clock(datetime.now(UTC))}, schema {found.schema}")
    echo(contents(found))
    echo(compared(found))
    for problem in found.problems:
        typer.echo(f"error: {problem}", err=True)
    if found.problems:
        typer.echo(f"   try: {_CURE_OF_DAMAGE if found.damage else _CURE}", err=True)
        raise typer.Exit(1)
    typer.echo("Nothing is wrong with it.")


_CURE_OF_DAMAGE = (
    "Keep the file, and look at the disk. Put back the latest backup that is whole:"
    " `bars-gateway restore FILE --older`, which keeps the damaged database beside it."
)
_CURE = (
    "Look at each message that is named: `bars-gateway show REQUEST_ID`. If its bytes are wrong,"
    " look at the disk, and take them from a backup or from whoever sent them."
)


def echo(lines: Iterator[str]) -> None:
    """Print each line."""
    for line in lines:
        typer.echo(line)


def contents(held: "Examination") -> Iterator[str]:
    """Yield what a database holds, in figures."""
    for table, rows in held.counts.items():
        yield f"  {table:<12}{rows:>12,}"
    yield f"  last change {clock(held.last_change_at)}"


def compared(held: "Examination") -> Iterator[str]:
    """Yield what the gateway itself found when it last compared everything."""
    last = held.inspected
    if last is not None and last.ended_at is not None:
        found = "; ".join(last.found) or "nothing was missing"
        yield f"  the gateway compared all of it {clock(last.ended_at)}: {found}"


def clock(at: datetime | None) -> str:
    """Return an instant as an operator reads it."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "never"
