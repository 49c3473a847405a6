"""Content in, manifest out, content back: every size around every border, any range, any way it arrives."""

from __future__ import annotations

import hashlib

import pytest

from appliance.chunks import codec, manifest, packing
from appliance.chunks.group import GROUP
from appliance.chunks.manifest import Kind
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Sql
from tests.support.content import MIB, Body, Unwatched, keep, noise, prose, ranges, read
from tests.support.databases import on_sqlite
from tests.support.faults import busy_threads, in_threads

INLINE = 4096
BORDERS = [
    *(1, 2, 100),
    *(INLINE - 1, INLINE, INLINE + 1),
    *(16_383, 16_384, 16_385),
    *(262_143, 262_144, 262_145),
    *(GROUP - 1, GROUP, GROUP + 1),
    *(2 * GROUP - 1, 2 * GROUP, 2 * GROUP + 1),
    5 * GROUP,
    7 * GROUP + 12_345,
]


def require_back(store: ChunkStore, head: bytes, content: bytes, count: int) -> None:
    """The whole and random ranges are what was stored."""
    assert manifest.decode(head).size == len(content)
    for start, end in ranges(len(content), count):
        assert read(store, head, start, end) == content[start:end], (start, end)


@pytest.mark.parametrize("size", BORDERS)
def test_content_of_any_size_comes_back(store: ChunkStore, database: Database, size: int) -> None:
    """Inline, of one group, of several: the bytes, and any range of them."""
    content = noise(size, seed=size)
    head = keep(store, database, content)
    kind = manifest.decode(head).kind
    assert (kind is Kind.SMALL) == (size <= INLINE)
    require_back(store, head, content, 12)
    assert busy_threads() == set()


def test_empty_content_needs_no_row(store: ChunkStore, database: Database) -> None:
    """Its manifest says it all."""
    head = keep(store, database, b"")
    assert head == manifest.EMPTY
    assert read(store, head, 0, 0) == b""
    for table in ("small", "chunk", "pack", "segment"):
        with database.read() as session:
            assert session.value(Sql(f"SELECT COUNT(*) FROM {table}")) == 0


@on_sqlite
@pytest.mark.parametrize("step", [1, 999, 65_537, GROUP + 1, None])
def test_content_is_the_same_however_its_bytes_arrive(store: ChunkStore, database: Database, step: int | None) -> None:
    """A slow client sends a byte at a time, a fast one megabytes; the manifest is the same."""
    content = noise(3 * GROUP + 5) if step != 1 else noise(70_000)
    head = keep(store, database, content, step=step)
    assert head == keep(store, database, content)
    require_back(store, head, content, 3)


@on_sqlite
def test_watcher_sees_every_byte_in_order(store: ChunkStore, database: Database) -> None:
    """That is how lengths are limited and checksums compared."""

    class Digesting:
        def __init__(self) -> None:
            self.digest = hashlib.sha256()

        def received(self, block: memoryview) -> None:
            self.digest.update(block)

    for size in (0, 10, INLINE + 1, GROUP, 3 * GROUP + 17):
        content = noise(size)
        watcher = Digesting()
        with store.receive(Body(content, step=100_003), watcher):
            pass
        assert watcher.digest.digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("content", [bytes(20 * MIB), b"ab" * 3 * MIB], ids=["zeros", "two letters"])
def test_endless_repetition_is_stored_once(store: ChunkStore, database: Database, content: bytes) -> None:
    """The same chunk again and again needs room once, and reads back as often as it stands there."""
    head = keep(store, database, content)
    assert sum(blob.size for blob in store.backend.list("packs/")) < 10_000
    require_back(store, head, content, 4)


@on_sqlite
def test_text_is_stored_compressed_and_read_in_ranges(store: ChunkStore, database: Database) -> None:
    """Ranges begin and end in the middle of compressed chunks."""
    content = prose(6 * MIB)
    head = keep(store, database, content)
    assert sum(blob.size for blob in store.backend.list("packs/")) < 0.5 * len(content)
    require_back(store, head, content, 40)


@on_sqlite
def test_mixed_content_is_read_across_its_seams(store: ChunkStore, database: Database) -> None:
    """Raw chunks, compressed ones and repetitions side by side."""
    content = prose(700_000) + noise(900_000) + bytes(800_000) + noise(900_000) + prose(700_000, seed=2) + noise(300)
    head = keep(store, database, content)
    require_back(store, head, content, 60)


@on_sqlite
def test_content_of_several_packs_and_segments(store: ChunkStore, database: Database) -> None:
    """100 MiB in packs of 32 MiB; the rows of the full ones are there before the end."""
    content = noise(100 * MIB)
    head = keep(store, database, content)
    sizes = [blob.size for blob in store.backend.list("packs/")]
    assert len(sizes) == 4
    assert all(packing.PACK_SIZE <= size < packing.PACK_SIZE + 2 * MIB for size in sizes[:3])
    assert len(manifest.decode(head).references) >= 1
    require_back(store, head, content, 10)


@on_sqlite
def test_reader_may_stop_in_the_middle(store: ChunkStore, database: Database) -> None:
    """A client that goes away leaves nothing behind that disturbs others."""
    content = noise(5 * MIB)
    head = keep(store, database, content)
    for _ in range(30):
        blocks = store.read(head, 0, len(content))
        assert content.startswith(bytes(next(blocks)))
        del blocks
    require_back(store, head, content, 2)


def test_many_streams_at_once_do_not_mix(store: ChunkStore, database: Database) -> None:
    """Uploads of many sizes share threads and memory; two have the same bytes at the same time."""

    def work(number: int) -> tuple[bytes, bytes]:
        content = noise(number % 5 * MIB + number * 1000, seed=number % 6)
        return keep(store, database, content, step=200_000 + number), content

    kept = in_threads(8, work)
    for _, (head, content) in zip(range(8), kept, strict=True):
        require_back(store, head, content, 2)
    assert [read(store, head, 0, len(content)) for head, content in kept] == [content for _, content in kept]


@on_sqlite
def test_readers_and_writers_at_once(store: ChunkStore, database: Database) -> None:
    """Reading while others store; every read is exact."""
    contents = [noise(3 * MIB, seed) for seed in range(3)]
    heads = [keep(store, database, content) for content in contents]

    def work(number: int) -> None:
        for turn in range(3):
            if number % 2:
                keep(store, database, noise(2 * MIB, seed=100 + number * 10 + turn))
            else:
                which = (number + turn) % 3
                assert read(store, heads[which], 0, 3 * MIB) == contents[which]

    in_threads(6, work)


@on_sqlite
@pytest.mark.parametrize("size", [INLINE + 1, 131_072, 131_073, 3 * GROUP])
def test_only_short_content_is_compressed_thoroughly(
    store: ChunkStore, database: Database, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Up to 128 KiB time is spent on compressing; a long stream must not become slower by it."""
    seen: set[bool] = set()

    class Noted(codec.Compressor):
        def __init__(self, *, thorough: bool = False) -> None:
            seen.add(thorough)
            super().__init__(thorough=thorough)

    monkeypatch.setattr(codec, "Compressor", Noted)
    content = prose(size)
    require_back(store, keep(store, database, content), content, 2)
    assert seen == {size <= 131_072}


@on_sqlite
def test_content_is_durable_only_with_its_commit(store: ChunkStore, database: Database) -> None:
    """Without the commit its rows are missing: nothing of it can be read, and nothing counts as stored."""
    content = noise(2 * MIB)
    with store.receive(Body(content), Unwatched()):
        pass
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM chunk")) == 0
        assert session.value(Sql("SELECT COUNT(*) FROM pack")) == 0
    head = keep(store, database, content)
    require_back(store, head, content, 2)
