"""
Certificates and keys as files hold them: whether one ends in a trusted authority, or is revoked.

    bytes ──from_pem──► the certificates, or NoPem: what it is, and the command that helps

    leaf, and what came with it ─┐
    authorities, with their roots ┴─flaw─► None, or where the way up breaks off

    lists ──load_revocations──► Revocations ──status_of──► good │ revoked │ unknown

    PEM ──private_key──► key ──signs──► what it signed, its public half accepts

Certificates are sent in half a dozen forms, and Windows saves text in another; each of them is
whole and good, and none is what OpenSSL reads here.

OpenSSL judges a chain while somebody connects, and tells nobody beforehand. Here the same is asked
of a file that is not in use yet, and of a caller who is not there: a chain has to end in a root,
which signed itself, and that root has to be in the file.

OpenSSL could look into the certificate revocation lists itself, but has no middle way: with it, a
list that is a day late shuts everybody out. Here the three cases are told apart, and whoever asks
decides about the third. The lists come as files; to fetch them is another program's work.

The library's own proof of an RSA key tests whether its parts are prime: a third of a second for one
of 4096 bits, each time that it is read. What we need to know is less, and is shown by doing it.

Decisions: D-revocation.
"""

import codecs
import shlex
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    pkcs7,
)

from bars_gateway.errors import IdentityError
from bars_gateway.frozen import frozen

_LONGEST = 8  # certificates above the leaf: no chain has so many, and a circle would have more
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")  # the object id that a PKCS#7 file begins with
_PFX_VERSION = b"\x02\x01\x03"
_HEAD = 32  # bytes: as far in does the kind of a binary file stand
_PKCS7 = (b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----")
_PEM = b"-----BEGIN X509 CRL-----"
_SIGNED = b"whether this key signs"


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
        with warnings.catch_warnings():
            # That its set is not sorted, as OpenSSL writes it, is nothing that a person could mend.
            warnings.filterwarnings("ignore", "PKCS#7 certificates could not be parsed as DER")
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
        "bars-gateway certificate install {file} --why TEXT takes it apart, key and certificate",
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


class RevocationStatus(Enum):
    """What is known of a certificate."""

    GOOD = auto()
    REVOKED = auto()
    UNKNOWN = auto()  # no list of its authority covers it, or the list is out of date


@frozen(kw_only=True)
class RevocationList:
    """One list, or one part of an authority's list."""

    serials: frozenset[int]
    points: frozenset[str]  # where its part is published; empty: it covers every certificate
    issued_at: datetime
    next_update: datetime


@frozen
class Revocations:
    """Every list that was loaded, by the name of its authority in DER."""

    lists: Mapping[bytes, Sequence[RevocationList]] = field(default_factory=dict)

    @property
    def next_update(self) -> datetime | None:
        """When (UTC) the first of the lists is out of date; None where there is no list."""
        ends = [each.next_update for lists in self.lists.values() for each in lists]
        return min(ends, default=None)

    def status_of(
        self, issuer: bytes, serial: int, points: frozenset[str], now: datetime
    ) -> RevocationStatus:
        """
        Return what is known of the certificate *serial* of *issuer* (a name in DER).

        *points* is where the certificate says that its list is published. A list that is
        out of date still counts for what it holds: nobody is un-revoked by time.
        """
        lists = self.lists.get(issuer, ())
        if any(serial in each.serials for each in lists):
            return RevocationStatus.REVOKED
        covered = any(
            now < each.next_update and (not each.points or each.points & points) for each in lists
        )
        return RevocationStatus.GOOD if covered else RevocationStatus.UNKNOWN


def load_revocations(files: Iterable[Path], authorities: Sequence[x509.Certificate]) -> Revocations:
    """Return the lists in these files (PEM or DER), or raise IdentityError with the cause."""
    lists: dict[bytes, list[RevocationList]] = {}
    for file in files:
        found = _read(file)
        if not any(_is_signed_by(found, authority) for authority in authorities):
            raise IdentityError(f"{file}: is signed by none of the callers' authorities")
        lists.setdefault(found.issuer.public_bytes(), []).append(_list(found, file))
    return Revocations(lists)


def points_of(certificate: x509.Certificate | x509.CertificateRevocationList) -> frozenset[str]:
    """Return the addresses at which a certificate's list, or this list, is published."""
    found: list[x509.GeneralName] = []
    for extension in certificate.extensions:
        match extension.value:
            case x509.CRLDistributionPoints() as points:
                found += [name for point in points for name in point.full_name or ()]
            case x509.IssuingDistributionPoint(full_name=names):
                found += names or ()
    return frozenset(n.value for n in found if isinstance(n, x509.UniformResourceIdentifier))


def _read(file: Path) -> x509.CertificateRevocationList:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise IdentityError(f"{file}: {error.strerror}") from error
    try:
        if _PEM in content:
            return x509.load_pem_x509_crl(content)
        return x509.load_der_x509_crl(content)
    except ValueError as error:
        raise IdentityError(f"{file}: holds no revocation list") from error


def _is_signed_by(found: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if found.issuer != authority.subject:
        return False
    try:
        return found.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (TypeError, UnsupportedAlgorithm):  # a kind of key that signs no lists
        return False


def _list(found: x509.CertificateRevocationList, file: Path) -> RevocationList:
    if any(isinstance(extension.value, x509.DeltaCRLIndicator) for extension in found.extensions):
        raise IdentityError(f"{file}: is a delta list; only whole revocation lists are read")
    return RevocationList(
        serials=frozenset(revoked.serial_number for revoked in found),
        points=points_of(found),
        issued_at=found.last_update_utc,
        # Without an end it is out of date at once: nobody says how long to believe it.
        next_update=found.next_update_utc or datetime.min.replace(tzinfo=UTC),
    )


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
