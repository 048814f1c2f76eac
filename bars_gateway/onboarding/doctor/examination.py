"""
Goes through all checks in the order of causes, and leaves out what rests on a failure.

    settings → machine → keys → certificates → service → way out → listener → all round
"""

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from bars_gateway import permissions
from bars_gateway.config import load
from bars_gateway.errors import ConfigurationError, GatewayError
from bars_gateway.onboarding import desks
from bars_gateway.onboarding.certificates import Grade
from bars_gateway.onboarding.doctor import (
    certificate_checks,
    key_checks,
    listener_checks,
    machine_checks,
    settings_checks,
    token_checks,
)
from bars_gateway.onboarding.doctor.checks import (
    Check,
    Finding,
    Report,
    Seen,
    Site,
    failed,
    passed,
    skipped,
)


def _reads(site: Site) -> Seen:
    return passed(f"{site.config}: {site.settings.environment}")


LOADED = Check(
    name="settings.load",
    title="The settings can be read",
    why="Nothing starts without them.",
    ask=desks.OURSELVES,
    look=_reads,
)
_MUST_PASS = {"listener.answers", "service.unit"}  # their warning is: there is none
CHECKS: tuple[Check, ...] = (
    LOADED,
    *settings_checks.CHECKS,
    *machine_checks.CHECKS,
    *key_checks.CHECKS,
    *certificate_checks.CHECKS,
    *listener_checks.STANDING,
    *token_checks.WAY_OUT,
    *listener_checks.DOOR,
    *token_checks.ALL_ROUND,
)


async def examine_installation(
    config: Path,
    environ: Mapping[str, str],
    now: Callable[[], datetime],
    *,
    offline: bool,
    begin: Callable[[Check], None] = lambda _check: None,
) -> Report:
    """Return what all checks say of the settings at *config*; *begin* hears of each."""
    try:
        settings = load(config, environ)
    except ConfigurationError as error:
        denied = permissions.behind(error)
        if denied is not None:
            return Report("unknown", [Finding(check=LOADED, seen=_denied(denied))])
        cause, _, rest = str(error).partition("\n   try: ")
        more = rest.count("\n   try: ")
        also = f" (and {more} more: bars-gateway check)" if more else ""
        seen = failed(f"{cause}{also}", rest.splitlines()[0] if rest else error.advice)
        return Report("unknown", [Finding(check=LOADED, seen=seen)])
    site = Site(settings, config=config, environ=environ, now=now)
    return await examine(site, offline=offline, begin=begin)


async def examine(
    site: Site, *, offline: bool = False, begin: Callable[[Check], None] = lambda _check: None
) -> Report:
    """Return what all checks say of *site*."""
    report = Report(site.settings.environment)
    grades: dict[str, Grade] = {}
    for check in CHECKS:
        begin(check)
        seen = await _seen(check, site, grades, offline=offline)
        grades[check.name] = seen.grade
        report.findings.append(Finding(check=check, seen=seen))
    return report


async def _seen(check: Check, site: Site, grades: Mapping[str, Grade], *, offline: bool) -> Seen:
    if check.online and offline:
        return skipped("it needs the network, and --offline was said")
    unmet = [name for name in check.after if not _bears(name, grades[name])]
    if unmet:
        return skipped(f"it rests on {unmet[0]}")
    try:
        looked = check.look(site)
        return await looked if inspect.isawaitable(looked) else looked
    except (GatewayError, OSError) as error:
        denied = permissions.behind(error)
        if denied is None:
            raise
        return _denied(denied)


def _denied(error: OSError) -> Seen:
    denial = permissions.explained(error)
    return failed(denial.cause, denial.cure)


def _bears(name: str, grade: Grade) -> bool:
    """Tell whether what was looked at as *name* can carry what rests on it."""
    return grade is Grade.PASS or (grade is Grade.WARN and name not in _MUST_PASS)
