"""
`hold`, `release`, `withdraw`, `retry`, `resend` and `seen`: what an operator does to messages.

    ids, or filters ──dry run──► how many ──yes──► page by page ─► what was done, what was left

They go through the provider's socket, so that the running gateway does them and knows at
once. Each asks for a reason, which is kept with the operator's name in the audit trail.
Filters can mean more messages than anybody thought: so they are counted first, and
nothing is done before somebody has said yes.
"""

import asyncio
import getpass
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bars_gateway.config import load
from bars_gateway.onboarding.choices import DEFAULT_CONFIG, Config, Whose, name_of
from bars_gateway.operator_client import intervene
from bars_gateway.store.verbs import Verb

_NO_ANSWER = 422

_HELP: Mapping[Verb, str] = {
    Verb.HOLD: "Do not send messages until they are released; their time runs on.",
    Verb.RELEASE: "Send what is held.",
    Verb.WITHDRAW: "Never send messages: before their first attempt only.",
    Verb.RETRY: "Send messages now, under the ids that they have: nothing is doubled by it.",
    Verb.RESEND: "Send messages again under new ids: where the first arrived, it is doubled.",
    Verb.SEEN: "Say that you have dealt with how messages ended: no concern any more.",
}

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[REQUEST_ID]…", help="The X-Request-Ids.")
]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit trail. No patient's data.")]
Receiver = Annotated[str | None, typer.Option(help="Those for this service.")]
UseCase = Annotated[str | None, typer.Option(help="Those of this use case, such as a4t1.")]
State = Annotated[str | None, typer.Option(help="Those in this state.")]
Conversation = Annotated[str | None, typer.Option(help="Those with this X-Correlation-Id.")]
Before = Annotated[datetime | None, typer.Option(help="Those that were taken before then (UTC).")]
Every = Annotated[bool, typer.Option("--all", help="All that the verb is for.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, whatever the number.")]


def add_to(app: typer.Typer) -> None:
    """Add each verb to the command line."""
    for verb in Verb:
        app.command(name=verb, help=_HELP[verb])(_command(verb))


def _command(verb: Verb) -> Callable[..., None]:
    def command(
        reason: Reason,
        request_ids: Ids = None,
        *,
        config: Config = DEFAULT_CONFIG,
        provider: Whose = None,
        receiver: Receiver = None,
        use_case: UseCase = None,
        state: State = None,
        conversation: Conversation = None,
        before: Before = None,
        everything: Every = False,
        dry_run: DryRun = False,
        yes: Yes = False,
    ) -> None:
        settings = load(config, os.environ)
        socket = settings.epr.socket_of(name_of(settings, provider))
        filters = {
            "receiver": receiver,
            "use_case": use_case,
            "state": state,
            "correlation_id": conversation,
            "taken_before": before and before.replace(tzinfo=UTC).isoformat(),
        }
        meant: dict[str, object] = {name: each for name, each in filters.items() if each}
        meant |= {"reason": reason}
        meant |= {"request_ids": request_ids} if request_ids else {}
        meant |= {"all": True} if everything else {}
        if dry_run or not (yes or request_ids):
            _say(verb, list(_carried_out(socket, verb, meant | {"dry_run": True})))
        if not dry_run and (yes or request_ids or typer.confirm("Do it?")):
            reports = list(_carried_out(socket, verb, meant))
            _say(verb, reports)
            if not any(report["done"] for report in reports):
                raise typer.Exit(1)

    return command


def _carried_out(socket: Path, verb: Verb, meant: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    """Yield the report of each page, until there are no more."""
    after: object = 0
    while after is not None:
        asked = {**meant, "after": after}
        status, report = asyncio.run(intervene(socket, verb, asked, getpass.getuser()))
        if "messages" not in report:
            typer.echo(f"error: {report.get('error')}", err=True)
            typer.echo(f"   try: {report.get('cure')}", err=True)
            raise typer.Exit(2 if status == _NO_ANSWER else 1)
        yield report
        after = report["more_after"]


def _say(verb: Verb, reports: list[dict[str, Any]]) -> None:
    for report in reports:
        for message in report["messages"]:
            left = f": left, {message['obstacle']}" if message["obstacle"] else ""
            again = f": again as {message['resent_as']}" if message["resent_as"] else ""
            typer.echo(f"{message['request_id']}  {message['state']}{left}{again}")
    done, left = (sum(report[name] for report in reports) for name in ("done", "left"))
    word = "would be done to" if reports[0]["dry_run"] else "was done to"
    typer.echo(f"{verb} {word} {done}; {left} left as they are.")
    if done:
        typer.echo(str(reports[0]["meaning"]))
