"""What is loaded for what was typed: no more than it needs, by Python's own account of it."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from certs import key_pem
from typed import settings_text

from bars_gateway.cli import begin, root
from bars_gateway.daemon import gateway

# Whatever of these a gateway loads at its start, it keeps for months and has no use for.
NOT_FOR_A_GATEWAY = {
    *(
        "rich",
        "typer",
        "pygments",
        "dotenv",
        "pydantic_settings",
        "jinja2",
        "aiosmtplib",
        "greenlet",
        "psycopg",
    ),
    *("bars_gateway.cli.main", "bars_gateway.onboarding", "bars_gateway.options"),
    *("bars_gateway.sandbox", "bars_gateway.demo"),
}
NOT_FOR_A_LOOK = {
    *("bars_gateway.onboarding", "bars_gateway.sandbox", "bars_gateway.demo"),
    *("aiohttp", "cryptography", "jinja2", "prometheus_client", "jwt", "importlib.metadata"),
    *("bars_gateway.daemon", "bars_gateway.console", "bars_gateway.cli.main"),
    "bars_gateway.standard.rules",
}
LOADED = re.compile(r"^import '([\w.]+)' #", re.MULTILINE)


def command(*words: object) -> list[str]:
    return [sys.executable, "-v", "-m", "bars_gateway", *map(str, words)]


def loaded(told: str) -> set[str]:
    """Return what was loaded, and the packages that it is in."""
    names = [name.split(".") for name in LOADED.findall(told)]
    return {".".join(parts[:n]) for parts in names for n in range(1, len(parts) + 1)}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Write those of a gateway that only sends, and all that they name."""
    for name in ("state", "run", "spool"):
        (tmp_path / name).mkdir()
    file = tmp_path / "gateway.toml"
    rest = '[inbound]\nenabled = false\n[status]\nlisten = "127.0.0.1:0"\n'
    key = tmp_path / "key.pem"
    key.touch(mode=0o600)
    key.write_bytes(key_pem())
    file.write_text(settings_text(tmp_path, rest=rest, private_key_file=str(key)), "utf-8")
    return file


def test_a_gateway_loads_nothing_that_only_commands_need(settings: Path, tmp_path: Path) -> None:
    """From its start until it has looked after its trail, and stopped."""
    account = tmp_path / "account"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, account.open("w") as file:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        with subprocess.Popen(
            command("run", "--config", settings),
            env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdout=subprocess.PIPE,
            stderr=file,
        ) as gateway:
            told = manager.recv(4096)
            assert gateway.stdout is not None
            walked = any(b'"audit.verified"' in line for line in gateway.stdout)
            gateway.send_signal(signal.SIGTERM)
            gateway.stdout.read()  # so that it waits for nobody
    found = loaded(account.read_text("utf-8"))

    assert (True, True) == (told.startswith(b"READY=1"), walked)
    assert {"bars_gateway.daemon.gateway", "aiohttp", "structlog"} <= found
    assert set() == NOT_FOR_A_GATEWAY & found


def test_a_look_into_the_queue_loads_neither_the_gateway_nor_other_commands(settings: Path) -> None:
    """Whoever looks at night waits for what is loaded."""
    (settings.parent / "state" / "gateway.db").touch()
    done = subprocess.run(
        command("queue", "--config", settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = loaded(done.stderr)

    assert "bars_gateway.cli.listings" in found
    assert set() == NOT_FOR_A_LOOK & found


@pytest.mark.parametrize("home", sorted(set(begin.HOMES.values())))
def test_each_command_stands_where_it_is_loaded_from(home: str) -> None:
    """The table of homes and the modules name the same commands."""
    app = root.root()
    begin.import_module(f"bars_gateway.cli.{home}").add_to(app)
    commands = typer.main.get_group(app).commands
    shown = {name for name, each in commands.items() if not each.hidden}

    assert {word for word, of in begin.HOMES.items() if of == home} == shown


def told_by(code: str) -> str:
    """Return what a Python of its own prints when it runs *code*."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_libraries_are_loaded_alone() -> None:
    """No call trusts the system's authorities by oversight; rich is there for whoever draws."""
    code = (
        "from bars_gateway import libraries as l; l.load_structlog(); l.load_aiohttp()\n"
        "import ssl, sys, aiohttp.connector as c, structlog\n"
        "print('rich' in sys.modules, c._SSL_CONTEXT_VERIFIED.cert_store_stats()['x509'],"
        " 'set_default_verify_paths' in vars(ssl.SSLContext))\n"
        "import rich; print(rich.__name__)"
    )
    told = told_by(code)

    assert "False 0 False\nrich\n" == told


MEDDLER = """
class Plugin:
    def new_schema_validator(self, *about, **more):
        return None, None, None

plugin = Plugin()
print("loaded")
"""


def test_settings_are_read_as_this_release_has_them(tmp_path: Path) -> None:
    """A plugin that some package has for pydantic is not loaded, nor looked for."""
    (tmp_path / "meddler.py").write_text(MEDDLER, "utf-8")
    (tmp_path / "meddler-1.dist-info").mkdir()
    points = tmp_path / "meddler-1.dist-info" / "entry_points.txt"
    points.write_text("[pydantic]\nmeddler = meddler:plugin\n", "utf-8")
    code = f"import sys; sys.path.append({str(tmp_path)!r})\n"
    spared = "from bars_gateway import libraries as l; l.spare_pydantic()\n"
    reads = "import bars_gateway.config.values\n"
    told = [told_by(code + reads), told_by(code + spared + reads)]

    assert ["loaded\n", ""] == told


def test_what_is_loaded_is_never_looked_through_for_garbage(settings: Path) -> None:
    """A command that draws a table paused for it as long as it took to load."""
    (settings.parent / "state" / "gateway.db").touch()
    code = (
        "import gc, sys\nfrom bars_gateway.__main__ import main\n"
        f"sys.argv = ['bars-gateway', 'queue', '--config', {str(settings)!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(gc.get_freeze_count() > 10_000, gc.isenabled())"
    )
    told = told_by(code)

    assert "True True" == told.splitlines()[-1]


def test_a_gateway_keeps_nothing_of_what_was_made_only_to_load() -> None:
    """Each class with slots is made twice: what was left of the first was kept for months."""
    code = (
        "import gc\nfrom pathlib import Path\nfrom bars_gateway.daemon import start\n"
        "from bars_gateway.errors import ConfigurationError\n"
        "try:\n    start.start(Path('nowhere.toml'), {})\nexcept ConfigurationError:\n    pass\n"
        "kept = gc.get_freeze_count()\ngc.unfreeze()\n"
        "print(kept > 10_000, gc.collect() < 100)"
    )
    told = told_by(code)

    assert "True True" == told.splitlines()[-1]


def test_a_start_compiles_and_reads_nothing_that_it_does_not_use() -> None:
    """Values are made by `@frozen`, for a third of what Python's cost; R4's types wait until asked.

    A class that has an order, or that changes, is Python's; so is what `make compiled` compiles.
    """
    code = (
        "import sys\nfrom bars_gateway.daemon import gateway\n"
        "from bars_gateway.standard import r4\n"
        "ours = [each for name, each in sys.modules.items() if name.startswith('bars_gateway.')]\n"
        "classes = {each for module in ours for each in vars(module).values()"
        " if isinstance(each, type) and each.__module__ == module.__name__}\n"
        "pythons = {each.__module__ for each in classes"
        " if (how := getattr(each, '__dataclass_params__', None)) and how.frozen > how.order}\n"
        "print(*sorted(pythons), r4.members.cache_info().currsize)"
    )
    told = told_by(code)

    compiled = {f"bars_gateway.standard.{each}" for each in ("r4", "structure", "tree", "xml")}
    assert [*sorted(compiled), "0"] == told.split()


def test_in_a_gateway_no_thread_waits_long_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread reads a long body, the loop gets its turn within a millisecond."""
    waits: list[float] = []

    async def run(*_: object, **__: object) -> None:
        await asyncio.sleep(0)
        waits.append(sys.getswitchinterval())

    before = sys.getswitchinterval()
    monkeypatch.setattr(gateway, "run", run)
    try:
        gateway.serve(None, lambda: None)  # type: ignore[arg-type,return-value]
    finally:
        sys.setswitchinterval(before)

    assert [0.001] == [round(each, 6) for each in waits]
