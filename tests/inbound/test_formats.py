"""In which format, and how packed, bodies come in and answers go out."""

import gzip
import ssl
import zlib

import pytest
from inbound_callers import Answer, Receiver, calling, post, serving

from bars_gateway.inbound.connection import InboundLimits
from bars_gateway.standard.formats import Format
from bars_gateway.tls.contexts import Identity

LIMIT = 4096
BODY = b'{"resourceType":"Bundle","total":1}'
AS_XML = (
    b'<?xml version="1.0" encoding="UTF-8"?><Bundle xmlns="http://hl7.org/fhir">'
    b'<total value="1"/></Bundle>'
)
LONG = b'{"resourceType":"Bundle","id":"' + b"a" * 2000 + b'"}'


async def asked(
    request: bytes, receiver: Receiver, identity: Identity, proxy: ssl.SSLContext
) -> Answer:
    async with (
        serving(receiver, identity, limits=InboundLimits(max_body_bytes=LIMIT)) as server,
        calling(server.port, proxy) as caller,
    ):
        return await caller.ask(request)


@pytest.mark.parametrize(
    ("path", "accept", "expected"),
    [
        ("$process-message", "application/fhir+json", Format.JSON),
        ("$process-message", "application/fhir+xml", Format.XML),
        ("$process-message?_format=xml", "application/fhir+json", Format.XML),
        ("$process-message?_format=application/fhir%2Bjson", "text/xml", Format.JSON),
    ],
)
async def test_the_answer_comes_in_the_format_asked_for(
    path: str, accept: str, expected: Format, identity: Identity, proxy: ssl.SSLContext
):
    """Whatever it was composed in."""
    request = post(path=f"/base/{path}", extra=f"Accept: {accept}\r\n")
    answer = await asked(request, Receiver(body=BODY), identity, proxy)

    assert expected == answer.headers["Content-Type"]
    assert (AS_XML if expected is Format.XML else BODY) == answer.body


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(post(path="/nowhere", extra="Accept: text/xml\r\n"), id="404"),
        pytest.param(post(method="PUT", extra="Accept: text/xml\r\n"), id="405"),
        pytest.param(post(media_type="text/csv", extra="Accept: text/xml\r\n"), id="415"),
        pytest.param(post(b"x" * (LIMIT + 1), extra="Accept: text/xml\r\n"), id="413"),
    ],
)
async def test_errors_come_in_the_format_asked_for(
    request_bytes: bytes, identity: Identity, proxy: ssl.SSLContext
):
    """D-formats: the OperationOutcome too, also where the body was not looked at."""
    answer = await asked(request_bytes, Receiver(), identity, proxy)

    assert "application/fhir+xml" == answer.headers["Content-Type"]
    assert b"<OperationOutcome " in answer.body


async def test_an_answer_that_xml_cannot_carry_goes_as_it_is(
    identity: Identity, proxy: ssl.SSLContext
):
    """What was decided is worth more than its format."""
    receiver = Receiver(body=b'{"resourceType":"Bundle","nonsense":1}')
    answer = await asked(post(extra="Accept: text/xml\r\n"), receiver, identity, proxy)

    assert (200, "application/fhir+json", receiver.body) == (
        answer.status,
        answer.headers["Content-Type"],
        answer.body,
    )


async def test_an_xml_body_is_handed_on_as_it_came(identity: Identity, proxy: ssl.SSLContext):
    """With the format that its Content-Type names."""
    receiver = Receiver()
    await asked(post(AS_XML, media_type="application/fhir+xml"), receiver, identity, proxy)

    assert [(Format.XML, AS_XML)] == [(r.written_in, r.body) for r in receiver.requests]


def packed(body: bytes) -> bytes:
    return post(body, extra="Content-Encoding: gzip\r\n")


async def test_a_gzipped_body_is_inflated(identity: Identity, proxy: ssl.SSLContext):
    """D-gzip: the message is what was packed."""
    receiver = Receiver()
    await asked(packed(gzip.compress(BODY)), receiver, identity, proxy)

    assert [BODY] == [request.body for request in receiver.requests]


async def test_a_body_of_several_gzip_members_is_one(identity: Identity, proxy: ssl.SSLContext):
    """RFC 1952 allows it, and whoever packs piece by piece does it; an empty one ends many."""
    receiver = Receiver()
    body = gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]) + gzip.compress(b"")
    await asked(packed(body), receiver, identity, proxy)

    assert [BODY] == [request.body for request in receiver.requests]


async def test_members_without_end_are_refused(identity: Identity, proxy: ssl.SSLContext):
    """Each costs time, and an empty one counts for little in the limit of bytes."""
    async with serving(Receiver(), identity) as server, calling(server.port, proxy) as caller:
        answer = await caller.ask(packed(gzip.compress(b"") * 1001))

    assert 400 == answer.status


async def test_another_packing_is_told_which_is_read(identity: Identity, proxy: ssl.SSLContext):
    """RFC 9110: a 415 about a Content-Encoding says what would do."""
    request = post(BODY, extra="Content-Encoding: zstd\r\n")
    answer = await asked(request, Receiver(), identity, proxy)

    assert (415, "gzip") == (answer.status, answer.headers["Accept-Encoding"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(gzip.compress(b"x" * LIMIT), 200, id="just-fits"),
        pytest.param(gzip.compress(b"x" * (LIMIT + 1)), 413, id="inflates-beyond-the-limit"),
        pytest.param(gzip.compress(b"\0" * 1_000_000), 413, id="bomb"),
        pytest.param(gzip.compress(BODY)[:-1], 400, id="cut-off"),
        pytest.param(gzip.compress(BODY) + b"more", 400, id="something-after-it"),
        pytest.param(
            gzip.compress(b"x" * LIMIT) + gzip.compress(b"x"), 413, id="two-beyond-the-limit"
        ),
        pytest.param(gzip.compress(BODY) * 2 + gzip.compress(BODY)[:-1], 400, id="last-cut-off"),
        pytest.param(zlib.compress(BODY), 400, id="another-format"),
        pytest.param(b"", 400, id="nothing"),
    ],
)
async def test_only_a_whole_stream_within_the_limit_is_taken(
    body: bytes, status: int, identity: Identity, proxy: ssl.SSLContext
):
    """The limit counts what comes out of the inflating."""
    receiver = Receiver()
    answer = await asked(packed(body), receiver, identity, proxy)

    assert status == answer.status
    assert (status == 200) == bool(receiver.requests)


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [("gzip", "gzip"), ("br, GZIP;q=0.5", "gzip"), ("gzip;q=0", None), ("identity", None)],
)
async def test_a_long_answer_is_packed_for_those_who_take_it(
    accept_encoding: str, expected: str | None, identity: Identity, proxy: ssl.SSLContext
):
    """D-gzip: offered, and never forced on anybody."""
    request = post(extra=f"Accept-Encoding: {accept_encoding}\r\n")
    answer = await asked(request, Receiver(body=LONG), identity, proxy)

    assert expected == answer.headers.get("Content-Encoding")
    assert LONG == (gzip.decompress(answer.body) if expected else answer.body)
