"""
What the guide asks of Senders and Receivers, one row for each statement: what is there of it.

    requirements.tsv ─► Statement: whose, how strong, done or not, by which test, seen in which run

The statements are told in our own words; their ids are those by which code and tests cite them.
"""

import csv
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from importlib.resources import files

from bars_gateway.frozen import frozen


class Conformity(StrEnum):
    """How much of a statement is there."""

    DONE = "done"  # all of it
    PARTLY = "partly"  # some; the note says what is not
    NO = "no"  # nothing, or it is not for a program; the note says which


class Unshown(StrEnum):
    """Why no request and answer can show a statement that is there."""

    INSIDE = "inside"  # it happens within the gateway; the test shows it
    EPR = "epr"  # the EPR writes or shows it, and the gateway hands it on
    LONG = "long"  # it takes hours; the test moves its clock


UNSHOWN: Mapping[Unshown, str] = {
    Unshown.INSIDE: "no request and answer can show it: it happens within the gateway, and its"
    " test shows it",
    Unshown.EPR: "no request and answer of the gateway's can show it: the EPR writes or shows it",
    Unshown.LONG: "no short run can show it: it takes hours, and its test moves the clock",
}


@frozen(kw_only=True)
class Statement:
    """One conformance statement."""

    number: str  # CS-001
    level: str  # MUST, SHOULD or MAY
    side: str  # sender, receiver or both
    state: Conformity
    asks: str  # in our own words
    tests: Sequence[str]  # FILE::NAME below tests/
    evidence: Sequence[str]  # scenes and other pieces of an export
    unshown: Unshown | None  # why there is none
    note: str


@cache
def statements() -> Sequence[Statement]:
    """Return every statement, in the order of the guide."""
    table = files("bars_gateway.standard").joinpath("requirements.tsv").read_text("utf-8")
    rows = csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(
        Statement(
            number=row["id"],
            level=row["level"],
            side=row["side"],
            state=Conformity(row["state"]),
            asks=row["statement"],
            tests=_listed(row["test"]),
            evidence=_listed(row["evidence"]),
            unshown=Unshown(row["unshown"]) if row["unshown"] else None,
            note=row["note"],
        )
        for row in rows
    )


def _listed(cell: str) -> Sequence[str]:
    return tuple(filter(None, cell.split(",")))
