"""
Says everything that is wrong with message files, before anybody sends them.

    FILE… ──► file:line: rule path: what is wrong        (a line for XML only)
          ──► --json: the same, as one list

Looks at a file as the gateway looks at what an EPR hands in: the structure of R4, and
then the rules for sending, as if the message's own source were a service of this
organisation. Needs no settings and no running gateway, and sends nothing. What stands
in a file is never printed, so that the output can be shown to anybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import orjson
import typer

from bars_gateway.standard import bundle, rules, structure, xml
from bars_gateway.standard.headers import normalised
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.rules import Offer, Side
from bars_gateway.standard.tree import MalformedBundle, Resource

_LATE = "stands later than R4 has it: receivers may refuse that in XML"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a file."""

    file: str
    line: int | None  # of an XML file, where the element is in it
    issue: Issue


def lint(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Message Bundles; .xml is read as XML, everything else as JSON.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list, for other programs.")
    ] = False,
) -> None:
    """
    Print all that is wrong with messages, without sending them.

    Names the FHIR path, and the line of an XML file; what stands there is not printed.
    Exits with 0 if there are no errors (there may be warnings), else with 1.
    """
    found = [finding for file in files for finding in findings(file)]
    if as_json:
        typer.echo(orjson.dumps([_as_document(each) for each in found], option=orjson.OPT_INDENT_2))
    else:
        for each in found:
            typer.echo(_as_line(each))
    if any(each.issue.severity is Severity.ERROR for each in found):
        raise typer.Exit(1)


def findings(file: Path) -> list[Finding]:
    """Return all that is wrong with the message in *file*: its structure, then the rules."""
    try:
        tree, document = _read(file)
        issues = [*_of_structure(tree, document), *_of_rules(tree)]
    except MalformedBundle as error:
        return [Finding(file=str(file), line=error.line, issue=error.issue)]
    lines = document.lines if document and issues else {}
    return [
        Finding(file=str(file), line=_line(lines, issue.path), issue=issue)
        for issue in dict.fromkeys(issues)
    ]


def _read(file: Path) -> tuple[Resource, xml.Document | None]:
    body = file.read_bytes()
    if file.suffix.lower() != ".xml":
        return bundle.from_json(body), None
    document = xml.to_tree(body)
    return document.tree, document


def _of_structure(tree: Resource, document: xml.Document | None) -> list[Issue]:
    late = document.out_of_order if document else []
    return [
        *structure.check(tree, path=bundle.text_of(tree, "resourceType") or "Bundle"),
        *(Issue(rule="B01", path=path, text=_LATE, severity=Severity.WARNING) for path in late),
    ]


def _of_rules(tree: Resource) -> list[Issue]:
    try:
        message = bundle.said_by(tree)
    except MalformedBundle as error:
        return [error.issue]
    source = frozenset({normalised(message.source)})
    return rules.check(message, Side.SENDING, Offer(services=source, applications={}))


def _line(lines: Mapping[str, int], path: str) -> int | None:
    """Return the line of *path*, or of the nearest element around it."""
    while path:
        line = lines.get(path) or lines.get(f"{path}[0]")
        if line:
            return line
        path = path.rpartition(".")[0]
    return None


def _as_line(found: Finding) -> str:
    place = f"{found.file}:{found.line}" if found.line else found.file
    issue = found.issue
    return f"{place}: {issue.severity} {issue.rule} {issue.path}: {issue.text}"


def _as_document(found: Finding) -> dict[str, str | int | None]:
    return {
        "file": found.file,
        "line": found.line,
        "severity": found.issue.severity,
        "rule": found.issue.rule,
        "path": found.issue.path,
        "text": found.issue.text,
    }
