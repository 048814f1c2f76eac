"""What may change the meaning of a message is never passed over, on two installs."""

import json
from typing import Any

import pytest
from asked_epr import answering
from bookings import booking
from messages import referral, validation_request
from moving import arrived, requested, socket_of, state, transfer
from variants import Bundle, path_of, resource
from world import World, headers, post

from bars_gateway.demo.messages import response
from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines

Document = dict[str, Any]
MODIFIED = {"modifierExtension": [{"url": "https://gateway.example/x", "valueBoolean": True}]}
READ_IT = "This carries something that can change its meaning"
NOT_DONE = {"doNotPerform": True}


def changed(body: bytes, kind: str, change: Document) -> tuple[Bundle, bytes]:
    bundle: Bundle = json.loads(body)
    resource(bundle, kind).update(change)
    return bundle, json.dumps(bundle).encode()


@pytest.mark.parametrize(
    ("kind", "change", "told", "alarms"),
    [
        ("Patient", MODIFIED, ("meaning_changed", "B01M", READ_IT), ["inbound.modified"]),
        (
            "ServiceRequest",
            NOT_DONE,
            ("not_to_be_done", "R04N", "is not to be done"),
            ["inbound.modified"],
        ),
        ("Consent", {"status": "rejected"}, ("parts_denied", "B01N", "does not hold"), []),
    ],
)
async def test_who_gets_what_may_mean_something_else_is_told_first(
    world: World, kind: str, change: Document, told: tuple[str, str, str], alarms: list[str]
) -> None:
    """It is taken, for R4 allows it; the notice names the place, and not what stands there."""
    bundle, body = changed(referral(), kind, change)
    (element,), (remark, rule, said) = change, told
    status, _, _ = await post(world, body, headers())
    (notice,) = await arrived(world.hospital, 1)
    (found,) = notice["modifiers"]
    means = notice["means"]

    assert 200 == status
    assert [remark] == notice["remarks"]
    assert (rule, f"{path_of(bundle, kind)}.{element}") == (found["rule"], found["path"])
    assert said in means
    assert alarms == [each.kind for each in (await world.hospital.overview()).alarms]
    assert bool(alarms) is (means.index(said) < means.index("A patient has been referred"))
    assert "gateway.example" not in json.dumps(notice)


async def test_what_has_none_names_none(world: World) -> None:
    """Nearly every message."""
    _, notice = await requested(world, transfer("a6t2"))

    assert ([], []) == (notice["remarks"], notice["modifiers"])


async def test_a_response_that_may_mean_something_else_is_unclear(world: World) -> None:
    """It stops no clock and closes no case: a person has to read it, and to telephone."""
    receipt, _ = await requested(world, validation_request())
    (answer,) = world.hospital.files("inbox/new/*.answer.json")
    said = response(answer.read_bytes(), encounter="finished")
    _, body = changed(said, "MessageHeader", MODIFIED)
    status, _, _ = await post(world, body, headers(world.ambulance.service), node=world.ambulance)
    notices = await arrived(world.ambulance, 1)
    came = next(each for each in notices if each["direction"] == "inbound")
    kinds = {each.kind for each in (await world.ambulance.overview()).alarms}

    assert 200 == status
    assert ("unclear", "unclear") == (came["move"], came["says"])
    assert came["means"].startswith(READ_IT)
    assert State.UNCLEAR is await state(world.ambulance, receipt["request_id"])
    assert {"inbound.modified", "workflow.unclear"} <= kinds


async def test_an_epr_is_told_before_it_decides(world: World) -> None:
    """A booking that says it is none may not be booked unseen."""
    world.hospital.asked = 'questions = "socket"'
    await world.hospital.restart()
    bundle, body = changed(booking(), "Appointment", MODIFIED)
    async with answering(world.hospital.socket, lambda _: {"refuse": "invalid"}) as epr:
        status, _, _ = await post(world, body, headers())
    (question,) = epr.seen
    place = f"{path_of(bundle, 'Appointment')}.modifierExtension"

    assert 400 == status
    assert ["meaning_changed"] == question["remarks"]
    assert [place] == [each["path"] for each in question["modifiers"]]
    assert question["means"].startswith(READ_IT)


async def test_what_is_not_to_be_done_does_not_leave(world: World) -> None:
    """Whoever wrote it most likely meant to cancel; what R4 allows else leaves with a warning."""
    _, refused = changed(referral(), "ServiceRequest", NOT_DONE)
    _, taken = changed(referral(), "Consent", MODIFIED)
    world.ambulance.drop("not-done.json", refused)
    reason = await world.ambulance.document("outbox/refused/not-done.reason.json")
    receipt = await world.ambulance.sent("modified.json", taken)

    assert ["R04N"] == [each["rule"] for each in reason["issues"]]
    assert ["B01M"] == [each["rule"] for each in receipt["warnings"]]


async def test_what_came_so_can_be_answered(world: World) -> None:
    """That the answer repeats it is no fault of its writer: word must not stay untold."""
    _, body = changed(validation_request(), "ServiceRequest", MODIFIED | NOT_DONE)
    _, _, taken = await post(world, body, headers())
    begun = response(json.dumps(taken).encode(), encounter="in-progress")
    async with (
        socket_of(world.hospital) as epr,
        epr.post(
            "/messages", data=begun, headers={"Content-Type": "application/fhir+json"}
        ) as answer,
    ):
        document = await answer.json()

    assert 201 == answer.status, document
    assert {"B01M", "R04N"} <= {each["rule"] for each in document["warnings"]}
