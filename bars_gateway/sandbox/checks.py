"""
What the proxy checks before it forwards, in the live one's order (proxy page, 1.2).

    token ─► version ─► ids ─► version of documents ─► target: Base64 ─► JSON ─► known?

Each check returns the body of its refusal, or None. The look-up is exact, letter by
letter, and an unknown *system* makes the live script fail with a 500 that looks
transient and is not; so does Base64 of something that is no JSON.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping

from aiohttp import web

from bars_gateway.sandbox import bodies
from bars_gateway.sandbox.assertions import no_json
from bars_gateway.sandbox.bodies import Body
from bars_gateway.sandbox.registry import Registered, Targets

_ALPHABET = re.compile(rb"[^A-Za-z0-9+/=]")
_DOCUMENT_VERSION = 1_01_00
_FLOOR = 1_00_00


def token_problem(request: web.Request, owner: Callable[[str], Registered | None]) -> Body | None:
    """Make checks 1 to 4: a token is there, was issued here, lives, and is good for BaRS."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return bodies.NO_TOKEN
    found = owner(token)
    if found is None:
        return bodies.BAD_TOKEN
    return None if found.enabled else bodies.NOT_ENABLED


def header_problem(request: web.Request, suffix: str) -> Body | None:
    """Make checks 5 to 7: the version parameter, the two ids, the version for documents."""
    try:
        version = accepted_version(request.headers.get("Accept", ""))
    except ValueError:
        return bodies.SCRIPT_FAILED
    if "X-Request-Id" not in request.headers or "X-Correlation-Id" not in request.headers:
        return bodies.NO_IDS
    documents = suffix.startswith("/DocumentReference")
    if documents and ("Accept" not in request.headers or version < _DOCUMENT_VERSION):
        return bodies.NOT_ACCEPTABLE
    return None


def accepted_version(accept: str) -> int:
    """
    Return the highest version that Accept names, as X*10000 + Y*100 + Z; at least 1.0.0.

    Anything but three numbers counts as none. Raises ValueError for a parameter `version`
    without `=`, on which the live script fails.
    """
    found = [_FLOOR]
    for parameter in accept.partition(",")[0].split(";")[1:]:
        name, equals, value = parameter.strip().partition("=")
        if not name.lower().startswith("version"):
            continue
        if not equals:
            raise ValueError("version without a value")
        numbers = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", value.strip())
        if numbers:
            found.append(int(numbers[1]) * 10000 + int(numbers[2]) * 100 + int(numbers[3]))
    return max(found)


def target_of(header: str | None, targets: Callable[[], Targets]) -> tuple[str, str] | Body:
    """Make checks 8 to 12: return the service's value and its base URL, or the refusal."""
    decoded = _decoded(header)
    if decoded is None:
        return bodies.BAD_BASE64
    try:
        found = json.loads(decoded, parse_constant=no_json)
    except (ValueError, RecursionError):
        return bodies.SCRIPT_FAILED
    if not isinstance(found, dict) or not (found.get("system") and found.get("value")):
        return bodies.BAD_SCHEMA
    try:
        services = targets()[found["system"]]
    except (KeyError, ValueError, TypeError, OSError):
        return bodies.SCRIPT_FAILED
    return _place_of(str(found["value"]), services)


def _place_of(value: str, services: Mapping[str, str | list[str]]) -> tuple[str, str] | Body:
    match services.get(value):
        case None:
            return bodies.NO_TARGET
        case str(url) | [url]:
            return value, url.removesuffix("/")
        case _:
            return bodies.TWO_TARGETS


def _decoded(header: str | None) -> bytes | None:
    """Decode as the live script does: foreign characters are skipped, padding is needed."""
    if header is None:
        return None
    try:
        return base64.b64decode(_ALPHABET.sub(b"", header.encode("utf-8", "surrogateescape")))
    except binascii.Error:
        return None


def replaced(status: int, body: bytes) -> Body | None:
    """Return the body that the proxy puts in place of a Receiver's error, if it does (1.5)."""
    if status == 403:  # noqa: PLR2004
        return bodies.FORBIDDEN
    if status == 503:  # noqa: PLR2004
        return bodies.UNAVAILABLE
    if status == 504:  # noqa: PLR2004
        return bodies.TIMEOUT
    if status == 500:  # noqa: PLR2004
        return {None: bodies.SCRIPT_FAILED, "no-store": bodies.NO_STORE}.get(_issue_code(body))
    return None


def _issue_code(body: bytes) -> str | None:
    try:
        code = json.loads(body)["issue"][0]["code"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return code if isinstance(code, str) else None
