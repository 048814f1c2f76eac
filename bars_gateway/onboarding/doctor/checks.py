"""
What a check is, what it says, and what it may look at: the site, its machine, one GET, one token.

    CheckedSite (settings, Machine, what is known) ──► Check ─► Seen ─► CheckResult ─► DoctorReport

The machine stands apart so that a test can have one whose clock nobody sets and whose disk
is full, without breaking its own. A GET is one as an outsider would do it: no redirect,
no proxy of the environment, no patience.

    key, key id ──► sign ──► token service ──► granted, or refused with the cure

    what was sent, decoded ─► each part beside what is wanted ─► what came back ─► the culprit

A token is asked for with one key, for `doctor` and for people who are about to use a key. Nothing
is kept: the token is thrown away, and a gateway that runs is not touched, but for one request of
its quota. The JWT is printed decoded and without its signature: that can be shown to others, and
is of no use to anybody, because its `jti` is spent.
"""

import asyncio
import ctypes
import json
import os
import socket
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from cryptography import x509

from bars_gateway.config import Provider, Settings
from bars_gateway.config.doubts import doubts
from bars_gateway.config.problems import problems
from bars_gateway.config.sources import SettingsProblem
from bars_gateway.frozen import frozen
from bars_gateway.onboarding.certificate_rules import Delivered
from bars_gateway.onboarding.certificates import read_delivered
from bars_gateway.onboarding.contacts import Contact
from bars_gateway.onboarding.grades import Grade, Seen, failed, passed, warned, worst
from bars_gateway.outbound.egress import (
    Crossing,
    Egress,
    EgressProxy,
    blocked_by,
    body_within,
    egress_proxy_of,
    open_session,
)
from bars_gateway.outbound.token import (
    Credentials,
    SigningKey,
    TokenReply,
    load_signing_key,
    request_token,
    sign_assertion,
    skew_seconds,
)
from bars_gateway.outbound.token_refusals import TokenRefused, classify
from bars_gateway.store.sqlite import VERSION
from bars_gateway.tls.contexts import client_context

_OK = 200
_LONGEST_AHEAD = 300  # seconds
# What a refusal's description begins with or holds → the part of the JWT, and its setting.
_CULPRITS = (
    ("'exp'", "exp", "the clock of this machine (timedatectl)"),
    ("'iss'/'sub'", "iss, sub", "api_key: it is not known in this environment"),
    ("'aud'", "aud", "outbound.token_url: it is not this environment's"),
    ("'kid'", "kid", "key_id: it is not in the registered JWKS (which is kept for an hour)"),
    ("'jti'", "jti", "something in between repeats requests"),
    ("signature", "signature", "private_key_file: it is not the key of this key id"),
    ("register a public key", "kid", "nothing is registered: bars-gateway letters key"),
    ("JWKS endpoint", "kid", "onboarding.jwks_url: the token service cannot read it"),
)
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES = 512  # more than the structure has on any machine; all zero: only ask
SECONDS = 10.0
_MOST_BYTES = 1024 * 1024


def clock_is_set() -> bool | None:
    """Tell whether the kernel knows that somebody sets its clock; None: it does not say."""
    ask = getattr(ctypes.CDLL(None), "adjtimex", None)
    if ask is None:
        return None
    state = ask(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _UNSYNCHRONISED


def seconds_to_disk(folder: Path) -> float:
    """Return how long it takes until a small file in *folder* is on disk; it is removed again."""
    path = folder / f".doctor-{os.getpid()}"
    begun = time.monotonic()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, b"doctor")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        path.unlink(missing_ok=True)
    return time.monotonic() - begun


def addresses_of(host: str) -> frozenset[str]:
    """Return the addresses that *host* leads to; raise OSError where there are none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return frozenset(str(entry[4][0]) for entry in found)


# The operator's own before the package's: what systemd takes.
UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_UNIT = "bars-gateway.service"


def unit_in(*folders: str) -> Path:
    """Return the unit that systemd takes; where there is none, where it would be first."""
    units = [Path(folder, _UNIT) for folder in folders or UNIT_FOLDERS]
    return next((unit for unit in units if unit.exists()), units[0])


def drop_ins_in(folders: Iterable[str | Path]) -> list[Path]:
    """Return what was added to the unit, by name, as systemd reads it: the last one counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in Path(folder, f"{_UNIT}.d").glob("*.conf"):
            found.setdefault(file.name, file)
    return [found[name] for name in sorted(found)]


@frozen(kw_only=True)
class Machine:
    """The machine that is looked at."""

    clock_is_set: Callable[[], bool | None] = clock_is_set
    seconds_to_disk: Callable[[Path], float] = seconds_to_disk
    addresses_of: Callable[[str], frozenset[str]] = addresses_of
    disk: Callable[[Path], os.statvfs_result] = os.statvfs
    sqlite_version: tuple[int, ...] = VERSION
    systemd: Path = Path("/run/systemd/system")  # there where systemd manages the machine
    unit: Path = field(default_factory=unit_in)
    unit_folders: tuple[str | Path, ...] = UNIT_FOLDERS
    credentials: Path = Path("/run/credentials")


class CheckedSite:
    """One installation as it is looked at, with what earlier checks have found out."""

    def __init__(
        self,
        settings: Settings,
        *,
        config: Path,
        environ: Mapping[str, str],
        now: Callable[[], datetime],
        machine: Machine | None = None,
    ) -> None:
        self.settings = settings
        self.config = config
        self.environ = environ
        self.now = now
        self.machine = machine or Machine()
        self.probes: dict[str, Probe] = {}  # by provider, once a token was asked for
        self.jwks: dict[str, object] | None = None  # once it was fetched
        self.skew_seconds: float | None = None  # our clock less the token service's

    @cached_property
    def problems(self) -> list[SettingsProblem]:
        """What `bars-gateway check` says of the files that the settings name."""
        return problems(self.settings, self.now())

    @cached_property
    def doubts(self) -> list[SettingsProblem]:
        """What it says of them that stops no start."""
        return doubts(self.settings)

    @cached_property
    def delivered(self) -> Delivered:
        """The certificate in use, with its key."""
        inbound = self.settings.inbound
        return read_delivered(self.settings, inbound.certificate_file, inbound.private_key_file)

    @cached_property
    def authorities(self) -> list[x509.Certificate]:
        """Those whose certificates may call."""
        return list(self.delivered.trusted)

    @property
    def national(self) -> bool:
        """Whether this is INT or PROD, where others have to act and names matter."""
        return self.settings.preset.own_name_prefix is not None


Look = Callable[[CheckedSite], Seen | Awaitable[Seen]]


@frozen(kw_only=True)
class Check:
    """One thing to look at."""

    name: str  # group.thing
    title: str  # what is true if it passes
    why: str
    ask: Contact
    look: Look
    online: bool = False
    after: tuple[str, ...] = ()  # where one of these did not pass, this is not looked at

    @property
    def group(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]


@frozen(kw_only=True)
class CheckResult:
    """A check with what was seen."""

    check: Check
    seen: Seen

    @property
    def ask(self) -> str:
        """Who can help, and how they are reached."""
        return (self.seen.ask or self.check.ask).at_night

    def document(self) -> dict[str, str]:
        """Return it for other programs."""
        return {
            "name": self.check.name,
            "group": self.check.group,
            "title": self.check.title,
            "grade": self.seen.grade,
            "seen": self.seen.text,
            "why": self.check.why,
            "cure": self.seen.cure,
            "ask": self.ask,
        }


@frozen
class DoctorReport:
    """What all the checks brought."""

    environment: str
    findings: list[CheckResult] = field(default_factory=list)

    def of(self, grade: Grade) -> list[CheckResult]:
        """Return the findings of one grade, in their order."""
        return [finding for finding in self.findings if finding.seen.grade is grade]

    @property
    def worst(self) -> Grade:
        """The most severe grade of all."""
        return worst(finding.seen.grade for finding in self.findings)


def for_each(site: CheckedSite, look: Callable[[str, Provider], Seen]) -> Seen:
    """Return the most severe of what *look* says of every provider, with its name."""
    several = len(site.settings.providers) > 1
    seen = [
        (f"{name}: " if several else "", look(name, provider))
        for name, provider in site.settings.providers.items()
    ]
    prefix, most_severe = max(seen, key=lambda found: found[1].grade.severity)
    return replace(most_severe, text=f"{prefix}{most_severe.text}")


def of_problems(fine: str, *keys: str) -> Look:
    """Return a look at what `check` says of the settings that fit one of the patterns *keys*."""

    def look(site: CheckedSite) -> Seen:
        return _most_severe(site.problems, fine, keys, failed)

    return look


def of_doubts(fine: str, *keys: str) -> Look:
    """Return a look at what `check` warns of in the settings that fit one of *keys*."""

    def look(site: CheckedSite) -> Seen:
        return _most_severe(site.doubts, fine, keys, warned)

    return look


def _most_severe(
    said: list[SettingsProblem], fine: str, keys: tuple[str, ...], grade: Callable[[str, str], Seen]
) -> Seen:
    found = [p for p in said if any(fnmatchcase(p.key, key) for key in keys)]
    if not found:
        return passed(fine)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return grade(f"{found[0].key} {found[0].cause}{more}", found[0].cure)


@frozen(kw_only=True)
class Fetched:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(
    url: str,
    ca_file: Path | None,
    headers: Mapping[str, str] | None = None,
    *,
    context: ssl.SSLContext | None = None,
    seconds: float | None = None,
    egress: EgressProxy | None = None,
) -> Fetched:
    """
    Return what *url* answers; raise OSError, ClientError or TimeoutError where it does not.

    Raises EgressBlocked where it was not asked, because *egress* lets nothing out.
    """
    trust = context or client_context(ca_file)
    seconds = seconds or SECONDS
    session = open_session(trust, connections=1, connect_seconds=seconds, egress=egress)
    crossing = Crossing()
    try:
        async with (
            asyncio.timeout(seconds),
            session,
            session.get(
                url,
                headers=headers,
                proxy_headers=egress.login if egress else None,
                allow_redirects=False,
                trace_request_ctx=crossing,
            ) as response,
        ):
            body = await body_within(response, _MOST_BYTES)
            return Fetched(status=response.status, headers=response.headers, body=body or b"")
    except (OSError, aiohttp.ClientError) as error:
        blocked = blocked_by(error, egress, crossing)
        if blocked is not None:
            raise blocked from None
        raise


def cause_of(error: Exception) -> str:
    """Return why nothing came, in words that hold no address."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientSSLError():
            return "no TLS connection could be made"
        case aiohttp.ClientConnectorDNSError():
            return "its name leads nowhere"
        case TimeoutError():
            return f"no answer within {SECONDS:.0f} s"
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or "nobody answers there"
    return "the connection broke off"


@frozen(kw_only=True)
class Probe:
    """What was sent, and what came back."""

    assertion: str
    reply: TokenReply
    token: str | None  # None: refused
    refused: TokenRefused | None
    skew_seconds: float | None  # our clock less theirs


def credentials_of(settings: Settings, provider: Provider) -> tuple[Credentials, SigningKey]:
    """Return what *provider* signs with; raise IdentityError. Slow: call it in a thread."""
    key = load_signing_key(provider.private_key_file, settings.preset.minimum_key_bits)
    credentials = Credentials(token_url=settings.outbound.token_url, api_key=provider.api_key)
    return credentials, SigningKey(key_id=provider.key_id, key=key)


async def probe(
    settings: Settings, credentials: Credentials, key: SigningKey, now: datetime
) -> Probe:
    """Ask for a token once."""
    assertion = await asyncio.to_thread(
        sign_assertion, credentials, key, new_id=str(uuid.uuid4()), now=now
    )
    outbound = settings.outbound
    context = client_context(outbound.ca_file)
    way = egress_proxy_of(outbound)
    session = open_session(
        context,
        connections=1,
        connect_seconds=outbound.connect_seconds,
        egress=way,
    )
    async with session:
        reply = await request_token(
            session,
            credentials.token_url,
            assertion,
            outbound.token_seconds,
            Egress(way, now=lambda: now),
        )
    token = _token(reply)
    return Probe(
        assertion=assertion,
        reply=reply,
        token=token,
        refused=None if token else classify(reply.status, reply.body, now, reply.blocked),
        skew_seconds=skew_seconds(reply.date, now),
    )


def _token(reply: TokenReply) -> str | None:
    try:
        token = json.loads(reply.body)["access_token"] if reply.status == _OK else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return token if isinstance(token, str) and token else None


def explained(settings: Settings, provider: Provider, probe: Probe, now: datetime) -> Iterator[str]:
    """Yield what was sent, what came back, and which part was wrong."""
    header = jwt.get_unverified_header(probe.assertion)
    claims = jwt.decode(probe.assertion, options={"verify_signature": False})
    yield f"POST {settings.outbound.token_url}"
    for name, value, wanted in _parts(settings, provider, header, claims, now):
        yield f"  {name:4}  {value}    {wanted}"
    yield from _answer(probe)
    culprit = _culprit(probe)
    if culprit is not None:
        part, setting = culprit
        yield f"wrong: {part}"
        yield f"   try: {setting}"
    elif probe.refused is not None:
        yield f"wrong: {probe.refused.reason}"
        yield f"   try: {probe.refused.advice}"
    else:
        yield "nothing is wrong: a token was given"


def _parts(
    settings: Settings,
    provider: Provider,
    header: dict[str, Any],
    claims: dict[str, Any],
    now: datetime,
) -> Iterator[tuple[str, object, str]]:
    ends = datetime.fromtimestamp(claims["exp"], UTC)
    ahead = f"{(ends - now).total_seconds():.0f} s ahead; at most {_LONGEST_AHEAD}"
    yield "alg", header["alg"], "RS512, and no other"
    yield "typ", header["typ"], "JWT"
    yield "kid", header["kid"], f"key_id of {provider.ods_code}; must be in the registered JWKS"
    yield "iss", claims["iss"], "api_key"
    yield "sub", claims["sub"], "the same"
    yield "aud", claims["aud"], f"the address of {settings.environment}, exactly"
    yield "jti", claims["jti"], "new for each request"
    yield "exp", claims["exp"], f"{ends:%Y-%m-%d %H:%M:%S} UTC, {ahead}"


def _answer(probe: Probe) -> Iterator[str]:
    if probe.reply.status is None:
        yield "no answer came"
        return
    said = _said(probe)
    yield f"answered {probe.reply.status} {said.get('error', '')}".rstrip()
    for name in ("error_description", "message_id"):  # support asks for the second
        if name in said:
            yield f"  {name}: {said[name]}"
    if probe.skew_seconds is not None:
        yield f"  our clock is {probe.skew_seconds:+.0f} s off theirs"


def _culprit(probe: Probe) -> tuple[str, str] | None:
    if probe.refused is None:
        return None
    description = str(_said(probe).get("error_description", ""))
    return next(((part, cure) for mark, part, cure in _CULPRITS if mark in description), None)


def _said(probe: Probe) -> dict[str, Any]:
    try:
        found = json.loads(probe.reply.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and probe.token is None else {}
