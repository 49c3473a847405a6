"""What the disk backend does when the disk, or its process, fails: an error of the product's, and nothing left."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.backends.disk import DiskBackend
from appliance.errors import BackendError, HoldfastError, StorageFull
from tests.support.content import MIB, noise

STEPS = ("open", "write", "fdatasync", "close", "mkdir", "rename", "fsync")
"""The calls of a synced put that can fail."""


def fail(monkeypatch: pytest.MonkeyPatch, name: str, number: int, code: int) -> Callable[[], int]:
    """Let the call of this name and number (from 1) raise; the result tells how often it was made so far."""
    real: Any = getattr(os, name)
    made = 0

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal made
        made += 1
        if made == number:
            if name == "close":
                real(*arguments)
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(os, name, call)
    return lambda: made


def left_behind(folder: Path) -> list[str]:
    """All files of the data folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "code, error, temporary",
    [
        (errno.ENOSPC, StorageFull, None),
        (errno.EDQUOT, StorageFull, None),
        (errno.EIO, BackendError, True),
        (errno.EAGAIN, BackendError, True),
        (errno.EACCES, BackendError, False),
        (errno.EROFS, BackendError, False),
        (errno.EFBIG, BackendError, False),
        (errno.ENOENT, BackendError, False),
    ],
)
@pytest.mark.parametrize("step", STEPS)
def test_put_that_fails_at_any_step_leaves_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    code: int,
    error: type[HoldfastError],
    temporary: bool | None,
) -> None:
    """The 1st, 2nd, … call of each kind fails once: no blob, no partial file; the next attempt stores it."""
    blocks = [noise(1000), noise(1000, seed=2)]
    for number in range(1, 20):
        key = f"f{number}/blob"
        backend = DiskBackend(folder, synced=True)
        raised: HoldfastError | None = None
        with monkeypatch.context() as patched:
            made = fail(patched, step, number, code)
            try:
                backend.put(key, blocks)
            except HoldfastError as caught:
                raised = caught
        if raised is not None:
            assert type(raised) is error
            assert getattr(raised, "temporary", None) is temporary
            assert isinstance(raised.__cause__, OSError)
            assert backend.head(key) is None
            assert not [name for name in left_behind(folder) if name.startswith(("partial/", f"blobs/f{number}/"))]
            backend.put(key, blocks)
        assert backend.get(key, 0, 2000) == b"".join(blocks)
        if made() < number:
            # Every call of this kind has failed once.
            assert number > 1
            return
    pytest.fail("the put never succeeded")


@pytest.mark.parametrize("code, error", [(errno.EIO, BackendError), (errno.EACCES, BackendError)])
def test_other_methods_translate_what_the_disk_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[HoldfastError]
) -> None:
    """A disk that fails is a BackendError, never taken for a blob that is missing."""
    backend = DiskBackend(folder, synced=False)
    backend.put("a/b", [b"x"])
    calls: dict[str, Callable[[], object]] = {
        "pread": lambda: backend.get("a/b", 0, 1),
        "open": lambda: backend.get("a/b", 0, 1),
        "stat": lambda: backend.head("a/b"),
        "unlink": lambda: backend.delete("a/b"),
    }
    for name, call in calls.items():
        with monkeypatch.context() as patched:
            fail(patched, name, 1, code)
            with pytest.raises(error) as caught:
                call()
        assert type(caught.value) is error
    assert backend.get("a/b", 0, 1) == b"x"


@pytest.mark.parametrize(
    "code, error", [(errno.EIO, BackendError), (errno.EACCES, BackendError), (errno.ENOSPC, StorageFull)]
)
@pytest.mark.parametrize("step", ["mkdir", "open", "fsync"])
def test_folders_that_cannot_be_made_are_an_error_of_the_product(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, error: type[HoldfastError]
) -> None:
    """Whoever starts over such a folder tells a person, who wants no traceback."""
    with monkeypatch.context() as patched:
        fail(patched, step, 1, code)
        with pytest.raises(error) as caught:
            DiskBackend(folder, synced=True)
    assert type(caught.value) is error


@pytest.mark.parametrize("name", ["blobs", "partial"])
def test_file_in_place_of_a_folder_is_an_error_of_the_product(folder: Path, name: str) -> None:
    """It stays as it is."""
    (folder / name).write_bytes(b"x")
    with pytest.raises(BackendError, match=f"{name}: File exists"):
        DiskBackend(folder, synced=True)
    backend = DiskBackend(folder, synced=True, make=False)
    with pytest.raises(BackendError):
        _ = list(backend.list("")) if name == "blobs" else backend.clear_partial()
    assert (folder / name).read_bytes() == b"x"


def test_backend_for_who_only_looks_makes_nothing(folder: Path) -> None:
    """Neither where there is a store nor where there is none; a blob finds no place."""
    backend = DiskBackend(folder, synced=True, make=False)
    assert list(backend.list("")) == []
    assert backend.head("a") is None
    assert backend.clear_partial(of_living=True) == 0
    with pytest.raises(BackendError):
        backend.put("a", [b"x"])
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ENOTDIR])
def test_folder_that_cannot_be_listed_is_an_error_and_not_empty(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Who takes it for empty would miss every blob in it."""
    backend = DiskBackend(folder, synced=False)
    backend.put("packs/1/1", [b"x"])
    real = os.scandir

    def scandir(path: str) -> Any:
        if path.endswith("packs/"):
            raise OSError(code, os.strerror(code), path)
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        with pytest.raises(BackendError, match="packs"):
            list(backend.list(""))
    assert [blob.key for blob in backend.list("")] == ["packs/1/1"]


def test_sync_that_fails_is_an_error_of_the_product(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening the folder, and syncing it; nothing then counts as synced."""
    backend = DiskBackend(folder, synced=False)
    with monkeypatch.context() as patched:
        fail(patched, "open", 1, errno.EIO)
        with pytest.raises(BackendError) as caught:
            backend.sync_all()
    assert caught.value.temporary
    for code, error in ((errno.EIO, BackendError), (errno.ENOSPC, StorageFull)):

        def syncfs(descriptor: int, code: int = code) -> int:
            ctypes.set_errno(code)
            return -1

        with monkeypatch.context() as patched:
            patched.setattr("appliance.backends.disk._syncfs", syncfs)
            with pytest.raises(error) as raised:
                backend.sync_all()
        assert type(raised.value) is error
    backend.sync_all()


def test_short_writes_and_reads_are_continued(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may write or read less than asked for."""
    write, pread = os.write, os.pread
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:333]))
    monkeypatch.setattr(os, "pread", lambda descriptor, length, start: pread(descriptor, min(length, 77), start))
    backend = DiskBackend(folder, synced=False)
    content = noise(5000)
    assert backend.put("a", [content]) == 5000
    assert backend.get("a", 1, 4999) == content[1:]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte, where this machine lets us mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root with all rights")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_full_disk_is_storage_full_and_room_is_given_back(small_disk: Path) -> None:
    """What did not fit is gone; what fits afterwards is stored."""
    backend = DiskBackend(small_disk, synced=True)
    backend.put("kept", [noise(MIB // 4)])
    with pytest.raises(StorageFull):
        backend.put("packs/1/1", (noise(MIB // 8) for _ in range(20)))
    assert left_behind(small_disk) == ["blobs/kept"]
    backend.put("packs/1/2", [noise(MIB // 2)])
    assert backend.get("kept", 0, MIB // 4) == noise(MIB // 4)


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), KeyboardInterrupt(), SystemExit()])
def test_put_whose_blocks_raise_leaves_no_partial_file(folder: Path, error: BaseException) -> None:
    """Whatever ends it: the room is given back at once, not at the next sweep."""

    def blocks() -> Iterator[bytes]:
        yield noise(100_000)
        raise error

    with pytest.raises(type(error)):
        DiskBackend(folder, synced=True).put("packs/1/1", blocks())
    assert left_behind(folder) == []


_PUT_AND_STALL = """
import sys, time
from pathlib import Path
from appliance.backends.disk import DiskBackend

def blocks():
    yield b"x" * 100_000
    print("stalled", flush=True)
    time.sleep(60)

DiskBackend(Path(sys.argv[1]), synced=True).put("packs/1/1", blocks())
"""


def test_killed_put_is_never_seen_and_cleared_later(folder: Path) -> None:
    """While its process runs the file is spared; afterwards it is removed, and nothing else."""
    program = [sys.executable, "-c", _PUT_AND_STALL, str(folder)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"stalled\n"
        backend = DiskBackend(folder, synced=True)
        assert backend.clear_partial() == 0
        assert left_behind(folder) == [f"partial/{process.pid}-0"]
        process.send_signal(signal.SIGKILL)
    assert list(backend.list("")) == []
    assert backend.clear_partial() == 1
    assert left_behind(folder) == []
    assert backend.clear_partial() == 0


def test_clear_partial_spares_the_living_unless_told_that_nobody_writes(folder: Path) -> None:
    """Numbers of processes are used again: only whoever holds the folder alone may clear them all."""
    backend = DiskBackend(folder, synced=False)
    for name in (f"{os.getpid()}-9", "1-0", "unknown", "9" * 30 + "-0", "\u00b2-0"):
        (folder / "partial" / name).write_bytes(b"x")
    assert backend.clear_partial() == 0
    assert backend.clear_partial(of_living=True) == 5
    assert left_behind(folder) == []
