"""Keys, certificates and callers change under load, and nobody notices but the page."""

import asyncio
import json
import signal
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from certs import AUTHORITY_KEY, Chain, key_pem, made, named, pem
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from messages import referral
from structlog.testing import capture_logs
from world import Node, World, eventually, headers, in_time, post, process, world_in

from bars_gateway.inbound.exchange import InboundRequest, Reply
from bars_gateway.onboarding.keys import jwk
from bars_gateway.sandbox.registry import Authority

IN_FLIGHT = 200
AT_ONCE = 25
PATIENCE = 150.0  # seconds that nobody gives up in, whatever else this machine does
ROOM = "[callers]\nmax_connections_per_address = 512\n"


class Gate:
    """Holds every message that the hospital receives until it is opened."""

    def __init__(self, node: Node) -> None:
        server = node.gateway._inbound
        assert server is not None
        self._answer, server._answer = server._answer, self
        # The first waits for as long as a busy machine takes to let all the others in.
        server._limits = replace(server._limits, answer_within_seconds=PATIENCE)
        self._open = asyncio.Event()
        self.waiting = 0

    async def __call__(self, request: InboundRequest) -> Reply:
        self.waiting += 1
        await self._open.wait()
        return await self._answer(request)

    def open(self) -> None:
        self._open.set()


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put a file where another one is, as an operator should: whole."""
    half = path.with_name(f"{path.name}.new")
    half.write_bytes(content)
    half.chmod(mode)
    half.replace(path)


def new_certificate(world: World, node: Node) -> int:
    """Let the sandbox's authority sign a new key, install both; return the serial number."""
    now = datetime.now(UTC)
    folder = world.folder / f"new-{node.name}"
    folder.mkdir()
    authority = Authority.at(world.folder / "sandbox" / "authorities", "receivers", now)
    authority.issue(folder, "server", f"{node.name}.sandbox.local", "server", now)
    put(node.registered.certificate_key_file, (folder / "server.key").read_bytes())
    put(node.registered.certificate_file, (folder / "server.pem").read_bytes())
    return serial_in(node.registered.certificate_file)


def serial_in(file: Path) -> int:
    return x509.load_pem_x509_certificates(file.read_bytes())[0].serial_number


async def serial_shown(url: str) -> int:
    """Return the serial number of the certificate that a new connection is met with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = int(url.split(":")[2].partition("/")[0])
    async with asyncio.timeout(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(shown).serial_number


def new_signing_key(node: Node) -> str:
    """Install a new key and publish it alone; return its id, which the settings now name."""
    key = rsa.generate_private_key(65537, 2048)
    key_id = f"{node.name}-sandbox-2"
    put(node.registered.private_key_file, key_pem(key))
    jwks = {"keys": [jwk(key_id, key.public_key())]}
    put(node.registered.folder / "jwks.json", json.dumps(jwks).encode())
    node.registered = replace(node.registered, key_id=key_id)
    return key_id


@pytest.mark.long
async def test_a_rotation_under_load_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """With 200 messages in flight both keys change: each message is sent and received once."""
    outbound = f"max_in_flight = {IN_FLIGHT}\nmax_in_flight_per_receiver = {IN_FLIGHT}\n"
    outbound += f"answer_seconds = {PATIENCE}\nlease_seconds = {2 * PATIENCE}"
    settings = {"hospital": ROOM, "inbound": "max_connections = 512", "outbound": outbound}
    async with world_in(tmp_path, patience=PATIENCE, **settings) as world:
        ambulance, hospital = world.ambulance, world.hospital
        gate = Gate(hospital)
        for first in range(0, IN_FLIGHT, AT_ONCE):  # more handshakes at once take too long here
            for number in range(first, first + AT_ONCE):
                ambulance.drop(f"{number}.json", referral())
            async with asyncio.timeout(120):
                while gate.waiting < first + AT_ONCE:
                    await asyncio.sleep(0.05)
        serial, key_id = new_certificate(world, hospital), new_signing_key(ambulance)
        await ambulance.gateway.reloader.renew()
        await hospital.gateway.reloader.renew()
        shown = await serial_shown(hospital.url)
        used = ambulance.gateway._tokens["ambulance"]
        used.discard(await used.token())  # the next message needs one, by the new key
        gate.open()
        for number in range(20):
            ambulance.drop(f"after-{number}.json", referral())
        async with asyncio.timeout(120):
            while len(found := outcomes(ambulance)) < IN_FLIGHT + 20:
                await asyncio.sleep(0.05)
        received = await hospital.rows("messages")
        attempts = await ambulance.rows("attempts")
        status = ambulance.gateway._runtime_state().tokens[0]

    assert (serial, key_id) == (shown, status.key_id)
    assert {"acknowledged"} == {notice["state"] for notice in found.values()}
    assert (IN_FLIGHT + 20, IN_FLIGHT + 20) == (received, attempts)


def outcomes(node: Node) -> dict[str, dict[str, Any]]:
    """Return the notices of outcomes by request id."""
    notices = [json.loads(file.read_bytes()) for file in node.files("inbox/new/*.outcome.json")]
    return {notice["request_id"]: notice for notice in notices}


async def test_what_is_connected_stays_connected(world: World) -> None:
    """A connection that was made under the old certificate takes requests under the new one."""
    async with world.as_proxy() as session:
        for change in (False, True):
            if change:
                new_certificate(world, world.hospital)
                await world.hospital.gateway.reloader.renew()
            url = f"{world.hospital.url}/metadata"
            async with session.get(url, headers=headers()) as response:
                await response.read()
                assert 200 == response.status
        opened = len(world.hospital.gateway._inbound.connections)

    assert 1 == opened


PAST = datetime.now(UTC) - timedelta(days=9)
FAR = datetime.now(UTC) + timedelta(days=200)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
BAD = {
    "no certificate": lambda node: put(node.registered.certificate_file, b"none"),
    "of another key": lambda node: put(node.registered.certificate_key_file, key_pem(OTHER_KEY)),
    "readable by others": lambda node: node.registered.certificate_key_file.chmod(0o644),
    "gone": lambda node: node.registered.certificate_file.unlink(),
    "expired": lambda node: put(
        node.registered.certificate_file,
        pem(made(named("hospital"), named("x"), start=PAST, end=PAST + timedelta(days=1))),
    ),
    "of another environment": lambda node: put(
        node.registered.certificate_file,
        pem(made(named("bars-int-zx9.trust.nhs.uk"), named("x"), end=FAR)),
    ),
}


@pytest.mark.parametrize("how", BAD)
async def test_a_bad_certificate_leaves_the_old_one_in_place(world: World, how: str) -> None:
    """Callers are met with the old one, and the page and the log say what is wrong."""
    node = world.hospital
    before = await serial_shown(node.url)
    BAD[how](node)
    with capture_logs() as logs:
        await node.gateway.reloader.renew()
    status, _, _ = await post(world, referral(), headers())

    assert (before, 200) == (await serial_shown(node.url), status)
    assert ["the certificate for receiving"] == list(node.gateway._runtime_state().refused)
    assert ["renewal.refused"] == [e["event"] for e in logs if e["log_level"] == "error"]


def trusted(node: Node) -> Path:
    """Give the hospital a file of its own with the authorities of its callers; return it."""
    file = node.registered.folder / "callers.pem"
    written = node.settings_file().read_text()
    for line in written.splitlines():
        if line.startswith("client_ca_file"):
            file.write_bytes(Path(line.split('"')[1]).read_bytes())
            changed = written.replace(line, f'client_ca_file = "{file}"')
    settings_file = node.settings_file()
    node.settings_file = lambda: written_to(settings_file, changed)
    return file


def written_to(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


STRANGERS = {
    "another root": pem(
        made(named("A root"), named("A root"), authority=True, key=AUTHORITY_KEY),
    ),
    "a middle without its root": pem(Chain.of("A root", "A middle").middle),
}


@pytest.mark.parametrize("what", STRANGERS)
async def test_authorities_that_shut_a_caller_out_are_not_taken(world: World, what: str) -> None:
    """The proxy gets in as before; page, log and doctor name it, and what is missing."""
    node = world.hospital
    file = trusted(node)
    await node.gateway.reloader.renew()
    await post(world, referral(), headers())
    put(file, STRANGERS[what], 0o644)
    with capture_logs() as logs:
        await node.gateway.reloader.renew()
    status, _, _ = await post(world, referral(), headers())
    reasons = list(node.gateway._runtime_state().refused.values())

    assert 200 == status
    assert 1 == len(reasons)
    assert ["renewal.refused"] == [e["event"] for e in logs if e["log_level"] == "error"]
    assert reasons[0].startswith("inbound.client_ca_file ")


async def test_who_would_be_shut_out_is_named(world: World) -> None:
    """Whose certificate it is, when it called, and which authority the file lacks."""
    node = world.hospital
    file = trusted(node)
    await post(world, referral(), headers())
    put(file, STRANGERS["another root"], 0o644)
    await node.gateway.reloader.renew()
    (reason,) = node.gateway._runtime_state().refused.values()

    assert "would shut out bars-proxy.sandbox.local" in reason
    assert "below CN=bars_gateway sandbox receivers, which is not in the file" in reason


async def test_a_root_that_goes_missing_is_told_without_any_caller(world: World) -> None:
    """Nobody called yet, and still a file whose middle has lost its root is not taken."""
    node, chain = world.hospital, Chain.of("A root", "A middle")
    file = trusted(node)
    put(file, file.read_bytes() + pem(chain.root, chain.middle), 0o644)
    await node.gateway.reloader.renew()
    before = dict(node.gateway._runtime_state().refused)
    put(file, file.read_bytes().replace(pem(chain.root), b""), 0o644)
    await node.gateway.reloader.renew()

    assert {} == before
    assert ["inbound.client_ca_file lacks the root of CN=A middle"] == list(
        node.gateway._runtime_state().refused.values()
    )


async def test_without_any_caller_of_late_a_new_authority_is_taken(world: World) -> None:
    """Nobody is there to be judged by; what the file must have at all events, it has."""
    node = world.hospital
    file = trusted(node)
    put(file, STRANGERS["another root"], 0o644)
    await node.gateway.reloader.renew()

    assert {} == node.gateway._runtime_state().refused


async def test_who_is_taken_off_the_list_with_its_authority_is_let_go(world: World) -> None:
    """A caller whose name goes as well keeps no file from being taken."""
    node = world.hospital
    file = trusted(node)
    await post(world, referral(), headers())
    put(file, STRANGERS["another root"], 0o644)
    settings = node.settings_file()
    text = settings.read_text().replace("bars-proxy.sandbox.local", "another.example")
    node.settings_file = lambda: written_to(settings, text)
    with capture_logs() as logs:
        await node.gateway.reloader.renew()

    assert {} == node.gateway._runtime_state().refused
    assert "tls.caller_taken_off" in [e["event"] for e in logs if e["log_level"] == "warning"]


async def test_a_start_with_authorities_that_shut_a_caller_out_says_so(world: World) -> None:
    """A start takes what lies there, for there is nothing else; the page says who stays out."""
    node = world.hospital
    await post(world, referral(), headers())
    identity = node.gateway._inbound.identity
    authority = x509.load_pem_x509_certificates(STRANGERS["another root"])
    identity.identity = replace(identity.identity, authorities=tuple(authority))
    async with aiohttp.ClientSession() as session:
        page = await (await session.get(f"http://127.0.0.1:{node.gateway.status.port}")).text()

    assert "Would no longer get in: bars-proxy.sandbox.local" in page


async def test_a_bad_signing_key_leaves_the_old_one_in_use(world: World) -> None:
    """Messages go out as before."""
    node = world.ambulance
    put(node.registered.private_key_file, b"-----BEGIN PRIVATE KEY-----\nx\n")
    await node.gateway.reloader.renew()
    node.gateway._tokens["ambulance"].discard(await node.gateway._tokens["ambulance"].token())
    receipt = await node.sent("r.json", referral())
    outcome = await node.outcome(receipt["request_id"])

    assert "acknowledged" == outcome["state"]
    assert ["the signing key of ambulance"] == list(node.gateway._runtime_state().refused)


async def test_a_key_that_is_refused_is_replaced_without_a_wait(world: World) -> None:
    """Nor does what waited behind the wrong one: it leaves at once."""
    node = world.ambulance
    jwks = node.registered.folder / "jwks.json"
    put(jwks, b'{"keys": []}')
    receipt = await node.sent("waits.json", referral())
    await in_time(lambda: failing(node))
    new_signing_key(node)
    await node.gateway.reloader.renew()
    outcome = await node.outcome(receipt["request_id"])

    assert "acknowledged" == outcome["state"]


async def failing(node: Node) -> bool:
    return node.gateway._runtime_state().tokens[0].failing_since is not None


async def test_a_caller_that_is_taken_off_the_list_is_refused(world: World) -> None:
    """Trust is renewed too, for those who are connected as well."""
    async with world.as_proxy() as session:
        statuses = []
        for name in ("bars-proxy.sandbox.local", "another.example"):
            file = world.hospital.settings_file()
            text = file.read_text().replace("bars-proxy.sandbox.local", name)
            world.hospital.settings_file = lambda text=text, file=file: written_to(file, text)
            await world.hospital.gateway.reloader.renew()
            url = f"{world.hospital.url}/metadata"
            async with session.get(url, headers=headers()) as response:
                statuses.append(response.status)

    assert [200, 401] == statuses


def events(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def seen(log: Path, event: str, name: str) -> bool:
    return any(e["event"] == event and e.get("name") == name for e in events(log))


async def test_a_process_renews_by_itself_and_when_it_is_told(world: World, tmp_path: Path) -> None:
    """New files are taken as they come; at SIGHUP the settings are read, and it lives on."""
    node, log = world.hospital, tmp_path / "log"
    async with process(node, log) as gateway:
        serial = new_certificate(world, node)
        await eventually(lambda: seen(log, "renewal.taken", "the certificate for receiving"))
        shown = await serial_shown(node.url)
        new_signing_key(node)
        file = node.settings_file()
        file.write_text(file.read_text().replace('log_level = "debug"', 'log_level = "info"'))
        gateway.send_signal(signal.SIGHUP)
        await eventually(lambda: seen(log, "renewal.taken", "the signing key of hospital"))
        await eventually(lambda: seen(log, "renewal.left_for_restart", "log_level"))
        gateway.terminate()
        code = await gateway.wait()

    assert (serial, 0) == (shown, code)


async def test_every_stage_of_an_end_is_on_the_page_and_in_the_metrics(world: World) -> None:
    """The sandbox's authorities live for a year or more; their last days are looked at here."""
    node = world.hospital
    end = datetime.now(UTC) + timedelta(days=6, hours=1)
    found = node.gateway._inbound.identity
    name, begin = named("bars_gateway sandbox receivers"), end - timedelta(days=365)
    authority = made(name, name, authority=True, start=begin, end=end)
    found.identity = replace(found.identity, authorities=(authority,))
    base = f"http://127.0.0.1:{node.gateway.status.port}"
    async with aiohttp.ClientSession() as session:
        page = await (await session.get(base)).text()
        metrics = await (await session.get(f"{base}/metrics")).text()

    assert "The last authority of the callers ends in 6 days" in page
    assert (
        'bars_expiry_stage_days{kind="last_authority",name="The last authority of the callers"} 7.0'
        in metrics
    )


def with_its_certificate_over(node: Node) -> str:
    ended = made(
        named("ambulance"), named("x"), key=OTHER_KEY, start=PAST, end=PAST + timedelta(days=1)
    )
    put(node.registered.certificate_key_file, key_pem(OTHER_KEY))
    put(node.registered.certificate_file, pem(ended))
    return "certificate"


def with_its_callers_authorities_over(node: Node) -> str:
    name = named("Ended")
    end = PAST + timedelta(days=1)
    ended = made(name, name, authority=True, key=AUTHORITY_KEY, start=PAST, end=end)
    put(trusted(node), pem(ended), 0o644)
    return "last_authority"


@pytest.mark.parametrize("end", [with_its_certificate_over, with_its_callers_authorities_over])
async def test_a_start_with_what_has_ended_sends(
    world: World, tmp_path: Path, end: Callable[[Node], str]
) -> None:
    """Nothing is received, which is told as an error; what the EPR hands over is sent."""
    node, log = world.ambulance, tmp_path / "log"
    kind = end(node)
    async with process(node, log) as gateway:
        receipt = await node.sent("one.json", referral())
        outcome = await node.outcome(receipt["request_id"])
        await eventually(lambda: b"expiry.stage_reached" in log.read_bytes())
        gateway.terminate()
        code = await gateway.wait()
    told = [json.loads(line) for line in log.read_bytes().splitlines()]

    assert (0, "acknowledged") == (code, outcome["state"])
    assert [("error", kind, 0)] == [
        (each["level"], each["kind"], each["days"])
        for each in told
        if each["event"] == "expiry.stage_reached"
    ]
