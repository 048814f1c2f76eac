"""
`hold`, `release`, `withdraw`, `retry`, `resend`: what an operator does with messages.

    REQUEST_ID …          ─┐
                           ├─► the provider's socket ─► one line for each message
    --all, with filters   ─┘

They go through the running gateway, which looks at each message and at its workflow before it
does anything. Every verb asks for a reason, and the audit trail keeps it with the name of
whoever typed it. `--dry-run` says what would happen.
"""

import asyncio
import getpass
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bars_gateway.config import Settings, load
from bars_gateway.store.interventions import Verb

DEFAULT_CONFIG = Path("/etc/bars-gateway/bars-gateway.toml")
_HELP = {
    Verb.HOLD: "Stop messages where they are. No clock stops, and what is behind them waits too.",
    Verb.RELEASE: "Let held messages go on.",
    Verb.WITHDRAW: "Take messages back that never left. With a request goes what waits behind it.",
    Verb.RETRY: "Send messages again, under the same ids. Never makes a second record.",
    Verb.RESEND: "Send payloads again, under new ids. The Receiver may end up with two records.",
}

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="REQUEST_ID", help="The messages' X-Request-Ids.")
]
Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason: a ticket, never a patient.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who asks; you, by default.")]
Everything = Annotated[
    bool, typer.Option("--all", help="Every message that the verb is for and the filters fit.")
]
Receiver = Annotated[str | None, typer.Option(metavar="SYSTEM|VALUE", help="Only those for it.")]
UseCase = Annotated[str | None, typer.Option(metavar="CODE", help="Only those of it, as a1t1.")]
Conversation = Annotated[str | None, typer.Option(metavar="ID", help="Only that X-Correlation-Id.")]
States = Annotated[list[str] | None, typer.Option(help="Only those in it; repeatable.")]
From = Annotated[str | None, typer.Option(metavar="INSTANT", help="Handed in then or later.")]
Before = Annotated[str | None, typer.Option(metavar="INSTANT", help="Handed in before then.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="What may come of a resend is wanted.")]
AfterItsTime = Annotated[
    bool,
    typer.Option("--after-its-time", help="Send it although its clinical time has passed."),
]
Provider = Annotated[
    str | None,
    typer.Option("--provider", "-p", metavar="NAME", help="Whose; needed if there are several."),
]
Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", metavar="FILE", envvar="BARS_GATEWAY_CONFIG", help="The settings file."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Give *app* a command for each verb."""
    for verb in Verb:
        app.command(name=verb, help=_HELP[verb])(_command(verb))


def _command(verb: Verb) -> Callable[..., None]:
    def command(  # noqa: PLR0917
        why: Why,
        request_ids: Ids = None,
        config: Config = DEFAULT_CONFIG,
        provider: Provider = None,
        by: By = None,
        receiver: Receiver = None,
        use_case: UseCase = None,
        correlation_id: Conversation = None,
        state: States = None,
        taken_from: From = None,
        taken_before: Before = None,
        *,
        everything: Everything = False,
        dry_run: DryRun = False,
        yes: Yes = False,
        after_its_time: AfterItsTime = False,
    ) -> None:
        filters = {
            "states": state,
            "receiver": receiver,
            "use_case": use_case,
            "correlation_id": correlation_id,
            "taken_from": taken_from,
            "taken_before": taken_before,
        }
        flags = {"dry_run": dry_run, "confirmed": yes, "after_its_time": after_its_time}
        order = {"why": why, "by": by or getpass.getuser(), "role": "operator", **flags}
        given = {name: value for name, value in filters.items() if value}
        if bool(request_ids) == everything or (given and not everything):
            raise typer.BadParameter("name messages, or give --all with or without filters")
        socket = socket_of(load(config, os.environ), provider)
        _carry_out(socket, verb, request_ids, order, given)

    return command


def socket_of(settings: Settings, provider: str | None) -> Path:
    """Return the socket of that provider, or of the only one."""
    names = list(settings.providers)
    name = names[0] if provider is None and len(names) == 1 else provider
    if name not in names:
        raise typer.BadParameter(f"it must be one of: {', '.join(names)}", param_hint="--provider")
    return settings.epr.socket_of(name)


def _carry_out(
    socket: Path,
    verb: Verb,
    ids: list[str] | None,
    order: Mapping[str, object],
    filters: Mapping[str, object],
) -> None:
    if ids:
        _one_by_one(socket, verb, ids, order)
    else:
        _in_bulk(socket, {**order, "verb": verb, "messages": filters})


def _one_by_one(socket: Path, verb: Verb, ids: list[str], order: Mapping[str, object]) -> None:
    refused = 0
    for request_id in ids:
        status, answer = _ask(socket, f"/messages/{request_id}/{verb}", order)
        refused += status != 200  # noqa: PLR2004
        typer.echo(_line(answer) if "request_id" in answer else _problem(request_id, answer))
    if refused:
        raise typer.Exit(1)


def _in_bulk(socket: Path, order: Mapping[str, object]) -> None:
    status, report = _ask(socket, "/interventions", order)
    if status != 200:  # noqa: PLR2004
        typer.echo(f"error: {report['error']}", err=True)
        raise typer.Exit(2)
    for each in report["messages"]:
        typer.echo(_line(each))
    against = "".join(f", {count} not ({code})" for code, count in report["objections"].items())
    typer.echo(f"{'would be' if report['dry_run'] else 'done'}: {report['possible']}{against}")
    if report["more"]:
        typer.echo("There are more than are done at once: ask again for the rest.")
    if report["objections"]:
        raise typer.Exit(1)


def _ask(socket: Path, path: str, order: Mapping[str, object]) -> tuple[int, Mapping[str, Any]]:
    from bars_gateway import operator_client

    return asyncio.run(operator_client.order(socket, path, order))


def _line(answer: Mapping[str, Any]) -> str:
    against = answer["objection"]
    if against:
        return f"{answer['request_id']}: not done: {against['problem']}; {against['cure']}"
    words = [answer["state"] if answer["done"] else f"would be done ({answer['state']})"]
    if answer["resent_as"]:
        words.append(f"resent as {answer['resent_as']}")
    if answer["may_happen"]:
        words.append(f"then {answer['may_happen']}")
    words += [f"and with it {other}" for other in answer["also"]]
    return f"{answer['request_id']}: {'; '.join(words)}"


def _problem(request_id: str, answer: Mapping[str, Any]) -> str:
    return f"{request_id}: not done: {answer['error']}; {answer['cure']}"
