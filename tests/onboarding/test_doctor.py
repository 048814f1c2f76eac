"""Whatever is broken in an installation, the doctor names it first, with a cure and a desk."""

import asyncio
import inspect
import json
import os
import shutil
import sqlite3
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from certs import AUTHORITY_KEY, LEAF_KEY, NOW, SHORT_KEY, Chain, key_pem, made, named, pem
from cryptography.x509.oid import ExtendedKeyUsageOID
from egress_side import egress_side
from installation import FQDN, NAME, SERVICES, Installation
from national_side import saying, served
from typed import Done, typed

from bars_gateway import ownership
from bars_gateway.config import Address, Environment, load
from bars_gateway.config.doubts import PENDING, PENDING_NAME
from bars_gateway.keyring import EncryptionRing
from bars_gateway.onboarding import encryption, keys
from bars_gateway.onboarding.contacts import SERVICE_DESK
from bars_gateway.onboarding.doctor.checks import (
    CheckedSite,
    CheckResult,
    DoctorReport,
    Fetched,
    Machine,
)
from bars_gateway.onboarding.doctor.diagnosis import CHECKS, diagnose, printed
from bars_gateway.onboarding.grades import Grade
from bars_gateway.outbound.token_refusals import classify
from bars_gateway.sandbox.registry import PROXY_NAME
from bars_gateway.sandbox.server import Sandbox, SandboxSettings
from bars_gateway.store.sqlite import inspection
from bars_gateway.store.sqlite.database import open_database, prepare
from bars_gateway.store.store import Store

pytestmark = pytest.mark.asyncio(loop_scope="module")
UNIT = Path(__file__).parent.parent.parent / "systemd" / "bars-gateway.service"
PATIENCE = 30.0
DOS = "https://fhir.nhs.uk/Id/dos-service-id"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory) -> AsyncIterator[Installation]:
    """Yield an installation that nothing is wrong with, its gateway and the national side."""
    found = Installation.in_folder(tmp_path_factory.mktemp("d"))
    settings = SandboxSettings(folder=found.national, key_bits=2048)
    async with Sandbox(settings) as sandbox:
        await sandbox.register(NAME, [f"{DOS}|{service}" for service in SERVICES], found.url)
        await asyncio.to_thread(install, found)
        command = (sys.executable, "-m", "bars_gateway", "run", "--config", str(found.config))
        log = found.folder / "gateway.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
        try:
            async with asyncio.timeout(PATIENCE):
                while b"daemon.started" not in log.read_bytes():
                    await asyncio.sleep(0.05)
            yield found
            assert process.returncode is None, log.read_text("utf-8")
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def install(found: Installation) -> None:
    found.begin(typed, "--key-bits", "2048")
    found.register_key()
    found.get_certificate(typed, "--bits", "2048")


class Broken:
    """One installation on a machine of its own, with the means to break it, and to mend it."""

    def __init__(self, installation: Installation, folder: Path, stack: AsyncExitStack) -> None:
        self.installation, self.folder, self._stack = installation, folder, stack
        (folder / "systemd").mkdir()
        shutil.copy(UNIT, self.unit)
        self.site = CheckedSite(
            load(installation.config, {}),
            config=installation.config,
            environ={},
            now=lambda: datetime.now(UTC),
            machine=Machine(clock_is_set=lambda: True, systemd=folder / "systemd", unit=self.unit),
        )
        self.offline = False

    @property
    def unit(self) -> Path:
        return self.folder / "bars-gateway.service"

    def edit_unit(self, old: str, new: str) -> None:
        self.unit.write_text(self.unit.read_text().replace(old, new))

    def set(self, key: str, value: Any) -> None:
        """Change one setting, without asking whether that makes sense."""
        self.site.settings = _changed(self.site.settings, key.split("."), value)

    def provider(self, key: str, value: Any) -> None:
        providers = self.site.settings.providers
        self.set("providers", {NAME: providers[NAME].model_copy(update={key: value})})

    def machine(self, **changes: Any) -> None:
        self.site.machine = replace(self.site.machine, **changes)

    def mode(self, path: Path, mode: int) -> None:
        self._stack.callback(path.chmod, path.stat().st_mode & 0o7777)
        path.chmod(mode)

    def write(self, path: Path, content: bytes) -> None:
        self._stack.callback(path.write_bytes, path.read_bytes())
        self._stack.callback(os.utime, path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        path.write_bytes(content)

    def file(self, name: str, content: bytes, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def certificate(self, *chain: Any, key: Any = LEAF_KEY) -> None:
        self.set("inbound.certificate_file", self.file("leaf.pem", pem(*chain)))
        self.set("inbound.private_key_file", self.file("leaf.key", key_pem(key)))

    def callers(self, *chain: Any) -> None:
        self.set("inbound.client_ca_file", self.file("callers.pem", pem(*chain)))

    def national(self) -> None:
        """Let it be one of INT, which nobody may call."""
        self.offline = True
        base = "https://int.api.service.nhs.uk"
        self.set("environment", Environment.INT)
        self.set("outbound.token_url", f"{base}/oauth2/token")
        self.set("outbound.proxy_url", f"{base}/booking-and-referral/FHIR/R4")

    def patch(self, module: Any, name: str, value: Any) -> None:
        self._stack.enter_context(mock.patch.object(module, name, value))

    async def serve(self, answering: Callable[..., Any], **site: Any) -> str:
        service = await self._stack.enter_async_context(served(answering, **site))
        return service.url

    async def first(self) -> CheckResult:
        """Return the first finding that is not good, and see that it says all that it should."""
        report = await diagnose(self.site, offline=self.offline)
        bad = [f for f in report.findings if f.seen.grade in {Grade.WARN, Grade.FAIL}]
        assert bad, "nothing was found"
        return bad[0]


def _changed(model: Any, path: list[str], value: Any) -> Any:
    head, *rest = path
    below = _changed(getattr(model, head), rest, value) if rest else value
    return model.model_copy(update={head: below})


@pytest_asyncio.fixture(loop_scope="module")
async def broken(installation, tmp_path) -> AsyncIterator[Broken]:
    async with AsyncExitStack() as stack:
        yield Broken(installation, tmp_path, stack)


PLAIN = Chain.of("Invented root", "Invented middle")
NATIONAL = Chain.of()


def _once_hidden(path: Path) -> Path:
    """Return a database in which the gateway found, and mended, what an index lacked."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        prepare(connection, path)
        inspection.begin(connection, NOW)
        inspection.end(connection, ["messages_due: 1 row lacked, and rebuilt"], NOW)
    path.chmod(0o600)
    return path


def _once_broken(path: Path, detail: str = '{"lines": 9, "found": 1}') -> Path:
    """Return a database of which the gateway has found that its trail does not hold."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        prepare(connection, path)
        query = "INSERT INTO events (at, kind, detail) VALUES (?, 'audit.verified', ?)"
        connection.execute(query, ["2026-03-02T09:00:00.000Z", detail])
    path.chmod(0o600)
    return path


def _ring(path: Path) -> Path:
    """Return a key ring of which nobody has made a copy."""
    encryption.add_key(path, NOW)
    return path


BREAKS: dict[str, Callable[[Broken], Any]] = {}


def breaks(name: str) -> Callable[[Callable[[Broken], Any]], Callable[[Broken], Any]]:
    """Remember how to break what the check *name* looks at."""

    def remember(how: Callable[[Broken], Any]) -> Callable[[Broken], Any]:
        BREAKS[name] = how
        return how

    return remember


BREAKS |= {
    "settings.file": lambda b: b.mode(b.installation.config, 0o666),
    "settings.variables": lambda b: setattr(b.site, "environ", {"BARS_GATEWAY_LOG_LEVEL": "info"}),
    "settings.services": lambda b: b.provider("services", (f"http{DOS[5:]}|1",)),
    "settings.api_key": lambda b: b.provider("api_key", PENDING),
    "settings.callers": lambda b: b.set("inbound.allowed_client_names", (PENDING_NAME,)),
    "settings.key_id": lambda b: b.provider("key_id", "key1"),
    "settings.product": lambda b: b.national(),
    "clock.plausible": lambda b: setattr(b.site, "now", lambda: datetime(1970, 1, 1, tzinfo=UTC)),
    "clock.synchronised": lambda b: b.machine(clock_is_set=lambda: False),
    "folders.state": lambda b: b.set("state_dir", b.folder / "none"),
    "folders.state_private": lambda b: b.mode(b.installation.folder / "state", 0o755),
    "folders.disk": lambda b: b.machine(seconds_to_disk=lambda _folder: 2.0),
    "folders.spool": lambda b: b.provider("spool_dir", b.folder / "none"),
    "folders.spool_private": lambda b: b.mode(b.installation.spool, 0o2755),
    "folders.sockets": lambda b: b.set("epr.socket_dir", b.folder / "none"),
    "database.server": lambda b: b.set("store.url", "postgresql://nobody@/none?host=/none"),
    "database.sound": lambda b: b.set("store.path", b.file("gateway.db", b"no database" * 99)),
    "database.compared": lambda b: b.set("store.path", _once_hidden(b.folder / "gateway.db")),
    "database.trail": lambda b: b.set("store.path", _once_broken(b.folder / "gateway.db")),
    "database.key": lambda b: b.set("store.encryption_keys_file", _ring(b.folder / "ring")),
    "database.private": lambda b: b.mode(b.installation.folder / "state" / "gateway.db", 0o644),
    "disk.space": lambda b: b.machine(disk=_disk(f_bavail=1)),
    "disk.files": lambda b: b.machine(disk=_disk(f_favail=1)),
    "keys.file": lambda b: b.mode(b.installation.key, 0o644),
    "keys.folder": lambda b: b.mode(b.installation.key.parent, 0o777),
    "keys.credentials": lambda b: b.machine(credentials=b.installation.key.parent),
    "keys.public": lambda b: b.write(_public(b), keys.public_pem(LEAF_KEY.public_key())),
    "jwks.address": lambda b: b.set("onboarding.jwks_url", "https://127.0.0.1:1"),
    "jwks.reachable": lambda b: b.set("onboarding.jwks_url", "http://127.0.0.1:1/jwks.json"),
    "certificate.key": lambda b: b.mode(b.installation.folder / "tls" / "key.pem", 0o640),
    "certificate.file": lambda b: b.set("inbound.certificate_file", b.folder / "none"),
    "callers.file": lambda b: b.set("inbound.client_ca_file", b.folder / "none"),
    "callers.lists": lambda b: b.set("callers.revocation_list_files", (b.folder / "none",)),
    "certificate.leaf": lambda b: b.certificate(made(named(FQDN), named("x"), authority=True)),
    "certificate.strength": lambda b: b.certificate(
        PLAIN.leaf(FQDN, key=SHORT_KEY), PLAIN.middle, PLAIN.root, key=SHORT_KEY
    ),
    "certificate.chain": lambda b: b.certificate(PLAIN.leaf(FQDN)),
    "certificate.environment": lambda b: b.certificate(
        NATIONAL.leaf(FQDN), NATIONAL.middle, NATIONAL.root
    ),
    "certificate.name": lambda b: b.set("onboarding.fqdn", "another.example"),
    "certificate.dates": lambda b: b.certificate(
        PLAIN.leaf(FQDN, end=NOW + timedelta(days=9)), PLAIN.middle, PLAIN.root
    ),
    "certificate.alternative": lambda b: b.certificate(
        PLAIN.leaf(FQDN, alternative=["another.example"]), PLAIN.middle, PLAIN.root
    ),
    "certificate.purpose": lambda b: b.certificate(
        PLAIN.leaf(FQDN, usages=[ExtendedKeyUsageOID.CLIENT_AUTH]), PLAIN.middle, PLAIN.root
    ),
    "callers.environment": lambda b: b.callers(NATIONAL.root),
    "callers.loads": lambda b: b.callers(PLAIN.root, PLAIN.leaf("a caller")),
    "callers.root": lambda b: b.callers(PLAIN.root, Chain.of("R", "M").middle),
    "callers.dates": lambda b: b.callers(
        made(named("r"), named("r"), authority=True, key=AUTHORITY_KEY, end=NOW + timedelta(days=9))
    ),
    "limits.key_log": lambda b: setattr(b.site, "environ", {"SSLKEYLOGFILE": "/tmp/x"}),
    "limits.parser": lambda b: setattr(b.site, "environ", {"AIOHTTP_NO_EXTENSIONS": "1"}),
    "service.unit": lambda b: b.machine(unit=b.folder / "none"),
    "service.files": lambda b: b.edit_unit("LimitNOFILE=4096", "LimitNOFILE=64"),
    "service.core": lambda b: b.edit_unit("LimitCORE=0", "LimitCORE=infinity"),
    "service.reload": lambda b: b.edit_unit("ExecReload=", "#ExecReload="),
    "egress.proxy_variables": lambda b: setattr(b.site, "environ", {"HTTPS_PROXY": "http://x"}),
    "egress.ca_file": lambda b: b.set("outbound.ca_file", b.folder / "none"),
    "egress.name": lambda b: b.machine(addresses_of=_nowhere),
    "egress.token_service": lambda b: b.set(
        "outbound.token_url", "https://127.0.0.1:1/oauth2/token"
    ),
    "egress.proxy": lambda b: b.set("outbound.proxy_url", "https://127.0.0.1:1/FHIR/R4"),
    "clock.skew": lambda b: setattr(
        b.site, "now", lambda: datetime.now(UTC) + timedelta(seconds=60)
    ),
    "token.granted": lambda b: b.provider("api_key", "unknown"),
    "listener.answers": lambda b: b.set("inbound.listen", Address("127.0.0.1", 1)),
    "listener.certificate": lambda b: b.certificate(PLAIN.leaf(FQDN), PLAIN.middle, PLAIN.root),
    "listener.ready": lambda b: b.set("status.listen", Address("127.0.0.1", 1)),
    "proxy.ourselves": lambda b: b.provider("services", (f"{DOS}|2000009999",)),
}


@breaks("settings.own")
def _shipped(b: Broken) -> None:
    """Let the provider be the one of the example file."""
    b.national()
    b.provider("name", "Example NHS Trust")


@breaks("callers.known")
def _called_with_another_chain(b: Broken) -> None:
    """Let somebody have called, as if with another authority than the file has."""
    b.set("state_dir", b.folder)
    b.file("gateway.db", (b.installation.folder / "state" / "gateway.db").read_bytes())
    b.file("callers.json", kept_callers(PROXY_NAME, PLAIN.leaf(PROXY_NAME), PLAIN.middle))


def kept_callers(name: str, *chain: Any) -> bytes:
    """Return what the gateway keeps of a caller that was let in just now."""
    pems = [pem(each).decode() for each in chain]
    now = datetime.now(UTC).isoformat()
    return orjson.dumps({"callers": [{"names": [name], "seen_at": now, "chain": pems}]})


def _public(b: Broken) -> Path:
    return keys.KeyFiles.of(
        b.installation.key.parent, keys.KeyId.parse("Northshire-LOCAL-1")
    ).public


def _disk(**changes: int) -> Callable[[Path], os.statvfs_result]:
    def disk(path: Path) -> os.statvfs_result:
        real = os.statvfs(path)
        names = [n for n in dir(real) if n.startswith("f_")]
        figures = {n: getattr(real, n) for n in names} | {"f_files": 10**6, "f_favail": 10**6}
        order = (
            "f_bsize f_frsize f_blocks f_bfree f_bavail f_files f_ffree f_favail f_flag f_namemax"
        )
        return os.statvfs_result([(figures | changes)[n] for n in order.split()])

    return disk


def _nowhere(_host: str) -> frozenset[str]:
    raise OSError(-2, "Name or service not known")


@breaks("settings.addresses")
def _foreign_address(b: Broken) -> None:
    b.national()
    b.set("outbound.token_url", "https://elsewhere.example/oauth2/token")


@breaks("folders.epr")
def _shut_to_the_epr(b: Broken) -> None:
    ours = b.folder.stat().st_gid  # the test's user is in it
    b.patch(ownership, "epr_group", lambda: ours)
    b.patch(ownership, "is_member", lambda _user, _group: True)
    b.provider("spool_dir", b.folder / "spool")
    (b.folder / "spool").mkdir(mode=0o700)


@breaks("folders.outbox")
def _left_lying(b: Broken) -> None:
    folder = b.folder / "spool" / "outbox" / "new"
    folder.mkdir(parents=True)
    (b.folder / "spool").chmod(0o2750)
    (folder / "a.json").write_bytes(b"{}")
    past = time.time() - 600
    os.utime(folder / "a.json", (past, past))
    b.provider("spool_dir", b.folder / "spool")


@breaks("keys.age")
def _old_key(b: Broken) -> None:
    path = _public(b)
    b.write(path, path.read_bytes())
    past = time.time() - timedelta(days=400).total_seconds()
    os.utime(path, (past, past))


@breaks("keys.owner")
def _of_another_user(b: Broken) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    b._stack.callback(os.chown, b.installation.key, 0, -1)
    os.chown(b.installation.key, 1, -1)


@breaks("jwks.file")
def _private_jwks(b: Broken) -> None:
    path = b.installation.folder / "keys" / "Northshire-LOCAL.jwks.json"
    document = json.loads(path.read_bytes())
    document["keys"][0]["d"] = "AQAB"
    b.write(path, json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"[1,2", b"[1, 2]", b'{"keys": 7}', b'{"keys": [7]}', None])
async def test_whatever_lies_in_the_place_of_the_jwks_is_a_finding(broken, content):
    """Garbage, another shape, or a folder: it is named, and no traceback reaches anybody."""
    path = broken.installation.folder / "keys" / "Northshire-LOCAL.jwks.json"
    kept = path.rename(broken.folder / "kept")
    try:
        path.mkdir() if content is None else path.write_bytes(content)
        finding = await broken.first()
    finally:
        path.rmdir() if content is None else path.unlink()
        kept.rename(path)

    assert ("jwks.file", Grade.FAIL) == (finding.check.name, finding.seen.grade)


@breaks("jwks.shape")
async def _bare_key(b: Broken) -> None:
    jwk = keys.jwk("Northshire-LOCAL-1", LEAF_KEY.public_key())
    b.set("onboarding.jwks_url", await b.serve(saying(200, orjson.dumps(jwk))) + "/jwks.json")


@breaks("jwks.key")
async def _other_key(b: Broken) -> None:
    jwks = {"keys": [keys.jwk("Northshire-LOCAL-1", LEAF_KEY.public_key())]}
    b.set("onboarding.jwks_url", await b.serve(saying(200, orjson.dumps(jwks))) + "/jwks.json")


@breaks("listener.refuses")
async def _open_door(b: Broken) -> None:
    tls = b.installation.folder / "tls"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "certificate.pem", tls / "key.pem")
    url = await b.serve(saying(200), ssl_context=context)
    b.set("inbound.listen", Address("127.0.0.1", int(url.rpartition(":")[2])))


@breaks("proxy.metadata")
async def _no_metadata(b: Broken) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.path.endswith("/_ping") else 404)

    b.set("outbound.proxy_url", await b.serve(answer))


# What only shows in INT and PROD, which no test may call, or is a fact and no fault: these are
# looked at alone.
ALONE = {"database.sqlite", "address.listen", "address.name", "certificate.fqdn", "settings.load"}


async def test_nothing_is_wrong_with_a_right_installation(broken):
    """Every check passes, or says why it was not looked at."""
    report = await diagnose(broken.site)
    bad = {f.check.name: f.seen.text for f in report.findings if f.seen.grade in {"warn", "fail"}}

    assert {} == bad
    assert len(report.of(Grade.PASS)) > 50


@pytest.mark.parametrize("name", [check.name for check in CHECKS if check.name not in ALONE])
async def test_what_is_broken_is_named_first(broken, name):
    """One thing is broken at a time, and the first complaint is about that thing."""
    done = BREAKS[name](broken)
    if done is not None:
        await done
    finding = await broken.first()

    assert name == finding.check.name, finding.seen.text
    assert finding.seen.text
    assert finding.seen.cure


@pytest.mark.parametrize("limit", ["8192", " 8192", "8192:16384", "infinity"])
async def test_what_was_added_to_the_unit_counts(broken, limit):
    """`systemctl edit` writes beside the unit: whoever did what was asked is not asked again."""
    broken.edit_unit("LimitNOFILE=4096", "LimitNOFILE=64")
    added = broken.folder / "bars-gateway.service.d"
    added.mkdir()
    (added / "override.conf").write_text(f"[Service]\nLimitNOFILE={limit}\n")
    broken.machine(unit_folders=(broken.folder,))
    report = await diagnose(broken.site, offline=True)

    assert [] == [f.seen.text for f in report.findings if f.seen.grade is Grade.FAIL]


async def test_settings_that_everybody_reads_are_a_warning(broken):
    """Whoever has an account on the machine could copy the API key out of them."""
    broken.mode(broken.installation.config, 0o644)
    broken.national()
    finding = await broken.first()

    assert ("settings.file", Grade.WARN) == (finding.check.name, finding.seen.grade)
    assert "can be read by everybody" in finding.seen.text


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
async def test_every_check_says_why_and_whom_to_ask(check):
    """A person who meets it for the first time can act on it."""
    assert check.title
    assert check.why.endswith(".")
    assert str(check.ask)


async def test_there_are_checks_for_everything():
    """At least forty, each with a name of its own, and each is broken above."""
    names = [check.name for check in CHECKS]

    assert len(names) >= 40
    assert len(names) == len(set(names))
    assert set(names) == BREAKS.keys() | ALONE


async def alone(broken: Broken, name: str) -> Any:
    """Return what one check sees."""
    (check,) = (check for check in CHECKS if check.name == name)
    looked = check.look(broken.site)
    return await looked if inspect.isawaitable(looked) else looked


@pytest.mark.parametrize(
    ("detail", "grade"),
    [('{"lines": 9, "found": 0}', Grade.PASS), ("{}", Grade.FAIL), ("9", Grade.FAIL)],
    ids=["well", "nothing", "number"],
)
async def test_what_the_gateway_found_of_its_trail(broken, detail, grade):
    """One that cannot be read is no proof that all is well."""
    broken.set("store.path", _once_broken(broken.folder / "gateway.db", detail))

    assert grade is (await alone(broken, "database.trail")).grade


async def test_a_key_that_was_copied_is_well_until_there_is_another(broken, tmp_path):
    """By what the ring says; a copy of the old one does not help."""
    ring = _ring(tmp_path / "ring")
    broken.set("store.encryption_keys_file", ring)
    encryption.copy(ring, tmp_path / "copy", NOW)
    copied = await alone(broken, "database.key")
    encryption.add_key(ring, NOW)
    rotated = await alone(broken, "database.key")

    assert (Grade.PASS, Grade.WARN) == (copied.grade, rotated.grade)
    assert "encryption copy FILE" in rotated.cure


async def test_the_copy_of_a_credential_is_known_by_the_audit_trail(broken, tmp_path):
    """Systemd's own copy of a ring is none of ours to write in."""
    ring, database = _ring(tmp_path / "ring"), broken.folder / "copied.db"
    broken.set("store.encryption_keys_file", ring)
    broken.set("store.path", database)
    detail = {"who": "jo", "key_ids": [EncryptionRing.read(ring).current.key_id]}
    async with open_database(database) as opened:
        await Store(opened, node="here").visits.note("encryption.keys_copied", detail, NOW)

    assert Grade.PASS is (await alone(broken, "database.key")).grade


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, {"receiving": False, "sending": False, "reasons": ["a", "b"]}, "sending: a; b"),
        (200, {"receiving": False, "sending": True, "reasons": ["ended"]}, "receiving: ended"),
        (502, None, "not ready: 502, without a reason"),
    ],
)
async def test_why_the_gateway_is_not_ready_is_said(broken, status, body, said):
    """Also where it sends and does not receive; nobody has to look elsewhere for the reason."""
    url = await broken.serve(saying(status, orjson.dumps(body)))
    broken.set("status.listen", Address("127.0.0.1", int(url.rpartition(":")[2])))
    seen = await alone(broken, "listener.ready")

    assert Grade.FAIL == seen.grade
    assert seen.text.endswith(said)


async def test_a_listener_that_only_this_machine_reaches(broken):
    """In INT and PROD the proxy calls from outside."""
    broken.national()

    assert "can be reached from this machine only" in (await alone(broken, "address.listen")).text


@pytest.mark.parametrize("folder", ["outbox", "answers"])
async def test_a_link_among_what_is_handed_over_is_named(broken, folder):
    """It is never opened, so what it leads to is never sent, and no answer of the EPR's."""
    broken.provider("questions", "folder")
    new = broken.site.settings.providers[NAME].spool_dir / folder / "new"
    new.mkdir(parents=True, exist_ok=True)
    (new / "link.json").symlink_to("/etc/hostname")
    try:
        seen = await alone(broken, "folders.outbox")
    finally:
        (new / "link.json").unlink()

    assert (Grade.WARN, "1 lie there that are never opened") == (seen.grade, seen.text)


@pytest.mark.parametrize(
    ("version", "warned"),
    [((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False), ((3, 54, 1), False)],
)
async def test_an_sqlite_that_loses_rows_is_named(broken, version, warned):
    """The gateway keeps clear of the race; whoever opens its database beside it must know."""
    broken.machine(sqlite_version=version)
    seen = await alone(broken, "database.sqlite")

    assert Grade.PASS is seen.grade
    assert seen.text.startswith(f"SQLite {'.'.join(map(str, version))}")
    assert warned is ("can lose committed rows" in seen.text)


async def test_a_name_that_nobody_wrote_down(broken):
    """Certificate, DNS entry and catalogue cannot be compared without it."""
    broken.national()
    broken.set("onboarding.fqdn", None)

    assert Grade.WARN is (await alone(broken, "certificate.fqdn")).grade


@pytest.mark.parametrize(
    ("public_address", "found", "expected"),
    [
        (None, None, "leads nowhere"),
        ("192.0.2.1", {"192.0.2.9"}, "leads to 192.0.2.9"),
    ],
)
async def test_a_name_that_leads_elsewhere(broken, public_address, found, expected):
    """The DNS entry is compared with the address that the letter asked for."""
    broken.national()
    broken.set("onboarding.public_address", public_address)
    broken.machine(addresses_of=_nowhere if found is None else lambda _host: frozenset(found))

    seen = await alone(broken, "address.name")

    assert (Grade.FAIL, f"{FQDN} {expected}") == (seen.grade, seen.text)


async def test_a_connection_that_is_refused_is_no_firewall_of_port_443(broken):
    """Whoever is asked for help is asked about the right thing, and the port that is set."""
    broken.set("outbound.token_url", "https://127.0.0.1:1/oauth2/token")
    seen = await alone(broken, "egress.token_service")

    assert Grade.FAIL == seen.grade
    assert "port 1 was refused" in seen.cure
    assert "443" not in seen.cure


@pytest.mark.parametrize(
    ("answers", "told", "cure"),
    [
        ({"says": "407 Proxy Authentication Required"}, "answered 407", "outbound.egress_user"),
        ({"says": "403 Forbidden"}, "answered 403", "allowed there"),
        ({"says": "302 Found"}, "answered 302", "Have this machine let out without it"),
        ({"raw": b""}, "closes the connection without an answer", "host and port"),
        ({"raw": b"SSH-2.0-x\r\n\r\n"}, "answers something that is not HTTP", "not a web proxy"),
        ({"raw": PAGE}, "says yes to CONNECT, and passes no TLS on", "a page of its own"),
    ],
)
async def test_an_egress_proxy_that_says_no_is_named(broken, answers, told, cure):
    """Not the far address, and no firewall: the one in between, where it is set, and the cure."""
    async with egress_side(**answers) as side:
        broken.set("outbound.egress_proxy", side.url)
        named = await alone(broken, "egress.name")
        looks = ("egress.token_service", "egress.proxy", "token.granted", "proxy.metadata")
        found = [await alone(broken, name) for name in looks]

    where = f"the egress proxy {side.url.removeprefix('http://')} (outbound.egress_proxy) {told}"
    assert (Grade.PASS, "127.0.0.1 is 127.0.0.1") == (named.grade, named.text)
    assert [] == [seen for seen in found if where not in seen.text or cure not in seen.cure]
    assert "Let this machine out" not in "".join(seen.cure for seen in found)


async def test_an_egress_proxy_that_says_nothing_is_named(broken, monkeypatch):
    """One that takes the connection and then hangs, as a firewall does that reads along."""
    monkeypatch.setattr("bars_gateway.onboarding.doctor.checks.SECONDS", 0.5)
    async with egress_side(raw=b"", hangs=True) as side:
        broken.set("outbound.egress_proxy", side.url)
        seen = await alone(broken, "egress.proxy")

    where = f"the egress proxy {side.url.removeprefix('http://')} (outbound.egress_proxy)"
    assert f"{where} leads to no connection in time" in seen.text


async def test_a_key_set_behind_an_egress_proxy_that_says_no_is_not_blamed(broken):
    """Whoever runs that address can do nothing about it."""
    broken.set("onboarding.jwks_url", "https://keys.example/jwks.json")
    async with egress_side(says="403 Forbidden") as side:
        broken.set("outbound.egress_proxy", side.url)
        seen = await alone(broken, "jwks.reachable")

    assert Grade.WARN is seen.grade
    assert "(outbound.egress_proxy) answered 403" in seen.text


def doctor(installation: Installation, *more: object) -> Done:
    return typed("doctor", "--config", installation.config, *more)


def document(done: Done) -> dict[str, Any]:
    """Return the JSON that was printed; the sandbox of this process logs before it."""
    line = next(line for line in done.out.splitlines() if line.startswith("{"))
    found: dict[str, Any] = json.loads(line)
    return found


async def test_settings_that_do_not_load_are_the_first_finding(tmp_path):
    """The file, the line and the cure come from the settings themselves."""
    (tmp_path / "bad.toml").write_text('environment = "int"\nlog_levle = "info"\n')
    done = await asyncio.to_thread(typed, "doctor", "-c", tmp_path / "bad.toml")

    assert 2 == done.code
    assert "FAIL  settings.load: " in done.out
    assert "bad.toml" in done.out


async def test_the_exit_code_is_that_of_the_worst(installation, monkeypatch):
    """A script need not read: 0, 1 for warnings, 2 for what failed."""
    await asyncio.to_thread(doctor, installation)
    monkeypatch.setenv("SSLKEYLOGFILE", "")
    monkeypatch.setenv("BARS_GATEWAY_LOG_LEVEL", "info")
    warned = await asyncio.to_thread(doctor, installation, "--offline")
    monkeypatch.setenv("BARS_GATEWAY_EPR__SOCKET_DIR", "/nowhere")
    bad = await asyncio.to_thread(doctor, installation, "--offline")

    assert (1, 2) == (warned.code, bad.code)


@pytest.mark.parametrize(
    ("status", "body", "who"),
    [
        (503, PAGE, "the National Service Desk <ssd.nationalservicedesk@nhs.net>, telephone 0300"),
        (401, b'{"error": "invalid_client"}', "the BaRS team <england.booking"),
    ],
)
async def test_who_is_asked_goes_by_what_the_token_service_said(
    broken, monkeypatch, status, body, who
):
    """A service that is down is its desk's, day and night; what it refuses is a registration."""

    async def answered(*_given):
        refused = classify(status, body, broken.site.now())
        return SimpleNamespace(token=None, refused=refused)

    monkeypatch.setattr("bars_gateway.onboarding.doctor.connection_checks.probe", answered)
    (check,) = (check for check in CHECKS if check.name == "token.granted")
    found = CheckResult(check=check, seen=await alone(broken, "token.granted"))

    assert found.document()["ask"].startswith(who)


@pytest.mark.parametrize("status", [200, 503])
async def test_a_page_from_in_between_is_not_taken_for_the_proxys_word(broken, monkeypatch, status):
    """It says nothing of DNS, firewall or catalogue, and 200 does not say that we were reached."""

    async def fetched(*_given, **_named):
        return Fetched(status=status, headers={}, body=b"\n<!DOCTYPE html><title>Sorry</title>")

    monkeypatch.setattr("bars_gateway.onboarding.doctor.connection_checks.fetch", fetched)
    seen = await alone(broken, "proxy.ourselves")

    assert (Grade.FAIL, SERVICE_DESK) == (seen.grade, seen.ask)
    assert f"something in between did, with a page of its own ({status})" in seen.text


async def test_offline_asks_nobody(installation):
    """What needs the network is named as not looked at."""
    done = await asyncio.to_thread(doctor, installation, "--offline", "--json")
    found = {f["name"]: f for f in document(done)["findings"]}

    assert "skip" == found["token.granted"]["grade"]
    assert "it needs the network, and --offline was said" == found["egress.proxy"]["seen"]


async def test_the_report_fits_a_screen(broken):
    """Also where everything is wrong, cause and cure of the first few are in sight."""
    broken.set("state_dir", broken.folder / "none")
    broken.mode(broken.installation.key, 0o644)
    broken.set("inbound.client_ca_file", broken.folder / "none")
    broken.provider("api_key", PENDING)
    report = await diagnose(broken.site, offline=True)

    assert len(list(printed(report))) <= 40


async def test_json_holds_what_the_screen_shows(installation):
    """Each finding has what was seen, why it matters, the cure and whom to ask."""
    done = await asyncio.to_thread(doctor, installation, "--json")
    found = document(done)

    assert "local" == found["environment"]
    assert {"name", "group", "title", "grade", "seen", "why", "cure", "ask"} == found["findings"][
        0
    ].keys()


async def test_a_token_is_explained(installation):
    """What was sent is shown decoded, each part with what is wanted of it."""
    done = await asyncio.to_thread(typed, "doctor", "token", "--explain", "-c", installation.config)

    assert 0 == done.code
    assert (
        "  kid   Northshire-LOCAL-1    key_id of ZX901; must be in the registered JWKS" in done.out
    )
    assert "nothing is wrong: a token was given" in done.out


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("PROVIDERS__NORTHSHIRE__API_KEY", "unknown", "iss, sub"),
        ("PROVIDERS__NORTHSHIRE__KEY_ID", "Northshire-LOCAL-9", "kid"),
        ("OUTBOUND__TOKEN_URL", None, "aud"),
    ],
)
async def test_the_wrong_claim_is_named(installation, monkeypatch, variable, value, part):
    """The refusal is turned into the part of the JWT, and the setting that it came from."""
    told = value or installation.addresses()["token_url"].replace("127.0.0.1", "localhost")
    monkeypatch.setenv(f"BARS_GATEWAY_{variable}", told)
    done = await asyncio.to_thread(typed, "doctor", "token", "--explain", "-c", installation.config)

    assert 1 == done.code
    assert f"\nwrong: {part}\n   try: " in done.out


async def test_neither_token_nor_signature_is_printed(installation):
    """What is shown can be sent to the desk."""
    done = await asyncio.to_thread(typed, "doctor", "token", "--explain", "-c", installation.config)

    assert "eyJ" not in done.out
    assert "access_token" not in done.out


async def test_a_report_knows_its_worst():
    """Nothing that was looked at is nothing that is wrong."""
    assert Grade.PASS is DoctorReport("local").worst
