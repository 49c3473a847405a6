"""Folders that are no place for a backup, and data folders that nothing can be restored into."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.backup import examine, folder
from appliance.chunks import identity
from appliance.errors import BackupFailed, BackupRefused, DataFolderBusy
from appliance.serve.folder import hold_folder
from tests.backup.places import Place, restore_to
from tests.support.databases import on_sqlite
from tests.support.mounts import MIB, fill, tmpfs

pytestmark = on_sqlite


@contextmanager
def refused(path: Path, match: str) -> Iterator[None]:
    """In one line that says why, and with nothing changed below ``path``."""
    before = sorted(path.rglob("*")) if path.exists() else None
    with pytest.raises((BackupRefused, BackupFailed), match=match) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert (sorted(path.rglob("*")) if path.exists() else None) == before


def test_folder_of_another_store_is_refused(place: Place) -> None:
    """Its blobs would be taken for this one's."""
    place.take()
    mark = place.backup / "blobs" / "backup"
    mark.write_text(json.dumps({"format": 1, "store": "0" * 32}))
    with refused(place.backup, "is a backup of store 0000"):
        place.attempt()


def test_folder_of_a_newer_program_is_refused(place: Place) -> None:
    """For reading and for writing."""
    place.take()
    mark = place.backup / "blobs" / "backup"
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "format": 2}))
    for attempt in (place.attempt, lambda: examine.examine(place.backup)):
        with refused(place.backup, "newer Holdfast"):
            attempt()


def test_folder_with_other_things_is_refused(place: Place) -> None:
    """A home, a data folder; what file systems and desktops put there is no reason."""
    for name in (".Trash-0", "lost+found"):
        (place.backup / name).mkdir(parents=True)
    place.take()
    other = place.scratch / "other"
    other.mkdir()
    (other / "letters").mkdir()
    with refused(other, r"not empty \(letters\)"):
        place.attempt(other)


def test_folder_with_blobs_and_no_mark_is_refused(place: Place) -> None:
    """Nobody knows whose they are. What a first run left that was killed before it set the mark is no reason."""
    (place.backup / "blobs" / "packs").mkdir(parents=True)
    with refused(place.backup, "not empty"):
        place.attempt()
    (place.backup / "blobs" / "packs").rmdir()
    (place.backup / "partial").mkdir()
    place.take()


def test_folder_below_one_that_does_not_exist_is_refused(place: Place) -> None:
    """A disk that is not mounted."""
    with refused(place.scratch, "the folder above does not exist"):
        place.attempt(place.scratch / "usb" / "backup")


def test_folder_that_is_a_file_is_refused(place: Place) -> None:
    """And stays one."""
    (place.scratch / "file").write_text("x")
    with refused(place.scratch, "is no folder"):
        place.attempt(place.scratch / "file")
    with refused(place.scratch, "is no backup"):
        examine.examine(place.scratch / "file")


def test_two_backups_do_not_write_into_one_folder(place: Place) -> None:
    """Nor does anybody read what is just being written."""
    place.take()
    with folder.written(place.backup, place.files.chunks.identity.store_id):
        with refused(place.backup, "used by another backup just now"):
            place.attempt()
        with refused(place.backup, "used by another backup just now"):
            place.restore()


def test_folder_that_cannot_be_written_is_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever restores may have it on a disk that is mounted for reading, or a copy without the lock."""
    place.take()
    (place.backup / "lock").unlink()
    monkeypatch.setattr(os, "mkdir", lambda *_, **__: pytest.fail("something was made"))
    assert examine.examine(place.backup).problems == []
    assert not (place.backup / "lock").exists()


def test_full_folder_is_told_before_anything_is_copied(place: Place) -> None:
    """With what is needed; nothing was written but the mark."""
    with tmpfs(place.scratch / "disk", MIB) as disk:
        with pytest.raises(BackupFailed, match=r"has 1\.\d+ MB free, and 3\.\d+ MB are to be copied"):
            place.attempt(disk)
        assert {path.name for path in (disk / "blobs").iterdir()} == {"backup"}


def test_folder_that_gets_full_keeps_its_last_snapshot(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fills it; with room again the next run is whole."""
    place.take()
    with tmpfs(place.scratch / "disk", 8 * MIB) as disk:
        small = place.attempt(disk)
        monkeypatch.setattr("appliance.backup.take.free_bytes", lambda path: None)
        fill(disk / ".filler")
        from_then = [path for path in disk.rglob("*") if path.is_file()]
        place.files.chunks.writers.retire()
        with pytest.raises(BackupFailed, match="has no room left"):
            place.attempt(disk, keep=1)
        assert all(path.exists() for path in from_then)
        found = examine.examine(disk)
        assert [each.number for each in found.snapshots] == [small.snapshot.number]
        assert found.problems == []
        (disk / ".filler").unlink()
        assert place.attempt(disk).problems == []
        assert len(examine.examine(disk).snapshots) == 2


def test_restore_is_refused_where_a_store_is_or_a_server_runs(place: Place, folder: Path) -> None:
    """It would be replaced."""
    place.take()
    (folder / "server.lock").touch()
    with refused(folder, "holds a store"):
        restore_to(place.backup, folder)
    claim = hold_folder(place.scratch / "served")
    with pytest.raises(DataFolderBusy):
        place.restore("served")
    os.close(claim)


def test_restore_is_refused_beside_blobs_of_another_store(place: Place) -> None:
    """Or of nobody knows whose."""
    place.take()
    target = place.scratch / "restored"
    (target / "blobs" / "packs").mkdir(parents=True)
    (target / "blobs" / "packs" / "something").write_bytes(b"x")
    (target / "server.lock").touch()
    with refused(target, "none of them tells of which store"):
        place.restore()
    (target / "blobs" / identity.KEY).write_text(
        json.dumps({"store": "0" * 32, "incarnation": "00000000", "chunking": "fastcdc:1:1:1:1"})
    )
    with refused(target, "holds blobs of store 0000"):
        place.restore()


def test_restore_of_what_is_not_there_is_refused(place: Place) -> None:
    """No backup, none that came to its end, none of this number."""
    with refused(place.scratch / "none", "is no backup"):
        place.restore()
    place.take()
    with refused(place.backup, "has no snapshot 7; there are 1"):
        place.restore(number=7)
    (place.backup / "blobs" / "snapshots" / "00000001").unlink()
    with refused(place.backup, "has no snapshot"):
        place.restore()


def test_restore_onto_a_disk_that_is_too_small_is_told_before_it_begins(place: Place) -> None:
    """With what is needed."""
    place.take()
    needed = r"free, and 3\.\d+ MB are needed"
    with tmpfs(place.scratch / "disk", MIB) as disk, pytest.raises(BackupRefused, match=needed):
        restore_to(place.backup, disk)
