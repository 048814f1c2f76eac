"""
The Receiver's certificate, and `bars-gateway csr` and `certificate`: ask, judge, put in place.

    FQDN ──► checked ──► key of 4096 bits (0600) + request: CN = FQDN, all else blank

    PEM, DER, PKCS#7, PKCS#12 ──read_delivered──► Delivered ──install──► certificate and key
                                                                 └──► previous/  what was there

A request that holds an e-mail address, an organisation or a country is returned. Each
request has a key of its own, beside it, so that a key in use is never touched.

At the installation the key is written first and the certificate right after it; a running
gateway waits until both have rested before it looks. Should the machine stop between the
two, the same command completes it.
"""

import codecs
import os
import sys
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from bars_gateway.config import Environment, Settings, load
from bars_gateway.config.problems import problems_of_inbound
from bars_gateway.errors import OnboardingError
from bars_gateway.frozen import frozen
from bars_gateway.onboarding import contacts
from bars_gateway.onboarding.certificate_rules import (
    Delivered,
    flaws_of,
    form_for,
    same_key,
    verdicts,
)
from bars_gateway.onboarding.files import (
    BITS,
    PRIVATE,
    PUBLIC,
    digest_of,
    make_folder,
    private_pem,
    put_in_place,
    read,
    write_new,
)
from bars_gateway.onboarding.grades import Grade, worst
from bars_gateway.onboarding.reported import WhyOrAsked, reason, try_report
from bars_gateway.options import DEFAULT_CONFIG, Config
from bars_gateway.ownership import as_the_gateway
from bars_gateway.permissions import files_in
from bars_gateway.tls.certificates import (
    NoPem,
    decoded,
    from_pem,
    from_pkcs7,
    is_authority,
    is_java_keystore,
    issued_by,
)

_PEM = b"-----BEGIN "
requests_app = typer.Typer(
    name="csr", help="Make the request for the Receiver's certificate.", no_args_is_help=True
)
certificates_app = typer.Typer(
    name="certificate", help="Judge a certificate, and put it in place.", no_args_is_help=True
)
Delivery = Annotated[
    Path, typer.Argument(metavar="FILE", readable=False, help="PEM, DER, PKCS#7 or PKCS#12.")
]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", readable=False, help="Its key; else the request's."),
]
Password = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        readable=False,
        help="Of PKCS#12; asked for at a terminal.",
    ),
]


@frozen(kw_only=True)
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
    require_name(settings, fqdn)
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


def require_name(settings: Settings, fqdn: str) -> None:
    """Raise OnboardingError where a certificate of that name would be refused."""
    flaws = flaws_of(fqdn, settings)
    if flaws:
        causes = "; ".join(flaw.cause for flaw in flaws)
        raise OnboardingError(f"the name {fqdn!a} {causes}", flaws[0].cure)


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


def read_delivered(
    settings: Settings, file: Path, key_file: Path | None = None, password: bytes | None = None
) -> Delivered:
    """
    Return what is in *file*, with the key that belongs to it.

    The key is that of *key_file*, else the one in the file (PKCS#12), else that of the
    request which the certificate answers, else the one in use.
    """
    data = decoded(read(file))
    bundle = from_pkcs7(data)
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
    data = decoded(read(file))
    if _PEM in data or from_pkcs7(data):
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
    targets = dict.fromkeys((inbound.private_key_file, inbound.certificate_file))
    kept = [_keep(target, now) for target in targets if target.is_file()]
    for target in targets:
        make_folder(target.parent)
    key, chain = private_pem(delivered.key), chain_pem(delivered.chain)
    if inbound.is_one_file:
        put_in_place(inbound.certificate_file, key + chain, PRIVATE)
    else:
        put_in_place(inbound.private_key_file, key, PRIVATE)
        put_in_place(inbound.certificate_file, chain, PUBLIC)
    return kept


def read_key(file: Path) -> PrivateKeyTypes:
    """Return the private key in the PEM *file*."""
    try:
        return load_pem_private_key(decoded(read(file)), password=None)
    except TypeError:
        cure = "Store it without one: openssl pkey -in FILE -out OTHER, mode 0600."
        raise OnboardingError(f"{file} is locked with a passphrase", cure) from None
    except UnsupportedAlgorithm:
        cure = "Ask for a certificate for an RSA key: `bars-gateway csr new --why TEXT` makes one."
        raise OnboardingError(f"{file} holds a kind of key that cannot be used", cure) from None
    except ValueError:
        cure = "Name the file that begins with -----BEGIN PRIVATE KEY-----."
        raise OnboardingError(f"{file} holds no private key in PEM form", cure) from None


def chain_pem(chain: Iterable[x509.Certificate]) -> bytes:
    """Return the certificates as PEM, in their order."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def _pem_chain(data: bytes, file: Path) -> tuple[list[x509.Certificate], PrivateKeyTypes | None]:
    try:
        return from_pem(data, file), None
    except NoPem as error:
        raise OnboardingError(f"{file} {error.cause}", error.cure) from None


def _binary(
    data: bytes, file: Path, password: bytes | None
) -> tuple[list[x509.Certificate], PrivateKeyTypes | None]:
    try:
        return [x509.load_der_x509_certificate(data)], None
    except ValueError:
        pass
    if is_java_keystore(data):
        return _pem_chain(data, file)  # which says what it is
    try:
        with warnings.catch_warnings():
            # Written in BER, as Mozilla's tools do: nothing that a person could mend.
            warnings.filterwarnings("ignore", "PKCS#12 bundle could not be parsed as DER")
            found = pkcs12.load_pkcs12(data, password)
    except (ValueError, UnsupportedAlgorithm):
        cure = "Give its password: --password-file. PEM, DER, PKCS#7 and PKCS#12 are understood."
        cause = f"{file} is not a certificate, or its password is another one"
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
    while upper := next((one for one in rest if issued_by(ordered[-1], one)), None):
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


@requests_app.callback()
def _requests() -> None:
    """Make the request for the Receiver's certificate."""


@requests_app.command(name="new")
def make_request(
    config: Config = DEFAULT_CONFIG,
    fqdn: Annotated[
        str | None, typer.Option("--fqdn", metavar="NAME", help="Else onboarding.fqdn.")
    ] = None,
    why: WhyOrAsked = None,
    bits: Annotated[int, typer.Option(min=2048, max=8192, help="Of its key.")] = BITS,
) -> None:
    """
    Make a key and a request for a certificate, and say where the request goes.

    Only the common name is in it. The key stays here, and what is in use is not touched.
    """
    settings = load(config, os.environ)
    name = fqdn or settings.onboarding.fqdn
    if name is None:
        cure = f"Add --fqdn, or set onboarding.fqdn; its form is {form_for(settings)}."
        raise OnboardingError("the name of this Receiver is not known", cure)
    require_name(settings, name)
    why = reason(settings, why)
    made = new_request(settings, name, bits)
    told = {"fqdn": made.fqdn, "sha256": digest_of(read_key(made.key_file).public_key())}
    try_report(settings, "certificate.requested", why=why, **told)
    typer.echo(f"{made.key_file}: {bits} bits, mode 0600; it never leaves this machine")
    typer.echo(f"{made.file}: the request; nothing but CN={made.fqdn} is in it")
    if settings.environment is Environment.LOCAL:
        typer.echo("It goes to the sandbox: post it to /certificates of its admin port")
    else:
        signer = contacts.signer_of(settings.environment)
        typer.echo(f"It goes to {signer}: bars-gateway letters certificate")


@certificates_app.command(name="check")
def judge(
    file: Delivery,
    config: Config = DEFAULT_CONFIG,
    key: Key = None,
    password_file: Password = None,
) -> None:
    """
    Say all that is right and wrong with a certificate, without using it.

    Exits with 1 if anything is wrong with it.
    """
    settings = load(config, os.environ)
    delivered = read_delivered(settings, file, key, _password(file, password_file))
    if _report(delivered, settings) is Grade.FAIL:
        raise typer.Exit(1)


@certificates_app.command(name="install")
def install_judged(
    file: Delivery,
    config: Config = DEFAULT_CONFIG,
    key: Key = None,
    password_file: Password = None,
    why: WhyOrAsked = None,
) -> None:
    """
    Judge a certificate, and put it with its key where the gateway reads them.

    Nothing is changed if anything is wrong. What was there is kept, and a gateway that
    runs takes the new one within seconds, without dropping a connection.
    """
    settings = load(config, os.environ)
    why = reason(settings, why)
    delivered = read_delivered(settings, file, key, _password(file, password_file))
    if _report(delivered, settings) is Grade.FAIL:
        cure = "Cure what is named above, and run the same command again."
        raise OnboardingError(f"{file} was not installed; nothing was changed", cure)
    previous = install(delivered, settings, datetime.now(UTC))
    told = {"certificates": [each.fingerprint(hashes.SHA256()).hex() for each in delivered.chain]}
    try_report(settings, "certificate.installed", why=why, **told)
    for kept in previous:
        typer.echo(f"{kept}: what was there before")
    where = "in" if settings.inbound.is_one_file else "beside"
    typer.echo(f"{settings.inbound.certificate_file}: installed, with its key {where} it")
    _require_usable(settings)


def _require_usable(settings: Settings) -> None:
    """Raise OnboardingError where the gateway's user cannot use what was installed."""
    installed = {"inbound.certificate_file", "inbound.private_key_file"}
    with as_the_gateway(settings.state_dir, settings.sources.file):
        found = [
            each
            for each in problems_of_inbound(settings, datetime.now(UTC))
            if each.key in installed
        ]
    if found:
        raise OnboardingError(f"the gateway cannot use it: {found[0].cause}", found[0].cure)


def _report(delivered: Delivered, settings: Settings) -> Grade:
    found = verdicts(delivered, settings, datetime.now(UTC))
    for rule, seen in found.items():
        typer.echo(f"{seen.grade:4}  {rule:11}  {seen.text}")
        if seen.cure:
            typer.echo(f"      try: {seen.cure}")
    return worst(seen.grade for seen in found.values())


def _password(file: Path, password_file: Path | None) -> bytes | None:
    if password_file is not None:
        return _text_of(read(password_file)).rstrip("\r\n").encode()
    if sys.stdin.isatty() and is_locked(file):
        return str(typer.prompt("Password of the file", hide_input=True)).encode()
    return None


def _text_of(data: bytes) -> str:
    """Return the text of a file that Windows may have saved; PKCS#12 takes a password in UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
