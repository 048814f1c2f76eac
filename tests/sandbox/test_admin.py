"""The admin port: faults, calls and gateways by request; and what is logged meanwhile."""

import asyncio
import json
import time
from urllib.parse import urlsplit

import pytest
from national_side import CORRELATION_ID, REQUEST_ID
from structlog.testing import capture_logs

from bars_gateway.log import FIELDS
from bars_gateway.sandbox.calls import KEPT_CALLS, Call, CallLog, route_of


async def test_faults_are_armed_listed_and_taken_away(box):
    """Each has a number, and says no more than its kind uses."""
    armed = await box.arm(kind="delay", seconds=2, count=3)
    number = armed.json["id"]
    listed = await box.admin("GET", "/faults")
    taken = await box.admin("DELETE", f"/faults/{number}")
    again = await box.admin("DELETE", f"/faults/{number}")

    assert (201, 204, 404) == (armed.status, taken.status, again.status)
    assert {
        "id": number,
        "kind": "delay",
        "count": 3,
        "probability": 1.0,
        "seconds": 2,
        "target": None,
        "method": None,
    } == listed.json["faults"][0]


@pytest.mark.parametrize("described", [{"kind": "flood"}, {"kind": "no_ids", "times": 1}])
async def test_a_wrong_fault_is_refused(box, described):
    """With 400, and with what is wrong."""
    reply = await box.admin("POST", "/faults", described)

    assert (400, ["error"]) == (reply.status, list(reply.json))


@pytest.mark.parametrize("path", ["/faults", "/gateways"])
async def test_what_is_no_json_is_refused(box, path):
    """With 400, and not with a failure of ours."""
    reply = await box.ask("POST", box.sandbox.admin_url + path, data=b"{")

    assert 400 == reply.status


CANARY = b"A-REFERRAL"


HEAD = b"POST /faults HTTP/1.1\r\nHost: sandbox\r\n"


async def test_a_method_that_is_not_there_is_told_which_are(box):
    """As HTTP asks of every 405."""
    said = await heard(box.sandbox.admin_url, b"PUT /faults HTTP/1.0\r\n\r\n")

    assert b"\r\nAllow: DELETE,GET,HEAD,POST\r\n" in said


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(HEAD + b"\r\n" + CANARY, b"400", id="no-length"),
        pytest.param(b"POST /faults\r\n\r\n" + CANARY, b"400", id="no-version"),
        pytest.param(HEAD + b"Content-Length: ten\r\n\r\n" + CANARY, b"400", id="no-number"),
        pytest.param(
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n" + CANARY,
            b"400",
            id="broken-gzip",
        ),
        pytest.param(
            HEAD + b"Content-Encoding: br\r\nContent-Length: 99\r\n\r\n" + CANARY,
            b"415",
            id="another-packing",
        ),
        pytest.param(HEAD + b"Expect: " + CANARY + b"\r\n\r\n", b"417", id="expectation"),
        pytest.param(
            b"PUT /faults HTTP/1.1\r\nHost: a\r\nExpect: " + CANARY + b"\r\n\r\n",
            b"417",
            id="expectation-of-another-method",
        ),
        pytest.param(b"GET /" + CANARY + b" HTTP/1.0\r\n\r\n", b"404", id="nothing"),
        pytest.param(b"PUT /faults HTTP/1.0\r\n\r\n", b"405", id="no-such-method"),
    ],
)
async def test_what_is_no_request_is_answered_without_a_byte_of_it(box, request_bytes, status):
    """In JSON, as on the gateway's own ports: what a program logs may be shown to anybody."""
    said = await heard(box.sandbox.admin_url, request_bytes)

    assert said.partition(b" ")[2].startswith(status)
    assert b"Content-Type: application/json" in said
    assert "error" in json.loads(said.rpartition(b"\r\n\r\n")[2])
    assert CANARY not in said


async def test_the_national_side_quotes_nothing_either(box):
    """What the live one says to what is no HTTP nobody knows; it is no referral, at least."""
    broken = b"POST /booking-and-referral/FHIR/R4 HTTP/1.1\r\nContent-Length: ten\r\n\r\n"
    said = await heard(box.sandbox.proxy_url, broken + CANARY, box.tls)

    assert said.partition(b" ")[2].startswith(b"400")
    assert CANARY not in said


async def heard(url, request, tls=None):
    """Return all that is answered to these bytes."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port, ssl=tls)
    writer.write(request)
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    return said


async def test_calls_say_who_asked_for_what(box):
    """The ids, the path without its query, both statuses; never a body."""
    await box.call("/Slot?status=free", "GET")
    token, call = await box.calls()

    assert ("/oauth2/token", None, 200) == (
        token["path"],
        token["target"],
        token["answered_status"],
    )
    assert {
        "number": 2,
        "at": call["at"],
        "method": "GET",
        "path": "/Slot",
        "target": "2000000202",
        "request_id": REQUEST_ID,
        "correlation_id": CORRELATION_ID,
        "receiver_status": 200,
        "answered_status": 200,
        "fault": None,
    } == call


async def test_an_id_that_is_no_uuid_is_not_kept(box):
    """It may be anything, and so it is not listed."""
    await box.call(X_Request_Id="Mrs Example")

    assert [None, None] == [call["request_id"] for call in await box.calls()]


async def test_calls_can_be_waited_for(box):
    """A long poll is answered by the next call."""
    await box.token()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(box.admin("GET", "/calls?wait=20&after=1"))
        await box.call()

    assert [2] == [call["number"] for call in waiting.result().json["calls"]]


async def test_waiting_ends(box):
    """With no calls, if there are none."""
    begun = time.monotonic()
    reply = await box.admin("GET", "/calls?wait=0.1")

    assert [] == reply.json["calls"]
    assert 0.1 <= time.monotonic() - begun


async def test_waiting_for_words_is_refused(box):
    """Both members of the query are numbers."""
    assert 400 == (await box.admin("GET", "/calls?wait=long")).status


async def test_old_calls_are_forgotten():
    """The list is bounded: a sandbox may run for weeks."""
    calls = CallLog()
    empty = dict.fromkeys(Call.__slots__)
    with capture_logs():
        for number in range(KEPT_CALLS + 1):
            calls.add(Call(**empty | {"number": number, "path": "/"}), seconds=0.0)

    assert 1 == (await calls.after(-1, 0))[0]["number"]


async def test_a_gateway_registers_while_the_sandbox_runs(box):
    """It gets its credentials, and its services lead to it at once."""
    url = f"{box.receiver.url}/other"
    services = ["2000000303", "https://example.org/services|b"]
    reply = await box.admin("POST", "/gateways", {"name": "late", "services": services, "url": url})
    made = reply.json

    assert (201, "late", "late-sandbox-1") == (reply.status, made["name"], made["key_id"])
    assert "https://example.org/services|b" == made["services"][1]
    assert url == box.sandbox.registry.targets()["https://example.org/services"]["b"]
    assert made == json.loads((box.trust.folder.parent / "late" / "gateway.json").read_bytes())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": None}, "name is missing"),
        ({"name": "../x"}, "letters, digits and hyphens"),
        ({"services": "2000000303"}, "services has the wrong type"),
        ({"services": [1]}, "services is a list of values"),
        ({"url": 1}, "url has the wrong type"),
        ({"url": "https://192.0.2.1/"}, "https://127.0.0.1:"),
        ({"url": "http://127.0.0.1/"}, "https://127.0.0.1:"),
        ({"urls": "x"}, "unknown member 'urls'"),
    ],
)
async def test_a_wrong_gateway_is_refused(box, change, named):
    """With 400, what is wrong, and nothing made."""
    described = {"name": "wrong", "services": [], "url": "https://127.0.0.1:1"} | change
    wanted = {name: value for name, value in described.items() if value is not None}
    reply = await box.admin("POST", "/gateways", wanted)

    assert 400 == reply.status
    assert named in reply.json["error"]
    assert not (box.trust.folder.parent / "wrong").exists()


async def test_a_call_is_logged_with_listed_fields(box):
    """One line at its end, from which nothing has to be dropped."""
    with capture_logs() as events:
        await box.call("/Appointment/9990000001", "GET")
    ended = [event for event in events if event["event"] == "sandbox.call_ended"][-1]

    assert ended.pop("seconds") >= 0
    assert {
        "event": "sandbox.call_ended",
        "log_level": "info",
        "method": "GET",
        "route": "/Appointment/{id}",
        "http_status": 200,
        "fault": None,
        "request_id": REQUEST_ID,
        "correlation_id": CORRELATION_ID,
    } == ended
    assert set() == ended.keys() - FIELDS - {"log_level"}


async def test_nothing_that_passes_is_logged_or_listed(box):
    """Neither a body, nor a query, nor a token, nor what a Sender writes into a path."""
    with capture_logs() as events:
        await box.call("/Canary-1?name=Canary-2", body=b"Canary-3", X_Request_Id="Canary-4")
    logged = json.dumps(events)
    listed = json.dumps(await box.calls())

    assert "Canary" not in logged
    assert await box.token() not in logged + listed
    assert [] == [canary for canary in ("Canary-2", "Canary-3", "Canary-4") if canary in listed]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/$process-message", "/$process-message"),
        ("/%24process-message", "/$process-message"),
        ("/ServiceRequest/1/2", "/ServiceRequest/{id}"),
        ("/oauth2/token", "/oauth2/token"),
        ("/9990000001", "other"),
        ("", "other"),
    ],
)
def test_routes(path, route):
    """What is logged of a path is its kind."""
    assert route == route_of(path)


async def test_a_request_that_is_none_gets_no_certificate(box):
    """With 400, and with what is wrong; what a right one gets is tried from nothing to live."""
    reply = await box.admin("POST", "/certificates", {"not": "a request"})

    assert (400, {"error": "this is not a certificate request in PEM form"}) == (
        reply.status,
        reply.json,
    )
