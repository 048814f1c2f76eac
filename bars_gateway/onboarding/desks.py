"""
Who does what at the national side, and how they are reached: one table.

    Desk ──► letters (to whom) · the path to live (who is waited for) · doctor (whom to ask)

The addresses are those of the guide's current edition. They are words in a letter and
nothing is sent to them by the gateway.
"""

from dataclasses import dataclass

from bars_gateway.config import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Somebody who has to do something before we are connected."""

    name: str
    address: str  # e-mail; "" where it is a web form
    how: str = "by e-mail"

    def __str__(self) -> str:
        """Return it as it stands in a sentence."""
        return f"{self.name} <{self.address}>" if self.address else f"{self.name} ({self.how})"


BARS = Desk(name="the BaRS team", address="england.bookingandreferralstandard@nhs.net")
ITOC = Desk(
    name="ITOC",
    address="",
    how='the web form "Combined endpoint and service registration request"',
)
DIR = Desk(name="the certificate desk (DIR)", address="dir@nhs.net")
GATE = Desk(name="the live services gate", address="liveservices.gate@nhs.net")
DNS = Desk(name="the DNS team", address="dnsteam@nhs.net")
SERVICE_DESK = Desk(name="the National Service Desk", address="ssd.nationalservicedesk@nhs.net")
OURSELVES = Desk(name="yourselves", address="", how="on this machine")
NETWORK = Desk(name="your network team", address="", how="in your organisation")


def certificates(environment: Environment) -> Desk:
    """Return who signs a Receiver's certificate."""
    return {Environment.INT: ITOC, Environment.PROD: DIR}.get(environment, OURSELVES)
