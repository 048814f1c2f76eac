"""
The counterparty's HTTP side: what the proxy calls, over mutual TLS.

    request ─► path ─► method ─► target ─► SandboxMessageHandler ──┬─► in the format asked for,
                404      405       404       SandboxReadHandler ─────┘   with the two ids, always

Reads are answered here: capabilities, definitions, slots, and what is held.

    GET /metadata · /MessageDefinition · /Slot · /Appointment[/id] · /ServiceRequest[/id]

What is published is made of the offer that the rules enforce, as the gateway's own is.

Slots are invented, the same for the same question, so that a booking finds what was offered;
a slot's id is made of its service and its time.

    SlotSearch ──► hours of the range ──► free, or busy: each fourth, and what is booked
"""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from urllib.parse import parse_qs

from aiohttp import web

from bars_gateway.frozen import frozen
from bars_gateway.sandbox.counterparty import replies
from bars_gateway.sandbox.counterparty.message_handler import (
    Held,
    Holdings,
    Incoming,
    SandboxMessageHandler,
)
from bars_gateway.sandbox.counterparty.replies import PROBLEMS, READ_IDS, SandboxReply, read_problem
from bars_gateway.sandbox.counterparty.services import SERVICES, Habit, Service
from bars_gateway.standard import answers, publications, reads
from bars_gateway.standard.answers import REFUSALS
from bars_gateway.standard.bundle import map_of, maps_of, text_of
from bars_gateway.standard.formats import Format, as_asked, format_of, negotiate, to_tree
from bars_gateway.standard.headers import (
    TARGET,
    HeaderProblem,
    Ids,
    TargetIdentifier,
    echo,
    read_ids,
)
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.publications import About
from bars_gateway.standard.reads import PatientSearch, SearchProblem, SlotSearch
from bars_gateway.standard.tree import Json, Number, Resource

BASE = "/FHIR/R4"
LONGEST_SLOT_SEARCH = timedelta(days=28)
MOST_SLOTS = 8
_METHODS: Mapping[str, str] = {
    "$process-message": "POST",
    "metadata": "GET",
    "MessageDefinition": "GET",
    "Slot": "GET",
    "Appointment": "GET",
    "ServiceRequest": "GET",
}
_WITH_IDS = frozenset({"Appointment", "ServiceRequest"})
_DEFINITION_HABITS = {Habit.UNAUTHORISED: 401, Habit.UNKNOWN: 404}
_LENGTH = timedelta(minutes=30)
_BUSY_HOURS = 4  # every so many hours one is busy from the start


@frozen(kw_only=True)
class ReadRequest:
    """One read as it came."""

    service: Service  # the target
    headers: dict[str, str]  # names in lower case
    name: str  # Slot, …
    resource_id: str | None
    query: str  # as it came


class SandboxReadHandler:
    """Answers what a Sender asks before and after it sends."""

    def __init__(
        self,
        holdings: Holdings,
        *,
        url: Callable[[], str],
        since: datetime,
        new_id: Callable[[], str],
    ) -> None:
        self._holdings = holdings
        self._url = url
        self._since = since
        self._new_id = new_id
        self._by_name = {
            "metadata": self._statement,
            "MessageDefinition": self._definitions,
            "Slot": self._slots,
        }

    def answer(self, read: ReadRequest) -> SandboxReply:
        """Return the answer to one read."""
        ids = read_ids(read.headers)
        if not isinstance(ids, Ids):
            return replies.wrong(ids)
        try:
            return self._by_name.get(read.name, self._held)(read)
        except SearchProblem as problem:
            return replies.wrong(problem.issues)

    def _statement(self, read: ReadRequest) -> SandboxReply:
        service = read.service
        about = About(
            url=self._url(),
            publisher=service.title,
            software="bars_gateway sandbox",
            software_version="1",
            core_version="1.5.0",
            since=self._since,
        )
        return replies.resource(publications.capability_statement(service.offer(), about))

    def _definitions(self, read: ReadRequest) -> SandboxReply:
        contexts = parse_qs(read.query).get("context", [])
        service = _named(contexts) or read.service
        if service.habit in _DEFINITION_HABITS:
            return replies.refused(PROBLEMS[_DEFINITION_HABITS[service.habit]])
        asked = publications.asked_for(contexts, service.offer())
        if isinstance(asked, Issue):
            return replies.wrong([asked])
        url = f"{self._url()}/MessageDefinition?{read.query}"
        found = publications.searchset(asked, service.offer(), url, self._since)
        invalid = service.habit is Habit.INVALID_DEFINITIONS
        return replies.resource(_with_invoices(found) if invalid else found)

    def _slots(self, read: ReadRequest) -> SandboxReply:
        search = reads.slots(read.query, services=SERVICES, longest=LONGEST_SLOT_SEARCH)
        service = SERVICES[search.service]
        if service.habit is Habit.SLOTS_TIME_OUT:
            return replies.refused(PROBLEMS[408])
        found = _slot_searchset(search, service, self._holdings.is_taken)
        return replies.resource(found) if found else self._nothing()

    def _held(self, read: ReadRequest) -> SandboxReply:
        if read.resource_id is None:
            return self._search(read.name, reads.patient(read.query))
        return self._resource(read.name, reads.known_id(read.resource_id))

    def _resource(self, kind: str, focus_id: str) -> SandboxReply:
        problem = read_problem(READ_IDS.get(focus_id))
        if problem is not None:
            return replies.refused(problem)
        held = self._holdings.find(focus_id)
        if held is None or text_of(held.resource, "resourceType") != kind:
            return replies.refused(REFUSALS["not-found"])
        return replies.resource(held.shown())

    def _search(self, kind: str, search: PatientSearch) -> SandboxReply:
        sentinel = replies.NHS_NUMBERS.get(search.identifier_value or "")
        problem = read_problem(sentinel.read_with if sentinel else None)
        if problem is not None:
            return replies.refused(problem)
        received = self._holdings.received(kind)
        found = {held.focus_id: held.shown() for held in received if _is_about(held, search)}
        return replies.resource(_searchset(found)) if found else self._nothing()

    def _nothing(self) -> SandboxReply:
        return SandboxReply(http_status=200, body=answers.no_matches(self._new_id))


def _named(contexts: list[str]) -> Service | None:
    """Return the service that a `context` names, if it is one of the counterparty's."""
    values = (part.partition("|")[2] for each in contexts for part in each.split("&context="))
    return next((SERVICES[value] for value in values if value in SERVICES), None)


def _with_invoices(found: Resource) -> Resource:
    """Return definitions that no Sender may believe: of a resource that is not in BaRS."""
    invoice: Resource = {"code": "Invoice", "min": Number("1"), "max": "1"}
    entries: list[Json] = [
        {**entry, "resource": {**map_of(entry, "resource"), "focus": [invoice]}}
        for entry in maps_of(found, "entry")
    ]
    return {**found, "entry": entries}


def _is_about(held: Held, search: PatientSearch) -> bool:
    if search.identifier_value is not None:
        return held.nhs_number == search.identifier_value
    names = [text_of(name, "family") for name in maps_of(held.patient, "name")]
    postcodes = [text_of(address, "postalCode") for address in maps_of(held.patient, "address")]
    born = search.birth_date.isoformat() if search.birth_date else ""
    return (
        any(name.lower() in (search.name or "").lower() for name in names if name)
        and text_of(held.patient, "birthDate") == born
        and search.postcode in postcodes
    )


def _searchset(matches: Mapping[str, Resource], included: Iterable[Resource] = ()) -> Resource:
    """Return the Bundle of what was found, by id, with what stands around it."""
    entries = [_entry(each_id, each, "match") for each_id, each in matches.items()]
    entries += [_entry(text_of(each, "id"), each, "include") for each in included]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": Number(str(len(matches))),
        "entry": entries,
    }


def _entry(resource_id: str, resource: Resource, mode: str) -> Json:
    url = f"urn:uuid:{resource_id}"
    return {"fullUrl": url, "resource": resource, "search": {"mode": mode}}


def _slot_searchset(
    search: SlotSearch, service: Service, is_taken: Callable[[str], bool]
) -> Resource | None:
    """Return the slots that *search* asks for, with what stands around them; None: no slot."""
    if service.habit is Habit.NO_SLOTS:
        return None
    fitting = (s for s in _slots(search, service, is_taken) if s["status"] in search.statuses)
    found = {text_of(slot, "id"): slot for slot in islice(fitting, MOST_SLOTS)}
    return _searchset(found, _around(service)) if found else None


def _slots(
    search: SlotSearch, service: Service, is_taken: Callable[[str], bool]
) -> Iterator[Resource]:
    begin = search.begins_from.replace(minute=0, second=0, microsecond=0)
    begin += timedelta(hours=1) if begin < search.begins_from else timedelta()
    while begin <= search.begins_until:
        slot_id = _id(service, begin.isoformat())
        busy = begin.hour % _BUSY_HOURS == 0 or is_taken(slot_id)
        yield {
            "resourceType": "Slot",
            "id": slot_id,
            "schedule": {"reference": f"urn:uuid:{_id(service, 'Schedule')}"},
            "status": "busy" if busy else "free",
            "start": _instant(begin),
            "end": _instant(begin + _LENGTH),
        }
        begin += timedelta(hours=1)


def _around(service: Service) -> Iterator[Resource]:
    """Yield what the guide lets a Sender include; some services have no more than they must."""
    bare = service.habit is Habit.BARE_SLOTS
    kinds = ("HealthcareService",) if bare else ("HealthcareService", "Practitioner", "Location")
    actors: list[Json] = [{"reference": f"urn:uuid:{_id(service, kind)}"} for kind in kinds]
    yield {"resourceType": "Schedule", "id": _id(service, "Schedule"), "actor": actors}
    yield {
        "resourceType": "HealthcareService",
        "id": _id(service, "HealthcareService"),
        "name": service.title,
    }
    if not bare:
        name: Resource = {"family": "Invented"}
        yield {
            "resourceType": "Practitioner",
            "id": _id(service, "Practitioner"),
            "name": [name],
        }
        yield {"resourceType": "Location", "id": _id(service, "Location"), "name": "Invented"}


def _id(service: Service, what: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{service.identifier} {what}"))


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")  # with +00:00: official tests refuse Z


class Receiver:
    """Answers everything below the base path."""

    def __init__(self, messages: SandboxMessageHandler, reads: SandboxReadHandler) -> None:
        self._messages = messages
        self._reads = reads

    async def handle(self, request: web.Request) -> web.Response:
        """Return the answer to one call."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        wanted = negotiate(headers.get("accept"), request.query.get("_format"))
        if isinstance(wanted, Issue):
            reply = replies.wrong([wanted])
        else:
            reply = await self._reply(request, headers)
        await asyncio.sleep(reply.then_wait_seconds)
        return _response(reply, wanted if isinstance(wanted, Format) else Format.JSON, headers)

    async def _reply(self, request: web.Request, headers: dict[str, str]) -> SandboxReply:
        name, stroke, resource_id = request.path.removeprefix(f"{BASE}/").partition("/")
        if name not in _METHODS or (stroke and name not in _WITH_IDS):
            return replies.refused(replies.NOTHING_HERE)
        if request.method != _METHODS[name]:
            return replies.refused(replies.WRONG_METHOD)
        service = _target(headers)
        if service is None:
            return replies.refused(replies.NO_SUCH_SERVICE)
        if request.method == "GET":
            query = request.rel_url.raw_query_string
            read = ReadRequest(
                service=service,
                headers=headers,
                name=name,
                resource_id=resource_id if stroke else None,
                query=query,
            )
            return self._reads.answer(read)
        written_in = format_of(headers.get("content-type", ""))
        if written_in is None:
            return replies.refused(replies.NO_FHIR)
        body = await request.read()
        incoming = Incoming(service=service, headers=headers, written_in=written_in, body=body)
        return await self._messages.answer(incoming)


def _target(headers: Mapping[str, str]) -> Service | None:
    try:
        return SERVICES.get(TargetIdentifier.decode(headers.get(TARGET.lower(), "")).value)
    except HeaderProblem:
        return None


def _response(reply: SandboxReply, wanted: Format, headers: Mapping[str, str]) -> web.Response:
    body, written_in = reply.body, Format.JSON
    if wanted is Format.XML:
        body, written_in = as_asked(to_tree(reply.body, Format.JSON), wanted)
    fields = {"Content-Type": written_in.value, **echo(headers)}
    return web.Response(status=reply.http_status, body=body, headers=fields)
