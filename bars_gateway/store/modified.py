"""
What may change the meaning of a message, remembered: each is read whole once for that.

    a notice, or a question, is looked at ──► known? ─┬─ yes ──► its places
                                                      └─ no ───► the message is read: a few know it

What waits is looked at again with every step of its delivery, and a message may be megabytes. It is
read in the thread of whoever reads the store, and of no other: nothing else waits for it.
"""

from collections.abc import Callable, Collection
from typing import Final

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.remarks import OF_MODIFIERS, Remark
from bars_gateway.standard.rules.modifiers import modifiers_of

_MOST_KNOWN: Final = 256  # messages


class KnownModifiers:
    """The places in messages that were looked at lately."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, tuple[Remark, ...]], tuple[Issue, ...]] = {}

    def of(
        self, number: int, remarks: Collection[Remark], message: Callable[[], Message | None]
    ) -> tuple[Issue, ...]:
        """Return what *remarks* are about in the *message* of that *number*."""
        told = tuple(each for each in remarks if each in OF_MODIFIERS)
        if not told:
            return ()
        found = self._known.get((number, told))
        if found is None:
            came = message()
            found = tuple(modifiers_of(came, told)) if came else ()
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[(number, told)] = found
        return found
