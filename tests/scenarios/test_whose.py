"""Whose a message is: another patient, and a second record of the same one, on two installs."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from asked_epr import YES, answering, epr_at
from bookings import booking, cancelled_referral
from messages import NHS_NUMBER, referral, validation_request
from mixed_up import FORMS, about_one, in_a_second_patient, in_the_records, mixed_up
from moving import made, move, socket_of, state, transfer
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from variants import resource
from world import Node, World, eventually, headers, post, world_in

from bars_gateway.demo.messages import response
from bars_gateway.standard.workflow import State
from bars_gateway.status.concerns import concerns
from bars_gateway.status.running import RuntimeState

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]

Document = dict[str, Any]
ANOTHER, THIRD, PLACEHOLDER = "9990000026", "9990000034", "0000000000"
NHS = "https://fhir.nhs.uk/Id/nhs-number"
VERIFIED = next(
    each["identifier"][0]["extension"]
    for entry in json.loads(referral())["entry"]
    if (each := entry["resource"])["resourceType"] == "Patient"
)
CHECK = "check whose this is before you file it"
CHECK_IT = "Check whose this is before you file it."
AS_JSON = {"Content-Type": "application/fhir+json"}
CHANGED = b'{"patient_changed": true}'


NOTHING_WRONG = RuntimeState(
    version="1",
    environment="local",
    node="here",
    started_at=datetime(2026, 3, 2, tzinfo=UTC),
    address="127.0.0.1:1",
    stopping=False,
    tokens=(),
    expiries=(),
    handshake_failures={},
)


async def page(node: Node) -> str:
    """Return what the top of a gateway's status page says."""
    return " ".join(each.text for each in concerns(await node.overview(), NOTHING_WRONG, 30))


async def told(node: Node, move_of: str) -> Document:
    """Wait for the notice about a message that came, by its move."""

    def found() -> Document | None:
        for file in node.files("inbox/new/*.notice.json"):
            notice: Document = json.loads(file.read_bytes())
            if notice["move"] == move_of and notice["direction"] == "inbound":
                return notice
        return None

    notice: Document = await eventually(found)
    return notice


async def asked(world: World, body: bytes) -> tuple[Document, bytes]:
    """Send a request; return its receipt, and what the hospital acknowledged it with."""
    receipt = await world.ambulance.sent("request.json", body)
    await world.ambulance.outcome(receipt["request_id"])
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    return receipt, answer.read_bytes()


async def refused(node: Node, name: str, body: bytes, envelope: bytes | None = None) -> Document:
    """Drop a file that is refused; return the only issue."""
    node.drop(f"{name}.json", body, envelope)
    (issue,) = (await node.document(f"outbox/refused/{name}.reason.json"))["issues"]
    found: Document = issue
    return found


async def refused_by(node: Node, name: str, body: bytes, envelope: bytes | None = None) -> set[str]:
    """Drop a file that is refused; return by which rules."""
    node.drop(f"{name}.json", body, envelope)
    reason = await node.document(f"outbox/refused/{name}.reason.json")
    return {issue["rule"] for issue in reason["issues"]}


async def accepted(node: Node, name: str, body: bytes, envelope: bytes | None = None) -> Document:
    node.drop(f"{name}.json", body, envelope)
    receipt = await node.document(f"outbox/accepted/{name}.receipt.json")
    return await node.outcome(receipt["request_id"])


def of(body: bytes, number: str | None) -> bytes:
    """Return the Bundle about a patient with another number, or with none."""
    bundle = json.loads(body)
    patient = resource(bundle, "Patient")
    if number is None:
        del patient["identifier"]
    else:
        patient["identifier"][0]["value"] = number
    return json.dumps(bundle).encode()


async def test_a_response_about_another_patient(world: World) -> None:
    """
    Whoever submits it is asked at once; what goes out is delivered, and nothing is guessed.

    Its own sentence is told as ever, and the call to check; the workflow is unclear, no more.
    """
    receipt, acknowledgement = await asked(world, validation_request())
    body = of(response(acknowledgement, encounter="in-progress"), ANOTHER)
    issue = await refused(world.hospital, "first", body)
    own = await world.hospital.overview()
    with capture_logs() as lines:
        outcome = await accepted(world.hospital, "again", body, CHANGED)
    notice = await told(world.ambulance, "progress")

    assert ("G14", "Patient") == (issue["rule"], issue["path"])
    assert "patient_changed: true" in issue["problem"]
    assert [] == list(own.alarms)
    assert "acknowledged" == outcome["state"]
    assert "other_patient" in notice["remarks"]
    assert CHECK in notice["means"]
    assert not notice["means"].startswith("This names another patient")
    assert State.UNCLEAR == await state(world.ambulance, receipt["request_id"])
    assert ["patient.other"] == [a.kind for a in (await world.ambulance.overview()).alarms]
    assert "named another patient than the rest of the case" in await page(world.ambulance)
    assert [200] == [
        line["http_status"] for line in lines if line["event"] == "inbound.request_ended"
    ]
    assert ANOTHER not in json.dumps(lines, default=str)


MIXED_UP = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)


@MIXED_UP
async def test_another_patient_beside_ours_is_another_patient(world: World, form: Any) -> None:
    """A Responder mixed up two requests: ours in the Patient, and theirs in what it found."""
    receipt, acknowledgement = await asked(world, validation_request())
    body = mixed_up(response(acknowledgement, encounter="finished"), form)
    to_us = headers(world.ambulance.service)
    status, _, _ = await post(world, body, to_us, node=world.ambulance)
    notice = await told(world.ambulance, "conclude")

    assert 200 == status
    assert {"other_patient", "two_patients"} <= set(notice["remarks"])
    assert CHECK in notice["means"]
    assert State.UNCLEAR == await state(world.ambulance, receipt["request_id"])
    assert ["patient.other"] == [a.kind for a in (await world.ambulance.overview()).alarms]


@MIXED_UP
async def test_no_message_about_two_patients_leaves(world: World, form: Any) -> None:
    """Neither a response nor a request: whoever wrote it is told where the other one stands."""
    _, acknowledgement = await asked(world, validation_request())
    answer = mixed_up(response(acknowledgement, encounter="finished"), form)
    refused_as = [
        await refused_by(world.hospital, "answer", answer),
        await refused_by(world.hospital, "said-to-be-right", answer, CHANGED),
        await refused_by(world.ambulance, "request-of-two", mixed_up(validation_request(), form)),
    ]

    assert all("P01T" in rules for rules in refused_as), refused_as


@MIXED_UP
async def test_a_request_about_two_patients_is_taken_and_told(world: World, form: Any) -> None:
    """It may be the only word that there is; whoever files it checks whose it is."""
    status, _, _ = await post(world, mixed_up(validation_request(), form), headers())
    notice = await told(world.hospital, "request")

    assert 200 == status
    assert ["two_patients"] == notice["remarks"]
    assert "This names two patients" in notice["means"]
    assert ["patient.two"] == [a.kind for a in (await world.hospital.overview()).alarms]
    assert "1 message came naming two patients" in await page(world.hospital)


async def test_a_question_about_two_patients_alarms_when_it_is_asked(world: World) -> None:
    """Whatever the EPR says to it, a person sees to whose it is; once, for the Sender repeats."""
    world.hospital.asked = 'questions = "socket"'
    await world.hospital.restart()
    body, request = mixed_up(booking(), in_a_second_patient), headers()
    async with answering(world.hospital.socket, lambda _: {"refuse": "changed-here"}) as epr:
        answered = [(await post(world, body, request))[0] for _ in range(2)]
    (question,) = epr.seen
    (alarm,) = (await world.hospital.overview()).alarms

    assert [409, 409] == answered
    assert ["two_patients"] == question["remarks"]
    assert ("patient.two", 1) == (alarm.kind, alarm.times)


@MIXED_UP
@pytest.mark.parametrize("status", ["revoked", "entered-in-error"])
async def test_a_cancellation_about_two_patients_is_the_eprs_to_judge(
    world: World, form: Any, status: str
) -> None:
    """The question says so before anybody's referral is ended for somebody else's."""
    world.hospital.asked = 'questions = "socket"'
    await world.hospital.restart()
    async with answering(world.hospital.socket, lambda _: {"refuse": "changed-here"}) as epr:
        _, acknowledgement = await asked(world, validation_request())
        body = mixed_up(cancelled_referral(json.loads(acknowledgement), status), form)
        answered, _, _ = await post(world, body, headers())
    question = next(each for each in epr.seen if each["move"] == "cancel")

    assert 409 == answered
    assert ["other_patient", "two_patients"] == question["remarks"]
    assert ["patient.other"] == [a.kind for a in (await world.hospital.overview()).alarms]


async def test_what_came_about_two_patients_can_be_answered(world: World) -> None:
    """That the answer repeats both is no fault of its writer: word must not stay untold."""
    body = mixed_up(validation_request(), in_the_records)
    _, _, taken = await post(world, body, headers())
    answer = response(json.dumps(taken).encode(), encounter="in-progress")
    world.hospital.drop("begun.json", answer)
    receipt = await world.hospital.document("outbox/accepted/begun.receipt.json")

    assert "P01T" in {each["rule"] for each in receipt["warnings"]}


@MIXED_UP
@pytest.mark.parametrize("number", [NHS_NUMBER, ANOTHER])
async def test_an_answer_about_one_of_two_patients_goes(
    world: World, form: Any, number: str
) -> None:
    """Whoever asked named both: an answer that names either must not stay untold."""
    _, _, taken = await post(world, mixed_up(validation_request(), form), headers())
    answer = of(response(json.dumps(taken).encode(), encounter="in-progress"), number)
    world.hospital.drop("begun.json", about_one(answer))
    receipt = await world.hospital.document("outbox/accepted/begun.receipt.json")

    assert receipt["request_id"]


@pytest.mark.parametrize("said", [("progress", {}), ("decline", {"outcome": "RRNA"})])
async def test_an_answer_to_two_patients_can_be_composed(
    world: World, said: tuple[str, Document]
) -> None:
    """It names the Patient of the request, as the gateway writes it."""
    await post(world, mixed_up(validation_request()), headers())
    request = (await told(world.hospital, "request"))["request_id"]
    answered, how = said
    status, document = await made(world.hospital, move(request, answered, **how))

    assert 201 == status, document


async def test_an_answer_about_neither_of_two_patients_is_asked_about(world: World) -> None:
    """A stranger to both is another patient."""
    _, _, taken = await post(world, mixed_up(validation_request()), headers())
    answer = of(response(json.dumps(taken).encode(), encounter="in-progress"), THIRD)
    issue = await refused(world.hospital, "begun", about_one(answer))

    assert "G14" == issue["rule"]


@pytest.mark.parametrize("number", [NHS_NUMBER, ANOTHER])
async def test_a_cancellation_for_one_of_two_patients_is_not_another_patients(
    world: World, number: str
) -> None:
    """The EPR reads that nobody can tell which of the two is meant, and judges."""
    world.hospital.asked = 'questions = "socket"'
    await world.hospital.restart()
    async with answering(world.hospital.socket, lambda _: YES) as epr:
        _, _, taken = await post(world, mixed_up(validation_request()), headers())
        body = of(cancelled_referral(taken), number)
        await post(world, about_one(body), headers())
    question = next(each for each in epr.seen if each["move"] == "cancel")

    assert ["unknown_patient"] == question["remarks"]
    assert "too little to tell" in question["means"]
    assert ["patient.two"] == [a.kind for a in (await world.hospital.overview()).alarms]


async def test_what_was_said_to_be_right_is_right_afterwards(world: World) -> None:
    """The Responder has said so once: its next message names the same patient."""
    _, acknowledgement = await asked(world, validation_request())
    interim = of(response(acknowledgement, encounter="in-progress"), ANOTHER)
    await accepted(world.hospital, "interim", interim, CHANGED)
    final = of(response(acknowledgement, encounter="finished", reason="update"), ANOTHER)
    outcome = await accepted(world.hospital, "final", final)

    assert "acknowledged" == outcome["state"]


@pytest.mark.parametrize("number", [None, PLACEHOLDER])
async def test_a_patient_who_is_traced_is_the_same(world: World, number: str | None) -> None:
    """Asked about without a number, answered with one: said, and nobody is alarmed."""
    receipt, acknowledgement = await asked(world, of(validation_request(), number))
    bundle = json.loads(response(acknowledgement, encounter="in-progress"))
    traced = resource(json.loads(validation_request()), "Patient")["identifier"]
    resource(bundle, "Patient")["identifier"] = traced
    await accepted(world.hospital, "interim", json.dumps(bundle).encode())
    notice = await told(world.ambulance, "progress")

    assert ["newly_traced"] == notice["remarks"]
    assert State.IN_PROGRESS == await state(world.ambulance, receipt["request_id"])
    assert [] == list((await world.ambulance.overview()).alarms)


async def test_nothing_of_another_patients_proves_that_a_request_arrived(world: World) -> None:
    """It names our request, and may be somebody else's: our request is sent until it is known."""
    world.sandbox.faults.arm({"kind": "drop_after", "count": 1000})
    receipt = await world.ambulance.sent("request.json", validation_request())
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    body = of(response(answer.read_bytes(), encounter="in-progress"), ANOTHER)
    world.hospital.drop("interim.json", body, CHANGED)
    await told(world.ambulance, "progress")
    history = await world.ambulance.history(receipt["request_id"])
    world.sandbox.faults.clear()

    assert history is not None
    assert history.message.state in {"queued", "sending"}


@pytest.mark.parametrize(
    ("answer", "expected", "after"),
    [
        pytest.param(YES, "acknowledged", State.CANCELLED, id="the-epr-knows-them"),
        pytest.param({"refuse": "changed-here"}, "refused", State.ACTIVE, id="the-epr-says-no"),
    ],
)
async def test_a_cancellation_about_another_patient_is_the_eprs_to_judge(
    tmp_path: Any, answer: Document, expected: str, after: State
) -> None:
    """It reads the remark in the question; a person is told whatever it decides."""
    async with (
        world_in(tmp_path, asked='questions = "socket"') as world,
        answering(world.hospital.socket, lambda _: answer) as epr,
    ):
        receipt, acknowledgement = await asked(world, referral())
        (theirs,) = world.hospital.files("inbox/new/*.notice.json")
        body = of(cancelled_referral(json.loads(acknowledgement)), ANOTHER)
        issue = await refused(world.ambulance, "first", body)
        outcome = await accepted(world.ambulance, "again", body, CHANGED)
        (question,) = epr.seen
        reached = await state(world.hospital, receipt["request_id"])
        alarms = [alarm.kind for alarm in (await world.hospital.overview()).alarms]
        shown = await page(world.hospital)

    assert ("G14", expected) == (issue["rule"], outcome["state"])
    assert ["other_patient"] == question["remarks"]
    assert "whose this is" in question["means"]
    assert after == reached
    assert ["patient.other"] == alarms
    assert "named another patient than the rest of the case" in shown
    assert "request" == json.loads(theirs.read_bytes())["move"]


async def test_an_answer_of_our_epr_about_another_patient_does_not_leave(world: World) -> None:
    """It hears so at once, and corrects itself while the Sender waits; nobody is told of two."""
    world.hospital.asked = 'questions = "socket"'
    await world.hospital.restart()
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        answered = group.create_task(post(world, booking(), headers()))
        question = await epr.question()
        own = await epr.request(question["question_id"])
        appointment = resource(bundle := json.loads(own), "Appointment")
        appointment["id"] = str(uuid4())
        wrong = of(json.dumps(bundle).encode(), ANOTHER)
        refused_as = await epr.answer(question["question_id"], wrong)
        taken_as = await epr.answer(question["question_id"], bundle)
    status, _, given = await answered

    assert (422, 200) == (refused_as[0], taken_as[0])
    assert ["Bundle.entry"] == [each["path"] for each in refused_as[1]["issues"]]
    assert (200, appointment["id"]) == (status, resource(given, "Appointment")["id"])
    assert [] == list((await world.hospital.overview()).alarms)


async def test_a_move_may_say_that_the_patient_changed(world: World) -> None:
    """In the words of a move as in an envelope or a header."""
    _, acknowledgement = await asked(world, validation_request())
    (file,) = world.hospital.files("inbox/new/*.notice.json")
    request = json.loads(file.read_bytes())["request_id"]
    patient = resource(json.loads(acknowledgement), "Patient")
    patient["identifier"][0]["value"] = ANOTHER
    resources = [{"resourceType": "Patient", "identifier": patient["identifier"]}]
    silent = await made(world.hospital, move(request, "progress", resources=resources))
    said = move(request, "progress", resources=resources, patient_changed=True)
    loud = await made(world.hospital, said)

    assert (409, ["G14"]) == (silent[0], [issue["rule"] for issue in silent[1]["issues"]])
    assert 201 == loud[0], loud[1]


async def test_one_bundle_id_for_two_patients_is_refused(world: World) -> None:
    """At the door of who minted it: each id of ours must tell two patients apart."""
    name = str(uuid4())
    await accepted(world.ambulance, "one", referral(bundle_id=name))
    issue = await refused(
        world.ambulance, "two", referral(bundle_id=name, nhs_number=ANOTHER, family="OTHER")
    )

    assert ("B05", "Bundle.id") == (issue["rule"], issue["path"])
    assert "a new UUID" in issue["problem"]
    assert [] == list((await world.hospital.overview()).alarms)


async def test_a_referral_that_was_built_again(world: World) -> None:
    """
    An EPR restored from a backup sends it once more: taken like any other, and both are told.

    Who cancels one is told which, and that the other stands.
    """
    body = referral()
    first = await accepted(world.ambulance, "one", body)
    again = json.loads(body) | {"id": str(uuid4())}
    world.ambulance.drop("two.json", json.dumps(again).encode())
    receipt = await world.ambulance.document("outbox/accepted/two.receipt.json")
    second = await world.ambulance.outcome(receipt["request_id"])
    files = await eventually(
        lambda: len(f := world.hospital.files("inbox/new/*.notice.json")) == 2 and f
    )
    theirs = [json.loads(file.read_bytes())["remarks"] for file in files]
    status, cancel = await made(world.ambulance, move(first["request_id"], "cancel"))

    assert ["L11"] == [each["rule"] for each in receipt["warnings"]]
    assert "acknowledged" == second["state"]
    assert ["other_record"] == second["remarks"]
    assert [("other_record", first["workflow_id"])] == [
        (link["relation"], link["workflow_id"]) for link in second["links"]
    ]
    assert [[], ["other_record"]] == theirs
    for node in (world.ambulance, world.hospital):
        assert "record.other" in [alarm.kind for alarm in (await node.overview()).alarms]
        assert "who has the same request already" in await page(node)
    assert 201 == status, cancel
    (warning,) = (each for each in cancel["warnings"] if each["rule"] == "L11")
    assert (
        f"cancels workflow {first['workflow_id']} (there: {first['focus_id']})"
        in (warning["problem"])
    )
    assert f"workflow {second['workflow_id']} (there: {second['focus_id']})" in warning["problem"]


@pytest.mark.parametrize("forms", [(1, 0), (0, 1)], ids=["put-right", "mixed-up-anew"])
async def test_a_request_that_is_put_right_in_a_new_one_is_a_second_record(
    world: World, forms: tuple[int, int]
) -> None:
    """Its Sender named two people, and sends it again for one: both stand here."""
    body = validation_request()
    bodies = (body, mixed_up(body, in_a_second_patient))
    for form in forms:
        again = json.dumps(json.loads(bodies[form]) | {"id": str(uuid4())}).encode()
        status, _, _ = await post(world, again, headers())
        assert 200 == status
    files = await eventually(
        lambda: len(f := world.hospital.files("inbox/new/*.notice.json")) == 2 and f
    )
    remarks = [json.loads(file.read_bytes())["remarks"] for file in files]

    assert "other_record" in remarks[1]
    assert "record.other" in [a.kind for a in (await world.hospital.overview()).alarms]


async def test_who_is_to_cancel_one_of_two_records_is_told_that_the_other_stands(
    tmp_path: Any,
) -> None:
    """Both sides: neither stops what was begun for the other, nor believes it stopped."""
    async with (
        world_in(tmp_path, asked='questions = "socket"') as world,
        answering(world.hospital.socket) as epr,
    ):
        body = referral()
        first = await accepted(world.ambulance, "one", body)
        again = json.dumps(json.loads(body) | {"id": str(uuid4())}).encode()
        await accepted(world.ambulance, "two", again)
        _, document = await made(world.ambulance, move(first["request_id"], "cancel"))
        outcome = await world.ambulance.outcome(document["request_id"])
    question = next(each for each in epr.seen if each["move"] == "cancel")

    assert [["other_stands"]] * 2 == [question["remarks"], outcome["remarks"]]
    assert "and is not cancelled with this one" in question["means"]
    assert "Another one stands there" in outcome["means"]
    assert "is yours again" not in outcome["means"]


async def test_two_records_after_a_resend(world: World) -> None:
    """
    Unconfirmed, sent again as new, and both had arrived: each record's truth stays with it.

    The allocation of the first is not undone by the decline of the second.
    """
    world.sandbox.faults.arm({"kind": "status", "status": 500, "after": True})
    receipt = await world.ambulance.sent("request.json", validation_request())
    await world.ambulance.lapses(receipt["request_id"])
    unconfirmed = await world.ambulance.outcome(receipt["request_id"])
    world.sandbox.faults.clear()
    async with aiohttp.ClientSession(
        "http://gateway", connector=aiohttp.UnixConnector(path=str(world.ambulance.socket))
    ) as epr:
        path = f"/messages/{receipt['request_id']}/resend"
        async with epr.post(path, json={"why": "INC-7", "confirmed": True}) as answer:
            resent = (await answer.json())["resent_as"]
    await world.ambulance.outcome(resent)
    answers = await eventually(
        lambda: len(f := world.hospital.files("inbox/new/*.answer.json")) == 2 and f
    )
    first, second = (file.read_bytes() for file in answers)
    await accepted(world.hospital, "allocated", response(first, encounter="in-progress"))
    both = await world.hospital.overview()
    rejection = response(second, encounter="cancelled", rejection=("RRNA", "Invented."))
    await accepted(world.hospital, "declined", rejection)
    notices = [await told(world.ambulance, each) for each in ("progress", "decline")]

    assert "unconfirmed" == unconfirmed["state"]
    assert [State.IN_PROGRESS, State.DECLINED] == [
        await state(world.ambulance, name) for name in (receipt["request_id"], resent)
    ]
    assert all("other_record" in each["remarks"] for each in notices)
    assert ["other_record"] == [link["relation"] for link in notices[0]["links"]]
    one = await world.hospital.overview()
    assert [True, False] == [
        "record.other" in [alarm.kind for alarm in hospital.alarms] for hospital in (both, one)
    ]
    assert NHS_NUMBER not in await page(world.hospital)


# As production has it of every provider, and an agreement may anywhere.
STRICT = '[providers.{0}.rules."*"]\nP02 = "error"\nP02P = "error"\n'


async def made_strict(node: Node) -> None:
    """Let wrong numbers leave no more, from now on."""
    node.extra = STRICT.format(node.name)
    await node.restart()


def numbered(body: bytes, number: str) -> bytes:
    return body.replace(NHS_NUMBER.encode(), number.encode())


@pytest.mark.parametrize("number", [PLACEHOLDER, "9990000019"])
async def test_what_came_with_a_number_that_is_nobodys_can_be_answered(
    world: World, number: str
) -> None:
    """It was taken, rightly: word of it, and a rejection above all, must not stay untold."""
    receipt, answer = await asked(world, numbered(transfer("a6t2"), number))
    await made_strict(world.hospital)
    status, begun = await made(world.hospital, move(receipt["request_id"], "wait"))
    rejection = response(answer, encounter="cancelled", rejection=("RRNA", "Invented."))
    outcome = await accepted(world.hospital, "no", rejection)
    warned = {each["rule"]: each["refused_in_production"] for each in begun["warnings"]}

    assert (201, "acknowledged") == (status, outcome["state"])
    assert [False] == [warned[rule] for rule in warned if rule in {"P02", "P02P"}]
    assert State.DECLINED == await state(world.ambulance, receipt["request_id"])


async def test_an_answer_may_not_bring_such_a_number_itself(world: World) -> None:
    """It would be news of nobody: who writes it is told, and can mend it."""
    _, answer = await asked(world, validation_request())
    await made_strict(world.hospital)
    begun = numbered(response(answer, encounter="in-progress"), PLACEHOLDER)
    issue = await refused(world.hospital, "begun", begun)

    assert "P02P" == issue["rule"]


async def test_what_went_out_with_such_a_number_can_be_changed_and_cancelled(
    world: World,
) -> None:
    """Sent before that was an error: it must not stand for ever."""
    world.hospital.asked = 'questions = "socket"'
    await world.hospital.restart()
    receipt, _ = await asked(world, numbered(transfer("a6t2"), PLACEHOLDER))
    await made_strict(world.ambulance)
    async with answering(world.hospital.socket):
        status, _ = await made(world.ambulance, move(receipt["request_id"], "update"))
        brings = {"identifier": [{"system": NHS, "value": "9990000019", "extension": VERIFIED}]}
        patient = {"resourceType": "Patient", **brings}
        again = move(receipt["request_id"], "update", resources=[patient])
        refusal, document = await made(world.ambulance, again)
        cancelled, _ = await made(world.ambulance, move(receipt["request_id"], "cancel"))

    assert (201, 422, 201) == (status, refusal, cancelled)
    assert ["P02"] == [each["rule"] for each in document["issues"]]


OF_NUMBERS = [
    pytest.param(PLACEHOLDER, "placeholder_number", "P02P", id="placeholder"),
    pytest.param("9990000019", "wrong_number", "P02", id="wrong-check-digit"),
]


@pytest.mark.parametrize(("number", "remark", "rule"), OF_NUMBERS)
async def test_who_gets_a_number_that_is_nobodys_is_told(
    world: World, number: str, remark: str, rule: str
) -> None:
    """A request is taken with it: the notice says to check, and the log which rule it was."""
    with capture_logs(processors=[merge_contextvars]) as lines:
        await asked(world, numbered(validation_request(), number))
    notice = await told(world.hospital, "request")
    logged = [line.get("rules") for line in lines if line["event"] == "inbound.request_ended"]

    assert [remark] == notice["remarks"]
    assert CHECK_IT in notice["means"]
    assert [[rule]] == logged


@pytest.mark.parametrize(("number", "remark", "rule"), OF_NUMBERS)
async def test_a_number_that_is_nobodys_beside_the_patient_is_told(
    world: World, number: str, remark: str, rule: str
) -> None:
    """Who files a record by the number that stands in it would find nobody, or somebody else."""
    bundle = json.loads(validation_request())
    named = {"identifier": {"system": NHS, "value": number}}
    resource(bundle, "ServiceRequest")["subject"] |= named
    with capture_logs(processors=[merge_contextvars]) as lines:
        receipt, _ = await asked(world, json.dumps(bundle).encode())
    notice = await told(world.hospital, "request")
    logged = [line.get("rules") for line in lines if line["event"] == "inbound.request_ended"]

    assert [(rule, True)] == [
        (each["rule"], each["refused_in_production"]) for each in receipt["warnings"]
    ]
    assert [remark] == notice["remarks"]
    assert "An NHS number in this" in notice["means"]
    assert [[rule]] == logged


async def test_a_right_number_is_not_remarked_upon(world: World) -> None:
    """A remark that is always there is read by nobody."""
    await asked(world, transfer("a6t2"))

    assert [] == (await told(world.hospital, "request"))["remarks"]


async def test_an_answer_that_brings_one_is_told_on_the_socket(world: World) -> None:
    """Whichever door the EPR has, and whatever sort of message came."""
    world.ambulance.asked = 'notices = "socket"'
    await world.ambulance.restart()
    body = transfer("a6t2")
    async with socket_of(world.ambulance) as epr:
        async with epr.post("/messages", data=body, headers=AS_JSON) as taken:
            assert 201 == taken.status
        (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
        begun = numbered(response(answer.read_bytes(), encounter="in-progress"), PLACEHOLDER)
        await accepted(world.hospital, "begun", begun)
        async with epr.get("/notices") as listed:
            notices = (await listed.json())["notices"]
    came = next(each for each in notices if each["direction"] == "inbound")

    assert "placeholder_number" in came["remarks"]
    assert CHECK_IT in came["means"]


async def test_the_epr_is_told_of_it_before_it_decides(world: World) -> None:
    """And so is the notice, should the answer come too late for the Sender."""
    world.hospital.asked = 'questions = "socket"'
    await world.hospital.restart()
    async with answering(world.hospital.socket) as epr:
        receipt = await world.ambulance.sent("b.json", numbered(booking(), PLACEHOLDER))
        await world.ambulance.outcome(receipt["request_id"])
    (question,) = epr.seen

    assert "placeholder_number" in question["remarks"]
    assert CHECK_IT in question["means"]


async def test_an_id_that_was_given_to_two_patients_ends_neither_for_the_other(
    world: World,
) -> None:
    """Our EPR has given one Sender the same id twice: whose is meant, the patient says."""
    same = str(uuid4())
    world.hospital.asked = 'questions = "socket"'
    await world.hospital.restart()

    def says(question: Document) -> Document:
        return YES | ({"focus_id": same} if question.get("move") == "request" else {})

    async with answering(world.hospital.socket, says) as epr:
        first = await world.ambulance.sent("one.json", booking())
        await world.ambulance.outcome(first["request_id"])
        second = await world.ambulance.sent("two.json", numbered(booking(), ANOTHER))
        await world.ambulance.outcome(second["request_id"])
        alarms = [alarm.kind for alarm in (await world.hospital.overview()).alarms]
        status, cancel = await made(world.ambulance, move(first["request_id"], "cancel", text="x"))
        await world.ambulance.outcome(cancel["request_id"])
    question = next(each for each in epr.seen if each.get("move") == "cancel")

    assert (201, ["question.shared_id"]) == (status, alarms)
    assert [] == question["remarks"]
    assert [State.CANCELLED, State.ACTIVE] == [
        await state(world.hospital, each["request_id"]) for each in (first, second)
    ]
