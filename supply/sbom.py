"""
Prints the list of parts (SBOM) of a release, as CycloneDX 1.6 in JSON: `make sbom`.

    requirements.lock ──► what is installed, at which version, by which hashes ─┐
    installed metadata ─► under which licence, and what each needs ─────────────┴─► CycloneDX

The same lock gives the same bytes: there is no instant and no random number in it, so that two
people who build one release can compare theirs. What only builds the package has the scope
`excluded`, what may be left out `optional`; everything else is `required`. A hash is one of each
file of a version: which of them is installed depends on the machine.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from uuid import UUID, uuid5

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from license_expression import Licensing, get_spdx_licensing
from packageurl import PackageURL
from packaging.requirements import Requirement

from bars_gateway import __version__

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"
NAME = "bars-gateway"
# Under which licences somebody else's code may be a part of this: permissive ones, and two that
# ask for their own files alone to stay open. Any other wants a decision, and a line here.
ALLOWED = frozenset(
    "Apache-2.0 BSD-2-Clause BSD-3-Clause ISC LGPL-3.0-only MIT MIT-0 MPL-2.0 PSF-2.0".split()
)
# What older metadata call a licence, in the words of SPDX.
_CALLED: Mapping[str, str] = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Read in the licence's file, where the metadata say less than which one it is.
_READ: Mapping[str, str] = {
    "axe-playwright-python": "MIT",
    "jinja2": "BSD-3-Clause",
}
_EXTRAS = frozenset({"speed", "postgres"})  # of ours that the lock has
_LINE = re.compile(r"([a-z0-9._-]+)==(\S+) \\")
_HASH = re.compile(r" {4}--hash=sha256:([0-9a-f]{64})")
# Names what is listed, by what is listed: any other list has another number.
_SPACE = UUID("6b0b1f3a-43a2-5f0e-9c55-8f8f7f7a5f11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One package of a lock."""

    name: str
    version: str
    hashes: Sequence[str]  # SHA-256 of each file of that version

    @property
    def purl(self) -> str:
        """Its name for programs, in which the version stands too."""
        return str(PackageURL("pypi", None, self.name, self.version))


def locked(path: Path = LOCK) -> list[Locked]:
    """Return what a lock names, in its order."""
    found: list[tuple[str, str, list[str]]] = []
    for line in path.read_text("utf-8").splitlines():
        if package := _LINE.fullmatch(line):
            found.append((package[1], package[2], []))
        elif digest := _HASH.match(line):
            found[-1][2].append(digest[1])
    return [Locked(name=name, version=version, hashes=each) for name, version, each in found]


@cache
def _spdx() -> Licensing:
    return get_spdx_licensing()


def licence_of(name: str) -> str:
    """Return the licence of an installed package as an SPDX expression; raise LookupError."""
    metadata = distribution(name).metadata
    if name in _READ:
        return _READ[name]
    declared = metadata.get("License-Expression") or metadata.get("License") or ""
    classified = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier") or ()
        if each.startswith("License ::")
    ]
    for said in (declared, *classified):
        expression = _CALLED.get(said, said)
        if expression and not _spdx().validate(expression).errors:
            return expression
    raise LookupError(f"{name} does not say its licence: read its file, and add a line to _READ")


def foreign(expression: str) -> set[str]:
    """Return the licences of an expression that are not allowed here."""
    return set(_spdx().license_keys(expression)) - ALLOWED


def needed_by(
    name: str, extras: frozenset[str] = frozenset()
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what a package asks for on this Python, and with which extras."""
    for line in distribution(name).requires or ():
        asked = Requirement(line)
        fits = asked.marker is None or any(
            asked.marker.evaluate({"extra": extra}) for extra in (*extras, "")
        )
        if fits:
            yield _canonical(asked.name), frozenset(asked.extras)


def reached(*begins: tuple[str, frozenset[str]]) -> set[str]:
    """Return all that these packages need, and what that needs."""
    met: set[tuple[str, frozenset[str]]] = set()
    left = list(begins)
    while left:
        each = left.pop()
        if each not in met:
            met.add(each)
            left += needed_by(*each)
    return {name for name, _ in met}


@cache
def scopes() -> Mapping[str, ComponentScope]:
    """Return of each package whether a gateway runs with it, may, or is only built with it."""
    required = reached(*needed_by(NAME))
    optional = reached(*needed_by(NAME, _EXTRAS)) - required
    built_with = {each.name for each in locked()} - required - optional
    return {
        **dict.fromkeys(required, ComponentScope.REQUIRED),
        **dict.fromkeys(optional, ComponentScope.OPTIONAL),
        **dict.fromkeys(built_with, ComponentScope.EXCLUDED),
    }


def bom() -> Bom:
    """Return the list of parts."""
    ours = Component(
        name=NAME,
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref=f"{NAME}@{__version__}",
        licenses=[LicenseExpression(licence_of(NAME))],
    )
    parts = {each.name: _part(each) for each in locked()}
    numbered = uuid5(_SPACE, f"{__version__}\n{LOCK.read_text('utf-8')}")
    found = Bom(
        components=parts.values(), metadata=BomMetaData(component=ours), serial_number=numbered
    )
    found.register_dependency(
        ours, [parts[name] for name, _ in needed_by(NAME, _EXTRAS) if name in parts]
    )
    for name, part in parts.items():
        others = {other for other, _ in needed_by(name)} & parts.keys()
        found.register_dependency(part, [parts[other] for other in sorted(others)])
    return found


def _part(package: Locked) -> Component:
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(package.purl),
        comment="any of these files, as the machine asks for",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in package.hashes],
    )
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType("library"),
        bom_ref=package.purl,
        purl=PackageURL.from_string(package.purl),
        scope=scopes()[package.name],
        licenses=[LicenseExpression(licence_of(package.name))],
        external_references=[files],
    )


def printed() -> str:
    """Return the list of parts as it is published: without the instant, which would differ."""
    found = bom()
    found.metadata.timestamp = None  # type: ignore[assignment] # the schema does without one
    return JsonV1Dot6(found).output_as_string(indent=2) + "\n"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.stdout.write(printed())
