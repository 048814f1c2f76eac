import asyncio
import base64
import json
import ssl
import uuid
from dataclasses import dataclass

import pytest
from inbound_callers import (
    CORRELATION_ID,
    REQUEST_ID,
    Answer,
    Receiver,
    Waiting,
    calling,
    eventually,
    post,
    serving,
)
from structlog.testing import capture_logs

from bars_gateway.errors import DatabaseDamaged, DatabaseHeld, GatewayError, StorageFull
from bars_gateway.inbound import server as server_module
from bars_gateway.inbound.connection import Callers, InboundLimits
from bars_gateway.inbound.exchange import Answerer, InboundRequest, Reply
from bars_gateway.inbound.server import route
from bars_gateway.standard.formats import Format
from bars_gateway.tls.contexts import Identity

SMALL = InboundLimits(max_body_bytes=100)
CANARY = "Zebedee-9434765919"


async def one(
    request: bytes, answer: Answerer, identity: Identity, proxy: ssl.SSLContext
) -> Answer:
    """Return what a server that takes 100 bytes at most answers to one request."""
    async with (
        serving(answer, identity, limits=SMALL) as server,
        calling(server.port, proxy) as caller,
    ):
        return await caller.ask(request)


def outcome(answer: Answer) -> tuple[int, str, str]:
    """Return status, code and FHIR issue type of an OperationOutcome."""
    found = json.loads(answer.body)
    assert "OperationOutcome" == found["resourceType"]
    issue = found["issue"][0]
    return answer.status, issue["details"]["coding"][0]["code"], issue["code"]


@dataclass
class Failing:
    """An Answerer that raises."""

    error: Exception

    async def __call__(self, request: InboundRequest) -> Reply:
        """Fail."""
        raise self.error


@pytest.mark.parametrize(
    "path",
    [
        "/$process-message",
        "/%24process-message",
        "/FHIR/R4/$process-message",
        "/a/very/long/base/%24process-message?_format=json",
        "/ServiceRequest/$process-message",
    ],
)
async def test_messages_are_taken_below_any_base_path(
    path: str, identity: Identity, proxy: ssl.SSLContext
):
    """The proxy's base path is its own affair, and it may encode the dollar."""
    receiver = Receiver()
    answer = await one(post(path=path), receiver, identity, proxy)

    assert 200 == answer.status
    assert receiver.body == answer.body


async def test_the_answerer_gets_the_request_as_it_came(identity: Identity, proxy: ssl.SSLContext):
    """Body byte for byte, header names in lower case, the type without parameters, no token."""
    receiver = Receiver()
    body = b'{"a" : 1.10,\r\n "b":"\xc3\xa9"}'
    request = post(
        body,
        media_type="application/FHIR+json; charset=utf-8; version=1.2.0",
        extra="NHSD-Target-Identifier: abc=\r\nAuthorization: Bearer secret\r\n",
    )
    await one(request, receiver, identity, proxy)

    [seen] = receiver.requests
    assert body == seen.body
    assert Format.JSON == seen.written_in
    assert "abc=" == seen.headers["nhsd-target-identifier"]
    assert REQUEST_ID == seen.headers["x-request-id"]
    assert "authorization" not in seen.headers
    assert "127.0.0.1" == seen.peer
    assert seen.received_at.utcoffset() is not None


async def test_headers_are_text_that_can_be_kept(identity: Identity, proxy: ssl.SSLContext):
    """Bytes that are no ASCII are replaced, and repeated headers joined: neither is an id then."""
    receiver = Receiver()
    extra = f"X-Note: caf\xe9\r\nX-Request-Id: {uuid.UUID(int=1)}\r\n"
    answer = await one(post(extra=extra), receiver, identity, proxy)

    [seen] = receiver.requests
    assert "caf?" == seen.headers["x-note"]
    assert f"{REQUEST_ID}, {uuid.UUID(int=1)}" == seen.headers["x-request-id"]
    assert "X-Request-Id" not in answer.headers
    assert CORRELATION_ID == answer.headers["X-Correlation-Id"]


async def test_a_chunked_body_is_taken(identity: Identity, proxy: ssl.SSLContext):
    """A body may come without its length."""
    receiver = Receiver()
    request = post().replace(b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n")
    await one(request[:-2] + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", receiver, identity, proxy)

    assert [b"{}"] == [request.body for request in receiver.requests]


async def test_a_caller_that_asks_first_is_invited(identity: Identity, proxy: ssl.SSLContext):
    """Expect: 100-continue is answered, or the caller would wait with its body."""
    whole = post(extra="Expect: 100-continue\r\n")
    async with (
        serving(Receiver(), identity) as server,
        calling(server.port, proxy) as caller,
    ):
        await caller.send(whole[:-2])
        invitation = await caller.answer()
        answer = await caller.ask(whole[-2:])

    assert (100, 200) == (invitation.status, answer.status)


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(
            post(method="GET"),
            (405, "REC_METHOD_NOT_ALLOWED", "not-supported"),
            id="get",
        ),
        pytest.param(
            post(method="PROPFIND"),
            (405, "REC_METHOD_NOT_ALLOWED", "not-supported"),
            id="unusual-method",
        ),
        pytest.param(post(path="/"), (404, "REC_NOT_FOUND", "not-found"), id="root"),
        pytest.param(
            post(path="/$Process-Message"), (404, "REC_NOT_FOUND", "not-found"), id="upper-case"
        ),
        pytest.param(
            post(path="/base/$process-message/"), (404, "REC_NOT_FOUND", "not-found"), id="slash"
        ),
        pytest.param(
            post(method="OPTIONS", path="*"), (404, "REC_NOT_FOUND", "not-found"), id="asterisk"
        ),
        *(
            pytest.param(
                post(method="GET", path=f"/base/{path}"),
                (404, "REC_NOT_FOUND", "not-found"),
                id=path,
            )
            for path in ("_status", "_cache", "_ping", "Patient", "Patient/1", "Slot/1")
        ),
        pytest.param(
            post(method="CONNECT", path="elsewhere.example:443"),
            (404, "REC_NOT_FOUND", "not-found"),
            id="connect",
        ),
        pytest.param(
            post(media_type="application/xml"),
            (415, "REC_BAD_REQUEST", "not-supported"),
            id="plain-xml",
        ),
        pytest.param(
            post(media_type="text/plain"), (415, "REC_BAD_REQUEST", "not-supported"), id="text"
        ),
        pytest.param(
            post(extra="Content-Encoding: br\r\n"),
            (415, "REC_BAD_REQUEST", "not-supported"),
            id="brotli",
        ),
        pytest.param(
            post(b"x" * 101), (413, "REC_BAD_REQUEST", "too-long"), id="one-byte-too-long"
        ),
        pytest.param(
            post().replace(b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n")[:-2]
            + b"65\r\n"
            + b"x" * 101
            + b"\r\n0\r\n\r\n",
            (413, "REC_BAD_REQUEST", "too-long"),
            id="chunks-too-long",
        ),
        pytest.param(
            post().replace(b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n")[:-2]
            + b"zz\r\n{}\r\n0\r\n\r\n",
            (400, "REC_BAD_REQUEST", "structure"),
            id="broken-chunk",
        ),
    ],
)
async def test_what_http_alone_refuses(
    request_bytes: bytes,
    expected: tuple[int, str, str],
    identity: Identity,
    proxy: ssl.SSLContext,
):
    """The answer is an OperationOutcome in JSON, and the message is not looked at."""
    receiver = Receiver()
    answer = await one(request_bytes, receiver, identity, proxy)

    assert expected == outcome(answer)
    assert "application/fhir+json" == answer.headers["Content-Type"]
    assert [] == receiver.requests


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(post(), id="200"),
        pytest.param(post(path="/nowhere"), id="404"),
        pytest.param(post(method="PUT"), id="405"),
        pytest.param(post(b"x" * 101), id="413"),
        pytest.param(post(media_type="text/plain"), id="415"),
    ],
)
async def test_every_answer_repeats_the_ids(
    request_bytes: bytes, identity: Identity, proxy: ssl.SSLContext
):
    """Both ids come back on errors too, and nothing says which software answers."""
    answer = await one(request_bytes, Receiver(), identity, proxy)

    assert REQUEST_ID == answer.headers["X-Request-Id"]
    assert CORRELATION_ID == answer.headers["X-Correlation-Id"]
    assert "no-store" == answer.headers["Cache-Control"]
    assert "Server" not in answer.headers


async def test_an_id_that_is_no_uuid_is_not_repeated(identity: Identity, proxy: ssl.SSLContext):
    """Nothing that a caller made up is reflected."""
    request = post().replace(REQUEST_ID.encode(), CANARY.encode())
    answer = await one(request, Receiver(), identity, proxy)

    assert "X-Request-Id" not in answer.headers
    assert CORRELATION_ID == answer.headers["X-Correlation-Id"]


@pytest.mark.parametrize(
    ("path", "name", "resource_id"),
    [
        ("/base/Slot", "Slot", None),
        ("/Slots", "Slot", None),
        ("/base/Appointment", "Appointment", None),
        ("/ServiceRequest/1%2F2", "other", None),
        ("/ServiceRequest/1", "ServiceRequest", "1"),
        ("/base/ServiceRequest/", "ServiceRequest", ""),
        ("/base/Slot/", "other", None),
    ],
)
def test_reads_are_known_by_the_end_of_their_path(path: str, name: str, resource_id: str | None):
    """The id is what the path says, whatever it looks like: others judge it."""
    way = route("GET", path.replace("%2F", "/"))

    assert (name, resource_id) == (way.name, way.resource_id)


async def test_a_read_needs_no_media_type(identity: Identity, proxy: ssl.SSLContext):
    """A GET has no body; its query reaches the Answerer as it came."""
    receiver = Receiver()
    request = post(b"", method="GET", path="/b/Slot?a=%2B1&a=2", media_type="text/plain")
    await one(request, receiver, identity, proxy)
    [seen] = receiver.requests

    assert ("Slot", "GET", "a=%2B1&a=2") == (seen.name, seen.method, seen.query)


async def test_a_405_says_what_is_allowed(identity: Identity, proxy: ssl.SSLContext):
    """Allow belongs to a 405."""
    answer = await one(post(method="GET"), Receiver(), identity, proxy)

    assert "POST" == answer.headers["Allow"]


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"what is this\r\n\r\n", id="no-request-line"),
        pytest.param(b"POST / HTTP/1.1\r\nno colon\r\n\r\n", id="no-header"),
        pytest.param(
            b"POST /$process-message HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n{}",
            id="two-lengths",
        ),
    ],
)
async def test_what_is_no_http_is_answered_and_closed(
    garbage: bytes, identity: Identity, proxy: ssl.SSLContext
):
    """Even a malformed request gets an OperationOutcome, and none of its text."""
    async with (
        serving(Receiver(), identity) as server,
        calling(server.port, proxy) as caller,
    ):
        answer = await caller.ask(garbage)
        rest = await caller.rest()

    assert (400, "REC_BAD_REQUEST", "structure") == outcome(answer)
    assert "Server" not in answer.headers
    assert b"" == rest


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(post(path="/" + "x" * 8200), 414, id="line"),
        pytest.param(post(extra=f"X-Long: {'x' * 16400}\r\n"), 431, id="header"),
        pytest.param(post(extra=f"{'x' * 16400}: x\r\n"), 431, id="name-of-a-header"),
        pytest.param(post(extra="X-Many: x\r\n" * 200), 431, id="many-headers"),
    ],
)
async def test_what_is_too_long_is_told_from_what_is_malformed(
    request_bytes: bytes, status: int, identity: Identity, proxy: ssl.SSLContext
):
    """By its status, with the bound in the text."""
    answer = await one(request_bytes, Receiver(), identity, proxy)

    assert (status, "REC_BAD_REQUEST", "too-long") == outcome(answer)


async def test_a_long_header_within_the_bound_is_read(identity: Identity, proxy: ssl.SSLContext):
    """Hops add their own, and some of them are long."""
    answer = await one(post(extra=f"X-Long: {'x' * 16000}\r\n"), Receiver(), identity, proxy)

    assert 200 == answer.status


async def test_a_caller_who_hangs_up_in_the_body_is_no_failure_of_ours(
    identity: Identity, proxy: ssl.SSLContext
):
    """Networks do that: a line tells of it, and no alarm."""
    told: list[BaseException] = []

    async def tell(error: BaseException) -> None:
        told.append(error)

    with capture_logs() as logs:
        async with serving(Receiver(), identity, tell=tell) as server:
            async with calling(server.port, proxy) as caller:
                await caller.send(post(b"x" * 50)[:-40])
            await eventually(lambda: not server.connections)

    levels = {line["event"]: line["log_level"] for line in logs}
    assert "info" == levels["inbound.caller_left"]
    assert set() == {"error", "warning"} & set(levels.values())
    assert [] == told


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(StorageFull(CANARY), (503, "REC_SERVICE_UNAVAILABLE", "transient")),
        pytest.param(DatabaseHeld(CANARY), (503, "REC_SERVICE_UNAVAILABLE", "transient")),
        pytest.param(DatabaseDamaged(CANARY), (500, "REC_SERVER_ERROR", "no-store")),
        pytest.param(GatewayError(CANARY), (500, "REC_SERVER_ERROR", "exception")),
        pytest.param(ValueError(CANARY), (500, "REC_SERVER_ERROR", "exception")),
    ],
)
async def test_a_failure_of_ours_is_answered_and_logged_by_its_type(
    error: Exception, expected: tuple[int, str, str], identity: Identity, proxy: ssl.SSLContext
):
    """The Sender gets its ids and a status to act on; nobody gets the exception's text."""
    with capture_logs() as events:
        answer = await one(post(), Failing(error), identity, proxy)

    [failed] = [event for event in events if event["event"] == "inbound.request_failed"]
    assert expected == outcome(answer)
    assert REQUEST_ID == answer.headers["X-Request-Id"]
    assert type(error).__name__ == failed["exception"]
    assert CANARY not in f"{events} {answer.body!r}"


@pytest.mark.parametrize("error", [ValueError(CANARY), OSError(CANARY), ConnectionError(CANARY)])
async def test_a_person_hears_of_what_nobody_foresaw(
    error: Exception, identity: Identity, proxy: ssl.SSLContext
):
    """Whatever its kind: a file or a connection of ours that fails is no caller who left."""
    told: list[BaseException] = []

    async def tell(error: BaseException) -> None:
        told.append(error)

    async with (
        serving(Failing(error), identity, tell=tell) as server,
        calling(server.port, proxy) as caller,
    ):
        answer = await caller.ask(post())

    assert (500, "REC_SERVER_ERROR", "exception") == outcome(answer)
    assert [error] == told


async def test_an_answer_that_cannot_be_written_is_told(identity: Identity, proxy: ssl.SSLContext):
    """The caller gets 500 in its place, a person an alarm, and the next caller is served."""
    told: list[BaseException] = []

    async def tell(error: BaseException) -> None:
        told.append(error)

    async def answering(request: InboundRequest) -> Reply:
        headers = {} if told else {"X-Odd": f"{CANARY}\r\n"}
        return Reply(http_status=200, written_in=Format.JSON, body=b"{}", headers=headers)

    with capture_logs() as events:
        async with serving(answering, identity, tell=tell) as server:
            async with calling(server.port, proxy) as caller:
                answer = await caller.ask(post())
            async with calling(server.port, proxy) as caller:
                again = await caller.ask(post())

    failed = [each for each in events if each["event"] == "inbound.request_failed"]
    assert (500, "REC_SERVER_ERROR", "exception") == outcome(answer)
    assert REQUEST_ID == answer.headers["X-Request-Id"]
    assert "close" == answer.headers["Connection"]
    assert ["ValueError"] == [each["exception"] for each in failed]
    assert ["ValueError"] == [type(error).__name__ for error in told]
    assert 200 == again.status
    assert CANARY not in str(events)


async def test_where_no_answer_at_all_can_be_written_it_is_told_as_well(
    identity: Identity, proxy: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
):
    """The connection ends, and the caller comes again."""
    told: list[BaseException] = []

    async def tell(error: BaseException) -> None:
        told.append(error)

    monkeypatch.setattr(server_module, "echo", lambda _headers: {"X-Odd": "\r\n"})
    async with serving(Receiver(), identity, tell=tell) as server:
        async with calling(server.port, proxy) as caller:
            await caller.send(post())
            rest = await caller.reader.read()
        await eventually(lambda: not server.connections)

    assert b"" == rest
    assert ["ValueError"] == [type(error).__name__ for error in told]


async def test_a_failure_does_not_end_the_server(identity: Identity, proxy: ssl.SSLContext):
    """The next request is served, on a new connection."""
    async with serving(Failing(ValueError()), identity) as server:
        for _ in range(2):
            async with calling(server.port, proxy) as caller:
                await caller.ask(post())

    assert {500: 2} == server.answered


async def test_one_line_tells_of_a_request(identity: Identity, proxy: ssl.SSLContext):
    """Method, route, status, code, time, ids and address; the path itself is not told."""
    with capture_logs() as events:
        await one(post(path=f"/{CANARY}/nothing"), Receiver(), identity, proxy)

    [ended] = [event for event in events if event["event"] == "inbound.request_ended"]
    seconds = ended.pop("seconds")
    assert {
        "event": "inbound.request_ended",
        "log_level": "info",
        "method": "POST",
        "route": "other",
        "http_status": 404,
        "code": "REC_NOT_FOUND",
        "peer": "127.0.0.1",
        "request_id": REQUEST_ID,
        "correlation_id": CORRELATION_ID,
    } == ended
    assert 0 <= seconds < 5


@pytest.mark.parametrize(
    ("code", "expected"), [("zx905", "ZX905"), (CANARY, None), ("ZX905 " + CANARY, None)]
)
async def test_the_line_names_the_organisation_that_sends(
    identity: Identity, proxy: ssl.SSLContext, code: str, expected: str | None
):
    """CS-193: whose system the trouble is; only what looks like an ODS code, for it is logged."""
    identifier = [{"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": code}]
    header = base64.b64encode(json.dumps({"identifier": identifier}).encode()).decode()
    with capture_logs() as events:
        await one(
            post(extra=f"NHSD-End-User-Organisation: {header}\r\n"), Receiver(), identity, proxy
        )

    [ended] = [event for event in events if event["event"] == "inbound.request_ended"]
    assert expected == ended.get("sender")


async def test_nothing_of_a_request_is_logged(identity: Identity, proxy: ssl.SSLContext):
    """Path, query, headers, method and body stay out of every line."""
    request = post(
        CANARY.encode(),
        method=CANARY.split("-", maxsplit=1)[0].upper(),
        path=f"/{CANARY}?name={CANARY}",
        extra=f"X-Patient: {CANARY}\r\n",
    )
    with capture_logs() as events:
        await one(request, Receiver(), identity, proxy)
        await one(f"{CANARY} {CANARY}\r\n\r\n".encode(), Receiver(), identity, proxy)

    assert [] == [event for event in events if "zebedee" in str(event).lower()]


async def test_answers_are_counted_and_timed(identity: Identity, proxy: ssl.SSLContext):
    """The status page sees answers by status."""
    async with (
        serving(Receiver(), identity) as server,
        calling(server.port, proxy) as caller,
    ):
        await caller.ask(post())
        await caller.ask(post(path="/nowhere"))

    assert {200: 1, 404: 1} == server.answered


async def test_a_name_taken_off_the_list_ends_its_connections(
    identity: Identity, proxy: ssl.SSLContext
):
    """The list is looked at for each request, since a connection may last for days."""
    receiver = Receiver()
    async with (
        serving(receiver, identity) as server,
        calling(server.port, proxy) as caller,
    ):
        await caller.ask(post())
        server.admission.callers = Callers(names=("another.example",))
        answer = await caller.ask(post())

    assert (401, "REC_UNAUTHORIZED", "security") == outcome(answer)
    assert 1 == len(receiver.requests)


async def test_stopping_lets_the_request_under_way_have_its_answer(
    identity: Identity, proxy: ssl.SSLContext
):
    """The answer holds ids that a later 409 would not; then the connection is closed."""
    waiting = Waiting()
    async with serving(waiting, identity) as server, calling(server.port, proxy) as caller:
        await caller.send(post())
        await waiting.asked.wait()
        server.stop()
        waiting.may_answer.set()
        answer = await caller.answer()
        rest = await caller.rest()

    assert (200, "close") == (answer.status, answer.headers["Connection"])
    assert b"" == rest


async def test_stopping_lets_a_body_arrive(identity: Identity, proxy: ssl.SSLContext):
    """A request whose header we have is under way."""
    async with serving(Receiver(), identity) as server, calling(server.port, proxy) as caller:
        await caller.send(post(extra="Expect: 100-continue\r\n")[:-1])
        invitation = await caller.answer()
        server.stop()
        answer = await caller.ask(post()[-1:])

    assert (100, 200) == (invitation.status, answer.status)


async def test_stopping_ends_what_is_idle_and_accepts_nobody(
    identity: Identity, proxy: ssl.SSLContext
):
    """Idle connections end at once, and the port is free."""
    async with serving(Receiver(), identity) as server, calling(server.port, proxy) as caller:
        await caller.ask(post())
        server.stop()
        rest = await caller.rest()
        await eventually(lambda: refuses(server.port))

    assert b"" == rest


@pytest.mark.parametrize("turns", range(10))
async def test_stopping_ends_a_connection_at_whatever_moment(
    turns: int, identity: Identity, proxy: ssl.SSLContext
):
    """Between an answer and the next request there is no moment that a stop would miss."""
    loop = asyncio.get_running_loop()
    answering = Waiting()
    answering.may_answer.set()
    async with serving(answering, identity) as server, calling(server.port, proxy) as caller:
        await caller.send(post())
        await answering.asked.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        stopped = loop.time()
        server.stop()
        await caller.rest()

    assert loop.time() - stopped < 5


def refuses(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_an_id_that_is_there_twice_is_one_id(identity: Identity, proxy: ssl.SSLContext):
    """A hop in between may write a header again; two that differ name no request."""
    receiver = Receiver()
    async with serving(receiver, identity) as server, calling(server.port, proxy) as caller:
        answer = await caller.ask(post(extra=f"X-Request-Id: {REQUEST_ID}\r\n"))

    assert (200, REQUEST_ID) == (answer.status, answer.headers["X-Request-Id"])
    assert REQUEST_ID == receiver.requests[0].headers["x-request-id"]
