"""
Who is registered: gateways with their credentials, and services with their addresses.

    folder/gateways/NAME/   certificate, keys, gateway.json
    folder/targets.json     system → value → base URL, or a list: a double entry

The targets are read again for each request, as the live proxy reads its own: edit the
file while the sandbox runs, and the next request goes elsewhere. A list of two URLs is a
mistake in the catalogue, and answered as such.

The certificate authorities, certificates and keys are of a world that fits into one folder.

    national  ─signs─► the server of token service and proxy
    receivers ─signs─► the proxy's client certificate, and each gateway's own

Two roots, as in life: what a gateway trusts when it calls out is not what it trusts
when it is called. What is there already is used again and never overwritten, so that a
gateway that was set up against this folder still works after a restart.

Every file appears whole or not at all: keys are made in one process, and read by others.
"""

import asyncio
import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from yarl import URL

from bars_gateway.errors import SandboxError
from bars_gateway.frozen import frozen

DOS_SERVICE = "https://fhir.nhs.uk/Id/dos-service-id"

Targets = Mapping[str, Mapping[str, str | list[str]]]  # system → value → base URL, or several
PROXY_NAME = "bars-proxy.sandbox.local"
_LIFETIME = timedelta(days=365)
_Key = ec.EllipticCurvePrivateKey


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole, without ever showing it to others."""
    make_private_folder(path.parent)
    half = path.with_name(f"{path.name}.tmp")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    half.replace(path)


def make_private_folder(folder: Path) -> None:
    """Make *folder*, and those above it that are missing, for its owner alone."""
    if folder.exists():
        return
    make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


@frozen
class Authority:
    """A root that signs certificates."""

    certificate: x509.Certificate
    key: _Key
    file: Path  # the certificate, for those who trust it

    @classmethod
    def at(cls, folder: Path, name: str, now: datetime) -> "Authority":
        """
        Load the authority called *name*, or make it.

        Raises SandboxError where it has expired: all that it signed is worth nothing then.
        """
        file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        if not file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _name(f"bars_gateway sandbox {name}")
            builder = _builder(subject, subject, key.public_key(), now).add_extension(
                x509.BasicConstraints(ca=True, path_length=0), critical=True
            )
            builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
            write_private(key_file, _pem(key))
            write_private(file, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        loaded = load_pem_private_key(key_file.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        if not isinstance(loaded, _Key):
            raise SandboxError(f"{key_file} is not a key that the sandbox made")
        if certificate.not_valid_after_utc <= now:
            raise SandboxError(f"{file} has expired; a new folder gets new authorities")
        return cls(certificate, loaded, file)

    def issue(self, folder: Path, stem: str, name: str, purpose: str, now: datetime) -> None:
        """Make a certificate for 127.0.0.1 with its key at *folder*/*stem*, unless it is there."""
        if (folder / f"{stem}.pem").exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        chain = self._signed(name, key.public_key(), purpose, now)
        write_private(folder / f"{stem}.key", _pem(key))
        write_private(folder / f"{stem}.pem", chain)

    def certify(self, request: bytes, now: datetime) -> bytes:
        """Return the server's certificate that a PEM *request* asks for, with its chain."""
        try:
            asked = x509.load_pem_x509_csr(request)
        except ValueError:
            raise SandboxError("this is not a certificate request in PEM form") from None
        names = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if len(names) != 1 or not asked.is_signature_valid:
            raise SandboxError("the request has no common name, or its signature is broken")
        return self._signed(str(names[0].value), asked.public_key(), "server", now)

    def _signed(
        self, name: str, key: CertificatePublicKeyTypes, purpose: str, now: datetime
    ) -> bytes:
        """Return a certificate for 127.0.0.1 called *name*, and ours below it, as PEM."""
        alternative = [
            x509.DNSName(name),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        usage = {
            "server": ExtendedKeyUsageOID.SERVER_AUTH,
            "client": ExtendedKeyUsageOID.CLIENT_AUTH,
        }
        builder = (
            _builder(_name(name), self.certificate.subject, key, now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage[purpose]]), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        certificate = builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)
        return certificate + self.certificate.public_bytes(Encoding.PEM)


def make_signing_key(folder: Path, key_id: str, bits: int) -> None:
    """Make the RSA key that signs a gateway's JWTs, and its JWKS; slow, so call it in a thread."""
    if (folder / "jwt.key").exists():
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    members = {"kty": "RSA", "n": public["n"], "e": public["e"]}
    jwks = {"keys": [members | {"alg": "RS512", "use": "sig", "kid": key_id}]}
    write_private(folder / "jwks.json", json.dumps(jwks, indent=1).encode())
    write_private(folder / "jwt.key", _pem(key))


def _pem(key: _Key | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


@frozen(kw_only=True)
class Registered:
    """One gateway as the national side knows it."""

    name: str
    api_key: str
    key_id: str
    services: Sequence[str]  # system|value
    url: str  # the base URL of its Receiver
    folder: Path
    enabled: bool = True  # False: gets tokens, but BaRS is not among what they are for

    @property
    def private_key_file(self) -> Path:
        """The key that signs its JWTs."""
        return self.folder / "jwt.key"

    @property
    def certificate_file(self) -> Path:
        """Its Receiver certificate, chain included."""
        return self.folder / "server.pem"

    @property
    def certificate_key_file(self) -> Path:
        """The key of that certificate."""
        return self.folder / "server.key"

    def document(self) -> dict[str, object]:
        """Return what gateway.json says."""
        return asdict(self) | {
            "folder": str(self.folder),
            "jwks_file": str(self.folder / "jwks.json"),
        }


class Registry:
    """
    The registered gateways and the targets file.

    Raises SandboxError where the folder holds something that no sandbox wrote.
    """

    def __init__(self, folder: Path, receivers: Authority, *, key_bits: int) -> None:
        self._folder = folder
        self._receivers = receivers
        self._key_bits = key_bits
        self.targets_file = folder / "targets.json"
        self._by_api_key: dict[str, Registered] = {}
        if not self.targets_file.exists():
            self._write_targets({})
        self._making: dict[str, asyncio.Lock] = {}
        for known in sorted((folder / "gateways").glob("*/gateway.json")):
            self._remember(_read(known))

    async def register(
        self,
        name: str,
        services: Sequence[str],
        url: str,
        now: datetime,
        *,
        enabled: bool = True,
        signs: bool = True,
    ) -> Registered:
        """
        Make a gateway's credentials, where it has none, and point its services to *url*.

        One that does not sign JWTs has no key for them, and gets no token at the endpoint.

        Raises SandboxError for a name that makes no folder, or a URL that leads elsewhere
        than to this machine.
        """
        _check(name, url)
        folder = self._folder / "gateways" / name
        registered = Registered(
            name=name,
            api_key=f"{name}-sandbox-api-key",
            key_id=f"{name}-sandbox-1",
            services=[s if "|" in s else f"{DOS_SERVICE}|{s}" for s in services],
            url=url.rstrip("/"),
            folder=folder,
            enabled=enabled,
        )
        self._receivers.issue(folder, "server", f"{name}.sandbox.local", "server", now)
        # Registered twice at once, a gateway still gets one key, and the JWKS of that key.
        async with self._making.setdefault(name, asyncio.Lock()):
            if signs:
                await asyncio.to_thread(make_signing_key, folder, registered.key_id, self._key_bits)
        write_private(folder / "gateway.json", json.dumps(registered.document(), indent=1).encode())
        self._remember(registered)
        self._point(registered)
        return registered

    def certified(self, request: bytes, now: datetime) -> bytes:
        """Return the certificate that a PEM *request* asks for, with its chain: we are the desk."""
        return self._receivers.certify(request, now)

    def application(self, api_key: str) -> Registered | None:
        """Return the gateway with that API key."""
        return self._by_api_key.get(api_key)

    def is_claimed(self, service: str, name: str) -> bool:
        """Tell whether a gateway other than *name* is registered for that `system|value`."""
        others = (each for each in self._by_api_key.values() if each.name != name)
        return any(service in other.services for other in others)

    def public_keys(self, registered: Registered) -> Mapping[str, Mapping[str, str]]:
        """Return the JWKS of a gateway by key id."""
        found = json.loads((registered.folder / "jwks.json").read_text("utf-8"))
        return {key["kid"]: key for key in found["keys"]}

    def targets(self) -> Targets:
        """Return system → value → base URL; raise ValueError where the file is not such a table."""
        found = json.loads(self.targets_file.read_text("utf-8"))
        table = found.get("NHSD-Target-Identifier") if isinstance(found, dict) else None
        if not isinstance(table, dict) or not all(map(_is_column, table.values())):
            raise ValueError(f"{self.targets_file} is not a table of system, value and base URL")
        return table

    def _remember(self, registered: Registered) -> None:
        self._by_api_key[registered.api_key] = registered

    def _point(self, registered: Registered) -> None:
        try:
            table = {system: dict(values) for system, values in self.targets().items()}
        except (OSError, ValueError) as error:
            raise SandboxError(f"{self.targets_file} cannot be used: {error}") from None
        for service in registered.services:
            system, _, value = service.partition("|")
            table.setdefault(system, {})[value] = registered.url
        self._write_targets(table)

    def _write_targets(self, table: Targets) -> None:
        document = {"NHSD-Target-Identifier": table}
        write_private(self.targets_file, json.dumps(document, indent=1).encode())


def is_local(url: str) -> bool:
    """Tell whether *url* leads to this machine, by HTTPS: the sandbox calls nobody else."""
    try:
        found = URL(url)
    except ValueError:
        return False
    return found.scheme == "https" and found.host in {"127.0.0.1", "localhost"}


def _check(name: str, url: str) -> None:
    if not name.replace("-", "").isalnum() or not name.isascii():
        raise SandboxError(f"a gateway's name is letters, digits and hyphens: {name!a}")
    if not is_local(url):
        raise SandboxError(f"a gateway's URL begins with https://127.0.0.1: and is not {url!a}")


def _is_column(values: object) -> bool:
    return isinstance(values, dict) and all(map(_is_place, values.values()))


def _is_place(found: object) -> bool:
    several = found if isinstance(found, list) else [found]
    return bool(several) and all(isinstance(url, str) for url in several)


def _read(file: Path) -> Registered:
    try:
        found = json.loads(file.read_text("utf-8"))
        return Registered(
            name=found["name"],
            api_key=found["api_key"],
            key_id=found["key_id"],
            services=found["services"],
            url=found["url"],
            folder=file.parent,
            enabled=found.get("enabled", True),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise SandboxError(f"{file} is not a gateway that the sandbox registered") from None
