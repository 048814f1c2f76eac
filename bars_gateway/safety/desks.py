"""
Which desk an incident goes to, by whose the fault is, and what each of them asks for first.

    outbound: SEND │ PROXY │ REC │ HERE ─┐
    inbound:  SEND │ HERE ───────────────┴─► desks, the first to be told first

A fault is named from where a message began: of one that came in, SEND is the other side. The guide
asks a Sender to tell the Receiver of its repeated faults, and the national side of the proxy's.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.onboarding import contacts
from bars_gateway.onboarding.contacts import Contact
from bars_gateway.standard.verdict import FaultSide


class DeskName(StrEnum):
    """Who is told of an incident."""

    SAFETY_OFFICER = "safety_officer"  # ours: before all others, wherever a patient may be harmed
    COUNTERPARTY = "counterparty"  # whoever runs the service at the other side
    NATIONAL = "national"  # the National Service Desk: the proxy, the token service
    BARS = "bars"  # the BaRS team: registrations, the endpoint catalogue, the standard
    NETWORK = "network"  # our own: firewalls, names, the way out
    EPR = "epr"  # whoever makes or looks after our EPR: what a message says
    MAKER = "maker"  # whoever makes this program, or supports it here


@frozen(kw_only=True)
class DeskEntry:
    """How one desk is reached, and what it wants to know."""

    contact: Contact
    asks: str


DESKS: Mapping[DeskName, DeskEntry] = {
    DeskName.SAFETY_OFFICER: DeskEntry(
        contact=Contact(
            name="your clinical safety officer", address="", how="in your organisation"
        ),
        asks="whose patient it is (by the X-Request-Id, from the EPR), whether anybody came to harm"
        " or could have, and what has been done for them",
    ),
    DeskName.COUNTERPARTY: DeskEntry(
        contact=Contact(
            name="the service desk of the other side",
            address="",
            how="in your list of counterparties, or by its entry in the directory of services",
        ),
        asks="the X-Request-Id and X-Correlation-Id, its own service id, the times in UTC, and what"
        " its system answered",
    ),
    DeskName.NATIONAL: DeskEntry(
        contact=contacts.SERVICE_DESK,
        asks="your organisation and ODS code, the environment, the X-Request-Id and"
        " X-Correlation-Id, the times in UTC, HTTP status and code, since when, and how many"
        " patients wait; day and night. Telephone where it is urgent",
    ),
    DeskName.BARS: DeskEntry(
        contact=contacts.BARS,
        asks="the same, and your application and endpoint as they are registered; in office hours",
    ),
    DeskName.NETWORK: DeskEntry(
        contact=contacts.NETWORK,
        asks="since when, from which machine, and what `bars-gateway doctor` says",
    ),
    DeskName.EPR: DeskEntry(
        contact=Contact(
            name="whoever looks after your EPR", address="", how="in your organisation"
        ),
        asks="the X-Request-Id or the file of the receipt, and the rules that were named",
    ),
    DeskName.MAKER: DeskEntry(
        contact=Contact(
            name="whoever supports this program for you",
            address="",
            how="as SECURITY.md says of what may be sent",
        ),
        asks="the version, the type and place of the error, and the lines of the log around it;"
        " never a message",
    ),
}
# By direction and fault; None: nobody's fault is known.
ROUTES: Mapping[tuple[str, FaultSide | None], Sequence[DeskName]] = {
    ("outbound", FaultSide.SEND): (DeskName.EPR, DeskName.MAKER),
    ("outbound", FaultSide.PROXY): (DeskName.NATIONAL, DeskName.BARS),
    ("outbound", FaultSide.REC): (DeskName.COUNTERPARTY, DeskName.BARS),
    ("outbound", FaultSide.HERE): (DeskName.NETWORK, DeskName.BARS),
    ("outbound", None): (DeskName.COUNTERPARTY, DeskName.EPR),
    ("inbound", FaultSide.SEND): (DeskName.COUNTERPARTY,),
    ("inbound", FaultSide.PROXY): (DeskName.NATIONAL, DeskName.BARS),
    ("inbound", FaultSide.REC): (DeskName.EPR, DeskName.MAKER),
    ("inbound", FaultSide.HERE): (DeskName.MAKER, DeskName.NETWORK),
    ("inbound", None): (DeskName.COUNTERPARTY, DeskName.EPR),
}
# What is said of the fault, from where the message began.
FAULT_WORDS: Mapping[tuple[str, FaultSide | None], str] = {
    ("outbound", FaultSide.SEND): "SEND, which is us: what was sent, or how",
    ("outbound", FaultSide.PROXY): "PROXY: the national proxy, or the network on the way",
    ("outbound", FaultSide.REC): "REC, which is the other side: its system",
    ("outbound", FaultSide.HERE): "our own network, access token or registration",
    ("outbound", None): "no answer names one",
    ("inbound", FaultSide.SEND): "SEND, which is the other side: what it sent, or how",
    ("inbound", FaultSide.PROXY): "PROXY: the national proxy, or the network on the way",
    ("inbound", FaultSide.REC): "REC, which is us: our EPR, or what was set",
    ("inbound", FaultSide.HERE): "here: the gateway itself, or its machine",
    ("inbound", None): "nothing names one",
}


def desks_for(direction: str, fault: FaultSide | None) -> Sequence[DeskName]:
    """Return who is told of it, the first to be told first."""
    return (DeskName.SAFETY_OFFICER, *ROUTES[(direction, fault)])
