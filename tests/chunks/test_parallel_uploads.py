"""Over a store that is far away several packs of one stream travel at once; their rows come in order all the same."""

from __future__ import annotations

import threading
import time

import pytest

from appliance.backends.base import REMOTE, Backend
from appliance.backends.disk import DiskBackend
from appliance.chunks import ingest, manifest, packing
from appliance.chunks.manifest import decode_entries as decode
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import BackendError
from tests.support.content import MIB, Body, OpenStore, Unwatched, keep, noise, read
from tests.support.databases import on_sqlite
from tests.support.faults import busy_threads, in_threads, within
from tests.support.remote import RemoteBackend

pytestmark = on_sqlite

ALLOWED = ingest._EXTRA_PACKS


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few mebibytes are many packs."""
    monkeypatch.setattr(packing, "PACK_SIZE", MIB)
    monkeypatch.setattr(manifest, "_SEGMENT_LEAST", 4)
    monkeypatch.setattr(manifest, "_SEGMENT_MOST", 16)


class Gated(RemoteBackend):
    """Each put waits for ``opened`` to name it, counted from 1; some fail then."""

    def __init__(self, inner: Backend, *, fails: frozenset[int] = frozenset(), opens: bool = False) -> None:
        super().__init__(inner)
        self.error = BackendError(key="x", reason="broken", temporary=True)
        self.begun: list[str] = []
        self._fails = fails
        self._gates = [threading.Event() for _ in range(40)]
        self.all_open = threading.Event()
        if opens:
            self.all_open.set()

    def open(self, number: int) -> None:
        """Let the put of this number go on."""
        self._gates[number].set()

    def before_put(self, key: str) -> None:
        number = int(key.rpartition("/")[2], 16)
        self.begun.append(key)
        until = time.monotonic() + 30
        while not self._gates[number].is_set() and not self.all_open.is_set() and time.monotonic() < until:
            time.sleep(0.005)
        if number in self._fails:
            raise self.error


def rows_of(database: Database) -> list[int]:
    """The counters of the packs that have rows, in the order in which they got them."""
    with database.read() as session:
        return [row[0] for row in session.rows(Sql("SELECT counter FROM pack ORDER BY id"))]


def wait_for(database: Database, count: int) -> None:
    """Until so many packs have rows."""
    until = time.monotonic() + 20
    while len(rows_of(database)) < count and time.monotonic() < until:
        time.sleep(0.01)
    assert len(rows_of(database)) == count


def require_nothing_runs(store: ChunkStore) -> None:
    """No thread, and nobody keeps a part of what is for all."""
    assert busy_threads() == set()
    assert store._ingestor.extra_packs.left == ALLOWED


def test_store_says_how_many_packs_travel_at_once(
    database: Database, backend: DiskBackend, open_store: OpenStore
) -> None:
    """Four and the one being filled; the content is whole, and its packs are as many as by one after the other."""
    remote = RemoteBackend(backend, latency_s=0.1)
    store = open_store(database, remote)
    content = noise(12 * MIB)
    head = within(30, lambda: keep(store, database, content))
    assert read(store, head, 0, len(content)) == content
    assert REMOTE.uploads <= remote.puts_at_once <= REMOTE.uploads + 1
    assert rows_of(database) == sorted(rows_of(database))
    require_nothing_runs(store)


def test_store_at_hand_gets_one_pack_after_the_other(
    database: Database, backend: DiskBackend, open_store: OpenStore
) -> None:
    """One travels while the next is filled, as ever."""
    remote = RemoteBackend(backend, latency_s=0.02)
    remote.habits = backend.habits
    store = open_store(database, remote)
    keep(store, database, noise(8 * MIB))
    assert remote.puts_at_once <= 2


def test_rows_come_in_the_order_of_the_packs(database: Database, backend: DiskBackend, open_store: OpenStore) -> None:
    """The third and the second are stored before the first: no row is there until that has its own."""
    gated = Gated(backend)
    store = open_store(database, gated)
    content = noise(8 * MIB)
    heads: list[bytes] = []
    sender = threading.Thread(target=lambda: heads.append(keep(store, database, content)), daemon=True)
    sender.start()
    for number in (3, 2):
        gated.open(number)
    deadline = time.monotonic() + 20
    while len(list(backend.list("packs/"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    assert len(list(backend.list("packs/"))) == 2
    assert rows_of(database) == []
    gated.open(1)
    wait_for(database, 3)
    assert rows_of(database) == [1, 2, 3]
    gated.all_open.set()
    sender.join(20)
    assert read(store, heads[0], 0, len(content)) == content


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_one_of_four_packs_that_fails_fails_the_upload(
    database: Database, backend: DiskBackend, open_store: OpenStore, failing: int
) -> None:
    """With that very error; what the others stored has rows, so that prune finds it, and no segment names the rest."""
    gated = Gated(backend, fails=frozenset({failing}), opens=True)
    store = open_store(database, gated)
    content = noise(12 * MIB)
    with pytest.raises(BackendError) as caught:
        within(30, lambda: keep(store, database, content))
    assert caught.value is gated.error
    require_nothing_runs(store)
    counters = rows_of(database)
    assert failing not in counters
    assert [blob.key for blob in backend.list("packs/")] == sorted(_keys(database))
    with database.read() as session:
        named = [entry for (data,) in session.rows(Sql("SELECT data FROM segment")) for entry in decode(data)]
        known = {row[0] for row in session.rows(Sql("SELECT id FROM chunk"))}
        assert {entry.id for entry in named} <= known
        assert bool(named) == (failing > 1)
        assert session.value(Sql("SELECT COUNT(*) FROM garbage")) == (1 if counters else 0)
    gated._fails = frozenset()
    head = keep(store, database, content)
    assert read(store, head, 0, len(content)) == content


def _keys(database: Database) -> list[str]:
    with database.read() as session:
        found = session.rows(Sql("SELECT writer_id, counter FROM pack"))
    return [f"packs/{writer:08x}/{counter:08x}" for writer, counter in found]


def test_first_error_in_the_order_of_the_packs_comes_out(
    database: Database, backend: DiskBackend, open_store: OpenStore
) -> None:
    """The third fails at once, the first later: it is the first one's that the client is told."""
    errors = {1: BackendError(key="1", reason="broken"), 3: BackendError(key="3", reason="broken")}

    class Telling(RemoteBackend):
        def before_put(self, key: str) -> None:
            number = int(key[-2:], 16)
            if number == 1:
                time.sleep(0.2)
            if number in errors:
                raise errors[number]

    store = open_store(database, Telling(backend))
    with pytest.raises(BackendError) as caught:
        within(30, lambda: keep(store, database, noise(6 * MIB)))
    assert caught.value is errors[1]
    require_nothing_runs(store)


@pytest.mark.parametrize("fail_at", [MIB // 2, 3 * MIB, 5 * MIB + 77, 7 * MIB])
def test_client_that_goes_away_leaves_whole_packs_only(
    database: Database, backend: DiskBackend, open_store: OpenStore, fail_at: int
) -> None:
    """What was full is stored and has rows, the one being filled is gone; nothing runs any more."""
    remote = RemoteBackend(backend, latency_s=0.05)
    store = open_store(database, remote)

    def send() -> None:
        with store.receive(Body(noise(8 * MIB), fail_at=fail_at), Unwatched()):
            pytest.fail("it was received")

    with pytest.raises(ConnectionResetError):
        within(30, send)
    require_nothing_runs(store)
    assert sorted(_keys(database)) == [blob.key for blob in backend.list("packs/")]
    assert backend.clear_partial(of_living=True) == 0


def test_chunk_of_a_pack_that_travels_is_not_stored_again(
    database: Database, backend: DiskBackend, open_store: OpenStore
) -> None:
    """No row tells of it yet, but the stream knows."""
    gated = Gated(backend)
    store = open_store(database, gated)
    part = noise(2 * MIB)
    heads: list[bytes] = []
    sender = threading.Thread(target=lambda: heads.append(keep(store, database, part + part)), daemon=True)
    sender.start()
    time.sleep(0.5)
    gated.all_open.set()
    sender.join(20)
    assert read(store, heads[0], 0, 4 * MIB) == part + part
    assert sum(blob.size for blob in backend.list("packs/")) < 3 * MIB


def test_bytes_under_way_are_bounded_for_the_process(
    database: Database, backend: DiskBackend, open_store: OpenStore
) -> None:
    """Six uploads share what is left of it: each has one pack under way at least, and all together no more."""
    remote = RemoteBackend(backend, latency_s=0.05)
    store = open_store(database, remote)
    allowance = store._ingestor.extra_packs
    allowance.take(allowance.left - 3 * MIB - 1_000_000)
    left = allowance.left

    def work(number: int) -> None:
        content = noise(5 * MIB, seed=number)
        head = keep(store, database, content)
        assert read(store, head, 0, len(content)) == content

    in_threads(6, work)
    # One being filled and one full of each, and the three for which there was room.
    assert remote.puts_at_once <= 6 * 2 + 3
    assert allowance.left == left
