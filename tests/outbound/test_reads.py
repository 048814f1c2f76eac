"""One request that is no message: what goes out, and how whatever comes back is handed on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from egress_side import egress_side
from epr_side import eventually
from national_side import (
    FHIR,
    NOW,
    Clock,
    Service,
    a_claim,
    acknowledging,
    after,
    hanging_up,
    outcome,
    saying,
    served,
    wired,
)
from structlog.testing import capture_logs

from bars_gateway.config import Settings, load
from bars_gateway.daemon.parts import outbound_parts
from bars_gateway.errors import TokenServiceDown
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.cache import Cache
from bars_gateway.outbound.egress import Egress, EgressProxy, open_session
from bars_gateway.outbound.proxy import (
    NO_ANSWER,
    NO_TOKEN,
    NOT_LET_OUT,
    TOO_LATE,
    ProxyReads,
    ReadLimits,
)
from bars_gateway.standard.headers import TargetIdentifier
from bars_gateway.standard.reads import BarsAnswer, BarsRequest
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store
from bars_gateway.tls.contexts import client_context

BODY = b'{"resourceType": "Bundle", "total": 1.10}\r\n'


class Handed:
    """Tokens, handed out in turn; none left is a token service that is down."""

    closed_until: datetime | None = None

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = list(tokens)

    async def token(self) -> str:
        if not self._tokens:
            raise TokenServiceDown("none")
        return self._tokens[0]

    def discard(self, token: str | None) -> None:
        self._tokens.remove(str(token))


@pytest.fixture
async def proxy() -> AsyncIterator[Service]:
    async with served(saying(200, BODY, FHIR)) as service:
        yield service


def reads(
    session: aiohttp.ClientSession,
    url: str,
    folder: Path,
    tokens: Sequence[str] = ("t",),
    *,
    seconds: float = 5.0,
    egress: Egress | None = None,
) -> ProxyReads:
    return ProxyReads(
        session,
        {"trust": Handed(tokens)},
        {"trust": Budget(100_000, monotonic=Clock().monotonic)},
        url=f"{url}/base",
        cache=Cache(folder / "cache", timedelta(hours=12)),
        limits=ReadLimits(seconds=seconds, max_bytes=1000),
        now=lambda: NOW,
        egress=egress,
    )


def slots(query: str = "start=ge2026-03-02T09:00:00%2B00:00&_include=Slot:schedule") -> BarsRequest:
    return BarsRequest(
        provider="trust",
        method="GET",
        resource="Slot",
        resource_id=None,
        query=query,
        target=TargetIdentifier.parse("s|1"),
        headers={"Accept": "x", "X-Request-Id": "1"},
    )


async def test_the_query_goes_out_as_it_was_written(
    session: aiohttp.ClientSession, proxy: Service, tmp_path: Path
) -> None:
    """To decode it and to encode it again would change what was asked."""
    await reads(session, proxy.url, tmp_path).ask(slots())
    (heard,) = proxy.heard

    assert f"/base{slots().path}" == heard.target
    assert ("Bearer t", "x") == (heard.headers["Authorization"], heard.headers["Accept"])


async def test_the_log_says_of_which_conversation_a_read_is(
    session: aiohttp.ClientSession, proxy: Service, tmp_path: Path
) -> None:
    """It bears an id of its own, so that whoever follows one message finds it by the other."""
    asked = replace(slots(), headers={"X-Request-Id": "1", "X-Correlation-Id": "2"})
    with capture_logs() as logs:
        await reads(session, proxy.url, tmp_path).ask(asked)

    (line,) = [each for each in logs if each["event"] == "outbound.read_ended"]
    assert ("1", "2") == (line["request_id"], line["correlation_id"])


@pytest.mark.parametrize("status", [200, 307, 404, 422, 503])
async def test_an_answer_is_handed_on_as_it_came(
    session: aiohttp.ClientSession, proxy: Service, tmp_path: Path, status: int
) -> None:
    """Whatever its status; a redirect is an answer, and is not followed."""
    proxy.answers.append(saying(status, BODY, FHIR, Location="http://127.0.0.1:9/"))
    answer = await reads(session, proxy.url, tmp_path).ask(slots())

    assert isinstance(answer, BarsAnswer)
    assert (status, BODY) == (answer.http_status, answer.body)
    assert 1 == len(proxy.heard)


@pytest.mark.parametrize("odd", [b"\x01", b"\x7f", b"\xff", "é".encode()])
async def test_a_header_that_cannot_be_written_again_is_left_out(
    session: aiohttp.ClientSession, tmp_path: Path, odd: bytes
) -> None:
    """The body is handed on, with what can be said of it."""
    said = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json" + odd + b"\r\n"
        b"ETag: " + odd + b"\r\nLocation: /Slot/1\r\nContent-Length: 2\r\n\r\n{}"
    )
    async with wired(said) as url:
        answer = await reads(session, url, tmp_path).ask(slots())

    assert isinstance(answer, BarsAnswer)
    assert (b"{}", "application/octet-stream") == (answer.body, answer.media_type)
    assert {"Location": "/Slot/1"} == answer.headers


async def test_an_id_that_a_hop_adds_does_not_hide_ours(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Or the Receiver's own answer would be said to be nobody's."""
    said = b"HTTP/1.1 200 OK\r\nX-Request-Id: abc\r\nX-Request-Id: 1\r\nContent-Length: 2\r\n\r\n{}"
    async with wired(said) as url:
        answer = await reads(session, url, tmp_path).ask(slots())

    assert isinstance(answer, BarsAnswer)
    assert {"X-Request-Id": "1"} == answer.headers


async def test_a_refused_token_is_replaced_once(
    session: aiohttp.ClientSession, proxy: Service, tmp_path: Path
) -> None:
    """As for a message."""
    proxy.answers.append(saying(401))
    answer = await reads(session, proxy.url, tmp_path, ["old", "new"]).ask(slots())

    assert 200 == answer.http_status
    assert ["Bearer old", "Bearer new"] == [one.headers["Authorization"] for one in proxy.heard]


async def test_a_receiver_that_lets_us_read_nothing_costs_no_token(
    session: aiohttp.ClientSession, proxy: Service, tmp_path: Path
) -> None:
    """It never sees ours, which is as good as before: for messages, too."""
    proxy.answers.append(saying(401, outcome("REC_UNAUTHORIZED", "security"), FHIR))
    answer = await reads(session, proxy.url, tmp_path, ["good", "another"]).ask(slots())

    assert 401 == answer.http_status
    assert ["Bearer good"] == [one.headers["Authorization"] for one in proxy.heard]


async def test_receivers_that_hang_over_reads_keep_no_message_waiting(tmp_path: Path) -> None:
    """However many are asked, and whatever connections they keep: it leaves at once."""
    never = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (acknowledging if request.method == "POST" else after(never, saying(200)))(
            request
        )

    async with served(answer) as service, AsyncExitStack() as stack:
        settings = settings_at(service.url, tmp_path)
        database = await stack.enter_async_context(open_database(settings.database_path))
        store = Store(database, node="here")
        _, dispatcher, asking, _ = await outbound_parts(settings, store, stack, lambda: NOW)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        waiting = [group.create_task(asking.ask(slots(), 60)) for _ in range(200)]
        await eventually(lambda: len(service.heard) >= 64)
        async with asyncio.timeout(10):
            found = await dispatcher._proxy.post(a_claim(), None)
        never.set()
        for each in waiting:
            each.cancel()

    assert 200 == found.status


def settings_at(url: str, folder: Path) -> Settings:
    """Return the settings of a gateway that sends one message at a time, to *url*."""
    file = folder / "bars-gateway.toml"
    file.write_text(
        f"""
environment = "local"
[providers.trust]
ods_code = "RAE"
name = "Example NHS Trust"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000099999"]
key_id = "Trust-local-1"
api_key = "key"
private_key_file = "{folder}/key.pem"
spool_dir = "{folder}/spool"
[inbound]
enabled = false
[store]
path = "{folder}/gateway.db"
[outbound]
token_required = false
token_url = "{url}"
proxy_url = "{url}"
requests_per_minute = 100000
max_in_flight = 1
max_in_flight_per_receiver = 1
""",
        "utf-8",
    )
    return load(file, {})


async def test_no_token_is_said(
    session: aiohttp.ClientSession, proxy: Service, tmp_path: Path
) -> None:
    """Nothing leaves without one."""
    answer = await reads(session, proxy.url, tmp_path, []).ask(slots())

    assert (NO_TOKEN, []) == (answer, proxy.heard)


async def test_what_does_not_get_out_of_our_own_network_says_so(tmp_path: Path) -> None:
    """The far side has given no bad answer: the one in between closed without a word."""
    async with egress_side(raw=b"") as side:
        egress = Egress(EgressProxy(url=side.url), now=lambda: NOW)
        context = client_context(None)
        async with open_session(
            context, connections=1, connect_seconds=5, egress=egress.way
        ) as way:
            answer = await reads(way, "https://far.example", tmp_path, egress=egress).ask(slots())

    assert NOT_LET_OUT == answer
    assert "closes the connection" in str(egress.trouble)


async def test_a_read_without_patience_says_nothing_of_the_egress_proxy(tmp_path: Path) -> None:
    """Whoever asked waits for half a second: that it takes longer does not close the way out."""
    async with egress_side(raw=b"", hangs=True) as side:
        egress = Egress(EgressProxy(url=side.url), now=lambda: NOW)
        context = client_context(None)
        async with open_session(
            context, connections=1, connect_seconds=5, egress=egress.way
        ) as way:
            asking = reads(way, "https://far.example", tmp_path, egress=egress)
            answer = await asking.ask(slots(), 0.5)

    assert (TOO_LATE, None) == (answer, egress.trouble)


async def test_what_is_too_long_is_no_answer(
    session: aiohttp.ClientSession, proxy: Service, tmp_path: Path
) -> None:
    """Nobody's memory is filled by others."""
    proxy.answers.append(saying(200, b"x" * 1001, FHIR))

    assert NO_ANSWER == await reads(session, proxy.url, tmp_path).ask(slots())


async def test_a_broken_connection_is_no_answer(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Nor is nobody at all."""
    async with served(hanging_up) as silent:
        assert NO_ANSWER == await reads(session, silent.url, tmp_path).ask(slots())


async def test_a_connection_that_breaks_when_it_is_warm_repeats_nothing(
    session: aiohttp.ClientSession, proxy: Service, tmp_path: Path
) -> None:
    """What goes out twice counts twice, so the library may not do it behind our back."""
    asking = reads(session, proxy.url, tmp_path)
    await asking.ask(slots())
    proxy.answers.append(hanging_up)

    assert NO_ANSWER == await asking.ask(slots())
    assert 2 == len(proxy.heard)


async def test_an_answer_that_takes_too_long_is_not_waited_for(
    session: aiohttp.ClientSession, proxy: Service, tmp_path: Path
) -> None:
    """Whoever asked is told so."""
    never = asyncio.Event()
    proxy.answers.append(after(never, saying(200)))
    answer = await reads(session, proxy.url, tmp_path, seconds=0.1).ask(slots())
    never.set()

    assert TOO_LATE == answer
