"""The reserve: what new content may take, and the ballast that comes, shrinks and goes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.backends import reserve as module
from appliance.backends.reserve import LEAST, Reserve, free_bytes

MIB = 1024**2
SIZE = 2 * MIB


class FileSystem:
    """As the test wants it, but for the ballast, which takes its room as anywhere."""

    def __init__(self, folder: Path, total: int) -> None:
        self.folder = folder
        self.total = total
        self.others = 0

    @property
    def ballast(self) -> int:
        """Bytes of it, 0 if there is none."""
        path = self.folder / "reserve"
        return path.stat().st_blocks * 512 if path.exists() else 0

    def leave(self, free: int) -> None:
        """Let others take so much that this is free now."""
        self.others = self.total - self.ballast - free

    @property
    def free(self) -> int:
        return self.total - self.others - self.ballast

    def statvfs(self, folder: str) -> SimpleNamespace:
        """As the system's."""
        assert folder == str(self.folder)
        return SimpleNamespace(f_frsize=4096, f_blocks=self.total // 4096, f_bavail=self.free // 4096)


@pytest.fixture
def disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FileSystem:
    """Of a gibibyte, all free."""
    made = FileSystem(folder, 1024 * MIB)
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    return made


@pytest.fixture
def reserve(folder: Path) -> Reserve:
    """Of two mebibytes: a file system gets full when less than 128 are free."""
    return Reserve(folder, SIZE)


def test_usable_is_what_is_free_beyond_the_reserve(disk: FileSystem, reserve: Reserve) -> None:
    """Never less than nothing; what holds place in the ballast is not missed twice."""
    assert reserve.usable() == 1022 * MIB
    for free in (200 * MIB, 100 * MIB, 3 * MIB, SIZE, SIZE - 4096, 0):
        disk.leave(free)
        before = reserve.usable()
        assert before == max(free - SIZE, 0)
        reserve.renew()
        assert reserve.usable() == before
        (disk.folder / "reserve").unlink(missing_ok=True)


def test_usable_of_a_file_system_that_does_not_tell_is_unknown(
    folder: Path, reserve: Reserve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is refused then, and no ballast is made."""
    unlimited = SimpleNamespace(f_frsize=4096, f_blocks=0, f_bavail=0)
    monkeypatch.setattr(os, "statvfs", lambda path: unlimited)
    assert (reserve.usable(), free_bytes(folder), reserve.renew()) == (None, None, 0)
    assert not reserve.make_room(certain=False)

    def fail(path: str) -> None:
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(os, "statvfs", fail)
    assert (reserve.usable(), free_bytes(folder), reserve.renew()) == (None, None, 0)
    assert os.listdir(folder) == []


def test_small_file_system_keeps_an_eighth_at_most(disk: FileSystem, reserve: Reserve) -> None:
    """Else nothing could be stored on it."""
    disk.total = 8 * MIB
    disk.leave(4 * MIB)
    assert reserve.usable() == 3 * MIB
    assert reserve.renew() == MIB // 2


def test_ballast_is_there_while_the_file_system_gets_full(disk: FileSystem, reserve: Reserve) -> None:
    """Really allocated, for nobody else to read, and made neither on a large disk nor out of the reserve itself."""
    assert reserve.renew() == 0
    assert os.listdir(disk.folder) == []
    disk.leave(127 * MIB)
    assert reserve.renew() == disk.ballast == SIZE // 2
    assert stat.S_IMODE((disk.folder / "reserve").stat().st_mode) == 0o600
    disk.leave(0)
    assert reserve.renew() == SIZE // 2
    disk.leave(128 * MIB)
    assert reserve.renew() == 0
    disk.leave(SIZE - 4096)
    assert reserve.renew() == 0
    assert os.listdir(disk.folder) == []


def test_reserve_of_nothing_has_no_ballast(disk: FileSystem, reserve: Reserve) -> None:
    """Also if an earlier run had one."""
    disk.leave(10 * MIB)
    reserve.renew()
    assert Reserve(disk.folder, 0).renew() == 0
    assert os.listdir(disk.folder) == []
    assert Reserve(disk.folder, 0).usable() == disk.free == 10 * MIB


def test_room_is_given_back_in_portions(disk: FileSystem, reserve: Reserve) -> None:
    """Somebody who takes all that is free must come several times; then it is made anew when there is room."""
    disk.leave(10 * MIB)
    reserve.renew()
    sizes = []
    while True:
        disk.leave(0)
        if not reserve.make_room(certain=True):
            break
        assert disk.free > 0
        sizes.append(disk.ballast)
    assert sizes == [3 * LEAST, 2 * LEAST, LEAST, 0]
    assert os.listdir(disk.folder) == []
    assert reserve.usable() == 0
    disk.leave(SIZE)
    assert reserve.renew() == SIZE // 2


def test_room_is_made_only_where_there_is_none(disk: FileSystem, reserve: Reserve) -> None:
    """An error that may have other reasons takes nothing from the reserve."""
    disk.leave(10 * MIB)
    reserve.renew()
    disk.leave(LEAST)
    assert not reserve.make_room(certain=False)
    assert disk.ballast == SIZE // 2
    disk.leave(LEAST - 4096)
    assert reserve.make_room(certain=False)


def test_start_gets_what_it_needs(disk: FileSystem, reserve: Reserve) -> None:
    """And no more, even if nobody tells that there is more room now."""
    disk.leave(10 * MIB)
    reserve.renew()
    disk.leave(MIB)
    reserve.make_room_to_start()
    assert disk.ballast == MIB
    disk.leave(MIB // 2)
    reserve.make_room_to_start()
    assert (disk.ballast, disk.free) == (MIB // 2, MIB)
    disk.leave(0)
    reserve.make_room_to_start()
    assert disk.ballast == MIB // 4


def test_hole_is_no_ballast(disk: FileSystem, reserve: Reserve) -> None:
    """A copied data folder may have one there."""
    disk.leave(10 * MIB)
    with open(disk.folder / "reserve", "wb") as file:
        file.truncate(SIZE // 2)
    assert reserve.usable() == 8 * MIB
    assert not reserve.make_room(certain=True)
    assert reserve.renew() == disk.ballast == SIZE // 2


def test_ballast_that_cannot_be_made_leaves_nothing_behind(
    disk: FileSystem, reserve: Reserve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing fails for it: the room is free all the same."""
    disk.leave(10 * MIB)

    def fail(descriptor: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_fallocate", fail)
        assert reserve.renew() == 0
        assert "could not be made" in caplog.text
        patched.setattr(module, "_fallocate", None)
        assert reserve.renew() == 0
    assert os.listdir(disk.folder) == []
    assert reserve.renew() == SIZE // 2
