"""Loads the key that signs our JWTs: once, because parsing 4096 bits of PEM takes 0.4 s."""

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bars_gateway.errors import IdentityError

# Without O_NONBLOCK a pipe in the key's place would be waited for, for ever.
_OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


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
