"""The tables of docs/epr-contract.md: every document that goes between a gateway and an EPR."""

from bars_gateway.epr import openapi
from bars_gateway.epr.contract import FILES, file_name, writers
from bars_gateway.epr_check.judging import RULES, CheckRule
from bars_gateway.standard.answers import REFUSALS


def epr_files() -> str:
    """Return every file that one side writes for the other."""
    lines = ["| File | Written by | What it is | Schema |", "|---|---|---|---|"]
    for file in FILES:
        path = f"{file.folder}/{file.name}".lstrip("/")
        names = [path.replace("json|xml", ending) for ending in ("json", "xml")]
        shown = "`, `".join(dict.fromkeys(names))
        schema = f"`{file_name(file.schema)}`" if file.schema else "-"
        lines.append(f"| `{shown}` | {file.writer} | {file.what} | {schema} |")
    return "\n".join(lines)


def epr_documents() -> str:
    """Return the documents that are on the socket alone."""
    described = openapi.document()["components"]["schemas"]
    in_folders = {file.schema for file in FILES}
    lines = ["| Document | Written by | What it is | Schema |", "|---|---|---|---|"]
    for name, writer in writers().items():
        if name not in in_folders:
            what = described[name]["description"]
            lines.append(f"| {name} | {writer} | {what} | `{file_name(name)}` |")
    return "\n".join(lines)


def refusals_of_questions() -> str:
    """Return the words by which an EPR says no, and what the other side is told."""
    lines = ["| Word | What the other side is told | Status |", "|---|---|---|"]
    lines += [f"| `{word}` | {no.text} | {no.http_status} |" for word, no in REFUSALS.items()]
    return "\n".join(lines)


def _clauses(rule: CheckRule) -> str:
    return f"{rule.clause}, {rule.by_folder}" if rule.by_folder else rule.clause


def epr_rules() -> str:
    """Return what `epr-check` judges, in the order in which it tells it."""
    lines = ["| The EPR | Clause | How it is called for programs |", "|---|---|---|"]
    lines += [f"| {each.title} | {_clauses(each)} | `{rule}` |" for rule, each in RULES.items()]
    return "\n".join(lines)
