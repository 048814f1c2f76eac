"""
The statements of the store, as a session of the server has prepared them.

    name, values ─► adapted by the driver ─► prepared, once a session and types ─► run ─► rows

They go past the driver's cursors, by its own functions straight to libpq, and cost a fifth of the
processor's time so. What waits there lets other threads run, which `PGconn.get_result` would not.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.abc import Transformer
from psycopg.adapt import PyFormat
from psycopg.adapt import Transformer as _Adapting
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from bars_gateway.frozen import frozen
from bars_gateway.store.statements import POSTGRESQL, for_libpq, statements_of

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_NULL = 0  # as the driver says it: of no type
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


_STATEMENTS: Mapping[str, _Statement] = {
    name: _statement(sql) for name, sql in statements_of(POSTGRESQL).items()
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

    @property
    def has_changed(self) -> bool:
        """Whether it changed any row."""
        return self.count > 0 and (self._done.command_status or b"").startswith(_CHANGES)

    def rows(self) -> list[Values]:
        """Return its rows; before the session runs anything else."""
        done, known = self._done, self._known
        if known.made_row is None:
            names = [(done.fname(each) or b"").decode() for each in range(done.nfields)]
            known.made_row = row_with(names)
        self._adapting.set_pgresult(done)
        return self._adapting.load_rows(0, done.ntuples, known.made_row)


class Prepared:
    """The statements of one session."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._pgconn = raw.pgconn
        self._adapting: Transformer = _Adapting(raw)
        self._known: dict[str, list[_Known]] = defaultdict(list)
        self._by_types: dict[tuple[str, Sequence[int]], _Known] = {}

    def ask(self, name: str, values: Mapping[str, object]) -> Answer:
        """Run the statement of that name; raise psycopg's errors."""
        statement, adapting = _STATEMENTS[name], self._adapting
        given = [values[each] for each in statement.names]
        adapted: Sequence[Any] = adapting.dump_sequence(given, statement.formats)
        types = adapting.types or ()
        known = self._by_types.get((name, types)) or self._for(name, types)
        done = self._pgconn.exec_prepared(known.name, adapted, adapting.formats)
        _require(done)
        return Answer(done, known, adapting)

    def _for(self, name: str, types: Sequence[int]) -> _Known:
        """Return the statement for values of those *types*; where some are NULL, one for others."""
        alike = self._known[name]
        known = next((each for each in alike if each.takes(types)), None)
        if known is None:
            # So that there are few of it, however many of its values are NULL at times.
            before = alike[-1].types if alike else types
            merged = [each or other for each, other in zip(types, before, strict=True)]
            known = self._prepare(name, merged)
        self._by_types[name, types] = known
        return known

    def _prepare(self, name: str, types: Sequence[int]) -> _Known:
        known = _Known(f"{name} {len(self._known[name])}".encode(), types)
        _require(self._pgconn.prepare(known.name, _STATEMENTS[name].text, types))
        self._known[name].append(known)
        return known


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
