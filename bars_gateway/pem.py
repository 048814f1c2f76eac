"""
What a file is that should hold certificates in PEM form, and how to make PEM of it.

    bytes ──certificates──► the certificates, or NoPem: what it is, and the command that helps

Desks send certificates in half a dozen forms, and Windows saves text in another; each of them is
whole and good, and none is what OpenSSL reads here.
"""

import codecs
import shlex
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")  # the object id that a PKCS#7 file begins with
_PFX_VERSION = b"\x02\x01\x03"
_HEAD = 32  # bytes: as far in does the kind of a binary file stand
_PKCS7 = (b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----")


class NoPem(ValueError):
    """A file holds no certificates in PEM form; `cause` says what it is, `cure` what to do."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(cause)
        self.cause, self.cure = cause, cure


def certificates(data: bytes, file: Path) -> list[x509.Certificate]:
    """Return the certificates that the PEM *data* of *file* holds; raise NoPem."""
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise _described(data, file) from None


def of_pkcs7(data: bytes) -> list[x509.Certificate] | None:
    """Return the certificates of a PKCS#7 file (.p7b), in its order; None if it is none."""
    try:
        if any(mark in data for mark in _PKCS7):
            return pkcs7.load_pem_pkcs7_certificates(data)
        return pkcs7.load_der_pkcs7_certificates(data) if _is_pkcs7(data) else None
    except ValueError:
        return None


def plain(data: bytes) -> bytes:
    """Return text that Windows saved as UTF-16 as the bytes that PEM is made of."""
    if not _is_utf16(data):
        return data
    little = data.startswith(codecs.BOM_UTF16_LE) or data[1:2] == b"\0"
    text = data.decode("utf-16-le" if little else "utf-16-be", "replace")
    return text.removeprefix("\ufeff").encode("ascii", "replace")


def _described(data: bytes, file: Path) -> NoPem:
    name = shlex.quote(str(file))
    for fits, what, command in _FORMS:
        if fits(data):
            return NoPem(f"is {what}, and no certificate in PEM form", command.format(file=name))
    return NoPem("holds no certificate in PEM form", "It begins with -----BEGIN CERTIFICATE-----.")


def _is_utf16(data: bytes) -> bool:
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"-\0-\0", b"\0-\0-")
    return data.startswith(marks)


def _is_pkcs7(data: bytes) -> bool:
    return any(mark in data for mark in _PKCS7) or _SIGNED_DATA in data[:_HEAD]


def _is_der(data: bytes) -> bool:
    try:
        x509.load_der_x509_certificate(data)
    except ValueError:
        return False
    return True


# The first that fits counts.
_FORMS: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (_is_utf16, "text in UTF-16", "Save it again: iconv -f UTF-16 -t ASCII {file} > NEW.pem"),
    (
        lambda data: any(mark in data for mark in _PKCS7),
        "PKCS#7 (.p7b)",
        "openssl pkcs7 -print_certs -in {file} -out NEW.pem, and put our own first",
    ),
    (
        _is_pkcs7,
        "PKCS#7 (.p7b) in binary form",
        "openssl pkcs7 -inform DER -print_certs -in {file} -out NEW.pem, and put our own first",
    ),
    (_is_der, "a certificate in DER form", "openssl x509 -inform DER -in {file} -out NEW.pem"),
    (
        lambda data: _PFX_VERSION in data[:_HEAD] and data.startswith(b"\x30"),
        "PKCS#12 (.pfx, .p12)",
        "bars-gateway certificate install {file} takes it apart, key and certificate",
    ),
    (
        lambda data: b"CERTIFICATE REQUEST-----" in data,
        "the request for a certificate",
        "Name the file that the desk sent in answer to it.",
    ),
    (
        lambda data: b"PRIVATE KEY-----" in data,
        "a private key",
        "Name the file that begins with -----BEGIN CERTIFICATE-----.",
    ),
)
