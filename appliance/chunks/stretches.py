"""A range of content, drawn stretch by stretch: some hundred chunks are found without a step for each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from appliance.chunks.manifest import Entry, SegmentIndex, Stretch

# Most chunks are larger; this bounds how many are asked of the database together.
_CHUNK = 16_384


class Part(NamedTuple):
    """From ``start`` to ``end`` of what a segment stands for; there is something in between."""

    segment: SegmentIndex
    start: int
    end: int


class Stretches:
    """Of one reading. ``parts`` come one after the other, each when the one before it is used up."""

    def __init__(self, parts: Iterator[Part]) -> None:
        self._parts = parts
        self._part: Part | None = None
        self._at = 0
        self._rest: Stretch | None = None

    def draw(self, size: int) -> Stretch | None:
        """The next chunks: about ``size`` bytes, less at the end of the range. None behind it."""
        most = -(-size // _CHUNK)
        drawn, self._rest = self._rest, None
        if drawn is None:
            drawn = self._of_part(size, most)
        while drawn is not None and drawn.size < size and len(drawn.ids) < most:
            more = self._of_part(size - drawn.size, most - len(drawn.ids))
            if more is None:
                return drawn
            drawn = drawn.joined(more)
        if drawn is None:
            return None
        count = bisect_left(list(accumulate(drawn.lengths)), drawn.skip + size) + 1
        return self.keep(drawn, min(count, most))

    def keep(self, drawn: Stretch, count: int) -> Stretch:
        """The first ``count`` chunks of what was drawn last; the others will be drawn again."""
        if count >= len(drawn.ids):
            return drawn
        kept, rest = drawn.cut(count)
        self._rest = rest if self._rest is None else rest.joined(self._rest)
        return kept

    def _of_part(self, size: int, most: int) -> Stretch | None:
        if self._part is None:
            self._part = next(self._parts, None)
            if self._part is None:
                return None
            self._at = self._part.start
        segment, _, end = self._part
        stretch = segment.stretch(self._at, end, size=size, most=most)
        self._at += stretch.size
        if self._at >= end:
            self._part = None
        return stretch


class Piece(NamedTuple):
    """Part of a chunk: from ``start`` to ``end`` of its plain bytes."""

    entry: Entry
    start: int
    end: int


def pieces(stretch: Stretch) -> list[Piece]:
    """A stretch, chunk by chunk."""
    found = []
    start, left = stretch.skip, stretch.size
    for chunk_id, length in zip(stretch.ids, stretch.lengths, strict=True):
        end = min(start + left, length)
        found.append(Piece(Entry(chunk_id, length), start, end))
        left -= end - start
        start = 0
    return found
