"""Values of ours against Python's own dataclasses: made in less time, and otherwise the same."""

import copy
import dataclasses
import inspect
from dataclasses import FrozenInstanceError, asdict, field, replace
from functools import partial

import pytest

from bars_gateway.frozen import frozen

NOT_A_NUMBER = float("nan")


def kinds(value):
    """Return a class of each kind that the package has, made by *value*."""

    @value(kw_only=True)
    class Named:
        """Has names, one of which is not shown."""

        first: str
        second: float = 2.0
        third: list[str] = field(default_factory=list, compare=False)
        hidden: str = field(default="", repr=False)

    @value
    class Placed:  # noqa: PLW1641 - that it is hashed all the same is what is asked
        """Is given by place; compares in a way of its own."""

        first: str
        second: int = 2

        def __eq__(self, other):
            return isinstance(other, Placed) and self.first[:1] == other.first[:1]

    @value(slots=False)
    class Checked:
        """Looks at what it is given."""

        first: str

        def __post_init__(self):
            if not self.first:
                raise ValueError("empty")

    @value
    class Nothing:
        """Has none."""

    @value(kw_only=True)
    class More(Named):
        """Has one more than another."""

        fourth: int

    return {each.__name__: each for each in (Named, Placed, Checked, Nothing, More)}


def pythons(cls=None, /, *, slots=True, kw_only=False):
    """Make a class of values in Python's own way."""
    made = dataclasses.dataclass(frozen=True, slots=slots, kw_only=kw_only)
    return made if cls is None else made(cls)


OURS, PYTHONS = kinds(frozen), kinds(pythons)
MADE = [
    pytest.param(name, arguments, named, id=f"{name}-{number}")
    for number, (name, arguments, named) in enumerate(
        [
            ("Named", (), {"first": "a"}),
            ("Named", (), {"first": "a", "second": NOT_A_NUMBER, "third": ["x"], "hidden": "h"}),
            ("Named", ("a",), {}),
            ("Named", (), {}),
            ("Named", (), {"first": "a", "fourth": 1}),
            ("Placed", ("a",), {}),
            ("Placed", ("ab",), {"second": 3}),
            ("Placed", ("a", 2, 3), {}),
            ("Checked", ("a",), {}),
            ("Checked", ("",), {}),
            ("Nothing", (), {}),
            ("More", (), {"first": "a", "fourth": 4}),
            ("More", (), {"first": "a"}),
        ]
    )
]


def told(work):
    """Return what *work* returns, or says in raising."""
    try:
        return work()
    except (TypeError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(("name", "arguments", "named"), MADE)
def test_a_value_is_as_python_would_have_it(name, arguments, named):
    """Made, shown, hashed, taken apart, and refused with the same words."""

    def seen(kind):
        value, again = kind(*arguments, **named), kind(*arguments, **named)
        # From 3.13 on, Python's with such a number is no more the same as another; ours still is.
        same = NOT_A_NUMBER in named.values() or value == again
        return repr(value), hash(value), asdict(value), same

    assert told(partial(seen, PYTHONS[name])) == told(partial(seen, OURS[name]))


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_class_looks_as_python_would_have_it(name):
    """To whoever asks it for its fields, its slots, or how it is made."""
    ours, theirs = OURS[name], PYTHONS[name]

    assert list(inspect.signature(theirs).parameters) == list(inspect.signature(ours).parameters)
    assert [(f.name, f.kw_only) for f in dataclasses.fields(theirs)] == [
        (f.name, f.kw_only) for f in dataclasses.fields(ours)
    ]
    assert hasattr(theirs, "__slots__") is hasattr(ours, "__slots__")
    assert theirs.__match_args__ == ours.__match_args__


@pytest.mark.parametrize("change", [setattr, lambda value, name, _: delattr(value, name)])
def test_a_value_does_not_change(change):
    """Whoever was handed one may keep it."""
    value = OURS["Named"](first="a")

    with pytest.raises(FrozenInstanceError, match="'first'"):
        change(value, "first", "b")
    assert "a" == value.first


def test_a_value_is_copied_with_another_in_it():
    """`replace` and `copy` make what is equal, and leave the first as it was."""
    value = OURS["Named"](first="a", third=["x"])
    whole, other = copy.deepcopy(value), replace(value, first="b")

    assert (value, ["x"], "b") == (whole, whole.third, other.first)
    assert whole.third is not value.third


def test_values_of_two_classes_differ():
    """However alike they are."""
    assert OURS["More"](first="a", fourth=1) != OURS["Named"](first="a")
    assert PYTHONS["Named"](first="a") != OURS["Named"](first="a")


def test_a_default_is_made_for_each():
    """Two values share no list."""
    assert OURS["Named"](first="a").third is not OURS["Named"](first="a").third


def test_a_field_may_have_any_name() -> None:
    """What the constructor itself knows has names that no field has."""

    @frozen(kw_only=True)
    class Named:
        of: str | None = None
        set: str | None = None
        made: list[int] = field(default_factory=list)

    assert (None, None, []) == (Named().of, Named().set, Named().made)
    assert ("x", "y", []) == (Named(of="x", set="y").of, Named(of="x", set="y").set, Named().made)
