"""The egress proxy of our own network: what it answers, told as its own, and what waits for it."""

import time
from uuid import uuid4

import pytest
from egress_side import egress_side
from national_side import NOW, Clock, a_claim
from sandbox.around import loaded

from bars_gateway.errors import EgressBlocked, IdentityError, TokenUnavailable
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.egress import Egress, EgressProxy, egress_proxy_of
from bars_gateway.outbound.proxy import Proxy, open_session
from bars_gateway.outbound.signing_key import SigningKey
from bars_gateway.outbound.token import TokenSource
from bars_gateway.outbound.token_request import Credentials
from bars_gateway.tls.contexts import client_context

FAR = "https://int.api.example/booking-and-referral/FHIR/R4"
ANSWERS = [
    ("407 Proxy Authentication Required", "answered 407", "outbound.egress_user"),
    ("403 Forbidden", "answered 403: it does not let this machine out", "allowed there"),
    ("302 Found", "answered 302: it wants somebody to log in", "No gateway can fill that in"),
    ("405 Method Not Allowed", "answered 405: it passes no TLS on", "takes CONNECT"),
    ("502 Bad Gateway", "answered 502: it is there, and cannot reach", "Ask whoever runs it"),
    ("418 I'm a teapot", "answered 418: it refuses", "Ask whoever runs it"),
]


def source_through(session, egress, box, key=None):
    """Return a token source that asks the sandbox."""
    return TokenSource(
        session,
        Credentials(token_url=box.sandbox.token_url, api_key=box.trust.api_key),
        [SigningKey(key_id=box.trust.key_id, key=key or loaded(box.trust.private_key_file))],
        Budget(100_000, monotonic=box.clock.monotonic),
        now=box.clock.now,
        monotonic=box.clock.monotonic,
        new_id=lambda: str(uuid4()),
        egress=egress,
    )


def way_out(url, **login):
    return open_session(
        client_context(None),
        connections=4,
        connect_seconds=5,
        egress=EgressProxy(url=url, **login),
    )


def watched(url):
    return Egress(EgressProxy(url=url), now=lambda: NOW)


def proxy_through(session, egress):
    return Proxy(
        session,
        url=FAR,
        budgets={"trust": Budget(1000, monotonic=time.monotonic)},
        answer_seconds=10,
        max_answer_bytes=10_000,
        egress=egress,
    )


@pytest.mark.parametrize(("says", "reason", "cure"), ANSWERS)
async def test_what_the_egress_proxy_says_is_told_as_its_own(says, reason, cure):
    """Its status is named, with what helps: nobody blames the far side, or a Receiver."""
    async with egress_side(says=says) as side, way_out(side.url) as session:
        egress = watched(side.url)
        with pytest.raises(EgressBlocked) as caught:
            await proxy_through(session, egress).post(a_claim(), "t")

    where = side.url.removeprefix("http://")
    assert f"the egress proxy {where} {reason}" in str(caught.value)
    assert cure in caught.value.advice
    assert NOW == egress.since
    assert ["int.api.example:443"] == side.asked


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:1 does not answer"),
        ("http://no-such-proxy.invalid:3128", "has a name that leads nowhere"),
    ],
)
async def test_an_egress_proxy_that_is_not_there_is_named(url, reason):
    """A wrong host or port is a slip in our settings, and no outage of the national services."""
    async with way_out(url) as session:
        with pytest.raises(EgressBlocked, match=reason):
            await proxy_through(session, watched(url)).post(a_claim(), "t")


async def test_what_is_blocked_waits_for_all_together():
    """One pause for everything, longer each time: a proxy that says no is not asked for each."""
    clock = Clock()
    egress = Egress(EgressProxy(url="http://127.0.0.1:9"), now=clock.now, monotonic=clock.monotonic)
    async with egress_side(says="403 Forbidden") as side, way_out(side.url) as session:
        proxy = proxy_through(session, egress)
        with pytest.raises(EgressBlocked):
            await proxy.post(a_claim(), "t")
        first = proxy.seconds_to_turn("trust")
        clock.advance(6)
        with pytest.raises(EgressBlocked):
            await proxy.post(a_claim(), "t")
        second = proxy.seconds_to_turn("trust")

    assert (5.0, 10.0) == (first, second)


async def test_a_login_is_given_and_never_shown(box, tmp_path):
    """The token comes through; the password is in no text of ours."""
    (tmp_path / "password").write_text("correct horse: ü\n", "utf-8")

    class Ways:
        egress_user = "gateway"
        egress_password_file = tmp_path / "password"
        egress_proxy = None

    async with egress_side(login="gateway:correct horse: ü") as side:
        ways = Ways()
        ways.egress_proxy = side.url
        way = egress_proxy_of(ways)
        egress = Egress(way, now=lambda: NOW)
        async with open_session(
            client_context(box.sandbox.ca_file), connections=1, connect_seconds=5, egress=way
        ) as session:
            token = await source_through(session, egress, box).token()

    assert token
    assert egress.trouble is None
    assert 1 == len(side.asked)
    assert "horse" not in repr(way)


async def test_a_token_that_the_egress_proxy_stops_says_so(box):
    """The page named the token service, and that there was nothing to do at first."""
    async with egress_side(says="403 Forbidden") as side, way_out(side.url) as session:
        source = source_through(session, watched(side.url), box)
        with pytest.raises(TokenUnavailable, match=r"egress proxy .* answered 403"):
            await source.token()

    assert "answered 403" in source.status.reason
    assert "allowed there" in source.status.advice


def test_a_password_that_cannot_be_read_is_said(tmp_path):
    """What it holds is not said."""

    class Ways:
        egress_user = "gateway"
        egress_password_file = tmp_path / "none"
        egress_proxy = "http://proxy.example:3128"

    with pytest.raises(IdentityError, match=r"the egress proxy's password: .*none: No such file"):
        egress_proxy_of(Ways())


async def test_what_comes_back_ends_the_trouble(box):
    """Whoever let nothing out and does so now is told of no more."""
    trusted = client_context(box.sandbox.ca_file)
    async with egress_side(says="403 Forbidden") as side:
        egress = watched(side.url)
        async with open_session(
            trusted, connections=1, connect_seconds=5, egress=egress.way
        ) as session:
            source = source_through(session, egress, box)
            with pytest.raises(TokenUnavailable):
                await source.token()
            blocked = egress.trouble is not None
            side.says = "200 Connection established"
            box.clock.advance(60)
            await source.token()

    assert (True, None, 0.0) == (blocked, egress.trouble, egress.seconds_left)
