"""The ring of the keys that encrypt: whoever changes it takes none away."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest

from bars_gateway.keyring import EncryptionRing
from bars_gateway.onboarding import encryption

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """Return the file of a ring with one key."""
    file = tmp_path / "keys" / "encryption.keys"
    file.parent.mkdir()
    encryption.add_key(file, NOW)
    return file


def ids(file: Path) -> list[str]:
    return [each.key_id for each in EncryptionRing.read(file).keys]


def test_a_key_that_is_added_while_the_ring_is_copied_stays(ring, tmp_path):
    """A copy goes to a slow disk, and the gateway may encrypt by the new key before it is there."""
    whole: Callable[..., None] = encryption.write_new

    def slowly(*arguments: object, **more: object) -> None:
        whole(*arguments, **more)
        encryption.add_key(ring, NOW)

    with mock.patch.object(encryption, "write_new", slowly):
        encryption.copy(ring, tmp_path / "copy", NOW)
    first, second = ids(ring)

    assert [first] == ids(tmp_path / "copy")
    assert {first} == EncryptionRing.read(ring).copied.keys()
    assert second not in ids(tmp_path / "copy")


def test_two_who_add_a_key_at_once_both_have_added_one(ring):
    """Each has said that there is another key: there are two more."""
    both = threading.Barrier(2)
    read = EncryptionRing.read

    def with_the_other(file: Path) -> EncryptionRing:
        found = read(file)
        try:
            both.wait(timeout=0.5)  # whoever is kept out does not come
        except threading.BrokenBarrierError:
            both.reset()
        return found

    with mock.patch.object(EncryptionRing, "read", with_the_other):
        adding = [threading.Thread(target=encryption.add_key, args=(ring, NOW)) for _ in range(2)]
        for each in adding:
            each.start()
        for each in adding:
            each.join()

    assert 3 == len(ids(ring))


@pytest.mark.parametrize("change", ["add", "copy"])
def test_a_ring_behind_a_link_is_changed_where_it_is(ring, tmp_path, change):
    """Somebody has put it on another disk, and backs it up there: that one has every key."""
    link = tmp_path / "encryption.keys"
    link.symlink_to(ring)
    if change == "add":
        encryption.add_key(link, NOW)
    else:
        encryption.copy(link, tmp_path / "copy", NOW)

    assert link.is_symlink()
    assert ids(link) == ids(ring)


def test_a_ring_whose_folder_is_not_there_is_said(tmp_path):
    """In two lines, and with the folder's name."""
    with pytest.raises(encryption.OnboardingError, match="none cannot be opened: No such file"):
        encryption.add_key(tmp_path / "none" / "encryption.keys", NOW)
