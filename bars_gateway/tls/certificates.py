"""
Certificates as files hold them, and whether one ends in an authority that is trusted.

    bytes ──from_pem──► the certificates, or NoPem: what it is, and the command that helps

    leaf, and what came with it ─┐
    authorities, with their roots ┴─flaw─► None, or where the way up breaks off

Certificates are sent in half a dozen forms, and Windows saves text in another; each of them is
whole and good, and none is what OpenSSL reads here.

OpenSSL judges a chain while somebody connects, and tells nobody beforehand. Here the same is asked
of a file that is not in use yet, and of a caller who is not there: a chain has to end in a root,
which signed itself, and that root has to be in the file.
"""

import codecs
import shlex
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7

_LONGEST = 8  # certificates above the leaf: no chain has so many, and a circle would have more
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")  # the object id that a PKCS#7 file begins with
_PFX_VERSION = b"\x02\x01\x03"
_HEAD = 32  # bytes: as far in does the kind of a binary file stand
_PKCS7 = (b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----")


def issued_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """Tell whether *upper* issued *lower*, by name and by signature."""
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether *certificate* may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_root(certificate: x509.Certificate) -> bool:
    """Tell whether *certificate* signed itself."""
    return issued_by(certificate, certificate)


def flaw(
    presented: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> str | None:
    """
    Return why the chain that a caller *presented* does not end in *authorities*, or None.

    The leaf comes first. Its own dates and purpose are not looked at: they are its holder's.
    """
    leaf, *brought = presented
    return _climb(leaf, authorities, brought, now, 0)


def rootless(authorities: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Return those *authorities* whose chain ends in no root among them, whatever the date."""
    roots = {_holder(each) for each in authorities if is_root(each)}
    return [
        each
        for each in authorities
        if _holder(each) not in roots and _climb(each, authorities, (), None, 0) is not None
    ]


def dns_names(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names among the alternative names; none where there are no such names."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def _climb(
    lower: x509.Certificate,
    authorities: Sequence[x509.Certificate],
    brought: Sequence[x509.Certificate],
    now: datetime | None,
    height: int,
) -> str | None:
    if lower in authorities and is_root(lower):
        return None
    above = [
        upper
        for upper in (*authorities, *brought)
        if upper.subject == lower.issuer and upper != lower and issued_by(lower, upper)
    ]
    if not above or height >= _LONGEST:
        return f"its chain ends below {lower.issuer.rfc4514_string()}, which is not in the file"
    flaws = []
    for upper in above:
        found = _unfit(upper, now, height) or _climb(upper, authorities, brought, now, height + 1)
        if found is None:
            return None
        flaws.append(found)
    return flaws[0]


def _unfit(upper: x509.Certificate, now: datetime | None, height: int) -> str | None:
    """Return why *upper*, with *height* authorities below it, signs nobody at *now*, or None."""
    name = upper.subject.rfc4514_string()
    if now is not None and upper.not_valid_after_utc <= now:
        return f"{name} ended on {upper.not_valid_after_utc:%d %b %Y}"
    if now is not None and upper.not_valid_before_utc > now:
        return f"{name} is not valid before {upper.not_valid_before_utc:%d %b %Y %H:%M} UTC"
    if not is_authority(upper) or not _signs(upper) or height > _below(upper):
        return f"{name} may not have signed it"
    return None


def _signs(upper: x509.Certificate) -> bool:
    try:
        return upper.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _below(upper: x509.Certificate) -> int:
    """Return how many authorities may stand between *upper* and a leaf."""
    length = upper.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    return _LONGEST if length is None else length


def _holder(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """Return name and key: one authority may have several certificates, for one and the same."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.subject.public_bytes(), key


def names_of(certificates: Iterable[x509.Certificate]) -> str:
    """Return their whole names, for people."""
    return ", ".join(each.subject.rfc4514_string() for each in certificates)


class NoPem(ValueError):
    """A file holds no certificates in PEM form; `cause` says what it is, `cure` what to do."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(cause)
        self.cause, self.cure = cause, cure


def from_pem(data: bytes, file: Path) -> list[x509.Certificate]:
    """Return the certificates that the PEM *data* of *file* holds; raise NoPem."""
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise _described(data, file) from None


def from_pkcs7(data: bytes) -> list[x509.Certificate] | None:
    """Return the certificates of a PKCS#7 file (.p7b), in its order; None if it is none."""
    try:
        if any(mark in data for mark in _PKCS7):
            return pkcs7.load_pem_pkcs7_certificates(data)
        return pkcs7.load_der_pkcs7_certificates(data) if _is_pkcs7(data) else None
    except ValueError:
        return None


def decoded(data: bytes) -> bytes:
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
