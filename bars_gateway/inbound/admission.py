"""
Who may call: by address before TLS, and by certificate after it and with each request.

    address ──► on the list? not too many? ──TLS──► issuer? name? revoked? ──► let in
                        │                    │                  └─► let in, with a remark
                        └────────────────────┴─► Failure ──► log, status page, metrics

An NHS chain proves membership and no more: thousands of systems have one. So the list
of names is the access control, the issuer is pinned beside it, and the address list
keeps strangers away from TLS itself.

While connecting for the first time nobody knows what name the proxy will show. Until
`observe_until` a name that is not on the list is let in with a remark that tells it;
chain and issuer are required all the same.

OpenSSL and asyncio tell why a handshake failed in codes and in a dozen kinds of exception; an
operator who waits for the proxy to get through needs the one sentence behind each.

Decisions: D-who-may-call.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address

from bars_gateway.tls.certificates import RevocationStatus
from bars_gateway.tls.contexts import Caller, CurrentIdentity, allowed

Network = IPv4Network | IPv6Network


class Failure(StrEnum):
    """Why a connection brought no request, in the operator's words."""

    EXPIRED = "client certificate expired"
    NOT_YET_VALID = "client certificate not yet valid"
    UNKNOWN_ISSUER = "client certificate of an unknown issuer"
    REVOKED = "client certificate revoked"
    WRONG_PURPOSE = "client certificate not meant for clients"
    UNREADABLE = "client certificate unreadable"
    NO_CERTIFICATE = "no client certificate"
    NOT_TRUSTED = "the client did not accept our certificate"
    PLAIN_HTTP = "plain HTTP instead of TLS"
    NO_AGREEMENT = "no TLS version or cipher in common"
    NO_TLS = "no TLS"
    TIMEOUT = "the handshake took too long"
    GONE = "the client closed the connection"
    REFUSED = "client name not on the list"
    WRONG_ISSUER = "client certificate of an authority that issues no callers"
    REVOCATION_UNKNOWN = "no current revocation list for the client certificate"
    ADDRESS = "address not on the list"
    CROWDED = "too many connections from one address"
    NO_ADDRESS = "the load balancer did not say for whom"
    OLD_PROXY_PROTOCOL = (
        "the load balancer speaks version 1 of the PROXY protocol; version 2 is needed"
    )
    PROBE = "a load balancer's own check"
    FULL = "all connections in use"
    NO_RESOURCES = "no file descriptor or memory for another connection"


# X509_V_ERR_… of OpenSSL
_BY_VERIFY_CODE = {
    2: Failure.UNKNOWN_ISSUER,
    9: Failure.NOT_YET_VALID,
    10: Failure.EXPIRED,
    18: Failure.UNKNOWN_ISSUER,
    19: Failure.UNKNOWN_ISSUER,
    20: Failure.UNKNOWN_ISSUER,
    21: Failure.UNKNOWN_ISSUER,
    23: Failure.REVOKED,
    26: Failure.WRONG_PURPOSE,
}

_BY_REASON = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Failure.NO_CERTIFICATE,
    "HTTP_REQUEST": Failure.PLAIN_HTTP,
    "HTTPS_PROXY_REQUEST": Failure.PLAIN_HTTP,
    "UNSUPPORTED_PROTOCOL": Failure.NO_AGREEMENT,
    "NO_SHARED_CIPHER": Failure.NO_AGREEMENT,
    "NO_SHARED_SIGNATURE_ALGORITHMS": Failure.NO_AGREEMENT,
    "TLSV1_ALERT_UNKNOWN_CA": Failure.NOT_TRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": Failure.NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": Failure.NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": Failure.NOT_TRUSTED,
    "TLSV1_ALERT_PROTOCOL_VERSION": Failure.NO_AGREEMENT,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": Failure.NO_AGREEMENT,
}


def reason_of(error: Exception) -> Failure:
    """Return what a handshake failed of."""
    match error:
        case ssl.SSLCertVerificationError():
            return _BY_VERIFY_CODE.get(error.verify_code, Failure.UNREADABLE)
        case ssl.SSLEOFError():
            return Failure.GONE
        case ssl.SSLError():
            return _BY_REASON.get(error.reason or "", Failure.NO_TLS)
        case ConnectionAbortedError():
            return Failure.TIMEOUT  # asyncio's word for it
        case ValueError():
            return Failure.UNREADABLE
    return Failure.GONE


class Refused(Exception):
    """A caller is not let in before TLS has begun; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """Who may call, as the settings have it."""

    names: tuple[str, ...]
    issuers: frozenset[str] = frozenset()  # common names; empty: every one of the chain file
    addresses: tuple[Network, ...] = ()  # empty: every one
    load_balancers: tuple[Network, ...] = ()  # who must say for whom they call
    connections_per_address: int = 128
    observe_until: datetime | None = None  # UTC
    revocation_is_required: bool = False  # whether an unknown standing keeps a caller out


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a caller is let in."""

    refusal: Failure | None = None
    remark: Failure | None = None  # what would keep it out under stricter settings


class Admission:
    """Judges callers by the settings and by the identity of the moment."""

    def __init__(
        self, callers: Callers, identity: CurrentIdentity, now: Callable[[], datetime]
    ) -> None:
        self.callers = callers  # looked at again for each request
        self._identity = identity
        self._now = now

    def admits_address(self, address: str) -> bool:
        """Tell whether connections from *address* get as far as TLS."""
        return not self.callers.addresses or _is_within(address, self.callers.addresses)

    def speaks_for_others(self, address: str) -> bool:
        """Tell whether *address* is a load balancer's, which must say for whom it calls."""
        return _is_within(address, self.callers.load_balancers)

    def judge(self, caller: Caller) -> Judgement:
        """Return whether the holder of this certificate, whose chain is good, is let in."""
        callers, now = self.callers, self._now()
        if callers.issuers and caller.issuer_name not in callers.issuers:
            return Judgement(Failure.WRONG_ISSUER)
        revocations = self._identity.identity.revocations
        status = revocations.status_of(caller.issuer, caller.serial, caller.points, now)
        if status is RevocationStatus.REVOKED:
            return Judgement(Failure.REVOKED)
        if status is RevocationStatus.UNKNOWN and callers.revocation_is_required:
            return Judgement(Failure.REVOCATION_UNKNOWN)
        if not allowed(caller.names, callers.names):
            observed = callers.observe_until is not None and now < callers.observe_until
            return Judgement(remark=Failure.REFUSED) if observed else Judgement(Failure.REFUSED)
        unknown = status is RevocationStatus.UNKNOWN and revocations.lists
        return Judgement(remark=Failure.REVOCATION_UNKNOWN if unknown else None)


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    found = ip_address(address.partition("%")[0])  # a link-local address names its interface
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks)
