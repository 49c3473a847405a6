"""Rows of chunks that were lost, rebuilt from the indexes of the packs: those that a version needs, and no others.

A row is written only for a chunk that a manifest names and that has none. So no prune that goes on beside it drops the
pack: it either saw the row, or saw that it was missing and drops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from appliance import clock, faults
from appliance.backends.base import Backend
from appliance.chunks import findings, rows
from appliance.chunks.pack import Record, pack_key, parse_pack_key, read_index
from appliance.db.database import Database
from appliance.db.sql import LIST_LIMIT, Session, Sql
from appliance.errors import BackendError, Damaged
from appliance.upkeep import marks
from appliance.upkeep.check_pack import Pack
from appliance.upkeep.marks import CHUNKS, Named, Part
from appliance.upkeep.paging import newest, paged

_CHUNK_LEAST = 16_384

_STORE = Sql("SELECT store_id FROM store WHERE id = 1")
_EPOCH = Sql("SELECT prune_epoch FROM store WHERE id = 1")
_SIZE = Sql("SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM pack")
_PACKS = Sql("""
    SELECT id, writer_id, counter, size FROM pack WHERE id < :id AND dropped_at IS NULL ORDER BY id DESC LIMIT 1000
""")
_HAVE = Sql("SELECT id FROM chunk WHERE id IN (:ids*)")
_KNOWN = Sql("SELECT counter FROM pack WHERE writer_id = :writer_id AND counter IN (:counters*)")
_ALIVE = Sql("SELECT 1 FROM writer WHERE id = :id AND state = 'alive'")
_ADOPT = Sql("""
    INSERT INTO pack (writer_id, counter, size, synced, created_at) VALUES (:writer_id, :counter, :size, 0, :now)
    RETURNING id
""")
# A reader may have met anew what is known to be gone.
_NOTE_GONE = Sql("""
    UPDATE finding SET place = :gone WHERE closed_at IS NULL AND what = 'chunk' AND place = 0 AND NOT EXISTS (
        SELECT 1 FROM finding g
        WHERE g.closed_at IS NULL AND g.what = 'chunk' AND g.digest = finding.digest AND g.place = :gone
    )
""")
_ROWS_FOUND = Sql("""
    UPDATE finding SET closed_at = :now, outcome = 'repaired' WHERE closed_at IS NULL AND what = 'rows'
""")


class Rebuilt(NamedTuple):
    """How many rows were written, or were to be; the chunks of these that were asked for; and how many chunks are
    named and in no pack.
    """

    rows: int
    asked: set[bytes]
    missing: int


def rebuild_rows(database: Database, backend: Backend, *, acts: bool, asked: Set[bytes]) -> Rebuilt:
    """Write the rows, or only count them."""
    run = _Run(database, backend, acts=acts, asked=asked)
    with database.read() as session:
        parts = marks.parts(session, expected=int(session.value(_SIZE)) // _CHUNK_LEAST)
    for part in parts:
        run.rebuild(part)
    return Rebuilt(run.rebuilt, run.found, run.missing)


def note_gone(session: Session) -> None:
    """What still has no row has been looked for in every pack."""
    session.run(_NOTE_GONE, gone=findings.GONE)
    session.run(_ROWS_FOUND, now=clock.now())


def all_packs(database: Database) -> Iterator[Pack]:
    """The packs that are not dropped, the newest first: what was healed or moved lies in newer ones."""
    for page in paged(newest(database), _PACKS, {"id": 1 << 62}):
        for pack_id, writer_id, counter, size in page:
            yield Pack(pack_id, pack_key(writer_id, counter), size)


def index_of(backend: Backend, of: Pack, store_id: str) -> list[Record]:
    """What lies in a pack as it says itself; nothing if that cannot be read, also not at the second attempt."""
    for _ in range(2):
        with suppress(Damaged, BackendError):
            return read_index(backend, of.key, of.size, store_id)
    return []


class _Run:
    def __init__(self, database: Database, backend: Backend, *, acts: bool, asked: Set[bytes]) -> None:
        self.rebuilt = 0
        self.missing = 0
        self.found = set[bytes]()
        self._asked = asked
        self._database = database
        self._backend = backend
        self._acts = acts
        with database.read() as session:
            self._store_id: str = session.value(_STORE)

    def rebuild(self, part: Part) -> None:
        """The rows of one range of digests."""
        with self._database.snapshot() as session:
            named = marks.read_manifests(session, part, tolerant=True)
        lost = named.chunks.count()
        for page in CHUNKS.pages(newest(self._database), part):
            lost -= len(page) - sum(1 for _ in named.unnamed(CHUNKS, page))
        known = set[bytes]()
        for of in all_packs(self._database):
            if len(known) >= lost:
                return
            self._take(of, part, named, known)
        for of in self._rowless():
            if len(known) >= lost:
                return
            self._take(of, part, named, known)
        self.missing += lost - len(known)

    def _take(self, of: Pack, part: Part, named: Named, known: set[bytes]) -> None:
        """Those of its chunks that are named and have no row; ``known`` are those that were taken already."""
        records = sorted(record for record in index_of(self._backend, of, self._store_id) if _is_in(part, record.id))
        unnamed = {row[0] for row in named.unnamed(CHUNKS, records)}
        wanted = [record for record in records if record.id not in unnamed and record.id not in known]
        with self._database.read() as session:
            there = {row[0] for row in session.rows_by(_HAVE, [record.id for record in wanted])}
        lost = [record for record in wanted if record.id not in there]
        known.update(record.id for record in lost)
        self.rebuilt += len(lost)
        self.found.update(record.id for record in lost if record.id in self._asked)
        if lost and self._acts:
            self._write(of, lost)
            faults.point("repair.rebuilt")

    def _write(self, of: Pack, lost: Sequence[Record]) -> None:
        def work(session: Session) -> None:
            pack_id = of.id or self._adopt(session, of)
            rows.rebuild(session, pack_id, lost, epoch=session.value(_EPOCH))

        self._database.write(work)

    def _adopt(self, session: Session, of: Pack) -> int:
        parsed = parse_pack_key(of.key)
        assert parsed is not None
        pack_id: int = session.value(_ADOPT, writer_id=parsed[0], counter=parsed[1], size=of.size, now=clock.now())
        return pack_id

    def _rowless(self) -> Iterator[Pack]:
        """Packs that have no row, with the id 0; without those of living writers, which may have no row yet."""
        blobs = ((parse_pack_key(blob.key), blob) for blob in self._backend.list("packs/"))
        found = (Pack(0, blob.key, blob.size) for parsed, blob in blobs if parsed is not None)
        while batch := list(islice(found, LIST_LIMIT)):
            yield from self._unknown(batch)

    def _unknown(self, batch: Iterable[Pack]) -> Iterator[Pack]:
        for of in batch:
            parsed = parse_pack_key(of.key)
            assert parsed is not None
            with self._database.read() as session:
                known = session.rows_by(_KNOWN, [parsed[1]], writer_id=parsed[0])
                alive = session.row(_ALIVE, id=parsed[0])
            if not known and alive is None:
                yield of


def _is_in(part: Part, digest: bytes) -> bool:
    return part.first <= (digest[0] << 8 | digest[1]) < part.end
