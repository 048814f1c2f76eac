"""Faults on demand: what each kind does to a call, for how many, and for whom."""

import random
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from national_side import CORRELATION_ID, FHIR, REQUEST_ID, acknowledging, saying
from sandbox.around import SERVICE

from bars_gateway.sandbox.faults import FaultKind, FaultProblem, Faults


async def test_a_delay_comes_before_forwarding(box):
    """The answer is as it would have been, only later."""
    await box.token()
    await box.arm(kind="delay", seconds=0.2, count=1)
    reply = await box.call()
    (call,) = (await box.calls())[1:]

    assert (200, "delay") == (reply.status, call["fault"])
    assert 1 == len(box.receiver.heard)


@pytest.mark.parametrize(("kind", "forwarded"), [("drop_before", 0), ("drop_after", 1)])
async def test_a_drop_closes_the_connection(box, kind, forwarded):
    """The Sender cannot tell whether the Receiver has the message: here is both."""
    await box.token()
    await box.arm(kind=kind, count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await box.call()
    (call,) = (await box.calls())[1:]

    assert forwarded == len(box.receiver.heard)
    assert (None, kind) == (call["answered_status"], call["fault"])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, (401, "security", "SEND_UNAUTHORIZED")),
        (408, (408, "timeout", "REC_TIMEOUT")),
        (429, (429, "429", "PROXY_TOO_MANY_REQUESTS")),
        (500, (500, "exception", "REC_SERVER_ERROR")),
        (503, (503, "transient", "REC_SERVICE_UNAVAILABLE")),
        (504, (408, "timeout", "REC_TIMEOUT")),
    ],
)
async def test_a_status_comes_with_the_live_body(box, status, expected):
    """As the live proxy words it, and without asking the Receiver."""
    await box.arm(kind="status", status=status, count=1)
    reply = await box.call()

    assert expected == reply.outcome
    assert [] == box.receiver.heard


@pytest.mark.parametrize("status", [502, 504])
async def test_an_intermediary_has_no_outcome(box, status):
    """A page of HTML, as from a load balancer."""
    await box.arm(kind="page", status=status, count=1)
    reply = await box.call()

    assert (status, True) == (reply.status, reply.headers["Content-Type"].startswith("text/html"))


async def test_a_status_may_come_after_the_receiver_answered(box):
    """The message was taken, and the Sender is told otherwise."""
    await box.arm(kind="status", status=503, after=True, count=1)
    reply = await box.call()
    call = (await box.calls())[-1]

    assert 503 == reply.status
    assert (200, 503) == (call["receiver_status"], call["answered_status"])


async def test_no_ids_takes_the_echo_away(box):
    """A 200 that proves nothing."""
    box.receiver.otherwise = acknowledging
    plain = await box.call()
    await box.arm(kind="no_ids", count=1)
    struck = await box.call()

    assert (REQUEST_ID, CORRELATION_ID) == tuple(
        plain.headers[name] for name in ("X-Request-Id", "X-Correlation-Id")
    )
    assert not {"X-Request-ID", "X-Request-Id", "X-Correlation-Id"} & set(struck.headers)
    assert plain.body == struck.body


async def test_wrong_ids_are_those_of_no_request(box):
    """The answer to somebody else's message, as it looks."""
    box.receiver.otherwise = acknowledging
    await box.arm(kind="wrong_ids", count=1)
    struck = await box.call()
    told = {UUID(struck.headers[name]) for name in ("X-Request-Id", "X-Correlation-Id")}

    assert (200, 2, "wrong_ids") == (struck.status, len(told), (await box.calls())[-1]["fault"])
    assert not {UUID(REQUEST_ID), UUID(CORRELATION_ID)} & told


async def test_another_body_comes_under_our_ids(box):
    """Two answers are mixed up: the ids are those of this call, the body that of the one before."""
    bodies = iter((b'{"first": 1}', b'{"second": 2}'))

    async def answer(request):
        answered = await acknowledging(request)
        ids = {n: v for n, v in answered.headers.items() if n.lower().endswith("-id")}
        return web.Response(headers=ids, body=next(bodies), content_type="application/fhir+json")

    box.receiver.otherwise = answer
    await box.call()
    await box.arm(kind="other_body", count=1)
    struck = await box.call()

    assert (200, b'{"first": 1}') == (struck.status, struck.body)
    assert REQUEST_ID == struck.headers["X-Request-Id"]


async def test_a_tls_failure_ends_the_handshake(box):
    """Connections that were open do not outlive it; the one after is as ever."""
    before = await box.call()
    await box.arm(kind="tls_failure", count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await box.call()
    after = await box.call()

    assert (200, 200, 2) == (before.status, after.status, len(box.receiver.heard))


async def test_a_502_is_a_fault_of_the_platform(box):
    """In the form in which it says that a Receiver hung up."""
    await box.arm(kind="status", status=502, count=1)
    reply = await box.call()

    assert (502, "application/json") == (reply.status, reply.headers["Content-Type"])
    assert reply.json["fault"]["detail"]["errorcode"].endswith("UnexpectedEOFAtTarget")


async def test_a_token_outage_is_a_page(box):
    """Something in front of the token endpoint answers for it."""
    await box.arm(kind="token_outage", count=1)
    struck, after = await box.ask_token(), await box.ask_token()

    assert (503, 200) == (struck.status, after.status)
    assert struck.headers["Content-Type"].startswith("text/html")


async def test_a_token_outage_may_be_silent(box):
    """The connection is closed without an answer."""
    await box.arm(kind="token_outage", mode="drop", count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await box.ask_token()
    (call,) = await box.calls()

    assert (None, "token_outage") == (call["answered_status"], call["fault"])


async def test_the_token_endpoint_may_not_know_a_client(box):
    """As if the application were not approved."""
    await box.arm(kind="token_unauthorised", count=1)
    reply = await box.ask_token()

    assert (401, "invalid_request") == (reply.status, reply.json["error"])


async def test_the_token_endpoint_may_ask_to_wait(box):
    """It says until when, in milliseconds since the epoch, and in a form of its own."""
    await box.arm(kind="token_rate_limited", seconds=20, count=1)
    reply = await box.ask_token()
    until = int(reply.json["ratelimiting_expiry_time_ms"]) / 1000

    assert (429, False) == (reply.status, "error" in reply.json)
    assert 20 == round(until - box.clock.now().timestamp())


async def test_revoked_tokens_are_unknown(box):
    """All of them, from now on; a new one is granted as before."""
    before = await box.call()
    revoked = await box.admin("POST", "/tokens/revoke")
    after = await box.call()
    box.tokens.clear()
    renewed = await box.call()

    assert {"revoked": 1} == revoked.json
    assert [200, 401, 200] == [before.status, after.status, renewed.status]


async def test_a_count_runs_out(box):
    """For the next two calls, and not for the third."""
    await box.arm(kind="status", status=503, count=2)

    assert [503, 503, 200] == [(await box.call()).status for _ in range(3)]


async def test_without_a_count_it_stays(box):
    """Until it is taken away."""
    await box.arm(kind="status", status=503)
    struck = [(await box.call()).status for _ in range(3)]
    await box.admin("DELETE", "/faults")

    assert ([503, 503, 503], 200) == (struck, (await box.call()).status)


async def test_a_target_spares_the_others(box):
    """A fault for one service does not touch another."""
    await box.arm(kind="status", status=503, target="2000000999")

    assert 200 == (await box.call()).status


async def test_a_method_spares_the_others(box):
    """What a Sender reads before it sends does not use up what is meant for the message."""
    await box.arm(kind="status", status=503, method="POST", count=1)
    read, sent = await box.call("/metadata", "GET"), await box.call()

    assert (200, 503) == (read.status, sent.status)


async def test_a_target_is_struck(box):
    """The value of the service is what a fault is armed for."""
    await box.arm(kind="status", status=503, target=SERVICE)

    assert 503 == (await box.call()).status


async def test_a_probability_strikes_the_same_calls_again(box):
    """Armed for half of the calls, some are struck and some are not, as the seed has it."""
    expected = random.Random()
    expected.setstate(box.rng.getstate())
    await box.arm(kind="status", status=503, probability=0.5)
    statuses = [(await box.call()).status for _ in range(20)]

    assert [503 if expected.random() < 0.5 else 200 for _ in range(20)] == statuses
    assert {200, 503} == set(statuses)


async def test_the_bodies_of_faults_are_not_the_receivers(box):
    """A fault after the answer keeps nothing of it."""
    box.receiver.answers.append(saying(200, b"secret", FHIR, X_Own="secret"))
    await box.arm(kind="status", status=502, after=True, count=1)
    reply = await box.call()

    assert b"secret" not in reply.body
    assert "X-Own" not in reply.headers


def test_a_probability_strikes_about_so_often():
    """The same seed strikes the same calls."""
    faults = Faults(random.Random(1))
    faults.arm({"kind": "drop_before", "probability": 0.25})
    struck = sum(faults.strikes(FaultKind.DROP_BEFORE) is not None for _ in range(1000))

    assert 200 < struck < 300


def test_the_oldest_fault_strikes_first():
    """Two faults of a kind are used up in the order in which they were armed."""
    faults = Faults(random.Random(1))
    for status in (503, 502):
        faults.arm({"kind": "status", "status": status, "count": 1})
    struck = [faults.strikes(FaultKind.STATUS) for _ in range(3)]

    assert [503, 502, None] == [fault and fault.status for fault in struck]


@pytest.mark.parametrize(
    ("described", "named"),
    [
        ([], "JSON object"),
        ({}, "kind"),
        ({"kind": "flood"}, "kind must be one of delay"),
        ({"kind": ["delay"]}, "kind has the wrong type"),
        ({"kind": "no_ids", "times": 1}, "'times'"),
        ({"kind": "no_ids", "count": "1"}, "count has the wrong type"),
        ({"kind": "no_ids", "count": True}, "count has the wrong type"),
        ({"kind": "no_ids", "count": 0}, "count is 1 or more"),
        ({"kind": "no_ids", "probability": 2}, "probability is between"),
        ({"kind": "no_ids", "status": 503}, "no_ids does not use status"),
        ({"kind": "delay", "count": 1}, "delay needs seconds"),
        ({"kind": "delay", "seconds": -1}, "seconds is between"),
        ({"kind": "status", "count": 1}, "status needs status"),
        ({"kind": "status", "status": 404}, "status must be one of 401"),
        ({"kind": "page", "count": 1}, "page needs status"),
        ({"kind": "tls_failure", "target": "1"}, "tls_failure does not use target"),
        ({"kind": "token_outage", "target": "1"}, "token_outage does not use target"),
        ({"kind": "no_ids", "method": "POKE"}, "method must be one of GET, POST"),
        ({"kind": "token_outage", "mode": "slow"}, "mode must be one of html, drop"),
    ],
)
def test_a_wrong_description_is_named(described, named):
    """Who armed nothing, or something else than he meant, hears so at once."""
    faults = Faults(random.Random(1))
    with pytest.raises(FaultProblem) as raised:
        faults.arm(described)

    assert named in str(raised.value)
    assert [] == faults.armed()
