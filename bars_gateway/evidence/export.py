"""
`evidence export DIR`: the run, the installation, the page for people, the manifest; all or nothing.

    .DIR.… ◄── course, installation, index.html, manifest.json       then, at one moment ──► DIR

It is written beside DIR under another name and renamed when it is whole: whoever finds DIR finds
all of it. The run has a folder of its own among the temporary ones, for below DIR the paths of its
sockets may be too long. Whoever writes holds a lock on both: one that nobody holds was left behind
by a kill, and the next export removes it, and says so.
"""

import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from bars_gateway import __version__
from bars_gateway.config import Settings
from bars_gateway.disk import sync_folder
from bars_gateway.errors import EvidenceError
from bars_gateway.evidence import course, figures, installation, manifest, page
from bars_gateway.evidence.course import Played, PlayedScene
from bars_gateway.evidence.pieces import ATTACHED, INDEX, PIECES, SUMMARY
from bars_gateway.frozen import frozen
from bars_gateway.safety.hazards import HAZARDS

_FOLDER, _HALF = 0o750, 0o700
_SCRATCH = "bars-gateway-export-"


@frozen(kw_only=True)
class Summary:
    """What an export has."""

    made_at: str  # UTC
    bars_gateway: str  # its version
    environment: str  # of the settings whose installation it tells of
    scenes: Sequence[PlayedScene]
    pieces: Sequence[str]  # those that are there
    attached: Sequence[str]  # files that were given, below the export

    @property
    def shown(self) -> Collection[str]:
        """The scenes that got what they must, and the pieces that are there."""
        return {each.name for each in self.scenes if not each.missing} | set(self.pieces)


@frozen(kw_only=True)
class Exported:
    """What was made."""

    summary: Summary
    manifest_sha256: str
    left_behind: Sequence[Path] = ()  # by exports that were killed: removed


async def export(
    settings: Settings, folder: Path, now: datetime, attached: Sequence[Path] = ()
) -> Exported:
    """
    Make the export at *folder*, or nothing at all; raise EvidenceError where it cannot be.

    Copies of what is *attached* lie in a folder of their own, under the names that they had.
    """
    half, left_behind = _begun(folder)
    try:
        with _locked(half):
            _attach(half, attached)
            with tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch, _locked(Path(scratch)):
                played = await course.play(half, Path(scratch))
            await _tell_of_installation(half, settings, played, now)
            summary = _summary(half, settings, played, now)
            _write(half / SUMMARY, json.dumps(asdict(summary), indent=1) + "\n")
            _write(half / INDEX, page.index(asdict(summary), summary.shown))
            digest = manifest.write(half, now)
            half.chmod(_FOLDER)
            half.replace(folder)  # an empty folder gives way
            sync_folder(folder.parent)
    except OSError as error:
        raise EvidenceError(f"{error.filename or folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return Exported(summary=summary, manifest_sha256=digest, left_behind=left_behind)


def read_summary(folder: Path) -> Summary:
    """Return what the export at *folder* has; raise EvidenceError where it is none."""
    file = folder / SUMMARY
    try:
        document = json.loads(file.read_bytes())
        scenes = [PlayedScene(**each) for each in document.pop("scenes")]
        return Summary(scenes=scenes, **document)
    except OSError as error:
        raise EvidenceError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EvidenceError(f"{file} is not the summary of an export") from None


def is_there(piece: str, folder: Path) -> bool:
    """Tell whether the export at *folder* has that piece, and anything in it."""
    file = folder / PIECES[piece].file
    if not file.is_file():
        return False
    # Of certificates that cannot be read there are only the reasons.
    needed = b'"subject"' if piece == "certificates" else b""
    content = file.read_bytes()
    return bool(content) and needed in content


def _begun(folder: Path) -> tuple[Path, Sequence[Path]]:
    """
    Return a folder beside *folder* to write into, and what was left there by a kill, and is gone.

    Refuses where something is there already.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise EvidenceError(f"{folder} is there, and is not a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise EvidenceError(f"{folder} is not empty, and nothing is written over")
    try:
        prefix, scratch = f".{folder.name}.", Path(tempfile.gettempdir())
        found = [*_begun_before(folder.parent, prefix), *_begun_before(scratch, _SCRATCH)]
        left_behind = [each for each in found if _is_gone(each)]
        return Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent)), left_behind
    except OSError as error:
        raise EvidenceError(f"{folder} cannot be made: {error.strerror}") from None


def _begun_before(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield what exports write into, or wrote, below *parent*: ours, closed, and so named."""
    named = re.compile(rf"{re.escape(prefix)}[a-z0-9_]{{8}}")  # as mkdtemp names them
    for each in parent.iterdir():
        if named.fullmatch(each.name) and not each.is_symlink() and each.is_dir():
            with suppress(FileNotFoundError):  # the export has come to its end this moment
                found = each.stat()
                mode = stat.S_IMODE(found.st_mode)
                if found.st_uid == os.geteuid() and mode in {_HALF, _FOLDER}:
                    yield each


def _is_gone(half: Path) -> bool:
    """Remove *half* unless an export is writing into it; tell whether it is gone."""
    with suppress(FileNotFoundError), _locked(half) as is_ours:
        if is_ours:
            shutil.rmtree(half)
        return is_ours
    return False


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock on *folder* while the block runs; yield whether nobody else has it."""
    held = _lock(folder)
    try:
        yield held is not None
    finally:
        if held is not None:
            os.close(held)


def _lock(half: Path) -> int | None:
    """Return what holds *half* until it is closed, or we are killed; None: another one has it."""
    descriptor = os.open(half, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _attach(half: Path, attached: Sequence[Path]) -> None:
    for file in attached:
        copy = half / ATTACHED / file.name
        copy.parent.mkdir(exist_ok=True)
        if not file.is_file():
            raise EvidenceError(f"{file} cannot be attached: it is not a file")
        if copy.exists():
            raise EvidenceError(f"{file} cannot be attached: another one has the same name")
        shutil.copyfile(file, copy)


async def _tell_of_installation(
    half: Path, settings: Settings, played: Played, now: datetime
) -> None:
    documents: Mapping[str, object] = {
        "versions": installation.versions(),
        "hazards": [asdict(each) for each in HAZARDS.values()],
        "certificates": installation.certificates(settings),
        "figures": {
            "run": figures.figures_of_run(played.tape.exchanges),
            "gateway": await figures.figures_of_gateway(settings),
            "database": await figures.figures_of_database(settings, now),
        },
    }
    for name, document in documents.items():
        _write(half / PIECES[name].file, json.dumps(document, indent=1) + "\n")
    _write(half / PIECES["configuration"].file, installation.configuration(settings))


def _summary(half: Path, settings: Settings, played: Played, now: datetime) -> Summary:
    return Summary(
        made_at=now.isoformat(timespec="seconds"),
        bars_gateway=__version__,
        environment=settings.environment,
        scenes=played.scenes,
        pieces=[name for name in PIECES if is_there(name, half)],
        attached=sorted(f"{ATTACHED}/{file.name}" for file in half.glob(f"{ATTACHED}/*")),
    )


def _write(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
