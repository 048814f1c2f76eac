"""
Which word of a Responder came before which: by its stamps, and by what they cannot mean.

    words so far, as they came ──┐
    stamps of a new one ─────────┴──placed──► Place: is it the newest, and what did it follow?

*Planned* is the first yes of a control room, or it stands down whoever was sent: only what came
before it tells. A desk whose clock is slow stamps it earlier than the allocation, and it would
read as a yes that was overtaken, while nobody is on the way. So a second one is never the first
yes; nor is one that is stamped before anybody had asked, where the allocation is not.

Decisions: D-meaning, D-newest-holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from bars_gateway.standard.meaning import CLOCKS_DIFFER, Said

_TELLS_NOTHING = frozenset({Said.UNCLEAR, Said.ACCEPTED})  # of what *planned* follows
_SENT = frozenset({Said.ASSIGNED, Said.ON_SCENE, Said.STOOD_DOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A word that came, and when it was said, as far as its stamps can be believed."""

    says: Said
    said_at: datetime
    sent_at: datetime
    came_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a new word stands among those that came before it."""

    newest: bool  # nothing that was said later came before it
    follows: Said | None  # the newest word that it may have been said after


def placed(
    so_far: Sequence[Spoken], said_at: datetime, sent_at: datetime, asked_at: datetime
) -> Place:
    """Return the place of a word with those stamps; *so_far* has the newest first."""
    key, began = (said_at, sent_at), asked_at - CLOCKS_DIFFER
    is_second = any(word.says is Said.ACCEPTED and word.said_at != said_at for word in so_far)
    sent = (word.says for word in so_far if word.says in _SENT and is_second)
    telling = (
        word.says
        for word in so_far
        if word.says not in _TELLS_NOTHING
        and (_may_precede(word, key) or (word.says in _SENT and said_at < began <= word.said_at))
    )
    newest = not so_far or (so_far[0].said_at, so_far[0].sent_at) <= key
    return Place(newest=newest, follows=next(chain(sent, telling), None))


def _may_precede(word: Spoken, key: tuple[datetime, datetime]) -> bool:
    """
    Tell whether what came before may have been said before, too.

    What is stamped as late as it came, or later, was said at some time before that: nobody
    knows when. After such an allocation *planned* may stand it down, and is read so.
    """
    return (word.said_at, word.sent_at) <= key or word.said_at >= word.came_at
