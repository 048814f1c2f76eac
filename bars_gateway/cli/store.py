"""
`bars-gateway store`: from a file to a PostgreSQL server, and back.

    copy --to URL │ FILE    all that is stored, offline: it goes on where it was if it is killed
    reopen --why TEXT       lets a gateway start again on what was copied away

Nothing of what is copied is printed: names of tables, how many rows, and hashes.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bars_gateway import log
from bars_gateway.cli.output import print_lines, shown
from bars_gateway.config import Settings, load
from bars_gateway.config.encryption import vault_of
from bars_gateway.config.problems import open_to_others
from bars_gateway.engine import address_at, address_of
from bars_gateway.keyring import Vault
from bars_gateway.onboarding.reported import WhyOrAsked, reason
from bars_gateway.options import DEFAULT_CONFIG, Config, Json
from bars_gateway.permissions import whoever_types
from bars_gateway.store.copying import Copied, CopyEnd
from bars_gateway.store.copying import copy as copy_all
from bars_gateway.store.copying import reopen as open_again

if TYPE_CHECKING:
    from bars_gateway.store.postgresql.server import ServerAddress

app = typer.Typer(
    name="store",
    help="Where everything is kept: a file, or a database on a server.",
    no_args_is_help=True,
)
_SCHEMES = ("postgresql://", "postgres://")


@app.command()
def copy(
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="URL", help="postgresql://USER@HOST/DATABASE, or a FILE; it is empty."
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    *,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", readable=False, help="The password of that server's user."),
    ] = None,
    as_json: Json = False,
) -> None:
    """
    Copy all that is stored from the file to a PostgreSQL server, or from there to a file.

    Stop the gateway first: it is refused while one runs. Every row of both is compared at the end,
    with the audit trail, and no gateway starts on the old one any more. If it is killed, give
    the same command again: it goes on where it was.
    """
    settings = load(config, os.environ)
    _require_private(password_file)
    log.configure("warning", stream=sys.stderr)  # standard output is for what was copied
    vault = vault_of(settings)
    with ExitStack() as stack:
        advance = stack.enter_context(shown("Copying"))
        source = stack.enter_context(_source(settings, vault))
        target = stack.enter_context(_target(settings, vault, to, password_file))
        now, by = datetime.now(UTC), whoever_types()
        copied = copy_all(source, target, vault, now, by=by, advance=advance)
        names = source.name, target.name
    _say(copied, names, to, as_json=as_json)


@app.command()
def reopen(config: Config = DEFAULT_CONFIG, why: WhyOrAsked = None) -> None:
    """
    Let a gateway start again on the database that was copied away.

    Only if none has run on the copy: what that one has taken and sent is not known here, and would
    be taken and sent again. Otherwise copy it back. A copy that was not ended can then not go on.
    """
    settings = load(config, os.environ)
    why = reason(settings, why)
    with _source(settings, vault_of(settings)) as source:
        target = open_again(source, datetime.now(UTC), by=whoever_types(), why=why)
    typer.echo(f"{source.name}: a gateway may start on it again.")
    typer.echo(f"Let none start on {target}: remove it.")


def _require_private(password_file: Path | None) -> None:
    """Refuse a password that others may read, as a gateway refuses it at its start."""
    if password_file is None or not password_file.exists():
        return  # whoever reads it says so
    for flaw in open_to_others(("store", "password_file"), password_file):
        raise typer.BadParameter(f"{flaw.cause}. {flaw.cure}", param_hint="--password-file")


def _say(copied: Copied, names: tuple[str, str], to: str, *, as_json: bool) -> None:
    """Print what was copied; exit with 1 where something is wrong in both."""
    if as_json:
        print_lines([_document(copied, names)])
    else:
        for line in _in_words(copied, names, to):
            typer.echo(line)
    for doubt in copied.doubts:
        typer.echo(f"error: {doubt}", err=True)
    if copied.doubts:
        typer.echo("   try: It is so in both. See `bars-gateway verify` with a file.", err=True)
        raise typer.Exit(1)


@contextmanager
def _source(settings: Settings, vault: Vault) -> Iterator[CopyEnd]:
    """Hold what the settings name."""
    if settings.store.url is None:
        from bars_gateway.store.sqlite.copying import hold_file

        with hold_file(settings.database_path, vault, is_target=False) as file:
            yield file
        return
    with _server(address_of(settings), vault) as server:
        yield server


@contextmanager
def _target(
    settings: Settings, vault: Vault, to: str, password_file: Path | None
) -> Iterator[CopyEnd]:
    """Hold what *to* names: of the other engine than the settings'."""
    to_server = to.startswith(_SCHEMES)
    if to_server is (settings.store.url is not None):
        other = "a FILE" if to_server else "a server, as postgresql://USER@HOST/DATABASE"
        tool = "pg_dump" if to_server else "`bars-gateway backup`"
        text = f"must name {other}: for another of the same kind there is {tool}"
        raise typer.BadParameter(text, param_hint="--to")
    if to_server:
        with _server(address_at(to, settings.node, password_file), vault) as server:
            yield server
        return
    from bars_gateway.store.sqlite.copying import hold_file

    with hold_file(Path(to), vault, is_target=True) as file:
        yield file


@contextmanager
def _server(address: "ServerAddress", vault: Vault) -> Iterator[CopyEnd]:
    from bars_gateway.store.postgresql.copying import hold_server

    with hold_server(address, vault) as server:
        yield server


def _document(copied: Copied, names: tuple[str, str]) -> dict[str, object]:
    line, hash_ = (copied.head.line, copied.head.hash) if copied.head else (None, None)
    return {
        "from": names[0],
        "to": names[1],
        "rows": dict(copied.rows),
        "digest": copied.digest,
        "line": line,
        "hash": hash_,
        "problems": list(copied.doubts),
    }


def _in_words(copied: Copied, names: tuple[str, str], to: str) -> Iterator[str]:
    yield f"{names[1]} holds all that {names[0]} held: every row was compared."
    for table, rows in copied.rows.items():
        yield f"  {table:<16}{rows:>12,}"
    yield f"  SHA-256 of all rows {copied.digest}"
    if copied.head:
        yield f"  its audit trail ended with line {copied.head.line}, hash {copied.head.hash}"
    yield f"No gateway starts on {names[0]} any more. Keep it until the next backup."
    if to.startswith(_SCHEMES):
        yield f'Write into the settings, below [store]: url = "{to}", and password_file.'
    else:
        yield f'Write into the settings, below [store], path = "{names[1]}", and no url.'
    yield "Then start the gateway."
