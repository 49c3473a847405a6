"""Uploads that fail: the first error comes out, nothing of them counts as stored, and nothing is left running."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from appliance.backends.disk import DiskBackend
from appliance.chunks import packing
from appliance.chunks.group import GROUP
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import BackendError, QuotaExceeded, StorageFull
from tests.support.content import MIB, Body, OpenStore, Unwatched, keep, noise, prose, read
from tests.support.databases import on_sqlite
from tests.support.faults import DatabaseProxy, FailingBackend, busy_threads, in_threads, within

SIZES = (100, 4097, GROUP, 5 * GROUP)


def require_nothing_kept(database: Database, backend: DiskBackend, *, packs: int = 0) -> None:
    """No row and no visible blob but those of full packs, no partial file, no thread."""
    assert busy_threads() == set()
    assert backend.clear_partial(of_living=True) == 0
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM small")) == 0
        assert session.value(Sql("SELECT COUNT(*) FROM segment")) == 0
        rows = session.value(Sql("SELECT COUNT(*) FROM pack"))
        chunks = session.value(Sql("SELECT COUNT(*) FROM chunk"))
    assert rows <= packs
    assert (chunks == 0) == (rows == 0)
    assert len(list(backend.list("packs/"))) <= packs


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_source_that_raises_leaves_no_rows(
    store: ChunkStore, database: Database, backend: DiskBackend, size: int, part: float
) -> None:
    """A client that is gone at the first byte, in the middle or at the end stored nothing."""
    body = Body(noise(size), step=70_000, fail_at=int(size * part), error=ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError, match="gone"):
        within(20, lambda: keep_body(store, database, body))
    require_nothing_kept(database, backend)


def keep_body(store: ChunkStore, database: Database, body: Body) -> bytes:
    """Store what a source gives."""
    with store.receive(body, Unwatched()) as stored:
        database.write(stored.commit)
    return stored.manifest


@on_sqlite
@pytest.mark.parametrize("size", SIZES)
def test_watcher_that_raises_leaves_no_rows(
    store: ChunkStore, database: Database, backend: DiskBackend, size: int
) -> None:
    """A limit that is met with the last byte."""

    class Limit:
        def __init__(self) -> None:
            self.left = size

        def received(self, block: memoryview) -> None:
            self.left -= len(block)
            if self.left <= 0:
                raise QuotaExceeded(quota_bytes=0, used_bytes=0)

    def work() -> None:
        with store.receive(Body(noise(size)), Limit()):
            pytest.fail("it was received")

    with pytest.raises(QuotaExceeded):
        within(20, work)
    require_nothing_kept(database, backend)


@on_sqlite
def test_source_that_raises_after_full_packs_keeps_only_those(
    store: ChunkStore, database: Database, backend: DiskBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there already is whole and named by nothing; the pack under way is gone."""
    monkeypatch.setattr(packing, "PACK_SIZE", 2 * MIB)
    content = noise(12 * MIB)
    with pytest.raises(ConnectionResetError):
        within(20, lambda: keep_body(store, database, Body(content, fail_at=9 * MIB)))
    require_nothing_kept(database, backend, packs=4)
    assert list(backend.list("packs/"))
    head = keep(store, database, content)
    assert read(store, head, 0, len(content)) == content


@on_sqlite
@pytest.mark.parametrize("error", [StorageFull(), BackendError(key="x", reason="unplugged"), OSError("below")], ids=str)
@pytest.mark.parametrize("after_blocks", [0, 3, 20])
def test_backend_that_fails_at_the_nth_put_fails_the_upload(
    database: Database,
    backend: DiskBackend,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    after_blocks: int,
) -> None:
    """The 1st, 2nd, … put fails once: that very error comes out, no half content; the next upload succeeds."""
    monkeypatch.setattr(packing, "PACK_SIZE", 2 * MIB)
    content = noise(7 * MIB) + prose(MIB)
    failing = FailingBackend(backend, error, after_blocks=after_blocks)
    store = open_store(database, failing)
    for number in range(1, 10):
        forget_all(database, backend)
        failing.puts, failing.fails_on = 0, number
        try:
            within(30, lambda: keep(store, database, content, step=300_000))
        except type(error) as raised:
            assert raised is error
        else:
            assert number > 3
            return
        require_nothing_kept(database, backend, packs=3)
        head = keep(store, database, content)
        assert read(store, head, 0, len(content)) == content
    pytest.fail("the upload never succeeded")


def forget_all(database: Database, backend: DiskBackend) -> None:
    """Empty the store, so that the next upload has to store everything again."""
    for table in ("chunk", "pack", "segment", "small"):
        database.write(lambda session, table=table: session.run(Sql(f"DELETE FROM {table}")))  # type: ignore[misc]
    for blob in list(backend.list("packs/")):
        backend.delete(blob.key)


def test_database_that_fails_at_the_nth_write_fails_the_upload(
    database: Database, backend: DiskBackend, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every transaction of an upload fails once, also those of full packs in the background."""
    monkeypatch.setattr(packing, "PACK_SIZE", 2 * MIB)
    content = noise(7 * MIB)
    fails_on = writes = 0

    def before_write() -> None:
        nonlocal writes
        writes += 1
        if writes == fails_on:
            raise StorageFull

    proxy = DatabaseProxy(database, before_write)
    store = open_store(proxy, backend)
    for number in range(1, 20):
        forget_all(database, backend)
        writes, fails_on = 0, number
        try:
            within(30, lambda: keep(store, proxy, content))
        except StorageFull:
            assert busy_threads() == set()
            assert backend.clear_partial(of_living=True) == 0
        else:
            # The writer's registration, two full packs, and the commit.
            assert number > 3
            break
    else:
        pytest.fail("the upload never succeeded")
    fails_on = 0
    head = keep(store, proxy, content)
    assert read(store, head, 0, len(content)) == content


@on_sqlite
def test_failed_uploads_give_their_share_of_the_groups_back(store: ChunkStore, database: Database) -> None:
    """The further groups of fast clients are limited for the process: none may get lost with a failure."""
    ingestor = store._ingestor
    for turn in range(12):
        with pytest.raises(ConnectionResetError):
            keep_body(store, database, Body(noise(6 * GROUP), fail_at=turn * GROUP // 2 + 1))
    taken = 0
    while ingestor.extra.acquire(blocking=False):
        taken += 1
    assert taken == 16
    for _ in range(taken):
        ingestor.extra.release()


@on_sqlite
def test_failed_uploads_leave_no_memory_behind(store: ChunkStore, database: Database) -> None:
    """Forty uploads that break off in the middle of 8 MiB, some at the same time, cost what the buffers cost."""
    content = noise(8 * MIB)

    def work(number: int) -> None:
        for turn in range(5):
            body = Body(content, fail_at=(number + turn) * 900_001 % len(content))
            with pytest.raises(ConnectionResetError):
                keep_body(store, database, body)

    tracemalloc.start()
    try:
        in_threads(8, work)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 40 * MIB
    finally:
        tracemalloc.stop()


@on_sqlite
def test_failure_of_one_upload_does_not_touch_the_others(store: ChunkStore, database: Database) -> None:
    """They share threads and buffers: a buffer that is given back too soon would show as wrong bytes."""

    def work(number: int) -> tuple[bytes, bytes]:
        content = noise(5 * MIB, seed=number)
        if number % 2:
            with pytest.raises(ConnectionResetError):
                keep_body(store, database, Body(content, fail_at=3 * MIB + number * 100_000))
            return b"E", b""
        return keep(store, database, content, step=150_000), content

    for head, content in in_threads(8, work):
        assert read(store, head, 0, len(content)) == content
