"""
The operator's verbs.

    bars-gateway check · config · run · send · queue · show · sandbox · demo

`queue` and `show` read the database themselves, so that they answer at night when the
gateway is down; they open it for reading only and disturb nobody. `send` goes through
the EPR's own socket, because there is one door for submissions.

Exit codes: 0 done, 1 it could not be done, 2 the settings or the command were wrong.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bars_gateway import __version__, log
from bars_gateway.config import Settings, describe, load, problems
from bars_gateway.errors import ConfigurationError, GatewayError
from bars_gateway.sandbox.command import sandbox

DEFAULT_CONFIG = Path("/etc/bars-gateway/bars-gateway.toml")

app = typer.Typer(
    name="bars-gateway",
    help="Speaks the NHS Booking and Referral Standard (BaRS) for an EPR.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(sandbox)

Config = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="BARS_GATEWAY_CONFIG", help="The settings file."),
]
ProviderName = Annotated[
    str | None, typer.Option("--provider", "-p", help="The provider, if there are several.")
]


@app.callback(invoke_without_command=True)
def version(
    *,
    show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Speak the NHS Booking and Referral Standard (BaRS) for an EPR."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def check(config: Config = DEFAULT_CONFIG) -> None:
    """Look at the settings and at every file that they name; report all that is wrong."""
    settings = load(config, os.environ)
    found = problems(settings, datetime.now(UTC))
    for problem in found:
        typer.echo(f"error: {problem}", err=True)
    if found:
        raise typer.Exit(2)
    providers = ", ".join(settings.providers)
    typer.echo(f"{config}: nothing is wrong ({settings.environment}; {providers})")


@app.command(name="config")
def show_config(
    config: Config = DEFAULT_CONFIG,
    *,
    describe_all: Annotated[
        bool, typer.Option("--describe", help="Say what each setting is for.")
    ] = False,
) -> None:
    """Print every setting as it is in force, and where it came from."""
    for setting in describe(load(config, os.environ)):
        typer.echo(f"{setting.key} = {_plain(setting.value)}    # {setting.origin}")
        if describe_all:
            for paragraph in setting.description.splitlines():
                typer.echo(f"    {paragraph}")


def _plain(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_plain(item)}" for key, item in value.items()) + "}"
    return str(value)


@app.command()
def run(config: Config = DEFAULT_CONFIG) -> None:
    """Run the gateway until it is told to stop (SIGTERM or Ctrl-C)."""
    from bars_gateway import daemon

    settings = load(config, os.environ)
    log.configure(settings.log_level)
    found = problems(settings, datetime.now(UTC))
    if found:
        raise ConfigurationError("\n".join(map(str, found)))
    daemon.serve(settings)


@app.command()
def send(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Message Bundles, as files.", exists=True, dir_okay=False, readable=True
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    provider: ProviderName = None,
) -> None:
    """Hand messages to the running gateway; print each receipt or refusal."""
    from bars_gateway import operator_client

    settings = load(config, os.environ)
    path = settings.epr.socket_of(_one_provider(settings, provider))
    bundles = {file: file.read_bytes() for file in files}
    refused = asyncio.run(operator_client.send(path, bundles, typer.echo))
    if refused:
        raise typer.Exit(1)


@app.command()
def queue(
    config: Config = DEFAULT_CONFIG,
    provider: ProviderName = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
) -> None:
    """List the outbound messages that are not settled, oldest first."""
    from bars_gateway import listings

    settings = load(config, os.environ)
    _print(partial(listings.queue, settings.database_path, provider, limit))


@app.command()
def show(
    request_id: Annotated[str, typer.Argument(help="The message's X-Request-Id.")],
    config: Config = DEFAULT_CONFIG,
    provider: ProviderName = None,
) -> None:
    """Show one message with its workflow, every attempt and every event."""
    from bars_gateway import listings

    settings = load(config, os.environ)
    _print(partial(listings.show, settings.database_path, provider, request_id))


@app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the loop; exit 0 only if all was seen.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where to keep everything; a temporary folder otherwise.")
    ] = None,
) -> None:
    """Watch a referral go out and its acknowledgement come home, all on this machine."""
    from bars_gateway.demo import play

    if not asyncio.run(play(folder, once=once)):
        raise typer.Exit(1)


def _one_provider(settings: Settings, name: str | None) -> str:
    if name is None and len(settings.providers) == 1:
        return next(iter(settings.providers))
    if name not in settings.providers:
        known = ", ".join(settings.providers)
        raise ConfigurationError(f"--provider must be one of: {known}")
    return name


def _print(listing: Callable[[Console], Awaitable[bool]]) -> None:
    found = asyncio.run(_awaited(listing, Console(soft_wrap=True)))
    if not found:
        raise typer.Exit(1)


async def _awaited(listing: Callable[[Console], Awaitable[bool]], console: Console) -> bool:
    return await listing(console)


def main() -> None:
    """Run the command line; errors are two lines, what happened and what to do."""
    try:
        app()
    except ConfigurationError as error:
        _complain(error)
        sys.exit(2)
    except GatewayError as error:
        _complain(error)
        sys.exit(1)


def _complain(error: GatewayError) -> None:
    typer.echo(f"error: {error}\n   try: {error.advice}", err=True)
