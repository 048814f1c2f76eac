"""
The token endpoint, check by check, in the order of the live one.

    POST /oauth2/token ─► form ─► JWT's claims ─► jti is spent ─► who ─► key ─► aud ─► token

The order matters to a client: the `jti` is remembered before the key is even looked
up, so a JWT that was refused for its signature cannot be used a second time either.

One thing is kinder than in life: the JWKS of a gateway is read each time, where the live
service keeps it for an hour.

Of a client's JWT it asks, again in the live one's order:

    shape ─► alg · exp · kid · typ · iss and sub · jti ─► (who, which key) ─► signature ─► aud

The JWT is read here by hand, because each flaw has its own answer and the order of the
answers is what a client meets. Two clocks are at work: `exp` is compared exactly and may
lie at most 310 s ahead, while `nbf` is looked at with the signature, with 10 s allowed.
"""

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeGuard
from urllib.parse import parse_qsl

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA512

from bars_gateway.frozen import frozen
from bars_gateway.sandbox import bodies
from bars_gateway.sandbox.bodies import OfThePlatform, TokenDenied, refusal
from bars_gateway.sandbox.faults import ArmedFault, FaultKind
from bars_gateway.sandbox.registry import Registered, Registry

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = "application/x-www-form-urlencoded"
LIFETIME = timedelta(seconds=599)
JTI_REMEMBERED = timedelta(days=30)
LATEST_EXPIRY = 310  # seconds ahead: five minutes, and the allowance
ALLOWANCE = 10  # seconds that a clock may be fast, for nbf
_QUOTA = 300  # tokens a minute for one application; told in the answer, and not counted


@frozen(kw_only=True)
class Assertion:
    """A JWT, taken apart and not yet believed."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @classmethod
    def read(cls, text: str) -> "Assertion":
        """Take *text* apart, or raise TokenDenied; without an algorithm it is no JWT."""
        try:
            first, second, third = text.split(".")
            header, claims = _object(first), _object(second)
            _algorithm(header)
            return cls(
                header=header,
                claims=claims,
                signed=f"{first}.{second}".encode("ascii"),
                signature=_decoded(third),
            )
        except (ValueError, KeyError, RecursionError):
            raise refusal("jwt") from None

    def check_claims(self, now: float, is_spent: Callable[[str, str], bool]) -> None:
        """Raise TokenDenied for the first flaw; *is_spent* tells of a client and a jti."""
        for failed, name in self._flaws(now, is_spent):
            if failed:
                raise refusal(name)

    def check_signature(self, key: RSAPublicKey) -> None:
        """Raise TokenDenied unless *key* signed it."""
        if not _verifies(key, self.signed, self.signature):
            raise refusal("signature")

    def is_early(self, now: float) -> bool:
        """Tell whether it is not valid yet."""
        not_before = self.claims.get("nbf")
        return _is_number(not_before) and not_before > now + ALLOWANCE

    def _flaws(
        self, now: float, is_spent: Callable[[str, str], bool]
    ) -> Iterator[tuple[bool, str]]:
        """Yield each check's result; a later one may rest on the earlier having passed."""
        typ, exp = self.header.get("typ"), self.claims.get("exp")
        jti, issuer = self.claims.get("jti"), self.claims.get("iss")
        yield _algorithm(self.header) != "RS512", "alg"
        yield _is_number(exp) and exp <= now, "clock"
        yield not self.header.get("kid"), "no-kid"  # an empty text is none, as for jti
        yield not (isinstance(typ, str) and typ.lower() == "jwt"), "typ"
        yield exp is None, "no-exp"
        yield not _is_number(exp), "exp"
        named = isinstance(issuer, str) and issuer and issuer == self.claims.get("sub")
        yield not named, "iss-and-sub"
        yield jti is None or jti == "", "no-jti"
        yield not isinstance(jti, str), "jti"
        yield is_spent(str(issuer), str(jti)), "jti-spent"
        yield _is_number(exp) and exp > now + LATEST_EXPIRY, "clock-fast"


def _algorithm(header: Mapping[str, Any]) -> object:
    """Return the algorithm; raise KeyError where there is none: the platform decodes no such."""
    return header["alg"]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _object(part: str) -> dict[str, Any]:
    found = json.loads(_decoded(part), parse_constant=no_json)
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - one error for all that is malformed
    return found


def no_json(name: str) -> None:
    """Refuse NaN and the infinities, which Python would take for JSON: for `parse_constant`."""
    raise ValueError(f"{name} is not JSON")


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise ValueError("no Base64") from None


def public_key(jwk: Mapping[str, str]) -> RSAPublicKey:
    """Return the key that *jwk* holds; raise KeyError, TypeError or ValueError if it has none."""
    exponent, modulus = (int.from_bytes(_decoded(jwk[name]), "big") for name in ("e", "n"))
    return RSAPublicNumbers(exponent, modulus).public_key()


def _verifies(key: RSAPublicKey, signed: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, signed, PKCS1v15(), SHA512())
    except InvalidSignature:
        return False
    return True


@frozen
class _Grant:
    """What was issued, to whom."""

    api_key: str
    expires_at: datetime


class TokenService:
    """Issues access tokens to registered gateways."""

    def __init__(
        self, registry: Registry, url: Callable[[], str], now: Callable[[], datetime]
    ) -> None:
        self._registry = registry
        self._url = url
        self._now = now
        self._spent: dict[tuple[str, str], datetime] = {}
        self._issued: dict[str, _Grant] = {}

    def owner(self, token: str) -> Registered | None:
        """Return who has *token*; None if it was not issued here, is revoked or has expired."""
        grant = self._issued.get(token)
        if grant is None or grant.expires_at <= self._now():
            return None
        return self._registry.application(grant.api_key)

    def revoke_all(self) -> int:
        """Forget every token; return how many there were."""
        count = len(self._issued)
        self._issued.clear()
        return count

    async def answer(self, request: web.Request, fault: ArmedFault | None = None) -> web.Response:
        """Return the answer to one token request, which may meet a fault on its way."""
        if fault is not None and fault.kind is FaultKind.TOKEN_OUTAGE:
            return bodies.intermediary(503)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        try:
            form = await _form(request)
            registered = self._check(form, fault)
        except TokenDenied as refused:
            return _refused(refused)
        return self._issue(registered, form)

    def answer_elsewhere(self, request: web.Request) -> web.Response:
        """Return the answer to what is below /oauth2 and is not a token request."""
        if request.path == "/oauth2/_ping" and request.method in {"GET", "HEAD"}:
            return bodies.as_json(200, bodies.PING)
        return _refused(refusal("path"))

    def grant(self, registered: Registered, lifetime: timedelta = LIFETIME) -> str:
        """Return a new token, without a JWT: for whoever lives in this process."""
        token = secrets.token_urlsafe(21)
        self._issued[token] = _Grant(registered.api_key, self._now() + lifetime)
        return token

    def _issue(self, registered: Registered, form: Mapping[str, str]) -> web.Response:
        now = self._now()
        lifetime = _lifetime(form)
        token = self.grant(registered, lifetime)
        granted = {
            "access_token": token,
            "expires_in": str(int(lifetime.total_seconds())),
            "token_type": "Bearer",
            "issued_at": str(int(now.timestamp() * 1000)),
        }
        return bodies.as_json(200, json.dumps(granted).encode())

    def _check(self, form: Mapping[str, str], fault: ArmedFault | None) -> Registered:
        _check_form(form)
        assertion = Assertion.read(form["client_assertion"])
        now = self._now()
        assertion.check_claims(now.timestamp(), self._is_spent)
        api_key = str(assertion.claims["sub"])
        self._spent[api_key, str(assertion.claims["jti"])] = now
        if fault is not None:
            raise _told(fault, now)
        registered = self._registry.application(api_key)
        if registered is None:
            raise refusal("api-key")
        assertion.check_signature(self._key(registered, assertion.header))
        if assertion.is_early(now.timestamp()):
            raise OfThePlatform(401, bodies.NOT_YET_VALID)
        if assertion.claims.get("aud") != self._url():
            raise refusal("audience")
        return registered

    def _is_spent(self, api_key: str, jti: str) -> bool:
        seen = self._spent.get((api_key, jti))
        return seen is not None and self._now() - seen < JTI_REMEMBERED

    def _key(self, registered: Registered, header: Mapping[str, object]) -> RSAPublicKey:
        try:
            found = self._registry.public_keys(registered).get(str(header["kid"]))
            if found is not None:
                return public_key(found)
        except FileNotFoundError:
            raise refusal("no-jwks") from None
        except OSError:
            raise refusal("jwks-unreachable") from None
        except (ValueError, KeyError, TypeError):
            raise OfThePlatform(401, bodies.BAD_JWKS) from None
        raise refusal("kid")


class _QuotaExceeded(TokenDenied):
    """Too many tokens were asked for: a form that no other refusal has."""

    def __init__(self, again_at: datetime) -> None:
        super().__init__(429, "", "")
        self.document = {
            "message": "App quota exceeded",
            "policy": "app-quota",
            "scope": "app",
            "limit": str(_QUOTA),
            "interval": "1",
            "timeunit": "minute",
            "ratelimiting_expiry_time_ms": str(int(again_at.timestamp() * 1000)),
        }


def _told(fault: ArmedFault, now: datetime) -> TokenDenied:
    if fault.kind is FaultKind.TOKEN_RATE_LIMITED:
        return _QuotaExceeded(now + timedelta(seconds=fault.seconds))
    if fault.kind is FaultKind.TOKEN_REFUSED:
        return refusal(fault.refusal)
    return refusal("api-key")


def _refused(refused: TokenDenied) -> web.Response:
    document = dict(refused.document)
    if not isinstance(refused, OfThePlatform):
        document["message_id"] = f"rrt-{secrets.token_hex(8)}"
    return bodies.as_json(refused.status, json.dumps(document).encode())


async def _form(request: web.Request) -> Mapping[str, str]:
    # Exactly so: the live service refuses `; charset=utf-8` as well.
    if request.headers.get("Content-Type") != FORM:
        raise refusal("media-type")
    body = (await request.read()).decode("utf-8", "replace")
    # Of a field that is there twice the platform sees the first.
    return dict(reversed(parse_qsl(body, keep_blank_values=True)))


def _check_form(form: Mapping[str, str]) -> None:
    grant_type = form.get("grant_type")
    if not grant_type:
        raise refusal("no-grant-type")
    if grant_type != "client_credentials":
        raise refusal("grant-type")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise refusal("assertion-type")
    if not form.get("client_assertion"):
        raise refusal("no-assertion")


def _lifetime(form: Mapping[str, str]) -> timedelta:
    """Return how long a token lives; a client may ask for less, to see one expire."""
    asked = form.get("_access_token_expiry_ms", "")
    if not (asked.isascii() and asked.isdigit() and len(asked) < 10):  # noqa: PLR2004 - 11 days
        return LIFETIME
    return min(LIFETIME, timedelta(milliseconds=int(asked)))
