"""The cache's folder: its limit, its order, and processes that share it, are killed in it, or find the disk full."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.backends.cache_folder import BLOCK, HEADER, CacheFolder
from appliance.backends.cached import CachedBackend
from appliance.backends.memory import MemoryBackend
from tests.support.content import MIB, noise
from tests.support.remote import RemoteBackend

FILE = BLOCK + HEADER.size
LONG = 1 << 40
FORKED = multiprocessing.get_context("fork")


def size_of(folder: Path) -> int:
    """Bytes of all files that are or will be blocks."""
    total = 0
    for name in ("blocks", "partial"):
        for above, _, files in os.walk(folder / name):
            for file in files:
                try:
                    total += os.stat(os.path.join(above, file)).st_size
                except FileNotFoundError:
                    continue
    return total


def key(number: int) -> str:
    """Of blob ``number``."""
    return f"packs/00000001/{number:08x}"


def content(number: int) -> bytes:
    """The first block of blob ``number``."""
    return noise(1000, number) * (BLOCK // 1000) + bytes(BLOCK % 1000)


def counted(folder: Path) -> int:
    """What the processes believe to be there."""
    return int.from_bytes((folder / "used").read_bytes(), "little")


def test_limit_is_held_at_every_moment(tmp_path: Path) -> None:
    """Forty blocks go through room for ten; at least most of it is used all the time from then on."""
    folder = CacheFolder(tmp_path, 10 * FILE + 5)
    for number in range(40):
        assert folder.write(key(number), 0, LONG, content(number))
        assert size_of(tmp_path) <= 10 * FILE
        assert size_of(tmp_path) == counted(tmp_path)
        assert size_of(tmp_path) >= min(number + 1, 8) * FILE
        found = folder.read(key(number), 0)
        assert found is not None
        assert found.data == content(number)


def test_oldest_use_goes_first(tmp_path: Path) -> None:
    """A block that was written first and used since stays; nobody walks through the cache at a reading."""
    folder = CacheFolder(tmp_path, 10 * FILE)
    for number in range(10):
        folder.write(key(number), 0, LONG, content(number))
    for number, path in enumerate(_path_of(folder, number) for number in range(10)):
        os.utime(path, (0, time.time() - 10_000 + number))
    assert folder.read(key(0), 0) is not None
    assert folder.read(key(3), 0) is not None
    folder.write(key(10), 0, LONG, content(10))
    folder.write(key(11), 0, LONG, content(11))
    left = [number for number in range(12) if folder.read(key(number), 0) is not None]
    assert {0, 3, 10, 11} <= set(left)
    assert 1 not in left
    assert set(range(5, 10)) & set(left)


def _path_of(folder: CacheFolder, number: int) -> str:
    return f"{folder._folder_of(key(number))}/0"


def test_block_larger_than_the_limit_is_left_out(tmp_path: Path) -> None:
    """And nothing is removed for it."""
    folder = CacheFolder(tmp_path, MIB // 2)
    assert folder.write(key(1), 0, 1000, noise(1000))
    assert not folder.write(key(2), 0, LONG, content(2))
    assert folder.read(key(1), 0) is not None


def test_smaller_limit_holds_after_a_restart(tmp_path: Path) -> None:
    """With the first block that is written."""
    first = CacheFolder(tmp_path, 20 * FILE)
    for number in range(20):
        first.write(key(number), 0, LONG, content(number))
    second = CacheFolder(tmp_path, 5 * FILE)
    second.write(key(99), 0, LONG, content(99))
    assert size_of(tmp_path) <= 5 * FILE
    assert second.read(key(99), 0) is not None


@pytest.mark.parametrize("spoiled", [b"", b"\xff" * 3, None, (10**15).to_bytes(8, "little")])
def test_lost_or_wrong_count_is_made_right(tmp_path: Path, spoiled: bytes | None) -> None:
    """By looking once; one that is too high ends with the first eviction."""
    folder = CacheFolder(tmp_path, 10 * FILE)
    for number in range(8):
        folder.write(key(number), 0, LONG, content(number))
    if spoiled is None:
        (tmp_path / "used").unlink()
    else:
        (tmp_path / "used").write_bytes(spoiled)
    again = CacheFolder(tmp_path, 10 * FILE)
    for number in range(8, 20):
        again.write(key(number), 0, LONG, content(number))
        assert size_of(tmp_path) <= 10 * FILE
    assert counted(tmp_path) == size_of(tmp_path)


def test_folder_that_somebody_emptied_is_used_again(tmp_path: Path) -> None:
    """The first block may be lost with it, the next ones are kept, and counted from nothing."""
    folder = CacheFolder(tmp_path / "cache", 10 * FILE)
    for number in range(5):
        folder.write(key(number), 0, LONG, content(number))
    shutil.rmtree(tmp_path / "cache")
    with contextlib.suppress(OSError):
        folder.write(key(5), 0, LONG, content(5))
    for number in range(6, 9):
        assert folder.write(key(number), 0, LONG, content(number))
    assert counted(tmp_path / "cache") == size_of(tmp_path / "cache") >= 3 * FILE


def test_folder_of_a_blob_that_goes_meanwhile_is_made_again(tmp_path: Path) -> None:
    """Two processes put blocks of the same few blobs and forget them, all the time."""
    process = FORKED.Process(target=_write_and_forget, args=(tmp_path,))
    process.start()
    _write_and_forget(tmp_path)
    process.join(30)
    assert process.exitcode == 0
    assert size_of(tmp_path) == 0
    # A block that both wrote at once is counted twice, until there seems to be no room.
    mine = CacheFolder(tmp_path, max(counted(tmp_path), HEADER.size + 100))
    assert mine.write(key(1), 0, 100, noise(100))
    assert counted(tmp_path) == size_of(tmp_path) == HEADER.size + 100


def test_folder_that_goes_while_makedirs_looks_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``makedirs`` meets the folder, and finds nothing when it asks whether that is one."""
    mine = CacheFolder(tmp_path, 10 * FILE)
    assert mine.write(key(1), 0, 100, noise(100))
    real, met = os.makedirs, []

    def makedirs(name: str, mode: int = 0o777, exist_ok: bool = False) -> None:
        if not met:
            met.append(name)
            raise FileExistsError(name)
        real(name, mode, exist_ok)

    monkeypatch.setattr(os, "makedirs", makedirs)
    assert mine.write(key(2), 0, 100, noise(100))
    assert met
    assert mine.read(key(2), 0) is not None


def _write_and_forget(folder: Path) -> None:
    mine = CacheFolder(folder, 10 * FILE)
    for turn in range(600):
        mine.write(key(turn % 2), 0, 100, noise(100))
        mine.forget(key(turn % 2))


def _fill(folder: Path, first: int, limit: int) -> None:
    """In a process of its own."""
    mine = CacheFolder(folder, limit)
    for number in range(first, first + 60):
        mine.write(key(number), 0, LONG, content(number))
        found = mine.read(key(number - 1), 0)
        assert found is None or found.data == content(number - 1)


def test_processes_share_one_limit(tmp_path: Path) -> None:
    """Three that write at the same time hold it together, and read what the others wrote."""
    limit = 30 * FILE
    processes = [FORKED.Process(target=_fill, args=(tmp_path, 1000 * number, limit)) for number in range(1, 4)]
    for process in processes:
        process.start()
    most = 0
    while any(process.is_alive() for process in processes):
        most = max(most, size_of(tmp_path))
        time.sleep(0.01)
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    # The walk of the test itself may see a block in both folders.
    assert most <= limit + 3 * FILE
    assert size_of(tmp_path) <= limit
    mine = CacheFolder(tmp_path, limit)
    found = [
        number for each in range(1, 4) for number in range(1000 * each, 1000 * each + 60) if mine.read(key(number), 0)
    ]
    assert len(found) >= 20


def _write_for_ever(folder: Path) -> None:
    mine = CacheFolder(folder, 20 * FILE)
    number = 0
    while True:
        mine.write(key(number), 0, LONG, content(number))
        number = (number + 1) % 1000


def test_kill_in_the_middle_of_writing_spoils_nothing(tmp_path: Path) -> None:
    """Twelve processes die at any moment; who comes next reads right bytes, and clears up what they left."""
    for turn in range(12):
        process = FORKED.Process(target=_write_for_ever, args=(tmp_path,))
        process.start()
        time.sleep(0.08 + 0.013 * turn)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(20)
        assert process.exitcode == -signal.SIGKILL
    (tmp_path / "partial" / f"{process.pid}-7").write_bytes(b"half")
    folder = CacheFolder(tmp_path, 20 * FILE)
    near = 0
    for number in range(1000):
        found = folder.read(key(number), 0)
        assert found is None or found.data == content(number)
        near += found is not None
    assert near
    for number in range(2000, 2030):
        folder.write(key(number), 0, LONG, content(number))
        assert size_of(tmp_path) <= 20 * FILE
    assert list((tmp_path / "partial").iterdir()) == []
    assert counted(tmp_path) == size_of(tmp_path)


def _read_all(cache: CachedBackend, size: int) -> None:
    for start in range(0, size, MIB):
        cache.get(key(1), start, min(MIB, size - start))
    assert cache.flush(20)


def test_forked_process_has_the_same_cache(tmp_path: Path) -> None:
    """What the child fetched the parent finds, although both came from one object with a thread that runs."""
    far = RemoteBackend(MemoryBackend())
    far.inner.put(key(1), [noise(4 * MIB)])
    far.inner.put(key(2), [noise(1000)])
    cache = CachedBackend(far, tmp_path, 20 * FILE)
    cache.get(key(2), 0, 10)
    child = FORKED.Process(target=_read_all, args=(cache, 4 * MIB))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    far.gets.clear()
    _read_all(cache, 4 * MIB)
    assert far.gets == []


@pytest.fixture(name="tiny")
def _tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.mount(b"none", str(place).encode(), b"tmpfs", 0, b"size=3m") != 0:
        pytest.skip("it takes root to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_turns_the_cache_off_and_nothing_else(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line says so; what was kept before is still near, and all else comes from the store."""
    caplog.set_level(logging.INFO, logger="appliance.backends.cache_keeper")
    far = RemoteBackend(MemoryBackend())
    blob = noise(7 * MIB)
    far.inner.put(key(1), [blob])
    cache = CachedBackend(far, tiny, 100 * FILE)
    for _ in range(3):
        _read_all(cache, 7 * MIB)
        assert cache.get(key(1), 0, 7 * MIB) == blob
    assert cache.flush(20)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text
    assert list((tiny / "partial").iterdir()) == []
    far.gets.clear()
    assert cache.get(key(1), 0, MIB) == blob[:MIB]
    assert far.gets == []
    assert counted(tiny) == size_of(tiny)
