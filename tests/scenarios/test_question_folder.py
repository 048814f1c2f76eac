"""Questions as files: an EPR that can rename files answers while the proxy waits."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bookings import booking, focus, searchset, slot_query
from world import Node, World, eventually, get, headers, post, world_in

from bars_gateway.standard import xml
from bars_gateway.standard.bundle import from_json

pytestmark = pytest.mark.both_engines


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked='questions = "folder"') as running:
        yield running


async def question(node: Node) -> tuple[int, dict[str, Any]]:
    """Wait for a question; return its number and what it says."""
    (file, *_) = await eventually(lambda: node.files("questions/new/*.question.json"))
    return int(file.name.partition(".")[0]), json.loads(file.read_bytes())


def answer(node: Node, name: str, content: bytes) -> None:
    """Rename an answer into answers/new as an EPR should."""
    half = node.spool / "answers" / "tmp" / name
    half.write_bytes(content)
    half.rename(node.spool / "answers" / "new" / name)


async def test_a_booking_is_answered_by_a_file(world: World) -> None:
    """Question, request, answer, receipt; what is over is taken away."""
    body, hospital = booking(), world.hospital
    async with asyncio.TaskGroup() as group:
        posted = group.create_task(post(world, body, headers()))
        number, asked = await question(hospital)
        seen = (hospital.spool / f"questions/new/{number:012d}.request.json").read_bytes()
        answer(hospital, f"{number}.json", b'{"accept": true}')
        receipt = await hospital.document(f"answers/accepted/{number}.decided.json")
    await eventually(lambda: not hospital.files("questions/new/*"))
    status, _, acknowledged = posted.result()

    assert (body, number) == (seen, asked["question_id"])
    assert (200, asked["proposed_focus_id"]) == (status, focus(acknowledged)["id"])
    assert (True, False) == (receipt["accepted"], receipt["late"])
    assert [] == hospital.files("answers/new/*")


async def test_an_answer_that_cannot_be_read_stops_no_other(world: World) -> None:
    """What lies in the way stays there, and the page says so; others are asked and answered."""
    hospital = world.hospital
    (hospital.spool / "answers/new/1.json").mkdir()
    async with asyncio.TaskGroup() as group:
        posted = group.create_task(post(world, booking(), headers()))
        number, _ = await question(hospital)
        answer(hospital, f"{number}.xml", b"no answer")
        await hospital.document(f"answers/refused/{number}.reason.json")
        answer(hospital, f"{number}.JSON", b'{"accept": true}')
    status, _, _ = posted.result()
    (lying,) = hospital.gateway._doors[0].lying(datetime.now(UTC))

    assert 200 == status
    assert (1, str(hospital.spool / "answers/new")) == (lying.count, lying.folder)
    assert "never opened" in lying.cure
    assert "no Sender has heard of it" == lying.means


async def test_a_search_is_answered_by_an_xml_file(world: World) -> None:
    """The Sender gets JSON; numbers and instants are as the EPR wrote them."""
    found = from_json(json.dumps(searchset()).encode())
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(get(world, f"/Slot?{slot_query()}", headers()))
        number, asked = await question(world.hospital)
        answer(world.hospital, f"{number}.xml", xml.from_tree(found))
    status, _, slots = reading.result()

    assert ("GET Slot", 200, 0) == (asked["operation"], status, slots["total"])


async def test_a_mere_yes_to_a_search_is_laid_aside(world: World) -> None:
    """The question stays open for the searchset, which is what the Sender gets."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(get(world, f"/Slot?{slot_query()}", headers()))
        number, _ = await question(world.hospital)
        answer(world.hospital, f"{number}.json", b'{"accept": true}')
        reason = await world.hospital.document(f"answers/refused/{number}.reason.json")
        answer(world.hospital, f"{number}.json", json.dumps(searchset()).encode())
    status, _, slots = reading.result()

    assert ["answer"] == [issue["path"] for issue in reason["issues"]]
    assert (200, "searchset") == (status, slots["type"])


async def test_a_list_that_holds_less_than_it_counts_is_laid_aside(world: World) -> None:
    """The reason says what to do; the corrected one is what the Sender gets."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(get(world, f"/Slot?{slot_query()}", headers()))
        number, _ = await question(world.hospital)
        answer(world.hospital, f"{number}.json", json.dumps(searchset() | {"total": 3}).encode())
        reason = await world.hospital.document(f"answers/refused/{number}.reason.json")
        answer(world.hospital, f"{number}.json", b'{"refuse": "too-costly"}')
    status, _, _ = reading.result()

    assert ["Bundle.total"] == [issue["path"] for issue in reason["issues"]]
    assert "give them all" in reason["issues"][0]["problem"]
    assert 422 == status


async def test_an_answer_that_cannot_be_used_is_laid_aside(world: World) -> None:
    """With the reason beside it; the question is still open."""
    async with asyncio.TaskGroup() as group:
        posted = group.create_task(post(world, booking(), headers()))
        number, _ = await question(world.hospital)
        answer(world.hospital, f"{number}.json", b'{"refuse": "because"}')
        reason = await world.hospital.document(f"answers/refused/{number}.reason.json")
        answer(world.hospital, f"{number}.json", b'{"refuse": "slot-taken"}')

    assert ["answer.refuse"] == [issue["path"] for issue in reason["issues"]]
    assert 409 == posted.result()[0]


async def test_a_correction_that_comes_at_once_is_no_part_of_what_it_corrects(
    world: World,
) -> None:
    """The EPR sees the reason, writes the same name again, and that file is the next answer."""
    refused = world.hospital.spool / "answers" / "refused"
    async with asyncio.TaskGroup() as group:
        posted = group.create_task(post(world, booking(), headers()))
        number, _ = await question(world.hospital)
        answer(world.hospital, f"{number}.json", b'{"refuse": "because"}')
        await eventually((refused / f"{number}.reason.json").exists)
        answer(world.hospital, f"{number}.json", b'{"refuse": "slot-taken"}')
        await posted

    assert b"because" in (refused / f"{number}.json").read_bytes()
    assert 409 == posted.result()[0]


async def test_an_answer_that_was_claimed_when_the_gateway_died_counts(world: World) -> None:
    """The file is found where it was being taken in."""
    hospital = world.hospital
    async with asyncio.TaskGroup() as group:
        group.create_task(post(world, booking(), headers()))
        number, _ = await question(hospital)
        await hospital.stop()
    claimed = hospital.spool / "answers" / "claimed" / f"{number}.json"
    claimed.write_bytes(b'{"accept": true}')
    await hospital.restart()
    receipt = await hospital.document(f"answers/accepted/{number}.decided.json")

    await eventually(lambda: not claimed.exists())  # the receipt comes first

    assert receipt["accepted"]


async def test_an_answer_to_nothing_is_laid_aside(world: World) -> None:
    """Nothing that an EPR writes disappears without a word."""
    answer(world.hospital, "4711.json", b'{"accept": true}')
    reason = await world.hospital.document("answers/refused/4711.reason.json")

    assert ["question"] == [issue["path"] for issue in reason["issues"]]


async def test_a_restart_writes_an_open_question_again(world: World) -> None:
    """Under the same number, though the EPR had taken it away."""
    hospital = world.hospital
    async with asyncio.TaskGroup() as group:
        posted = group.create_task(post(world, booking(), headers()))
        number, _ = await question(hospital)
        for file in hospital.files("questions/new/*"):
            file.unlink()
        await hospital.stop()
    await hospital.restart()
    again, _ = await question(hospital)

    assert (408, number) == (posted.result()[0], again)


async def test_a_folder_that_was_taken_away_is_made_anew(world: World) -> None:
    """No trouble with a folder ends the gateway."""
    folder = world.hospital.spool / "answers" / "new"
    folder.rmdir()
    await eventually(folder.is_dir)
    async with asyncio.TaskGroup() as group:
        posted = group.create_task(post(world, booking(), headers()))
        number, _ = await question(world.hospital)
        answer(world.hospital, f"{number}.json", b'{"accept": true}')

    assert 200 == posted.result()[0]


async def test_a_receipt_is_named_as_the_answer_was(world: World) -> None:
    """An EPR that goes by the question's name, zeros and all, finds the receipt under it."""
    hospital = world.hospital
    async with asyncio.TaskGroup() as group:
        posted = group.create_task(post(world, booking(), headers()))
        number, _ = await question(hospital)
        answer(hospital, f"{number:012d}.json", b'{"accept": true}')
        receipt = await hospital.document(f"answers/accepted/{number:012d}.decided.json")

    assert (200, number) == (posted.result()[0], receipt["question_id"])
    assert 1 == len(hospital.files("answers/accepted/*"))


async def test_a_reason_is_named_as_the_answer_was(world: World) -> None:
    """The answer lies beside it, under the same name; two names never share a reason."""
    answer(world.hospital, "4711.json", b'{"accept": true}')
    answer(world.hospital, "000000004711.JSON", b'{"refuse": "slot-taken"}')
    for name in ("4711", "000000004711"):
        await world.hospital.document(f"answers/refused/{name}.reason.json")
    lying = await eventually(lambda: four(world.hospital.files("answers/refused/*")))

    assert [
        "000000004711.JSON",
        "000000004711.reason.json",
        "4711.json",
        "4711.reason.json",
    ] == [file.name for file in lying]


def four(files: list[Path]) -> list[Path] | None:
    return files if len(files) == 4 else None


async def test_no_answer_that_was_refused_is_replaced_by_the_next(world: World) -> None:
    """Each lies there with its own reason, however often the EPR tries under one name."""
    hospital, tries = world.hospital, (b"no answer", b'{"refuse": "because"}')
    async with asyncio.TaskGroup() as group:
        posted = group.create_task(post(world, booking(), headers()))
        number, _ = await question(hospital)
        for name, content in zip((f"{number}", f"{number}.2"), tries, strict=True):
            answer(hospital, f"{number}.json", content)
            await eventually((hospital.spool / f"answers/refused/{name}.json").exists)
        answer(hospital, f"{number}.json", b'{"accept": true}')
    refused = hospital.spool / "answers" / "refused"
    kept = [(refused / f"{name}.json").read_bytes() for name in (number, f"{number}.2")]
    reasons = [
        json.loads((refused / f"{name}.reason.json").read_bytes())["issues"][0]["path"]
        for name in (number, f"{number}.2")
    ]

    assert (200, list(tries)) == (posted.result()[0], kept)
    assert ["answer", "answer.refuse"] == reasons


async def test_an_answer_under_a_name_that_answers_nothing_is_refused(world: World) -> None:
    """Else its EPR believes that it has answered, and the Sender is told that nobody did."""
    answer(world.hospital, "000000000012.answer.json", b'{"accept": true}')
    found = await world.hospital.document("answers/refused/000000000012.answer.reason.json")
    await world.hospital.document("answers/refused/000000000012.answer.json")

    assert ["name"] == [issue["path"] for issue in found["issues"]]
