"""What a check is, what it says, and what it may look at."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from bars_gateway.config import Provider, Settings, doubts, problems
from bars_gateway.config.sources import Problem
from bars_gateway.onboarding.certificates import Delivered, Grade
from bars_gateway.onboarding.delivery import read_delivered
from bars_gateway.onboarding.desks import Desk
from bars_gateway.onboarding.doctor.machine import Machine

if TYPE_CHECKING:
    from bars_gateway.onboarding.probing import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look brought."""

    grade: Grade
    text: str
    cure: str = ""


def passed(text: str) -> Seen:
    """Return that all is well."""
    return Seen(grade=Grade.PASS, text=text)


def warned(text: str, cure: str) -> Seen:
    """Return what will hurt later."""
    return Seen(grade=Grade.WARN, text=text, cure=cure)


def failed(text: str, cure: str) -> Seen:
    """Return what keeps us from working."""
    return Seen(grade=Grade.FAIL, text=text, cure=cure)


def skipped(text: str) -> Seen:
    """Return why nobody looked."""
    return Seen(grade=Grade.SKIP, text=text)


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
        """Whether this is INT or PROD, where desks and names matter."""
        return self.settings.bundle.own_name_prefix is not None


Look = Callable[[Site], Seen | Awaitable[Seen]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to look at."""

    name: str  # group.thing
    title: str  # what is true if it passes
    why: str
    ask: Desk
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
        grades = [finding.seen.grade for finding in self.findings]
        return max(grades, key=list(Grade).index, default=Grade.PASS)


def for_each(site: Site, look: Callable[[str, Provider], Seen]) -> Seen:
    """Return the most severe of what *look* says of every provider, with its name."""
    several = len(site.settings.providers) > 1
    seen = [
        (f"{name}: " if several else "", look(name, provider))
        for name, provider in site.settings.providers.items()
    ]
    prefix, worst = max(seen, key=lambda found: list(Grade).index(found[1].grade))
    return Seen(grade=worst.grade, text=f"{prefix}{worst.text}", cure=worst.cure)


def of_problems(fine: str, *keys: str) -> Look:
    """Return a look at what `check` says of the settings that fit one of the patterns *keys*."""

    def look(site: Site) -> Seen:
        return _gravest(site.problems, fine, keys, failed)

    return look


def of_doubts(fine: str, *keys: str) -> Look:
    """Return a look at what `check` warns of in the settings that fit one of *keys*."""

    def look(site: Site) -> Seen:
        return _gravest(site.doubts, fine, keys, warned)

    return look


def _gravest(
    said: list[Problem], fine: str, keys: tuple[str, ...], grade: Callable[[str, str], Seen]
) -> Seen:
    found = [p for p in said if any(fnmatchcase(p.key, key) for key in keys)]
    if not found:
        return passed(fine)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return grade(f"{found[0].key} {found[0].cause}{more}", found[0].cure)
