"""
`audit`: what was done, by whom; whether that is as it was written; and lines of it for others.

    audit                ─► a list, newest first
    audit verify         ─► the chain, walked to its end ─► what is wrong: line, day, cure
      --against FILE │ HASH    what the journal, a backup's report or somebody else knows of it
    audit export FILE    ─► lines with their hashes, for whoever wants to see that without us
    audit seals          ─► each day's seal

They answer when no gateway runs: the database is opened for reading only. An export is reported to
the trail itself (`store.reports`).

Decisions: D-chain.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any

import orjson
import typer

from bars_gateway import permissions
from bars_gateway.cli.listings import read, require_database, require_known
from bars_gateway.cli.messages import By, Why
from bars_gateway.cli.output import (
    Advance,
    clock,
    print_lines,
    print_table,
    say_if_cut,
    shown,
    terminal,
)
from bars_gateway.cli.subject import ReadEverything, held, number_typed
from bars_gateway.config import Settings, load
from bars_gateway.config.encryption import vault_of
from bars_gateway.engine import name_of, open_looks
from bars_gateway.errors import StoreError
from bars_gateway.model.readings import AuditLine, SubjectHeld
from bars_gateway.model.trail import Breach, Seal, TrailHead, Witness
from bars_gateway.onboarding.reported import refuse_numbers, report_done
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Limit, Only, instant_typed
from bars_gateway.store import audit as trail
from bars_gateway.store import chain, exports
from bars_gateway.store.chain import Walk
from bars_gateway.store.connection import Connection
from bars_gateway.store.heads import is_hash, witnesses_in

app = typer.Typer(
    name="audit",
    help="List what was done, by whom; see that the list is as it was written; export it.",
    invoke_without_command=True,
)
_COLUMNS = ("At (UTC)", "Kind", "Provider", "X-Request-Id", "Who", "Why")
_SEAL_COLUMNS = ("Day (UTC)", "Through line", "Lines", "Hash")
_UNTOLD = (
    "a gateway makes it as it starts. Without it, and --against, only the trail itself is seen"
)
_CURE_OF_MORE = "Deal with these first: what follows a change may be listed because of it."
From = Annotated[
    str | None, typer.Option("--from", metavar="INSTANT", help="Then or later, ISO 8601.")
]
Before = Annotated[
    str | None, typer.Option("--before", metavar="INSTANT", help="Before then, ISO 8601.")
]
ByActor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="Only what that person did.")
]
KindOf = Annotated[
    str | None,
    typer.Option("--kind", metavar="KIND", help="As message.refused, or all of operator."),
]
OfMessage = Annotated[
    str | None,
    typer.Option(
        "--id", metavar="ID", parser=str.strip, help="Only of that message, by any of its ids."
    ),
]
OfMessages = Annotated[
    list[str] | None,
    typer.Option(
        "--id", metavar="ID", parser=str.strip, help="Only of that message, by any id; repeatable."
    ),
]
Listed = Annotated[
    Path | None,
    typer.Option(
        "--ids", metavar="FILE", readable=False, help="Only of the messages named there, by line."
    ),
]
Person = Annotated[
    str | None,
    typer.Option(
        "--subject",
        metavar="NUMBER|-",
        help="Only of what names the person with that NHS number; -: asked for unseen, or read.",
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="FILE|HASH",
        help="What somebody else knows of it: a log, an export, a hash; repeatable.",
    ),
]
BackupFile = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", readable=False, help="A backup, instead of the database."),
]
Target = Annotated[
    Path, typer.Argument(metavar="FILE", readable=False, help="Where to; it must not exist yet.")
]


def add_to(parent: typer.Typer) -> None:
    """Give *parent* the commands."""
    parent.add_typer(app)


@app.callback()
def audit(  # noqa: PLR0917
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    since: From = None,
    until: Before = None,
    actor: ByActor = None,
    kind: KindOf = None,
    of: OfMessage = None,
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """
    List what was done: who, what, why, and to which message; newest first.

    Reads the database, so that it answers when no gateway runs. Whether the list is as it was
    written: audit verify.
    """
    if context.invoked_subcommand is not None:
        _refuse_what_stands_before(context)
        return
    settings = load(config, os.environ)
    require_known(settings, provider)
    period = _period(since, until)
    sought = trail.Sought(
        since=period["since"],
        until=period["until"],
        provider=provider,
        actor=actor,
        kind=kind,
        of=of,
    )
    found = read(settings, partial(trail.audited, sought=sought, limit=limit))
    if as_json:
        print_lines(found)
    else:
        _print(found, limit)


def _print(found: Sequence[AuditLine], limit: int) -> None:
    if not found:
        typer.echo("Nothing fits.")
        return
    print_table(_COLUMNS, [_cells(each) for each in found], terminal())
    say_if_cut(found, limit)


def _refuse_what_stands_before(context: typer.Context) -> None:
    """Let nobody verify another database than they have named."""
    given = [name for name in context.params if _is_typed(context, name)]
    if given:
        text = f"write options after the command: audit {context.invoked_subcommand} …"
        raise typer.BadParameter(text)


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _period(since: str | None, until: str | None) -> dict[str, datetime]:
    return {
        "since": instant_typed("--from", since) or trail.EVER,
        "until": instant_typed("--before", until) or trail.NEVER,
    }


def _cells(line: AuditLine) -> tuple[str, ...]:
    return (
        clock(line.at),
        line.kind,
        line.provider or "-",
        line.request_id or "-",
        line.who or "-",
        "; ".join(filter(None, (line.why, line.codes))) or "-",
    )


@app.command()
def verify(
    file: BackupFile = None,
    config: Config = DEFAULT_CONFIG,
    against: Against = None,
    *,
    as_json: Json = False,
) -> None:
    """
    See that no line was changed, added, moved or taken away since it was written.

    Compares with the heads that the gateway keeps beside the database, and with what is given.
    Only reads, and may run beside the gateway. Exits with 1 if anything is wrong.
    """
    settings = load(config, os.environ)
    at = file or settings
    own = _own_witnesses(settings)
    given = list(_given_witnesses(against or ()))
    head, name = read(at, chain.head), name_of(at)
    # A backup knows nothing of what was told after it: that is no cut.
    known = [*(own if file is None else _until(head, own)), *given]
    walk = _walked(at, known)
    if as_json:
        print_lines([_verified_document(name, walk, head, len(known))])
    else:
        for line in _verified(name, walk, head, len(known)):
            typer.echo(line)
        for breach in walk.breaches:
            typer.echo(f"error: {breach.says}\n   try: {breach.advice}", err=True)
        if walk.more:
            typer.echo(f"error: and {walk.more} more\n   try: {_CURE_OF_MORE}", err=True)
    if walk.found:
        raise typer.Exit(1)
    if not as_json:
        typer.echo("Nothing is wrong with it.")


def _own_witnesses(settings: Settings) -> list[Witness]:
    permissions.require(settings.heads_file)
    if not settings.heads_file.is_file():
        typer.echo(f"warning: {settings.heads_file} is not there: {_UNTOLD}", err=True)
        return []
    return witnesses_in(settings.heads_file, str(settings.heads_file))


def _until(head: TrailHead | None, known: Sequence[Witness]) -> Iterator[Witness]:
    if head is None:  # a trail of nothing is older than none of them
        return iter(known)
    return (each for each in known if each.line is not None and each.line <= head.line)


def _given_witnesses(against: Sequence[str]) -> Iterator[Witness]:
    for each in against:
        if is_hash(each):
            yield Witness(line=None, hash=each, of="--against")
            continue
        path = Path(each)
        permissions.require(path)
        if not path.is_file():
            raise typer.BadParameter(
                f"{each!a} is neither a file nor a hash", param_hint="--against"
            )
        found = witnesses_in(path, each)
        if not found:
            text = f"{each!a} has no hash of a line in it"
            raise typer.BadParameter(text, param_hint="--against")
        yield from found


def _walked(at: Path | Settings, known: Sequence[Witness]) -> Walk:
    require_database(at)
    with shown("Walking the audit trail: lines") as advance:
        return asyncio.run(_walk(at, known, advance))


async def _walk(at: Path | Settings, known: Sequence[Witness], advance: Advance) -> Walk:
    """Walk in steps: a snapshot that is held for long keeps the log from being moved."""
    walk = Walk()
    chain.seek(walk, known)
    async with open_looks(at) as looks:
        while await looks(lambda connection: chain.step(connection, walk)):
            advance(walk.lines, None)
        await looks(lambda connection: chain.compare(connection, walk, known))
    return walk


def _verified(name: str, walk: Walk, head: TrailHead | None, known: int) -> Iterator[str]:
    much = f"{_of(walk.lines, 'line')}, {_of(walk.seals, 'seal')}"
    yield f"{name} at {clock(datetime.now(UTC))} UTC: {much}"
    if walk.begins_after:
        yield f"  it begins after line {walk.begins_after:,}; those before left {walk.removed}"
    if head is not None:
        yield f"  its head: line {head.line}, hash {head.hash}"
    yield f"  held against what is known elsewhere: {_of(known, 'hash', 'es')}"
    for each in walk.forgotten:
        yield f"  a restore has lost line {each.line}, of which {each.of} tells"


def _of(count: int, noun: str, more: str = "s") -> str:
    return f"{count:,} {noun}{more * (count != 1)}"


def _verified_document(
    name: str, walk: Walk, head: TrailHead | None, known: int
) -> Mapping[str, object]:
    return {
        "database": name,
        "lines": walk.lines,
        "begins_after": walk.begins_after,
        "removed": walk.removed or None,
        "line": head.line if head else None,
        "hash": head.hash if head else None,
        "seals": walk.seals,
        "held_against": known,
        "forgotten": [each.line for each in walk.forgotten],
        "breaches": [_breach_document(each) for each in walk.breaches],
        "more": walk.more,
    }


def _breach_document(breach: Breach) -> Mapping[str, object]:
    return {**asdict(breach), "says": breach.says, "advice": breach.advice}


@app.command()
def seals(config: Config = DEFAULT_CONFIG, limit: Limit = 31, *, as_json: Json = False) -> None:
    """List the seals of the days, newest first: what the trail came to on each."""
    settings = load(config, os.environ)
    found = read(settings, lambda connection: list(chain.seals(connection, limit=limit)))
    if as_json:
        print_lines(found)
    elif not found:
        typer.echo("No day is sealed yet: that is done once it is over, in UTC.")
    else:
        print_table(_SEAL_COLUMNS, [_seal_cells(each) for each in found], terminal())


def _seal_cells(seal: Seal) -> tuple[str, ...]:
    return seal.day, str(seal.through), str(seal.lines), seal.hash


@app.command()
def export(  # noqa: PLR0917
    file: Target,
    why: Why,
    config: Config = DEFAULT_CONFIG,
    by: By = None,
    provider: Only = None,
    since: From = None,
    until: Before = None,
    actor: ByActor = None,
    kind: KindOf = None,
    of: OfMessages = None,
    listed: Listed = None,
    subject: Person = None,
    *,
    read_everything: ReadEverything = False,
    as_json: Json = False,
) -> None:
    """
    Write lines with their hashes, oldest first, for whoever wants to verify them without us.

    Of the days in which a line fits, all others are there as a digest, which says nothing of them:
    docs/records.md. The trail itself tells who has exported what, and why.
    """
    kept = {"--why": why, "--by": by, "--actor": actor, "--kind": kind, "FILE": file.name}
    for option, typed in kept.items():
        refuse_numbers(option, typed)
    settings = load(config, os.environ)
    require_known(settings, provider)
    wanted = exports.WantedLines(
        **_period(since, until),
        provider=provider,
        actor=actor,
        kind=kind,
        of=[*(of or ()), *(_names_in(listed) if listed else ())] if of or listed else None,
        about=_about(settings, subject, read_everything=read_everything) if subject else None,
    )
    # Before anything is handed out: what cannot be told of is not exported.
    _report(settings, wanted, {"who": by, "why": why, "from": since, "before": until})
    _print_export(_export(settings, file, wanted), as_json=as_json)


def _print_export(done: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_lines([done])
        return
    typer.echo(f"{done['file']}: {done['lines']:,} lines, and {done['digests']:,} digests")
    if done["hash"]:
        typer.echo(f"  it ends with line {done['line']}, hash {done['hash']}")


def _report(
    settings: Settings, wanted: exports.WantedLines, told: Mapping[str, str | None]
) -> None:
    """Let the trail have what is exported; of one person's lines how many things, never whose."""
    filters: dict[str, object] = {
        "provider": wanted.provider,
        "actor": wanted.actor,
        "kind": wanted.kind,
        "messages": None if wanted.of is None else len(wanted.of),
        "about_one_person": None if wanted.about is None else len(wanted.about),
    }
    given = {name: each for name, each in {**told, **filters}.items() if each not in {None, ""}}
    report_done(settings, "audit.exported", **given)


def _about(settings: Settings, typed: str, *, read_everything: bool) -> Sequence[SubjectHeld]:
    """Return what names the person with the NHS number that was typed, which is kept nowhere."""
    number = number_typed(None if typed == "-" else typed, "--subject")
    return held(settings, vault_of(settings), number, read_everything=read_everything)


def _names_in(file: Path) -> list[str]:
    permissions.require(file)
    if not file.is_file():
        raise typer.BadParameter(f"{file} is not a file", param_hint="--ids")
    try:
        return file.read_text("utf-8-sig").split()
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8", param_hint="--ids") from None


def _export(settings: Settings, file: Path, wanted: exports.WantedLines) -> Mapping[str, object]:
    """Write them all, or leave nothing behind: half an export looks like a whole one."""
    from bars_gateway.onboarding.files import explained

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    require_database(settings)
    if os.path.lexists(file):
        raise StoreError(f"{file} is there already: name another file")
    with explained(file, "written"), ExitStack() as undone:
        descriptor = os.open(file, flags, 0o600)
        undone.callback(file.unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb") as to, shown("Exporting: lines") as advance:
            done = asyncio.run(_write_export(settings, to, wanted, advance))
            to.flush()
            os.fsync(to.fileno())
        undone.pop_all()
    return {"file": file, **done}


async def _write_export(
    settings: Settings, to: IO[bytes], wanted: exports.WantedLines, advance: Advance
) -> Mapping[str, object]:
    export, digests = exports.Export(wanted), 0
    last: Mapping[str, Any] = {}

    def more(connection: Connection) -> list[exports.Record] | None:
        return exports.records(connection, export)

    async with open_looks(settings) as looks:
        while await looks(lambda connection: exports.choose(connection, export)):
            advance(export.reached, None)
        while (found := await looks(more)) is not None:
            for each in found:
                to.write(orjson.dumps(each) + b"\n")
                digests += "digest" in each
            last = found[-1] if found else last
            advance(export.reached, None)
    ends = {name: last.get(name) for name in ("line", "hash")}
    return {"lines": export.chosen, "digests": digests, **ends}
