"""What a rule is: one row of the table, taken more or less gravely on either side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.issues import Severity


class Side(StrEnum):
    """Which way the message goes."""

    SENDING = "sending"
    RECEIVING = "receiving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table."""

    rule: str
    text: str  # what is wrong and what to do
    source: str  # who asks for it: the guide's page, the official tests, R4, or this project
    broken: Callable[[Message, Offer], Iterator[str]]  # yields FHIR paths
    sending: Severity | None = Severity.ERROR  # None: not looked at on that side
    receiving: Severity | None = Severity.ERROR
    http_status: int = 400
    code: str = "REC_BAD_REQUEST"
    issue: str = "invariant"
    fixed: bool = False  # without it nobody could tell what a message is, or whose

    def severity(self, side: Side) -> Severity | None:
        """Return how gravely the rule is taken on *side*."""
        return self.sending if side is Side.SENDING else self.receiving
