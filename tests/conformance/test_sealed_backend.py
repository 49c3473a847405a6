"""The sealed backend keeps the contract over every other one, gives every range exactly, and asks little for it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.backends.base import SEALED, Backend
from appliance.backends.disk import DiskBackend
from appliance.backends.memory import MemoryBackend
from appliance.backends.seal import HEADER, SEGMENT, plain_size, stored_size
from appliance.backends.sealed import PLAIN, SealedBackend
from appliance.chunks import identity
from appliance.errors import BackendError, BlobMissing, DataKeyUnknown
from tests.conformance.backend_contract import BackendContract
from tests.conformance.sealing import STORE, Counting, KeysInMemory, content_of
from tests.support.content import noise
from tests.support.faults import in_threads

KEY = "packs/00000001/00000001"
# Around every border of the first segments.
_EDGES = sorted({max(at * SEGMENT + off, 0) for at in range(4) for off in (-17, -16, -1, 0, 1, 16)})


class _WithoutShort(MemoryBackend):
    """A store that cannot give less than was asked for."""

    get_up_to = Backend.get_up_to


class TestSealedInMemory(BackendContract):
    """New blobs are sealed."""

    @pytest.fixture
    def backend(self) -> Backend:
        """An empty one."""
        return SealedBackend(MemoryBackend(), KeysInMemory("one"), STORE)


class TestSealedOverPlainRequests(BackendContract):
    """The same over a store with the bare contract."""

    @pytest.fixture
    def backend(self) -> Backend:
        """An empty one."""
        return SealedBackend(_WithoutShort(), KeysInMemory("one"), STORE)


class TestSealedOnDisk(BackendContract):
    """The same on a disk."""

    @pytest.fixture
    def backend(self, folder: Path) -> Backend:
        """An empty one."""
        return SealedBackend(DiskBackend(folder, synced=False), KeysInMemory("one"), STORE)


class TestNoMoreSealing(BackendContract):
    """New blobs are plain, and older ones may be sealed."""

    @pytest.fixture
    def backend(self) -> Backend:
        """An empty one."""
        return SealedBackend(MemoryBackend(), KeysInMemory("one"), STORE, seals=False)


@pytest.fixture
def inner() -> Counting:
    """What the sealed blobs lie in."""
    return Counting()


@pytest.fixture
def backend(inner: Counting) -> SealedBackend:
    """Seals with one key."""
    return SealedBackend(inner, KeysInMemory("one"), STORE)


def fresh(inner: Backend, *names: str, seals: bool = True) -> SealedBackend:
    """The same store, opened by another process."""
    return SealedBackend(inner, KeysInMemory(*(names or ("one",))), STORE, seals=seals)


@pytest.mark.parametrize("size", [*_EDGES, 3 * SEGMENT + 5, 40 * SEGMENT])
def test_blob_of_every_size_comes_back(backend: SealedBackend, inner: Counting, size: int) -> None:
    """Also of exactly so many segments; the sizes that head and list tell are the plain ones."""
    content = noise(size)
    assert backend.put(KEY, [content]) == size
    assert inner.inner.head(SEALED + KEY) == stored_size(size)
    assert plain_size(stored_size(size)) == size
    for reader in (backend, fresh(inner)):
        assert reader.head(KEY) == size
        assert [tuple(blob) for blob in reader.list("packs/")] == [(KEY, size)]
        assert content_of(reader, KEY) == content


def test_every_range_at_the_borders_of_segments_is_exact(backend: SealedBackend, inner: Counting) -> None:
    """From each of them to each other, by who put it and by who has never seen it; what ends behind is missing."""
    for size in (3 * SEGMENT, 3 * SEGMENT - 1, 2 * SEGMENT + 1):
        content = noise(size)
        backend.put(KEY, [content])
        for start, end in itertools.combinations_with_replacement(_EDGES, 2):
            for reader in (backend, fresh(inner)):
                if end > size:
                    with pytest.raises(BlobMissing):
                        reader.get(KEY, start, end - start)
                else:
                    assert reader.get(KEY, start, end - start) == content[start:end]


@settings(max_examples=200)
@given(
    blocks=st.lists(st.integers(0, 150_000), max_size=8),
    ranges=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6),
)
def test_any_blocks_and_any_ranges(blocks: list[int], ranges: list[tuple[float, float]]) -> None:
    """However a blob is cut into blocks, and read."""
    inner = Counting()
    content = noise(sum(blocks))
    borders = [0, *itertools.accumulate(blocks)]
    written = fresh(inner)
    assert written.put(KEY, (memoryview(content)[a:b] for a, b in itertools.pairwise(borders))) == len(content)
    reader = fresh(inner)
    for pair in ranges:
        start, end = sorted(round(each * len(content)) for each in pair)
        assert written.get(KEY, start, end - start) == content[start:end]
        assert reader.get(KEY, start, end - start) == content[start:end]


@pytest.mark.parametrize("start", [0, 5, 200_000, 900_000, 1_999_990])
def test_new_blob_costs_one_request_more_at_most_and_a_known_one_none(inner: Counting, start: int) -> None:
    """Where it is in the blob does not matter."""
    fresh(inner).put(KEY, [noise(2_000_000)])
    reader = fresh(inner)
    inner.asked.clear()
    reader.get(KEY, start, 10)
    assert len(inner.asked) <= 2
    for again in (start, 700_000, 1_999_000, 1_999_000):
        inner.asked.clear()
        reader.get(KEY, again, 10)
        assert inner.asked == [("get", SEALED + KEY)]


def test_put_needs_no_second_request_and_holds_little(inner: Counting) -> None:
    """Blocks leave as they come: what is sealed and not yet handed on is about a mebibyte."""
    backend = fresh(inner)
    handed: list[int] = []
    given_out = 0

    def blocks() -> itertools.chain[bytes]:
        nonlocal given_out
        for _ in range(32):
            given_out += 1 << 20
            yield bytes(1 << 20)

    class Watching(MemoryBackend):
        def put(self, key, blocks):  # type: ignore[no-untyped-def]
            taken = 0
            for block in blocks:
                taken += len(block)
                handed.append(given_out - taken)
            return taken

    SealedBackend(Watching(), KeysInMemory("one"), STORE).put(KEY, blocks())
    assert max(handed) < 3 << 20
    backend.put(KEY, [b"x"])
    assert inner.asked == [("put", SEALED + KEY)]


def test_nothing_of_the_content_can_be_seen(backend: SealedBackend, inner: Counting) -> None:
    """Neither does the same content look the same a second time."""
    backend.put("packs/1/1", [b"a well known text " * 10_000])
    backend.put("packs/1/2", [b"a well known text " * 10_000])
    one, two = (content_of(inner.inner, f"{SEALED}packs/1/{number}") for number in (1, 2))
    assert b"well known" not in one
    assert one[HEADER:] != two[HEADER:]


def test_blobs_that_name_the_store_and_its_keys_are_plain(backend: SealedBackend, inner: Counting) -> None:
    """They are read before a key is known; the constant names what the product calls them."""
    assert identity.KEY in PLAIN
    for key in PLAIN:
        backend.put(key, [b"plain"])
        assert inner.inner.get(key, 0, 5) == b"plain" == backend.get(key, 0, 5)
        assert backend.head(key) == 5
    assert [tuple(blob) for blob in backend.list("")] == [("keys", 5), ("store", 5)]
    backend.delete("keys")
    assert backend.head("keys") is None


def test_no_key_reaches_into_the_place_of_sealed_blobs(backend: SealedBackend) -> None:
    """A blob there would be taken for a sealed one."""
    for key in ("sealed", "sealed/packs/1/1"):
        with pytest.raises(BackendError):
            backend.put(key, [b"x"])
    backend.put("sealed-x", [b"x"])
    assert [blob.key for blob in backend.list("")] == ["sealed-x"]


def test_sealing_can_be_switched_on_and_off(inner: Counting) -> None:
    """Every blob stays readable, is listed once, in order, and goes when it is deleted."""
    plain, sealing = fresh(inner, seals=False), fresh(inner)
    plain.put("packs/1/1", [b"one"])
    sealing.put("packs/1/2", [b"two"])
    plain.put("packs/1/3", [b"three"])
    sealing.put("packs/0/9", [b"four"])
    for reader in (plain, sealing, fresh(inner), fresh(inner, seals=False)):
        assert [tuple(blob) for blob in reader.list("packs/")] == [
            ("packs/0/9", 4), ("packs/1/1", 3), ("packs/1/2", 3), ("packs/1/3", 5),
        ]  # fmt: skip
        for key, content in (("0/9", b"four"), ("1/1", b"one"), ("1/2", b"two"), ("1/3", b"three")):
            assert content_of(reader, f"packs/{key}") == content
    assert {blob.key for blob in inner.inner.list("")} == {
        "packs/1/1", "packs/1/3", "sealed/packs/0/9", "sealed/packs/1/2",
    }  # fmt: skip
    for key in ("packs/1/1", "packs/1/2", "packs/1/3", "packs/0/9"):
        plain.delete(key)
    assert list(inner.inner.list("")) == []


def test_blob_that_was_put_anew_elsewhere_is_found(inner: Counting) -> None:
    """What a process remembers of a blob may have changed: another salt, plain instead of sealed, sealed by now."""
    reader = fresh(inner)
    for number, seals in enumerate([True, True, False, True, False]):
        content = noise(100_000, seed=number)
        other = fresh(inner, seals=seals)
        if seals:
            other.delete(KEY)
        other.put(KEY, [content])
        assert reader.get(KEY, 5, 99_995) == content[5:]


def test_data_key_that_is_not_known_is_named(inner: Counting) -> None:
    """By its id, which is no damage and no missing blob."""
    fresh(inner, "one", "two").put(KEY, [b"x"])
    with pytest.raises(DataKeyUnknown, match=b"two-----".hex()):
        fresh(inner, "one").get(KEY, 0, 1)
    assert fresh(inner, "one").head(KEY) == 1


def test_many_threads_read_one_blob(inner: Counting) -> None:
    """One cipher serves all of them."""
    content = noise(3_000_000)
    backend = fresh(inner)
    backend.put(KEY, [content])

    def work(number: int) -> None:
        for turn in range(60):
            start = (number * 104_729 + turn * 50_021) % 2_800_000
            assert backend.get(KEY, start, 150_000) == content[start : start + 150_000]

    in_threads(8, work)
