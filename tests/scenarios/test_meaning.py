"""
What a response says, between two gateways and a Responder of another make.

Each course was met on a trial: somebody was told something untrue, or was not told.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asked_epr import YES, answering
from messages import NHS_NUMBER, referral, validation_request
from mixed_up import ANOTHER
from moving import move, sent, socket_of, transfer
from structlog.testing import capture_logs
from telling import emptied, of, sent_back, told
from world import Node, World, eventually, headers, post, world_in

from bars_gateway.standard.formats import Format, converted
from bars_gateway.standard.sentences import means
from bars_gateway.standard.sentences.outcomes import UNSEEN
from bars_gateway.standard.workflow import State

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[World]:
    """Return a world in which the hospital's EPR is asked."""
    async with world_in(tmp_path, asked='questions = "socket"') as made:
        yield made


async def asked(world: World, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Send a request; return its receipt and the hospital's acknowledgement."""
    receipt = await world.ambulance.sent("request.json", body)
    await world.ambulance.outcome(receipt["request_id"])
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    return receipt, answer.read_bytes()


async def came(world: World, *bodies: bytes) -> list[dict[str, Any]]:
    """Hand responses over as another make would, one after the other; return the notices."""
    known = len(world.ambulance.files("inbox/new/*.notice.json"))
    for body in bodies:
        to_us = headers(world.ambulance.service)
        status, _, _ = await post(world, body, to_us, node=world.ambulance)
        assert 200 == status
    files = await eventually(
        lambda: (
            len(f := world.ambulance.files("inbox/new/*.notice.json")) >= known + len(bodies) and f
        )
    )
    return [json.loads(file.read_bytes()) for file in files[known:]]


async def state(world: World, receipt: dict[str, Any]) -> tuple[State, str | None]:
    history = await world.ambulance.history(receipt["request_id"])
    assert history is not None
    return history.workflow.state, history.workflow.told_status


async def alarms(world: World) -> list[str]:
    overview = await world.ambulance.overview()
    return sorted(each.kind for each in overview.standing for _ in range(each.count))


# A rejection reads as one, whatever form it has.


@pytest.mark.parametrize(
    ("use_case", "form"),
    [
        ("a4t1", {"encounter": "cancelled", "focus": "request"}),
        ("a4t1", {"encounter": "cancelled", "request": "revoked"}),
        ("a4t1", {"encounter": "triaged", "request": "revoked"}),
        ("a4t1", {"encounter": "triaged", "request": "revoked", "focus": "request"}),
        ("a6t2", {"encounter": "cancelled", "focus": "request"}),
        ("a6t2", {"encounter": "cancelled", "request": "revoked"}),
    ],
    ids=str,
)
async def test_a_rejection_gives_the_patient_back(
    world: World, use_case: str, form: dict[str, Any]
) -> None:
    """It read as in progress, or as completed; its reason is a code of the standard's."""
    body = validation_request() if use_case == "a4t1" else transfer(use_case)
    receipt, acknowledgement = await asked(world, body)
    (notice,) = await came(world, told(acknowledgement, **form))

    assert (State.DECLINED, form["encounter"]) == await state(world, receipt)
    assert ("rejected", "RRNA", "decline") == (
        notice["says"],
        notice["reason_code"],
        notice["move"],
    )


async def test_a_final_answer_may_have_the_request_as_its_focus(world: World) -> None:
    """Whether it asks the Requester to act is what its CarePlan says."""
    receipt, acknowledgement = await asked(world, validation_request())
    (notice,) = await came(world, told(acknowledgement, "finished", focus="request", plan="active"))

    assert (State.COMPLETED, "validation_acts") == (
        (await state(world, receipt))[0],
        notice["says"],
    )


# What does not add up is not guessed.


@pytest.mark.parametrize(
    ("use_case", "form"),
    [
        ("a6t1", {"encounter": "triaged"}),
        ("a6t1", {"encounter": "cancelled"}),
        ("a6t2", {"encounter": "planned", "focus": "requester", "requester": "finished"}),
        ("a4t1", {"encounter": "planned"}),
        ("a4t1", {"encounter": "triaged"}),
    ],
    ids=str,
)
async def test_what_does_not_add_up_is_delivered_with_an_alarm(
    world: World, use_case: str, form: dict[str, Any]
) -> None:
    """Nothing is concluded, nothing is refused, and a person is told to look."""
    body = validation_request() if use_case == "a4t1" else transfer(use_case)
    receipt, acknowledgement = await asked(world, body)
    (notice,) = await came(world, told(acknowledgement, **form))

    assert State.UNCLEAR == (await state(world, receipt))[0]
    assert ("message", "unclear", "unclear") == (notice["kind"], notice["says"], notice["move"])
    assert ["workflow.unclear"] == await alarms(world)


async def test_doubt_is_told_once_until_it_gets_worse(world: World) -> None:
    """One alarm stands for the workflow; what adds up again moves it on."""
    receipt, acknowledgement = await asked(world, transfer("a6t2"))
    await came(world, *[told(acknowledgement, "triaged") for _ in range(3)])
    (alarm,) = (await world.ambulance.overview()).standing
    await came(world, told(acknowledgement, "arrived"))

    assert ("workflow.unclear", 1) == (alarm.kind, alarm.count)
    assert (State.IN_PROGRESS, "arrived") == await state(world, receipt)


async def test_an_epr_is_told_what_to_write_instead(world: World) -> None:
    """The user of the Responder is still there: what reads as nothing is not sent."""
    _, acknowledgement = await asked(world, transfer("a6t2"))
    for name, form in {
        "encounter": {"encounter": "triaged"},
        "focus": {"encounter": "arrived", "focus": "requester"},
    }.items():
        world.hospital.drop(f"{name}.json", told(acknowledgement, **form))
        reason = await world.hospital.document(f"outbox/refused/{name}.reason.json")

        (issue,) = reason["issues"]
        assert "W03" == issue["rule"]
        assert "planned, in-progress, arrived, finished" in issue["problem"]
    assert [] == world.ambulance.files("inbox/new/*.notice.json")


@pytest.mark.parametrize(
    ("use_case", "form"),
    [
        ("a6t2", {"encounter": "cancelled"}),
        ("a4t1", {"encounter": "cancelled", "request": "revoked"}),
        ("a4t1", {"encounter": "triaged", "request": "revoked"}),
    ],
)
async def test_an_epr_may_make_the_request_the_focus(
    world: World, use_case: str, form: dict[str, str]
) -> None:
    """Both sides read it by the same table: here and there the same word."""
    body = validation_request() if use_case == "a4t1" else transfer(use_case)
    receipt, acknowledgement = await asked(world, body)
    handed_in = await world.hospital.sent("d.json", told(acknowledgement, focus="request", **form))
    outcome = await world.hospital.outcome(handed_in["request_id"])
    (file,) = await eventually(lambda: world.ambulance.files("inbox/new/*.notice.json"))

    assert ("rejected", "RRNA", "decline") == (
        outcome["says"],
        outcome["reason_code"],
        outcome["move"],
    )
    assert "rejected" == json.loads(file.read_bytes())["says"]
    assert State.DECLINED == (await state(world, receipt))[0]


# A final answer whose care plan says nothing.


LOOK = "Read the care plan now"


async def seen(world: World, receipt: dict[str, Any]) -> list[str]:
    """Return what whoever looks at the messages of a case is told, the request first."""
    history = await world.ambulance.history(receipt["request_id"])
    assert history is not None
    query = "SELECT request_id FROM messages WHERE workflow_id = ? ORDER BY id"
    rows = await asyncio.to_thread(world.ambulance.ask, query, history.workflow.workflow_id)
    found = [await world.ambulance.history(request_id) for (request_id,) in rows]
    return [means(each.message.seen_at(datetime.now(UTC))) for each in found if each]


@pytest.mark.parametrize(
    ("plan", "tells"),
    [
        ("active", "Act now: telephone the validating service, and ask what is to be done."),
        ("completed", "Do not close the case on this: telephone the validating service now."),
    ],
)
@pytest.mark.parametrize(
    "holds", [{}, {"title": " ", "activity": [{"outcomeCodeableConcept": [{"text": "\u3164"}]}]}]
)
async def test_nobody_is_sent_to_read_a_care_plan_that_says_nothing(
    world: World, plan: str, tells: str, holds: dict[str, Any]
) -> None:
    """It is the last word, and ends the case as ever: only a telephone tells what was found."""
    receipt, acknowledgement = await asked(world, validation_request())
    (notice,) = await came(world, emptied(told(acknowledgement, "finished", plan=plan), **holds))

    assert State.COMPLETED == (await state(world, receipt))[0]
    assert ["empty_plan"] == notice["remarks"]
    assert notice["means"].endswith(tells)
    assert ["response.remarked"] == await alarms(world)
    for each in [notice["means"], *await seen(world, receipt)]:
        assert "says nothing of what was found" in each
        assert LOOK not in each
        assert "Read it before" not in each


@pytest.mark.parametrize(
    ("plan", "tells"),
    [
        ("active", "Act now: telephone the validating service, and ask what was found and what is"),
        ("completed", "Do not close the case on this: telephone the validating service now."),
    ],
)
async def test_nobody_is_sent_to_read_their_own_care_plan(
    world: World, plan: str, tells: str
) -> None:
    """It came back under another status: whoever reads it finds what was sent, and no answer."""
    request = validation_request()
    receipt, acknowledgement = await asked(world, request)
    (notice,) = await came(world, sent_back(told(acknowledgement, "finished", plan=plan), request))

    assert State.COMPLETED == (await state(world, receipt))[0]
    assert ["plan_sent_back"] == notice["remarks"]
    assert ["response.remarked"] == await alarms(world)
    for each in [notice["means"], *await seen(world, receipt)]:
        assert "may be the one that you sent" in each
        assert tells in each
        assert LOOK not in each
        assert "Read it before" not in each


NEWER = {"activity": [{"outcomeCodeableConcept": [{"text": "Invented: breathless now."}]}]}


@pytest.mark.parametrize("which", ["first", "changed"])
async def test_the_plan_of_a_change_is_ours_as_well(asking: World, which: str) -> None:
    """Whichever of the two that we sent comes back, nobody reads it as an answer."""
    request = validation_request()
    receipt, acknowledgement = await asked(asking, request)
    plan = {"resourceType": "CarePlan", **NEWER}
    async with answering(asking.hospital.socket):
        await sent(asking.ambulance, move(receipt["request_id"], "update", resources=[plan]))
    history = json.loads(request)
    if which == "changed":
        next(e for e in history["entry"] if of(e) == "CarePlan")["resource"] |= NEWER
    back = sent_back(told(acknowledgement, "finished"), json.dumps(history).encode())
    (notice,) = await came(asking, back)

    assert ["plan_sent_back"] == notice["remarks"]
    assert ["response.remarked"] == await alarms(asking)


async def test_a_plan_that_comes_back_in_xml_is_ours_as_well(world: World) -> None:
    """It is told by what it says, in whichever format it was written."""
    request = validation_request()
    receipt, acknowledgement = await asked(world, request)
    back = sent_back(told(acknowledgement, "finished", plan="completed"), request)
    known = len(world.ambulance.files("inbox/new/*.notice.json"))
    xml = {"Content_Type": Format.XML}
    to_us = headers(world.ambulance.service, **xml)
    await post(world, converted(back, Format.JSON, Format.XML), to_us, node=world.ambulance)
    await eventually(lambda: len(world.ambulance.files("inbox/new/*.notice.json")) > known)

    assert ["response.remarked"] == await alarms(world)
    assert ["may be the one that you sent" in each for each in await seen(world, receipt)] == [
        True,
        True,
    ]


async def test_whoever_sends_the_plan_back_is_warned_with_the_receipt(world: World) -> None:
    """It goes out, for two may find the same in the same codes; what says more is not warned of."""
    request = validation_request()
    _, acknowledgement = await asked(world, request)
    first, second = [told(acknowledgement, "finished", plan="completed") for _ in range(2)]
    receipts = [
        await world.hospital.sent(f"{name}.json", body)
        for name, body in (("back", sent_back(first, request)), ("more", second))
    ]
    warned = [[each["rule"] for each in receipt["warnings"]] for receipt in receipts]

    assert [True, False] == ["L13" in each for each in warned]


async def test_an_older_answer_that_sends_our_plan_back_says_so_too(world: World) -> None:
    """Nobody acts on it, nor passes over it: there is nothing of theirs in it."""
    request = validation_request()
    _, acknowledgement = await asked(world, request)
    older = sent_back(told(acknowledgement, "finished", plan="active", ago=MINUTE), request)
    _, notice = await came(world, told(acknowledgement, "finished", plan="completed"), older)

    assert ["amended", "out_of_order", "plan_sent_back"] == notice["remarks"]
    assert "Its care plan says only what yours says" in notice["means"]


async def test_a_care_plan_that_says_it_in_a_note_is_read(world: World) -> None:
    """It is not where it belongs, but there it is."""
    receipt, acknowledgement = await asked(world, validation_request())
    note = {"note": [{"text": "Invented: send an ambulance."}]}
    (notice,) = await came(world, emptied(told(acknowledgement, "finished", plan="active"), **note))

    assert [] == notice["remarks"]
    assert LOOK in notice["means"]
    assert [] == await alarms(world)
    assert [LOOK in each for each in await seen(world, receipt)] == [True, True]


async def test_a_final_answer_with_words_makes_good_one_without(world: World) -> None:
    """Another final answer tells what was found: the two are compared, and it can be read."""
    receipt, acknowledgement = await asked(world, validation_request())
    empty = emptied(told(acknowledgement, "finished", plan="active", ago=MINUTE))
    _, notice = await came(world, empty, told(acknowledgement, "finished", plan="active"))
    request, first, second = await seen(world, receipt)

    assert ("amended", ["amended"]) == (notice["kind"], notice["remarks"])
    assert [LOOK in each for each in (request, second)] == [True, True]
    assert "says nothing of what was found" in first


async def test_an_older_final_answer_without_words_says_so_too(world: World) -> None:
    """Nobody acts on it, nor passes over it; and nobody is told that there is much to read."""
    receipt, acknowledgement = await asked(world, validation_request())
    empty = emptied(told(acknowledgement, "finished", plan="active", ago=MINUTE))
    _, notice = await came(world, told(acknowledgement, "finished", plan="completed"), empty)
    request, *_ = await seen(world, receipt)

    assert ["amended", "out_of_order", "empty_plan"] == notice["remarks"]
    assert "Its care plan says nothing of what was found: telephone" in notice["means"]
    assert "asks nothing more of you. Read it before you close the case." in request


async def test_it_is_said_with_whose_it_is(world: World) -> None:
    """Another patient's, perhaps, and with nothing to read: both are asked about at once."""
    receipt, acknowledgement = await asked(world, validation_request())
    empty = emptied(told(acknowledgement, "finished", plan="active"))
    (notice,) = await came(world, empty.replace(NHS_NUMBER.encode(), ANOTHER.encode()))

    assert ["empty_plan", "other_patient"] == notice["remarks"]
    assert LOOK not in notice["means"]
    assert "check whose this is before you file it" in notice["means"]
    assert State.UNCLEAR == (await state(world, receipt))[0]


async def test_a_rejection_without_a_reason_is_one(world: World) -> None:
    """That nobody says why changes nothing of who has the patient."""
    receipt, acknowledgement = await asked(world, validation_request())
    bundle = json.loads(told(acknowledgement, "cancelled"))
    for each in bundle["entry"]:
        each["resource"].pop("reasonCode", None)
    (notice,) = await came(world, json.dumps(bundle).encode())

    assert State.DECLINED == (await state(world, receipt))[0]
    assert notice["means"].endswith("The patient is your responsibility again: act now.")


# The newest holds, by a clock that can be trusted.


@pytest.mark.parametrize("ahead", [HOUR, 24 * 365 * 10 * HOUR], ids=["summer-time", "years"])
async def test_a_wrong_clock_hides_no_stand_down(world: World, ahead: timedelta) -> None:
    """Allocated by a clock that is ahead; what comes after that is newer all the same."""
    receipt, acknowledgement = await asked(world, transfer("a6t1"))
    notices = await came(world, told(acknowledgement, "in-progress", ago=-ahead))
    notices += await came(world, told(acknowledgement, "planned"))
    stood_down = await state(world, receipt)
    notices += await came(world, told(acknowledgement, "arrived"))

    assert [
        ("assigned", ["clock_ahead"]),
        ("stood_down", ["stood_down"]),
        ("on_scene", []),
    ] == [(each["says"], each["remarks"]) for each in notices]
    assert (State.ACTIVE, "planned") == stood_down
    assert (State.IN_PROGRESS, "arrived") == await state(world, receipt)
    assert ["response.remarked"] == await alarms(world)


@pytest.mark.parametrize(
    ("older", "says", "expected"),
    [
        ("cancelled", "rejected", ["response.remarked"]),
        ("finished", "finished", []),
        ("in-progress", "assigned", []),
        # A desk with a slow clock stands down in the same word, where nobody had said yes.
        ("planned", "accepted", ["response.remarked"]),
    ],
)
async def test_what_is_older_changes_nothing(
    world: World, older: str, says: str, expected: list[str]
) -> None:
    """Final words, too; that nobody comes is told to an operator even so."""
    receipt, acknowledgement = await asked(world, transfer("a6t2"))
    late = told(acknowledgement, older, ago=2 * MINUTE)
    _, notice = await came(world, told(acknowledgement, "arrived"), late)

    assert (State.IN_PROGRESS, "arrived") == await state(world, receipt)
    assert (says, ["out_of_order"]) == (
        notice["says"],
        [each for each in notice["remarks"] if each != "unforeseen"],
    )
    assert expected == await alarms(world)


async def test_an_older_word_about_another_patient_is_no_less_in_doubt(world: World) -> None:
    """Which of the two is about whom, nobody knows: that it is older settles nothing."""
    receipt, acknowledgement = await asked(world, validation_request())
    of_another = told(acknowledgement, "finished", plan="active", ago=2 * MINUTE)
    *_, notice = await came(
        world,
        told(acknowledgement, "in-progress"),
        of_another.replace(NHS_NUMBER.encode(), ANOTHER.encode()),
    )

    assert {"out_of_order", "other_patient"} <= set(notice["remarks"])
    assert State.UNCLEAR == (await state(world, receipt))[0]
    assert "patient.other" in await alarms(world)


async def test_an_old_stand_down_is_told_to_an_operator(world: World) -> None:
    """Assigned, stood down, assigned again: the second came last."""
    receipt, acknowledgement = await asked(world, transfer("a6t1"))
    *_, notice = await came(
        world,
        told(acknowledgement, "in-progress", ago=3 * MINUTE),
        told(acknowledgement, "in-progress"),
        told(acknowledgement, "planned", ago=2 * MINUTE),
    )

    assert ("stood_down", ["out_of_order"]) == (notice["says"], notice["remarks"])
    assert (State.IN_PROGRESS, "in-progress") == await state(world, receipt)
    assert ["response.remarked"] == await alarms(world)


@pytest.mark.parametrize("ahead", [MINUTE, HOUR], ids=["a-little", "much"])
async def test_a_stand_down_that_a_wrong_clock_overtakes_is_told(
    world: World, ahead: timedelta
) -> None:
    """It was written before the allocation came: older by the clocks, and perhaps the truth."""
    receipt, acknowledgement = await asked(world, transfer("a6t1"))
    stood_down = told(acknowledgement, "planned", ago=MINUTE / 6)
    *_, notice = await came(world, told(acknowledgement, "in-progress", ago=-ahead), stood_down)

    assert ("stood_down", ["out_of_order"]) == (notice["says"], notice["remarks"])
    assert (State.IN_PROGRESS, "in-progress") == await state(world, receipt)
    assert ["response.remarked"] == await alarms(world)


@pytest.mark.parametrize(
    "course",
    [
        pytest.param([("planned", 10), ("in-progress", 0), ("planned", 60)], id="by-an-hour"),
        pytest.param([("planned", 1), ("in-progress", 0), ("planned", 0.1)], id="by-seconds"),
        pytest.param([("in-progress", 0), ("planned", 60)], id="before-the-request"),
    ],
)
async def test_a_stand_down_by_a_slow_clock_is_told(
    world: World, course: list[tuple[str, float]]
) -> None:
    """It read as a yes that had been overtaken: the page was silent, and nobody was coming."""
    receipt, acknowledgement = await asked(world, transfer("a6t2"))
    *_, notice = await came(
        world, *(told(acknowledgement, word, ago=ago * MINUTE) for word, ago in course)
    )

    assert ("stood_down", ["out_of_order"]) == (notice["says"], notice["remarks"])
    assert "that the resource was stood down" in notice["means"]
    assert "Telephone now" in notice["means"]
    assert (State.IN_PROGRESS, "in-progress") == await state(world, receipt)
    assert ["response.remarked"] == await alarms(world)


# What speaks against an end opens the workflow again.


@pytest.mark.parametrize(
    ("use_case", "first", "then"),
    [
        ("a6t2", "cancelled", "in-progress"),
        ("a6t2", "cancelled", "arrived"),
        ("a6t2", "cancelled", "planned"),
        ("a6t2", "cancelled", "finished"),
        ("a6t2", "finished", "arrived"),
        ("a6t2", "finished", "cancelled"),
        ("a4t1", "cancelled", "in-progress"),
    ],
)
async def test_what_is_newer_than_an_end_reopens_it(
    world: World, use_case: str, first: str, then: str
) -> None:
    """Declined, and then a vehicle on scene: nobody may believe that it changes nothing."""
    body = validation_request() if use_case == "a4t1" else transfer(use_case)
    receipt, acknowledgement = await asked(world, body)
    _, notice = await came(
        world, told(acknowledgement, first, ago=MINUTE), told(acknowledgement, then)
    )

    assert State.CONTRADICTED == (await state(world, receipt))[0]
    assert ("message", ["contradicts"]) == (notice["kind"], notice["remarks"])
    assert ["workflow.contradicted"] == await alarms(world)


async def test_progress_after_an_acknowledged_cancellation_reopens_it(asking: World) -> None:
    """The other side acts on what it had been told to leave."""
    receipt, acknowledgement = await asked(asking, transfer("a6t2"))
    await cancelled(asking, receipt)
    (notice,) = await came(asking, told(acknowledgement, "arrived"))

    assert State.CONTRADICTED == (await state(asking, receipt))[0]
    assert ["after_cancel", "contradicts"] == notice["remarks"]
    assert "workflow.contradicted" in await alarms(asking)


async def test_what_crosses_a_cancellation_does_not_reopen_it(asking: World) -> None:
    """It was written before the other side had read of it; a person is told all the same."""
    receipt, acknowledgement = await asked(asking, transfer("a6t2"))
    crossing = told(acknowledgement, "in-progress", ago=MINUTE)
    await cancelled(asking, receipt)
    (notice,) = await came(asking, crossing)

    assert State.CANCELLED == (await state(asking, receipt))[0]
    assert ["after_cancel", "out_of_order"] == notice["remarks"]
    assert ["response.remarked"] == await alarms(asking)


async def cancelled(world: World, receipt: dict[str, Any]) -> None:

    async with answering(world.hospital.socket, lambda _: YES):
        await sent(world.ambulance, move(receipt["request_id"], "cancel", text="Invented."))


async def test_the_same_end_again_is_no_different_one(world: World) -> None:
    """Compare the two, it says: whether they differ nobody has looked."""
    receipt, acknowledgement = await asked(world, transfer("a6t2"))
    _, notice = await came(
        world, told(acknowledgement, "finished", ago=MINUTE), told(acknowledgement, "finished")
    )

    assert State.COMPLETED == (await state(world, receipt))[0]
    assert ("amended", ["amended"]) == (notice["kind"], notice["remarks"])
    assert "ifferent" not in notice["means"]


# Who looks at a message is told what is so now.


async def means_of(node: Node, request_id: str) -> str:
    """Look at a message on the socket of its gateway."""
    async with socket_of(node) as session, session.get(f"/messages/{request_id}") as answer:
        found = await answer.json()
    return str(found["means"])


@pytest.mark.parametrize(
    ("use_case", "words", "now"),
    [
        ("a4t1", ["cancelled"], "is your responsibility again: act now."),
        ("a6t2", ["cancelled"], "is your responsibility again: act now."),
        ("a6t2", ["in-progress", "planned"], "Nobody is on the way now, and you remain"),
        ("a6t2", ["arrived"], "A resource is with the patient."),
        ("a6t2", ["cancelled", "arrived"], "Do not rely on either. Telephone"),
        ("a6t2", ["triaged"], "does not add up"),
    ],
    ids=str,
)
async def test_a_request_says_how_its_case_stands(
    world: World, use_case: str, words: list[str], now: str
) -> None:
    """It said that the other side had not agreed yet, and that there was nothing to do."""
    body = validation_request() if use_case == "a4t1" else transfer(use_case)
    receipt, acknowledgement = await asked(world, body)
    for number, word in enumerate(words):
        ago = MINUTE * (len(words) - number) / 4
        await came(world, told(acknowledgement, word, ago=ago))
    means = await means_of(world.ambulance, receipt["request_id"])

    assert now in means
    assert "not agreed yet" not in means


async def test_a_cancelled_request_asks_nobody_to_answer(asking: World) -> None:
    """Its Responder was asked to say yes or no, and its Requester told to wait for that."""
    receipt, acknowledgement = await asked(asking, transfer("a6t2"))
    await came(asking, told(acknowledgement, "planned", ago=MINUTE))
    await cancelled(asking, receipt)
    ours, theirs = [
        await means_of(node, receipt["request_id"]) for node in (asking.ambulance, asking.hospital)
    ]

    assert ours.startswith("The request for call assist is cancelled. The patient is yours.")
    assert theirs.startswith("The other control room has cancelled its request for call assist.")
    assert "Say yes or no" not in theirs


async def test_a_response_keeps_what_was_remarked_upon(world: World) -> None:
    """Looked at, it read as if it were new: a resource with the patient, nothing to do."""
    receipt, acknowledgement = await asked(world, transfer("a6t2"))
    notices = await came(world, told(acknowledgement, "cancelled", ago=MINUTE / 2))
    notices += await came(world, told(acknowledgement, "arrived", ago=MINUTE))
    notices += await came(world, told(acknowledgement, "in-progress"))
    looked_at = [await means_of(world.ambulance, each["request_id"]) for each in notices]

    assert [[], ["out_of_order"], ["contradicts"]] == [
        [word for word in each["remarks"] if word in {"out_of_order", "contradicts"}]
        for each in notices
    ]
    assert f"{notices[1]['means']} {UNSEEN.text}" == looked_at[1]  # and the case is in doubt
    assert notices[2]["means"] == looked_at[2]
    assert looked_at[0].startswith("This was said earlier, and is not how the case stands now.")
    assert State.CONTRADICTED == (await state(world, receipt))[0]


# Only a person settles which of two holds.


async def test_a_person_settles_a_contradiction(world: World) -> None:
    """Nothing that comes does; an operator says how it stands, and the alarm is over."""
    receipt, acknowledgement = await contradicted(world)
    await came(world, told(acknowledgement, "arrived"))
    still = (await state(world, receipt))[0]
    workflow = str(receipt["workflow_id"])
    order = ("--why", "INC-7", "--by", "jo")
    dry = await typed(world, "confirm", workflow, "in_progress", *order, "--dry-run")
    done = await typed(world, "confirm", workflow, "in_progress", *order)
    again = await typed(world, "confirm", workflow, "declined", *order)
    history = await world.ambulance.history(receipt["request_id"])

    assert State.CONTRADICTED == still
    assert (0, f"{workflow}: would be in_progress\n") == dry
    assert (0, f"{workflow}: the workflow is in_progress\n") == done
    assert (1, True) == (again[0], "neither unclear nor contradicted" in again[1])
    assert (State.IN_PROGRESS, "arrived") == await state(world, receipt)
    assert [] == await alarms(world)
    assert history is not None
    assert ["contradicted in_progress INC-7"] == [
        "{was} {state} {why}".format(**json.loads(event.detail))
        for event in history.events
        if event.kind == "operator.confirmed"
    ]


async def test_an_epr_settles_it_on_its_socket(world: World) -> None:
    """In its own name; what is none of its workflows it cannot."""
    receipt, _ = await contradicted(world)
    order = {"state": "declined", "why": "telephoned"}
    async with socket_of(world.ambulance) as session:
        paths = [f"/workflows/{number}/confirm" for number in (receipt["workflow_id"], 99)]
        answers = [await session.post(path, json=order) for path in paths]
        unknown = await session.post(paths[0], json={**order, "state": "unclear"})
        done = await answers[0].json()

    assert [200, 404, 422] == [each.status for each in (*answers, unknown)]
    assert (True, "declined") == (done["done"], done["state"])
    assert State.DECLINED == (await state(world, receipt))[0]


async def test_a_contradiction_stops_nothing_of_ours(asking: World) -> None:
    """It takes updates and cancellations: who doubts may take it back."""
    receipt, _ = await contradicted(asking)
    await cancelled(asking, receipt)

    assert State.CANCELLED == (await state(asking, receipt))[0]


async def contradicted(world: World) -> tuple[dict[str, Any], bytes]:
    receipt, acknowledgement = await asked(world, transfer("a6t2"))
    await came(
        world,
        told(acknowledgement, "cancelled", ago=MINUTE),
        told(acknowledgement, "in-progress", ago=MINUTE / 2),
    )
    return receipt, acknowledgement


async def typed(world: World, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *world.ambulance.command(*arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_a_stand_down_that_is_told_twice_is_one(world: World) -> None:
    """It read as a new yes, with nothing to do, while nobody was on the way."""
    _, acknowledgement = await asked(world, transfer("a6t2"))
    words = ("in-progress", "planned", "planned")
    notices = await came(world, *(told(acknowledgement, each) for each in words))

    assert ["assigned", "stood_down", "stood_down"] == [each["says"] for each in notices]
    assert ["stood_down"] == notices[-1]["remarks"]


async def test_a_stand_down_that_comes_before_what_it_ends_is_told_with_that(world: World) -> None:
    """It read as a first yes; the allocation that comes late shows what it was."""
    _, acknowledgement = await asked(world, transfer("a6t2"))
    notices = await came(
        world, told(acknowledgement, "planned"), told(acknowledgement, "in-progress", ago=MINUTE)
    )

    assert ["accepted", "assigned"] == [each["says"] for each in notices]
    assert {"out_of_order", "stood_down"} == set(notices[-1]["remarks"])
    assert "Nobody is on the way now." in notices[-1]["means"]
    assert ["response.remarked"] == await alarms(world)


async def test_what_comes_into_a_contradiction_is_never_plain(world: World) -> None:
    """Until somebody has said which holds, each word bears that it is in doubt."""
    _, acknowledgement = await asked(world, transfer("a6t2"))
    words = ("cancelled", "arrived", "in-progress", "cancelled")
    notices = await came(world, *(told(acknowledgement, each) for each in words))

    assert ["in_doubt" in each["remarks"] for each in notices] == [False, False, True, True]
    assert "Do not rely on this one alone" in notices[2]["means"]


async def test_a_contradiction_that_was_put_aside_comes_back(world: World) -> None:
    """Marked as handled, and nobody said how it stands: the next word raises it again."""
    _, acknowledgement = await asked(world, transfer("a6t2"))
    await came(world, told(acknowledgement, "cancelled"), told(acknowledgement, "arrived"))
    async with socket_of(world.ambulance) as session:
        async with session.get("/alarms") as answer:
            numbers = [each["alarm_id"] for each in (await answer.json())["alarms"]]
        order = {"why": "seen", "by": "test", "alarms": numbers}
        async with session.post("/alarms/handled", json=order) as answer:
            assert 200 == answer.status
    before = await alarms(world)
    await came(world, told(acknowledgement, "in-progress"))

    assert [] == before
    assert ["workflow.contradicted"] == await alarms(world)


async def test_the_log_names_the_rules_that_a_response_was_refused_for(world: World) -> None:
    """Whoever looks for what became of it finds why nobody here has heard."""
    _, answer = await asked(world, validation_request())
    bundle = json.loads(told(answer, "cancelled"))
    del bundle["entry"][0]["resource"]["response"]
    with capture_logs() as lines:
        to_us = headers(world.ambulance.service)
        status, _, _ = await post(world, json.dumps(bundle).encode(), to_us, node=world.ambulance)
    (line,) = [each for each in lines if each["event"] == "inbound.message_refused"]

    assert (status, "ambulance") == (line["http_status"], line["provider"])
    assert ["M16"] == line["rules"]


@pytest.mark.parametrize("use_case", ["a1t1", "a2t1", "a3t1"])
@pytest.mark.parametrize("says", ["cancelled", "finished"])
async def test_an_answer_that_its_application_does_not_know_is_read_by_a_person(
    world: World, use_case: str, says: str
) -> None:
    """It may be the only word that the patient was turned down: the referrer hears, and calls."""
    receipt, answer = await asked(world, referral(use_case=use_case))
    request = "revoked" if says == "cancelled" else None
    (notice,) = await came(world, told(answer, says, request=request))

    assert ("unclear", State.UNCLEAR) == (notice["says"], (await state(world, receipt))[0])
    assert "does not add up" in notice["means"]
    assert "elephone" in notice["means"]
    assert "workflow.unclear" in await alarms(world)
