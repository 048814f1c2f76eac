"""
Makes the values that parts hand one another: Python's own dataclasses, made in a third of the time.

    @frozen                 ──► fields, slots: Python's
    @frozen(kw_only=True)   ──► its constructor, compiled
    @frozen(slots=False)    ──► comparing, hashing, refusing: shared

Python writes six methods for each such class as texts, and compiles each by itself: half a
millisecond and 13 kB a class. A gateway has 350, which was a third of its start; whoever looks into
the queue waits for 150. What these find and refuse is what Python's would, word for word. One thing
is as it was until Python 3.12: values that hold the very same thing are equal, a NaN as well.

A class that changes, or has an order, is Python's own `dataclass`. For types, `fields`, `replace`
and `asdict` there is no difference.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(*, slots: bool = True, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(cls: Any = None, /, *, slots: bool = True, kw_only: bool = False) -> Any:
    """
    Make *cls* a class of values, which compare and hash by their fields and never change.

    Without *slots*, it can keep what a `cached_property` finds. With *kw_only*, fields are named.
    """
    if cls is None:
        return lambda cls: _made(cls, slots=slots, kw_only=kw_only)
    return _made(cls, slots=slots, kw_only=kw_only)


def _made(cls: type, **options: bool) -> type:
    made: type[Any] = dataclasses.dataclass(init=False, repr=False, eq=False, **options)(cls)
    each = fields(made)
    methods = {
        "__init__": _constructor(made, each),
        "__setattr__": _refuse_to_set,
        "__delattr__": _refuse_to_delete,
        "__getstate__": _state,
        "__setstate__": _set_state,
        **_comparing([field.name for field in each if field.compare]),
        "__repr__": _showing([field.name for field in each if field.repr]),
    }
    own = vars(cls)
    for name, method in methods.items():
        if own.get(name) is None:  # whoever compares in a way of its own is hashed all the same
            setattr(made, name, method)
    return made


def _constructor(made: type, each: Sequence["Field[Any]"]) -> Callable[..., None]:
    """Compile what takes a value for each field, as Python's does."""
    named = [_parameter(field) for field in each if not field.kw_only]
    keywords = [_parameter(field) for field in each if field.kw_only]
    lines = [
        f"def __init__({', '.join(['self', *named, *(['*'] if keywords else []), *keywords])}):",
        *(f" _set_(self, {field.name!r}, {_value(field)})" for field in each),
        " self.__post_init__()" if hasattr(made, "__post_init__") else " pass",
    ]
    known: dict[str, Any] = {
        "__name__": made.__module__,
        "_set_": object.__setattr__,
        "MISSING": MISSING,
        "_fields_": {field.name: field for field in each},  # no field has such a name
    }
    exec("\n".join(lines), known)  # noqa: S102 - of the names of our own fields
    constructor: Callable[..., None] = known["__init__"]
    constructor.__qualname__ = f"{made.__qualname__}.__init__"
    return constructor


def _parameter(field: "Field[Any]") -> str:
    if field.default is not MISSING:
        return f"{field.name}=_fields_[{field.name!r}].default"
    return field.name if field.default_factory is MISSING else f"{field.name}=MISSING"


def _value(field: "Field[Any]") -> str:
    if field.default_factory is MISSING:
        return field.name
    made = f"_fields_[{field.name!r}].default_factory()"
    return f"{made} if {field.name} is MISSING else {field.name}"


def _values(names: Sequence[str]) -> Callable[[object], tuple[object, ...]]:
    """Return what gives a class's values in their order."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _comparing(names: Sequence[str]) -> dict[str, Callable[..., Any]]:
    values = _values(names)

    def __eq__(self: object, other: object) -> bool:  # noqa: N807
        return (
            values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented
        )

    def __hash__(self: object) -> int:  # noqa: N807
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__}


def _showing(names: Sequence[str]) -> Callable[[object], str]:
    def __repr__(self: object) -> str:  # noqa: N807
        told = (f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({', '.join(told)})"

    return __repr__


def _refuse_to_set(self: object, name: str, value: object) -> NoReturn:  # noqa: ARG001
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> NoReturn:  # noqa: ARG001
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    """Return what a copy is made of."""
    return [getattr(self, field.name) for field in fields(self)]


def _set_state(self: Any, state: Sequence[Any]) -> None:
    for field, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
