"""
What a clinical safety officer asks of an installation: what was counted, and how people did.

    safety report ─► counters beside the period before · how fast alarms were handled

It reads the database by itself, so that it answers when no gateway runs. Kinds, codes and counts
alone are printed: no id, no name, nothing of a message.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bars_gateway import __version__
from bars_gateway.cli.listings import read, require_known
from bars_gateway.cli.output import clock, document_of, print_lines, print_table, terminal
from bars_gateway.config import Settings, load
from bars_gateway.model.counts import Counts
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Only, instant_typed
from bars_gateway.safety.report import PERIOD, CounterLine, HandlingLine, SafetyReport
from bars_gateway.safety.report import report as composed
from bars_gateway.store.connection import Connection
from bars_gateway.store.counts import counted

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="INSTANT", help="Then or later, ISO 8601; else 30 days."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="INSTANT", help="Before then; else until now.")
]
_COUNTERS = ("Counter", "Period", "Before", "Hazards", "What is counted")
_HANDLING = (
    "Alarm",
    "Urgent",
    "Raised",
    "Before",
    "Handled",
    "Median",
    "Before",
    "Slowest",
    "Settled",
    "Stand",
    "Oldest (UTC)",
)

safety = typer.Typer(
    name="safety",
    help="What was counted for clinical safety, and how people did.",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands."""
    app.add_typer(safety)


@safety.callback()
def _group() -> None:
    """Keep the name of the group though it has one command."""


@safety.command()
def report(
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    since: Since = None,
    until: Until = None,
    *,
    as_json: Json = False,
) -> None:
    """
    Print the counters of the hazard log, with the period before, and how alarms were handled.

    The last 30 days, where nothing else is asked for; the period before is as long. Reads the
    database, so that it answers when no gateway runs.
    """
    settings = load(config, os.environ)
    require_known(settings, provider)
    ends = instant_typed("--until", until) or datetime.now(UTC)
    begins = instant_typed("--since", since) or ends - PERIOD
    if begins >= ends:
        text = "it must be before --until"
        raise typer.BadParameter(text, param_hint="--since")
    found = _read(settings, provider, begins, ends)
    if as_json:
        print_lines([document_of(found, provider=provider, version=__version__)])
        return
    for line in _heading(settings, found, provider):
        typer.echo(line)
    print_table(_COUNTERS, [_counter(each) for each in found.counters], terminal())
    if not found.handling:
        typer.echo("No alarm was raised.")
        return
    typer.echo()
    print_table(_HANDLING, [_handled(each) for each in found.handling], terminal())


def _read(
    settings: Settings, provider: str | None, begins: datetime, ends: datetime
) -> SafetyReport:
    """Return the report of both periods, read in one moment."""
    before = begins - (ends - begins)

    def both(connection: Connection) -> tuple[Counts, Counts]:
        now = counted(connection, provider, begins, ends)
        return now, counted(connection, provider, before, begins)

    return composed(*read(settings, both))


def _heading(settings: Settings, found: SafetyReport, provider: str | None) -> Iterator[str]:
    whose = provider or ", ".join(settings.providers)
    yield f"Safety report of bars-gateway {__version__} ({settings.environment}; {whose})"
    yield f"From {clock(found.since)} until {clock(found.until)} UTC"
    yield f"Before: from {clock(found.before)} until {clock(found.since)} UTC"
    if found.trail_since is None or found.trail_since > found.before:
        begins = clock(found.trail_since)
        yield f"The audit trail begins {begins} UTC: before that nothing is counted."
    yield "Hazards: docs/safety/hazard-log.md. More is counted where more is sent."
    yield ""


def _counter(line: CounterLine) -> tuple[str, ...]:
    codes = " ".join(each.removeprefix("HAZ-") for each in line.hazards)
    says = f"{line.says} (a control that worked)" if line.works and line.hazards else line.says
    return (line.name, str(line.now), str(line.before), codes or "all", says)


def _handled(line: HandlingLine) -> tuple[str, ...]:
    return (
        line.kind,
        "yes" if line.urgent else "-",
        str(line.raised),
        str(line.raised_before),
        str(line.handled),
        _long(line.median_seconds),
        _long(line.median_seconds_before),
        _long(line.slowest_seconds),
        str(line.settled),
        str(line.standing),
        clock(line.oldest_since),
    )


def _long(seconds: float | None) -> str:
    """Return a length of time to the minute: nobody needs it more exactly here."""
    if seconds is None:
        return "-"
    minutes = round(timedelta(seconds=seconds) / timedelta(minutes=1))
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
