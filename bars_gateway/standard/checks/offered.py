"""Whether the message is for us, from us, and about something that we do."""

import re
from collections.abc import Iterator

from bars_gateway.standard.bundle import Message, maps_of, text_of
from bars_gateway.standard.checks.kinds import is_booking, is_new_request
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.headers import normalised
from bars_gateway.standard.timing import application_of

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})([-+].*)?", re.ASCII)


def source_is_not_ours(message: Message, offer: Offer) -> Iterator[str]:
    """M06, when sending: we send for our own services only."""
    if message.source and not offer.is_ours(message.source):
        yield "Bundle.entry[0].resource.source.endpoint"


def destination_is_not_ours(message: Message, offer: Offer) -> Iterator[str]:
    """M07, on receipt: whatever the headers say, the message names its Receiver itself."""
    if unswapped(message, offer):
        return
    for index, destination in enumerate(message.destinations):
        if not offer.is_ours(destination):
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
    majors = offer.majors(application_of(message.use_case))
    version = _VERSION.fullmatch(message.version)
    if message.version and majors and (version is None or int(version[1]) not in majors):
        yield "Bundle.meta.versionId"


def use_case_is_not_offered(message: Message, offer: Offer) -> Iterator[str]:
    """R03R, on receipt: known, and not switched on. What was taken before may still be changed."""
    if not application_of(message.use_case) or offer.takes(message.use_case):
        return
    if is_new_request(message):
        yield from (f"{path}.category" for path, _ in message.all("ServiceRequest"))
    if is_booking(message, called_off=False) and message.reason == "new":
        yield from (f"{path}.serviceCategory" for path, _ in message.all("Appointment"))


def booking_is_missing(message: Message, offer: Offer) -> Iterator[str]:
    """R23, where the service takes referrals with a booking only: it is made first."""
    if not offer.booking_required or not is_new_request(message, "referral"):
        return
    for path, resource in message.all("ServiceRequest"):
        named = (text_of(each, "reference") for each in maps_of(resource, "supportingInfo"))
        if not any(reference.startswith("Appointment/") for reference in named):
            yield f"{path}.supportingInfo"
