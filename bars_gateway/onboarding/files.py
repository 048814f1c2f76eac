"""
Files that appear whole or not at all, and keys that are never written over.

    content ──► NAME.tmp, synced ──► linked to NAME (refused where it is there)   write_new
                                └──► renamed to NAME                              put_in_place

Whatever the disk or the system refuses is an OnboardingError that names the file, so
that no command of the onboarding ends in a traceback. What root makes is the gateway's, and not
root's (`ownership`): it has to read it.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bars_gateway import disk
from bars_gateway.disk import half_written, sync_folder
from bars_gateway.errors import OnboardingError
from bars_gateway.ownership import belong

PRIVATE, PUBLIC = 0o600, 0o644
BITS = 4096  # of a key that is made here
_FOLDER = 0o750


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn what the system refuses into an error that names *path*."""
    try:
        yield
    except OSError as error:
        raise OnboardingError(
            f"{error.filename or path} cannot be {doing}: {error.strerror}",
            "Run the command as the gateway's user, with room on the disk, or name another place.",
        ) from None


def read(path: Path) -> bytes:
    """Return what is in *path*."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise OnboardingError(f"{path} is not a file", "Name the file itself.")
    with explained(path, "read"):
        return path.read_bytes()


def make_folder(folder: Path, mode: int = _FOLDER) -> bool:
    """Make *folder* and those above it; return whether it was missing."""
    if folder.is_dir():
        return False
    with explained(folder, "made"):
        missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
        for each in reversed(missing):
            each.mkdir()
            each.chmod(mode if each == folder else _FOLDER)  # whatever the umask took
            belong(each, each.parent)
    return True


def write_new(path: Path, content: bytes, mode: int, *, belongs: bool = True) -> None:
    """Write *path*, and refuse where something is there; without *belongs* root's stays root's."""
    with explained(path, "written"):
        half = half_written(path, content, mode, belongs=belongs)
        try:
            os.link(half, path)
        except FileExistsError:
            raise OnboardingError(
                f"{path} is there, and is not written over",
                "Move it away yourself if it is no longer needed, or name another.",
            ) from None
        finally:
            half.unlink()
        sync_folder(path.parent)


def put_in_place(path: Path, content: bytes, mode: int) -> None:
    """Write *path* over whatever is there, at one moment."""
    with explained(path, "written"):
        disk.put_in_place(path, content, mode, belongs=True)


def move(path: Path, target: Path) -> None:
    """Rename *path*, and refuse where *target* is there."""
    make_folder(target.parent, 0o700)
    with explained(path, "moved"):
        if target.exists():
            raise OnboardingError(f"{target} is there already", "Look at both, and keep one.")
        path.rename(target)
        sync_folder(path.parent)
        sync_folder(target.parent)


def private_pem(key: PrivateKeyTypes) -> bytes:
    """Return *key* as PEM, without passphrase: a service has nobody to ask."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def digest_of(key: PublicKeyTypes) -> str:
    """Return the SHA-256 of a public key, as the audit trail names it."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()
