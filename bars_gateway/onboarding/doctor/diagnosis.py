"""
Goes through all checks in the order of causes, and leaves out what rests on a failure.

    settings → machine → keys → certificates → service → way out → listener → all round

What it says fits on one screen: each group in a word, then only what is not well.

    settings 9   clock 3   folders 6 …
    FAIL  settings.api_key: nobody has told us the API key yet
          why  Without it there is no access token …
          try  Set api_key to …
          ask  the BaRS team <…>
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from bars_gateway import permissions
from bars_gateway.config import load
from bars_gateway.errors import ConfigurationError, GatewayError
from bars_gateway.onboarding import contacts
from bars_gateway.onboarding.doctor import connection_checks, identity_checks, installation_checks
from bars_gateway.onboarding.doctor.checks import Check, CheckedSite, CheckResult, DoctorReport
from bars_gateway.onboarding.grades import Grade, Seen, failed, passed, skipped, worst
from bars_gateway.ownership import as_the_gateway

_WORDS = {Grade.FAIL: "FAIL", Grade.WARN: "WARN", Grade.PASS: "ok", Grade.SKIP: "not looked at"}
_IN_FULL = 5  # what needs a person, with why and whom to ask; of the others the cure alone
_A_LINE = 6  # groups
EXIT_CODES = {Grade.SKIP: 0, Grade.PASS: 0, Grade.WARN: 1, Grade.FAIL: 2}
_MUST_PASS = {"listener.answers", "service.unit"}  # their warning is: there is none


def _reads(site: CheckedSite) -> Seen:
    return passed(f"{site.config}: {site.settings.environment}")


LOADED = Check(
    name="settings.load",
    title="The settings can be read",
    why="Nothing starts without them.",
    ask=contacts.OURSELVES,
    look=_reads,
)
CHECKS: tuple[Check, ...] = (
    LOADED,
    *installation_checks.SETTINGS,
    *installation_checks.MACHINE,
    *identity_checks.KEYS,
    *identity_checks.CERTIFICATES,
    *connection_checks.STANDING,
    *connection_checks.WAY_OUT,
    *connection_checks.DOOR,
    *connection_checks.ALL_ROUND,
)


async def diagnose_installation(
    config: Path,
    environ: Mapping[str, str],
    now: Callable[[], datetime],
    *,
    offline: bool,
    begin: Callable[[Check], None] = lambda _check: None,
) -> DoctorReport:
    """Return what all checks say of the settings at *config*; *begin* hears of each."""
    try:
        settings = load(config, environ)
    except ConfigurationError as error:
        denied = permissions.behind(error)
        if denied is not None:
            return DoctorReport("unknown", [CheckResult(check=LOADED, seen=_denied(denied))])
        cause, _, rest = str(error).partition("\n   try: ")
        more = rest.count("\n   try: ")
        also = f" (and {more} more: bars-gateway check)" if more else ""
        seen = failed(f"{cause}{also}", rest.splitlines()[0] if rest else error.advice)
        return DoctorReport("unknown", [CheckResult(check=LOADED, seen=seen)])
    site = CheckedSite(settings, config=config, environ=environ, now=now)
    with as_the_gateway(settings.state_dir, config):
        return await diagnose(site, offline=offline, begin=begin)


async def diagnose(
    site: CheckedSite,
    *,
    offline: bool = False,
    begin: Callable[[Check], None] = lambda _check: None,
) -> DoctorReport:
    """Return what all checks say of *site*."""
    report = DoctorReport(site.settings.environment)
    grades: dict[str, Grade] = {}
    for check in CHECKS:
        begin(check)
        seen = await _seen(check, site, grades, offline=offline)
        grades[check.name] = seen.grade
        report.findings.append(CheckResult(check=check, seen=seen))
    return report


async def _seen(
    check: Check, site: CheckedSite, grades: Mapping[str, Grade], *, offline: bool
) -> Seen:
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


def printed(report: DoctorReport, *, everything: bool = False) -> Iterator[str]:
    """Yield the report's lines; *everything*: with what is well, too."""
    yield from _groups(report)
    if everything:
        for finding in report.findings:
            yield f"{_WORDS[finding.seen.grade]:13}  {finding.check.name}: {finding.seen.text}"
    bad = [*report.of(Grade.FAIL), *report.of(Grade.WARN)]
    for number, finding in enumerate(sorted(bad, key=report.findings.index)):
        yield from _told(finding, in_full=everything or number < _IN_FULL)
    yield _summary(report)


def _groups(report: DoctorReport) -> Iterator[str]:
    groups: dict[str, list[Grade]] = {}
    for finding in report.findings:
        groups.setdefault(finding.check.group, []).append(finding.seen.grade)
    cells = [f"{name} {_in_a_word(grades)}" for name, grades in groups.items()]
    for start in range(0, len(cells), _A_LINE):
        yield "   ".join(cells[start : start + _A_LINE])
    yield ""


def _in_a_word(grades: list[Grade]) -> str:
    grade = worst(grades)
    if grade in {Grade.FAIL, Grade.WARN}:
        return f"{_WORDS[grade]} {grades.count(grade)}"
    return "ok" if grade is Grade.PASS else "-"


def _told(finding: CheckResult, *, in_full: bool) -> Iterator[str]:
    check, seen = finding.check, finding.seen
    yield f"{_WORDS[seen.grade]}  {check.name}: {seen.text}"
    if in_full:
        yield f"      why  {check.why}"
    yield f"      try  {seen.cure}"
    if in_full:
        yield f"      ask  {finding.ask}"


def _summary(report: DoctorReport) -> str:
    counts = {grade: len(report.of(grade)) for grade in (Grade.PASS, Grade.WARN, Grade.FAIL)}
    left = len(report.of(Grade.SKIP))
    words = "{} passed, {} warned, {} failed".format(*counts.values())
    return f"{report.environment}: {words}, {left} not looked at"
