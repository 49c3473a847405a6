"""The cache in front of a far store: what is near is not asked for again, and what is wrong in it does no harm."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.backends.base import REMOTE
from appliance.backends.cache_folder import BLOCK, HEADER, CacheFolder
from appliance.backends.cached import CachedBackend
from appliance.backends.memory import MemoryBackend
from appliance.errors import BackendError, BlobMissing
from tests.support.content import MIB, noise, ranges
from tests.support.faults import in_threads, within
from tests.support.remote import RemoteBackend

KEY = "packs/00000001/00000001"
SIZE = 5 * MIB + 1234
CONTENT = noise(SIZE)
LIMIT = 64 * MIB


@pytest.fixture(name="far")
def _far() -> RemoteBackend:
    inner = MemoryBackend()
    inner.put(KEY, [CONTENT])
    return RemoteBackend(inner)


@pytest.fixture(name="open_cache")
def _open_cache(far: RemoteBackend, tmp_path: Path) -> Callable[..., CachedBackend]:
    def opened(limit: int = LIMIT) -> CachedBackend:
        return CachedBackend(far, tmp_path / "cache", limit)

    return opened


OpenCache = Callable[..., CachedBackend]


def warm(cache: CachedBackend, key: str = KEY, size: int = SIZE) -> None:
    """Read all of a blob, and wait until it is in the cache."""
    for start in range(0, size, MIB):
        cache.get(key, start, min(MIB, size - start))
    assert cache.flush(20)


def blocks_of(folder: Path) -> list[Path]:
    """The files of all blocks."""
    return sorted(path for path in (folder / "cache" / "blocks").glob("*/*/*") if path.is_file())


def test_second_reading_asks_the_store_nothing(far: RemoteBackend, open_cache: OpenCache) -> None:
    """Neither in this process nor in the next one, whatever range it is."""
    warm(open_cache())
    assert (len(far.gets), far.heads) == (6, 1)
    cache = open_cache()
    for start, end in ranges(SIZE, 40):
        assert cache.get(KEY, start, end - start) == CONTENT[start:end]
    assert (len(far.gets) - sum(length == 0 for _, _, length in far.gets), far.heads) == (6, 1)


def test_store_is_asked_for_whole_blocks_in_few_requests(far: RemoteBackend, open_cache: OpenCache) -> None:
    """The last one is short; what is there already is left out, and neighbours come together."""
    cache = open_cache()
    assert cache.get(KEY, 2 * MIB + 10, 100) == CONTENT[2 * MIB + 10 : 2 * MIB + 110]
    assert cache.flush(20)
    assert cache.get(KEY, 5, SIZE - 5) == CONTENT[5:]
    assert far.gets == [(KEY, 2 * MIB, MIB), (KEY, 0, 2 * MIB), (KEY, 3 * MIB, SIZE - 3 * MIB)]
    assert far.heads == 1


def test_end_of_a_blob_is_kept(far: RemoteBackend, open_cache: OpenCache) -> None:
    """What ends behind it is missing, whether the last block is near or not."""
    cache = open_cache()
    for _ in range(2):
        with pytest.raises(BlobMissing):
            cache.get(KEY, SIZE - 10, 11)
        assert cache.get(KEY, SIZE - 10, 10) == CONTENT[-10:]
        assert cache.flush(20)
    with pytest.raises(BlobMissing):
        open_cache().get(KEY, SIZE - 10, 11)


def _flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        _flip(0),
        _flip(4),
        _flip(8),
        _flip(20),
        _flip(HEADER.size),
        _flip(-1 + HEADER.size + 1000),
        lambda data: data[: len(data) // 2],
        lambda data: data + b"x",
        lambda data: b"",
        lambda data: data[:10],
        lambda data: bytes(len(data)),
    ],
    ids=["magic", "length", "size", "checksum", "first", "later", "torn", "longer", "empty", "short", "zeros"],
)
def test_damaged_block_is_fetched_again(
    far: RemoteBackend, open_cache: OpenCache, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    """And then it is whole."""
    warm(open_cache())
    for path in blocks_of(tmp_path):
        path.write_bytes(spoil(path.read_bytes()))
    far.gets.clear()
    warm(open_cache())
    assert len(far.gets) == 6
    cache = open_cache()
    assert cache.get(KEY, 0, SIZE) == CONTENT
    assert len(far.gets) == 6


def test_block_of_another_place_is_not_taken(far: RemoteBackend, open_cache: OpenCache, tmp_path: Path) -> None:
    """Files that were exchanged, or copied to another blob's, are whole and wrong."""
    other = "packs/00000001/00000002"
    far.inner.put(other, [noise(SIZE, 2)])
    cache = open_cache()
    warm(cache)
    warm(cache, other)
    paths = blocks_of(tmp_path)
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
    cache = open_cache()
    assert cache.get(KEY, 0, SIZE) == CONTENT
    assert cache.get(other, 0, SIZE) == noise(SIZE, 2)


def test_misses_at_once_fetch_once(far: RemoteBackend, open_cache: OpenCache) -> None:
    """Twelve threads want overlapping ranges of the same blocks."""
    far.latency_s = 0.1
    cache = open_cache()

    def work(number: int) -> None:
        start = number * 1000
        assert cache.get(KEY, start, 3 * MIB) == CONTENT[start : start + 3 * MIB]

    within(20, lambda: in_threads(12, work))
    asked = [start + at for _, start, length in far.gets for at in range(0, length, BLOCK)]
    assert sorted(asked) == [0, MIB, 2 * MIB, 3 * MIB]


def test_failed_fetch_is_nobody_elses_error(far: RemoteBackend, open_cache: OpenCache) -> None:
    """Who waited for it asks for himself; the next reader finds nothing in the way."""
    errors = [BackendError(key=KEY, reason="broken", temporary=True)]

    def before_get(key: str) -> None:
        time.sleep(0.1)
        if errors:
            raise errors.pop()

    far.before_get = before_get  # type: ignore[method-assign]
    cache = open_cache()
    outcomes: list[object] = []

    def work(number: int) -> None:
        try:
            outcomes.append(cache.get(KEY, 0, 10))
        except BackendError as error:
            outcomes.append(error.reason)

    within(20, lambda: in_threads(4, work))
    assert sorted(map(str, outcomes)) == sorted([str(CONTENT[:10])] * 3 + ["broken"])
    assert cache.get(KEY, 0, 10) == CONTENT[:10]


def test_deleted_blob_is_forgotten(far: RemoteBackend, open_cache: OpenCache, tmp_path: Path) -> None:
    """Its blocks go, and one that is being fetched meanwhile does not come in."""
    cache = open_cache()
    warm(cache)
    assert len(blocks_of(tmp_path)) == 6
    cache.delete(KEY)
    assert blocks_of(tmp_path) == []
    with pytest.raises(BlobMissing):
        cache.get(KEY, 0, 10)
    far.inner.put(KEY, [CONTENT])
    fetching, deleted = threading.Event(), threading.Event()

    def before_get(key: str) -> None:
        fetching.set()
        assert deleted.wait(20)

    far.before_get = before_get  # type: ignore[method-assign]
    reader = threading.Thread(target=lambda: cache.get(KEY, 0, 10), daemon=True)
    reader.start()
    assert fetching.wait(20)
    far.inner.delete(KEY)
    cache.delete(KEY)
    far.inner.put(KEY, [CONTENT])
    deleted.set()
    reader.join(20)
    assert cache.flush(20)
    assert blocks_of(tmp_path) == []


def test_small_blob_is_near_once_it_was_put(far: RemoteBackend, open_cache: OpenCache, tmp_path: Path) -> None:
    """A pack of one block; of a larger one nothing is kept before somebody reads it."""
    cache = open_cache()
    cache.put("packs/00000001/00000002", [CONTENT[:700_000], CONTENT[700_000:MIB]])
    cache.put("packs/00000001/00000003", [CONTENT[: MIB + 1]])
    assert cache.flush(20)
    assert len(blocks_of(tmp_path)) == 1
    far.gets.clear()
    assert cache.get("packs/00000001/00000002", 10, 1000) == CONTENT[10:1010]
    assert open_cache().get("packs/00000001/00000002", 10, 1000) == CONTENT[10:1010]
    assert (far.gets, far.heads) == ([], 0)


def test_what_is_written_anew_is_never_near(far: RemoteBackend, open_cache: OpenCache, tmp_path: Path) -> None:
    """The blob that says whose the others are may be written by another process."""
    cache, other = open_cache(), open_cache()
    cache.put("store", [b"first"])
    assert cache.get("store", 0, 5) == b"first"
    other.put("store", [b"again"])
    assert cache.get("store", 0, 5) == b"again"
    assert not (tmp_path / "cache").exists()


def test_bulk_reading_leaves_the_cache_alone(far: RemoteBackend, open_cache: OpenCache, tmp_path: Path) -> None:
    """Somebody who reads whole packs, each once, pushes nothing out."""
    far.inner.put("packs/00000001/00000009", [bytes(20 * MIB)])
    cache = open_cache()
    assert cache.get("packs/00000001/00000009", 0, 20 * MIB) == bytes(20 * MIB)
    assert cache.flush(20)
    assert blocks_of(tmp_path) == []


def test_without_a_limit_there_is_no_cache(far: RemoteBackend, open_cache: OpenCache, tmp_path: Path) -> None:
    """Not even a folder; and the store's habits are the cache's with one or without."""
    cache = open_cache(0)
    cache.put("packs/1/2", [b"x"])
    assert cache.get(KEY, 1, 100) == CONTENT[1:101]
    cache.delete("packs/1/2")
    assert far.gets == [(KEY, 1, 100)]
    assert list(tmp_path.iterdir()) == []
    assert cache.habits == open_cache().habits == REMOTE


def test_slow_cache_disk_slows_nobody(
    far: RemoteBackend, open_cache: OpenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written in time is dropped; memory is bounded."""
    going = threading.Event()
    written = []

    def stand_still(self: CacheFolder, key: str, number: int, blob_size: int, data: object) -> bool:
        going.wait(30)
        written.append(number)
        return True

    monkeypatch.setattr(CacheFolder, "write", stand_still)
    far.inner.put("packs/00000001/00000007", [bytes(60 * MIB)])
    cache = open_cache()
    began = time.monotonic()
    for start in range(0, 60 * MIB, 2 * MIB):
        assert len(cache.get("packs/00000001/00000007", start, 2 * MIB)) == 2 * MIB
    assert time.monotonic() - began < 10
    going.set()
    assert cache.flush(20)
    assert len(written) == 32


@pytest.mark.parametrize("how", ["file", "gone"])
def test_cache_that_cannot_be_written_says_so_once(
    far: RemoteBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """And everything is read all the same."""
    caplog.set_level(logging.INFO, logger="appliance.backends.cache_keeper")
    cache = CachedBackend(far, tmp_path / "cache", LIMIT)
    if how == "file":
        (tmp_path / "cache").write_bytes(b"")
    else:
        warm(cache)
        os.rename(tmp_path / "cache", tmp_path / "moved")
        (tmp_path / "cache").write_bytes(b"")
    for _ in range(3):
        warm(cache)
        assert cache.get(KEY, 0, SIZE) == CONTENT
    assert cache.flush(20)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
