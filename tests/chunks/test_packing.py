"""Writing one pack: small ones at once, large ones while they grow; failures come out, and nothing hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import pytest

from appliance.backends.base import Backend, Buffer
from appliance.backends.disk import DiskBackend
from appliance.backends.memory import MemoryBackend
from appliance.chunks import codec, packing
from appliance.chunks.channel import Block
from appliance.chunks.pack import HEADER_SIZE, Record, pack_key, read_index
from appliance.chunks.packing import OpenPack, StoredPack
from tests.support.content import MIB, noise
from tests.support.faults import BackendProxy, FailingBackend, busy_threads, within

STORE = "ab" * 16
CHUNK = 100_000


def add(pack: OpenPack, count: int, done: list[int] | None = None) -> list[bytes]:
    """Add chunks of noise; ``done`` gets the number of each whose bytes are not needed any more."""
    contents = [noise(CHUNK, seed) for seed in range(count)]
    for number, content in enumerate(contents):

        def note(number: int = number) -> None:
            if done is not None:
                done.append(number)

        record = Record(bytes([number % 256]) * 32, 0, CHUNK, CHUNK, 0, codec.checksum(content))
        pack.add([record], Block(content, note))
    return contents


def close(pack: OpenPack) -> StoredPack:
    """Finish the pack and wait for the backend."""
    return pack.close()()


@pytest.mark.parametrize("count", [1, 10, 11, 60])
def test_pack_holds_its_chunks_side_by_side_with_an_index(backend: DiskBackend, count: int) -> None:
    """Put at once or in a thread of its own, the blob is the same."""
    done: list[int] = []
    pack = OpenPack(backend, 7, 3, STORE)
    contents = add(pack, count, done)
    stored = within(20, lambda: close(pack))
    key = pack_key(7, 3)
    assert (stored.counter, stored.size) == (3, backend.head(key))
    assert read_index(backend, key, stored.size, STORE) == stored.records
    assert [record.offset for record in stored.records] == [HEADER_SIZE + number * CHUNK for number in range(count)]
    assert [backend.get(key, record.offset, record.stored) for record in stored.records] == contents
    assert done == list(range(count))
    assert busy_threads() == set()


def test_pack_is_full_at_its_size() -> None:
    """The header counts too."""
    pack = OpenPack(MemoryBackend(), 1, 1, STORE)
    size = packing.PACK_SIZE - HEADER_SIZE - 1
    pack.add([Record(b"x" * 32, 0, size, 1, 0, 0)], Block(bytes(size)))
    before = pack.full
    pack.add([Record(b"y" * 32, 0, 1, 1, 0, 0)], Block(b"z"))
    assert (before, pack.full) == (False, True)
    pack.break_off()


@pytest.mark.parametrize("count", [1, 60])
def test_pack_that_is_broken_off_is_not_stored(backend: DiskBackend, count: int) -> None:
    """Nothing reads the chunks any more when break_off returns."""
    pack = OpenPack(backend, 1, 1, STORE)
    add(pack, count)
    within(20, pack.break_off)
    assert list(backend.list("")) == []
    assert busy_threads() == set()


def test_pack_that_is_broken_off_after_its_end_is_whole_or_not_there(backend: DiskBackend) -> None:
    """The last block may be stored already; a half pack never is."""
    pack = OpenPack(backend, 1, 1, STORE)
    add(pack, 60)
    wait = pack.close()
    within(20, pack.break_off)
    if backend.head(pack_key(1, 1)) is not None:
        assert within(20, wait).size == backend.head(pack_key(1, 1))
    assert busy_threads() == set()


@pytest.mark.parametrize("count, after_blocks", [(1, 0), (5, 2), (60, 0), (60, 1), (60, 30), (60, 61)])
def test_failing_backend_stops_the_pack(backend: DiskBackend, count: int, after_blocks: int) -> None:
    """Its own error comes out of add, close or the wait, again on each further call, and no thread stays."""
    failing = FailingBackend(backend, OSError("broken"), fails_on=1, after_blocks=after_blocks)
    pack = OpenPack(failing, 1, 1, STORE)

    def write() -> None:
        add(pack, count)
        close(pack)

    with pytest.raises(OSError, match="broken") as caught:
        within(20, write)
    assert caught.value is failing.error
    if count == 60:
        with pytest.raises(OSError, match="broken"):
            within(20, lambda: add(pack, 60))
    within(20, pack.break_off)
    assert list(backend.list("")) == []
    assert busy_threads() == set()


class _Stalling(BackendProxy):
    """Takes blocks only while ``going`` is set."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.going = threading.Event()

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        return self.inner.put(key, (block for block in blocks if self.going.wait(30)))


def test_slow_backend_holds_up_the_writer_and_loses_nothing() -> None:
    """Few chunks wait in memory; all arrive once the backend goes on."""
    backend = _Stalling(MemoryBackend())
    pack = OpenPack(backend, 1, 1, STORE)
    added: list[int] = []
    contents = [noise(MIB, seed) for seed in range(12)]

    def write() -> StoredPack:
        for number, content in enumerate(contents):
            pack.add([Record(bytes([number]) * 32, 0, MIB, MIB, 0, 0)], Block(content))
            added.append(number)
        return close(pack)

    results: list[StoredPack] = []
    writer = threading.Thread(target=lambda: results.append(write()), daemon=True)
    writer.start()
    time.sleep(0.3)
    assert 1 <= len(added) <= 6
    backend.going.set()
    writer.join(30)
    assert [backend.get(pack_key(1, 1), record.offset, MIB) for record in results[0].records] == contents


def test_breaking_off_wakes_a_put_that_waits_for_blocks(backend: DiskBackend) -> None:
    """The client of a large upload is gone: the put ends, and its partial file with it."""
    pack = OpenPack(backend, 1, 1, STORE)
    add(pack, 20)
    time.sleep(0.1)
    assert busy_threads() == {f"put {pack_key(1, 1)}"}
    within(20, pack.break_off)
    assert busy_threads() == set()
    assert backend.clear_partial(of_living=True) == 0
