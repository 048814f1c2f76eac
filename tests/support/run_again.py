"""
That each work of the store may run again: what it did the first time makes the second no other.

    a work ─► runs, is refused at COMMIT ─► runs again ─► the same statements, the same result
                                                 └─► its name ─► every work there is has been seen

The fixture `refused_once` of the store's tests lets the server refuse each group once, and has each
work watched here. Whoever runs all of them is told in the end which works none of them ran again.
"""

import ast
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engines import programs

from bars_gateway import store

PROPERTY = "works that ran again"
ALL = {"tests", "tests/store"}  # what names every test of the store
REST = "exhaustive or not pure"  # what is left where the standard has had its turn: see Makefile
_FOLDER = Path(store.__file__).parent
_MEASURED = {"Purges.remove_records"}  # it returns for how many seconds it held up the others
_LOCAL = {"work", "step"}  # what holds a work, and is none
_SEEN = pytest.StashKey[set[str]]()
_running = threading.local()  # what each run of the work under way has asked for


class Watched:
    """The works that one test hands to the database."""

    def __init__(self) -> None:
        self.ran_again: set[str] = set()
        self.differ: list[str] = []

    def watching(self, work: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return *work*, held against itself where it runs a second time."""
        runs: list[object] = []

        def watched(connection: Any) -> Any:
            _running.asked = asked = list[object]()
            try:
                value = work(connection)
            finally:
                del _running.asked
            runs.append((asked, None if name_of(work) in _MEASURED else repr(value)))
            if len(runs) > 1:
                self.ran_again.add(name_of(work))
                if runs[0] != runs[-1]:
                    self.differ.append(f"{name_of(work)}: {runs[0]}, then {runs[-1]}")
            return value

        watched.__name__ = getattr(work, "__name__", "work")
        return watched


def asks(statement: str, values: Mapping[str, object]) -> None:
    """Note what is asked for, where a work asks for it."""
    asked = getattr(_running, "asked", None)
    if asked is not None:
        asked.append((statement, dict(values)))


def name_of(work: Callable[..., Any]) -> str:
    """Return by which name a work is written: a method's with its noun, a function's own."""
    if isinstance(work, partial):
        return name_of(work.func)
    for cell, inner in zip(work.__code__.co_freevars, work.__closure__ or (), strict=True):
        if cell in _LOCAL:
            return name_of(inner.cell_contents)
    return work.__qualname__.partition(".<locals>")[0]


def works() -> set[str]:
    """Return the name of each: what `@writes` makes a method, and what is handed to a database."""
    return {
        name for file in _FOLDER.glob("*.py") for name in _works_in(ast.parse(file.read_text()))
    }


def _works_in(module: ast.Module) -> Iterator[str]:
    for noun in (each for each in module.body if isinstance(each, ast.ClassDef)):
        for method in noun.body:
            if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if "writes" in map(ast.unparse, method.decorator_list):
                yield f"{noun.name}.{method.name}"
            calls = [each for each in ast.walk(method) if isinstance(each, ast.Call)]
            called = {ast.unparse(each.func).rpartition(".")[2] for each in calls}
            for call in calls:
                does = ast.unparse(call.func).rpartition(".")[2]
                handed = ast.unparse(call.args[0]).rpartition(".")[2] if call.args else ""
                if does == "_write":  # what it does stands in the call
                    yield f"{noun.name}.{method.name}"
                elif handed in _LOCAL:
                    continue
                elif does == "go" or (does == "partial" and called & {"write", "_put"}):
                    yield handed


def pytest_configure(config: pytest.Config) -> None:
    """Have seen none yet."""
    config.stash[_SEEN] = set()
    config.pluginmanager.register(_Counting(config), "works that ran again")


class _Counting:
    """Counts them over all processes of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._seen = config.stash[_SEEN]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test has told of itself."""
        for name, value in report.user_properties:
            if name == PROPERTY:
                self._seen.update(str(value).split())


def _missing(config: pytest.Config) -> list[str]:
    """Return which were not seen, where all tests of the store were to run."""
    is_whole = {*config.args} & ALL and config.option.markexpr in {"", REST}
    if (
        not is_whole
        or config.option.keyword
        or config.option.collectonly
        or programs() is None
        or hasattr(config, "workerinput")
    ):
        return []
    return sorted(works() - config.stash[_SEEN])


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Let a run fail that was well, but for a work that no test ran again."""
    if exitstatus == pytest.ExitCode.OK and _missing(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name them."""
    if missing := _missing(config):
        text = f"!!! no test of the store ran these works again: {', '.join(missing)} !!!"
        terminalreporter.write_line(text, red=True, bold=True)
