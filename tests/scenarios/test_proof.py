"""
What proves what: an answer that was lost, mixed up or given twice makes nobody believe too much.

Each course is played between two gateways, or with a Receiver of another make, and says what
the EPR, the page and the log tell.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from asked_epr import answering, epr_at
from bookings import booking, cancelled_referral
from messages import NHS_NUMBER, referral, validation_request
from moving import made, move, socket_of, transfer
from scripted import Scripted, another_make, fine, outcome
from store_values import NOW
from structlog.testing import capture_logs
from telling import told as responding
from world import Node, World, eventually, headers, post, world_in

from bars_gateway.demo.messages import response
from bars_gateway.model.messages import Part, Payload
from bars_gateway.standard.answers import Minted, acknowledge, acknowledge_change
from bars_gateway.standard.bundle import read
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.workflow import State
from bars_gateway.store import readings

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]
ANOTHER = b"9990000026"
OTHERS_RECORD = "the-other-patients-record"
NUMBER = {"system": "https://fhir.nhs.uk/Id/nhs-number"}
KEPT = ("MessageHeader", "ServiceRequest")
FOCUS_ID = "8f9f3c1e-1f57-4f55-8a52-6f1f3a3d5b03"
QUICK = "target_check_seconds = 0\nread_before_cancel = false\nserver_errors_limit = 2"
IMPATIENT = "[timing.a3]\nfirst_retry_seconds = 0.1\nlongest_retry_seconds = 0.3"
LOST = outcome(408, "REC_TIMEOUT", "timeout")
ERROR = outcome(200, "REC_UNPROCESSABLE_ENTITY", "processing")
DUPLICATE = outcome(409, "REC_CONFLICT", "duplicate")
CONFLICT = outcome(409, "REC_CONFLICT", "conflict")
NO_SERVICE = outcome(404, "PROXY_NOT_FOUND", "not-found")
Saying = Callable[[bytes], web.Response]


def told(answer: Callable[[], web.Response]) -> Saying:
    return lambda _body: answer()


def acknowledging(body: bytes, focus_id: str = FOCUS_ID) -> web.Response:
    """Acknowledge the message as this gateway would."""
    message = read(body)
    minted = Minted(
        focus_id=focus_id, encounter_id=new_id(), reference="R-1", reference_system="urn:r"
    )
    tree = acknowledge_change(message, new_id, NOW)
    if message.reason == "new":
        tree = acknowledge(message, minted, new_id, NOW)
    return fine(to_bytes(tree, Format.JSON))


def new_id() -> str:
    return str(uuid.uuid4())


def of_another(body: bytes) -> web.Response:
    """Acknowledge another patient's request, under the ids of this one."""
    return acknowledging(body.replace(NHS_NUMBER.encode(), ANOTHER), OTHERS_RECORD)


def of_another_by_number(body: bytes) -> web.Response:
    """Acknowledge under this message's ids a record that gives another number as its subject."""
    bundle = json.loads(acknowledging(body, OTHERS_RECORD).body or b"")
    kept = [e for e in bundle["entry"] if e["resource"]["resourceType"] in KEPT]
    for entry in kept:
        if entry["resource"]["resourceType"] == "ServiceRequest":
            entry["resource"]["subject"] = {"identifier": NUMBER | {"value": ANOTHER.decode()}}
    return fine(json.dumps(bundle | {"entry": kept}).encode())


def of_another_alone(body: bytes) -> web.Response:
    """Acknowledge with that record alone, in no Bundle."""
    bundle = json.loads(of_another_by_number(body).body or b"")
    return fine(json.dumps(bundle["entry"][1]["resource"]).encode())


@asynccontextmanager
async def playing(
    folder: Path, *answers: Saying
) -> AsyncIterator[tuple[World, Scripted, dict[str, Any]]]:
    """Send a referral to a Receiver that says these; yield with the outcome."""
    async with (
        world_in(folder, outbound=QUICK) as world,
        another_make(world, world.hospital.service, *answers) as scripted,
    ):
        receipt = await world.ambulance.sent("r.json", referral())
        yield world, scripted, await world.ambulance.outcome(receipt["request_id"])


async def page(node: Node) -> str:
    """Return what the operator's page says."""
    url = f"http://127.0.0.1:{node.gateway.status.port}/"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


async def rows(node: Node, told_outcome: dict[str, Any]) -> list[str]:
    history = await node.history(told_outcome["request_id"])
    assert history is not None
    return [attempt.row for attempt in history.attempts]


async def state(node: Node, told_outcome: dict[str, Any]) -> State:
    history = await node.history(told_outcome["request_id"])
    assert history is not None
    return history.workflow.state


def answers_of(node: Node) -> Sequence[bytes]:
    """Return what the EPR got as the Receiver's answers."""
    return [file.read_bytes() for file in node.files("inbox/new/*.answer.json")]


def outcomes_of(node: Node) -> Sequence[dict[str, Any]]:
    return [json.loads(file.read_bytes()) for file in node.files("inbox/new/*.outcome.json")]


async def unproven(node: Node, told_outcome: dict[str, Any]) -> Payload | None:
    """Return what is kept of a 2xx that is nobody's answer."""
    keys = {"message_id": told_outcome["message_id"], "part": Part.UNPROVEN}
    return await node.seen(lambda c: readings.payload(c, **keys))


MAY_HAVE = "may or may not have arrived"
MIXED_UP = "answered with the record of another patient"


@pytest.mark.parametrize("then", [NO_SERVICE, CONFLICT], ids=["no-service", "conflict"])
async def test_what_may_have_arrived_is_never_refused(
    tmp_path: Path, then: Callable[[], web.Response]
) -> None:
    """The first answer got lost: no later refusal shows that the Receiver has not got it."""
    async with playing(tmp_path, told(LOST), told(then), told(then)) as (world, _, outcome_):
        shown = await page(world.ambulance)

        assert ["timeout", "refused-in-doubt", "refused-in-doubt"] == await rows(
            world.ambulance, outcome_
        )
        assert State.UNCONFIRMED is await state(world.ambulance, outcome_)
    assert "unconfirmed" == outcome_["state"]
    assert "do not know" in outcome_["means"]
    assert MAY_HAVE in shown
    assert "got a refusal" not in shown


async def test_a_yes_that_holds_an_error_is_none(tmp_path: Path) -> None:
    """Nobody reads that responsibility has passed; others are taken, and somebody telephones."""
    erring = referral(use_case="a3t1")

    def answer(body: bytes) -> web.Response:
        return ERROR() if body == erring else fine()

    async with world_in(tmp_path, outbound=QUICK, ambulance=IMPATIENT) as world:
        async with another_make(world, world.hospital.service, *[answer] * 400):
            receipt = await world.ambulance.sent("erring.json", erring)
            while "unconfirmed" not in [n["state"] for n in outcomes_of(world.ambulance)]:
                other = await world.ambulance.sent(f"{new_id()}.json", referral(use_case="a3t1"))
                await world.ambulance.outcome(other["request_id"])
        outcome_ = await world.ambulance.outcome(receipt["request_id"])
        shown = await page(world.ambulance)
        kept = await unproven(world.ambulance, outcome_)

        assert {"ok-with-an-error"} == set(await rows(world.ambulance, outcome_))
        assert State.UNCONFIRMED is await state(world.ambulance, outcome_)
    assert "unconfirmed" == outcome_["state"]
    assert "Telephone now" in outcome_["means"]
    assert MAY_HAVE in shown
    assert kept is not None


async def test_a_duplicate_after_a_yes_with_an_error_is_proof(tmp_path: Path) -> None:
    """That attempt may have arrived; no id is taken of what came with the error."""

    def with_an_error(body: bytes) -> web.Response:
        bundle = json.loads(acknowledging(body).body or b"")
        bundle["entry"].append({"resource": json.loads(ERROR().body or b"")})
        return fine(json.dumps(bundle).encode())

    async with playing(tmp_path, with_an_error, told(DUPLICATE)) as (world, scripted, outcome_):
        assert ["ok-with-an-error", "duplicate"] == await rows(world.ambulance, outcome_)
    assert ("acknowledged", None) == (outcome_["state"], outcome_["focus_id"])
    assert 2 == len(scripted.posted)


async def test_a_refusal_in_doubt_may_still_end_well(tmp_path: Path) -> None:
    """The catalogue was wrong for a moment, and the retry is told *duplicate*."""
    said = (told(LOST), told(NO_SERVICE), told(DUPLICATE))
    async with playing(tmp_path, *said) as (_, scripted, outcome_):
        pass

    assert ("acknowledged", 3) == (outcome_["state"], len(scripted.posted))


async def test_a_plain_refusal_is_one(tmp_path: Path) -> None:
    """Nothing before it can have arrived: it is told at once, with its reason."""
    async with playing(tmp_path, told(CONFLICT)) as (world, _, outcome_):
        assert ["conflict"] == await rows(world.ambulance, outcome_)
    assert ("refused", "REC_CONFLICT") == (outcome_["state"], outcome_["code"])


@pytest.mark.parametrize("answered", [of_another, of_another_by_number, of_another_alone])
async def test_an_answer_about_another_patient_is_nobodys(tmp_path: Path, answered: Saying) -> None:
    """The retry proves the message: the first body gives no id, and is no answer for the EPR."""
    with capture_logs() as logs:
        async with playing(tmp_path, answered, acknowledging) as (world, scripted, outcome_):
            shown = await page(world.ambulance)
            answers = answers_of(world.ambulance)
            history = await world.ambulance.history(outcome_["request_id"])
            assert history is not None

    assert 2 == len(scripted.posted)
    assert ("acknowledged", FOCUS_ID) == (outcome_["state"], outcome_["focus_id"])
    assert ["foreign_ack"] == outcome_["remarks"]
    assert "another patient or case" in outcome_["means"]
    assert MIXED_UP in shown
    assert 1 == len(answers)
    assert ANOTHER not in answers[0]
    assert "message.foreign_ack" in [event.kind for event in history.events]
    assert ["foreign-ack", "acknowledged"] == [
        each["row"] for each in logs if each["event"] == "outbound.attempt_ended"
    ]


@pytest.mark.parametrize(
    ("then", "row"),
    [
        (of_another, "foreign-ack-again"),
        (told(DUPLICATE), "duplicate-after-foreign-ack"),
        (told(outcome(503, "REC_SERVICE_UNAVAILABLE", "transient")), "unavailable"),
        (told(CONFLICT), "refused-in-doubt"),
    ],
)
async def test_after_that_one_retry_is_all(tmp_path: Path, then: Saying, row: str) -> None:
    """It proves nothing either: nobody knows whose record the Receiver has made."""
    async with playing(tmp_path, of_another, then) as (world, scripted, outcome_):
        shown = await page(world.ambulance)
        answers = answers_of(world.ambulance)
        kept = await unproven(world.ambulance, outcome_)

        assert ["foreign-ack", row] == await rows(world.ambulance, outcome_)
    assert 2 == len(scripted.posted)
    assert ("unconfirmed", None) == (outcome_["state"], outcome_["focus_id"])
    assert "foreign_ack" in outcome_["remarks"]
    assert MAY_HAVE in shown
    assert MIXED_UP in shown
    assert [] == [answer for answer in answers if ANOTHER in answer]
    assert kept is not None
    assert ANOTHER in kept.body


async def test_no_cancellation_names_another_patients_record(tmp_path: Path) -> None:
    """The number that came with another patient is in nothing that we compose."""
    answers = (of_another_by_number, acknowledging, acknowledging)
    async with playing(tmp_path, *answers) as (world, scripted, outcome_):
        status, receipt = await made(
            world.ambulance, move(outcome_["request_id"], "cancel", text="Gone home.")
        )
        cancelled = await world.ambulance.outcome(receipt["request_id"])

    assert 201 == status
    assert "acknowledged" == cancelled["state"]
    assert FOCUS_ID.encode() in scripted.posted[-1]
    assert OTHERS_RECORD.encode() not in scripted.posted[-1]


async def test_ids_of_a_bundle_that_is_nobodys_are_not_taken(tmp_path: Path) -> None:
    """Nothing contradicts: the Receiver has it, and is asked what it calls the record."""

    def of_its_own(body: bytes) -> web.Response:
        bundle = json.loads(acknowledging(body, "some-record").body)
        text = json.dumps({**bundle, "id": new_id()})
        for entry in bundle["entry"]:
            text = text.replace(entry["fullUrl"], f"urn:uuid:{new_id()}")
        return fine(text.encode())

    async with playing(tmp_path, of_its_own) as (world, scripted, outcome_):
        reconciled = await eventually(lambda: world.ambulance.files("inbox/new/*.reconciled.json"))
        notice = json.loads(reconciled[0].read_bytes())

    assert ("acknowledged", None) == (outcome_["state"], notice["focus_id"])
    assert ["no_ids_taken"] == outcome_["remarks"]
    assert "unread" == notice["reconciled"]
    assert 1 == len(scripted.asked)


async def test_from_the_answer_to_a_cancellation_no_id_is_taken(tmp_path: Path) -> None:
    """Test kits answer under other ids: that says nothing of the record that is cancelled."""

    def elsewhere(body: bytes) -> web.Response:
        return fine(acknowledging(body).body.replace(FOCUS_ID.encode(), b"another-record"))

    with capture_logs() as logs:
        async with playing(tmp_path, acknowledging, elsewhere) as (world, _, first):
            (answer,) = answers_of(world.ambulance)
            cancelled = await world.ambulance.sent("c.json", cancelled_referral(json.loads(answer)))
            second = await world.ambulance.outcome(cancelled["request_id"])
            assert State.CANCELLED is await state(world.ambulance, first)

    assert ("acknowledged", FOCUS_ID) == (second["state"], second["focus_id"])
    assert 1 == len([each for each in logs if each["event"] == "outbound.other_id"])


def showing(scripted: Scripted, **changes: Any) -> Callable[[], web.Response]:
    """Show what was posted, as a search would, with some of it changed."""

    def show() -> web.Response:
        message = read(scripted.posted[0])
        (focus,) = (e.resource for e in message.entries if e.type == "ServiceRequest")
        record = {**focus, "id": FOCUS_ID, **changes}
        bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": record}]}
        return fine(json.dumps(bundle).encode())

    return show


def of_patient(number: str, system: str = NUMBER["system"]) -> dict[str, Any]:
    return {"identifier": {"system": system, "value": number}}


HELD = {"resourceType": "Patient", "id": "p", "identifier": [{**NUMBER, "value": ANOTHER.decode()}]}
PLAIN = "http://fhir.nhs.uk/Id/nhs-number"


@pytest.mark.parametrize(
    ("changes", "state_", "reconciled"),
    [
        pytest.param({}, "acknowledged", "found", id="ours"),
        pytest.param(
            {"subject": of_patient("999 000 0018", PLAIN)}, "acknowledged", "found", id="spelt"
        ),
        pytest.param({"status": "revoked"}, "acknowledged", "over", id="over"),
        pytest.param(
            {"authoredOn": "2020-01-01T00:00:00Z", "identifier": []},
            "unconfirmed",
            "none",
            id="another-case",
        ),
        pytest.param(
            {"subject": of_patient(ANOTHER.decode(), PLAIN)},
            "unconfirmed",
            "none",
            id="another-patient",
        ),
        pytest.param(
            {"subject": {"reference": "#p"}, "contained": [HELD]},
            "unconfirmed",
            "none",
            id="another-contained",
        ),
        pytest.param(
            {"subject": {"reference": "Patient/p1"}}, "unconfirmed", "unnamed", id="nobody-shown"
        ),
    ],
)
async def test_a_duplicate_of_what_was_sent_once_proves_nothing(
    tmp_path: Path, changes: dict[str, Any], state_: str, reconciled: str
) -> None:
    """No further POST; the Receiver's record proves it, if that is our patient's and our case."""
    async with (
        world_in(tmp_path, outbound=QUICK) as world,
        another_make(world, world.hospital.service, told(DUPLICATE)) as scripted,
    ):
        scripted.shows = showing(scripted, **changes)
        receipt = await world.ambulance.sent("r.json", referral())
        first = await world.ambulance.outcome(receipt["request_id"])
        (file,) = await eventually(lambda: world.ambulance.files("inbox/new/*.reconciled.json"))
        looked_for = json.loads(file.read_bytes())
        history = await world.ambulance.history(receipt["request_id"])
        assert history is not None
        outcomes = [
            json.loads(each.read_bytes())
            for each in world.ambulance.files("inbox/new/*.outcome.json")
        ]
        shown = await page(world.ambulance)

    assert 1 == len(scripted.posted)
    assert "though it was sent only once" in first["means"]
    assert (state_, reconciled) == (history.message.state, looked_for["reconciled"])
    assert {"none": "cannot find it", "unnamed": "not whose it is"}.get(
        reconciled, "is known now"
    ) in looked_for["means"]
    assert (reconciled == "over") is ("Telephone: ask who sees to" in outcomes[-1]["means"])
    assert "nothing to do now" not in outcomes[-1]["means"]
    if state_ == "acknowledged":
        assert FOCUS_ID == looked_for["focus_id"]
        assert ["arrived_after_all"] == outcomes[-1]["remarks"]
        assert State.ACTIVE is history.workflow.state
        assert MAY_HAVE not in shown
    else:
        assert State.UNCONFIRMED is history.workflow.state
        assert MAY_HAVE in shown


@pytest.mark.parametrize("status", ["cancelled", "noshow", "entered-in-error"])
async def test_a_booking_that_is_over_is_no_success(tmp_path: Path, status: str) -> None:
    """The Receiver took it, without an id, and shows it as over: nobody reads that all is well."""
    body = booking(begin=NOW + timedelta(days=900))
    async with (
        world_in(tmp_path, outbound=QUICK) as world,
        another_make(world, world.hospital.service, told(fine)) as scripted,
    ):
        scripted.shows = a_search(body, status=status, participant=[of_actor(NHS_NUMBER)])
        receipt = await world.ambulance.sent("b.json", body)
        (file,) = await eventually(lambda: world.ambulance.files("inbox/new/*.reconciled.json"))
        notice = json.loads(file.read_bytes())
        _, looked_at = await asked(world.ambulance, f"/messages/{receipt['request_id']}")
        shown = await page(world.ambulance)

    assert "1 message of ours whose record has ended at the Receiver" in shown
    assert ("over", status, FOCUS_ID) == (notice["reconciled"], notice["shown"], notice["focus_id"])
    for told_ in (notice["means"], looked_at["means"]):
        assert "Telephone: ask whether the patient has" in told_
        assert "nothing to do now" not in told_


@pytest.mark.parametrize("held", [False, True], ids=["by-number", "contained"])
async def test_another_patients_booking_at_that_time_is_not_taken(
    tmp_path: Path, *, held: bool
) -> None:
    """Two may have one time: its id stays unknown, and no cancellation can name it."""
    body = booking(begin=NOW + timedelta(days=900))
    who = {"actor": {"reference": "#p"}} if held else of_actor(ANOTHER.decode())
    async with (
        world_in(tmp_path, outbound=QUICK) as world,
        another_make(world, world.hospital.service, told(fine)) as scripted,
    ):
        scripted.shows = a_search(body, participant=[who], contained=[HELD] if held else [])
        receipt = await world.ambulance.sent("b.json", body)
        (file,) = await eventually(lambda: world.ambulance.files("inbox/new/*.reconciled.json"))
        notice = json.loads(file.read_bytes())
        status, _ = await made(world.ambulance, move(receipt["request_id"], "cancel", text="x"))

    assert ("none", None) == (notice["reconciled"], notice["focus_id"])
    assert "we cannot find it there" in notice["means"]
    assert (422, 1) == (status, len(scripted.posted))


async def test_a_cancellation_by_the_number_that_was_telephoned_for_ends_its_request(
    tmp_path: Path,
) -> None:
    """The search finds nothing, so they telephone: and the number that they get is this one's."""
    async with (
        world_in(tmp_path, outbound=QUICK) as world,
        another_make(world, world.hospital.service, told(fine), acknowledging) as scripted,
    ):
        scripted.shows = lambda: fine(b'{"resourceType": "Bundle", "type": "searchset"}')
        asked = await world.ambulance.sent("r.json", validation_request())
        await eventually(lambda: world.ambulance.files("inbox/new/*.reconciled.json"))
        by_number = json.loads(acknowledging(scripted.posted[0]).body or b"")
        receipt = await world.ambulance.sent("c.json", cancelled_referral(by_number))
        fate = await world.ambulance.outcome(receipt["request_id"])
        history = await world.ambulance.history(asked["request_id"])
        assert history is not None

    assert [] == [each for each in receipt["warnings"] if each["rule"] == "L12"]
    assert (asked["workflow_id"], asked["correlation_id"]) == (
        fate["workflow_id"],
        fate["correlation_id"],
    )
    assert "no answer will come" in fate["means"]
    assert State.CANCELLED is history.workflow.state


def of_actor(number: str) -> dict[str, Any]:
    return {"actor": of_patient(number), "status": "accepted"}


def a_search(body: bytes, **changes: Any) -> Callable[[], web.Response]:
    """Show the Appointment of *body*, as a search would, with some of it changed."""
    (record,) = (each for _, each in read(body).all("Appointment"))
    record = {**record, "id": FOCUS_ID, **changes}
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": record}]}
    return lambda: fine(json.dumps(bundle).encode())


async def asked(node: Node, path: str) -> tuple[int, dict[str, Any]]:
    async with socket_of(node) as session, session.get(path) as response_:
        return response_.status, await response_.json()


async def test_a_crash_in_the_middle_of_a_post_leaves_it_open(tmp_path: Path) -> None:
    """Nobody knows whether it arrived: what the Receiver refuses after it is not refused."""
    async with (
        world_in(tmp_path, outbound=QUICK) as world,
        another_make(world, world.hospital.service, told(CONFLICT), told(CONFLICT)) as scripted,
    ):
        world.sandbox.faults.arm({"kind": "token_outage"})
        receipt = await world.ambulance.sent("r.json", referral())
        await world.ambulance.stop()
        await died_while_sending(world.ambulance)
        world.sandbox.faults.clear()
        await world.ambulance.restart()
        outcome_ = await world.ambulance.outcome(receipt["request_id"])

    assert ("unconfirmed", 3) == (outcome_["state"], outcome_["attempts"])
    assert 2 == len(scripted.posted)


async def died_while_sending(node: Node) -> None:
    """Leave the database as a gateway does that was killed between the POST and its answer."""
    node.ask(
        "UPDATE messages SET state = 'sending', claims = claims + 1, attempts = 1,"
        " next_attempt_at = NULL, claimed_by = ?, claimed_until = '2999-01-01T00:00:00.000Z'",
        node.name,
    )


def allocated(acknowledgement: bytes, encounter: str = "in-progress") -> bytes:
    """Return what the hospital says once somebody acts on the request."""
    return response(acknowledgement, encounter=encounter)


async def notices(node: Node, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """Return so many notices, once they are there."""
    pattern = f"inbox/new/*.{kind}.json"
    files = await eventually(lambda: len(f := node.files(pattern)) >= count and f)
    return [json.loads(file.read_bytes()) for file in files]


async def given_up(world: World) -> tuple[dict[str, Any], bytes]:
    """Send a validation request that arrives, while no answer ever comes back: unconfirmed."""
    world.sandbox.faults.arm({"kind": "status", "status": 500, "after": True})
    receipt = await world.ambulance.sent("v.json", validation_request())
    await world.ambulance.lapses(receipt["request_id"])
    outcome_ = await world.ambulance.outcome(receipt["request_id"])
    world.sandbox.faults.clear()
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    return outcome_, answer.read_bytes()


async def test_an_answer_proves_what_nobody_could_confirm(tmp_path: Path) -> None:
    """No call is needed any more, and whoever has acted meanwhile is told to look."""
    async with world_in(tmp_path, outbound=QUICK) as world:
        first, acknowledgement = await given_up(world)
        before = await page(world.ambulance)
        receipt = await world.hospital.sent("i.json", allocated(acknowledgement))
        answered = await world.hospital.outcome(receipt["request_id"])
        (came,) = await notices(world.ambulance, "notice")
        outcomes = await notices(world.ambulance, "outcome", 2)
        after = await page(world.ambulance)

    assert "acknowledged" == answered["state"]
    assert "unconfirmed" == first["state"]
    assert MAY_HAVE in before
    assert ("acknowledged", ["arrived_after_all"]) == (
        outcomes[-1]["state"],
        outcomes[-1]["remarks"],
    )
    assert "call about that is no longer needed" in outcomes[-1]["means"]
    assert ["arrived_after_all"] == came["remarks"]
    assert MAY_HAVE not in after
    assert "came with a remark" in after


async def test_an_answer_to_what_was_refused_alarms(tmp_path: Path) -> None:
    """The Receiver said no, and acts on it all the same: somebody may be on the way."""
    async with world_in(tmp_path, outbound=QUICK) as world:
        body = validation_request()
        async with another_make(world, world.hospital.service, told(CONFLICT)):
            receipt = await world.ambulance.sent("v.json", body)
            first = await world.ambulance.outcome(receipt["request_id"])
        acknowledgement = acknowledging(body).body
        status, _, _ = await post(
            world,
            allocated(acknowledgement),
            headers(world.ambulance.service),
            node=world.ambulance,
        )
        (came,) = await notices(world.ambulance, "notice")
        shown = await page(world.ambulance)

    assert ("refused", 200) == (first["state"], status)
    assert "answers_refused" in came["remarks"]
    assert "was said to have been refused, or never sent" in came["means"]
    assert "came with a remark" in shown


async def test_a_rejection_of_what_was_refused_stops_no_fallback(tmp_path: Path) -> None:
    """The Receiver said no, had it all the same, and says no again: nobody there acts on it."""
    async with world_in(tmp_path, outbound=QUICK) as world:
        async with another_make(world, world.hospital.service, told(CONFLICT)):
            receipt = await world.ambulance.sent("t.json", transfer("a6t2"))
            await world.ambulance.outcome(receipt["request_id"])
        request = await sent_bytes(world.ambulance, receipt)
        rejection = responding(acknowledging(request).body, "cancelled")
        await post(world, rejection, headers(world.ambulance.service), node=world.ambulance)
        (came,) = await notices(world.ambulance, "notice")
        shown = await page(world.ambulance)

    assert ("rejected", ["answers_refused"]) == (came["says"], came["remarks"])
    assert "The patient is your responsibility again: act now." in came["means"]
    assert "Let what was begun in its place go on" in came["means"]
    assert "top what was begun" not in came["means"]
    assert "came with a remark" in shown


async def sent_bytes(node: Node, receipt: dict[str, Any]) -> bytes:
    keys = {"message_id": receipt["message_id"], "part": Part.REQUEST}
    found = await node.seen(lambda c: readings.payload(c, **keys))
    assert found is not None
    return found.body


async def test_what_a_response_has_proved_can_be_cancelled(tmp_path: Path) -> None:
    """Every answer was lost; the response tells by which id the record is known there."""
    asked = 'questions = "socket"'
    async with (
        world_in(tmp_path, asked=asked, outbound=QUICK) as world,
        answering(world.hospital.socket),
    ):
        world.sandbox.faults.arm({"kind": "drop_after", "count": 1000, "method": "POST"})
        receipt = await world.ambulance.sent("t.json", transfer("a6t2"))
        (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
        arrived = responding(answer.read_bytes(), "arrived")
        await post(world, arrived, headers(world.ambulance.service), node=world.ambulance)
        (came,) = await notices(world.ambulance, "notice")
        world.sandbox.faults.clear()
        status, made_ = await made(
            world.ambulance, move(receipt["request_id"], "cancel", text="Gone home.")
        )
        fate = await world.ambulance.outcome(made_["request_id"])

        assert State.CANCELLED is await state(world.hospital, await asked_of(world.hospital))
    assert came["focus_id"] is not None
    assert (201, "acknowledged") == (status, fate["state"])
    assert came["focus_id"] == fate["focus_id"]


async def asked_of(node: Node) -> dict[str, Any]:
    """Return the notice of the request that came."""
    found: dict[str, Any] = (await notices(node, "notice"))[0]
    return found


async def test_an_allocation_after_a_cancellation_that_nobody_could_confirm_alarms(
    tmp_path: Path,
) -> None:
    """The cancellation may not have arrived: who was to be called off may be on the way."""
    async with world_in(tmp_path, outbound=QUICK) as world:
        receipt = await world.ambulance.sent("v.json", validation_request())
        await world.ambulance.outcome(receipt["request_id"])
        (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
        acknowledgement = answer.read_bytes()
        world.sandbox.faults.arm({"kind": "status", "status": 500})
        cancelled = await world.ambulance.sent(
            "c.json", cancelled_referral(json.loads(acknowledgement))
        )
        await world.ambulance.lapses(cancelled["request_id"])
        fate = await world.ambulance.outcome(cancelled["request_id"])
        world.sandbox.faults.clear()
        await world.hospital.sent("i.json", allocated(acknowledgement))
        (came,) = await notices(world.ambulance, "notice")
        shown = await page(world.ambulance)

    assert "unconfirmed" == fate["state"]
    assert ["cancel_open"] == came["remarks"]
    assert "the other service goes on" in came["means"]
    assert "came with a remark" in shown


async def sent_again(node: Node, name: str, body: bytes) -> dict[str, Any]:
    receipt = await node.sent(name, body)
    return await node.outcome(receipt["request_id"])


async def test_one_id_for_two_patients_is_not_taken(tmp_path: Path) -> None:
    """The second stays without an id: a cancellation by it would be the first one's."""
    async with playing(tmp_path, acknowledging, acknowledging) as (world, _, first):
        other = referral().replace(NHS_NUMBER.encode(), ANOTHER)
        second = await sent_again(world.ambulance, "o.json", other)
        shown = await page(world.ambulance)
        history = await world.ambulance.history(second["request_id"])
        again = await sent_again_of(world.ambulance, first)
        assert history is not None

    assert ("acknowledged", FOCUS_ID) == (first["state"], first["focus_id"])
    assert ("acknowledged", None) == (second["state"], second["focus_id"])
    assert ["shared_id"] == second["remarks"]
    assert "number was not taken" in second["means"]
    assert "the number of another patient" in shown
    assert "message.shared_id" in [event.kind for event in history.events]
    assert FOCUS_ID == again


async def test_a_cancellation_by_a_shared_id_is_its_own_patients(tmp_path: Path) -> None:
    """One patient's referral is never cancelled for another's, whatever the Receiver calls it."""
    said = (acknowledging, acknowledging, acknowledging)
    async with playing(tmp_path, *said) as (world, scripted, first):
        before = set(world.ambulance.files("inbox/new/*.answer.json"))
        other = referral().replace(NHS_NUMBER.encode(), ANOTHER)
        second = await sent_again(world.ambulance, "o.json", other)
        (file,) = set(world.ambulance.files("inbox/new/*.answer.json")) - before
        cancellation = cancelled_referral(json.loads(file.read_bytes()))
        world.ambulance.drop("c.json", cancellation, b'{"patient_changed": true}')
        receipt = await world.ambulance.document("outbox/accepted/c.receipt.json")
        fate = await world.ambulance.outcome(receipt["request_id"])
        states = [await state(world.ambulance, each) for each in (first, second)]
        told_of = [(each["workflow_id"], each["move"]) for each in outcomes_of(world.ambulance)]

    assert [State.ACTIVE, State.CANCELLED] == states
    assert ("acknowledged", second["workflow_id"]) == (fate["state"], fate["workflow_id"])
    assert second["correlation_id"] == fate["correlation_id"]
    assert [
        (first["workflow_id"], "request"),
        (second["workflow_id"], "cancel"),
        (second["workflow_id"], "request"),
    ] == sorted(told_of)
    assert cancellation == scripted.posted[-1]


async def sent_again_of(node: Node, told_outcome: dict[str, Any]) -> str | None:
    """Return the id that the workflow of an earlier message has by now."""
    query = "SELECT focus_id FROM workflows WHERE id = ?"
    ((found,),) = await asyncio.to_thread(node.ask, query, told_outcome["workflow_id"])
    return str(found) if found else None


async def test_the_same_case_built_anew_is_shown_as_one_record(tmp_path: Path) -> None:
    """Both hold the id, and each names the other."""
    async with playing(tmp_path, acknowledging, acknowledging) as (world, scripted, first):
        again = json.loads(scripted.posted[0]) | {"id": new_id()}
        second = await sent_again(world.ambulance, "o.json", json.dumps(again).encode())

    assert (FOCUS_ID, []) == (second["focus_id"], second["remarks"])
    assert [("same_record", first["workflow_id"])] == [
        (link["relation"], link["workflow_id"]) for link in second["links"]
    ]


async def test_the_id_of_what_is_over_goes_to_the_newer(tmp_path: Path) -> None:
    """The earlier is found by its Bundle.id; nobody can cancel it any more."""
    said = (acknowledging, acknowledging, acknowledging)
    async with playing(tmp_path, *said) as (world, _, first):
        (answer,) = answers_of(world.ambulance)
        await sent_again(world.ambulance, "c.json", cancelled_referral(json.loads(answer)))
        other = referral().replace(NHS_NUMBER.encode(), ANOTHER)
        second = await sent_again(world.ambulance, "o.json", other)

        assert await sent_again_of(world.ambulance, first) is None
    assert (FOCUS_ID, ["id_used_before"]) == (second["focus_id"], second["remarks"])


async def test_a_cancellation_that_came_after_the_end_says_so(tmp_path: Path) -> None:
    """It was received, and changed nothing: the final response had come while it was on its way."""
    async with world_in(tmp_path, outbound=QUICK) as world:
        receipt = await world.ambulance.sent("v.json", validation_request())
        await world.ambulance.outcome(receipt["request_id"])
        (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
        acknowledgement = answer.read_bytes()
        async with another_make(world, world.hospital.service, told(LOST)) as scripted:
            cancelled = await world.ambulance.sent(
                "c.json", cancelled_referral(json.loads(acknowledgement))
            )
            await eventually(lambda: scripted.posted)
            body = response(acknowledgement, encounter="finished")
            await post(world, body, headers(world.ambulance.service), node=world.ambulance)
            scripted.answers.append(acknowledging)
            fate = await world.ambulance.outcome(cancelled["request_id"])

    assert ("acknowledged", ["cancel_after_end"]) == (fate["state"], fate["remarks"])
    assert "final response had come before" in fate["means"]
    assert "is cancelled" not in fate["means"]


NOTHING_LEFT = "the final response has come already, and nothing is left to cancel"


@pytest.mark.parametrize(("body", "end"), [(transfer("a6t2"), "cancelled"), (None, "finished")])
async def test_a_cancellation_that_is_refused_after_the_end_says_that_nothing_stands(
    tmp_path: Path, body: bytes | None, end: str
) -> None:
    """The Receiver's EPR had given its last word before it said no: nobody is on the way."""
    async with (
        world_in(tmp_path, asked='questions = "socket"', outbound=QUICK) as world,
        epr_at(world.hospital.socket) as epr,
    ):
        await epr.questions(wait=0)
        receipt = await world.ambulance.sent("r.json", body or validation_request())
        await world.ambulance.outcome(receipt["request_id"])
        (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
        _, document = await made(world.ambulance, move(receipt["request_id"], "cancel"))
        question = await epr.question()
        final = responding(answer.read_bytes(), end)
        await post(world, final, headers(world.ambulance.service), node=world.ambulance)
        await epr.answer(question["question_id"], {"refuse": "not-current"})
        fate = await world.ambulance.outcome(document["request_id"])
        shown = await page(world.ambulance)

    assert ("refused", ["cancel_after_end"]) == (fate["state"], fate["remarks"])
    assert NOTHING_LEFT in fate["means"]
    assert NOTHING_LEFT in shown
    assert "stands" not in fate["means"]


async def test_a_cancellation_that_nobody_confirms_after_the_end_says_that_nothing_stands(
    tmp_path: Path,
) -> None:
    """It is not to be assumed that somebody is on the way of what was turned down."""
    async with world_in(tmp_path, outbound=QUICK) as world:
        receipt = await world.ambulance.sent("r.json", transfer("a6t2"))
        await world.ambulance.outcome(receipt["request_id"])
        (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
        world.sandbox.faults.arm({"kind": "status", "status": 500, "count": 1000})
        _, document = await made(world.ambulance, move(receipt["request_id"], "cancel"))
        final = responding(answer.read_bytes(), "cancelled")
        await post(world, final, headers(world.ambulance.service), node=world.ambulance)
        await world.ambulance.lapses(document["request_id"])
        fate = await world.ambulance.outcome(document["request_id"])

    assert ("unconfirmed", ["cancel_after_end"]) == (fate["state"], fate["remarks"])
    assert NOTHING_LEFT in fate["means"]
    assert "stands" not in fate["means"]


async def test_who_gives_everybody_the_same_id_gives_none(tmp_path: Path) -> None:
    """A stub answers so; each that came after the first few stays without, and alarms."""
    said = [acknowledging] * 10
    async with playing(tmp_path, *said) as (world, scripted, first):
        outcomes = [first]
        for number in range(9):
            again = json.loads(scripted.posted[0]) | {"id": new_id()}
            body = json.dumps(again).encode()
            outcomes.append(await sent_again(world.ambulance, f"{number}.json", body))

    assert [FOCUS_ID] * 9 + [None] == [each["focus_id"] for each in outcomes]
    assert "shared_id" in outcomes[-1]["remarks"]


async def test_who_wanted_to_cancel_reads_that_it_never_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody said what stands there: the page says so meanwhile, and the next response after."""
    monkeypatch.setattr(
        "bars_gateway.outbound.record_reads.READ_AGAIN_AFTER", timedelta(seconds=0.1)
    )
    monkeypatch.setattr("bars_gateway.store.record_reads.WITHIN", timedelta(0))
    reads = "target_check_seconds = 0"
    async with world_in(tmp_path, asked='questions = "socket"', outbound=reads) as world:
        receipt = await world.ambulance.sent("t.json", transfer("a6t2"))
        first = await world.ambulance.outcome(receipt["request_id"])
        (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
        world.sandbox.faults.arm({"kind": "status", "status": 503, "method": "GET", "count": 9999})
        _, cancelled = await made(
            world.ambulance, move(receipt["request_id"], "cancel", text="Gone home.")
        )
        await notices(world.ambulance, "cancel_not_sent")
        waiting = await page(world.ambulance)
        past = "2020-01-01T00:00:00.000Z"
        late = "UPDATE messages SET give_up_at = ? WHERE request_id = ?"
        await asyncio.to_thread(world.ambulance.ask, late, past, cancelled["request_id"])
        fate = await world.ambulance.outcome(cancelled["request_id"])
        over = await page(world.ambulance)
        body = responding(answer.read_bytes(), "in-progress")
        await post(world, body, headers(world.ambulance.service), node=world.ambulance)
        (came,) = await notices(world.ambulance, "notice")

    assert ("acknowledged", "not_sent") == (first["state"], fate["state"])
    assert "1 cancellation not sent yet" in waiting
    assert "not sent yet" not in over
    assert "never left this organisation" in over
    assert ["cancel_unsent"] == came["remarks"]
    assert "the cancellation never left" in came["means"]
    assert "nothing to do" not in came["means"]
