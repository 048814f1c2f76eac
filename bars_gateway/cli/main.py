"""
The operator's verbs, all of them; `begin` loads those that are needed.

    bars-gateway --help ─► SECTIONS ──► each command under what somebody wants to do

    read the database themselves      queue · show · alarms · quarantine       listings, attention
                                      explain · timeline · owed · audit …      accounts, trail
    through the EPR's own socket      send · hold · mark-handled · attach …    messages, attention
    while no gateway runs, or beside  backup · verify · restore · store        backup, store
                                      purge · hold-record · compact            records

A command that is in no section would be shown nowhere: a test holds that each is in one.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Protocol

import typer
from typer.core import TyperGroup

from bars_gateway import log
from bars_gateway.cli import (
    accounts,
    attention,
    encryption,
    incident,
    listings,
    messages,
    nodes,
    records,
    safety,
    store,
    subject,
    suppliers,
    trail,
    users,
)
from bars_gateway.cli.backup import backup, restore, verify
from bars_gateway.cli.completion import completion
from bars_gateway.cli.evidence import app as evidence
from bars_gateway.cli.output import print_lines
from bars_gateway.cli.root import root
from bars_gateway.config import Settings, describe, in_words, load
from bars_gateway.config.doubts import doubts, endings
from bars_gateway.config.problems import placed, problems
from bars_gateway.config.sources import SettingsProblem
from bars_gateway.config.values import Flaw
from bars_gateway.errors import DatabaseNewer, DatabaseSetBack, SandboxError, StoreError
from bars_gateway.onboarding import certificates, doctor, init, keys, letters
from bars_gateway.options import DEFAULT_CONFIG, Config, Json
from bars_gateway.ownership import as_the_gateway

SECTIONS: Mapping[str, Sequence[str]] = {
    "Running": ("run", "check", "config", "doctor"),
    "Looking": (
        "queue",
        "show",
        "explain",
        "timeline",
        "owed",
        "counterparties",
        "audit",
        "stats",
        "alarms",
        "alerts",
        "cache",
    ),
    "Acting on messages": ("lint", "send", "hold", "release", "withdraw", "retry", "resend"),
    "What needs a person": ("mark-handled", "acknowledge", "quarantine", "attach", "confirm"),
    "Keeping the database": ("backup", "restore", "verify", "encryption", "store", "nodes"),
    "How long records stay": (
        "purge",
        "hold-record",
        "release-record",
        "held-records",
        "compact",
    ),
    "About one person": ("subject",),
    "The console": ("users",),
    "Clinical safety": ("safety", "incident"),
    "Connecting": ("init", "keys", "csr", "certificate", "letters", "evidence"),
    "For suppliers of EPRs": ("schemas", "epr-check"),
    "Trying out": ("demo", "sandbox", "completion"),
}


_Gateways = Annotated[
    list[str] | None,
    typer.Option(
        help="A gateway to register, NAME=SERVICE@URL, such as"
        " trust=2000099999@https://127.0.0.1:8443/FHIR/R4; may be repeated."
    ),
]
_Scripts = Annotated[
    list[str] | None,
    typer.Option(
        help="What the counterparty does otherwise, such as"
        ' \'{"verb": "reject", "code": "FC", "count": 1}\'; may be repeated.'
    ),
]
_MARGINS = 6  # around names and what they are for, as typer has it


class _Formatter(Protocol):
    width: int

    def section(self, name: str) -> AbstractContextManager[None]: ...

    def write_dl(self, rows: list[tuple[str, str]]) -> None: ...


class Sections(TyperGroup):
    """Lists its commands under titles, in plain text."""

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:  # noqa: ARG002
        """Write each section: its title, and its commands."""
        longest = max(map(len, self.commands))
        room = formatter.width - _MARGINS - longest
        for title, names in SECTIONS.items():
            rows = [
                (name.ljust(longest), self.commands[name].get_short_help_str(room))
                for name in names
            ]
            with formatter.section(title):
                formatter.write_dl(rows)


app = root(Sections)
for command in (backup, restore, verify, init.init, letters.letters, completion, subject.subject):
    app.command()(command)
for verbs in (messages, listings, accounts, attention, trail, safety, records, incident, suppliers):
    verbs.add_to(app)
for group in (
    doctor.app,
    keys.app,
    encryption.app,
    store.app,
    nodes.app,
    certificates.requests_app,
    certificates.certificates_app,
    users.app,
    evidence,
):
    app.add_typer(group)


@app.command()
def check(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """
    Report all that is wrong with the settings and their files.

    Looks at the settings, at the keys, certificates and folders that they name, and at the
    file of the console's users.
    As root it judges for the user as whom the gateway runs.
    Changes nothing. Exits with 0 if nothing is wrong, 1 if a gateway starts all the same, else
    with 2.
    """
    settings = load(config, os.environ)
    with as_the_gateway(settings.state_dir, settings.sources.file):
        now = datetime.now(UTC)
        found = [*problems(settings, now), *_of_another_time(settings)]
        less = [*doubts(settings), *endings(settings, now), *users.doubts_of_users(settings)]
    worst = 2 if any(each.stops_start for each in found) else 1 if found or less else 0
    if as_json:
        print_lines({"severity": "error", "text": str(each)} for each in found)
        print_lines({"severity": "warning", "text": str(each)} for each in less)
        raise typer.Exit(worst)
    for problem in found:
        typer.echo(f"error: {problem}", err=True)
    for problem in less:
        typer.echo(f"warning: {problem}", err=True)
    if found or less:
        raise typer.Exit(worst)
    providers = ", ".join(settings.providers)
    typer.echo(f"{config}: nothing is wrong ({settings.environment}; {providers})")


def _of_another_time(settings: Settings) -> Iterator[SettingsProblem]:
    """Yield that the database's file is of a later version, or has gone back."""
    from bars_gateway.store.reached import require_not_gone_back, told_in
    from bars_gateway.store.sqlite import SqliteConnection, require_known
    from bars_gateway.store.sqlite.integrity import reading

    if settings.store.url is not None:
        return
    path = settings.database_path
    if not os.access(path, os.R_OK):
        return
    told = told_in(provider.spool_dir for provider in settings.providers.values())
    try:
        with reading(path) as connection:
            require_known(connection, path)
            require_not_gone_back(SqliteConnection(connection), told, str(path))
    except DatabaseSetBack as error:
        key = ("store", "path") if settings.store.path else ("state_dir",)
        cause = f"holds an older copy: {error}"
        yield placed(settings, Flaw(key=key, cause=cause, cure=error.advice))
    except DatabaseNewer as error:
        key = ("store", "path") if settings.store.path else ("state_dir",)
        cause = f"holds a database of a later version: {error}"
        yield placed(settings, Flaw(key=key, cause=cause, cure=error.advice))
    except StoreError:  # what else is wrong with it, `doctor` and `verify` say
        return


@app.command(name="config")
def show_config(
    config: Config = DEFAULT_CONFIG,
    *,
    describe_all: Annotated[
        bool, typer.Option("--describe", help="Say what each setting is for.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Print every setting as it is in force, and where it came from.

    That is the settings file with its line, an environment variable, the environment
    (local, sandbox, int or prod), or the default.
    """
    for setting in describe(load(config, os.environ)):
        if as_json:
            line = {"key": setting.key, "value": in_words(setting), "origin": setting.origin}
            print_lines([{**line, "description": setting.description}])
            continue
        typer.echo(f"{setting.key} = {in_words(setting)}    # {setting.origin}")
        if describe_all:
            for paragraph in setting.description.splitlines():
                typer.echo(f"    {paragraph}")


@app.command()
def run(config: Config = DEFAULT_CONFIG) -> None:
    """
    Run the gateway until it is told to stop (SIGTERM or Ctrl-C).

    Logs to standard output. When told to stop, it finishes what is in flight. At SIGHUP it
    takes new keys, certificates and callers; changed files it takes by itself.
    """
    from bars_gateway.daemon.start import start

    start(config, os.environ)


@app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the last; exit 0 only if all was seen.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", readable=False, help="Where to keep everything; temporary otherwise."
        ),
    ] = None,
    chapter: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Play only this one; repeatable.")
    ] = None,
    nodes: Annotated[
        int,
        typer.Option(
            min=1, max=2, help="2: two gateways on one PostgreSQL, of which one is killed."
        ),
    ] = 1,
) -> None:
    """
    Watch requests go out and their answers come home, in a few chapters.

    Starts a sandbox and gateways on this machine, plays their EPRs, and leaves the
    status pages up until Ctrl-C. With --nodes 2 it starts a PostgreSQL server as well.
    """
    all_seen = _two_nodes if nodes > 1 else _chapters
    if not asyncio.run(all_seen(folder, chapter or (), once=once)):
        raise typer.Exit(1)


async def _chapters(folder: Path | None, names: Sequence[str], *, once: bool) -> bool:
    from bars_gateway.demo.chapters import CHAPTERS
    from bars_gateway.demo.play import play

    known = [one.name for one in CHAPTERS]
    if unknown := set(names).difference(known):
        hint = f"{', '.join(sorted(unknown))}: there are {', '.join(known)}"
        raise typer.BadParameter(hint, param_hint="--chapter")
    return await play(folder, names, once=once)


async def _two_nodes(folder: Path | None, names: Sequence[str], *, once: bool) -> bool:
    from bars_gateway.demo.nodes import play_with_two_nodes

    if names:
        hint = "the demo of two nodes is played as a whole: leave it out"
        raise typer.BadParameter(hint, param_hint="--chapter")
    return await play_with_two_nodes(folder, once=once)


@app.command(short_help="Run the national side on this machine, with faults on demand.")
def sandbox(
    folder: Annotated[
        Path, typer.Argument(readable=False, help="Where keys, certificates and targets are kept.")
    ],
    *,
    port: Annotated[int, typer.Option(help="Of token service and proxy; 0: any free one.")] = 8440,
    admin_port: Annotated[int, typer.Option(help="Of faults and calls; 0: any free one.")] = 8441,
    gateway: _Gateways = None,
    key_bits: Annotated[
        int, typer.Option(min=2048, max=8192, help="Of the keys that sign JWTs.")
    ] = 4096,
    counterparty: Annotated[
        bool, typer.Option(help="Whether somebody stands behind the proxy to write to.")
    ] = True,
    pause_seconds: Annotated[
        float, typer.Option(min=0, max=600, help="Of the counterparty, before each response.")
    ] = 2.0,
    script: _Scripts = None,
) -> None:
    """Run token service, proxy and a counterparty on this machine, with faults on demand."""
    from bars_gateway.sandbox.server import SandboxSettings, run

    settings = SandboxSettings(
        folder=folder.resolve(),
        port=port,
        admin_port=admin_port,
        key_bits=key_bits,
        counterparty=counterparty,
        pause_seconds=pause_seconds,
        scripts=[_script(text) for text in script or []],
    )
    wanted = _gateways_of([_gateway_of(text) for text in gateway or []])
    log.configure(stream=sys.stderr)  # standard output is for the person who started it
    asyncio.run(run(settings, wanted))


def _script(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SandboxError(f"--script {text!a} is not JSON: {error}") from None


def _gateways_of(parsed: Sequence[tuple[str, str, str]]) -> dict[str, tuple[list[str], str]]:
    """Return services and URL of each gateway: named twice, it has two services."""
    found: dict[str, tuple[list[str], str]] = {}
    for name, service, url in parsed:
        services, known = found.setdefault(name, ([], url))
        if known != url:
            raise SandboxError(f"--gateway names two URLs for {name}; a gateway has one")
        services.append(service)
    return found


def _gateway_of(text: str) -> tuple[str, str, str]:
    name, equals, rest = text.partition("=")
    service, at, url = rest.partition("@")
    if not (equals and at and name and service and url.startswith("https://127.0.0.1:")):
        raise SandboxError(
            f"--gateway is NAME=SERVICE@URL with a URL below https://127.0.0.1:, not {text!a}"
        )
    return name, service, url
