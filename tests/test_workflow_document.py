"""
docs/workflows.md is printed from the tables of the standard, to the letter.

    .venv/bin/python tests/test_workflow_document.py      prints it anew after a change
"""

from collections.abc import Iterable
from pathlib import Path

from bars_gateway.standard import remarks, workflow
from bars_gateway.standard.applications import APPLICATIONS, Answers, Application
from bars_gateway.standard.guards import GUARDS, Guard
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.use_cases import USE_CASE_NAMES
from bars_gateway.standard.workflow import State

DOCUMENT = Path(__file__).parent.parent / "docs" / "workflows.md"

INTRODUCTION = """\
# Workflows

A workflow is one referral, validation or booking, from its request to its end. A message moves
it when it is received, or when it was sent and has been acknowledged. What is here is printed
from the tables that the gateway obeys (`standard/applications.py`, `workflow.py`, `guards.py`,
`remarks.py`): `python tests/test_workflow_document.py` prints it anew.
"""
ANSWERS = {
    Answers.NONE: "none beyond the acknowledgement",
    Answers.ONE: "one final response, perhaps after an interim one",
    Answers.STREAM: "one each time that things have moved",
}


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [list(titles), *(list(row) for row in rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|---" * len(cells[0]) + "|", *lines[1:]])


def applications() -> str:
    return table(
        ("Application", "Version", "About", "Use cases", "Responses"),
        (
            (
                f"`{each.code}` {each.name}",
                f"{each.version} ({each.phase})",
                ", ".join(sorted(each.subjects)),
                ", ".join(f"`{code}`" for code in use_cases(each)),
                ANSWERS[each.answers],
            )
            for each in APPLICATIONS.values()
        ),
    )


def use_cases(of: Application) -> list[str]:
    return [code for code in USE_CASE_NAMES if application_of(code) == of.code]


def diagram() -> str:
    """Return the states as a diagram that browsers of repositories draw."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> requested: the EPR hands it in"]
    for state, moves in workflow.TRANSITIONS.items():
        leads: dict[State, list[str]] = {}
        for move, after in moves.items():
            leads.setdefault(after, []).append(move)
        lines += [f"    {state} --> {after}: {', '.join(by)}" for after, by in leads.items()]
    lines += [f"    {state} --> [*]" for state in workflow.TRANSITIONS if state in workflow.FINAL]
    return "\n".join([*lines, "```"])


def words() -> str:
    return table(
        ("Event", "Reason", "Focus", "Its status", "Move"),
        (
            (
                f"`{row.event}`",
                listed(row.reasons),
                listed(row.focus),
                listed(row.statuses),
                f"**{row.move}**",
            )
            for row in workflow.SENTENCES
        ),
    )


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def guards() -> str:
    return table(
        ("Rule", "Move", "Where", "In the states", "Sending", "Receiving", "What the sender reads"),
        (
            (
                f"`{guard.rule}`",
                listed(guard.moves),
                where(guard),
                "every" if guard.states == frozenset(State) else listed(guard.states),
                guard.sending or "-",
                answer(guard),
                guard.text,
            )
            for guard in GUARDS
        ),
    )


def where(guard: Guard) -> str:
    if guard.use_cases is not None:
        return listed(guard.use_cases)
    if set(APPLICATIONS) <= guard.applications:
        return "everywhere"
    return listed(guard.applications)


def answer(guard: Guard) -> str:
    if guard.receiving is None:
        return "-"
    return f"{guard.receiving}, {guard.http_status} `{guard.issue}`"


def remarked() -> str:
    return table(
        ("Remark", "What the EPR is told"),
        ((f"`{remark}`", meaning) for remark, meaning in remarks.MEANINGS.items()),
    )


def document() -> str:
    return "\n".join(
        [
            INTRODUCTION,
            "## The Applications\n",
            f"{applications()}\n",
            "## The states\n",
            f"{diagram()}\n",
            "## What moves a workflow\n",
            "The first row that fits says what a message means; one that fits none is refused.\n",
            f"{words()}\n",
            "## What is refused\n",
            "On sending, an *error* refuses a message to the EPR while the user is still there. On",
            "receipt it is the answer to the Sender; a *warning* lets the message through. The",
            "`rules` of a provider soften or harden each row for single counterparties.\n",
            f"{guards()}\n",
            "## What is remarked upon\n",
            "No response is refused for its time: it is stored and delivered, and its notice has",
            "these words in `remarks`.\n",
            f"{remarked()}\n",
        ]
    )


def test_the_document_says_what_the_tables_say() -> None:
    """Whoever reads it reads the rules in force."""
    assert document() == DOCUMENT.read_text("utf-8")


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(), "utf-8")
