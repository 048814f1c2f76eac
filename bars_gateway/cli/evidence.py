"""
`bars-gateway evidence`: what assessors ask to see, what it lacks, and whether it is still the same.

    export DIR ─► a run against the sandbox, and the installation ─► DIR     gaps · verify
"""

import asyncio
import os
import signal
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway.cli.output import document_of, print_lines, print_table, terminal
from bars_gateway.config import Settings, load
from bars_gateway.evidence import manifest
from bars_gateway.evidence.export import Exported, export, read_summary
from bars_gateway.evidence.gaps import EvidenceGap, GapKind, gaps_of, known_gaps
from bars_gateway.options import DEFAULT_CONFIG, Config, Json

_COLUMNS = ("Kind", "Name", "What is missing, and why")
app = typer.Typer(
    name="evidence", help="Make what assessors ask to see, and check it.", no_args_is_help=True
)
New = Annotated[
    Path, typer.Argument(metavar="DIR", readable=False, help="A new folder, or an empty one.")
]
Made = Annotated[
    Path, typer.Argument(metavar="DIR", readable=False, help="A folder that `export` made.")
]
Perhaps = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", readable=False, help="An export; else what every one lacks."),
]


Attached = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE", readable=False, help="A file to lie beside the evidence; repeatable."
    ),
]


@app.command(name="export")
def make(folder: New, config: Config = DEFAULT_CONFIG, attach: Attached = None) -> None:
    """
    Play every scene against the sandbox, and write requests, answers and all that tells of them.

    Runs a sandbox and a gateway of its own, in a temporary folder on this machine, with invented
    people; the gateway that is installed goes on undisturbed, and nobody else is called. Of the
    installation it tells versions, names of certificates, settings without secrets, and figures.
    Exits with 1 where something is missing that the run should have shown.
    """
    settings = load(config, os.environ)
    try:
        made = asyncio.run(_until_told(settings, folder.absolute(), attach or ()))
    except asyncio.CancelledError:
        typer.echo("Stopped: nothing was exported.", err=True)
        raise typer.Exit(1) from None
    for each in made.left_behind:
        typer.echo(f"{each}: left behind by an export that was killed; removed")
    typer.echo(f"{folder}: {len(made.summary.scenes)} scenes; begin with index.html")
    typer.echo(f"SHA-256 of {manifest.MANIFEST}, to be noted down: {made.manifest_sha256}")
    lacking = list(gaps_of(made.summary.shown))
    if lacking:
        _print(lacking)
        raise typer.Exit(1)


@app.command()
def gaps(folder: Perhaps = None, *, as_json: Json = False) -> None:
    """
    Say what is missing: statements, questions that a person must answer, and of an export.

    Exits with 0 if nothing is, with 1 if only what every export lacks, with 2 if something is that
    the run should have shown.
    """
    lacking = [] if folder is None else list(gaps_of(read_summary(folder).shown))
    found = [*lacking, *known_gaps()]
    if as_json:
        print_lines(document_of(each) for each in found)
    else:
        _print(found)
        counts = {kind: sum(each.kind is kind for each in found) for kind in GapKind}
        typer.echo(", ".join(f"{kind}: {count}" for kind, count in counts.items()))
    raise typer.Exit(2 if lacking else 1 if found else 0)


@app.command()
def verify(folder: Made) -> None:
    """Compare each file of an export with its manifest; exit with 1 where one differs."""
    found = list(manifest.differences(folder))
    for each in found:
        typer.echo(f"error: {each}", err=True)
    if found:
        raise typer.Exit(1)
    digest = manifest.hash_of(folder / manifest.MANIFEST)
    typer.echo(f"{folder}: each file is what was exported; SHA-256 of the manifest {digest}")


async def _until_told(settings: Settings, folder: Path, attached: Sequence[Path]) -> Exported:
    """Make the export; where we are told to stop, end what was started, and leave nothing."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await export(settings, folder, datetime.now(UTC), attached)


def _print(found: Iterable[EvidenceGap]) -> None:
    rows = [(each.kind, each.name, f"{each.what} — {each.why}") for each in found]
    print_table(_COLUMNS, rows, terminal())
