"""Whether the message is for us, from us, and about something that we do."""

import re
from collections.abc import Iterator

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.headers import normalised
from bars_gateway.standard.timing import application_of

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})([-+].*)?", re.ASCII)


def source_is_not_ours(message: Message, offer: Offer) -> Iterator[str]:
    """M06, when sending: we send for our own services only."""
    if message.source and normalised(message.source) not in offer.services:
        yield "Bundle.entry[0].resource.source.endpoint"


def destination_is_not_ours(message: Message, offer: Offer) -> Iterator[str]:
    """M07, on receipt: whatever the headers say, the message names its Receiver itself."""
    if unswapped(message, offer):
        return
    for index, destination in enumerate(message.destinations):
        if normalised(destination) not in offer.services:
            yield f"Bundle.entry[0].resource.destination[{index}].endpoint"


def endpoints_not_swapped(message: Message, offer: Offer) -> Iterator[str]:
    """M07, of a response: published ones name us as their source still (scenario 79)."""
    if unswapped(message, offer):
        yield "Bundle.entry[0].resource.destination"


def unswapped(message: Message, offer: Offer) -> bool:
    """Tell whether a response names its Receiver as its source, as the request did."""
    return message.event.endswith("-response") and normalised(message.source) in offer.services


def version_is_not_offered(message: Message, offer: Offer) -> Iterator[str]:
    """B08: compared on the major number; pre-releases of it are read too."""
    majors = offer.applications.get(application_of(message.use_case))
    version = _VERSION.fullmatch(message.version)
    if message.version and majors and (version is None or int(version[1]) not in majors):
        yield "Bundle.meta.versionId"


def use_case_is_not_offered(message: Message, offer: Offer) -> Iterator[str]:
    """R03, on receipt: the Application is known, and not switched on here."""
    application = application_of(message.use_case)
    if application and application not in offer.applications:
        for path, _ in message.all("ServiceRequest"):
            yield f"{path}.category"
