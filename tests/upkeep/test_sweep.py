"""What a sweep takes away, and what it must never touch."""

from __future__ import annotations

import io
import subprocess
import sys
import threading

import pytest

from appliance import clock
from appliance.backends.disk import DiskBackend
from appliance.backends.memory import MemoryBackend
from appliance.chunks.pack import pack_key
from appliance.errors import BackendError, Unavailable
from appliance.files import write
from appliance.tree import paths
from appliance.upkeep.sweep import KEPT_S, declare_all_dead, sweep
from tests.upkeep.world import KIB, MIB, World, noise


class WrongDigest:
    """A checksum that never matches."""

    def update(self, data: memoryview, /) -> None:
        pass

    def hexdigest(self) -> str:
        return "no"


def leave_behind(world: World, size: int = 20 * KIB, seed: int = 42) -> list[str]:
    """What a writer that died between its put and its rows leaves; returns the keys."""
    writer_id = int(world.one("SELECT MAX(id) FROM writer"))
    key = pack_key(writer_id, 0xFFFF)
    world.backend.put(key, [noise(size, seed)])
    return [key]


def keys(world: World) -> list[str]:
    """All blobs."""
    return [blob.key for blob in world.backend.list("packs/")]


def new_writer(world: World) -> int:
    """Make the world's process store under a writer of its own; returns its id."""
    world.files.chunks.writers.retire()
    world.put("/photos/mark.bin", noise(10 * KIB, 41))
    return int(world.one("SELECT MAX(id) FROM writer"))


def fall_silent(world: World, writer_id: int) -> None:
    """Let the writer's lease run out."""
    world.sql("UPDATE writer SET expires_at = :past WHERE id = :id", past=clock.now() - 1, id=writer_id)


def test_sweep_of_an_intact_world_takes_nothing(world: World) -> None:
    """Living writers, packs with rows and locks that hold stay."""
    before = keys(world)
    assert sweep(world.database, world.backend) == (0, 0, 0, 0, 0, 0, 0)
    assert keys(world) == before
    assert world.check().notes == []


def test_sweep_after_a_writer_fell_silent_takes_what_it_left(world: World) -> None:
    """Its rowless blobs go; what its rows name stays, and so does the writer's row for a while."""
    writer_id = new_writer(world)
    (left,) = leave_behind(world)
    size = world.blob(left).stat().st_size
    fall_silent(world, writer_id)
    swept = sweep(world.database, world.backend)
    assert (swept.declared, swept.blobs, swept.bytes, swept.failed) == (1, 1, size, 0)
    assert left not in keys(world)
    assert pack_key(writer_id, 1) in keys(world)
    assert world.rows("SELECT state FROM writer WHERE id = :id", id=writer_id) == [("dead",)]
    assert world.check().clean


def test_sweep_with_a_living_writer_leaves_its_blobs(world: World) -> None:
    """Nobody can tell a broken-off write from one whose rows are about to come."""
    new_writer(world)
    (left,) = leave_behind(world)
    assert sweep(world.database, world.backend).blobs == 0
    assert left in keys(world)
    (note,) = (note for note in world.check().notes if left in note)
    assert "is alive" in note


def test_sweep_during_a_slow_write_leaves_it_whole(world: World) -> None:
    """A pack is stored, the body still comes, for longer than any grace: the write ends well."""
    writer_id = new_writer(world)
    content = noise(40 * MIB, 42)
    stored, go_on = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        """Stops short of the end until it is told to go on."""

        def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
            if self.tell() > 36 * MIB and not go_on.is_set():
                stored.set()
                go_on.wait(30)
            return super().readinto(buffer)

    def put() -> None:
        anna, path = world.people["anna"], paths.parse("photos/slow.bin")
        write.put_file(world.files, anna, path, Slow(content), length=len(content))

    thread = threading.Thread(target=put)
    thread.start()
    assert stored.wait(30)
    assert sweep(world.database, world.backend)[:3] == (0, 0, 0)
    go_on.set()
    thread.join()
    report = world.check()
    assert report.findings == []
    assert [row[0] for row in world.rows("SELECT state FROM writer WHERE id = :id", id=writer_id)] == ["alive"]
    assert world.one("SELECT COUNT(*) FROM node WHERE name = 'slow.bin'") == 1


def test_sweep_while_a_silent_writer_still_writes_makes_its_commit_fail(world: World) -> None:
    """The blobs of a writer declared dead go, and it can commit nothing that would name them."""
    writer_id = new_writer(world)

    class Declared(io.BytesIO):
        """While the body comes, the writer is declared dead and swept."""

        def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
            if self.tell() > 100 * KIB:
                fall_silent(world, writer_id)
                sweep(world.database, world.backend)
            return super().readinto(buffer)

    anna, path = world.people["anna"], paths.parse("photos/late.bin")
    with pytest.raises(Unavailable):
        write.put_file(world.files, anna, path, Declared(noise(300 * KIB, 43)), length=None)
    assert world.check().clean
    # The blob came after the sweep; the next one takes it, since a dead writer stays known for a day.
    assert sweep(world.database, world.backend).blobs == 1
    assert [note for note in world.check().notes if "packs/" in note] == []


def test_sweep_forgets_a_writer_a_day_after_its_death(world: World) -> None:
    """Until then a process that was asleep may still finish a put."""
    writer_id = new_writer(world)
    world.files.chunks.writers.retire()
    assert sweep(world.database, world.backend).forgotten == 0
    long_ago = clock.now() - (KEPT_S + 1) * clock.SECOND
    world.sql("UPDATE writer SET expires_at = :at WHERE id = :id", at=long_ago, id=writer_id)
    assert sweep(world.database, world.backend).forgotten == 1
    assert world.rows("SELECT 1 FROM writer WHERE id = :id", id=writer_id) == []
    assert pack_key(writer_id, 1) in keys(world)
    assert world.check().clean


def test_sweep_counts_the_day_from_the_death_that_it_declares(world: World) -> None:
    """A machine that slept for a week wakes up with leases long over, and writers that do not know it."""
    writer_id = new_writer(world)
    world.sql("UPDATE writer SET expires_at = 1 WHERE id = :id", id=writer_id)
    swept = sweep(world.database, world.backend)
    assert swept.declared == 1
    assert swept.forgotten == 0
    assert sweep(world.database, world.backend).forgotten == 0


def test_sweep_leaves_blobs_of_unknown_writers_and_what_is_no_pack(world: World) -> None:
    """With a restored database they may be all that is left of newer files."""
    stay = ["packs/00000abc/00000001", "packs/00000001/odd", "other"]
    for key in stay:
        world.backend.put(key, [b"x"])
    declare_all_dead(world.database)
    assert sweep(world.database, world.backend).blobs == 0
    assert all(world.backend.head(key) == 1 for key in stay)
    assert len([note for note in world.check().notes if "left alone" in note]) == 2


def test_sweep_with_very_many_leftovers_takes_all(world: World) -> None:
    """More than one statement can look up."""
    writer_id = new_writer(world)
    known = keys(world)
    for counter in range(1000, 2100):
        world.backend.put(pack_key(writer_id, counter), [b"x"])
    declare_all_dead(world.database)
    assert sweep(world.database, world.backend).blobs == 1100
    assert keys(world) == known


def test_sweep_drops_expired_locks_only(world: World) -> None:
    """Those that hold stay."""
    world.sql("UPDATE lock SET expires_at = 1 WHERE scope = 'shared'")
    assert sweep(world.database, world.backend).locks == 1
    assert world.one("SELECT COUNT(*) FROM lock") == 2


def test_sweep_removes_files_of_interrupted_puts(world: World) -> None:
    """Of processes that are gone; this one's may still be written."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    partial = world.folder / "partial"
    (partial / f"{ended.pid}-0").write_bytes(b"x")
    (partial / f"{1}-0").write_bytes(b"x")
    assert sweep(world.database, world.backend).partial == 1
    assert [path.name for path in partial.iterdir()] == ["1-0"]


def test_sweep_works_over_any_backend(world: World) -> None:
    """Only a disk has files of interrupted puts."""
    assert sweep(world.database, MemoryBackend()).partial == 0


class Stubborn(DiskBackend):
    """Blobs whose key ends with 1 cannot be deleted."""

    def delete(self, key: str) -> None:
        if key.endswith("1"):
            raise BackendError(key=key, reason="permission denied")
        super().delete(key)


def test_sweep_with_a_blob_that_cannot_be_deleted_goes_on_and_keeps_the_writer(world: World) -> None:
    """The others go, the locks go, and the next sweep tries again."""
    writer_id = new_writer(world)
    for counter in range(0x100, 0x104):
        world.backend.put(pack_key(writer_id, counter), [b"x"])
    world.sql("UPDATE writer SET state = 'dead', expires_at = 1 WHERE id = :id", id=writer_id)
    world.sql("UPDATE lock SET expires_at = 1")
    swept = sweep(world.database, Stubborn(world.folder, synced=False))
    assert (swept.blobs, swept.failed, swept.locks, swept.forgotten) == (3, 1, 3, 0)
    again = sweep(world.database, world.backend)
    assert (again.blobs, again.failed, again.forgotten) == (1, 0, 1)


def test_declare_all_dead_ends_every_lease(world: World) -> None:
    """What they left is swept from then on, and whoever still runs can commit nothing."""
    new_writer(world)
    (left,) = leave_behind(world)
    assert declare_all_dead(world.database) == world.one("SELECT COUNT(*) FROM writer")
    assert declare_all_dead(world.database) == 0
    assert sweep(world.database, world.backend).blobs == 1
    assert left not in keys(world)
    with pytest.raises(Unavailable):
        world.put("/photos/later.bin", noise(10 * KIB, 44))
    assert world.check().clean
