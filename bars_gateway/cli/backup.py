"""
`backup`, `verify` and `restore`: what keeps safe what was promised, and the way back.

    backup                       the running gateway's database ─► a checked copy
    verify                       a database, or a copy ─► everything that is wrong with it
    restore BACKUP               ─► the database, and each message that is affected
    restore KEPT --hand-over     ─► what was received since, for the EPR to be given
    restore                      ─► the database as another program has put it back, made safe

A restore is not the end of an incident. The gateway has then forgotten what others
remember, and only a person can close that gap. So it says, message by message and for both
directions, what was done and what there is to do, before anybody starts the gateway again.
Ids and states alone are printed: nothing from a message.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bars_gateway import log
from bars_gateway.cli.listings import read
from bars_gateway.cli.output import document_of, print_lines, shown
from bars_gateway.config import Settings, load
from bars_gateway.config.encryption import vault_of
from bars_gateway.engine import name_of, server_examined, server_made_safe
from bars_gateway.errors import ConfigurationError, NoFile
from bars_gateway.keyring import Vault
from bars_gateway.model.messages import Actor
from bars_gateway.model.trail import LEAP
from bars_gateway.onboarding.reported import WhyOrAsked, reason_if_told, try_report
from bars_gateway.options import DEFAULT_CONFIG, Config, Json
from bars_gateway.permissions import whoever_types
from bars_gateway.store import chain
from bars_gateway.store.heads import last_told
from bars_gateway.store.reached import last_line_in

_CURE_OF_DAMAGE = (
    "Keep the file, and look at the disk. Put back the latest backup that is whole:"
    " `bars-gateway restore FILE --older`, which keeps the damaged database beside it."
)
_CURE = (
    "Look at each message that is named: `bars-gateway show REQUEST_ID`. If its bytes are wrong,"
    " look at the disk, and take them from a backup or from whoever sent them. Where very many"
    " cannot be decrypted, the key ring is not the one that encrypted them: put its copy back."
)
_CURE_OF_SERVER = (
    "Let nobody write there, and ask whoever runs the server: pg_amcheck says which pages are at"
    " fault, its log what it met. After pg_restore: that may not have run to its end."
)
_PAGES = (
    "pg_amcheck --install-missing --heapallindexed --parent-check DATABASE, as a superuser, and"
    " then DROP EXTENSION amcheck (docs/postgresql.md)"
)
_BY_DUMP = (
    "On the server: pg_dump --format=custom --file=FILE DATABASE, or pg_basebackup with the"
    " write-ahead log kept. To see that FILE is whole: pg_restore it into an empty database, name"
    " that in BARS_GATEWAY_STORE__URL, and run `bars-gateway verify`."
)
_BY_RESTORE = (
    "Stop the gateway. pg_restore --exit-on-error --no-owner --dbname=DATABASE FILE, into an empty"
    " database; then `bars-gateway restore`, without FILE, and read what it prints."
)
_TO_COLLECT = (
    "Not collected by the EPR: {notices}. The EPR may have had them; it is given them again, under"
    " the same numbers."
)
_NUMBERS = (
    f"Whatever is new from now on (messages, notices, alarms, alerts, lines of the audit trail) has"
    f" a number more than {LEAP:,} higher than the last one: none is given a second time. There is"
    " a gap in each list, and it is not a loss."
)
# What became of messages, most severe first: a sentence with what to do, and its messages below it.
AT_RESTORE: Mapping[str, str] = {
    "held": (
        "Held: {count}. Nobody here can say whether {they} sent, withdrawn or cancelled since, and"
        " none leaves by itself. Ask the EPR, and each Receiver by telephone. Then `bars-gateway"
        " release REQUEST_ID --why TEXT` sends it, under its old ids; or leave it. The clock runs:"
        " when its time has passed, the EPR is told that it is unconfirmed."
    ),
    "to_hand_over": (
        "Received {since}, and not in the backup: {count}. Their Senders were told that we"
        " have them, and will not send them again. Hand them to the EPR before you start the"
        " gateway: `bars-gateway restore {kept} --hand-over`."
    ),
    "quarantined": (
        "Quarantined {since}: {count}. `--hand-over` brings {them} along, for `bars-gateway"
        " quarantine` and `attach`."
    ),
    "decided": (
        "Answered by the EPR {since}, and open in the backup: {count}. The answer stands, and the"
        " EPR is not asked again. What it said yes to it is told once more, as `restored`."
    ),
    "undecided": (
        "Put to the EPR and not decided: {count}. The Sender was told that no answer came, and may"
        " send again. See in the EPR whether something was done about it all the same."
    ),
    "left": (
        "Known only to the database that was kept, and not entered: {count}. Nothing here tells of"
        " {them}. Deal with each by hand, with its Sender or Receiver."
    ),
    "failed": (
        "Could not be taken over: {count}. The gateway hit an internal error with {them}; all the"
        " rest was taken over, and what waits of the same conversation is held. Deal with each by"
        " hand, with its Sender or Receiver, and send us the type and place of the error."
    ),
    "cancelled": (
        "Not sent, because {they} cancelled since: {count}. An earlier attempt may have arrived, so"
        " the EPR is told that it is unconfirmed; its cancellation stands in the queue. See that it"
        " is acknowledged, or telephone."
    ),
    "settled": (
        "Not sent, because the database that was kept knows how {they} settled since: {count}. Each"
        " has that state here as well, and the EPR is told once more. Nothing to do, unless it"
        " ended badly."
    ),
    "entered": (
        "Submitted {since}, and known only to the database that was kept: {count}. Each is here"
        " now, with its state, so that what is answered to it finds it; the EPR is told once more."
    ),
    "waits": (
        "Going out: {count}. Each leaves under the X-Request-Id that it always had. Each counts as"
        " tried: a Receiver that has it answers that it is a duplicate, and has it once; past its"
        " time it is unconfirmed. To stop one: `bars-gateway hold REQUEST_ID --why TEXT`."
    ),
}
AT_HAND_OVER: Mapping[str, str] = {
    **{name: AT_RESTORE[name] for name in ("left", "failed", "cancelled", "decided")},
    "handed_over": (
        "For the EPR: {count}. It is given {them} once the gateway runs, under the numbers that"
        " the notices had, with the remark `restored`. What it has already, it knows by number."
    ),
    "entered": (
        "Sent or submitted, and known only to {kept}: {count}. Each is here now; what was still to"
        " be sent is held. Find out what became of it; then release it with a reason, or not."
    ),
    "settled": (
        "Held until now, and settled as {kept} knows: {count}. None is sent; the EPR is told."
    ),
    "quarantined": "Quarantined: {count}. See `bars-gateway quarantine`.",
}
_UNKNOWN = (
    "Forgotten {since}: nobody can say all of it. Ask each Sender what it has sent since,"
    " for it will not send again what we said we have; and look in the EPR for what was submitted"
    " since: files are in outbox/accepted, unless somebody took them away. Submit again only what"
    " the Receiver says that it has not: under new ids it would take it twice. Answers to what was"
    " forgotten are quarantined, and their Senders get 404: the status page counts them. The alarm"
    " `restore.forgotten` stands there until somebody marks it as handled."
)
_WITHOUT_FILE = (
    "is missing. Without FILE, the database that lies there was put back by another program, and"
    " all that waits in it will be held: say why, as in INC-7. Else name the backup to go back to."
)
_CONDITIONS: Mapping[str, str] = {
    "absent": "There was no database here before: nothing is kept, and nothing can be asked.",
    "unreadable": "The database that was here is damaged: it is not believed.",
    "incomplete": (
        "The database that was here has not seen all that happened: it lacks something that the"
        " backup has, or is itself what a restore has left that could not say what was forgotten."
        " It may not know what was withdrawn."
    ),
    "whole": "The database that was here is whole, and was asked what happened since.",
}


if TYPE_CHECKING:
    from bars_gateway.store.integrity import DatabaseReport


def backup(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", readable=False, help="Where to; it must not exist yet."),
    ],
    config: Config = DEFAULT_CONFIG,
    *,
    as_json: Json = False,
) -> None:
    """
    Write a checked copy of the database, while the gateway runs.

    The copy holds patients' data: its mode is 0600, and it needs the same protection
    as the database. Nothing is left behind if it cannot be written whole.
    """
    from bars_gateway.store.sqlite.backup import back_up

    settings = load(config, os.environ)
    _refuse_server(settings, "a backup", _BY_DUMP)
    path = settings.database_path
    with shown("Copying pages") as advance:
        held = back_up(path, file, advance)
    size, head = file.stat().st_size, read(file, chain.head)
    told = {"line": head.line, "hash": head.hash} if head else {"line": None, "hash": None}
    try_report(settings, "operator.backed_up", file=str(file.absolute()), **told)
    if as_json:
        print_lines([{"file": file, "database": path, "bytes": size, **told, **_held(held)}])
        return
    typer.echo(f"{file}: a whole copy of {path}, {size:,} bytes")
    echo(contents(held))
    if head is not None:
        typer.echo(f"  its audit trail ends with line {head.line}, hash {head.hash}")


def verify(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", readable=False, help="A backup, instead of the database."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    *,
    as_json: Json = False,
) -> None:
    """
    Check the database, or a backup, down to every stored message.

    Every index is compared with its table, too (PRAGMA integrity_check), whatever the size; on a
    server, every row with each constraint. Only reads, and may run beside the gateway. Exits with 1
    if anything is wrong.
    """
    at, vault = _checked(file, config)
    with shown("Checking"):
        found, name = _examined(at, vault), name_of(at)
    if as_json:
        problems = {"damaged": bool(found.damage), "problems": list(found.problems)}
        print_lines([{"database": name, "schema": found.schema, **_held(found), **problems}])
        raise typer.Exit(1 if found.problems else 0)
    typer.echo(f"{name} at {clock(datetime.now(UTC))}, schema {found.schema}")
    echo(contents(found))
    echo(compared(found))
    on_server = isinstance(at, Settings)
    if on_server:
        typer.echo(f"  its pages, and what its indexes hold, are not looked at here: {_PAGES}")
    for problem in found.problems:
        typer.echo(f"error: {problem}", err=True)
    if found.problems:
        damage = _CURE_OF_SERVER if on_server else _CURE_OF_DAMAGE
        typer.echo(f"   try: {damage if found.damage else _CURE}", err=True)
        raise typer.Exit(1)
    typer.echo("Nothing is wrong with it.")


def _examined(at: Path | Settings, vault: Vault) -> "DatabaseReport":
    if isinstance(at, Settings):
        return server_examined(at)
    from bars_gateway.store.sqlite.integrity import examine

    return examine(at, vault)


def _checked(file: Path | None, config: Path) -> tuple[Path | Settings, Vault]:
    """
    Return which database is checked, and its keys: a file, or settings that name a server.

    A backup in clear needs no settings.
    """
    try:
        settings = load(config, os.environ)
    except ConfigurationError:
        if file is None:
            raise
        return file, Vault()
    vault = vault_of(settings)
    if file is not None:
        return file, vault
    return (settings if settings.store.url else settings.database_path), vault


def _refuse_server(settings: Settings, what: str, instead: str) -> None:
    if settings.store.url is not None:
        raise NoFile(f"{what} is of a database file, and store.url names a server", instead)


def _held(held: "DatabaseReport") -> Mapping[str, object]:
    return {"counts": dict(held.counts), "last_change_at": held.last_change_at}


def echo(lines: Iterator[str]) -> None:
    """Print each line."""
    for line in lines:
        typer.echo(line)


def contents(held: "DatabaseReport") -> Iterator[str]:
    """Yield what a database holds, in figures."""
    for table, rows in held.counts.items():
        yield f"  {table:<12}{rows:>12,}"
    yield f"  last change {clock(held.last_change_at)}"


def compared(held: "DatabaseReport") -> Iterator[str]:
    """Yield what the gateway itself found when it last compared everything."""
    last = held.inspected
    if last is not None and last.ended_at is not None:
        found = "; ".join(last.found) or "nothing was missing"
        yield f"  the gateway compared all of it {clock(last.ended_at)}: {found}"


def clock(at: datetime | None) -> str:
    """Return an instant as an operator reads it."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "never"


if TYPE_CHECKING:
    from bars_gateway.store.aftermath import Line, PutBack
    from bars_gateway.store.sqlite.adopted import StandsAgain
    from bars_gateway.store.sqlite.restore import HandedOver, Restored


Older = Annotated[
    bool, typer.Option("--older", help="Even if the present database has more in it.")
]
HandOver = Annotated[
    bool,
    typer.Option(
        "--hand-over",
        help="FILE is what a restore has kept: give the EPR what was received since.",
    ),
]


def restore(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            readable=False,
            help="A backup, or what a restore has kept; it is left as it is."
            " None: another program has put the database back.",
        ),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    why: WhyOrAsked = None,
    *,
    older: Older = False,
    hand_over: HandOver = False,
    as_json: Json = False,
) -> None:
    """
    Put a backup back in place, and say for each message what that means.

    Refuses while a gateway runs, and over a database that is newer than the backup.
    Deletes nothing: the database that was there is kept beside it. What was withdrawn,
    cancelled or acknowledged since is not sent; where nobody can say, messages are held.
    Without FILE: another program has put the database back (a snapshot of the machine, a backup
    program, on a server pg_restore). This makes it safe to start on; all that waits is held.
    """
    if hand_over and older:
        raise typer.BadParameter("give --older or --hand-over, not both")
    settings = load(config, os.environ)
    actor = Actor(role="operator", who=whoever_types(), why=reason_if_told(why) or "")
    if settings.store.url is not None and (file is not None or older or hand_over):
        _refuse_server(settings, "FILE", _BY_RESTORE)
    if file is None:
        _require_without_file(settings, actor, given=older or hand_over)
        _make_safe(settings, actor, as_json=as_json)
    elif hand_over:
        _hand_over(file, settings, actor, as_json=as_json)
    else:
        _restore(file, settings, actor, older=older, as_json=as_json)


def _require_without_file(settings: Settings, actor: Actor, *, given: bool) -> None:
    """Refuse what says nothing of a file and may mean one: then all that waits would be held."""
    if given:  # an option that is for a file
        raise typer.BadParameter("is missing: the backup to go back to", param_hint="FILE")
    if settings.store.url is None and not actor.why:
        raise typer.BadParameter(_WITHOUT_FILE, param_hint="--why")


def _restore(file: Path, settings: Settings, actor: Actor, *, older: bool, as_json: bool) -> None:
    from bars_gateway.store.sqlite.restore import restore as put_back

    database, vault = settings.database_path, vault_of(settings)
    with shown("Restoring"):
        now = datetime.now(UTC)
        told = _last_told(settings)
        restored = put_back(file, database, now, older=older, actor=actor, vault=vault, told=told)
    if as_json:
        print_lines([_document(restored)])
        return
    typer.echo(f"{database} is now what {file} held.")
    echo(contents(restored.held))
    typer.echo("\nBefore you start the gateway, read what this means:\n")
    echo(meaning(restored))


def _make_safe(settings: Settings, actor: Actor, *, as_json: bool) -> None:
    """Make a database safe that another program has put back."""
    log.configure("warning", stream=sys.stderr)  # standard output is for what it means
    done = _made_safe(settings, actor)
    if as_json:
        found = {"messages": _documents(done.lines), "uncollected": done.uncollected}
        print_lines([{"database": done.name, "since": done.last_change_at, **found}])
        return
    from bars_gateway.store.aftermath import since

    typer.echo(f"{done.name} is safe to start on. It last changed {clock(done.last_change_at)}.")
    typer.echo("\nBefore you start the gateway, read what this means:\n")
    from_then = since(done.last_change_at)
    echo(_grouped(AT_RESTORE, done.lines, since=from_then))
    typer.echo(f"- {_UNKNOWN.format(since=from_then)}")
    typer.echo(f"- {_TO_COLLECT.format(notices=_of(done.uncollected, 'notice'))}")
    typer.echo(f"- {_NUMBERS}")


def _made_safe(settings: Settings, actor: Actor) -> "PutBack":
    now, told = datetime.now(UTC), _last_told(settings)
    if settings.store.url is not None:
        return server_made_safe(settings, now, by=actor.who, why=actor.why, told=told)
    from bars_gateway.store.sqlite.put_back import make_safe

    with shown("Making it safe"):
        vault = vault_of(settings)
        return make_safe(settings.database_path, now, actor=actor, vault=vault, told=told)


def _last_told(settings: Settings) -> int:
    """Return the last line of the trail of which anything outside the database tells."""
    folders = [provider.spool_dir for provider in settings.providers.values()]
    told = last_told(settings.heads_file)
    return max(told.line if told else 0, last_line_in(folders))


def _hand_over(kept: Path, settings: Settings, actor: Actor, *, as_json: bool) -> None:
    from bars_gateway.store.sqlite.restore import hand_over

    database, vault = settings.database_path, vault_of(settings)
    with shown("Handing over"):
        done = hand_over(kept, database, datetime.now(UTC), actor=actor, vault=vault)
    if as_json:
        found = {"messages": _documents(done.lines), "alarms": _documents(done.alarms)}
        print_lines([{"listed": done.listed, **found}])
        return
    echo(handed_over(done, kept))


def _document(restored: "Restored") -> Mapping[str, object]:
    return {
        "kept": None if restored.aside is None else str(restored.aside),
        "condition": restored.condition,
        "since": restored.held.last_change_at,
        "listed": restored.listed,
        "uncollected": restored.uncollected,
        "messages": _documents(restored.lines),
        "alarms": _documents(restored.alarms),
    }


def _documents(found: Sequence[object]) -> Sequence[Mapping[str, object]]:
    return [document_of(each) for each in found]


def meaning(restored: "Restored") -> Iterator[str]:
    """Yield in plain words what a restore means, each with what to do about it."""
    from bars_gateway.store.aftermath import LEFT_BEHIND, since

    from_then, kept = since(restored.held.last_change_at), str(restored.aside)
    yield f"- {_what_is_kept(restored)}"
    yield from _grouped(AT_RESTORE, restored.lines, since=from_then, kept=kept)
    if not restored.listed:
        yield f"- {_UNKNOWN.format(since=from_then)}"
    elif not restored.lines and not any(each.kind == LEFT_BEHIND for each in restored.alarms):
        yield "- Forgotten: no message. Each that was there before is in the backup as well."
    yield from _standing_again(restored.alarms)
    yield f"- {_TO_COLLECT.format(notices=_of(restored.uncollected, 'notice'))}"
    yield f"- {_NUMBERS}"


def handed_over(done: "HandedOver", kept: Path) -> Iterator[str]:
    """Yield in plain words what was entered from the kept database."""
    yield from _grouped(AT_HAND_OVER, done.lines, since="after the backup", kept=str(kept))
    yield from _standing_again(done.alarms)
    if not done.lines and not done.alarms:
        yield f"- Nothing: all that {kept} has is here already."
    if not done.listed:
        yield (
            f"- {kept} is damaged, and could not be read to its end: there may be more. Ask the"
            " Senders what they have sent since the backup."
        )


def _what_is_kept(restored: "Restored") -> str:
    condition = _CONDITIONS[restored.condition]
    if restored.aside is None:
        return condition
    return (
        f"{condition} It is kept as {restored.aside}, and holds patients' data. To look into it,"
        f" set BARS_GATEWAY_STORE__PATH={restored.aside} for `bars-gateway queue` and"
        " `bars-gateway show`; never for `bars-gateway run`."
    )


def _grouped(sentences: Mapping[str, str], lines: Sequence["Line"], **words: str) -> Iterator[str]:
    for fate, sentence in sentences.items():
        found = [line for line in lines if line.fate == fate]
        if not found:
            continue
        one = len(found) == 1
        yield "- " + sentence.format(
            count=_of(len(found), "message"),
            they="it was" if one else "they were",
            them="it" if one else "them",
            **words,
        )
        yield from map(_described, found)


def _standing_again(alarms: Sequence["StandsAgain"]) -> Iterator[str]:
    if alarms:
        yield (
            f"- Standing again: {_of(len(alarms), 'alarm')} that nobody had marked as handled. Deal"
            " with each once the gateway runs: `bars-gateway alarms` names them by new numbers."
        )
    for alarm in alarms:
        whose = f" ({alarm.provider})" if alarm.provider else ""
        about = alarm.request_id or "no one message"
        yield f"    {about}  {alarm.kind}, since {clock(alarm.since)}{whose}"


def _described(line: "Line") -> str:
    """Return one message as a person looks it up: ids, states and codes."""
    what = " ".join(filter(None, (line.move, line.use_case)))
    way = "to" if line.direction == "outbound" else "from"
    other = line.counterparty.rpartition("|")[2]
    words = [what, f"{way} {other}" if other else "", f"({line.provider})"]
    told = f", given to the EPR {clock(line.collected_at)}" if line.collected_at else ""
    why = f": {line.why}" if line.why else ""
    about = " ".join(filter(None, words))
    taken = clock(line.taken_at) if line.taken_at else "at a time that cannot be read"
    return f"    {line.request_id}  {line.state}, {taken}, {about}{told}{why}"


def _of(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
