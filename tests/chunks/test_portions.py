"""Reading over a store that is far away: several portions under way, in order, for who has use for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from appliance.backends.base import AHEAD, REMOTE, Backend, Buffer
from appliance.backends.disk import DiskBackend
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.errors import BackendError
from tests.chunks.test_memory_bound import peak_below
from tests.support.content import MIB, OpenStore, keep, noise, ranges, read
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads, within
from tests.support.remote import RemoteBackend

pytestmark = on_sqlite

SIZE = 40 * MIB
CONTENT = noise(SIZE, 3)


@pytest.fixture(name="remote")
def _remote(backend: DiskBackend) -> RemoteBackend:
    return RemoteBackend(backend, latency_s=0.01, bytes_per_s=400e6)


@pytest.fixture(name="far")
def _far(database: Database, remote: RemoteBackend, open_store: OpenStore) -> ChunkStore:
    return open_store(database, remote)


@pytest.fixture(name="head")
def _head(database: Database, far: ChunkStore, remote: RemoteBackend) -> bytes:
    head = keep(far, database, CONTENT)
    remote.gets.clear()
    return head


def wait_until_idle(store: ChunkStore) -> None:
    """Requests that nobody waits for end by themselves, and give back what was for them."""
    until = time.monotonic() + 10
    while store._reader.ahead.left < AHEAD and time.monotonic() < until:
        time.sleep(0.01)
    assert store._reader.ahead.left == AHEAD


def test_large_portions_are_under_way_together_and_come_in_order(
    far: ChunkStore, remote: RemoteBackend, head: bytes
) -> None:
    """Two that are ahead, each of a whole pack as soon as the reading has come to the end of one."""
    assert within(30, lambda: read(far, head, 0, SIZE)) == CONTENT
    assert 2 <= remote.gets_at_once <= REMOTE.reads_ahead + 1
    packs = {key for key, _, _ in remote.gets}
    assert len(packs) >= 3
    assert len(remote.gets) <= 5 + len(packs)
    wait_until_idle(far)


def test_range_of_any_size_is_the_same_where_portions_end_with_their_pack(far: ChunkStore, head: bytes) -> None:
    """Begun and ended anywhere, in a chunk and in a pack."""
    for start, length in ((1, 3 * MIB), (MIB + 7, 20 * MIB), (15 * MIB, 2 * MIB), (16 * MIB + 1, 17 * MIB), (5, SIZE)):
        assert read(far, head, start, min(start + length, SIZE)) == CONTENT[start : start + length]
    wait_until_idle(far)


def test_order_does_not_hang_on_which_answer_comes_first(far: ChunkStore, remote: RemoteBackend, head: bytes) -> None:
    """Each request takes another time."""
    turns = iter(range(1000))

    def before_get(key: str) -> None:
        time.sleep((7 * next(turns) % 5) * 0.01)

    remote.before_get = before_get  # type: ignore[method-assign]
    for start, end in ranges(SIZE, 6):
        assert read(far, head, start, end) == CONTENT[start:end]


def test_first_bytes_come_with_a_small_request(far: ChunkStore, remote: RemoteBackend, head: bytes) -> None:
    """Who leaves after them has made the store send little more."""
    blocks = far.read(head, 0, SIZE)
    next(blocks)
    assert remote.gets[0][2] <= MIB or remote.gets[1][2] <= MIB
    blocks.close()  # type: ignore[attr-defined]
    wait_until_idle(far)
    assert sum(length for _, _, length in remote.gets) < 7 * MIB


def test_small_range_of_a_large_file_costs_its_chunks_only(far: ChunkStore, remote: RemoteBackend, head: bytes) -> None:
    """One request for the one or two chunks that 100 bytes touch."""
    assert read(far, head, SIZE // 2, SIZE // 2 + 100) == CONTENT[SIZE // 2 : SIZE // 2 + 100]
    assert len(remote.gets) == 1
    assert remote.gets[0][2] <= 2 * 262_144


def test_index_of_a_pack_is_one_request_and_none_of_a_far_one(
    database: Database, backend: DiskBackend, far: ChunkStore, remote: RemoteBackend, head: bytes, open_store: OpenStore
) -> None:
    """From the pack's end where it is at hand; where it is far, its content would be there before its index."""

    def tails() -> list[tuple[str, int]]:
        ends = [(key, length) for key, start, length in remote.gets if start + length == sizes[key]]
        return [(key, length) for key, length in ends if length < MIB]

    sizes = {blob.key: blob.size for blob in backend.list("packs/")}
    read(far, head, 0, SIZE)
    assert tails() == []
    assert not [1 for _, start, _ in remote.gets if start == 0]
    remote.gets.clear()
    remote.habits = backend.habits
    near = open_store(database, remote)
    remote.gets.clear()
    read(near, head, 0, SIZE)
    assert len(tails()) == len(sizes) == 3
    assert max(length for _, length in tails()) < 65_536
    assert not [1 for _, start, _ in remote.gets if start == 0]


def test_consumer_that_goes_away_ends_the_fetching(far: ChunkStore, remote: RemoteBackend, head: bytes) -> None:
    """At once, also while the store hangs; what had begun is the last, and no thread stays with it."""
    going = threading.Event()
    going.set()
    remote.before_get = lambda key: going.wait(20) and None  # type: ignore[method-assign]
    blocks = far.read(head, 0, SIZE)
    for _ in range(4):
        next(blocks)
    going.clear()
    time.sleep(0.1)
    asked = len(remote.gets)
    within(1, blocks.close)  # type: ignore[attr-defined]
    going.set()
    wait_until_idle(far)
    assert len(remote.gets) <= asked + REMOTE.reads_ahead
    assert read(far, head, 0, SIZE) == CONTENT


def test_error_of_a_portion_comes_behind_the_bytes_before_it(
    database: Database, far: ChunkStore, remote: RemoteBackend, head: bytes
) -> None:
    """A request that fails while earlier portions are consumed spoils none of those."""
    failing = [blob.key for blob in remote.inner.list("packs/")][1]

    def before_get(key: str) -> None:
        if key == failing:
            raise BackendError(key=key, reason="broken", temporary=True)

    remote.before_get = before_get  # type: ignore[method-assign]
    came = bytearray()

    def consume() -> None:
        for block in far.read(head, 0, SIZE):
            came.extend(block)

    with pytest.raises(BackendError, match="broken"):
        within(30, consume)
    assert len(came) > 8 * MIB
    assert bytes(came) == CONTENT[: len(came)]
    wait_until_idle(far)


def test_slow_consumers_hold_little_and_fast_ones_go_on(far: ChunkStore, remote: RemoteBackend, head: bytes) -> None:
    """Thirty that stand still, and eight that find the allowance used up: each has a small portion and the next."""
    used = AHEAD

    def consume(number: int) -> None:
        at = number * MIB
        for block in far.read(head, at, at + 16 * MIB):
            assert bytes(block) == CONTENT[at : at + len(block)]
            at += len(block)
        assert at == (number + 16) * MIB

    with peak_below(used + (30 + 8) * 4 * MIB):
        standing: list[Iterator[Buffer]] = [far.read(head, 0, SIZE) for _ in range(30)]
        for blocks in standing:
            for _ in range(3):
                next(blocks)
        far._reader.ahead.take(far._reader.ahead.left)
        remote.gets.clear()
        in_threads(8, consume)
    assert max(length for _, _, length in remote.gets) <= MIB + 262_144


def test_store_at_hand_is_read_as_ever(database: Database, backend: DiskBackend, open_store: OpenStore) -> None:
    """Portions of a mebibyte, one ahead at most."""

    class Noting(RemoteBackend):
        def __init__(self, inner: Backend) -> None:
            super().__init__(inner, latency_s=0.002)
            self.habits = inner.habits

    noting = Noting(backend)
    store = open_store(database, noting)
    head = keep(store, database, CONTENT)
    noting.gets.clear()
    assert read(store, head, 0, SIZE) == CONTENT
    assert max(length for _, _, length in noting.gets) <= MIB + 262_144
    assert noting.gets_at_once == 1
