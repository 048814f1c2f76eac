"""
Reads private keys, and proves of those that sign that they do.

    PEM ──private_key──► key ──signs──► what it signed, its public half accepts

The library's own proof of an RSA key tests whether its parts are prime: a third of a second for one
of 4096 bits, each time that it is read. What we need to know is less, and is shown by doing it.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_SIGNED = b"whether this key signs"


def private_key(pem: bytes) -> PrivateKeyTypes:
    """
    Return the key in *pem*, of which nothing is proven.

    Raises ValueError or UnsupportedAlgorithm where it holds none, TypeError where it is locked.
    """
    return load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)


def signs(key: RSAPrivateKey) -> bool:
    """Tell whether the public half accepts what *key* has signed; milliseconds, so in a thread."""
    try:
        signature = key.sign(_SIGNED, padding.PKCS1v15(), hashes.SHA512())
        key.public_key().verify(signature, _SIGNED, padding.PKCS1v15(), hashes.SHA512())
    except (InvalidSignature, ValueError):
        return False
    return True
