"""Who is let in: by address, issuer, name and revocation list."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from inbound_callers import PROXY, Receiver, World, calling, eventually, post, serving
from structlog.testing import capture_logs

from bars_gateway.inbound.connection import (
    Admission,
    CallerJudgement,
    Callers,
    Failure,
    InboundLimits,
)
from bars_gateway.inbound.server import InboundServer
from bars_gateway.tls.certificates import RevocationList, Revocations
from bars_gateway.tls.contexts import Caller, CurrentIdentity, Identity

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
PROXYS = Caller(
    names=frozenset({PROXY}), issuer_name="NHS G2", issuer=b"g2", serial=7, points=frozenset()
)
OTHERS = replace(PROXYS, names=frozenset({"other.example"}))
LISTED = Callers(names=(PROXY,))


def judged(
    caller: Caller, callers: Callers, identity: Identity, *lists: RevocationList
) -> CallerJudgement:
    revocations = Revocations({b"g2": lists} if lists else {})
    current = CurrentIdentity(replace(identity, revocations=revocations))
    return Admission(callers, current, lambda: NOW).judge(caller)


def revoking(
    *serials: int, ends: datetime = NOW + timedelta(days=1), points: str = ""
) -> RevocationList:
    return RevocationList(
        serials=frozenset(serials),
        points=frozenset(points.split()),
        issued_at=NOW - timedelta(days=1),
        next_update=ends,
    )


@pytest.mark.parametrize(
    ("caller", "callers", "expected"),
    [
        (PROXYS, LISTED, CallerJudgement()),
        (OTHERS, LISTED, CallerJudgement(Failure.REFUSED)),
        (PROXYS, replace(LISTED, issuers=frozenset({"NHS G2"})), CallerJudgement()),
        (
            PROXYS,
            replace(LISTED, issuers=frozenset({"NHS G1"})),
            CallerJudgement(Failure.WRONG_ISSUER),
        ),
        (
            OTHERS,
            replace(LISTED, observe_until=NOW + timedelta(seconds=1)),
            CallerJudgement(remark=Failure.REFUSED),
        ),
        (PROXYS, replace(LISTED, observe_until=NOW + timedelta(seconds=1)), CallerJudgement()),
        (OTHERS, replace(LISTED, observe_until=NOW), CallerJudgement(Failure.REFUSED)),
        (
            OTHERS,
            replace(LISTED, issuers=frozenset({"x"}), observe_until=NOW + timedelta(hours=1)),
            CallerJudgement(Failure.WRONG_ISSUER),
        ),
    ],
)
def test_name_and_issuer_decide(
    caller: Caller, callers: Callers, expected: CallerJudgement, identity: Identity
):
    """While observing, an unknown name is let in with a remark; its issuer counts all the same."""
    assert expected == judged(caller, callers, identity)


@pytest.mark.parametrize(
    ("policy", "lists", "expected"),
    [
        ("soft", (), CallerJudgement()),
        ("soft", (revoking(8),), CallerJudgement()),
        ("soft", (revoking(7),), CallerJudgement(Failure.REVOKED)),
        ("soft", (revoking(7, ends=NOW),), CallerJudgement(Failure.REVOKED)),
        ("soft", (revoking(8, ends=NOW),), CallerJudgement(remark=Failure.REVOCATION_UNKNOWN)),
        (
            "soft",
            (revoking(8, points="http://a"),),
            CallerJudgement(remark=Failure.REVOCATION_UNKNOWN),
        ),
        ("hard", (), CallerJudgement(Failure.REVOCATION_UNKNOWN)),
        ("hard", (revoking(8, ends=NOW),), CallerJudgement(Failure.REVOCATION_UNKNOWN)),
        ("hard", (revoking(8),), CallerJudgement()),
        ("hard", (revoking(points="http://a"), revoking(7)), CallerJudgement(Failure.REVOKED)),
    ],
)
def test_a_revocation_list_decides(
    policy: str, lists: tuple[RevocationList, ...], expected: CallerJudgement, identity: Identity
):
    """A list that is late still revokes what it holds; whether it may be late is a setting."""
    callers = replace(LISTED, revocation_is_required=policy == "hard")

    assert expected == judged(PROXYS, callers, identity, *lists)


def test_a_part_of_a_list_covers_the_certificates_that_name_it(identity: Identity):
    """An authority may publish its list in parts; the certificate says in which it would be."""
    caller = replace(PROXYS, points=frozenset({"http://a"}))
    callers = replace(LISTED, revocation_is_required=True)

    assert CallerJudgement() == judged(caller, callers, identity, revoking(8, points="http://a"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.9", True),
        ("::ffff:192.0.2.9", True),
        ("192.0.3.1", False),
        ("2001:db8::5", True),
        ("fe80::1%eth0", False),
    ],
)
def test_an_address_is_on_the_list_in_every_spelling(
    address: str, expected: object, identity: Identity
):
    """D-who-may-call: an IPv4 address may come dressed as IPv6."""
    networks = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    callers = replace(LISTED, addresses=networks)
    admission = Admission(callers, CurrentIdentity(identity), lambda: NOW)

    assert expected == admission.admits_address(address)


async def test_an_address_that_is_not_listed_gets_no_tls(
    world: World, identity: Identity, proxy: ssl.SSLContext
):
    """D-who-may-call: whatever certificate it has, and it is counted."""
    callers = replace(LISTED, addresses=(ip_network("192.0.2.1"),))
    async with serving(Receiver(), identity, callers=callers) as server:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with calling(server.port, proxy):
                pass
        await eventually(lambda: server.failures)

    assert {Failure.ADDRESS: 1} == server.failures


async def test_one_address_does_not_use_up_every_connection(
    identity: Identity, proxy: ssl.SSLContext
):
    """The one above its number is refused; those before it are served."""
    callers = replace(LISTED, connections_per_address=1)
    async with serving(Receiver(), identity, callers=callers) as server:
        async with calling(server.port, proxy) as first:
            with pytest.raises((ConnectionError, ssl.SSLError)):
                async with calling(server.port, proxy):
                    pass
            status = (await first.ask(post())).status
        await eventually(lambda: server.failures)

    assert (200, {Failure.CROWDED: 1}) == (status, server.failures)


async def test_the_name_of_a_caller_that_is_observed_is_told(world: World, identity: Identity):
    """How the proxy's name is learned while connecting."""
    other = world.caller_context(world.certificate_for("new-proxy.example"))
    callers = replace(LISTED, observe_until=datetime.now(UTC) + timedelta(minutes=1))
    with capture_logs() as logs:
        async with (
            serving(Receiver(), identity, callers=callers) as server,
            calling(server.port, other) as caller,
        ):
            answer = await caller.ask(post())

    told = [(e["reason"], e["name"]) for e in logs if e["event"] == "tls.client_let_in"]
    assert (200, [(Failure.REFUSED, "new-proxy.example")]) == (answer.status, told)


async def test_a_connection_ends_when_its_certificate_is_revoked(
    identity: Identity, proxy: ssl.SSLContext
):
    """D-revocation: a new list counts for connections that are open already."""
    receiver = Receiver()
    async with serving(receiver, identity) as server, calling(server.port, proxy) as caller:
        before = await caller.ask(post())
        (connection,) = server.connections
        revoked = RevocationList(
            serials=frozenset({connection.caller.serial}),
            points=frozenset(),
            issued_at=NOW,
            next_update=datetime.now(UTC) + timedelta(days=1),
        )
        lists = Revocations({connection.caller.issuer: (revoked,)})
        server.identity.identity = replace(identity, revocations=lists)
        after = await caller.ask(post())

    assert (200, 401) == (before.status, after.status)


async def test_an_old_connection_ends_after_an_answer(identity: Identity, proxy: ssl.SSLContext):
    """So that a chain that is no longer trusted does not live on in it."""
    async with (
        serving(Receiver(), identity, limits=InboundLimits(connection_seconds=0)) as server,
        calling(server.port, proxy) as caller,
    ):
        answer = await caller.ask(post())

    assert (200, "close") == (answer.status, answer.headers["Connection"])


SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
BALANCED = replace(
    LISTED,
    load_balancers=(ip_network("127.0.0.1"),),
    addresses=(ip_network("192.0.2.9"), ip_network("2001:db8::9")),
)


def announcement(address: str, *, command: int = 0x21, extension: bytes = b"") -> bytes:
    packed = ip_address(address).packed
    rest = packed + packed + b"\x30\x39\x20\xfb" + extension
    family = 0x11 if len(packed) == 4 else 0x21
    return SIGNATURE + bytes([command, family]) + len(rest).to_bytes(2) + rest


LOCAL = SIGNATURE + b"\x20\x00\x00\x00"  # as HAProxy says it of its own checks


@asynccontextmanager
async def through(
    server: InboundServer, said: bytes, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect as a load balancer does: what it says first, and then the caller's TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(said)
        await writer.start_tls(context, server_hostname="localhost")
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(announcement("192.0.2.9"), id="ipv4"),
        pytest.param(announcement("2001:db8::9"), id="ipv6"),
        pytest.param(announcement("192.0.2.9", extension=b"\x04\x00\x01x"), id="extension"),
    ],
)
async def test_a_load_balancer_says_for_whom_it_calls(
    said: bytes, identity: Identity, proxy: ssl.SSLContext
):
    """The address list is about the caller behind it, and the log names that one."""
    receiver = Receiver()
    async with (
        serving(receiver, identity, callers=BALANCED) as server,
        through(server, said, proxy) as (reader, writer),
    ):
        writer.write(post())
        line = await reader.readline()

    assert b"HTTP/1.1 200 OK\r\n" == line
    assert receiver.requests[0].peer in {"192.0.2.9", "2001:db8::9"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(announcement("192.0.2.8"), Failure.ADDRESS, id="not-on-the-list"),
        pytest.param(b"", Failure.NO_ADDRESS, id="nothing"),
        pytest.param(
            b"PROXY TCP4 192.0.2.9 10.0.0.1 1 2\r\n", Failure.OLD_PROXY_PROTOCOL, id="version-1"
        ),
        pytest.param(
            announcement("192.0.2.9", extension=b"x" * 1020), Failure.NO_ADDRESS, id="too-long"
        ),
        pytest.param(SIGNATURE + b"\x21\x31\x00\x00", Failure.NO_ADDRESS, id="unix-sockets"),
    ],
)
async def test_a_load_balancer_that_does_not_say_it_is_refused(
    said: bytes, expected: Failure, identity: Identity, proxy: ssl.SSLContext
):
    """D-who-may-call: mandatory from those that are named, and never longer than it needs to be."""
    limits = InboundLimits(handshake_seconds=0.3)
    async with serving(Receiver(), identity, callers=BALANCED, limits=limits) as server:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with through(server, said, proxy):
                pass
        await eventually(lambda: server.failures)

    assert {expected: 1} == server.failures


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("header", [announcement("192.0.2.9", command=0x20), LOCAL])
async def test_a_load_balancers_own_check_gets_a_handshake_and_no_more(
    header: bytes, version: ssl.TLSVersion, world: World, identity: Identity
):
    """It has no certificate; without a handshake it would mark the gateway down for everybody."""
    context = world.caller_context(None)
    context.minimum_version = context.maximum_version = version
    receiver = Receiver()
    async with serving(receiver, identity, callers=BALANCED) as server:
        async with through(server, header, context) as (reader, writer):
            writer.write(post())
            rest = await reader.read()
        await eventually(lambda: server.failures)

    assert (b"", []) == (rest, receiver.requests)
    assert {Failure.PROBE: 1} == server.failures


def test_a_load_balancers_own_check_is_no_error_under_uvloop(world: World, identity: Identity):
    """The daemon runs on it where it is installed, and it gives its own protocol back."""
    uvloop = pytest.importorskip("uvloop")

    async def checked() -> None:
        async with serving(Receiver(), identity, callers=BALANCED) as server:
            async with through(server, LOCAL, world.caller_context(None)) as (reader, _):
                await reader.read()
            await eventually(lambda: server.failures)

    with capture_logs() as logs, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(checked())

    assert [] == [line for line in logs if line["log_level"] == "error"]


async def test_a_load_balancer_that_stays_silent_is_cut_off(identity: Identity):
    """In the time that a handshake has, and with its own reason."""
    limits = InboundLimits(handshake_seconds=0.05)
    async with serving(Receiver(), identity, callers=BALANCED, limits=limits) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        rest = await reader.read()
        writer.close()

    assert (b"", {Failure.NO_ADDRESS: 1}) == (rest, server.failures)


async def test_nobody_else_is_believed(identity: Identity, proxy: ssl.SSLContext):
    """D-who-may-call: an announcement from others is no TLS."""
    async with serving(Receiver(), identity) as server:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with through(server, announcement("192.0.2.9"), proxy):
                pass
        await eventually(lambda: server.failures)

    assert {Failure.NO_TLS: 1} == server.failures
