"""What a supplier of an EPR needs: the contract's schemas, and a rehearsal of the EPR with it."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    app.command()(schemas)


def schemas(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", readable=False, help="Where to write them; made if missing."),
    ],
) -> None:
    """
    Write the JSON Schema of every document that an EPR reads or writes.

    Draft 2020-12, one file each, which refers to nothing outside itself: for the folders and for
    the socket alike. docs/epr-contract.md is the contract that they belong to.
    """
    from bars_gateway.epr.contract import write_schemas
    from bars_gateway.epr.documents import CONTRACT_VERSION

    written = write_schemas(folder)
    typer.echo(f"{folder}: {len(written)} schemas of contract {CONTRACT_VERSION}")
