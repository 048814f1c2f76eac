"""
How a table of sentences is made and read: by move and matter.

A row under `None` is for every matter that has none of its own. What a row asks of its
reader is the name of the function that makes it.
"""

from collections.abc import Mapping

from bars_gateway.standard.sentences.words import PARTS, Asks, Matter, Sentence
from bars_gateway.standard.workflow import Move

Rows = Mapping[Matter | None, Sentence]
ByMove = Mapping[Move, Rows]


def nothing(text: str) -> Sentence:
    """Return a sentence that asks nothing."""
    return Sentence(text, Asks.NOTHING)


def work(text: str) -> Sentence:
    """Return a sentence that asks for the ordinary next step."""
    return Sentence(text, Asks.WORK)


def check(text: str) -> Sentence:
    """Return a sentence that asks to look, and to act if it is so."""
    return Sentence(text, Asks.CHECK)


def telephone(text: str) -> Sentence:
    """Return a sentence that asks for a telephone call."""
    return Sentence(text, Asks.TELEPHONE)


def act(text: str) -> Sentence:
    """Return a sentence that alarms."""
    return Sentence(text, Asks.ACT)


def of_each_move(text: str, asks: Asks | None = None) -> ByMove:
    """Return *text* for each move; it asks what a message asks that has not arrived."""
    return {
        move: {None: Sentence(text, own.asks if asks is None else asks)}
        for move, own in PARTS.items()
    }


def found(rows: Rows, matter: Matter) -> Sentence:
    """Return the sentence for *matter*."""
    return rows[matter] if matter in rows else rows[None]
