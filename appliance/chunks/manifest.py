"""Manifests: which chunks a version consists of.

A manifest is a few bytes in the version's row. Its first byte says how it goes on:

- ``E`` empty content.
- ``S`` one entry: the whole content is one row of ``small``.
- ``D`` up to 16 entries: chunks.
- ``G`` references to segments: runs of entries in the table ``segment``, which versions share.

An entry is (SHA-256, length); a reference (SHA-256 of the segment, sum of its lengths). Segments are cut by content,
like chunks: after an entry whose digest begins with 11 zero bits, so that an insertion anywhere in a long file
writes one or two segments and shares the others. Offsets are sums of lengths, never stored.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import accumulate
from typing import NamedTuple, Protocol

from appliance.errors import Damaged

_ENTRY = struct.Struct("<32sI")
_REFERENCE = struct.Struct("<32sQ")

DIRECT_LIMIT = 16
"""So many entries stand in the manifest itself; most files have fewer."""

_SEGMENT_LEAST = 512
_SEGMENT_MOST = 8192


class Kind(Enum):
    """How a manifest goes on after its first byte."""

    EMPTY = b"E"
    SMALL = b"S"
    DIRECT = b"D"
    SEGMENTED = b"G"


class Entry(NamedTuple):
    """A chunk, or small content."""

    id: bytes
    length: int


class Reference(NamedTuple):
    """A segment."""

    sha256: bytes
    length: int


class Segment(NamedTuple):
    """A segment to be stored: ``data`` is its packed entries."""

    sha256: bytes
    length: int
    data: bytes


class Stretch(NamedTuple):
    """Chunks that follow each other in a content; of its bytes those wanted are ``size``, after ``skip``."""

    ids: tuple[bytes, ...]
    lengths: tuple[int, ...]
    skip: int
    size: int

    def cut(self, count: int) -> tuple[Stretch, Stretch]:
        """Its first chunks, one at least, and the others."""
        lengths = self.lengths[:count]
        # What is wanted may end within the last chunk.
        first = Stretch(self.ids[:count], lengths, self.skip, min(sum(lengths) - self.skip, self.size))
        return first, Stretch(self.ids[count:], self.lengths[count:], 0, self.size - first.size)

    def joined(self, other: Stretch) -> Stretch:
        """With what follows it, which begins with a whole chunk."""
        return Stretch(self.ids + other.ids, self.lengths + other.lengths, self.skip, self.size + other.size)


class Manifest(NamedTuple):
    """A decoded manifest: ``entries`` for SMALL and DIRECT, ``references`` for SEGMENTED."""

    kind: Kind
    entries: Sequence[Entry]
    references: Sequence[Reference]

    @property
    def size(self) -> int:
        return sum(entry.length for entry in self.entries) + sum(reference.length for reference in self.references)


EMPTY = Kind.EMPTY.value


def small(sha256: bytes, length: int) -> bytes:
    """The manifest of content in one ``small`` row."""
    return Kind.SMALL.value + _ENTRY.pack(sha256, length)


def decode(data: bytes) -> Manifest:
    """The reverse of what ``ManifestBuilder`` and ``small`` made.

    Raises:
        Damaged: it is no manifest.
    """
    try:
        kind = Kind(data[:1])
        form = _REFERENCE if kind is Kind.SEGMENTED else _ENTRY
        count, rest = divmod(len(data) - 1, form.size)
        # Empty content has no entry, small content one, any other at least one.
        if rest or (kind is Kind.EMPTY) != (count == 0) or (kind is Kind.SMALL and count != 1):
            raise ValueError("a manifest of this kind is of another length")
    except ValueError as error:
        raise Damaged(what="a manifest") from error
    if kind is Kind.SEGMENTED:
        return Manifest(kind, (), [Reference._make(fields) for fields in _REFERENCE.iter_unpack(data[1:])])
    return Manifest(kind, decode_entries(data[1:]), ())


def decode_entries(data: bytes) -> list[Entry]:
    """The entries of a segment's data."""
    return [Entry._make(fields) for fields in _ENTRY.iter_unpack(data)]


class SegmentIndex:
    """A segment's entries, found by position without decoding those before."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        # Where each entry ends in the content.
        self._ends = array("Q", accumulate(fields[1] for fields in _ENTRY.iter_unpack(data)))

    @property
    def length(self) -> int:
        """Of the content."""
        return self._ends[-1] if self._ends else 0

    def stretch(self, start: int, end: int, *, size: int, most: int) -> Stretch:
        """From ``start`` to the end of the chunk with which there are ``size`` bytes or ``most`` chunks, or to ``end``
        if that comes first. There is something between ``start`` and ``end``.
        """
        first = bisect_right(self._ends, start)
        last = min(bisect_left(self._ends, min(start + size, end), first), first + most - 1)
        skip = start - (self._ends[first - 1] if first else 0)
        fields = _ENTRY.iter_unpack(memoryview(self._data)[first * _ENTRY.size : (last + 1) * _ENTRY.size])
        ids, lengths = zip(*fields, strict=True)
        return Stretch(ids, lengths, skip, min(self._ends[last], end) - start)


def of_entries(entries: Sequence[Entry]) -> bytes:
    """The manifest of part of a content: its chunks one by one, however many."""
    return _pack(Kind.DIRECT, _ENTRY, entries) if entries else EMPTY


def entries_in(length: int) -> int:
    """How many entries a manifest of chunks has that is so many bytes long."""
    return (length - 1) // _ENTRY.size


class Gathering(Protocol):
    """What takes the entries of a stream."""

    def add(self, entries: Iterable[Entry]) -> None: ...

    def take_segments(self) -> list[Segment]: ...

    def finish(self) -> bytes: ...


class EntryList:
    """Gathers the entries of a part of a content, which a segment may reach beyond; it makes none."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries."""
        self._entries += entries

    def take_segments(self) -> list[Segment]:
        """None."""
        return []

    def finish(self) -> bytes:
        """As ``of_entries``."""
        return of_entries(self._entries)


class ManifestBuilder:
    """Gathers a file's entries in order; hands out segments as they become complete.

    It may stop anywhere (``pause``) and be made again from what it told then.
    """

    def __init__(self, references: bytes = EMPTY, entries: bytes = EMPTY) -> None:
        self._open: list[Entry] = list(decode(entries).entries)
        self._references: list[Reference] = list(decode(references).references)
        self._finished: list[Segment] = []

    def pause(self) -> tuple[bytes, bytes]:
        """The complete segments, as a manifest, and the entries behind them, as ``of_entries``."""
        references = _pack(Kind.SEGMENTED, _REFERENCE, self._references) if self._references else EMPTY
        return references, of_entries(self._open)

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries."""
        for entry in entries:
            self._open.append(entry)
            count = len(self._open)
            if (count >= _SEGMENT_LEAST and _is_border(entry.id)) or count >= _SEGMENT_MOST:
                self._close()

    def take_segments(self) -> list[Segment]:
        """Segments completed since the last call; they have to be stored before the manifest is."""
        finished, self._finished = self._finished, []
        return finished

    def finish(self) -> bytes:
        """The manifest. Call ``take_segments`` once more afterwards."""
        if not self._references and len(self._open) <= DIRECT_LIMIT:
            return _pack(Kind.DIRECT, _ENTRY, self._open) if self._open else EMPTY
        if self._open:
            self._close()
        return _pack(Kind.SEGMENTED, _REFERENCE, self._references)

    def _close(self) -> None:
        data = b"".join([_ENTRY.pack(*entry) for entry in self._open])
        length = sum(entry.length for entry in self._open)
        segment = Segment(hashlib.sha256(data).digest(), length, data)
        self._finished.append(segment)
        self._references.append(Reference(segment.sha256, length))
        self._open = []


def overlapping(lengths: Iterable[int], start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(index, from, to) for each part of a sequence that ``start … end`` touches; from and to are within the part."""
    position = 0
    for index, length in enumerate(lengths):
        if position >= end or start >= end:
            return
        if position + length > start:
            yield index, max(start - position, 0), min(end - position, length)
        position += length


def _is_border(digest: bytes) -> bool:
    return digest[0] == 0 and digest[1] < 32


def _pack(kind: Kind, form: struct.Struct, items: Sequence[tuple[bytes, int]]) -> bytes:
    return kind.value + b"".join([form.pack(*item) for item in items])
