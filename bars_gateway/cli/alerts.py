"""
Alerts, as people are told of them beyond this machine: which are open, and who sees to one.

    bars-gateway alerts                          ─► the database, also when no gateway runs
    bars-gateway acknowledge NUMBER --why TEXT   ─► the socket of a provider
"""

import os
from http import HTTPStatus
from typing import Annotated

import typer

from bars_gateway.cli import listings
from bars_gateway.cli.messages import By, Why, asked, signed
from bars_gateway.cli.output import print_each, print_lines
from bars_gateway.config import load
from bars_gateway.model.alerts import Alert
from bars_gateway.options import DEFAULT_CONFIG, Config, Json
from bars_gateway.status.runbooks import RUNBOOKS
from bars_gateway.store.alerts import standing

Number = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="As `alerts` prints it.")]


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands."""
    app.command()(alerts)
    app.command()(acknowledge)


def alerts(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """
    List the alerts that are open, oldest first: each condition once.

    Reads the database, so that it answers when no gateway runs.
    """
    path = load(config, os.environ).database_path
    found = listings.read(path, standing)
    print_each(found, _line, "No alert is open.", as_json=as_json)


def acknowledge(
    number: Number,
    why: Why,
    config: Config = DEFAULT_CONFIG,
    by: By = None,
    *,
    as_json: Json = False,
) -> None:
    """
    Say that somebody sees to an alert. Nobody is told of it again, unless it grows worse.

    Exits with 1 if none is open under that number.
    """
    signature = signed(why, by, dry_run=False)
    order = {name: value for name, value in signature.items() if name != "dry_run"}
    provider = next(iter(load(config, os.environ).providers))
    status, answer = asked(config, provider, f"/alerts/{number}/acknowledge", order)
    if as_json:
        print_lines([answer])
    elif status == HTTPStatus.OK:
        typer.echo(f"{number}: acknowledged; {answer['says']}")
    else:
        typer.echo(f"{number}: {answer['error']}. `bars-gateway alerts` lists what is open.")
    if status != HTTPStatus.OK:
        raise typer.Exit(1)


def _line(alert: Alert) -> str:
    by = f", {alert.acknowledged_by}" if alert.acknowledged_by else ""
    urgent = " urgent" if alert.urgent else ""
    return (
        f"{alert.number}: {alert.says}\n  {alert.code},{urgent} {alert.state}{by}, since"
        f" {alert.opened_at:%Y-%m-%d %H:%M:%S} UTC\n  do: {RUNBOOKS[alert.code].do}"
    )
