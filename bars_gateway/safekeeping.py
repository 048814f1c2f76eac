"""
`backup`, `restore` and `verify`: what an operator types to keep what was promised safe.

    backup   the running gateway's database ─► a checked copy
    verify   a database, or a copy ─► everything that is wrong with it
    restore  a checked copy ─► the database, and in words what that means

A restore is not the end of an incident. The gateway has then forgotten what others
remember, and only a person can close that gap. So it says what was forgotten, how much
of it, and what to do, before anybody starts the gateway again.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bars_gateway.config import load

if TYPE_CHECKING:
    from bars_gateway.store.examination import Examination
    from bars_gateway.store.restore import Beyond, Restored

Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", metavar="FILE", envvar="BARS_GATEWAY_CONFIG", help="The settings file."
    ),
]
DEFAULT_CONFIG = Path("/etc/bars-gateway/bars-gateway.toml")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not exist yet.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """
    Write a checked copy of the database, while the gateway runs.

    The copy holds patients' data: its mode is 0600, and it needs the same protection
    as the database. Nothing is left behind if it cannot be written whole.
    """
    from bars_gateway.store.backup import back_up

    path = load(config, os.environ).database_path
    held = back_up(path, file)
    size = file.stat().st_size
    typer.echo(f"{file}: a whole copy of {path}, {size:,} bytes")
    _echo(_contents(held))


def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A backup, instead of the database.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """
    Check the database, or a backup, down to every stored message.

    Only reads, and may run beside the gateway. Exits with 1 if anything is wrong.
    """
    from bars_gateway.store.examination import examine

    path = file or load(config, os.environ).database_path
    found = examine(path)
    typer.echo(f"{path} at {_clock(datetime.now(UTC))}, schema {found.schema}")
    _echo(_contents(found))
    for problem in found.problems:
        typer.echo(f"error: {problem}", err=True)
    if found.problems:
        typer.echo(f"   try: {_CURE_OF_DAMAGE if found.damage else _CURE}", err=True)
        raise typer.Exit(1)
    typer.echo("Nothing is wrong with it.")


_CURE_OF_DAMAGE = (
    "Keep the file, and look at the disk. Put back the latest backup that is whole:"
    " `bars-gateway restore FILE --older`, which keeps the damaged database beside it."
)
_CURE = (
    "Look at each message that is named: `bars-gateway show REQUEST_ID`. If its bytes are wrong,"
    " look at the disk, and take them from a backup or from whoever sent them."
)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup; it is left as it is.")],
    config: Config = DEFAULT_CONFIG,
    *,
    older: Annotated[
        bool, typer.Option("--older", help="Even if the present database has more in it.")
    ] = False,
) -> None:
    """
    Put a backup back in place, and say what that means.

    Refuses while a gateway runs, and over a database that is newer than the backup.
    Deletes nothing: the database that was there is kept beside it.
    """
    from bars_gateway.store.restore import restore as put_back

    path = load(config, os.environ).database_path
    now = datetime.now(UTC)
    restored = put_back(file, path, now, older=older)
    typer.echo(f"{path} is now what {file} held.")
    _echo(_contents(restored.held))
    typer.echo("\nBefore you start the gateway, read what this means:\n")
    _echo(f"- {line}" for line in meaning(restored))


def _echo(lines: Iterator[str]) -> None:
    for line in lines:
        typer.echo(line)


def _contents(held: "Examination") -> Iterator[str]:
    for table, rows in held.counts.items():
        yield f"  {table:<12}{rows:>12,}"
    yield f"  last change {_clock(held.last_change_at)}"


def meaning(restored: "Restored") -> Iterator[str]:
    """Yield in plain words what a restore means, each with what to do about it."""
    since = _clock(restored.held.last_change_at)
    yield _what_is_kept(restored)
    yield from _forgotten(restored.beyond, since, kept=restored.aside is not None)
    yield (
        f"Waiting to be sent: {_of(restored.waiting, 'message')}. Each goes out under the"
        " X-Request-Id that it always had. If it was sent since, the Receiver answers that it is a"
        " duplicate, and has it once: nothing to do."
    )
    if restored.beyond is not None and restored.beyond.settled_since:
        yield (
            f"Settled since, in the database that was here: {restored.beyond.settled_since} of"
            " those. The EPR may have their outcomes, and is told of them once more."
        )
    if restored.overdue:
        yield (
            f"Past their time: {restored.overdue} of those. The EPR is told at once that they are"
            " unconfirmed, because nobody can say whether they left. Telephone, as for any other."
        )
    yield (
        f"Not collected by the EPR: {_of(restored.uncollected, 'notice')}. The EPR may have had"
        " them; it is given them again, under the same numbers. New notices have numbers that were"
        " never given before: there is a gap, and it is not a loss."
    )


def _what_is_kept(restored: "Restored") -> str:
    if restored.aside is None:
        return "There was no database here before: nothing had to be kept."
    return (
        f"Kept: the database that was here, as {restored.aside}. It holds patients' data. To ask"
        f" it, set BARS_GATEWAY_STORE__PATH={restored.aside} for `bars-gateway queue` and"
        " `bars-gateway show`; never for `bars-gateway run`."
    )


def _forgotten(beyond: "Beyond | None", since: str, *, kept: bool) -> Iterator[str]:
    if beyond is None:
        received = submitted = "nobody can say how many"
        fates = "what became of them, only the EPR and the Receivers can say"
        if kept:
            yield "The database that was here could not be read: what it had is not known."
    elif beyond.received or beyond.submitted:
        received, submitted = str(beyond.received), str(beyond.submitted)
        fates = f"{beyond.unsettled} of them had no outcome yet"
    else:
        yield "Forgotten: no message. Whatever was there before is in the backup as well."
        return
    yield (
        f"Forgotten, received after {since}: {received}. Whoever sends one of these again is told"
        " that it is new, and the EPR gets it a second time. Have the EPR look for the Bundle.id"
        " before it acts on a message that was sent before now."
    )
    yield (
        f"Forgotten, submitted after {since}: {submitted}; {fates}. They are not sent by this"
        " database. What came as files is in outbox/accepted, unless somebody took it away; what"
        " came over the socket, only the EPR has. Hand in again only those of which the EPR has no"
        " outcome and the Receiver says that it has nothing: they go out under new ids, and a"
        " Receiver that has them would take them twice."
    )
    yield (
        "Answers to what was forgotten are quarantined, and their Senders hear 404: the status page"
        " counts them. See to each by hand."
    )


def _of(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _clock(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "never"
