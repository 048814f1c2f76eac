"""
The proxy's own error bodies: an OperationOutcome of one issue each, with fixed ids.

They are `application/json`, carry no display, stand in white space, and do not echo
the two ids: a Sender has to cope with all of it. The media type stands alone, without a
charset, here and in what the token service says.
"""

import json
from dataclasses import dataclass

from aiohttp import web

ERROR_CODES = "https://fhir.nhs.uk/Codesystem/http-error-codes"
VALUE_SET = "http://hl7.org/fhir/ValueSet/operation-outcome"
PROFILE = "https://simplifier.net/guide/UKCoreDevelopment2/ProfileUKCore-OperationOutcome"
EARLIER_PROFILE = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-OperationOutcome"
_COMMON_ID = "531e073a-3295-4e67-ae90-e00bd96a9cdd"


@dataclass(frozen=True, slots=True, kw_only=True)
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


def as_json(status: int, body: bytes) -> web.Response:
    """Return an answer that the national side makes itself."""
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json"})


def intermediary(status: int) -> web.Response:
    """Return the page of some device in between, which knows nothing of BaRS."""
    page = f"<html><head><title>{status}</title></head><body>{status}</body></html>"
    return web.Response(status=status, body=page.encode(), content_type="text/html")
