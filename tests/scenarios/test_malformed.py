"""The book of malformed requests, put to a running Receiver: nothing breaks, nobody notices."""

import asyncio
import base64
import io
import json
import ssl
import threading
import uuid
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import malformed
import pytest
from drawing import each_drawn
from hypothesis import strategies as st
from messages import referral
from structlog.testing import capture_logs
from world import World, headers, post
from yarl import URL

from bars_gateway.inbound import exchange, message_handler
from bars_gateway.standard.formats import LONG

pytestmark = pytest.mark.both_engines

REFUSED = {400, 413, 415, 422}


async def answered(session: aiohttp.ClientSession, url: str, body: bytes, **changes: str) -> int:
    """Post *body*; return the status of an answer that must be an OperationOutcome or a Bundle."""
    sent = headers(**changes)
    async with session.post(url, data=io.BytesIO(body), headers=sent) as response:
        said = await response.read()
        assert b"resourceType" in said or b"<OperationOutcome" in said or b"<Bundle" in said
        return response.status


@pytest.mark.parametrize(
    ("bodies", "media_type"),
    [
        pytest.param(malformed.JSON, "application/fhir+json", id="json"),
        pytest.param(malformed.XML, "application/fhir+xml", id="xml"),
    ],
)
async def test_malformed_bodies_are_refused_one_after_the_other(
    world: World, bodies: Mapping[str, bytes], media_type: str
) -> None:
    """On one connection, with the ids of each repeated; and an honest message gets its 200."""
    url = f"{world.hospital.url}/$process-message"
    async with world.as_proxy() as session:
        found = {
            name: await answered(session, url, body, Content_Type=media_type)
            for name, body in bodies.items()
        }
    status, _, _ = await post(world, referral(), headers())

    assert {} == {name: code for name, code in found.items() if code not in REFUSED}
    assert 200 == status


async def test_http_that_can_be_cut_twice_is_refused_and_the_connection_ends(world: World) -> None:
    """D-hostile-bodies: what follows on the same connection is nobody's request."""
    own = world.folder / "sandbox" / "national"
    context = ssl.create_default_context(cafile=str(world.sandbox.client_ca_file))
    context.load_cert_chain(own / "proxy-client.pem", own / "proxy-client.key")
    smuggled = b"GET /metadata HTTP/1.1\r\nHost: x\r\n\r\n"
    found = {}
    for name, request in malformed.DESYNC.items():
        found[name] = await said_to(world, context, request + smuggled)
    status, _, _ = await post(world, referral(), headers())

    assert {} == {name: said for name, said in found.items() if not refused_alone(said)}
    assert 200 == status


async def said_to(world: World, context: ssl.SSLContext, request: bytes) -> bytes:
    """Return all that comes back until the connection ends."""
    port = URL(world.hospital.url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        async with asyncio.timeout(10):
            writer.write(request)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def refused_alone(said: bytes) -> bool:
    """Tell whether there is one answer at the most, which refuses."""
    statuses = [line.split()[1] for line in said.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return len(statuses) <= 1 and all(status[:1] == b"4" for status in statuses)


async def test_ids_that_are_none_come_back_nowhere(world: World) -> None:
    """D-hostile-bodies: 400, and neither an answer nor a log line has a byte of them."""
    found = {}
    with capture_logs() as lines:
        async with world.as_proxy() as session:
            for name, value in malformed.IDS.items():
                sent = headers() | {"X-Request-Id": value, "X-Correlation-Id": value}
                url = f"{world.hospital.url}/$process-message"
                async with session.post(url, data=referral(), headers=sent) as response:
                    said = f"{await response.text()}{dict(response.headers)}{lines}"
                    found[name] = (response.status, value in said)

    assert dict.fromkeys(malformed.IDS, (400, False)) == found


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@st.composite
def bent_referral(draw: st.DrawFn) -> bytes:
    """Draw an honest message with one thing in it replaced, or with bytes taken out."""
    tree = json.loads(referral())
    holder: object = draw(st.sampled_from(tree["entry"]))["resource"]
    while isinstance(holder, dict | list) and holder:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()) or not isinstance(holder[key], dict | list):
            holder[key] = draw(st.none() | st.booleans() | st.integers() | TEXTS | st.just([{}]))
            break
        holder = holder[key]
    body = json.dumps(tree).encode()
    cut = draw(st.integers(0, len(body)))
    return body[:cut] if draw(st.integers(0, 9)) == 0 else body


HEADERS = st.dictionaries(
    st.sampled_from(["Accept", "X-Request-Id", "Content-Type", "Content-Encoding", "X-A"]),
    TEXTS.map(str.strip),
    max_size=2,
)
MESSAGES = st.fixed_dictionaries(
    {
        "method": st.just("POST"),
        "path": st.just("$process-message"),
        "more": st.just({}),
        "body": bent_referral(),
    }
)
ANYTHING = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]),
        "path": st.sampled_from(["$process-message", "Slot", "Appointment", "metadata"])
        | TEXTS.map(lambda text: "".join(c for c in text if c.isalnum() or c in "$/-._~")),
        "more": HEADERS,
        "body": bent_referral() | st.binary(max_size=50),
    }
)


@pytest.mark.parametrize("requests", [MESSAGES, ANYTHING], ids=["messages", "anything"])
async def test_no_request_is_answered_with_a_500(
    world: World, requests: st.SearchStrategy[dict[str, Any]]
) -> None:
    """Whatever the path, the headers and the body are; on one connection, which outlives them."""
    statuses: set[int] = set()

    async def ask(method: str, path: str, more: dict[str, str], body: bytes) -> None:
        url = URL(f"{world.hospital.url}/{path}", encoded=True)
        async with session.request(method, url, headers=headers() | more, data=body) as response:
            await response.read()
            statuses.add(response.status)

    async with world.as_proxy() as session:
        await each_drawn(requests, ask, examples=150)
        status, _, _ = await post(world, referral(), headers())

    assert 200 == status
    assert statuses <= {200, 400, 404, 405, 406, 413, 415, 422, 501}


async def test_a_long_message_holds_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above 64 KiB it is read in a thread, and another request is answered meanwhile."""
    reading, another_is_done = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []
    examine = message_handler.examine

    def slowly(body: bytes, *arguments: object) -> object:
        if len(body) > LONG:
            threads.append(threading.current_thread())
            reading.set()
            assert another_is_done.wait(20)
        return examine(body, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(message_handler, "examine", slowly)
    async with asyncio.TaskGroup() as group:
        long = group.create_task(post(world, referral(notes="x" * 70_000), headers()))
        await asyncio.to_thread(reading.wait, 20)
        status, _, _ = await post(world, referral(), headers())
        another_is_done.set()

    assert [200, 200] == [status, long.result()[0]]
    assert threading.main_thread() not in threads
    assert 1 == len(threads)


async def test_what_a_long_message_is_read_into_is_thrown_away_where_it_was_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop would stand for as long as that takes: it gets back what is small."""
    on_the_loop: list[bool] = []
    examine = message_handler.examine

    def gone() -> None:
        on_the_loop.append(threading.current_thread() is threading.main_thread())

    def examined(*arguments: Any) -> object:
        found = examine(*arguments)
        weakref.finalize(found.message, gone)
        return found

    monkeypatch.setattr(message_handler, "examine", examined)
    status, _, _ = await post(world, referral(notes="x" * 70_000), headers())

    assert (200, [False]) == (status, on_the_loop)


async def test_one_sender_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long message under way is its Sender's one; its retry gets 503, and others their 200."""
    reading, over = threading.Event(), threading.Event()
    examine = message_handler.examine

    def slowly(body: bytes, *arguments: object) -> object:
        if b"lingering" in body:
            reading.set()
            assert over.wait(20)
        return examine(body, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(message_handler, "examine", slowly)
    lingering = referral(notes="lingering " * 7_000)
    other = base64.b64encode(b'{"resourceType": "Organization", "name": "Other"}').decode()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(post(world, lingering, headers()))
        await asyncio.to_thread(reading.wait, 20)
        again, _, _ = await post(world, lingering, headers())
        others = headers(NHSD_End_User_Organisation=other)
        status, _, _ = await post(world, referral(notes="x" * 70_000), others)
        over.set()

    assert (503, 200, 200) == (again, status, first.result()[0])


@pytest.mark.parametrize(
    ("notes", "on_the_loop"), [("x", True), ("x" * 70_000, False)], ids=["short", "long"]
)
async def test_a_long_acknowledgement_holds_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch, notes: str, *, on_the_loop: bool
) -> None:
    """It is written and packed in a thread, and only a long one is."""
    loops: dict[str, bool] = {}

    def watch(module: Any, name: str) -> None:
        real = getattr(module, name)

        def noted(*arguments: Any, **more: Any) -> object:
            loops[name] = threading.current_thread() is threading.main_thread()
            return real(*arguments, **more)

        monkeypatch.setattr(module, name, noted)

    watch(message_handler.answers, "acknowledge")
    watch(exchange, "rendered_at_once")
    await post(world, referral(notes=notes), headers(Accept_Encoding="gzip"))

    assert {"acknowledge": on_the_loop, "rendered_at_once": on_the_loop} == loops


async def test_memory_is_bound(world: World, tmp_path: Path) -> None:
    """D-hostile-bodies: the whole book, four times over, leaves a gateway of an ordinary size."""
    log = tmp_path / "log"
    with log.open("ab") as output:
        await world.hospital.stop()
        gateway = await asyncio.create_subprocess_exec(
            *world.hospital.command("run"), stdout=output, stderr=output
        )
        async with asyncio.timeout(20):
            while b"daemon.started" not in log.read_bytes():
                await asyncio.sleep(0.02)
    url = f"{world.hospital.url}/$process-message"
    async with world.as_proxy() as session:
        for body in [*malformed.JSON.values()] * 4:
            await answered(session, url, body, X_Request_Id=str(uuid.uuid4()))
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    gateway.terminate()
    await gateway.wait()
    highest = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))

    assert 350 > int(highest) / 1024  # MiB, of which a gateway that idles has some 80
