"""Where chunks lie: the database knows it of each, and a pack of all that lie in it.

Rows of chunks are ordered by digest, so that those of one file are all over the table: in a big store each costs a page
of its own. Who reads a file from one end to the other therefore looks into the index of the pack that it is in; not
where the pack is far: before its index had come, most of it would be under way.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from appliance.backends.base import Backend
from appliance.chunks import rows
from appliance.chunks.codec import RAW
from appliance.chunks.pack import NO_COLUMNS, Columns, Record, pack_key, read_columns
from appliance.db.database import Database
from appliance.errors import BackendError, BlobMissing, Damaged

_INDEXES_KEPT = 8
# A record takes some 300 bytes. Raw chunks of the common size are 500 to a pack; of what compresses to almost nothing
# there could be a hundred thousand, of which a reading would need few.
_MOST_RECORDS = 4096
# Indexes that one reading looks into: files that were changed lie in an old pack and in newer ones.
_AT_HAND = 3


class Location(NamedTuple):
    """A chunk in the pack ``key``. The bytes there may have been moved since, and are verified by who reads them."""

    key: str
    record: Record


class Run(NamedTuple):
    """Chunks that lie side by side in a pack as they are, not compressed: from ``offset`` on. Verified by who reads."""

    key: str
    offset: int
    checksums: Sequence[int]


class Index:
    """What a pack's index tells: where a chunk is, and whether many lie there in the order in which they are wanted."""

    def __init__(self, key: str, columns: Columns) -> None:
        self._key = key
        self._columns = columns
        self._at = dict(zip(columns.ids, count()))

    def __len__(self) -> int:
        return len(self._at)

    def get(self, chunk_id: bytes) -> Location | None:
        """The chunk, if it is in this pack."""
        at = self._at.get(chunk_id)
        return None if at is None else Location(self._key, self._columns.record(at))

    def run(self, ids: tuple[bytes, ...], lengths: tuple[int, ...]) -> Run | None:
        """These chunks, if they lie here like that. No step for each of them: long content is mostly this."""
        at = self._at.get(ids[0])
        if at is None:
            return None
        columns, end = self._columns, at + len(ids)
        if columns.ids[at:end] != ids or columns.lengths[at:end] != lengths:
            return None
        if columns.codecs[at:end].count(RAW) != len(ids):
            return None
        return Run(self._key, columns.offsets[at], columns.checksums[at:end])


class Indexes:
    """The indexes of packs that were read last; one for a process."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._mutex = threading.Lock()
        self._kept: OrderedDict[str, Index] = OrderedDict()

    def get(self, key: str, size: int) -> Index:
        """Empty if the pack has too many, or no readable index (``check`` tells of that)."""
        with self._mutex:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
        try:
            found = Index(key, read_columns(self._backend, key, size, at_most=_MOST_RECORDS))
        except (BackendError, BlobMissing, Damaged):
            found = Index(key, NO_COLUMNS)
        with self._mutex:
            self._kept[key] = found
            while len(self._kept) > _INDEXES_KEPT:
                self._kept.popitem(last=False)
        return found

    def forget(self, key: str) -> None:
        """The pack is gone."""
        with self._mutex:
            self._kept.pop(key, None)


class Course:
    """One reading of content, portion by portion: one after the other, or without ``indexes`` by several threads."""

    def __init__(self, database: Database, indexes: Indexes | None) -> None:
        self._database = database
        self._indexes = indexes
        self._at_hand: OrderedDict[str, Index] = OrderedDict()
        self._last: str | None = None

    def places(self, ids: Sequence[bytes]) -> dict[bytes, Location]:
        """Of the next portion's chunks; those unknown are left out."""
        found: dict[bytes, Location] = {}
        for index in self._at_hand.values():
            for chunk_id in ids:
                location = index.get(chunk_id)
                if location is not None:
                    found[chunk_id] = location
        missing = [chunk_id for chunk_id in ids if chunk_id not in found]
        if missing:
            found |= self._ask(missing)
        return found

    def run(self, ids: tuple[bytes, ...], lengths: tuple[int, ...]) -> Run | None:
        """The next portion's chunks, if a pack at hand has them side by side, uncompressed."""
        for index in self._at_hand.values():
            if (found := index.run(ids, lengths)) is not None:
                return found
        return None

    def forget(self, key: str) -> None:
        """The pack is gone: what was in it is somewhere else."""
        self._at_hand.pop(key, None)
        if self._indexes is not None:
            self._indexes.forget(key)

    def _ask(self, ids: Sequence[bytes]) -> dict[bytes, Location]:
        with self._database.read() as session:
            located = rows.locate(session, ids)
        found = {}
        packs = set()
        for chunk_id, (writer_id, counter, size, record) in located.items():
            key = pack_key(writer_id, counter)
            found[chunk_id] = Location(key, record)
            packs.add((key, size))
        if len(packs) == 1:
            self._look_into(*packs.pop())
        return found

    def _look_into(self, key: str, size: int) -> None:
        """The second portion in a row that lies in one pack: there may be many more."""
        if self._indexes is None:
            return
        if key == self._last:
            self._at_hand[key] = self._indexes.get(key, size)
            if len(self._at_hand) > _AT_HAND:
                self._at_hand.popitem(last=False)
        self._last = key
