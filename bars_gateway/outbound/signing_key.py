"""
The keys that sign our JWTs: loaded once, and which of them to try first.

    key_id, former_keys ──► KeyRing ──in_turn──► the first that the token service knows

The token service keeps its copy of our public keys for an hour and does not look again
for a key that it does not know. So a key that it refused rests for an hour, and the one
before it signs meanwhile: that is how a new key comes into use without a gap.

Decisions: D-key-files.
"""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bars_gateway.errors import IdentityError

# Without O_NONBLOCK a pipe in the key's place would be waited for, for ever.
_OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
REST_SECONDS = 3600.0  # as long as the token service keeps its copy


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key with the name that its public half is registered under."""

    key_id: str
    key: RSAPrivateKey  # parsed once: parsing a PEM of 4096 bits takes 0.4 s


class KeyRing:
    """The keys of one provider, in the order in which they are to be tried."""

    def __init__(self, keys: Sequence[SigningKey], *, monotonic: Callable[[], float]) -> None:
        self._keys = keys
        self._monotonic = monotonic
        self._rests_until: dict[str, float] = {}

    @property
    def refused(self) -> Sequence[str]:
        """The ids of those that the service refused within the last hour."""
        return [key.key_id for key in self._keys if self._rests(key)]

    def in_turn(self) -> Sequence[SigningKey]:
        """Return the keys as preferred, those that rest behind the others."""
        return sorted(self._keys, key=self._rests)

    def refuse(self, key: SigningKey) -> None:
        """Let *key* rest: the service does not know it, and will not for up to an hour."""
        self._rests_until[key.key_id] = self._monotonic() + REST_SECONDS

    def accept(self, key: SigningKey) -> None:
        """Note that the service knows *key*."""
        self._rests_until.pop(key.key_id, None)

    def replace(self, keys: Sequence[SigningKey]) -> None:
        """Use *keys* from now on; what was known of the old ones is forgotten."""
        self._keys = keys
        self._rests_until.clear()

    def _rests(self, key: SigningKey) -> bool:
        return self._monotonic() < self._rests_until.get(key.key_id, 0.0)


def load_signing_key(path: Path, minimum_bits: int) -> RSAPrivateKey:
    """
    Return the RSA key in the PEM file at *path*; slow, so call it in a thread.

    Raises IdentityError where it is missing, no file, readable by others, locked, no RSA
    key, or shorter than *minimum_bits*.
    """
    try:
        descriptor = os.open(path, _OPENING)
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}") from None
    try:
        pem = _read_private(path, descriptor)
    finally:
        os.close(descriptor)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise IdentityError(f"{path}: holds no private key in PEM form, or a locked one") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < minimum_bits:
        raise IdentityError(f"{path}: is no RSA key of {minimum_bits} bits or more")
    return key


def _read_private(path: Path, descriptor: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise IdentityError(f"{path}: is no file")
    # systemd grants a credential of group root by an access list, which shows as group bits.
    exposed = stat.S_IRWXO if status.st_gid == 0 else stat.S_IRWXO | stat.S_IRWXG
    if status.st_mode & exposed:
        raise IdentityError(f"{path}: others can read this key; its mode should be 0600")
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()
