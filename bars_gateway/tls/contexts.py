"""
Who we are to a caller, and who a caller is to us.

    certificate, key, client authorities ──load_identity──► Identity ──► CurrentIdentity
                                                                              │ read once
    caller ──handshake──► certificate ──peer_names──► allowed ◄──names────────┘ a connection

Everything that can be wrong with the files is found before the first connection, and
said with its cause. A loaded identity never changes: a reload builds a whole new one
and puts it into `CurrentIdentity`, because a failed `load_cert_chain` on a context in
use breaks the listener that was fine until then.

A chain proves membership and no more: thousands of NHS systems hold certificates of
the same authority. The list of names is the access control, and the authorities of the
operating system count for nothing among callers.
"""

import ssl
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bars_gateway.errors import IdentityError
from bars_gateway.frozen import frozen
from bars_gateway.tls.certificates import (
    AuthorityName,
    NoPem,
    Revocations,
    authority_name,
    extension_of,
    from_pem,
    is_authority,
    is_legible,
    last_to_end,
    load_revocations,
    name_of,
    points_of,
    private_key,
    public_key,
    signs,
    why_illegible,
)

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!DSS"

NOT_YET_VALID, EXPIRED = 9, 10  # X509_V_ERR_… of OpenSSL
_COMMON = "commonName"
_LONGEST_NAME = 64  # characters; no common name of an authority has more, and a forged one may
_DER = 2  # of the ssl module's own certificates, which name it nowhere in public
_OTHERS = 0o007
_GROUP = 0o070
# What OpenSSL had to say to a caller whose handshake failed, for who has begun that handshake.
last_words: ContextVar[list[bytes] | None] = ContextVar("last_words", default=None)


class AuthorityOutOfForce(ssl.SSLCertVerificationError):
    """An authority above a caller's own certificate has expired, or is not yet valid."""

    def __init__(self, error: ssl.SSLCertVerificationError, name: str) -> None:
        """*error* is OpenSSL's, which names no certificate; *name* is the authority's."""
        super().__init__(*error.args)
        self.verify_code, self.verify_message = error.verify_code, error.verify_message
        self.name = name


class _Speaking(ssl.SSLObject):
    """
    A handshake that leaves its last words where they can be sent: asyncio drops them.

    It says which certificate of a chain is out of force, too: of OpenSSL, only the handshake knows.
    """

    outgoing: ssl.MemoryBIO
    said: list[bytes] | None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if self.said is not None:
                self.said.append(self.outgoing.read())
            authority = _out_of_force(error, self)
            if authority is None or not isinstance(error, ssl.SSLCertVerificationError):
                raise
            raise AuthorityOutOfForce(error, authority) from None


class SpeakingContext(ssl.SSLContext):
    """A context whose failing handshakes leave their alerts in `last_words`."""

    sslobject_class = _Speaking

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any
    ) -> ssl.SSLObject:
        """Begin a handshake between the two buffers."""
        begun = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(begun, _Speaking)
        begun.outgoing, begun.said = outgoing, last_words.get()
        return begun


@frozen(kw_only=True)
class Identity:
    """A server certificate that has been checked, ready for connections."""

    context: ssl.SSLContext
    probe_context: ssl.SSLContext  # asks for no certificate: for a load balancer's own checks
    chain: tuple[x509.Certificate, ...]  # ours, leaf first
    authorities: tuple[x509.Certificate, ...]  # of the callers
    # What the callers' authorities have withdrawn.
    revocations: Revocations = field(default_factory=Revocations)


@frozen(kw_only=True)
class Caller:
    """What a caller's certificate says, once its chain has been verified."""

    names: frozenset[str]  # as `peer_names` gives them
    issuer_name: str  # the common name of the authority, or an empty text
    issuer: AuthorityName
    serial: int
    points: frozenset[str]  # where the list that would revoke it is published
    # Its certificates in DER, leaf first, as they came; none where the library reads them not all.
    presented: tuple[bytes, ...] = ()


NOBODY = Caller(names=frozenset(), issuer_name="", issuer=(), serial=0, points=frozenset())


@dataclass(slots=True)
class CurrentIdentity:
    """What the next connection is met with; a reload replaces it as a whole."""

    identity: Identity


def load_identity(
    certificate_file: Path,
    private_key_file: Path,
    client_ca_file: Path,
    *,
    now: datetime,
    revocation_list_files: Iterable[Path] = (),
    may_be_over: bool = False,
) -> Identity:
    """
    Return the identity in these PEM files, or raise IdentityError with the cause.

    The certificate file holds the leaf first, then its intermediates. Only callers whose
    chain ends in *client_ca_file* get through the handshake. With *may_be_over* what has
    ended is taken, too, certificate and authorities: a start goes on with it, for the sake of what
    is to be sent.
    """
    chain = _certificates(certificate_file)
    authorities = _certificates(client_ca_file)
    _check_leaf(chain[0], certificate_file, now, may_be_over=may_be_over)
    _check_authorities(authorities, client_ca_file, now, may_be_over=may_be_over)
    _check_pair(chain, certificate_file, private_key_file)
    return Identity(
        context=_server_context(certificate_file, private_key_file, authorities),
        probe_context=_server_context(certificate_file, private_key_file, ()),
        chain=tuple(chain),
        authorities=tuple(authorities),
        revocations=load_revocations(revocation_list_files, authorities),
    )


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """
    Return the context for calls to others: TLS 1.2 or later, host name checked.

    With *ca_file* its authorities alone count; with None, those of the operating system.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(cadata=_der(_certificates(ca_file)))
    return context


def caller_of(connection: ssl.SSLObject) -> Caller:
    """
    Return what the certificate of the other end says; raise ValueError if it is unreadable.

    OpenSSL, which has let it in, may read more of it than the library does.
    """
    said = connection.getpeercert()
    encoded = connection.getpeercert(binary_form=True)
    if said is None or encoded is None:
        return NOBODY
    issuer: Any = said["issuer"]
    serial: Any = said["serialNumber"]
    points: Any = said.get("crlDistributionPoints", ())
    presented = (encoded, *_brought(connection, encoded))
    return Caller(
        names=peer_names(said),
        issuer_name=_only([value for part in issuer for key, value in part if key == _COMMON]),
        issuer=authority_name([value for _, value in part] for part in issuer),
        serial=int(serial, 16),
        points=frozenset(points),
        presented=presented if all(map(is_legible, presented)) else (),
    )


def caller_from(names: frozenset[str], presented: tuple[bytes, ...]) -> Caller:
    """Return the caller with these *names* and certificates, leaf first; raise ValueError."""
    certificate = x509.load_der_x509_certificate(presented[0])
    issuers = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Caller(
        names=names,
        issuer_name=_only([str(each.value) for each in issuers]),
        issuer=name_of(certificate.issuer),
        serial=certificate.serial_number,
        points=points_of(certificate),
        presented=presented,
    )


def _only(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ""


def _brought(connection: ssl.SSLObject, leaf: bytes) -> tuple[bytes, ...]:
    """Return what the other end sent above its *leaf*."""
    if sys.version_info >= (3, 13):
        return tuple(each for each in connection.get_unverified_chain() if each != leaf)
    inner: Any = getattr(connection, "_sslobj", None)  # where Python before 3.13 has it
    chain = (each.public_bytes(_DER) for each in inner.get_unverified_chain() or ())
    return tuple(each for each in chain if each != leaf)


def _built(handshake: ssl.SSLObject) -> list[bytes]:
    """Return the chain that OpenSSL has put together, leaf first; it may have failed its test."""
    if sys.version_info >= (3, 13):
        return handshake.get_verified_chain()
    inner: Any = getattr(handshake, "_sslobj", None)  # where Python before 3.13 has it
    return [each.public_bytes(_DER) for each in inner.get_verified_chain() or ()]


def _out_of_force(error: ssl.SSLError, handshake: ssl.SSLObject) -> str | None:
    """Return the name of the authority that is not in force, if that is the cause of *error*."""
    code = getattr(error, "verify_code", None)
    if code not in {NOT_YET_VALID, EXPIRED}:
        return None
    built = _built(handshake)
    if not all(map(is_legible, built)):
        return None
    chain = list(map(x509.load_der_x509_certificate, built))
    # Of several it is the first to end, or the last to begin: that one is it for certain.
    if code == EXPIRED:
        found = min(chain, key=lambda each: each.not_valid_after_utc, default=None)
    else:
        found = max(chain, key=lambda each: each.not_valid_before_utc, default=None)
    if found is None or found is chain[0]:
        return None
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return ascii(_only([str(each.value) for each in names])[:_LONGEST_NAME])


def peer_names(certificate: Mapping[str, Any]) -> frozenset[str]:
    """
    Return the names in a peer certificate, as `getpeercert()` gives it: CN and DNS names.

    Lower case, without a trailing dot. Wildcards are left out, because no single machine
    is meant. A common name is not demanded, and counts beside DNS names: the national proxy's
    have been in either. A certificate with two common names, or with a name that is not plain
    text, has no names at all: whoever issued it was careless or was deceived.
    """
    common = [
        value for part in certificate.get("subject", ()) for key, value in part if key == _COMMON
    ]
    alternative = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    found = {_normalised(name) for name in (*common, *alternative)}
    if len(common) > 1 or None in found:
        return frozenset()
    return frozenset(name for name in found if name and "*" not in name)


def allowed(names: Collection[str], allow_list: Iterable[str]) -> bool:
    """Tell whether one of a caller's *names* (from `peer_names`) is on the list."""
    return any(_normalised(name) in names for name in allow_list)


def _normalised(name: str) -> str | None:
    name = name.strip(" ").removesuffix(".").lower()
    return name if name and name.isascii() and name.isprintable() else None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise IdentityError(f"{file}: {error.strerror}") from error


def _certificates(file: Path) -> list[x509.Certificate]:
    try:
        return from_pem(_read(file), file)
    except NoPem as error:
        raise IdentityError(f"{file}: {error.cause} ({error.cure.rstrip('.')})") from error


def _check_leaf(leaf: x509.Certificate, file: Path, now: datetime, *, may_be_over: bool) -> None:
    if leaf.not_valid_after_utc <= now and not may_be_over:
        raise IdentityError(f"{file}: expired at {leaf.not_valid_after_utc.isoformat()}")
    if leaf.not_valid_before_utc > now:
        start = leaf.not_valid_before_utc.isoformat()
        raise IdentityError(f"{file}: is not valid before {start}")
    usage = extension_of(leaf, x509.ExtendedKeyUsage)
    if usage is None:
        return  # no restriction: fit for every use
    if ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        raise IdentityError(f"{file}: is not meant for servers (no serverAuth in its key usage)")


def _check_authorities(
    authorities: Sequence[x509.Certificate], file: Path, now: datetime, *, may_be_over: bool
) -> None:
    for place, authority in enumerate(authorities, 1):
        if not is_authority(authority):
            why = why_illegible(authority)
            read = f": its extensions cannot be read ({why})" if why else ""
            cause = f"holds a certificate (number {place}) that is not an authority's{read}"
            raise IdentityError(f"{file}: {cause}")
    # One that has ended beside its successor is usual, and does no harm.
    if last_to_end(authorities).not_valid_after_utc <= now and not may_be_over:
        raise IdentityError(f"{file}: no root in it is in force: the last has expired")


def _check_pair(chain: Sequence[x509.Certificate], certificate_file: Path, key_file: Path) -> None:
    key = _public(_private_key(key_file), key_file)
    holders = [_public(each, certificate_file) == key for each in chain]
    if holders[0]:
        return
    if any(holders):
        place = holders.index(True) + 1
        cause = f"our own certificate is number {place} in it, and has to be the first"
        raise IdentityError(f"{certificate_file}: {cause}")
    raise IdentityError(f"{key_file}: is not the key of {certificate_file}")


def _public(owner: x509.Certificate | PrivateKeyTypes, file: Path) -> bytes:
    found = public_key(owner)
    if found is None:
        raise IdentityError(f"{file}: holds a kind of key that cannot be used")
    return found


def _private_key(file: Path) -> PrivateKeyTypes:
    pem = _read(file)
    _check_mode(file)
    try:
        key = private_key(pem)
    except TypeError as error:
        raise IdentityError(f"{file}: is locked with a passphrase; store it without") from error
    except UnsupportedAlgorithm as error:
        raise IdentityError(f"{file}: holds a kind of key that cannot be used: {error}") from error
    except ValueError as error:
        raise IdentityError(f"{file}: holds no private key in PEM form") from error
    if isinstance(key, RSAPrivateKey) and not signs(key):
        raise IdentityError(f"{file}: does not sign what its public half accepts; it is damaged")
    return key


def _check_mode(file: Path) -> None:
    status = file.stat()
    # A file of group root may show group bits: systemd grants a credential by an access
    # control list, whose mask appears in their place.
    exposed = _OTHERS if status.st_gid == 0 else _OTHERS | _GROUP
    if status.st_mode & exposed:
        mode = f"{status.st_mode & 0o777:04o}"
        raise IdentityError(f"{file}: others can read this key (mode {mode}, should be 0600)")


def _server_context(
    certificate_file: Path, private_key_file: Path, authorities: Sequence[x509.Certificate]
) -> ssl.SSLContext:
    context = SpeakingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities:
        context.verify_mode = ssl.CERT_REQUIRED  # the default is to ask nobody
    context.set_ciphers(CIPHERS)
    # No tickets: a resumed session would outlive its certificate's revocation.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    try:
        if authorities:
            context.load_verify_locations(cadata=_der(authorities))
        context.load_cert_chain(certificate_file, private_key_file, password=_no_passphrase)
    except ssl.SSLError as error:
        cause = error.reason or "unknown"
        raise IdentityError(f"{certificate_file}: OpenSSL refuses it ({cause})") from error
    return context


def _no_passphrase() -> str:
    return ""  # else OpenSSL would ask at the terminal, and a service would hang


def _der(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.DER) for certificate in certificates)
