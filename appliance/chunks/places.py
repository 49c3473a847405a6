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
from appliance.chunks.manifest import Stretch
from appliance.chunks.pack import (
    ENTRY_SIZE,
    FRAME_SIZE,
    HEADER_SIZE,
    NO_COLUMNS,
    Columns,
    Record,
    columns_of,
    pack_key,
    read_columns,
)
from appliance.chunks.rows import Located
from appliance.db.database import Database
from appliance.errors import BackendError, BlobMissing, Damaged

_INDEXES_KEPT = 8
# A record takes some 300 bytes. Raw chunks of the common size are 500 to a pack; of what compresses to almost nothing
# there could be a hundred thousand, of which a reading would need few.
_MOST_RECORDS = 4096
# Bytes of a run that are read as a portion of their own, up to the end of its pack; what follows begins the next one.
_WORTH_ITS_OWN = 1_048_576
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


class Whole(NamedTuple):
    """A pack that seems to hold these chunks and nothing else: its own index, which comes with it, has to say so."""

    key: str
    size: int


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
        if at is None or not _lie_there(self._columns, at, ids, lengths):
            return None
        return Run(self._key, self._columns.offsets[at], self._columns.checksums[at : at + len(ids)])


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


class Plan(NamedTuple):
    """How to read a stretch: as one run, or chunk by chunk at their ``places``, from which unknown ones are missing."""

    stretch: Stretch
    run: Run | Whole | None
    places: dict[bytes, Location]

    @property
    def size(self) -> int:
        """Of the bytes that are wanted."""
        return self.stretch.size


class Course:
    """One reading of content, stretch by stretch. One thread plans; any may ``forget``."""

    def __init__(self, database: Database, indexes: Indexes | None) -> None:
        """Without ``indexes`` each stretch is looked up in the database."""
        self._database = database
        self._indexes = indexes
        self._at_hand: OrderedDict[str, Index] = OrderedDict()
        self._last: str | None = None
        # Of what was looked up, and will be drawn again.
        self._left: dict[bytes, Located] = {}
        # A whole pack was read last, and so may be the next one.
        self._was_whole = False

    def plan(self, stretch: Stretch) -> Plan:
        """Of the next stretch, or of its beginning, where that is a run up to the end of a pack."""
        for index in list(self._at_hand.values()):
            if (run := index.run(stretch.ids, stretch.lengths)) is not None:
                return Plan(stretch, run, {})
        places = self._near(stretch.ids)
        missing = [chunk_id for chunk_id in stretch.ids if chunk_id not in places]
        if not missing:
            return Plan(stretch, None, places)
        if not places and self._indexes is None and (count := self._count_whole(stretch)):
            _, writer_id, counter, size, *_ = self._left.pop(stretch.ids[0])
            return Plan(stretch.cut(count)[0], Whole(pack_key(writer_id, counter), size), {})
        located = self._ask(missing)
        count = 0 if places else _side_by_side(stretch, located)
        if count == len(stretch.ids) or sum(stretch.lengths[:count]) >= _WORTH_ITS_OWN:
            kept, rest = stretch.cut(count)
            self._left = {chunk_id: located[chunk_id] for chunk_id in rest.ids if chunk_id in located}
            return _plan_of_run(kept, located)
        places.update((chunk_id, _location(row)) for chunk_id, row in located.items())
        return Plan(stretch, None, places)

    def forget(self, key: str) -> None:
        """The pack is gone: what was in it is somewhere else."""
        self._at_hand.pop(key, None)
        if self._indexes is not None:
            self._indexes.forget(key)

    def _near(self, ids: Sequence[bytes]) -> dict[bytes, Location]:
        found: dict[bytes, Location] = {}
        for index in list(self._at_hand.values()):
            for chunk_id in ids:
                location = index.get(chunk_id)
                if location is not None:
                    found[chunk_id] = location
        return found

    def _count_whole(self, stretch: Stretch) -> int:
        """Chunks of the stretch's beginning, if they are just what makes the pack in which they begin as long as it is.

        Then no other has to be looked up: long content is mostly such packs.
        """
        first = stretch.ids[0]
        if self._was_whole and first not in self._left:
            self._left = self._ask([first])
        row = self._left.get(first)
        count = 0 if row is None else _count_to_the_end(row, stretch)
        self._was_whole = count > 0
        return count

    def _ask(self, ids: Sequence[bytes]) -> dict[bytes, Located]:
        located, self._left = self._left, {}
        unknown = [chunk_id for chunk_id in ids if chunk_id not in located]
        if unknown:
            with self._database.read() as session:
                located |= rows.locate(session, unknown)
        packs = {row[1:4] for row in located.values()}
        if len(packs) == 1:
            writer_id, counter, size = packs.pop()
            self._look_into(pack_key(writer_id, counter), size)
        return located

    def _look_into(self, key: str, size: int) -> None:
        """The second portion in a row that lies in one pack: there may be many more."""
        if self._indexes is None:
            return
        if key == self._last:
            self._at_hand[key] = self._indexes.get(key, size)
            if len(self._at_hand) > _AT_HAND:
                self._at_hand.popitem(last=False)
        self._last = key


def checksums_of(whole: Whole, stretch: Stretch, data: memoryview) -> Sequence[int] | None:
    """Of the chunks, by the index at the end of ``data``, which is all of the pack but its header; None: it holds
    something else.
    """
    try:
        columns = columns_of(data, whole.key, whole.size)
    except Damaged:
        return None
    count = len(stretch.ids)
    return columns.checksums[:count] if _lie_there(columns, 0, stretch.ids, stretch.lengths) else None


def _lie_there(columns: Columns, at: int, ids: tuple[bytes, ...], lengths: tuple[int, ...]) -> bool:
    """Whether these chunks stand there in this order, uncompressed."""
    end = at + len(ids)
    if columns.ids[at:end] != ids or columns.lengths[at:end] != lengths:
        return False
    return columns.codecs[at:end].count(RAW) == len(ids)


def _count_to_the_end(row: Located, stretch: Stretch) -> int:
    _, _, _, size, offset, _, _, codec, _ = row
    if offset != HEADER_SIZE or codec != RAW or stretch.skip:
        return 0
    at = FRAME_SIZE
    for number, length in enumerate(stretch.lengths, 1):
        at += length + ENTRY_SIZE
        if at >= size:
            return number if at == size else 0
    return 0


def locate(database: Database, ids: Sequence[bytes]) -> dict[bytes, Location]:
    """As the database has it now; those unknown are left out."""
    with database.read() as session:
        located = rows.locate(session, ids)
    return {chunk_id: _location(row) for chunk_id, row in located.items()}


def _location(row: Located) -> Location:
    chunk_id, writer_id, counter, _, *rest = row
    return Location(pack_key(writer_id, counter), Record(chunk_id, *rest))


def _side_by_side(stretch: Stretch, located: dict[bytes, Located]) -> int:
    """How many chunks, from the first, lie in one pack in this order, uncompressed."""
    pack: tuple[int, int] | None = None
    at = 0
    for number, (chunk_id, wanted) in enumerate(zip(stretch.ids, stretch.lengths, strict=True)):
        row = located.get(chunk_id)
        if row is None:
            return number
        _, writer_id, counter, _, offset, stored, length, codec, _ = row
        if pack is None:
            pack, at = (writer_id, counter), offset
        if pack != (writer_id, counter) or offset != at or codec != RAW or stored != wanted or length != wanted:
            return number
        at += wanted
    return len(stretch.ids)


def _plan_of_run(stretch: Stretch, located: dict[bytes, Located]) -> Plan:
    _, writer_id, counter, _, offset, *_ = located[stretch.ids[0]]
    checksums = [located[chunk_id][-1] for chunk_id in stretch.ids]
    return Plan(stretch, Run(pack_key(writer_id, counter), offset, checksums), {})
