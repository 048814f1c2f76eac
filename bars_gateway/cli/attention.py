"""
What needs a person: `alarms`, `mark-handled`, `quarantine`, `attach`, `confirm`, `alerts`.

    bars-gateway alarms · quarantine · alerts ─► the database: kinds, numbers and ids
    bars-gateway mark-handled NUMBER … --why TEXT   ─┐
    bars-gateway attach NUMBER WORKFLOW --why TEXT   ├─► the provider's socket
    bars-gateway confirm WORKFLOW STATE --why TEXT   │
    bars-gateway acknowledge NUMBER --why TEXT      ─┘

Only what was seen can be marked. An alarm that is raised again has a new number, and what comes
after the number in `--up-to` is not meant by `--all`. An alert is what people are told beyond this
machine: one for each condition.

Where a response belongs that answered nothing, only people can say, after asking the Sender: ids
have not settled it. And which of two messages is true, whoever telephones the other side.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from bars_gateway.cli import listings
from bars_gateway.cli.messages import By, DryRun, Why, asked, not_done, rounds, signed
from bars_gateway.cli.output import print_each, print_lines, shown
from bars_gateway.config import load
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.alerts import Alert
from bars_gateway.model.interventions import Quarantine
from bars_gateway.model.standing_alarms import Alarm
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Limit, Only, Whose
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.workflow import CONFIRMABLE
from bars_gateway.status.runbooks import RUNBOOKS
from bars_gateway.store import alerts as stored_alerts
from bars_gateway.store.alarms import standing
from bars_gateway.store.quarantine import waiting

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ALARM",
        parser=str.strip,
        help="Numbers of alarms, or X-Request-Ids of what they say.",
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="Every one up to the number in --up-to.")]
UpTo = Annotated[
    int | None, typer.Option(min=1, metavar="NUMBER", help="The highest that was seen.")
]
Kinds = Annotated[
    list[str] | None, typer.Option("--kind", metavar="KIND", help="Only of it; repeatable.")
]
Number = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="As `quarantine` prints it.")]
OpenAlert = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="As `alerts` prints it.")]
Workflow = Annotated[
    int,
    typer.Argument(min=1, metavar="WORKFLOW", help="workflow_id of its notices."),
]
Stands = Annotated[
    str, typer.Argument(metavar="STATE", help=f"One of {', '.join(sorted(CONFIRMABLE))}.")
]


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands; `see` is what `mark-handled` was called first."""
    app.command()(alarms)
    app.command(name="mark-handled")(mark_handled)
    app.command(name="see", hidden=True)(mark_handled)
    app.command()(quarantine)
    app.command()(attach)
    app.command()(confirm)
    app.command()(alerts)
    app.command()(acknowledge)


def alarms(
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    limit: Limit = 500,
    *,
    as_json: Json = False,
) -> None:
    """
    List what a person has to see and nobody has marked as handled, newest first.

    Reads the database, so that it answers when no gateway runs.
    """
    settings = load(config, os.environ)
    listings.require_known(settings, provider)
    found = listings.read(settings, partial(standing, provider=provider, limit=limit))
    print_each(found, _alarm_line, "No alarm stands.", as_json=as_json, limit=limit)


def mark_handled(  # noqa: PLR0917
    why: Why,
    names: Names = None,
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    by: By = None,
    kind: Kinds = None,
    up_to: UpTo = None,
    *,
    everything: Everything = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """
    Say that somebody has dealt with alarms. The status page lists them no more.

    What gets worse afterwards is raised again. Exits with 1 if one of them was not marked.
    """
    if bool(names) == everything or (everything and up_to is None) or (kind and not everything):
        raise typer.BadParameter(
            "name alarms, or give --all with --up-to, and with or without kinds"
        )
    if unknown := set(kind or ()) - set(ALARMS):
        known = ", ".join(ALARMS)
        text = f"{', '.join(sorted(unknown))}: there are {known}"
        raise typer.BadParameter(text, param_hint="--kind")
    given = {"kinds": kind, "up_to": up_to, **_named(names or [])}
    wanted = {name: value for name, value in given.items() if value}
    order = signed(why, by, dry_run=dry_run, **wanted)
    _carry_out(config, provider, order, as_json=as_json)


def _named(names: Sequence[str]) -> Mapping[str, Sequence[object]]:
    numbers = [name for name in names if name.isascii() and name.isdigit()]
    request_ids = [name for name in names if name not in numbers]
    if not all(map(is_uuid, request_ids)):
        text = "each must be the number of an alarm, or an X-Request-Id"
        raise typer.BadParameter(text, param_hint="ALARM")
    return {"alarms": [int(name) for name in numbers], "request_ids": request_ids}


def _carry_out(
    config: Path, provider: str | None, order: Mapping[str, object], *, as_json: bool
) -> None:
    left = seen = 0
    with shown("mark-handled: alarms") as advance:
        for report in rounds(partial(asked, config, provider), "/alarms/handled", order):
            if as_json:
                print_lines(report["alarms"])
            else:
                for each in report["alarms"]:
                    typer.echo(_became(each))
            seen += len(report["alarms"])
            left += len(report["alarms"]) - report["possible"]
            advance(seen, None)
    if left:
        raise typer.Exit(1)


def _became(each: Mapping[str, Any]) -> str:
    if each["objection"]:
        return not_done(each["name"], each)
    alarm = each["alarm"]
    word = "handled" if each["done"] else "would be marked as handled"
    return f"{alarm['alarm_id']} {alarm['kind']}: {word}"


def _alarm_line(alarm: Alarm) -> str:
    words = [
        f"{alarm.number}  {alarm.since:%Y-%m-%d %H:%M}  {alarm.kind}",
        alarm.provider,
        alarm.use_case,
        f"workflow {alarm.workflow_id}" if alarm.workflow_id else None,
        f"quarantine {alarm.quarantine}" if alarm.quarantine else None,
        ", ".join(alarm.codes),
        alarm.request_id,
        f"{alarm.times} times" if alarm.times > 1 else None,
    ]
    return "  ".join(word for word in words if word)


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
    settings = load(config, os.environ)
    listings.require_known(settings, provider)
    found = listings.read(settings, partial(waiting, provider=provider, limit=limit))
    print_each(found, _quarantined_line, "Nothing is quarantined.", as_json=as_json, limit=limit)


def attach(  # noqa: PLR0917
    number: Number,
    workflow: Workflow,
    why: Why,
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    by: By = None,
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """
    Attach a quarantined response to the workflow that it belongs to.

    The EPR gets it as if it had just come, with the remark that an operator attached it.
    Exits with 1 if it was not done; why not is printed.
    """
    order = signed(why, by, dry_run=dry_run, workflow_id=workflow)
    status, answer = asked(config, provider, f"/quarantine/{number}/attach", order)
    if as_json:
        print_outcome(status, answer)
    if status == HTTPStatus.OK:
        done = f"attached; the workflow is {answer['state']}"
        typer.echo(f"{number}: {done if answer['done'] else 'would be attached'}")
        return
    if status == HTTPStatus.NOT_FOUND:
        answer = {**answer, "cure": "`bars-gateway quarantine` lists them, with their numbers"}
    typer.echo(not_done(number, answer))
    raise typer.Exit(1)


def print_outcome(status: HTTPStatus, answer: Mapping[str, Any]) -> NoReturn:
    """Print what a program is told of one order, and end as the command does."""
    print_lines([answer])
    raise typer.Exit(0 if status == HTTPStatus.OK else 1)


def _quarantined_line(each: Quarantine) -> str:
    return (
        f"{each.number}: {each.reason}, came to {each.provider} at {each.came_at:%Y-%m-%d %H:%M:%S}"
        f" UTC\n  from {each.sender} to {each.receiver}\n  X-Request-Id {each.request_id},"
        f" X-Correlation-Id {each.correlation_id}\n  Bundle.id {each.bundle_id}, responds to"
        f" {each.responds_to or '-'}"
    )


def confirm(  # noqa: PLR0917
    workflow: Workflow,
    state: Stands,
    why: Why,
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    by: By = None,
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
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
    if as_json:
        print_outcome(status, answer)
    if status == HTTPStatus.OK:
        done = f"the workflow is {answer['state']}"
        typer.echo(f"{workflow}: {done if answer['done'] else f'would be {state}'}")
        return
    typer.echo(not_done(workflow, answer))
    raise typer.Exit(1)


def alerts(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """
    List the alerts that are open, oldest first: each condition once.

    Reads the database, so that it answers when no gateway runs.
    """
    found = listings.read(load(config, os.environ), stored_alerts.standing)
    print_each(found, _alert_line, "No alert is open.", as_json=as_json)


def acknowledge(
    number: OpenAlert,
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


def _alert_line(alert: Alert) -> str:
    by = f", {alert.acknowledged_by}" if alert.acknowledged_by else ""
    urgent = " urgent" if alert.urgent else ""
    return (
        f"{alert.number}: {alert.says}\n  {alert.code},{urgent} {alert.state}{by}, since"
        f" {alert.opened_at:%Y-%m-%d %H:%M:%S} UTC\n  do: {RUNBOOKS[alert.code].do}"
    )
