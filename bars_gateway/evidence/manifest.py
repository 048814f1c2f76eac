"""
The manifest of an export: each file with its size and SHA-256, and whether it is still so.

The names in it are those of scenes and of pieces, with a number: nothing of a message.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from bars_gateway import __version__
from bars_gateway.errors import EvidenceError

MANIFEST = "manifest.json"
_BLOCK = 1 << 20


def write(folder: Path, now: datetime) -> str:
    """Write the manifest of what lies in *folder*; return its own SHA-256, to be noted down."""
    document = {
        "made_at": now.isoformat(timespec="seconds"),
        "bars_gateway": __version__,
        "files": [
            {"path": name, "bytes": file.stat().st_size, "sha256": hash_of(file)}
            for name, file in _files(folder).items()
        ],
    }
    file = folder / MANIFEST
    file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return hash_of(file)


def differences(folder: Path) -> Iterator[str]:
    """Yield what is not as the manifest says; raise EvidenceError where there is none."""
    listed = _listed(folder / MANIFEST)
    found = _files(folder)
    for name, digest in listed.items():
        if name not in found:
            yield f"{name} is missing"
        elif hash_of(found[name]) != digest:
            yield f"{name} is not what was exported"
    for name in found.keys() - listed.keys():
        yield f"{name} was not exported"


def hash_of(file: Path) -> str:
    """Return the SHA-256 of *file*."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _files(folder: Path) -> Mapping[str, Path]:
    return {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if (file.is_symlink() or not file.is_dir()) and file != folder / MANIFEST
    }


def _listed(file: Path) -> Mapping[str, str]:
    try:
        document = json.loads(file.read_bytes())
        return {each["path"]: each["sha256"] for each in document["files"]}
    except OSError as error:
        raise EvidenceError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise EvidenceError(f"{file} is not the manifest of an export") from None
