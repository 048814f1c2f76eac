"""
Takes a certificate from the desk's file to where the gateway reads it.

    PEM, DER, PKCS#7, PKCS#12 ──read_delivered──► Delivered ──install──► certificate and key
                                                                 └──► previous/  what was there

The key is written first and the certificate right after it; a running gateway waits
until both have rested before it looks (`reloading`). Should the machine stop between
the two, the same command completes it.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from bars_gateway import pem
from bars_gateway.config import Settings
from bars_gateway.errors import OnboardingError
from bars_gateway.onboarding.certificates import Delivered, same_key
from bars_gateway.onboarding.csr import requests_in
from bars_gateway.onboarding.files import PRIVATE, PUBLIC, make_folder, put_in_place, read
from bars_gateway.tls.chains import is_authority

_PEM = b"-----BEGIN "


def read_delivered(
    settings: Settings, file: Path, key_file: Path | None = None, password: bytes | None = None
) -> Delivered:
    """
    Return what is in *file*, with the key that belongs to it.

    The key is that of *key_file*, else the one in the file (PKCS#12), else that of the
    request which the certificate answers, else the one in use.
    """
    data = pem.plain(read(file))
    bundle = pem.of_pkcs7(data)
    if bundle:
        chain, key = _upwards(bundle), None
    else:
        chain, key = _pem_chain(data, file) if _PEM in data else _binary(data, file, password)
    if key_file is not None:
        key = read_key(key_file)
    trusted = settings.inbound.client_ca_file
    return Delivered(
        chain=tuple(_leaf_first(chain, key)),
        key=key or _known_key(settings, chain[0]),
        trusted=tuple(_pem_chain(read(trusted), trusted)[0]) if trusted.is_file() else (),
    )


def is_locked(file: Path) -> bool:
    """Tell whether *file* looks like PKCS#12 that asks for a password."""
    data = pem.plain(read(file))
    if _PEM in data or pem.of_pkcs7(data):
        return False
    try:
        _binary(data, file, None)
    except OnboardingError:
        return True
    return False


def install(delivered: Delivered, settings: Settings, now: datetime) -> list[Path]:
    """Put certificate and key where the settings name them; return what was kept of before."""
    assert delivered.key is not None, "it was judged first"
    inbound = settings.inbound
    targets = (inbound.private_key_file, inbound.certificate_file)
    kept = [_keep(target, now) for target in targets if target.is_file()]
    for target in targets:
        make_folder(target.parent)
    put_in_place(inbound.private_key_file, key_pem(delivered.key), PRIVATE)
    put_in_place(inbound.certificate_file, chain_pem(delivered.chain), PUBLIC)
    return kept


def read_key(file: Path) -> PrivateKeyTypes:
    """Return the private key in the PEM *file*."""
    try:
        return load_pem_private_key(read(file), password=None)
    except TypeError:
        cure = "Store it without one: openssl pkey -in FILE -out OTHER, mode 0600."
        raise OnboardingError(f"{file} is locked with a passphrase", cure) from None
    except ValueError:
        cure = "Name the file that begins with -----BEGIN PRIVATE KEY-----."
        raise OnboardingError(f"{file} holds no private key in PEM form", cure) from None


def chain_pem(chain: Iterable[x509.Certificate]) -> bytes:
    """Return the certificates as PEM, in their order."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def key_pem(key: PrivateKeyTypes) -> bytes:
    """Return a key as PEM, without passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _pem_chain(data: bytes, file: Path) -> tuple[list[x509.Certificate], PrivateKeyTypes | None]:
    try:
        return pem.certificates(data, file), None
    except pem.NoPem as error:
        raise OnboardingError(f"{file} {error.cause}", error.cure) from None


def _binary(
    data: bytes, file: Path, password: bytes | None
) -> tuple[list[x509.Certificate], PrivateKeyTypes | None]:
    try:
        return [x509.load_der_x509_certificate(data)], None
    except ValueError:
        pass
    try:
        found = pkcs12.load_pkcs12(data, password)
    except ValueError:
        cure = "Give its password: --password-file. PEM, DER, PKCS#7 and PKCS#12 are understood."
        cause = f"{file} is no certificate, or its password is another one"
        raise OnboardingError(cause, cure) from None
    certificates = [found.cert, *found.additional_certs]
    chain = [one.certificate for one in certificates if one is not None]
    if not chain:
        raise OnboardingError(f"{file} holds no certificate", "Ask for the certificate itself.")
    return chain, found.key


def _leaf_first(
    chain: list[x509.Certificate], key: PrivateKeyTypes | None
) -> list[x509.Certificate]:
    """Return *chain* from the leaf upwards where a PKCS#12 file has it in no order."""
    return chain if key is None or not same_key(chain[0], key) else _sorted(chain)


def _upwards(bundle: list[x509.Certificate]) -> list[x509.Certificate]:
    """Return the certificates of a PKCS#7 file, which has no order, from the leaf upwards."""
    return _sorted(sorted(bundle, key=is_authority))


def _sorted(chain: list[x509.Certificate]) -> list[x509.Certificate]:
    ordered, rest = [chain[0]], chain[1:]
    while upper := next((one for one in rest if one.subject == ordered[-1].issuer), None):
        ordered.append(upper)
        rest.remove(upper)
    return [*ordered, *rest]


def _known_key(settings: Settings, leaf: x509.Certificate) -> PrivateKeyTypes | None:
    made = [request.key_file for request in reversed(requests_in(settings))]
    for file in (*made, settings.inbound.private_key_file):
        if file.is_file() and same_key(leaf, key := read_key(file)):
            return key
    return None


def _keep(file: Path, now: datetime) -> Path:
    folder = file.parent / "previous"
    make_folder(folder, 0o700)
    copy = folder / f"{now:%Y%m%dT%H%M%S}-{file.name}"
    put_in_place(copy, read(file), PRIVATE)
    return copy
