"""
The statements of the store, as a session of the server has prepared them.

    name, values ─► adapted by the driver ─► prepared, once a session and types ─► run ─► rows
    put ─►, put ─►, ask ─► and back: one answer to wait for

They go past the driver's cursors, by its own functions straight to libpq, and cost a fifth of the
processor's time so. What changes something, and whose answer nobody looks at, is sent at once: the
server works on it while the next is made ready, and what became of it comes with the answer of
what is asked next. To wait for each would cost as much as some of the statements.
"""

import select
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.abc import Transformer
from psycopg.adapt import PyFormat
from psycopg.adapt import Transformer as _Adapting
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

from bars_gateway.frozen import frozen
from bars_gateway.store.statements import POSTGRESQL, for_libpq, statements_of

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_NULL = 0  # as the driver says it: of no type
_LOOK_MS = 50  # what TLS has read already shows at no socket
_CHANGES = (b"INSERT", b"UPDATE", b"DELETE")


class Values(dict[str, Any]):
    """A row: the value of each column, the first of those that have one name."""

    __slots__ = ()


MadeRow = Callable[[Sequence[Any]], Values]


def row_with(names: Sequence[str]) -> MadeRow:
    """Return what makes a row of the values of columns with those *names*."""
    if len(set(names)) == len(names):
        return lambda values: Values(zip(names, values, strict=True))
    # As SQLite has it: `SELECT m.*, other.id AS id` has the id of `m`.
    return lambda values: Values(zip(reversed(names), reversed(values), strict=True))


@frozen
class _Statement:
    text: bytes
    names: Sequence[str]  # of its values, in their order
    formats: Sequence[PyFormat]


def _statement(sql: str) -> _Statement:
    text, names = for_libpq(sql)
    return _Statement(text.encode(), names, [PyFormat.AUTO] * len(names))


# What the engine keeps for itself: which group of a node was the last that was committed.
_OWN = {
    "note_group": (
        "INSERT INTO writers (node, last_group, at) VALUES (:node, :group,"
        " to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))"
        " ON CONFLICT (node) DO UPDATE SET last_group = excluded.last_group, at = excluded.at"
    ),
    "last_group": "SELECT last_group FROM writers WHERE node = :node",
}
_STATEMENTS: Mapping[str, _Statement] = {
    name: _statement(sql) for name, sql in (statements_of(POSTGRESQL) | _OWN).items()
}


class _Known:
    """A statement that the server knows, for values of some types."""

    __slots__ = ("made_row", "name", "types")

    def __init__(self, name: bytes, types: Sequence[int]) -> None:
        self.name, self.types = name, types
        self.made_row: MadeRow | None = None  # from its first rows on

    def takes(self, types: Sequence[int]) -> bool:
        """Tell whether it takes values of those *types*; a NULL is one of any type."""
        return all(each in {_NULL, own} for each, own in zip(types, self.types, strict=True))


class Answer:
    """What a statement came to."""

    __slots__ = ("_adapting", "_done", "_known")

    def __init__(self, done: PGresult, known: _Known, adapting: Transformer) -> None:
        self._done, self._known, self._adapting = done, known, adapting

    @property
    def count(self) -> int:
        """How many rows it changed, or returned."""
        return self._done.command_tuples or 0

    def rows(self) -> list[Values]:
        """Return its rows; before the session runs anything else."""
        done, known = self._done, self._known
        if known.made_row is None:
            names = [(done.fname(each) or b"").decode() for each in range(done.nfields)]
            known.made_row = row_with(names)
        self._adapting.set_pgresult(done)
        return self._adapting.load_rows(0, done.ntuples, known.made_row)


@frozen
class _Bound:
    """A statement with its values, as they go to the server."""

    known: _Known
    values: Sequence[Any]
    formats: Sequence[Format] | None


class Prepared:
    """The statements of one session."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._pgconn = raw.pgconn
        self._adapting: Transformer = _Adapting(raw.adapters)  # and not *raw*: it would hold that
        self._known: dict[str, list[_Known]] = defaultdict(list)
        self._by_types: dict[tuple[str, Sequence[int]], _Known] = {}
        self._under_way = 0  # how many were sent whose answers nobody has taken yet
        self._told, self._taking = select.poll(), select.poll()
        self._told.register(raw.pgconn.socket, select.POLLIN)
        self._taking.register(raw.pgconn.socket, select.POLLIN | select.POLLOUT)
        self.changes = 0  # how many rows were changed so far

    def ask(self, name: str, values: Mapping[str, object]) -> Answer:
        """Run that statement; raise psycopg's errors, too of what was put before."""
        bound = self._bound(name, values)
        if self._under_way:
            self._send(bound)
            done = self._answers()[-1]
        else:
            done = self._alone(bound)
        return Answer(done, bound.known, self._adapting)

    def put(self, name: str, values: Mapping[str, object]) -> None:
        """Send that statement; what came of it comes with the answer of what is asked next."""
        self._send(self._bound(name, values))

    def settle(self) -> None:
        """Return once what was put has run; raise psycopg's errors."""
        if self._under_way:
            self._answers()

    def forget(self) -> None:
        """Return once what was put has run or failed, whatever came of it: it is to be undone."""
        try:
            self.settle()
        except psycopg.Error:
            if self._pgconn.pipeline_status:  # the session has gone, and libpq may not know it yet
                self._pgconn.finish()

    def _bound(self, name: str, values: Mapping[str, object]) -> _Bound:
        statement, adapting = _STATEMENTS[name], self._adapting
        given = [values[each] for each in statement.names]
        adapted: Sequence[Any] = adapting.dump_sequence(given, statement.formats)
        types = adapting.types or ()
        known = self._by_types.get((name, types)) or self._for(name, types)
        return _Bound(known, adapted, adapting.formats)

    def _for(self, name: str, types: Sequence[int]) -> _Known:
        """Return what takes values of those *types*: one for all ways in which some are NULL."""
        alike = self._known[name]
        known = next((each for each in alike if each.takes(types)), None)
        if known is None:
            before = alike[-1].types if alike else types
            merged = [each or other for each, other in zip(types, before, strict=True)]
            known = self._prepare(name, merged)
        self._by_types[name, types] = known
        return known

    def _prepare(self, name: str, types: Sequence[int]) -> _Known:
        self.settle()  # libpq prepares nothing while answers are to come
        known = _Known(f"{name} {len(self._known[name])}".encode(), types)
        _require(self._pgconn.prepare(known.name, _STATEMENTS[name].text, types))
        self._known[name].append(known)
        return known

    def _alone(self, bound: _Bound) -> PGresult:
        done = self._pgconn.exec_prepared(bound.known.name, bound.values, bound.formats)
        self._count(done)
        return done

    def _send(self, bound: _Bound) -> None:
        pgconn = self._pgconn
        if not self._under_way:
            pgconn.enter_pipeline_mode()
        pgconn.send_query_prepared(bound.known.name, bound.values, bound.formats)
        # Each gets an end of its own: without one the server expects more to come, and waits for
        # that without a time limit.
        pgconn.pipeline_sync()
        self._under_way += 1

    def _answers(self) -> Sequence[PGresult]:
        """Return what those under way came to; raise the error of the first that failed."""
        under_way, self._under_way = self._under_way, 0
        answers = [self._answered() for _ in range(under_way)]
        self._pgconn.exit_pipeline_mode()
        for done in answers:  # behind one that it refused, the server has run none
            self._count(done)
        return answers

    def _answered(self) -> PGresult:
        """Return the next answer of those that come together."""
        done, _, end = self._result(), self._result(), self._result()  # nothing comes between
        if done is None or end is None:
            raise psycopg.OperationalError("the server has answered less than it was asked")
        return done

    def _result(self) -> PGresult | None:
        """Wait for what libpq has next; its own way to wait would let no other thread run."""
        pgconn = self._pgconn
        while (unsent := pgconn.flush()) or pgconn.is_busy():
            (self._taking if unsent else self._told).poll(_LOOK_MS)
            pgconn.consume_input()
        return pgconn.get_result()

    def _count(self, done: PGresult) -> None:
        _require(done)
        if (done.command_status or b"").startswith(_CHANGES):
            self.changes += done.command_tuples or 0


_OF: WeakKeyDictionary[psycopg.Connection[Any], Prepared] = WeakKeyDictionary()


def prepared_of(raw: psycopg.Connection[Any]) -> Prepared:
    """Return the statements of the session *raw*."""
    found = _OF.get(raw)
    if found is None:
        found = _OF[raw] = Prepared(raw)
    return found


def _require(done: PGresult) -> None:
    if done.status not in _DONE:
        raise error_from_result(done)
