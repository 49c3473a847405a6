"""Which chunks, segments and small content manifests name, in little memory, and which rows none of them names.

A store is looked at in parts: ranges of digests, each with a reading of all manifests of its own, so that memory is
bounded however many chunks there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from appliance.chunks import manifest
from appliance.chunks.manifest import Kind, Manifest
from appliance.chunks.quarantine import What
from appliance.db.sql import Row, Session, Sql
from appliance.errors import Damaged
from appliance.upkeep import manifests
from appliance.upkeep.paging import Fetch, count, paged

IN_PART = 4_000_000
"""Chunks, and as many small contents, that one part has room for: some 60 MB of memory for each of the two."""

_DIGEST = 32
_PREFIXES = 1 << 16
_KEPT = 6
_UNSORTED = 32

_SEGMENTS = Sql("SELECT sha256, data FROM segment WHERE sha256 > :sha256 ORDER BY sha256 LIMIT 50")


class Part(NamedTuple):
    """The digests whose first two bytes, as a number, are from ``first`` to below ``end``."""

    first: int
    end: int

    @property
    def above(self) -> bytes:
        """Below each digest of the part, and above all before it."""
        return self.first.to_bytes(2, "big")

    @property
    def below(self) -> bytes:
        """Above each digest of the part."""
        return self.end.to_bytes(2, "big") if self.end < _PREFIXES else b"\xff" * 33


def parts(session: Session, *, in_part: int = IN_PART, expected: int = 0) -> list[Part]:
    """So many that the marks of each have room; there may be more chunks ``expected`` than have rows."""
    number = min(1 + max(count(session, "chunk"), count(session, "small"), expected) // in_part, _PREFIXES)
    borders = [index * _PREFIXES // number for index in range(number + 1)]
    return [Part(first, end) for first, end in pairwise(borders)]


class Marks:
    """A set of digests of one part, by their first eight bytes.

    Two that begin alike are taken for one; what a manifest names is never missing.
    """

    def __init__(self, part: Part) -> None:
        self._first = part.first
        # Made when something comes into it: in a small store most never are, and making all takes longer than the rest.
        self._buckets: list[bytearray | None] = [None] * (part.end - part.first)
        # So long is a bucket before repetitions are looked for.
        self._limits = [_UNSORTED * _KEPT] * len(self._buckets)

    def add(self, digest: bytes) -> None:
        """Digests of other parts are passed over."""
        index = (digest[0] << 8 | digest[1]) - self._first
        if 0 <= index < len(self._buckets):
            bucket = self._buckets[index]
            if bucket is None:
                bucket = self._buckets[index] = bytearray()
            bucket += digest[2 : 2 + _KEPT]
            if len(bucket) > self._limits[index]:
                distinct = _pieces(bucket)
                self._buckets[index] = bytearray().join(distinct)
                self._limits[index] = max(self._limits[index], 2 * _KEPT * len(distinct))

    def missing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Those of the rows, which begin with a digest of this part and are in that order, that are not marked.

        What is no digest counts as marked.
        """
        known, of = set[bytes](), -1
        for row in rows:
            if len(row[0]) != _DIGEST:
                continue
            index = (row[0][0] << 8 | row[0][1]) - self._first
            if index != of:
                known, of = _pieces(self._buckets[index] or b""), index
            if row[0][2 : 2 + _KEPT] not in known:
                yield row

    def count(self) -> int:
        """How many are marked."""
        return sum(map(len, map(_pieces, filter(None, self._buckets))))


def _pieces(bucket: bytes | bytearray) -> set[bytes]:
    return {bytes(bucket[start : start + _KEPT]) for start in range(0, len(bucket), _KEPT)}


class Table:
    """A table of content, and the column with its digests."""

    def __init__(self, name: What, key: str, *, pack: str = "0", stored: str = "LENGTH(data)") -> None:
        self.name = name
        self._page = Sql(f"""
            SELECT {key}, wanted, {pack}, {stored} FROM {name}
            WHERE {key} > :after AND {key} < :below ORDER BY {key} LIMIT 2000
        """)

    def pages(self, fetch: Fetch, part: Part) -> Iterator[list[Row]]:
        """(digest, wanted, id of the pack, stored bytes) of each row of the part, in the order of their digests."""
        return paged(fetch, self._page, {"after": part.above}, below=part.below)


WHOLE = Part(0, _PREFIXES)
CHUNKS = Table("chunk", "id", pack="pack_id", stored="stored")
SMALL = Table("small", "sha256")
SEGMENTS = Table("segment", "sha256")


def ranges(part: Part) -> list[tuple[Table, Part]]:
    """What is to be compared with the marks of a part; segments all with those of the first."""
    segments = [(SEGMENTS, WHOLE)] if part.first == 0 else []
    return [*segments, (SMALL, part), (CHUNKS, part)]


class Named(NamedTuple):
    """What the manifests of a snapshot name, as far as it belongs to a part; of segments all."""

    segments: Marks
    small: Marks
    chunks: Marks

    def unnamed(self, table: Table, page: Iterable[Row]) -> Iterator[Row]:
        """The rows of a page that no manifest names."""
        return {CHUNKS: self.chunks, SMALL: self.small, SEGMENTS: self.segments}[table].missing(page)


def read_manifests(
    session: Session,
    part: Part,
    *,
    pause: Callable[[], None] = lambda: None,
    read: Callable[[int], None] = lambda count: None,
    tolerant: bool = False,
) -> Named:
    """Read every manifest, those of unfinished uploads too, and every segment that one names.

    ``pause`` is called now and then, and may raise; ``read`` is told how many more were read.

    With ``tolerant`` what cannot be read names nothing, for callers who want to know what is needed at least.

    The session is a snapshot: in a row of states a copy could be made of what was not yet read into what was.

    Raises:
        Damaged: a manifest cannot be read, so nobody knows what it names.
    """
    named = Named(Marks(WHOLE), Marks(part), Marks(part))
    for page in manifests.every(session.rows):
        pause()
        read(len(page))
        for head in page:
            decoded = _decode(head, tolerant=tolerant)
            marks = named.small if decoded.kind is Kind.SMALL else named.chunks
            for entry in decoded.entries:
                marks.add(entry.id)
            for reference in decoded.references:
                named.segments.add(reference.sha256)
    _read_segments(session, named, pause, tolerant=tolerant)
    return named


def _decode(head: bytes, *, tolerant: bool) -> Manifest:
    try:
        return manifest.decode(head)
    except Damaged:
        if not tolerant:
            raise
        return manifest.decode(manifest.EMPTY)


def _read_segments(session: Session, named: Named, pause: Callable[[], None], *, tolerant: bool) -> None:
    found = Marks(WHOLE)
    for page in paged(session.rows, _SEGMENTS, {"sha256": b""}):
        pause()
        unnamed = {row[0] for row in named.segments.missing(page)}
        for sha256, data in page:
            if sha256 in unnamed:
                continue
            if hashlib.sha256(data).digest() != sha256:
                if tolerant:
                    continue
                raise Damaged(what=f"manifest segment {sha256.hex()}")
            found.add(sha256)
            for entry in manifest.decode_entries(data):
                named.chunks.add(entry.id)
    if found.count() < named.segments.count() and not tolerant:
        raise Damaged(what="a version: a manifest segment that it names is missing; `holdfast check` tells which")
