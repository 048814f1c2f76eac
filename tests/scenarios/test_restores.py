"""A restore between two organisations: nothing that was over goes out, nothing received is lost."""

import asyncio
import json
import os
import re
import shutil
import signal
import uuid
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import aiohttp
import engines
import pytest
from messages import referral, validation_request
from moving import transfer
from telling import sent_back, told
from world import Node, World, answer_of, eventually, headers, in_time, post, process

from bars_gateway.daemon import gateway
from bars_gateway.demo.messages import response
from bars_gateway.errors import DatabaseSetBack
from bars_gateway.model.messages import OutboundState
from bars_gateway.standard.sentences import means
from bars_gateway.standard.workflow import State

# Most is about what the database that was there knows: on a server it is gone.
of_the_database_before = pytest.mark.of_sqlite


async def restored(node: Node, backup: Path, *before: Path) -> str:
    """Stop the gateway and put *backup* back, its database lost where *before* names it."""
    await node.stop()
    for lost in before:
        if not engines.on_server():
            lost.write_bytes(b"this is no database" * 1000)
    return await node.restored(backup)


def kept(node: Node) -> str:
    (file,) = node.database.parent.glob("gateway.db.before-restore-*Z")
    return str(file)


async def asked(node: Node, request_id: str, verb: str) -> None:
    """Have the EPR do *verb* to one of its messages."""
    connector = aiohttp.UnixConnector(path=str(node.socket))
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"http://epr/messages/{request_id}/{verb}"
        order = {"why": "a test", "by": "jo"}
        async with session.post(url, json=order) as answer:
            assert answer.status == 200, await answer.text()


async def two_that_wait(world: World) -> tuple[str, str]:
    """Submit two of one conversation that cannot leave: one is tried, and one is behind it."""
    world.sandbox.faults.arm({"kind": "status", "status": 503, "count": 100_000})
    talk = json.dumps({"correlation_id": str(uuid.uuid4())}).encode()
    for name in ("first", "second"):
        world.ambulance.drop(f"{name}.json", referral(), talk)
        await world.ambulance.document(f"outbox/accepted/{name}.receipt.json")
    first, second = [
        (await world.ambulance.document(f"outbox/accepted/{name}.receipt.json"))["request_id"]
        for name in ("first", "second")
    ]
    return first, second


@of_the_database_before
async def test_what_was_withdrawn_after_the_backup_does_not_go_out(
    world: World, tmp_path: Path
) -> None:
    """The other one does, and the EPR is told of both how they ended."""
    first, second = await two_that_wait(world)
    await world.ambulance.ran("backup", str(tmp_path / "copy.db"))
    await asked(world.ambulance, second, "withdraw")
    printed = await restored(world.ambulance, tmp_path / "copy.db")
    world.sandbox.faults.clear()
    await world.ambulance.restart()
    outcomes = [await world.ambulance.outcome(each) for each in (first, second)]
    arrived = await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))

    assert ["acknowledged", "withdrawn"] == [outcome["state"] for outcome in outcomes]
    assert 1 == len(arrived)
    assert f"    {second}  withdrawn" in printed


@pytest.mark.both_engines
async def test_where_the_database_is_lost_nothing_goes_out_until_it_is_released(
    world: World, tmp_path: Path
) -> None:
    """The EPR is told of each; a person releases one, and only that one leaves."""
    first, second = await two_that_wait(world)
    await world.ambulance.backed_up(tmp_path / "copy.db")
    await restored(world.ambulance, tmp_path / "copy.db", world.ambulance.database)
    world.sandbox.faults.clear()
    await world.ambulance.restart()
    told = await eventually(
        lambda: len(f := world.ambulance.files("inbox/new/*.held.json")) == 2 and f
    )
    held = (await world.ambulance.overview()).outbound[OutboundState.HELD]
    await world.ambulance.ran("release", first, "--why", "the hospital has nothing")
    outcome = await world.ambulance.outcome(first)
    received = await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))

    assert {first, second} == {json.loads(file.read_bytes())["request_id"] for file in told}
    assert (2, "acknowledged") == (held, outcome["state"])
    assert 1 == len(received)


@of_the_database_before
async def test_what_another_program_has_put_back_is_made_safe(world: World, tmp_path: Path) -> None:
    """A snapshot of the machine: what was withdrawn since is held, and leaves once released."""
    first, second = await two_that_wait(world)
    await world.ambulance.backed_up(tmp_path / "copy.db")
    await asked(world.ambulance, second, "withdraw")
    await world.ambulance.stop()
    for log in world.ambulance.database.parent.glob("gateway.db-*"):
        log.unlink()
    shutil.copyfile(tmp_path / "copy.db", world.ambulance.database)
    with pytest.raises(DatabaseSetBack) as refused:
        await gateway.run(world.ambulance.settings(), asyncio.Event())
    checked = await world.ambulance.typed("check")
    seen = await world.ambulance.typed("doctor", "--offline")
    unasked = await world.ambulance.typed("restore")
    printed = await world.ambulance.ran("restore", "--why", "INC-7: the machine was reverted")
    world.sandbox.faults.clear()
    await world.ambulance.restart()
    await world.ambulance.ran("release", first, "--why", "the hospital has nothing")
    outcome = await world.ambulance.outcome(first)
    page = await world.ambulance.overview()

    assert "has gone back: it ends with line" in str(refused.value)
    assert all("has gone back" in done.out + done.err for done in (checked, seen))
    assert "Without FILE" in unasked.err
    assert "Held: 2 messages." in printed
    assert "Ask each Sender" in printed
    assert "acknowledged" == outcome["state"]
    assert 1 == page.outbound[OutboundState.HELD]
    assert "restore.forgotten" in {alarm.kind for alarm in page.alarms}


@of_the_database_before
async def test_a_referral_that_was_acknowledged_since_is_answered_to_whoever_asked(
    world: World, tmp_path: Path
) -> None:
    """Its response would be quarantined, and the clinician would hear nothing."""
    await world.ambulance.ran("backup", str(tmp_path / "copy.db"))
    receipt = await world.ambulance.sent("r.json", validation_request())
    await world.ambulance.outcome(receipt["request_id"])
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    await restored(world.ambulance, tmp_path / "copy.db")
    await world.ambulance.restart()
    replied = await world.hospital.sent(
        "f.json", response(answer.read_bytes(), encounter="finished")
    )
    outcome = await world.hospital.outcome(replied["request_id"])
    found = await world.ambulance.history(receipt["request_id"])

    assert "acknowledged" == outcome["state"]
    assert found is not None
    assert State.COMPLETED is found.workflow.state


@of_the_database_before
async def test_what_was_received_since_is_handed_over(world: World, tmp_path: Path) -> None:
    """With the bytes and the number that it had; until then the page asks for it."""
    await world.hospital.ran("backup", str(tmp_path / "copy.db"))
    body = referral()
    receipt = await world.ambulance.sent("r.json", body)
    await world.ambulance.outcome(receipt["request_id"])
    (first,) = await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))
    for file in world.hospital.files("inbox/new/*"):
        file.unlink()  # the EPR takes them away, or the disk did
    printed = await restored(world.hospital, tmp_path / "copy.db")
    await world.hospital.restart()
    standing = [alarm.kind for alarm in (await world.hospital.overview()).alarms]
    await world.hospital.stop()
    await world.hospital.ran("restore", kept(world.hospital), "--hand-over")
    await world.hospital.restart()
    (again,) = await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))
    notice = json.loads(world.hospital.files("inbox/new/*.notice.json")[0].read_bytes())

    assert f"    {receipt['request_id']}  received" in printed
    assert "restore.not_handed_over" in standing
    assert (first.name, body) == (again.name, again.read_bytes())
    assert ["restored"] == notice["remarks"]
    assert [] == list((await world.hospital.overview()).alarms)


@pytest.mark.both_engines
async def test_a_restore_that_is_run_again_forgets_nothing_more_quietly(
    world: World, tmp_path: Path
) -> None:
    """The disk is lost, and a referral with it: the second run says what the first one said."""
    await world.hospital.backed_up(tmp_path / "copy.db")
    receipt = await world.ambulance.sent("r.json", referral())
    await world.ambulance.outcome(receipt["request_id"])
    first = await restored(world.hospital, tmp_path / "copy.db", world.hospital.database)
    second = await restored_again(world.hospital, tmp_path)
    await world.hospital.restart()
    alarms = await world.hospital.ran("alarms")
    page = await page_of(world.hospital)

    assert 1 == len(forgotten(first))
    assert forgotten(first) == forgotten(second)
    assert "is whole" not in second
    assert "restore.forgotten" in alarms
    assert "1 restore of which nobody can say what was lost" in page
    assert "No action needed" not in page


async def restored_again(node: Node, folder: Path) -> str:
    """Do once more what makes it safe to start."""
    if engines.on_server():
        return await node.ran("restore")
    Path(kept(node)).rename(folder / "kept.db")  # both may be of one second
    return await node.ran("restore", str(folder / "copy.db"), "--older")


def forgotten(printed: str) -> list[str]:
    """Return what it says of messages that nobody may know of, and since when."""
    return re.findall(r"Forgotten (.*?): nobody can say all of it", " ".join(printed.split()))


@of_the_database_before
async def test_a_gateway_killed_while_it_sends_is_restored_whole(
    world: World, tmp_path: Path
) -> None:
    """What was in flight is in the log alone; it goes out again under its own ids, once."""
    async with process(world.ambulance, tmp_path / "log") as gateway:
        await world.ambulance.ran("backup", str(tmp_path / "copy.db"))
        world.sandbox.faults.arm({"kind": "delay", "seconds": 1.0, "count": 1})
        receipt = await world.ambulance.sent("r.json", referral())
        await in_time(lambda: sending(world.ambulance))
        os.kill(gateway.pid, signal.SIGKILL)
        await gateway.wait()
    printed = await world.ambulance.ran("restore", str(tmp_path / "copy.db"), "--older")
    async with process(world.ambulance, tmp_path / "log2"):
        outcome = await world.ambulance.outcome(receipt["request_id"])
    received = await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))

    assert f"    {receipt['request_id']}  sending" in printed
    assert "acknowledged" == outcome["state"]
    assert 1 == len(received)


async def sending(node: Node) -> bool:
    return (await node.overview()).outbound[OutboundState.SENDING] > 0


MINUTE = timedelta(minutes=1)


async def accepted(world: World, name: str) -> tuple[str, bytes]:
    """Ask for help, and return the request's id and what the other control room answered."""
    before = set(world.hospital.files("inbox/new/*.answer.json"))
    receipt = await world.ambulance.sent(f"{name}.json", transfer("a6t2"))
    await world.ambulance.outcome(receipt["request_id"])
    (answer,) = await eventually(
        lambda: set(world.hospital.files("inbox/new/*.answer.json")) - before
    )
    return receipt["request_id"], answer.read_bytes()


async def says(world: World, answer: bytes, encounter: str, ago: timedelta = timedelta(0)) -> None:
    came = headers(world.ambulance.service)
    status, *_ = await post(world, told(answer, encounter, ago=ago), came, node=world.ambulance)
    assert status == 200


async def state_of(node: Node, request_id: str) -> State:
    found = await node.history(request_id)
    assert found is not None
    return found.workflow.state


@of_the_database_before
async def test_what_nobody_has_seen_stands_on_the_page_after_a_restore(
    world: World, tmp_path: Path
) -> None:
    """A decline and then an arrival; a stand-down for another patient: both since the backup."""
    (one, first), (_, second) = [await accepted(world, name) for name in ("one", "two")]
    await world.ambulance.ran("backup", str(tmp_path / "copy.db"))
    await says(world, first, "cancelled", MINUTE)
    await says(world, first, "arrived")
    await says(world, second, "in-progress", MINUTE)
    await says(world, second, "planned")
    before = await world.ambulance.overview()
    printed = await restored(world.ambulance, tmp_path / "copy.db")
    between = await world.ambulance.ran("alarms")
    await world.ambulance.ran("restore", kept(world.ambulance), "--hand-over")
    await world.ambulance.restart()
    after = await world.ambulance.overview()
    page = await page_of(world.ambulance)

    assert ["response.remarked", "workflow.contradicted"] == sorted(a.kind for a in before.alarms)
    assert "- Standing again: 2 alarms that nobody had marked as handled." in printed
    assert "workflow.contradicted" in between
    assert "response.remarked" in between
    assert {(a.kind, a.request_id, a.since) for a in before.alarms} == {
        (a.kind, a.request_id, a.since) for a in after.alarms
    }
    assert State.CONTRADICTED is await state_of(world.ambulance, one)
    assert "Action needed" in page
    assert "No action needed" not in page


async def page_of(node: Node) -> str:
    assert node.gateway is not None
    url = f"http://127.0.0.1:{node.gateway.status.port}/"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


def messages(node: Node) -> list[dict[str, Any]]:
    """Return the notices of messages that lie there, in their order."""
    found = [json.loads(file.read_bytes()) for file in node.files("inbox/new/*.notice.json")]
    return [
        each for each in sorted(found, key=itemgetter("notice_id")) if each["kind"] == "message"
    ]


@of_the_database_before
async def test_an_arrival_before_the_decline_is_handed_over_contradicts_it(
    world: World, tmp_path: Path
) -> None:
    """As the same messages without a restore: and what follows does not end it quietly."""
    asked_, answer = await accepted(world, "one")
    await world.ambulance.ran("backup", str(tmp_path / "copy.db"))
    await says(world, answer, "cancelled", MINUTE)
    for file in world.ambulance.files("inbox/new/*"):
        file.unlink()
    await restored(world.ambulance, tmp_path / "copy.db")
    await world.ambulance.restart()
    await says(world, answer, "arrived", MINUTE / 2)
    (plain,) = await eventually(lambda: messages(world.ambulance))
    await world.ambulance.stop()
    await world.ambulance.ran("restore", kept(world.ambulance), "--hand-over")
    await world.ambulance.restart()
    notices = await eventually(lambda: len(f := messages(world.ambulance)) == 3 and f)
    standing = [alarm.kind for alarm in (await world.ambulance.overview()).alarms]
    stands = await state_of(world.ambulance, asked_)
    await says(world, answer, "finished")

    assert [] == plain["remarks"]
    assert State.CONTRADICTED is stands
    assert ["workflow.contradicted"] == standing
    assert ["contradicts", "restored"] in [each["remarks"] for each in notices]
    assert State.CONTRADICTED is await state_of(world.ambulance, asked_)


async def asked_and_answered(world: World, body: bytes) -> tuple[str, bytes]:
    """Send a request; return its X-Request-Id, and the hospital's acknowledgement."""
    receipt = await world.ambulance.sent(f"{uuid.uuid4()}.json", body)
    await world.ambulance.outcome(receipt["request_id"])
    answer = await in_time(lambda: answer_of(world.hospital, receipt["request_id"]))
    return receipt["request_id"], answer


async def reported(world: World, body: bytes) -> None:
    sent = headers(world.ambulance.service)
    status, _, _ = await post(world, body, sent, node=world.ambulance)
    assert 200 == status


async def handed_over(node: Node, backup: Path) -> list[dict[str, Any]]:
    """Go back to *backup*, hand over what it lacks, and return the notices of that."""
    await restored(node, backup)
    for file in node.files("inbox/new/*"):
        file.unlink()
    await node.ran("restore", kept(node), "--hand-over")
    await node.restart()
    files = await eventually(lambda: node.files("inbox/new/*.notice.json"))
    return [json.loads(file.read_bytes()) for file in files]


async def looked_at(node: Node, request_id: str) -> str:
    found = await node.history(request_id)
    assert found is not None
    return means(found.message.seen_at(datetime.now(UTC)))


@of_the_database_before
async def test_two_records_are_two_after_a_restore(world: World, tmp_path: Path) -> None:
    """The second was asked for, and ended, since the backup: who looks at the first reads so."""
    body = transfer("a6t2")
    first, _ = await asked_and_answered(world, body)
    await world.ambulance.ran("backup", str(tmp_path / "copy.db"))
    again = json.dumps(json.loads(body) | {"id": str(uuid.uuid4())}).encode()
    second, acknowledgement = await asked_and_answered(world, again)
    await says(world, acknowledgement, "finished")
    (notice,) = await handed_over(world.ambulance, tmp_path / "copy.db")

    assert "other_record" in notice["remarks"]
    assert "is over: read how that one ended" in await looked_at(world.ambulance, first)
    assert "There may be another record" in await looked_at(world.ambulance, second)


@of_the_database_before
async def test_a_plan_that_was_sent_back_is_no_answer_after_a_restore(
    world: World, tmp_path: Path
) -> None:
    """The request that it says the same as was in the backup; the answer was not."""
    body = validation_request()
    first, acknowledgement = await asked_and_answered(world, body)
    await world.ambulance.ran("backup", str(tmp_path / "copy.db"))
    await reported(world, sent_back(told(acknowledgement, "finished", plan="completed"), body))
    (notice,) = await handed_over(world.ambulance, tmp_path / "copy.db")
    texts = [notice["means"], await looked_at(world.ambulance, first)]

    assert {"plan_sent_back", "restored"} == set(notice["remarks"])
    assert [True] * 2 == ["Do not close the case on this: telephone" in each for each in texts]
