import asyncio
import base64
import gzip
import io
import json
import os
import re
import socket
import stat
from pathlib import Path

import aiohttp
import messages
import pytest
from aiohttp import web
from epr_side import (
    IN_FOLDERS,
    ON_SOCKET,
    PROVIDER,
    attendance,
    question_requests,
    read_requests,
    utc_now,
    verb_requests,
)
from store_values import NOW, arrival
from structlog.testing import capture_logs

from bars_gateway.epr.documents import EprWays
from bars_gateway.epr.intake import Intake
from bars_gateway.epr.socket import EprSocket
from bars_gateway.errors import ConfigurationError
from bars_gateway.listeners import MAX_CONNECTIONS
from bars_gateway.store.store import Store

FHIR = {"Content-Type": "application/fhir+json"}


async def test_a_message_gets_a_receipt(epr: aiohttp.ClientSession) -> None:
    """A new message is answered with 201 and its receipt."""
    async with epr.post("/messages", data=messages.referral(), headers=FHIR) as answer:
        receipt = await answer.json()

    assert (201, messages.RECEIVER) == (answer.status, receipt["receiver"])


async def test_the_same_message_gets_the_same_receipt(epr: aiohttp.ClientSession) -> None:
    """The same bytes again are answered with 200 and the first receipt."""
    body = messages.referral()
    async with epr.post("/messages", data=body, headers=FHIR) as answer:
        first = await answer.json()
    async with epr.post("/messages", data=body, headers=FHIR) as answer:
        second = await answer.json()

    assert (200, first) == (answer.status, second)


async def test_plain_json_is_read_as_that_of_fhir(epr: aiohttp.ClientSession) -> None:
    """Many HTTP libraries say no more of it; and the same bytes under either are one message."""
    body = messages.referral()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    async with epr.post("/messages", data=body, headers=headers) as answer:
        first = answer.status
    async with epr.post("/messages", data=body, headers=FHIR) as answer:
        second = answer.status

    assert (201, 200) == (first, second)


async def test_headers_are_the_envelope(epr: aiohttp.ClientSession) -> None:
    """What a folder says by an envelope file, a POST says by its headers."""
    correlation = "7f3f7c1e-3f3e-4b57-9f4c-2a2b0a3e9d10"
    practitioner = base64.b64encode(b'{"resourceType":"PractitionerRole"}').decode()
    headers = {**FHIR, "X-Correlation-Id": correlation, "Bars-Practitioner": practitioner}
    async with epr.post("/messages", data=messages.referral(), headers=headers) as answer:
        receipt = await answer.json()

    assert correlation == receipt["correlation_id"]


async def test_an_offer_of_another_protocol_takes_nothing_from_the_message(
    epr: aiohttp.ClientSession,
) -> None:
    """Java's HttpClient offers HTTP/2 beside its first request: that is read as any other."""
    offer = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAEAAEAA",
    }
    async with epr.post("/messages", data=messages.referral(), headers=FHIR | offer) as answer:
        receipt = await answer.json()

    assert (201, messages.RECEIVER) == (answer.status, receipt["receiver"])


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(messages.referral(version=""), FHIR, 422, id="broken-rule"),
        pytest.param(b"{", FHIR, 422, id="no-json"),
        pytest.param(b"{}", FHIR | {"Bars-Needed-By": "soon"}, 422, id="bad-header"),
        pytest.param(b"<x/>", {"Content-Type": "application/xml"}, 415, id="plain-xml"),
        pytest.param(b"x" * (5 * 1024 * 1024 + 1), FHIR, 413, id="too-large"),
    ],
)
async def test_a_bad_message_is_explained(
    epr: aiohttp.ClientSession, body: bytes, headers: dict[str, str], status: int
) -> None:
    """A refusal has its status, what is wrong, and the cure."""
    async with epr.post("/messages", data=io.BytesIO(body), headers=headers) as answer:
        found = await answer.json()

    assert status == answer.status
    assert {"error", "cure", "request_id", "code", "issues", "warnings"} == found.keys()
    assert found["issues"]


@pytest.mark.of_sqlite
async def test_a_full_store_says_when_to_ask_again(
    epr: aiohttp.ClientSession, store: Store
) -> None:
    """Where nothing can be promised, the answer is 503 with Retry-After."""
    store._shared.minimum_free_bytes = 1 << 62
    async with epr.post("/messages", data=messages.referral(), headers=FHIR) as answer:
        found = await answer.json()

    assert (503, "30") == (answer.status, answer.headers["Retry-After"])
    assert "Make room" in found["cure"]


async def test_a_message_can_be_looked_up(epr: aiohttp.ClientSession) -> None:
    """The EPR can ask where its message is."""
    async with epr.post("/messages", data=messages.referral(), headers=FHIR) as answer:
        request_id = (await answer.json())["request_id"]
    async with epr.get(f"/messages/{request_id}") as answer:
        found = await answer.json()

    assert ("queued", [], "requested") == (
        found["state"],
        found["attempts"],
        found["workflow"]["state"],
    )


@pytest.mark.parametrize(
    "path",
    [
        "/messages/7f3f7c1e-3f3e-4b57-9f4c-2a2b0a3e9d10",
        "/messages/x",
        "/notices/1",
        "/notices/x",
        "/notices/99999999999999999999",
        "/nothing",
    ],
)
async def test_what_is_not_there_is_404(epr: aiohttp.ClientSession, path: str) -> None:
    """Nothing is found where nothing is, and the answer says what to do."""
    async with epr.get(path) as answer:
        found = await answer.json()

    assert 404 == answer.status
    assert {"error", "cure"} == found.keys()


async def test_a_method_that_is_not_there_is_told_which_are(epr: aiohttp.ClientSession) -> None:
    """As HTTP asks of every 405, in JSON as every other error."""
    answer = await epr.delete("http://epr/messages")

    assert (405, "POST") == (answer.status, answer.headers["Allow"])
    assert {"error", "cure"} == (await answer.json()).keys()


async def test_the_queue_is_listed(epr: aiohttp.ClientSession) -> None:
    """The EPR sees what is not settled."""
    async with epr.post("/messages", data=messages.referral(), headers=FHIR) as answer:
        request_id = (await answer.json())["request_id"]
    async with epr.get("/queue") as answer:
        found = await answer.json()

    assert [request_id] == [row["request_id"] for row in found["messages"]]


async def test_who_asks_at_the_wrong_door_is_told(
    store: Store, intake: Intake, socket_path: Path
) -> None:
    """An empty list would look as if nothing had happened; the contract says it beforehand."""
    opened = _another(store, intake, socket_path, IN_FOLDERS)
    await opened.open()
    connector = aiohttp.UnixConnector(path=str(socket_path))
    async with aiohttp.ClientSession("http://epr", connector=connector) as session:
        async with session.get("/notices") as answer:
            found = await answer.json()
        async with session.get("/contract") as answer:
            contract = await answer.json()
    await opened.close()

    assert ([], "folder") == (found["notices"], found["tells"])
    assert "inbox/new" in found["means"]
    assert (PROVIDER, "folder", "folder") == (
        contract["provider"],
        contract["tells"],
        contract["asks"],
    )


async def test_who_asks_at_the_right_door_is_told_no_more(epr: aiohttp.ClientSession) -> None:
    """There is nothing to be said."""
    async with epr.get("/notices") as answer:
        found = await answer.json()

    assert {"notices": [], "tells": "socket", "means": None} == found


async def test_notices_are_listed_oldest_first(epr: aiohttp.ClientSession, store: Store) -> None:
    """Notices come in the order in which they arose, and no more than was asked for."""
    for _ in range(3):
        await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    async with epr.get("/notices?limit=2") as answer:
        found = await answer.json()

    assert [1, 2] == [notice["notice_id"] for notice in found["notices"]]


async def test_a_wait_ends_with_a_notice(epr: aiohttp.ClientSession, store: Store) -> None:
    """An EPR that waits is answered as soon as there is something."""
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        asking = group.create_task(_notices(epr, "/notices?wait=30"))
        await asyncio.sleep(0.05)
        await store.inbound.receive(arrival(provider=PROVIDER), NOW)

    assert 1 == len(asking.result())


async def test_stopping_ends_a_wait(epr: aiohttp.ClientSession, door: EprSocket) -> None:
    """An EPR that waits gets an empty answer when the gateway stops."""
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        asking = group.create_task(_notices(epr, "/notices?wait=30"))
        await asyncio.sleep(0.05)
        door.stop()

    assert [] == asking.result()


async def test_a_wait_must_be_a_number(epr: aiohttp.ClientSession) -> None:
    """A question that cannot be read is refused with an example of one that can."""
    async with epr.get("/notices?wait=long") as answer:
        found = await answer.json()

    assert (400, "ask /notices?wait=30&limit=50") == (answer.status, found["cure"])


async def test_bytes_come_as_they_came(epr: aiohttp.ClientSession, store: Store) -> None:
    """The Bundle and its answer are given byte for byte, with the type that they had."""
    body = b'{"resourceType": "Bundle",  "odd": 1.10}'
    await store.inbound.receive(arrival(provider=PROVIDER, body=body), NOW)
    async with epr.get("/notices/1/message") as message:
        got = await message.read()
    async with epr.get("/notices/1/answer") as answer:
        answered = await answer.read()

    assert (body, "application/fhir+json") == (got, message.headers["Content-Type"])
    assert b'{"acknowledged":true}' == answered


async def test_a_collected_notice_is_not_told_again(
    epr: aiohttp.ClientSession, store: Store
) -> None:
    """A notice is told until the EPR says that it has it, and saying so twice does no harm."""
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    async with epr.post("/notices/1/collected") as first:
        pass
    async with epr.post("/notices/1/collected") as second:
        pass

    assert (204, 204) == (first.status, second.status)
    assert [] == await _notices(epr, "/notices")


async def test_another_providers_notice_is_not_there(
    epr: aiohttp.ClientSession, store: Store
) -> None:
    """A socket shows its own provider's rows, and no number opens another's."""
    await store.inbound.receive(arrival(provider="other"), NOW)
    paths = ("/notices/1", "/notices/1/message", "/notices/1/answer")
    statuses = [(await epr.get(path)).status for path in paths]
    collected = (await epr.post("/notices/1/collected")).status

    assert [404, 404, 404, 404] == [*statuses, collected]


@pytest.mark.parametrize("path", ["/notices", "/messages/none", "/nowhere", "/openapi.json"])
async def test_nothing_is_for_a_cache(epr: aiohttp.ClientSession, path: str) -> None:
    """What is read again is what is so now, and nothing of a patient lies in a client's cache."""
    async with epr.get(path) as answer:
        assert "no-store" == answer.headers["Cache-Control"]


async def test_the_socket_describes_itself(epr: aiohttp.ClientSession) -> None:
    """Whoever connects learns what there is to ask for."""
    async with epr.get("/") as answer:
        found = await answer.json()

    assert "POST /messages" in found["requests"]


async def test_the_caller_is_logged(epr: aiohttp.ClientSession) -> None:
    """One line tells of a submission, and who made it; nothing in it is from the message."""
    from structlog.contextvars import merge_contextvars

    with capture_logs(processors=[merge_contextvars]) as lines:
        async with epr.post("/messages", data=messages.referral(), headers=FHIR):
            pass

    ended = [line for line in lines if line["event"] == "epr.submission_ended"]
    assert [(os.getuid(), "POST")] == [(line["uid"], line["method"]) for line in ended]
    assert messages.FAMILY not in str(lines)


def test_only_the_group_may_connect(door: EprSocket, socket_path: Path) -> None:
    """The file's mode is the authorisation."""
    assert 0o660 == stat.S_IMODE(socket_path.stat().st_mode)


async def test_a_file_is_not_replaced(store: Store, intake: Intake, socket_path: Path) -> None:
    """What is no socket stays where it is."""
    socket_path.write_text("precious")

    with pytest.raises(ConfigurationError, match="not a socket"):
        await _another(store, intake, socket_path).open()


async def test_a_live_socket_is_not_replaced(
    door: EprSocket, store: Store, intake: Intake, socket_path: Path
) -> None:
    """A socket that somebody serves is left to them."""
    with pytest.raises(ConfigurationError, match="another process"):
        await _another(store, intake, socket_path).open()


async def test_a_dead_socket_is_replaced(store: Store, intake: Intake, socket_path: Path) -> None:
    """What a crash left behind is no hindrance."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    opened = _another(store, intake, socket_path)
    await opened.open()
    await opened.close()

    assert not socket_path.exists()


def _another(store: Store, intake: Intake, path: Path, ways: EprWays = ON_SOCKET) -> EprSocket:
    return EprSocket(
        store,
        intake,
        question_requests(store),
        verb_requests(store),
        read_requests(),
        attendance=attendance(store),
        ways=ways,
        path=path,
        now=utc_now,
    )


async def _notices(epr: aiohttp.ClientSession, path: str) -> list[dict[str, object]]:
    async with epr.get(path) as answer:
        found: list[dict[str, object]] = (await answer.json())["notices"]
        return found


async def _said(path: Path, *requests: bytes) -> bytes:
    """Return what the socket answers to these bytes."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    for each in requests:
        writer.write(each)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


_HEAD = b"POST /messages HTTP/1.1\r\nHost: epr\r\nContent-Type: application/fhir+json\r\n"
_UNKNOWN_EXPECTATION = f"Expect: {messages.FAMILY}\r\nContent-Length: LENGTH\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(_HEAD + b"\r\n", b"400", id="no-length"),
        pytest.param(_HEAD + b"Content-Length: 10\r\n\r\n", b"400", id="characters-counted"),
        pytest.param(_HEAD + b"Content-Length: nine\r\n\r\n", b"400", id="no-number"),
        pytest.param(b"POST /messages\r\n\r\n", b"400", id="no-version"),
        pytest.param(_HEAD + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n", b"431", id="long-header"),
        pytest.param(_HEAD + b"X: x\r\n" * 200 + b"\r\n", b"431", id="many-headers"),
        pytest.param(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b"414", id="long-line"),
        pytest.param(
            _HEAD + _UNKNOWN_EXPECTATION,
            b"417",
            id="expectation",
        ),
        pytest.param(
            b"PUT /messages HTTP/1.1\r\nHost: epr\r\n" + _UNKNOWN_EXPECTATION,
            b"417",
            id="expectation-of-another-method",
        ),
        pytest.param(
            b"POST /nowhere HTTP/1.1\r\nHost: epr\r\n" + _UNKNOWN_EXPECTATION,
            b"417",
            id="expectation-of-nothing",
        ),
        pytest.param(
            _HEAD
            + b"Connection: close\r\nContent-Length: LENGTH\r\nContent-Encoding: zstd\r\n\r\n",
            b"415",
            id="zstd",
        ),
    ],
)
async def test_broken_http_gets_an_error_and_nothing_of_what_came(
    door: EprSocket, socket_path: Path, head: bytes, status: bytes
) -> None:
    """It is JSON as every other error is, and holds no byte of the referral."""
    body = messages.referral() + b"\r\n\r\n"
    with capture_logs() as logs:  # a body that lacks some bytes would be waited for before the end
        answer = await _said(socket_path, head.replace(b"LENGTH", b"%d" % len(body)), body)
    *_, last = re.split(rb"HTTP/1\.\d ", answer)
    said, _, body = last.partition(b"\r\n\r\n")

    assert status == said[:3]
    assert b"Content-Type: application/json" in said
    assert {"error", "cure"} <= json.loads(body).keys()
    for place in (answer, str(logs).encode()):
        assert [] == [
            word for word in (messages.FAMILY, messages.NHS_NUMBER) if word.encode() in place
        ]


async def test_a_body_that_waits_to_be_asked_for_is_asked_for(
    door: EprSocket, socket_path: Path
) -> None:
    """`Expect: 100-continue`, as curl sends it with a large file."""
    body = messages.referral()
    head = _HEAD + b"Connection: close\r\nExpect: 100-continue\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n".encode()
    answer = await _said(socket_path, head, body)

    assert [b"100", b"201"] == re.findall(rb"HTTP/1\.\d (\d+)", answer)


def _post(body: bytes) -> bytes:
    return _HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _said_and_shut(path: Path, *requests: bytes, wait: float = 0) -> bytes:
    """Send requests, close our own half, and return all that comes until the other is closed."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        await loop.sock_connect(caller, str(path))
        await loop.sock_sendall(caller, b"".join(requests))
        await asyncio.sleep(wait)  # so that the end comes with the request, or behind it
        caller.shutdown(socket.SHUT_WR)
        answer = b""
        async with asyncio.timeout(20):
            while chunk := await loop.sock_recv(caller, 65536):
                answer += chunk
    return answer


@pytest.mark.parametrize("wait", [0, 0.001])
async def test_who_closes_its_own_half_gets_its_answer(
    door: EprSocket, socket_path: Path, wait: float
) -> None:
    """A receipt that is lost on the way would have the EPR send the referral by other means."""
    answer = await _said_and_shut(socket_path, _post(messages.referral()), wait=wait)

    assert answer.startswith(b"HTTP/1.1 201 Created\r\n")
    assert answer.endswith(b"}\n")


async def test_all_that_was_asked_before_is_answered(door: EprSocket, socket_path: Path) -> None:
    """Two messages in one breath get two receipts, and then the connection ends."""
    bodies = messages.referral(), messages.referral()
    answer = await _said_and_shut(socket_path, *map(_post, bodies))

    assert 2 == answer.count(b"HTTP/1.1 201 Created\r\n")


async def test_half_a_message_is_not_waited_for(door: EprSocket, socket_path: Path) -> None:
    """The rest of it cannot come any more."""
    request = _post(messages.referral())
    answer = await _said_and_shut(socket_path, request[:-10], wait=0.001)

    assert b" 201 " not in answer


async def test_a_wait_ends_when_nobody_is_there_any_more(
    door: EprSocket, socket_path: Path
) -> None:
    """An EPR that ends while it waits for notices leaves no connection behind."""
    _, writer = await asyncio.open_unix_connection(str(socket_path))
    writer.write(b"GET /notices?wait=50 HTTP/1.1\r\nHost: epr\r\n\r\n")
    await writer.drain()
    inside = door._listening._inside
    async with asyncio.timeout(20):
        while not any(each._current_request is not None for each in inside):
            await asyncio.sleep(0.01)
        writer.close()
        while inside:
            await asyncio.sleep(0.01)

    assert not inside


@pytest.mark.parametrize("encoding", ["zstd", "br", "compress", "deflate", "gzip, gzip"])
async def test_a_packing_that_is_not_read_is_415(epr: aiohttp.ClientSession, encoding: str) -> None:
    """And says which are, in Accept-Encoding."""
    headers = {**FHIR, "Content-Encoding": encoding}
    body = io.BytesIO(messages.referral())  # as it is: the client packs nothing itself
    async with epr.post("/messages", data=body, headers=headers) as answer:
        said = await answer.json()

    assert (415, "gzip") == (answer.status, answer.headers["Accept-Encoding"])
    assert ["Content-Encoding"] == [each["path"] for each in said["issues"]]


async def test_a_packed_message_of_several_members_is_taken(epr: aiohttp.ClientSession) -> None:
    """RFC 1952 allows them."""
    body = messages.referral()
    packed = io.BytesIO(gzip.compress(body[:99]) + gzip.compress(body[99:]))
    headers = {**FHIR, "Content-Encoding": "gzip"}
    async with epr.post("/messages", data=packed, headers=headers) as answer:
        assert 201 == answer.status


PACKED = gzip.compress(messages.referral())


async def test_an_answer_that_cannot_be_written_is_told(
    epr: aiohttp.ClientSession, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The EPR gets 500 in its place, its operator an alarm, and the next request an answer."""
    odd = web.Response(headers={"X-Odd": "\x01"})
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr("bars_gateway.epr.documents.json_answer", lambda _: odd)
        async with epr.get("/") as answer:
            said = await answer.json()
    async with epr.get("/") as again:
        assert 200 == again.status

    standing = (await store.overview(utc_now())).standing
    assert (500, {"error", "cure"}) == (answer.status, said.keys())
    assert ["request.failed"] == [each.kind for each in standing]
    assert "ValueError" in {line.get("exception") for line in logs}


@pytest.mark.parametrize("path", ["/messages", "/moves", "/interventions", "/alarms/handled"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"nope", id="none"),
        pytest.param(PACKED[:-1], id="last-byte-missing"),
        pytest.param(PACKED[:-8], id="trailer-missing"),
        pytest.param(PACKED[:-200], id="cut-off"),
        pytest.param(PACKED + b"more", id="something-after-it"),
        pytest.param(PACKED + PACKED[:30], id="last-member-cut-off"),
    ],
)
async def test_a_body_that_is_not_packed_as_it_says_is_400(
    epr: aiohttp.ClientSession, path: str, body: bytes
) -> None:
    """It is the EPR's mistake, and it is told which one: no alarm of ours."""
    headers = {**FHIR, "Content-Encoding": "gzip"}
    with capture_logs() as logs:
        async with epr.post(path, data=io.BytesIO(body), headers=headers) as answer:
            said = await answer.json()

    assert (400, {"error", "cure"}) == (answer.status, said.keys())
    assert "gzip" in said["error"]
    assert set() == {"error", "warning"} & {line["log_level"] for line in logs}


async def test_a_packed_message_is_no_longer_than_any_other(epr: aiohttp.ClientSession) -> None:
    """What counts is what comes out of it: a few kilobytes cannot become gigabytes."""
    headers = {**FHIR, "Content-Encoding": "gzip"}
    bomb = io.BytesIO(gzip.compress(b" " * 64 * 1024 * 1024))
    async with epr.post("/messages", data=bomb, headers=headers) as answer:
        assert 413 == answer.status


async def test_an_epr_that_hangs_up_in_the_body_is_no_failure_of_ours(
    door: EprSocket, socket_path: Path
) -> None:
    """No alarm, and no traceback."""
    with capture_logs() as logs:
        _, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(_HEAD + b"Content-Length: 50\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.2)  # so that its end comes in the body
        writer.transport.abort()
        async with asyncio.timeout(10):
            while "http.caller_left" not in {line["event"] for line in logs}:
                await asyncio.sleep(0.01)

    assert set() == {"error", "warning"} & {line["log_level"] for line in logs}


async def test_connections_have_a_limit(door: EprSocket, socket_path: Path) -> None:
    """Who leaves them open is told so, and takes no file descriptor from the database."""
    kept = [await asyncio.open_unix_connection(str(socket_path)) for _ in range(MAX_CONNECTIONS)]
    asking = b"GET / HTTP/1.0\r\n\r\n"
    answer = await _said(socket_path, asking)
    kept.pop()[1].close()
    async with asyncio.timeout(20):
        while b" 200 OK" not in await _said(socket_path, asking):
            await asyncio.sleep(0.01)
    for _, writer in kept:
        writer.close()

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"too many connections" in answer
