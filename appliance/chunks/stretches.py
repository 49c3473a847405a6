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
        self._failure: Exception | None = None
        self._rest: Stretch | None = None

    def draw(self, size: int) -> Stretch | None:
        """The next chunks: about ``size`` bytes, less at the end of the range. None behind it.

        What the next part fails with is raised when there is nothing to be drawn before it.
        """
        most = -(-size // _CHUNK)
        drawn, self._rest = self._rest, None
        while drawn is None or (drawn.size < size and len(drawn.ids) < most):
            part = self._next_part(is_first=drawn is None)
            if part is None:
                break
            if drawn is None:
                drawn = self._of(part, size, most)
            else:
                drawn = drawn.joined(self._of(part, size - drawn.size, most - len(drawn.ids)))
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

    def _next_part(self, *, is_first: bool) -> Part | None:
        if self._part is None and self._failure is None:
            try:
                self._part = next(self._parts, None)
            except Exception as error:  # noqa: BLE001 - it comes behind what is drawn already
                self._failure = error
            if self._part is not None:
                self._at = self._part.start
        if self._failure is not None and is_first:
            raise self._failure
        return self._part

    def _of(self, part: Part, size: int, most: int) -> Stretch:
        stretch = part.segment.stretch(self._at, part.end, size=size, most=most)
        self._at += stretch.size
        if self._at >= part.end:
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
