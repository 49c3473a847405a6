"""Memory does not grow with the content: 300 MB flow through a few buffers, in and out."""

from __future__ import annotations

import gc
import hashlib
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from tests.support.content import MIB, Unwatched
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads

SIZE = 300 * MIB


class _Endless:
    """``size`` bytes that are new all the time, and are never all in memory."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readinto(self, buffer: memoryview, /) -> int:
        count = min(len(buffer), self._left, 65_536)
        buffer[:count] = os.urandom(count)
        self._left -= count
        return count


class _Digesting:
    """A watcher that knows what it saw."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def received(self, block: memoryview) -> None:
        self.digest.update(block)


@contextmanager
def peak_below(limit: int) -> Iterator[None]:
    """Fails if more than ``limit`` bytes are allocated at any time within."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@on_sqlite
def test_large_content_flows_through_little_memory(store: ChunkStore, database: Database) -> None:
    """300 MB in with less than 32 MiB, and out with less than 8."""
    watcher = _Digesting()
    with peak_below(32 * MIB), store.receive(_Endless(SIZE), watcher) as stored:
        database.write(stored.commit)
    digest = hashlib.sha256()
    with peak_below(8 * MIB):
        for block in store.read(stored.manifest, 0, SIZE):
            digest.update(block)
    assert digest.digest() == watcher.digest.digest()


@on_sqlite
def test_slow_readers_hold_little_memory(store: ChunkStore, database: Database) -> None:
    """Thirty downloads that stand still in the middle hold a few megabytes each, whatever the size of the file."""
    size = 40 * MIB
    with store.receive(_Endless(size), Unwatched()) as stored:
        database.write(stored.commit)
    with peak_below(30 * 4 * MIB):
        standing = [store.read(stored.manifest, 0, size) for _ in range(30)]
        for blocks in standing:
            for _ in range(20):
                next(blocks)


@on_sqlite
def test_many_uploads_at_once_share_their_buffers(store: ChunkStore, database: Database) -> None:
    """Sixteen fast clients together take less than 160 MiB, however long their files are."""

    def work(number: int) -> None:
        with store.receive(_Endless(12 * MIB), Unwatched()) as stored:
            database.write(stored.commit)

    with peak_below(160 * MIB):
        in_threads(16, work)
