"""
What the whole suite needs: reference data, tools, and honesty about what was left out.

    @pytest.mark.reference_data   needs the folder that BARS_REFERENCE_DATA names
    @pytest.mark.needs("strace")  needs that program

    @pytest.mark.both_engines     runs on SQLite and on PostgreSQL: tests/support/engines.py
    @pytest.mark.each_fact_once   of what runs on both: on PostgreSQL with one of its values

Where one is missing, the tests that need it are skipped and a loud line at the end says so.
Where CI is set, they fail instead: a check that nobody ran is no check.
"""

import gc
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import engines
import pytest
from hypothesis import settings

VARIABLE = "BARS_REFERENCE_DATA"
if (postgres := engines.programs()) is not None:  # Debian keeps it off everybody's path
    os.environ["PATH"] += f":{postgres}"
MISSING = pytest.StashKey[dict[str, int]]()
pytest_plugins = ["left_open", "run_again"]  # what a test leaves open fails that test
READERS = ("onboarding.certificates", "sandbox.registry")  # of RSA keys, proven in full

settings.register_profile("however busy the machine", deadline=None)
settings.load_profile("however busy the machine")


def pytest_configure(config):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of whatever a script runs behind it
        # A child has it from us, and would not hear a Ctrl-C that a test sends.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", f"reference_data: needs the folder that {VARIABLE} names")
    config.addinivalue_line("markers", "needs(*tools): needs these programs on the path")
    # Scenarios use what tests of the store have, and are run without these.
    config.addinivalue_line("markers", "of_sqlite: it is about a file, or SQLite's own words")
    config.addinivalue_line("markers", "both_engines: it runs on SQLite and on PostgreSQL")
    config.addinivalue_line("markers", "each_fact_once: on PostgreSQL with one of its values")
    config.stash[MISSING] = {}


def _wanting(item):
    """Return what *item* needs and this machine does not have."""
    uses_data = item.get_closest_marker("reference_data") or "reference_data" in item.fixturenames
    wanting = [VARIABLE] if uses_data and not os.environ.get(VARIABLE) else []
    for marker in item.iter_markers("needs"):
        wanting += [tool for tool in marker.args if shutil.which(tool) is None]
    return wanting


def _is_long(item):
    return item.get_closest_marker("long") is not None


def pytest_generate_tests(metafunc):
    """Let what tells most run on both engines, unless the switch names one for all."""
    markers = {marker.name for marker in metafunc.definition.iter_markers()}
    both = "both_engines" in markers and "of_sqlite" not in markers
    if both and engines.WANTED == engines.SQLITE:
        of_server = pytest.param(engines.POSTGRESQL, marks=pytest.mark.needs("postgres"))
        metafunc.parametrize("gateways_engine", [engines.SQLITE, of_server], indirect=True)


@pytest.fixture(autouse=True)
def gateways_engine(request) -> Iterator[None]:
    """Let the gateways of this test keep everything in that engine."""
    engines.use(getattr(request, "param", engines.WANTED))
    before = engines.made()
    yield
    engines.forget(before)
    engines.use(engines.WANTED)  # what several tests share is made before the next one's turn


def _engine(item):
    """Return which of both engines *item* is for; None: it does not run on both."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return params.get("gateways_engine", params.get("engine"))  # the latter of the store's own


def _left_out(items):
    """Yield what is not for the engine that it would run on, and what tells a fact once more."""
    told = set()
    for item in items:
        on_server = engines.WANTED != engines.SQLITE or _engine(item) == engines.POSTGRESQL
        fact = (item.path, item.function) if _engine(item) == engines.POSTGRESQL else None
        once = fact is not None and item.get_closest_marker("each_fact_once")
        if (on_server and item.get_closest_marker("of_sqlite")) or (once and fact in told):
            yield item
        else:
            told.add(fact)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among the tests while they are found: all of them stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items, config):
    """Begin with what takes longest: at the end, one process would wait for another's last test."""
    left_out = {*_left_out(items)}
    config.hook.pytest_deselected(items=left_out)
    items[:] = sorted((each for each in items if each not in left_out), key=_is_long, reverse=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    wanting = _wanting(item)
    for name in wanting:
        missing = item.config.stash[MISSING]
        missing[name] = missing.get(name, 0) + 1
    if wanting and os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(f"needs {', '.join(wanting)}, and CI leaves nothing out", pytrace=False)
    if wanting:
        pytest.skip(f"needs {', '.join(wanting)}")


def pytest_terminal_summary(terminalreporter, config):
    for name, count in sorted(config.stash[MISSING].items()):
        cure = "set it to the folder of reference data" if name == VARIABLE else "install it"
        text = f"!!! {count} test{'s' * (count > 1)} NOT RUN for want of {name}: {cure} !!!"
        terminalreporter.write_line(text, red=True, bold=True)


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Return the folder of reference data: examples, profiles, terminology."""
    folder = Path(os.environ[VARIABLE])
    assert folder.is_dir(), f"{VARIABLE} names {folder}, which is no folder"
    return folder.resolve()


@pytest.fixture(scope="session")
def _written_for_eprs() -> Iterator[list[str]]:
    """Have each document that is composed for an EPR held against the schema of the contract."""
    import held_to_contract

    from bars_gateway.epr import documents

    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for function, name in held_to_contract.COMPOSED.items():
            compose = getattr(documents, function)
            patch.setattr(documents, function, held_to_contract.watching(compose, name, found))
        yield found


@pytest.fixture(autouse=True)
def _the_contract_is_kept(_written_for_eprs: list[str]) -> Iterator[None]:
    """Fail a test in which an EPR was told something else than the contract says."""
    _written_for_eprs.clear()
    yield
    assert [] == _written_for_eprs


@pytest.fixture(scope="session", autouse=True)
def _keys_are_proven_once() -> Iterator[None]:
    """
    Prove a private key when its bytes are first read, and not each of a thousand times after.

    The library proves an RSA key whenever it loads one, which takes 50 ms of arithmetic. The same
    bytes are the same key, or are refused again.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with pytest.MonkeyPatch.context() as patch:
        proven = cache(load_pem_private_key)
        for module in READERS:
            patch.setattr(import_module(f"bars_gateway.{module}"), "load_pem_private_key", proven)
        yield
