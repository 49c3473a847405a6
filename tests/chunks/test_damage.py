"""Damaged stores: whatever is wrong is told as Damaged, and wrong bytes never come out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

import pytest

from appliance.backends.disk import DiskBackend
from appliance.chunks import manifest
from appliance.chunks.manifest import Kind
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import Damaged
from tests.support.content import MIB, OpenStore, keep, noise, prose, read
from tests.support.damage import Damage
from tests.support.databases import on_sqlite
from tests.support.faults import BackendProxy

CONTENT = prose(400_000) + noise(2 * MIB) + prose(400_000, seed=2)


def require_damaged(store: ChunkStore, head: bytes, content: bytes) -> None:
    """Reading all of it raises, and what came before that is a beginning of the content."""
    came = b""

    def blocks() -> None:
        nonlocal came
        for block in store.read(head, 0, len(content)):
            came += bytes(block)

    with pytest.raises(Damaged):
        blocks()
    assert content.startswith(came)
    assert len(came) < len(content)


@on_sqlite
def test_any_flipped_byte_of_a_chunk_is_found(store: ChunkStore, database: Database, damage: Damage) -> None:
    """In raw and in compressed chunks; what does not touch it is still read."""
    head = keep(store, database, CONTENT)
    (key,) = damage.packs()
    with database.read() as session:
        chunks = session.rows(Sql('SELECT id, "offset", stored FROM chunk ORDER BY "offset"'))
    place: dict[bytes, tuple[int, int]] = {}
    position = 0
    for entry in manifest_entries(database, head):
        place[entry.id] = (position, position + entry.length)
        position += entry.length
    for chunk_id, offset, stored in chunks[::3]:
        for at in (offset, offset + stored // 2, offset + stored - 1):
            damage.flip(key, at)
            require_damaged(store, head, CONTENT)
            start, end = place[chunk_id]
            assert read(store, head, 0, start) == CONTENT[:start]
            assert read(store, head, end, len(CONTENT)) == CONTENT[end:]
            with pytest.raises(Damaged):
                read(store, head, end - 1, end)
            damage.flip(key, at)
    assert read(store, head, 0, len(CONTENT)) == CONTENT


def manifest_entries(database: Database, head: bytes) -> list[manifest.Entry]:
    """All entries of a manifest."""
    decoded = manifest.decode(head)
    if decoded.kind is not Kind.SEGMENTED:
        return list(decoded.entries)
    with database.read() as session:
        load = Sql("SELECT data FROM segment WHERE sha256 = :sha256")
        data = [bytes(session.value(load, sha256=each.sha256)) for each in decoded.references]
    return [entry for each in data for entry in manifest.decode_entries(each)]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda damage, key: damage.delete(key), id="pack deleted"),
        pytest.param(lambda damage, key: damage.truncate(key, 1_000_000), id="pack cut off"),
        pytest.param(lambda damage, key: damage.truncate(key, 0), id="pack empty"),
        pytest.param(lambda damage, key: damage.sql("DELETE FROM chunk"), id="chunk rows gone"),
        pytest.param(lambda damage, key: damage.sql("DELETE FROM pack"), id="pack row gone"),
        pytest.param(lambda damage, key: damage.sql('UPDATE chunk SET "offset" = "offset" + 1'), id="offset"),
        pytest.param(lambda damage, key: damage.sql('UPDATE chunk SET "offset" = "offset" + 99999999'), id="far"),
        pytest.param(lambda damage, key: damage.sql("UPDATE chunk SET stored = stored - 1"), id="stored"),
        pytest.param(lambda damage, key: damage.sql("UPDATE chunk SET length = length - 1"), id="length"),
        pytest.param(lambda damage, key: damage.sql("UPDATE chunk SET codec = 1 - codec"), id="codec"),
        pytest.param(lambda damage, key: damage.sql("UPDATE chunk SET codec = 7"), id="unknown codec"),
        pytest.param(lambda damage, key: damage.sql("UPDATE chunk SET xxh3 = xxh3 + 1"), id="checksum"),
        pytest.param(lambda damage, key: damage.sql("UPDATE pack SET counter = counter + 1"), id="counter"),
        pytest.param(lambda damage, key: damage.sql("DELETE FROM segment"), id="segment gone"),
    ],
)
def test_store_that_lost_something_never_gives_wrong_bytes(
    store: ChunkStore, database: Database, damage: Damage, spoil: Callable[[Damage, str], object]
) -> None:
    """Blobs and rows that are missing or wrong in any way."""
    head = keep(store, database, CONTENT)
    assert manifest.decode(head).kind is Kind.SEGMENTED
    spoil(damage, damage.packs()[0])
    require_damaged(store, head, CONTENT)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data[36:], id="first entry lost"),
        pytest.param(lambda data: data[:-36], id="last entry lost"),
        pytest.param(lambda data: data[36:72] + data[:36] + data[72:], id="entries swapped"),
        pytest.param(lambda data: data[:-1], id="cut off"),
        pytest.param(lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], id="bit flipped"),
        pytest.param(lambda data: data[:36] * (len(data) // 36), id="one entry all over"),
        pytest.param(lambda data: b"", id="empty"),
    ],
)
def test_wrong_segment_is_damage(
    store: ChunkStore, database: Database, damage: Damage, change: Callable[[bytes], bytes]
) -> None:
    """A list of chunks that exist, but not those of this file, would pass for its content."""
    head = keep(store, database, CONTENT)
    with database.read() as session:
        data = bytes(session.value(Sql("SELECT data FROM segment")))
    assert damage.sql("UPDATE segment SET data = :data", data=change(data)) == 1
    require_damaged(store, head, CONTENT)


@pytest.mark.parametrize("content", [noise(3000), prose(3000)], ids=["raw", "compressed"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param("DELETE FROM small", id="gone"),
        pytest.param("UPDATE small SET length = length + 1", id="length"),
        pytest.param("UPDATE small SET codec = 1 - codec", id="codec"),
        pytest.param("UPDATE small SET codec = 9", id="unknown codec"),
        pytest.param("UPDATE small SET data = :other", id="other data"),
        pytest.param("UPDATE small SET data = :flipped", id="flipped byte"),
    ],
)
def test_wrong_small_content_is_damage(
    store: ChunkStore, database: Database, damage: Damage, content: bytes, spoil: str
) -> None:
    """Rows have no checksum but the content's own."""
    head = keep(store, database, content)
    with database.read() as session:
        data = bytearray(session.value(Sql("SELECT data FROM small")))
    data[len(data) // 2] ^= 1
    damage.sql(spoil, other=noise(3000, seed=5), flipped=bytes(data))
    with pytest.raises(Damaged):
        read(store, head, 0, len(content))
    with pytest.raises(Damaged):
        read(store, head, 5, 10)


@on_sqlite
def test_wrong_manifest_is_damage(store: ChunkStore, database: Database, damage: Damage) -> None:
    """Of any kind: cut off, or naming what does not exist."""
    for content in (noise(100), noise(50_000), CONTENT):
        head = keep(store, database, content)
        # The first entry's name, and the lowest and highest byte of its length.
        flipped = [head[:at] + bytes([head[at] ^ 1]) + head[at + 1 :] for at in (1, 33, 36)]
        for wrong in (b"", head[:-1], b"X" + head[1:], *flipped):
            with pytest.raises(Damaged):
                read(store, wrong, 0, len(content))


@on_sqlite
def test_range_beyond_the_end_of_the_content_is_damage(store: ChunkStore, database: Database) -> None:
    """Whoever asks for it knows another size from the version: a body cut short must not pass for the whole."""
    for content in (b"", noise(100), noise(50_000), CONTENT):
        head = keep(store, database, content)
        with pytest.raises(Damaged):
            read(store, head, 0, len(content) + 1)


class _Moving(BackendProxy):
    """Runs ``move`` in the midst of the first get of a pack, as if another process did it just then."""

    def __init__(self, inner: DiskBackend, move: Callable[[], None]) -> None:
        super().__init__(inner)
        self._move = move
        self._once = threading.Lock()

    def get(self, key: str, start: int, length: int) -> bytes:
        if key.startswith("packs/") and self._once.acquire(blocking=False):
            self._move()
        return super().get(key, start, length)


@pytest.mark.parametrize("start, end", [(0, len(CONTENT)), (1_000_000, 1_000_500)])
def test_chunk_that_moves_while_it_is_read_is_found_again(
    store: ChunkStore,
    database: Database,
    backend: DiskBackend,
    open_store: OpenStore,
    damage: Damage,
    start: int,
    end: int,
) -> None:
    """Packs are rewritten while files are read: the rows point elsewhere, the old pack is gone."""
    head = keep(store, database, CONTENT)
    (key,) = damage.packs()

    def move() -> None:
        size = backend.head(key)
        assert size is not None
        # The same records behind a longer front.
        backend.put("packs/0000ffff/00000001", [bytes(1000), backend.get(key, 0, size)])
        damage.sql("UPDATE pack SET writer_id = 65535, counter = 1")
        damage.sql('UPDATE chunk SET "offset" = "offset" + 1000')
        backend.delete(key)

    reader = open_store(database, _Moving(backend, move))
    assert read(reader, head, start, end) == CONTENT[start:end]
    assert not damage.packs()[0].endswith(key)


@on_sqlite
def test_damage_heals_nothing_by_being_read(store: ChunkStore, database: Database, damage: Damage) -> None:
    """A read changes no row: what is damaged stays so until it is repaired."""
    head = keep(store, database, CONTENT)
    damage.flip(damage.packs()[0], 5000)
    for _ in range(3):
        require_damaged(store, head, CONTENT)


@on_sqlite
def test_ids_are_the_sha256_of_the_plain_bytes(store: ChunkStore, database: Database) -> None:
    """What scrub compares, and what any client can compute."""
    head = keep(store, database, CONTENT)
    position = 0
    for entry in manifest_entries(database, head):
        assert entry.id == hashlib.sha256(CONTENT[position : position + entry.length]).digest()
        position += entry.length
    small = keep(store, database, b"abc")
    assert manifest.decode(small).entries[0].id == hashlib.sha256(b"abc").digest()
