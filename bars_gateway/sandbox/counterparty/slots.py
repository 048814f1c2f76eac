"""
Invented slots: the same for the same question, so that a booking finds what was offered.

    SlotSearch ──► hours of the range ──► free, or busy: each fourth, and what is booked

A slot's id is made of its service and its time.
"""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from bars_gateway.sandbox.counterparty.services import Habit, Service
from bars_gateway.standard.searches import SlotSearch
from bars_gateway.standard.tree import Json, Number, Resource

MOST_SLOTS = 8
_LENGTH = timedelta(minutes=30)
_BUSY_HOURS = 4  # every so many hours one is busy from the start


def searchset(
    search: SlotSearch, service: Service, is_taken: Callable[[str], bool]
) -> Resource | None:
    """Return the slots that *search* asks for, with what stands around them; None: no slot."""
    found = [
        slot
        for slot in _slots(search, service, is_taken)
        if slot["status"] in search.statuses and service.habit is not Habit.NO_SLOTS
    ][:MOST_SLOTS]
    if not found:
        return None
    entries: list[Json] = [
        {"fullUrl": f"urn:uuid:{each['id']}", "resource": each, "search": {"mode": "match"}}
        for each in found
    ]
    entries += [
        {"fullUrl": f"urn:uuid:{each['id']}", "resource": each, "search": {"mode": "include"}}
        for each in _around(service)
    ]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": Number(str(len(found))),
        "entry": entries,
    }


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
