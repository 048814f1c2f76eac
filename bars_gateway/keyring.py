"""
Encrypts what is stored of patients, and lets a patient's messages be found without their number.

    key ring, a file ─► keys, the last of which is current ─┬─HKDF─► encrypts   AES-256-GCM
                                                            └─HKDF─► hashes NHS numbers   HMAC

What is encrypted says by which key, so that one ring opens what several keys have encrypted, and
a key is changed without a pause. It is bound to where it stands: the same bytes in another row, or
another column, are refused as spoilt ones are.

    NUL bg1 · length of the key's id · the id · nonce, 12 random bytes · what AES-GCM makes of it

A ring is a file of lines. A key stands in it for as long as a database, or a backup, needs it:

    key 2026-11-29-7f3a91c2 BASE64          the last one encrypts; the others only open
    copied 2026-11-29T15:00:00Z 2026-11-29-7f3a91c2     which keys a copy was made of, elsewhere

A tidy-minded reader would hash a number without a key. There are a thousand million NHS numbers, so
that whoever has the file would undo such a hash in minutes. How numbers are found in a message:
`standard.nhs_numbers`.

Decisions: D-encryption, D-subject-hash.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bars_gateway.errors import KeyRingUnusable, PayloadDamaged
from bars_gateway.frozen import frozen

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_MARK = b"\0bg1"  # neither JSON nor XML begins with it
_PROOF = b"bars-gateway"
_NONCE_BYTES = 12
_HASH_DIGITS = 32  # of the HMAC, in hex: 128 bits
_TEXT_MARK = "encrypted:"
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_HEAD = """\
# The keys that encrypt what the gateway stores of patients. The last one is used; the others open
# what was stored before. Without this file nobody can read the database or its backups: keep a copy
# elsewhere (`bars-gateway encryption copy FILE --why TEXT`), and never beside the backups.
"""


@frozen(kw_only=True)
class RingKey:
    """One key of a ring."""

    key_id: str  # as it stands with each row; says when it was made
    secret: bytes = field(repr=False)


@frozen(kw_only=True)
class EncryptionRing:
    """The keys of one installation, the oldest first."""

    keys: Sequence[RingKey]
    copied: Mapping[str, datetime] = field(default_factory=dict)  # when a copy was made of each

    @property
    def current(self) -> RingKey:
        """The key that encrypts."""
        return self.keys[-1]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the ring in *text*; raise KeyRingUnusable with the line that is wrong."""
        found: dict[str, RingKey] = {}
        copied: dict[str, datetime] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "key" and len(words) == len(("key", "id", "secret")):
                key = _key_of(words[1], words[2], number)
                if key.key_id in found:
                    raise KeyRingUnusable(f"line {number}: the key {key.key_id} is there twice")
                found[key.key_id] = key
            elif words[0] == "copied" and (at := _instant(words[1:2])) is not None:
                copied |= dict.fromkeys(words[2:], at)
            else:
                raise KeyRingUnusable(f'line {number} is neither "key ID BASE64" nor "copied …"')
        if not found:
            raise KeyRingUnusable("it holds no key")
        return cls(keys=tuple(found.values()), copied=copied)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return the ring in *file*; raise KeyRingUnusable, which names it."""
        try:
            return cls.parse(file.read_text("utf-8"))
        except UnicodeDecodeError:
            raise KeyRingUnusable(f"{file} is not text") from None
        except OSError as error:
            raise KeyRingUnusable(f"{file} cannot be read: {error.strerror}") from error
        except KeyRingUnusable as error:
            raise KeyRingUnusable(f"{file}: {error}") from None

    @property
    def text(self) -> str:
        """The ring as it stands in its file."""
        keys = (
            f"key {each.key_id} {base64.b64encode(each.secret).decode()}\n" for each in self.keys
        )
        copies = (
            f"copied {at.isoformat(timespec='seconds')} {key_id}\n"
            for key_id, at in self.copied.items()
        )
        return "".join((_HEAD, *keys, *copies))


def new_key(now: datetime) -> RingKey:
    """Return a new key, whose id says when it was made."""
    return RingKey(key_id=f"{now:%Y-%m-%d}-{os.urandom(4).hex()}", secret=os.urandom(KEY_BYTES))


def _key_of(key_id: str, encoded: str, number: int) -> RingKey:
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if _KEY_ID.fullmatch(key_id) is None or len(secret) != KEY_BYTES:
        raise KeyRingUnusable(f"line {number} is not an id and {KEY_BYTES} bytes in base64")
    return RingKey(key_id=key_id, secret=secret)


def _instant(words: Sequence[str]) -> datetime | None:
    try:
        return datetime.fromisoformat(words[0])
    except (IndexError, ValueError):
        return None


@frozen(slots=False)
class _Opened:
    """What is made of one key, once; the library is loaded for that, and not for a look at ids."""

    cipher: "AESGCM"
    hashing: bytes
    spoilt: type[Exception]  # what the cipher raises

    @classmethod
    def of(cls, key: RingKey) -> Self:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        cipher = AESGCM(_derived(key, b"encryption"))
        return cls(cipher, _derived(key, b"hashing NHS numbers"), InvalidTag)


def _derived(key: RingKey, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derive = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"bars-gateway " + purpose)
    return derive.derive(key.secret)


class Vault:
    """
    Encrypts what is written, opens what is read. Without a ring it does neither.

    One vault serves all connections to a database, from any thread. It may be given a new ring
    while they work: one with every key of the old that is still needed.
    """

    def __init__(
        self, ring: EncryptionRing | None = None, *, encrypts: bool = True, file: Path | None = None
    ) -> None:
        """*encrypts*: whether what is written is. *file*: where the ring is, for people."""
        self.file = file
        self._keys: Mapping[str, _Opened] = {}
        self.key_id: str | None = None  # of the key that encrypts now; None: all stays as it is
        self.hash_id: str | None = None  # of the key by which numbers are hashed; None: none is
        if ring is not None:
            self.use(ring, encrypts=encrypts)

    def use(self, ring: EncryptionRing, *, encrypts: bool) -> None:
        """Go on with *ring*."""
        # What opens comes first: another thread may open what has been encrypted this moment.
        self._keys = {each.key_id: _Opened.of(each) for each in ring.keys}
        self.hash_id = ring.current.key_id
        self.key_id = ring.current.key_id if encrypts else None

    @property
    def has_ring(self) -> bool:
        """Whether there is a ring at all."""
        return self.hash_id is not None

    def has(self, key_id: str) -> bool:
        """Tell whether the ring has that key."""
        return key_id in self._keys

    def proof(self, key_id: str) -> bytes:
        """Return what that key alone opens, encrypted by it, which encrypts now."""
        return self.encrypt(_PROOF, "keyring", key_id)

    def proves(self, key_id: str, proof: bytes) -> bool:
        """Tell whether the ring's key of that name is the one that made *proof*."""
        try:
            return self.open(proof, "keyring", key_id) == _PROOF
        except PayloadDamaged:
            return False

    def encrypt(self, plain: bytes, *place: object) -> bytes:
        """Return *plain* encrypted, to be opened at that *place* alone; as it is without a key."""
        key_id = self.key_id
        if key_id is None:
            return plain
        head = _MARK + bytes([len(key_id)]) + key_id.encode()
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._keys[key_id].cipher
        return head + nonce + cipher.encrypt(nonce, plain, _bound(head, place))

    def open(self, stored: bytes, *place: object) -> bytes:
        """Return what was encrypted for that *place*, or *stored* itself; raise PayloadDamaged."""
        key_id = encrypted_by(stored)
        if key_id is None:
            return stored
        found = self._keys.get(key_id)
        if found is None:
            raise PayloadDamaged(f"it is encrypted by the key {key_id}, which is not in the ring")
        end = len(_MARK) + 1 + len(key_id)
        head, nonce, encrypted = stored[:end], stored[end : end + 12], stored[end + 12 :]
        try:
            return found.cipher.decrypt(nonce, encrypted, _bound(head, place))
        except (found.spoilt, ValueError):
            raise PayloadDamaged(
                "it cannot be decrypted: spoilt, moved, or of a wrong key"
            ) from None

    def encrypt_text(self, plain: str, *place: object) -> str:
        """Return *plain* encrypted, for a column that holds text."""
        if self.key_id is None:
            return plain
        return _TEXT_MARK + base64.b64encode(self.encrypt(plain.encode(), *place)).decode()

    def open_text(self, stored: str, *place: object) -> str:
        """Return what was encrypted for that *place*, or *stored* itself; raise PayloadDamaged."""
        if not stored.startswith(_TEXT_MARK):
            return stored
        return self.open(unarmoured(stored), *place).decode()

    def hashes(self, numbers: Iterable[str]) -> list[str]:
        """Return the hash of each of the *numbers*; without a ring, nothing."""
        if self.hash_id is None:
            return []
        return [self.hash_of(number, self.hash_id) for number in sorted(numbers)]

    def hash_of(self, number: str, key_id: str) -> str:
        """Return by what messages of *number* are found that were hashed by that key."""
        made = hmac.digest(self._keys[key_id].hashing, number.encode(), hashlib.sha256)
        return made.hex()[:_HASH_DIGITS]

    def every_hash_of(self, number: str) -> list[str]:
        """Return by what messages of *number* are found, whichever key of the ring hashed it."""
        return [self.hash_of(number, key_id) for key_id in self._keys]

    def blinded(self, fingerprint: str) -> str:
        """Return a fingerprint of few possible things so that nobody can try them all."""
        return fingerprint if self.hash_id is None else self.hash_of(fingerprint, self.hash_id)


CLEAR = Vault()  # nothing is encrypted


def encrypted_by(stored: bytes) -> str | None:
    """Return the id of the key that *stored* was encrypted by; None: it is not encrypted."""
    if stored[: len(_MARK)] != _MARK or len(stored) <= len(_MARK):
        return None
    begin = len(_MARK) + 1
    return stored[begin : begin + stored[begin - 1]].decode("ascii", "replace")


def unarmoured(stored: str) -> bytes:
    """Return what a encrypted text holds, as `encrypt` made it; of any other text, its bytes."""
    if not stored.startswith(_TEXT_MARK):
        return stored.encode()
    try:
        return base64.b64decode(stored.removeprefix(_TEXT_MARK), validate=True)
    except (binascii.Error, ValueError):
        raise PayloadDamaged("it cannot be decrypted: it is spoilt") from None


def _bound(head: bytes, place: Sequence[object]) -> bytes:
    return head + b"\0" + "\0".join(map(str, place)).encode()
