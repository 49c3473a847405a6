"""What is stored already is not stored again."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.chunks import manifest
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Sql
from tests.support.content import MIB, keep, noise, prose, read
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads

TABLES = ("small", "chunk", "pack", "segment")


def stored(store: ChunkStore) -> int:
    """Bytes of all packs."""
    return sum(blob.size for blob in store.backend.list("packs/"))


def counts(database: Database) -> dict[str, int]:
    """Rows of each table of content."""
    with database.read() as session:
        return {table: session.value(Sql(f"SELECT COUNT(*) FROM {table}")) for table in TABLES}


@pytest.mark.parametrize("content", [b"small", noise(70_000), noise(5 * MIB), prose(3 * MIB)], ids=len)
def test_same_content_again_adds_nothing(store: ChunkStore, database: Database, content: bytes) -> None:
    """No blob, no row; the manifest is the same."""
    head = keep(store, database, content)
    size, rows = stored(store), counts(database)
    assert keep(store, database, content, step=50_000) == head
    assert (stored(store), counts(database)) == (size, rows)


@on_sqlite
def test_same_content_again_does_not_grow_the_data_folder(store: ChunkStore, database: Database, folder: Path) -> None:
    """On disk, database included: a copy of 40 MiB takes less than 100 KiB."""
    content = noise(40 * MIB)
    keep(store, database, content)
    before = _size(folder)
    keep(store, database, content)
    assert _size(folder) - before < 100_000


@on_sqlite
def test_insertion_in_the_middle_stores_little_more_than_itself(
    store: ChunkStore, database: Database, folder: Path
) -> None:
    """40 MiB with a megabyte inserted grow the data folder by less than 2 MB."""
    content = noise(40 * MIB)
    keep(store, database, content)
    before = _size(folder)
    changed = content[: 20 * MIB] + noise(1_000_000, seed=2) + content[20 * MIB :]
    head = keep(store, database, changed)
    assert _size(folder) - before < 2_000_000
    assert read(store, head, 0, len(changed)) == changed


@on_sqlite
def test_repetition_within_one_content_is_stored_once(store: ChunkStore, database: Database) -> None:
    """Also where the first one is in a pack that is still being written."""
    part = noise(3 * MIB)
    content = part * 5
    head = keep(store, database, content)
    assert stored(store) < len(part) + 5 * 300_000
    assert read(store, head, 0, len(content)) == content


@on_sqlite
def test_same_content_at_the_same_time_is_stored_at_most_as_often(store: ChunkStore, database: Database) -> None:
    """Uploads that do not know of each other may both store it, one row a chunk; later ones store nothing."""
    content = noise(2 * MIB)
    heads = in_threads(4, lambda number: keep(store, database, content, step=100_000 + number))
    assert set(heads) == {heads[0]}
    assert counts(database)["chunk"] == len(set(manifest_ids(database, heads[0])))
    size = stored(store)
    keep(store, database, content)
    assert stored(store) == size
    assert read(store, heads[0], 0, len(content)) == content


@on_sqlite
def test_small_content_is_not_looked_for_among_chunks(store: ChunkStore, database: Database) -> None:
    """Content around the threshold is kept in one place each, and both read back."""
    for size in (4096, 4097):
        content = noise(size)
        head = keep(store, database, content)
        assert read(store, head, 0, size) == content
    assert counts(database) == {"small": 1, "chunk": 1, "pack": 1, "segment": 0}


def manifest_ids(database: Database, head: bytes) -> list[bytes]:
    """The chunks that a manifest names."""
    decoded = manifest.decode(head)
    if decoded.kind is not manifest.Kind.SEGMENTED:
        return [entry.id for entry in decoded.entries]
    with database.read() as session:
        parts = [
            session.value(Sql("SELECT data FROM segment WHERE sha256 = :sha256"), sha256=reference.sha256)
            for reference in decoded.references
        ]
    return [entry.id for part in parts for entry in manifest.decode_entries(bytes(part))]


def _size(folder: Path) -> int:
    """What the files of the data folder take on disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
