"""
Makes the key ring that encrypts what is stored, adds keys to it, and copies it elsewhere.

    none ──add_key──► a ring with one key      a ring ──add_key──► one key more: the current one
    a ring ──copy──► FILE, and in the ring when each key was copied

Nothing is ever taken out here: a backup of years ago may need its key.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bars_gateway.errors import OnboardingError
from bars_gateway.keyring import EncryptionRing, RingKey, new_key
from bars_gateway.onboarding.files import PRIVATE, put_in_place, write_new

FILE_NAME = "encryption.keys"
CREDENTIALS = Path("/run/credentials")
_OF_SYSTEMD = (
    "Name the file that LoadCredential= loads, with --file, as root; then restart the gateway."
)


def add_key(file: Path, now: datetime) -> RingKey:
    """Add a key to the ring in *file*, which is made where there is none; return the key."""
    require_ours(file)
    key = new_key(now)
    if file.exists():
        ring = EncryptionRing.read(file)
        put_in_place(file, replace(ring, keys=(*ring.keys, key)).text.encode(), PRIVATE)
    else:
        write_new(file, EncryptionRing(keys=(key,)).text.encode(), PRIVATE)
    return key


def copy(file: Path, target: Path, now: datetime) -> EncryptionRing:
    """Write the ring in *file* to *target*, and note in it which keys were copied when."""
    ring = EncryptionRing.read(file)
    noted = replace(ring, copied={**ring.copied, **{each.key_id: now for each in ring.keys}})
    write_new(target, noted.text.encode(), PRIVATE, belongs=False)
    if not file.is_relative_to(CREDENTIALS):
        put_in_place(file, noted.text.encode(), PRIVATE)
    return noted


def require_ours(file: Path) -> None:
    """Raise OnboardingError where *file* is systemd's: the key would be lost at the next stop."""
    if file.is_relative_to(CREDENTIALS):
        raise OnboardingError(f"{file} is a credential of systemd's", _OF_SYSTEMD)
