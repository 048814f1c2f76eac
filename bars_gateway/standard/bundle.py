"""
Reads a message Bundle: bytes in, the fields that BaRS steers by out.

    bytes ──read─────► Message(bundle_id, event, reason, focus, …, entries)
    bytes ──renewed──► the same bytes under another Bundle.id

Reading is for looking. The bytes themselves are what is stored and sent, so nothing
here ever turns a Message back into the Bundle that it came from. Numbers are kept as
they were written (`Number`), because BaRS's seven-digit instants and clinical
decimals do not survive a round trip through Python's floats (D-lossless).

orjson looks at each body that is not long, and refuses what others let through (lone surrogates,
NaN). It settles duplicate members silently in favour of the last, as most receivers do, and makes
floats of numbers: so it is believed only where it has kept all that was written (`tree.is_kept`).
The standard library's parser, which tells of each member, reads the rest, as strictly. A byte order
mark is passed over.

An id that R4 does not know as one is left out of a Message (D-ignored-ids): nothing can use it,
echo it or find anything by it. The tree and the bytes have it still, for whoever names the fault.

Decisions: D-hostile-bodies.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache, wraps
from typing import Any, NamedTuple, TypeVar

import orjson

from bars_gateway.frozen import frozen
from bars_gateway.standard import xml
from bars_gateway.standard.mentions import Held, Mentions, is_patient, mentions_by_type, mentions_in
from bars_gateway.standard.r4 import ABOUT, matcher, resources, vocabulary
from bars_gateway.standard.tree import (
    MAX_DEPTH,
    MAX_OBJECTS,
    TOO_DEEP,
    Json,
    MalformedBundle,
    Number,
    Resource,
    as_number,
    check_utf8,
    is_kept,
    map_of,
    maps_of,
    no_number,
    number_of,
    objects_in,
    text_of,
    too_wide,
    unmarked,
)

__all__ = [
    "CATEGORIES",
    "REASONS",
    "USE_CASES",
    "Entry",
    "Json",
    "MalformedBundle",
    "Message",
    "Number",
    "Resource",
    "bare_id",
    "edge_or_instant",
    "focus_url_in",
    "from_json",
    "instant",
    "is_id",
    "map_of",
    "maps_of",
    "objects_in",
    "once",
    "read",
    "renewed",
    "said_by",
    "text_of",
]

T = TypeVar("T")

USE_CASES = "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars"
CATEGORIES = "https://fhir.nhs.uk/CodeSystem/message-category-servicerequest"
REASONS = "https://fhir.nhs.uk/CodeSystem/message-reason-bars"

LONGEST_NAME = 1000  # bytes of an id or an address: two of them fit into a row of any index
_LONG = 2 * MAX_OBJECTS  # bytes
_TWICE = "stands twice in one object, and readers differ in which they take: leave one out"
_WHOM = frozenset(ABOUT)
_PRESSING = frozenset({"urgent", "asap", "stat"})

_FIRST, _LAST = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_SURROGATE = re.compile(rb"\\u[dD]")  # found in a fifth of the time that two `in` take
# What JSON is made of as far as nesting goes: texts, brackets, and what separates.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:]', re.DOTALL)
_XML_ID = re.compile(rb"<(?:[\w.-]+:)?id\s[^>]*?value\s*=\s*([\"'])(.*?)\1", re.DOTALL)


class Entry(NamedTuple):
    """One entry of the Bundle."""

    full_url: str  # empty where it is missing
    type: str  # of the resource, or an empty text
    resource: Resource


@frozen(slots=False, kw_only=True)
class Message:
    """
    What a message says about itself. Texts are empty where the Bundle has none.

    `entries` holds the resources as they were read, for rules and acknowledgements.
    """

    bundle_id: str
    version: str  # Bundle.meta.versionId: of the Application, not of Core
    event: str  # MessageHeader.eventCoding.code
    reason: str  # new, update or delete
    definition: str  # URL of the MessageDefinition
    source: str  # system|value of the sending service
    destinations: tuple[str, ...]  # system|value each
    responds_to: str | None  # MessageHeader.response.identifier, without urn:uuid:
    focus_type: str | None
    focus_id: str | None  # the Receiver's id: absent in a first request
    focus_status: str | None
    request_id: str | None  # of the ServiceRequest, whatever the focus is: what is answered
    category: str | None  # referral or validation; None for a booking without ServiceRequest
    use_case: str  # a1t1 …, lower case
    needed_by: datetime | None  # the clinical time: occurrencePeriod.end or the slot's start
    entries: tuple[Entry, ...]
    root: Resource
    held: Held | None = field(default=None, repr=False, compare=False)  # what it is shown to hold

    @cached_property
    def header(self) -> Resource:
        """The MessageHeader, or an empty resource."""
        return next((e.resource for e in self.entries[:1] if e.type == "MessageHeader"), {})

    @cached_property
    def focus_url(self) -> str:
        """What the MessageHeader says that the message is about, or an empty text."""
        return focus_url_in(self.header)

    @property
    def focus(self) -> Resource:
        """What the message is about, or an empty resource where the Bundle does not have it."""
        entry = self.resolve(self.focus_url)
        return entry.resource if entry else {}

    @property
    def is_pressing(self) -> bool:
        """Whether what it asks for has a higher priority than routine."""
        return any(text_of(each, "priority") in _PRESSING for _, each in self.all("ServiceRequest"))

    def all(self, resource_type: str) -> Sequence[tuple[str, Resource]]:
        """Return the FHIR path and the resource of each entry of that type."""
        return self.by_type.get(resource_type, ())

    @cached_property
    def by_type(self) -> Mapping[str, Sequence[tuple[str, Resource]]]:
        """The FHIR path and the resource of each entry, by the types that there are."""
        found: defaultdict[str, list[tuple[str, Resource]]] = defaultdict(list)
        for index, (_, kind, resource) in enumerate(self.entries):
            found[kind].append((f"Bundle.entry[{index}].resource", resource))
        return dict(found)

    @cached_property
    def objects(self) -> list[list[Resource]]:
        """Every object within each entry, its resource first: for rules about all of them."""
        return [objects_in(entry.resource) for entry in self.entries]

    @property
    def references(self) -> frozenset[str]:
        """Every reference in it: there are few, and each stands in many places."""
        return self._mentions.references

    @cached_property
    def everything(self) -> Sequence[Resource]:
        """Every object in it, in whatever order; those around the entries may be among them."""
        groups = self.objects if self.held is None else self.held.values()
        return [each for group in groups for each in group]

    @cached_property
    def telling(self) -> list[Resource]:
        """The objects that may say whom they are about, those of the Patients first."""
        if not self._names_by_reference and len(self._mentions.patients) <= 1:
            return self._mentions.patients  # as nearly always
        first = sorted(
            zip(self.entries, self.objects, strict=True), key=lambda each: each[0].type != "Patient"
        )
        tells = _may_tell if self._names_by_reference else is_patient
        return [each for _, within in first for each in within if tells(each)]

    @cached_property
    def _names_by_reference(self) -> bool:
        """Whether a reference may say by a number whose it is; nearly all are fullUrls."""
        return self._mentions.names_by_identifier or any(
            "patient/" in each.lower() for each in self.references
        )

    @cached_property
    def _mentions(self) -> Mentions:
        return mentions_in(self.everything) if self.held is None else mentions_by_type(self.held)

    def resolve(self, reference: str) -> Entry | None:
        """Return the entry that a reference within the Bundle points to."""
        return self._by_url.get(reference) if reference else None

    @cached_property
    def _by_url(self) -> dict[str, Entry]:
        # Of several with one fullUrl the first counts; a rule says that there are several (B16).
        return {entry.full_url: entry for entry in reversed(self.entries)}


def once(find: Callable[[Message], T]) -> Callable[[Message], T]:
    """
    Have *find* look at each message once: what it found is kept with that message.

    A message is never changed once it was read, nor may be what is found in it.
    """
    name = f"{find.__module__}.{find.__qualname__}"

    @wraps(find)
    def found(message: Message) -> T:
        kept = vars(message)
        if name not in kept:
            kept[name] = find(message)
        result: T = kept[name]
        return result

    return found


def _may_tell(each: Resource) -> bool:
    return not _WHOM.isdisjoint(each) or is_patient(each)


def read(body: bytes, media_type: str = "application/fhir+json") -> Message:
    """
    Return what the Bundle in *body* says, or raise MalformedBundle.

    Missing fields are no error here: rules name them, all at once (B02 to R09).
    """
    return said_by(xml.to_tree(body).tree if "xml" in media_type else from_json(body))


def focus_url_in(header: Resource) -> str:
    """Return what a MessageHeader says that its message is about, or an empty text."""
    return next((text_of(each, "reference") for each in maps_of(header, "focus")), "")


def said_by(root: Resource, held: Held | None = None) -> Message:
    """
    Return what a Bundle says that was read before; raise MalformedBundle if it is none.

    *held*: every object in it, where whoever has read it has shown it to be sound.
    """
    if root.get("resourceType") != "Bundle":
        raise MalformedBundle("the resource is not a Bundle", "Bundle.resourceType")
    entries = tuple(_entries(root, is_sound=held is not None))
    header: Resource = entries[0].resource if entries else {}
    return _message(root, entries, header, held)


def _message(
    root: Resource, entries: tuple[Entry, ...], header: Resource, held: Held | None
) -> Message:
    focus_reference = focus_url_in(header)
    focus = next(
        (e.resource for e in entries if focus_reference and e.full_url == focus_reference), {}
    )
    request = _asked_in(entries, focus, "ServiceRequest")
    appointment = _asked_in(entries, focus, "Appointment")
    codings = [*_codings(request, "category"), *_codings(appointment, "serviceCategory")]
    reasons = maps_of(map_of(header, "reason"), "coding")
    response = text_of(map_of(header, "response"), "identifier")
    source = text_of(map_of(header, "source"), "endpoint")
    destinations = tuple(text_of(d, "endpoint") for d in maps_of(header, "destination"))
    _refuse_unusable("Bundle.id", text_of(root, "id"))
    _refuse_unusable("Bundle.entry[0].resource.response.identifier", response)
    _refuse_unusable("Bundle.entry[0].resource.source.endpoint", source)
    for number, each in enumerate(destinations):
        _refuse_unusable(f"Bundle.entry[0].resource.destination[{number}].endpoint", each)
    return Message(
        bundle_id=bare_id(text_of(root, "id")),
        version=text_of(map_of(root, "meta"), "versionId"),
        event=text_of(map_of(header, "eventCoding"), "code"),
        reason=_code(reasons, REASONS) or next((text_of(c, "code") for c in reasons), ""),
        definition=text_of(header, "definition"),
        source=source,
        destinations=destinations,
        responds_to=bare_id(response) or None,
        focus_type=text_of(focus, "resourceType") or None,
        focus_id=text_of(focus, "id") or None,
        focus_status=text_of(focus, "status") or None,
        request_id=text_of(request, "id") or None,
        category=_code(codings, CATEGORIES) or None,
        use_case=_code(codings, USE_CASES).lower(),
        needed_by=edge_or_instant(text_of(map_of(request, "occurrencePeriod"), "end"))
        or edge_or_instant(text_of(appointment, "start")),
        entries=entries,
        root=root,
        held=held,
    )


def _asked_in(entries: tuple[Entry, ...], focus: Resource, kind: str) -> Resource:
    """Return the resource of that type that is asked for: the focus, or else the first."""
    if text_of(focus, "resourceType") == kind:
        return focus
    return next((e.resource for e in entries if e.type == kind), {})


def _refuse_unusable(path: str, name: str) -> None:
    """Refuse what messages are found by, where no index of a database would hold it."""
    if len(name) > LONGEST_NAME or len(name.encode()) > LONGEST_NAME:
        raise MalformedBundle(f"is longer than {LONGEST_NAME} bytes: no id or address is", path)
    if "\0" in name:
        raise MalformedBundle("holds a NUL, as no id or address does", path)


def _codings(resource: Resource, element: str) -> Iterator[Resource]:
    for concept in maps_of(resource, element):
        yield from maps_of(concept, "coding")


def _code(codings: Sequence[Resource], system: str) -> str:
    return next((text_of(c, "code") for c in codings if text_of(c, "system") == system), "")


def _entries(root: Resource, *, is_sound: bool) -> Iterator[Entry]:
    listed = root.get("entry")
    if listed is not None and not isinstance(listed, list):
        raise MalformedBundle("entry is not a list", "Bundle.entry")
    for index, item in enumerate(listed or []):
        resource = item.get("resource") if isinstance(item, dict) else None
        if not isinstance(resource, dict):
            raise MalformedBundle("the entry holds no resource", f"Bundle.entry[{index}]")
        usable = resource if is_sound else _with_a_usable_id(resource)
        yield Entry(text_of(item, "fullUrl"), text_of(resource, "resourceType"), usable)


def _with_a_usable_id(resource: Resource) -> Resource:
    if "id" not in resource or is_id(resource["id"]):
        return resource
    return {name: value for name, value in resource.items() if name != "id"}


def is_id(value: Json) -> bool:
    """Tell whether *value* has the form of an id of R4."""
    return isinstance(value, str) and matcher("id")(value) is not None


def from_json(body: bytes) -> Resource:
    """Return the resource in *body* as a tree, or raise MalformedBundle."""
    check_utf8(body)
    written = unmarked(body)
    try:
        if _is_read_alone(written):
            return _exactly(written)
        root = orjson.loads(written)
        return root if _with_numbers(root, written) else _exactly(written)
    except json.JSONDecodeError as error:
        raise MalformedBundle(f"the body is not valid JSON: {_place(error)}") from None
    except RecursionError:
        raise MalformedBundle(TOO_DEEP) from None


def _place(error: json.JSONDecodeError) -> str:
    ends = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    cut = ", where it ends before it is complete: a file is renamed into place once it is whole"
    return f"line {error.lineno}, column {error.colno}{cut if ends else ''}"


def _is_read_alone(written: bytes) -> bool:
    """
    Tell whether `_exactly` refuses all that orjson would, and orjson would take too long.

    It reads in one go, and whoever else runs in this process stands meanwhile: 30 ms for 5 MB. What
    `_exactly` lets through beside it are lone surrogates; each of them is written as an escape.
    """
    return len(written) > _LONG and _SURROGATE.search(written) is None


def _with_numbers(root: Any, written: bytes) -> bool:
    """Keep numbers as they were *written*, if that is for sure; tell whether it is."""
    if root.__class__ is not dict or len(written) > _LONG or not is_kept(root, written):
        return False
    for node in _holders_of_numbers(root):
        for at, value in list(node.items() if node.__class__ is dict else enumerate(node)):
            if value.__class__ is int or value.__class__ is float:
                node[at] = as_number(value)
    return True


def _exactly(written: bytes) -> Resource:
    """Read with the parser that tells of each member, and how each number is written."""
    twice = _Twice()
    root = json.loads(
        written.decode(),
        parse_float=number_of,
        parse_int=number_of,
        parse_constant=no_number,
        object_pairs_hook=twice.members_of,
    )
    if not isinstance(root, dict):
        raise MalformedBundle("the body is not a JSON object")
    _holders_of_numbers(root)
    if twice.objects:
        raise MalformedBundle(_TWICE, twice.path_in(root))
    return root


def _holders_of_numbers(root: Json) -> list[Any]:
    """Return the objects and lists that hold numbers; raise where there are too many, or levels."""
    level: list[Any] = [root]  # the loops are written out: every message passes through them
    found: list[Any] = []
    seen = 0
    for _ in range(MAX_DEPTH):
        seen += len(level)
        if seen > MAX_OBJECTS:
            raise too_wide()
        below: list[Any] = []
        for node in level:
            for each in node.values() if node.__class__ is dict else node:
                kind = each.__class__
                if kind is str:  # as most are
                    continue
                if kind is dict or kind is list:
                    below.append(each)
                elif kind is int or kind is float:
                    found.append(node)
        if not below:
            return found
        level = below
    raise MalformedBundle(TOO_DEEP)


class _Twice:
    """
    The objects of one body that have a member twice, and the path of the first of them.

    Nobody may choose between the two: readers differ in which they take, and so two of them would
    act upon different messages.
    """

    def __init__(self) -> None:
        self.objects: dict[int, tuple[Resource, str]] = {}  # by identity, for as long as they live

    def members_of(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        """Make an object of its members."""
        members = dict(pairs)
        if len(members) != len(pairs):
            self.objects[id(members)] = (members, _first_again(pairs))
        return members

    def path_in(self, root: Resource) -> str:
        """Return the path of the outermost; what R4 has no name for is not shown."""
        kind = root.get("resourceType")
        top = kind if isinstance(kind, str) and kind in resources() else "Bundle"
        level: list[tuple[Json, str]] = [(root, top)]
        for node, path in level:  # which grows while it is read
            _, name = self.objects.get(id(node), (None, None))
            if name is not None:
                return f"{path}.{_shown(name)}"
            level += _below(node, path)
        raise AssertionError("an object within another that stands twice")


def _first_again(pairs: list[tuple[str, Json]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            break
        seen.add(name)
    return name


def _below(node: Json, path: str) -> Iterator[tuple[Json, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, dict | list):
                yield value, f"{path}.{_shown(name)}"
    elif isinstance(node, list):
        for index, value in enumerate(node):
            if isinstance(value, dict | list):
                yield value, f"{path}[{index}]"


def _shown(name: str) -> str:
    return name if name.removeprefix("_") in vocabulary() else "?"


def bare_id(text: str) -> str:
    """Return an id without the `urn:uuid:` that some senders put before it, in lower case."""
    return text.strip().lower().removeprefix("urn:uuid:")


@lru_cache(maxsize=64)
def edge_or_instant(text: str) -> datetime | None:
    """Return an instant, or the edge of the calendar where it lies beyond that in UTC."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    try:
        return _moment(match).astimezone(UTC)
    except OverflowError:
        return _FIRST if text.startswith("0001") else _LAST
    except ValueError:
        return None


@lru_cache(maxsize=64)
def instant(text: str) -> datetime | None:
    """Return a FHIR instant as UTC, cut to microseconds, or None where it is not an instant."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    try:
        return _moment(match).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _moment(match: re.Match[str]) -> datetime:
    seconds, fraction, zone = match.groups()
    if seconds.endswith(":60"):  # a leap second is the one that follows it, as POSIX counts
        return datetime.fromisoformat(f"{seconds[:-2]}59{zone}") + timedelta(seconds=1)
    return datetime.fromisoformat(f"{seconds}.{(fraction or '0').ljust(6, '0')}{zone}")


def renewed(body: bytes, media_type: str, bundle_id: str) -> bytes:
    """
    Return *body* with that Bundle.id, as a resend needs (B05), and no other byte of it changed.

    To parse it and to write it again would change numbers, instants and white space (D-lossless):
    the id is found where it stands and cut out. What came of it is read again: raises
    MalformedBundle where anything but the id differs, or where there is none to replace.
    """
    place = _place_in_xml(body) if "xml" in media_type else _place_in_json(body)
    if place is None:
        raise MalformedBundle("the Bundle has no id to replace", "Bundle.id")
    start, end = place
    changed = body[:start] + bundle_id.encode("ascii") + body[end:]
    before, after = read(body, media_type), read(changed, media_type)
    if {**before.root, "id": bundle_id} != after.root:
        raise MalformedBundle("the Bundle's id cannot be told from other content", "Bundle.id")
    return changed


def _place_in_json(body: bytes) -> tuple[int, int] | None:
    """Return where the text of the outermost member `id` begins and ends, without its quotes."""
    depth, name, is_id = 0, b"", False
    for token in _TOKEN.finditer(body):
        word = token[0]
        if word in {b"{", b"["}:
            depth += 1
        elif word in {b"}", b"]"}:
            depth -= 1
        elif word == b":":
            is_id = depth == 1 and name == b'"id"'
            continue
        elif is_id:
            return token.start() + 1, token.end() - 1
        name, is_id = word, False
    return None


def _place_in_xml(body: bytes) -> tuple[int, int] | None:
    """Return where the value of the first `id` begins and ends: R4 puts the Bundle's own first."""
    found = _XML_ID.search(body)
    return None if found is None else found.span(2)
