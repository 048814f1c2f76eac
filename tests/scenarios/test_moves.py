"""The EPR says what has happened in a few words; the gateways and the national side do the rest."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asked_epr import YES, answering
from messages import validation_request
from moving import PLAN, arrived, made, move, requested, sent, state, transfer
from pages import block
from terminals import typed
from variants import resource
from world import World, eventually, in_time, world_in

from bars_gateway.demo.messages import response
from bars_gateway.standard.workflow import State

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]


async def test_scenario_62_a_validation_is_answered_in_a_few_words(world: World) -> None:
    """Begun, and then concluded without action: one workflow, the same conversation."""
    receipt, notice = await requested(world, validation_request())
    await sent(world.hospital, move(notice["request_id"], "progress"))
    halfway = await state(world.ambulance, receipt["request_id"])
    final = move(notice["workflow_id"], "conclude", outcome="no_action", resources=[PLAN])
    document = await sent(world.hospital, final)

    assert receipt["correlation_id"] == document["correlation_id"]
    assert [State.IN_PROGRESS, State.COMPLETED] == [
        halfway,
        await state(world.ambulance, receipt["request_id"]),
    ]
    assert ["progress", "conclude"] == [each["move"] for each in await arrived(world.ambulance, 2)]


@pytest.mark.needs("curl")
async def test_a_move_is_typed_as_it_is_written(world: World) -> None:
    """The words of `docs/moves.md`, to the socket: the other side is told."""
    receipt, notice = await requested(world, transfer("a6t1"))
    written = block("moves.md", "http://gateway/moves").replace("REQUEST_ID", notice["request_id"])
    done, said = await typed(written.replace("run/trust.sock", str(world.hospital.socket)))
    (told,) = await arrived(world.ambulance, 1)
    history = await world.ambulance.history(receipt["request_id"])

    assert 0 == done, said
    assert "Bundle" == json.loads(said)["message"]["resourceType"]
    assert history is not None
    assert ("progress", "arrived") == (told["move"], history.workflow.told_status)


async def test_scenario_65_a_validation_is_turned_down(world: World) -> None:
    """It goes back to the Requester, whose EPR is told."""
    receipt, notice = await requested(world, validation_request())
    await sent(world.hospital, move(notice["request_id"], "decline", outcome="RRNA"))

    assert State.DECLINED == await state(world.ambulance, receipt["request_id"])


async def test_the_folder_takes_a_move_too(world: World) -> None:
    """NAME.move.json; the receipt shows the Bundle, and no clinical word was made up."""
    receipt, notice = await requested(world, validation_request())
    asked = json.dumps(move(notice["request_id"], "progress")).encode()
    world.hospital.drop("begun.move.json", asked)
    shown = await world.hospital.document("outbox/accepted/begun.move.receipt.json")
    await world.hospital.outcome(shown["request_id"])
    (file,) = await eventually(lambda: world.ambulance.files("inbox/new/*.message.json"))

    assert State.IN_PROGRESS == await state(world.ambulance, receipt["request_id"])
    assert json.loads(file.read_bytes()) == shown["message"]


async def test_the_folder_says_what_is_missing(world: World) -> None:
    """What only the EPR can know is named."""
    _, notice = await requested(world, validation_request())
    asked = json.dumps(move(notice["request_id"], "conclude", outcome="action")).encode()
    world.hospital.drop("done.move.json", asked)
    reason = await world.hospital.document("outbox/refused/done.move.reason.json")

    assert ["resources"] == [issue["path"] for issue in reason["issues"]]


EMPTY = {
    "resourceType": "CarePlan",
    "status": "completed",
    "intent": "plan",
    "subject": {"reference": "Patient/1"},
}


@pytest.mark.parametrize("outcome", ["no_action", "action"])
async def test_an_empty_care_plan_is_not_the_last_word(world: World, outcome: str) -> None:
    """Four technical elements tell nobody what was found: the socket names the one that would."""
    receipt, notice = await requested(world, validation_request())
    plan = EMPTY | {"status": {"no_action": "completed", "action": "active"}[outcome]}
    asked = move(notice["request_id"], "conclude", outcome=outcome, resources=[plan])
    status, refused = await made(world.hospital, asked)
    (issue,) = refused["issues"]

    assert (422, "C03", "resources[0].activity") == (status, issue["rule"], issue["path"])
    assert "outcomeCodeableConcept" in issue["problem"]
    assert State.ACTIVE == await state(world.ambulance, receipt["request_id"])


async def test_a_care_plan_that_names_a_case_which_is_nowhere_is_not_the_last_word(
    world: World,
) -> None:
    """The other side would read that nothing more is asked of it, and find nothing."""
    receipt, notice = await requested(world, validation_request())
    plan = {
        "resourceType": "CarePlan",
        "activity": [{"outcomeReference": [{"reference": "Encounter/does-not-exist"}]}],
    }
    asked = move(notice["request_id"], "conclude", outcome="no_action", resources=[plan])
    status, document = await made(world.hospital, asked)

    assert (422, ["C03"]) == (status, [each["rule"] for each in document["issues"]])
    assert State.ACTIVE == await state(world.ambulance, receipt["request_id"])


async def test_an_empty_care_plan_in_the_folder_is_not_the_last_word(world: World) -> None:
    """The same sentence in the reason file; nothing is sent."""
    receipt, notice = await requested(world, validation_request())
    asked = move(notice["request_id"], "conclude", outcome="no_action", resources=[EMPTY])
    world.hospital.drop("empty.move.json", json.dumps(asked).encode())
    reason = await world.hospital.document("outbox/refused/empty.move.reason.json")

    assert ["resources[0].activity"] == [issue["path"] for issue in reason["issues"]]
    assert State.ACTIVE == await state(world.ambulance, receipt["request_id"])


async def test_an_empty_care_plan_in_a_whole_bundle_is_not_the_last_word(world: World) -> None:
    """Who writes the Bundle is asked for the same as who says it in a few words."""
    receipt, _ = await requested(world, validation_request())
    (answer,) = world.hospital.files("inbox/new/*.answer.json")
    bundle = json.loads(response(answer.read_bytes(), encounter="finished"))
    plan = resource(bundle, "CarePlan")
    del plan["activity"]
    world.hospital.drop("whole.json", json.dumps(bundle).encode())
    reason = await world.hospital.document("outbox/refused/whole.reason.json")

    assert ["R16P"] == [issue["rule"] for issue in reason["issues"]]
    assert State.ACTIVE == await state(world.ambulance, receipt["request_id"])


async def test_an_update_that_changes_nothing_does_not_go_out(world: World) -> None:
    """The other side would look for what has changed; who sends it is told what to give."""
    receipt, _ = await requested(world, validation_request())
    bare = {"resourceType": "ServiceRequest"}
    asked = move(receipt["request_id"], "update", resources=[bare])
    status, document = await made(world.ambulance, asked)
    (issue,) = document["issues"]

    assert (422, "C03", "resources") == (status, issue["rule"], issue["path"])
    assert "Give the members that have changed" in issue["problem"]


@pytest.mark.parametrize("text", [" ", "\u3164"])
async def test_a_cancellation_with_a_blank_for_a_reason_goes_without_one(
    world: World, text: str
) -> None:
    """Whoever is on the way is stopped; nobody is shown a reason that says nothing."""
    receipt, _ = await requested(world, validation_request())
    asked = move(receipt["request_id"], "cancel", text=text)
    status, document = await made(world.ambulance, asked)
    reasons = resource(document["message"], "ServiceRequest").get("reasonCode", [])

    assert 201 == status
    assert text not in [each.get("text") for each in reasons]


@pytest.mark.parametrize("outcome", ["no_action", "action"])
async def test_a_care_plan_that_leads_back_to_whoever_asked_is_not_the_last_word(
    world: World, outcome: str
) -> None:
    """The patient, and the case that was asked about, are known to them."""
    _, notice = await requested(world, validation_request())
    (file,) = world.hospital.files("inbox/new/*.message.json")
    urls = [
        each["fullUrl"]
        for each in json.loads(file.read_bytes())["entry"]
        if each["resource"]["resourceType"] in {"Patient", "Organization", "Encounter"}
    ]
    refused = []
    for url in [*urls, "https://example.org/"]:
        plan = {"resourceType": "CarePlan"}
        plan["activity"] = [{"outcomeReference": [{"reference": url}]}]
        asked = move(notice["request_id"], "conclude", outcome=outcome, resources=[plan])
        status, document = await made(world.hospital, asked)
        refused.append((status, [each["path"] for each in document["issues"]]))

    assert [(422, ["resources[0].activity"])] * (len(urls) + 1) == refused


async def test_the_example_of_the_documentation_can_be_sent(world: World) -> None:
    """`docs/moves.md`: its CarePlan is complete, and arrives as what it says."""
    _, notice = await requested(world, validation_request())
    page = (Path(__file__).parents[2] / "docs" / "moves.md").read_text("utf-8")
    (written,) = re.findall("```json\n(.*?)```", page, re.DOTALL)
    asked = json.loads(written.replace("REQUEST_ID", notice["request_id"]))
    document = await sent(world.hospital, asked)
    (told,) = await arrived(world.ambulance, 1)
    (file,) = world.ambulance.files("inbox/new/*.message.json")
    plan = resource(json.loads(file.read_bytes()), "CarePlan")

    assert "validation_acts" == told["says"]
    assert asked["resources"][0]["activity"] == plan["activity"]
    assert set() == {each["rule"] for each in document["warnings"]} & {"R15V", "R16S", "R19F"}


async def test_scenario_68_nothing_is_answered_to_what_was_cancelled(tmp_path: Path) -> None:
    """A cancel of a few words; afterwards the Responder's user reads that it is over."""
    async with (
        world_in(tmp_path, asked='questions = "socket"') as world,
        answering(world.hospital.socket, lambda _: YES),
    ):
        receipt, notice = await requested(world, validation_request())
        await sent(
            world.ambulance, move(receipt["request_id"], "cancel", text="Invented: went by car")
        )
        status, refused = await made(world.hospital, move(notice["request_id"], "progress"))

        assert State.CANCELLED == await state(world.ambulance, receipt["request_id"])
        assert (409, ["G03"]) == (status, [issue["rule"] for issue in refused["issues"]])


async def test_scenario_66_an_update_of_a_few_words_moves_the_clock(tmp_path: Path) -> None:
    """The ids that the Receiver gave are filled in; what is given replaces what was."""
    period = {"start": "2030-03-02T09:00:00+00:00", "end": "2030-03-02T10:00:00+00:00"}
    changed = {"resourceType": "ServiceRequest", "occurrencePeriod": period}
    async with (
        world_in(tmp_path, asked='questions = "socket"') as world,
        answering(world.hospital.socket, lambda _: YES),
    ):
        receipt, notice = await requested(world, validation_request())
        await sent(world.ambulance, move(receipt["request_id"], "update", resources=[changed]))
        ours = await world.ambulance.history(receipt["request_id"])
        theirs = await world.hospital.history(notice["request_id"])

        assert ours is not None
        assert theirs is not None
        due = [each.workflow.answer_due_at for each in (ours, theirs)]
        assert ["2030-03-02T10:00:00+00:00"] * 2 == [at.isoformat() for at in due if at]


async def test_scenario_88_a_control_room_tells_how_far_it_is(world: World) -> None:
    """Allocated, arrived, stood down (89), allocated again in the same words, finished."""
    receipt, notice = await requested(world, transfer("a6t1"))
    steps = [
        ("progress", "allocated"),
        ("progress", "arrived"),
        ("wait", None),
        ("progress", "allocated"),
        ("conclude", None),
    ]
    for name, outcome in steps:
        await sent(world.hospital, move(notice["request_id"], name, outcome=outcome))
    notices = await arrived(world.ambulance, len(steps))
    history = await world.ambulance.history(receipt["request_id"])

    assert history is not None
    assert (State.COMPLETED, "finished") == (history.workflow.state, history.workflow.told_status)
    assert [[], [], ["stood_down"], [], []] == [each["remarks"] for each in notices]


async def test_scenario_91_a_call_for_assistance_is_turned_down(world: World) -> None:
    """a6t2 may be; the user who asked is told at once."""
    receipt, notice = await requested(world, transfer("a6t2"))
    await sent(world.hospital, move(notice["request_id"], "decline", outcome="RRNA"))

    assert State.DECLINED == await state(world.ambulance, receipt["request_id"])


async def test_scenario_93_an_out_of_area_referral_is_not_turned_down(world: World) -> None:
    """The refusal shows what would have been sent."""
    _, notice = await requested(world, transfer("a6t1"))
    status, refused = await made(
        world.hospital, move(notice["request_id"], "decline", outcome="RRNA")
    )

    assert (422, ["G10"]) == (status, [issue["rule"] for issue in refused["issues"]])
    assert "Bundle" == refused["message"]["resourceType"]


async def test_the_same_words_under_the_same_key_are_one_message(world: World) -> None:
    """An EPR that is not sure may repeat itself; other words under that key are refused."""
    _, notice = await requested(world, validation_request())
    asked = move(notice["request_id"], "progress")
    first = await made(world.hospital, asked)
    again = await made(world.hospital, asked)
    other = await made(world.hospital, asked | {"move": "decline", "outcome": "FC"})

    assert (201, 200, 409) == (first[0], again[0], other[0])
    assert first[1] == again[1]
    assert ["submission_id"] == [issue["path"] for issue in other[1]["issues"]]


@pytest.mark.parametrize(
    ("changes", "status", "path"),
    [
        pytest.param({"in_reply_to": 4711}, 404, "in_reply_to", id="no-such-workflow"),
        pytest.param({"in_reply_to": "4711x"}, 422, "in_reply_to", id="no-reference"),
        pytest.param({"outcom": "FC"}, 422, "outcom", id="misspelt-member"),
        pytest.param({"move": "request"}, 422, "move", id="no-move-of-that-name"),
        pytest.param({"submission_id": None}, 422, "submission_id", id="no-key"),
        pytest.param({"resources": [1]}, 422, "resources", id="no-resources"),
    ],
)
async def test_what_is_wrong_with_a_move_is_named(
    world: World, changes: dict[str, object], status: int, path: str
) -> None:
    """The member, and the cure; nothing is sent."""
    found, document = await made(world.hospital, move(1, "progress") | changes)

    assert (status, [path]) == (found, [issue["path"] for issue in document["issues"]])
    assert document["message"] is None


async def test_scenario_80_silence_is_told_to_both_sides(world: World) -> None:
    """The clinical time passes: both EPRs are told, and both pages say so."""
    soon = datetime.now(UTC) + timedelta(seconds=8)
    await requested(world, validation_request(needed_by=soon))

    async def overdue() -> bool:
        overviews = [await node.overview() for node in (world.ambulance, world.hospital)]
        return all("workflow.overdue" in [a.kind for a in o.alarms] for o in overviews)

    await in_time(overdue)
    for node in (world.ambulance, world.hospital):
        kinds = await eventually(
            lambda node=node: [
                kind
                for file in node.files("inbox/new/*.json")
                if (kind := json.loads(file.read_bytes()).get("kind")) == "overdue"
            ]
        )
        assert ["overdue"] == kinds
