"""
A migration is never edited once a version with it is out.

Two databases that both call themselves by one number would differ, and nothing could tell. At a
release the heading in CHANGELOG.md makes the first test fail until what is out is written down.
"""

import hashlib
import re
import subprocess
from collections.abc import Collection
from importlib import resources
from pathlib import Path

import pytest

from bars_gateway.store.migrating import POSTGRESQL, SQLITE

ROOT = Path(__file__).parent.parent.parent
RELEASED = Path(__file__).with_name("released_migrations.tsv")
HEADING = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", re.MULTILINE)


def migrations() -> dict[str, str]:
    """Return the SHA-256 of each migration of either engine, as it is now."""
    return {
        f"{engine}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()
        for engine in (SQLITE, POSTGRESQL)
        for file in (resources.files("bars_gateway.store") / engine).iterdir()
        if file.name.endswith(".sql")
    }


def recorded(text: str) -> dict[str, dict[str, str]]:
    """Return the migrations of each released version, with what they were then."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            version, name, digest = line.split("\t")
            found.setdefault(version, {})[name] = digest
    return found


def tagged() -> list[str]:
    """Return the versions that have a tag, where this is a clone."""
    done = subprocess.run(["git", "tag"], cwd=ROOT, capture_output=True, text=True, check=False)
    return re.findall(r"^v?(\d+\.\d+\.\d+)$", done.stdout, re.MULTILINE)


def wrong(versions: Collection[str], released: str, now: dict[str, str]) -> list[str]:
    """Return what a release has forgotten, or somebody has edited since."""
    found = []
    known = recorded(released)
    for version in sorted(versions):
        if version not in known:
            rows = "\n".join(f"{version}\t{name}\t{now[name]}" for name in sorted(now))
            found.append(f"{version} is released: add to {RELEASED.name}\n{rows}")
    for version, files in known.items():
        for name, digest in files.items():
            if now.get(name) != digest:
                found.append(f"{name} is not what it was in {version}: write a new migration")
    return found


def test_what_was_released_is_as_it_was():
    """Of every version that the changelog has a heading for, or that has a tag."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = {*HEADING.findall(changelog), *tagged()}

    assert [] == wrong(versions, RELEASED.read_text("utf-8"), migrations())


@pytest.mark.parametrize(
    ("changelog", "released", "now", "expected"),
    [
        ("## [Unreleased]\n", "", {"0001.sql": "a"}, []),
        ("## [0.2.0] - 2027-01-01\n", "0.2.0\t0001.sql\ta\n", {"0001.sql": "a"}, []),
        (
            "## [0.2.0] - 2027-01-01\n",
            "# none yet\n",
            {"0001.sql": "a"},
            ["0.2.0 is released: add to released_migrations.tsv\n0.2.0\t0001.sql\ta"],
        ),
        (
            "## [0.2.0]\n",
            "0.2.0\t0001.sql\ta\n",
            {"0001.sql": "b"},
            ["0001.sql is not what it was in 0.2.0: write a new migration"],
        ),
        (
            "## [0.2.0]\n",
            "0.2.0\t0001.sql\ta\n",
            {"0001.sql": "a", "0002.sql": "b"},
            [],
        ),
    ],
    ids=["none is out", "as it was", "forgotten at the release", "edited since", "a new one"],
)
def test_what_a_release_may_forget(changelog, released, now, expected):
    """The rows are asked for, ready to be pasted, and then they hold."""
    assert expected == wrong(HEADING.findall(changelog), released, now)
