"""
Scenarios of workflows that belong together, each by its number, between real gateways.

They share two gateways: each has a conversation of its own, and looks only at what is in it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from asked_epr import YES, answering
from bookings import booking, focus
from messages import referral, validation_request
from moving import move, sent, socket_of, state
from rich.console import Console
from world import Node, World, headers, one_for_several, post, world_in

from bars_gateway.cli import listings
from bars_gateway.standard.workflow import State
from bars_gateway.store.connection import Connection, Row

Document = dict[str, Any]


pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.both_engines]
TAKEN = "00000000-0000-4000-8000-000000000029"  # Bundle.id of the booking that is turned down


def says(question: Document) -> Document:
    return {"refuse": "slot-taken"} if question["bundle_id"] == TAKEN else YES


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Callable[[], Awaitable[World]]]:
    """Give the world whose hospital says yes to all that it is asked, but for one booking."""

    @asynccontextmanager
    async def made() -> AsyncIterator[World]:
        folder = tmp_path_factory.mktemp("linked")
        async with (
            world_in(folder, asked='questions = "socket"') as running,
            answering(running.hospital.socket, says),
        ):
            yield running

    async with one_for_several(made) as of:
        yield of


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: Callable[[], Awaitable[World]]) -> World:
    return await shared()


class Caller:
    """An EPR in one conversation."""

    def __init__(self, node: Node, conversation: str | None = None) -> None:
        self.node = node
        self.conversation = conversation or str(uuid4())

    async def send(self, body: bytes) -> Document:
        """Submit a message; return its outcome."""
        name = str(uuid4())
        envelope = json.dumps({"correlation_id": self.conversation}).encode()
        self.node.drop(f"{name}.json", body, envelope)
        receipt = await self.node.document(f"outbox/accepted/{name}.receipt.json")
        return await self.node.outcome(receipt["request_id"])

    async def cancel(self, outcome: Document) -> Document:
        """Cancel what *outcome* is about; return the outcome of that."""
        document = await sent(self.node, move(outcome["request_id"], "cancel"))
        return await self.node.outcome(document["request_id"])


def naming(body: bytes, reference: str) -> bytes:
    """Return a new booking that names its referral, or a referral that names its booking."""
    bundle: Document = json.loads(body)
    element = "basedOn" if reference.startswith("ServiceRequest") else "supportingInfo"
    focus(bundle)[element] = [{"reference": reference}]
    return json.dumps(bundle).encode()


async def shown(node: Node, request_id: str) -> Document:
    """Return the workflow of a message, as the EPR reads it."""
    async with socket_of(node) as session, session.get(f"/messages/{request_id}") as answer:
        document: Document = await answer.json()
        return document["workflow"]  # type: ignore[no-any-return]


async def linked(node: Node, request_id: str) -> list[tuple[str, str, str]]:
    """Return relation, element and state of what belongs to the workflow of a message."""
    found = await shown(node, request_id)
    return [(each["relation"], each["by"], each["state"]) for each in found["links"]]


async def handed_in(node: Node, body: bytes) -> tuple[int, Document]:
    """Submit a message on the socket."""
    kind = {"Content-Type": "application/fhir+json"}
    async with (
        socket_of(node) as session,
        session.post("/messages", data=body, headers=kind) as answer,
    ):
        return answer.status, await answer.json()


NAMED = "ServiceRequest.supportingInfo"
BASED = "Appointment.basedOn"
TALKED = "X-Correlation-Id"


async def test_scenario_21_a_booking_and_then_its_referral(world: World) -> None:
    """Both sides show the one with the other."""
    caller = Caller(world.ambulance)
    booked = await caller.send(booking())
    referred = await caller.send(naming(referral(), f"Appointment/{booked['focus_id']}"))

    for node in (world.ambulance, world.hospital):
        assert [("booking", NAMED, "active")] == await linked(node, referred["request_id"])
        assert [("referral", NAMED, "active")] == await linked(node, booked["request_id"])


async def test_scenario_22_a_referral_and_then_its_booking(world: World) -> None:
    """The EPR is asked about the booking, and the link is written with its yes."""
    caller = Caller(world.ambulance)
    referred = await caller.send(referral())
    booked = await caller.send(naming(booking(), f"ServiceRequest/{referred['focus_id']}"))

    for node in (world.ambulance, world.hospital):
        assert [("booking", BASED, "active")] == await linked(node, referred["request_id"])
        assert [("referral", BASED, "active")] == await linked(node, booked["request_id"])


def _rows(name: str, values: Document, connection: Connection) -> list[Row]:
    return connection.rows(name, **values)


async def test_both_sides_keep_a_booking_and_its_referral_until_it_is_over(world: World) -> None:
    """The EPR that was asked has said yes to a time, and the one that booked has sent it."""
    begin = datetime.now(UTC) + timedelta(days=40)
    caller = Caller(world.ambulance)
    referred = await caller.send(referral())
    await caller.send(naming(booking(begin=begin), f"ServiceRequest/{referred['focus_id']}"))
    judged = {"after": 0, "up_to": 10**9, "limit": 500}

    for node in (world.ambulance, world.hospital):
        look = partial(_rows, "messages_to_judge", judged)
        rows = await asyncio.to_thread(listings.read, node.at, look)
        until = [row["appointment_until"] or "" for row in rows]
        assert 2 == len([each for each in until if each > f"{begin:%Y-%m-%dT%H:%M}"])


async def test_scenario_23_a_referral_that_names_nothing(world: World) -> None:
    """400 invariant; no case is made of it."""
    caller = Caller(world.ambulance)
    outcome = await caller.send(naming(referral(), f"Appointment/{uuid4()}"))

    assert ("refused", 400, "invariant") == tuple(
        outcome[name] for name in ("state", "http_status", "issue")
    )
    assert await world.hospital.history(outcome["request_id"]) is None


async def test_scenario_24_a_referral_that_names_another_patients_booking(world: World) -> None:
    """The Receiver refuses it, and a person there is told; ours is not even sent."""
    booked = await Caller(world.ambulance).send(booking())
    body = naming(referral(nhs_number="9990000026"), f"Appointment/{booked['focus_id']}")
    ours, refusal = await handed_in(world.ambulance, body)
    asked = headers()
    status, _, answer = await post(world, body, asked)
    overview = await world.hospital.overview()

    assert (409, ["L02"]) == (ours, [each["rule"] for each in refusal["issues"]])
    assert (409, "conflict") == (status, answer["issue"][0]["code"])
    assert ("link.refused", asked["X-Request-Id"]) in [
        (alarm.kind, alarm.request_id) for alarm in overview.alarms
    ]
    assert await world.hospital.history(asked["X-Request-Id"]) is None


async def test_scenario_106_only_the_booking_of_a_pair_is_cancelled(world: World) -> None:
    """The referral stands, and whoever cancelled is told so (scenario 25)."""
    caller = Caller(world.ambulance)
    booked = await caller.send(booking())
    referred = await caller.send(naming(referral(), f"Appointment/{booked['focus_id']}"))
    cancelled = await caller.cancel(booked)

    assert ["partner_stands"] == cancelled["remarks"]
    for node in (world.ambulance, world.hospital):
        assert State.ACTIVE == await state(node, referred["request_id"])
        assert [("booking", NAMED, "cancelled")] == await linked(node, referred["request_id"])


async def test_scenario_28_a_rebooking(world: World) -> None:
    """The old referral is linked to nothing new; the new booking takes the old one's place."""
    caller = Caller(world.ambulance)
    old = await caller.send(booking())
    old_referral = await caller.send(naming(referral(), f"Appointment/{old['focus_id']}"))
    await caller.cancel(old)
    new = await caller.send(booking(slot="slot002"))
    named = f"Appointment/{new['focus_id']}"
    new_referral = await caller.send(naming(referral(), named))
    revoked = await caller.cancel(old_referral)

    assert [] == revoked["remarks"]  # its booking is cancelled, too
    for node in (world.ambulance, world.hospital):
        assert [("booking", NAMED, "cancelled")] == await linked(node, old_referral["request_id"])
        assert [("booking", NAMED, "active")] == await linked(node, new_referral["request_id"])
        assert [("replaced", TALKED, "cancelled"), ("referral", NAMED, "active")] == await linked(
            node, new["request_id"]
        )


async def test_scenario_28_the_new_booking_never_names_the_old_referral(world: World) -> None:
    """It is refused before it is sent: a new referral is wanted."""
    caller = Caller(world.ambulance)
    old = await caller.send(booking())
    referred = await caller.send(naming(referral(), f"Appointment/{old['focus_id']}"))
    await caller.cancel(old)
    again = naming(booking(slot="slot002"), f"ServiceRequest/{referred['focus_id']}")
    status, refusal = await handed_in(world.ambulance, again)

    assert (409, ["L09"]) == (status, [each["rule"] for each in refusal["issues"]])


async def test_scenario_29_a_rebooking_fails_half_way(world: World) -> None:
    """The patient has no booking: the EPR reads it with the outcome, the operator on the page."""
    caller = Caller(world.ambulance)
    old = await caller.send(booking())
    await caller.cancel(old)
    failed = await caller.send(booking(bundle_id=TAKEN))
    overview = await world.ambulance.overview()
    before = await page(world.ambulance)
    figures = await page(world.ambulance, "metrics")
    await caller.send(booking(slot="slot002"))

    assert ("refused", ["unreplaced"]) == (failed["state"], failed["remarks"])
    assert ("workflow.unreplaced", failed["request_id"]) in [
        (alarm.kind, alarm.request_id) for alarm in overview.alarms
    ]
    assert 'bars_alarms{kind="workflow.unreplaced",provider="ambulance"} 1.0' in figures
    assert (True, False) == (UNREPLACED in before, UNREPLACED in await page(world.ambulance))
    assert State.CANCELLED == await state(world.hospital, old["request_id"])


UNREPLACED = "made for something new that came to nothing"


async def page(node: Node, path: str = "") -> str:
    """Return the operator's page, or what is there for machines."""
    url = f"http://127.0.0.1:{node.gateway.status.port}/{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def test_scenario_30_two_bookings_are_open_at_once(world: World) -> None:
    """Who books first and cancels then is tolerated; neither is the other's."""
    caller = Caller(world.ambulance)
    old = await caller.send(booking())
    new = await caller.send(booking(slot="slot002"))
    both = [await state(world.hospital, each["request_id"]) for each in (old, new)]
    cancelled = await caller.cancel(old)

    assert [State.ACTIVE, State.ACTIVE] == both
    assert [] == cancelled["remarks"]
    for node in (world.ambulance, world.hospital):
        assert State.CANCELLED == await state(node, old["request_id"])
        assert (State.ACTIVE, []) == (
            await state(node, new["request_id"]),
            await linked(node, new["request_id"]),
        )


async def test_scenario_53_a_referral_is_made_anew(world: World) -> None:
    """One of the two is active; each side has both, and knows which took whose place."""
    caller = Caller(world.ambulance)
    old = await caller.send(referral())
    await caller.cancel(old)
    new = await caller.send(referral())

    for node in (world.ambulance, world.hospital):
        assert [("replaced", TALKED, "cancelled")] == await linked(node, new["request_id"])
        assert [("replacement", TALKED, "active")] == await linked(node, old["request_id"])


async def test_scenario_105_what_came_is_carried_on(world: World) -> None:
    """Parent and child are linked where either is known; a response finds the child alone."""
    caller, body = Caller(world.ambulance), referral()
    parent = await caller.send(body)
    service, back = world.hospital.service, world.ambulance.service
    onward = json.loads(validation_request(sender=service, receiver=back))
    encounter(onward)["episodeOfCare"] = encounter(json.loads(body))["episodeOfCare"]
    child = await Caller(world.hospital, caller.conversation).send(json.dumps(onward).encode())
    await sent(world.ambulance, move(child["request_id"], "progress"))

    by = "Encounter.episodeOfCare"
    for node in (world.ambulance, world.hospital):
        assert [("parent", by, "active")] == await linked(node, child["request_id"])
        assert [("child", by, "in_progress")] == await linked(node, parent["request_id"])


async def test_a_booking_and_its_referral_share_their_conversation(world: World) -> None:
    """Core: X-Correlation-Id is one for the pair, though the EPR does not say so."""
    first, booked = await handed_in(world.ambulance, booking())
    outcome = await world.ambulance.outcome(booked["request_id"])
    body = naming(referral(), f"Appointment/{outcome['focus_id']}")
    second, referred = await handed_in(world.ambulance, body)

    assert (201, 201) == (first, second)
    assert booked["correlation_id"] == referred["correlation_id"]


async def test_operators_see_what_belongs_together(world: World) -> None:
    """In the terminal and on the page, with the number of the other workflow."""
    caller = Caller(world.ambulance)
    booked = await caller.send(booking())
    referred = await caller.send(naming(referral(), f"Appointment/{booked['focus_id']}"))
    console = Console(file=StringIO(), width=200)
    named = (world.ambulance.at, None, referred["request_id"], console, datetime.now(UTC))
    await asyncio.to_thread(listings.print_message, *named)
    number = booked["workflow_id"]
    link = f'<a href="/workflows/{number}">{number}</a>'

    assert isinstance(console.file, StringIO)
    assert f"  booking          workflow {number}, active (by {NAMED})" in (
        console.file.getvalue().splitlines()
    )
    assert f"<td>booking {link}</td>" in await page(world.ambulance)


async def test_the_notice_tells_the_epr_what_belongs_together(world: World) -> None:
    """In the folder, too: there is nothing else that its EPR could ask."""
    caller = Caller(world.ambulance)
    booked = await caller.send(booking())
    referred = await caller.send(naming(referral(), f"Appointment/{booked['focus_id']}"))

    assert [
        {
            "relation": "booking",
            "by": NAMED,
            "workflow_id": booked["workflow_id"],
            "request_type": "booking",
            "role": "requester",
            "state": "active",
            "focus_id": booked["focus_id"],
        }
    ] == referred["links"]


def encounter(bundle: Document) -> Document:
    resources = (entry["resource"] for entry in bundle["entry"])
    return next(each for each in resources if each["resourceType"] == "Encounter")
