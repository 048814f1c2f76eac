"""
`confirm`: how a workflow stands that is unclear or contradicted, once somebody has found out.

    bars-gateway confirm WORKFLOW STATE --why TEXT ─► the provider's socket

The other side is telephoned first: which of two messages is true, only people can say.
"""

import asyncio
import getpass
import os
from typing import Annotated

import typer

from bars_gateway.config import load
from bars_gateway.intervene import DEFAULT_CONFIG, By, Config, DryRun, Provider, Why, socket_of
from bars_gateway.standard.workflow import CONFIRMABLE

Workflow = Annotated[
    int, typer.Argument(min=1, metavar="WORKFLOW", help="workflow_id of its notices.")
]
Stands = Annotated[
    str, typer.Argument(metavar="STATE", help=f"One of {', '.join(sorted(CONFIRMABLE))}.")
]


def add_to(app: typer.Typer) -> None:
    """Give *app* the command."""
    app.command()(confirm)


def confirm(  # noqa: PLR0917
    workflow: Workflow,
    state: Stands,
    why: Why,
    config: Config = DEFAULT_CONFIG,
    provider: Provider = None,
    by: By = None,
    *,
    dry_run: DryRun = False,
) -> None:
    """
    Say how a workflow stands that is unclear or contradicted.

    Telephone the other side before. Exits with 1 if it was not done; why not is printed.
    """
    from bars_gateway import operator_client

    if state not in CONFIRMABLE:
        raise typer.BadParameter(f"it must be one of: {', '.join(sorted(CONFIRMABLE))}")
    order = {
        "state": state,
        "why": why,
        "by": by or getpass.getuser(),
        "role": "operator",
        "dry_run": dry_run,
    }
    socket = socket_of(load(config, os.environ), provider)
    path = f"/workflows/{workflow}/confirm"
    status, answer = asyncio.run(operator_client.order(socket, path, order))
    if status == 200:  # noqa: PLR2004
        done = f"the workflow is {answer['state']}"
        typer.echo(f"{workflow}: {done if answer['done'] else f'would be {state}'}")
        return
    against = answer.get("objection") or {"problem": answer["error"], "cure": answer["cure"]}
    typer.echo(f"{workflow}: not done: {against['problem']}; {against['cure']}")
    raise typer.Exit(1)
