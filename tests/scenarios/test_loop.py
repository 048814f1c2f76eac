"""A message goes out, arrives, and its fate comes home."""

import hashlib
import json
import uuid

import pytest
from messages import referral, validation_request
from world import World, eventually, in_time

from bars_gateway.model.messages import OutboundState

pytestmark = pytest.mark.both_engines


async def test_a_referral_arrives_byte_for_byte_and_its_acknowledgement_comes_home(
    world: World,
) -> None:
    """The whole loop: folder, token, proxy, mutual TLS, folder, and back."""
    body = referral()
    receipt = await world.ambulance.sent("r.json", body)
    outcome = await world.ambulance.outcome(receipt["request_id"])
    (arrived,) = await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))
    notice = json.loads(world.hospital.files("inbox/new/*.notice.json")[0].read_bytes())

    assert hashlib.sha256(body).digest() == hashlib.sha256(arrived.read_bytes()).digest()
    assert "acknowledged" == outcome["state"]
    assert (receipt["request_id"], receipt["correlation_id"]) == (
        notice["request_id"],
        notice["correlation_id"],
    )


async def test_the_sender_can_read_the_ids_that_the_receiver_minted(world: World) -> None:
    """The acknowledgement lies beside the outcome, with the case number in it."""
    receipt = await world.ambulance.sent("v.json", validation_request())
    await world.ambulance.outcome(receipt["request_id"])
    (told,) = await eventually(lambda: world.hospital.files("inbox/new/*.notice.json"))
    notice = json.loads(told.read_bytes())
    (answer,) = world.ambulance.files("inbox/new/*.answer.json")
    planned = json.loads(answer.read_bytes())["entry"][-1]["resource"]

    assert notice["reference"] == planned["identifier"][0]["value"]


async def test_the_same_file_dropped_twice_is_sent_once(world: World) -> None:
    """Both get the same receipt, and one message leaves."""
    body = referral()
    first = await world.ambulance.sent("one.json", body)
    second = await world.ambulance.sent("two.json", body)
    await world.ambulance.outcome(first["request_id"])

    assert first == second
    assert 1 == len(world.forwarded())
    assert 1 == (await world.hospital.overview()).inbound


async def test_a_half_written_file_is_never_read(world: World) -> None:
    """What is in tmp, or half there, stays where it is until it is whole."""
    body = referral()
    new = world.ambulance.spool / "outbox" / "new"
    (world.ambulance.spool / "outbox" / "tmp" / "a.json").write_bytes(body[:500])
    (new / "b.json.tmp").write_bytes(body[:500])
    receipt = await world.ambulance.sent("whole.json", referral())
    await world.ambulance.outcome(receipt["request_id"])

    assert 1 == len(world.forwarded())
    assert (new / "b.json.tmp").exists()


async def test_a_bad_file_is_refused_with_a_reason_and_disturbs_nothing(world: World) -> None:
    """It lies beside words that a person understands; the good one beside it goes out."""
    bad = json.loads(referral())
    bad["entry"][0]["resource"]["source"]["endpoint"] = "nobody"
    del bad["timestamp"]
    world.ambulance.drop("bad.json", json.dumps(bad).encode())
    world.ambulance.drop("worse.json", b"{ this is not JSON")
    receipt = await world.ambulance.sent("good.json", referral())
    reason = await world.ambulance.document("outbox/refused/bad.reason.json")
    worse = await world.ambulance.document("outbox/refused/worse.reason.json")
    outcome = await world.ambulance.outcome(receipt["request_id"])

    assert {"B03", "M06", "M06S", "M08"} == {issue["rule"] for issue in reason["issues"]}
    assert ["B01"] == [issue["rule"] for issue in worse["issues"]]
    assert "acknowledged" == outcome["state"]


async def test_a_lost_answer_ends_as_acknowledged_with_one_record(world: World) -> None:
    """The Receiver had it; the retry's 409 duplicate proves it."""
    world.sandbox.faults.arm({"kind": "drop_after", "count": 1})
    receipt = await world.ambulance.sent("r.json", referral())
    outcome = await world.ambulance.outcome(receipt["request_id"])
    history = await world.ambulance.history(receipt["request_id"])

    assert history is not None
    assert "acknowledged" == outcome["state"]
    assert ["silence", "duplicate"] == [attempt.row for attempt in history.attempts]
    assert 1 == (await world.hospital.overview()).inbound


@pytest.mark.parametrize("kind", ["no_ids", "wrong_ids"])
async def test_an_answer_without_our_ids_is_no_success(world: World, kind: str) -> None:
    """It may have come from anything in between; the duplicate proves it, and gives its ids."""
    world.sandbox.faults.arm({"kind": kind, "count": 1})
    receipt = await world.ambulance.sent("r.json", referral())
    outcome = await world.ambulance.outcome(receipt["request_id"])
    history = await world.ambulance.history(receipt["request_id"])
    (answer,) = world.ambulance.files("inbox/new/*.answer.json")

    assert history is not None
    assert ["ok-without-our-ids", "duplicate"] == [a.row for a in history.attempts]
    assert "acknowledged" == outcome["state"]
    assert "Bundle" == json.loads(answer.read_bytes())["resourceType"]


async def test_trouble_on_the_way_is_outlasted(world: World) -> None:
    """What the proxy says of trouble, what is in between, and silence, under the same ids."""
    for fault in (
        {"kind": "status", "status": 503, "count": 1},
        {"kind": "status", "status": 429, "count": 1},
        {"kind": "status", "status": 502, "count": 1},
        {"kind": "status", "status": 504, "count": 1},
        {"kind": "page", "status": 504, "count": 1},
        {"kind": "drop_before", "count": 1},
    ):
        world.sandbox.faults.arm(fault)
    receipt = await world.ambulance.sent("r.json", referral())
    outcome = await world.ambulance.outcome(receipt["request_id"])
    history = await world.ambulance.history(receipt["request_id"])

    assert history is not None
    assert ("acknowledged", 7) == (outcome["state"], outcome["attempts"])
    assert [
        "unavailable",
        "too-many-requests",
        "intermediary",
        "timeout",
        "intermediary",
        "silence",
        "acknowledged",
    ] == [attempt.row for attempt in history.attempts]
    assert 1 == (await world.hospital.overview()).inbound


async def test_a_failing_handshake_costs_no_message(world: World) -> None:
    """Neither at the token service nor at the proxy: TLS is made again, and the message goes."""
    world.sandbox.faults.arm({"kind": "tls_failure", "count": 2})
    receipt = await world.ambulance.sent("r.json", referral())
    outcome = await world.ambulance.outcome(receipt["request_id"])

    assert ("acknowledged", []) == (outcome["state"], world.sandbox.faults.armed())
    assert 1 == (await world.hospital.overview()).inbound


async def test_a_revoked_token_costs_no_message(world: World) -> None:
    """401 from the proxy: a new token, once, and the message goes through in the same attempt."""
    first = await world.ambulance.sent("a.json", referral())
    await world.ambulance.outcome(first["request_id"])
    world.sandbox.tokens.revoke_all()
    second = await world.ambulance.sent("b.json", referral())
    outcome = await world.ambulance.outcome(second["request_id"])

    assert ("acknowledged", 1) == (outcome["state"], outcome["attempts"])


async def test_an_unknown_target_is_refused_with_whose_fault_it_is(world: World) -> None:
    """The proxy's 404 ends the message at once."""
    body = referral(receiver="https://fhir.nhs.uk/Id/dos-service-id|1999999999")
    receipt = await world.ambulance.sent("r.json", body)
    outcome = await world.ambulance.outcome(receipt["request_id"])

    assert ("refused", 404, "PROXY_NOT_FOUND", "PROXY") == (
        outcome["state"],
        outcome["http_status"],
        outcome["code"],
        outcome["fault"],
    )


async def test_a_restart_goes_on_where_it_stopped(world: World) -> None:
    """What was queued when the gateway stopped leaves after the next start."""
    world.sandbox.faults.arm({"kind": "token_outage"})
    receipt = await world.ambulance.sent("r.json", referral())
    await world.ambulance.stop()
    before = await world.ambulance.overview()
    world.sandbox.faults.clear()
    await world.ambulance.restart()
    outcome = await world.ambulance.outcome(receipt["request_id"])

    assert 1 == before.outbound[OutboundState.QUEUED]
    assert ("acknowledged", 1) == (outcome["state"], outcome["attempts"])


async def test_stopping_finishes_what_is_in_flight(world: World) -> None:
    """The answer that is on its way is waited for: it carries ids that a 409 would not."""
    world.sandbox.faults.arm({"kind": "delay", "seconds": 0.5, "count": 1})
    receipt = await world.ambulance.sent("r.json", referral())

    async def sending() -> bool:
        return (await world.ambulance.overview()).outbound[OutboundState.SENDING] == 1

    await in_time(sending)
    await world.ambulance.stop()
    history = await world.ambulance.history(receipt["request_id"])

    assert history is not None
    assert "acknowledged" == history.message.state


async def test_two_messages_of_a_conversation_keep_their_order(world: World) -> None:
    """The second waits while the first is retried."""
    correlation_id = str(uuid.uuid4())
    envelope = json.dumps({"correlation_id": correlation_id}).encode()
    world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 3})
    bodies = [referral(), referral(), referral()]
    for number, body in enumerate(bodies):
        world.ambulance.drop(f"{number}.json", body, envelope)
        await world.ambulance.document(f"outbox/accepted/{number}.receipt.json")
    arrived = await eventually(
        lambda: len(f := world.hospital.files("inbox/new/*.message.json")) == 3 and f
    )

    assert bodies == [file.read_bytes() for file in arrived]
    assert {correlation_id} == {call["correlation_id"] for call in world.forwarded()}


async def test_many_messages_arrive_once_each(world: World) -> None:
    """Sixty at once, through lost answers and refused connections."""
    world.sandbox.faults.arm({"kind": "drop_after", "probability": 0.2, "count": 15})
    world.sandbox.faults.arm({"kind": "status", "status": 503, "probability": 0.2, "count": 15})
    bodies = [referral() for _ in range(60)]
    for number, body in enumerate(bodies):
        world.ambulance.drop(f"{number:03}.json", body)
    await eventually(lambda: len(world.ambulance.files("inbox/new/*.outcome.json")) == 60)
    await eventually(lambda: len(world.hospital.files("inbox/new/*.message.json")) == 60)
    states = {
        json.loads(file.read_bytes())["state"]
        for file in world.ambulance.files("inbox/new/*.outcome.json")
    }
    arrived = [file.read_bytes() for file in world.hospital.files("inbox/new/*.message.json")]

    assert {"acknowledged"} == states
    assert sorted(bodies) == sorted(arrived)
