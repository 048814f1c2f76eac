"""
Says what is found in each of thousands of bodies, a line each: what two builds are compared by.

    PYTHON tests/support/verdicts.py ──► name of the body, digest of all that is found, rules

The bodies are what is published (`BARS_REFERENCE_DATA`), as it is, as the other format, with a
defect at each place that R4 knows, and with random bytes changed; a message that breaks each rule;
and the book of malformed ones. `make compiled` runs this with two builds: no line may differ.
"""

import hashlib
import json
import os
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID

import malformed
import variants
from breaks import BREAKS
from damages import DAMAGES, Site, damaged, sites

from bars_gateway.demo import messages
from bars_gateway.standard import bundle, structure, xml
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.examination import examine
from bars_gateway.standard.formats import Format, to_bytes, to_tree
from bars_gateway.standard.rule import Side
from bars_gateway.standard.tree import MalformedBundle

SERVICE = "https://fhir.nhs.uk/Id/dos-service-id|2000000202"
OFFER = Offer(
    services=frozenset({SERVICE}),
    applications={f"a{number}": ("1.0.0", "2.0.0") for number in range(1, 9)},
)
MEDIA_TYPES = {Format.JSON: "application/fhir+json", Format.XML: "application/fhir+xml"}
SEED = 20261129
CHANGED = 6  # times each published message has random bytes changed

Body = tuple[str, bytes, Format]


def published(folder: Path) -> Iterator[Body]:
    """Yield every file that is published, as it is and as the other format."""
    for area in ("examples", "capability-statements", "message-definitions", "harness", "openapi"):
        for file in sorted((folder / area).rglob("*.*")):
            written_in = {".xml": Format.XML, ".json": Format.JSON}.get(file.suffix)
            if written_in is not None:
                name, body = str(file.relative_to(folder)), file.read_bytes()
                yield name, body, written_in
                other = Format.JSON if written_in is Format.XML else Format.XML
                with suppress(MalformedBundle):
                    yield f"{name} as {other}", to_bytes(to_tree(body, written_in), other), other


def with_defects(bodies: Iterable[Body]) -> Iterator[Body]:
    """Yield each kind of defect at each kind of place that one of *bodies* has."""
    places: dict[str, tuple[Any, Site]] = {}
    for _, body, written_in in bodies:
        with suppress(MalformedBundle):
            tree = to_tree(body, written_in)
            if "resourceType" in tree and not structure.check(tree):
                for site in sites(tree):
                    places.setdefault(site.kind, (tree, site))
    for kind, (tree, site) in places.items():
        for damage in DAMAGES:
            if DAMAGES[damage].applies(site):
                copy = damaged(tree, damage, site)
                yield f"{kind}: {damage}", to_bytes(copy, Format.JSON), Format.JSON


def changed(bodies: Iterable[Body]) -> Iterator[Body]:
    """Yield *bodies* with some bytes of each lost, doubled or replaced."""
    chance = random.Random(SEED)
    for name, body, written_in in bodies:
        for number in range(CHANGED):
            at = chance.randrange(len(body))
            length, new = (
                chance.choice([1, 1, 2, 7, 60]),
                chance.choice([b"", b"<", b'"', b"0", b"\xe9"]),
            )
            spoilt = (
                body[:at] + chance.choice([new, body[at : at + length] * 2]) + body[at + length :]
            )
            yield f"{name}, changed {number}", spoilt, written_in


class _Noon(datetime):
    """Always the same one, for what is made now to be the same in both builds."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_Noon":
        return cls(2026, 3, 2, 12, tzinfo=tz)


def broken() -> Iterator[Body]:
    """Yield a message that breaks each rule, in both formats."""
    chance = random.Random(SEED)
    for each in (messages, variants):
        each.uuid4 = lambda: UUID(int=chance.getrandbits(128), version=4)
    messages.datetime = _Noon
    for number, case in enumerate(BREAKS):
        tree = case.message()
        case.change(tree)
        body = json.dumps(tree).encode()
        yield f"{case.rule}, {number}", body, Format.JSON
        with suppress(MalformedBundle):
            yield f"{case.rule}, {number} as XML", xml.from_tree(bundle.from_json(body)), Format.XML


def found_in(body: bytes, written_in: Format) -> tuple[str, str]:
    """Return a digest of everything that is found in *body*, and the rules by name."""
    sides = [examine(body, MEDIA_TYPES[written_in], side, OFFER) for side in Side]
    said: list[object] = [*sides]
    with suppress(MalformedBundle):
        tree = to_tree(body, written_in)
        said += [structure.check(tree), *(to_bytes(tree, each) for each in Format)]
    digest = hashlib.sha256(repr(said).encode("utf-8", "backslashreplace")).hexdigest()
    return digest[:16], " ".join(f"{each.rule}@{each.path}" for each in sides[-1].issues)


def everything() -> Iterator[Body]:
    """Yield all bodies."""
    if "BARS_REFERENCE_DATA" not in os.environ:
        sys.exit("BARS_REFERENCE_DATA must name the folder of reference data.")
    plain = list(published(Path(os.environ["BARS_REFERENCE_DATA"])))
    yield from plain
    yield from with_defects(plain)
    yield from changed(each for each in plain if each[0].startswith("examples/messages"))
    yield from broken()
    for written_in, book in {Format.JSON: malformed.JSON, Format.XML: malformed.XML}.items():
        yield from ((f"malformed: {name}", body, written_in) for name, body in book.items())


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # a set is printed in the order of its hashes
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    for name, body, written_in in everything():
        print(name, *found_in(body, written_in), sep="\t")
