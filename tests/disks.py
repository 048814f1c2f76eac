"""Disks of their own for one test: too small, or without power."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


@contextmanager
def small_disk(folder: Path, size: str = "3m") -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Leave no room for another page."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return ballast


class Disk:
    """
    A file system in a file, whose power can be cut.

    What programs write stays in the memory of the system until they sync it, or half a
    minute has passed. The file below holds what has reached the disk: a copy of it is
    what a machine finds that lost its power at that moment.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._folder = folder
        self._cuts = 0

    def cut(self) -> Path:
        """Return what would be left if the power failed now."""
        self._cuts += 1
        left = self._image.with_name(f"left-{self._cuts}.img")
        shutil.copyfile(self._image, left)
        return left

    def go_on_with(self, left: Path) -> None:
        """Put what was left in the place of everything that came later."""
        self.unmount()
        _mount(left, self._folder)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self._folder], check=True)


@contextmanager
def disk_at(folder: Path) -> Iterator[Disk]:
    """Mount a new disk at *folder*."""
    folder.mkdir(parents=True)
    image = folder.with_name(f"{folder.name}-disk.img")
    with image.open("wb") as file:
        file.truncate(48 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    _mount(image, folder)
    disk = Disk(image, folder)
    try:
        yield disk
    finally:
        disk.unmount()


@contextmanager
def mounted(left: Path) -> Iterator[Path]:
    """Look at what was left, elsewhere."""
    folder = left.with_suffix("")
    folder.mkdir()
    _mount(left, folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def _mount(image: Path, folder: Path) -> None:
    # The file system's own habit of writing every five seconds would do our work for us.
    subprocess.run(["mount", "-o", "loop,commit=300", image, folder], check=True)
