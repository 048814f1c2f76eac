"""What the MessageDefinition asks of the Bundle (rules M14, M15, B20, B22)."""

from collections import Counter
from collections.abc import Iterator

from bars_gateway.standard.bundle import Message, map_of
from bars_gateway.standard.checks.looking import missing, resources_at
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.definitions import Definition, Focus, cited

_HEADER = "Bundle.entry[0].resource"


def no_definition(message: Message, _offer: Offer) -> Iterator[str]:
    """M14."""
    if not message.definition:
        yield f"{_HEADER}.definition"


def unknown_definition(message: Message, _offer: Offer) -> Iterator[str]:
    """M14, of what is there: published messages cite two that nobody publishes."""
    if message.definition and cited(message.definition) is None:
        yield f"{_HEADER}.definition"


def other_event(message: Message, _offer: Offer) -> Iterator[str]:
    """M15."""
    definition = cited(message.definition)
    if definition and message.event != definition.event:
        yield f"{_HEADER}.definition"


def unlisted_profile(message: Message, _offer: Offer) -> Iterator[str]:
    """B20."""
    definition = cited(message.definition)
    if definition is None:
        return
    listed = {focus.profile for focus in definition.focuses}
    for path, resource in resources_at(message):
        profiles = map_of(resource, "meta").get("profile")
        for index, profile in enumerate(profiles if isinstance(profiles, list) else ()):
            if isinstance(profile, str) and profile not in listed:
                yield f"{path}.meta.profile[{index}]"


def miscounted(message: Message, _offer: Offer) -> Iterator[str]:
    """B22: too few is said of the type, too many of each one that is too many."""
    definition = cited(message.definition)
    if definition is None:
        return
    counts = Counter(entry.type for entry in message.entries)
    more = 1 if definition.from_requester and message.reason == "update" else 0
    for resource_type, least, most in _limits(definition, more):
        if counts[resource_type] < least:
            yield missing(resource_type)
        if most is not None and counts[resource_type] > most:
            yield from (path for path, _ in list(message.all(resource_type))[most:])


def unlisted_resource(message: Message, _offer: Offer) -> Iterator[str]:
    """B22, of what the definition does not list at all."""
    definition = cited(message.definition)
    if definition is None:
        return
    listed = {focus.type for focus in definition.focuses}
    for index, entry in enumerate(message.entries):
        if entry.type not in listed:
            yield f"Bundle.entry[{index}].resource"


def _limits(definition: Definition, encounters: int) -> Iterator[tuple[str, int, int | None]]:
    """Yield how often each type may appear, whatever its profile; so many more Encounters."""
    by_type: dict[str, list[Focus]] = {}
    for focus in definition.focuses[1:]:  # the first is the Bundle
        by_type.setdefault(focus.type, []).append(focus)
    for resource_type, focuses in by_type.items():
        most = [focus.most for focus in focuses]
        total = None if None in most else sum(number for number in most if number is not None)
        more = encounters if resource_type == "Encounter" else 0
        yield (
            resource_type,
            sum(focus.least for focus in focuses),
            None if total is None else total + more,
        )
