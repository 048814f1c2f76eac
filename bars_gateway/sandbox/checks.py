"""
What the proxy checks before it forwards, in the live one's order (proxy page, 1.2).

    token ─► version ─► ids ─► version of documents ─► target: Base64 ─► JSON ─► known?

Each check returns the body of its refusal, or None. The look-up is exact, letter by
letter, and an unknown *system* makes the live script fail with a 500 that looks
transient and is not; so does Base64 of something that is no JSON. What is decoded, the
live script reads byte for byte, and looks things up as JavaScript does: a byte order mark
is no JSON, UTF-8 is not understood, and the number 2000099999 is as good as the text.
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
    if scheme.lower() != "bearer" or len(token.split()) != 1:  # two words are no token, either
        return bodies.NO_TOKEN
    found = owner(token.strip())
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
        found = json.loads(decoded.decode("latin-1"), parse_constant=no_json)
    except (ValueError, RecursionError):
        return bodies.SCRIPT_FAILED
    if not isinstance(found, dict) or not (_holds(found, "system") and _holds(found, "value")):
        return bodies.BAD_SCHEMA
    try:
        services = targets()[_as_key(found["system"])]
    except (KeyError, ValueError, OSError):
        return bodies.SCRIPT_FAILED
    return _place_of(_as_key(found["value"]), services)


def _holds(found: Mapping[str, object], name: str) -> bool:
    """Tell whether JavaScript takes the member for true: an empty list is, an empty text is not."""
    return bool(found.get(name)) or isinstance(found.get(name), list | dict)


def _as_key(value: object) -> str:
    """Return *value* as JavaScript looks it up: a number, or a list of one, finds what it holds."""
    match value:
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return ",".join("" if each is None else _as_key(each) for each in value)
        case dict():
            return "[object Object]"
        case _:
            return str(value)


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
        return _in_place_of_500(_issue_code(body))
    return None


def _in_place_of_500(code: object) -> Body | None:
    if code in {None, ""}:
        return bodies.SCRIPT_FAILED
    return bodies.NO_STORE if code == "no-store" else None


def _issue_code(body: bytes) -> object:
    """Return the code of the first issue, of whatever type: the live script asks no further."""
    try:
        code = json.loads(body)["issue"][0]["code"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return json.dumps(code) if isinstance(code, list | dict) else code
