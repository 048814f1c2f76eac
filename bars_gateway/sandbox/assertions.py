"""
What the token endpoint asks of a client's JWT, in the order of the live one.

    shape ─► alg · exp · kid · typ · iss and sub · jti ─► (who, which key) ─► signature ─► aud

The JWT is read here by hand, because each flaw has its own answer and the order of the
answers is what a client meets. Two clocks are at work: `exp` is compared exactly and may
lie at most 310 s ahead, while `nbf` is looked at with the signature, with 10 s allowed.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA512

from bars_gateway.sandbox.token_refusals import refusal

LATEST_EXPIRY = 310  # seconds ahead: five minutes, and the allowance
ALLOWANCE = 10  # seconds that a clock may be fast, for nbf


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A JWT, taken apart and not yet believed."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @classmethod
    def read(cls, text: str) -> "Assertion":
        """Take *text* apart, or raise Refusal; without an algorithm it is no JWT."""
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
        """Raise Refusal for the first flaw; *is_spent* tells of a client and a jti."""
        for failed, name in self._flaws(now, is_spent):
            if failed:
                raise refusal(name)

    def check_signature(self, key: RSAPublicKey) -> None:
        """Raise Refusal unless *key* signed it."""
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
