"""
What falls due, as a step of housekeeping looks for it; and how each of it is done by itself.

A statement lists what is due, as many as are asked for and without what is left out. Each row
says whose it is: `id`, `provider`, `message_id` and `request_id`, for whoever hears of a failure.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from bars_gateway.store.aside_works import is_of_one_row
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import text

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """What a step looks for: what is due now, but for what it failed over a moment ago."""

    now: datetime
    left_out: Sequence[int]
    most: int

    @property
    def values(self) -> dict[str, object]:
        """The values of a statement that lists what is due."""
        left_out = json.dumps(list(self.left_out))
        return {"now": text(self.now), "left_out": left_out, "limit": self.most}


@dataclass(frozen=True, slots=True)
class Failed:
    """A row that something fell due for and could not be done, and why: it is as it was."""

    number: int  # of the row
    provider: str
    message_id: int | None
    request_id: str | None
    error: Exception


def each_alone(
    connection: Connection, found: Iterable[Row], do: Callable[[Row], T]
) -> list[T | Failed]:
    """Do something for each row by itself: what fails is undone, and the others are done."""
    return [_alone(connection, row, do) for row in found]


def _alone(connection: Connection, row: Row, do: Callable[[Row], T]) -> T | Failed:
    try:
        with connection.savepoint():
            return do(row)
    except Exception as error:  # unit of work
        if not is_of_one_row(error):
            raise
        about = (row["provider"], row["message_id"], row["request_id"])
        return Failed(row["id"], *about, error)
