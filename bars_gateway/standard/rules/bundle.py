"""The rules of the Bundle around the message, and of the profiles and counts in it (B02 to B23)."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import repeat

from bars_gateway.frozen import frozen
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Json, Message, Resource, instant, map_of, once, text_of
from bars_gateway.standard.definitions import DEFINITIONS, Focus, cited
from bars_gateway.standard.headers import UUID, is_uuid
from bars_gateway.standard.issues import NOT_SUPPORTED, Severity
from bars_gateway.standard.rule import CODES, URN, Found, missing, objects_at, resources_at, rule
from bars_gateway.standard.timing import application_of

_WARN = Severity.WARNING
_PROFILE = "https://fhir.nhs.uk/StructureDefinition/BARSBundleMessage"
_SEVEN_DECIMALS = re.compile(r".*\.\d{7}(Z|[+-]\d\d:\d\d)", re.ASCII)
_FULL_URL = re.compile(rf"{URN}\s*{UUID}\s*")
_IN_UTC = re.compile(r".*(Z|[+-]00:00)", re.ASCII)
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})([-+].*)?", re.ASCII)
# What other messages gave an id to, and this one may therefore name without holding it.
_ELSEWHERE = ("ServiceRequest/", "Appointment/", "EpisodeOfCare/")
_BARS = "https://fhir.nhs.uk/StructureDefinition/BARS"
_UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/"


@frozen(slots=False)
class Demand:
    """What one element must be wherever the element around it is."""

    element: str  # dotted, below the resource
    fixed: str | None = None  # None: it must only be there
    most: int | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Its elements, from the resource down."""
        return tuple(self.element.split("."))

    @property
    def words(self) -> str:
        """What the element must be, in words."""
        here = "must be here" if self.fixed is None else f"must be {self.fixed}"
        return here if self.most is None else f"{here}, and at most {self.most} of it"


_IDENTIFIED = (Demand("identifier.system"), Demand("identifier.value"))
_HEADER = (
    Demand("destination"),
    Demand("destination.receiver.reference"),
    Demand("sender.reference"),
    Demand("reason"),
    Demand("reason.coding.system", f"{CODES}message-reason-bars"),
    Demand("focus.reference"),
)
_REQUEST = (Demand("intent", "plan"), Demand("category", most=1))

DEMANDS: Mapping[str, tuple[Demand, ...]] = {
    f"{_UK_CORE}BARSLocation-incident-location": (
        Demand("type", most=1),
        Demand("type.coding.system", f"{CODES}location-types-bars"),
        Demand("type.coding.code", "ILOC"),
    ),
    f"{_BARS}Flag-scene-safety": (
        Demand("category", most=1),
        Demand("category.coding.system", f"{CODES}flag-categories-bars"),
        Demand("category.coding.code", "SS"),
        Demand("code.coding.system", f"{CODES}scene-safety-codes-bars"),
    ),
    f"{_BARS}MessageHeader-booking-request": (
        *_HEADER,
        Demand("eventCoding.code", "booking-request"),
    ),
    f"{_BARS}MessageHeader-servicerequest-request": (*_HEADER, Demand("eventCoding.code")),
    f"{_BARS}MessageHeader-servicerequest-response": (
        *_HEADER,
        Demand("eventCoding.code", "servicerequest-response"),
        Demand("response"),
    ),
    f"{_BARS}ServiceRequest-request-referral": (*_REQUEST, Demand("authoredOn")),
    f"{_BARS}ServiceRequest-request-validation": (
        *_REQUEST,
        Demand("occurrencePeriod.start"),
        Demand("occurrencePeriod.end"),
    ),
    f"{_UK_CORE}UKCore-AllergyIntolerance": (Demand("code"),),
    f"{_UK_CORE}UKCore-MedicationStatement": _IDENTIFIED,
    f"{_UK_CORE}UKCore-Practitioner": _IDENTIFIED,
    f"{_UK_CORE}UKCore-PractitionerRole": _IDENTIFIED,
}


@rule("B02", "Bundle.type must be message", source="profile BARSBundleMessage", fixed=True)
def type_is_not_message(message: Message, _offer: Offer) -> Iterator[str]:
    if text_of(message.root, "type") != "message":
        yield "Bundle.type"


@rule("B03", "Bundle.timestamp is missing", source="profile BARSBundleMessage", receiving=_WARN)
def no_timestamp(message: Message, _offer: Offer) -> Iterator[str]:
    if not text_of(message.root, "timestamp"):
        yield "Bundle.timestamp"


@rule("B04", "Bundle.id must be a UUID", source="Applications: payload tables", fixed=True)
def id_is_not_a_uuid(message: Message, _offer: Offer) -> Iterator[str]:
    """A response points back to it."""
    if not is_uuid(message.bundle_id):
        yield "Bundle.id"


@rule(
    "B07",
    "Bundle.meta.versionId is missing: the Application version that it conforms to",
    source="Core: Standard-Pattern-For-Composites; tests: NoVersionID",
)
def no_version(message: Message, _offer: Offer) -> Iterator[str]:
    if not message.version:
        yield "Bundle.meta.versionId"


@rule(
    "B08",
    "this Application version is not supported here",
    source="Core: Standard-Pattern-For-Composites",
    sending=None,
    **NOT_SUPPORTED,
)
def version_is_not_offered(message: Message, offer: Offer) -> Iterator[str]:
    """Compared on the major number; pre-releases of it are read too."""
    majors = offer.majors(application_of(message.use_case))
    version = _VERSION.fullmatch(message.version)
    if message.version and majors and (version is None or int(version[1]) not in majors):
        yield "Bundle.meta.versionId"


@rule(
    "B09",
    "Bundle.meta.profile must name BARSBundleMessage",
    source="Applications: payload tables",
    receiving=_WARN,
)
def no_profile(message: Message, _offer: Offer) -> Iterator[str]:
    profiles = map_of(message.root, "meta").get("profile")
    if not isinstance(profiles, list) or _PROFILE not in profiles:
        yield "Bundle.meta.profile"


@rule(
    "B10",
    "meta.lastUpdated is missing, or is not a full instant with an offset",
    source="Core: LastUpdatedDate",
    receiving=_WARN,
)
def no_last_updated(message: Message, _offer: Offer) -> Iterator[str]:
    yield from _last_updated(message, lambda written: instant(written) is None)


@rule(
    "B11",
    "meta.lastUpdated should have seven decimals",
    source="tests: bars_common",
    sending=_WARN,
    receiving=None,
)
def not_seven_decimals(message: Message, _offer: Offer) -> Iterator[str]:
    yield from _last_updated(message, lambda text: text and not _SEVEN_DECIMALS.fullmatch(text))


@rule(
    "B12",
    "meta.lastUpdated should be in UTC",
    source="Core: How-to-handle-times",
    sending=_WARN,
    receiving=None,
)
def not_in_utc(message: Message, _offer: Offer) -> Iterator[str]:
    yield from _last_updated(message, lambda text: text and not _IN_UTC.fullmatch(text))


@rule(
    "B13",
    "all meta.lastUpdated of a new message should be the same",
    source="Applications: payload tables",
    sending=_WARN,
    receiving=None,
)
def not_updated_together(message: Message, _offer: Offer) -> Iterator[str]:
    """A new message has one moment at which all in it was written."""
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


@once
def _moments(message: Message) -> list[str]:
    metas = [message.root.get("meta"), *(entry.resource.get("meta") for entry in message.entries)]
    return [text_of(meta, "lastUpdated") for meta in metas]


@rule("B15", "the entry has no fullUrl", source="Applications: payload tables", fixed=True)
def no_full_url(message: Message, _offer: Offer) -> Iterator[str]:
    for index, entry in enumerate(message.entries):
        if not entry.full_url:
            yield f"Bundle.entry[{index}].fullUrl"


@rule(
    "B16",
    "fullUrl must be urn:uuid with a valid UUID, and may appear once",
    source="R4: bdl-7; Applications: payload tables",
    receiving=_WARN,
)
def bad_full_url(message: Message, _offer: Offer) -> Iterator[str]:
    urls = [entry.full_url for entry in message.entries]
    twice = Counter(urls) - Counter(set(urls)) if len(set(urls)) < len(urls) else ()
    for index, url in enumerate(urls):
        if url and (url in twice or not _FULL_URL.fullmatch(url)):
            yield f"Bundle.entry[{index}].fullUrl"


@rule(
    "B17", "the reference points to nothing in the Bundle", source="R4: messaging", receiving=_WARN
)
def dangling_reference(message: Message, _offer: Offer) -> Iterator[str]:
    """What starts with urn:uuid:, or is a bare id, is inside the Bundle or is nowhere."""
    known = {entry.full_url for entry in message.entries}
    missing_here = message.references - known
    yield from _references(
        message, {each for each in missing_here if each.startswith(URN) or is_uuid(each)}
    )


@rule(
    "B18",
    "only ServiceRequest, Appointment and EpisodeOfCare may stand outside of the Bundle",
    source="Core: Journey-ID",
    sending=_WARN,
    receiving=None,
)
def unexpected_relative_reference(message: Message, _offer: Offer) -> Iterator[str]:
    """`Type/id` is for what stands in no Bundle: journeys and what a Receiver gave an id to."""
    yield from _references(message, set(filter(_is_unexpected, message.references)))


def _is_unexpected(reference: str) -> bool:
    if not reference or ":" in reference:
        return False
    return not reference.startswith((*_ELSEWHERE, "#")) and not is_uuid(reference)


def _references(message: Message, wrong: Collection[str]) -> Iterator[str]:
    """Yield where one of the *wrong* references stands: each text is looked at once before."""
    if wrong:
        yield from _objects(
            message,
            lambda each: isinstance(of := each.get("reference"), str) and of in wrong,
            "reference",
        )


@rule(
    "B19",
    "the resource names no profile in meta.profile",
    source="Applications: payload tables",
    sending=_WARN,
    receiving=None,
)
def no_resource_profile(message: Message, _offer: Offer) -> Iterator[str]:
    for path, resource in resources_at(message):
        if not map_of(resource, "meta").get("profile"):
            yield f"{path}.meta.profile"


@rule(
    "B20",
    "the MessageDefinition does not list this profile",
    source="tests: messdefcheck",
    sending=None,
    receiving=None,
)
def unlisted_profile(message: Message, _offer: Offer) -> Iterator[str]:
    definition = cited(message.definition)
    if definition is None:
        return
    listed = {focus.profile for focus in definition.focuses}
    for path, resource in resources_at(message):
        profiles = map_of(resource, "meta").get("profile")
        for index, profile in enumerate(profiles if isinstance(profiles, list) else ()):
            if isinstance(profile, str) and profile not in listed:
                yield f"{path}.meta.profile[{index}]"


@rule(
    "B20U",
    "BaRS has no profile of this name, so nothing that it asks for was looked at: see its spelling",
    source="this project",
    sending=_WARN,
    receiving=None,
)
def unknown_profile(message: Message, _offer: Offer) -> Iterator[str]:
    """A misspelt name would switch B21 off. BaRS alone: UK Core has more than its messages need."""
    for path, resource in (("Bundle", message.root), *resources_at(message)):
        profiles = map_of(resource, "meta").get("profile")
        for index, profile in enumerate(profiles if isinstance(profiles, list) else ()):
            if _is_unknown(profile):
                yield f"{path}.meta.profile[{index}]"


def _is_unknown(profile: Json) -> bool:
    return isinstance(profile, str) and profile.startswith(_BARS) and profile not in _known()


@cache
def _known() -> frozenset[str]:
    defined = (focus.profile for each in DEFINITIONS.values() for focus in each.focuses)
    return frozenset((*DEMANDS, *defined))


@rule(
    "B21",
    "the profile that the resource claims asks for something else",
    source="profiles: BaRS and UK Core",
    receiving=_WARN,
)
def profile_broken(message: Message, _offer: Offer) -> Iterator[Found]:
    """Presence, number and fixed values; slices and bindings are not looked at."""
    for index, (_, _, resource) in enumerate(message.entries):
        meta = resource.get("meta")
        profiles = meta.get("profile") if isinstance(meta, dict) else None
        for profile in profiles if isinstance(profiles, list) else ():
            for demand in DEMANDS.get(profile, ()) if isinstance(profile, str) else ():
                if not _is_met(demand, resource):
                    yield from _unmet(demand, resource, f"Bundle.entry[{index}].resource")


def _is_met(demand: Demand, node: Json, depth: int = 0) -> bool:
    """Tell whether nothing is wrong with it: paths are made only if something is."""
    names = demand.names
    while isinstance(node, dict) and depth < len(names) - 1:
        node = node.get(names[depth])
        depth += 1
    if isinstance(node, list):
        return all(map(_is_met, repeat(demand), node, repeat(depth)))
    return not isinstance(node, dict) or not _is_wrong(demand, node.get(names[depth]))


def _is_wrong(demand: Demand, values: Json) -> bool:
    number = len(values) if isinstance(values, list) else int(values is not None)
    wrong = demand.fixed is not None and values != demand.fixed
    return number == 0 or wrong or (demand.most is not None and number > demand.most)


def _unmet(demand: Demand, resource: Resource, path: str) -> Iterator[Found]:
    *way, last = demand.names
    for at, owner in _owners(resource, path, way):
        if _is_wrong(demand, owner.get(last)):
            yield Found(f"{at}.{last}", f"{last} {demand.words}")


def _owners(node: Json, path: str, names: list[str]) -> Iterator[tuple[str, Resource]]:
    """Yield what stands at the end of *names*, and nothing where the way to it is missing."""
    if isinstance(node, list):
        for index, each in enumerate(node):
            yield from _owners(each, f"{path}[{index}]", names)
    elif isinstance(node, dict):
        if names:
            yield from _owners(node.get(names[0]), f"{path}.{names[0]}", names[1:])
        else:
            yield path, node


@rule(
    "B22",
    "the MessageDefinition allows another number of resources of this type",
    source="Core: Message-Headers",
    receiving=_WARN,
)
def miscounted(message: Message, _offer: Offer) -> Iterator[Found]:
    """Too few is said of the type, too many of each one that is too many."""
    definition = cited(message.definition)
    if definition is None:
        return
    updated = definition.from_requester and message.reason == "update"
    for resource_type, least, most in _limits(definition.url):
        number = len(message.all(resource_type))
        if number < least:
            yield Found(missing(resource_type), f"at least {least}, and here are {number}")
        if most is not None and number > most:
            allowed = most + int(updated and resource_type == "Encounter")
            for path, _ in message.all(resource_type)[allowed:]:
                yield Found(path, f"at most {allowed}, and here are {number}")


@rule(
    "B22L",
    "the MessageDefinition does not list resources of this type",
    source="Core: Message-Headers",
    sending=_WARN,
    receiving=_WARN,
)
def unlisted_resource(message: Message, _offer: Offer) -> Iterator[str]:
    definition = cited(message.definition)
    if definition is None:
        return
    listed = _listed(definition.url)
    for index, entry in enumerate(message.entries):
        if entry.type not in listed:
            yield f"Bundle.entry[{index}].resource"


@cache
def _listed(url: str) -> frozenset[str]:
    definition = cited(url)
    return frozenset(focus.type for focus in (definition.focuses if definition else ()))


@cache
def _limits(url: str) -> tuple[tuple[str, int, int | None], ...]:
    """Return how often each type may appear in what *url* defines, whatever its profile."""
    definition = cited(url)
    by_type: dict[str, list[Focus]] = {}
    for focus in definition.focuses[1:] if definition else ():  # the first is the Bundle
        by_type.setdefault(focus.type, []).append(focus)
    return tuple((name, *_range_of(focuses)) for name, focuses in by_type.items())


def _range_of(focuses: Sequence[Focus]) -> tuple[int, int | None]:
    most = [focus.most for focus in focuses]
    total = None if None in most else sum(number for number in most if number is not None)
    return sum(focus.least for focus in focuses), total


@rule(
    "B23", "the coding has no display", source="tests: code_display", sending=_WARN, receiving=None
)
def no_display(message: Message, _offer: Offer) -> Iterator[str]:
    """People read displays, and what shows a bare code to them is of no use."""
    yield from _objects(message, _is_bare, "display")


def _is_bare(each: Resource) -> bool:
    return "code" in each and "system" in each and "display" not in each


def _objects(message: Message, wrong: Callable[[Resource], bool], element: str) -> Iterator[str]:
    """Yield that element of each object that is wrong; paths are made only if there is one."""
    if not any(map(wrong, message.everything)):
        return  # as nearly always
    for index, within in enumerate(message.objects):
        if any(map(wrong, within)):
            for path, each in objects_at(within[0], f"Bundle.entry[{index}].resource"):
                if wrong(each):
                    yield f"{path}.{element}"
