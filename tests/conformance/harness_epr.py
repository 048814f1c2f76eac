"""A small hospital that answers what the official receiver tests ask of it, as a real one would."""

from typing import Any

from bookings import focus, searchset

Document = dict[str, Any]
_OLD = "2002"


class HarnessEpr:
    """Knows its free slots, its appointments and its referrals."""

    def __init__(self) -> None:
        self.appointments: dict[str, Document] = {}
        self._taken: set[str] = set()
        self._searches = 0

    def says(self, question: Document, bundle: Document | None) -> Document:
        """Return the answer to a question; *bundle* is the message that it is about."""
        if bundle is not None:
            return self._decides(question, bundle)
        operation, parameters = question["operation"], question.get("parameters", {})
        if operation == "GET Slot":
            self._searches += 1
            return slots(parameters["statuses"], self._searches)
        if operation == "GET Appointment" and question["resource_id"] in self.appointments:
            return self.appointments[question["resource_id"]]
        return {"refuse": "not-found"}

    def _decides(self, question: Document, bundle: Document) -> Document:
        about = focus(bundle)
        if about["resourceType"] == "Appointment":
            return self._books(question, about, bundle)
        old = any(
            str(entry["resource"].get("meta", {}).get("lastUpdated", "")) < _OLD
            for entry in bundle["entry"][1:]
        )
        return {"refuse": "changed-here"} if old else {"accept": True}

    def _books(self, question: Document, appointment: Document, bundle: Document) -> Document:
        if question["move"] == "cancel":
            held = self.appointments.get(appointment.get("id", ""))
            if held is None:
                return {"refuse": "not-found"}
            same = held.get("comment") == appointment.get("comment")
            return {"accept": True} if same else {"refuse": "differs"}
        slot = slot_of(bundle)
        if slot in self._taken:
            return {"refuse": "slot-taken"}
        self._taken.add(slot)
        number = question["proposed_focus_id"]
        self.appointments[number] = {**appointment, "id": number}
        return {"accept": True}


def slot_of(bundle: Document) -> str:
    resources = [entry["resource"] for entry in bundle["entry"]]
    return next(str(r.get("id")) for r in resources if r["resourceType"] == "Slot")


def slots(statuses: list[str], search: int) -> Document:
    """Return free slots that nobody was offered before."""
    return searchset(
        *(
            {
                "resourceType": "Slot",
                "id": f"slot-{search}-{number}",
                "schedule": {"reference": "urn:uuid:0b6a2a55-5c1e-4bb6-8a57-1f2f9ac5d102"},
                "status": status,
                "start": "2026-03-02T09:00:00.0000001+00:00",
                "end": "2026-03-02T09:20:00+00:00",
            }
            for number, status in enumerate(statuses)
        )
    )
