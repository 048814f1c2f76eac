"""
Courses of which people are told: each begins well, and yields before what they are told of.

    async for _ in course(world): ...   up to its `yield` all is as it should be

What each means for the workflow is held elsewhere (`test_meaning`, `test_proof`, `test_whose`,
`test_time`).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web
from asked_epr import answering, epr_at
from bookings import cancelled_referral, focus
from messages import NHS_NUMBER, referral, validation_request
from mixed_up import in_a_second_patient, mixed_up
from moving import made, move, requested, socket_of, transfer
from scripted import another_make, fine, outcome
from scripted_receiver import Said, answering_reads
from telling import emptied, of, sent_back, told
from world import Node, World, eventually, headers, in_time, post

from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.restore import hand_over, restore

WELL = "Nothing waits for a person."
MINUTE = timedelta(minutes=1)
NO_SERVICE = outcome(404, "PROXY_NOT_FOUND", "not-found")
ANOTHER = "9990000026"
# Up to where it yields, all is as it should be; what comes then is what people are told of.
Course = Callable[[World], AsyncIterator[None]]


async def page(node: Node, words: str) -> str | None:
    """Return the page, once it says that; after a restore, the database is looked at first."""
    url = f"http://127.0.0.1:{node.gateway.status.port}/"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        shown = await answer.text()
    return shown if words in shown else None


async def asked(world: World, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Send a request; return its outcome and the hospital's answer to it."""
    known = set(world.hospital.files("inbox/new/*.answer.json"))
    receipt = await world.ambulance.sent(f"{uuid4()}.json", body)
    outcome = await world.ambulance.outcome(receipt["request_id"])
    new = await eventually(lambda: set(world.hospital.files("inbox/new/*.answer.json")) - known)
    return outcome, new.pop().read_bytes()


async def reported(world: World, *bodies: bytes, status: int = 200) -> None:
    for body in bodies:
        to_us = headers(world.ambulance.service)
        answered, _, _ = await post(world, body, to_us, node=world.ambulance)
        assert status == answered


async def asked_for(node: Node, of: str, name: str) -> dict[str, Any]:
    """Have the EPR ask for a move, and wait for the outcome of what was composed."""
    status, document = await made(node, move(of, name))
    assert 201 == status, document
    return await node.outcome(document["request_id"])


async def ordered(node: Node, of: str, verb: str, **more: object) -> tuple[int, dict[str, Any]]:
    order = {"why": "INC-1", **more}
    async with socket_of(node) as epr, epr.post(f"/messages/{of}/{verb}", json=order) as answer:
        return answer.status, await answer.json()


async def marked_as_handled(node: Node) -> None:
    """Say that somebody has dealt with whatever stands."""
    order = {"why": "INC-1", "up_to": 10**6}
    async with socket_of(node) as epr, epr.post("/alarms/handled", json=order) as answer:
        assert 200 == answer.status


# What the Receiver answers, and what its answer is about.


async def an_answer_about_another_patient(world: World) -> AsyncIterator[None]:
    await asked(world, transfer("a6t2").replace(NHS_NUMBER.encode(), ANOTHER.encode()))
    yield
    for _ in range(2):
        world.sandbox.faults.arm({"kind": "other_body", "method": "POST", "count": 1})
    await asked(world, transfer("a6t2"))


async def a_duplicate_of_what_was_sent_once(world: World) -> AsyncIterator[None]:
    yield
    duplicate = outcome(409, "REC_CONFLICT", "duplicate")
    async with another_make(world, world.hospital.service, lambda _body: duplicate()):
        receipt = await world.ambulance.sent(f"{uuid4()}.json", referral())
        await world.ambulance.outcome(receipt["request_id"])


async def lost_and_then(
    world: World, says: Callable[[], web.Response], body: bytes | None = None
) -> None:
    """Let the Receiver have the request, and its answer get lost; then it hears *says* alone."""
    lost = outcome(408, "REC_TIMEOUT", "timeout")
    answers = [lambda _body: lost(), *[lambda _body: says()] * 6]
    async with another_make(world, world.hospital.service, *answers) as scripted:
        receipt = await world.ambulance.sent(f"{uuid4()}.json", body or referral())
        await eventually(lambda: scripted.posted)
        status, _, _ = await post(world, scripted.posted[0], headers())
        assert 200 == status
        await world.ambulance.outcome(receipt["request_id"])


async def a_service_that_is_not_found_after_a_lost_answer(world: World) -> AsyncIterator[None]:
    yield
    await lost_and_then(world, NO_SERVICE)


async def a_conflict_after_a_lost_answer(world: World) -> AsyncIterator[None]:
    yield
    await lost_and_then(world, outcome(409, "REC_CONFLICT", "conflict"))


async def an_answer_after_nobody_could_confirm(world: World) -> AsyncIterator[None]:
    await lost_and_then(world, NO_SERVICE, validation_request())
    await marked_as_handled(world.ambulance)
    (answer,) = world.hospital.files("inbox/new/*.answer.json")
    yield
    await reported(world, told(answer.read_bytes(), "in-progress"))


# What a search shows of a request that was acknowledged without an id.


async def looked_for(world: World, *shows: dict[str, Any]) -> None:
    """Have a referral taken without an id; a search shows it so many times, changed as said."""
    async with another_make(world, world.hospital.service, lambda _body: fine()) as scripted:

        def found() -> web.Response:
            sent = json.loads(scripted.posted[0])["entry"]
            (ours,) = (each["resource"] for each in sent if of(each) == "ServiceRequest")
            entries = [{"resource": ours | {"id": str(uuid4())} | each} for each in shows]
            bundle = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
            return fine(json.dumps(bundle).encode())

        scripted.shows = found
        receipt = await world.ambulance.sent(f"{uuid4()}.json", referral())
        await world.ambulance.outcome(receipt["request_id"])
        await eventually(lambda: world.ambulance.files("inbox/new/*.reconciled.json"))


async def a_record_that_is_over_there(world: World) -> AsyncIterator[None]:
    yield
    await looked_for(world, {"status": "completed"})


async def no_record_there(world: World) -> AsyncIterator[None]:
    yield
    await looked_for(world)


async def several_records_there(world: World) -> AsyncIterator[None]:
    yield
    await looked_for(world, {}, {})


async def a_record_of_nobody_who_is_shown(world: World) -> AsyncIterator[None]:
    yield
    await looked_for(world, {"subject": {"reference": "Patient/1"}})


# What the Responder says, and by whose clock.


async def an_acceptance_that_is_refused(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    yield
    await refused_by_the_ambulance(world, told(answer, "planned"))


async def a_second_acceptance_that_is_refused(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    await sent_by_the_hospital(world, told(answer, "planned"))
    yield
    await refused_by_the_ambulance(world, told(answer, "planned"))


async def a_second_stand_down_that_is_refused(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    for word in ("in-progress", "planned"):
        await sent_by_the_hospital(world, told(answer, word))
    world.sandbox.faults.arm({"kind": "drop_after", "method": "POST", "count": 1000})
    receipt = await world.hospital.sent(f"{uuid4()}.json", told(answer, "in-progress"))
    await world.hospital.lapses(receipt["request_id"])
    await world.hospital.outcome(receipt["request_id"])
    world.sandbox.faults.clear()
    for node in (world.ambulance, world.hospital):
        await marked_as_handled(node)
    yield
    await refused_by_the_ambulance(world, told(answer, "planned"))


async def a_corrected_final_answer_that_is_refused(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    await sent_by_the_hospital(world, told(answer, "finished", plan="active"))
    yield
    await refused_by_the_ambulance(world, told(answer, "finished", plan="active"))


async def sent_by_the_hospital(world: World, body: bytes) -> None:
    receipt = await world.hospital.sent(f"{uuid4()}.json", body)
    await world.hospital.outcome(receipt["request_id"])


async def refused_by_the_ambulance(world: World, body: bytes) -> None:
    no = outcome(422, "REC_UNPROCESSABLE_ENTITY", "invalid")
    async with another_make(world, world.ambulance.service, lambda _body: no()):
        await sent_by_the_hospital(world, body)
    await world.ambulance.register()


async def a_rejection(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    yield
    await reported(world, told(answer, "cancelled"))


async def a_validation_that_asks_to_act(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    yield
    await reported(world, told(answer, "finished", plan="active"))


async def a_validation_that_asks_nothing_more(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    yield
    await reported(world, told(answer, "finished", plan="completed"))


async def a_validation_that_asks_to_act_and_says_nothing(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    yield
    await reported(world, emptied(told(answer, "finished", plan="active")))


async def a_validation_that_asks_nothing_more_and_says_nothing(
    world: World,
) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    yield
    await reported(world, emptied(told(answer, "finished", plan="completed")))


async def a_validation_that_sends_our_own_care_plan_back(world: World) -> AsyncIterator[None]:
    request = validation_request()
    _, answer = await asked(world, request)
    yield
    await reported(world, sent_back(told(answer, "finished", plan="completed"), request))


async def an_older_final_answer_that_says_nothing(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    await reported(world, told(answer, "finished", plan="completed"))
    yield
    await reported(world, emptied(told(answer, "finished", plan="active", ago=MINUTE)))


async def an_end_of_the_requesters_own_encounter(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    yield
    of_ours = told(answer, "in-progress", focus="requester", requester="finished")
    await reported(world, of_ours)


async def a_wrong_clock(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    await reported(world, told(answer, "in-progress", ago=-60 * MINUTE))
    yield
    await reported(world, told(answer, "planned"))


async def one_stamp_for_two(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    bodies = [told(answer, word) for word in ("in-progress", "planned")]
    documents = [json.loads(body) for body in bodies]
    for each in documents:
        each["timestamp"] = documents[0]["timestamp"]
        responders = [e for e in each["entry"] if of(e) == "Encounter"][-1]
        responders["resource"]["meta"]["lastUpdated"] = documents[0]["timestamp"]
    allocated, stood_down = (json.dumps(each).encode() for each in documents)
    await reported(world, allocated)
    yield
    await reported(world, stood_down)


async def activity_after_a_rejection(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    await reported(world, told(answer, "cancelled"))
    yield
    await reported(world, told(answer, "arrived"))


async def an_older_rejection(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    older = told(answer, "cancelled", ago=MINUTE)
    await reported(world, told(answer, "in-progress"))
    yield
    await reported(world, older)


async def an_older_end(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    older = told(answer, "finished", ago=MINUTE)
    await reported(world, told(answer, "in-progress"))
    yield
    await reported(world, older)


async def words_that_do_not_add_up(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    yield
    await reported(world, told(answer, "triaged"))


async def a_response_about_another_patient(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    yield
    body = told(answer, "finished", plan="active")
    await reported(world, body.replace(NHS_NUMBER.encode(), ANOTHER.encode()))


async def a_response_that_names_another_patient_beside_ours(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    yield
    await reported(world, mixed_up(told(answer, "finished", plan="active")))


async def a_rejection_with_another_patient_beside_ours(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    yield
    await reported(world, mixed_up(told(answer, "cancelled"), in_a_second_patient))


async def a_request_about_two_patients(world: World) -> AsyncIterator[None]:
    yield
    status, _, _ = await post(world, mixed_up(validation_request()), headers())
    assert 200 == status


async def a_response_that_nobody_asked_for(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, transfer("a6t2"))
    orphan = json.loads(told(answer, "in-progress"))
    orphan["entry"][0]["resource"]["response"]["identifier"] = str(uuid4())
    yield
    await reported(world, json.dumps(orphan).encode(), status=404)


async def another_final_answer(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    await reported(world, told(answer, "finished", plan="active"))
    yield
    await reported(world, told(answer, "finished", plan="completed"))


async def the_same_final_answer_in_another_bundle(world: World) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    final = told(answer, "finished", plan="active")
    await reported(world, final)
    yield
    await reported(world, json.dumps(json.loads(final) | {"id": str(uuid4())}).encode())


# Two records of one patient.


async def the_same_case_built_anew(world: World) -> AsyncIterator[None]:
    body = referral()
    await asked(world, body)
    yield
    await asked(world, json.dumps(json.loads(body) | {"id": str(uuid4())}).encode())


async def a_case_built_anew_after_its_end(world: World) -> AsyncIterator[None]:
    body = transfer("a6t2")
    _, answer = await asked(world, body)
    await reported(world, told(answer, "finished"))
    yield
    await asked(world, json.dumps(json.loads(body) | {"id": str(uuid4())}).encode())


async def a_rejection_of_one_of_two_whose_other_was_stood_down(
    world: World,
) -> AsyncIterator[None]:
    body = transfer("a6t2")
    _, first = await asked(world, body)
    _, again = await asked(world, json.dumps(json.loads(body) | {"id": str(uuid4())}).encode())
    await reported(world, told(first, "in-progress"), told(first, "planned"))
    for node in (world.ambulance, world.hospital):
        await marked_as_handled(node)
    yield
    await reported(world, told(again, "cancelled"))


async def a_cancellation_of_one_of_two_that_stand(world: World) -> AsyncIterator[None]:
    body = transfer("a6t2")
    first, _ = await asked(world, body)
    await asked(world, json.dumps(json.loads(body) | {"id": str(uuid4())}).encode())
    for node in (world.ambulance, world.hospital):
        await marked_as_handled(node)
    yield
    async with answering(world.hospital.socket):
        await asked_for(world.ambulance, first["request_id"], "cancel")


async def a_request_that_is_sent_again_as_new(world: World) -> AsyncIterator[None]:
    world.sandbox.faults.arm({"kind": "status", "status": 500, "after": True})
    receipt = await world.ambulance.sent(f"{uuid4()}.json", validation_request())
    await world.ambulance.lapses(receipt["request_id"])
    await world.ambulance.outcome(receipt["request_id"])
    world.sandbox.faults.clear()
    await marked_as_handled(world.ambulance)
    yield
    _, done = await ordered(world.ambulance, receipt["request_id"], "resend", confirmed=True)
    await world.ambulance.outcome(done["resent_as"])


async def one_that_may_have_arrived(world: World) -> str:
    """Let a request arrive, and nobody know; whatever is sent again waits behind another one."""
    world.sandbox.faults.arm({"kind": "status", "status": 500, "after": True, "count": 1000})
    talk = json.dumps({"correlation_id": str(uuid4())}).encode()
    world.ambulance.drop("first.json", validation_request(), talk)
    receipt = await world.ambulance.document("outbox/accepted/first.receipt.json")
    await world.ambulance.lapses(receipt["request_id"])
    await world.ambulance.outcome(receipt["request_id"])
    world.sandbox.faults.clear()
    world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 1000})
    world.ambulance.drop("before-it.json", referral(), talk)
    await world.ambulance.document("outbox/accepted/before-it.receipt.json")
    await marked_as_handled(world.ambulance)
    return str(receipt["request_id"])


async def a_request_that_is_sent_again_and_withdrawn(world: World) -> AsyncIterator[None]:
    first = await one_that_may_have_arrived(world)
    yield
    _, done = await ordered(world.ambulance, first, "resend", confirmed=True)
    status, _ = await ordered(world.ambulance, done["resent_as"], "withdraw")
    assert 200 == status
    await world.ambulance.outcome(done["resent_as"])
    world.sandbox.faults.clear()  # the page says of a Receiver that goes on to refuse that it does


async def a_request_that_is_sent_again_and_never_leaves(world: World) -> AsyncIterator[None]:
    first = await one_that_may_have_arrived(world)
    yield
    _, done = await ordered(world.ambulance, first, "resend", confirmed=True)
    world.ambulance.ends(done["resent_as"])
    await world.ambulance.outcome(done["resent_as"])


# What is cancelled.


async def a_cancellation_that_nobody_is_asked_about(world: World) -> AsyncIterator[None]:
    outcome, _ = await asked(world, validation_request())
    yield
    await asked_for(world.ambulance, outcome["request_id"], "cancel")


async def a_cancellation_for_another_patient_that_nobody_is_asked_about(
    world: World,
) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    yield
    body = cancelled_referral(json.loads(answer)).replace(NHS_NUMBER.encode(), ANOTHER.encode())
    status, _, _ = await post(world, body, headers())
    assert 501 == status


async def a_cancellation_that_is_refused_after_the_end(world: World) -> AsyncIterator[None]:
    """Let the rejection come while the hospital's EPR is asked, which says no to that, too."""
    first, answer = await asked(world, transfer("a6t2"))
    yield
    async with epr_at(world.hospital.socket) as epr:
        await epr.questions(wait=0)
        _, document = await made(world.ambulance, move(first["request_id"], "cancel"))
        question = await epr.question()
        await reported(world, told(answer, "cancelled"))
        await epr.answer(question["question_id"], {"refuse": "not-current"})
        await world.ambulance.outcome(document["request_id"])


async def an_allocation_after_a_cancellation_that_nobody_confirms(
    world: World,
) -> AsyncIterator[None]:
    _, answer = await asked(world, validation_request())
    world.sandbox.faults.arm({"kind": "status", "status": 500})
    body = cancelled_referral(json.loads(answer))
    cancelled = await world.ambulance.sent(f"{uuid4()}.json", body)
    await world.ambulance.lapses(cancelled["request_id"])
    await world.ambulance.outcome(cancelled["request_id"])
    world.sandbox.faults.clear()
    await marked_as_handled(world.ambulance)
    yield
    await reported(world, told(answer, "in-progress"))


async def a_cancellation_by_a_number_that_is_another_patients(
    world: World,
) -> AsyncIterator[None]:
    other = {"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": ANOTHER}}

    def shows(kind: str, identifier: str | None) -> Said:
        said = {"resourceType": kind, "id": identifier, "status": "active", "subject": other}
        return Said(said)

    first, _ = await asked(world, validation_request())
    yield
    async with answering_reads(world, shows):
        status, _ = await made(world.ambulance, move(first["request_id"], "cancel"))
        assert 201 == status
        await eventually(lambda: world.ambulance.files("inbox/new/*.cancel_not_sent.json"))


async def a_cancellation_by_a_number_that_is_unknown_here(world: World) -> AsyncIterator[None]:
    """Let somebody name another number than the one that the Receiver gave."""
    _, answer = await asked(world, validation_request())
    yield
    given = focus(json.loads(answer))["id"]
    wrong = cancelled_referral(json.loads(answer)).replace(given.encode(), str(uuid4()).encode())
    async with another_make(world, world.hospital.service, lambda _body: fine()):
        receipt = await world.ambulance.sent(f"{uuid4()}.json", wrong)
        assert "L12" in {each["rule"] for each in receipt["warnings"]}
        await world.ambulance.outcome(receipt["request_id"])


async def a_cancellation_of_what_is_over(world: World) -> AsyncIterator[None]:
    def shows(kind: str, identifier: str | None) -> Said:
        return Said({"resourceType": kind, "id": identifier, "status": "completed"})

    first, _ = await asked(world, validation_request())
    yield
    async with answering_reads(world, shows):
        await asked_for(world.ambulance, first["request_id"], "cancel")


async def a_cancellation_that_comes_after_the_end(world: World) -> AsyncIterator[None]:
    """Let it cross the final response, which comes after the hand-in and before the receipt."""
    first, answer = await asked(world, validation_request())
    world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 1000})
    yield
    async with answering(world.hospital.socket):
        _, document = await made(world.ambulance, move(first["request_id"], "cancel"))
        await reported(world, told(answer, "finished", plan="completed"))
        world.sandbox.faults.clear()
        await world.ambulance.outcome(document["request_id"])


async def the_bytes_of_what_was_cancelled_once_more(world: World) -> AsyncIterator[None]:
    body = validation_request()
    first, _ = await asked(world, body)
    async with answering(world.hospital.socket):
        await asked_for(world.ambulance, first["request_id"], "cancel")
    yield
    world.ambulance.drop(f"{uuid4()}.json", body)


# What is owed, and too late.


async def silence(world: World) -> AsyncIterator[None]:
    soon = datetime.now(UTC) + timedelta(seconds=6)
    await asked(world, validation_request(needed_by=soon))
    yield
    await eventually(lambda: world.ambulance.files("inbox/new/*.overdue.json"))


async def a_silence_that_somebody_has_seen_to(world: World) -> AsyncIterator[None]:
    """Clear what is overdue, as handled; and then it gets worse."""
    soon = datetime.now(UTC) + timedelta(seconds=6)
    _, answer = await asked(world, validation_request(needed_by=soon))
    await eventually(lambda: world.ambulance.files("inbox/new/*.overdue.json"))
    await overdue_and_handled(world)
    yield
    await reported(world, told(answer, "triaged"))


async def overdue_and_handled(world: World) -> None:
    """Wait until both sides are told that an answer is overdue, and have seen to it."""
    for node, words in ((world.ambulance, "owed to us"), (world.hospital, "that we owe")):
        await in_time(lambda n=node, w=words: page(n, w))
        await marked_as_handled(node)


async def a_validation_that_nobody_confirms_before_its_breach(
    world: World,
) -> AsyncIterator[None]:
    yield
    await unconfirmed_at_its_breach(world)


async def unconfirmed_at_its_breach(world: World) -> str:
    world.sandbox.faults.arm({"kind": "drop_after", "method": "POST", "count": 1000})
    breach = datetime.now(UTC) + timedelta(seconds=6)
    body = validation_request(needed_by=breach)
    receipt = await world.ambulance.sent(f"{uuid4()}.json", body)
    await world.ambulance.outcome(receipt["request_id"])
    world.sandbox.faults.clear()
    return str(receipt["request_id"])


async def a_retry_after_its_breach(world: World) -> AsyncIterator[None]:
    request_id = await unconfirmed_at_its_breach(world)
    await overdue_and_handled(world)
    status, refused = await ordered(world.ambulance, request_id, "retry")
    assert (409, "past_its_time") == (status, refused["objection"]["code"])
    for file in world.ambulance.files("inbox/new/*"):
        file.unlink()
    yield
    status, _ = await ordered(world.ambulance, request_id, "retry", after_its_time=True)
    assert 200 == status
    await world.ambulance.outcome(request_id)


async def a_nearer_time_that_nobody_has_heard_of(world: World) -> AsyncIterator[None]:
    first, _ = await asked(world, validation_request())
    world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 1000})
    yield
    await due_in(world, first["request_id"], timedelta(seconds=4))
    await eventually(lambda: world.ambulance.files("inbox/new/*.overdue.json"))


async def a_later_time_that_both_have(world: World) -> AsyncIterator[None]:
    """Put the time back while it is far enough that nobody has been warned of it."""
    soon = datetime.now(UTC) + timedelta(seconds=16)
    first, _ = await asked(world, validation_request(needed_by=soon))
    yield
    period = {"start": datetime.now(UTC).isoformat(), "end": (soon + 180 * MINUTE).isoformat()}
    changed = {"resourceType": "ServiceRequest", "occurrencePeriod": period}
    async with answering(world.hospital.socket):
        await changed_to(world.ambulance, first["request_id"], changed)
    await asyncio.sleep((soon - datetime.now(UTC)).total_seconds() + 2)  # and nothing is told


async def changed_to(node: Node, of: str, resource: dict[str, Any]) -> None:
    """Have the EPR change what it asked for, and wait until that is acknowledged."""
    status, document = await made(node, move(of, "update", resources=[resource]))
    assert 201 == status, document
    assert "acknowledged" == (await node.outcome(document["request_id"]))["state"]


async def a_nearer_time_after_one_that_is_put_back(world: World) -> AsyncIterator[None]:
    """Let both be on their way, and the hospital's EPR say nothing to the second in time."""
    first, _ = await asked(world, validation_request())
    async with epr_at(world.hospital.socket) as epr:
        await epr.questions(wait=0)
        world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 1000})
        yield
        put_back = await due_in(world, first["request_id"], timedelta(hours=9))
        await due_in(world, first["request_id"], timedelta(seconds=8))
        world.sandbox.faults.clear()
        question = await epr.question()
        await epr.answer(question["question_id"], {"accept": True})
        assert "acknowledged" == (await world.ambulance.outcome(put_back))["state"]
        await eventually(lambda: world.ambulance.files("inbox/new/*.overdue.json"))
        nearer = await epr.question(after=question["question_id"])
        await epr.answer(nearer["question_id"], {"refuse": "changed-here"})


async def due_in(world: World, of_request: str, left: timedelta) -> str:
    """Have the ambulance's EPR change when the answer is needed; return the update."""
    start = datetime.now(UTC)
    period = {"start": start.isoformat(), "end": (start + left).isoformat()}
    changed = {"resourceType": "ServiceRequest", "occurrencePeriod": period}
    status, document = await made(world.ambulance, move(of_request, "update", resources=[changed]))
    assert 201 == status
    return str(document["request_id"])


async def a_rejection_after_its_time(world: World) -> AsyncIterator[None]:
    breach = datetime.now(UTC) + timedelta(seconds=6)
    _, notice = await requested(world, validation_request(needed_by=breach))
    await overdue_and_handled(world)
    yield
    _, made_ = await made(world.hospital, move(notice["request_id"], "decline", outcome="RRNA"))
    await world.hospital.outcome(made_["request_id"])


# Who is not there: an EPR that takes nothing, or asks for nothing.


async def a_notice_that_nobody_takes(world: World) -> AsyncIterator[None]:
    yield
    await asked(world, transfer("a6t2"))
    (door,) = world.hospital.gateway._doors
    await door.attendance.look()


async def an_epr_that_stops_asking(world: World) -> AsyncIterator[None]:
    async with answering(world.hospital.socket):
        yield
    (door,) = world.hospital.gateway._doors
    long_ago = datetime.now(UTC) - 3 * MINUTE
    door.attendance.condition = replace(door.attendance.condition, asked_at=long_ago)


# What an operator does: a hold, a restore.


async def one_that_is_tried_and_one_behind_it(world: World) -> str:
    """Return the X-Request-Id of the one that was never tried."""
    world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 1000})
    talk = json.dumps({"correlation_id": str(uuid4())}).encode()
    for name in ("tried", "behind-it"):
        world.ambulance.drop(f"{name}.json", referral(), talk)
        receipt = await world.ambulance.document(f"outbox/accepted/{name}.receipt.json")
    return str(receipt["request_id"])


async def a_message_that_somebody_holds(world: World) -> AsyncIterator[None]:
    second = await one_that_is_tried_and_one_behind_it(world)
    yield
    status, _ = await ordered(world.ambulance, second, "hold", role="operator", by="jo")
    assert 200 == status


async def backed_up(node: Node) -> Path:
    backup = node.folder / "copy.db"
    await asyncio.to_thread(back_up, node.database, backup)
    return backup


async def restored(node: Node, backup: Path) -> Path:
    """Stop the gateway and put *backup* back; return where what was there is kept."""
    await node.stop()
    done = await asyncio.to_thread(restore, backup, node.database, datetime.now(UTC), older=True)
    assert done.aside is not None
    return done.aside


async def a_restore_of_what_was_withdrawn_since(world: World) -> AsyncIterator[None]:
    second = await one_that_is_tried_and_one_behind_it(world)
    backup = await backed_up(world.ambulance)
    status, _ = await ordered(world.ambulance, second, "withdraw")
    assert 200 == status
    await world.ambulance.outcome(second)
    for file in world.ambulance.files("inbox/new/*"):
        file.unlink()
    yield
    await restored(world.ambulance, backup)
    world.sandbox.faults.clear()
    await world.ambulance.restart()


async def a_restore_without_the_database(world: World) -> AsyncIterator[None]:
    await one_that_is_tried_and_one_behind_it(world)
    backup = await backed_up(world.ambulance)
    yield
    await world.ambulance.stop()
    world.ambulance.database.write_bytes(b"this is no database" * 1000)
    await restored(world.ambulance, backup)
    world.sandbox.faults.clear()
    await world.ambulance.restart()


async def a_restore_that_forgets_what_was_received(world: World) -> AsyncIterator[None]:
    backup = await backed_up(world.hospital)
    await asked(world, referral())
    yield
    await world.hospital.stop()
    world.hospital.database.write_bytes(b"this is no database" * 1000)
    await restored(world.hospital, backup)
    await world.hospital.restart()


async def a_restore_that_lacks_what_was_received(world: World) -> AsyncIterator[None]:
    backup = await backed_up(world.hospital)
    await asked(world, referral())
    yield
    await restored(world.hospital, backup)
    await world.hospital.restart()


async def a_hand_over_of_what_was_received(world: World) -> AsyncIterator[None]:
    backup = await backed_up(world.hospital)
    await asked(world, referral())
    yield
    kept = await restored(world.hospital, backup)
    for file in world.hospital.files("inbox/new/*"):
        file.unlink()
    await asyncio.to_thread(hand_over, kept, world.hospital.database, datetime.now(UTC))
    await world.hospital.restart()
