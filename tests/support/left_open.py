"""
Fails the test that leaves something open, and not the innocent one in which Python collects it.

A connection that nobody closes is collected whenever Python happens to look, which may be a hundred
tests later: the failure then names the wrong one, and comes once in many runs. So two things are
looked at where they are still somebody's:

    an event loop ends  ──► are its connections closed?           else the test that ran it fails
    a test has ended    ──► does the process hold anything new?   then it is collected now

To collect costs a tenth of a second, and to look a tenth of a millisecond: hardly any test leaves
something new, and those that do have it from a fixture of their module.
"""

import gc
import os
import warnings
from asyncio import AbstractEventLoop, BaseProtocol
from asyncio.selector_events import BaseSelectorEventLoop
from asyncio.sslproto import SSLProtocol
from collections.abc import Generator
from contextlib import suppress

import pytest

HELD = pytest.StashKey[set[str]]()
_close = BaseSelectorEventLoop.close


def held() -> set[str]:
    """Return what this process has open, by the system's own names: files, sockets and pipes."""
    names = set()
    for each in os.listdir("/proc/self/fd"):  # noqa: PTH208 # after each of many thousand tests
        with suppress(OSError):  # closed meanwhile, by a thread, or for this very look
            names.add(os.readlink(f"/proc/self/fd/{each}"))  # noqa: PTH115
    return names


def collected() -> list[str]:
    """Collect what nobody has any more; return what was open of it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
    return [str(each.message) for each in told if issubclass(each.category, ResourceWarning)]


def connections(loop: AbstractEventLoop) -> list[str]:
    """Return the connections of *loop* that are open, each with what it is for."""
    return [
        f"{each!r} of {_user_of(each.get_protocol())}, {each.get_extra_info('sockname')}"
        f" to {each.get_extra_info('peername')}"
        for each in list(getattr(loop, "_transports", {}).values())
        if each._sock is not None
    ]


def _user_of(protocol: BaseProtocol) -> str:
    """Return who uses a connection, and over TLS how far that has come."""
    if not isinstance(protocol, SSLProtocol):
        return repr(protocol)
    return f"{protocol._app_protocol!r} over TLS: {protocol._state.name}"


def _close_and_tell(loop: BaseSelectorEventLoop) -> None:
    """Close *loop*; raise AssertionError where connections of it are left."""
    left = connections(loop)
    _close(loop)
    if left:
        raise AssertionError("the event loop ended and left open: " + "; ".join(left))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[HELD] = held()
    BaseSelectorEventLoop.close = _close_and_tell  # type: ignore[method-assign]


def pytest_unconfigure() -> None:
    BaseSelectorEventLoop.close = _close  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail *item* where it leaves behind what nobody has any more, and nobody has closed."""
    yield
    before, now = item.config.stash[HELD], held()
    item.config.stash[HELD] = now
    if now - before and (left := collected()):
        pytest.fail(f"this test left open: {'; '.join(left)}", pytrace=False)
