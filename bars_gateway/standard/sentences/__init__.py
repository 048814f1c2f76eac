"""
What a person is told of a message: one sentence for each situation, with what to do.

    Situation ──means──► the sentence of a notice, of `show` and of `queue`

The tables are data: how a message of ours ended (`outcomes`), what of it is not settled
(`waiting`), what others ask and answer, and the EPR is asked for them (`received`), what is owed
(`owed`), how a case stands that has moved on (`standing`), and what a remark adds (`remarked`).
Whoever reads only the sentence never has to guess whether to act: it names what to do, or says
that there is nothing to do.

Decisions: D-sentences.
"""

from bars_gateway.standard.sentences.situation import Situation, means
from bars_gateway.standard.sentences.words import Asks, Matter, Sentence

__all__ = ["Asks", "Matter", "Sentence", "Situation", "means"]
