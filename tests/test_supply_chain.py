"""Whose code is in a release: a list of parts, their licences, and who keeps each of them."""

import json
import re
import socket
import subprocess
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path

import jsonschema_rs
import pytest
import sbom

from bars_gateway import __version__

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "supply-chain.md"
# And the columns of its table.
LOCKS = {"requirements.lock": 7, "tests/requirements.lock": 4}
OF_THE_PAGES, COLUMNS = "documentation/requirements.lock", 3
# Whose metadata say that it is a BSD licence, and not which: the tests alone need them.
VAGUE = {"fhir-core", "fhir-resources"}


@cache
def parts() -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in json.loads(sbom.printed())["components"]}


@cache
def rows(columns: int) -> dict[str, list[str]]:
    """Return what the page says of each package, in its table of so many columns."""
    found = {}
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == columns:
            assert cells[0] not in found
            found[cells[0].strip("`")] = cells[1:]
    return found


def of_the_tests_alone() -> dict[str, str]:
    run = {each.name for each in sbom.locked()}
    every = sbom.locked(ROOT / "tests" / "requirements.lock")
    return {each.name: each.version for each in every if each.name not in run}


def of_the_pages_alone() -> dict[str, str]:
    others = {each.name for each in sbom.locked(ROOT / "tests" / "requirements.lock")}
    every = sbom.locked(ROOT / OF_THE_PAGES)
    return {each.name: each.version for each in every if each.name not in others}


def test_the_list_of_parts_is_what_cyclonedx_asks_for() -> None:
    """By the schema that its own library ships, with the formats and the licences' names."""
    schemas = files("cyclonedx.schema").joinpath("_res")
    registry = jsonschema_rs.Registry(
        [
            (f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", _schema(schemas, name))
            for name in ("spdx", "jsf-0.82")
        ]
    )
    validator = jsonschema_rs.validator_for(
        _schema(schemas, "bom-1.6"), registry=registry, validate_formats=True
    )

    assert [] == [each.message for each in validator.iter_errors(json.loads(sbom.printed()))]


def _schema(schemas: Path, name: str) -> dict[str, object]:
    text = schemas.joinpath(f"{name}.SNAPSHOT.schema.json").read_text("utf-8")
    return json.loads(text)


def test_every_package_of_the_lock_is_a_part() -> None:
    """With its version, a licence, and the hash of each of its files."""
    listed = {
        name: (
            part["version"],
            [digest["content"] for digest in part["externalReferences"][0]["hashes"]],
        )
        for name, part in parts().items()
    }

    assert listed == {each.name: (each.version, sorted(each.hashes)) for each in sbom.locked()}
    assert [] == [name for name, part in parts().items() if not part["licenses"]]


def test_the_list_of_parts_names_this_release() -> None:
    """An assessor sees of what it is the list."""
    (ours,) = [json.loads(sbom.printed())["metadata"]["component"]]

    assert ("bars-gateway", __version__) == (ours["name"], ours["version"])


def test_the_same_lock_gives_the_same_bytes() -> None:
    """In another process, with another order of hashes: two people can compare theirs."""
    command = [sys.executable, str(ROOT / "supply" / "sbom.py")]
    environment = {"PYTHONHASHSEED": "7", "PATH": ""}
    other = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)

    assert sbom.printed() == other.stdout


def test_nothing_of_this_machine_is_in_the_list_of_parts() -> None:
    """Nor of an installation: it is the same wherever it is made, and says when by no clock."""
    text = sbom.printed()

    assert [] == [name for name in (str(ROOT), socket.gethostname(), "timestamp") if name in text]


def test_what_only_builds_the_package_is_told_apart() -> None:
    """A scanner need not wake anybody for what no gateway loads."""
    scopes = {name: part["scope"] for name, part in parts().items()}

    assert ("required", "required", "optional", "excluded") == (
        scopes["aiohttp"],
        scopes["yarl"],
        scopes["uvloop"],
        scopes["hatchling"],
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_every_licence_is_one_that_we_may_use(lock: str) -> None:
    """Another one wants a decision before it is installed anywhere."""
    found = {
        each.name: sbom.foreign(sbom.licence_of(each.name))
        for each in sbom.locked(ROOT / lock)
        if each.name not in VAGUE
    }

    assert {} == {name: others for name, others in found.items() if others}


def test_a_licence_that_we_may_not_use_is_noticed() -> None:
    """Also as one part of several."""
    assert {"GPL-3.0-only"} == sbom.foreign("MIT AND GPL-3.0-only")


def test_the_page_names_the_licences_that_are_allowed() -> None:
    """What the test holds is what people read."""
    (said,) = re.findall(r"Others' code may be under one of (.*?)\. A test", _flat(), re.DOTALL)

    assert sbom.ALLOWED == set(re.findall(r"`([^`]+)`", said))


def _flat() -> str:
    return " ".join(PAGE.read_text("utf-8").split())


def test_somebody_keeps_each_package_that_a_gateway_runs_on() -> None:
    """Each has a row, at the version that was looked at; no row is left of one that is gone."""
    page = rows(LOCKS["requirements.lock"])

    assert {each.name: each.version for each in sbom.locked()} == {
        name: cells[0] for name, cells in page.items()
    }
    assert [] == [name for name, cells in page.items() if not all(cells)]


def test_somebody_keeps_each_package_that_only_the_tests_need() -> None:
    """Likewise."""
    page = rows(LOCKS["tests/requirements.lock"])

    assert of_the_tests_alone() == {name: cells[0] for name, cells in page.items()}
    assert [] == [name for name, cells in page.items() if not all(cells)]


def test_each_package_that_only_the_pages_need_is_named() -> None:
    """With what it is there for; what the tests need, too, has the same version there."""
    page = rows(COLUMNS)
    tested = {each.name: each.version for each in sbom.locked(ROOT / "tests" / "requirements.lock")}
    every = {each.name: each.version for each in sbom.locked(ROOT / OF_THE_PAGES)}

    assert of_the_pages_alone() == {name: cells[0] for name, cells in page.items()}
    assert [] == [name for name in every.keys() & tested.keys() if every[name] != tested[name]]
