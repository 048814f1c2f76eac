"""The Bundle around the message (rules B02 to B19, B23)."""

import re
from collections import Counter
from collections.abc import Callable, Iterator

from bars_gateway.standard.bundle import Message, Resource, instant, map_of, text_of
from bars_gateway.standard.checks.looking import URN, objects_at, resources_at
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.headers import is_uuid

_PROFILE = "https://fhir.nhs.uk/StructureDefinition/BARSBundleMessage"
_SEVEN_DECIMALS = re.compile(r".*\.\d{7}(Z|[+-]\d\d:\d\d)", re.ASCII)
_IN_UTC = re.compile(r".*(Z|[+-]00:00)", re.ASCII)
# What other messages gave an id to, and this one may therefore name without holding it.
_ELSEWHERE = ("ServiceRequest/", "Appointment/", "EpisodeOfCare/")


def type_is_not_message(message: Message, _offer: Offer) -> Iterator[str]:
    """B02."""
    if text_of(message.root, "type") != "message":
        yield "Bundle.type"


def no_timestamp(message: Message, _offer: Offer) -> Iterator[str]:
    """B03."""
    if not text_of(message.root, "timestamp"):
        yield "Bundle.timestamp"


def id_is_no_uuid(message: Message, _offer: Offer) -> Iterator[str]:
    """B04: a response points back to it."""
    if not is_uuid(message.bundle_id):
        yield "Bundle.id"


def no_version(message: Message, _offer: Offer) -> Iterator[str]:
    """B07."""
    if not message.version:
        yield "Bundle.meta.versionId"


def no_profile(message: Message, _offer: Offer) -> Iterator[str]:
    """B09."""
    profiles = map_of(message.root, "meta").get("profile")
    if not isinstance(profiles, list) or _PROFILE not in profiles:
        yield "Bundle.meta.profile"


def no_last_updated(message: Message, _offer: Offer) -> Iterator[str]:
    """B10."""
    yield from _last_updated(message, lambda written: instant(written) is None)


def not_seven_decimals(message: Message, _offer: Offer) -> Iterator[str]:
    """B11."""
    yield from _last_updated(message, lambda text: text and not _SEVEN_DECIMALS.fullmatch(text))


def not_in_utc(message: Message, _offer: Offer) -> Iterator[str]:
    """B12."""
    yield from _last_updated(message, lambda text: text and not _IN_UTC.fullmatch(text))


def not_updated_together(message: Message, _offer: Offer) -> Iterator[str]:
    """B13: a new message has one moment at which all in it was written."""
    if message.reason == "new":
        written = map(instant, dict.fromkeys(_moments(message)))
        first = next((moment for moment in written if moment), None)
        yield from _last_updated(message, lambda text: instant(text) not in {None, first})


def _last_updated(message: Message, wrong: Callable[[str], object]) -> Iterator[str]:
    """Yield where it is wrong: each text is looked at once, for most are the same."""
    moments = _moments(message)
    blamed = {text for text in set(moments) if wrong(text)}
    if blamed:
        for number, text in enumerate(moments):
            if text in blamed:
                holder = f"Bundle.entry[{number - 1}].resource" if number else "Bundle"
                yield f"{holder}.meta.lastUpdated"


def _moments(message: Message) -> list[str]:
    resources = (message.root, *(entry.resource for entry in message.entries))
    return [text_of(map_of(resource, "meta"), "lastUpdated") for resource in resources]


def no_full_url(message: Message, _offer: Offer) -> Iterator[str]:
    """B15."""
    for index, entry in enumerate(message.entries):
        if not entry.full_url:
            yield f"Bundle.entry[{index}].fullUrl"


def bad_full_url(message: Message, _offer: Offer) -> Iterator[str]:
    """B16."""
    times = Counter(entry.full_url for entry in message.entries)
    for index, entry in enumerate(message.entries):
        url = entry.full_url
        well_formed = url.startswith(URN) and is_uuid(url.removeprefix(URN))
        if url and (times[url] > 1 or not well_formed):
            yield f"Bundle.entry[{index}].fullUrl"


def dangling_reference(message: Message, _offer: Offer) -> Iterator[str]:
    """B17: what starts with urn:uuid:, or is a bare id, is inside the Bundle or is nowhere."""
    known = {entry.full_url for entry in message.entries}

    def dangles(each: Resource) -> bool:
        reference = each.get("reference")
        if not isinstance(reference, str) or reference in known:
            return False
        return reference.startswith(URN) or is_uuid(reference)

    yield from _objects(message, dangles, "reference")


def unexpected_relative_reference(message: Message, _offer: Offer) -> Iterator[str]:
    """B18: Type/id is for what stands in no Bundle: journeys and what a Receiver gave an id to."""
    yield from _objects(message, _is_unexpected, "reference")


def _is_unexpected(each: Resource) -> bool:
    reference = each.get("reference")
    if not isinstance(reference, str) or not reference or ":" in reference:
        return False
    return not reference.startswith((*_ELSEWHERE, "#")) and not is_uuid(reference)


def no_resource_profile(message: Message, _offer: Offer) -> Iterator[str]:
    """B19."""
    for path, resource in resources_at(message):
        if not map_of(resource, "meta").get("profile"):
            yield f"{path}.meta.profile"


def no_display(message: Message, _offer: Offer) -> Iterator[str]:
    """B23: people read displays, and what shows a bare code to them is of no use."""
    yield from _objects(message, _is_bare, "display")


def _is_bare(each: Resource) -> bool:
    return "code" in each and "system" in each and "display" not in each


def _objects(message: Message, wrong: Callable[[Resource], bool], element: str) -> Iterator[str]:
    """Yield that element of each object that is wrong; paths are made only if there is one."""
    for index, within in enumerate(message.objects):
        if any(map(wrong, within)):
            for path, each in objects_at(within[0], f"Bundle.entry[{index}].resource"):
                if wrong(each):
                    yield f"{path}.{element}"
