"""Loads the key that signs our JWTs: once, because parsing 4096 bits of PEM takes 0.4 s."""

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bars_gateway.errors import IdentityError


def load_signing_key(path: Path, minimum_bits: int) -> RSAPrivateKey:
    """
    Return the RSA key in the PEM file at *path*; slow, so call it in a thread.

    Raises IdentityError where it is missing, readable by others, locked, no RSA key, or
    shorter than *minimum_bits*.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        # systemd grants a credential of group root by an access list, which shows as group bits.
        exposed = stat.S_IRWXO if status.st_gid == 0 else stat.S_IRWXO | stat.S_IRWXG
        if status.st_mode & exposed:
            raise IdentityError(f"{path}: others can read this key; its mode should be 0600")
        pem = file.read()
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise IdentityError(f"{path}: holds no private key in PEM form, or a locked one") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < minimum_bits:
        raise IdentityError(f"{path}: is no RSA key of {minimum_bits} bits or more")
    return key
