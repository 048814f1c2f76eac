"""
`confirm`: how a workflow stands that is unclear or contradicted, once somebody has found out.

    bars-gateway confirm WORKFLOW STATE --why TEXT ─► the provider's socket

The other side is telephoned first: which of two messages is true, only people can say.
"""

from http import HTTPStatus
from typing import Annotated

import typer

from bars_gateway.cli.orders import By, DryRun, Why, asked, not_done, signed
from bars_gateway.options import DEFAULT_CONFIG, Config, Whose
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
    provider: Whose = None,
    by: By = None,
    *,
    dry_run: DryRun = False,
) -> None:
    """
    Say how a workflow stands that is unclear or contradicted.

    Telephone the other side before. Exits with 1 if it was not done; why not is printed.
    """
    if state not in CONFIRMABLE:
        text = f"it must be one of: {', '.join(sorted(CONFIRMABLE))}"
        raise typer.BadParameter(text, param_hint="STATE")
    order = signed(why, by, dry_run=dry_run, state=state)
    status, answer = asked(config, provider, f"/workflows/{workflow}/confirm", order)
    if status == HTTPStatus.OK:
        done = f"the workflow is {answer['state']}"
        typer.echo(f"{workflow}: {done if answer['done'] else f'would be {state}'}")
        return
    typer.echo(not_done(workflow, answer))
    raise typer.Exit(1)
