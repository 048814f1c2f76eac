"""
What it means that the proxy refuses our token or registration, and what to do about it.

    row of a verdict ──OUR_TROUBLE──► reason, advice        for the page and the log

Nothing of it is the message's fault, nor the Receiver's: what waits goes on waiting, and one
message at a time finds out whether somebody has mended it. Printed in `docs/answers.md`.

Decisions: D-our-trouble.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OurTrouble:
    """One way in which we are refused."""

    reason: str
    advice: str


_TOKEN = OurTrouble(
    reason="it does not take our access token, though it is new",
    advice=(
        "Check that outbound.token_url and outbound.proxy_url belong to the same environment:"
        " bars-gateway doctor says more. If they do, ask the national service desk."
    ),
)
_REGISTRATION = OurTrouble(
    reason="our application, or this organisation, may not use it",
    advice=(
        "Check that api_key is the one of this environment, and that the application is approved"
        " for the Booking and Referral API there; bars-gateway letters says to whom to write."
    ),
)

OUR_TROUBLE: Mapping[str, OurTrouble] = {
    "token-refused-by-platform": _TOKEN,
    "access-denied": _TOKEN,
    "token-refused": _TOKEN,
    "application-refused-by-platform": _REGISTRATION,
    "access-forbidden": _REGISTRATION,
    "not-enabled": _REGISTRATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOut:
    """A provider that the proxy refuses, since when, and why."""

    provider: str
    since: datetime
    trouble: OurTrouble
