"""What is exported of the trail can be verified by anybody, and shows what was asked alone."""

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from store_values import NOW, arrival, submission

from bars_gateway.model.readings import SubjectHeld
from bars_gateway.store import exports
from bars_gateway.store.exports import Export, WantedLines, choose, records
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

DAY = timedelta(days=1)
PAGE = Path(__file__).parent.parent.parent / "docs" / "records.md"
ALL = WantedLines()


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Three days, of which two are sealed; jo looked on the second."""
    path = tmp_path / "gateway.db"
    async with open_database(path) as database:
        store = Store(database, node="here")
        for n in range(3):
            await store.inbound.receive(arrival(request_id=f"r{n}"), NOW + DAY * n)
            await store.outbound.submit(submission(bundle_id=f"b{n}"), NOW + DAY * n)
            if n == 1:
                await store.visits.note("console.logged_in", {"who": "jo (1000)"}, NOW + DAY)
            if n < 2:
                await store.chain.seal(NOW + DAY * (n + 1))
    return path


def export(path: Path, wanted: WantedLines = ALL) -> list[Mapping[str, object]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        within, export = SqliteConnection(connection), Export(wanted)
        while choose(within, export):
            pass
        steps = iter(lambda: records(within, export), None)
        return [record for found in steps for record in found]


def held(number: int, kind: str = "message", request_id: str = "-", provider: str = "trust"):
    """Return what is held about somebody, as the index tells it."""
    unsaid = dict.fromkeys(
        ("counterparty", "use_case", "move", "bundle_id", "workflow_id", "workflow_state")
    )
    return SubjectHeld(
        kind=kind,
        number=number,
        named="patient",
        provider=provider,
        direction="inbound",
        state="received",
        request_id=request_id,
        at=NOW,
        kept=[],
        notices=[],
        **unsaid,
    )


def whole(records: Sequence[Mapping[str, object]]) -> list[object]:
    return [each["line"] for each in records if "kind" in each]


def verified(tmp_path: Path, records: Sequence[Mapping[str, object]]) -> str:
    """Run the program that the page prints, and nothing else."""
    found = re.search(r"<!-- a verifier: .*? -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    program, file = tmp_path / "verify.py", tmp_path / "export.jsonl"
    program.write_text(found[1])
    file.write_text("".join(f"{json.dumps(each)}\n" for each in records))
    done = subprocess.run(
        [sys.executable, "-I", program, file], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_an_export_without_a_beginning_proves_nothing(tmp_path: Path, path: Path) -> None:
    """Nor does an empty one, which says so; the program ends with no error of Python's."""
    records = export(path)

    assert "the last hash is none: there is no line\n" in verified(tmp_path, [])
    assert "line 1 is not as it was written\n" == verified(tmp_path, records[1:])


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        pytest.param(ALL, [1, 2, 3, 4, 5, 6, 7, 8, 9], id="all"),
        pytest.param(WantedLines(actor="jo"), [6], id="actor"),
        pytest.param(WantedLines(actor="j"), [], id="another-actor"),
        pytest.param(WantedLines(kind="console"), [6], id="kind"),
        pytest.param(WantedLines(of=["R2"]), [8], id="request"),
        pytest.param(WantedLines(of=["b0", "b2"]), [2, 9], id="bundles"),
        pytest.param(WantedLines(of=["1"]), [1], id="number"),
        pytest.param(WantedLines(of=[]), [], id="of-none"),
        pytest.param(WantedLines(about=[]), [], id="about-nothing"),
        pytest.param(WantedLines(about=[held(1)]), [1], id="about-a-message"),
        pytest.param(WantedLines(about=[held(9, "question", "r2")]), [8], id="about-a-question"),
        pytest.param(WantedLines(about=[held(9, "question", "r2", "x")]), [], id="of-another"),
        pytest.param(WantedLines(since=NOW + DAY, until=NOW + DAY * 2), [3, 4, 5, 6], id="period"),
        pytest.param(WantedLines(provider="nobody"), [], id="nothing"),
    ],
)
def test_what_is_asked_for_is_exported_and_holds(
    path: Path, tmp_path: Path, wanted: WantedLines, lines: list[int]
) -> None:
    """By a period, a subject, an actor; some lines of anybody's Python say that it is whole."""
    records = export(path, wanted)

    assert lines == whole(records)
    assert not records or "every line is as it was written" in verified(tmp_path, records)


def test_what_lies_between_shows_nothing_of_itself(path: Path) -> None:
    """A digest, a number and a hash; days without a line that fits are not there at all."""
    records = export(path, WantedLines(actor="jo"))

    assert [{"line", "digest", "hash"}] * 3 == [set(r) for r in records if "digest" in r]
    assert {"after", "hash"} == set(records[0])
    assert 3 == records[1]["line"]


@pytest.mark.parametrize("member", ["at", "kind", "detail", "request_id", "hash", "digest"])
def test_an_export_that_was_changed_does_not_verify(
    path: Path, tmp_path: Path, member: str
) -> None:
    """Whatever member of whatever line."""
    records = [dict(each) for each in export(path, WantedLines(actor="jo"))]
    for each in records:
        if member in each and "after" not in each:
            each[member] = "0" * 64
            break
    else:
        pytest.fail(member)

    assert "is not as it was written" in verified(tmp_path, records)


def test_an_export_in_steps_is_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lines one look takes."""
    at_once = [export(path, wanted) for wanted in (ALL, WantedLines(of=["b0", "b2"]))]
    monkeypatch.setattr(exports, "STEP", 2)

    assert at_once == [export(path, wanted) for wanted in (ALL, WantedLines(of=["b0", "b2"]))]
