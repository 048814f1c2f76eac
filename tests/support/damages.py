"""
One defect at a time, at every kind of place: what makes of a valid resource an invalid one.

    sites(tree) ──► where something stands, and what R4 says of it
    DAMAGES[name](tree, site) ──► nothing; the tree is changed in that place
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bars_gateway.standard.r4 import NUMBERS, RESOURCE, Member, elements, members
from bars_gateway.standard.tree import Number

Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Site:
    """A member of an object: *keys* lead from the root to the object."""

    keys: Keys
    owner_type: str
    member: Member

    @property
    def kind(self) -> str:
        """What distinguishes it from others: Patient.birthDate."""
        return f"{self.owner_type}.{self.member.name}"

    @property
    def required(self) -> bool:
        found = (each for each in elements(self.owner_type) if self.member.name in each.names)
        return next(found).required


def sites(node: Any, type_name: str = RESOURCE, keys: Keys = ()) -> Iterator[Site]:
    """Yield every member that stands in *node*, however deep."""
    if type_name == RESOURCE:
        type_name = node["resourceType"]
    for name, value in node.items():
        member = members(type_name).get(name)
        if member is None:
            continue
        yield Site(keys, type_name, member)
        if not member.is_primitive:
            inner = enumerate(value) if member.many else [(None, value)]
            for index, item in inner:
                deeper = (*keys, name) if index is None else (*keys, name, index)
                yield from sites(item, member.type, deeper)


def copied(node: Any) -> Any:
    """Return a copy of *node*: its objects and lists, for the values are never changed."""
    if isinstance(node, dict):
        return {name: copied(each) for name, each in node.items()}
    return [copied(each) for each in node] if isinstance(node, list) else node


def damaged(tree: Any, damage: str, site: Site) -> Any:
    """Return a copy of *tree* with that one defect."""
    whole = copied(tree)
    owner = whole
    for key in site.keys:
        owner = owner[key]
    DAMAGES[damage].change(owner, site.member.name)
    return whole


@dataclass(frozen=True)
class Damage:
    """A defect, and where it is one."""

    change: Callable[[Any, str], None]
    applies: Callable[[Site], bool]


def _of(*types: str) -> Callable[[Site], bool]:
    return lambda site: site.member.type in types


def _is_text(site: Site) -> bool:
    member = site.member
    return member.is_primitive and member.type not in {*NUMBERS, "boolean", "xhtml"}


def _put(value: Any) -> Callable[[Any, str], None]:
    """Put *value* where a value stands, and into its list if it is in one."""

    def change(owner: Any, name: str) -> None:
        if isinstance(owner[name], list):
            owner[name][0] = value
        else:
            owner[name] = value

    return change


def _replace(value: Any) -> Callable[[Any, str], None]:
    return lambda owner, name: owner.update({name: value})


def _second_choice(owner: Any, name: str) -> None:
    stem = next(other for other in ("value", "occurrence") if name.startswith(other))
    other = f"{stem}DateTime" if name != f"{stem}DateTime" else f"{stem}Period"
    owner[other] = "2026-03-02" if other.endswith("DateTime") else {"start": "2026-03-02"}


def _any(_site: Site) -> bool:
    return True


DAMAGES: dict[str, Damage] = {
    "required element left out": Damage(
        lambda owner, name: owner.pop(name), lambda s: s.required and s.kind != "Bundle.type"
    ),
    "unknown element beside it": Damage(
        lambda owner, name: owner.update({f"{name}X": "x"}), lambda s: s.member.is_primitive
    ),
    "extensions of no element": Damage(
        lambda owner, name: owner.update({f"_{name}": {"id": "x"}}),
        lambda s: not s.member.is_primitive,
    ),
    "text instead of an object": Damage(_put("x"), lambda s: not s.member.is_primitive),
    "number instead of a text": Damage(_put(Number("5")), _is_text),
    "boolean instead of a text": Damage(_put(True), _is_text),
    "object instead of a value": Damage(_put({"id": "x"}), lambda s: s.member.is_primitive),
    "text instead of a boolean": Damage(_put("true"), _of("boolean")),
    "text instead of a number": Damage(_put("1"), _of(*NUMBERS)),
    "list instead of one value": Damage(
        lambda owner, name: owner.update({name: [owner[name]]}),
        lambda s: s.member.is_primitive and not s.member.many,
    ),
    "list instead of one object": Damage(
        lambda owner, name: owner.update({name: [owner[name]]}),
        lambda s: not s.member.is_primitive and not s.member.many,
    ),
    "one instead of a list": Damage(
        lambda owner, name: owner.update({name: owner[name][0]}), lambda s: s.member.many
    ),
    "null": Damage(_replace(None), _any),
    "null in a list": Damage(
        lambda owner, name: owner[name].insert(0, None), lambda s: s.member.many
    ),
    "empty text": Damage(_put(""), _is_text),
    "empty list": Damage(_replace([]), lambda s: s.member.many),
    "empty object": Damage(_put({}), lambda s: not s.member.is_primitive),
    "empty extensions of a value": Damage(
        lambda owner, name: owner.update({f"_{name}": {}}),
        lambda s: s.member.is_primitive and not s.member.many and not s.member.is_attribute,
    ),
    "code that R4 does not list": Damage(_put("banana"), lambda s: s.member.codes is not None),
    "code between spaces": Damage(
        _put(" final"), lambda s: s.member.type == "code" and s.member.codes is None
    ),
    "id with an underscore": Damage(_put("a_b"), _of("id")),
    "id of 65 characters": Damage(_put("a" * 65), _of("id")),
    "instant without a zone": Damage(_put("2026-03-02T09:00:00"), _of("instant")),
    "dateTime without a zone": Damage(_put("2026-03-02T09:00:00"), _of("dateTime")),
    "dateTime without seconds": Damage(_put("2026-03-02T09:00Z"), _of("dateTime")),
    "date of the British kind": Damage(_put("02/03/2026"), _of("date", "dateTime", "instant")),
    "day that does not exist": Damage(_put("2026-02-30"), _of("date", "dateTime")),
    "uri with a space": Damage(_put(" https://example.org"), _of("uri", "url", "canonical")),
    "control character": Damage(_put("a\x07b"), _of("string", "markdown")),
    "form feed": Damage(_put("a\x0cb"), _of("string", "markdown")),
    "negative number": Damage(_put(Number("-1")), _of("positiveInt", "unsignedInt")),
    "broken whole number": Damage(
        _put(Number("1.5")), _of("positiveInt", "unsignedInt", "integer")
    ),
    "too large whole number": Damage(
        _put(Number("4294967296")), _of("positiveInt", "unsignedInt", "integer")
    ),
    "narrative that is no XML": Damage(_put("<div>a<br></div>"), _of("xhtml")),
    "narrative without its namespace": Damage(_put("<div>a</div>"), _of("xhtml")),
    "unpadded Base64": Damage(_put("QUJDRA"), _of("base64Binary")),
    "two types of one choice": Damage(
        _second_choice,
        lambda s: s.kind.startswith(("Extension.value", "ServiceRequest.occurrence")),
    ),
    "unknown resource": Damage(
        lambda owner, name: owner[name].update({"resourceType": "Banana"}),
        lambda s: s.member.type == RESOURCE and not s.member.many,
    ),
    "resource without a type": Damage(
        lambda owner, name: owner[name].pop("resourceType"),
        lambda s: s.member.type == RESOURCE and not s.member.many,
    ),
}
