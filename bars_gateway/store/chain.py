"""
The chain that shows whether the audit trail is as it was written: made with each group of works.

    works of a group ─► lines ─► digest each ─► hash of (hash before, digest) ─► one COMMIT
    walk: the same again, some thousand lines at a time ─► what does not fit, by its line

A line without a hash was put there by another program: the gateway chains what its own groups have
added, and nothing else. Where the process dies, a line and its hash are both there or neither.

Each day that is over is sealed by a line of the trail itself, which is told to others as well. The
oldest lines go once a line says up to which (`anchor`); the last hash of those stays, and the walk
begins with it.

The surprising choice: the hash is over a digest of the line, and not over the line. So an export
of some lines can prove that they are as they were, and shows nothing of those between them.

Decisions: D-chain.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson

from bars_gateway.model.trail import (
    ANCHORED,
    BROKEN,
    LEAP,
    MOST_LINES,
    NOTHING_BEFORE,
    RESTORED,
    SEALED,
    VERIFIED,
    Anchor,
    Breach,
    BreachKind,
    LastWalk,
    Seal,
    TrailHead,
    Witness,
    anchor_of,
    last_walk_of,
    seal_of,
)
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.migrating import POSTGRESQL, SQLITE, migrations
from bars_gateway.store.records import THE_GATEWAY, add_event
from bars_gateway.store.rows import text
from bars_gateway.store.work import Noun, reads, writes

STEP = 2000  # lines that are walked on one snapshot
MOST_ALARMS = 20  # of one walk
MOST_NAMED = 100  # breaches that are told one by one
COLUMNS = ("line", "at", "provider", "kind", "message_id", "request_id", "detail")
_STORED = ("id", *COLUMNS[1:])
GUARDS = (
    "events_are_kept",
    "events_stay",
    "chain_is_kept",
    "chain_stays",
    "anchors_are_told",
    "anchors_are_kept",
    "anchors_stay",
)
_TEXTS = ("at", "provider", "kind", "request_id", "detail")
_SEALS_LOOKED_AT = 10
_ALL = 2**62  # more than there ever are


def digest_of_line(values: Sequence[object]) -> str:
    """Return the digest of a line: of its columns, in their order, as compact JSON in UTF-8."""
    return hashlib.sha256(orjson.dumps(values)).hexdigest()


def hash_after(previous: str, digest: str) -> str:
    """Return the hash of a line of that *digest*, where the line before it has *previous*."""
    return hashlib.sha256(f"{previous}{digest}".encode()).hexdigest()


def chain_new(connection: Connection, after: int) -> None:
    """Chain what was added after line *after*: what ends each group of works."""
    added = connection.rows("unchained", after=after)
    if not added:
        return
    links = []
    previous = added[0]["previous"]
    hash_ = NOTHING_BEFORE if previous is None else _hash_in(previous)
    for row in added:
        hash_ = hash_after(hash_, digest_of_line([row[name] for name in _STORED]))
        links.append((row["id"], hash_))
    connection.put("chain_lines", links=json.dumps(links))


def _hash_in(stored: bytes) -> str:
    """Return a hash as it stands there; what a disk has spoilt of it is not a hash of any line."""
    return stored.decode("ascii", "replace")


def newest_line(connection: Connection) -> int:
    """Return the number of the last line; 0: there is none."""
    row = connection.one("newest_event")
    return int(row["id"] or 0) if row else 0


def head(connection: Connection) -> TrailHead | None:
    """Return the last line that is chained; None: nothing is."""
    row = connection.one("trail_head")
    return TrailHead(line=row["line"], hash=_hash_in(row["hash"])) if row else None


def last_walk(connection: Connection) -> LastWalk | None:
    """Return what the gateway found when it walked the trail last; None: it never has."""
    row = connection.one("last_walk")
    if row is None:
        return None
    return last_walk_of(row["at"].decode("ascii", "replace"), row["detail"])


@dataclass(slots=True)
class Walk:
    """How far the trail was walked, and what was found; `step` goes on with it."""

    reached: int = 0
    hash: str = NOTHING_BEFORE
    begins_after: int = 0  # the last line that was removed under a rule
    removed: str = ""  # by which rule, as the trail itself says
    lines: int = 0
    seals: int = 0
    breaches: list[Breach] = field(default_factory=list)
    more: int = 0  # breaches beyond those
    forgotten: list[Witness] = field(default_factory=list)  # told of lines that a restore has lost
    begun: bool = False
    at: str | None = None  # of the last line
    # Where numbers leap, as in a restore.
    leaps: list[tuple[int, int]] = field(default_factory=list)
    restores: list[int] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    sought: set[str] = field(default_factory=set)  # hashes of lines that nobody has named
    seen: set[str] = field(default_factory=set)

    @property
    def found(self) -> int:
        """How much is wrong."""
        return len(self.breaches) + self.more

    def tell(self, breach: Breach) -> None:
        """Note what is wrong."""
        if len(self.breaches) < MOST_NAMED:
            self.breaches.append(breach)
        else:
            self.more += 1


def step(connection: Connection, walk: Walk, limit: int = STEP) -> bool:
    """Walk the next lines; return whether there are more."""
    if not walk.begun:
        _begin(connection, walk)
    elif beginning(connection)[0] > walk.reached:  # they were removed under a rule meanwhile
        walk.begins_after, walk.hash = beginning(connection)
        walk.reached = walk.begins_after
    start = walk.reached
    rows = connection.rows("trail_lines", after=start, limit=limit)
    for row in rows:
        _take(connection, walk, row)
    over = len(rows) < limit
    until = MOST_LINES if over else walk.reached
    alone = connection.rows("chained_alone", after=start, until=until, limit=MOST_NAMED)
    for row in alone:
        if not any(b.line <= row["line"] <= max(b.line, b.until) for b in walk.breaches):
            gone = row["line"]
            walk.tell(Breach(kind=BreachKind.MISSING, line=gone, until=gone, at=walk.at))
    if over:
        _end(connection, walk)
    return not over


def beginning(connection: Connection) -> tuple[int, str]:
    """Return the last line that was removed under a rule, and its hash; 0: none was."""
    first = connection.one("trail_begins")
    if first is None or first["is_there"]:
        return 0, NOTHING_BEFORE
    return first["line"], _hash_in(first["hash"])


def _begin(connection: Connection, walk: Walk) -> None:
    walk.begun = True
    walk.begins_after, walk.hash = beginning(connection)
    walk.reached = walk.begins_after
    allowed = 0
    newest = next(_anchors(connection), None)
    if newest is not None:
        allowed = newest.through
        walk.removed = (
            f"up to the end of {newest.day}, as kept for {newest.kept_days} days, by what line"
            f" {newest.line} of {text(newest.at)} says"
        )
    if walk.begins_after > allowed:
        walk.tell(Breach(kind=BreachKind.CUT_BELOW, line=walk.begins_after))


def _anchors(connection: Connection) -> Iterator[Anchor]:
    """Yield what says which lines leave, the newest first; an unreadable one is not a rule."""
    for row in connection.rows("proofs", kind=ANCHORED, after=0, limit=_ALL):
        anchor = anchor_of(row["id"], row["at"].decode("ascii", "replace"), row["detail"] or b"")
        if anchor is not None:
            yield anchor


def _take(connection: Connection, walk: Walk, row: Row) -> None:
    line, before, stored = row["line"], walk.reached, row["hash"]
    texts = _decoded(row)
    walk.reached, walk.at = line, texts["at"] if texts else None
    walk.lines += 1
    missing = line - before - 1
    leaps = missing >= LEAP
    if leaps:
        walk.leaps.append((before, line))
    elif missing:
        gone = (before + 1, line - 1)
        walk.tell(Breach(kind=BreachKind.MISSING, line=gone[0], until=gone[1], at=walk.at))
    if stored is None:
        walk.tell(Breach(kind=BreachKind.FOREIGN, line=line, at=walk.at))
        return
    right = texts and hash_after(walk.hash, digest_of_line(_values(row, texts)))
    walk.hash = _hash_in(stored)
    if walk.hash in walk.sought:
        walk.seen.add(walk.hash)
    if right != walk.hash and (leaps or not missing):
        walk.tell(Breach(kind=BreachKind.CHANGED, line=line, at=walk.at))
    elif texts and texts["kind"] in {SEALED, ANCHORED, RESTORED}:
        _take_proof(connection, walk, line, texts)


def _decoded(row: Row) -> dict[str, str | None] | None:
    """Return the texts of a line; None: one of them is none any more."""
    try:
        return {name: None if row[name] is None else row[name].decode() for name in _TEXTS}
    except UnicodeDecodeError:
        return None


def _values(row: Row, texts: dict[str, str | None]) -> list[object]:
    return [texts[name] if name in texts else row[name] for name in COLUMNS]


def _take_proof(
    connection: Connection, walk: Walk, line: int, texts: dict[str, str | None]
) -> None:
    """Hold what the trail says of itself against what it is."""
    if texts["kind"] == RESTORED:
        walk.restores.append(line)
        return
    detail = texts["detail"] or ""
    if texts["kind"] == SEALED:
        walk.seals += 1
        proof: Seal | Anchor | None = seal_of(line, detail)
    else:
        proof = anchor_of(line, texts["at"] or "", detail)
    if isinstance(proof, Anchor):
        _take_anchor(walk, proof)
    through = proof.through if proof is not None else line
    told = proof.hash if proof is not None else None
    if through >= walk.begins_after and hash_at(connection, through) != told:
        breach = Breach(kind=BreachKind.SEAL, line=line, until=through, at=walk.at)
        walk.tell(breach)


def _take_anchor(walk: Walk, anchor: Anchor) -> None:
    walk.anchors.append(anchor)
    if anchor.is_early:
        _tell_early(walk, anchor, "its own rule")


def _tell_early(walk: Walk, anchor: Anchor, of: str) -> None:
    until, at = anchor.through, text(anchor.at)
    walk.tell(Breach(kind=BreachKind.EARLY, line=anchor.line, until=until, at=at, of=of))


def hash_at(connection: Connection, line: int) -> str | None:
    """Return the hash of a line; None: there is none."""
    row = connection.one("hash_of_line", line=line)
    return None if row is None else _hash_in(row["hash"])


def is_another(connection: Connection, told: TrailHead) -> bool:
    """
    Tell whether the line that was *told* of is another here, as it was written.

    One that does not fit the line before it was spoilt: a walk finds that. And a restore that came
    later knew of lines that are no longer there.
    """
    row = next(iter(connection.rows("trail_lines", after=told.line - 1, limit=1)), None)
    if row is None or row["line"] != told.line or row["hash"] is None:
        return False
    hash_, before, texts = _hash_in(row["hash"]), hash_at(connection, told.line - 1), _decoded(row)
    if hash_ == told.hash or before is None or texts is None:
        return False
    fits = hash_ == hash_after(before, digest_of_line(_values(row, texts)))
    return fits and not connection.rows("proofs", kind=RESTORED, after=told.line, limit=1)


def _end(connection: Connection, walk: Walk) -> None:
    row = connection.one("lines_given")
    given = int(row["given"] or 0) if row else 0
    if given > walk.reached:
        walk.tell(Breach(kind=BreachKind.CUT_OFF, line=walk.reached, until=given, at=walk.at))
    elif given < walk.reached:
        walk.tell(Breach(kind=BreachKind.COUNTER, line=walk.reached, until=given, at=walk.at))
    for before, line in walk.leaps:
        if not any(restored >= line for restored in walk.restores):
            walk.tell(Breach(kind=BreachKind.MISSING, line=before + 1, until=line - 1))
    _look_at_anchors(connection, walk)
    _look_at_triggers(connection, walk)


def _look_at_anchors(connection: Connection, walk: Walk) -> None:
    """
    Hold what lets lines leave against the lines that say so.

    What lets none leave any more that is there, and has no line any more either, cannot matter.
    """
    told = {(each.through, each.line) for each in walk.anchors if each.line > walk.begins_after}
    first = min([walk.begins_after + 1, *(through for through, _ in told)])
    there = {(row["through"], row["line"]) for row in connection.rows("anchors", first=first)}
    for through, line in sorted(told ^ there):
        walk.tell(Breach(kind=BreachKind.ANCHOR, line=line, until=through))


def _look_at_triggers(connection: Connection, walk: Walk) -> None:
    """See that the triggers that guard the trail are there as they were written, and no others."""
    written = _written()
    there = {
        row["name"]: bool(row["sql"]) and row["sql"] in written for row in connection.rows("guards")
    }
    for name in sorted({*GUARDS, *there}):
        if not there.get(name, False):
            of = f"the trigger {name}"
            walk.tell(Breach(kind=BreachKind.UNGUARDED, line=walk.reached, of=of))


def _written() -> str:
    """Return all that any schema was made by."""
    engines = (SQLITE, POSTGRESQL)
    return "\n".join(made for engine in engines for made in migrations(engine).values())


def seek(walk: Walk, witnesses: Iterable[Witness]) -> None:
    """Let *walk* look out for the hashes of *witnesses* that name no line."""
    walk.sought.update(each.hash for each in witnesses if each.line is None)


def compare(connection: Connection, walk: Walk, witnesses: Iterable[Witness]) -> None:
    """Hold the trail, once it was walked to its end, against what others know of it."""
    for each in witnesses:
        if each.line is None:
            if each.hash not in walk.seen:
                walk.tell(Breach(kind=BreachKind.UNKNOWN, line=walk.reached, of=each.of))
        elif each.line >= walk.begins_after:
            _compare(connection, walk, each, each.line)
        else:
            _compare_age(walk, each, each.line)


def _compare_age(walk: Walk, witness: Witness, line: int) -> None:
    """Hold the rule by which a line left against when it was there for the last time."""
    left = next((each for each in walk.anchors if each.through >= line), None)
    if left is None or witness.at is None or witness.at <= left.older_than:
        return
    # What a forged line lets leave is told of by every hour's head: once is enough.
    if not any(b.kind is BreachKind.EARLY and b.line == left.line for b in walk.breaches):
        _tell_early(walk, left, witness.of)


def _compare(connection: Connection, walk: Walk, witness: Witness, line: int) -> None:
    stored = hash_at(connection, line)
    if stored == witness.hash:
        return
    if stored is None and any(before < line < after for before, after in walk.leaps):
        walk.forgotten.append(witness)
        return
    kind = BreachKind.CUT_OFF if line > walk.reached else BreachKind.WITNESS
    last = min(line, walk.reached)
    walk.tell(Breach(kind=kind, line=last, until=line, of=witness.of))


def walked(connection: Connection, witnesses: Sequence[Witness] = ()) -> Walk:
    """Return what is found by walking the whole trail on one snapshot."""
    walk = Walk()
    seek(walk, witnesses)
    while step(connection, walk):
        pass
    compare(connection, walk, witnesses)
    return walk


def seals(connection: Connection, *, after: int = 0, limit: int = 1) -> Iterator[Seal]:
    """Yield the newest seals, the newest first."""
    for row in connection.rows("proofs", kind=SEALED, after=after, limit=limit):
        seal = seal_of(row["id"], row["detail"] or b"")
        if seal is not None:
            yield seal


def _anchored(connection: Connection) -> int:
    row = connection.one("anchored_through")
    return int(row["through"] or 0) if row else 0


def _first_that_stays(
    connection: Connection, after: int, through: int, now: datetime
) -> int | None:
    span = {"after": after, "through": through, "now": text(now)}
    row = connection.one("line_that_stays", **span)
    return None if row is None else int(row["line"])


class Chain(Noun):
    """What shows that the trail is as it was written."""

    @reads
    def head(self, connection: Connection) -> TrailHead | None:
        """Return the last line and its hash; None: there is none yet."""
        return head(connection)

    @reads
    def last_walk(self, connection: Connection) -> LastWalk | None:
        """Return what the gateway found when it walked the trail last; None: it never has."""
        return last_walk(connection)

    @reads
    def newest_seals(self, connection: Connection, limit: int) -> list[Seal]:
        """Return the newest seals, the newest first."""
        return list(seals(connection, limit=limit))

    @writes
    def seal(self, connection: Connection, now: datetime) -> bool:
        """Seal the day before *now*'s, unless that is done, or nothing was ever written."""
        yesterday, today = f"{now - timedelta(days=1):%Y-%m-%d}", f"{now:%Y-%m-%d}"
        last, reached = next(seals(connection, limit=_SEALS_LOOKED_AT), None), head(connection)
        if reached is None or (last is None and not connection.one("line_before", day=today)):
            return False
        # One of a day to come was made while the clock went wrong.
        if last is not None and yesterday <= last.day <= today:
            return False
        since = last.through if last else 0
        row = connection.one("count_lines", after=since, through=reached.line)
        detail = {
            "day": yesterday,
            "through": reached.line,
            "lines": int(row["n"]) if row else 0,
            "hash": reached.hash,
        }
        add_event(connection, THE_GATEWAY, SEALED, now, detail)
        return True

    @reads
    def removable(self, connection: Connection, days: int, now: datetime) -> Seal | None:
        """
        Return the oldest day of which every line has been kept for *days* and may leave.

        To a clock that is ahead every line looks old, and so does what one that was behind has
        stamped. So as many days must have been sealed since: those the gateway has lived through.
        """
        begins_after, _ = beginning(connection)
        old = {"before": text(now - timedelta(days=days)), "limit": _SEALS_LOOKED_AT}
        for row in connection.rows("oldest_seals", after=begins_after, **old):
            seal = seal_of(row["id"], row["detail"] or b"")
            if seal is not None and seal.through > begins_after:
                lived = connection.one("sealed_since", line=row["id"])
                if lived is None or lived["n"] < days:
                    return None
                stays = _first_that_stays(connection, begins_after, seal.through, now)
                return None if stays else seal
        return None

    @writes
    def anchor(self, connection: Connection, seal: Seal, days: int, now: datetime) -> bool:
        """
        Let the trail say that the lines of that day, and those before, leave by the rule.

        False: one of them has come to stay since that was looked at.
        """
        if seal.through <= _anchored(connection):
            return True
        if _first_that_stays(connection, beginning(connection)[0], seal.through, now):
            return False
        detail = {"day": seal.day, "through": seal.through, "hash": seal.hash, "kept_days": days}
        add_event(connection, THE_GATEWAY, ANCHORED, now, detail)
        connection.put("anchor", through=seal.through, line=newest_line(connection))
        return True

    @writes
    def remove(self, connection: Connection, limit: int, now: datetime) -> bool:
        """
        Remove the oldest lines that may leave, at most *limit*; tell whether there are more.

        A person may have put something under legal hold since the trail said that they leave: such
        a line stays, and so does all that came after it.
        """
        found = [
            row["id"]
            for row in connection.rows("oldest_lines", through=_anchored(connection), limit=limit)
        ]
        if not found:
            return False
        stays = _first_that_stays(connection, found[0] - 1, found[-1], now)
        leaving = [line for line in found if stays is None or line < stays]
        if leaving:
            connection.put("remove_lines", through=leaving[-1])
            connection.put("remove_hashes", through=leaving[-1])
        return len(leaving) == limit

    @reads
    def step(self, connection: Connection, walk: Walk, limit: int = STEP) -> bool:
        """Walk the next lines, and note in *walk* what is wrong; return whether there are more."""
        return step(connection, walk, limit)

    @reads
    def compare(self, connection: Connection, walk: Walk, witnesses: Sequence[Witness]) -> None:
        """Hold the walked trail against what others know of it."""
        compare(connection, walk, witnesses)

    @writes
    def note_walk(self, connection: Connection, walk: Walk, now: datetime) -> None:
        """Add a line about a walk, and an alarm for each place that had none, standing or ended."""
        detail = {"through": walk.reached, "lines": walk.lines, "hash": walk.hash}
        add_event(connection, THE_GATEWAY, VERIFIED, now, {**detail, "found": walk.found})
        for breach in walk.breaches[:MOST_ALARMS]:
            place = {"place": f"line {breach.line}: {breach.kind}"}
            if connection.one("broken_before", about=f"place  {json.dumps(place)}") is None:
                add_event(connection, THE_GATEWAY, BROKEN, now, place)
