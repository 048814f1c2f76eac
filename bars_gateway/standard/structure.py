"""
Whether a resource is R4 at all: every problem, each with its FHIR path (B01).

    tree ──check──► Issue(B01, "Bundle.entry[3].resource.name[0].family", what is wrong)

Looks at what R4 itself demands: elements that exist, JSON types, how often, codes of
required bindings, the forms of primitives. Invariants, profiles and references are
rules (`rules`). Nothing is changed, so that what was received can be sent.

A text never holds a value. Nor does a path hold a name that R4 does not know, because
nobody can tell what was written there: it is counted instead (`…resource.?[0]`).

Each type is turned into a *plan* when it is first met: one function for each member,
which has already looked up all that the table says about it.

Nearly every resource is sound, so that is asked first (`sound`): without paths, and by what
costs least. It is said only of what a close look would find nothing in, and not of all of that:
the rest is looked at closely, as if nothing had been asked.

    tree ──sound──┬─ yes ────────► nothing
                  └─ not surely ──problems──► Issue(B01, …)

Decisions: D-structure.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache, partial
from itertools import count
from typing import Any, cast

import orjson

from bars_gateway.standard.issues import Issue
from bars_gateway.standard.r4 import (
    MODIFIERS,
    REFERENCE,
    RESOURCE,
    Fit,
    Member,
    elements,
    fit,
    form,
    members,
    resources,
    vocabulary,
)
from bars_gateway.standard.tree import (
    MAX_DEPTH,
    MAX_OBJECTS,
    Json,
    Number,
    Resource,
    Stray,
    as_number,
    is_kept,
    unmarked,
)

_DEEPEST = MAX_DEPTH // 2  # of objects: each may stand in a list, which is a level of its own
_LONGEST_NAME = 64  # no name of R4 is longer
MOST_PROBLEMS = 1000  # nobody reads on, and a hostile body could hold millions

_EMPTY = "may not be empty: leave it out"
_STRAY = {
    Stray.ELEMENT: "R4 has no such element here",
    Stray.AGAIN: "may appear only once here",
    Stray.ATTRIBUTE: "R4 has no such attribute here",
    Stray.TEXT: "text may not stand between elements: values are attributes",
}

Look = Callable[[Json, Resource, str, "_Findings"], None]  # value, its owner, the owner's path


def check(tree: Json, *, path: str = "Bundle") -> list[Issue]:
    """
    Return everything by which *tree* is no R4 resource, in the order of the document.

    *path* is what the paths begin with. Of more than a thousand problems, the first
    thousand are returned.
    """
    return [] if sound(tree) else problems(tree, path=path)


@dataclass(frozen=True, slots=True)
class Sound:
    """A resource that is R4 without modifiers, and every object in it, by its type."""

    tree: Resource
    by_type: Mapping[str, list[Resource]]


def sound(tree: Json) -> Sound | None:
    """Return what *tree* is, if it is an R4 resource and that shows without a close look."""
    walk = _walked(tree)
    return Sound(cast("Resource", tree), walk.by_type) if walk and not walk.numbers else None


def sound_in(body: bytes) -> Sound | None:
    """
    Return the resource in *body*, which is JSON, where it is sound: read and checked in one walk.

    None where that does not show so soon: it may be no JSON, and may be sound all the same.
    """
    written = unmarked(body)
    if len(written) > 2 * MAX_OBJECTS:  # a shorter one cannot hold too many
        return None
    try:
        root = orjson.loads(written)
        walk = _walked(root) if is_kept(root, written) else None
    except orjson.JSONDecodeError:
        return None
    if walk is None:
        return None
    for owner, name, number in walk.numbers:
        owner[name] = number
    return Sound(root, walk.by_type)


def problems(tree: Json, *, path: str) -> list[Issue]:
    """Look closely: return everything by which *tree* is no R4 resource."""
    found = _Findings()
    with suppress(_EnoughError):
        _resource(tree, path, found)
    return [Issue(rule="B01", path=at, text=text, issue="structure") for at, text in found.all]


class _EnoughError(Exception):
    """So many problems were found that more would help nobody."""


@dataclass(slots=True)
class _Findings:
    all: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: str, text: str) -> None:
        if len(self.all) == MOST_PROBLEMS:
            raise _EnoughError
        self.all.append((path, text))


@dataclass(frozen=True, slots=True)
class _Plan:
    looks: dict[str, Look]
    required: tuple[tuple[str, frozenset[str]], ...]  # the element, and the members that will do
    choices: tuple[tuple[str, frozenset[str]], ...]


@cache
def _plan(type_name: str) -> _Plan:
    looks: dict[str, Look] = {"resourceType": _nothing} if type_name in resources() else {}
    for name, member in members(type_name).items():
        names = (type_name, name) == ("Reference", "reference")
        looks[name] = _look(replace(member, type=REFERENCE) if names else member)
        if member.is_primitive and not member.is_attribute:
            looks[f"_{name}"] = partial(_unders if member.many else _under, name)
    found = [
        (each, frozenset(each.names + _underscored(each.names))) for each in elements(type_name)
    ]
    return _Plan(
        looks=looks,
        required=tuple((each.name, names) for each, names in found if each.required),
        choices=tuple((each.name, names) for each, names in found if len(each.names) > 1),
    )


def _underscored(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"_{name}" for name in names)


def _look(member: Member) -> Look:
    if member.is_primitive:
        return _values(member) if member.many else _value(member)
    inner = _resource if member.type == RESOURCE else _of_type(member.type)
    return _objects(member.name, inner) if member.many else _object(member.name, inner)


def _resource(value: Json, path: str, found: _Findings) -> None:
    if not isinstance(value, dict):
        found.add(path, "must be a resource")
    elif not value:
        found.add(path, _EMPTY)
    elif isinstance(kind := value.get("resourceType"), str) and kind in resources():
        _members(value, _plan(kind), path, found)
    else:
        found.add(f"{path}.resourceType", "must name a resource of R4")


def _of_type(type_name: str) -> Callable[[Json, str, _Findings], None]:
    def typed(value: Json, path: str, found: _Findings) -> None:
        if value.__class__ is not dict:
            found.add(path, _no_object(value))
        elif not value:
            found.add(path, _EMPTY)
        else:
            _members(value, _plan(type_name), path, found)

    return typed


def _no_object(value: Json) -> str:
    if isinstance(value, list):
        return "may appear only once, and not as a list"
    return "null may not stand here" if value is None else "must be an object"


def _members(value: Resource, plan: _Plan, path: str, found: _Findings) -> None:
    looks = plan.looks
    nameless = count()
    for name, item in value.items():
        look = looks.get(name)
        if look is None:
            found.add(*_unknown(name, nameless, plan, path))
        else:
            look(item, value, path, found)
    for element, names in plan.required:
        if names.isdisjoint(value):
            found.add(f"{path}.{element}", "is missing, and R4 requires it")
    for element, names in plan.choices:
        present = names.intersection(value)
        if len(present) > 1 and len({name.lstrip("_") for name in present}) > 1:
            found.add(f"{path}.{element}", "may appear with one type only")


def _unknown(name: str, nameless: Iterator[int], plan: _Plan, path: str) -> tuple[str, str]:
    mark = Stray(name[0]) if name and name[0] in _STRAY else Stray.ELEMENT
    if mark is Stray.TEXT:
        return path, _STRAY[mark]
    bare = bare_name(name)
    text = _STRAY[mark]
    if mark is Stray.ELEMENT:
        near = get_close_matches(bare[:_LONGEST_NAME], plan.looks, n=1, cutoff=0.75)
        text += "".join(f"; perhaps {other} is meant" for other in near if other != bare)
    shown = bare if bare in vocabulary() else f"?[{next(nameless)}]"
    return f"{path}.{shown}", text


def bare_name(name: str) -> str:
    """Return a member's name without its mark of Stray, or of a primitive's extensions."""
    if name and name[0] in _STRAY:
        return name[1:].partition("#")[0]
    return name.removeprefix("_")


def _nothing(_value: Json, _owner: Resource, _path: str, _found: _Findings) -> None:
    """Look at nothing: it was looked at before."""


def _object(name: str, inner: Callable[[Json, str, _Findings], None]) -> Look:
    def one(value: Json, _owner: Resource, path: str, found: _Findings) -> None:
        inner(value, f"{path}.{name}", found)

    return one


def _objects(name: str, inner: Callable[[Json, str, _Findings], None]) -> Look:
    def each(values: Json, _owner: Resource, path: str, found: _Findings) -> None:
        for index, value in enumerate(_list(values, f"{path}.{name}", found)):
            inner(value, f"{path}.{name}[{index}]", found)

    return each


def _list(values: Json, path: str, found: _Findings) -> list[Json]:
    if not isinstance(values, list):
        found.add(path, "must be a list, even of one")
        return []
    if not values:
        found.add(path, _EMPTY)
    return values


def _value(member: Member) -> Look:
    name, wrong = member.name, form(member.type, member.codes)

    def one(value: Json, _owner: Resource, path: str, found: _Findings) -> None:
        problem = wrong(value)
        if problem is not None:
            single = value is not None and not isinstance(value, list)
            found.add(f"{path}.{name}", problem if single else _no_object(value))

    return one


def _values(member: Member) -> Look:
    name, wrong = member.name, form(member.type, member.codes)

    def each(values: Json, owner: Resource, path: str, found: _Findings) -> None:
        for index, value in enumerate(_list(values, f"{path}.{name}", found)):
            problem = wrong(value)
            if problem is None or (value is None and _has_extension(owner, name, index)):
                continue
            text = problem if value is not None else "null may only stand for an extended value"
            found.add(f"{path}.{name}[{index}]", text)

    return each


def _has_extension(owner: Resource, name: str, index: int) -> bool:
    unders = owner.get(f"_{name}")
    return isinstance(unders, list) and index < len(unders) and unders[index] is not None


def _under(name: str, value: Json, _owner: Resource, path: str, found: _Findings) -> None:
    _of_element()(value, f"{path}.{name}", found)


def _unders(name: str, values: Json, owner: Resource, path: str, found: _Findings) -> None:
    place = f"{path}.{name}"
    unders = _list(values, place, found)
    beside = owner.get(name)
    if isinstance(beside, list) and unders and len(beside) != len(unders):
        found.add(place, f"{name} and _{name} must be lists of the same length, filled with null")
    for index, under in _shown(unders, beside):
        _of_element()(under, f"{place}[{index}]", found)


def _shown(unders: list[Json], beside: Json) -> Iterator[tuple[int, Json]]:
    """Yield all but the nulls that a value stands beside."""
    values = beside if isinstance(beside, list) else []
    for index, under in enumerate(unders):
        if under is not None or index >= len(values):
            yield index, under


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """What the objects of one type are, by member: what stands nowhere here needs a close look."""

    type: str
    value: dict[str, Fit]
    values: dict[str, Fit]  # in a list
    object: Mapping[str, "_Shape"]
    objects: Mapping[str, "_Shape"]
    required: tuple[str, ...]
    choices: tuple[tuple[int, frozenset[str]], ...]  # how many of these there are at least
    is_free: bool  # whether any members will do


class _Shapes(dict[str, _Shape]):
    """Those of a type's members: each found when it is first met, for types hold each other."""

    def __init__(self, types: Mapping[str, str]) -> None:
        super().__init__()
        self._types = types

    def __missing__(self, name: str) -> _Shape:
        shape = self[name] = _shape(self._types[name])
        return shape


# It has none, and nothing fits it: that of the resource which is there takes its place.
_ANY_RESOURCE = _Shape(RESOURCE, {}, {}, {}, {}, required=(), choices=(), is_free=True)
_Level = defaultdict[_Shape, list[Any]]


@dataclass(frozen=True, slots=True)
class _Walk:
    """What one walk has met."""

    by_type: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    numbers: list[tuple[Any, str, Number]] = field(default_factory=list)  # of orjson's

    def read(self, owner: Resource, name: str, value: Any) -> Json:
        """Return what is not text, a number of orjson's as the one that was written."""
        if value.__class__ is int or value.__class__ is float:
            value = as_number(value)
            self.numbers.append((owner, name, value))
        found: Json = value
        return found


@cache
def _shape(type_name: str) -> _Shape:
    """Return what the objects of a type are."""
    if type_name == RESOURCE:
        return _ANY_RESOURCE
    of = {
        name: replace(member, type=REFERENCE)
        if (type_name, name) == ("Reference", "reference")
        else member
        for name, member in members(type_name).items()
        if name not in MODIFIERS
    }
    found = elements(type_name)
    alone = {each.name for each in found if len(each.names) == 1}
    required = tuple(each.name for each in found if each.required and each.name in alone)
    choices = tuple(
        (int(each.required), frozenset(each.names)) for each in found if len(each.names) > 1
    )
    extended = {
        f"_{name}": "Element"
        for name, each in of.items()
        if name in alone and each.is_primitive and not (each.many or each.is_attribute)
    }
    kind: dict[str, Fit] = {"resourceType": bool} if type_name in resources() else {}
    return _Shape(
        type_name,
        value=kind | {n: fit(m.type, m.codes) for n, m in _those(of, primitive=True, many=False)},
        values={n: fit(m.type, m.codes) for n, m in _those(of, primitive=True, many=True)},
        object=_Shapes(extended | {n: m.type for n, m in _those(of, primitive=False, many=False)}),
        objects=_Shapes({n: m.type for n, m in _those(of, primitive=False, many=True)}),
        required=required,
        choices=choices,
        is_free=not (required or choices),
    )


def _those(of: Mapping[str, Member], *, primitive: bool, many: bool) -> list[tuple[str, Member]]:
    return [(n, m) for n, m in of.items() if m.is_primitive is primitive and m.many is many]


@cache
def _shapes_of_resources() -> _Shapes:
    return _Shapes({each: each for each in resources()})


class _UnsureError(Exception):
    """It takes a close look to tell whether all is sound."""


def _walked(tree: Json) -> _Walk | None:
    walk = _Walk()
    level: _Level = defaultdict(list, {_ANY_RESOURCE: [tree]})
    try:
        for _ in range(_DEEPEST):
            level = _below(level, walk)
            if not level:
                return walk
    except (KeyError, TypeError, _UnsureError):
        return None  # as of a name that R4 does not know, or a value of another kind
    return None


def _below(level: _Level, walk: _Walk) -> _Level:
    """Return what stands in the objects of one level, all of which are sound."""
    found: _Level = defaultdict(list)
    for resource in level.pop(_ANY_RESOURCE, ()):
        level[_shapes_of_resources()[resource["resourceType"]]].append(resource)
    for shape, values in level.items():
        walk.by_type[shape.type] += values
        _look_at(values, shape, walk, found)
    return found


def _look_at(values: list[Any], shape: _Shape, walk: _Walk, within: _Level) -> None:
    """Look at all objects of one kind; put what stands in them *within*."""
    fits = shape.value
    for value in values:  # written out: every object passes through it
        if value.__class__ is not dict or not value:
            raise _UnsureError
        for name, item in value.items():
            kind = item.__class__
            if kind is str:
                is_right = fits[name](item)
            elif kind is dict:
                is_right = True
                within[shape.object[name]].append(item)
            elif kind is not list:
                is_right = fits[name](walk.read(value, name, item))
            elif name in shape.values:
                is_right = item and all(map(shape.values[name], item))
            else:
                is_right = item
                within[shape.objects[name]] += item
            if not is_right:
                raise _UnsureError
        if not (shape.is_free or _is_met(shape, value)):
            raise _UnsureError


def _is_met(shape: _Shape, value: Resource) -> bool:
    """Tell whether an object holds all that it must, and one choice of each."""
    for least, names in shape.choices:
        if not least <= len(names.intersection(value)) <= 1:
            return False
    return all(map(value.__contains__, shape.required))


@cache
def _of_element() -> Callable[[Json, str, _Findings], None]:
    return _of_type("Element")
