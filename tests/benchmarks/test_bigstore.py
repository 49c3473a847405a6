"""The generator of big stores, in small."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance.backends.disk import DiskBackend
from appliance.db.sqlite import SqliteDatabase
from appliance.upkeep.check import check
from benchmarks.bigcontent import make_batch
from benchmarks.bigstore import DATA, Notes, generate
from benchmarks.bigstore_measure import table_bytes
from benchmarks.bigtree import LISTED, LISTED_FILES

NODES = 4_000
VERSIONS = 9_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated store."""
    folder = tmp_path_factory.mktemp("big")
    generate(folder / "store", nodes=NODES, versions=VERSIONS, seed=7)
    return folder / "store"


def rows(store: Path, sql: str) -> list[tuple[Any, ...]]:
    """Of the store's database."""
    with closing(sqlite3.connect(f"file:{store / DATA / 'holdfast.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def test_generated_store_keeps_every_invariant(store: Path) -> None:
    """`holdfast check --read-data` finds nothing in it."""
    database = SqliteDatabase(store / DATA / "holdfast.db", synced=False)
    report = check(database, DiskBackend(store / DATA, synced=False), read_data=True)
    database.close()
    assert report.findings == []
    assert report.notes == []


def test_generated_store_has_what_was_asked_for(store: Path) -> None:
    """Nodes and versions as told, and something of everything that history is made of."""
    (nodes,), (versions,) = rows(store, "SELECT COUNT(*) FROM node"), rows(store, "SELECT COUNT(*) FROM version")
    assert nodes[0] == pytest.approx(NODES, abs=20)
    assert versions[0] == pytest.approx(VERSIONS, abs=20)
    counts = {name: count for name, (_, count) in table_bytes(store / DATA / "holdfast.db").items()}
    assert all(counts[name] > 0 for name in ("journal", "placement", "trash", "chunk", "small", "pack"))
    assert counts["tree"] == counts["user"] == 4


def test_generated_store_has_its_folder_to_list(store: Path) -> None:
    """The measurement relies on it."""
    sql = f"SELECT files FROM node WHERE name = '{LISTED}' AND parent_id = 1"
    assert rows(store, sql) == [(LISTED_FILES,)]
    notes = Notes.load(store)
    assert (notes.nodes, notes.versions, notes.listed) == (NODES, VERSIONS, LISTED)
    assert len(notes.small_files) > 100


def test_same_seed_makes_the_same_tree(store: Path, tmp_path: Path) -> None:
    """Names, history and content; times follow the clock."""
    generate(tmp_path / "again", nodes=NODES, versions=VERSIONS, seed=7)
    for sql in (
        "SELECT id, parent_id, name, placed_seq, subtree_seq, files, bytes FROM node ORDER BY id",
        "SELECT node_id, seq, size, manifest FROM version ORDER BY node_id, seq",
    ):
        assert rows(store, sql) == rows(tmp_path / "again", sql)


def test_store_is_never_generated_over_another(store: Path) -> None:
    """A mistyped folder costs nobody anything."""
    with pytest.raises(ValueError, match="there already"):
        generate(store, nodes=NODES, versions=VERSIONS, seed=7)


def test_batch_has_files_of_many_chunks() -> None:
    """So that manifests with segments are among them; the same batch for the same seed."""
    batch = make_batch(3, 21_000)
    assert batch.segments
    assert sum(content.manifest[:1] == b"G" for content in batch.contents) == 1
    assert batch == make_batch(3, 21_000)
