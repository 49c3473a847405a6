"""Small file systems, where this machine lets us mount one, and filling them."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024**2
_ZEROS = {size: bytes(size) for size in (MIB, 4096)}


@contextmanager
def tmpfs(path: Path, size: int) -> Iterator[Path]:
    """One in memory of ``size`` bytes at ``path``, which is made; skips the test where that is not allowed."""
    with _mounted(path, ["-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs"]):
        yield path


@contextmanager
def ext4(path: Path, size: int) -> Iterator[Path]:
    """One with a journal, in an image beside ``path``."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no mkfs.ext4")
    image = path.with_suffix(".image")
    with open(image, "wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with _mounted(path, ["-o", "loop", str(image)]):
        yield path
    image.unlink()


@contextmanager
def _mounted(path: Path, what: Sequence[str]) -> Iterator[None]:
    path.mkdir()
    mount = ["mount", *what, str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root with all rights")
    try:
        yield
    finally:
        # What a process had open that was killed is let go a moment later.
        for attempts_left in reversed(range(50)):
            if subprocess.run(["umount", str(path)], capture_output=True, check=False).returncode == 0:
                break
            assert attempts_left, f"{path} cannot be unmounted"
            time.sleep(0.1)


def fill(path: Path) -> None:
    """Write zeros until nothing fits any more."""
    with open(path, "ab", buffering=0) as file:
        for zeros in _ZEROS.values():
            try:
                while file.write(zeros) == len(zeros):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
