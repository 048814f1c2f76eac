"""The tables of docs/conformance.md: what the guide asks, what shows it, what an export has."""

from collections import Counter
from collections.abc import Iterator, Sequence

from bars_gateway.evidence.pieces import PIECES, SCENES
from bars_gateway.evidence.questions import AnsweredBy, AssuranceQuestion, questions
from bars_gateway.standard.requirements import UNSHOWN, Conformity, Statement, statements

_WHOSE = {AnsweredBy.RUN: "the run", AnsweredBy.PERSON: "a person"}


def statements_of_guide() -> str:
    """Return every conformance statement, and how many there are of each state."""
    counts = Counter(each.state for each in statements())
    told = ", ".join(f"{counts[state]} {state}" for state in Conformity)
    head = ("Id", "Side", "Level", "State", "What is asked", "Evidence", "Test")
    return (
        f"{len(statements())} statements: {told}.\n\n{_table(head, map(_statement, statements()))}"
    )


def _statement(each: Statement) -> Sequence[str]:
    asks = each.asks if not each.note else f"{each.asks} *({each.note})*"
    shown = _names(each.evidence) if each.unshown is None else UNSHOWN[each.unshown]
    return (each.number, each.side, each.level, each.state, asks, shown, _names(each.tests))


def assurance_questions() -> str:
    """Return the questions of the self-assessment, and what answers them."""
    return _table(
        ("Item", "Section", "Question", "Answer", "Evidence"), map(_question, questions())
    )


def _question(each: AssuranceQuestion) -> Sequence[str]:
    asks = each.asks if not each.note else f"{each.asks} *({each.note})*"
    return (f"`{each.item}`", each.section, asks, _WHOSE[each.by], _names(each.evidence))


def scenes_of_runs() -> str:
    """Return what a run plays, and which answers it must get."""
    rows = ((f"`{s.name}`", s.title, ", ".join(s.shows)) for s in SCENES.values())
    return _table(("Scene", "What it shows", "Answers, in order"), rows)


def pieces_of_exports() -> str:
    """Return the files of an export beside those of the scenes."""
    rows = ((f"`{name}`", each.title, f"`{each.file}`") for name, each in PIECES.items())
    return _table(("Name", "What it is", "File"), rows)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)
