"""
The seam between works and an engine: all that a work may ask of a database.

    work(connection, …) ─► run │ one │ rows │ inserted      a statement, by its name
                           savepoint                        what fails in it is undone alone

A statement is called by its name in the `.sql` file beside a module; values are bound by name.
An engine is a class with these five methods, which raises the errors named here and no others of
its own:

    RowRefused        a constraint forbids this row; the transaction goes on
    DatabaseDamaged   the engine met a spoilt page
    StoreUnavailable  nothing can be stored for now, and the transaction is lost: StorageFull
                      where the disk is full, DatabaseHeld where another program has the engine
    StoreError        anything else that the engine says no to

Decisions: D-seam.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Row(Protocol):
    """One row that a statement returned; its columns by name."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the value of that column."""

    def keys(self) -> Iterable[str]:
        """Return the names of its columns."""


class Connection(Protocol):
    """A transaction that a work runs in. Works never begin or end one."""

    def run(self, statement: str, /, **values: object) -> int:
        """Run *statement*; return how many rows it changed."""

    def one(self, statement: str, /, **values: object) -> Row | None:
        """Run *statement* and return its first row, or None."""

    def rows(self, statement: str, /, **values: object) -> list[Row]:
        """Run *statement* and return its rows."""

    def inserted(self, statement: str, /, **values: object) -> int:
        """Run an INSERT … RETURNING id and return the id."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what the block did, and that alone, where it raises."""
