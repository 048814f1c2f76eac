"""
What the national side says itself, word for word: errors, refusals of a token, /metadata.

The proxy's errors are an OperationOutcome of one issue each, with fixed ids. They are
`application/json`, carry no display, stand in white space, and do not echo the two ids: a
Sender has to cope with all of it. The media type stands alone, without a charset, here and
in what the token service says.

What the proxy says of itself at /metadata, where no service is named, is canned, as in
life, and not quite FHIR: `security` is a list, and `vread` is claimed where nothing has
versions. Whoever reads it has to bear both.

Every refusal of the live token service can be had on demand. Most can be met by sending
what deserves them. Some need a state of the platform that no sandbox is in, such as an
application that was revoked: the fault `token_refused` names one. `no-alg` is of that kind:
the platform refuses to decode such a JWT (`jwt`) before anybody looks for its algorithm.
"""

import json
from collections.abc import Iterable, Mapping

import orjson
from aiohttp import web

from bars_gateway.frozen import frozen

ERROR_CODES = "https://fhir.nhs.uk/Codesystem/http-error-codes"
VALUE_SET = "http://hl7.org/fhir/ValueSet/operation-outcome"
PROFILE = "https://simplifier.net/guide/UKCoreDevelopment2/ProfileUKCore-OperationOutcome"
EARLIER_PROFILE = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-OperationOutcome"
_COMMON_ID = "531e073a-3295-4e67-ae90-e00bd96a9cdd"


@frozen(kw_only=True)
class Body:
    """One error of the proxy."""

    status: int
    issue: str
    code: str
    text: str
    fixed_id: str = _COMMON_ID
    system: str = ERROR_CODES
    profile: str = PROFILE

    def encoded(self) -> bytes:
        """Return it as it goes out."""
        outcome = {
            "resourceType": "OperationOutcome",
            "id": self.fixed_id,
            "meta": {"profile": [self.profile]},
            "issue": [
                {
                    "severity": "error",
                    "code": self.issue,
                    "details": {"coding": [{"system": self.system, "code": self.code}]},
                    "diagnostics": self.text,
                }
            ],
        }
        return b"\n  " + json.dumps(outcome, indent=2).encode() + b"\n"


QUOTA = Body(
    status=429,
    issue="429",
    code="PROXY_TOO_MANY_REQUESTS",
    text="You have exceeded your application's rate limit.",
    system=VALUE_SET,
    profile=EARLIER_PROFILE,
)
NO_TOKEN = Body(
    status=401,
    issue="unknown",
    code="SEND_UNAUTHORIZED",
    text="No Access token was provided.",
    fixed_id="e1112dbd-7aaf-412e-9b94-ef6e047d2d92",
)
BAD_TOKEN = Body(
    status=401,
    issue="security",
    code="SEND_UNAUTHORIZED",
    text="The user or system was not able to be authenticated, either the access token was invalid,"
    " or not provided.",
    fixed_id="d7aaf12e-7b94-4ef6-b047-d2d92981b1cd",
)
NOT_ENABLED = Body(
    status=403,
    issue="forbidden",
    code="SEND_FORBIDDEN",
    text="The access token was provided, but BaRS is not enabled.",
    fixed_id="3ce474db-cbc8-4682-a5ab-ca2a4eda1dae",
)
SCRIPT_FAILED = Body(
    status=500,
    issue="exception",
    code="REC_SERVER_ERROR",
    text="unhandled exception.",
    fixed_id="b38b875b-a1cf-4104-a900-3a5d3ce474db",
)
NO_STORE = Body(
    status=500,
    issue="no-store",
    code="REC_SERVER_ERROR",
    text="internal data storage issue.",
    fixed_id="ca0f6c46-589e-4558-a937-d4974e1112db",
)
NO_IDS = Body(
    status=400,
    issue="invalid",
    code="BAD_REQUEST",
    text="The X-Request-Id or the X-Correlation-Id was not included Or the NHSD-Target-Identifier"
    " was not included (depending on the endpoint being called).",
    fixed_id="42c78e78-c06a-462a-8194-956e6a8dc4a2",
)
NOT_ACCEPTABLE = Body(
    status=406,
    issue="processing",
    code="SEND_NOT_ACCEPTABLE",
    text="The requested version of this resource is not offered.",
    profile=EARLIER_PROFILE,
)
BAD_BASE64 = Body(
    status=400,
    issue="400",
    code="PROXY_BAD_REQUEST",
    text="The base64 decoding of the NHSD-Target-Identifier header failed.",
    fixed_id="76825bab-2cab-432a-b881-66ec070981d8",
    system=VALUE_SET,
    profile=EARLIER_PROFILE,
)
BAD_SCHEMA = Body(
    status=400,
    issue="structure",
    code="PROXY_BAD_REQUEST",
    text="Invalid schema for NHSD-Target-Identifier header",
    fixed_id="da38f50a-160a-4e5d-8e77-117b0759053a",
    system=VALUE_SET,
    profile=EARLIER_PROFILE,
)
NO_TARGET = Body(
    status=404,
    issue="not-found",
    code="PROXY_NOT_FOUND",
    text="The target endpoint does not exist in the Endpoint Catalogue.",
)
TWO_TARGETS = Body(
    status=404,
    issue="multiple-matches",
    code="NOT_FOUND",
    text="The Target Identifier found two endpoints, this would be an issue with the management"
    " of the Endpoint catalogue.",
    fixed_id="937d4974-e111-42db-b7aa-f12e7b94ef6e",
)
FORBIDDEN = Body(
    status=403,
    issue="forbidden",
    code="REC_FORBIDDEN",
    text="TLS-MA failure.",
    fixed_id="c936667e-13b0-4f56-94b1-e944a459837e",
)
TIMEOUT = Body(
    status=408,
    issue="timeout",
    code="REC_TIMEOUT",
    text="The connection to the Receiver timed out.",
    fixed_id="5abca2a4-eda1-4dae-8cc9-5d48c6b791dc",
)
UNAVAILABLE = Body(
    status=503,
    issue="transient",
    code="REC_SERVICE_UNAVAILABLE",
    text="The response from the receiver was a 503, with no detail. Also useful if there is a"
    " connection failure such as the endpoint not being found, or failing to resolve.",
    fixed_id="4b87b05b-7a20-4994-abea-57778024d216",
)


def platform_fault(text: str, code: str) -> bytes:
    """Return what the platform says where BaRS has no words of its own: no OperationOutcome."""
    return json.dumps({"fault": {"faultstring": text, "detail": {"errorcode": code}}}).encode()


UNEXPECTED_EOF = platform_fault(
    "Unexpected EOF at target", "messaging.adaptors.http.flow.UnexpectedEOFAtTarget"
)
TOO_BIG = platform_fault("Body buffer overflow", "protocol.http.TooBigBody")
NO_SUCH_PROXY = platform_fault(
    "Unable to identify proxy", "messaging.adaptors.http.flow.ApplicationNotFound"
)
NO_DOCUMENTS = platform_fault(
    "The Service is temporarily unavailable", "messaging.adaptors.http.flow.ServiceUnavailable"
)
BAD_JWKS = platform_fault("Invalid key configuration", "steps.jwt.InvalidKeyConfiguration")
NOT_YET_VALID = platform_fault("Token not yet valid", "steps.jwt.TokenNotYetValid")

# What both services say of themselves at /_ping.
PING = json.dumps(
    {"version": "sandbox", "revision": "1", "releaseId": "sandbox", "commitId": "-"}
).encode()
PREFLIGHT = {
    "Access-Control-Allow-Headers": (
        "origin, x-requested-with, accept, content-type, nhsd-session-urid"
    ),
    "Access-Control-Allow-Methods": "GET, PUT, POST, DELETE",
    "Access-Control-Max-Age": "3628800",
}


def as_document(document: object, *, status: int = 200) -> web.Response:
    """Return what the sandbox's own pages answer, to be read by people too."""
    return web.Response(
        body=orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n",
        status=status,
        content_type="application/json",
    )


def as_json(status: int, body: bytes) -> web.Response:
    """Return an answer that the national side makes itself."""
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json"})


def intermediary(status: int) -> web.Response:
    """Return the page of some device in between, which knows nothing of BaRS."""
    page = f"<html><head><title>{status}</title></head><body>{status}</body></html>"
    return web.Response(status=status, body=page.encode(), content_type="text/html")


_READ = ("read", "vread")
_WRITE = ("create", "update", "delete")
_SEARCH = "search-type"
# Type of resource → what may be done, and what may be searched for.
_SERVED = {
    "CapabilityStatement": (_READ, ()),
    "MessageDefinition": ((_SEARCH,), (("useContext:identifier", "token"),)),
    "Appointment": (
        (*_READ, _SEARCH, *_WRITE),
        (("_id", "token"), ("date", "date"), ("patient:identifier", "token")),
    ),
    "DocumentReference": (
        ("read", _SEARCH, *_WRITE),
        (
            ("_id", "token"),
            ("type", "token"),
            ("custodian:identifier", "token"),
            ("patient:identifier", "token"),
            ("next-page-token", "token"),
        ),
    ),
    "ServiceRequest": ((*_READ, _SEARCH), (("_id", "token"), ("patient:identifier", "token"))),
    "Slot": (
        (_SEARCH,),
        (("start", "date"), ("status", "token"), ("Schedule.actor:HealthcareService", "token")),
    ),
}
_CALLED = ("Appointment", "DocumentReference", "ServiceRequest", "Slot")  # at a Receiver
_MESSAGES = {
    "name": "$process-message",
    "definition": "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message",
}


def capability_statement(url: str) -> bytes:
    """Return the CapabilityStatement of the proxy that is reached at *url*."""
    return json.dumps(
        {
            "resourceType": "CapabilityStatement",
            "id": "BaRS-FHIR-Server",
            "url": url,
            "name": "BaRS FHIR Server CapabilityStatement",
            "status": "active",
            "version": "1.2.0",
            "experimental": False,
            "date": "2022-09-16T15:00:00+01:00",
            "publisher": "bars_gateway sandbox",
            "kind": "instance",
            "software": {"name": "BaRS API", "version": "1.1.0"},
            "implementation": {"description": "BaRS FHIR Server", "url": url},
            "fhirVersion": "4.0.1",
            "format": ["xml", "json"],
            "rest": [_rest("server", "OAuth", _SERVED), _rest("client", "Certificates", _CALLED)],
        }
    ).encode()


def _rest(mode: str, security: str, kinds: Iterable[str]) -> dict[str, object]:
    system = "http://terminology.hl7.org/CodeSystem/restful-security-service"
    return {
        "mode": mode,
        "interaction": [{"code": "transaction"}, {"code": "search-system"}],
        "security": [{"service": {"coding": [{"system": system, "code": security}]}}],
        "resource": [_resource(kind) for kind in kinds],
        "operation": [_MESSAGES],
    }


def _resource(kind: str) -> dict[str, object]:
    interactions, searched = _SERVED[kind]
    return {
        "type": kind,
        "interaction": [{"code": code} for code in interactions],
        "searchParam": [{"name": name, "type": type_} for name, type_ in searched],
        "versioning": "no-version",
    }


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
        platform_fault("ClientId is Invalid", "oauth.v2.InvalidClientIdentifier"),
    ),
}
REFUSALS = (*_OF_THE_SERVICE, *_OF_THE_PLATFORM)


class TokenDenied(Exception):
    """Why no token is given, in the service's own terms."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.document: dict[str, object] = {"error": error, "error_description": description}


class OfThePlatform(TokenDenied):
    """What the platform refuses before the service has a word for it, in a form of its own."""

    def __init__(self, status: int, fault: bytes) -> None:
        super().__init__(status, "", "")
        self.document = json.loads(fault)


def refusal(name: str) -> TokenDenied:
    """Return the refusal of that name."""
    if name in _OF_THE_PLATFORM:
        return OfThePlatform(*_OF_THE_PLATFORM[name])
    return TokenDenied(*_OF_THE_SERVICE[name])
