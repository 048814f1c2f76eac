"""
What a refusal of the token service means, and what somebody should do about it.

Status, error and the beginning of the description decide (onboarding guide, section
1.5): the wording differs between releases of the service, so nothing is compared as a
whole, and an unknown 4xx is our configuration while anything else passes by itself.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bars_gateway.errors import CredentialsRefused, TokenServiceDown, TokenUnavailable

_RETRY_FIRST, _RETRY_LONGEST = timedelta(seconds=5), timedelta(seconds=60)
_CONFIGURATION_PAUSE = timedelta(minutes=5)


class ClockRefused(CredentialsRefused):
    """The token service refused the time in our JWT."""

    advice = "Set the clock right (timedatectl): it must agree with the world within seconds."


class KeyUnknown(CredentialsRefused):
    """The token service knows no such key for this application."""

    advice = (
        "Check that key_id names a key in the registered JWKS. A key that was registered within"
        " the last hour is not seen yet: the service keeps its copy for an hour."
    )


class ApplicationUnknown(CredentialsRefused):
    """The API key is unknown in this environment, or is not approved for BaRS."""

    advice = (
        "Check that api_key is the one of this environment, and that the application is approved"
        " for the Booking and Referral API."
    )


class AudienceRefused(CredentialsRefused):
    """The audience of our JWT is not the address that was asked."""

    advice = "Check outbound.token_url: it must be this environment's, character for character."


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why there is no token, in words of ours, and when to ask again."""

    error: TokenUnavailable
    reason: str
    retry_at: timedelta | None = None  # what the service asked for

    def pause(self, failures: int) -> timedelta:
        """Return how long to wait after so many failures in a row."""
        if self.retry_at is not None:
            return self.retry_at
        if isinstance(self.error, CredentialsRefused):
            return _CONFIGURATION_PAUSE if failures > 1 else _RETRY_LONGEST
        doublings: int = 2 ** min(failures - 1, 10)
        return min(_RETRY_LONGEST, _RETRY_FIRST * doublings)


# (status, error, the description begins with) → what it is. None matches anything: the
# platform's own refusals of an application have no status that is written down.
TABLE: tuple[tuple[int | None, str | None, str, type[TokenUnavailable], str], ...] = (
    (400, None, "Invalid 'exp' claim", ClockRefused, "the time in our JWT was refused"),
    (400, None, "Non-unique 'jti'", TokenServiceDown, "a JWT was used twice"),
    (401, None, "Invalid 'iss'/'sub'", ApplicationUnknown, "the API key is unknown here"),
    (401, None, "Missing or invalid 'aud'", AudienceRefused, "the audience was refused"),
    (401, None, "Invalid 'kid'", KeyUnknown, "the key id is not in the registered JWKS"),
    (401, "public_key error", "", KeyUnknown, "the signature does not fit the registered key"),
    (403, "public_key error", "The JWKS endpoint", TokenServiceDown, "our JWKS is unreachable"),
    (403, "public_key error", "", KeyUnknown, "no public key is registered"),
    (401, "unauthorized_client", "", ApplicationUnknown, "the application may not use BaRS"),
    (None, "invalid_client", "", ApplicationUnknown, "the application is not known"),
    (None, "access_denied", "", ApplicationUnknown, "the application is not approved"),
)


def classify(status: int | None, body: bytes, now: datetime) -> Refused:
    """Return what the answer means; *status* None is silence."""
    if status is None:
        return _passing("the token service did not answer")
    found = _object(body)
    if status == 429:  # noqa: PLR2004
        return _throttled(found, now)
    if not found:
        return _passing(f"something in between answered {status} for the token service")
    if status < 400 or status >= 500:  # noqa: PLR2004
        return _passing(f"the token service answered {status}")
    error, description = str(found.get("error", "")), str(found.get("error_description", ""))
    for row_status, row_error, beginning, kind, reason in TABLE:
        if (
            row_status in {None, status}
            and row_error in {None, error}
            and description.startswith(beginning)
        ):
            return Refused(error=kind(f"{reason} ({status})"), reason=f"{reason} ({status})")
    reason = f"the token service refused our request ({status})"
    return Refused(error=CredentialsRefused(reason), reason=reason)


def _passing(reason: str) -> Refused:
    return Refused(error=TokenServiceDown(reason), reason=reason)


def _throttled(found: dict[str, object], now: datetime) -> Refused:
    reason = "the token service asks for fewer requests (429)"
    try:
        until = datetime.fromtimestamp(
            float(str(found.get("ratelimiting_expiry_time_ms"))) / 1000, UTC
        )
    except (ValueError, OverflowError, OSError):
        return _passing(reason)
    wait = min(max(until - now, timedelta(seconds=1)), timedelta(minutes=2))
    return Refused(error=TokenServiceDown(reason), reason=reason, retry_at=wait)


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
