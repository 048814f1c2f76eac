"""
Certificates that were withdrawn before their end: what the lists of their authorities say.

    files ──load_revocations──► Revocations ──standing──► good │ revoked │ unknown

OpenSSL could look into the lists itself, but knows no middle way: with it, a list that
is a day late shuts everybody out. Here the three cases are told apart, and whoever asks
decides about the third. The lists come as files; to fetch them is another program's work.

Decisions: D-revocation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from bars_gateway.errors import IdentityError

_PEM = b"-----BEGIN X509 CRL-----"


class Standing(Enum):
    """What is known of a certificate."""

    GOOD = auto()
    REVOKED = auto()
    UNKNOWN = auto()  # no list of its authority covers it, or the list is out of date


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """One list, or one part of an authority's list."""

    serials: frozenset[int]
    points: frozenset[str]  # where its part is published; empty: it covers every certificate
    issued_at: datetime
    next_update: datetime


@dataclass(frozen=True, slots=True)
class Revocations:
    """Every list that was loaded, by the name of its authority in DER."""

    lists: Mapping[bytes, Sequence[RevocationList]] = field(default_factory=dict)

    @property
    def next_update(self) -> datetime | None:
        """When (UTC) the first of the lists is out of date; None where there is no list."""
        ends = [each.next_update for lists in self.lists.values() for each in lists]
        return min(ends, default=None)

    def standing(
        self, issuer: bytes, serial: int, points: frozenset[str], now: datetime
    ) -> Standing:
        """
        Return what is known of the certificate *serial* of *issuer* (a name in DER).

        *points* is where the certificate says that its list is published. A list that is
        out of date still counts for what it holds: nobody is un-revoked by time.
        """
        lists = self.lists.get(issuer, ())
        if any(serial in each.serials for each in lists):
            return Standing.REVOKED
        covered = any(
            now < each.next_update and (not each.points or each.points & points) for each in lists
        )
        return Standing.GOOD if covered else Standing.UNKNOWN


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
