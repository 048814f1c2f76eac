"""The egress proxy of our own network: what it answers, told as its own, and what waits for it."""

import asyncio
import resource
import socket
import ssl
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
import trustme
from egress_side import egress_side
from national_side import NOW, Clock, a_claim, acknowledging, after, hanging_up, served
from sandbox.around import loaded

from bars_gateway.errors import EgressBlocked, IdentityError, TokenUnavailable
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.egress import Egress, EgressProxy, egress_proxy_of, open_session
from bars_gateway.outbound.proxy import Proxy
from bars_gateway.outbound.token import Credentials, SigningKey, TokenSource
from bars_gateway.tls.contexts import client_context


def asking(*schemes):
    """Return the 407 of an egress proxy that offers these schemes, each in a header of its own."""
    return "\r\nProxy-Authenticate: ".join(["407 Proxy Authentication Required", *schemes])


FAR = "https://int.api.example/booking-and-referral/FHIR/R4"
ANSWERS = [
    ("407 Proxy Authentication Required", "answered 407", "outbound.egress_user"),
    (
        asking("Negotiate", "NTLM"),
        "answered 407: it asks for a login by Negotiate or NTLM, and",
        "only basic",
    ),
    (
        asking('Digest realm="Basic, or so", nonce="x"'),
        "answered 407: it asks for a login by Digest, and",
        "only basic",
    ),
    (asking("Digest realm=basic"), "answered 407: it asks for a login by Digest", "only basic"),
    (asking(r'Digest realm="a\"basic\""'), "answered 407: it asks for a login by Digest", "only"),
    (asking("NTLM TlRMTVNTUAAC+basic=="), "answered 407: it asks for a login by NTLM", "only"),
    (asking("Digest realm = basic"), "answered 407: it asks for a login by Digest", "only basic"),
    (asking("Digest realm='or basic'"), "answered 407: it asks for a login by Digest", "only"),
    (asking("NTLM TlRM/basic/0"), "answered 407: it asks for a login by NTLM", "only basic"),
    (asking("X-Basic realm=x"), "answered 407: it asks for a login by another scheme", "only"),
    (asking('Digest realm="x" ,\tBasic\trealm="y"'), "answered 407: it asks for a user", "egress"),
    (asking("Digest realm=x,Basic realm=y"), "answered 407: it asks for a user", "egress_user"),
    (asking("Bearer"), "answered 407: it asks for a login by another scheme", "only"),
    (asking("NTLM", 'basic realm="x"'), "answered 407: it asks for a user", "egress_user"),
    (asking("Negotiate, Basic"), "answered 407: it asks for a user", "egress_user"),
    (
        "511 Network Authentication Required",
        "answered 511: it wants somebody to log in",
        "No gateway can fill that in",
    ),
    ("403 Forbidden", "answered 403: it does not let this machine out", "allowed there"),
    ("302 Found", "answered 302: it wants somebody to log in", "No gateway can fill that in"),
    ("405 Method Not Allowed", "answered 405: it passes no TLS on", "takes CONNECT"),
    ("502 Bad Gateway", "answered 502: it is there, and cannot reach", "Ask whoever runs it"),
    ("418 I'm a teapot", "answered 418: it refuses", "Ask whoever runs it"),
]

PAGE = b"<html><body>Log in to the guest network</body></html>"
OK = b"HTTP/1.1 200 OK\r\n"
CLOSES = "closes the connection without an answer"
NO_HTTP = "answers something that is not HTTP"
NO_TLS = "says yes to CONNECT, and passes no TLS on"
HANGS = "leads to no connection in time"
ODD = {  # what it writes after CONNECT, whether it stays there, and what is told of it
    "closes": (b"", False, CLOSES),
    "half an answer": (b"HTTP/1.1 200 Conn", False, CLOSES),
    "half of the headers": (OK + b"Via: 1", False, CLOSES),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False, NO_HTTP),
    "bytes": (bytes(range(256)), False, NO_HTTP),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", False, NO_HTTP),
    "a bare page": (PAGE + b"\r\n\r\n", False, NO_HTTP),
    "a huge header": (OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n", False, NO_HTTP),
    "yes, and closes": (OK + b"\r\n", False, NO_TLS),
    "a page with yes": (
        OK + b"Content-Type: text/html\r\nContent-Length: 53\r\n\r\n" + PAGE,
        False,
        NO_TLS,
    ),
    "yes without end, and a page": (OK + b"\r\n" + PAGE, False, NO_TLS),
    "nothing": (b"", True, HANGS),
    "half an answer, and no more": (b"HTTP/1.1 200 Conn", True, HANGS),
    "yes, and no more": (OK + b"\r\n", True, HANGS),
}


def source_through(session, egress, box, key=None, seconds=30.0):
    """Return a token source that asks the sandbox."""
    return TokenSource(
        session,
        Credentials(token_url=box.sandbox.token_url, api_key=box.trust.api_key),
        [SigningKey(key_id=box.trust.key_id, key=key or loaded(box.trust.private_key_file))],
        Budget(100_000, monotonic=box.clock.monotonic),
        now=box.clock.now,
        monotonic=box.clock.monotonic,
        new_id=lambda: str(uuid4()),
        timeout_seconds=seconds,
        egress=egress,
    )


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def far_trusted(authority):
    """Return what a session trusts that knows the authority of the far side."""
    context = client_context(None)
    authority.configure_trust(context)
    return context


@pytest.fixture
async def far(authority):
    """Serve the far side over TLS, as it is behind an egress proxy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with served(acknowledging, ssl_context=context) as service:
        yield service


@pytest.fixture
def silent_address():
    """Return a host and port that takes no more connections, and refuses none."""
    with ExitStack() as opened:
        full = opened.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield f"127.0.0.1:{full.getsockname()[1]}"


def way_out(url, trusted=None, **login):
    return open_session(
        trusted or client_context(None),
        connections=4,
        connect_seconds=0.5,
        egress=EgressProxy(url=url, **login),
    )


def watched(url):
    return Egress(EgressProxy(url=url), now=lambda: NOW)


def proxy_through(session, egress, *, url=FAR, answer_seconds=10):
    return Proxy(
        session,
        url=url,
        budgets={"trust": Budget(1000, monotonic=time.monotonic)},
        answer_seconds=answer_seconds,
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
    assert f"the egress proxy {where} (outbound.egress_proxy) {reason}" in str(caught.value)
    assert cure in caught.value.advice
    assert NOW == egress.since
    assert ["int.api.example:443"] == side.asked


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1", r"127.0.0.1:1 \(outbound.egress_proxy\) does not answer"),
        ("http://no-such-proxy.invalid:3128", "has a name that leads nowhere"),
    ],
)
async def test_an_egress_proxy_that_is_not_there_is_named(url, reason):
    """A wrong host or port is a slip in our settings, and no outage of the national services."""
    async with way_out(url) as session:
        with pytest.raises(EgressBlocked, match=reason):
            await proxy_through(session, watched(url)).post(a_claim(), "t")


@pytest.mark.parametrize(("raw", "hangs", "reason"), ODD.values(), ids=ODD)
async def test_an_egress_proxy_that_is_none_is_named(raw, hangs, reason):
    """What listens there, and leads nowhere, is told with the setting that names it."""
    async with egress_side(raw=raw, hangs=hangs) as side, way_out(side.url) as session:
        with pytest.raises(EgressBlocked) as caught:
            await proxy_through(session, watched(side.url), answer_seconds=1).post(a_claim(), "t")

    where = side.url.removeprefix("http://")
    assert f"the egress proxy {where} (outbound.egress_proxy) {reason}" in str(caught.value)
    assert caught.value.advice


@pytest.mark.parametrize("odd", ["closes", "another protocol", "a page with yes", "nothing"])
async def test_a_token_that_comes_through_no_egress_proxy_says_so(box, odd):
    """As for a message: the same words, and nothing of a token service that is down."""
    raw, hangs, reason = ODD[odd]
    async with egress_side(raw=raw, hangs=hangs) as side, way_out(side.url) as session:
        source = source_through(session, watched(side.url), box, seconds=1)
        with pytest.raises(EgressBlocked, match=reason):
            await source.token()


async def test_a_firewall_before_the_egress_proxy_is_told_as_that(silent_address):
    """No answer to our first packet: the setting is named, and no Receiver has kept silent."""
    url = f"http://{silent_address}"
    async with way_out(url) as session:
        with pytest.raises(EgressBlocked, match=HANGS):
            await proxy_through(session, watched(url)).post(a_claim(), "t")


async def test_an_egress_proxy_that_opens_tls_is_named(far):
    """Somebody shows a certificate that we do not trust: it may be the one in between."""
    async with egress_side() as side, way_out(side.url) as session:
        proxy = proxy_through(session, watched(side.url), url=far.url)
        with pytest.raises(EgressBlocked, match="leads to a certificate that is not trusted") as e:
            await proxy.post(a_claim(), "t")

    assert "outbound.ca_file" in e.value.advice


@pytest.mark.parametrize("answer", [hanging_up, after(asyncio.Event(), hanging_up)])
async def test_what_has_got_through_is_never_told_as_blocked(far, far_trusted, answer):
    """From there on the Receiver may have it: no answer is silence, and was an attempt."""
    far.answers.append(answer)
    async with egress_side() as side, way_out(side.url, far_trusted) as session:
        egress = watched(side.url)
        proxy = proxy_through(session, egress, url=far.url, answer_seconds=1)
        came = await proxy.post(a_claim(), "t")

    assert (None, None, 1) == (came.status, egress.trouble, len(far.heard))


async def test_a_warm_connection_that_breaks_is_never_told_as_blocked(far, far_trusted):
    """It was used before: the request may have gone out on it."""
    async with egress_side() as side, way_out(side.url, far_trusted) as session:
        egress = watched(side.url)
        proxy = proxy_through(session, egress, url=far.url)
        first = await proxy.post(a_claim(), "t")
        far.answers.append(hanging_up)
        second = await proxy.post(a_claim(), "t")

    assert (200, None, None) == (first.status, second.status, egress.trouble)
    assert 1 == len(side.asked)


@contextmanager
def without_descriptors():
    """Let this process have no file descriptor left."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as held:
        most = max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        with suppress(OSError):
            while True:
                held.enter_context(Path("/dev/null").open("rb"))
        yield


@pytest.mark.parametrize("way", [None, EgressProxy(url="http://127.0.0.1:9")])
async def test_a_machine_without_descriptors_has_tried_nothing(far, far_trusted, way):
    """It is our own trouble, with or without an egress proxy, and no Receiver has kept silent."""
    egress = Egress(way, now=lambda: NOW)
    async with open_session(far_trusted, connections=1, connect_seconds=5, egress=way) as session:
        proxy = proxy_through(session, egress, url=far.url)
        with without_descriptors(), pytest.raises(EgressBlocked, match="no file descriptor") as e:
            await proxy.post(a_claim(), "t")

    assert "LimitNOFILE" in e.value.advice
    assert [] == far.heard


async def test_a_name_that_leads_nowhere_has_tried_nothing():
    """No Receiver has kept silent: what is sent later is not *unconfirmed* for our own DNS."""
    egress = Egress(None, now=lambda: NOW)
    async with open_session(client_context(None), connections=4, connect_seconds=5) as session:
        proxy = proxy_through(session, egress, url="http://proxy.invalid")
        with pytest.raises(EgressBlocked, match=r"the name proxy\.invalid leads nowhere") as caught:
            await proxy.post(a_claim(), "t")

    assert "resolvectl" in caught.value.advice
    assert egress.trouble is caught.value


async def test_a_certificate_that_is_not_trusted_has_been_told_nothing(far):
    """Our own list of authorities may lack theirs: neither silence of theirs, nor an attempt."""
    egress = Egress(None, now=lambda: NOW)
    async with open_session(client_context(None), connections=1, connect_seconds=5) as session:
        proxy = proxy_through(session, egress, url=far.url)
        with pytest.raises(EgressBlocked, match=r"the certificate of \S+ is not trusted: ") as e:
            await proxy.post(a_claim(), "t")

    assert "outbound.ca_file" in e.value.advice
    assert [] == far.heard


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
    (tmp_path / "password").write_text("correct horse: ü\r\n", "utf-8-sig")

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
