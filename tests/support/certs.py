"""Certificates of every kind that a desk may send, right and wrong."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(UTC)
YEAR = timedelta(days=365)
LEAF_KEY = rsa.generate_private_key(65537, 2048)
SHORT_KEY = rsa.generate_private_key(65537, 1024)
AUTHORITY_KEY = rsa.generate_private_key(65537, 2048)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def key_pem(key=LEAF_KEY) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass(frozen=True)
class Chain:
    """A root, a middle and what the middle signs: those of INT unless named otherwise."""

    root: x509.Certificate
    middle: x509.Certificate

    @classmethod
    def of(
        cls, root: str = "NHS PTL Root Authority G2", middle: str = "NHS INT Authentication G2"
    ) -> "Chain":
        top = made(named(root), named(root), authority=True, key=AUTHORITY_KEY)
        return cls(top, made(named(middle), named(root), authority=True, key=AUTHORITY_KEY))

    def leaf(self, name: str, **changes) -> x509.Certificate:
        return made(named(name), self.middle.subject, **changes)


def made(
    subject: x509.Name,
    issuer: x509.Name,
    *,
    authority: bool = False,
    key=LEAF_KEY,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + YEAR,
    usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
    digest: hashes.HashAlgorithm | None = None,
    alternative: Sequence[str] | None = None,
    odd: Mapping[str, bytes] | None = None,
) -> x509.Certificate:
    """
    Return a certificate; its name is an alternative name too, unless others are given.

    *odd*: extensions by object id as they are written, in the place of those.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if odd is not None:
        for number, written in odd.items():
            kind = x509.UnrecognizedExtension(x509.ObjectIdentifier(number), written)
            builder = builder.add_extension(kind, critical=False)
        return builder.sign(AUTHORITY_KEY, digest or hashes.SHA256())
    builder = builder.add_extension(
        x509.BasicConstraints(ca=authority, path_length=None), critical=True
    )
    if usages and not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if alternative is None:
        alternative = [str(part.value) for part in subject if " " not in str(part.value)]
    if alternative and not authority:
        names = [x509.DNSName(name) for name in alternative]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(AUTHORITY_KEY, digest or hashes.SHA256())


def in_pem(encoded: bytes) -> bytes:
    """Return DER as PEM, whatever it holds."""
    text = base64.encodebytes(encoded)
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


def rewritten(certificate: x509.Certificate, old: bytes, new: bytes, times: int = 1) -> bytes:
    """Return *certificate* in DER with *new* for *old*, which is as long, and signed anew."""
    assert len(old) == len(new)
    assert times == certificate.tbs_certificate_bytes.count(old)
    content = certificate.tbs_certificate_bytes.replace(old, new)
    signature = AUTHORITY_KEY.sign(content, padding.PKCS1v15(), hashes.SHA256())
    whole = certificate.public_bytes(Encoding.DER)
    return whole.replace(certificate.tbs_certificate_bytes, content).replace(
        certificate.signature, signature
    )


def of_an_unknown_kind(subject: x509.Name, issuer: x509.Name, **changes) -> x509.Certificate:
    """Return a certificate whose key is of a curve that the library does not know."""
    key = ec.generate_private_key(ec.SECP256R1())
    known, unknown = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a811ccf5501822d")
    whole = rewritten(made(subject, issuer, key=key, **changes), known, unknown)
    return x509.load_der_x509_certificate(whole)
