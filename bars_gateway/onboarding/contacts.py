"""
Who has to do something before we are connected, and how to reach them: one table.

    Contact ──► letters (to whom) · the checklist (who is waited for) · doctor (whom to ask)

The addresses are those of the guide's current edition. They are words in a letter and
nothing is sent to them by the gateway.
"""

from bars_gateway.config import Environment
from bars_gateway.frozen import frozen


@frozen(kw_only=True)
class Contact:
    """Somebody who has to do something before we are connected."""

    name: str
    address: str  # e-mail; "" where it is a web form
    how: str = "by e-mail"
    telephone: str = ""

    def __str__(self) -> str:
        """Return it as it stands in a sentence."""
        return f"{self.name} <{self.address}>" if self.address else f"{self.name} ({self.how})"

    @property
    def at_night(self) -> str:
        """How it is reached where something does not work: by telephone, where it has one."""
        return f"{self}, telephone {self.telephone}" if self.telephone else str(self)


BARS = Contact(name="the BaRS team", address="england.bookingandreferralstandard@nhs.net")
ITOC = Contact(
    name="ITOC",
    address="",
    how='the web form "Combined endpoint and service registration request"',
)
DIR = Contact(name="the certificate desk (DIR)", address="dir@nhs.net")
GATE = Contact(name="the live services gate", address="liveservices.gate@nhs.net")
DNS = Contact(name="the DNS team", address="dnsteam@nhs.net")
SERVICE_DESK = Contact(
    name="the National Service Desk",
    address="ssd.nationalservicedesk@nhs.net",
    telephone="0300 303 5035",
)
OURSELVES = Contact(name="yourselves", address="", how="on this machine")
NETWORK = Contact(name="your network team", address="", how="in your organisation")


def signer_of(environment: Environment) -> Contact:
    """Return who signs a Receiver's certificate."""
    return {Environment.INT: ITOC, Environment.PROD: DIR}.get(environment, OURSELVES)
