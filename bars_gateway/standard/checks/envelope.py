"""The Bundle around the message (rules B02 to B17)."""

from collections import Counter
from collections.abc import Iterator

from bars_gateway.standard.bundle import Json, Message, instant, map_of, text_of
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.headers import is_uuid

_PROFILE = "https://fhir.nhs.uk/StructureDefinition/BARSBundleMessage"
_URN = "urn:uuid:"


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
    if instant(text_of(map_of(message.root, "meta"), "lastUpdated")) is None:
        yield "Bundle.meta.lastUpdated"
    for index, entry in enumerate(message.entries):
        if instant(text_of(map_of(entry.resource, "meta"), "lastUpdated")) is None:
            yield f"Bundle.entry[{index}].resource.meta.lastUpdated"


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
        well_formed = url.startswith(_URN) and is_uuid(url.removeprefix(_URN))
        if url and (times[url] > 1 or not well_formed):
            yield f"Bundle.entry[{index}].fullUrl"


def dangling_reference(message: Message, _offer: Offer) -> Iterator[str]:
    """B17: what starts with urn:uuid: is inside the Bundle, or is nowhere."""
    known = {entry.full_url for entry in message.entries}
    for index, entry in enumerate(message.entries):
        for path, reference in _references(entry.resource, f"Bundle.entry[{index}].resource"):
            if reference.startswith(_URN) and reference not in known:
                yield path


def _references(node: Json, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "reference" and isinstance(value, str):
                yield f"{path}.reference", value
            elif isinstance(value, dict | list):
                yield from _references(value, f"{path}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _references(value, f"{path}[{index}]")
