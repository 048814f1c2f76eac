"""
Prints what a Debian package says of the parts that it brings along: `make deb`.

    lock       ─► the lines of requirements.lock of what a gateway runs with, and its own wheel
    copyright  ─► whose code it is, under which licence, and where its text lies

What only builds the package is in neither. Decisions: D-debian.
"""

import hashlib
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import sbom
from cyclonedx.model.component import ComponentScope

from bars_gateway import __version__

_SITE = "/opt/bars-gateway/lib/python3.*/site-packages"
_HEAD = """\
bars_gateway: the NHS Booking and Referral Standard (BaRS), spoken for an EPR.

{licence}
This package brings others' code along, unchanged, in the same folder. Of each: its version, its
licence in the words of SPDX, and the files that hold the text. Apache-2.0 and MPL-2.0 are also in
/usr/share/common-licenses. The list for programs, with hashes: bars-gateway.cdx.json.
"""


def runs_with() -> Iterator[sbom.Locked]:
    """Yield the packages that a gateway runs with, or may, in the order of the lock."""
    for package in sbom.locked():
        if sbom.scopes()[package.name] is not ComponentScope.EXCLUDED:
            yield package


def lock(wheel: Path) -> Iterator[str]:
    """Yield the lines of a lock for pip, with *wheel*, which is this package itself."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    ours = sbom.Locked(name=sbom.NAME, version=__version__, hashes=[digest])
    for package in (*runs_with(), ours):
        hashes = (f"    --hash=sha256:{each}" for each in package.hashes)
        yield " \\\n".join((f"{package.name}=={package.version}", *hashes))


def copyright_file() -> Iterator[str]:
    """Yield the lines of /usr/share/doc/bars-gateway/copyright."""
    yield _HEAD.format(licence=(sbom.ROOT / "LICENSE").read_text("utf-8"))
    for package in runs_with():
        yield f"{package.name} {package.version}: {sbom.licence_of(package.name)}"
        yield from (f"  {_SITE}/{file}" for file in texts_of(package.name))


def texts_of(name: str) -> list[str]:
    """Return the files of an installed package that hold its licence, below site-packages."""
    files = map(str, distribution(name).files or ())
    return [each for each in files if ".dist-info/licenses/" in each or "LICENSE" in each.upper()]


if __name__ == "__main__":
    lines = copyright_file() if sys.argv[1:] == ["copyright"] else lock(Path(sys.argv[2]))
    sys.stdout.writelines(f"{line}\n" for line in lines)
