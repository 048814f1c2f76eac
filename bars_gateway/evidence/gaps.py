"""
What is missing, and why: of the statements, of the self-assessment, and of an export.

    statements ─► partly, no                 what the gateway does not do, or not all of
    questions  ─► a person's                 what nobody can export
    an export  ─► scenes, pieces, statements what a run should have shown and did not
"""

from collections.abc import Collection, Iterator
from enum import StrEnum

from bars_gateway.evidence.pieces import PIECES, SCENES
from bars_gateway.evidence.questions import AnsweredBy, questions
from bars_gateway.frozen import frozen
from bars_gateway.standard.requirements import Conformity, statements


class GapKind(StrEnum):
    """What sort of thing is missing; the order is that in which they are told."""

    EVIDENCE = "evidence"  # a run should have shown it, and did not
    STATEMENT = "statement"  # the gateway does it in part, or not at all
    QUESTION = "question"  # somebody responsible must answer


@frozen(kw_only=True)
class EvidenceGap:
    """One thing that is missing."""

    kind: GapKind
    name: str  # of a scene or piece, a statement or a question
    what: str
    why: str


def known_gaps() -> Iterator[EvidenceGap]:
    """Yield what every export lacks: it is so by design, or somebody else's to give."""
    for each in statements():
        if each.state is not Conformity.DONE:
            yield EvidenceGap(
                kind=GapKind.STATEMENT,
                name=each.number,
                what=f"{each.state}: {each.asks}",
                why=each.note,
            )
    for question in questions():
        if question.by is AnsweredBy.PERSON:
            yield EvidenceGap(
                kind=GapKind.QUESTION,
                name=question.item,
                what=question.asks,
                why=question.note or "Somebody responsible must answer.",
            )


def gaps_of(shown: Collection[str]) -> Iterator[EvidenceGap]:
    """Yield what an export lacks that has *shown* these scenes and pieces, and no more."""
    titles = {name: scene.title for name, scene in SCENES.items()}
    titles |= {name: piece.title for name, piece in PIECES.items()}
    for name, title in titles.items():
        if name not in shown:
            told = [each.number for each in statements() if name in each.evidence]
            told += [each.item for each in questions() if name in each.evidence]
            why = f"needed for {', '.join(told)}" if told else "nothing rests on it"
            yield EvidenceGap(kind=GapKind.EVIDENCE, name=name, what=title, why=why)
