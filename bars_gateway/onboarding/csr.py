"""
A request for the Receiver's certificate, with nothing in it but the name.

    FQDN ──► checked ──► key of 4096 bits (0600) + request: CN = FQDN, all else blank

The desk returns a request that holds an e-mail address, an organisation or a country.
Each request has a key of its own, beside it, so that a key in use is never touched:
`certificate install` puts the pair in place once the certificate has come.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bars_gateway.config import Settings
from bars_gateway.errors import OnboardingError
from bars_gateway.onboarding.files import PRIVATE, PUBLIC, make_folder, write_new
from bars_gateway.onboarding.keys import BITS, private_pem
from bars_gateway.onboarding.names import faults_of
from bars_gateway.permissions import files_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request and the key that it was made with."""

    fqdn: str
    file: Path
    key_file: Path


def folder_of(settings: Settings) -> Path:
    """Return where requests are kept: below the folder of the certificate in use."""
    return settings.inbound.certificate_file.parent / "requests"


def new_request(settings: Settings, fqdn: str, bits: int = BITS) -> Request:
    """Make a key and a request for *fqdn*; raise OnboardingError where the name is wrong."""
    faults = faults_of(fqdn, settings)
    if faults:
        causes = "; ".join(fault.cause for fault in faults)
        raise OnboardingError(f"the name {fqdn!a} {causes}", faults[0].cure)
    folder = folder_of(settings)
    make_folder(folder, 0o700)
    request = _next(folder, fqdn)
    key = generate_private_key(public_exponent=65537, key_size=bits)
    signed = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, fqdn)]))
        .sign(key, hashes.SHA256())
    )
    write_new(request.key_file, private_pem(key), PRIVATE)
    write_new(request.file, signed.public_bytes(Encoding.PEM), PUBLIC)
    return request


def requests_in(settings: Settings) -> list[Request]:
    """Return the requests that were made, the latest last."""
    files = sorted(files_in(folder_of(settings), "*.csr"), key=lambda file: file.stat().st_mtime_ns)
    return [_request(file) for file in files]


def _next(folder: Path, fqdn: str) -> Request:
    number = 1
    while any((folder / f"{fqdn}-{number}{ending}").exists() for ending in (".csr", ".key")):
        number += 1
    return _request(folder / f"{fqdn}-{number}.csr")


def _request(file: Path) -> Request:
    fqdn = file.stem.rpartition("-")[0]
    return Request(fqdn=fqdn, file=file, key_file=file.with_suffix(".key"))
