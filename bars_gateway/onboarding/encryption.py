"""
Makes the key ring that encrypts what is stored, adds keys to it, and copies it elsewhere.

    none ──add_key──► a ring with one key      a ring ──add_key──► one key more: the current one
    a ring ──copy──► FILE, and in the ring when each key was copied

Nothing is ever taken out here: a backup of years ago may need its key. So who changes a ring has
its folder alone meanwhile, and reads it there anew: a key that another has added in between is in
it. A ring that a link leads to is changed where it is.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bars_gateway.errors import OnboardingError
from bars_gateway.keyring import EncryptionRing, RingKey, new_key
from bars_gateway.onboarding.files import PRIVATE, explained, put_in_place, write_new

FILE_NAME = "encryption.keys"
CREDENTIALS = Path("/run/credentials")
_OF_SYSTEMD = (
    "Name the file that LoadCredential= loads, with --file, as root; then restart the gateway."
)


def add_key(file: Path, now: datetime) -> RingKey:
    """Add a key to the ring in *file*, which is made where there is none; return the key."""
    require_ours(file)
    key = new_key(now)
    with _alone(file) as real:
        if real.exists():
            ring = EncryptionRing.read(real)
            put_in_place(real, replace(ring, keys=(*ring.keys, key)).text.encode(), PRIVATE)
        else:
            write_new(real, EncryptionRing(keys=(key,)).text.encode(), PRIVATE)
    return key


def copy(file: Path, target: Path, now: datetime) -> EncryptionRing:
    """Write the ring in *file* to *target*, and note in it which keys were copied when."""
    ring = EncryptionRing.read(file)
    copied = {each.key_id: now for each in ring.keys}
    noted = _noted(ring, copied)
    write_new(target, noted.text.encode(), PRIVATE, belongs=False)
    if not file.is_relative_to(CREDENTIALS):
        with _alone(file) as real:
            put_in_place(real, _noted(EncryptionRing.read(real), copied).text.encode(), PRIVATE)
    return noted


def _noted(ring: EncryptionRing, copied: Mapping[str, datetime]) -> EncryptionRing:
    return replace(ring, copied={**ring.copied, **copied})


@contextmanager
def _alone(file: Path) -> Iterator[Path]:
    """Let nobody else change the ring in *file* meanwhile; yield where it is itself."""
    real = file.resolve()
    with explained(real.parent, "opened"):
        folder = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield real
    finally:
        os.close(folder)


def require_ours(file: Path) -> None:
    """Raise OnboardingError where *file* is systemd's: the key would be lost at the next stop."""
    if file.is_relative_to(CREDENTIALS):
        raise OnboardingError(f"{file} is a credential of systemd's", _OF_SYSTEMD)
