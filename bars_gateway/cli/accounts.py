"""
What an operator asks at night, answered from the database: a message, a conversation, all debts.

    explain ID ─► how a message stands, whose turn it is, what may be done      timeline CORRELATION
    owed · counterparties ─► lists                                              stats ─► what flows

They answer when no gateway runs: the database is opened for reading only. Ids, states and codes
alone are printed, and what people typed as reasons: nothing of a payload.
"""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bars_gateway.cli.listings import (
    held_in_words,
    message_document,
    read,
    require_known,
    say_if_none_runs,
)
from bars_gateway.cli.output import (
    apart,
    clock,
    document_of,
    print_lines,
    print_table,
    say_if_cut,
    terminal,
)
from bars_gateway.config import Settings, load
from bars_gateway.config.encryption import reading_vault_of
from bars_gateway.model.explanation import Explanation, Option
from bars_gateway.model.readings import Debt
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Limit, Only
from bars_gateway.outbound.cache import CachedAnswer, listed
from bars_gateway.standard.sentences import means
from bars_gateway.store.conversations import owed as debts
from bars_gateway.store.counterparties import IN_WORDS, Counterparty
from bars_gateway.store.counterparties import counterparties as services
from bars_gateway.store.explanations import Elsewhere, Where, elsewhere, explained
from bars_gateway.store.figures import AGES, AnswerTimes, Backlog, Traffic, traffic
from bars_gateway.store.timeline import Timeline
from bars_gateway.store.timeline import timeline as conversation

if TYPE_CHECKING:
    from bars_gateway.model.messages import Objection

_ELSEWHERE: Mapping[Where, str] = {
    Where.QUARANTINE: (
        "It is not a message here: it lies in quarantine, as number {number}, because it belongs"
        " to no workflow. See `bars-gateway quarantine`."
    ),
    Where.REFUSED: (
        "It is not a message here: what came under it was refused with HTTP {status}, and its"
        " Sender was told why. `bars-gateway audit --id ID` names the rules."
    ),
    Where.ASKED: (
        "It is not a message here yet: our EPR is asked about it, in question {number}, and has"
        " not answered."
    ),
}
_OWED_COLUMNS = (
    "Owed",
    "Due (UTC)",
    "Late by",
    "Since (UTC)",
    "Provider",
    "Counterparty",
    "Use case",
    "Workflow",
    "X-Request-Id",
    "How it stands",
)
_SERVICE_COLUMNS = (
    "Service",
    "Since (UTC)",
    "Waiting",
    "Oldest",
    "24 h",
    "Taken",
    "Last answer",
    "Received (UTC)",
    "Publishes",
    "State",
)
_BACKLOG_COLUMNS = (
    "Waits for",
    "All",
    "< 1 min",
    "< 5 min",
    "< 30 min",
    "< 2 h",
    "< 8 h",
    "older",
    "Oldest",
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        parser=str.strip,
        help="An X-Request-Id, a Bundle.id, or a message's number.",
    ),
]
Talk = Annotated[
    str, typer.Argument(metavar="CORRELATION", parser=str.strip, help="The X-Correlation-Id.")
]


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands."""
    for command in (explain, timeline, owed, counterparties, stats):
        app.command()(command)


def _settings(config: object, provider: str | None) -> Settings:
    settings = load(config, os.environ)  # type: ignore[arg-type]
    require_known(settings, provider)
    return settings


def explain(
    name: Name, config: Config = DEFAULT_CONFIG, provider: Only = None, *, as_json: Json = False
) -> None:
    """
    Say in words how a message stands: what happened, what it waits for, what you may do.

    Reads the database, so that it answers when no gateway runs. Exits with 1 if there is no such
    message.
    """
    settings = _settings(config, provider)
    now = datetime.now(UTC)
    vault = reading_vault_of(settings)
    read_now = read(settings, lambda c: explained(c, provider, name, now), vault)
    found = [_for_these_settings(each, config) for each in read_now]
    providers = [provider] if provider else list(settings.providers)
    places = [] if found else read(settings, lambda c: elsewhere(c, providers, name))
    if as_json:
        print_lines(_explanation_document(each, now) for each in found)
        print_lines(document_of(each, in_words=_place_in_words(each)) for each in places)
    else:
        for text in told(found, places):
            typer.echo(text)
    if not found:
        raise typer.Exit(1)
    if not as_json:
        say_if_none_runs(settings)


def _for_these_settings(found: Explanation, config: Path) -> Explanation:
    """Let each command that may be typed name the settings, where they are not those of default."""
    if config == DEFAULT_CONFIG:
        return found
    named = shlex.join(["--config", str(config)])
    may = [replace(each, command=f"{each.command} {named}") for each in found.may]
    return replace(found, may=may)


def _explanation_document(found: Explanation, now: datetime) -> dict[str, object]:
    more = {
        "handled_in_words": found.handled_in_words,
        "turn_in_words": found.turn_in_words,
        "fault_in_words": found.fault_in_words,
    }
    message = message_document(found.message, now)
    return document_of(found, **more) | {"message": message, "asks": found.asks.name.lower()}


def told(found: Sequence[Explanation], places: Sequence[Elsewhere]) -> Iterator[str]:
    """Yield what `explain` prints for people."""
    for each in found:
        yield from _explanation(each)
    yield from map(_place_in_words, places)
    if not (found or places):
        yield "There is no message with that X-Request-Id, Bundle.id or number."


def _place_in_words(place: Elsewhere) -> str:
    text = _ELSEWHERE[place.where].format(number=place.number, status=place.http_status)
    return f"{clock(place.at)} UTC, {place.provider}: {text}"


def _explanation(found: Explanation) -> Iterator[str]:
    message = found.message
    yield f"{message.direction} {message.move} of {message.provider}: {message.state}"
    yield f"  {found.means}"
    if found.handled_in_words:
        yield f"  {found.handled_in_words}"
    yield f"  X-Request-Id {message.request_id}, number {message.message_id}"
    yield f"  X-Correlation-Id {message.correlation_id}, Bundle.id {message.bundle_id}"
    if found.held:
        yield f"  {held_in_words(found.held)}"
    yield "What happened (UTC):"
    yield from (f"  {clock(step.at)}  {step.text}" for step in found.happened)
    yield "What it waits for:"
    for waits in found.waits:
        until = f" Until {clock(waits.until)} UTC" if waits.until else ""
        yield f"  {waits.text}{until}{f'; {waits.then}' if waits.then else ''}"
    yield f"Whose turn it is: {found.turn_in_words}"
    if found.fault_in_words:
        yield f"Where to look first: {found.fault_in_words}"
    yield from _options(found.may)
    yield "What the EPR was told:"
    for told in found.told:
        at = told.collected_at
        given = f"given to it {clock(at)}" if at else "not given to it yet"
        yield f"  notice {told.notice_id} ({told.kind}) of {clock(told.at)} UTC, {given}:"
        yield f"    {told.means}"
    if not found.told:
        yield "  nothing"


def _options(options: Sequence[Option]) -> Iterator[str]:
    yield "What you may do now:"
    allowed = [each for each in options if each.objection is None]
    for each in allowed:
        yield f"  {each.command}"
        after = f" But {each.may_happen}; so it asks for --yes." if each.may_happen else ""
        yield f"    {each.does}{after}"
    if not allowed:
        yield "  nothing"
    yield "What you may not do now:"
    against: dict[Objection, list[str]] = {}
    for each in options:
        if each.objection is not None:
            against.setdefault(each.objection, []).append(each.verb)
    for objection, verbs in against.items():
        yield f"  {', '.join(verbs)}: {objection.text}; {objection.cure}"


def timeline(
    correlation_id: Talk,
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    *,
    as_json: Json = False,
) -> None:
    """
    Tell everything under one X-Correlation-Id in order, and what is owed in it.

    Both directions, with notices, questions, attempts, and what people did. Exits with 1 if nothing
    here has that X-Correlation-Id.
    """
    settings = _settings(config, provider)
    now = datetime.now(UTC)
    found = read(settings, lambda c: conversation(c, provider, correlation_id))
    if found is None:
        if not as_json:
            typer.echo(
                "Nothing here has that X-Correlation-Id. If you have an X-Request-Id, bars-gateway"
                " explain says which X-Correlation-Id it belongs to."
            )
        raise typer.Exit(1)
    if as_json:
        print_lines([_timeline_document(found, now)])
        return
    rows = [
        (clock(step.at), f"{step.source} → {step.target}", step.request_id or "-", step.text)
        for step in found.steps
    ]
    print_table(("At (UTC)", "Between", "X-Request-Id", "What"), rows, terminal())
    for debt in found.owed:
        typer.echo(_owed_line(debt, now))
    if found.more:
        typer.echo("There are more messages in it than are told here.")


def _timeline_document(found: Timeline, now: datetime) -> dict[str, object]:
    messages = [message_document(each, now) for each in found.messages]
    owing = [_debt_document(each, now) for each in found.owed]
    return document_of(found) | {"messages": messages, "owed": owing}


def _owed_line(debt: Debt, now: datetime) -> str:
    late = f", {apart(debt.due_at, now)} ago" if debt.is_overdue(now) else ""
    return f"{_whose(debt)}: an answer, by {clock(debt.due_at)} UTC{late}"


def _whose(debt: Debt) -> str:
    return "we owe" if debt.ours else "owed to us"


def owed(
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    limit: Limit = 500,
    *,
    as_json: Json = False,
) -> None:
    """
    List the answers that are owed and have not come, to us and by us, overdue first.

    Reads the database, so that it answers when no gateway runs.
    """
    settings = _settings(config, provider)
    now = datetime.now(UTC)
    found = read(settings, lambda c: debts(c, provider, limit))
    if as_json:
        print_lines(_debt_document(each, now) for each in found)
    elif not found:
        typer.echo("No answer is owed.")
    else:
        print_table(_OWED_COLUMNS, [_debt_cells(each, now) for each in found], terminal())
        say_if_cut(found, limit)


def _debt_document(debt: Debt, now: datetime) -> dict[str, object]:
    request = message_document(debt.request, now)
    return document_of(debt, overdue=debt.is_overdue(now)) | {"request": request}


def _debt_cells(debt: Debt, now: datetime) -> tuple[str, ...]:
    request = debt.request
    return (
        _whose(debt),
        clock(debt.due_at),
        apart(debt.due_at, now) if debt.is_overdue(now) else "-",
        clock(debt.since),
        request.provider,
        debt.counterparty.rpartition("|")[2],
        request.use_case or "-",
        f"{debt.workflow_id} ({debt.state})",
        request.request_id,
        means(request.seen_at(now)),
    )


def counterparties(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """
    List every service that we write to, or that writes to us: how it stands, since when.

    Since when is read from the attempts, so that no restart forgets it. What a service publishes is
    known since it was asked last.
    """
    settings = _settings(config, None)
    now = datetime.now(UTC)
    found = read(settings, lambda c: services(c, now))
    kept = list(listed(settings.cache_dir))
    if as_json:
        print_lines(_service_document(each, kept) for each in found)
    elif not found:
        typer.echo("Nothing was sent, and nothing was received.")
    else:
        rows = [_service_cells(each, kept, now) for each in found]
        print_table(_SERVICE_COLUMNS, rows, terminal())


def _published(service: str, kept: Sequence[CachedAnswer]) -> list[CachedAnswer]:
    return [each for each in kept if each.target == service]


def _service_document(each: Counterparty, kept: Sequence[CachedAnswer]) -> dict[str, object]:
    published = [
        {"resource": one.resource, "provider": one.provider, "known_since": one.kept_at}
        for one in _published(each.service, kept)
    ]
    words = {"in_words": IN_WORDS[each.standing], "success": each.success}
    return document_of(each, **words, publishes=published)


def _service_cells(
    each: Counterparty, kept: Sequence[CachedAnswer], now: datetime
) -> tuple[str, ...]:
    published = _published(each.service, kept)
    return (
        each.service.rpartition("|")[2],
        clock(each.since),
        str(each.waiting),
        apart(each.oldest_at, now),
        str(each.attempts),
        "-" if each.success is None else f"{each.success:.0%}",
        _last_words(each),
        clock(each.last_received_at),
        ", ".join(sorted({one.resource for one in published})) or "-",
        IN_WORDS[each.standing] + (", backed off from" if each.backed_off_since else ""),
    )


def _last_words(each: Counterparty) -> str:
    last = each.last
    if last is None:
        return "-"
    status = f"HTTP {last.http_status}" if last.http_status else None
    return ", ".join(filter(None, (last.row, last.code, status)))


def stats(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """
    Say what flows each way, how fast it is answered, and what waits for whom since when.

    Reads the database, so that it answers when no gateway runs.
    """
    settings = _settings(config, None)
    now = datetime.now(UTC)
    found = read(settings, lambda c: traffic(c, now))
    if as_json:
        print_lines([_traffic_document(found, now)])
        return
    for text in _flows(found, now):
        typer.echo(text)
    if found.backlog:
        print_table(
            _BACKLOG_COLUMNS, [_backlog_cells(each, now) for each in found.backlog], terminal()
        )


def _traffic_document(found: Traffic, now: datetime) -> dict[str, object]:
    shares = {"shares_day": _shares(found.day), "shares_month": _shares(found.month)}
    return document_of(found, at=now, ages=list(AGES), **shares)


def _shares(answered: AnswerTimes) -> dict[str, float] | None:
    """Return which share was answered in time; None: nothing was asked."""
    if not answered.asked:
        return None
    return {
        "within_2100": answered.within_2100 / answered.asked,
        "within_5000": answered.within_5000 / answered.asked,
    }


def _flows(found: Traffic, now: datetime) -> Iterator[str]:
    ways = (("Attempts acknowledged", found.outbound), ("Messages received", found.inbound))
    for name, flow in ways:
        last = (
            f"{clock(flow.last_at)} UTC, {apart(flow.last_at, now)} ago"
            if flow.last_at
            else "never"
        )
        yield f"{name}: {flow.total} in 24 hours, the last {last}"
        yield f"  each hour, this one last: {' '.join(map(str, flow.hours))}"
    for name, answered in (("24 hours", found.day), ("30 days", found.month)):
        shares = _shares(answered)
        told = (
            f"{shares['within_2100']:.1%} within 2.1 s (90 % are asked for),"
            f" {shares['within_5000']:.1%} within 5 s (all are asked for)"
            if shares
            else "nothing was sent"
        )
        yield f"Answered, of {answered.asked} attempts in {name}: {told}"
    waiting = sum(each.total for each in found.backlog)
    yield f"Waiting: {waiting}"


def _backlog_cells(each: Backlog, now: datetime) -> tuple[str, ...]:
    counts = [str(count) if count else "-" for count in each.ages]
    return (each.receiver.rpartition("|")[2], str(each.total), *counts, apart(each.oldest_at, now))
