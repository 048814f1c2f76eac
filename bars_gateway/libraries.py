"""
Loads libraries of others without what they would bring along and nobody here asks of them.

    structlog   loads rich, for tracebacks in colour, and greenlet, which the tests' browser has:
                no event of ours has a traceback, or comes from a greenlet
    aiohttp     makes two TLS contexts with every authority of the system, for calls that name none:
                all of ours name their own, and one that forgot to would now trust nobody
    pydantic    looks through every installed package for plugins, which may change how settings
                are read: ours are read as this release has them

A gateway keeps for months what it has loaded, and whoever types a command waits for it. Called
before any of them is loaded otherwise; later it changes nothing.

Python itself looks for garbage as often as things are made. It halts every thread meanwhile, so it
does not while modules are loaded and long bodies read, and never in what was loaded. And it lets
one thread at a time go on, each for so long that a gateway asks for less.
"""

import gc
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")

_TURN_SECONDS = 0.001
_MADE_SINCE = 10_000  # objects beyond those that went: some megabyte, before garbage is looked for


def load_structlog() -> None:
    """Load structlog as if neither rich nor greenlet were installed."""
    without = {"rich", "greenlet"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(without))  # type: ignore[arg-type] # so Python marks them
    try:
        import structlog  # noqa: F401 - from here on it is loaded
    finally:
        for name in without:
            del sys.modules[name]


def load_aiohttp() -> None:
    """Load aiohttp as if the system had no authorities."""
    ssl.SSLContext.set_default_verify_paths = _find_none  # type: ignore[method-assign]
    try:
        import aiohttp  # noqa: F401 - from here on it is loaded
    finally:
        del ssl.SSLContext.set_default_verify_paths


def spare_pydantic() -> None:
    """Let pydantic, once somebody loads it, find no plugins and look for none."""
    found = ModuleType("pydantic.plugin._loader")
    found.get_plugins = tuple  # type: ignore[attr-defined] # none, each time
    sys.modules.setdefault(found.__name__, found)


def _find_none(self: ssl.SSLContext) -> None:
    """Leave a context without any authority."""


@contextmanager
def no_garbage() -> Iterator[None]:
    """
    Keep Python from looking for garbage in the block, where much is made and nothing thrown away.

    To look through what a body of 5 MB has become halts every thread for as long as reading it
    took. Where two blocks overlap, the first that ends lets it look again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def undisturbed(work: Callable[[], T]) -> T:
    """Return the result of *work*, which is done while Python looks for no garbage."""
    with no_garbage():
        return work()


def settle() -> None:
    """
    Let Python never look for garbage in what there is now, and seldom in what comes.

    What is loaded stays: to look through all of it would only halt the loop, again and again. What
    a message is read into goes with it; to look for garbage among it cost a fifteenth of all work.
    """
    gc.freeze()
    gc.set_threshold(_MADE_SINCE)


def take_short_turns() -> None:
    """
    Let a thread that waits for Python have it after a millisecond, if nobody lets go before.

    After five, as Python has it, a message is done with: so long the writer waited behind the loop
    for each of its statements, and the loop behind a long body for each thing it was to do.
    """
    sys.setswitchinterval(_TURN_SECONDS)
