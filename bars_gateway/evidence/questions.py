"""
The self-assessment (SCAL): its questions, as far as the guide tells of them, and what answers them.

    scal.tsv ─► AssuranceQuestion: answered by the run, or by a person who is responsible

The guide publishes two item codes (CORE-API-M, CORE-API-M-TOKEN) and names the subjects of the
others; the list itself is shown to whoever fills it in. Names in small letters are ours.
"""

import csv
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from importlib.resources import files

from bars_gateway.frozen import frozen


class AnsweredBy(StrEnum):
    """Whose answer it is."""

    RUN = "run"  # the export has it
    PERSON = "person"  # somebody responsible must give it; the export may have a part


@frozen(kw_only=True)
class AssuranceQuestion:
    """One question of the self-assessment."""

    item: str  # the code of the guide, or a word of ours
    section: str
    asks: str
    by: AnsweredBy
    evidence: Sequence[str]  # scenes and other pieces of an export
    note: str


@cache
def questions() -> Sequence[AssuranceQuestion]:
    """Return the questions, in the order of the self-assessment's sections."""
    table = files("bars_gateway.evidence").joinpath("scal.tsv").read_text("utf-8")
    rows = csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(
        AssuranceQuestion(
            item=row["item"],
            section=row["section"],
            asks=row["asks"],
            by=AnsweredBy(row["for"]),
            evidence=tuple(filter(None, row["evidence"].split(","))),
            note=row["note"] or "",
        )
        for row in rows
    )
