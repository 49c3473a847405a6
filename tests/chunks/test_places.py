"""Who reads on in one pack finds chunks by the pack's own index, and nothing depends on that being there or right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.backends.disk import DiskBackend
from appliance.chunks import places, rows
from appliance.chunks.pack import Record, pack_key
from appliance.chunks.places import Indexes
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import Damaged
from appliance.upkeep.salvage import Broken, copy_intact, move_rows
from tests.support.content import MIB, OpenStore, keep, noise, read
from tests.support.damage import Damage
from tests.support.databases import on_sqlite
from tests.support.faults import BackendProxy, CountingDatabase

pytestmark = on_sqlite

SIZE = 20 * MIB
CONTENT = noise(SIZE, 7)


def test_long_reading_asks_the_database_a_few_times(
    database: Database, backend: DiskBackend, open_store: OpenStore
) -> None:
    """Not once a mebibyte; the next reading of the same needs no index again."""
    counting = CountingDatabase(database)
    store = open_store(counting, backend)
    head = keep(store, counting, CONTENT)
    counting.reads = 0
    assert read(store, head, 0, SIZE) == CONTENT
    assert counting.reads < 6
    with counting.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM pack")) == 1


def test_raw_chunks_that_lie_as_they_are_wanted_are_one_block(
    database: Database, backend: DiskBackend, open_store: OpenStore
) -> None:
    """A portion of a mebibyte is one block, as it was read; the first two come before the index is looked into."""
    store = open_store(database, backend)
    head = keep(store, database, CONTENT)
    sizes = [len(block) for block in store.read(head, 0, SIZE)]
    assert all(size >= MIB for size in sizes[1:-1])
    assert len(sizes) <= 2 + SIZE // MIB


def test_chunks_that_move_while_somebody_reads_are_found(
    database: Database, backend: DiskBackend, open_store: OpenStore, damage: Damage
) -> None:
    """By the reading that goes on with the old index, which asks for a few of them one by one, and by later ones."""
    counting = CountingDatabase(database)
    store = open_store(counting, backend)
    head = keep(store, counting, CONTENT)
    came = b""
    reading = store.read(head, 0, SIZE)
    while len(came) < SIZE // 2:
        came += bytes(next(reading))
    move(store, database, damage)
    counting.reads = 0
    assert came + b"".join(map(bytes, reading)) == CONTENT
    assert counting.reads < 40
    assert read(store, head, 0, SIZE) == CONTENT


def move(store: ChunkStore, database: Database, damage: Damage) -> None:
    """Everything to another pack; the old one goes."""
    with database.read() as session:
        ((pack_id, writer_id, counter),) = session.rows(Sql("SELECT id, writer_id, counter FROM pack"))
        found = session.rows(Sql('SELECT id, "offset", stored, length, codec, xxh3 FROM chunk ORDER BY "offset"'))
    key = pack_key(writer_id, counter)
    broken = Broken(pack_id, key, [Record._make(row) for row in found])
    with store.writers.write() as write:
        moved = copy_intact(store.backend, store.writers, write, store.identity.store_id, broken)

        def change(session: Session) -> None:
            move_rows(session, write, [moved])

        database.write(change)
    damage.delete(key)


@pytest.mark.parametrize("at", [1, 100], ids=["footer", "index"])
def test_pack_without_a_readable_index_is_read_all_the_same(
    store: ChunkStore, database: Database, damage: Damage, at: int
) -> None:
    """Its rows say where the chunks are."""
    head = keep(store, database, CONTENT)
    (key,) = damage.packs()
    size = store.backend.head(key)
    assert size is not None
    damage.flip(key, size - at)
    assert read(store, head, 0, SIZE) == CONTENT
    assert len(Indexes(store.backend).get(key, size)) == 0


def test_damage_is_found_where_the_index_led(
    database: Database, backend: DiskBackend, open_store: OpenStore, damage: Damage
) -> None:
    """What the index says is verified like what the rows say."""
    counting = CountingDatabase(database)
    store = open_store(counting, backend)
    head = keep(store, counting, CONTENT)
    assert read(store, head, 0, SIZE) == CONTENT
    (key,) = damage.packs()
    damage.flip(key, SIZE // 2)
    counting.reads = 0
    came = b""

    def all_of_it() -> None:
        nonlocal came
        for block in store.read(head, 0, SIZE):
            came += bytes(block)

    with pytest.raises(Damaged):
        all_of_it()
    assert SIZE // 4 < len(came) < SIZE
    assert counting.reads < 8
    assert CONTENT.startswith(came)


@pytest.mark.parametrize("part", [300_000, 3 * MIB])
def test_content_of_several_packs_comes_back(store: ChunkStore, database: Database, part: int) -> None:
    """Parts of three files that were stored at other times, in turn."""
    others = [noise(6 * MIB, seed) for seed in range(3)]
    for content in others:
        keep(store, database, content)
    turns = [content[start : start + part] for start in range(0, 6 * MIB, part) for content in others]
    mixed = b"".join(turns)
    head = keep(store, database, mixed)
    assert read(store, head, 0, len(mixed)) == mixed
    assert read(store, head, 100, len(mixed) - 100) == mixed[100:-100]


def test_few_indexes_are_kept(store: ChunkStore, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ones used last; what is kept is not read again."""

    class Noting(BackendProxy):
        def __init__(self, inner: DiskBackend) -> None:
            super().__init__(inner)
            self.got: list[str] = []

        def get(self, key: str, start: int, length: int) -> bytes:
            self.got.append(key)
            return super().get(key, start, length)

    monkeypatch.setattr(places, "_INDEXES_KEPT", 2)
    for seed in range(3):
        keep(store, database, noise(MIB, seed))
    assert isinstance(store.backend, DiskBackend)
    noting = Noting(store.backend)
    indexes = Indexes(noting)
    packs = list(sizes(database))
    for key, size in packs:
        index = indexes.get(key, size)
        assert len(index) == sum(index.get(chunk_id) is not None for chunk_id in all_ids(database)) > 0
    noting.got.clear()
    assert indexes.get(*packs[2]) is indexes.get(*packs[2])
    assert indexes.get(*packs[1])
    assert noting.got == []
    assert indexes.get(*packs[0])
    assert set(noting.got) == {packs[0][0]}


def test_index_of_very_many_chunks_is_left_alone(
    store: ChunkStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fill the memory; its rows tell as well."""
    monkeypatch.setattr(places, "_MOST_RECORDS", 100)
    head = keep(store, database, CONTENT)
    ((key, size),) = sizes(database)
    assert len(all_ids(database)) > 100
    assert len(Indexes(store.backend).get(key, size)) == 0
    assert read(store, head, 0, SIZE) == CONTENT


def sizes(database: Database) -> Iterator[tuple[str, int]]:
    """Key and size of each pack."""
    with database.read() as session:
        for writer_id, counter, size in session.rows(Sql("SELECT writer_id, counter, size FROM pack ORDER BY id")):
            yield pack_key(writer_id, counter), size


def all_ids(database: Database) -> list[bytes]:
    """Of all chunks, in as many portions as that takes."""
    with database.read() as session:
        ids = [row[0] for row in session.rows(Sql("SELECT id FROM chunk"))]
        assert set(rows.locate(session, ids)) == set(ids)
    return ids
