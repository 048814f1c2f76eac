"""
Members that stand twice in one object of JSON, and the path of the first of them.

    json.loads(…, object_pairs_hook=Twice().members_of) ──► path_in(root): Bundle.entry[0].fullUrl

Nobody may choose between the two: readers differ in which they take, and so two of them would
act upon different messages.
"""

from collections.abc import Iterator

from bars_gateway.standard.elements import resources, vocabulary
from bars_gateway.standard.tree import Json, Resource

TWICE = "stands twice in one object, and readers differ in which they take: leave one out"


class Twice:
    """The objects of one body that have a member twice."""

    def __init__(self) -> None:
        self.objects: dict[int, tuple[Resource, str]] = {}  # by identity, for as long as they live

    def members_of(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        """Make an object of its members."""
        members = dict(pairs)
        if len(members) != len(pairs):
            self.objects[id(members)] = (members, _first_again(pairs))
        return members

    def path_in(self, root: Resource) -> str:
        """Return the path of the outermost; what R4 has no name for is not shown."""
        kind = root.get("resourceType")
        top = kind if isinstance(kind, str) and kind in resources() else "Bundle"
        level: list[tuple[Json, str]] = [(root, top)]
        for node, path in level:  # which grows while it is read
            _, name = self.objects.get(id(node), (None, None))
            if name is not None:
                return f"{path}.{_shown(name)}"
            level += _below(node, path)
        raise AssertionError("an object within another that stands twice")


def _first_again(pairs: list[tuple[str, Json]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            break
        seen.add(name)
    return name


def _below(node: Json, path: str) -> Iterator[tuple[Json, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, dict | list):
                yield value, f"{path}.{_shown(name)}"
    elif isinstance(node, list):
        for index, value in enumerate(node):
            if isinstance(value, dict | list):
                yield value, f"{path}[{index}]"


def _shown(name: str) -> str:
    return name if name.removeprefix("_") in vocabulary() else "?"
