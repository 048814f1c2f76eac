"""
Keys that sign JWTs, and `bars-gateway keys`: made, published, tried, and put away again.

    keys/Northshire-INT-1.pem           0600, never leaves this machine, never written over
    keys/Northshire-INT-1.public.pem    to attach, where NHS England hosts the JWKS
    keys/Northshire-INT.jwks.json       to host: every key of the owner that is not retired
    keys/retired/                       what was retired; nothing is deleted
    the audit trail                     who made or retired which, and why

    Northshire-INT-2 ──► owner Northshire · environment int · rotation 2

The token service keeps its copy of a JWKS for an hour and does not look again for a key
that it does not find. So a new key is published beside the old one first, and used
only when the hour is over: `NOT_BEFORE` is twice that.

A key id goes into a URL, a JSON file and a file name, and e-mail carries it to those who
register it. So it has letters, digits and hyphens, and nothing that is escaped anywhere.
"""

import asyncio
import json
import os
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self

import jwt
import typer
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from bars_gateway.config import Environment, Provider, Settings, load
from bars_gateway.config.environments import PRESETS
from bars_gateway.errors import OnboardingError
from bars_gateway.frozen import frozen
from bars_gateway.onboarding.certificates import read_key
from bars_gateway.onboarding.files import (
    BITS,
    PRIVATE,
    PUBLIC,
    digest_of,
    make_folder,
    move,
    private_pem,
    put_in_place,
    read,
    write_new,
)
from bars_gateway.onboarding.reported import WhyOrAsked, reason, try_report
from bars_gateway.options import DEFAULT_CONFIG, Config, Whose, provider_of, with_whose
from bars_gateway.permissions import files_in

CACHED = timedelta(hours=1)  # how long the token service keeps its copy of a JWKS
NOT_BEFORE = 2 * CACHED  # from publishing a key to using it
NOT_RETIRED_BEFORE = CACHED + timedelta(minutes=10)  # from the last use: the hour, and a token
OLD = timedelta(days=365)
_JWK_MEMBERS = ("kty", "n", "e")
LONGEST_OWNER = 40
_FORM = re.compile(
    r"(?P<owner>[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)-(?P<where>LOCAL|SANDBOX|INT|PROD)-(?P<count>[1-9]\d{0,3})",
    re.ASCII | re.IGNORECASE,
)
_CONVENTION = (
    "Write it as <supplier or provider>-<environment>-<rotation>, such as Northshire-INT-1."
)
app = typer.Typer(
    name="keys",
    help="Make, list, try and retire the keys that sign for access tokens.",
    no_args_is_help=True,
)
Named = Annotated[
    str | None,
    typer.Option("--key-id", metavar="ID", help="Such as Northshire-INT-2; else the next one."),
]


@frozen(kw_only=True)
class KeyId:
    """The name of one signing key."""

    owner: str  # supplier or provider: letters, digits and hyphens
    where: str  # the environment, in capitals but where it was registered otherwise
    rotation: int  # 1 for the first key

    @staticmethod
    def fits(text: str) -> bool:
        """Tell whether *text* keeps to the convention."""
        found = _FORM.fullmatch(text)
        return found is not None and len(found["owner"]) <= LONGEST_OWNER

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what *text* says; raise OnboardingError where it keeps to no convention."""
        found = _FORM.fullmatch(text)
        if found is None or not cls.fits(text):
            raise OnboardingError(f"{text!a} is not a key id by the convention", _CONVENTION)
        return cls(owner=found["owner"], where=found["where"], rotation=int(found["count"]))

    @classmethod
    def first(cls, name: str, environment: Environment) -> Self:
        """Return the id of the first key of the organisation called *name*."""
        owner = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))
        if not owner:
            cure = "Name it in letters and digits with --key-owner."
            raise OnboardingError(f"a key id cannot be made from the name {name!a}", cure)
        return cls(owner=owner[:LONGEST_OWNER], where=environment.upper(), rotation=1)

    def after(self) -> Self:
        """Return the id of the key that follows this one."""
        return replace(self, rotation=self.rotation + 1)

    @property
    def environment(self) -> Environment:
        """The environment whose key it is."""
        return Environment(self.where.lower())

    @property
    def family(self) -> str:
        """What all keys of this owner and environment have in common."""
        return f"{self.owner}-{self.where}"

    def __str__(self) -> str:
        """Return it as it is registered."""
        return f"{self.family}-{self.rotation}"


@frozen(kw_only=True)
class KeyFiles:
    """Where one key lies."""

    key_id: KeyId
    private: Path
    public: Path
    jwks: Path  # shared with the owner's other keys of this environment

    @classmethod
    def of(cls, folder: Path, key_id: KeyId) -> "KeyFiles":
        """Return the files of *key_id* in *folder*."""
        return cls(
            key_id=key_id,
            private=folder / f"{key_id}.pem",
            public=folder / f"{key_id}.public.pem",
            jwks=folder / f"{key_id.family}.jwks.json",
        )


@frozen(kw_only=True)
class KeptKey:
    """One key as it lies in the folder."""

    key_id: KeyId
    bits: int
    made_at: datetime
    retired: bool


def can_be_made(provider: Provider) -> bool:
    """Tell whether the key that *provider* names is one of our making: by its id, and its file."""
    file = provider.private_key_file
    return KeyId.fits(provider.key_id) and file.name == f"{provider.key_id}.pem"


def new_key(folder: Path, key_id: KeyId, bits: int = BITS) -> KeyFiles:
    """Make a key with its public half, and publish it in the JWKS; takes seconds."""
    files = KeyFiles.of(folder, key_id)
    retired = folder / "retired" / files.private.name
    if files.private.exists() or retired.exists():
        there = files.private if files.private.exists() else retired
        cure = f"Make the next one: bars-gateway keys new --key-id {key_id.after()} --why TEXT"
        raise OnboardingError(f"{there} is there, and a key id is used once", cure)
    make_folder(folder, 0o700)
    key = generate_private_key(public_exponent=65537, key_size=bits)
    write_new(files.private, private_pem(key), PRIVATE)
    put_in_place(files.public, public_pem(key.public_key()), PUBLIC)
    publish(folder, key_id)
    return files


def publish(folder: Path, key_id: KeyId) -> Path:
    """Write the JWKS of the owner of *key_id* from the public halves of the keys in *folder*."""
    _add_public_halves(folder, key_id)
    files = KeyFiles.of(folder, key_id)
    keys = [jwk(str(one), read_public(KeyFiles.of(folder, one).public)) for one in _current(files)]
    put_in_place(files.jwks, json.dumps({"keys": keys}, indent=1).encode() + b"\n", PUBLIC)
    return files.jwks


def _add_public_halves(folder: Path, key_id: KeyId) -> None:
    """Write those that lack: a key was brought from elsewhere, or its making was killed."""
    for file in files_in(folder, "*.pem"):
        if not KeyId.fits(file.stem):
            continue
        one = KeyFiles.of(folder, KeyId.parse(file.stem))
        if one.key_id.family != key_id.family or one.public.exists():
            continue
        with suppress(OnboardingError):  # one that cannot be read signs nothing, either
            key = read_key(file)
            if isinstance(key, RSAPrivateKey):
                put_in_place(one.public, public_pem(key.public_key()), PUBLIC)


def _current(files: KeyFiles) -> list[KeyId]:
    """Return the keys of the same owner and environment that are not retired, oldest first."""
    return [kept.key_id for kept in family(files) if not kept.retired]


def retire(folder: Path, key_id: KeyId) -> Path:
    """
    Take a key out of the JWKS and put it away; return where it is then.

    Once more, it completes what was killed in between.
    """
    files = KeyFiles.of(folder, key_id)
    target = folder / "retired" / files.private.name
    if not (files.private.exists() or target.exists()):
        cure = "`bars-gateway keys list` names those that are there."
        raise OnboardingError(f"there is no key {key_id} in {folder}", cure)
    for half in (files.private, files.public):
        if half.exists():
            move(half, target.with_name(half.name))
    publish(folder, key_id)
    return target


def family(files: KeyFiles) -> list[KeptKey]:
    """Return the keys of the same owner and environment, oldest first, the retired ones last."""
    found = kept_in(files.private.parent)
    return [kept for kept in found if kept.key_id.family == files.key_id.family]


def kept_in(folder: Path) -> list[KeptKey]:
    """Return the keys of *folder* by their public halves, the retired ones last."""
    return [*_kept(folder, retired=False), *_kept(folder / "retired", retired=True)]


def _kept(folder: Path, *, retired: bool) -> list[KeptKey]:
    found = [
        KeptKey(
            key_id=KeyId.parse(name),
            bits=read_public(path).key_size,
            made_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            retired=retired,
        )
        for path in files_in(folder, "*.public.pem")
        if KeyId.fits(name := path.name.removesuffix(".public.pem"))  # others are not of our making
    ]
    return sorted(found, key=lambda kept: (kept.key_id.family, kept.key_id.rotation))


def tell_of_key(settings: Settings, kind: str, files: KeyFiles, why: str) -> None:
    """Let the audit trail have who did that to a key: its id, and its public half's SHA-256."""
    key = read_public(files.public) if files.public.exists() else None
    told = {} if key is None else {"sha256": digest_of(key)}
    try_report(settings, kind, why=why, key_id=str(files.key_id), **told)


def jwk(key_id: str, key: RSAPublicKey) -> dict[str, str]:
    """Return a key as the token service wants it published: public members only."""
    members = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    public = {name: str(members[name]) for name in _JWK_MEMBERS}
    return public | {"alg": "RS512", "use": "sig", "kid": key_id}


def public_pem(key: RSAPublicKey) -> bytes:
    """Return *key* as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_public(path: Path) -> RSAPublicKey:
    """Return the public key in the PEM file at *path*."""
    try:
        key = load_pem_public_key(read(path))
    except ValueError:
        key = None
    if not isinstance(key, RSAPublicKey):
        cure = "Take it away, or put the key's public half there as PEM."
        raise OnboardingError(f"{path} is not a public RSA key in PEM form", cure)
    return key


@app.command(name="new")
def make_next(
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    key_id: Named = None,
    why: WhyOrAsked = None,
    bits: Annotated[int, typer.Option(min=2048, max=8192, help="4096 in int and prod.")] = BITS,
) -> None:
    """
    Make the next key, with its public half and the JWKS to publish.

    Nothing is written over, and the gateway goes on with the key that it has. Publish the
    JWKS, wait, try the key with `keys probe`, and only then name it in the settings.
    """
    settings = load(config, os.environ)
    whose = provider_of(settings, provider)
    wanted = KeyId.parse(key_id) if key_id else _next(whose)
    _require_fit(settings, wanted, bits)
    why = reason(settings, why)
    files = new_key(whose.private_key_file.parent, wanted, bits)
    tell_of_key(settings, "key.made", files, why)
    typer.echo(f"{files.private}: {bits} bits, mode 0600; it never leaves this machine")
    typer.echo(f"{files.public}: to attach to the letter, where NHS England hosts the JWKS")
    typer.echo(f"{files.jwks}: to host yourself; it has every key that is not retired")
    for other in _left_out(whose, files):
        typer.echo(
            f"warning: {other} is in use, and not in it, for {files.private.parent} has no"
            f" {other}.pem of its family: publish that key as well, or what it signs is refused",
            err=True,
        )
    hours = NOT_BEFORE // timedelta(hours=1)
    name = provider or next(iter(settings.providers))
    probe = with_whose(f"bars-gateway keys probe --key-id {wanted}", settings, name)
    typer.echo(
        f"\nPublish it. After {hours} hours: {probe}\n"
        "When that gets a token, set key_id and private_key_file: systemctl reload bars-gateway"
    )


@app.command(name="list")
def list_keys(config: Config = DEFAULT_CONFIG, provider: Whose = None) -> None:
    """List the keys: which is in use, which may be used from when, which is old."""
    settings = load(config, os.environ)
    whose = provider_of(settings, provider)
    now = datetime.now(UTC)
    folder = whose.private_key_file.parent
    found = kept_in(folder)
    for kept in found:
        made = f"{kept.made_at:%Y-%m-%d %H:%M}"
        typer.echo(
            f"{kept.key_id}  {kept.bits} bits  made {made} UTC  {_standing(kept, whose, now)}"
        )
    if not found:
        typer.echo(f"{folder}: no key that `bars-gateway keys new` made")


@app.command(name="retire")
def put_away(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key id.")],
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    why: WhyOrAsked = None,
    *,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Even if the settings changed within the hour.")
    ] = False,
) -> None:
    """
    Take a key out of the JWKS and put its file away; nothing is deleted.

    Refuses the key that is in use, and any key until 70 minutes after the settings were
    last changed: tokens and copies of the JWKS live that long.
    """
    settings = load(config, os.environ)
    whose = provider_of(settings, provider)
    _require_unused(settings, key_id)
    _require_patience(config, at_once=at_once)
    folder = whose.private_key_file.parent
    wanted, why = KeyId.parse(key_id), reason(settings, why)
    target = retire(folder, wanted)
    tell_of_key(settings, "key.retired", KeyFiles.of(target.parent, wanted), why)
    typer.echo(f"{target}: put away")
    typer.echo(f"{KeyFiles.of(folder, wanted).jwks}: without it; publish that now")


@app.command(name="probe")
def try_key(config: Config = DEFAULT_CONFIG, provider: Whose = None, key_id: Named = None) -> None:
    """
    Ask for an access token with a key, before the gateway depends on it.

    Takes the key of the settings unless another is named. Exits with 1 if it is refused.
    """
    from bars_gateway.onboarding.doctor.checks import credentials_of, probe

    settings = load(config, os.environ)
    whose = provider_of(settings, provider)
    if key_id is not None:
        file = KeyFiles.of(whose.private_key_file.parent, KeyId.parse(key_id)).private
        whose = whose.model_copy(update={"key_id": key_id, "private_key_file": file})
    found = asyncio.run(probe(settings, *credentials_of(settings, whose), datetime.now(UTC)))
    if found.refused is not None:
        raise OnboardingError(f"{whose.key_id}: {found.refused.reason}", found.refused.advice)
    typer.echo(f"{whose.key_id}: {settings.outbound.token_url} gave a token")


def _left_out(provider: Provider, files: KeyFiles) -> list[str]:
    """Return the ids by which *provider* signs now, and which the JWKS does not have."""
    published = set(map(str, _current(files)))
    ids = {provider.key_id: provider.private_key_file, **provider.former_keys}
    return [key_id for key_id, file in ids.items() if key_id not in published and file.exists()]


def _next(provider: Provider) -> KeyId:
    """Return the id after the last one of the family of the key that is in use."""
    current = KeyId.parse(provider.key_id)
    there = family(KeyFiles.of(provider.private_key_file.parent, current))
    last = max([current.rotation, *(kept.key_id.rotation for kept in there)])
    if current.rotation == last and not provider.private_key_file.exists():
        return current  # the settings were written first
    return replace(current, rotation=last + 1)


def _require_fit(settings: Settings, key_id: KeyId, bits: int) -> None:
    if key_id.environment is not settings.environment:
        fitting = replace(key_id, where=settings.environment.upper())
        cure = f"Name one of {settings.environment}, such as {fitting}."
        raise OnboardingError(
            f"the key id {key_id} is of {key_id.environment}, and the settings are of"
            f" {settings.environment}",
            cure,
        )
    require_bits(settings.environment, bits, "--bits")


def require_bits(environment: Environment, bits: int, option: str) -> None:
    """Raise OnboardingError where *bits*, as *option* says, are too few for a key there."""
    minimum = PRESETS[environment].minimum_key_bits
    if bits < minimum:
        cure = f"Leave out {option}, or write {option} {minimum}."
        raise OnboardingError(f"{environment} takes keys of {minimum} bits", cure)


def _require_unused(settings: Settings, key_id: str) -> None:
    users = [
        name
        for name, other in settings.providers.items()
        if key_id in {other.key_id, *other.former_keys}
    ]
    if users:
        cure = (
            "Name its successor in the settings, and it in former_keys no more; reload, and come"
            " back after 70 minutes."
        )
        raise OnboardingError(f"{key_id} is in use by {', '.join(users)}", cure)


def _require_patience(config: Path, *, at_once: bool) -> None:
    changed = datetime.fromtimestamp(config.stat().st_mtime, UTC)
    over = changed + NOT_RETIRED_BEFORE
    if not at_once and datetime.now(UTC) < over:
        cure = f"Come back at {over:%H:%M} UTC, or add --at-once if the key was stolen."
        raise OnboardingError(f"{config} was changed at {changed:%H:%M} UTC: too early", cure)


def _standing(kept: KeptKey, provider: Provider, now: datetime) -> str:
    if kept.retired:
        return "retired"
    if str(kept.key_id) == provider.key_id:
        old = now - kept.made_at > OLD
        return "in use" + ("; over a year old, make its successor" if old else "")
    usable = kept.made_at + NOT_BEFORE
    if now < usable:
        return f"wait until {usable:%H:%M} UTC after publishing it"
    return "not in use; try it with keys probe"
