"""
Says everything that is wrong with message files, before anybody sends them.

    FILE… ──► file:line: rule path: what is wrong        (a line for XML only)
          ──► --json: the same, as one list

Looks at a file as a Receiver does that has every Application switched on, and is the
one that the message is for; with --strict, as the gateway looks at what an EPR hands
in, and the message's own source is taken for a service of this organisation. Needs no
settings and no running gateway, and sends nothing. What stands in a file is never
printed, so that the output can be shown to anybody.

What is lenient by default is what one asks of messages that came from others; before
one's own are sent, --strict says what this gateway would refuse to send.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from bars_gateway.epr.envelope import EnvelopeProblem, doubtful, read_envelope
from bars_gateway.epr.names import Sort, sort_of
from bars_gateway.options import require_files
from bars_gateway.standard.applications import EVERYTHING, Offer
from bars_gateway.standard.examination import examine
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.rule import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a file."""

    file: str
    issue: Issue


def lint(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Message Bundles (.xml is XML, all else JSON), or their .envelope.json.",
            readable=False,  # asked after by `require_files`, in words that help
            callback=require_files,
        ),
    ],
    *,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Look as before sending, not as a Receiver does."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list, for other programs.")
    ] = False,
) -> None:
    """
    Print all that is wrong with messages, without sending them.

    Names the FHIR path, and the line of an XML file; what stands there is not printed.
    Exits with 0 if there are no errors (there may be warnings), else with 1.
    """
    found = [finding for file in files for finding in findings(file, strict=strict)]
    if as_json:
        typer.echo(orjson.dumps([_as_document(each) for each in found], option=orjson.OPT_INDENT_2))
    else:
        for each in found:
            typer.echo(_as_line(each))
    if any(each.issue.severity is Severity.ERROR for each in found):
        raise typer.Exit(1)


def findings(file: Path, *, strict: bool = False) -> list[Finding]:
    """Return all that is wrong with the message in *file*, or with the envelope of one."""
    if sort_of(file.name) is Sort.ENVELOPE:
        found = _of_envelope(file.read_bytes(), datetime.now(UTC))
        return [Finding(file=str(file), issue=issue) for issue in found]
    media_type = f"application/fhir+{'xml' if file.suffix.lower() == '.xml' else 'json'}"
    side = Side.SENDING if strict else Side.RECEIVING
    offer = Offer(services=frozenset(), applications=EVERYTHING, for_anybody=True)
    examined = examine(file.read_bytes(), media_type, side, offer)
    return [Finding(file=str(file), issue=issue) for issue in examined.issues]


def _of_envelope(content: bytes, now: datetime) -> list[Issue]:
    try:
        return doubtful(read_envelope(content), now)
    except EnvelopeProblem as problem:
        return problem.issues


def _as_line(found: Finding) -> str:
    issue = found.issue
    place = f"{found.file}:{issue.line}" if issue.line else found.file
    refused = " (in prod it is refused)" if found.issue.refused_in_production else ""
    return f"{place}: {issue.severity} {issue.rule} {issue.path}: {issue.text}{refused}"


def _as_document(found: Finding) -> dict[str, str | int | bool | None]:
    return {
        "file": found.file,
        "line": found.issue.line,
        "severity": found.issue.severity,
        "rule": found.issue.rule,
        "path": found.issue.path,
        "text": found.issue.text,
        "refused_in_production": found.issue.refused_in_production,
    }
