"""
The courses of the trial, and all who are told of each: both EPRs, the page and the log.

    course ─► the Requester's EPR: a sentence   the Responder's EPR: what it got, or a sentence
              the page: the concern             the log: the alarm, by its kind

Each course was one in which somebody was told something untrue, or was not told. What it means
for the workflow is held elsewhere (`test_meaning`, `test_proof`, `test_whose`, `test_time`).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from bookings import cancelled_referral
from messages import FAMILY, NHS_NUMBER, referral, validation_request
from moving import made, move, requested, transfer
from scripted import another_make, outcome
from scripted_receiver import Said, answering_reads
from structlog.testing import capture_logs
from telling import told
from world import Node, World, eventually, headers, in_time, post, world_in

Course = Callable[[World], Awaitable[None]]
MINUTE = timedelta(minutes=1)
NO_SERVICE = outcome(404, "PROXY_NOT_FOUND", "not-found")
ANOTHER = "9990000026"


async def asked(world: World, body: bytes, name: str = "request") -> tuple[dict[str, Any], bytes]:
    """Send a request; return its outcome and the hospital's answer to it."""
    known = set(world.hospital.files("inbox/new/*.answer.json"))
    receipt = await world.ambulance.sent(f"{name}.json", body)
    outcome = await world.ambulance.outcome(receipt["request_id"])
    new = await eventually(lambda: set(world.hospital.files("inbox/new/*.answer.json")) - known)
    return outcome, new.pop().read_bytes()


async def reported(world: World, *bodies: bytes) -> None:
    for body in bodies:
        to_us = headers(world.ambulance.service)
        status, _, _ = await post(world, body, to_us, node=world.ambulance)
        assert 200 == status


async def an_answer_about_another_patient(world: World) -> None:
    await asked(world, transfer("a6t2").replace(NHS_NUMBER.encode(), ANOTHER.encode()), "before")
    for _ in range(2):
        world.sandbox.faults.arm({"kind": "other_body", "method": "POST", "count": 1})
    receipt = await world.ambulance.sent("request.json", transfer("a6t2"))
    await world.ambulance.outcome(receipt["request_id"])


async def a_wrong_clock(world: World) -> None:
    _, answer = await asked(world, transfer("a6t2"))
    await reported(world, told(answer, "in-progress", ago=-60 * MINUTE))
    await reported(world, told(answer, "planned"))


async def activity_after_a_rejection(world: World) -> None:
    _, answer = await asked(world, transfer("a6t2"))
    await reported(world, told(answer, "cancelled"), told(answer, "arrived"))


async def an_older_rejection(world: World) -> None:
    _, answer = await asked(world, transfer("a6t2"))
    older = told(answer, "cancelled", ago=MINUTE)
    await reported(world, told(answer, "in-progress"), older)


async def words_that_do_not_add_up(world: World) -> None:
    _, answer = await asked(world, transfer("a6t2"))
    await reported(world, told(answer, "triaged"))


async def a_response_about_another_patient(world: World) -> None:
    _, answer = await asked(world, validation_request())
    body = told(answer, "finished", plan="active")
    await reported(world, body.replace(NHS_NUMBER.encode(), ANOTHER.encode()))


async def the_same_case_built_anew(world: World) -> None:
    body = referral()
    await asked(world, body)
    again = json.loads(body) | {"id": str(uuid4())}
    await asked(world, json.dumps(again).encode(), "again")


async def a_cancellation_that_nobody_is_asked_about(world: World) -> None:
    outcome, _ = await asked(world, validation_request())
    status, document = await made(world.ambulance, move(outcome["request_id"], "cancel"))
    assert 201 == status
    await world.ambulance.outcome(document["request_id"])


async def silence(world: World) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=6)
    bundle = json.loads(validation_request())
    bundle["entry"][1]["resource"]["occurrencePeriod"]["end"] = soon.isoformat(timespec="seconds")
    await asked(world, json.dumps(bundle).encode())
    await eventually(lambda: world.ambulance.files("inbox/new/*.overdue.json"))


async def lost_and_then(
    world: World, says: Callable[[], web.Response], body: bytes | None = None
) -> None:
    """Let the Receiver have the request, and its answer get lost; then it hears *says* alone."""
    lost = outcome(408, "REC_TIMEOUT", "timeout")
    answers = [lambda _body: lost(), *[lambda _body: says()] * 6]
    async with another_make(world, world.hospital.service, *answers) as scripted:
        receipt = await world.ambulance.sent("request.json", body or referral())
        await eventually(lambda: scripted.posted)
        status, _, _ = await post(world, scripted.posted[0], headers())
        assert 200 == status
        await world.ambulance.outcome(receipt["request_id"])


async def a_service_that_is_not_found_after_a_lost_answer(world: World) -> None:
    await lost_and_then(world, NO_SERVICE)


async def a_conflict_after_a_lost_answer(world: World) -> None:
    await lost_and_then(world, outcome(409, "REC_CONFLICT", "conflict"))


async def an_answer_after_nobody_could_confirm(world: World) -> None:
    await lost_and_then(world, NO_SERVICE, validation_request())
    (answer,) = world.hospital.files("inbox/new/*.answer.json")
    await reported(world, told(answer.read_bytes(), "in-progress"))


async def one_that_arrived_and_two_that_wait(world: World) -> tuple[str, Path]:
    """Return the X-Request-Id of one that was never tried, and a backup in which all is so."""
    await asked(world, referral(), "first")
    world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 1000})
    talk = json.dumps({"correlation_id": str(uuid4())}).encode()
    for name in ("tried", "behind-it"):
        world.ambulance.drop(f"{name}.json", referral(), talk)
        receipt = await world.ambulance.document(f"outbox/accepted/{name}.receipt.json")
    backup = world.folder / "copy.db"
    await world.ambulance.ran("backup", str(backup))
    return receipt["request_id"], backup


async def a_restore_of_what_was_withdrawn_since(world: World) -> None:
    second, backup = await one_that_arrived_and_two_that_wait(world)
    await world.ambulance.ran("withdraw", second, "--why", "INC-1")
    for file in world.ambulance.files("inbox/new/*"):
        file.unlink()
    await world.ambulance.restored(backup)
    world.sandbox.faults.clear()
    await world.ambulance.restart()


async def a_restore_without_the_database(world: World) -> None:
    _, backup = await one_that_arrived_and_two_that_wait(world)
    await world.ambulance.stop()
    world.ambulance.database.write_bytes(b"this is no database" * 1000)
    await world.ambulance.restored(backup)
    world.sandbox.faults.clear()
    await world.ambulance.restart()


async def a_restore_that_lacks_what_was_received(world: World) -> None:
    backup = world.folder / "copy.db"
    await world.hospital.ran("backup", str(backup))
    await asked(world, referral())
    await world.hospital.restored(backup)
    await world.hospital.restart()


async def a_hand_over_of_what_was_received(world: World) -> None:
    await a_restore_that_lacks_what_was_received(world)
    for file in world.hospital.files("inbox/new/*"):
        file.unlink()
    (kept,) = world.hospital.database.parent.glob("gateway.db.before-restore-*Z")
    await world.hospital.stop()
    await world.hospital.ran("restore", str(kept), "--hand-over")
    await world.hospital.restart()


async def a_validation_that_nobody_confirms_before_its_breach(world: World) -> None:
    world.sandbox.faults.arm({"kind": "drop_after", "method": "POST", "count": 1000})
    breach = datetime.now(UTC) + timedelta(seconds=6)
    receipt = await world.ambulance.sent("request.json", validation_request(needed_by=breach))
    await world.ambulance.outcome(receipt["request_id"])


async def a_nearer_time_that_nobody_has_heard_of(world: World) -> None:
    first, _ = await asked(world, validation_request())
    world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 1000})
    start = datetime.now(UTC)
    period = {"start": start.isoformat(), "end": (start + timedelta(seconds=4)).isoformat()}
    changed = {"resourceType": "ServiceRequest", "occurrencePeriod": period}
    asking = move(first["request_id"], "update", resources=[changed])
    status, _ = await made(world.ambulance, asking)
    assert 201 == status
    await eventually(lambda: world.ambulance.files("inbox/new/*.overdue.json"))


async def a_rejection_after_its_time(world: World) -> None:
    breach = datetime.now(UTC) + timedelta(seconds=6)
    _, notice = await requested(world, validation_request(needed_by=breach))

    async def over() -> bool:
        return datetime.now(UTC) > breach

    await in_time(over)
    _, made_ = await made(world.hospital, move(notice["request_id"], "decline", outcome="RRNA"))
    await world.hospital.outcome(made_["request_id"])


async def a_message_that_an_operator_holds(world: World) -> None:
    second, _ = await one_that_arrived_and_two_that_wait(world)
    await world.ambulance.ran("hold", second, "--why", "INC-1")


async def a_duplicate_of_what_was_sent_once(world: World) -> None:
    await asked(world, referral(), "before")
    duplicate = outcome(409, "REC_CONFLICT", "duplicate")
    async with another_make(world, world.hospital.service, lambda _body: duplicate()):
        receipt = await world.ambulance.sent("request.json", referral())
        await world.ambulance.outcome(receipt["request_id"])


async def an_allocation_after_a_cancellation_that_nobody_confirms(world: World) -> None:
    _, answer = await asked(world, validation_request())
    world.sandbox.faults.arm({"kind": "status", "status": 500})
    body = cancelled_referral(json.loads(answer))
    cancelled = await world.ambulance.sent("cancel.json", body)
    await world.ambulance.lapses(cancelled["request_id"])
    await world.ambulance.outcome(cancelled["request_id"])
    world.sandbox.faults.clear()
    await reported(world, told(answer, "in-progress"))


async def another_final_answer(world: World) -> None:
    _, answer = await asked(world, validation_request())
    await reported(world, told(answer, "finished", plan="active"))
    await reported(world, told(answer, "finished", plan="completed"))


async def a_cancellation_by_a_number_that_is_another_patients(world: World) -> None:
    other = {"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": ANOTHER}}

    def shows(kind: str, identifier: str | None) -> Said:
        said = {"resourceType": kind, "id": identifier, "status": "active", "subject": other}
        return Said(said)

    first, _ = await asked(world, validation_request())
    async with answering_reads(world, shows):
        status, _ = await made(world.ambulance, move(first["request_id"], "cancel"))
        assert 201 == status
        await eventually(lambda: world.ambulance.files("inbox/new/*.cancel_not_sent.json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One course, and what is said of it where."""

    course: Course
    to_requester: str  # in the sentence of one of its notices
    to_responder: str  # likewise, of the other EPR's
    on_the_page: str
    alarm: str | None  # its kind in the log; None: there is none, for nobody has to look
    alarm_at: str = "ambulance"
    outbound: str = "target_check_seconds = 0\nread_before_cancel = false"


TELEPHONE_FIRST = "Do not send it again as new before you have telephoned"
MAY_HAVE = "may or may not have arrived"
ABOUT_NO_MESSAGE = {None, "restore.not_handed_over"}  # whose alarm has no sentence below it
WELL = "Nothing waits for a person."
REFERRED = "A patient has been referred to this service"
ASKED_FOR_HELP = "Another control room asks you to take a call on."
ROWS = (
    Row(
        course=an_answer_about_another_patient,
        to_requester="two patients may have been mixed up there",
        to_responder=ASKED_FOR_HELP,
        on_the_page="answered with the record of another patient",
        alarm="message.foreign_ack",
    ),
    Row(
        course=a_wrong_clock,
        to_requester="The resource has been stood down. Nobody is on the way now",
        to_responder=ASKED_FOR_HELP,
        on_the_page="came with a remark",
        alarm="response.remarked",
    ),
    Row(
        course=activity_after_a_rejection,
        to_requester="says otherwise: somebody may be on the way after all",
        to_responder=ASKED_FOR_HELP,
        on_the_page="ended, and then the other side went on",
        alarm="workflow.contradicted",
    ),
    Row(
        course=an_older_rejection,
        to_requester="do not act on this one, nor pass over it, until you have",
        to_responder=ASKED_FOR_HELP,
        on_the_page="came with a remark",
        alarm="response.remarked",
    ),
    Row(
        course=words_that_do_not_add_up,
        to_requester="its answer does not add up",
        to_responder=ASKED_FOR_HELP,
        on_the_page="got a response that does not add up",
        alarm="workflow.unclear",
    ),
    Row(
        course=a_response_about_another_patient,
        to_requester="before you file it",
        to_responder="A validation is asked for",
        on_the_page="another patient",
        alarm="patient.other",
    ),
    Row(
        course=the_same_case_built_anew,
        to_requester="two records",
        to_responder="two records",
        on_the_page="who has the same request there already",
        alarm="record.other",
    ),
    Row(
        course=the_same_case_built_anew,
        to_requester="two records",
        to_responder="two records",
        on_the_page="who has the same request there already",
        alarm="record.other",
        alarm_at="hospital",
    ),
    Row(
        course=a_cancellation_that_nobody_is_asked_about,
        to_requester="Telephone",
        to_responder="has tried to cancel the request for validation and could not",
        on_the_page="cancellation came and nobody here could be asked",
        alarm="cancel.turned_away",
        alarm_at="hospital",
    ),
    Row(
        course=silence,
        to_requester="Start your fallback now",
        to_responder="Answer by",
        on_the_page="owed to us",
        alarm="workflow.overdue",
    ),
    Row(
        course=a_service_that_is_not_found_after_a_lost_answer,
        to_requester=TELEPHONE_FIRST,
        to_responder=REFERRED,
        on_the_page=MAY_HAVE,
        alarm="message.unconfirmed",
    ),
    Row(
        course=a_conflict_after_a_lost_answer,
        to_requester=TELEPHONE_FIRST,
        to_responder=REFERRED,
        on_the_page=MAY_HAVE,
        alarm="message.unconfirmed",
    ),
    Row(
        course=an_answer_after_nobody_could_confirm,
        to_requester="the call about that is no longer needed",
        to_responder="A validation is asked for",
        on_the_page="came with a remark",
        alarm="response.remarked",
    ),
    Row(
        course=a_restore_of_what_was_withdrawn_since,
        to_requester="was restored from a backup",
        to_responder=REFERRED,
        on_the_page=WELL,
        alarm=None,
    ),
    Row(
        course=a_restore_without_the_database,
        to_requester="nobody here knows whether this was sent before that",
        to_responder=REFERRED,
        on_the_page="held since a restore",
        alarm="restore.held",
    ),
    Row(
        course=a_restore_that_lacks_what_was_received,
        to_requester="Responsibility has passed to it",
        to_responder=REFERRED,
        on_the_page="received before a restore, and not given to the EPR since",
        alarm="restore.not_handed_over",
        alarm_at="hospital",
    ),
    Row(
        course=a_hand_over_of_what_was_received,
        to_requester="Responsibility has passed to it",
        to_responder="was restored from a backup",
        on_the_page=WELL,
        alarm=None,
        alarm_at="hospital",
    ),
    Row(
        course=a_validation_that_nobody_confirms_before_its_breach,
        to_requester=TELEPHONE_FIRST,
        to_responder="A validation is asked for",
        on_the_page=MAY_HAVE,
        alarm="message.unconfirmed",
    ),
    Row(
        course=a_nearer_time_that_nobody_has_heard_of,
        to_requester="Start your fallback now",
        to_responder="A validation is asked for",
        on_the_page="owed to us",
        alarm="workflow.overdue",
    ),
    Row(
        course=a_rejection_after_its_time,
        to_requester="Avoid sending twice",
        to_responder="Its clinical time has passed",
        on_the_page="came with a remark",
        alarm="response.remarked",
    ),
    Row(
        course=a_message_that_an_operator_holds,
        to_requester="The clock runs on",
        to_responder=REFERRED,
        on_the_page="1 message held, by hand or set aside",
        alarm=None,
    ),
    Row(
        course=a_duplicate_of_what_was_sent_once,
        to_requester="though it was sent only once",
        to_responder=REFERRED,
        on_the_page=MAY_HAVE,
        alarm="message.unconfirmed",
    ),
    Row(
        course=an_allocation_after_a_cancellation_that_nobody_confirms,
        to_requester="nobody knows whether that arrived: the other service goes on",
        to_responder="A validation is asked for",
        on_the_page="came with a remark",
        alarm="response.remarked",
    ),
    Row(
        course=another_final_answer,
        to_requester="This is not the first final response",
        to_responder="A validation is asked for",
        on_the_page="came with a remark",
        alarm="response.remarked",
    ),
    Row(
        course=a_cancellation_by_a_number_that_is_another_patients,
        to_requester="is the record of another patient, and nothing was cancelled",
        to_responder="A validation is asked for",
        on_the_page="the record under that number is another patient",
        alarm="cancel.other_patient",
        outbound="target_check_seconds = 0",
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.course.__name__}-{row.alarm_at}")
async def test_everybody_is_told(tmp_path: Path, row: Row) -> None:
    """The two EPRs in a sentence each, the operator on the page and in the log."""
    with capture_logs() as lines:
        async with world_in(tmp_path, outbound=row.outbound) as world:
            await row.course(world)
            node: Node = getattr(world, row.alarm_at)
            heard = await in_time(lambda: sentence(world.ambulance, row.to_requester))
            there = await in_time(lambda: sentence(world.hospital, row.to_responder))
            shown = await in_time(lambda: page(node, row.on_the_page))
            logged = await in_time(lambda: said_in_the_log(lines, row))

    assert heard, there
    assert (row.alarm is not None) == bool(logged.alarms)
    assert row.alarm in ABOUT_NO_MESSAGE or "The EPR was told: “" in shown
    secret = [word for word in (NHS_NUMBER, ANOTHER, FAMILY) if word in shown + str(lines)]
    assert [] == secret


async def sentence(node: Node, words: str) -> str | None:
    """Return what an EPR was told in these words, if it was."""
    await asyncio.sleep(0)
    for file in node.files("inbox/new/*.json"):
        document = json.loads(file.read_bytes())
        if words in document.get("means", ""):
            return str(document["means"])
    return None


@dataclass(frozen=True, slots=True)
class Logged:
    """The alarms of one course that the log has."""

    alarms: Sequence[Any]


async def said_in_the_log(lines: list[Any], row: Row) -> Logged | None:
    """Return the alarms, once they are there; what a restore raises is counted at the start."""
    await asyncio.sleep(0)
    if row.alarm is None:
        raised = [each for each in lines if each["event"] == "alarm.raised"]
        return Logged([each for each in raised if each["provider"] == row.alarm_at])
    if row.alarm.startswith("restore."):
        found = [each for each in lines if each["event"] == "alarm.standing" and each["advice"]]
        return Logged(found) if found else None
    found = [
        line
        for line in lines
        if line["event"] == "alarm.raised"
        and (line["kind"], line["provider"]) == (row.alarm, row.alarm_at)
        and line["advice"]
    ]
    return Logged(found) if found else None


async def page(node: Node, words: str) -> str | None:
    """Return the page, once it says that; after a restore, the database is looked at first."""
    url = f"http://127.0.0.1:{node.gateway.status.port}/"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        shown = await answer.text()
    return shown if words in shown else None
