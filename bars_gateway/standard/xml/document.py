"""
Where each element of an XML document stands: the lines that an operator looks up.

Places are written down while the document is read; paths are made of them only when
somebody asks, which is when something is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bars_gateway.standard.tree import Resource

Place = tuple[int, str, bool, int]  # number of the parent, name, whether in a list, line


@dataclass(frozen=True, slots=True)
class Document:
    """A resource that came as XML."""

    tree: Resource
    _places: list[Place]
    _late: list[int]
    _broken: list[int]

    @property
    def out_of_order(self) -> list[str]:
        """
        Return the FHIR path of each element that stands later than R4 has it.

        Nothing is lost by it, and official test messages do it: at most a warning.
        """
        known = paths(self._places) if self._late else []
        return [known[number] for number in self._late]

    @property
    def broken_lines(self) -> list[str]:
        """
        Return the FHIR path of each value with a line break or a tab in its attribute.

        XML has every reader take that as a blank: who wrote it meant something else.
        """
        known = paths(self._places) if self._broken else []
        return [known[number] for number in self._broken]

    @property
    def lines(self) -> Mapping[str, int]:
        """Return the line of each element, by its FHIR path; made when asked for."""
        found: dict[str, int] = {}
        for path, (*_, line) in zip(paths(self._places), self._places, strict=True):
            found.setdefault(path, line)
        return found


def paths(places: list[Place]) -> list[str]:
    """Return the FHIR path of each place."""
    found: list[str] = []
    counts: dict[str, int] = {}
    for parent, name, many, _ in places:
        path = f"{found[parent]}.{name}" if found else name
        if many:
            counts[path] = counts.get(path, -1) + 1
            path = f"{path}[{counts[path]}]"
        found.append(path)
    return found
