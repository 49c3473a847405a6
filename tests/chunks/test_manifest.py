"""Manifests, byte for byte, and how versions of a long file share their segments."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.chunks import manifest
from appliance.chunks.manifest import (
    Entry,
    Kind,
    ManifestBuilder,
    Reference,
    Segment,
    SegmentIndex,
    decode,
    overlapping,
)
from appliance.chunks.stretches import Part, Piece, Stretches, pieces
from appliance.errors import Damaged


def entry(number: int, length: int | None = None) -> Entry:
    """The entry of a made-up chunk."""
    digest = hashlib.sha256(number.to_bytes(8, "big")).digest()
    return Entry(digest, 16_384 + digest[5] * 512 if length is None else length)


def build(entries: Sequence[Entry], step: int = 1000) -> tuple[bytes, list[Segment]]:
    """Manifest and segments of these entries, added ``step`` at a time."""
    builder = ManifestBuilder()
    segments = []
    for start in range(0, len(entries), step):
        builder.add(entries[start : start + step])
        segments += builder.take_segments()
    head = builder.finish()
    return head, segments + builder.take_segments()


def entries_of(head: bytes, segments: list[Segment]) -> list[Entry]:
    """All entries, as a reader puts them together."""
    decoded = decode(head)
    if decoded.kind is not Kind.SEGMENTED:
        return list(decoded.entries)
    by_id = {segment.sha256: segment for segment in segments}
    return [each for part in decoded.references for each in manifest.decode_entries(by_id[part.sha256].data)]


LONG = [entry(number) for number in range(100_000)]
NEW = [entry(1_000_000 + number) for number in range(20)]


def test_manifests_are_these_sequences_of_bytes() -> None:
    """Golden vectors of all four kinds."""
    first, second = bytes(range(32)), b"\xcd" * 32
    assert manifest.EMPTY == b"E"
    assert build([])[0] == b"E"
    assert manifest.small(first, 4096) == b"S" + first + b"\x00\x10\0\0"
    assert build([Entry(first, 262_144), Entry(second, 1)])[0] == b"D" + first + b"\0\0\x04\0" + second + b"\x01\0\0\0"
    head, (segment,) = build([Entry(first, 3)] * 17)
    assert segment.data == (first + b"\x03\0\0\0") * 17
    assert segment.sha256 == hashlib.sha256(segment.data).digest()
    assert segment.length == 51
    assert head == b"G" + segment.sha256 + struct.pack("<Q", 51)


def test_manifest_is_decoded_to_what_was_built() -> None:
    """Kinds, entries, references and the size of the whole."""
    assert (decode(b"E").kind, list(decode(b"E").entries), decode(b"E").size) == (Kind.EMPTY, [], 0)
    assert decode(manifest.small(b"x" * 32, 7)).entries == [Entry(b"x" * 32, 7)]
    for count in (1, 2, manifest.DIRECT_LIMIT):
        head, segments = build(LONG[:count])
        assert (decode(head).kind, segments) == (Kind.DIRECT, [])
        assert decode(head).entries == LONG[:count]
    for count in (manifest.DIRECT_LIMIT + 1, 5000):
        head, segments = build(LONG[:count])
        assert decode(head).kind is Kind.SEGMENTED
        assert decode(head).references == [Reference(segment.sha256, segment.length) for segment in segments]
        assert entries_of(head, segments) == LONG[:count]
        assert decode(head).size == sum(each.length for each in LONG[:count])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"X",
        b"e",
        b"E1",
        b"S",
        b"S" + bytes(35),
        b"S" + bytes(72),
        b"D",
        b"D1",
        b"D" + bytes(37),
        b"G",
        b"G" + bytes(39),
    ],
)
def test_what_is_no_manifest_is_damage(data: bytes) -> None:
    """Never another error, and never content of another length."""
    with pytest.raises(Damaged):
        decode(data)


@pytest.mark.parametrize("step", [1, 7, 1000, 100_000])
def test_segments_do_not_depend_on_how_entries_come(step: int) -> None:
    """Groups have any number of chunks; the same content has the same manifest."""
    assert build(LONG[:20_000], step) == build(LONG[:20_000], 13)


def test_segments_are_neither_tiny_nor_huge() -> None:
    """A reader loads one whole; a writer stores one for a small change."""
    for entries in (LONG, [Entry(b"\xff" * 32, 5)] * 20_000):
        head, segments = build(entries)
        counts = [len(segment.data) // 36 for segment in segments]
        assert sum(counts) == len(entries)
        assert all(512 <= count <= 8192 for count in counts[:-1])
        assert counts[-1] <= 8192
        assert decode(head).size == sum(each.length for each in entries)


@pytest.mark.parametrize(
    "changed",
    [
        [*LONG[:50_000], NEW[0], *LONG[50_000:]],
        [*LONG[:50_000], *NEW, *LONG[50_000:]],
        [*LONG[:49_990], *LONG[50_010:]],
        [*LONG[:1], NEW[0], *LONG[1:]],
        [*LONG, NEW[0]],
        [*LONG[:50_000], NEW[0], *LONG[50_001:]],
    ],
    ids=["insert one", "insert twenty", "cut out twenty", "near the front", "append", "replace one"],
)
def test_change_in_a_long_file_makes_at_most_three_segments_new(changed: list[Entry]) -> None:
    """The others are shared, so a version of a huge file costs a few hundred kilobytes of rows at most."""
    before = {segment.sha256 for segment in build(LONG)[1]}
    head, after = build(changed)
    assert len(after) > 30
    assert len([segment for segment in after if segment.sha256 not in before]) <= 3
    assert entries_of(head, after) == changed


@given(st.lists(st.integers(1, 20), max_size=30), st.integers(0, 400), st.integers(0, 400))
def test_overlap_of_any_range_is_that_of_a_naive_model(lengths: list[int], start: int, end: int) -> None:
    """Each byte of the range is found once, in its part and at its place."""
    model = [(index, offset) for index, length in enumerate(lengths) for offset in range(length)]
    found = [
        (index, offset) for index, first, last in overlapping(lengths, start, end) for offset in range(first, last)
    ]
    assert found == model[start:end]
    assert all(first < last for _, first, last in overlapping(lengths, start, end))


@given(st.integers(17, 6000), st.data())
def test_range_through_segments_is_that_of_the_whole(count: int, data: st.DataObject) -> None:
    """Segments and then stretches of entries, drawn in any size, find the same as one step over all entries."""
    entries = [entry(number, 1 + number % 7) for number in range(count)]
    head, segments = build(entries)
    size = sum(each.length for each in entries)
    start = data.draw(st.integers(0, size))
    end = data.draw(st.integers(start, size))
    size_of_draw = data.draw(st.sampled_from([1, 50, 5_000, 300_000, 10_000_000]))
    whole = [
        (entries[index], first, last) for index, first, last in overlapping([e.length for e in entries], start, end)
    ]
    decoded = decode(head)

    def parts() -> Iterator[Part]:
        for index, first, last in overlapping([part.length for part in decoded.references], start, end):
            inner = SegmentIndex(segments[index].data)
            assert inner.length == segments[index].length
            yield Part(inner, first, last)

    keeps = data.draw(st.sampled_from([1, 2, 5, 10_000]))
    stretches = Stretches(parts())
    found: list[Piece] = []
    while (stretch := stretches.draw(size_of_draw)) is not None:
        stretch = stretches.keep(stretch, keeps)
        drawn = pieces(stretch)
        assert sum(piece.end - piece.start for piece in drawn) == stretch.size > 0
        # Never more than it takes for so many bytes.
        assert stretch.size - (drawn[-1].end - drawn[-1].start) < size_of_draw
        assert len(drawn) <= max(1, -(-size_of_draw // 16_384))
        found += drawn
    assert found == [Piece(*each) for each in whole]
    assert stretches.draw(size_of_draw) is None
