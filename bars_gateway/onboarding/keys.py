"""
Keys that sign JWTs: made, published, and put away again.

    keys/Northshire-INT-1.pem           0600, never leaves this machine, never written over
    keys/Northshire-INT-1.public.pem    to attach, where NHS England hosts the JWKS
    keys/Northshire-INT.jwks.json       to host: every key of the owner that is not retired
    keys/retired/                       what was retired; nothing is deleted

The token service keeps its copy of a JWKS for an hour and does not look again for a key
that it does not find. So a new key is published beside the old one first, and used
only when the hour is over: `NOT_BEFORE` is twice that.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from bars_gateway.errors import OnboardingError
from bars_gateway.onboarding.files import (
    PRIVATE,
    PUBLIC,
    make_folder,
    move,
    put_in_place,
    read,
    write_new,
)
from bars_gateway.onboarding.key_ids import KeyId
from bars_gateway.permissions import files_in

BITS = 4096
CACHED = timedelta(hours=1)  # how long the token service keeps its copy of a JWKS
NOT_BEFORE = 2 * CACHED  # from publishing a key to using it
NOT_RETIRED_BEFORE = CACHED + timedelta(minutes=10)  # from the last use: the hour, and a token
OLD = timedelta(days=365)
_JWK_MEMBERS = ("kty", "n", "e")


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One key as it lies in the folder."""

    key_id: KeyId
    bits: int
    made_at: datetime
    retired: bool


def new_key(folder: Path, key_id: KeyId, bits: int = BITS) -> KeyFiles:
    """Make a key with its public half, and publish it in the JWKS; takes seconds."""
    files = KeyFiles.of(folder, key_id)
    retired = folder / "retired" / files.private.name
    if files.private.exists() or retired.exists():
        there = files.private if files.private.exists() else retired
        cure = f"Make the next one: bars-gateway keys new --key-id {key_id.after()}"
        raise OnboardingError(f"{there} is there, and a key id is used once", cure)
    make_folder(folder, 0o700)
    key = generate_private_key(public_exponent=65537, key_size=bits)
    write_new(files.private, private_pem(key), PRIVATE)
    put_in_place(files.public, public_pem(key.public_key()), PUBLIC)
    publish(folder, key_id)
    return files


def publish(folder: Path, key_id: KeyId) -> Path:
    """Write the JWKS of the owner of *key_id* from the public halves that are in *folder*."""
    files = KeyFiles.of(folder, key_id)
    current = [kept.key_id for kept in family(files) if not kept.retired]
    keys = [jwk(str(one), read_public(KeyFiles.of(folder, one).public)) for one in current]
    put_in_place(files.jwks, json.dumps({"keys": keys}, indent=1).encode() + b"\n", PUBLIC)
    return files.jwks


def retire(folder: Path, key_id: KeyId) -> Path:
    """Take a key out of the JWKS and put it away; return where it is then."""
    files = KeyFiles.of(folder, key_id)
    target = folder / "retired" / files.private.name
    if not files.private.exists():
        cure = "`bars-gateway keys list` names those that are there."
        raise OnboardingError(f"there is no key {key_id} in {folder}", cure)
    move(files.private, target)
    if files.public.exists():
        move(files.public, target.with_name(files.public.name))
    publish(folder, key_id)
    return target


def family(files: KeyFiles) -> list[Kept]:
    """Return the keys of the same owner and environment, oldest first, the retired ones last."""
    found = kept_in(files.private.parent)
    return [kept for kept in found if kept.key_id.family == files.key_id.family]


def kept_in(folder: Path) -> list[Kept]:
    """Return the keys of *folder* by their public halves, the retired ones last."""
    return [*_kept(folder, retired=False), *_kept(folder / "retired", retired=True)]


def _kept(folder: Path, *, retired: bool) -> list[Kept]:
    found = [
        Kept(
            key_id=KeyId.parse(name),
            bits=read_public(path).key_size,
            made_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            retired=retired,
        )
        for path in files_in(folder, "*.public.pem")
        if KeyId.fits(name := path.name.removesuffix(".public.pem"))  # others are not of our making
    ]
    return sorted(found, key=lambda kept: (kept.key_id.family, kept.key_id.rotation))


def jwk(key_id: str, key: RSAPublicKey) -> dict[str, str]:
    """Return a key as the token service wants it published: public members only."""
    members = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    public = {name: str(members[name]) for name in _JWK_MEMBERS}
    return public | {"alg": "RS512", "use": "sig", "kid": key_id}


def private_pem(key: RSAPrivateKey) -> bytes:
    """Return *key* as PEM, without passphrase: a service has nobody to ask."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


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
        raise OnboardingError(f"{path} is no public RSA key in PEM form", cure)
    return key
