"""
How long records stay: `purge` and its certificates, `hold-record`, `release-record`, `compact`.

    bars-gateway purge --dry-run      ─► the database: what would leave, what stays and why
    bars-gateway purge --why TEXT     ─► the running gateway; where none runs, here
    bars-gateway purge --certificates ─► the database: what each purge has removed
    bars-gateway purge --verify N     ─► the certificate against database, audit trail and a backup
    bars-gateway hold-record …        ─► the provider's socket: a legal hold, with its reason
    bars-gateway compact              ─► here, while no gateway runs

A purge that was asked of the running gateway goes on by itself, whether somebody watches or not.
Numbers, ids and counts alone are printed.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Annotated, Any

import typer

from bars_gateway import log
from bars_gateway.cli import listings
from bars_gateway.cli.messages import By, DryRun, Why, asked, refuse_whole, signed, socket_of
from bars_gateway.cli.output import clock, print_each, print_lines
from bars_gateway.config import Settings, load
from bars_gateway.engine import open_engine
from bars_gateway.epr.record_requests import certificate_document, hold_document
from bars_gateway.errors import GatewayUnreachable, NoFile
from bars_gateway.model.messages import Actor
from bars_gateway.model.retention import (
    ENDED_BY,
    KEPT_BECAUSE,
    OPEN,
    START,
    Certificate,
    RecordClass,
    digest_after,
)
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Limit, Only, Whose, require_files
from bars_gateway.standard.workflow import State
from bars_gateway.store.ages import counted_to, night_counts_to
from bars_gateway.store.purges import (
    Prospect,
    certificate,
    certificates,
    flaws_of,
    names_of,
    prospects,
)
from bars_gateway.store.record_holds import holds

Reason = Annotated[
    str | None, typer.Option("--why", metavar="TEXT", help="The reason: a case, never a patient.")
]
Look = Annotated[bool, typer.Option("--dry-run", help="Say what would leave; remove nothing.")]
Certificates = Annotated[bool, typer.Option("--certificates", help="List what was removed when.")]
Verified = Annotated[
    int | None, typer.Option("--verify", min=1, metavar="NUMBER", help="Prove that certificate.")
]
Against = Annotated[
    Path | None,
    typer.Option(
        "--against", metavar="FILE", readable=False, help="A backup that has what left, or a list."
    ),
]
Names = Annotated[bool, typer.Option("--names", help="Print that list, from the backup.")]
RequestId = Annotated[
    str | None,
    typer.Argument(
        metavar="MESSAGE", parser=str.strip, help="X-Request-Id of a message, or its number."
    ),
]
OfWorkflow = Annotated[
    int | None, typer.Option("--workflow", min=1, metavar="NUMBER", help="A workflow instead.")
]
OfQuarantine = Annotated[
    int | None,
    typer.Option("--quarantine", min=1, metavar="NUMBER", help="What lies in quarantine instead."),
]
Linked = Annotated[
    bool, typer.Option("--linked", help="And all that it is linked to, such as its booking.")
]
_LOOKS_EVERY = 0.3  # seconds
_GONE_AFTER = 10.0  # seconds: systemd has started it again by then
_TOLD_AFTER = timedelta(hours=2)  # what a restart takes is no news
_SQLITE = b"SQLite format 3\0"
_VACUUM = (
    "Nothing to do: the server's autovacuum fills the room again. VACUUM FULL gives it back to the"
    " disk, while the gateway is stopped."
)


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands."""
    app.command()(purge)
    app.command(name="hold-record")(hold_record)
    app.command(name="release-record")(release_record)
    app.command(name="held-records")(held_records)
    app.command()(compact)


def purge(  # noqa: PLR0917
    why: Reason = None,
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    by: By = None,
    verify: Verified = None,
    against: Against = None,
    limit: Limit = 50,
    *,
    dry_run: Look = False,
    listed: Certificates = False,
    names: Names = False,
    as_json: Json = False,
) -> None:
    """
    Remove records whose time is over, and certify that.

    The running gateway does it, a few at a time; where none runs, it is done here. What is open,
    owed, held or in quarantine unseen stays. The times are those of `[retention]`.
    """
    settings = load(config, os.environ)
    listings.require_known(settings, provider)
    if listed:
        found = listings.read(settings, partial(certificates, limit=limit))
        print_certificates(found, as_json=as_json)
    elif verify is not None:
        _verify(settings, verify, against, names=names, as_json=as_json)
    elif dry_run:
        _foresee(settings, provider, as_json=as_json)
    elif why is None:
        raise typer.BadParameter("is missing: why it is done", param_hint="--why")
    else:
        _purge(config, settings, provider, signed(why, by, dry_run=False), as_json=as_json)


def _foresee(settings: Settings, provider: str | None, *, as_json: bool) -> None:
    rules, now = settings.retention_rules, datetime.now(UTC)
    look = partial(prospects, rules=rules, now=now, provider=provider)
    found = listings.read(settings, look)
    night = listings.read(settings, partial(night_counts_to, now=now))
    if as_json:
        print_lines(
            {
                "class": each.record_class,
                "would_leave": each.by_rule,
                "kept": each.kept,
                "open": each.open,
                "counts_to": now.isoformat(timespec="milliseconds"),
                "night_counts_to": night and night.isoformat(timespec="milliseconds"),
            }
            for each in found
        )
        return
    for line in (*_counted(now, night, nightly=settings.retention.nightly), *_seen(found)):
        typer.echo(line)


def _seen(found: Iterable[Prospect]) -> Iterable[str]:
    for each in found:
        yield from _foreseen(each)


def _counted(now: datetime, night: datetime | None, *, nightly: bool) -> Iterable[str]:
    yield f"Ages are counted to {clock(now)} UTC, by the clock, as `purge --why` does."
    if not nightly:
        yield "No night begins one: retention.nightly is off."
    elif night is None:
        yield (
            "No night begins one: by the clock, none has begun for more than a week. See that it is"
            " right (timedatectl), and begin one: bars-gateway purge --why TEXT."
        )
    elif now - night > _TOLD_AFTER:
        yield (
            f"A night counts them to {clock(night)} UTC: as long as that, the gateway was not up,"
            " or the clock was set ahead. It catches up by an hour each night; or see that the"
            " clock is right (timedatectl), and begin one: bars-gateway purge --why TEXT."
        )


def _foreseen(each: Prospect) -> Iterable[str]:
    unit = "workflows with messages" if each.record_class is RecordClass.MESSAGES else "records"
    yield f"{each.record_class}: {sum(each.by_rule.values())} {unit} would leave"
    yield from (f"  {count} by the rule for {rule}" for rule, count in each.by_rule.items())
    for why, count in each.kept.items():
        yield f"  {count} stay: {KEPT_BECAUSE[why]}"
        if why == OPEN:
            yield from (
                f"    {n} {state}: what ends it: {ENDED_BY[State(state)]}"
                for state, n in sorted(each.open.items())
            )


def _purge(
    config: Path,
    settings: Settings,
    provider: str | None,
    order: Mapping[str, object],
    *,
    as_json: bool,
) -> None:
    _tell_of_the_clock(settings, datetime.now(UTC))
    wanted = {name: value for name, value in order.items() if name != "dry_run"}
    providers = [provider] if provider else list(settings.providers)
    try:
        begun = [_begin(config, name, wanted) for name in providers]
    except GatewayUnreachable:
        typer.echo("No gateway runs: it is done here.", err=True)
        print_certificates(_here(settings, provider, wanted), as_json=as_json)
        return
    ended = zip(providers, begun, strict=True)
    print_certificates([_ended(settings, *each) for each in ended], as_json=as_json)


def _tell_of_the_clock(settings: Settings, now: datetime) -> None:
    """Say what whoever begins a purge vouches for, where the database knows of less time."""
    known = listings.read(settings, partial(counted_to, now=now))
    if now - known > _TOLD_AFTER:
        typer.echo(
            f"You vouch for the clock: by it, it is {clock(now)} UTC, and ages are counted to that."
            f" Since the last purge, the gateway was up only as long as if it were {clock(known)}.",
            err=True,
        )


def _begin(config: Path, provider: str, order: Mapping[str, object]) -> int:
    """Begin a purge in the running gateway, after the one that goes on; return its number."""
    settings = load(config, os.environ)
    while True:
        status, answer = asked(config, provider, "/purges", order)
        if status != HTTPStatus.ACCEPTED:
            raise refuse_whole(answer)
        number = int(answer["purge_id"])
        found = listings.read(settings, partial(certificate, number=number))
        if found is None or found.purge.provider == provider:
            return number
        _ended(settings, provider, number)


def _ended(settings: Settings, provider: str, number: int) -> Certificate:
    """
    Wait until a purge has ended; whoever stops waiting does not stop it.

    Raises what ends the command where the gateway is away for longer than it takes to start again:
    then nobody goes on with the purge.
    """
    seen = time.monotonic()
    while True:
        found = listings.read(settings, partial(certificate, number=number))
        if found is not None and found.purge.ended_at is not None:
            return found
        if _takes_orders(settings, provider):
            seen = time.monotonic()
        elif time.monotonic() - seen > _GONE_AFTER:
            typer.echo(
                f"The gateway has stopped. Purge {number} goes on as soon as it runs again, and"
                " nothing of it is half done. Then see: bars-gateway purge --certificates",
                err=True,
            )
            raise typer.Exit(1)
        time.sleep(_LOOKS_EVERY)


def _takes_orders(settings: Settings, provider: str) -> bool:
    with socket(AF_UNIX) as opened:
        return opened.connect_ex(str(socket_of(settings, provider))) == 0


def _here(
    settings: Settings, provider: str | None, order: Mapping[str, object]
) -> Sequence[Certificate]:
    log.configure("warning", stream=sys.stderr)  # standard output is for the certificate
    actor = Actor(role="operator", who=str(order["by"]), why=str(order["why"]))
    return asyncio.run(carried_out(settings, provider, actor))


async def carried_out(
    settings: Settings, provider: str | None, actor: Actor
) -> Sequence[Certificate]:
    """Purge while no gateway runs, after what has not ended; return the certificate of each."""
    from bars_gateway.daemon.retention import purging_of
    from bars_gateway.store.store import Store

    async with open_engine(settings) as database:
        store, rules = Store(database, node=settings.node), settings.retention_rules
        purging = purging_of(settings, store, _now, asyncio.Event(), rests=0.0)
        unfinished = await store.purges.unfinished()
        before = None if unfinished is None else await purging.carry_out(unfinished)
        begun = await store.purges.begin_purge(provider, actor, rules, _now())
        ended = await purging.carry_out(begun)
        await purging.give_back()
        return [each for each in (before, ended) if each is not None]


def _now() -> datetime:
    return datetime.now(UTC)


def print_certificates(found: Sequence[Certificate], *, as_json: bool) -> None:
    """Print what each purge has to show."""
    if as_json:
        print_lines(certificate_document(each) for each in found)
        return
    for each in found:
        for line in certificate_lines(each):
            typer.echo(line)
    if not found:
        typer.echo("Nothing was ever purged.")


def certificate_lines(shown: Certificate) -> Iterable[str]:
    """Yield what a person reads of a certificate."""
    purge_ = shown.purge
    whose = f"{purge_.provider} alone" if purge_.provider else "every provider"
    until = f"until {clock(purge_.ended_at)}" if purge_.ended_at else "and goes on"
    yield (
        f"purge {purge_.number} of {whose}, by {purge_.began_by}: {purge_.why};"
        f" {clock(purge_.began_at)} {until} UTC: {shown.count} removed"
    )
    if purge_.began_at - purge_.counts_to > _TOLD_AFTER:
        yield f"  ages were counted to {clock(purge_.counts_to)} UTC"
    for each in shown.classes:
        if each.count:
            yield f"  {each.record_class}: {each.count}, SHA-256 {each.digest}"
            yield from (f"    {count} by {rule}" for rule, count in each.by_rule.items())


def _verify(
    settings: Settings, number: int, against: Path | None, *, names: bool, as_json: bool
) -> None:
    shown = listings.read(settings, partial(certificate, number=number))
    if shown is None:
        raise typer.BadParameter("no purge has that number", param_hint="--verify")
    if names:
        _print_names(shown, against)
        return
    wrong = list(against_database(settings, shown))
    if against is not None:
        wrong += _against_names(shown, _names(shown, against))
    if as_json:
        print_lines([{"purge_id": number, "proven": not wrong, "problems": wrong}])
        raise typer.Exit(1 if wrong else 0)
    for each in wrong:
        typer.echo(f"error: {each}", err=True)
    if wrong:
        raise typer.Exit(1)
    more = "; the ids give the same hashes" if against else ""
    typer.echo(f"purge {number}: nothing of {shown.count} records is left{more}")


def against_database(at: Path | Settings, shown: Certificate) -> Sequence[str]:
    """Return what that database says against a certificate of its own."""
    return listings.read(at, partial(flaws_of, shown=shown))


def _against_names(
    shown: Certificate, names: Mapping[RecordClass, Sequence[tuple[int, str]]]
) -> Iterable[str]:
    for each in shown.classes:
        found = names.get(each.record_class, ())
        if len(found) != each.count:
            yield f"{len(found)} of its {each.count} {each.record_class} are named there"
        elif digest_after(START, (f"{number} {name}" for number, name in found)) != each.digest:
            yield f"the ids of its {each.record_class} give another hash"


def _names(shown: Certificate, against: Path) -> Mapping[RecordClass, Sequence[tuple[int, str]]]:
    """Return number and name of what left, from a backup or from a list that was kept."""
    require_files([against])
    with against.open("rb") as file:
        is_database = file.read(len(_SQLITE)) == _SQLITE
    if is_database:
        return {
            each.record_class: listings.read(
                against, partial(names_of, shown=shown, record_class=each.record_class)
            )
            for each in shown.classes
        }
    try:
        return _listed(against.read_text("utf-8"))
    except ValueError:  # no text, or another one
        text = f"{against} is neither a backup nor a list that --names has printed"
        raise typer.BadParameter(text, param_hint="--against") from None


def _listed(text: str) -> Mapping[RecordClass, Sequence[tuple[int, str]]]:
    found: dict[RecordClass, list[tuple[int, str]]] = {}
    for line in text.splitlines():
        record_class, number, name = line.split(maxsplit=2)
        found.setdefault(RecordClass(record_class), []).append((int(number), name))
    return found


def _print_names(shown: Certificate, against: Path | None) -> None:
    if against is None:
        raise typer.BadParameter("is missing: a backup that has them", param_hint="--against")
    for record_class, found in _names(shown, against).items():
        for number, name in found:
            typer.echo(f"{record_class} {number} {name}")


def hold_record(  # noqa: PLR0917
    why: Why,
    request_id: RequestId = None,
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    by: By = None,
    workflow: OfWorkflow = None,
    quarantine: OfQuarantine = None,
    *,
    linked: Linked = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """
    Keep a record from every purge: a legal hold.

    A message is kept with its whole conversation. What that is linked to, as a booking is to its
    referral, is told, and held with --linked. Nothing of a hold stops a message.
    """
    order = signed(why, by, dry_run=dry_run, **_thing(request_id, workflow, quarantine))
    if linked:
        order = {**order, "linked": True}
    _act(config, provider, "/records/hold", order, as_json=as_json)


def release_record(  # noqa: PLR0917
    why: Why,
    request_id: RequestId = None,
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    by: By = None,
    workflow: OfWorkflow = None,
    quarantine: OfQuarantine = None,
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """
    End a legal hold: the record leaves when its time is over.

    What it is linked to stays held, and is told. Exits with 1 if it was not held.
    """
    order = signed(why, by, dry_run=dry_run, **_thing(request_id, workflow, quarantine))
    _act(config, provider, "/records/release", order, as_json=as_json)


def _thing(
    request_id: str | None, workflow: int | None, quarantine: int | None
) -> Mapping[str, object]:
    number = request_id if request_id and request_id.isascii() and request_id.isdigit() else None
    named: dict[str, object] = {
        "request_id": None if number else request_id,
        "message_id": int(number) if number else None,
        "workflow_id": workflow,
        "quarantine_id": quarantine,
    }
    given = {name: value for name, value in named.items() if value is not None}
    if len(given) != 1:
        raise typer.BadParameter("name one: a MESSAGE, --workflow or --quarantine")
    return given


def _act(
    config: Path, provider: str | None, path: str, order: Mapping[str, object], *, as_json: bool
) -> None:
    status, answer = asked(config, provider, path, order)
    if as_json:
        print_lines([answer])
    elif "holds" in answer:
        _print_act(answer)
    else:
        typer.echo(f"not done: {answer['error']}; {answer['cure']}", err=True)
    if status != HTTPStatus.OK:
        raise typer.Exit(1)


def _print_act(answer: Mapping[str, Any]) -> None:
    if answer["dry_run"]:
        count = answer["records"]
        typer.echo(f"{count} record{' is' if count == 1 else 's are'} meant")
        if more := answer["linked_records"]:
            verb = "is" if more == 1 else "are"
            typer.echo(f"{more} more {verb} linked to what is meant: --linked holds that as well")
        return
    for each in answer["holds"]:
        typer.echo(_hold_lines(each))
    if not answer["holds"]:
        typer.echo("It was not held.")


def _hold_lines(each: Mapping[str, Any]) -> str:
    """Return a hold in a line, and one for each that is linked to it and stands otherwise."""
    released = each["released_at"] is not None
    verb, stands = ("release", "still held") if released else ("hold", "not held")
    return "\n".join(
        (
            _hold_line(each),
            *(
                f"  linked to it and {stands}: workflow {other['workflow_id']}"
                f" ({other['request_type']}, {other['state']}):"
                f" bars-gateway {verb}-record --workflow {other['workflow_id']}"
                f" --provider {each['provider']} --why TEXT"
                for other in each["linked"]
                if other["is_held"] is released
            ),
        )
    )


def _hold_line(each: Mapping[str, Any]) -> str:
    what = (
        f"workflow {each['workflow_id']}"
        if each["workflow_id"] is not None
        else f"quarantine {each['quarantine_id']}"
    )
    if each["released_at"]:
        return f"{what}: released by {each['released_by']}: {each['released_why']}"
    return f"{what}: held since {each['held_at']} by {each['held_by']}: {each['why']}"


def held_records(
    config: Config = DEFAULT_CONFIG,
    provider: Only = None,
    limit: Limit = 500,
    *,
    as_json: Json = False,
) -> None:
    """
    List what is under legal hold, oldest first, and what is linked to it and is not.

    Reads the database, so that it answers when no gateway runs.
    """
    settings = load(config, os.environ)
    listings.require_known(settings, provider)
    found = listings.read(settings, partial(holds, provider=provider, limit=limit))
    documents = list(map(hold_document, found))
    nothing = "Nothing is under legal hold."
    print_each(documents, _hold_lines, nothing, as_json=as_json, limit=limit)


def compact(config: Config = DEFAULT_CONFIG) -> None:
    """
    Rewrite the database without its empty pages, while no gateway runs.

    Needed once for a file whose empty pages a purge cannot give back: one that was made by an
    earlier release. It needs as much free disk as the database takes, and may be interrupted.
    """
    from bars_gateway.store.sqlite.compaction import compacted

    settings = load(config, os.environ)
    if settings.store.url is not None:
        raise NoFile("only a database file can be rewritten, and store.url names a server", _VACUUM)
    path = settings.database_path
    before = path.stat().st_size if path.exists() else 0
    compacted(path)
    typer.echo(f"{path}: {before:,} bytes before, {path.stat().st_size:,} now")
