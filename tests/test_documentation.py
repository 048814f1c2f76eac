"""
What is written for people agrees with the code: README, advice, events, targets.

Some parts of README and docs are printed from the code. To print them again after a change:

    .venv/bin/python tests/test_documentation.py
"""

import ast
import importlib
import io
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import pytest
from closed_sets import pages_of_sets, words_of_sets
from command_page import every_command, shared_options
from conformance_tables import (
    assurance_questions,
    pieces_of_exports,
    scenes_of_runs,
    statements_of_guide,
)
from contract_tables import epr_documents, epr_files, epr_rules, refusals_of_questions
from figures import collected, counters
from hazard_pages import counters as safety_counters
from hazard_pages import desks, hazards, matrix, routes, scales, summary
from http_page import operations, schemas
from json_lines import LINES, PARTS
from json_words import json_words, standing, words_of, words_unused, wrong_of_null
from promised import promised
from trail_page import kinds_written, lines_of_the_trail

import bars_gateway
from bars_gateway.cli.main import app
from bars_gateway.config import Settings
from bars_gateway.daemon import reload
from bars_gateway.demo.messages import organisation_of
from bars_gateway.epr.inbox import file_of
from bars_gateway.errors import GatewayError
from bars_gateway.log import EVENTS, FIELDS
from bars_gateway.model import interventions, messages
from bars_gateway.model.alarms import ALARMS, MEANWHILE, AlarmKind, AlarmWords
from bars_gateway.model.timeline import ANSWERS
from bars_gateway.outbound import token_refusals
from bars_gateway.outbound.circuit_breaker import OUR_TROUBLE
from bars_gateway.safety.counters import COUNTERS
from bars_gateway.sandbox.faults import KINDS
from bars_gateway.standard import answers, verdict
from bars_gateway.standard.applications import APPLICATIONS
from bars_gateway.standard.guards import GUARDS
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.links import LINK_RULES
from bars_gateway.standard.rule import IN_PRODUCTION, Rule, Side
from bars_gateway.standard.rules import RULES
from bars_gateway.standard.workflow import Role
from bars_gateway.status.concern import ConcernKind
from bars_gateway.status.metrics import FIGURE_OF
from bars_gateway.status.runbooks import RUNBOOKS, Runbook

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bars_gateway"
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
LONGEST = 100


def verdict_table() -> str:
    """Return the verdict table, in the order in which it is tried."""
    lines = ["| Row | The answer | Verdict | Fault |", "|---|---|---|---|"]
    for row in (*verdict.ROWS, verdict.SILENCE):
        cells = (f"`{row.name}`", _answer(row), row.verdict.replace("_", " "), _fault(row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict_words() -> str:
    """Return what people are told of an answer, for each row."""
    lines = ["| Row | What is said of it |", "|---|---|"]
    lines += [f"| `{row}` | {words} |" for row, words in ANSWERS.items()]
    return "\n".join(lines)


def _answer(row: verdict.VerdictRow) -> str:
    if row is verdict.SILENCE:
        return "nothing came back"
    status = ", ".join("2xx" if number == 2 else str(number) for number in row.status)
    if row.at_least:
        status = f"{row.at_least} or above"
    parts = [
        status or "anything else",
        {True: "with our two ids", False: "without our two ids", None: ""}[row.echoed],
        {True: "an OperationOutcome", False: "no OperationOutcome", None: ""}[row.outcome],
        _one_of("code", row.word),
        _one_of("code", [f"{prefix}_…" for prefix in row.prefix if not row.word]),
        _one_of("fault", [f"…{beginning}…" for beginning in row.platform]),
        _one_of("issue", row.issue),
        *(f"the body has {answers.MEANINGS[each]}" for each in row.said),
        _BEFORE[row.before],
    ]
    return "; ".join(filter(None, parts))


_BEFORE = {
    (): "",
    (verdict.Before.NOTHING,): "no attempt before it can have arrived",
    (verdict.Before.FOREIGN,): "after an answer about somebody else",
    verdict.IN_DOUBT: "after an attempt that may have arrived",
}


def _one_of(name: str, codes: Sequence[str]) -> str:
    return f"{name} {' or '.join(f'`{code}`' for code in codes)}" if codes else ""


def _fault(row: verdict.VerdictRow) -> str:
    if row.verdict is verdict.Verdict.ACKNOWLEDGED:
        return "-"
    return row.fault or "by the code"


def our_trouble() -> str:
    """Return what it means, and what to do, where the proxy refuses us."""
    lines = ["| Row | What is wrong | What to do |", "|---|---|---|"]
    lines += [f"| `{row}` | {t.reason} | {t.advice} |" for row, t in OUR_TROUBLE.items()]
    return "\n".join(lines)


def outbound_states() -> str:
    """Return the states of an outbound message, with the words of the code."""
    meanings = comments(messages, "OutboundState")
    rows = [f"| `{state}` | {meanings[state]} |" for state in messages.OutboundState]
    return "\n".join(["| State | Who moves it there, and what it waits for |", "|---|---|", *rows])


# What the gateway does, as time and answers have it; a person's verbs come from the code.
_BY_ITSELF = (
    ("queued", "sending", "claimed"),
    ("sending", "queued", r"retry:\nnothing is proved"),
    ("sending", "acknowledged", "yes, or duplicate"),
    ("sending", "refused", "no"),
    ("sending", "unconfirmed", "its time is over"),
    ("queued", "unconfirmed", r"its time passes,\nafter a POST"),
    ("queued", "not_sent", r"its time passes,\nno POST began"),
    ("held", "unconfirmed", ""),
    ("held", "not_sent", ""),
)
_LEADS_TO = {
    interventions.Verb.HOLD: "held",
    interventions.Verb.RELEASE: "queued",
    interventions.Verb.WITHDRAW: "withdrawn",
}


def drawing_of_states() -> str:
    """Return the states of an outbound message, and what leads from each to which, for `dot`."""
    lines = ["```dot", 'digraph "The states of a message that is sent" {', "  rankdir=LR"]
    open_ones = {one for one, _, _ in _BY_ITSELF}
    ends = [state for state in messages.OutboundState if state not in open_ones]
    lines.append(f"  {{ rank=same; {'; '.join(ends)} }}")
    lines += [f'  {one} -> {other} [label="{by}"]' for one, other, by in _BY_ITSELF]
    for verb, to in _LEADS_TO.items():
        lines += [
            f'  {state} -> {to} [label="{verb}" style=dashed]'
            for state in messages.OutboundState
            if state in interventions.FROM[verb] and state != to
        ]
    return "\n".join([*lines, "}", "```"])


def example(name: str, language: str) -> str:
    """Return an example as it is run."""
    return f"```{language}\n{(ROOT / 'examples' / name).read_text('utf-8')}```"


def refusals_of_tokens() -> str:
    """Return the table of the token service's refusals, in the order in which it is tried."""
    rest = ("QUOTA", "UNKNOWN", "SERVER_ERROR", "INTERMEDIARY", "SILENCE")
    rows = (*token_refusals.TABLE, *(getattr(token_refusals, name) for name in rest))
    lines = ["| Row | The refusal | Remedy | What to do |", "|---|---|---|---|"]
    for row in rows:
        remedy = f"{row.remedy}, next key" if row.next_key else row.remedy
        lines.append(f"| `{row.name}` | {_refusal(row)} | {remedy} | {row.kind.advice} |")
    return "\n".join(lines)


def _refusal(row: token_refusals.RefusalRow) -> str:
    text = f"“{row.beginning}{f' … {row.containing}' if row.containing else ''}…”"
    parts = [
        str(row.status or ""),
        f"`{row.error}`" if row.error else "",
        _one_of("fault", [f"…{beginning}…" for beginning in row.platform]),
        text if row.beginning else "",
    ]
    seen = "; ".join(filter(None, parts))
    return f"{seen}: {row.reason}" if seen else row.reason


def alarms() -> str:
    """Return what is alarming, most severe first."""
    head = ["| Kind | What it says | Look first | What to do | What else ends it |"]
    lines = []
    for kind, each in ALARMS.items():
        for words, whose in told_as(each):
            says = words.says.format(n=f"{each.noun}s")
            about = f"| `{kind}`{whose} | {says} | {words.whose} | {words.advice}"
            lines.append(f"{about} | {each.ends} |")
    return "\n".join([*head, "|---|---|---|---|---|", *lines])


def told_as(kind: AlarmKind) -> Iterator[tuple[AlarmWords, str]]:
    """Yield the words for each role, and those for what else may be so meanwhile."""
    if kind.to_responder:
        yield kind.words(Role.REQUESTER), ", you are the Requester"
        yield kind.to_responder, ", you are the Responder"
    else:
        yield kind.words(None), ""
    for meanwhile, words in kind.meanwhile.items():
        yield words, f", where {MEANWHILE[meanwhile]}"


def faults() -> str:
    """Return the kinds of faults that the sandbox knows."""
    lines = ["| Kind | Members of its own | What happens |", "|---|---|---|"]
    for kind, each in KINDS.items():
        used = ", ".join(f"`{name}`" for name in sorted(each.used)) or "-"
        lines.append(f"| `{kind}` | {used} | {each.does} |")
    return "\n".join(lines)


def log_events() -> str:
    """Return every event, with its levels and the fields of its own."""
    levels: dict[str, set[str]] = {}
    fields: dict[str, set[str]] = {}
    for event, level, call in events_logged():
        levels.setdefault(event, set()).add(level)
        fields.setdefault(event, set()).update(k.arg for k in call.keywords if k.arg)
    lines = ["| Event | Level | Fields | What it means | What to do |", "|---|---|---|---|---|"]
    for event, each in EVENTS.items():
        own = ", ".join(f"`{name}`" for name in sorted(fields[event] - {"advice"})) or "-"
        lines.append(
            f"| `{event}` | {', '.join(sorted(levels[event]))} | {own} | {each.means} | {each.do} |"
        )
    return "\n".join(lines)


def rules_of_messages() -> str:
    """Return what a message must be, in the order in which it is looked at."""
    return _rules(RULES)


def rules_of_cases() -> str:
    """Return what must fit what came before."""
    return _rules(GUARDS)


def rules_of_links() -> str:
    """Return what must be so of what a message points to."""
    return _rules(LINK_RULES)


def _rules(rows: Sequence[Rule]) -> str:
    head = ("Rule", "What is wrong, and the cure", "Sending", "Receiving")
    lines = [f"| {' | '.join(head)} | Answered with | Fixed | Source |", f"|{'---|' * 7}"]
    for row in rows:
        severities = [row.severity(side) for side in (Side.SENDING, Side.RECEIVING)]
        told = f"{row.http_status} `{row.code}`" if severities[1] is Severity.ERROR else "-"
        cells = (
            f"`{row.rule}`",
            row.text,
            *(each or "-" for each in severities),
            told,
            "yes" if row.fixed else "-",
            row.source,
        )
        lines.append("| " + " | ".join(str(each).replace("|", r"\|") for each in cells) + " |")
    return "\n".join(lines)


_WITHOUT_RESTART = re.compile(
    rf"callers\..+|inbound\.({'|'.join(reload.OF_INBOUND)})"
    rf"|alerts\.({'|'.join(reload.OF_ALERTS)})"
    rf"|providers\.[\w-]+\.({'|'.join(reload.OF_PROVIDERS)})(\..+)?"
)


def all_settings() -> str:
    """Return every setting of the shipped file, table by table, in its own words."""
    written: list[str] = []
    said: list[str] = []
    table = ""
    for line in (ROOT / "config" / "bars-gateway.toml").read_text("utf-8").splitlines():
        if header := re.fullmatch(r"#?\[(.+)\]", line):
            table = header[1].replace("example-trust", "NAME")
            written += [f"\n### `[{table}]`\n", *([" ".join(said), ""] if said else []), *_HEAD]
        elif setting := re.fullmatch(r"(#?)([\w-]+) = (.+)", line):
            if not table and not any(row in written for row in _HEAD):
                written += [*_HEAD]
            written.append(_setting(f"{table}.{setting[2]}".lstrip("."), setting, said))
        if line.startswith("# "):
            said.append(line[2:])
        else:
            said = []
    return "\n".join(written).strip()


_HEAD = ("| Setting | Default | Change taken by | What it is for |", "|---|---|---|---|")


def _setting(key: str, setting: re.Match[str], said: Sequence[str]) -> str:
    shipped = f"`{setting[3]}`" if setting[1] else "-"
    by = "reload" if _WITHOUT_RESTART.fullmatch(key) else "restart"
    words = " ".join(said) or _in_its_table(key)
    return f"| `{setting[2]}` | {shipped} | {by} | {words.replace('|', chr(92) + '|')} |"


def _in_its_table(key: str) -> str:
    """Return what is said of one of many alike, or of an example whose name is free."""
    table, _, name = key.rpartition(".")
    if table.endswith(".applications"):
        return f"{APPLICATIONS[name].name}."
    return "An example: what stands above the table holds for each."


def metrics() -> str:
    """Return every figure of `/metrics`, with its labels."""
    lines = ["| Figure | Labels | Type | What it is |", "|---|---|---|---|"]
    for each in collected():
        labels = ", ".join(f"`{name}`" for name in each._labelnames) or "-"
        name = f"{each.name}_total" if each.type == "counter" else each.name
        lines.append(f"| `{name}` | {labels} | {each.type} | {each.documentation} |")
    for each in counters():
        labels = ", ".join(f"`{name}`" for name in each._labelnames) or "-"
        name = f"{each._name}_total" if each._type == "counter" else each._name
        lines.append(f"| `{name}` | {labels} | {each._type} | {each._documentation} |")
    return "\n".join(lines)


def figures_of_concerns() -> str:
    """Return which figure tells of each kind of concern."""
    lines = ["| Concern | Figure |", "|---|---|"]
    return "\n".join(
        [*lines, *(f"| `{kind}` | `{figure}` |" for kind, figure in FIGURE_OF.items())]
    )


def runbooks() -> str:
    """Return what to do about each code, one section each."""
    return "\n\n".join(_runbook(each) for each in RUNBOOKS.values())


def _runbook(book: Runbook) -> str:
    minutes = round(book.after.total_seconds() / 60)
    stands = f", once it has stood for {minutes} min" if minutes else ""
    rows = [
        f'<a id="{book.code}"></a>',
        f"## `{book.code}`",
        "",
        f"{book.title}. {'Urgent' if book.urgent else 'Not urgent'}{stands}.",
        "",
        f"- **For patients:** {book.harm}",
        f"- **Look first {book.whose}.** {book.look}",
        f"- **Do:** {book.do}",
        f"- **It ends when:** {book.ends[0].lower()}{book.ends[1:]}",
    ]
    return "\n".join(rows)


def events_logged() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield (event, level, call) of each call of the gateway's own that logs."""
    for place, call, level in logging_calls():
        if level in LEVELS and "/sandbox/" not in place and "/demo/" not in place:
            yield ast.literal_eval(call.args[0]), level, call


def json_lines() -> str:
    """Return what each command prints for programs."""
    lines = ["| Command | Each line is | Members |", "|---|---|---|"]
    for command, line in LINES.items():
        members = ", ".join(f"`{name}`" for name in line.members)
        lines.append(f"| `{command}` | {line.of} | {members} |")
    return "\n".join(lines)


def json_parts() -> str:
    """Return what the members of these documents are made of."""
    lines = ["| Member | Each is | Members |", "|---|---|---|"]
    for name, part in PARTS.items():
        members = ", ".join(f"`{member}`" for member in part.members)
        lines.append(f"| `{name.replace(', ', '`, `')}` | {part.of} | {members} |")
    return "\n".join(lines)


PRINTED: dict[str, Callable[[], str]] = {
    "rules": rules_of_messages,
    "guards": rules_of_cases,
    "link rules": rules_of_links,
    "settings": all_settings,
    "figures": metrics,
    "concerns": figures_of_concerns,
    "runbooks": runbooks,
    "log events": log_events,
    "faults": faults,
    "token refusals": refusals_of_tokens,
    "outbound states": outbound_states,
    "drawing of the states": drawing_of_states,
    "operations": operations,
    "documents of the socket": schemas,
    "epr_by_folders.py": partial(example, "epr_by_folders.py", "python"),
    "EprByFolders.cs": partial(example, "EprByFolders.cs", "csharp"),
    "epr_by_socket.py": partial(example, "epr_by_socket.py", "python"),
    "epr_by_socket.mjs": partial(example, "epr_by_socket.mjs", "javascript"),
    "epr_by_curl.sh": partial(example, "epr_by_curl.sh", "sh"),
    "alarms": alarms,
    "our trouble": our_trouble,
    "verdicts": verdict_table,
    "verdict words": verdict_words,
    "shared options": shared_options,
    "every command": every_command,
    "json lines": json_lines,
    "json parts": json_parts,
    "json words": json_words,
    "lines of the trail": lines_of_the_trail,
    "epr files": epr_files,
    "epr documents": epr_documents,
    "epr rules": epr_rules,
    "refusals of questions": refusals_of_questions,
    "closed sets": pages_of_sets,
    "words of sets": words_of_sets,
    "safety scales": scales,
    "risk matrix": matrix,
    "hazards in short": summary,
    "hazards": hazards,
    "safety counters": safety_counters,
    "statements": statements_of_guide,
    "assurance questions": assurance_questions,
    "scenes": scenes_of_runs,
    "pieces": pieces_of_exports,
    "desks": desks,
    "routes": routes,
}


def comments(module: object, name: str) -> dict[str, str]:
    """Return value → comment of each member of the enumeration *name*."""
    source = Path(str(getattr(module, "__file__", ""))).read_text("utf-8")
    tree = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    by_line = {
        token.start[0]: token.string.removeprefix("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return {
        ast.literal_eval(node.value): by_line[node.lineno]
        for node in tree.body
        if isinstance(node, ast.Assign)
    }


def section(name: str) -> re.Pattern[str]:
    """Return what finds the printed part *name* of a document."""
    return re.compile(
        rf"(<!-- {name}: printed from the code -->\n)(.*?)(\n<!-- end -->)", re.DOTALL
    )


@cache
def readme() -> str:
    return README.read_text("utf-8")


@cache
def documents() -> dict[Path, str]:
    return {path: path.read_text("utf-8") for path in (README, *PAGES)}


@pytest.mark.parametrize("name", PRINTED)
def test_the_documents_say_what_the_code_does(name: str) -> None:
    """Their tables and diagrams are those of the code, exactly."""
    (found,) = (m for text in documents().values() if (m := section(name).search(text)))

    assert PRINTED[name]() == found[2]


def test_the_readme_is_read_to_its_end() -> None:
    """It is short enough for that."""
    assert LONGEST >= len(readme().splitlines())


def page(name: str) -> str:
    return documents()[ROOT / "docs" / name]


def test_every_command_is_on_the_page_for_operators() -> None:
    """What can be typed is named where people look first."""
    typed = page("operating.md")

    assert set() == {name for name in commands() if f"`bars-gateway {name}" not in typed}


def test_every_file_that_an_epr_may_find_is_on_one_page() -> None:
    """Whoever writes the program that collects them knows every name from the start."""
    named = set(re.findall(r"[`/](N\.\w+\.json)`", page("folders.md")))

    assert set() == {file_of(kind, "N") for kind in messages.NoticeKind} - named


@pytest.mark.parametrize("name", ["connecting.md", "first-message.md"])
def test_who_follows_a_page_sends_as_its_own_organisation(name: str) -> None:
    """A message that names another than its headers do is logged each time, and puzzles people."""
    text = page(name)
    codes = re.findall(r"(?:ods_code = \"|--environment local .*--ods-code )(\w+)", text)
    services = re.findall(r"--gateway trust=(\d+)@", text)

    assert services
    assert set(codes) == {organisation_of(f"system|{service}") for service in services}


def test_every_module_is_on_the_map() -> None:
    """Whoever looks for something finds its place; what is gone is not pointed at."""
    found = re.search(r"```\nbars_gateway/\n(.*?)```", page("architecture.md"), re.DOTALL)
    assert found is not None
    places = re.findall(r"^ {2}(\w+/?(?:, \w+/?)*) {2}", found[1], re.MULTILINE)
    mapped = {name.rstrip("/") for names in places for name in names.split(", ")}
    there = {
        path.stem
        for path in PACKAGE.iterdir()
        if not path.name.startswith("__") and (path.is_dir() or path.suffix == ".py")
    }

    assert there == mapped


def commands() -> set[str]:
    return {
        command.name or getattr(command.callback, "__name__", "")
        for command in app.registered_commands
        if not command.hidden  # an old name, for whoever is used to it
    } | {str(group.typer_instance.info.name) for group in app.registered_groups}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_a_page_tells_people_to_type_exists(path: Path) -> None:
    """A page names commands and settings as they are, and is found from the README."""
    text = path.read_text("utf-8")
    typed = set(re.findall(r"bars-gateway ([a-z][a-z-]*)", text))
    known = set(_settings())
    named = set(re.findall(r"`((?:onboarding|inbound|callers|outbound|status|epr)\.\w+)", text))

    assert set() == typed - commands()
    counted = {kind for counter in COUNTERS.values() for kind in counter.events}
    lines = set(re.findall(r"`([a-z]+\.[a-z_]+)`", lines_of_the_trail()))
    assert set() == named - known - set(ALARMS) - set(EVENTS) - set(ConcernKind) - counted - lines
    assert f"`{path.relative_to(ROOT)}`" in readme()


ASKS_WHY = re.compile(
    r"bars-gateway ((?:keys (?:new|retire)|csr new|certificate install|encryption (?:rotate|copy))"
    r"\b(?!`)(?:\{[^}]*\}|\.\w|[^`\n.;,{])*)"
)
TYPED_FROM = [*PAGES, ROOT / "README.md", *sorted((ROOT / "bars_gateway").rglob("*.py"))]


def test_what_has_to_be_given_a_reason_is_written_with_one() -> None:
    """Whoever types what a page or a cure says is not refused for an option that it left out."""
    written = {
        f"{path.relative_to(ROOT)}: {typed}"
        for path in TYPED_FROM
        for typed in ASKS_WHY.findall(path.read_text("utf-8").replace('"\n    "', ""))
    }

    assert len(written) > 20
    assert set() == {each for each in written if "--why" not in each}


def test_what_every_command_prints_for_programs_is_on_the_page() -> None:
    """Whatever takes `--json` has its members in the table."""
    typed = promised()["commands"]
    printing = {name.removesuffix(" --json") for name in typed if name.endswith(" --json")}

    assert len(printing) > 40
    assert set() == printing - set(LINES)


def test_each_member_that_is_printed_for_programs_has_words() -> None:
    """Each says what it is and when it is null, and nothing is said of what no command prints."""
    assert [] == [each for each in standing() if not words_of(*each)]
    assert set() == words_unused() | wrong_of_null()


def test_the_verbs_lead_on_from_where_the_page_says() -> None:
    """The table of verbs is that of the code."""
    row = re.compile(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|", re.MULTILINE)
    table = row.findall(page("sending.md"))

    assert {verb: sorted(states) for verb, states in interventions.FROM.items()} == {
        verb: re.findall(r"\w+", states) for verb, states in table
    }


@pytest.mark.parametrize("name", ["settings.md", "http.md"])
def test_nothing_stands_in_a_table_without_words(name: str) -> None:
    """Each setting, and each member of a document, says what it is for."""
    rows = re.findall(r"^\| `.+", page(name).replace(r"\|", " "), re.MULTILINE)

    assert len(rows) > 100
    assert [] == [row for row in rows if re.search(r"\| *\|$", row)]


def test_every_kind_of_line_in_the_audit_trail_is_explained() -> None:
    """Whoever lists the trail, or asks for a kind of it, finds what that says."""
    text = page("records.md") + page("sending.md")
    written = set(kinds_written())

    assert len(written) > 40
    assert set() == {kind for kind in written if f"`{kind}`" not in text}


def test_every_objection_is_explained() -> None:
    """Whoever is told no finds out when that happens."""
    text = page("sending.md")
    tables = (interventions.OBJECTIONS, interventions.AGAINST, interventions.HANDLING_OBJECTIONS)
    known = {code for table in tables for code in table}

    assert set() == {code for code in known if f"| `{code}` |" not in text}


def _settings() -> Iterator[str]:
    for table, field in Settings.model_fields.items():
        yield from (f"{table}.{name}" for name in getattr(field.annotation, "model_fields", ()))


def test_every_target_that_is_named_exists() -> None:
    """`make` knows what the documents tell people to type, and what they give it."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    headings = re.findall(r"^([a-z -]+):(?!=)", makefile, re.MULTILINE)
    targets = {each for heading in headings for each in heading.split()}
    paths = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *PAGES)
    typed = [
        shlex.split(found.split(" #")[0])
        for path in paths
        for found in re.findall(r"(?:`|\n {4}|&& |```sh\n)make ([^`\n]*)", path.read_text("utf-8"))
    ]
    words = {word for each in typed for word in each}
    named = {word for word in words if "=" not in word}
    given = {word.partition("=")[0] for word in words if "=" in word}

    assert {"demo", "docs", "test", "vm"} <= named
    assert set() == named - targets
    assert {"MOMENTS", "NODES"} <= given
    assert set() == {each for each in given if not re.search(rf"\b{each}\b", makefile)}


def test_what_the_receiver_tests_do_not_assert_is_printed() -> None:
    """`make conformance` cuts out what pytest says, and nothing that the tests print."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (patterns,) = re.findall(r"tests/conformance \| grep (.*)$", makefile, re.MULTILINE)
    lines = ["  a test -> 2xx -> 200", "What is not asserted, and why:", "? a test: that it is so"]
    command = ["grep", *shlex.split(patterns)]
    given = "\n".join(lines)
    cut = subprocess.run(command, check=False, input=given, capture_output=True, text=True)

    assert lines == cut.stdout.splitlines()


def test_every_page_is_in_the_table_of_contents_once() -> None:
    """What the site does not lead to is found by nobody; what it names twice is read twice."""
    named = re.findall(
        r"^      - .+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
    )
    pages = {str(path.relative_to(ROOT / "docs")) for path in PAGES}

    assert len(set(named)) == len(named)
    assert pages | {"security.md"} == set(named)  # that one is SECURITY.md


def test_every_path_that_is_named_is_of_the_project() -> None:
    """A path leads to a file of the project, or to where an installation keeps its own."""
    installed = (
        "/etc/bars-gateway/",
        "/etc/systemd/system/",
        "/opt/bars-gateway",
        "/tmp/bars-gateway-demo-",
        "/usr/lib/sysusers.d/",
        "/usr/lib/tmpfiles.d/",
        "/var/spool/bars-gateway/",
    )
    absolute = re.findall(r"(?<![\w:/.$`>|-])/[a-z]+/[\w/.-]*", re.sub(r"\w+://\S+", "", readme()))
    relative = re.findall(
        r"(?<![\w/])(?:bars_gateway|tests|config|systemd|\.ci)/[\w/.@-]*\w", readme()
    )

    assert [] == re.findall(r"\.\./|~/", readme())
    assert [] == [path for path in absolute if not path.startswith((*installed, *ROUTES))]
    assert [] == [path for path in relative if not (ROOT / path).exists()]


ROUTES = ("/messages/", "/notices/")


def modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(bars_gateway.__path__, "bars_gateway."):
        if not found.name.endswith("__main__"):
            yield found.name


def errors_of(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield error
    for child in error.__subclasses__():
        yield from errors_of(child)


def test_every_error_says_what_to_do() -> None:
    """Whoever reads an error at night reads the next step below it."""
    for name in modules():
        importlib.import_module(name)
    errors = list(errors_of(GatewayError))

    assert len(errors) > 10
    assert [] == [error.__name__ for error in errors if not error.advice.strip().endswith(".")]


LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
BINDERS = {"bind_contextvars", "bound_contextvars", "bind"}


def logging_calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Yield (place, call, name of what is called) of each call that logs or binds."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        chosen = dict(_chosen_levels(tree))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called, _, name = ast.unparse(node.func).rpartition(".")
            names = chosen.get(name, ()) if not called else (name,) if _logs(called, name) else ()
            for each in names:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node, each


def _logs(called: str, name: str) -> bool:
    logger = called in {"log", "self._log"} or called.startswith("structlog.get_logger(")
    return (logger and name in LEVELS) or name in BINDERS


def _chosen_levels(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what a level is chosen under: `report = log.debug if … else log.warning`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.IfExp):
            either = [ast.unparse(each) for each in (node.value.body, node.value.orelse)]
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if all(each.startswith("log.") for each in either):
                first, second = (each.removeprefix("log.") for each in either)
                yield ast.unparse(target), (first, second)


def test_every_event_is_a_fact_of_an_area() -> None:
    """`area.thing_happened`: events are found by name, and their names are never composed."""
    events = [(place, call) for place, call, name in logging_calls() if name in LEVELS]
    odd = [
        place
        for place, call in events
        if not isinstance(call.args[0], ast.Constant)
        or not re.fullmatch(r"[a-z]+\.[a-z_]+", str(call.args[0].value))
    ]

    assert len(events) > 20
    assert [] == odd


def test_every_rule_is_explained() -> None:
    """Whoever is refused by a rule finds it on one page."""
    text = page("rules.md")
    named = {
        rule
        for path in PACKAGE.rglob("*.py")
        if "sandbox" not in path.parts
        for rule in re.findall(r'"([A-Z]\d\d[A-Z]{0,2})"', path.read_text("utf-8"))
    }

    in_prod = " and ".join(f"`{rule}`" for rule in sorted(IN_PRODUCTION))

    assert len(named) > 100
    assert f"- **In `prod`** {in_prod} are errors on sending" in text
    assert set() == {rule for rule in named if f"`{rule}`" not in text}


def test_every_event_is_explained() -> None:
    """Whoever builds monitoring finds each, and finds none that is never logged."""
    logged = {event for event, _, _ in events_logged()}

    assert set() == logged ^ EVENTS.keys()
    assert sorted(EVENTS) == list(EVENTS)


def test_an_event_leads_to_a_runbook_that_is_there() -> None:
    """Whoever reads the line at night goes to the page that it names."""
    text = page("runbooks.md")
    named = {
        code
        for each in EVENTS.values()
        if "runbooks" in each.do
        for code in re.findall(r"`([a-z_]+\.[a-z_]+)`", each.do)
    }

    assert len(named) > 5
    assert set() == {code for code in named if f"## `{code}`" not in text}


def test_every_logged_field_is_on_the_list() -> None:
    """A field that is not would be dropped, and the line would lack what it was written for."""
    odd = [
        f"{place}: {keyword.arg}"
        for place, call, _ in logging_calls()
        for keyword in call.keywords
        if keyword.arg is not None and keyword.arg not in FIELDS  # None: a mapping of them
    ]

    assert [] == odd


def test_no_document_holds_the_words_that_say_nothing() -> None:
    """What is simple needs no word for it, and what is not does not become so."""
    words = re.compile(r"\b(simply|just|obviously|should work|magic|TO[D]O)\b", re.IGNORECASE)
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
    found = {name: words.findall((ROOT / name).read_text("utf-8")) for name in names}

    assert {} == {name: words for name, words in found.items() if words}


def printed_anew(text: str) -> str:
    """Return a document with its printed parts as the code has them now."""
    for title, printed in PRINTED.items():
        text = section(title).sub(lambda found, new=printed: found[1] + new() + found[3], text)
    return text


_PRINTING = [
    path
    for path in sorted(ROOT.glob("tests/test_*.py"))
    if f"python tests/{path.name}\n" in path.read_text("utf-8").replace("   ", "\n")
]


@pytest.mark.parametrize("path", _PRINTING, ids=lambda path: path.stem)
def test_what_prints_a_document_runs_as_its_docstring_says(path: Path) -> None:
    """With nothing but the Python of the environment."""
    loading = f"import sys; sys.path[0] = {str(path.parent)!r}; import {path.stem}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", loading],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (0, "") == (done.returncode, done.stderr)


def test_no_line_of_the_changelog_is_too_long_to_read() -> None:
    """Whoever reads it in a terminal, or compares two versions of it, sees whole lines."""
    lines = (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()

    assert [] == [number for number, line in enumerate(lines, 1) if len(line) > 120]


if __name__ == "__main__":
    for document, now in documents().items():
        document.write_text(printed_anew(now), "utf-8")
