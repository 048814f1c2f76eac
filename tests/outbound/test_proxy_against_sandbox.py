"""One POST through the strict proxy of the sandbox: what it says in life, and how we judge it."""

import pytest
from national_side import CORRELATION_ID, FHIR, REQUEST_ID, Clock, a_claim
from sandbox.around import point, talking, target

from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.egress import open_session
from bars_gateway.outbound.proxy import Proxy
from bars_gateway.standard.verdict import judge
from bars_gateway.tls.contexts import client_context

ECHO = (f"x-request-ID: {REQUEST_ID.upper()}", f"X-CORRELATION-id: {CORRELATION_ID}")
OUTCOME = b'{"resourceType": "OperationOutcome", "issue": [%s]}'
NUMBER = OUTCOME % b'{"severity": "error", "code": 5, "details": {"coding": [{"code": 7}]}}'
NO_STORE = OUTCOME % b'{"severity": "error", "code": "no-store"}'


def says(status, body=b"", *headers):
    """Return an answer of a Receiver, on the wire."""
    head = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


TAKEN = says(200, b"{}", f"Content-Type: {FHIR}", *ECHO)

# What is armed at the proxy → our verdict, and the row that says so.
FAULTS = {
    "401": ({"kind": "status", "status": 401}, "unauthorized", "token-refused"),
    "408": ({"kind": "status", "status": 408}, "retry", "timeout"),
    "429": ({"kind": "status", "status": 429}, "retry", "too-many-requests"),
    "500": ({"kind": "status", "status": 500}, "retry_limited", "server-error"),
    "502": ({"kind": "status", "status": 502}, "retry", "intermediary"),
    "503": ({"kind": "status", "status": 503}, "retry", "unavailable"),
    "504": ({"kind": "status", "status": 504}, "retry", "timeout"),
    "page-401": ({"kind": "page", "status": 401}, "retry", "intermediary"),
    "page-502": ({"kind": "page", "status": 502}, "retry", "intermediary"),
    "page-504": ({"kind": "page", "status": 504}, "retry", "intermediary"),
    "no-ids": ({"kind": "no_ids"}, "retry", "ok-without-our-ids"),
    "wrong-ids": ({"kind": "wrong_ids"}, "retry", "ok-without-our-ids"),
    "dropped": ({"kind": "drop_after"}, "retry", "silence"),
    "tls": ({"kind": "tls_failure"}, "retry", "silence"),
}
# What a Receiver says → the same; the proxy may have put its own words in place.
RECEIVERS = {
    "other-letter-case": (TAKEN, "acknowledged", "acknowledged"),
    "no-media-type": (says(200, b"{}", *ECHO), "acknowledged", "acknowledged"),
    "403": (says(403, b"", *ECHO), "refused", "refused"),
    "503": (says(503, b"<html>", *ECHO), "retry", "unavailable"),
    "504": (says(504, b"<html>", *ECHO), "retry", "timeout"),
    "500-page": (says(500, b"<html>", *ECHO), "retry_limited", "server-error"),
    "500-no-store": (says(500, NO_STORE, *ECHO), "retry_limited", "server-error"),
    "500-numbers": (says(500, NUMBER, *ECHO), "retry_limited", "server-error"),
    "500-no-issue": (says(500, OUTCOME % b"", *ECHO), "retry_limited", "server-error"),
    "hung-up": (b"", "retry", "intermediary"),
}
# What is wrong with our own request → the same.
REQUESTS = {
    "unknown-service": ({"NHSD-Target-Identifier": target("1")}, "refused", "refused"),
    "unknown-system": (
        {"NHSD-Target-Identifier": target(system="x")},
        "retry_limited",
        "server-error",
    ),
    "no-base64": ({"NHSD-Target-Identifier": "YWJ"}, "refused", "refused"),
}


@pytest.fixture
async def judged(box):
    """Return what posts once, with a Receiver that says *said*, and judges what came back."""
    trusted = client_context(box.sandbox.ca_file)
    async with open_session(trusted, connections=4, connect_seconds=5) as session:
        budgets = {"trust": Budget(100_000, monotonic=Clock().monotonic)}
        proxy = Proxy(
            session,
            url=box.sandbox.proxy_url,
            budgets=budgets,
            answer_seconds=30,
            max_answer_bytes=100_000,
        )

        async def post(said=TAKEN, **headers):
            sent = {"NHSD-Target-Identifier": target(), **headers}
            async with talking(said, box.tls_of_receiver()) as port:
                await point(box, port)
                answer = await proxy.post(a_claim(**sent), await box.token())
            found = judge(answer, request_id=REQUEST_ID, correlation_id=CORRELATION_ID)
            return found.verdict, found.row

        yield post


@pytest.mark.parametrize(
    ("fault", "verdict", "row"), [pytest.param(*case, id=name) for name, case in FAULTS.items()]
)
async def test_what_the_proxy_says_is_judged(box, judged, fault, verdict, row):
    """In its own words, in the platform's, in those of a device in between, or in none."""
    await box.token()
    await box.arm(**fault, count=1)

    assert (verdict, row) == await judged()


@pytest.mark.parametrize(
    ("said", "verdict", "row"), [pytest.param(*case, id=name) for name, case in RECEIVERS.items()]
)
async def test_what_a_receiver_says_is_judged_as_the_proxy_hands_it_on(judged, said, verdict, row):
    """Passed on as it came, or with the proxy's words in its place."""
    assert (verdict, row) == await judged(said)


@pytest.mark.parametrize(
    ("headers", "verdict", "row"),
    [pytest.param(*case, id=name) for name, case in REQUESTS.items()],
)
async def test_what_the_proxy_refuses_is_judged(judged, headers, verdict, row):
    """The look-up of a service is the proxy's; an unknown system looks as if it would pass."""
    assert (verdict, row) == await judged(**headers)
