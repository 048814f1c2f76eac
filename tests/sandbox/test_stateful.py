"""The official stateful scenario: each event in each state, as the published table has it."""

import json
from collections.abc import Mapping
from datetime import timedelta

import pytest
import pytest_asyncio
from sandbox.around import Box, Reply
from sandbox.corresponding import asking, corresponding, focus_id, post, resource, steer

from bars_gateway.sandbox.counterparty.correspondence import cancellation
from bars_gateway.sandbox.counterparty.replies import STATEFUL
from bars_gateway.standard.headers import ODS, encode

HERE = "2000011147"
# Event → state → what it is answered with: HTTP status, and the words where the table has any.
TABLE: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "make booking": {
        "initial": (200, ""),
        "booked": (409, "booking exists"),
        "referral created": (409, "booking exists"),
    },
    "cancel booking": {
        "initial": (400, "booking does not exist"),
        "booked": (200, ""),
        "referral created": (200, ""),
    },
    "create linked referral": {
        "initial": (400, "booking does not exist"),
        "booked": (200, ""),
        "referral created": (409, "referral exists"),
    },
    "create mis-linked referral": {
        "initial": (400, ""),
        "booked": (409, "not linked to correct booking"),
        "referral created": (409, ""),
    },
    "cancel referral": {
        "initial": (400, "booking does not exist"),
        "booked": (400, "no referral"),
        "referral created": (200, ""),
    },
}
CELLS = [
    pytest.param(event, state, id=f"{event} when {state}")
    for event, row in TABLE.items()
    for state in row
]


@pytest_asyncio.fixture
async def box(settings):
    async with corresponding(settings) as made:
        yield made


class Patient:
    """The official patient, as one end-user organisation sends about them."""

    def __init__(self, box: Box, organisation: str) -> None:
        self._box = box
        self._header = encode({"identifier": [{"system": ODS, "value": organisation}]})
        self.booked: Reply
        self.referred: Reply

    async def reach(self, state: str) -> "Patient":
        """Go to a state of the table, by its own events."""
        if state != "initial":
            self.booked = await self.does("make booking")
        if state == "referral created":
            self.referred = await self.does("create linked referral")
        return self

    async def does(self, event: str, other: "Patient | None" = None) -> Reply:
        """Send what *event* asks for; *other* has what is not there to cancel or to link to."""
        booked, referred = (getattr(self, name, getattr(other, name, None)) for name in _HAD)
        match event:
            case "make booking":
                return await self._send(asking("a1t1", HERE, books=True, nhs_number=STATEFUL))
            case "cancel booking":
                return await self._send(cancellation(booked.body))
            case "cancel referral":
                return await self._send(cancellation(referred.body))
            case "create linked referral" if booked:
                return await self._send(linked(focus_id(booked)))
        return await self._send(linked("00000000-0000-4000-8000-000000000000"))

    async def _send(self, body: bytes) -> Reply:
        return await post(self._box, body, NHSD_End_User_Organisation=self._header)


_HAD = ("booked", "referred")


def linked(booking_id: str) -> bytes:
    bundle = json.loads(asking("a1t1", HERE, nhs_number=STATEFUL))
    links = [{"reference": f"Appointment/{booking_id}"}]
    resource(bundle, "ServiceRequest")["supportingInfo"] = links
    return json.dumps(bundle).encode()


@pytest.mark.parametrize(("event", "state"), CELLS)
async def test_a_cell_of_the_table(box, event, state):
    """What the organisation has not is somebody else's: it exists, and does not count."""
    status, words = TABLE[event][state]
    other = await Patient(box, "ZX905").reach("referral created")
    patient = await Patient(box, "ZX901").reach(state)
    reply = await patient.does(event, other)

    assert status == reply.status
    assert words in reply.body.decode()


async def test_each_organisation_has_a_state_of_its_own(box):
    """Or two testers would be in each other's way."""
    replies = [await Patient(box, code).does("make booking") for code in ("ZX901", "ZX902")]

    assert [200, 200] == [reply.status for reply in replies]


async def test_a_cancelled_referral_can_be_made_anew(box):
    """The booking under it is still there."""
    patient = await Patient(box, "ZX901").reach("referral created")
    cancelled = await patient.does("cancel referral")
    again = await patient.does("create linked referral")

    assert [200, 200] == [cancelled.status, again.status]


@pytest.mark.parametrize("how", ["a night", "the admin port"])
async def test_everything_begins_anew(box, how):
    """Every night, as at the official test service; or when somebody says so."""
    await Patient(box, "ZX901").reach("booked")
    if how == "a night":
        box.clock.advance(timedelta(days=1).total_seconds())
        box.tokens.clear()
    else:
        await steer(box, "/held", method="DELETE")

    assert 200 == (await Patient(box, "ZX901").does("make booking")).status
