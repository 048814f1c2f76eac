"""
The token endpoint, check by check, in the order of the live one.

    POST /oauth2/token ─► form ─► JWT's shape ─► claims ─► jti is spent ─► who ─► key ─► token

The order matters to a client: the `jti` is remembered before the key is even looked
up, so a JWT that was refused for its signature cannot be used a second time either.
The check of the signature is written out here, because the sandbox is the one place
where a JWT is read and not written.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA512

from bars_gateway.sandbox.registry import Registered, Registry

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME = timedelta(seconds=599)
_LATEST_EXPIRY = 310  # seconds ahead


class Refusal(Exception):
    """Why no token is given, in the service's own terms."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description


class TokenService:
    """Issues access tokens to registered gateways."""

    def __init__(
        self, registry: Registry, url: Callable[[], str], now: Callable[[], datetime]
    ) -> None:
        self._registry = registry
        self._url = url
        self._now = now
        self._spent: set[tuple[str, str]] = set()
        self._issued: dict[str, datetime] = {}

    def knows(self, token: str) -> bool:
        """Tell whether *token* was issued here, is not revoked and has not expired."""
        return self._issued.get(token, self._now()) > self._now()

    def revoke_all(self) -> int:
        """Forget every token; return how many there were."""
        count = len(self._issued)
        self._issued.clear()
        return count

    async def answer(self, request: web.Request) -> web.Response:
        """Return the answer to one token request."""
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        try:
            form = await _form(request)
            self._check(form)
        except Refusal as refusal:
            return web.json_response(
                {
                    "error": refusal.error,
                    "error_description": refusal.description,
                    "message_id": f"rrt-{secrets.token_hex(8)}",
                },
                status=refusal.status,
            )
        return self._issue()

    def _issue(self) -> web.Response:
        token = secrets.token_urlsafe(21)
        now = self._now()
        self._issued[token] = now + LIFETIME
        return web.json_response(
            {
                "access_token": token,
                "expires_in": str(int(LIFETIME.total_seconds())),
                "token_type": "Bearer",
                "issued_at": str(int(now.timestamp() * 1000)),
            }
        )

    def _check(self, form: Mapping[str, str]) -> None:
        _check_form(form)
        header, claims, signed, signature = _parts(form["client_assertion"])
        self._check_claims(header, claims)
        key = self._key(self._who(claims), header)
        _check_signature(key, signed, signature)
        if claims.get("aud") != self._url():
            raise Refusal(401, "invalid_request", "Missing or invalid 'aud' claim in JWT")

    def _check_claims(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
        now = self._now().timestamp()
        exp, jti, issuer = claims.get("exp"), claims.get("jti"), claims.get("iss")
        number = isinstance(exp, int | float) and not isinstance(exp, bool)
        expires = float(exp) if isinstance(exp, int | float) else 0.0
        typ = header.get("typ")
        checks = (
            (header.get("alg") != "RS512", "Invalid 'alg' header in JWT - must be 'RS512'"),
            (number and expires <= now, "Invalid 'exp' claim in JWT - JWT has expired"),
            ("kid" not in header, "Missing 'kid' header in JWT"),
            (
                not isinstance(typ, str) or typ.lower() != "jwt",
                "Invalid 'typ' header in JWT - must be 'JWT'",
            ),
            (exp is None, "Missing 'exp' claim in JWT"),
            (not number, "Invalid 'exp' claim in JWT - must be an integer"),
            (
                not issuer or issuer != claims.get("sub"),
                "Missing or non-matching 'iss'/'sub' claims in JWT",
            ),
            (jti is None, "Missing 'jti' claim in JWT"),
            (
                not isinstance(jti, str),
                "Invalid 'jti' claim in JWT - must be a unique string value such as a GUID",
            ),
            ((issuer, jti) in self._spent, "Non-unique 'jti' claim in client_assertion JWT"),
            (
                number and expires > now + _LATEST_EXPIRY,
                "Invalid 'exp' claim in JWT - more than 5 minutes in future",
            ),
        )
        for failed, description in checks:
            if failed:
                raise Refusal(400, "invalid_request", description)
        self._spent.add((str(issuer), str(jti)))

    def _who(self, claims: Mapping[str, Any]) -> Registered:
        found = self._registry.application(claims["sub"])
        if found is None:
            raise Refusal(401, "invalid_request", "Invalid 'iss'/'sub' claims in JWT")
        return found

    def _key(self, registered: Registered, header: Mapping[str, Any]) -> Mapping[str, str]:
        try:
            keys = self._registry.public_keys(registered)
        except FileNotFoundError:
            raise Refusal(
                403, "public_key error", "You need to register a public key to use this service"
            ) from None
        except (ValueError, KeyError):
            raise Refusal(
                403,
                "public_key error",
                "The JWKS endpoint, for your client_assertion can't be reached",
            ) from None
        key = keys.get(str(header["kid"]))
        if key is None:
            raise Refusal(
                401, "invalid_request", "Invalid 'kid' header in JWT - no matching public key"
            )
        return key


async def _form(request: web.Request) -> Mapping[str, str]:
    if request.headers.get("Content-Type") != "application/x-www-form-urlencoded":
        raise Refusal(
            415,
            "invalid_request",
            "Content-Type header must be application/x-www-form-urlencoded",
        )
    return {name: str(value) for name, value in (await request.post()).items()}


def _check_form(form: Mapping[str, str]) -> None:
    grant_type = form.get("grant_type")
    if not grant_type:
        raise Refusal(400, "invalid_request", "grant_type is missing")
    if grant_type != "client_credentials":
        raise Refusal(400, "unsupported_grant_type", "grant_type is invalid")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise Refusal(
            400,
            "invalid_request",
            f"Missing or invalid client_assertion_type - must be '{ASSERTION_TYPE}'",
        )
    if not form.get("client_assertion"):
        raise Refusal(400, "invalid_request", "Missing client_assertion")


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    try:
        first, second, third = assertion.split(".")
        header, claims = json.loads(_decode(first)), json.loads(_decode(second))
        signature = _decode(third)
    except (ValueError, binascii.Error):
        header = claims = None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise Refusal(400, "invalid_request", "Malformed JWT in client_assertion")
    return header, claims, f"{first}.{second}".encode(), signature


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _check_signature(key: Mapping[str, str], signed: bytes, signature: bytes) -> None:
    numbers = RSAPublicNumbers(
        int.from_bytes(_decode(key["e"]), "big"), int.from_bytes(_decode(key["n"]), "big")
    )
    try:
        numbers.public_key().verify(signature, signed, PKCS1v15(), SHA512())
    except InvalidSignature:
        raise Refusal(401, "public_key error", "JWT signature verification failed") from None
