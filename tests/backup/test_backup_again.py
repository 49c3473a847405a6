"""The second backup and those after it: only what is new, and no more snapshots than are wanted."""

from __future__ import annotations

import os

import pytest

from appliance.accounts import users
from tests.backup.places import Place, restore_to, started
from tests.data_folders.inventory import inventory
from tests.files.person import Person
from tests.files.pruning import prune_ripe
from tests.support.content import noise
from tests.support.databases import on_sqlite


def size_of(place: Place) -> int:
    """Everything in the backup folder."""
    return sum(path.stat().st_size for path in place.backup.rglob("*") if path.is_file())


def packs_of(place: Place) -> dict[str, bytes]:
    """Every pack of the store."""
    backend = place.files.chunks.backend
    return {blob.key: backend.get(blob.key, 0, blob.size) for blob in backend.list("packs/")}


def test_backup_of_an_unchanged_store_copies_next_to_nothing(place: Place) -> None:
    """Under one per cent of the bytes; here not even a row."""
    first = place.take()
    before = size_of(place)
    assert first.copied_bytes > before // 2
    second = place.take()
    assert second.copied_bytes < before / 100
    assert size_of(place) - before < before / 100
    assert second.snapshots == 2
    place.require_clean_backup()


def test_backup_of_a_changed_store_copies_what_changed(place: Place, anna: Person) -> None:
    """A new file, and the rows around it."""
    place.take()
    anna.put("/docs/new", noise(200_000, seed=5))
    assert 200_000 < place.take().copied_bytes < 220_000


@on_sqlite
def test_only_the_last_snapshots_stay_with_what_they_need(place: Place) -> None:
    """What a purged user left goes with the last snapshot that has it."""
    gone = Person.new(place.files, "gone")
    gone.put("/unlike any other", noise(300_000, seed=77))
    place.take(keep=2)
    users.purge_user(place.files.database, gone.user)
    assert prune_ripe(Person.of(place.files, "ben")).blobs > 0
    assert place.take(keep=2).removed_bytes == 0
    third = place.take(keep=2)
    assert third.removed_bytes > 300_000
    assert third.snapshots == 2
    place.require_clean_backup()


@on_sqlite
def test_each_snapshot_can_be_restored(place: Place, anna: Person) -> None:
    """Also an earlier one, by its number."""
    inventories = []
    for number in range(1, 4):
        anna.put(f"/file {number}", noise(30_000, seed=number))
        anna.put("/docs/report.txt", noise(5_000, seed=100 + number))
        inventories.append(place.inventory())
        assert place.take().snapshot.number == number
    for number, before in enumerate(inventories, 1):
        place.restore(f"restored {number}", number=number)
        with started(place.scratch / f"restored {number}") as appliance:
            assert inventory(appliance) == before


@on_sqlite
def test_histories_that_part_do_not_mix_in_one_folder(place: Place, anna: Person) -> None:
    """A restored store numbers its packs as the one that it comes from did; both may be backed up to the same place."""
    place.take()
    place.restore()
    with started(place.scratch / "restored") as appliance:
        other = Place(appliance.files, place.scratch)
        place.files.chunks.writers.retire()
        # This process has counted its packs since the store was made, the other one begins anew.
        for number in range(12):
            anna.put(f"/here {number}", noise(10_000, seed=10 + number))
            Person.of(other.files, "anna").put(f"/there {number}", noise(10_000, seed=50 + number))
        inventories = [place.inventory(), other.inventory()]
        packs = [packs_of(place), packs_of(other)]
        alike = [key for key in packs[0].keys() & packs[1].keys() if len(packs[0][key]) == len(packs[1][key])]
        assert any(packs[0][key] != packs[1][key] for key in alike), "this test needs packs alike in name and size"
        place.take()
        other.take()
    place.require_clean_backup()
    for number, before in zip((2, 3), inventories, strict=True):
        restore_to(place.backup, place.scratch / f"of {number}", number=number)
        with started(place.scratch / f"of {number}") as restored:
            assert inventory(restored) == before


@on_sqlite
def test_what_a_cut_off_backup_left_is_used_or_removed(
    place: Place, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole blobs are there for the next one; what it does not need goes before it asks for room."""
    place.take()
    anna.put("/new", noise(400_000, seed=8))
    with monkeypatch.context() as cut:
        cut.setattr("appliance.backup.folder.BackupFolder.publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            place.attempt()
    useless = place.backup / "blobs" / "packs" / "0000beef" / "00000001-1"
    useless.parent.mkdir()
    useless.write_bytes(bytes(1000))
    (place.backup / "partial" / "1-1").write_bytes(bytes(1000))
    again = place.take()
    assert again.copied_bytes < 20_000
    assert again.removed_bytes == 1000
    assert os.listdir(place.backup / "partial") == []
    place.require_clean_backup()
