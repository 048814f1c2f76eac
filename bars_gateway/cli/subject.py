"""
`bars-gateway subject`: what is held about one person, for whoever answers a subject access request.

    number, typed unseen or read ─► index of keyed hashes ─► messages · questions · quarantine
                                 └► the EPR's folders, file by file ─► copies that still lie there

The number is no argument by default: arguments are seen by every user of the machine, and stay in
the history of the shell. That somebody looked, and why, goes to the audit trail before anything is
printed; the number does not.
"""

import getpass
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from bars_gateway import permissions
from bars_gateway.cli.listings import read
from bars_gateway.cli.output import clock, print_lines
from bars_gateway.config import Settings, load
from bars_gateway.config.encryption import vault_of
from bars_gateway.errors import OnboardingError
from bars_gateway.keyring import Vault
from bars_gateway.model.readings import SubjectHeld
from bars_gateway.onboarding.reported import refuse_numbers, report_done
from bars_gateway.options import DEFAULT_CONFIG, Config, Json
from bars_gateway.standard.nhs_numbers import names
from bars_gateway.standard.patients import is_nhs_number
from bars_gateway.store import subjects
from bars_gateway.store.connection import Connection
from bars_gateway.store.encryption import standing, wanted_by

T = TypeVar("T")
ReadEverything = Annotated[
    bool,
    typer.Option(
        "--read-everything",
        help="Find the person in every payload, and not in the index: slow.",
    ),
]
_LARGEST = 32 * 1024 * 1024  # bytes of a file in the EPR's folders
_NO_KEY = "There is no key ring, so nothing is indexed by person."
_WITHOUT_KEY = (
    "Make one (bars-gateway encryption rotate --why TEXT), or add --read-everything: every payload"
    " that is kept is looked through."
)
_NOT_YET = (
    "Not everything that was stored before is in the index yet: see `bars-gateway encryption show`."
    " Add --read-everything, and every payload that is kept is looked through."
)
_SEEN = (
    "The number is in this shell's history now, and any user of this machine could see it: remove"
    " it there (history -d), and leave it out next time."
)
_WRONG = (
    "that is not an NHS number: one has ten digits, of which the last checks the others (modulus"
    " 11). Compare it with the request, digit by digit"
)


def subject(
    number: Annotated[
        str | None,
        typer.Argument(
            metavar="[NUMBER]",
            help="Better left out: it is asked for unseen, or read from standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    why: Annotated[str, typer.Option(help="For the audit trail, as in: access request 2026-17.")],
    config: Config = DEFAULT_CONFIG,
    read_everything: ReadEverything = False,
    as_json: Json = False,
) -> None:
    """
    List what is held about the person with an NHS number, for a subject access request.

    Messages, questions, what lies in quarantine, and copies in the EPR's folders. The number is
    asked for unseen, or read from standard input; spaces in it do not matter. That you looked, and
    why, is in the audit trail; the number is not. Exits with 1 if nothing is found.
    """
    wanted = number_typed(number, "NUMBER")
    refuse_numbers("--why", why)
    settings = load(config, os.environ)
    vault = vault_of(settings)
    found = held(settings, vault, wanted, read_everything=read_everything)
    copies = list(_copies(settings, wanted))
    _tell(settings, why, found, copies)
    _print(found, copies, as_json=as_json)
    if not (found or copies):
        raise typer.Exit(1)


def _print(
    found: Sequence[SubjectHeld], copies: Sequence[tuple[Path, datetime]], *, as_json: bool
) -> None:
    if as_json:
        print_lines(found)
        print_lines({"kind": "file", "path": path, "changed_at": at} for path, at in copies)
        return
    for line in _in_words(found, copies):
        typer.echo(line)


def number_typed(typed: str | None, option: str) -> str:
    """Return the NHS number that was typed for *option*; None: it is asked for unseen, or read."""
    shown = typed
    if typed is None and sys.stdin.isatty():
        typed = getpass.getpass("NHS number (not shown): ")
    elif typed is None:
        typed = sys.stdin.readline()
    found = "".join(typed.replace("-", " ").split())
    if not is_nhs_number(found):
        raise typer.BadParameter(_WRONG, param_hint=option)
    if shown is not None:
        typer.echo(_SEEN, err=True)
    return found


def held(
    settings: Settings, vault: Vault, number: str, *, read_everything: bool
) -> Sequence[SubjectHeld]:
    """Return what is held about that person, by the index, or by reading every payload."""
    if read_everything:

        def ask(work: Callable[[Connection], T]) -> T:
            return read(settings, work, vault)

        found = list(subjects.walk(ask, number))
        indexed = ask(lambda c: subjects.held(c, number)) if vault.has_ring else []
        known = {(each.kind, each.number) for each in found}
        return [*found, *(each for each in indexed if (each.kind, each.number) not in known)]
    if not vault.has_ring:
        raise OnboardingError(_NO_KEY, _WITHOUT_KEY)
    now = read(settings, standing, vault)
    if now.place is not None or now.wanted != wanted_by(vault):
        typer.echo(_NOT_YET, err=True)
    return read(settings, lambda c: subjects.held(c, number), vault)


def _copies(settings: Settings, number: str) -> Iterator[tuple[Path, datetime]]:
    """Yield the files in the EPR's folders that hold the number."""
    for provider in settings.providers.values():
        permissions.require(provider.spool_dir)
        yield from _copies_in(provider.spool_dir, number)


def _copies_in(folder: Path, number: str) -> Iterator[tuple[Path, datetime]]:
    """Look again where a file was gone before it was read: a gateway that runs has moved it."""
    seen, has_moved = set[Path](), True
    while has_moved:
        has_moved = False
        for path in sorted(set(folder.rglob("*")) - seen):
            try:
                status = path.lstat()
                is_read = stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST
                found = is_read and names(number, path.read_bytes())
            except FileNotFoundError:
                has_moved = True
                continue
            seen.add(path)
            if found:
                yield path, datetime.fromtimestamp(status.st_mtime, UTC)


def _tell(
    settings: Settings,
    why: str,
    found: Sequence[SubjectHeld],
    copies: Sequence[tuple[Path, datetime]],
) -> None:
    told = {"why": why, "found": len(found), "files": len(copies)}
    report_done(settings, "operator.sought_subject", **told)


def _in_words(
    found: Sequence[SubjectHeld], copies: Sequence[tuple[Path, datetime]]
) -> Iterator[str]:
    for each in found:
        yield f"{each.kind} {each.number}, {clock(each.at)} UTC: {each.direction}, {each.state}"
        about = [each.move, each.use_case, each.provider, each.counterparty]
        yield f"  {'  '.join(filter(None, about))}"
        yield f"  X-Request-Id {each.request_id}, Bundle.id {each.bundle_id or '-'}"
        if each.workflow_id is not None:
            yield f"  workflow {each.workflow_id}: {each.workflow_state or 'attached to it'}"
        notices = ", ".join(map(str, each.notices)) or "none"
        yield f"  kept: {', '.join(each.kept) or 'no bytes any more'}; notices: {notices}"
        yield f"  named as: {each.named}"
    for path, at in copies:
        yield f"file {path}, {clock(at)} UTC"
    if not (found or copies):
        yield "Nothing is held that names this person."
    else:
        yield f"{len(found)} in the database, {len(copies)} files in the EPR's folders."
