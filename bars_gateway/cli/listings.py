"""
Lists for the operator's terminal, read straight from database and files: ids, states and codes.

    queue ─► what is not settled      show ─► one message, attempt by attempt
    cache ─► what others publish about themselves, as it is kept: who, what, until when

They answer at night when the gateway is down: the database is opened for reading only, and of the
cache files are read and removed. Clear it after a counterparty has said that it takes something
new, instead of waiting for half a day.
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bars_gateway import permissions
from bars_gateway.cli.output import (
    clock,
    document_of,
    print_each,
    print_lines,
    print_table,
    say_if_cut,
    terminal,
)
from bars_gateway.config import Settings, load
from bars_gateway.engine import looked
from bars_gateway.epr.spool import Sort, sort_of
from bars_gateway.errors import DatabaseDamaged, DatabaseNewer, StoreError
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.model.readings import Event, MessageHistory, MessageRow
from bars_gateway.model.retention import RecordHold
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Limit, Only
from bars_gateway.outbound.cache import CachedAnswer, clear, listed
from bars_gateway.standard.sentences import means
from bars_gateway.store import readings
from bars_gateway.store.connection import Connection

if TYPE_CHECKING:
    from bars_gateway.cli.output import Paper

T = TypeVar("T")
Target = Annotated[
    str | None, typer.Option("--of", metavar="SYSTEM|VALUE", help="Only what this service says.")
]
cache = typer.Typer(
    name="cache",
    help="What others publish about themselves, as it is kept here.",
    no_args_is_help=True,
)
_CONNECT_SECONDS = 1.0
_TAKEN_WITHIN_SECONDS = 10.0
_NOT_TAKEN = (
    "Files that the EPR of {name} has dropped and that nobody has taken yet: {count}. They are in"
    " no list, and are not sent; see the status page, or bars-gateway doctor."
)
_NONE_RUNS = (
    "No gateway runs here: nothing of this is sent or received until one is started"
    " (systemctl start bars-gateway)."
)
_NONE_RUNS_HERE = (
    "No gateway runs on this machine: unless one on another machine works on the same database"
    " (bars-gateway doctor lists them), nothing of this is sent or received until one is started"
    " (systemctl start bars-gateway)."
)
# Wider than most terminals and never cut: an id that is not whole cannot be looked up.
_COLUMNS = (
    "State",
    "X-Request-Id",
    "Provider",
    "Move",
    "Use case",
    "Receiver",
    "Attempts",
    "Next attempt (UTC)",
    "Gives up (UTC)",
    "How it stands",
)


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands."""
    app.command()(queue)
    app.command()(show)
    app.add_typer(cache)


def queue(
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """
    List the outbound messages that are not settled, oldest first.

    Reads the database, so that it answers when no gateway runs.
    """
    settings = load(config, os.environ)
    require_known(settings, provider)
    now = datetime.now(UTC)
    print_queue(settings, provider, limit, terminal(), now, as_json=as_json)
    if not as_json:
        say_if_none_runs(settings)
        _say_what_lies(settings, provider, now)


def show(
    request_id: Annotated[
        str,
        typer.Argument(metavar="REQUEST_ID", parser=str.strip, help="The message's X-Request-Id."),
    ],
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    *,
    as_json: Json = False,
) -> None:
    """
    Show all that happened to one message, attempt by attempt.

    Reads the database, so that it answers when no gateway runs. Exits with 1 if there
    is no such message.
    """
    settings = load(config, os.environ)
    require_known(settings, provider)
    now = datetime.now(UTC)
    found = print_message(settings, provider, request_id, terminal(), now, as_json=as_json)
    if not found:
        raise typer.Exit(1)
    if not as_json:
        say_if_none_runs(settings)


def say_if_none_runs(settings: Settings) -> None:
    """Say, beside what was asked for, that no gateway runs here: what waits may not move."""
    answers = [_answers(settings.epr.socket_of(name)) for name in settings.providers]
    if not any(answers) and None not in answers:
        typer.echo(_NONE_RUNS if settings.store.url is None else _NONE_RUNS_HERE, err=True)


def _say_what_lies(settings: Settings, provider: str | None, now: datetime) -> None:
    """Say how many files an EPR has dropped that are in no list, for nobody has taken them."""
    for name in [provider] if provider else settings.providers:
        outbox = settings.providers[name].spool_dir / "outbox"
        count = sum(
            _lies(each, now) for folder in ("new", "claimed") for each in _in(outbox / folder)
        )
        if count:
            typer.echo(_NOT_TAKEN.format(count=count, name=name), err=True)


def _in(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if sort_of(each.name) is Sort.MESSAGE]
    except OSError:  # not there, or not ours to see
        return []


def _lies(file: Path, now: datetime) -> bool:
    try:
        return now.timestamp() - file.stat().st_ctime >= _TAKEN_WITHIN_SECONDS
    except OSError:  # it was taken
        return False


def _answers(path: Path) -> bool | None:
    """Tell whether somebody takes connections on that socket; None: we may not ask."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(_CONNECT_SECONDS)
        try:
            asked.connect(str(path))
        except TimeoutError:  # it is there, and busy
            return True
        except PermissionError:
            return None
        except OSError:
            return False
    return True


def require_known(settings: Settings, provider: str | None) -> None:
    """Say which providers there are where *provider* is none of them."""
    if provider is not None and provider not in settings.providers:
        known = ", ".join(settings.providers)
        raise typer.BadParameter(f"it must be one of: {known}", param_hint="--provider")


def print_queue(
    at: Path | Settings,
    provider: str | None,
    limit: int,
    console: "Paper",
    now: datetime,
    *,
    as_json: bool = False,
) -> None:
    """Print what is not settled, as it is *now*; there being nothing is a good answer."""
    messages = read(at, lambda c: readings.queue(c, provider, limit))
    if as_json:
        print_lines(message_document(message, now) for message in messages)
        return
    if not messages:
        console.print("Nothing waits: every outbound message is settled.")
        return
    print_table(_COLUMNS, [_cells(message, now) for message in messages], console)
    say_if_cut(messages, limit)


def _cells(message: MessageRow, now: datetime) -> tuple[str, ...]:
    return (
        message.state,
        message.request_id,
        message.provider,
        message.move,
        message.use_case or "-",
        message.receiver.rpartition("|")[2],
        str(message.attempts),
        _next_attempt(message, now),
        clock(message.give_up_at),
        means(message.seen_at(now)),
    )


def _next_attempt(message: MessageRow, now: datetime) -> str:
    """Return when it is; *due*: its time has come, and the last column says what it waits for."""
    at = message.next_attempt_at
    return "due" if at is not None and at <= now else clock(at)


def print_message(
    at: Path | Settings,
    provider: str | None,
    request_id: str,
    console: "Paper",
    now: datetime,
    *,
    as_json: bool = False,
) -> bool:
    """Print all that happened to one message up to *now*; return whether there is such a one."""
    found = read(at, lambda c: readings.history(c, provider, request_id))
    if as_json:
        print_lines(_history(each, now) for each in found)
        return bool(found)
    for history in found:
        _show(history, console, now)
    if not found:
        console.print("There is no message with that X-Request-Id: try bars-gateway explain.")
    return bool(found)


def message_document(message: MessageRow, now: datetime) -> dict[str, object]:
    """Return a message with its sentence, as one document."""
    return document_of(message, means=means(message.seen_at(now)))


def _history(history: MessageHistory, now: datetime) -> Mapping[str, object]:
    events = [
        {"at": each.at, "kind": each.kind, "detail": json.loads(each.detail)}
        for each in history.events
    ]
    return {
        "message": message_document(history.message, now),
        "workflow": history.workflow,
        "attempts": history.attempts,
        "events": events,
        "held": history.held,
    }


def _show(history: MessageHistory, console: "Paper", now: datetime) -> None:
    message, workflow = history.message, history.workflow
    console.print(f"{message.direction} {message.move} of {message.provider}: {message.state}")
    console.print(f"  {means(message.seen_at(now))}", markup=False)
    for name, value in (
        ("X-Request-Id", message.request_id),
        ("X-Correlation-Id", message.correlation_id),
        ("Bundle.id", message.bundle_id),
        ("use case", message.use_case or "-"),
        ("Sender", message.sender),
        ("Receiver", message.receiver),
        ("taken (UTC)", clock(message.created_at)),
        ("settled (UTC)", clock(message.settled_at)),
        ("gives up (UTC)", clock(message.give_up_at)),
        (
            "workflow",
            f"{workflow.workflow_id}, {workflow.request_type} as {workflow.role}: {workflow.state}",
        ),
    ):
        console.print(f"  {name:<17}{value}")
    for link in workflow.links:
        console.print(
            f"  {link.relation:<17}workflow {link.workflow_id}, {link.state} (by {link.by})"
        )
    if history.held:
        console.print(f"  {held_in_words(history.held)}", markup=False)
    _show_attempts(history, console)
    for event in history.events:
        console.print(f"  {clock(event.at)}  {event.kind}{_said(event)}", markup=False)


def held_in_words(held: RecordHold) -> str:
    """Return since when, by whom and why something is under legal hold."""
    return f"under legal hold since {clock(held.held_at)} UTC, by {held.held_by}: {held.why}"


def _said(event: Event) -> str:
    """Return who did it and why, where a person did, or by which rules."""
    detail = json.loads(event.detail)
    rules = f" ({', '.join(detail['rules'])})" if "rules" in detail else ""
    return f" by {detail['who']}: {detail['why']}" if "why" in detail else rules


def _show_attempts(history: MessageHistory, console: "Paper") -> None:
    for attempt in history.attempts:
        answer = f"HTTP {attempt.http_status}" if attempt.http_status else "silence"
        words = [answer, attempt.code, attempt.issue, attempt.fault and f"fault {attempt.fault}"]
        said = ", ".join(word for word in words if word)
        console.print(
            f"  attempt {attempt.number} at {clock(attempt.started_at)}: {said}"
            f" → {attempt.verdict} (row {attempt.row})"
        )


def read(at: Path | Settings, work: Callable[[Connection], T], vault: Vault = CLEAR) -> T:
    """Return what *work* finds in that file, or in the database of those settings."""
    if isinstance(at, Settings) and at.store.url is not None:
        return asyncio.run(looked(at, work, vault))
    path = at if isinstance(at, Path) else at.database_path
    require_database(path)
    return asyncio.run(_read(path, work, vault))


def require_database(at: Path | Settings) -> None:
    """Raise StoreError where a file is named, and there is none that could be a database."""
    if isinstance(at, Settings) and at.store.url is not None:
        return
    path = at if isinstance(at, Path) else at.database_path
    permissions.require(path)
    if not path.exists():
        raise StoreError(
            f"there is no database at {path}: no gateway ran with these settings, or it was moved"
        )
    if not path.is_file():
        raise StoreError(f"{path} is not a file, and a database is one")


async def _read(path: Path, work: Callable[[Connection], T], vault: Vault) -> T:
    try:
        return await looked(path, work, vault)
    except DatabaseNewer:
        raise
    except StoreError as error:
        permissions.require_database(path, write=False)
        damaged = isinstance(error, DatabaseDamaged)
        kind = DatabaseDamaged if damaged else StoreError  # its advice is how to restore
        raise kind(f"{path} cannot be read: {error}") from None


@cache.command(name="list")
def list_kept(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """List every answer that is kept, and until when it is given again."""
    settings = load(config, os.environ)
    lifetime = timedelta(hours=settings.outbound.cache_hours)
    line = partial(_kept_line, lifetime)
    print_each(list(listed(settings.cache_dir)), line, "Nothing is kept.", as_json=as_json)


def _kept_line(lifetime: timedelta, each: CachedAnswer) -> str:
    until = each.kept_at + lifetime
    return (
        f"{each.provider}  {each.resource}  {each.target or '(the proxy)'}"
        f"  kept {each.kept_at:%Y-%m-%d %H:%M}, good until {until:%Y-%m-%d %H:%M} UTC"
        f"  {each.bytes} bytes"
    )


@cache.command(name="clear")
def forget_kept(
    config: Config = DEFAULT_CONFIG, target: Target = None, *, as_json: Json = False
) -> None:
    """Forget what is kept, so that it is asked for again."""
    count = clear(load(config, os.environ).cache_dir, target)
    if as_json:
        print_lines([{"forgotten": count}])
        return
    typer.echo(f"forgotten: {count}")
