"""
The stateful receiver test: bookings and linked referrals of one patient, event by state.

What is booked and what is linked to it only the EPR can know, so it is asked about everything
here (`acknowledged_by_epr`, `earlier_records`), and its words become the codes of the table.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asked_epr import epr_at
from bookings import booking, change_of, focus
from harness_messages import cancelled
from messages import RECEIVER
from variants import a_cancelled_booking, a_cancelled_referral, a_referral, resource
from world import World, headers, post, world_in

ASKED = f"""\
questions = "socket"
earlier_records = true
acknowledged_by_epr = ["{RECEIVER}"]
"""
# The guide's own table: event, and what it meets in each of the three states.
TABLE = {
    "make booking": (200, 409, 409),
    "cancel booking": (400, 200, 200),
    "create linked referral": (400, 200, 409),
    "create mis-linked referral": (400, 409, 409),
    "cancel referral": (400, 400, 200),
}
STATES = ("initial", "booked", "referral created")

Bundle = dict[str, Any]


class Diary:
    """An EPR that knows one booking and the referral that is linked to it."""

    def __init__(self) -> None:
        self.booked: str | None = None
        self.referred: str | None = None

    def says(self, question: Bundle, bundle: Bundle) -> Bundle:
        about = focus(bundle)
        answers = {
            ("Appointment", "request"): self._books,
            ("Appointment", "cancel"): self._unbooks,
            ("ServiceRequest", "request"): self._refers,
            ("ServiceRequest", "cancel"): self._withdraws,
        }
        word = answers[about["resourceType"], question["move"]](question, about)
        return {"refuse": word} if word else {"accept": True}

    def _books(self, question: Bundle, _about: Bundle) -> str | None:
        if self.booked or self.referred:
            return "exists"
        self.booked = question["proposed_focus_id"]
        return None

    def _unbooks(self, _question: Bundle, _about: Bundle) -> str | None:
        if not self.booked:
            return "invalid"
        self.booked = None
        return None

    def _refers(self, question: Bundle, about: Bundle) -> str | None:
        if not self.booked:
            return "invalid"
        if self.referred or about["supportingInfo"][0]["reference"] != f"Appointment/{self.booked}":
            return "exists" if self.referred else "not-current"
        self.referred = question["proposed_focus_id"]
        return None

    def _withdraws(self, _question: Bundle, _about: Bundle) -> str | None:
        if not self.referred:
            return "invalid"
        self.referred = None
        return None


class Patient:
    """One patient's way through the states, with the acknowledgements that lie on it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._booking: Bundle = {}
        self._referral: Bundle = {}

    async def meets(self, event: str) -> int:
        """Let *event* happen; return the status of its answer."""
        status, answer = await self._post(self._message(event))
        if status == 200 and event == "make booking":
            self._booking = answer
        if status == 200 and event == "create linked referral":
            self._referral = answer
        return status

    def _message(self, event: str) -> bytes:
        if event == "make booking":
            return booking()
        if event == "cancel booking":
            known = self._booking
            return change_of(known, status="cancelled") if known else _dumped(a_cancelled_booking())
        if event == "cancel referral":
            bundle = json.loads(json.dumps(self._referral)) or a_cancelled_referral()
            if self._referral:
                cancelled(bundle)
            return _dumped(bundle)
        bundle = a_referral()
        linked = event == "create linked referral" and self._booking
        to = focus(self._booking)["id"] if linked else str(uuid.uuid4())
        resource(bundle, "ServiceRequest")["supportingInfo"] = [{"reference": f"Appointment/{to}"}]
        return _dumped(bundle)

    async def _post(self, body: bytes) -> tuple[int, Bundle]:
        status, _, answer = await post(self._world, body, headers())
        return status, answer


def _dumped(bundle: Bundle) -> bytes:
    return json.dumps(bundle | {"id": str(uuid.uuid4())}).encode()


@asynccontextmanager
async def deciding(world: World) -> AsyncIterator[list[Diary]]:
    """Let an EPR answer; what it knows is the last of the list."""
    diaries = [Diary()]

    async def answer() -> None:
        after = 0
        while True:
            for question in await epr.questions(after=after):
                after = question["question_id"]
                bundle = json.loads(await epr.request(after))
                await epr.answer(after, diaries[-1].says(question, bundle))

    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        task = group.create_task(answer())
        yield diaries
        task.cancel()


WAY = ("make booking", "create linked referral")


async def test_the_stateful_table_passes_verbatim(tmp_path: Path) -> None:
    """Fifteen cells: each event meets what the table has for each state."""
    found: dict[str, tuple[int, ...]] = {}
    async with world_in(tmp_path, asked=ASKED) as world, deciding(world) as diaries:
        for event in TABLE:
            met = []
            for place, _ in enumerate(STATES):
                diaries.append(Diary())
                patient = Patient(world)
                for step in WAY[:place]:
                    await patient.meets(step)
                met.append(await patient.meets(event))
            found[event] = tuple(met)
    for event, statuses in found.items():
        print(f"{event} -> {TABLE[event]} -> {statuses}")

    assert found == TABLE
