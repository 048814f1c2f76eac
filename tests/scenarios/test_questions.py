"""Bookings and changes: the EPR is asked while the proxy waits, over real mutual TLS."""

import asyncio
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asked_epr import YES, answering, epr_at
from bookings import booking, change_of, focus
from messages import RECEIVER, referral, validation_request
from world import World, answered_in_time, headers, issue, post, world_in

pytestmark = pytest.mark.both_engines

BRIEF = "answer_within_seconds = 0.5"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked='questions = "socket"') as running:
        yield running


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[World]:
    """Return a world whose proxy gets 408 after half a second."""
    async with world_in(tmp_path, asked='questions = "socket"', inbound=BRIEF) as running:
        yield running


def stored(world: World, sql: str) -> list[tuple[Any, ...]]:
    return world.hospital.ask(sql)


async def test_a_booking_is_acknowledged_by_the_epr(world: World) -> None:
    """200 with the ids that were minted; the EPR saw the Bundle byte for byte."""
    body = booking()
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        posted = group.create_task(post(world, body, headers()))
        question = await epr.question()
        seen = await epr.request(question["question_id"])
        receipt = await epr.answer(question["question_id"], YES)
        status, _, answer = await posted

    assert body == seen
    assert (200, True, False) == (receipt[0], receipt[1]["accepted"], receipt[1]["late"])
    assert (200, json.loads(body)["id"]) == (status, answer["id"])
    assert question["proposed_focus_id"] == focus(answer)["id"]
    assert "created" in focus(answer)
    assert ("request", "booking") == (question["move"], question["request_type"])


async def test_nothing_is_acknowledged_before_the_epr_has_decided(world: World) -> None:
    """The proxy waits, and nothing but the question is on disk."""
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        posted = group.create_task(post(world, booking(), headers()))
        question = await epr.question()
        await asyncio.wait({posted}, timeout=0.3)
        waited = not posted.done()
        before = [await world.hospital.rows(table) for table in ("messages", "workflows")]
        await epr.answer(question["question_id"], YES)
        status, _, _ = await posted

    assert (True, [0, 0], 200) == (waited, before, status)
    assert [("active", "booking")] == stored(world, "SELECT state, request_type FROM workflows")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        pytest.param("slot-taken", (409, ("REC_CONFLICT", "conflict")), id="slot-taken"),
        pytest.param("not-found", (404, ("REC_NOT_FOUND", "not-found")), id="not-found"),
        pytest.param("not-allowed", (401, ("REC_UNAUTHORIZED", "forbidden")), id="not-allowed"),
    ],
)
async def test_a_refusal_is_the_guides_code_and_is_repeated(
    world: World, word: str, expected: tuple[int, tuple[str, str]]
) -> None:
    """The EPR is asked once; the retry hears the same without it."""
    sent, body = headers(), booking()
    async with answering(world.hospital.socket, lambda _: {"refuse": word}) as epr:
        answers = [await post(world, body, sent) for _ in range(2)]

    assert [expected] * 2 == [(status, issue(outcome)) for status, _, outcome in answers]
    assert 1 == len(epr.seen)
    assert 0 == await world.hospital.rows("messages")


async def test_a_repeat_is_a_duplicate_with_its_reference(world: World) -> None:
    """The EPR's own case number is what the Sender is told."""
    sent, body = headers(), booking()
    says = YES | {"focus_id": str(uuid.uuid4()), "reference": "CLINIC 42"}
    async with answering(world.hospital.socket, lambda _: says) as epr:
        _, _, first = await post(world, body, sent)
        status, _, second = await post(world, body, sent)

    assert says["focus_id"] == focus(first)["id"]
    assert (409, ("REC_CONFLICT", "duplicate")) == (status, issue(second))
    assert "CLINIC 42" in second["issue"][0]["diagnostics"]
    assert 1 == len(epr.seen)


async def test_twenty_at_once_are_one_question_and_one_record(world: World) -> None:
    """One 200; the others meet the open question or its answer."""
    sent, body = headers(), booking()
    async with answering(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        tasks = [group.create_task(post(world, body, sent)) for _ in range(20)]
    statuses = Counter(task.result()[0] for task in tasks)

    assert 1 == statuses[200]
    assert 19 == statuses[409] + statuses[425]
    assert (1, 1) == (len(epr.seen), await world.hospital.rows("messages"))


async def test_twenty_referrals_at_once_are_one_record(world: World) -> None:
    """The ledger decides in the transaction, whoever acknowledges."""
    sent, body = headers(), referral()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(post(world, body, sent)) for _ in range(20)]
    statuses = Counter(task.result()[0] for task in tasks)

    assert {200: 1, 409: 19} == statuses
    assert 1 == await world.hospital.rows("messages")


async def test_a_retry_before_the_answer_is_too_early(world: World) -> None:
    """425, and the EPR is not asked again."""
    sent, body = headers(), booking()
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        first = group.create_task(post(world, body, sent))
        question = await epr.question()
        status, _, outcome = await post(world, body, sent)
        others = await epr.questions(wait=0, after=question["question_id"])
        await epr.answer(question["question_id"], YES)

    assert (425, ("REC_TOO_EARLY", "duplicate")) == (status, issue(outcome))
    assert ([], 200) == (others, first.result()[0])


async def test_the_same_id_with_other_bytes_is_a_conflict_while_it_is_asked(world: World) -> None:
    """D-same-request-id: an alarm, never a second question."""
    sent = headers()
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        group.create_task(post(world, booking(slot="one"), sent))
        question = await epr.question()
        status, _, outcome = await post(world, booking(slot="another"), sent)
        await epr.answer(question["question_id"], YES)
    alarms = [alarm.kind for alarm in (await world.hospital.overview()).alarms]

    assert (409, ("REC_CONFLICT", "conflict")) == (status, issue(outcome))
    assert ["inbound.request_id_reused"] == alarms


async def test_the_same_made_anew_is_too_early_while_it_is_asked(world: World) -> None:
    """D-same-request-id: another Bundle.id and nothing else is the same message, and no alarm."""
    sent, body = headers(), booking()
    again = json.dumps({**json.loads(body), "id": str(uuid.uuid4())}).encode()
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        group.create_task(post(world, body, sent))
        question = await epr.question()
        status, _, outcome = await post(world, again, sent)
        await epr.answer(question["question_id"], YES)
    alarms = (await world.hospital.overview()).alarms

    assert (425, ("REC_TOO_EARLY", "duplicate")) == (status, issue(outcome))
    assert [] == list(alarms)


async def test_a_new_message_needs_a_bundle_id_of_its_own(world: World) -> None:
    """B05: 400 invariant for another X-Request-Id, and the EPR is not asked."""
    bundle_id = str(uuid.uuid4())
    async with answering(world.hospital.socket) as epr:
        await post(world, booking(bundle_id=bundle_id), headers())
        status, _, outcome = await post(world, booking(bundle_id=bundle_id), headers())

    assert (400, ("REC_BAD_REQUEST", "invariant")) == (status, issue(outcome))
    assert 1 == len(epr.seen)


async def test_without_an_epr_it_is_unavailable_and_the_retry_does_the_work(world: World) -> None:
    """503 leaves nothing behind."""
    sent, body = headers(), booking()
    early, _, outcome = await post(world, body, sent)
    kept = [await world.hospital.rows(table) for table in ("questions", "ledger")]
    async with answering(world.hospital.socket):
        late, _, _ = await post(world, body, sent)

    assert (503, ("REC_SERVICE_UNAVAILABLE", "transient")) == (early, issue(outcome))
    assert ([0, 0], 200) == (kept, late)


async def test_a_question_outlives_its_408_and_a_restart(hasty: World) -> None:
    """408, 425, and after the EPR's late yes 409; the EPR and the operator are told."""
    sent, body = headers(), booking()
    async with epr_at(hasty.hospital.socket) as epr:
        await epr.questions(wait=0)
        timed_out, _, _ = await post(hasty, body, sent)
    await hasty.hospital.restart()
    too_early, *_ = await answered_in_time(partial(post, hasty, body, sent))
    waiting = (await hasty.hospital.overview()).questions_open["hospital"]
    async with epr_at(hasty.hospital.socket) as epr:
        question = await epr.question()
        _, receipt = await epr.answer(question["question_id"], YES)
    alarms = [alarm.kind for alarm in (await hasty.hospital.overview()).alarms]
    duplicate, *_ = await answered_in_time(partial(post, hasty, body, sent))
    notice = await hasty.hospital.document("inbox/new/000000000001.decided_late.json")
    settled = (await hasty.hospital.overview()).alarms

    assert (408, 425, 409) == (timed_out, too_early, duplicate)
    assert (1, 1) == (waiting.count, waiting.late)
    assert (True, True) == (receipt["accepted"], receipt["late"])
    assert "decided_late" == notice["kind"]
    assert (["question.decided_late"], []) == (alarms, list(settled))


async def test_a_stop_waits_for_no_epr_that_cannot_answer_any_more(tmp_path: Path) -> None:
    """Its door is closed by then: the Sender hears 408 at once, and the retry gets the answer."""
    patient = "answer_within_seconds = 30"
    async with world_in(tmp_path, asked='questions = "socket"', inbound=patient) as world:
        node, sent, body = world.hospital, headers(), booking()
        async with epr_at(node.socket) as epr, asyncio.TaskGroup() as group:
            await epr.questions(wait=0)
            first = group.create_task(post(world, body, sent))
            question = await epr.question()
            async with asyncio.timeout(10):
                await node.stop()
        await node.restart()
        async with epr_at(node.socket) as epr:
            await epr.answer(question["question_id"], YES)
        again, _, _ = await post(world, body, sent)

    assert (408, 409) == (first.result()[0], again)


async def test_a_late_no_is_what_the_retry_hears(hasty: World) -> None:
    """The refusal is kept, and the operator sees that it came late."""
    sent, body = headers(), booking()
    async with epr_at(hasty.hospital.socket) as epr:
        await epr.questions(wait=0)
        await post(hasty, body, sent)
        question = await epr.question()
        await epr.answer(question["question_id"], {"refuse": "slot-taken"})
    status, _, outcome = await answered_in_time(partial(post, hasty, body, sent))

    assert (409, ("REC_CONFLICT", "conflict")) == (status, issue(outcome))


async def test_a_cancellation_moves_the_workflow_with_the_answer(world: World) -> None:
    """The same transaction: the booking is cancelled when the EPR has said so."""
    async with answering(world.hospital.socket):
        _, _, booked = await post(world, booking(), headers())
        body = change_of(booked, status="cancelled")
        status, _, answer = await post(world, body, headers())

    assert (200, json.loads(body)["id"]) == (status, answer["id"])
    assert json.loads(body)["entry"] == answer["entry"]
    assert [("cancelled",)] == stored(world, "SELECT state FROM workflows")
    assert [("request",), ("cancel",)] == stored(world, "SELECT move FROM messages ORDER BY id")


async def test_an_id_that_comes_back_in_capitals_is_the_one_that_was_given(world: World) -> None:
    """A database that keeps UUIDs writes them so; the EPR is asked by the id that it knows."""
    async with answering(world.hospital.socket) as epr:
        _, _, booked = await post(world, booking(), headers())
        given = focus(booked)["id"]
        body = change_of(booked, status="cancelled").decode().replace(given, given.upper())
        status, _, _ = await post(world, body.encode(), headers())

    assert 200 == status
    assert [(True, given)] == [(each["known"], each["focus_id"]) for each in epr.seen[1:]]
    assert [("cancelled",)] == stored(world, "SELECT state FROM workflows")


async def test_what_is_not_current_cannot_be_cancelled(world: World) -> None:
    """CS-148: the EPR says so; the workflow stays as it is."""
    says = {"request": YES, "cancel": {"refuse": "not-current"}}
    async with answering(world.hospital.socket, lambda asked: says[asked["move"]]):
        _, _, booked = await post(world, booking(), headers())
        body = change_of(booked, status="cancelled")
        status, _, outcome = await post(world, body, headers())

    assert (409, ("REC_CONFLICT", "conflict")) == (status, issue(outcome))
    assert [("active",)] == stored(world, "SELECT state FROM workflows")


async def test_a_validations_update_is_asked_too(world: World) -> None:
    """D-who-answers: new validations are ours to acknowledge, changes are the EPR's."""
    async with answering(world.hospital.socket) as epr:
        _, _, taken = await post(world, validation_request(), headers())
        first = len(epr.seen)
        body = change_of(taken, priority="urgent")
        status, _, _ = await post(world, body, headers())

    assert (0, 200, ["update"]) == (first, status, [each["move"] for each in epr.seen])
    assert [("active",)] == stored(world, "SELECT state FROM workflows")


async def test_the_epr_sees_every_stamp_of_an_update(world: World) -> None:
    """CS-129: it alone has copies to compare with, and gets the update byte for byte."""
    _, _, taken = await post(world, validation_request(), headers())
    update = change_of(taken)
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        posted = group.create_task(post(world, update, headers()))
        number = (await epr.question())["question_id"]
        seen = await epr.request(number)
        await epr.answer(number, {"refuse": "changed-here"})

    assert update == seen
    assert 409 == posted.result()[0]


async def test_what_was_changed_is_kept_beside_the_change(world: World) -> None:
    """CS-140: every version of a referral stays, as it came."""
    first = validation_request()
    _, _, taken = await post(world, first, headers())
    update = change_of(taken)
    async with answering(world.hospital.socket):
        await post(world, update, headers())
    kept = stored(
        world,
        "SELECT m.move, m.fingerprint FROM messages AS m JOIN payloads AS p ON p.message_id = m.id"
        " WHERE p.part = 'request' ORDER BY m.id",
    )

    assert [
        ("request", hashlib.sha256(first).hexdigest()),
        ("update", hashlib.sha256(update).hexdigest()),
    ] == kept


async def test_an_update_may_keep_its_first_bundle_id(world: World) -> None:
    """B05 is about new messages: Application 6 repeats the Bundle's id."""
    async with answering(world.hospital.socket):
        _, _, taken = await post(world, validation_request(), headers())
        body = json.loads(change_of(taken)) | {"id": taken["id"]}
        status, _, _ = await post(world, json.dumps(body).encode(), headers())

    assert 200 == status


async def test_a_service_may_leave_everything_to_its_epr(tmp_path: Path) -> None:
    """`acknowledged_by_epr`: then a new referral can be refused as well."""
    asked = f'questions = "socket"\nacknowledged_by_epr = ["{RECEIVER}"]'
    no = {"refuse": "not-supported"}
    async with (
        world_in(tmp_path, asked=asked) as world,
        answering(world.hospital.socket, lambda _: no),
    ):
        status, _, outcome = await post(world, referral(), headers())

    assert (422, ("REC_UNPROCESSABLE_ENTITY", "not-supported")) == (status, issue(outcome))


async def test_the_epr_may_compose_the_acknowledgement(world: World) -> None:
    """Its own Bundle goes out, with its numbers as they were written."""
    body, own = booking(), str(uuid.uuid4())

    def says(_question: Mapping[str, Any]) -> dict[str, Any]:
        bundle: dict[str, Any] = json.loads(body)
        focus(bundle).update(id=own, minutesDuration=20)
        return bundle

    async with answering(world.hospital.socket, says):
        status, _, answer = await post(world, body, headers())

    assert (200, own, 20) == (status, focus(answer)["id"], focus(answer)["minutesDuration"])
    assert [(own,)] == stored(world, "SELECT focus_id FROM workflows")


async def test_an_answer_that_does_not_fit_leaves_the_question_open(world: World) -> None:
    """422 names what is wrong; the EPR corrects itself while the proxy still waits."""
    body = booking()
    wrong = json.loads(body) | {"id": str(uuid.uuid4()), "type": "messages"}
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        posted = group.create_task(post(world, body, headers()))
        number = (await epr.question())["question_id"]
        refused, problem = await epr.answer(number, wrong)
        _, shown = await epr.shown(number)
        await epr.answer(number, YES)

    assert (422, "open", 200) == (refused, shown["state"], posted.result()[0])
    assert "Bundle.type" in [each["path"] for each in problem["issues"]]


async def test_the_same_answer_again_has_the_same_receipt(world: World) -> None:
    """An EPR that is not sure may repeat itself; another answer comes too late."""
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        group.create_task(post(world, booking(), headers()))
        number = (await epr.question())["question_id"]
        first = await epr.answer(number, YES)
        again = await epr.answer(number, YES)
        other, _ = await epr.answer(number, {"refuse": "slot-taken"})

    assert first == again
    assert 409 == other


async def test_the_epr_gets_no_second_notice_of_what_it_decided(world: World) -> None:
    """It has the Bundle; the notice is there for the audit, as collected."""
    async with answering(world.hospital.socket):
        await post(world, booking(), headers())

    assert [("message", 1)] == stored(world, "SELECT kind, collected_at IS NOT NULL FROM notices")


async def test_an_epr_that_is_not_asked_cannot_be_booked_with(tmp_path: Path) -> None:
    """501, and nothing is left behind: a later release may take it."""
    async with world_in(tmp_path) as world:
        status, _, outcome = await post(world, booking(), headers())
        kept = [await world.hospital.rows(table) for table in ("messages", "ledger", "questions")]

    assert (501, ("REC_NOT_IMPLEMENTED", "not-supported")) == (status, issue(outcome))
    assert [0, 0, 0] == kept
