"""
Answers reads: capabilities, definitions, slots, and what is held.

    GET /metadata · /MessageDefinition · /Slot · /Appointment[/id] · /ServiceRequest[/id]

What is published is made of the offer that the rules enforce, as the gateway's own is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from bars_gateway.sandbox.counterparty import replies, sentinels, slots
from bars_gateway.sandbox.counterparty.holdings import Held, Holdings
from bars_gateway.sandbox.counterparty.replies import Reply
from bars_gateway.sandbox.counterparty.sentinels import PROBLEMS, READ_IDS, read_problem
from bars_gateway.sandbox.counterparty.services import SERVICES, Habit, Service
from bars_gateway.standard import answers, capability, message_definitions, searches
from bars_gateway.standard.bundle import Resource, map_of, maps_of, text_of
from bars_gateway.standard.capability import About
from bars_gateway.standard.decisions import REFUSALS
from bars_gateway.standard.headers import Ids, read_ids
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.searches import PatientSearch, SearchProblem
from bars_gateway.standard.tree import Json, Number

LONGEST_SLOT_SEARCH = timedelta(days=28)
_DEFINITION_HABITS = {Habit.UNAUTHORISED: 401, Habit.UNKNOWN: 404}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enquiry:
    """One read as it came."""

    service: Service  # the target
    headers: dict[str, str]  # names in lower case
    name: str  # Slot, …
    resource_id: str | None
    query: str  # as it came


class Reads:
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

    def answer(self, enquiry: Enquiry) -> Reply:
        """Return the answer to one read."""
        ids = read_ids(enquiry.headers)
        if not isinstance(ids, Ids):
            return replies.wrong(ids)
        try:
            return self._by_name.get(enquiry.name, self._held)(enquiry)
        except SearchProblem as problem:
            return replies.wrong(problem.issues)

    def _statement(self, enquiry: Enquiry) -> Reply:
        service = enquiry.service
        about = About(
            url=self._url(),
            publisher=service.title,
            software="bars_gateway sandbox",
            software_version="1",
            core_version="1.5.0",
            since=self._since,
        )
        return replies.resource(capability.statement(service.offer(), about))

    def _definitions(self, enquiry: Enquiry) -> Reply:
        contexts = parse_qs(enquiry.query).get("context", [])
        service = _named(contexts) or enquiry.service
        if service.habit in _DEFINITION_HABITS:
            return replies.refused(PROBLEMS[_DEFINITION_HABITS[service.habit]])
        asked = message_definitions.asked_for(contexts, service.offer())
        if isinstance(asked, Issue):
            return replies.wrong([asked])
        url = f"{self._url()}/MessageDefinition?{enquiry.query}"
        found = message_definitions.searchset(asked, service.offer(), url, self._since)
        invalid = service.habit is Habit.INVALID_DEFINITIONS
        return replies.resource(_with_invoices(found) if invalid else found)

    def _slots(self, enquiry: Enquiry) -> Reply:
        search = searches.slots(enquiry.query, services=SERVICES, longest=LONGEST_SLOT_SEARCH)
        service = SERVICES[search.service]
        if service.habit is Habit.SLOTS_TIME_OUT:
            return replies.refused(PROBLEMS[408])
        found = slots.searchset(search, service, self._holdings.is_taken)
        return replies.resource(found) if found else self._nothing()

    def _held(self, enquiry: Enquiry) -> Reply:
        if enquiry.resource_id is None:
            return self._search(enquiry.name, searches.patient(enquiry.query))
        return self._resource(enquiry.name, searches.known_id(enquiry.resource_id))

    def _resource(self, kind: str, focus_id: str) -> Reply:
        problem = read_problem(READ_IDS.get(focus_id))
        if problem is not None:
            return replies.refused(problem)
        held = self._holdings.find(focus_id)
        if held is None or text_of(held.resource, "resourceType") != kind:
            return replies.refused(REFUSALS["not-found"])
        return replies.resource(held.shown())

    def _search(self, kind: str, search: PatientSearch) -> Reply:
        sentinel = sentinels.NHS_NUMBERS.get(search.identifier_value or "")
        problem = read_problem(sentinel.read_with if sentinel else None)
        if problem is not None:
            return replies.refused(problem)
        found = [held for held in self._holdings.received(kind) if _is_about(held, search)]
        return replies.resource(_searchset(found)) if found else self._nothing()

    def _nothing(self) -> Reply:
        return Reply(http_status=200, body=answers.no_matches(self._new_id))


def _named(contexts: list[str]) -> Service | None:
    """Return the service that a `context` names, if it is one of the counterparty's."""
    values = (part.partition("|")[2] for each in contexts for part in each.split("&context="))
    return next((SERVICES[value] for value in values if value in SERVICES), None)


def _with_invoices(found: Resource) -> Resource:
    """Return definitions that no Sender may believe: of a resource that BaRS knows nothing of."""
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


def _searchset(found: list[Held]) -> Resource:
    entries: list[Json] = [
        {
            "fullUrl": f"urn:uuid:{held.focus_id}",
            "resource": held.shown(),
            "search": {"mode": "match"},
        }
        for held in found
    ]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": Number(str(len(found))),
        "entry": entries,
    }
