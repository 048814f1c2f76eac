"""
`cache list` and `cache clear`: what is kept of that which others publish about themselves.

    state_dir/cache ──list──► who, what, since when, until when

They read and remove files, so that they answer whether or not the gateway runs. Clear after
a counterparty has said that it takes something new, instead of waiting for half a day.
"""

import os
from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from bars_gateway.cli import listings
from bars_gateway.config import load
from bars_gateway.options import DEFAULT_CONFIG, Config, Json
from bars_gateway.outbound.cache import Kept, clear, listed

Target = Annotated[
    str | None, typer.Option("--of", metavar="SYSTEM|VALUE", help="Only what this service says.")
]
group = typer.Typer(
    name="cache",
    help="What others publish about themselves, as it is kept here.",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Give *app* the group of commands."""
    app.add_typer(group)


@group.command(name="list")
def show(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """List every answer that is kept, and until when it is given again."""
    settings = load(config, os.environ)
    lifetime = timedelta(hours=settings.outbound.cache_hours)
    line = partial(_line, lifetime)
    listings.print_each(list(listed(settings.cache_dir)), line, "Nothing is kept.", as_json=as_json)


def _line(lifetime: timedelta, each: Kept) -> str:
    until = each.kept_at + lifetime
    return (
        f"{each.provider}  {each.resource}  {each.target or '(the proxy)'}"
        f"  kept {each.kept_at:%Y-%m-%d %H:%M}, good until {until:%Y-%m-%d %H:%M} UTC"
        f"  {each.bytes} bytes"
    )


@group.command(name="clear")
def forget(config: Config = DEFAULT_CONFIG, target: Target = None) -> None:
    """Forget what is kept, so that it is asked for again."""
    count = clear(load(config, os.environ).cache_dir, target)
    typer.echo(f"forgotten: {count}")
