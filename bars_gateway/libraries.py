"""
Loads libraries of others without what they would bring along and nobody here asks of them.

    structlog   loads rich, for tracebacks in colour: no event of ours has a traceback
    aiohttp     makes two TLS contexts with every authority of the system, for calls that name none:
                all of ours name their own, and one that forgot to would now trust nobody

A gateway keeps for months what it has loaded, and whoever types a command waits for it. Called
before either is loaded otherwise; later it changes nothing.
"""

import gc
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MADE_SINCE = 10_000  # objects beyond those that went: some megabyte, before garbage is looked for


def load_structlog() -> None:
    """Load structlog as if rich were not installed."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # so Python marks what is not there
    try:
        import structlog  # noqa: F401 - from here on it is loaded
    finally:
        del sys.modules["rich"]


def load_aiohttp() -> None:
    """Load aiohttp as if the system had no authorities."""
    ssl.SSLContext.set_default_verify_paths = _find_none  # type: ignore[method-assign]
    try:
        import aiohttp  # noqa: F401 - from here on it is loaded
    finally:
        del ssl.SSLContext.set_default_verify_paths


def _find_none(self: ssl.SSLContext) -> None:
    """Leave a context without any authority."""


@contextmanager
def no_garbage() -> Iterator[None]:
    """Let Python look for no garbage meanwhile: while modules are loaded there is none."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle() -> None:
    """
    Let Python never look for garbage in what there is now, and seldom in what comes.

    What is loaded stays: to look through all of it would only halt the loop, again and again. What
    a message is read into goes with it; to look for garbage among it cost a fifteenth of all work.
    """
    gc.freeze()
    gc.set_threshold(_MADE_SINCE)
