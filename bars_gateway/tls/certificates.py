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

The library reads strictly, and all of a certificate's extensions or none; OpenSSL reads what it
needs. So a caller whom OpenSSL lets in is judged by what OpenSSL has read. Of our own files what
must be read is said to be unreadable, and what may be missing counts as missing.

The library's own proof of an RSA key tests whether its parts are prime: a third of a second for one
of 4096 bits, each time that it is read. What we need to know is less, and is shown by doing it.

Decisions: D-revocation.
"""

import codecs
import re
import shlex
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    pkcs7,
)

from bars_gateway.errors import IdentityError
from bars_gateway.frozen import frozen

WEAK = frozenset({"md5", "sha1"})  # hashes with which nobody's signature is taken any more
_LONGEST = 8  # certificates above the leaf: no chain has so many, and a circle would have more
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")  # the object id that a PKCS#7 file begins with
_PFX_VERSION = b"\x02\x01\x03"
_JKS = bytes.fromhex("feedfeed")
_HEAD = 32  # bytes: as far in does the kind of a binary file stand
_PKCS7 = (b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----")
_LIST_BEGINS = b"-----BEGIN X509 CRL-----"
_LIST = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_BEGUN = re.compile(rb"-----BEGIN (X509 )?CERTIFICATE-----")
_ONE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_TRUSTED = b"-----BEGIN TRUSTED CERTIFICATE-----"
# What the library raises where it cannot read one; it has no common name for them.
ILLEGIBLE = (
    ValueError,
    KeyError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_LONGEST_REASON = 200
_SIGNED = b"whether this key signs"

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
# An authority's whole name, part by part, whatever kind of text it is written in.
AuthorityName = tuple[frozenset[str], ...]


def issued_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """
    Tell whether *upper* issued *lower*, by name and by signature.

    The library's own answer minds capitals, blanks and the kind of text in a name, as OpenSSL and
    RFC 5280 (7.1) do not: authorities that renew their certificate with other software change them.
    """
    digest = lower.signature_hash_algorithm
    return (digest is None or digest.name not in WEAK) and _has_signed(upper, lower)


def _has_signed(upper: x509.Certificate, lower: x509.Certificate) -> bool:
    """Tell whether *upper* issued *lower*, however weakly it signed it."""
    if name_of(lower.issuer) != name_of(upper.subject):
        return False
    try:
        return _verifies(upper.public_key(), lower)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False


def _verifies(key: PublicKeyTypes, lower: x509.Certificate) -> bool:
    signed, how = (
        (lower.signature, lower.tbs_certificate_bytes),
        lower.signature_algorithm_parameters,
    )
    digest = lower.signature_hash_algorithm
    match key, how:
        case RSAPublicKey(), padding.PKCS1v15() | padding.PSS() if digest is not None:
            key.verify(*signed, how, digest)
        case EllipticCurvePublicKey(), ECDSA():
            key.verify(*signed, how)
        case Ed25519PublicKey() | Ed448PublicKey(), None:
            key.verify(*signed)
        case _:
            return False
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether *certificate* may sign others."""
    found = extension_of(certificate, x509.BasicConstraints)
    return found is not None and found.ca


def is_root(certificate: x509.Certificate) -> bool:
    """
    Tell whether *certificate* signed itself.

    With SHA-1, too, as many roots did, or with a key of a kind that the library does not read:
    nobody's trust rests on what a root says of itself.
    """
    if public_key(certificate) is None:
        return name_of(certificate.issuer) == name_of(certificate.subject)
    return _has_signed(certificate, certificate)


def public_key(owner: x509.Certificate | PrivateKeyTypes) -> bytes | None:
    """Return the public key in DER; None where it is of a kind that the library does not read."""
    try:
        return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None


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


def last_to_end(authorities: Sequence[x509.Certificate]) -> x509.Certificate:
    """Return the authority, a root where there are any, after whose end nobody gets in."""
    roots = [each for each in authorities if is_root(each)]
    return max(roots or authorities, key=lambda each: each.not_valid_after_utc)


def dns_names(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names among the alternative names; none where there are no such names."""
    found = extension_of(certificate, x509.SubjectAlternativeName)
    return [] if found is None else found.get_values_for_type(x509.DNSName)


def extension_of(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """Return that extension; None where it has none, or its extensions cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, *ILLEGIBLE):
        return None


def why_illegible(certificate: x509.Certificate) -> str | None:
    """Return what the library has to say where it cannot read the extensions, or None."""
    try:
        _ = certificate.extensions
    except ILLEGIBLE as error:
        return _reason(error)
    return None


def is_legible(encoded: bytes) -> bool:
    """Tell whether the library reads the certificate in DER, its extensions apart."""
    try:
        _read_names(x509.load_der_x509_certificate(encoded))
    except ILLEGIBLE:
        return False
    return True


def _read_names(certificate: x509.Certificate) -> None:
    """Read what the library reads only when it is asked for it."""
    _ = certificate.subject, certificate.issuer, certificate.version


def points_of(certificate: x509.Certificate) -> frozenset[str]:
    """Return the addresses at which the list is published that would revoke *certificate*."""
    points = extension_of(certificate, x509.CRLDistributionPoints) or ()
    return _addresses(name for point in points for name in point.full_name or ())


def authority_name(parts: Iterable[Iterable[str]]) -> AuthorityName:
    """Return a name of these *parts*; OpenSSL, too, minds neither case nor runs of blanks."""
    return tuple(frozenset(" ".join(value.lower().split()) for value in part) for part in parts)


def name_of(name: x509.Name) -> AuthorityName:
    """Return *name* as `authority_name` gives it."""
    return authority_name([str(each.value) for each in part] for part in name.rdns)


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
        upper for upper in (*authorities, *brought) if upper != lower and issued_by(lower, upper)
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
    usage = extension_of(upper, x509.KeyUsage)
    return usage is None or usage.key_cert_sign


def _below(upper: x509.Certificate) -> int:
    """Return how many authorities may stand between *upper* and a leaf."""
    found = extension_of(upper, x509.BasicConstraints)
    return _LONGEST if found is None or found.path_length is None else found.path_length


def _holder(certificate: x509.Certificate) -> tuple[bytes, bytes | None]:
    """Return name and key: one authority may have several certificates, for one and the same."""
    return certificate.subject.public_bytes(), public_key(certificate)


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
        found = x509.load_pem_x509_certificates(data)
        for each in found:
            _read_names(each)
    except ILLEGIBLE:
        raise _illegible(data) or _described(data, file) from None
    begun = len(_BEGUN.findall(data))
    if begun > len(found):
        # The library passes over what has no end.
        cause = f"holds {len(found)} whole certificates, and {begun} begin in it: it was cut off"
        raise NoPem(cause, "Have it sent again, or copy all of it.")
    return found


def from_pkcs7(data: bytes) -> list[x509.Certificate] | None:
    """Return the certificates of a PKCS#7 file (.p7b), in its order; None if it is none."""
    try:
        with warnings.catch_warnings():
            # OpenSSL writes its set unsorted, and no person can mend that.
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
    for fits, what, command in _FORMS:
        if fits(data):
            cure = command.format(file=shlex.quote(str(file)))
            return NoPem(f"is {what}, and no certificate in PEM form", cure)
    return NoPem("holds no certificate in PEM form", "It begins with -----BEGIN CERTIFICATE-----.")


def _illegible(data: bytes) -> NoPem | None:
    """Return which certificate of the PEM *data* cannot be read, if all that is wrong is that."""
    for place, one in enumerate(_ONE.findall(data), 1):
        try:
            _read_names(x509.load_pem_x509_certificate(one))
        except ILLEGIBLE as error:
            cause = f"holds a certificate (number {place}) that cannot be read: {_reason(error)}"
            cure = "Have it sent again; if it is as it was made, ask for one in plain DER (X.690)."
            return NoPem(cause, cure)
    return None


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:_LONGEST_REASON]


def _is_utf16(data: bytes) -> bool:
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"-\0-\0", b"\0-\0-")
    return data.startswith(marks)


def is_java_keystore(data: bytes) -> bool:
    """Tell whether *data* is a keystore of Java's own kind, which nothing else reads."""
    return data.startswith(_JKS)


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
    (
        lambda data: _TRUSTED in data,
        "a certificate with OpenSSL's own remarks on it (TRUSTED CERTIFICATE)",
        "openssl x509 -in {file} -out NEW.pem",
    ),
    (_is_der, "a certificate in DER form", "openssl x509 -inform DER -in {file} -out NEW.pem"),
    (
        lambda data: _PFX_VERSION in data[:_HEAD] and data.startswith(b"\x30"),
        "PKCS#12 (.pfx, .p12)",
        "bars-gateway certificate install {file} --why TEXT takes it apart, key and certificate",
    ),
    (
        is_java_keystore,
        "a Java keystore (JKS)",
        "keytool -importkeystore -srckeystore {file} -destkeystore NEW.p12 -deststoretype pkcs12",
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
    is_partial: bool = False  # of some reasons, or not of callers: whom it lacks may be revoked
    issued_at: datetime
    next_update: datetime


@frozen
class Revocations:
    """Every list that was loaded, by the name of its authority."""

    lists: Mapping[AuthorityName, Sequence[RevocationList]] = field(default_factory=dict)

    @property
    def next_update(self) -> datetime | None:
        """When (UTC) the first of the lists is out of date; None where there is no list."""
        ends = [each.next_update for lists in self.lists.values() for each in lists]
        return min(ends, default=None)

    def status_of(
        self, issuer: AuthorityName, serial: int, points: frozenset[str], now: datetime
    ) -> RevocationStatus:
        """
        Return what is known of the certificate *serial* of *issuer*.

        *points* is where the certificate says that its list is published. A list that is
        out of date still counts for what it holds: nobody is un-revoked by time.
        """
        lists = self.lists.get(issuer, ())
        if any(serial in each.serials for each in lists):
            return RevocationStatus.REVOKED
        covered = any(
            now < each.next_update
            and not each.is_partial
            and (not each.points or each.points & points)
            for each in lists
        )
        return RevocationStatus.GOOD if covered else RevocationStatus.UNKNOWN


def load_revocations(files: Iterable[Path], authorities: Sequence[x509.Certificate]) -> Revocations:
    """
    Return the lists in these files, or raise IdentityError with the cause.

    A file holds one list in DER, or as many as there are in PEM.
    """
    lists: dict[AuthorityName, list[RevocationList]] = {}
    for file in files:
        for found in _read(file):
            try:
                issuer, read = _believed(found, file, authorities)
            except ILLEGIBLE as error:
                cause = f"{file}: holds a list that cannot be read: {_reason(error)}"
                raise IdentityError(cause) from error
            lists.setdefault(issuer, []).append(read)
    return Revocations(lists)


def _read(file: Path) -> Iterator[x509.CertificateRevocationList]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise IdentityError(f"{file}: {error.strerror}") from error
    try:
        # The library reads the first of several, and says nothing of the others.
        written = _LIST.findall(content)
        if content.count(_LIST_BEGINS) > len(written):
            raise IdentityError(f"{file}: was cut off: a list begins in it, and does not end")
        yield from map(x509.load_pem_x509_crl, written)
        if not written:
            yield x509.load_der_x509_crl(content)
    except ILLEGIBLE as error:
        raise IdentityError(f"{file}: holds no revocation list") from error


def _believed(
    found: x509.CertificateRevocationList, file: Path, authorities: Sequence[x509.Certificate]
) -> tuple[AuthorityName, RevocationList]:
    issuer = name_of(found.issuer)
    named = [each for each in authorities if name_of(each.subject) == issuer]
    if not any(_is_signed_by(found, each) for each in named):
        raise IdentityError(f"{file}: is signed by none of the callers' authorities")
    return issuer, _list(found, file)


def _is_signed_by(found: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return found.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (TypeError, UnsupportedAlgorithm):  # a kind of key that signs no lists
        return False


def _list(found: x509.CertificateRevocationList, file: Path) -> RevocationList:
    points: frozenset[str] = frozenset()
    is_partial = False
    for extension in found.extensions:
        match extension.value:
            case x509.DeltaCRLIndicator():
                cause = "is a delta list; only whole revocation lists are read"
                raise IdentityError(f"{file}: {cause}")
            case x509.IssuingDistributionPoint(indirect_crl=True):
                cause = "is an indirect list; only an authority's own lists are read"
                raise IdentityError(f"{file}: {cause}")
            case x509.IssuingDistributionPoint() as part:
                points = _addresses(part.full_name or ())
                is_partial = bool(
                    part.only_contains_ca_certs
                    or part.only_contains_attribute_certs
                    or part.only_some_reasons
                )
    return RevocationList(
        serials=frozenset(revoked.serial_number for revoked in found),
        points=points,
        is_partial=is_partial,
        issued_at=found.last_update_utc,
        # Without an end it is out of date at once: nobody says how long to believe it.
        next_update=found.next_update_utc or datetime.min.replace(tzinfo=UTC),
    )


def _addresses(names: Iterable[x509.GeneralName]) -> frozenset[str]:
    return frozenset(n.value for n in names if isinstance(n, x509.UniformResourceIdentifier))


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
