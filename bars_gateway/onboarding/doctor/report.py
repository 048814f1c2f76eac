"""
What the doctor says, on one screen: each group in a word, then only what is not well.

    settings 9   clock 3   folders 6 …
    FAIL  settings.api_key: nobody has told us the API key yet
          why  Without it there is no access token …
          try  Set api_key to …
          ask  the BaRS team <…>
"""

from collections.abc import Iterator

from bars_gateway.onboarding.certificates import Grade
from bars_gateway.onboarding.doctor.checks import Finding, Report

_WORDS = {Grade.FAIL: "FAIL", Grade.WARN: "WARN", Grade.PASS: "ok", Grade.SKIP: "not looked at"}
_IN_FULL = 5  # what needs a person, with why and whom to ask; of the others the cure alone
_A_LINE = 6  # groups
EXIT_CODES = {Grade.SKIP: 0, Grade.PASS: 0, Grade.WARN: 1, Grade.FAIL: 2}


def printed(report: Report, *, everything: bool = False) -> Iterator[str]:
    """Yield the report's lines; *everything*: with what is well, too."""
    yield from _groups(report)
    if everything:
        for finding in report.findings:
            yield f"{_WORDS[finding.seen.grade]:13}  {finding.check.name}: {finding.seen.text}"
    bad = [*report.of(Grade.FAIL), *report.of(Grade.WARN)]
    for number, finding in enumerate(sorted(bad, key=report.findings.index)):
        yield from _told(finding, in_full=everything or number < _IN_FULL)
    yield _summary(report)


def _groups(report: Report) -> Iterator[str]:
    groups: dict[str, list[Grade]] = {}
    for finding in report.findings:
        groups.setdefault(finding.check.group, []).append(finding.seen.grade)
    cells = [f"{name} {_standing(grades)}" for name, grades in groups.items()]
    for start in range(0, len(cells), _A_LINE):
        yield "   ".join(cells[start : start + _A_LINE])
    yield ""


def _standing(grades: list[Grade]) -> str:
    worst = max(grades, key=list(Grade).index)
    if worst in {Grade.FAIL, Grade.WARN}:
        return f"{_WORDS[worst]} {grades.count(worst)}"
    return "ok" if worst is Grade.PASS else "-"


def _told(finding: Finding, *, in_full: bool) -> Iterator[str]:
    check, seen = finding.check, finding.seen
    yield f"{_WORDS[seen.grade]}  {check.name}: {seen.text}"
    if in_full:
        yield f"      why  {check.why}"
    yield f"      try  {seen.cure}"
    if in_full:
        yield f"      ask  {check.ask}"


def _summary(report: Report) -> str:
    counts = {grade: len(report.of(grade)) for grade in (Grade.PASS, Grade.WARN, Grade.FAIL)}
    left = len(report.of(Grade.SKIP))
    words = "{} passed, {} warnings, {} failed".format(*counts.values())
    return f"{report.environment}: {words}, {left} not looked at"
