"""Reading every pack: its own index against the chunk rows that point into it, and every stored byte.

Two threads read and hash; this one asks the database, for each pack as it is by then. The chunk rows of a pack come
with its row and may only go, one by one, when they are pruned or moved; so what a snapshot counted and is not found
through the index is looked for once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import NamedTuple

from appliance.backends.base import Backend
from appliance.chunks.pack import Record, pack_key, read_index
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import BackendError, BlobMissing, Damaged
from appliance.upkeep.check_blobs import Compared, still_there
from appliance.upkeep.check_ids import IdNumbers, IdSet
from appliance.upkeep.check_pack import Examined, Pack, examine, examine_place
from appliance.upkeep.check_report import BOUND, Findings, Steps
from appliance.upkeep.paging import LEAST, newest, paged

_UNDER_WAY = 4
_TOGETHER = 64

_LAST = Sql("SELECT COALESCE(MAX(id), 0), COALESCE(SUM(size), 0) FROM pack")
_STORE_ID = Sql("SELECT store_id FROM store ORDER BY id LIMIT 1")
_CHUNKS = Sql("SELECT id, pack_id FROM chunk WHERE id > :id ORDER BY id LIMIT 10000")
_PACKS = Sql("""
    SELECT id, writer_id, counter, size FROM pack
    WHERE id > :id AND id <= :last AND dropped_at IS NULL ORDER BY id LIMIT 500
""")
_COLUMNS = 'id, "offset", stored, length, codec, xxh3'
_BY_ID = Sql(f"SELECT pack_id, {_COLUMNS} FROM chunk WHERE id IN (:ids*)")
_BY_PACK = Sql(f'SELECT pack_id, {_COLUMNS} FROM chunk WHERE pack_id IN (:ids*) ORDER BY pack_id, "offset"')


class Expected(NamedTuple):
    """What there was to read in the snapshot: the chunk rows of each pack, the last pack, the bytes of all."""

    chunks: IdNumbers
    last_pack: int
    size: int


def count_chunks(session: Session, steps: Steps, total: int) -> Expected:
    """How many chunk rows point into each pack."""
    chunks = IdNumbers()
    steps.begin("chunks", total, "rows")
    for page in paged(session.rows, _CHUNKS, {"id": b""}):
        for _, pack_id in page:
            chunks[pack_id] += 1
        steps.advance(len(page))
    row = session.row(_LAST)
    assert row is not None
    return Expected(chunks, row[0], int(row[1]))


def check_data(
    database: Database, backend: Backend, expected: Expected, compared: Compared, findings: Findings, steps: Steps
) -> tuple[int, list[str]]:
    """Read and hash all packs; returns the bytes of those that could be read, and notes."""
    with database.read() as session:
        row = session.row(_STORE_ID)
    store_id = "" if row is None else row[0]
    reading = _Reading(database, backend, store_id, expected, findings)
    steps.begin("packs", expected.size, "bytes")
    done = 0
    with ThreadPoolExecutor(2, thread_name_prefix="check") as pool:
        under_way: deque[tuple[Pack, Future[Examined]]] = deque()
        for of in _packs(database, expected.last_pack):
            if of.id in compared.other_size:
                reading.suspect(of)
            if of.id not in compared.intact:
                steps.advance(of.size)
                continue
            under_way.append((of, pool.submit(examine, backend, of, store_id)))
            if len(under_way) >= _UNDER_WAY:
                done += _absorb_oldest(under_way, reading, steps)
        while under_way:
            done += _absorb_oldest(under_way, reading, steps)
    reading.finish()
    return done, reading.notes()


def _absorb_oldest(under_way: deque[tuple[Pack, Future[Examined]]], reading: _Reading, steps: Steps) -> int:
    of, examined = under_way.popleft()
    read = reading.absorb(of, examined)
    steps.advance(of.size)
    return read


def _packs(database: Database, last: int) -> Iterator[Pack]:
    for page in paged(newest(database), _PACKS, {"id": LEAST}, last=last):
        for pack_id, writer_id, counter, size in page:
            yield Pack(pack_id, pack_key(writer_id, counter), size)


class _Reading:
    """Puts what was read beside the rows."""

    def __init__(
        self, database: Database, backend: Backend, store_id: str, expected: Expected, findings: Findings
    ) -> None:
        self._database = database
        self._backend = backend
        self._store_id = store_id
        self._expected = expected
        self._findings = findings
        # Packs whose chunk rows may not all agree with what was read. Of those beyond the bound only this is kept: that
        # they are, and how many of their rows agreed.
        self._suspects: dict[int, Pack] = {}
        self._more_suspects = IdSet()
        self._agreeing = IdNumbers()
        # Damage that hurts nobody.
        self._unused: list[str] = []
        # Those of them that were read whole all the same.
        self._examined: set[int] = set()

    def absorb(self, of: Pack, future: Future[Examined]) -> int:
        """Report on one pack; returns the bytes read."""
        where = f"pack {of.id} ({of.key})"
        try:
            examined = future.result()
        except BlobMissing:
            if still_there(self._database, of.id):
                self._findings.add("pack-missing", where, "has no blob any more, or a shorter one")
            return 0
        except BackendError as error:
            self._findings.add("pack-unreadable", where, f"cannot be read: {error.reason}")
            self.suspect(of)
            return 0
        if examined.frame is not None:
            if still_there(self._database, of.id):
                self._findings.add("pack-frame", where, f"is damaged: {examined.frame}")
                self.suspect(of)
            return of.size
        self._compare(examined, where)
        return of.size

    def suspect(self, of: Pack, agreeing: int = 0) -> None:
        """Have the pack's chunks looked at row by row; so many of its rows ``agreeing`` with what was read."""
        if len(self._suspects) < BOUND:
            self._suspects[of.id] = of
        else:
            self._more_suspects.add(of.id)
            self._agreeing[of.id] = agreeing

    def _compare(self, examined: Examined, where: str) -> None:
        of = examined.pack
        with self._database.read() as session:
            rows = session.rows_by(_BY_ID, sorted(examined.records))
        mine = {row[1]: _record(row) for row in rows if row[0] == of.id}
        agreeing = sum(examined.records[chunk_id] == record for chunk_id, record in mine.items())
        for chunk_id, what in examined.damaged.items():
            if mine.get(chunk_id) == examined.records[chunk_id]:
                self._findings.add("chunk-damaged", f"chunk {chunk_id.hex()} in {where}", f"is damaged: {what}")
            elif chunk_id not in mine:
                self._unused.append(f"{where} is damaged in a part that no row uses: {chunk_id.hex()}, {what}")
        if agreeing < max(len(mine), self._expected.chunks[of.id]):
            self._examined.add(of.id)
            self.suspect(of, agreeing)

    def notes(self) -> list[str]:
        """What is damaged, and no content suffers from it."""
        more = len(self._unused) - BOUND
        return self._unused[:BOUND] + ([f"and {more} more such parts"] if more > 0 else [])

    def finish(self) -> None:
        """Look at the chunk rows of the suspects. Rows are found by pack only in reading all: many packs at a time."""
        ids = sorted(self._suspects)
        for start in range(0, len(ids), _TOGETHER):
            with self._database.read() as session:
                rows = session.rows_by(_BY_PACK, ids[start : start + _TOGETHER])
            for pack_id, group in groupby(rows, key=lambda row: row[0]):
                self._look_at_rows(self._suspects[pack_id], map(_record, group))
        more = self._disagreeing()
        if more:
            self._findings.add(
                "pack-index",
                f"{more} more packs",
                "are damaged or do not agree with their rows; their chunks were not looked at one by one",
            )

    def _disagreeing(self) -> int:
        """How many suspects beyond the bound have rows that did not agree; the others lost theirs to prune."""
        disagreeing, found = IdSet(), IdNumbers()
        if not self._more_suspects:
            return 0
        count = 0
        for page in paged(newest(self._database), _CHUNKS, {"id": b""}):
            for _, pack_id in page:
                if pack_id not in self._more_suspects or pack_id in disagreeing:
                    continue
                found[pack_id] += 1
                if found[pack_id] > self._agreeing[pack_id]:
                    disagreeing.add(pack_id)
                    count += 1
        return count

    def _look_at_rows(self, of: Pack, rows: Iterable[Record]) -> None:
        verified = self._index(of)
        for record in rows:
            if verified is not None and verified.get(record.id) == record:
                continue
            where = f"chunk {record.id.hex()} in pack {of.id} ({of.key})"
            if verified is not None:
                self._findings.add("pack-index", where, "is not what the pack's index tells of it")
            wrong = examine_place(self._backend, of.key, record)
            if wrong is not None and still_there(self._database, of.id):
                self._findings.add("chunk-damaged", where, f"is damaged: {wrong}")

    def _index(self, of: Pack) -> dict[bytes, Record] | None:
        """What was verified through the pack's index, if that was possible."""
        if of.id not in self._examined:
            return None
        try:
            return {record.id: record for record in read_index(self._backend, of.key, of.size, self._store_id)}
        except (Damaged, BackendError):
            return None


def _record(row: Row) -> Record:
    return Record(*row[1:])
