"""
Why a connection brought no request, in the operator's words.

    exception of a handshake ──reason_of──► Failure ──► log, status page, metrics

OpenSSL and asyncio tell it in codes and in a dozen kinds of exception; an operator who
waits for the proxy to get through needs the one sentence behind each.
"""

import ssl
from enum import StrEnum


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
