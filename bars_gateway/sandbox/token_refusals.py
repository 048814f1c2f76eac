"""
Every refusal of the live token service, word for word, to be had on demand.

Most can be met by sending what deserves them. Some need a state of the platform that no
sandbox is in, such as an application that was revoked: the fault `token_refused` names one.

`no-alg` is of that kind: the platform refuses to decode such a JWT (`jwt`) before anybody
looks for its algorithm.
"""

import json
from collections.abc import Mapping

from bars_gateway.sandbox import bodies

_UNKNOWN = "An unknown error occurred processing this request. Contact us for assistance"
_SUBSCRIBE = (
    "you have tried to request authorization but your application is not configured to use this"
    " authorization grant type"
)
_MALFORMED: Mapping[str, str] = {
    "no-grant-type": "grant_type is missing",
    "assertion-type": "Missing or invalid client_assertion_type - must be"
    " 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'",
    "no-assertion": "Missing client_assertion",
    "jwt": "Malformed JWT in client_assertion",
    "no-alg": "Missing 'alg' header in JWT",
    "alg": "Invalid 'alg' header in JWT - unsupported JWT algorithm - must be 'RS512'",
    "no-kid": "Missing 'kid' header in JWT",
    "typ": "Invalid 'typ' header in JWT - must be 'JWT'",
    "no-exp": "Missing 'exp' claim in JWT",
    "exp": "Invalid 'exp' claim in JWT - must be an integer",
    "clock": "Invalid 'exp' claim in JWT - JWT has expired",
    "clock-fast": "Invalid 'exp' claim in JWT - more than 5 minutes in future",
    "iss-and-sub": "Missing or non-matching 'iss'/'sub' claims in JWT",
    "no-jti": "Missing 'jti' claim in JWT",
    "jti": "Invalid 'jti' claim in JWT - must be a unique string value such as a GUID",
    "jti-spent": "Non-unique 'jti' claim in client_assertion JWT",
}
_OTHERS: Mapping[str, tuple[int, str, str]] = {
    "media-type": (
        415,
        "invalid_request",
        "Content-Type header must be application/x-www-form-urlencoded",
    ),
    "path": (404, "invalid_request", "Not Found"),
    "grant-type": (400, "unsupported_grant_type", "grant_type is invalid"),
    "api-key": (401, "invalid_request", "Invalid 'iss'/'sub' claims in client_assertion JWT"),
    "audience": (401, "invalid_request", "Missing or invalid 'aud' claim in client_assertion JWT"),
    "kid": (401, "invalid_request", "Invalid 'kid' header in JWT - no matching public key"),
    "signature": (401, "public_key error", "JWT signature verification failed"),
    "no-jwks": (403, "public_key error", "You need to register a public key to use this service"),
    "jwks-unreachable": (
        403,
        "public_key error",
        "The JWKS endpoint, for your client_assertion can't be reached",
    ),
    "not-subscribed": (401, "unauthorized_client", _SUBSCRIBE),
    "client": (401, "invalid_client", "client_id or client_secret is invalid"),
    "not-approved": (
        401,
        "access_denied",
        "API Key supplied does not have access to this resource",
    ),
    "server-error": (500, "unknown_error", _UNKNOWN),
}

_OF_THE_SERVICE: Mapping[str, tuple[int, str, str]] = {
    **{name: (400, "invalid_request", text) for name, text in _MALFORMED.items()},
    **_OTHERS,
}
_OF_THE_PLATFORM: Mapping[str, tuple[int, bytes]] = {
    "application": (
        500,
        bodies.platform_fault("ClientId is Invalid", "oauth.v2.InvalidClientIdentifier"),
    ),
}
REFUSALS = (*_OF_THE_SERVICE, *_OF_THE_PLATFORM)


class Refusal(Exception):
    """Why no token is given, in the service's own terms."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.document: dict[str, object] = {"error": error, "error_description": description}


class OfThePlatform(Refusal):
    """What the platform refuses before the service has a word for it, in a form of its own."""

    def __init__(self, status: int, fault: bytes) -> None:
        super().__init__(status, "", "")
        self.document = json.loads(fault)


def refusal(name: str) -> Refusal:
    """Return the refusal of that name."""
    if name in _OF_THE_PLATFORM:
        return OfThePlatform(*_OF_THE_PLATFORM[name])
    return Refusal(*_OF_THE_SERVICE[name])
