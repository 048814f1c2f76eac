"""Whoever reads the receipt need not run `lint`: what it warns of is in there, at either door."""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from breaks import BREAKS, Break
from epr_side import Hospital, at_work
from messages import SENDER
from typer.testing import CliRunner
from variants import a_referral

from bars_gateway.cli.main import app
from bars_gateway.epr.drop import DropFolder
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.examination import examine
from bars_gateway.standard.formats import Format, converted
from bars_gateway.standard.rule import PRODUCTION, Side

Document = dict[str, Any]
SUFFIXES = {Format.JSON: ".json", Format.XML: ".xml"}
OFFER = Offer(services=frozenset({SENDER}), applications={})
WARNED = [
    case for case in BREAKS if case.message is a_referral and case.severities.startswith("warning")
]
FAULTS = {"none": [], **{f"{case.rule}-{case.path}": [case] for case in WARNED}}
FAULTS["several"] = [
    FAULTS[name][0]
    for name in ("B19-CarePlan.meta.profile", "P02-Patient.identifier[0].value", "P10-Patient.name")
]


def faulty(cases: Sequence[Break], written_in: Format) -> bytes:
    """Return a new referral with all these faults, of which none keeps it from leaving."""
    bundle = a_referral()
    for case in cases:
        case.change(bundle)
    return converted(json.dumps(bundle).encode(), Format.JSON, written_in)


def printed(file: Path, body: bytes) -> list[Document]:
    """Return the warnings of `lint`, named as a receipt does."""
    file.write_bytes(body)
    found = CliRunner().invoke(app, ["lint", "--strict", "--json", str(file)])
    return [
        {
            "rule": each["rule"],
            "path": each["path"],
            "problem": each["text"],
            "refused_in_production": each["refused_in_production"],
        }
        for each in map(json.loads, found.output.splitlines())
        if each["severity"] == "warning"
    ]


@pytest.fixture
def by_folder(
    hospital: Hospital, folder: DropFolder
) -> Callable[[str, bytes], Awaitable[Document]]:
    """Return what drops a file, and reads its receipt."""

    async def drop(name: str, body: bytes) -> Document:
        async with at_work(folder.stop, folder.collect()):
            hospital.drop(name, body)
            await hospital.sees("outbox/accepted/one.receipt.json")
        found: Document = json.loads((hospital.outbox / "accepted/one.receipt.json").read_bytes())
        return found

    return drop


@pytest.mark.parametrize("written_in", Format)
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
async def test_a_receipt_holds_what_lint_prints(
    by_folder: Callable[[str, bytes], Awaitable[Document]],
    epr: aiohttp.ClientSession,
    tmp_path: Path,
    faults: list[Break],
    written_in: Format,
) -> None:
    """Every warning, by folder and by socket; and each says whether production would refuse it."""
    first, second = faulty(faults, written_in), faulty(faults, written_in)
    name = f"one{SUFFIXES[written_in]}"
    dropped = await by_folder(name, first)
    async with epr.post("/messages", data=second, headers={"Content-Type": written_in}) as taken:
        posted = await taken.json()
    expected = printed(tmp_path / name, first)
    strict = examine(first, written_in, Side.SENDING, OFFER, PRODUCTION)

    assert {fault.rule for fault in faults} <= {each["rule"] for each in expected}
    assert expected == dropped["warnings"] == posted["warnings"]
    assert {each.rule for each in strict.errors} == {
        each["rule"] for each in expected if each["refused_in_production"]
    }
