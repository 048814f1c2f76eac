"""A file is put under its name whole, or not at all, and leaves nothing beside it."""

from pathlib import Path

import pytest
from disks import fill, only_root, small_disk

from bars_gateway.disk import put_in_place


def test_what_cannot_take_its_name_leaves_nothing(tmp_path: Path) -> None:
    """Each program that tries has another name for its half, and none removes another's."""
    (tmp_path / "key.pem").mkdir()
    with pytest.raises(IsADirectoryError):
        put_in_place(tmp_path / "key.pem", b"secret")

    assert ["key.pem"] == [each.name for each in tmp_path.iterdir()]


@only_root
def test_what_has_no_room_leaves_nothing(tmp_path: Path) -> None:
    """A part of a key would lie there for good, on a disk that needs the room."""
    with small_disk(tmp_path / "disk") as disk:
        (disk / "key.pem").write_bytes(b"as before")
        fill(disk)
        with pytest.raises(OSError, match="No space"):
            put_in_place(disk / "key.pem", b"secret" * 10_000)

        assert {"key.pem", "ballast"} == {each.name for each in disk.iterdir()}
        assert b"as before" == (disk / "key.pem").read_bytes()
