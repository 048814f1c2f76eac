"""
Every refusal of the token service that is known: what it means, and when to ask again (D-jwt).

    status · error · beginning ──► RefusalRow: remedy, kind (with advice), our words for it
    status, body ──classify──► TokenRefused: a row of the table, and the pause that it leads to

The order of the table is the meaning: the first row that fits decides. It is the onboarding
guide's table, section 1.5, and is printed in `docs/answers.md`. The wording differs between
releases of the service, so nothing is compared as a whole.

Four shapes are read: the service's own, the platform's `fault` and its OperationOutcome, and
the quota's, which says when it ends. Any of them may come with a Retry-After, which is heeded
up to the longest pause of its row. What fits no row: an unknown 4xx is our configuration,
and anything else passes by itself.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from bars_gateway.errors import (
    CredentialsRefused,
    EgressBlocked,
    TokenServiceDown,
    TokenUnavailable,
)
from bars_gateway.frozen import frozen
from bars_gateway.standard.answers import read_outcome
from bars_gateway.standard.verdict import OF_OUR_APPLICATION, is_fault

_INVALID = "invalid_request"
_MAX_DOUBLINGS = 10
_LONGEST_QUOTA = timedelta(minutes=2)
_SUPPORT_ID = re.compile(r"rrt-[0-9a-f-]{1,64}")


class Remedy(StrEnum):
    """What ends the trouble."""

    RETRY = "retry"  # it passes by itself
    CONFIGURATION = "configuration"  # a person mends a setting or a registration
    CLOCK = "clock"  # a person sets the clock
    OUR_BUG = "our bug"  # a new release of the gateway


# After so long the service is asked again, first and at most; the pause doubles in between.
PAUSES: Mapping[Remedy, tuple[timedelta, timedelta]] = {
    Remedy.RETRY: (timedelta(seconds=5), timedelta(minutes=1)),
    Remedy.CLOCK: (timedelta(minutes=1), timedelta(minutes=5)),
    Remedy.CONFIGURATION: (timedelta(minutes=1), timedelta(minutes=15)),
    Remedy.OUR_BUG: (timedelta(minutes=1), timedelta(minutes=15)),
}


class ClockRefused(CredentialsRefused):
    """The token service refused the time in our JWT."""

    advice = "Set the clock right (timedatectl): it must agree with the world within seconds."


class KeyUnknown(CredentialsRefused):
    """The token service has no such key for this application."""

    advice = (
        "Check that key_id names a key in the registered JWKS, and that private_key_file is its"
        " private half. A key that was registered within the last hour is not seen yet: the service"
        " keeps its copy for an hour. Until then, name the key before it in former_keys."
    )


class KeySetRefused(CredentialsRefused):
    """No set of public keys is registered for the application, or what is registered is none."""

    advice = (
        "Register the public keys: a JWKS, which is a list named keys, also where there is but one."
        " bars-gateway letters says to whom to write."
    )


class KeySetUnreachable(TokenServiceDown):
    """The token service could not fetch our public keys."""

    advice = "Check that the address of the registered JWKS answers; whoever hosts it can tell."


class ApplicationUnknown(CredentialsRefused):
    """The API key is unknown in this environment, or is not approved for BaRS."""

    advice = (
        "Check that api_key is the one of this environment, and that the application is approved"
        " for the Booking and Referral API."
    )


class AudienceRefused(CredentialsRefused):
    """The audience of our JWT, or the address that was asked, is not the token service's."""

    advice = "Check outbound.token_url: it must be this environment's, character for character."


class RequestMalformed(CredentialsRefused):
    """The token service cannot read what the gateway makes."""

    advice = (
        "No setting cures this: it is a fault of the gateway, or something between rewrites its"
        " requests. Report it with the release, this line and its support_id; try the release"
        " before this one."
    )


class JwtUsedTwice(TokenServiceDown):
    """The token service has seen the `jti` before, and each is made for one request."""

    advice = (
        "Nothing to do at first: the next request has a new one. If it lasts, something on the way"
        " to the token service repeats requests; take it out, or let it pass them once."
    )


@frozen(kw_only=True)
class RefusalRow:
    """One line of the table: a refusal with all of these is that."""

    name: str
    remedy: Remedy
    kind: type[TokenUnavailable]
    reason: str  # in words of ours
    status: int | None = None  # None: any
    error: str | None = None  # None: any
    beginning: str = ""  # of the description
    containing: str = ""  # further on in it
    platform: tuple[str, ...] = ()  # or how the last part of the platform's own code begins
    next_key: bool = False  # another of our keys may be accepted


def _row(
    name: str,
    seen: tuple[int | None, str | None, str],
    remedy: Remedy,
    kind: type[TokenUnavailable],
    reason: str,
    *,
    containing: str = "",
    next_key: bool = False,
) -> RefusalRow:
    status, error, beginning = seen
    return RefusalRow(
        name=name,
        remedy=remedy,
        kind=kind,
        reason=reason,
        status=status,
        error=error,
        beginning=beginning,
        containing=containing,
        next_key=next_key,
    )


def _malformed(
    name: str, status: int, beginning: str, error: str = _INVALID, containing: str = ""
) -> RefusalRow:
    reason = f"our request was malformed: {name}"
    seen = (status, error, beginning)
    return _row(name, seen, Remedy.OUR_BUG, RequestMalformed, reason, containing=containing)


def _setting(
    name: str,
    seen: tuple[int | None, str | None, str],
    kind: type[TokenUnavailable],
    reason: str,
    *,
    next_key: bool = False,
) -> RefusalRow:
    return _row(name, seen, Remedy.CONFIGURATION, kind, reason, next_key=next_key)


TABLE: tuple[RefusalRow, ...] = (
    _malformed("verb", 405, "", error=""),
    _malformed("media-type", 415, ""),
    _setting("path", (404, _INVALID, ""), AudienceRefused, "there is no token service there"),
    _malformed("no-grant-type", 400, "grant_type is missing"),
    _malformed("grant-type", 400, "", error="unsupported_grant_type"),
    _malformed("assertion-type", 400, "Missing or invalid client_assertion_type"),
    _malformed("no-assertion", 400, "Missing client_assertion"),
    _malformed("jwt", 400, "Malformed JWT"),
    _malformed("no-alg", 400, "Missing 'alg'"),
    _malformed("alg", 400, "Invalid 'alg'"),
    _setting("no-kid", (400, _INVALID, "Missing 'kid'"), KeyUnknown, "our JWT names no key"),
    _malformed("typ", 400, "Invalid 'typ'"),
    _malformed("no-exp", 400, "Missing 'exp'"),
    _malformed("exp", 400, "Invalid 'exp'", containing="must be an integer"),
    _row(
        "clock-fast",
        (400, _INVALID, "Invalid 'exp'"),
        Remedy.CLOCK,
        ClockRefused,
        "our JWT would be valid for too long",
        containing="in future",
    ),
    _row(
        "clock",
        (400, _INVALID, "Invalid 'exp'"),
        Remedy.CLOCK,
        ClockRefused,
        "the time in our JWT was refused",
    ),
    _row(
        "not-yet-valid",
        (401, "steps.jwt.TokenNotYetValid", ""),
        Remedy.CLOCK,
        ClockRefused,
        "our JWT is not valid yet",
    ),
    _malformed("iss-and-sub", 400, "Missing or non-matching 'iss'/'sub'"),
    _malformed("no-jti", 400, "Missing 'jti'"),
    _malformed("jti", 400, "Invalid 'jti'"),
    _row(
        "jti-spent",
        (400, _INVALID, "Non-unique 'jti'"),
        Remedy.RETRY,
        JwtUsedTwice,
        "a JWT was used twice",
    ),
    _setting(
        "api-key",
        (401, _INVALID, "Invalid 'iss'/'sub'"),
        ApplicationUnknown,
        "the API key is unknown here",
    ),
    _setting(
        "audience",
        (401, _INVALID, "Missing or invalid 'aud'"),
        AudienceRefused,
        "the audience was refused",
    ),
    _setting(
        "kid",
        (401, _INVALID, "Invalid 'kid'"),
        KeyUnknown,
        "the key id is not in the registered JWKS",
        next_key=True,
    ),
    _setting(
        "signature",
        (401, "public_key error", ""),
        KeyUnknown,
        "the signature does not fit the registered key",
        next_key=True,
    ),
    _row(
        "jwks-unreachable",
        (403, "public_key error", "The JWKS endpoint"),
        Remedy.RETRY,
        KeySetUnreachable,
        "our JWKS is unreachable",
    ),
    _setting(
        "no-jwks", (403, "public_key error", ""), KeySetRefused, "no public key is registered"
    ),
    _setting(
        "jwks",
        (401, "steps.jwt.InvalidKeyConfiguration", ""),
        KeySetRefused,
        "what is registered is not a JWKS",
    ),
    _setting(
        "not-subscribed",
        (401, "unauthorized_client", ""),
        ApplicationUnknown,
        "the application may not use BaRS",
    ),
    # The platform's own refusals of an application have no status that is written down.
    _setting(
        "client", (None, "invalid_client", ""), ApplicationUnknown, "the application is not known"
    ),
    _setting(
        "not-approved",
        (None, "access_denied", ""),
        ApplicationUnknown,
        "the application is not approved",
    ),
    # As a fault, and sometimes with 500, which sounds as if it passed by itself.
    RefusalRow(
        name="application",
        remedy=Remedy.CONFIGURATION,
        kind=ApplicationUnknown,
        reason="the platform does not know the API key, or it may not use BaRS",
        platform=OF_OUR_APPLICATION,
    ),
)
# Where no row fits, one of these does.
QUOTA = _row(
    "quota",
    (429, None, ""),
    Remedy.RETRY,
    TokenServiceDown,
    "the token service asks for fewer requests",
)
SERVER_ERROR = _row(
    "server-error", (None, None, ""), Remedy.RETRY, TokenServiceDown, "the token service failed"
)
INTERMEDIARY = _row(
    "intermediary",
    (None, None, ""),
    Remedy.RETRY,
    TokenServiceDown,
    "something in between answered for the token service",
)
SILENCE = _row(
    "silence", (None, None, ""), Remedy.RETRY, TokenServiceDown, "the token service did not answer"
)
UNKNOWN = _setting(
    "unknown", (None, None, ""), CredentialsRefused, "the token service refused our request"
)


@frozen(kw_only=True)
class TokenRefused:
    """Why there is no token, in words of ours, and when to ask again."""

    row: RefusalRow
    status: int | None
    quota_ends: timedelta | None = None  # as the quota's own body says
    retry_after: timedelta = timedelta()  # what the service asked for
    support_id: str | None = None  # theirs, for a call to the national service desk
    blocked: EgressBlocked | None = None  # by our own network

    @property
    def reason(self) -> str:
        """What happened."""
        if self.blocked is not None:
            return str(self.blocked)
        return self.row.reason if self.status is None else f"{self.row.reason} ({self.status})"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self.row.kind.advice if self.blocked is None else self.blocked.advice

    @property
    def error(self) -> TokenUnavailable:
        """A new error each time: one that was raised keeps the frames that it passed."""
        if self.blocked is not None:
            return EgressBlocked(self.reason, self.advice)
        return self.row.kind(self.reason)

    def pause(self, failures: int) -> timedelta:
        """Return how long to wait after so many failures in a row."""
        if self.quota_ends is not None:
            return self.quota_ends
        first, longest = PAUSES[self.row.remedy]
        doublings: int = 2 ** min(failures - 1, _MAX_DOUBLINGS)
        return min(longest, max(first * doublings, self.retry_after))


def classify(
    status: int | None,
    body: bytes,
    now: datetime,
    blocked: EgressBlocked | None = None,
    retry_after: float | None = None,
) -> TokenRefused:
    """Return what the answer means; *status* None is silence, or our own network's *blocked*."""
    if status is None:
        return TokenRefused(row=SILENCE, status=None, blocked=blocked)
    found = _object(body)
    wait = _quota_ends(found, now) if status == 429 else None  # noqa: PLR2004
    row = _row_of(status, body, found)
    return TokenRefused(
        row=row,
        status=status,
        quota_ends=wait,
        retry_after=timedelta(seconds=retry_after or 0),
        support_id=_support_id(found),
    )


def _row_of(status: int, body: bytes, found: Mapping[str, object]) -> RefusalRow:
    if status == 429:  # noqa: PLR2004
        return QUOTA
    if found or not body:
        error, description = _said(found)
        for row in TABLE:
            if _fits(row, status, error, description):
                return row
    if not found:
        return INTERMEDIARY
    return UNKNOWN if 400 <= status < 500 else SERVER_ERROR  # noqa: PLR2004


def _fits(row: RefusalRow, status: int, error: str, description: str) -> bool:
    return (
        row.status in {None, status}
        and row.error in {None, error}
        and (not row.platform or is_fault(error, row.platform))
        and description.startswith(row.beginning)
        and row.containing in description
    )


def _said(found: Mapping[str, object]) -> tuple[str, str]:
    """Return error and description, from the service's own shape or one of the platform's."""
    fault = found.get("fault")
    if isinstance(fault, dict):
        detail = fault.get("detail")
        code = detail.get("errorcode") if isinstance(detail, dict) else None
        return str(code or ""), str(fault.get("faultstring", ""))
    if found.get("resourceType") == "OperationOutcome":
        return (read_outcome(json.dumps(found).encode()).code or "").lower(), ""
    return str(found.get("error", "")), str(found.get("error_description", ""))


def _quota_ends(found: Mapping[str, object], now: datetime) -> timedelta | None:
    try:
        until = datetime.fromtimestamp(
            float(str(found.get("ratelimiting_expiry_time_ms"))) / 1000, UTC
        )
    except (ValueError, OverflowError, OSError):
        return None
    return min(max(until - now, timedelta(seconds=1)), _LONGEST_QUOTA)


def _support_id(found: Mapping[str, object]) -> str | None:
    """Return the id that the service desk asks for, where it has the form of one."""
    said = str(found.get("message_id", ""))
    return said if _SUPPORT_ID.fullmatch(said) else None


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
