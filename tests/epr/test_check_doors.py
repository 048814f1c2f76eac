"""What `epr-check` sees at the doors: files as the kernel tells of them, HTTP as it passes."""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bars_gateway.epr_check.folder_watch import watched
from bars_gateway.epr_check.play import FolderDoor
from bars_gateway.epr_check.relay import SocketRelay
from bars_gateway.epr_check.sightings import (
    Addition,
    EprSightings,
    FileEvent,
    SeenRefusedAnswer,
)

NOTICES = [
    {"notice_id": number, "kind": "message", "workflow_id": number, "means": "So."}
    for number in (1, 2)
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("tmp", "new"):
        (tmp_path / name).mkdir()
    return tmp_path


@asynccontextmanager
async def events(folder: Path, *, of: int) -> AsyncIterator[list[tuple[str, FileEvent]]]:
    """Yield a list that fills, and then wait until it holds so many."""
    found: list[tuple[str, FileEvent]] = []
    enough = asyncio.Event()

    def note(where: str, name: str, event: FileEvent) -> None:
        assert "new" == where
        found.append((name, event))
        if len(found) >= of:
            enough.set()

    with watched(folder, ["new", "missing"], note):
        yield found
        async with asyncio.timeout(10):
            await enough.wait()


async def test_a_rename_is_one_event(folder: Path) -> None:
    """The file is whole when it is there."""
    (folder / "tmp" / "a.json").write_bytes(b"{}")
    async with events(folder, of=1) as found:
        (folder / "tmp" / "a.json").rename(folder / "new" / "a.json")

    assert [("a.json", FileEvent.RENAMED_IN)] == found


async def test_what_is_written_in_place_is_seen_so(folder: Path) -> None:
    """It is there before it is whole."""
    async with events(folder, of=3) as found:
        (folder / "new" / "a.json").write_bytes(b"{}")

    assert [FileEvent.CREATED, FileEvent.WRITTEN, FileEvent.CLOSED] == [each for _, each in found]


async def test_that_a_file_was_read_and_taken_away_is_seen(folder: Path) -> None:
    """Moved or removed; a name may hold anything."""
    for name in ("a ü.json", "b.json"):
        (folder / "new" / name).write_bytes(b"{}")
    async with events(folder, of=3) as found:
        (folder / "new" / "a ü.json").read_bytes()
        (folder / "new" / "a ü.json").unlink()
        (folder / "new" / "b.json").rename(folder / "tmp" / "b.json")

    assert [
        ("a ü.json", FileEvent.READ),
        ("a ü.json", FileEvent.REMOVED),
        ("b.json", FileEvent.RENAMED_OUT),
    ] == found


async def test_what_is_moved_by_a_second_link_is_not_deleted(tmp_path: Path) -> None:
    """So .NET moves a file: it links it elsewhere, and removes the name that it had."""
    for name in ("inbox/tmp", "inbox/new", "kept"):
        (tmp_path / name).mkdir(parents=True)
    seen = EprSightings(lambda: 0.0)
    names = ("000000000001.outcome.json", "000000000002.outcome.json")
    with (
        closing(FolderDoor(tmp_path, seen)) as door,
        watched(tmp_path, ["inbox/new"], door.note),
    ):
        for name in names:
            (tmp_path / "inbox/tmp" / name).write_bytes(b"{}")
            (tmp_path / "inbox/tmp" / name).rename(tmp_path / "inbox/new" / name)
        await seen.until(lambda: len(seen.notices) > 1)
        (tmp_path / "kept" / names[0]).hardlink_to(tmp_path / "inbox/new" / names[0])
        for name in names:
            (tmp_path / "inbox/new" / name).unlink()
        async with asyncio.timeout(10):
            await seen.until(lambda: seen.notices[2].taken)

    assert (set(), {"outcome"}) == (seen.notices[1].lost, seen.notices[2].lost)


class SmallGateway:
    """Answers as a gateway's socket does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.says: dict[str, tuple[int, object]] = {}  # by path

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path, await request.read()))
        if request.path in self.says:
            status, document = self.says[request.path]
            return web.json_response(document, status=status)
        if request.path == "/notices":
            return web.json_response({"notices": NOTICES})
        if request.path.endswith("/collected"):
            return web.Response(status=204)
        return web.Response(body=b"\xff bytes", status=201, headers={"Content-Type": "x/y"})


class Relayed:
    """An EPR's side of a relay, with a gateway behind it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.gateway = SmallGateway()
        self.seen = EprSightings(lambda: 0.0)
        self.relay: SocketRelay

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        async with self.session.request(method, path, data=body) as answer:
            return answer.status, await answer.read()

    async def numbers(self) -> list[int]:
        async with self.session.get("/notices?wait=30") as answer:
            return [each["notice_id"] for each in (await answer.json())["notices"]]


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="check") as folder:
        yield Path(folder)


@pytest.fixture
async def relayed(home: Path) -> AsyncIterator[Relayed]:
    connector = aiohttp.UnixConnector(str(home / "epr.sock"))
    async with aiohttp.ClientSession("http://gateway", connector=connector) as session:
        found = Relayed(session)
        runner = web.AppRunner(found.gateway.application())
        await runner.setup()
        await web.UnixSite(runner, str(home / "gateway.sock")).start()
        found.relay = SocketRelay(home / "gateway.sock", found.seen)
        async with found.relay.serving(home / "epr.sock"):
            yield found
        await runner.cleanup()


async def test_everything_goes_through_as_it_is(relayed: Relayed) -> None:
    """Bytes, status, and a path as the EPR wrote it."""
    answer = await relayed.ask("POST", "/bars/Slot?to=a%7Cb", b"\x00body")

    assert (201, b"\xff bytes") == answer
    assert [("POST", "/bars/Slot?to=a%7Cb", b"\x00body")] == relayed.gateway.asked


async def test_what_is_collected_is_noted(relayed: Relayed) -> None:
    """And whether its message was read before."""
    assert [1, 2] == await relayed.numbers()
    await relayed.ask("GET", "/notices/2/message")
    for number in (1, 2):
        await relayed.ask("POST", f"/notices/{number}/collected")
    notices = relayed.seen.notices

    assert [1, 1] == [len(notices[number].taken) for number in (1, 2)]
    assert {"message"} == notices[1].lost


async def test_a_refused_answer_and_a_message_built_anew_are_noted(relayed: Relayed) -> None:
    """With what the gateway says of them; and which request of a question was read."""
    relayed.gateway.says = {
        "/questions/7/answer": (422, {"issues": [{"rule": "Q01", "problem": "is no word"}]}),
        "/messages": (201, {"warnings": [{"rule": "L11"}]}),
        "/questions/7/request": (200, {}),
    }
    await relayed.ask("GET", "/questions/7/request")
    await relayed.ask("POST", "/questions/7/answer", b"{}")
    await relayed.ask("POST", "/messages", b"one")

    assert [SeenRefusedAnswer("7", "Q01 is no word")] == relayed.seen.refused_answers
    assert {7} == relayed.seen.requests_read
    assert 1 == len(relayed.seen.built_anew_at)


async def test_a_refused_answer_in_the_folder_is_noted(folder: Path) -> None:
    """The gateway renames its reason there."""
    seen = EprSightings(lambda: 0.0)
    refused = folder / "answers" / "refused"
    refused.mkdir(parents=True)
    reason = {"issues": [{"rule": "Q03", "problem": "is that of no answer"}]}
    (refused / "7.reason.json").write_text(json.dumps(reason))
    FolderDoor(folder, seen).note("answers/refused", "7.reason.json", FileEvent.RENAMED_IN)

    assert [SeenRefusedAnswer("7", "Q03 is that of no answer")] == seen.refused_answers


async def test_a_notice_is_given_again_until_it_is_collected_again(relayed: Relayed) -> None:
    """In its place: the oldest first."""
    await relayed.numbers()
    await relayed.ask("POST", "/notices/1/collected")
    await relayed.relay.give_again(relayed.seen.notices[1])
    twice = await relayed.numbers()
    await relayed.ask("POST", "/notices/1/collected")

    assert [1, 1, 2] == twice  # this gateway forgets nothing
    assert [1, 2] == await relayed.numbers()
    assert 2 == len(relayed.seen.notices[1].taken)


@pytest.mark.parametrize("killed", [True, False])
async def test_a_collection_is_held_back_once(relayed: Relayed, *, killed: bool) -> None:
    """Until the EPR is gone or has had its time; the gateway does not hear of it."""
    relayed.gateway.says["/notices"] = (200, {"notices": [NOTICES[0] | {"move": "request"}]})
    await relayed.ask("GET", "/notices")
    relayed.relay.holds_seconds = 60.0 if killed else 0.2
    asking = asyncio.create_task(relayed.ask("POST", "/notices/1/collected"))
    async with asyncio.timeout(10):
        await relayed.seen.until(lambda: relayed.seen.notices[1].held_at is not None)
        is_calm = relayed.seen.is_calm()
        if killed:
            asking.cancel()
        await relayed.seen.until(lambda: relayed.seen.notices[1].crashed_at is not None)
    with pytest.raises((aiohttp.ClientError, asyncio.CancelledError)):
        await asking
    before = [method for method, _, _ in relayed.gateway.asked]
    status, _ = await relayed.ask("POST", "/notices/1/collected")

    assert (["GET"], False, 204) == (before, is_calm, status)
    assert 1 == len(relayed.seen.notices[1].taken)


async def test_a_notice_that_is_made_up_is_given_until_it_is_collected(relayed: Relayed) -> None:
    """Behind all others; the gateway hears nothing of it."""
    await relayed.numbers()
    made = relayed.seen.make_up(relayed.seen.notices[1], Addition.KIND, 900)
    await relayed.relay.give_made_up(made)
    given = await relayed.numbers()
    status, _ = await relayed.ask("POST", "/notices/900/collected")

    assert ([1, 2, 900], 204) == (given, status)
    assert [1, 2] == await relayed.numbers()
    assert "/notices/900/collected" not in [path for _, path, _ in relayed.gateway.asked]


async def test_an_answer_is_cut_off_once(relayed: Relayed) -> None:
    """The gateway has the message by then."""
    relayed.relay.cuts = True
    with pytest.raises(aiohttp.ClientError):
        await relayed.ask("POST", "/messages", b"one")
    status, _ = await relayed.ask("POST", "/messages", b"one")
    one = hashlib.sha256(b"one").hexdigest()

    assert 201 == status
    assert [(one, None), (one, 201)] == [
        (each.fingerprint, each.http_status) for each in relayed.seen.submissions
    ]
    assert 2 == len(relayed.gateway.asked)


async def test_who_comes_while_the_gateway_is_gone_is_hung_up_on(
    relayed: Relayed, home: Path
) -> None:
    """As by a socket at which nobody listens."""
    (home / "gateway.sock").rename(home / "elsewhere.sock")
    with pytest.raises(aiohttp.ClientError):
        await relayed.ask("GET", "/contract")
    (home / "elsewhere.sock").rename(home / "gateway.sock")

    assert 201 == (await relayed.ask("GET", "/contract"))[0]
