"""
`bars-gateway encryption`: the keys that encrypt what is stored, and how far a rotation has come.

    rotate      a key more in the ring: the gateway encrypts everything by it, while it works
    copy FILE   the ring, for a place of its own: without it nobody can read any backup
    show        what encrypts, what is needed, what was copied, how far it has come

Keys are never printed. What was done here, the gateway enters in the audit trail.
"""

import os
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway.cli.listings import read
from bars_gateway.cli.output import clock, print_lines
from bars_gateway.config import Settings, load
from bars_gateway.config.encryption import vault_of
from bars_gateway.engine import name_of
from bars_gateway.errors import DatabaseEmpty, KeyMissing, OnboardingError
from bars_gateway.keyring import EncryptionRing
from bars_gateway.model.readings import EncryptionStanding
from bars_gateway.onboarding import encryption as rings
from bars_gateway.onboarding.reported import WhyOrAsked, reason, try_report
from bars_gateway.options import DEFAULT_CONFIG, Config, Json
from bars_gateway.store.encryption import standing, wanted_by
from bars_gateway.store.reports import KEYS_COPIED

app = typer.Typer(
    name="encryption",
    help="The keys that encrypt what is stored of patients.",
    no_args_is_help=True,
)
File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        readable=False,
        help="The ring, where the settings name a credential or none yet.",
    ),
]
_COPYING = "bars-gateway encryption copy FILE --why TEXT"
_NONE = "No key ring is named: what is stored of patients is in clear."


@app.command()
def rotate(config: Config = DEFAULT_CONFIG, why: WhyOrAsked = None, file: File = None) -> None:
    """
    Add a key to the key ring, or make it: everything is encrypted by the new key.

    A running gateway takes it within ten seconds, and goes through what is stored while it works.
    Old keys stay in the ring: leave them there for as long as a backup needs them.
    """
    settings = load(config, os.environ)
    named = settings.store.encryption_keys_file
    ring = file or named or _beside_the_keys(settings)
    is_new = not ring.exists()
    if is_new:
        _refuse_a_ring_in_place_of_one(settings, ring)
    why = reason(settings, why)
    key = rings.add_key(ring, datetime.now(UTC))
    try_report(settings, "encryption.key_added", why=why, key_id=key.key_id)
    typer.echo(f"{ring}: {'made' if is_new else 'has another key'}, {key.key_id}")
    if named is None:
        typer.echo(f'Write into {config}, below [store]: encryption_keys_file = "{ring}"')
        typer.echo("and restart the gateway: it encrypts what is stored already as well.")
    elif ring != named:
        typer.echo("Restart the gateway: systemd gives it the file then.")
    typer.echo(f"Copy it now, apart from the backups: {_COPYING}")


def _refuse_a_ring_in_place_of_one(settings: Settings, ring: Path) -> None:
    """Refuse to make a ring where what is stored is encrypted by the keys of one that is lost."""
    found = _standing(settings)
    if found is not None and found.needed:
        keys = ", ".join(found.needed)
        raise KeyMissing(f"{ring} is not there, and {name_of(settings)} needs its key {keys}")


def _standing(settings: Settings) -> EncryptionStanding | None:
    """Return how what is stored is encrypted; None: nothing is stored yet."""
    if settings.store.url is None and not settings.database_path.exists():
        return None
    try:
        return read(settings, standing)
    except DatabaseEmpty:
        return None


def _beside_the_keys(settings: Settings) -> Path:
    provider = next(iter(settings.providers.values()))
    folder = provider.private_key_file.parent
    return (settings.state_dir if folder.is_relative_to(rings.CREDENTIALS) else folder) / (
        rings.FILE_NAME
    )


@app.command()
def copy(
    target: Annotated[
        Path, typer.Argument(metavar="FILE", readable=False, help="It must not exist yet.")
    ],
    config: Config = DEFAULT_CONFIG,
    why: WhyOrAsked = None,
    file: File = None,
) -> None:
    """
    Copy the key ring, mode 0600, and note that it was.

    Keep the copy where neither this machine's loss nor its thief takes it: never with the backups.
    """
    settings = load(config, os.environ)
    source, why = _ring_of(settings, file), reason(settings, why)
    ring = rings.copy(source, target, datetime.now(UTC))
    ids = [each.key_id for each in ring.keys]
    try_report(settings, KEYS_COPIED, why=why, key_ids=ids)
    typer.echo(f"{target}: {', '.join(ids)}")
    if settings.store.url is not None:
        return
    folder = settings.database_path.parent
    if folder.exists() and folder.stat().st_dev == target.stat().st_dev:
        typer.echo(f"warning: it is on the same disk as {folder}: move it elsewhere", err=True)


def _ring_of(settings: Settings, file: Path | None) -> Path:
    ring = file or settings.store.encryption_keys_file
    if ring is None:
        raise OnboardingError(_NONE, "Make one: bars-gateway encryption rotate --why TEXT")
    return ring


@app.command()
def show(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """Say by which key what is stored is encrypted, which are needed, and what is left to do."""
    settings = load(config, os.environ)
    vault = vault_of(settings)
    found = _standing(settings)
    ring = EncryptionRing.read(vault.file) if vault.file else None
    is_done = found is not None and found.place is None and found.wanted == wanted_by(vault)
    if as_json:
        print_lines([_document(ring, found, key_id=vault.key_id, is_done=is_done)])
        return
    for line in _in_words(settings, ring, found, is_done=is_done):
        typer.echo(line)


def _document(
    ring: EncryptionRing | None,
    found: EncryptionStanding | None,
    *,
    key_id: str | None,
    is_done: bool,
) -> dict[str, object]:
    keys = ring.keys if ring else ()
    return {
        "key_id": key_id,
        "keys": [each.key_id for each in keys],
        "copied": dict(ring.copied) if ring else {},
        "needed": list(found.needed) if found else [],
        "done": is_done,
        "place": found.place if found else None,
        "changed": found.changed if found else 0,
        "left_over": found.left_over if found else 0,
    }


def _in_words(
    settings: Settings,
    ring: EncryptionRing | None,
    found: EncryptionStanding | None,
    *,
    is_done: bool,
) -> Iterator[str]:
    yield from _keys(settings, ring, found.needed if found else ()) if ring else [_NONE]
    if found is None:
        yield f"There is no database at {name_of(settings)} yet."
    elif is_done:
        yield f"Everything is as it should be, since {clock(found.ended_at)} UTC."
    else:
        yield (
            f"Not everything is as it should be yet: {found.changed} rows were changed, now in"
            f" {found.place or 'nothing: a running gateway does it'}."
        )
    if found is not None and found.left_over:
        yield f"{found.left_over} rows could not be decrypted: `bars-gateway verify` names them."


def _keys(settings: Settings, ring: EncryptionRing, needed: Collection[str]) -> Iterator[str]:
    for each in ring.keys:
        is_current = settings.store.encrypts and each is ring.current
        says = ["in use"] if is_current else []
        says += ["needed by this database"] if each.key_id in needed else []
        says += [_copied(ring, each.key_id)]
        yield f"{each.key_id}  {'; '.join(says)}"


def _copied(ring: EncryptionRing, key_id: str) -> str:
    at = ring.copied.get(key_id)
    return f"copied at {clock(at)} UTC" if at else f"NOT COPIED: {_COPYING}"
