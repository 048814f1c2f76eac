"""
Every closed set of the package: which people meet, and where each word of it is explained.

A set is either met (`MET`), on a page that has each of its words, or in the glossary itself; or
nobody meets its words (`UNMET`), and it says here why.
"""

import ast
import importlib
import io
import pkgutil
import tokenize
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

import bars_gateway

GLOSSARY = "docs/glossary.md"
HAZARD_LOG = "docs/safety/hazard-log.md"
# By its module and name, in the order of the glossary: what it is called, and its page.
MET: Mapping[str, tuple[str, str]] = {
    "model.messages.OutboundState": ("states of an outbound message", "docs/states.md"),
    "standard.verdict.Verdict": ("verdicts on an answer", GLOSSARY),
    "standard.verdict.FaultSide": ("whose fault it was", GLOSSARY),
    "model.messages.Part": ("parts of a message that are kept", GLOSSARY),
    "model.interventions.Verb": ("verbs of an operator or the EPR", "docs/sending.md"),
    "standard.workflow.State": ("states of a workflow", GLOSSARY),
    "standard.workflow.Move": ("moves of a workflow", GLOSSARY),
    "standard.workflow.RequestType": ("request types", GLOSSARY),
    "standard.workflow.Role": ("our side of a workflow", GLOSSARY),
    "standard.meaning.Said": ("what a response says", "docs/clinical.md"),
    "standard.meaning.Reason": ("codes of a rejection", "docs/clinical.md"),
    "standard.remarks.Remark": ("remarks", "docs/workflows.md"),
    "standard.links.LinkKind": ("kinds of links", GLOSSARY),
    "standard.links.By": ("what links two workflows", "docs/workflows.md"),
    "standard.links.Relation": ("what the linked workflow is", "docs/workflows.md"),
    "standard.timing.AtItsTime": ("what the clinical time does", "docs/timing.md"),
    "standard.findings.Current": ("what a read before a cancellation has shown", GLOSSARY),
    "standard.findings.Reconciliation": ("what came of looking for an id", "docs/sending.md"),
    "model.messages.NoticeKind": ("kinds of notices", "docs/clinical.md"),
    "store.asides.Aside": ("what is set aside", "docs/runbooks.md"),
    "status.concern.ConcernKind": ("kinds of concerns", "docs/runbooks.md"),
    "status.concern.FlowKind": ("that nothing flows", "docs/runbooks.md"),
    "status.concern.OutsideKind": ("what only others see", "docs/runbooks.md"),
    "model.alerts.Channel": ("channels of an alert", GLOSSARY),
    "model.alerts.AlertStep": ("steps of an alert", GLOSSARY),
    "status.health.HealthState": ("states of what the gateway needs", GLOSSARY),
    "store.subjects.NamedAs": ("where an NHS number stands", "docs/records.md"),
    "model.trail.BreachKind": ("what is wrong with the audit trail", "docs/records.md"),
    "model.counts.AlarmEnd": ("how an alarm ended", GLOSSARY),
    "store.counterparties.Standing": ("how a counterparty stands", GLOSSARY),
    "model.explanation.Turn": ("whose turn it is", GLOSSARY),
    "model.explanation.Stall": ("why nothing goes out", GLOSSARY),
    "model.timeline.Party": ("who did something", GLOSSARY),
    "store.aftermath.Became": ("what a restore did with a message", GLOSSARY),
    "model.retention.RecordClass": ("what is kept for a time of its own", "docs/records.md"),
    "upkeep.housekeeping.ExpiringKind": ("what expires", GLOSSARY),
    "outbound.token_refusals.Remedy": ("what ends a refusal of tokens", GLOSSARY),
    "console.visitor.UserRole": ("roles of users", "docs/console.md"),
    "console.refusals.RefusalReason": ("refusals of the console", "docs/console.md"),
    "safety.desks.DeskName": ("desks of an incident", "docs/safety/incidents.md"),
    "safety.risk.Harm": ("harms of a hazard", HAZARD_LOG),
    "safety.risk.Likelihood": ("likelihoods of a hazard", HAZARD_LOG),
    "safety.counters.CounterName": ("counters of the safety report", HAZARD_LOG),
    "config.environments.Environment": ("environments", "docs/settings.md"),
    "standard.rule.AgreedSeverity": ("severities by agreement", "docs/settings.md"),
    "standard.rule.Side": ("sides of a rule", GLOSSARY),
    "standard.issues.Severity": ("severities of an issue", GLOSSARY),
    "onboarding.checklist.StepState": ("how far a step of the checklist is", GLOSSARY),
    "onboarding.grades.Grade": ("grades of a check", GLOSSARY),
    "sandbox.faults.FaultKind": ("faults of the sandbox", "docs/sandbox.md"),
    "sandbox.faults.OutageMode": ("how the sandbox's token service is down", GLOSSARY),
    "sandbox.counterparty.services.Of": ("what a script is about", "docs/sandbox.md"),
    "sandbox.counterparty.services.Deviation": ("verbs of a script", "docs/sandbox.md"),
    "sandbox.counterparty.message_handler.Direction": ("who asked the counterparty", GLOSSARY),
    "standard.requirements.Conformity": ("how much of a statement is there", GLOSSARY),
    "evidence.gaps.GapKind": ("what evidence lacks", GLOSSARY),
    "epr_check.findings.EprResult": ("how an EPR did by a rule", "docs/epr-contract.md"),
}
# Whose words nobody meets, or meets as sentences that say what they mean; and why.
UNMET: Mapping[str, str] = {
    "evidence.questions.AnsweredBy": "a word of a table, printed in words",
    "evidence.tape.Leg": "each is its own sentence",
    "standard.requirements.Unshown": "each chooses a sentence, in docs/conformance.md",
    "cli.completion.Shell": "names of programs, listed by `--help`",
    "cli.suppliers.CheckDoor": "the two doors, listed by `--help`",
    "epr_check.sightings.Addition": "each is its own words, in what the check prints",
    "epr_check.sightings.OthersWant": "each is its own words, in what the check prints",
    "epr_check.sightings.FileEvent": "each is its own words, in what the check prints",
    "epr.contract.DocumentWriter": "each is its own words, in docs/epr-contract.md",
    "epr.outbox.Mark": "letters in names of files that are the gateway's own",
    "epr.spool.Cause": "each chooses a sentence about a file",
    "epr.spool.Sort": "what a file is by its name, for the flow alone",
    "inbound.connection.Failure": "each is its own sentence, in the log",
    "model.alarms.AlarmScope": "which id one alarm is kept for",
    "model.alarms.Whose": "each is its own words, in docs/runbooks.md",
    "model.alarms.Meanwhile": "each chooses the words of an alarm",
    "model.incidents.IncidentKind": "what an id is of, listed by `--help`",
    "model.messages.Names": "each chooses a sentence about a patient",
    "sandbox.counterparty.replies.StatefulEvent": "rows of NHS England's own table",
    "sandbox.counterparty.replies.PatientStage": "rows of NHS England's own table",
    "sandbox.counterparty.services.Habit": "each is its own sentence, in a list of services",
    "standard.answers.AnswerSubject": "each chooses a row of docs/answers.md",
    "standard.applications.Answers": "what an Application has its Responder send",
    "standard.compositions.Need": "each is the name of a member that is missing",
    "standard.findings.ReadProgress": "each chooses a sentence of `explain`",
    "standard.formats.Format": "media types",
    "standard.meaning.Owner": "each is its own words, in docs/moves.md",
    "standard.patients.Sameness": "each chooses a rule or a remark",
    "standard.sentences.outcomes.Known": "each chooses a sentence",
    "standard.sentences.words.Matter": "each chooses the words of a sentence",
    "standard.tree.Stray": "signs in the tree that XML is read into",
    "standard.verdict.Before": "each chooses a row of docs/answers.md",
    "store.explanations.Where": "each chooses a sentence of `explain`",
    "store.sqlite.restore.DatabaseCondition": "each chooses a sentence of `restore`",
}


@cache
def closed_sets() -> Mapping[str, type[StrEnum]]:
    """Return every StrEnum of the package, by its module and name."""
    found: dict[str, type[StrEnum]] = {}
    for module in map(importlib.import_module, sorted(_modules())):
        for name, value in vars(module).items():
            is_set = isinstance(value, type) and issubclass(value, StrEnum) and len(value) > 0
            if is_set and value.__module__ == module.__name__:
                found[f"{module.__name__.removeprefix('bars_gateway.')}.{name}"] = value
    return found


def pages_of_sets() -> str:
    """Return each set that people meet, with its words and its page."""
    lines = ["| Set | Its words | Explained |", "|---|---|---|"]
    for name, (title, page) in MET.items():
        words = [f"`{each}`" for each in closed_sets()[name]]
        told = ", ".join(words) if len(words) <= 14 else f"{len(words)} words"
        lines.append(f"| {title} | {told} | {'below' if page == GLOSSARY else f'`{page}`'} |")
    return "\n".join(lines)


def words_of_sets() -> str:
    """Return what each word means, of the sets that have no page of their own."""
    lines = ["| Set | Word | Meaning |", "|---|---|---|"]
    for name, (title, page) in MET.items():
        if page == GLOSSARY:
            lines += [
                f"| {title} | `{word}` | {meaning or '-'} |"
                for word, meaning in meanings(closed_sets()[name])
            ]
    return "\n".join(lines)


def meanings(words: type[StrEnum]) -> Iterator[tuple[str, str]]:
    """Yield each word of a set, with the comment beside it in the source."""
    module = importlib.import_module(words.__module__)
    source = Path(str(module.__file__)).read_text("utf-8")
    beside = {
        token.start[0]: token.string.removeprefix("# ").partition("# noqa")[0].strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (found,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == words.__name__
    )
    for node in found.body:
        if isinstance(node, ast.Assign):
            comment = beside.get(node.lineno, "")
            yield ast.literal_eval(node.value), "" if comment.startswith("noqa") else comment


def _modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(bars_gateway.__path__, "bars_gateway."):
        if not found.name.endswith("__main__"):
            yield found.name
