"""Which digests were named, and by whom: like ``marks``, with a number for each that named it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from appliance.db.sql import Row
from appliance.upkeep.marks import Part

_KEPT = 6
_PIECE = struct.Struct(f"<{_KEPT}sI")
_UNSORTED = 32

MOST = 256 << 20
"""Bytes that the tags of one part take at most."""


class TooMany(Exception):
    """More was named than fits: the parts have to be smaller."""


class Tagged:
    """A set of (digest, tag) of one part, by the digests' first eight bytes; ten bytes for each, for a while twenty."""

    def __init__(self, part: Part, *, most: int = MOST) -> None:
        self._first = part.first
        # Made when something comes into it, as those of ``marks``.
        self._buckets: list[bytearray | None] = [None] * (part.end - part.first)
        # So long is a bucket before repetitions are looked for.
        self._limits = [_UNSORTED * _PIECE.size] * len(self._buckets)
        # Bytes that are left to grow into, of what was counted when buckets were last cleared of repetitions.
        self._room = most

    def add(self, digest: bytes, tag: int) -> None:
        """Digests of other parts are passed over.

        Raises:
            TooMany
        """
        index = (digest[0] << 8 | digest[1]) - self._first
        if 0 <= index < len(self._buckets):
            bucket = self._buckets[index]
            if bucket is None:
                bucket = self._buckets[index] = bytearray()
            bucket += _PIECE.pack(digest[2 : 2 + _KEPT], tag)
            if len(bucket) > self._limits[index]:
                self._tidy(index, bucket)

    def _tidy(self, index: int, bucket: bytearray) -> None:
        size = _PIECE.size
        distinct = {bytes(bucket[start : start + size]) for start in range(0, len(bucket), size)}
        self._buckets[index] = bytearray().join(distinct)
        limit = max(self._limits[index], 2 * size * len(distinct))
        self._room -= limit - self._limits[index]
        self._limits[index] = limit
        if self._room < 0:
            raise TooMany

    def of(self, rows: Iterable[Row]) -> Iterator[tuple[Row, frozenset[int]]]:
        """The tags of each row, which begin with a digest of this part and are in that order."""
        known: dict[bytes, set[int]] = {}
        nobody, at = frozenset[int](), -1
        for row in rows:
            index = (row[0][0] << 8 | row[0][1]) - self._first
            if index != at:
                known, at = self._known(index), index
            tags = known.get(row[0][2 : 2 + _KEPT])
            yield row, nobody if tags is None else frozenset(tags)

    def _known(self, index: int) -> dict[bytes, set[int]]:
        found: dict[bytes, set[int]] = {}
        for piece, tag in _PIECE.iter_unpack(self._buckets[index] or b""):
            found.setdefault(piece, set()).add(tag)
        return found
