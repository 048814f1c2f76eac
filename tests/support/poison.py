"""
Errors that nobody foresaw, thrown once into any function of the product, by its name.

    steps_of("epr.drop") ─► every function that a door is made of ─► Injector.arm(step)

What a function throws quotes a payload, as an exception's text may.
"""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

SECRET = "Whittington-9449304424"
# What is called only to make, to end or to measure a part, and no unit of work passes through.
_LIFETIME = frozenset(
    {"run", "stop", "start", "open", "close", "collect", "deliver", "release", "wake", "build"}
    | {"committed"}
)


class PoisonError(Exception):
    """What nobody foresaw."""

    def __init__(self) -> None:
        super().__init__(f"cannot read {SECRET}")


@dataclass(frozen=True)
class Step:
    """One function of a module, or of a class in it."""

    module: str
    owner: str | None
    name: str

    def __str__(self) -> str:
        return ".".join(part for part in (self.module, self.owner, self.name) if part)


def steps_of(name: str) -> Iterator[Step]:
    """Yield every plain function and method that *name* defines, but for its lifetime's."""
    module = importlib.import_module(f"bars_gateway.{name}")
    for attribute, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value) and not inspect.isgeneratorfunction(value):
            yield Step(name, None, attribute)
        elif inspect.isclass(value) and not issubclass(value, BaseException):
            yield from (Step(name, attribute, each) for each in _methods(value))


def _methods(owner: type) -> Iterator[str]:
    for name, value in vars(owner).items():
        generator = inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value)
        generated = "__create_fn__" in getattr(value, "__qualname__", "")
        if not inspect.isfunction(value) or generator or generated:
            continue
        if name.startswith("__") or name in _LIFETIME or hasattr(value, "__wrapped__"):
            continue
        yield name


class Injector:
    """Lets one function at a time fail once."""

    def __init__(self) -> None:
        self.fired = False
        self._undo: list[Callable[[], None]] = []

    def arm(self, step: Step) -> None:
        """Let the next call of *step* fail, in whichever module it is called."""
        self.fired = False
        _replace(step, self._failing, self._undo)

    def _failing(self, original: Any) -> Any:
        @functools.wraps(original)
        def failing(*arguments: Any, **named: Any) -> Any:
            if not self.fired:
                self.fired = True
                raise PoisonError
            return original(*arguments, **named)

        return failing

    def disarm(self) -> None:
        """Let everything be as it was."""
        while self._undo:
            self._undo.pop()()


@contextmanager
def passed(steps: Iterable[Step]) -> Iterator[set[Step]]:
    """Yield the set to which each of *steps* is added that is called meanwhile."""
    found: set[Step] = set()
    undo: list[Callable[[], None]] = []
    for step in steps:
        _replace(step, functools.partial(_noting, found, step), undo)
    try:
        yield found
    finally:
        for each in undo:
            each()


def _noting(found: set[Step], step: Step, original: Any) -> Any:
    @functools.wraps(original)
    def noting(*arguments: Any, **named: Any) -> Any:
        found.add(step)
        return original(*arguments, **named)

    return noting


def _replace(step: Step, how: Callable[[Any], Any], undo: list[Callable[[], None]]) -> None:
    """Put something else in the place of *step*, in whichever module it is called."""
    home: Any = sys.modules[f"bars_gateway.{step.module}"]
    owner: Any = getattr(home, step.owner) if step.owner else home
    original = vars(owner)[step.name]
    instead = how(original)
    for place in [owner] if step.owner else list(_who_has(step.name, original)):
        setattr(place, step.name, instead)
        undo.append(functools.partial(setattr, place, step.name, original))


def _who_has(name: str, function: Any) -> Iterator[ModuleType]:
    for module in list(sys.modules.values()):
        ours = getattr(module, "__name__", "").startswith("bars_gateway")
        if ours and vars(module).get(name) is function:
            yield module
