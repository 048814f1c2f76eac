"""
The builds that are compared: this one, one of before, named by `BASE`, and the compiled one.

    BASE=v0.1.0       a commit of this repository: unpacked into a temporary folder
    BASE=/srv/before  a folder that holds a checkout, with or without a `.venv` of its own
    COMPILED=build/compiled  a virtual environment with the compiled wheel: `make compiled` makes it

Without them there is nothing to compare with, and the figures are this build's alone. The base
runs on the packages of this virtual environment where both pin the same ones, and else on its
own, installed from what it pins.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LOCK = "requirements.lock"


@dataclass(frozen=True)
class Build:
    """A checkout, and the Python that runs it."""

    name: str
    folder: Path
    python: Path
    commit: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What its processes find: its own package, wherever they start, and nobody's settings."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("BARS_GATEWAY_", "PYTHON"))
        }
        return kept | {"PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}

    def command(self, *arguments: object) -> list[str]:
        """Return the command line of `bars-gateway` with *arguments*."""
        return [str(self.python), "-m", "bars_gateway", *map(str, arguments)]


@contextmanager
def builds(temporary: Path) -> Iterator[list[Build]]:
    """Yield this build, and the base and the compiled one where there are such."""
    found = [Build("this build", ROOT, Path(sys.executable), commit_of(ROOT))]
    if base := os.environ.get("BASE"):
        found.append(_base(base, temporary))
    if compiled := os.environ.get("COMPILED"):
        found.append(_compiled((ROOT / compiled).resolve()))
    yield found


def _compiled(environment: Path) -> Build:
    python = environment / "bin" / "python"
    asked = "import bars_gateway; print(bars_gateway.__path__[0], bars_gateway.described())"
    told = subprocess.run([str(python), "-P", "-c", asked], capture_output=True, check=True)
    package, _, version = told.stdout.decode().strip().partition(" ")
    if "compiled" not in version:
        raise SystemExit(f"COMPILED={environment} holds a pure build: run make compiled.")
    return Build("compiled", Path(package).parent, python, version)


def _base(named: str, temporary: Path) -> Build:
    folder = Path(named)
    if not (folder / "bars_gateway").is_dir():
        folder = temporary / "base"
        _unpack(named, folder)
    own = folder.resolve() / ".venv" / "bin" / "python"
    commit = commit_of(folder) if folder != temporary / "base" else commit_of(ROOT, named)
    return Build("base", folder.resolve(), own if own.exists() else _python(folder), commit)


def _unpack(reference: str, folder: Path) -> None:
    folder.mkdir()
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", reference], capture_output=True, check=False
    )
    if packed.returncode:
        raise SystemExit(f"BASE={reference} is neither a folder with a checkout nor a commit here.")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)


def _python(folder: Path) -> Path:
    """Return a Python that has what *folder* pins: ours, where that is the same."""
    if (folder / LOCK).read_bytes() == (ROOT / LOCK).read_bytes():
        return Path(sys.executable)
    print("The base pins other packages: installing them ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(folder / ".venv")], check=True)
    python = folder / ".venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    locked = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(folder / LOCK)]
    subprocess.run(pip + locked, check=True)
    return python


def commit_of(folder: Path, reference: str = "HEAD") -> str:
    """Return the short name of that commit of the checkout in *folder*."""
    found = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--short", reference],
        capture_output=True,
        check=False,
    )
    return found.stdout.decode().strip() or "unknown"
