"""``check`` between rows and blobs: each test damages one blob, or lets it vanish at an awkward moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from appliance.backends.base import Blob
from appliance.backends.disk import DiskBackend
from appliance.chunks.pack import pack_key
from appliance.errors import BackendError
from appliance.upkeep import check_data
from appliance.upkeep.check import check
from appliance.upkeep.check_report import Progress
from tests.upkeep.world import MIB, World, noise


class Stored(NamedTuple):
    """A pack of the world: its row and its blob's file."""

    id: int
    key: str
    size: int
    path: Path


def film_pack(world: World) -> Stored:
    """The pack of several mebibytes, all of whose records have rows."""
    pack_id, writer_id, counter, size = world.rows(
        "SELECT id, writer_id, counter, size FROM pack ORDER BY size DESC LIMIT 1"
    )[0]
    key = pack_key(writer_id, counter)
    return Stored(pack_id, key, size, world.blob(key))


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Change one bit of a blob."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def kinds(world: World, *, read_data: bool) -> list[str]:
    """The kinds of all findings."""
    return [finding.kind for finding in world.check(read_data=read_data).findings]


def first_chunk(world: World, stored: Stored) -> tuple[bytes, int, int]:
    """(id, offset, stored bytes) of the chunk that lies first in a pack."""
    select = 'SELECT id, "offset", stored FROM chunk WHERE pack_id = :pack ORDER BY "offset" LIMIT 1'
    found: tuple[bytes, int, int] = world.rows(select, pack=stored.id)[0]
    return found


def test_check_with_a_lost_blob_finds_the_pack(world: World) -> None:
    """No reading is needed for that, and reading adds no second finding."""
    stored = film_pack(world)
    stored.path.unlink()
    for read_data in (False, True):
        (finding,) = world.check(read_data=read_data).findings
        assert finding.kind == "pack-missing"
        assert finding.where == f"pack {stored.id} ({stored.key})"


@pytest.mark.parametrize("cut", [1, 100, 2 * MIB])
def test_check_with_a_truncated_blob_finds_its_size_and_in_reading_the_lost_chunks(world: World, cut: int) -> None:
    """Its index is gone with its end; the chunks are looked at where their rows say they are."""
    stored = film_pack(world)
    with stored.path.open("r+b") as blob:
        blob.truncate(stored.size - cut)
    assert kinds(world, read_data=False) == ["pack-size"]
    lost = world.one(
        'SELECT COUNT(*) FROM chunk WHERE pack_id = :pack AND "offset" + stored > :end',
        pack=stored.id,
        end=stored.size - cut,
    )
    assert kinds(world, read_data=True) == ["pack-size"] + ["chunk-damaged"] * lost
    assert bool(lost) is (cut == 2 * MIB)


def test_check_with_a_longer_blob_finds_its_size(world: World) -> None:
    """Nothing may be appended to a blob either."""
    stored = film_pack(world)
    with stored.path.open("ab") as blob:
        blob.write(b"x")
    assert kinds(world, read_data=True) == ["pack-size"]


def test_check_with_a_damaged_chunk_finds_it_in_reading_only(world: World) -> None:
    """One bit of one chunk is one finding, which names the chunk; all others are verified all the same."""
    stored = film_pack(world)
    chunk_id, offset, size = first_chunk(world, stored)
    flip(stored.path, offset + size // 2, 3)
    assert kinds(world, read_data=False) == []
    report = world.check()
    assert [finding.kind for finding in report.findings] == ["chunk-damaged"]
    assert report.findings[0].where == f"chunk {chunk_id.hex()} in pack {stored.id} ({stored.key})"
    assert report.counts["bytes read"] == world.one("SELECT SUM(size) FROM pack")


@pytest.mark.parametrize("offset", [0, 4, 5, 6, 8, 12, 28, 31])
def test_check_with_a_damaged_header_finds_the_frame(world: World, offset: int) -> None:
    """Every byte of the header counts, also those that nothing reads yet."""
    flip(film_pack(world).path, offset)
    assert kinds(world, read_data=True) == ["pack-frame"]


@pytest.mark.parametrize("from_end", [1, 5, 9, 17, 25, 32, 33, 60, 1000])
def test_check_with_a_damaged_index_finds_the_frame(world: World, from_end: int) -> None:
    """The chunks themselves are intact, and are not called damaged."""
    stored = film_pack(world)
    flip(stored.path, stored.size - from_end)
    assert kinds(world, read_data=True) == ["pack-frame"]


def test_check_reading_notices_any_flipped_bit(world: World) -> None:
    """There is no byte in a pack that may change unseen."""
    stored = film_pack(world)
    chance = random.Random(1)
    for _ in range(12):
        offset, bit = chance.randrange(stored.size), chance.randrange(8)
        flip(stored.path, offset, bit)
        assert len(kinds(world, read_data=True)) == 1
        flip(stored.path, offset, bit)
    assert kinds(world, read_data=True) == []


@pytest.mark.parametrize("column", ["xxh3", "length", "codec"])
def test_check_with_a_chunk_row_that_contradicts_the_index_finds_row_and_bytes(world: World, column: str) -> None:
    """By such a row the bytes are not what they should be, though the pack is intact."""
    stored = film_pack(world)
    change = "1 - codec" if column == "codec" else f"{column} + 1"
    world.sql(f"UPDATE chunk SET {column} = {change} WHERE id = :id", id=first_chunk(world, stored)[0])
    found = kinds(world, read_data=True)
    assert {"pack-index", "chunk-damaged"} <= set(found)
    assert found.count("pack-index") == found.count("chunk-damaged") == 1


def test_check_with_a_chunk_row_that_points_into_the_wrong_pack_finds_it(world: World) -> None:
    """The index of the pack that the row names does not know the chunk."""
    stored = film_pack(world)
    other = world.one("SELECT id FROM pack WHERE id <> :id ORDER BY size DESC LIMIT 1", id=stored.id)
    chunk_id = first_chunk(world, stored)[0]
    world.sql("UPDATE chunk SET pack_id = :other WHERE id = :id", other=other, id=chunk_id)
    report = world.check()
    assert [finding.kind for finding in report.findings] == ["pack-index", "chunk-damaged"]
    assert all(chunk_id.hex() in finding.where for finding in report.findings)


def test_check_with_more_suspect_packs_than_it_looks_into_says_how_many(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a catastrophe the report is short, and says that it is."""
    monkeypatch.setattr(check_data, "BOUND", 1)
    world.sql("UPDATE chunk SET xxh3 = xxh3 + 1")
    (last,) = [finding for finding in world.check().findings if "more packs" in finding.where]
    packs = world.one("SELECT COUNT(DISTINCT pack_id) FROM chunk")
    assert (last.kind, last.where) == ("pack-index", f"{packs - 1} more packs")


def test_check_while_prune_takes_chunks_does_not_call_their_packs_damaged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack that lost rows since the snapshot agrees with those that are left, however many packs that are."""
    monkeypatch.setattr(check_data, "BOUND", 1)
    world.sql("UPDATE version SET manifest = x'45', size = 0")
    rows_of = check_data._Reading._compare
    lost: list[int] = []

    def after_prune(self: Any, examined: Any, where: str) -> None:
        if not lost:
            lost.append(world.sql("DELETE FROM chunk WHERE id IN (SELECT MIN(id) FROM chunk GROUP BY pack_id)"))
        rows_of(self, examined, where)

    monkeypatch.setattr(check_data._Reading, "_compare", after_prune)
    kinds_found = kinds(world, read_data=True)
    assert lost[0] > 2
    assert not {"pack-index", "chunk-damaged"} & set(kinds_found)


def test_check_with_damage_in_bytes_no_row_uses_tells_it_apart(world: World) -> None:
    """A disk that forgets is worth a note; no content has suffered, and so it is after damage was healed."""
    stored = film_pack(world)
    chunk_id, offset, _ = first_chunk(world, stored)
    # As if another process had stored the same chunk first: the row points elsewhere, the record stays behind.
    world.sql("UPDATE version SET manifest = x'45', size = 0")
    world.sql("UPDATE node SET bytes = 0")
    world.sql("INSERT INTO garbage (epoch) SELECT prune_epoch FROM store")
    world.sql("DELETE FROM chunk WHERE id = :id", id=chunk_id)
    assert kinds(world, read_data=True) == []
    flip(stored.path, offset)
    report = world.check()
    assert report.clean
    (note,) = report.notes
    assert f"pack {stored.id} ({stored.key}) is damaged in a part that no row uses: {chunk_id.hex()}" in note


def test_check_with_a_pack_of_another_store_finds_the_frame(world: World) -> None:
    """A blob of right size from a neighbour's store is no substitute."""
    stored = film_pack(world)
    flip(stored.path, 15)
    (finding,) = world.check().findings
    assert finding.kind == "pack-frame"
    assert "another store" in finding.what


def remove_store_blob(world: World) -> None:
    """The blob is gone."""
    world.blob("store").unlink()


def garble_store_blob(world: World) -> None:
    """The blob is no JSON."""
    world.blob("store").write_bytes(b"\xff{")


def empty_store_blob(world: World) -> None:
    """The blob is JSON, and says nothing."""
    world.blob("store").write_bytes(b"[]")


def rename_store(world: World) -> None:
    """The blob names another store."""
    blob = world.blob("store")
    blob.write_bytes(blob.read_bytes().replace(b'"store": "', b'"store": "x'))


@pytest.mark.parametrize("damage", [remove_store_blob, garble_store_blob, empty_store_blob, rename_store])
def test_check_with_a_wrong_store_blob_finds_it(world: World, damage: Callable[[World], None]) -> None:
    """It says whose blobs these are."""
    damage(world)
    assert kinds(world, read_data=False) == ["store-blob"]


def test_check_with_blobs_no_row_names_notes_them_by_writer(world: World) -> None:
    """They may be needed by a write under way; nothing is wrong with the content."""
    world.sql(
        "INSERT INTO writer (id, host, pid, epoch, expires_at, state, started_at) VALUES (7, '', 1, 1, 1, 'dead', 1)"
    )
    for key in ("packs/00000001/00000fff", "packs/00000007/00000001", "packs/00000abc/00000001", "packs/1/2", "lost"):
        world.backend.put(key, [b"x" * 10])
    report = world.check()
    assert report.clean
    alive, dead, unknown, foreign = report.notes
    assert "writer 1 is alive" in alive
    assert "1 blob(s), 10 bytes, the first is packs/00000001/00000fff" in alive
    assert "writer 7 is dead" in dead
    assert "writer 2748 is unknown" in unknown
    assert "left alone" in unknown
    assert "2 blob(s), 20 bytes, the first is lost" in foreign


def test_check_with_expired_locks_notes_them(world: World) -> None:
    """They are swept some time; until then they are ignored everywhere."""
    world.sql("UPDATE lock SET expires_at = 1")
    report = world.check()
    assert report.clean
    assert report.notes == ["3 expired lock(s) wait for the sweep"]


class Vanishing(DiskBackend):
    """A pack that is taken away at the moment when somebody looks for its blob, with its rows before it or without."""

    def __init__(self, world: World, stored: Stored, *, in_reading: bool, with_rows: bool) -> None:
        super().__init__(world.folder, synced=False)
        self._world = world
        self._stored = stored
        self._in_reading = in_reading
        self._with_rows = with_rows

    def list(self, prefix: str) -> Iterator[Blob]:
        # If it is to vanish before it is read, it has not been seen in the list either.
        return (blob for blob in self._world.backend.list(prefix) if self._in_reading or blob.key != self._stored.key)

    def head(self, key: str) -> int | None:
        if not self._in_reading:
            self._vanish(key)
        return super().head(key)

    def get(self, key: str, start: int, length: int) -> bytes:
        if self._in_reading:
            self._vanish(key)
        return super().get(key, start, length)

    def _vanish(self, key: str) -> None:
        if key == self._stored.key and self._stored.path.exists():
            if self._with_rows:
                self._world.sql("DELETE FROM chunk WHERE pack_id = :id", id=self._stored.id)
                self._world.sql("DELETE FROM pack WHERE id = :id", id=self._stored.id)
            self._stored.path.unlink()


@pytest.mark.parametrize("in_reading", [False, True])
@pytest.mark.parametrize("with_rows", [False, True])
def test_check_while_a_blob_vanishes_tells_a_removed_pack_from_a_lost_one(
    world: World, *, in_reading: bool, with_rows: bool
) -> None:
    """What went with its row was removed while the check ran; what went alone is lost."""
    stored = film_pack(world)
    backend = Vanishing(world, stored, in_reading=in_reading, with_rows=with_rows)
    found = check(world.database, backend, read_data=True).findings
    assert not stored.path.exists()
    assert [finding.kind for finding in found] == ([] if with_rows else ["pack-missing"])


@pytest.mark.parametrize("stop", ["rows", "blobs"])
def test_check_with_a_pack_stored_meanwhile_is_clean(world: World, stop: str) -> None:
    """Rows that were committed after the snapshot, and their blobs, are neither lost nor left over."""

    def put(progress: Progress) -> None:
        if progress.step == stop and progress.done == 0:
            world.put(f"/photos/{stop}.bin", noise(MIB, 17))

    report = check(world.database, world.backend, read_data=True, progress=put)
    assert report.clean
    assert report.notes == []
    assert world.check().counts["packs"] == report.counts["packs"] + 1


class Failing(DiskBackend):
    """A disk with an unreadable place in one blob."""

    def __init__(self, folder: Path, key: str, bad: int) -> None:
        super().__init__(folder, synced=False)
        self._key = key
        self._bad = bad

    def get(self, key: str, start: int, length: int) -> bytes:
        if key == self._key and start <= self._bad < start + length:
            raise BackendError(key=key, reason="input/output error", temporary=True)
        return super().get(key, start, length)


def test_check_with_an_unreadable_place_names_the_chunk_and_goes_on(world: World) -> None:
    """An error of the disk is a finding like any other; everything that can be read is read."""
    stored = film_pack(world)
    chunk_id, offset, _ = first_chunk(world, stored)
    report = check(world.database, Failing(world.folder, stored.key, offset + 5), read_data=True)
    assert [finding.kind for finding in report.findings] == ["pack-unreadable", "chunk-damaged"]
    assert chunk_id.hex() in report.findings[1].where
    assert report.counts["bytes read"] == world.one("SELECT SUM(size) FROM pack") - stored.size


def test_check_tells_its_progress(world: World) -> None:
    """Each step counts up to its total; reading counts bytes."""
    told: list[Progress] = []
    check(world.database, world.backend, read_data=True, progress=told.append)
    steps = list(dict.fromkeys(each.step for each in told))
    assert steps[-1] == "packs"
    last = [each for each in told if each.step == "packs"][-1]
    assert last.unit == "bytes"
    assert last.done == last.total == world.one("SELECT SUM(size) FROM pack")
    for step in steps:
        done = [each.done for each in told if each.step == step]
        assert done == sorted(done)


def test_check_reads_packs_that_are_larger_than_a_piece(world: World) -> None:
    """A full pack, the one after it, and the manifest's segments."""
    world.put("/photos/long.bin", noise(40 * MIB, 9))
    stored = film_pack(world)
    assert stored.size > 32 * MIB
    assert kinds(world, read_data=True) == []
    flip(stored.path, 20 * MIB)
    assert kinds(world, read_data=True) == ["chunk-damaged"]
