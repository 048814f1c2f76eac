"""
`lint`, `send`, `hold`, `release`, `withdraw`, `retry`, `resend`: what is done with messages.

    FILE …                ─► lint: what is wrong, and where; nothing is sent
                          ─► send: the provider's socket ─► a receipt for each, or what is wrong

    REQUEST_ID …          ─┐
                           ├─► the provider's socket ─► one line for each message
    --all, with filters   ─┘

`lint` needs no settings and no running gateway. It looks at a file as a Receiver does that has
every Application switched on, and is the one that the message is for; with --strict, as the
gateway looks at what an EPR submits, and the message's own source is taken for a service of this
organisation. What is lenient by default is what one asks of messages that came from others; before
one's own are sent, --strict says what this gateway would refuse to send. What stands in a file is
never printed, so that the output can be shown to anybody.

All others go through the running gateway, which looks at each message and at its workflow before it
does anything. `send` is for submissions as an EPR makes them. Every other verb asks for a reason,
and the audit trail keeps it with the name of whoever typed it. `--dry-run` says what would happen.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from bars_gateway.cli.client import (
    Ask,
    By,
    DryRun,
    Why,
    asked,
    not_done,
    rounds,
    signed,
    socket_of,
    submit,
)
from bars_gateway.cli.listings import print_json
from bars_gateway.config import load
from bars_gateway.epr.envelope import EnvelopeProblem, doubtful, read_envelope
from bars_gateway.epr.spool import Sort, sort_of
from bars_gateway.model.interventions import IN_BULK, Verb
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Whose, require_files
from bars_gateway.standard.applications import EVERYTHING, Offer
from bars_gateway.standard.examination import examine
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.rule import Side

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
Everything = Annotated[
    bool, typer.Option("--all", help="Every message that the verb is for and the filters fit.")
]
Receiver = Annotated[str | None, typer.Option(metavar="SYSTEM|VALUE", help="Only those for it.")]
UseCase = Annotated[str | None, typer.Option(metavar="CODE", help="Only those of it, as a1t1.")]
Conversation = Annotated[str | None, typer.Option(metavar="ID", help="Only that X-Correlation-Id.")]
States = Annotated[list[str] | None, typer.Option(help="Only those in it; repeatable.")]
From = Annotated[str | None, typer.Option(metavar="INSTANT", help="Submitted then or later.")]
Before = Annotated[str | None, typer.Option(metavar="INSTANT", help="Submitted before then.")]
Yes = Annotated[bool, typer.Option("--yes", help="What may come of a resend is wanted.")]
AfterItsTime = Annotated[
    bool,
    typer.Option("--after-its-time", help="Send it although its clinical time has passed."),
]


def add_to(app: typer.Typer) -> None:
    """Give *app* `lint`, `send`, and a command for each verb."""
    app.command()(lint)
    app.command()(send)
    for verb in Verb:
        app.command(name=verb, help=_HELP[verb])(_command(verb))


def send(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Message Bundles; .xml is sent as XML, everything else as JSON.",
            readable=False,  # asked after by `require_files`, in words that help
            callback=require_files,
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    *,
    as_json: Json = False,
) -> None:
    """
    Submit messages to the running gateway, and print each receipt.

    The same bytes twice are sent once: the second time gets the first receipt. Exits
    with 1 if a message was not accepted; what is wrong with it is printed.
    """
    settings = load(config, os.environ)
    path = socket_of(settings, provider)
    bundles = {file: file.read_bytes() for file in files}
    answers = asyncio.run(submit(path, bundles, None if as_json else typer.echo))
    if as_json:
        print_json(answers)
    if not all(each["accepted"] for each in answers):
        raise typer.Exit(1)


def _command(verb: Verb) -> Callable[..., None]:
    def command(  # noqa: PLR0917
        why: Why,
        request_ids: Ids = None,
        config: Config = DEFAULT_CONFIG,
        provider: Whose = None,
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
        flags = {"confirmed": yes, "after_its_time": after_its_time}
        order = signed(why, by, dry_run=dry_run, **flags)
        given = {name: value for name, value in filters.items() if value}
        if bool(request_ids) == everything or (given and not everything):
            raise typer.BadParameter("name messages, or give --all with or without filters")
        ask = partial(asked, config, provider)
        if request_ids:
            _one_by_one(ask, verb, request_ids, order)
        else:
            _in_bulk(ask, {**order, "verb": verb, "messages": given})

    return command


def _one_by_one(ask: Ask, verb: Verb, ids: list[str], order: Mapping[str, object]) -> None:
    refused = 0
    for request_id in ids:
        status, answer = ask(f"/messages/{request_id}/{verb}", order)
        refused += status != HTTPStatus.OK
        typer.echo(_line(answer) if "request_id" in answer else not_done(request_id, answer))
    if refused:
        raise typer.Exit(1)


def _in_bulk(ask: Ask, order: Mapping[str, object]) -> None:
    done, objections = 0, Counter[str]()
    for report in rounds(ask, "/interventions", order, inside="messages"):
        for each in report["messages"]:
            typer.echo(_line(each))
        done += report["possible"]
        objections.update(report["objections"])
    if not (done or objections):
        states = ", ".join(sorted(IN_BULK[Verb(str(order["verb"]))]))
        typer.echo(f"Nothing fits: by a filter, {order['verb']} is for messages that are {states}.")
        raise typer.Exit(1)
    against = "".join(f", {count} not ({code})" for code, count in objections.items())
    typer.echo(f"{'would be' if order['dry_run'] else 'done'}: {done}{against}")
    if objections:
        raise typer.Exit(1)


def _line(answer: Mapping[str, Any]) -> str:
    if answer["objection"]:
        return not_done(answer["request_id"], answer)
    words = [answer["state"] if answer["done"] else f"would be done ({answer['state']})"]
    if answer["resent_as"]:
        words.append(f"resent as {answer['resent_as']}")
    if answer["may_happen"]:
        words.append(f"then {answer['may_happen']}")
    words += [f"and with it {other}" for other in answer["also"]]
    return f"{answer['request_id']}: {'; '.join(words)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a file."""

    file: str
    issue: Issue


def lint(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Message Bundles (.xml is XML, all else JSON), or their .envelope.json.",
            readable=False,  # asked after by `require_files`, in words that help
            callback=require_files,
        ),
    ],
    *,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Look as before sending, not as a Receiver does."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list, for other programs.")
    ] = False,
) -> None:
    """
    Print all that is wrong with messages, without sending them.

    Names the FHIR path, and the line of an XML file; what stands there is not printed.
    Exits with 0 if there are no errors (there may be warnings), else with 1.
    """
    found = [finding for file in files for finding in findings(file, strict=strict)]
    if as_json:
        typer.echo(orjson.dumps([_as_document(each) for each in found], option=orjson.OPT_INDENT_2))
    else:
        for each in found:
            typer.echo(_as_line(each))
    if any(each.issue.severity is Severity.ERROR for each in found):
        raise typer.Exit(1)


def findings(file: Path, *, strict: bool = False) -> list[Finding]:
    """Return all that is wrong with the message in *file*, or with the envelope of one."""
    if sort_of(file.name) is Sort.ENVELOPE:
        found = _of_envelope(file.read_bytes(), datetime.now(UTC))
        return [Finding(file=str(file), issue=issue) for issue in found]
    media_type = f"application/fhir+{'xml' if file.suffix.lower() == '.xml' else 'json'}"
    side = Side.SENDING if strict else Side.RECEIVING
    offer = Offer(services=frozenset(), applications=EVERYTHING, for_anybody=True)
    examined = examine(file.read_bytes(), media_type, side, offer)
    return [Finding(file=str(file), issue=issue) for issue in examined.issues]


def _of_envelope(content: bytes, now: datetime) -> list[Issue]:
    try:
        return doubtful(read_envelope(content), now)
    except EnvelopeProblem as problem:
        return problem.issues


def _as_line(found: Finding) -> str:
    issue = found.issue
    place = f"{found.file}:{issue.line}" if issue.line else found.file
    refused = " (in prod it is refused)" if found.issue.refused_in_production else ""
    return f"{place}: {issue.severity} {issue.rule} {issue.path}: {issue.text}{refused}"


def _as_document(found: Finding) -> dict[str, str | int | bool | None]:
    return {
        "file": found.file,
        "line": found.issue.line,
        "severity": found.issue.severity,
        "rule": found.issue.rule,
        "path": found.issue.path,
        "text": found.issue.text,
        "refused_in_production": found.issue.refused_in_production,
    }
