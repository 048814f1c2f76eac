"""
What leaves for its age: judged beside the writer, removed by it a few at a time, and certified.

    rules ─► begin ─► judge ─► remove ─► judge ─► remove ─► … ─► end_class ─► … ─► end
                       │         └ one transaction: rows, their numbers, hash and how far it is
                       └ reads alone: nothing waits for it

A purge that is killed goes on where it was: what has left is in the certificate, and what is in the
certificate has left. Each removal looks again at what it removes, for a message may have come
meanwhile; and the database itself refuses whatever is open, owed or held (its view `kept`), so that
a mistake here, or a DELETE at a prompt, takes nothing with it.

What is known of a message goes as a whole with those of its workflow. Of one that was received its
X-Request-Id stays in the ledger, and of one that was sent its fingerprint: a repetition is a
duplicate for good, and never a second patient (D-same-request-id, D-same-bytes).

Decisions: D-retention.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Actor
from bars_gateway.model.retention import (
    APPOINTMENT,
    OPEN,
    Certificate,
    Purge,
    PurgedClass,
    RecordClass,
    RetentionRules,
    digest_after,
    rules_written,
    spans,
)
from bars_gateway.store.ages import Ages, counted_to, last_moment
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.purge_statements import IN_DATABASE, STATEMENTS_OF
from bars_gateway.store.records import EventAbout, add_event
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads, writes

JUDGED_AT_ONCE = 500  # rows of one look
BY_ITSELF = Actor(role="gateway", who="gateway", why="nightly")
_OF_A_NODE = "purge {}, in the folders of node {}"


@frozen(kw_only=True)
class Judged:
    """What one look has found."""

    reached: int  # the last number that it took in
    due: Sequence[int]  # those that may leave
    kept: Mapping[str, int] = field(default_factory=dict)  # old enough, and why they stay
    open: Mapping[str, int] = field(default_factory=dict)  # of those that are open: their states
    more: bool  # whether there is more beyond it


@frozen(kw_only=True)
class Prospect:
    """What a purge would do with a class."""

    record_class: RecordClass
    by_rule: Mapping[str, int]  # in the unit that is judged: messages, or workflows
    kept: Mapping[str, int]  # why, as `kept` has it
    open: Mapping[str, int]  # of those that are open: in which states


class Purges(Noun):
    """What leaves for its age."""

    @writes
    def begin_purge(
        self,
        connection: Connection,
        provider: str | None,
        actor: Actor,
        rules: RetentionRules,
        now: datetime,
    ) -> Purge:
        """
        Begin a purge; or return the one that goes on, for there is one at a time.

        Whoever asks for one vouches for the clock: it counts ages to *now*.
        """
        found = connection.one("purge_open")
        if found is not None:
            return purge_of(found)
        counts_to = counted_to(connection, now) if actor == BY_ITSELF else now
        number = connection.inserted(
            "begin_purge",
            provider=provider,
            began_by=actor.who,
            why=actor.why,
            rules=rules.written(),
            now=text(now),
            counts_to=text(counts_to),
        )
        done = {"who": actor.who, "why": actor.why, "purge": number}
        add_event(connection, EventAbout(provider), f"{actor.role}.purge_began", now, done)
        return _purge(connection, number)

    @reads
    def unfinished(self, connection: Connection) -> Purge | None:
        """Return the purge that has not come to its end; None: there is none."""
        found = connection.one("purge_open")
        return None if found is None else purge_of(found)

    @reads
    def last_ended(self, connection: Connection) -> Certificate | None:
        """Return the last purge of everything that came to its end; without its numbers."""
        found = connection.one("purge_last_ended")
        return None if found is None else _certificate(connection, purge_of(found), whole=False)

    @reads
    def to_follow(self, connection: Connection, after: int) -> list[Purge]:
        """Return which purges beyond number *after* are to be followed, in their order."""
        whose = {"gateway": BY_ITSELF.who, "of_a_node": _OF_A_NODE.format("%", "%")}
        return [purge_of(row) for row in connection.rows("purges_to_follow", after=after, **whose)]

    @reads
    def last_moment(self, connection: Connection) -> datetime | None:
        """Return when a purge last began, or the audit trail, where none did; None: neither has."""
        return last_moment(connection)

    @reads
    def certificate(self, connection: Connection, number: int) -> Certificate | None:
        """Return what one purge has to show; None: there is none of that number."""
        return certificate(connection, number)

    @reads
    def newest(self, connection: Connection, limit: int) -> list[Certificate]:
        """Return the latest purges, without their numbers."""
        return certificates(connection, limit)

    @reads
    def flaws(self, connection: Connection, number: int) -> list[str] | None:
        """Return what is wrong with the certificate of that number; None: there is no such."""
        shown = certificate(connection, number)
        return None if shown is None else flaws_of(connection, shown)

    @reads
    def progress(
        self, connection: Connection, purge: Purge, record_class: RecordClass
    ) -> PurgedClass:
        """Return how far *purge* is with a class."""
        return _progress(connection, purge, record_class)

    @reads
    def judge(
        self, connection: Connection, purge: Purge, record_class: RecordClass, after: int
    ) -> Judged:
        """Look at what comes next of a class, changing nothing."""
        return judge(connection, record_class, purge.rules, purge.counts_to, after, purge.provider)

    @writes
    def remove_records(
        self,
        connection: Connection,
        purge: Purge,
        record_class: RecordClass,
        numbers: Sequence[int],
    ) -> float:
        """Remove those that may leave still; return for how many seconds others waited for it."""
        began = time.monotonic()
        connection.put("begin_removing", id=purge.number)
        free = _free(connection, purge, record_class, numbers)
        removed = _removed(connection, record_class, list(free))
        connection.put("end_removing", id=purge.number)
        done = _progress(connection, purge, record_class)
        _note(connection, purge, _further(done, free, removed, numbers[-1]), removed)
        return time.monotonic() - began

    @writes
    def note_copies(
        self, connection: Connection, purge: Purge, provider: str, numbers: Sequence[int]
    ) -> list[int]:
        """Enter which copies in the EPR's folder are removed next, and return them."""
        free = _free_copies(connection, purge, provider, numbers)
        known = _noted(connection, purge, RecordClass.INBOX)
        fresh = [(number, str(number)) for number in sorted(free) if number not in known]
        if fresh:
            done = _progress(connection, purge, RecordClass.INBOX)
            by_rule = {number: free[number] for number, _ in fresh}
            _note(connection, purge, _further(done, by_rule, fresh, fresh[-1][0]), fresh)
        return sorted(free)

    @writes
    def certify_copies(  # noqa: PLR0917
        self,
        connection: Connection,
        purge: Purge,
        provider: str,
        numbers: Sequence[int],
        node: str,
        now: datetime,
    ) -> tuple[list[int], Certificate | None]:
        """
        Enter which copies *node* removes next, and return them; *purge* ran on another node.

        The certificate of *purge* is closed, so these copies get one of their own, complete with
        this; None: there are none. It counts ages as *purge* does and has its date, so that no
        later night counts from it.
        """
        free = _free_copies(connection, purge, provider, numbers)
        if not free:
            return [], None
        number = connection.inserted(
            "begin_purge",
            provider=provider,
            began_by=BY_ITSELF.who,
            why=_OF_A_NODE.format(purge.number, node),
            rules=purge.rules.written(),
            now=text(purge.began_at),
            counts_to=text(purge.counts_to),
        )
        part = _purge(connection, number)
        copies = [(each, str(each)) for each in sorted(free)]
        none = PurgedClass(record_class=RecordClass.INBOX, by_rule={})
        done = _further(none, free, copies, copies[-1][0])
        _note(connection, part, done, copies, ended_at=now)
        return sorted(free), _ended(connection, part, now)

    @writes
    def end_class(
        self, connection: Connection, purge: Purge, record_class: RecordClass, now: datetime
    ) -> None:
        """Write down that a purge is through with a class."""
        done = _progress(connection, purge, record_class)
        _note(connection, purge, done, (), ended_at=now)

    @writes
    def end_purge(self, connection: Connection, purge: Purge, now: datetime) -> Certificate:
        """End it, with a line in the audit trail; return its certificate, without its numbers."""
        return _ended(connection, purge, now)

    async def give_back(self, pages: int) -> tuple[int, float]:
        """Give up to so many empty pages of the file back; return what is left, and seconds."""
        return await self._database.give_back(pages)


def judge(  # noqa: PLR0917
    connection: Connection,
    record_class: RecordClass,
    rules: RetentionRules,
    now: datetime,
    after: int,
    provider: str | None,
) -> Judged:
    """Return what of the rows beyond *after* may leave by *rules*, and why other old ones stay."""
    of = STATEMENTS_OF[record_class]
    up_to = _up_to(connection, record_class, rules, now)
    values = {"after": after, "up_to": up_to, "limit": JUDGED_AT_ONCE}
    found = connection.rows(of.to_judge, **values) if up_to is not None else []
    ages = Ages(connection, record_class, rules, now, provider)
    old = [row["number"] for row in found if ages.is_old(row)]
    judged = connection.rows(of.judged, numbers=json.dumps(old)) if old else []
    whys = [(row, row["why"] or (APPOINTMENT if ages.is_to_come(row) else None)) for row in judged]
    return Judged(
        reached=found[-1]["number"] if found else after,
        due=[row["number"] for row, why in whys if why is None and ages.is_due(row)],
        kept=Counter(why for _, why in whys if why is not None),
        open=Counter(row["state"] for row, why in whys if why == OPEN),
        more=len(found) == JUDGED_AT_ONCE,
    )


def prospects(
    connection: Connection, rules: RetentionRules, now: datetime, provider: str | None
) -> list[Prospect]:
    """Return what a purge would remove of what is in the database, changing nothing."""
    return [_prospect(connection, each, rules, now, provider) for each in IN_DATABASE]


def _prospect(
    connection: Connection,
    record_class: RecordClass,
    rules: RetentionRules,
    now: datetime,
    provider: str | None,
) -> Prospect:
    by_rule, kept, in_state = Counter[str](), Counter[str](), Counter[str]()
    after, more = 0, True
    while more:
        found = judge(connection, record_class, rules, now, after, provider)
        rows = connection.rows(
            STATEMENTS_OF[record_class].judged, numbers=json.dumps(list(found.due))
        )
        by_rule.update(_rule_name(row, record_class, rules) for row in rows)
        kept.update(found.kept)
        in_state.update(found.open)
        after, more = found.reached, found.more
    return Prospect(record_class=record_class, by_rule=by_rule, kept=kept, open=in_state)


def certificates(connection: Connection, limit: int) -> list[Certificate]:
    """Return the latest purges, without their numbers."""
    found = connection.rows("purges_listed", limit=limit)
    return [_certificate(connection, purge_of(row), whole=False) for row in found]


def certificate(connection: Connection, number: int) -> Certificate | None:
    """Return what one purge has to show, with its numbers; None: there is none of that number."""
    found = connection.one("purge_numbered", id=number)
    return None if found is None else _certificate(connection, purge_of(found), whole=True)


def left_of(connection: Connection, shown: Certificate) -> dict[RecordClass, int]:
    """Return how many records are here that *shown* says it has removed, by class."""
    found = {
        record_class: sum(_left(connection, record_class, *span) for span in of_class)
        for record_class, of_class in shown.spans.items()
        if record_class in STATEMENTS_OF
    }
    return {record_class: count for record_class, count in found.items() if count}


def is_told(connection: Connection, shown: Certificate) -> bool:
    """Tell whether the audit trail says what the certificate does, from when it ended."""
    if shown.purge.ended_at is None:
        return False
    told = connection.rows("purge_told", at=text(shown.purge.ended_at))
    return any(json.loads(row["detail"]) == shown.told for row in told)


def is_restored_since(connection: Connection, shown: Certificate) -> bool:
    """Tell whether a backup was put back after the purge: its line of the trail was put aside."""
    at = text(shown.purge.ended_at)
    return at is not None and connection.one("restored_since", at=at) is not None


def flaws_of(connection: Connection, shown: Certificate) -> list[str]:
    """Return what the database says against a certificate of its own; nothing: it holds."""
    flaws = [
        f"{count} of its {each} are here" for each, count in left_of(connection, shown).items()
    ]
    if shown.purge.ended_at is None:
        flaws.append("it has not come to its end")
    elif not is_told(connection, shown):
        restored = is_restored_since(connection, shown)
        flaws.append(_RESTORED if restored else "the audit trail says otherwise, or nothing")
    for each in shown.classes:
        numbers = sum(last - first + 1 for first, last in shown.spans.get(each.record_class, ()))
        if numbers != each.count:
            flaws.append(f"it names {numbers} {each.record_class}, and counts {each.count}")
    return flaws


_RESTORED = (
    "the audit trail does not tell of it: a backup was put back since. Verify it in the database"
    " that was put aside then: BARS_GATEWAY_STORE__PATH=FILE bars-gateway purge --verify …"
)


def names_of(
    connection: Connection, shown: Certificate, record_class: RecordClass
) -> list[tuple[int, str]]:
    """Return number and name of what *shown* has removed, where they still are: a backup."""
    if record_class is RecordClass.INBOX:
        numbers = shown.spans.get(record_class, ())
        return [(n, str(n)) for first, last in numbers for n in range(first, last + 1)]
    found = [
        (row["workflow_id"], row["number"], str(row["name"]))
        for first, last in shown.spans.get(record_class, ())
        for row in connection.rows(STATEMENTS_OF[record_class].names, first=first, last=last)
    ]
    if record_class is RecordClass.MESSAGES:  # they leave workflow by workflow
        found.sort()
    return [(number, name) for _, number, name in found]


def _left(connection: Connection, record_class: RecordClass, first: int, last: int) -> int:
    row = connection.one(STATEMENTS_OF[record_class].left, first=first, last=last)
    assert row is not None  # a count is always one row
    return int(row["n"])


def purge_of(row: Row) -> Purge:
    """Return one purge."""
    return Purge(
        number=row["id"],
        provider=row["provider"],
        began_by=row["began_by"],
        why=row["why"],
        rules=rules_written(row["rules"]),
        began_at=instant(row["began_at"]),
        counts_to=instant(row["counts_to"]),
        ended_at=instant(row["ended_at"]),
    )


def _purge(connection: Connection, number: int) -> Purge:
    row = connection.one("purge_numbered", id=number)
    assert row is not None
    return purge_of(row)


def _ended(connection: Connection, purge: Purge, now: datetime) -> Certificate:
    connection.put("end_purge", id=purge.number, now=text(now))
    found = _certificate(connection, _purge(connection, purge.number), whole=False)
    add_event(connection, EventAbout(purge.provider), "records.purged", now, found.told)
    return found


def _certificate(connection: Connection, purge: Purge, *, whole: bool) -> Certificate:
    found = connection.rows("purged_classes", purge_id=purge.number)
    numbers: dict[RecordClass, list[tuple[int, int]]] = {}
    for row in connection.rows("purged_spans", purge_id=purge.number) if whole else ():
        numbers.setdefault(RecordClass(row["class"]), []).append((row["first"], row["last"]))
    return Certificate(purge=purge, classes=[_class_of(row) for row in found], spans=numbers)


def _class_of(row: Row) -> PurgedClass:
    return PurgedClass(
        record_class=RecordClass(row["class"]),
        reached=row["reached"],
        count=row["n"],
        by_rule=json.loads(row["by_rule"]),
        digest=row["digest"],
        ended_at=instant(row["ended_at"]),
    )


def _progress(connection: Connection, purge: Purge, record_class: RecordClass) -> PurgedClass:
    values = {"purge_id": purge.number, "class": record_class}
    row = connection.one("purged_class", **values)
    return _class_of(row) if row else PurgedClass(record_class=record_class, by_rule={})


def _noted(connection: Connection, purge: Purge, record_class: RecordClass) -> set[int]:
    """Return the numbers that *purge* has entered of a class: of copies there are few."""
    return {
        number
        for row in connection.rows("purged_spans", purge_id=purge.number)
        if row["class"] == record_class
        for number in range(row["first"], row["last"] + 1)
    }


def _up_to(
    connection: Connection, record_class: RecordClass, rules: RetentionRules, now: datetime
) -> int | None:
    """Return the last number that can be old enough; None: there is nothing."""
    before = rules.last_moment(record_class, now)
    if before is None:
        return None
    of = STATEMENTS_OF[record_class]
    moments = {"before": text(before), "now": text(now)}
    row = connection.one(of.last, **{name: moments[name] for name in of.by})
    return None if row is None else row["id"]


def _rule_name(row: Row, record_class: RecordClass, rules: RetentionRules) -> str:
    return rules.rule_for(record_class, row["provider"], row["use_case"]).name


def _free(
    connection: Connection, purge: Purge, record_class: RecordClass, numbers: Sequence[int]
) -> dict[int, str]:
    """Return those of *numbers* that may leave still, each with the rule that says so."""
    rows = connection.rows(STATEMENTS_OF[record_class].judged, numbers=json.dumps(list(numbers)))
    return _that_may_leave(connection, purge, record_class, rows, by_order=False)


def _that_may_leave(
    connection: Connection,
    purge: Purge,
    record_class: RecordClass,
    rows: Sequence[Row],
    *,
    by_order: bool,
) -> dict[int, str]:
    whose = purge.provider
    ages = Ages(connection, record_class, purge.rules, purge.counts_to, whose, by_order=by_order)
    return {
        row["number"]: _rule_name(row, record_class, purge.rules)
        for row in rows
        if row["why"] is None and not ages.is_to_come(row) and ages.is_due(row)
    }


def _free_copies(
    connection: Connection, purge: Purge, provider: str, numbers: Sequence[int]
) -> dict[int, str]:
    values = {"numbers": json.dumps(list(numbers)), "provider": provider}
    rows = connection.rows("copies_judged", **values)
    return _that_may_leave(connection, purge, RecordClass.INBOX, rows, by_order=True)


def _removed(
    connection: Connection, record_class: RecordClass, free: Sequence[int]
) -> list[tuple[int, str]]:
    """Remove them; return number and name of each record that left."""
    of, numbers = STATEMENTS_OF[record_class], json.dumps(list(free))
    if not free:
        return []
    named = connection.rows(of.named or of.judged, numbers=numbers)
    names = [(row["number"], str(row["name"])) for row in named]
    for statement in of.remove:
        connection.put(statement, numbers=numbers)
    return names


def _further(
    done: PurgedClass,
    free: Mapping[int, str],
    removed: Sequence[tuple[int, str]],
    reached: int,
) -> PurgedClass:
    by_rule = Counter(done.by_rule)
    by_rule.update(free.values())
    return PurgedClass(
        record_class=done.record_class,
        reached=reached,
        count=done.count + len(removed),
        by_rule=by_rule,
        digest=digest_after(done.digest, (f"{number} {name}" for number, name in removed)),
    )


def _note(
    connection: Connection,
    purge: Purge,
    done: PurgedClass,
    removed: Sequence[tuple[int, str]],
    ended_at: datetime | None = None,
) -> None:
    of = {"purge_id": purge.number, "class": done.record_class}
    connection.put(
        "note_purged_class",
        reached=done.reached,
        n=done.count,
        by_rule=json.dumps(dict(done.by_rule)),
        digest=done.digest,
        ended_at=text(ended_at),
        **of,
    )
    for first, last in spans(sorted(number for number, _ in removed)):
        if not connection.run("lengthen_purged", first=first, last=last, **of):
            connection.put("note_purged", first=first, last=last, **of)
