"""
What the verbs that change something share: who asks and why, by which door, and what was not done.

    --why --by --dry-run ─► signed ─► the provider's socket ─► asked: status and answer
                                                                  └─► NAME: not done: why; the cure

They go through the running gateway, because it alone changes the database. The audit trail keeps
the reason, and the name of whoever typed it.
"""

import asyncio
import getpass
import os
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer

from bars_gateway.config import Settings, load

Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason: a ticket, never a patient.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who asks; you, by default.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; do nothing.")]


Ask = Callable[[str, Mapping[str, object]], tuple[HTTPStatus, Mapping[str, Any]]]


def signed(why: str, by: str | None, *, dry_run: bool, **wanted: object) -> Mapping[str, object]:
    """Return what is *wanted* as an order: with its reason and its author."""
    author = {"why": why, "by": by or _whoever_types(), "role": "operator", "dry_run": dry_run}
    return {**wanted, **author}


def _whoever_types() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many a container
        return f"uid {os.getuid()}"


def socket_of(settings: Settings, provider: str | None) -> Path:
    """Return the socket of that provider, or of the only one."""
    names = list(settings.providers)
    name = names[0] if provider is None and len(names) == 1 else provider
    if name not in names:
        raise typer.BadParameter(f"it must be one of: {', '.join(names)}", param_hint="--provider")
    return settings.epr.socket_of(name)


def asked(
    config: Path, provider: str | None, path: str, order: Mapping[str, object]
) -> tuple[HTTPStatus, Mapping[str, Any]]:
    """Return what the provider's gateway answers to *order*."""
    from bars_gateway.cli import client

    socket = socket_of(load(config, os.environ), provider)
    status, answer = asyncio.run(client.order(socket, path, order))
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        raise _mistyped(answer)
    return HTTPStatus(status), answer


# What was typed, by the member of the order that it went into.
TYPED_AS = {
    "why": "--why",
    "by": "--by",
    "messages.states": "--state",
    "messages.receiver": "--receiver",
    "messages.use_case": "--use-case",
    "messages.correlation_id": "--correlation-id",
    "messages.taken_from": "--taken-from",
    "messages.taken_before": "--taken-before",
    "alarms": "ALARM",
    "request_ids": "ALARM",
    "kinds": "--kind",
    "up_to": "--up-to",
    "workflow_id": "WORKFLOW",
    "state": "STATE",
}
_SETS_ASIDE = {"past_its_time": "--after-its-time", "not_confirmed": "--yes"}  # by objection


def _mistyped(answer: Mapping[str, Any]) -> typer.BadParameter:
    """Return what is wrong with an order, under the name by which it was typed."""
    member, error = answer.get("member"), str(answer["error"])
    option = TYPED_AS.get(member or "")
    if option is None:
        return typer.BadParameter(error)
    return typer.BadParameter(error.removeprefix(f"{member} "), param_hint=option)


def rounds(
    ask: Ask, path: str, order: Mapping[str, Any], inside: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """
    Yield what became of *order*, round by round: each is one bounded request.

    A report says where the next begins; that goes into the order, or into its member *inside*.
    """
    while True:
        status, report = ask(path, order)
        if status != HTTPStatus.OK:
            raise refuse_whole(report)
        yield report
        following = report["next"]
        if following is None:
            return
        order = {**order, **({inside: {**order[inside], **following}} if inside else following)}


def not_done(name: object, answer: Mapping[str, Any]) -> str:
    """Return the line that says why *name* was left as it is, and what helps."""
    against = answer.get("objection") or {"problem": answer["error"], "cure": answer["cure"]}
    option = _SETS_ASIDE.get(against.get("code", ""))
    cure = f"{against['cure']} ({option})" if option else against["cure"]
    return f"{name}: not done: {against['problem']}; {cure}"


def refuse_whole(answer: Mapping[str, Any]) -> typer.Exit:
    """Say why an order for many was not understood, and return how the command ends."""
    typer.echo(f"error: {answer['error']}", err=True)
    return typer.Exit(2)
