"""Whatever is changed in a sealed blob is noticed, and none of it is given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.backends.base import SEALED
from appliance.backends.memory import MemoryBackend
from appliance.backends.seal import HEADER, SEGMENT, STORED
from appliance.backends.sealed import SealedBackend
from appliance.errors import BackendError, BlobDamaged, BlobMissing, DataKeyUnknown
from tests.conformance.sealing import OTHER_STORE, STORE, KeysInMemory, content_of
from tests.support.content import noise

KEY = "packs/00000001/00000001"
OTHER = "packs/00000001/00000002"
SIZE = 3 * SEGMENT + 1000


class Tampered:
    """A store in which somebody writes who has no key."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()
        self.content = noise(SIZE)
        self.knowing = self.fresh()
        self.knowing.put(KEY, [self.content])
        self.stored = content_of(self.inner, SEALED + KEY)

    def fresh(self, store_id: str = STORE) -> SealedBackend:
        """For a process that has seen no blob yet."""
        return SealedBackend(self.inner, KeysInMemory("one"), store_id)

    def write(self, stored: bytes) -> None:
        """Instead of the blob."""
        self.inner.put(SEALED + KEY, [stored])

    def readers(self) -> Iterator[SealedBackend]:
        """One that knows the blob from before, and one that does not."""
        yield self.knowing
        yield self.fresh()


@pytest.fixture
def tampered() -> Tampered:
    """With one blob of four segments, the last one short."""
    return Tampered()


def assert_noticed(reader: SealedBackend, start: int = 0, length: int = SIZE, key: str = KEY) -> None:
    """Reading it raises, and says more than that it is not there."""
    with pytest.raises(BackendError) as caught:
        reader.get(key, start, length)
    assert isinstance(caught.value, (BlobDamaged, DataKeyUnknown, BlobMissing)), caught.value
    assert not caught.value.temporary


@pytest.mark.parametrize(
    "at",
    [*range(HEADER), *(HEADER + at for at in (0, SEGMENT - 1, SEGMENT, STORED - 1, STORED, 3 * STORED)), -1],
)
def test_flipped_bit_anywhere_is_noticed(tampered: Tampered, at: int) -> None:
    """Of each byte of the header, and at the borders of segments and tags; the last byte of all too."""
    for bit in (1, 128):
        changed = bytearray(tampered.stored)
        changed[at] ^= bit
        tampered.write(bytes(changed))
        assert_noticed(tampered.fresh())


def test_every_byte_of_a_small_blob_counts() -> None:
    """None can be changed, whatever it is changed to."""
    inner = MemoryBackend()
    SealedBackend(inner, KeysInMemory("one"), STORE).put(KEY, [b"small content"])
    stored = content_of(inner, SEALED + KEY)
    for at in range(len(stored)):
        for change in (1, 2, 16, 128, 255):
            changed = bytearray(stored)
            changed[at] ^= change
            inner.put(SEALED + KEY, [changed])
            with pytest.raises((BlobDamaged, DataKeyUnknown)):
                SealedBackend(inner, KeysInMemory("one"), STORE).get(KEY, 0, 13)


def test_damage_keeps_nobody_from_the_other_segments(tampered: Tampered) -> None:
    """Each is opened by itself."""
    changed = bytearray(tampered.stored)
    changed[HEADER + STORED + 7] ^= 1
    tampered.write(bytes(changed))
    for reader in tampered.readers():
        assert reader.get(KEY, 0, SEGMENT) == tampered.content[:SEGMENT]
        assert reader.get(KEY, 2 * SEGMENT, 1000) == tampered.content[2 * SEGMENT : 2 * SEGMENT + 1000]
        for start, length in ((SEGMENT, 1), (SEGMENT - 1, 2), (2 * SEGMENT - 1, 2)):
            with pytest.raises(BlobDamaged):
                reader.get(KEY, start, length)


@pytest.mark.parametrize(
    "size",
    [0, 1, HEADER - 1, HEADER, HEADER + 15, HEADER + 16, HEADER + STORED - 1, HEADER + STORED, HEADER + STORED + 5,
     HEADER + STORED + 16, HEADER + STORED + 17, HEADER + 3 * STORED, HEADER + 3 * STORED + 16,
     HEADER + 3 * STORED + 1015],
)  # fmt: skip
def test_cut_off_blob_is_noticed(tampered: Tampered, size: int) -> None:
    """Also at the border of a segment: only the last one has the mark of the last."""
    tampered.write(tampered.stored[:size])
    for reader in tampered.readers():
        assert_noticed(reader)
        assert_noticed(reader, SIZE - 1, 1)


@pytest.mark.parametrize("more", [1, 15, 16, 17, 1000, SEGMENT, STORED])
def test_blob_with_more_behind_it_is_noticed(tampered: Tampered, more: int) -> None:
    """The last segment is the last."""
    tampered.write(tampered.stored + bytes(more))
    reader = tampered.fresh()
    assert_noticed(reader)
    assert_noticed(reader, 3 * SEGMENT, 1000)
    assert tampered.fresh().head(KEY) != SIZE


def test_segments_in_another_order_are_noticed(tampered: Tampered) -> None:
    """Each has its number."""
    pieces = [tampered.stored[HEADER + at * STORED : HEADER + (at + 1) * STORED] for at in range(4)]
    for order in ((1, 0, 2, 3), (0, 2, 1, 3), (0, 0, 2, 3), (0, 1, 3), (0, 1, 2, 2, 3)):
        tampered.write(tampered.stored[:HEADER] + b"".join(pieces[at] for at in order))
        for reader in tampered.readers():
            assert_noticed(reader)


def test_blob_under_another_key_is_noticed(tampered: Tampered) -> None:
    """Two blobs of one store that changed places."""
    tampered.knowing.put(OTHER, [noise(SIZE, seed=9)])
    other = content_of(tampered.inner, SEALED + OTHER)
    tampered.inner.put(SEALED + OTHER, [tampered.stored])
    tampered.write(other)
    for reader in tampered.readers():
        for key in (KEY, OTHER):
            with pytest.raises(BlobDamaged):
                reader.get(key, 0, 10)


def test_blob_of_another_store_is_noticed(tampered: Tampered) -> None:
    """Even if both have the same data key."""
    with pytest.raises(BlobDamaged):
        tampered.fresh(OTHER_STORE).get(KEY, 0, 10)


def test_segment_of_an_earlier_attempt_is_noticed(tampered: Tampered) -> None:
    """The same bytes under the same key, with another salt."""
    tampered.fresh().put(KEY, [tampered.content])
    again = content_of(tampered.inner, SEALED + KEY)
    assert again != tampered.stored
    tampered.write(again[: HEADER + STORED] + tampered.stored[HEADER + STORED :])
    reader = tampered.fresh()
    assert reader.get(KEY, 0, 100) == tampered.content[:100]
    assert_noticed(reader, SEGMENT, 1)
