"""The example EPRs, run as they are written, against a gateway that has something for them."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from messages import RECEIVER, SENDER, referral
from world import World, headers, post, world_in

EXAMPLES = Path(__file__).parents[2] / "examples"
LONGEST = 80  # lines: an example that needs more shows that the door is too hard
INTERPRETERS = {".py": sys.executable, ".sh": "sh", ".mjs": "node"}
BY_SOCKET = 'notices = "socket"\nquestions = "socket"'


async def played(*command: object) -> list[str]:
    """Run an example to its end and return what it printed."""
    running = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        printed, _ = await running.communicate()
    assert running.returncode == 0, printed.decode()
    return printed.decode().splitlines()


def its_referral(folder: Path) -> Path:
    """Return the file of a referral of the hospital's EPR to the ambulance service."""
    file = folder / "referral.json"
    file.write_bytes(referral(sender=RECEIVER, receiver=SENDER))
    return file


@asynccontextmanager
async def unix_served(site: web.Application, path: Path) -> AsyncIterator[None]:
    """Serve *site* on a Unix socket."""
    runner = web.AppRunner(site, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """Return a folder that an example has to make."""
    return tmp_path / "received"


@pytest.fixture
async def by_socket(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked=BY_SOCKET) as world:
        yield world


@pytest.fixture
async def by_folders(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as world:
        yield world


async def test_an_epr_in_python_by_the_socket(by_socket: World, received: Path) -> None:
    """What came is kept byte for byte, and its own referral ends acknowledged."""
    came = referral()
    await post(by_socket, came, headers())

    said = await played(
        *(sys.executable, EXAMPLES / "epr_by_socket.py", by_socket.hospital.socket),
        *(its_referral(received.parent), received),
    )

    assert [came] == [file.read_bytes() for file in received.glob("*.message")]
    assert 2 == len(list(received.glob("*.answer")))  # to what came, and to its own
    assert ["message", "outcome"] == sorted(line.partition(":")[0] for line in said)


@pytest.mark.needs("node")
async def test_an_epr_in_javascript_by_the_socket(by_socket: World, received: Path) -> None:
    """What came is kept byte for byte, and its own referral ends acknowledged."""
    came = referral()
    await post(by_socket, came, headers())

    said = await played(
        *("node", EXAMPLES / "epr_by_socket.mjs", by_socket.hospital.socket),
        *(its_referral(received.parent), received),
    )

    assert [came] == [file.read_bytes() for file in received.glob("*.message")]
    assert 2 == len(list(received.glob("*.answer")))
    assert ["message", "outcome"] == sorted(line.partition(":")[0] for line in said)


async def test_an_epr_in_python_by_folders(by_folders: World, received: Path) -> None:
    """What came is taken away whole, and its own referral ends acknowledged."""
    came = referral()
    await post(by_folders, came, headers())

    said = await played(
        *(sys.executable, EXAMPLES / "epr_by_folders.py", by_folders.hospital.spool),
        *(its_referral(received.parent), received),
    )

    assert [came] == [file.read_bytes() for file in received.glob("*.message.json")]
    assert ["message", "outcome"] == sorted(line.partition(":")[0] for line in said)
    assert [] == by_folders.hospital.files("inbox/new/*")


@pytest.mark.needs("mcs", "mono")
async def test_an_epr_in_csharp_by_folders(by_folders: World, received: Path) -> None:
    """It compiles as its head says; what came is taken away whole, its own ends acknowledged."""
    came, program = referral(), received.parent / "EprByFolders.exe"
    source = EXAMPLES / "EprByFolders.cs"
    await played("mcs", "-r:System.Runtime.Serialization", f"-out:{program}", source)
    await post(by_folders, came, headers())

    said = await played(
        *("mono", program, by_folders.hospital.spool), *(its_referral(received.parent), received)
    )

    assert [came] == [file.read_bytes() for file in received.glob("*.message.json")]
    assert ["message", "outcome"] == sorted(line.partition(":")[0] for line in said)
    assert [] == by_folders.hospital.files("inbox/new/*")


async def by_python(_folder: Path) -> list[object]:
    return [sys.executable, EXAMPLES / "epr_by_folders.py"]


async def by_mono(folder: Path) -> list[object]:
    program = folder / "EprByFolders.exe"
    source = EXAMPLES / "EprByFolders.cs"
    await played("mcs", "-r:System.Runtime.Serialization", f"-out:{program}", source)
    return ["mono", program]


@pytest.mark.parametrize(
    "made", [by_python, pytest.param(by_mono, marks=pytest.mark.needs("mcs", "mono"))]
)
async def test_an_epr_by_folders_goes_on_after_a_crash(
    by_folders: World, received: Path, made: Callable[[Path], Awaitable[list[object]]]
) -> None:
    """Killed between the files of one notice, it finds the last alone: it has the others."""
    await post(by_folders, referral(), headers())
    command = [*await made(received.parent), by_folders.hospital.spool]
    await played(*command, its_referral(received.parent), received)
    for file in (*received.glob("*.message.json"), *received.glob("*.outcome.json")):
        shutil.copyfile(file, by_folders.hospital.spool / "inbox" / "new" / file.name)
    said = await played(*command, its_referral(received.parent), received)

    assert ["message", "outcome", "outcome"] == sorted(line.partition(":")[0] for line in said)
    assert [] == by_folders.hospital.files("inbox/new/*")


@pytest.mark.needs("mcs", "mono")
async def test_an_epr_in_csharp_says_why_a_message_is_refused(
    by_folders: World, received: Path
) -> None:
    """It ends with the gateway's own reasons, and not with success."""
    program, broken = received.parent / "EprByFolders.exe", received.parent / "broken.json"
    broken.write_bytes(json.dumps({"resourceType": "Bundle"}).encode())
    source = EXAMPLES / "EprByFolders.cs"
    await played("mcs", "-r:System.Runtime.Serialization", f"-out:{program}", source)
    running = await asyncio.create_subprocess_exec(
        *("mono", program, by_folders.hospital.spool, broken, received),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            _, said = await running.communicate()
    except TimeoutError:
        running.kill()  # a shell that goes on trying would do so for ever
        await running.wait()
        raise

    assert running.returncode
    assert b'"issues"' in said


@pytest.mark.needs("curl", "jq")
async def test_an_epr_in_shell(by_socket: World, received: Path) -> None:
    """What came is kept byte for byte, and its own referral ends acknowledged."""
    came = referral()
    await post(by_socket, came, headers())

    said = await played(
        *("sh", EXAMPLES / "epr_by_curl.sh", by_socket.hospital.socket),
        *(its_referral(received.parent), received),
    )

    assert [came] == [file.read_bytes() for file in received.glob("*.message")]
    assert 2 == len(list(received.glob("*.answer")))  # to what came, and to its own
    assert ["message", "outcome"] == sorted(line.partition(":")[0] for line in said)


@pytest.mark.parametrize(
    ("example", "door"),
    [
        ("epr_by_folders.py", "socket"),
        ("epr_by_socket.py", "folder"),
        pytest.param("epr_by_socket.mjs", "folder", marks=pytest.mark.needs("node")),
        pytest.param("epr_by_curl.sh", "folder", marks=pytest.mark.needs("curl", "jq")),
    ],
)
async def test_an_example_at_the_wrong_door_says_so(
    tmp_path: Path, received: Path, example: str, door: str
) -> None:
    """It would wait for ever for what comes elsewhere."""
    asked = BY_SOCKET if door == "socket" else ""
    async with world_in(tmp_path, asked=asked) as world:
        hospital = world.hospital
        running = await asyncio.create_subprocess_exec(
            *(INTERPRETERS[Path(example).suffix], EXAMPLES / example),
            hospital.spool if "folder" in example else hospital.socket,
            *(its_referral(received.parent), received),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            _, said = await running.communicate()

    assert running.returncode
    assert b'set notices = "' in said


each_by_socket = pytest.mark.parametrize(
    "name",
    [
        pytest.param("epr_by_curl.sh", marks=pytest.mark.needs("curl", "jq")),
        pytest.param("epr_by_socket.mjs", marks=pytest.mark.needs("node")),
        "epr_by_socket.py",
    ],
)


@each_by_socket
async def test_an_example_says_why_a_message_is_refused(
    by_socket: World, received: Path, name: str
) -> None:
    """It ends with the gateway's own reasons, and not with success."""
    broken = received.parent / "broken.json"
    broken.write_bytes(json.dumps({"resourceType": "Bundle"}).encode())
    running = await asyncio.create_subprocess_exec(
        *(
            INTERPRETERS[Path(name).suffix],
            EXAMPLES / name,
            by_socket.hospital.socket,
            broken,
            received,
        ),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, said = await running.communicate()

    assert running.returncode
    assert b'"issues"' in said


@each_by_socket
async def test_an_example_that_finds_no_gateway_says_so_and_goes_on_once_it_is_there(
    by_socket: World, received: Path, name: str
) -> None:
    """An EPR may be started first; a socket that it may not open is seen as well."""
    later = received.parent / "later"
    running = await asyncio.create_subprocess_exec(
        *(INTERPRETERS[Path(name).suffix], EXAMPLES / name),
        *(later, its_referral(received.parent), received),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert running.stderr is not None
    async with asyncio.timeout(60):
        said = await running.stderr.readline()
        later.symlink_to(by_socket.hospital.socket)
        printed, _ = await running.communicate()

    assert said.strip()
    assert b"notices = " not in said
    assert (0, b"outcome") == (running.returncode, printed.partition(b":")[0])


@pytest.mark.needs("node")
async def test_an_epr_in_javascript_outlives_an_answer_that_gets_lost(
    tmp_path: Path, received: Path
) -> None:
    """A gateway that is started again just then is no reason to stop."""
    path, lost = tmp_path / "s", asyncio.Event()
    outcome = {"notice_id": 2, "kind": "outcome", "means": "…", "request_id": "mine"}

    async def questions(request: web.Request) -> web.Response:
        if request.query["after"] != "0":
            await asyncio.sleep(60)
        return web.json_response({"questions": [{"question_id": 1, "media_type": None}]})

    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        lost.set()
        return web.Response()

    async def notices(_: web.Request) -> web.Response:
        await lost.wait()
        return web.json_response({"notices": [outcome]})

    async def always(document: dict[str, str], _: web.Request) -> web.Response:
        return web.json_response(document)

    site = web.Application()
    site.router.add_get("/contract", partial(always, {"tells": "socket"}))
    site.router.add_get("/questions", questions)
    site.router.add_post("/questions/1/answer", hang_up)
    site.router.add_post("/messages", partial(always, {"request_id": "mine"}))
    site.router.add_get("/notices", notices)
    site.router.add_post("/notices/2/collected", partial(always, {}))
    async with unix_served(site, path):
        said = await played(
            *("node", EXAMPLES / "epr_by_socket.mjs", path), its_referral(tmp_path), received
        )

    assert "outcome: …" in said


PROGRAMS = [file for file in sorted(EXAMPLES.iterdir()) if file.suffix != ".json"]


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: file.name)
def test_an_example_is_short(file: Path) -> None:
    """An EPR needs no more than this."""
    assert len(file.read_text("utf-8").splitlines()) <= LONGEST
