"""The disk backend keeps the contract, synced or not, and syncs in an order that survives a power cut."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from appliance.backends.disk import DiskBackend
from appliance.errors import BackendError
from tests.conformance.backend_contract import BackendContract


class TestDiskBackendUnsynced(BackendContract):
    """As with ``durability: fast``."""

    @pytest.fixture
    def backend(self, folder: Path) -> DiskBackend:
        """An empty one."""
        return DiskBackend(folder, synced=False)


class TestDiskBackendSynced(BackendContract):
    """As with ``durability: safe``."""

    @pytest.fixture
    def backend(self, folder: Path) -> DiskBackend:
        """An empty one."""
        return DiskBackend(folder, synced=True)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[tuple[str, str]]:
    """What the backend asks of the file system, as (call, path below the data folder); the calls are still made."""
    recorded: list[tuple[str, str]] = []

    def record(name: str) -> None:
        real = getattr(os, name)

        def call(first: Any, *others: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else os.fspath(first)
            recorded.append((name, os.path.relpath(path, folder)))
            return real(first, *others)

        monkeypatch.setattr(os, name, call)

    for name in ("fdatasync", "fsync", "rename", "mkdir"):
        record(name)
    return recorded


def test_synced_put_has_bytes_then_names_on_stable_storage(folder: Path, calls: list[tuple[str, str]]) -> None:
    """The bytes are synced before they get their name, each new folder in the one above, the name last."""
    backend = DiskBackend(folder, synced=True)
    calls.clear()
    backend.put("packs/00000001/00000001", [b"x"])
    partial = f"partial/{os.getpid()}-0"
    assert calls == [
        ("fdatasync", partial),
        ("mkdir", "blobs/packs"),
        ("fsync", "blobs"),
        ("mkdir", "blobs/packs/00000001"),
        ("fsync", "blobs/packs"),
        ("rename", partial),
        ("fsync", "blobs/packs/00000001"),
    ]
    calls.clear()
    backend.put("packs/00000001/00000002", [b"x"])
    assert [name for name, _ in calls] == ["fdatasync", "rename", "fsync"]


def test_folders_of_a_new_store_are_synced_before_its_first_blob(folder: Path, calls: list[tuple[str, str]]) -> None:
    """Else a power cut could take blobs/ with all that was synced into it."""
    DiskBackend(folder, synced=True)
    assert calls[-1] == ("fsync", ".")


def test_unsynced_put_waits_for_nothing(folder: Path, calls: list[tuple[str, str]]) -> None:
    """That is all that `fast` is about; sync_all makes up for it."""
    backend = DiskBackend(folder, synced=False)
    calls.clear()
    backend.put("packs/00000001/00000001", [b"x"])
    assert [name for name, _ in calls] == ["mkdir", "mkdir", "rename"]
    backend.sync_all()


def test_blobs_are_readable_by_their_owner_alone(folder: Path) -> None:
    """Files and folders, whatever the umask."""
    before = os.umask(0)
    try:
        DiskBackend(folder, synced=False).put("packs/1/2", [b"x"])
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_dir()}
    assert modes == {0o700}
    assert stat.S_IMODE((folder / "blobs/packs/1/2").stat().st_mode) == 0o600


def test_folder_is_put_into_after_another_process_emptied_it(folder: Path) -> None:
    """A backend that knows the folder from earlier makes it again."""
    first, second = DiskBackend(folder, synced=True), DiskBackend(folder, synced=True)
    first.put("packs/1/1", [b"x"])
    second.delete("packs/1/1")
    assert not (folder / "blobs/packs").exists()
    first.put("packs/1/2", [b"y"])
    assert [tuple(blob) for blob in second.list("")] == [("packs/1/2", 1)]


def test_key_reaches_no_file_outside_of_the_blobs(folder: Path) -> None:
    """Neither what is being put nor what lies beside the folder."""
    backend = DiskBackend(folder, synced=False)
    (folder / "secret").write_bytes(b"x")
    for key in ("../secret", "a/../../secret", "../partial", str(folder / "secret")):
        for method in (lambda key: backend.get(key, 0, 1), backend.head, backend.delete):
            with pytest.raises(BackendError):
                method(key)
    assert (folder / "secret").read_bytes() == b"x"


def test_foreign_files_among_the_blobs_are_listed(folder: Path) -> None:
    """What somebody else put there is for `check` to tell; it stops nobody."""
    backend = DiskBackend(folder, synced=False)
    backend.put("packs/1/2", [b"x"])
    for name in ("packs/Notes.txt", ".hidden", "lost+found"):
        (folder / "blobs" / name).write_bytes(b"12345")
    assert [tuple(blob) for blob in backend.list("")] == [
        (".hidden", 5),
        ("lost+found", 5),
        ("packs/1/2", 1),
        ("packs/Notes.txt", 5),
    ]
