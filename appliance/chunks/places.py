"""Where chunks lie: the database knows it of each, and a pack of all that lie in it.

Rows of chunks are ordered by digest, so that those of one file are all over the table: in a big store each costs a page
of its own. Who reads a file from one end to the other therefore looks into the index of the pack that it is in; not
where the pack is far: before its index had come, most of it would be under way.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from appliance.backends.base import Backend
from appliance.chunks import rows
from appliance.chunks.pack import Record, pack_key, read_records
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


class Indexes:
    """The indexes of packs that were read last; one for a process."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._mutex = threading.Lock()
        self._kept: OrderedDict[str, Mapping[bytes, Record]] = OrderedDict()

    def get(self, key: str, size: int) -> Mapping[bytes, Record]:
        """By chunk id; empty if the pack has too many, or no readable index (``check`` tells of that)."""
        with self._mutex:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
        try:
            records = read_records(self._backend, key, size, at_most=_MOST_RECORDS)
            found = {record.id: record for record in records}
        except (BackendError, BlobMissing, Damaged):
            found = {}
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
        self._at_hand: OrderedDict[str, Mapping[bytes, Record]] = OrderedDict()
        self._last: str | None = None

    def places(self, ids: Sequence[bytes]) -> dict[bytes, Location]:
        """Of the next portion's chunks; those unknown are left out."""
        found: dict[bytes, Location] = {}
        for key, index in self._at_hand.items():
            for chunk_id in ids:
                record = index.get(chunk_id)
                if record is not None:
                    found[chunk_id] = Location(key, record)
        missing = [chunk_id for chunk_id in ids if chunk_id not in found]
        if missing:
            found |= self._ask(missing)
        return found

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
