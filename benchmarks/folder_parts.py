"""What a data folder consists of: bytes of packs, of each table and index of the database, of everything else."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from appliance.chunks.pack import HEADER_SIZE

_OVERHEAD = 2 * HEADER_SIZE
"""Header and footer of a pack are of one size."""

_INDEX_ENTRY = 60
_DATABASE = "holdfast.db"


def size_of(folder: Path) -> tuple[int, int]:
    """(bytes of all files, bytes of the blocks that files and folders take on the disk)."""
    apparent, blocks = 0, os.lstat(folder).st_blocks * 512
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            found = os.lstat(Path(parent) / name)
            blocks += found.st_blocks * 512
            apparent += found.st_size if name in files else 0
    return apparent, blocks


def parts_of(data: Path) -> dict[str, int]:
    """Bytes by part of a data folder whose server is stopped. Their sum is the folder's, in bytes of files.

    Tables and indexes as "table t" and "index i" by whole pages, as far as SQLite was built with its statistics;
    "unused in pages" says how much of them is empty, and is part of no sum.
    """
    found: dict[str, int] = {}
    packs = list(_pack_sizes(data))
    database = (data / _DATABASE).stat().st_size
    # Asked before the database is opened: that alone makes a file beside it.
    other = size_of(data)[0] - sum(packs) - database
    with closing(sqlite3.connect(f"file:{data / _DATABASE}?mode=ro", uri=True)) as connection:
        chunks = connection.execute("SELECT COUNT(*) FROM chunk").fetchone()[0]
        tables = dict(_tables(connection))
        unused = _unused(connection)
    found["pack frames"] = _OVERHEAD * len(packs)
    found["pack indexes"] = _INDEX_ENTRY * chunks
    found["pack records"] = sum(packs) - found["pack frames"] - found["pack indexes"]
    found |= tables
    found["database, else"] = database - sum(tables.values())
    found["other files"] = other
    return found | {"(unused in pages)": unused, "(packs)": len(packs), "(chunks)": chunks}


def _pack_sizes(data: Path) -> Iterator[int]:
    for path in (data / "blobs" / "packs").rglob("*"):
        if path.is_file():
            yield path.stat().st_size


def _tables(connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    page: int = connection.execute("PRAGMA page_size").fetchone()[0]
    yield "free pages", page * connection.execute("PRAGMA freelist_count").fetchone()[0]
    try:
        rows = connection.execute("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE").fetchall()
    except sqlite3.OperationalError:
        return
    named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = {"sqlite_schema", *(row[0] for row in named)}
    for name, size in rows:
        yield f"{'table' if name in tables else 'index'} {name}", size


def _unused(connection: sqlite3.Connection) -> int:
    try:
        found = connection.execute("SELECT SUM(unused) FROM dbstat WHERE aggregate = TRUE").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    return int(found)
