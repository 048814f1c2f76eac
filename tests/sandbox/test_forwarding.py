"""What a Receiver sees of a call, and what a Sender sees of a Receiver."""

import asyncio
import gzip
import io
import json
import socket
import ssl
from dataclasses import replace

import pytest
from national_side import FHIR, after, hanging_up, outcome, saying
from sandbox.around import opened, point, receiver_tls, talking, target

from bars_gateway.sandbox.proxy import BUFFER_BYTES

TIMEOUT_ID = "5abca2a4-eda1-4dae-8cc9-5d48c6b791dc"
DOWN_ID = "4b87b05b-7a20-4994-abea-57778024d216"


async def test_bytes_arrive_as_they_were_sent(box):
    """Whatever they are: the proxy does not look at them."""
    body = b'\xef\xbb\xbf { "a" :\t1.0,\r\n"a": "\xff"}'
    await box.call(body=body)

    assert body == box.receiver.heard[0].body


@pytest.mark.parametrize(
    "path",
    [
        "/$process-message",
        "/Slot?status=free,busy&start=ge2026-01-01T00:00:00%2B00:00&_include=Slot:schedule",
        "/ServiceRequest?patient:identifier=https://fhir.nhs.uk/Id/nhs-number%7C9990000001",
        "/Appointment/91607239-b002-470a-8709-6b25bd50fdd1",
        "/a/%2e%2e/%24x?q=+%20",
        "",
    ],
)
async def test_path_and_query_arrive_as_they_were_sent(box, path):
    """Behind the Receiver's own base, letter by letter."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(box.sandbox.proxy_url.split(":")[2].split("/")[0]), ssl=box.tls
    )
    lines = [
        f"GET /booking-and-referral/FHIR/R4{path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {await box.token()}",
        "X-Request-Id: 1",
        "X-Correlation-Id: 2",
        f"NHSD-Target-Identifier: {target()}",
        "Connection: close",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answered = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert answered.startswith(b"HTTP/1.1 200 ")
    assert f"/base{path}" == box.receiver.heard[0].target


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_every_verb_passes(box, method):
    """The live proxy has no list of what it forwards."""
    reply = await box.call("/Appointment/1", method)

    assert (200, b"taken") == (reply.status, reply.body)


async def test_headers_arrive_as_they_were_sent(box):
    """All of the Sender's, with the target still in Base64; the token stays behind."""
    await box.call(use_context="a4t2|validation|servicerequest-request|new", X_Other="mine")
    heard = box.receiver.heard[0].headers

    assert target() == heard["NHSD-Target-Identifier"]
    assert "a4t2|validation|servicerequest-request|new" == heard["use-context"]
    assert "mine" == heard["X-Other"]
    assert "Authorization" not in heard
    assert box.receiver.url == f"https://{heard['Host']}"
    assert ("127.0.0.1", "https", "443") == (
        heard["X-Forwarded-For"],
        heard["X-Forwarded-Proto"],
        heard["X-Forwarded-Port"],
    )


async def test_no_header_is_made_up(box):
    """What a Sender did not send, no library adds on the way."""
    unsent = ["Accept", "Accept-Encoding", "User-Agent", "Content-Type"]
    await box.ask(
        "GET",
        f"{box.sandbox.proxy_url}/Slot",
        headers={
            "Authorization": f"Bearer {await box.token()}",
            "X-Request-Id": "1",
            "X-Correlation-Id": "2",
            "NHSD-Target-Identifier": target(),
        },
        skip_auto_headers=unsent,
    )

    assert [] == [name for name in unsent if name in box.receiver.heard[0].headers]


async def test_the_receiver_sees_the_proxys_certificate(box):
    """Mutual TLS: the name is the one that gateways are told to allow."""
    seen = {}

    async def look(request):
        seen.update(request.transport.get_extra_info("peercert"))
        return await saying(200)(request)

    box.receiver.answers.append(look)
    await box.call()

    assert ((("commonName", "bars-proxy.sandbox.local"),),) == seen["subject"]


@pytest.mark.parametrize(
    "status", [200, 201, 302, 400, 401, 404, 405, 406, 408, 409, 410, 412, 422, 425, 429, 501, 502]
)
async def test_most_answers_pass_unchanged(box, status):
    """Status, headers, media type and bytes, whether FHIR or not."""
    body = b'{"resourceType" : "OperationOutcome" }\n'
    box.receiver.answers.append(saying(status, body, FHIR, X_Request_Id="r", Location="/x"))
    reply = await box.call()

    assert (status, body, FHIR) == (reply.status, reply.body, reply.headers["Content-Type"])
    assert ("r", "/x") == (reply.headers["X-Request-Id"], reply.headers["Location"])


@pytest.mark.parametrize(
    ("status", "body", "expected", "fixed_id"),
    [
        pytest.param(
            403,
            outcome("X", "forbidden"),
            (403, "forbidden", "REC_FORBIDDEN"),
            "c936667e-13b0-4f56-94b1-e944a459837e",
            id="403",
        ),
        pytest.param(
            500,
            outcome("X", "no-store"),
            (500, "no-store", "REC_SERVER_ERROR"),
            "ca0f6c46-589e-4558-a937-d4974e1112db",
            id="500-no-store",
        ),
        pytest.param(
            500,
            b"",
            (500, "exception", "REC_SERVER_ERROR"),
            "b38b875b-a1cf-4104-a900-3a5d3ce474db",
            id="500-empty",
        ),
        pytest.param(
            500,
            b"<html>",
            (500, "exception", "REC_SERVER_ERROR"),
            "b38b875b-a1cf-4104-a900-3a5d3ce474db",
            id="500-page",
        ),
        pytest.param(
            500,
            b'{"issue": []}',
            (500, "exception", "REC_SERVER_ERROR"),
            "b38b875b-a1cf-4104-a900-3a5d3ce474db",
            id="500-no-issue",
        ),
        pytest.param(
            500,
            b"[" * 200_000,
            (500, "exception", "REC_SERVER_ERROR"),
            "b38b875b-a1cf-4104-a900-3a5d3ce474db",
            id="500-deep",
        ),
        pytest.param(
            503,
            outcome("X", "transient"),
            (503, "transient", "REC_SERVICE_UNAVAILABLE"),
            DOWN_ID,
            id="503",
        ),
        pytest.param(
            504,
            outcome("X", "timeout"),
            (408, "timeout", "REC_TIMEOUT"),
            TIMEOUT_ID,
            id="504-becomes-408",
        ),
    ],
)
async def test_some_bodies_are_replaced(box, status, body, expected, fixed_id):
    """The Receiver's own words are lost; its other headers, and so the ids, survive."""
    box.receiver.answers.append(saying(status, body, FHIR, X_Request_Id="r"))
    reply = await box.call()

    assert expected == reply.outcome
    assert (fixed_id, "application/json") == (reply.json["id"], reply.headers["Content-Type"])
    assert "r" == reply.headers["X-Request-Id"]


@pytest.mark.parametrize("issue", ["exception", "transient"])
async def test_a_500_that_explains_itself_passes(box, issue):
    """Only no-store is rewritten."""
    body = outcome("REC_SERVER_ERROR", issue)
    box.receiver.answers.append(saying(500, body, FHIR))
    reply = await box.call()

    assert (500, body, FHIR) == (reply.status, reply.body, reply.headers["Content-Type"])


async def test_compressed_messages_pass_compressed(box):
    """What a Sender packed, the Receiver can unpack: header and bytes still agree."""
    reply = await box.call(body=gzip.compress(b"packed"), Content_Encoding="gzip")

    assert (200, b"packed") == (reply.status, box.receiver.heard[0].body)


async def test_compressed_answers_pass_compressed(box):
    """The proxy does not unpack what it passes on."""
    packed = gzip.compress(b"taken")
    box.receiver.answers.append(saying(200, packed, FHIR, Content_Encoding="gzip"))
    reply = await box.call()

    assert (packed, "gzip") == (reply.body, reply.headers["Content-Encoding"])


async def test_a_replaced_body_is_not_called_compressed(box):
    """The header described the body that is gone."""
    packed = gzip.compress(outcome("X", "exception"))
    box.receiver.answers.append(saying(500, packed, FHIR, Content_Encoding="gzip"))
    reply = await box.call()

    assert (500, "exception", "REC_SERVER_ERROR") == reply.outcome
    assert "Content-Encoding" not in reply.headers


async def test_silence_is_a_timeout(settings):
    """The Receiver may have processed the message: 408 says nothing about it."""
    async with opened(replace(settings, answer_seconds=0.3)) as box:
        box.receiver.answers.append(after(asyncio.Event(), saying(200)))
        reply = await box.call()

    assert (408, "timeout", "REC_TIMEOUT") == reply.outcome
    assert (TIMEOUT_ID, 1) == (reply.json["id"], len(box.receiver.heard))


async def test_hanging_up_is_an_unexpected_end(box):
    """The platform's own body: no OperationOutcome."""
    box.receiver.answers.append(hanging_up)
    reply = await box.call()

    assert 502 == reply.status
    assert reply.json["fault"]["detail"]["errorcode"].endswith("UnexpectedEOFAtTarget")


@pytest.mark.parametrize("method", ["DELETE", "GET", "PUT"])
async def test_a_receiver_that_hangs_up_is_called_once(box, method):
    """As after a POST: what it did before it hung up, nobody has it do again."""
    box.receiver.answers.append(hanging_up)
    reply = await box.call("/Appointment/1", method)

    assert (502, 1) == (reply.status, len(box.receiver.heard))


async def test_an_answer_that_ends_in_the_middle_is_an_unexpected_end(box):
    """As above: half an answer is none."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    async with talking(said, box.tls_of_receiver()) as port:
        await point(box, port)
        reply = await box.call()

    assert (502, ["fault"]) == (reply.status, list(reply.json))


async def test_a_reset_in_the_middle_is_an_unexpected_end(box):
    """A connection that was made and then torn down is not a Receiver that is away."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    async with talking(said, box.tls_of_receiver(), reset=True) as port:
        await point(box, port)
        reply = await box.call()

    assert (502, ["fault"]) == (reply.status, list(reply.json))


async def test_nobody_there_is_unavailable(box):
    """Nothing listens on that port."""
    await point(box, 1)
    reply = await box.call()

    assert (503, "transient", "REC_SERVICE_UNAVAILABLE") == reply.outcome
    assert DOWN_ID == reply.json["id"]


async def test_no_handshake_in_time_is_unavailable(settings):
    """A port that accepts and says nothing was never connected to."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with opened(replace(settings, connect_seconds=0.3)) as box:
            await point(box, mute.getsockname()[1])
            reply = await box.call()

    assert (503, "transient", "REC_SERVICE_UNAVAILABLE") == reply.outcome


async def test_a_receiver_of_another_authority_is_unavailable(box, folder):
    """Its certificate is not one that the proxy trusts."""
    own = folder / "national"
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own / "server.pem", own / "server.key")
    async with talking(b"", tls) as port:
        await point(box, port)
        reply = await box.call()

    assert (503, "transient", "REC_SERVICE_UNAVAILABLE") == reply.outcome


async def test_a_receiver_that_refuses_the_proxy_is_unavailable(box):
    """It trusts another authority than the one that the proxy's certificate is from."""
    tls = receiver_tls(box.trust, box.sandbox.ca_file)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    async with talking(b"", tls) as port:
        await point(box, port)
        reply = await box.call()

    assert (503, "transient", "REC_SERVICE_UNAVAILABLE") == reply.outcome


async def test_a_late_refusal_of_the_proxy_may_look_broken_off(box):
    """In TLS 1.3 it comes after the handshake: the Sender retries either way."""
    tls = receiver_tls(box.trust, box.sandbox.ca_file)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    async with talking(b"", tls) as port:
        await point(box, port)
        reply = await box.call()

    assert reply.status in {502, 503}


async def test_a_body_beyond_the_buffer_is_refused(box):
    """Ten megabytes are what the platform holds."""
    reply = await box.call(body=io.BytesIO(b" " * (BUFFER_BYTES + 1)))

    assert (413, ["fault"], []) == (reply.status, list(reply.json), box.receiver.heard)


async def test_an_answer_beyond_the_buffer_is_refused(box):
    """The same limit holds on the way back."""
    box.receiver.answers.append(saying(200, b" " * (BUFFER_BYTES + 1)))
    reply = await box.call()

    assert (502, ["fault"]) == (reply.status, list(reply.json))


async def test_targets_are_read_at_every_request(box):
    """Edited by hand while it runs, the file counts from the next request on."""
    file = box.sandbox.registry.targets_file
    table = json.loads(file.read_text())
    column = next(iter(table["NHSD-Target-Identifier"].values()))
    column["by-hand"] = f"{box.receiver.url}/elsewhere"
    file.write_text(json.dumps(table))
    reply = await box.call("/Slot", "GET", NHSD_Target_Identifier=target("by-hand"))

    assert (200, "/elsewhere/Slot") == (reply.status, box.receiver.heard[0].target)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"NHSD-Target-Identifier": {"a": 1}}'])
async def test_a_broken_targets_file_is_a_failed_script(box, content):
    """It looks like the live proxy without its table: a 500 that seems transient."""
    file = box.sandbox.registry.targets_file
    before = file.read_text()
    file.write_text(content)
    reply = await box.call()
    file.write_text(before)

    assert (500, "exception", "REC_SERVER_ERROR") == reply.outcome


@pytest.mark.parametrize("url", ["https://192.0.2.1/FHIR", "http://127.0.0.1:1/FHIR", "no URL"])
async def test_calls_do_not_leave_this_machine(box, url):
    """Whatever somebody wrote into the targets file."""
    file = box.sandbox.registry.targets_file
    before = file.read_text()
    file.write_text(before.replace(f"{box.receiver.url}/base", url))
    reply = await box.call()
    file.write_text(before)

    assert (503, "transient", "REC_SERVICE_UNAVAILABLE") == reply.outcome
