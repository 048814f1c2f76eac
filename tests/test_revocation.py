"""What the revocation lists of callers' authorities say, and which are believed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bars_gateway.errors import IdentityError
from bars_gateway.tls.certificates import RevocationStatus, load_revocations, name_of

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Authority")])
POINT = "http://crl.example/part1.crl"


def authority() -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 365 * DAY)
        .sign(KEY, hashes.SHA256())
    )


def listing(
    *serials: int,
    key: ec.EllipticCurvePrivateKey = KEY,
    extension: x509.ExtensionType | None = None,
) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(NAME)
        .last_update(NOW - DAY)
        .next_update(NOW + DAY)
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY)
        builder = builder.add_revoked_certificate(revoked.build())
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, hashes.SHA256())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "list.crl"


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_list_is_read_in_either_encoding(file: Path, encoding: Encoding) -> None:
    """Whoever is on it is revoked, whoever is not is good, as long as it is up to date."""
    file.write_bytes(listing(7).public_bytes(encoding))
    found = load_revocations([file], [authority()])
    issuer = name_of(NAME)

    assert RevocationStatus.REVOKED == found.status_of(issuer, 7, frozenset(), NOW)
    assert RevocationStatus.GOOD == found.status_of(issuer, 8, frozenset(), NOW)
    assert RevocationStatus.UNKNOWN == found.status_of(issuer, 8, frozenset(), NOW + DAY)
    assert RevocationStatus.UNKNOWN == found.status_of((), 8, frozenset(), NOW)
    assert NOW + DAY == found.next_update


def test_a_part_of_a_list_says_which(file: Path) -> None:
    """It covers the certificates that name the same place."""
    part = x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier(POINT)], None, False, False, None, False, False
    )
    file.write_bytes(listing(extension=part).public_bytes(Encoding.PEM))
    found = load_revocations([file], [authority()])
    issuer = name_of(NAME)

    assert RevocationStatus.UNKNOWN == found.status_of(issuer, 8, frozenset(), NOW)
    assert RevocationStatus.GOOD == found.status_of(issuer, 8, frozenset({POINT}), NOW)


def point(
    *, authorities: bool = False, indirect: bool = False, reasons: bool = False
) -> x509.IssuingDistributionPoint:
    some = frozenset([x509.ReasonFlags.key_compromise]) if reasons else None
    return x509.IssuingDistributionPoint(None, None, False, authorities, some, indirect, False)


@pytest.mark.parametrize("limit", ["authorities", "reasons"])
def test_a_list_of_some_alone_proves_nobody_good(file: Path, limit: str) -> None:
    """Of authorities, or of some reasons: whom it has is revoked, of the others it says nothing."""
    part = point(**{limit: True})
    file.write_bytes(listing(7, extension=part).public_bytes(Encoding.DER))
    found = load_revocations([file], [authority()])
    issuer = name_of(NAME)

    assert RevocationStatus.REVOKED == found.status_of(issuer, 7, frozenset(), NOW)
    assert RevocationStatus.UNKNOWN == found.status_of(issuer, 8, frozenset(), NOW)


def forged() -> bytes:
    return listing(key=OTHER).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (forged(), "signed by none of the callers' authorities"),
        (listing().public_bytes(Encoding.PEM)[:200], "was cut off"),
        (b"nothing of the kind", "holds no revocation list"),
        (
            listing(extension=x509.DeltaCRLIndicator(3)).public_bytes(Encoding.DER),
            "only whole revocation lists",
        ),
        (
            listing(extension=point(indirect=True)).public_bytes(Encoding.DER),
            "is an indirect list",
        ),
        (
            b"".join(listing(key=each).public_bytes(Encoding.PEM) for each in (KEY, OTHER)),
            "none of",
        ),
    ],
)
def test_what_cannot_be_believed_is_refused(file: Path, content: bytes, cause: str) -> None:
    """D-revocation: a forged list could free a stolen certificate, or shut the proxy out."""
    file.write_bytes(content)

    with pytest.raises(IdentityError, match=cause):
        load_revocations([file], [authority()])


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    """With its path and the system's reason."""
    with pytest.raises(IdentityError, match=r"absent\.crl: No such file"):
        load_revocations([tmp_path / "absent.crl"], [authority()])
