"""
`quarantine` and `attach`: responses that answered nothing, and where they belong.

    bars-gateway quarantine ─► the database: ids and services, nothing of what they say
    bars-gateway attach NUMBER WORKFLOW --why TEXT ─► the provider's socket

Which workflow it is only people can say, after asking the Sender: ids have not settled it.
"""

import os
from functools import partial
from http import HTTPStatus
from typing import Annotated

import typer

from bars_gateway.cli import listings
from bars_gateway.cli.orders import By, DryRun, Why, asked, not_done, signed
from bars_gateway.config import load
from bars_gateway.model.quarantine import Quarantine
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Limit, Only, Whose
from bars_gateway.store.quarantine import waiting

Number = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="As `quarantine` prints it.")]
Workflow = Annotated[
    int, typer.Argument(min=1, metavar="WORKFLOW", help="workflow_id of the request's receipt.")
]


def add_to(app: typer.Typer) -> None:
    """Give *app* the two commands."""
    app.command()(quarantine)
    app.command()(attach)


def quarantine(
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """
    List the responses that belong to no workflow, oldest first.

    Reads the database, so that it answers when no gateway runs.
    """
    path = load(config, os.environ).database_path
    found = listings.read(path, partial(waiting, provider=provider, limit=limit))
    listings.print_each(found, _line, "Nothing is quarantined.", as_json=as_json)


def attach(  # noqa: PLR0917
    number: Number,
    workflow: Workflow,
    why: Why,
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    by: By = None,
    *,
    dry_run: DryRun = False,
) -> None:
    """
    Attach a quarantined response to the workflow that it belongs to.

    The EPR gets it as if it had just come, with the remark that an operator attached it.
    Exits with 1 if it was not done; why not is printed.
    """
    order = signed(why, by, dry_run=dry_run, workflow_id=workflow)
    status, answer = asked(config, provider, f"/quarantine/{number}/attach", order)
    if status == HTTPStatus.OK:
        done = f"attached; the workflow is {answer['state']}"
        typer.echo(f"{number}: {done if answer['done'] else 'would be attached'}")
        return
    if status == HTTPStatus.NOT_FOUND:
        answer = {**answer, "cure": "`bars-gateway quarantine` lists them, with their numbers"}
    typer.echo(not_done(number, answer))
    raise typer.Exit(1)


def _line(each: Quarantine) -> str:
    return (
        f"{each.number}: {each.reason}, came to {each.provider} at {each.came_at:%Y-%m-%d %H:%M:%S}"
        f" UTC\n  from {each.sender} to {each.receiver}\n  X-Request-Id {each.request_id},"
        f" X-Correlation-Id {each.correlation_id}\n  Bundle.id {each.bundle_id}, responds to"
        f" {each.responds_to or '-'}"
    )
