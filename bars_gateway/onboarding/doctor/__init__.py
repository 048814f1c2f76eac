"""
`bars-gateway doctor`: all that keeps a gateway from BaRS, with the cure and whom to ask.

    Site ──► Check, Check, Check … (tables, by group) ──► Finding ──► a screen, or JSON

Each check is a small function that says what it saw. The order of the tables is the
order of causes: what rests on something that failed is not looked at, so that the first
complaint is the thing to mend.

The checks are read once somebody asks for them: no other command waits for what they need.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from bars_gateway.config import load
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Whose, provider_of

if TYPE_CHECKING:
    from bars_gateway.onboarding.doctor.checks import Check, DoctorReport

app = typer.Typer(name="doctor", help="Say what keeps the gateway from BaRS, and what cures it.")


@app.callback(invoke_without_command=True)
def doctor(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nobody else.")] = False,
    as_json: Json = False,
    everything: Annotated[bool, typer.Option("--all", help="Show what is well, too.")] = False,
) -> None:
    """
    Look at everything, and say what keeps the gateway from BaRS: cause, cure, whom to ask.

    Changes nothing. Root looks as the user that the gateway runs as. Exits with 0 if all is
    well, 1 if there are warnings, 2 if anything failed. With the network it asks for one access
    token, and for our own metadata.
    """
    if context.invoked_subcommand is not None:
        return
    from bars_gateway.onboarding.doctor.diagnosis import EXIT_CODES, diagnose_installation, printed

    report = asyncio.run(
        diagnose_installation(config, os.environ, _now, offline=offline, begin=_progress)
    )
    _progress(None)
    if as_json:
        typer.echo(orjson.dumps(_document(report)).decode())
    else:
        for line in printed(report, everything=everything):
            typer.echo(line)
    raise typer.Exit(EXIT_CODES[report.worst])


@app.command()
def token(
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    *,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what was sent, decoded, and what was wrong.")
    ] = False,
) -> None:
    """
    Ask for one access token, and say what came of it.

    Exits with 1 if there was none.
    """
    from bars_gateway.onboarding.doctor.checks import credentials_of, explained, probe

    settings = load(config, os.environ)
    whose = provider_of(settings, provider)
    now = _now()
    found = asyncio.run(probe(settings, *credentials_of(settings, whose), now))
    if explain:
        for line in explained(settings, whose, found, now):
            typer.echo(line)
    elif found.refused is not None:
        typer.echo(f"error: {found.refused.reason}\n   try: {found.refused.advice}", err=True)
    else:
        typer.echo(f"{settings.outbound.token_url} gave a token")
    if found.refused is not None:
        raise typer.Exit(1)


def _now() -> datetime:
    return datetime.now(UTC)


def _progress(check: "Check | None") -> None:
    """Show what is looked at, on one line that goes away, and only to a person."""
    if sys.stderr.isatty():
        text = f"looking at {check.name} …" if check else ""
        typer.echo(f"\r\x1b[K{text}", nl=False, err=True)


def _document(report: "DoctorReport") -> dict[str, object]:
    return {
        "environment": report.environment,
        "worst": report.worst,
        "at": _now().isoformat(),
        "findings": [finding.document() for finding in report.findings],
    }
