"""Bytes that are lost or have changed: in the store, in the backup folder, and in what a lost database left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.backup import examine
from appliance.errors import BackupFailed, BackupRefused
from appliance.stores import open_store
from appliance.upkeep.check import check
from tests.backup.places import Place, settings_for, started
from tests.data_folders.inventory import inventory
from tests.files.person import Person
from tests.support.content import noise
from tests.support.damage import Damage
from tests.support.databases import on_sqlite

pytestmark = on_sqlite


def largest(folder: Path) -> Path:
    """The largest file below a folder."""
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip(path: Path, at: int = -1) -> None:
    """Change a byte, by default one in the middle."""
    content = bytearray(path.read_bytes())
    content[at if at >= 0 else len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def kinds_of(data: Path) -> set[str]:
    """What check finds in a store."""
    database, backend = open_store(settings_for(data))
    try:
        return {finding.kind for finding in check(database, backend, read_data=True).findings}
    finally:
        database.close()


# -- in the store


def test_pack_that_is_damaged_in_the_store_is_told_and_never_replaces_a_good_copy(
    place: Place, folder: Path, damage: Damage
) -> None:
    """The folder has it from before: the restored store is whole."""
    before = place.inventory()
    place.take()
    flip(largest(folder / "blobs" / "packs"))
    again = place.attempt(keep=1)
    assert again.problems == []
    place.require_clean_backup()
    place.restore()
    with started(place.scratch / "restored") as appliance:
        assert inventory(appliance) == before


def test_pack_that_is_damaged_before_its_first_backup_is_told_each_time(
    place: Place, folder: Path, damage: Damage
) -> None:
    """What is left of it is kept apart; once it is whole again, it is copied."""
    pack = largest(folder / "blobs" / "packs")
    content = pack.read_bytes()
    flip(pack)
    for _ in range(2):
        (problem,) = place.attempt().problems
        assert f"packs/{pack.parent.name}/{pack.name} in the store has 1 damaged chunks" in problem
    found = examine.examine(place.backup)
    assert len(found.problems) == 1
    assert "was not whole in the store" in found.problems[0]
    with pytest.raises(BackupFailed, match="is not whole"):
        place.restore()
    lossy = place.restore(with_losses=True)
    assert len(lossy.problems) == 1
    assert kinds_of(place.scratch / "restored") == {"chunk-damaged"}
    pack.write_bytes(content)
    place.take(keep=1)
    place.require_clean_backup()
    assert not list((place.backup / "blobs" / "spoiled").rglob("*"))


def test_pack_that_is_missing_in_the_store_is_told_and_the_rest_is_backed_up(
    place: Place, folder: Path, damage: Damage
) -> None:
    """With losses accepted, a restore gives everything else."""
    pack = largest(folder / "blobs" / "packs")
    pack.unlink()
    (problem,) = place.attempt().problems
    assert "is missing" in problem
    lossy = place.restore(with_losses=True)
    assert len(lossy.problems) == 1
    assert kinds_of(place.scratch / "restored") == {"pack-missing", "segment-content"}


# -- in the backup folder


Spoil = Callable[[Path], object]
SPOILS: dict[str, tuple[str, Spoil]] = {
    "a byte of a chunk": ("damaged", lambda blobs: flip(largest(blobs / "packs"))),
    "the head of a pack": ("damaged", lambda blobs: flip(largest(blobs / "packs"), 0)),
    "the end of a pack": ("instead of", lambda blobs: largest(blobs / "packs").write_bytes(b"short")),
    "a pack": ("is missing", lambda blobs: largest(blobs / "packs").unlink()),
    "a byte of a row": ("damaged", lambda blobs: flip(largest(blobs / "rows"))),
    "a block of rows": ("damaged", lambda blobs: largest(blobs / "rows").unlink()),
}


@pytest.mark.parametrize("name", SPOILS)
def test_damage_in_the_folder_is_found_told_and_healed(place: Place, name: str) -> None:
    """By reading it; a restore refuses to pretend that nothing is lost; a verifying backup copies it anew."""
    place.take()
    said, spoil = SPOILS[name]
    spoil(place.backup / "blobs")
    (problem,) = examine.examine(place.backup).problems
    assert problem.startswith("snapshot 1: ")
    assert said in problem
    with pytest.raises(BackupFailed):
        place.restore()
    assert not (place.scratch / "restored" / "holdfast.db").exists()
    healed = place.attempt(verify=True, keep=1)
    assert healed.problems == []
    place.require_clean_backup()
    place.restore()
    with started(place.scratch / "restored") as appliance:
        assert inventory(appliance) == place.inventory()


def test_page_that_cannot_be_read_is_told_and_nothing_is_removed(place: Place, anna: Person) -> None:
    """Nobody knows what it needs. An earlier snapshot can be restored."""
    before = place.inventory()
    place.take()
    anna.put("/new", noise(100_000, seed=3))
    place.take()
    flip(place.backup / "blobs" / "snapshots" / "00000002", 50)
    assert "snapshot 2" in str(examine.examine(place.backup).problems)
    with pytest.raises(BackupFailed, match=r"snapshot 2: .*; choose another one with --snapshot: 1"):
        place.restore()
    place.restore(number=1)
    with started(place.scratch / "restored") as appliance:
        assert inventory(appliance) == before
    third = place.attempt()
    assert third.removed_bytes == 0
    assert "snapshot 2 cannot be read" in str(third.problems)
    fourth = place.attempt(keep=1)
    assert fourth.problems == []
    place.require_clean_backup()


# -- beside what a lost database left


@pytest.fixture
def bereft(place: Place, anna: Person) -> Path:
    """A data folder whose database is gone: with all blobs of the backup's moment, and some that are newer."""
    place.take()
    target = place.scratch / "restored"
    place.restore()
    with started(target) as appliance:
        for number in range(2):
            Person.of(appliance.files, "anna").put(f"/newer {number}", noise(60_000, seed=600 + number))
            appliance.chunks.writers.retire()
    (target / "holdfast.db-wal").write_bytes(b"of the lost one")
    (target / "holdfast.db").unlink()
    return target


def test_blobs_that_survived_the_database_stay_and_newer_ones_are_told(place: Place, bereft: Path) -> None:
    """Nothing is copied; what is newer is kept, whatever is cleared away later; the lost one's log is put aside."""
    packs = {path: path.read_bytes() for path in (bereft / "blobs" / "packs").rglob("*") if path.is_file()}
    restored = place.restore()
    assert (restored.copied, restored.newer) == (0, 2)
    assert restored.newer_bytes > 120_000
    assert restored.stayed == restored.snapshot.packs
    assert not (bereft / "holdfast.db-wal").exists()
    assert [path.read_bytes() for path in (bereft / "copies").iterdir()] == [b"of the lost one"]
    with started(bereft) as appliance:
        assert inventory(appliance) == place.inventory()
        Person.of(appliance.files, "anna").put("/again", noise(60_000, seed=9))
    assert {path: path.read_bytes() for path in packs} == packs


def test_surviving_blob_that_is_damaged_is_replaced(place: Place, bereft: Path) -> None:
    """By the copy."""
    flip(largest(bereft / "blobs" / "packs"))
    assert place.restore().copied == 1
    with started(bereft) as appliance:
        assert inventory(appliance) == place.inventory()


def test_surviving_blob_heals_what_is_lost_in_the_backup(place: Place, bereft: Path) -> None:
    """It is whole, and the one that the rows speak of."""
    largest(place.backup / "blobs" / "packs").unlink()
    assert place.restore().problems == []
    with started(bereft) as appliance:
        assert inventory(appliance) == place.inventory()


def test_blobs_of_another_history_are_not_mixed_with_the_backups(place: Place, anna: Person) -> None:
    """A restored store has gone its own way, and given a pack a name that the first one gave to another since."""
    before = place.inventory()
    place.take()
    place.restore(number=1)
    target = place.scratch / "restored"
    with started(target) as appliance:
        # This process has counted its packs since the store was made, the other one begins anew.
        for number in range(10):
            Person.of(appliance.files, "anna").put(f"/there {number}", noise(60_000, seed=1000 + number))
    place.files.chunks.writers.retire()
    anna.put("/here", noise(60_000, seed=2000))
    place.take()
    (target / "holdfast.db").unlink()
    with pytest.raises(BackupRefused, match="another history of this store"):
        place.restore(number=2)
    assert not (target / "holdfast.db").exists()
    assert place.restore(number=1).newer == 10
    with started(target) as appliance:
        assert inventory(appliance) == before
