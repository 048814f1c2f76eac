"""
`bars-gateway init`: from nothing to an installation that only waits for others.

    flags, or questions at a terminal ─► settings, folders, keys ─► the road from here to live

Run again, it makes what is missing and says how far things are. What is there is never
written over: not the settings, and a key least of all.
"""

import os
import pwd
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway.config import Environment, Settings, load
from bars_gateway.errors import OnboardingError
from bars_gateway.onboarding import keys, road
from bars_gateway.onboarding.files import explained, make_folder, write_new
from bars_gateway.onboarding.key_ids import KeyId
from bars_gateway.onboarding.places import Places
from bars_gateway.onboarding.rendering import render
from bars_gateway.onboarding.wishes import Wishes, contradictions, values_of

_USER = "bars-gateway"
_READABLE = 0o640  # settings hold no secret, and are nobody else's business
_SHARED = 0o2750  # the EPR's group finds its files in the spool folder


Where = Annotated[Environment | None, typer.Option(help="Where to connect.", show_default=False)]
OdsCode = Annotated[str | None, typer.Option(help="Of the provider, in capitals.")]
Name = Annotated[str | None, typer.Option(help="Of the provider.")]
Hosting = Annotated[str | None, typer.Option(help="provider or supplier: whose machine it is.")]
Supplier = Annotated[str | None, typer.Option(help="The supplier's name, if one hosts.")]
Services = Annotated[list[str] | None, typer.Option(help="A service id; may be repeated.")]
EprWay = Annotated[str | None, typer.Option(help="folder or socket: how the EPR collects.")]
Fqdn = Annotated[str | None, typer.Option(help="The Receiver's name, if it is agreed.")]
ApiKey = Annotated[str | None, typer.Option(help="Of the application, if it is known.")]
KeyOwner = Annotated[str | None, typer.Option(help="In key ids; else made from the names.")]
Listen = Annotated[str | None, typer.Option(help="IP address and port to receive on.")]
SandboxFolder = Annotated[
    Path | None,
    typer.Option(readable=False, help="The folder of a running `bars-gateway sandbox` (local)."),
]
Folder = Annotated[
    Path | None,
    typer.Option(readable=False, help="Everything below this one, instead of /etc, /var and /run."),
]
Bits = Annotated[int, typer.Option(min=2048, max=8192, help="Of the key.")]


def init(
    *,
    environment: Where = None,
    ods_code: OdsCode = None,
    name: Name = None,
    hosting: Hosting = None,
    supplier: Supplier = None,
    service: Services = None,
    epr: EprWay = None,
    fqdn: Fqdn = None,
    api_key: ApiKey = None,
    key_owner: KeyOwner = None,
    listen: Listen = None,
    sandbox: SandboxFolder = None,
    folder: Folder = None,
    key_bits: Bits = keys.BITS,
) -> None:
    """
    Write settings, make folders and keys, and say what is left to do until live.

    Asks at a terminal for what no flag says. Run again, it continues: it makes what is
    missing, and never writes over settings or keys.
    """
    wishes = Wishes(
        environment=environment,
        ods_code=ods_code,
        organisation=name,
        hosting=hosting,
        supplier=supplier,
        services=tuple(service or ()),
        notices=epr,
        fqdn=fqdn,
        api_key=api_key,
        key_owner=key_owner,
        listen=listen,
        sandbox=sandbox,
    )
    places = Places.below(folder.resolve()) if folder else Places.of_the_system()
    for line in begin(wishes, places, key_bits):
        typer.echo(line)


def begin(wishes: Wishes, places: Places, key_bits: int) -> Iterator[str]:
    """Make what is missing, and yield what was made and the road that is left."""
    owner = None if places != Places.of_the_system() else _owner()
    if not places.config.exists():
        yield from _written(wishes, places)
    settings = load(places.config, {})
    found = contradictions(wishes, settings)
    if found:
        cure = f"Settings are never written over: edit {places.config}, or leave the flag out."
        raise OnboardingError("; ".join(found), cure)
    made = [*_folders(settings, places), *_keys(settings, key_bits)]
    _hand_over(owner, [places.config, *made])
    yield from (f"{path}: made" for path in made)
    yield f"\nFrom here to live ({settings.environment}, {places.config}):\n"
    yield road.printed(road.steps(settings, datetime.now(UTC)))


def _written(wishes: Wishes, places: Places) -> Iterator[str]:
    wishes = _asked(wishes) if sys.stdin.isatty() else wishes
    if wishes.missing:
        cure = "Add them, or run the command at a terminal, and it asks."
        raise OnboardingError(f"not said: {', '.join(wishes.missing)}", cure)
    text = render(values_of(wishes, places))
    make_folder(places.config.parent)
    write_new(places.config, text.encode(), _READABLE)
    yield f"{places.config}: written; every setting is explained in it"


def _asked(wishes: Wishes) -> Wishes:
    """Return *wishes* with what was asked for at the terminal."""
    if wishes.environment is None:
        names = ", ".join(Environment)
        text = typer.prompt(f"Where to connect ({names})", default=Environment.INT.value)
        if text not in list(Environment):
            raise OnboardingError(f"{text!a} is no environment", f"Choose one of: {names}")
        wishes = replace(wishes, environment=Environment(text))
    for field, question in _QUESTIONS.items():
        if not getattr(wishes, field):
            wishes = replace(wishes, **{field: typer.prompt(question)})
    if wishes.hosting is None:
        hosting = typer.prompt("Who hosts it (provider, supplier)", default="provider")
        wishes = replace(wishes, hosting=hosting)
    if wishes.hosting == "supplier" and not wishes.supplier:
        wishes = replace(wishes, supplier=typer.prompt("The supplier's name"))
    if not wishes.services:
        ids = typer.prompt("The ids of its services, with commas")
        wishes = replace(wishes, services=tuple(filter(None, map(str.strip, ids.split(",")))))
    if wishes.notices is None:
        notices = typer.prompt("How the EPR collects (folder, socket)", default="folder")
        wishes = replace(wishes, notices=notices)
    if wishes.environment is Environment.LOCAL and wishes.sandbox is None:
        wishes = replace(wishes, sandbox=Path(typer.prompt("The folder of the sandbox")))
    return wishes


_QUESTIONS = {"ods_code": "The provider's ODS code", "organisation": "The provider's name"}


def _folders(settings: Settings, places: Places) -> Iterator[Path]:
    wanted = [
        (settings.state_dir, 0o700),
        (settings.epr.socket_dir, 0o750),
        (places.keys, 0o700),
        (settings.inbound.certificate_file.parent, 0o750),
        *((provider.spool_dir, _SHARED) for provider in settings.providers.values()),
    ]
    yield from (folder for folder, mode in wanted if make_folder(folder, mode))


def _keys(settings: Settings, bits: int) -> Iterator[Path]:
    for provider in settings.providers.values():
        file = provider.private_key_file
        if file.exists() or not KeyId.fits(provider.key_id) or file.stem != provider.key_id:
            continue  # there, or of somebody else's making
        made = keys.new_key(file.parent, KeyId.parse(provider.key_id), bits)
        yield from (made.private, made.public, made.jwks)


def _owner() -> pwd.struct_passwd | None:
    """Return whose the files of the system are to be; None where we may not give them away."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_USER)
    except KeyError:
        cure = "Make it first, as in the README (systemd-sysusers), or add --folder FOLDER."
        raise OnboardingError(f"there is no user {_USER} on this machine", cure) from None


def _hand_over(owner: pwd.struct_passwd | None, paths: list[Path]) -> None:
    if owner is None:
        return
    for path in paths:
        with explained(path, "given to the gateway's user"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
