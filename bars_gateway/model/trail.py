"""
The audit trail's chain: its head, its seals, and what is wrong where it does not hold.

    line ─► digest ─┐
    hash before it ─┴─► hash ─► the next line's            `store.chain` makes it, and walks it
                          └───► sealed each day, and told to others: the journal, a file, a backup

Whoever changes a line has to compute again all that follows, and what was told of it to others
stays as it was. `docs/records.md` says how it is computed, and what it cannot show.

Decisions: D-chain.
"""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from bars_gateway.frozen import frozen

NOTHING_BEFORE = "0" * 64  # stands for the hash before the first line
SEALED = "audit.sealed"
ANCHORED = "audit.anchored"
VERIFIED = "audit.verified"
BROKEN = "audit.broken"
RESTORED = "operator.restored"
MOST_LINES = 2**63 - 1  # SQLite numbers no more
_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
LEAP = 1_000_000  # by so much a restore lets numbers leap: more than are given between two backups


class BreachKind(StrEnum):
    """What is wrong with a line of the audit trail."""

    CHANGED = "changed"
    MISSING = "missing"
    FOREIGN = "foreign"
    CUT_OFF = "cut_off"
    CUT_BELOW = "cut_below"
    COUNTER = "counter"
    ANCHOR = "anchor"
    EARLY = "early"
    SEAL = "seal"
    WITNESS = "witness"
    UNKNOWN = "unknown"
    UNGUARDED = "unguarded"


@frozen
class _Told:
    says: str  # {line}, {until}, {of}
    do: str


_KEEP = "Make a copy of the database as it is before anything else is done (bars-gateway backup)."
_COMPARE = (
    f"{_KEEP} Compare with the latest backup that bars-gateway verify finds nothing wrong with;"
    " tell whoever answers for information governance."
)
BREACHES: Mapping[BreachKind, _Told] = {
    BreachKind.CHANGED: _Told(
        "line {line} is not as it was written, or what stood before it is gone", _COMPARE
    ),
    BreachKind.MISSING: _Told("lines {line} to {until} are missing", _COMPARE),
    BreachKind.FOREIGN: _Told(
        "line {line} was not written by the gateway: another program has put it there",
        f"{_KEEP} Find out who opens the database beside the gateway.",
    ),
    BreachKind.CUT_OFF: _Told("the lines after {line} are cut off: there were {until}", _COMPARE),
    BreachKind.CUT_BELOW: _Told(
        "the lines up to {line} are gone, and no line says by which rule", _COMPARE
    ),
    BreachKind.COUNTER: _Told(
        "SQLite's counter of lines stands at {until}, though line {line} is there: somebody has set"
        " it back, as who hides that lines were cut off after that one",
        _COMPARE,
    ),
    BreachKind.ANCHOR: _Told(
        "the database lets the lines up to {until} leave by what line {line} says, and the trail"
        " has no such line; or it does not, though that line says so",
        _COMPARE,
    ),
    BreachKind.EARLY: _Told(
        "the lines up to {until} left before their time, by line {line} and what {of} tells of"
        " their age",
        _COMPARE,
    ),
    BreachKind.SEAL: _Told(
        "line {line} seals or removes what was before it, and tells another hash than the trail"
        " has at line {until}, or tells none",
        _COMPARE,
    ),
    BreachKind.WITNESS: _Told(
        "line {line} has another hash than {of} tells: the trail was rewritten since, or that is"
        " of another database",
        _COMPARE,
    ),
    BreachKind.UNKNOWN: _Told(
        "no line has the hash that {of} tells: the trail was cut off or rewritten since, or that"
        " is of another database",
        _COMPARE,
    ),
    BreachKind.UNGUARDED: _Told(
        "{of} is not as the gateway makes it, or not there: somebody has changed what refuses"
        " changes to the trail, or has put there what keeps lines out of it",
        f"{_KEEP} Restore a backup that is whole: that brings it back.",
    ),
}


@frozen(kw_only=True)
class Breach:
    """One thing that is wrong with the trail."""

    kind: BreachKind
    line: int
    until: int = 0  # the last line, or the number, that is meant beside it
    at: str | None = None  # when that line says that it was written
    of: str = ""  # who tells otherwise

    @property
    def says(self) -> str:
        """What is wrong, where, and of which day."""
        text = BREACHES[self.kind].says.format(line=self.line, until=self.until, of=self.of)
        return f"{text} ({self.at})" if self.at else text

    @property
    def advice(self) -> str:
        """What to do about it."""
        return BREACHES[self.kind].do


@frozen(kw_only=True)
class Witness:
    """What somebody beside the database knows of a line: its hash."""

    line: int | None  # None: a hash alone, of whichever line
    hash: str
    of: str  # who says so, as in "the file of heads"
    at: datetime | None = None  # the line was there at that time, or before; None: not told


@frozen(kw_only=True)
class TrailHead:
    """The last line of the trail, and its hash, which stands for all that is before it."""

    line: int
    hash: str


@frozen(kw_only=True)
class Seal:
    """A day that is over: what the trail came to."""

    day: str  # 2026-11-28, in UTC
    through: int  # the last line that it covers
    lines: int  # how many since the seal before it
    hash: str
    line: int  # the line that has the seal itself


@frozen(kw_only=True)
class Anchor:
    """A line that says up to where the oldest lines leave, and by which rule."""

    line: int
    at: datetime
    day: date  # the last of which lines leave, in UTC
    through: int  # the last line that leaves
    hash: str
    kept_days: int

    @property
    def older_than(self) -> datetime:
        """Before when everything was written that leaves by it."""
        return self.at - timedelta(days=self.kept_days)

    @property
    def is_early(self) -> bool:
        """Whether that day was not over, or not yet for as long as the rule says."""
        return datetime.combine(self.day, time.max, UTC) > self.older_than


@frozen(kw_only=True)
class LastWalk:
    """What the gateway found when it walked the trail by itself."""

    at: str  # as the line has it
    lines: int
    found: int | None  # places that do not hold; None: its line cannot be read


def last_walk_of(at: str, detail: str | bytes) -> LastWalk:
    """Return what such a line says."""
    try:
        told = json.loads(detail)
        return LastWalk(at=at, lines=int(told["lines"]), found=int(told["found"]))
    except _UNREADABLE:
        return LastWalk(at=at, lines=0, found=None)


def _line_in(value: object) -> int:
    """Return it if it can be the number of a line; raises ValueError."""
    if not isinstance(value, int) or not 0 <= value <= MOST_LINES:
        raise ValueError
    return value


def anchor_of(line: int, at: str, detail: str | bytes) -> Anchor | None:
    """Return the anchor that *line* has in its *detail*; None: what stands there is none."""
    try:
        found = json.loads(detail)
        anchor = Anchor(
            line=line,
            at=datetime.fromisoformat(at).astimezone(UTC),
            day=date.fromisoformat(found["day"]),
            through=_line_in(found["through"]),
            hash=str(found["hash"]),
            kept_days=int(found["kept_days"]),
        )
        kept = anchor.older_than < anchor.at
    except _UNREADABLE:
        return None
    return anchor if kept else None


def seal_of(line: int, detail: str | bytes) -> Seal | None:
    """Return the seal that *line* has in its *detail*; None: what stands there is none."""
    try:
        found = json.loads(detail)
        return Seal(
            day=str(found["day"]),
            through=_line_in(found["through"]),
            lines=int(found["lines"]),
            hash=str(found["hash"]),
            line=line,
        )
    except _UNREADABLE:
        return None
