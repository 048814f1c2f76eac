"""
What a person is told of a message: one sentence for each situation, with what to do.

    Situation ──means──► the sentence of a notice, of `show` and of `queue`

The tables are data: what became of a message of ours, and of an answer that is owed (`outcomes`),
what others ask and answer, what the EPR is asked for them, and what a remark adds (`received`).
Which of them is said, and how a case stands that has moved on, is told in `situation`.
Whoever reads only the sentence never has to guess whether to act: it names what to do, or says
that there is nothing to do.

Decisions: D-sentences.
"""

from bars_gateway.standard.sentences.situation import Situation, means
from bars_gateway.standard.sentences.words import Asks, Matter, Sentence

__all__ = ["Asks", "Matter", "Sentence", "Situation", "means"]
