"""
The live proxy and the live token service, row by row: what is asked, and what they answer.

    request ─► sandbox ─► status, the headers that matter, the shape of the body
                  └─────► what the Receiver sees

Each row names its source: a flow or script of the proxy or the token service as they are
published, or the documentation of the platform that runs both (Apigee). What only the
platform's documentation says nobody has seen in life.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import pytest
from national_side import CORRELATION_ID, FHIR, REQUEST_ID
from sandbox.around import (
    JWT_BEARER,
    SERVICE,
    encoded,
    point,
    talking,
    target,
    without_none,
)

from bars_gateway.sandbox.registry import DOS_SERVICE
from bars_gateway.sandbox.token_service import FORM

BASE = "/booking-and-referral/FHIR/R4"
TARGET = "NHSD-Target-Identifier"
PLAIN = {"Content-Type": "application/json"}

HANDLE_ERRORS = "proxy: HandleErrors.js"
VALIDATE = "proxy: ValidateRequest.js"
DECODE = "proxy: DecodeBase64String.py"
CHECK_TARGETS = "proxy: CheckTargets.js"
TOKEN_CHECK = "proxy: OauthV2.VerifyAccessToken"
FLOWS = "proxy: proxies/default.xml"
CLAIMS = "token service: validate-client-assertion-claims.js"
TOKEN_FLOWS = "token service: default.xml"
EXAMPLES = "API 1.4.0: examples by the fixed id"
APIGEE = "Apigee's documentation"

# The coding systems and the profiles, short.
SYSTEMS = {
    "https://fhir.nhs.uk/Codesystem/http-error-codes": "codes",
    "http://hl7.org/fhir/ValueSet/operation-outcome": "value-set",
}
PROFILES = {
    "https://simplifier.net/guide/UKCoreDevelopment2/ProfileUKCore-OperationOutcome": "guide",
    "https://fhir.hl7.org.uk/StructureDefinition/UKCore-OperationOutcome": "earlier",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One request, and how it ends."""

    source: str
    status: int
    shape: str
    method: str = "POST"
    path: str = "/$process-message"
    headers: Mapping[str, str | None] = field(default_factory=dict)  # None: not sent
    body: bytes = b"{}"
    told: Mapping[str, str | None] = field(default_factory=lambda: PLAIN)  # None: not there
    receiver: bytes | None = None  # what it says, on the wire
    fault: Mapping[str, object] | None = None


def says(status, body=b"", *headers):
    """Return an answer of a Receiver, on the wire."""
    head = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def target_text(**changes):
    """Return what a target header holds before it is encoded."""
    return json.dumps({"system": DOS_SERVICE, "value": SERVICE} | changes, ensure_ascii=False)


def issue(code):
    return json.dumps({"resourceType": "OperationOutcome", "issue": [{"code": code}]}).encode()


ROWS = {
    # Who asks
    "no-token": Row(
        source=TOKEN_CHECK,
        headers={"Authorization": None},
        status=401,
        shape="unknown SEND_UNAUTHORIZED codes guide",
    ),
    "bearer-of-two-words": Row(
        source=TOKEN_CHECK,
        headers={"Authorization": "Bearer one two"},
        status=401,
        shape="unknown SEND_UNAUTHORIZED codes guide",
    ),
    "bearer-alone": Row(
        source=TOKEN_CHECK,
        headers={"Authorization": "Bearer"},
        status=401,
        shape="unknown SEND_UNAUTHORIZED codes guide",
    ),
    "token-of-nobody": Row(
        source=TOKEN_CHECK,
        headers={"Authorization": "Bearer x"},
        status=401,
        shape="security SEND_UNAUTHORIZED codes guide",
    ),
    # The headers
    "no-ids": Row(
        source=VALIDATE,
        headers={"X-Request-Id": None},
        status=400,
        shape="invalid BAD_REQUEST codes guide",
        told=PLAIN | {"X-Correlation-Id": None},
    ),
    "no-documents-of-old": Row(
        source=FLOWS,
        method="GET",
        path="/DocumentReference",
        headers={"Accept": FHIR},
        status=406,
        shape="processing SEND_NOT_ACCEPTABLE codes earlier",
    ),
    "no-target": Row(
        source=DECODE,
        headers={TARGET: None},
        status=400,
        shape="400 PROXY_BAD_REQUEST value-set earlier",
    ),
    "target-is-no-base64": Row(
        source=DECODE,
        headers={TARGET: target()[:-3]},
        status=400,
        shape="400 PROXY_BAD_REQUEST value-set earlier",
    ),
    "target-without-value": Row(
        source=EXAMPLES,
        headers={TARGET: encoded('{"system": "x"}')},
        status=400,
        shape="structure PROXY_BAD_REQUEST value-set earlier",
    ),
    "target-with-byte-order-mark": Row(
        source=CHECK_TARGETS,
        headers={TARGET: "77u/" + target()},
        status=500,
        shape="exception REC_SERVER_ERROR codes guide",
    ),
    "target-in-utf-16": Row(
        source=CHECK_TARGETS,
        headers={TARGET: encoded('{"system":"x","value":"y"}', "utf-16-le")},
        status=500,
        shape="exception REC_SERVER_ERROR codes guide",
    ),
    "target-with-a-letter-of-latin-1": Row(
        source=CHECK_TARGETS,
        headers={TARGET: encoded(target_text(display="Zoë"), "latin-1")},
        status=200,
        shape="taken",
        told={},
    ),
    "target-value-is-a-number": Row(
        source=CHECK_TARGETS,
        headers={TARGET: encoded(target_text(value=2000000202))},
        status=200,
        shape="taken",
        told={},
    ),
    "target-value-is-a-list-of-one": Row(
        source=CHECK_TARGETS,
        headers={TARGET: encoded(target_text(value=["2000000202"]))},
        status=200,
        shape="taken",
        told={},
    ),
    "target-value-is-an-object": Row(
        source=CHECK_TARGETS,
        headers={TARGET: encoded(target_text(value={}))},
        status=404,
        shape="not-found PROXY_NOT_FOUND codes guide",
    ),
    "target-value-is-zero": Row(
        source=CHECK_TARGETS,
        headers={TARGET: encoded(target_text(value=0))},
        status=400,
        shape="structure PROXY_BAD_REQUEST value-set earlier",
    ),
    "target-system-is-not-known": Row(
        source=CHECK_TARGETS,
        headers={TARGET: encoded(target_text(system=["x"]))},
        status=500,
        shape="exception REC_SERVER_ERROR codes guide",
    ),
    "expect-100-continue": Row(
        source=APIGEE, headers={"Expect": "100-continue"}, status=200, shape="taken", told={}
    ),
    # The proxy's own answers
    "preflight": Row(
        source=FLOWS,
        method="OPTIONS",
        path="/Slot",
        headers={
            "Authorization": None,
            "origin": "https://example.org",
            "access-control-request-method": "GET",
        },
        status=200,
        shape="empty",
        told={
            "Access-Control-Allow-Origin": "https://example.org",
            "Access-Control-Allow-Methods": "GET, PUT, POST, DELETE",
            "Access-Control-Allow-Headers": (
                "origin, x-requested-with, accept, content-type, nhsd-session-urid"
            ),
            "Access-Control-Max-Age": "3628800",
            "Content-Type": None,
        },
    ),
    "own-capabilities": Row(
        source=FLOWS,
        method="GET",
        path="/metadata",
        headers={TARGET: None, "Authorization": None, "X-Request-Id": None},
        status=200,
        shape="CapabilityStatement server client",
    ),
    "capabilities-of-a-receiver": Row(
        source=FLOWS, method="GET", path="/metadata", status=200, shape="taken", told={}
    ),
    "ping": Row(
        source=FLOWS,
        method="GET",
        path="/_ping",
        headers={"Authorization": None},
        status=200,
        shape="commitId releaseId revision version",
    ),
    # The Receiver
    "receiver-403": Row(
        source=HANDLE_ERRORS,
        receiver=says(403, issue("x"), f"Content-Type: {FHIR}", "x-request-ID: r"),
        status=403,
        shape="forbidden REC_FORBIDDEN codes guide",
        told=PLAIN | {"x-request-ID": "r"},
    ),
    "receiver-503": Row(
        source=HANDLE_ERRORS,
        receiver=says(503, b"<html>", "Content-Type: text/html"),
        status=503,
        shape="transient REC_SERVICE_UNAVAILABLE codes guide",
    ),
    "receiver-504": Row(
        source=HANDLE_ERRORS,
        receiver=says(504, issue("timeout"), f"Content-Type: {FHIR}"),
        status=408,
        shape="timeout REC_TIMEOUT codes guide",
    ),
    "receiver-500-with-a-numeric-code": Row(
        source=HANDLE_ERRORS,
        receiver=says(500, issue(5), f"Content-Type: {FHIR}"),
        status=500,
        shape="issue 5",
        told={"Content-Type": FHIR},
    ),
    "receiver-500-without-media-type": Row(
        source=HANDLE_ERRORS,
        receiver=says(500, issue("exception")),
        status=500,
        shape="issue exception",
        told={"Content-Type": None},
    ),
    "receiver-500-without-media-type-or-code": Row(
        source=HANDLE_ERRORS,
        receiver=says(500, b"no JSON"),
        status=500,
        shape="exception REC_SERVER_ERROR codes guide",
    ),
    "receiver-500-with-an-empty-code": Row(
        source=HANDLE_ERRORS,
        receiver=says(500, issue(""), f"Content-Type: {FHIR}"),
        status=500,
        shape="exception REC_SERVER_ERROR codes guide",
    ),
    "receiver-200-without-media-type": Row(
        source=HANDLE_ERRORS,
        receiver=says(200, b"taken"),
        status=200,
        shape="taken",
        told={"Content-Type": None},
    ),
    "receiver-spells-its-headers": Row(
        source=APIGEE,
        receiver=says(200, b"taken", "x-request-ID: r", "content-TYPE: text/plain"),
        status=200,
        shape="taken",
        told={"x-request-ID": "r", "content-TYPE": "text/plain"},
    ),
    # Faults on demand say what the live proxy says in that case.
    "fault-504": Row(
        source=HANDLE_ERRORS,
        fault={"kind": "status", "status": 504},
        status=408,
        shape="timeout REC_TIMEOUT codes guide",
    ),
    "fault-502": Row(
        source=APIGEE,
        fault={"kind": "status", "status": 502},
        status=502,
        shape="fault messaging.adaptors.http.flow.UnexpectedEOFAtTarget",
    ),
    "fault-429": Row(
        source=HANDLE_ERRORS,
        fault={"kind": "status", "status": 429},
        status=429,
        shape="429 PROXY_TOO_MANY_REQUESTS value-set earlier",
    ),
}


@pytest.mark.parametrize("name", ROWS)
async def test_the_proxy_answers(box, name):
    """Status, the headers that matter, and the shape of the body are the live ones."""
    row = ROWS[name]
    if row.fault:
        await box.arm(**row.fault, count=1)
    said = row.receiver or says(200, b"taken", f"Content-Type: {FHIR}")
    async with talking(said, box.tls_of_receiver()) as port:
        await point(box, port)
        status, headers, body = await asked(box, row)

    assert (row.status, row.shape) == (status, shape_of(body)), row.source
    assert dict(row.told) == {each: headers.get(each) for each in row.told}, row.source


async def asked(box, row):
    """Send *row* as a Sender would, spelling every header itself."""
    sent = {
        "Authorization": f"Bearer {await box.token()}",
        "X-Request-Id": REQUEST_ID,
        "X-Correlation-Id": CORRELATION_ID,
        TARGET: target(),
        "Accept": f"{FHIR}; version=1.5.0",
        "Content-Type": FHIR,
        "Content-Length": str(len(row.body)),
    } | dict(row.headers)
    return await on_the_wire(box, row.method, BASE + row.path, without_none(sent), row.body)


async def on_the_wire(box, method, path, headers, body):
    """Say exactly this; return status, headers as they are spelt, and body."""
    port = urlsplit(box.sandbox.proxy_url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=box.tls)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    answered = (await reader.read()).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    writer.close()
    head, _, content = answered.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), content


def shape_of(body):
    """Return what a body says, in few words."""
    try:
        found = json.loads(body)
    except ValueError:
        return body.decode() or "empty"
    match found:
        case {"resourceType": "CapabilityStatement", "rest": rest}:
            return " ".join(["CapabilityStatement", *(each["mode"] for each in rest)])
        case {"meta": {"profile": [profile]}, "issue": [{"code": code, "details": details}]}:
            coding = details["coding"][0]
            return f"{code} {coding['code']} {SYSTEMS[coding['system']]} {PROFILES[profile]}"
        case {"issue": [{"code": code}]} | {"fault": {"detail": {"errorcode": code}}}:
            return f"{next(reversed(found))} {code}"
        case {"error": error, "error_description": description, "message_id": _}:
            return f"{error}: {description}"
    return " ".join(sorted(found))


# What is sent → what the Receiver sees of it, header by header; None: nothing.
ARRIVING = {
    "delete-without-body": ("DELETE", {}, b"", {"Content-Length": None}),
    "post-without-body": ("POST", {}, b"", {"Content-Length": None}),
    "post-of-an-empty-body": ("POST", {"Content-Length": "0"}, b"", {"Content-Length": "0"}),
    "post-with-a-body": ("POST", {"Content-Length": "2"}, b"{}", {"Content-Length": "2"}),
    "expectation": (
        "POST",
        {"Content-Length": "2", "Expect": "100-continue"},
        b"{}",
        {"Expect": None},
    ),
    "spelling-of-names": (
        "GET",
        {"X-CORRELATION-id": "2", "x-request-ID": "1"},
        b"",
        {"X-CORRELATION-id": "2", "x-request-ID": "1", "X-Request-Id": None},
    ),
    "a-way-behind": (
        "GET",
        {"X-Forwarded-For": "192.0.2.7"},
        b"",
        {"X-Forwarded-For": "192.0.2.7, 127.0.0.1"},
    ),
    "no-way-behind": ("GET", {}, b"", {"X-Forwarded-For": "127.0.0.1", "Authorization": None}),
}


@pytest.mark.parametrize("name", ARRIVING)
async def test_a_receiver_sees(box, name):
    """Headers arrive as the platform passes them (proxy: no policy touches them; Apigee)."""
    method, named, body, expected = ARRIVING[name]
    sent = {
        "Authorization": f"Bearer {await box.token()}",
        TARGET: target(),
        "X-Request-Id": REQUEST_ID,
        "X-Correlation-Id": CORRELATION_ID,
    }
    spelt = {each.lower() for each in named}
    sent = {each: value for each, value in sent.items() if each.lower() not in spelt} | named
    receiver = talking(says(200, b"taken"), box.tls_of_receiver())
    async with receiver as port:
        await point(box, port)
        status, _, _ = await on_the_wire(box, method, f"{BASE}/Appointment/1", sent, body)
    lines = receiver.heard.decode().split("\r\n")[1:-2]
    seen = dict(line.split(": ", 1) for line in lines)

    assert (200, expected) == (status, {each: seen.get(each) for each in expected})


GRANT = "client_credentials"


def form(**changes):
    """Return a way to make the fields of a token request, but for *changes*."""

    def made(box):
        right = {
            "grant_type": GRANT,
            "client_assertion_type": JWT_BEARER,
            "client_assertion": box.jwt(),
        }
        return urlencode(list((right | changes).items()), doseq=True)

    return made


def signing(header=None, claims=None):
    """Return the same with a JWT of another header or other claims."""
    return lambda box: form(client_assertion=box.jwt(header, claims))(box)


def early(box):
    """Return the same with a JWT that is valid in an hour."""
    return signing(claims={"nbf": box.clock.now().timestamp() + 3600})(box)


@dataclass(frozen=True, kw_only=True)
class TokenRow:
    """One token request, and how it ends."""

    source: str
    status: int
    shape: str
    method: str = "POST"
    media_type: str = FORM
    form: object = field(default_factory=form)
    told: Mapping[str, str | None] = field(default_factory=lambda: PLAIN)


TOKENS = {
    "granted": TokenRow(
        source=TOKEN_FLOWS, status=200, shape="access_token expires_in issued_at token_type"
    ),
    "get": TokenRow(
        source=TOKEN_FLOWS,
        method="GET",
        status=405,
        shape="empty",
        told={"Allow": "POST", "Content-Type": None},
    ),
    "head": TokenRow(
        source=TOKEN_FLOWS,
        method="HEAD",
        status=405,
        shape="empty",
        told={"Allow": "POST", "Content-Type": None},
    ),
    "charset": TokenRow(
        source=TOKEN_FLOWS,
        media_type=f"{FORM}; charset=utf-8",
        status=415,
        shape=f"invalid_request: Content-Type header must be {FORM}",
    ),
    "first-of-two-is-right": TokenRow(
        source=APIGEE,
        form=form(grant_type=[GRANT, "password"]),
        status=200,
        shape="access_token expires_in issued_at token_type",
    ),
    "first-of-two-is-wrong": TokenRow(
        source=APIGEE,
        form=form(grant_type=["password", GRANT]),
        status=400,
        shape="unsupported_grant_type: grant_type is invalid",
    ),
    "empty-jti": TokenRow(
        source=CLAIMS,
        form=signing(claims={"jti": ""}),
        status=400,
        shape="invalid_request: Missing 'jti' claim in JWT",
    ),
    "no-alg": TokenRow(
        source=f"token service: DecodeJWT; {APIGEE}",
        form=signing({"alg": None}),
        status=400,
        shape="invalid_request: Malformed JWT in client_assertion",
    ),
    "other-alg": TokenRow(
        source=CLAIMS,
        form=signing({"alg": "RS256"}),
        status=400,
        shape="invalid_request: Invalid 'alg' header in JWT - unsupported JWT algorithm"
        " - must be 'RS512'",
    ),
    "future-nbf": TokenRow(
        source=f"token service: VerifyJWT.ClientCredentials; {APIGEE}",
        form=early,
        status=401,
        shape="fault steps.jwt.TokenNotYetValid",
    ),
}


@pytest.mark.parametrize("name", TOKENS)
async def test_the_token_service_answers(box, name):
    """Status, the headers that matter, and the shape of the body are the live ones."""
    row = TOKENS[name]
    body = b"" if row.method in {"GET", "HEAD"} else row.form(box).encode()
    headers = {"Content-Type": row.media_type, "Content-Length": str(len(body))}
    path = urlsplit(box.sandbox.token_url).path
    status, told, answered = await on_the_wire(box, row.method, path, headers, body)

    assert (row.status, row.shape) == (status, shape_of(answered)), row.source
    assert dict(row.told) == {each: told.get(each) for each in row.told}, row.source
