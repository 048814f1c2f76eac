"""
What was refused to an EPR and still lies there: outbox/refused, by use case, with its age.

    outbox/refused ──NAME.reason.json──► count, since when ──┐
                   ──NAME.json, once───► its use case ───────┴─► page, alert, metrics

A refusal is told to the EPR alone, and nothing of what it handed over was sent. Whoever wrote that
believes it was, until the EPR shows the reason. So a reason that nobody takes away is a concern, as
is a notice that nobody takes. On the socket the EPR has heard it in the answer.

It is read off the folder and written down nowhere: what the EPR takes away is over at once, and
what lay there before a restart is told of after it. A message is read once, for its use case. What
names none that we know has none: it is then told as soon as what is urgent, and nothing of it is
shown.

Everything here blocks, and is called from a thread.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from heapq import nsmallest
from itertools import islice
from pathlib import Path

from bars_gateway.epr.spool import Sort, is_xml, sort_of, split
from bars_gateway.standard.applications import USE_CASE_NAMES
from bars_gateway.standard.examination import use_case_said
from bars_gateway.standard.formats import Format
from bars_gateway.store.readings import LyingRefusals

MOST_LOOKED_AT = 100_000  # names in a folder, and what they are about, in one look
_READ_AT_ONCE = 100  # messages read in one look, the oldest first: the others wait for the next
_REASON = ".reason.json"
_UNFOLLOWED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RefusedFiles:
    """The folder outbox/refused of one provider."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        most: int = MOST_LOOKED_AT,
        at_once: int = _READ_AT_ONCE,
    ) -> None:
        """*max_bytes*: of what is larger no use case is known, for it was refused unread."""
        self._folder, self._max_bytes = folder, max_bytes
        self._most, self._at_once = most, at_once
        self._known: dict[str, str] = {}  # use cases, by the NAME of the reason

    def look(self) -> Sequence[LyingRefusals] | None:
        """Return what lies there, by use case; None where it cannot be read."""
        try:
            with os.scandir(self._folder) as entries:
                listed = {each.name: each for each in islice(entries, self._most)}
        except FileNotFoundError:
            return []
        except OSError:
            return None
        reasons = {
            stem: at
            for name, entry in listed.items()
            if (stem := _refused_as(name, listed)) and (at := _written_at(entry)) is not None
        }
        self._read(reasons, listed)
        return self._by_use_case(reasons)

    def _read(self, reasons: Mapping[str, float], listed: Mapping[str, object]) -> None:
        """Read the messages that were not read yet; forget those that nobody asks for any more."""
        self._known = {stem: each for stem, each in self._known.items() if stem in reasons}
        new = [(at, stem) for stem, at in reasons.items() if stem not in self._known]
        messages = {split(name)[0]: name for name in listed if sort_of(name) is Sort.MESSAGE}
        for _, stem in nsmallest(self._at_once, new):
            self._known[stem] = ""  # should it end us here: that is told once, and hides no other
            self._known[stem] = self._use_case(messages.get(stem))

    def _use_case(self, name: str | None) -> str:
        if name is None:
            return ""
        try:
            descriptor = os.open(self._folder / name, _UNFOLLOWED)
            with os.fdopen(descriptor, "rb") as file:
                body = file.read(self._max_bytes + 1)
        except OSError:
            return ""
        if len(body) > self._max_bytes:
            return ""
        said = use_case_said(body, Format.XML if is_xml(name) else Format.JSON)
        return said if said in USE_CASE_NAMES else ""

    def _by_use_case(self, reasons: Mapping[str, float]) -> Sequence[LyingRefusals]:
        groups: dict[str, list[float]] = {}
        for stem, use_case in self._known.items():
            groups.setdefault(use_case, []).append(reasons[stem])
        return [
            LyingRefusals(
                use_case=use_case, count=len(at), since=datetime.fromtimestamp(min(at), UTC)
            )
            for use_case, at in groups.items()
        ]


def _refused_as(name: str, listed: Mapping[str, object]) -> str | None:
    """Return the NAME whose reason a file is; None where it is none, but a message called so."""
    if not name.endswith(_REASON) or f"{split(name)[0]}{_REASON}" in listed:
        return None
    return name.removesuffix(_REASON)


def _written_at(entry: "os.DirEntry[str]") -> float | None:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:  # the EPR has taken it
        return None
