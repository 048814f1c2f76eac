"""How much room there is on a disk is told in one unit, wherever it is told."""

import re
from pathlib import Path

import bars_gateway
from bars_gateway.disk import room

PACKAGE = Path(bars_gateway.__file__).parent
AREAS = ("status", "console", "store", "upkeep", "onboarding", "epr")
OTHERS = re.compile(
    r"\} ?(?:[KMGk]i?B|bytes are)\b|/ ?(?:2 ?\*\* ?[23]0|1024 ?\*\* ?[23]|1048576|1073741824)\b"
)


def test_no_part_has_a_unit_of_its_own() -> None:
    """The page, an alert, the doctor and a refusal can be compared at a glance."""
    files = [
        file
        for area in AREAS
        for kind in ("*.py", "*.html")
        for file in (PACKAGE / area).rglob(kind)
    ]
    found = {file.name: hits for file in files if (hits := OTHERS.findall(file.read_text("utf-8")))}

    assert {} == found


def test_another_unit_would_be_noticed() -> None:
    """As they were written once: in three units, of one disk."""
    before = (
        "{free} bytes are free",
        "{each / 2**20:.0f} MB",
        "{free / 1024**3:.1f} GiB are free",
        "{{ (overview.free_bytes / 1073741824)|round(1) }} GiB free",
    )

    assert [True] * 4 == [bool(OTHERS.search(each)) for each in before]


def test_room_is_told_in_mebibytes() -> None:
    """What is little is told to a tenth."""
    given = (2**28, 62210 * 2**20, 9.5 * 2**20, 9)

    assert ["256 MiB", "62,210 MiB", "9.5 MiB", "0.0 MiB"] == [room(each) for each in given]
