"""
What a check is, what it says, and what it may look at: the site, its machine, and one GET.

    Site (settings, Machine, what was found) ──► Check ──► Seen ──► Finding ──► Report

The machine stands apart so that a test can have one whose clock nobody sets and whose disk
is full, without breaking its own. A GET is one as an outsider would do it: no redirect,
no proxy of the environment, no patience.
"""

import asyncio
import ctypes
import os
import socket
import sqlite3
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from cryptography import x509

from bars_gateway.config import Provider, Settings, doubts, problems
from bars_gateway.config.sources import Problem
from bars_gateway.onboarding.certificate_rules import Delivered
from bars_gateway.onboarding.certificates import read_delivered
from bars_gateway.onboarding.contacts import Contact
from bars_gateway.onboarding.grades import Grade, Seen, failed, passed, warned, worst
from bars_gateway.outbound.egress import (
    Crossing,
    EgressProxy,
    blocked_by,
    body_within,
    open_session,
)
from bars_gateway.tls.contexts import client_context

if TYPE_CHECKING:
    from bars_gateway.onboarding.probing import Probe

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine that is looked at."""

    clock_is_set: Callable[[], bool | None] = clock_is_set
    seconds_to_disk: Callable[[Path], float] = seconds_to_disk
    addresses_of: Callable[[str], frozenset[str]] = addresses_of
    disk: Callable[[Path], os.statvfs_result] = os.statvfs
    sqlite_version: tuple[int, ...] = sqlite3.sqlite_version_info
    systemd: Path = Path("/run/systemd/system")  # there where systemd manages the machine
    unit: Path = Path("/etc/systemd/system/bars-gateway.service")
    credentials: Path = Path("/run/credentials")


class Site:
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
    def problems(self) -> list[Problem]:
        """What `bars-gateway check` says of the files that the settings name."""
        return problems(self.settings, self.now())

    @cached_property
    def doubts(self) -> list[Problem]:
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
        return self.settings.bundle.own_name_prefix is not None


Look = Callable[[Site], Seen | Awaitable[Seen]]


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check with what was seen."""

    check: Check
    seen: Seen

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
            "ask": str(self.check.ask),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What a whole examination brought."""

    environment: str
    findings: list[Finding] = field(default_factory=list)

    def of(self, grade: Grade) -> list[Finding]:
        """Return the findings of one grade, in their order."""
        return [finding for finding in self.findings if finding.seen.grade is grade]

    @property
    def worst(self) -> Grade:
        """The most severe grade of all."""
        return worst(finding.seen.grade for finding in self.findings)


def for_each(site: Site, look: Callable[[str, Provider], Seen]) -> Seen:
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

    def look(site: Site) -> Seen:
        return _most_severe(site.problems, fine, keys, failed)

    return look


def of_doubts(fine: str, *keys: str) -> Look:
    """Return a look at what `check` warns of in the settings that fit one of *keys*."""

    def look(site: Site) -> Seen:
        return _most_severe(site.doubts, fine, keys, warned)

    return look


def _most_severe(
    said: list[Problem], fine: str, keys: tuple[str, ...], grade: Callable[[str, str], Seen]
) -> Seen:
    found = [p for p in said if any(fnmatchcase(p.key, key) for key in keys)]
    if not found:
        return passed(fine)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return grade(f"{found[0].key} {found[0].cause}{more}", found[0].cure)


@dataclass(frozen=True, slots=True, kw_only=True)
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
            return "no TLS connection came about"
        case aiohttp.ClientConnectorDNSError():
            return "its name leads nowhere"
        case TimeoutError():
            return f"no answer within {SECONDS:.0f} s"
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or "nobody answers there"
    return "the connection broke off"
