"""Repacking: what is needed of packs that are mostly dead weight, and of many small ones, moves into new packs.

Stored bytes are copied as they are, once their checksum is compared. A pack is dropped in the transaction that moves
its last chunk; what cannot be read stays where it is, and scrub is asked to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from appliance import faults
from appliance.backends.base import Backend
from appliance.chunks import codec, findings, garbage, packing, quarantine, rows
from appliance.chunks.channel import Block
from appliance.chunks.pack import Record, read_index
from appliance.chunks.packing import OpenPack, StoredPack
from appliance.chunks.writers import Write, Writers, require
from appliance.db import gentle
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BackendError, Damaged
from appliance.upkeep.weights import Weighed

_RUN = 4 * 1_048_576
_RECORDS = 4096

_STORE_ID = Sql("SELECT store_id FROM store WHERE id = 1")
_CHUNKS = Sql("""
    SELECT id, "offset", stored, length, codec, xxh3, pack_id FROM chunk WHERE id IN (:ids*)
""")
_HELD = Sql("""
    SELECT digest, "offset", stored, length, codec, xxh3 FROM forgotten
    WHERE pack_id = :pack_id AND pack_id > 0
""")
_MOVE = Sql("""
    UPDATE chunk SET pack_id = :pack_id, "offset" = :offset WHERE id = :id AND pack_id = :from_id AND "offset" = :at
""")
_MOVE_HELD = Sql("""
    UPDATE forgotten SET pack_id = :pack_id, "offset" = :offset
    WHERE digest = :id AND pack_id = :from_id AND pack_id > 0 AND "offset" = :at
""")
_IN_PACK = Sql("SELECT 1 FROM chunk WHERE id IN (:ids*) AND pack_id = :pack_id")
_HELD_IN = Sql("SELECT 1 FROM forgotten WHERE pack_id = :pack_id AND pack_id > 0 LIMIT 1")
_SUSPECT = Sql("UPDATE pack SET verified_at = 0 WHERE id IN (:ids*)")


class Repacked(NamedTuple):
    """Packs that were dropped, with their bytes, and the bytes that were copied out of them."""

    packs: int
    bytes: int
    copied: int


class _Source(NamedTuple):
    """A pack, what its index tells, and what of it some row names."""

    of: Weighed
    records: list[Record]
    used: list[Record]
    # Whether each record of the index has a row, here or elsewhere.
    is_known: bool


class _Copy(NamedTuple):
    """One record, from where to where."""

    source: _Source
    record: Record
    offset: int


def groups(packs: Iterable[Weighed], most: int | None = None) -> Iterator[list[Weighed]]:
    """In their order, as many together as fill a new pack, or one of ``most`` bytes."""
    most = packing.PACK_SIZE if most is None else most
    group: list[Weighed] = []
    used = 0
    for of in packs:
        if group and used + of.used > most:
            yield group
            group, used = [], 0
        group.append(of)
        used += of.used
    if group:
        yield group


class Repacker:
    """Moves what is needed, a group of packs at a time, under a writer of its own."""

    def __init__(self, database: Database, backend: Backend, source: Backend) -> None:
        """Bytes are read from ``source``: ``backend``, maybe slower. ``database`` commits durably."""
        self._database = database
        self._backend = backend
        self._source = source
        self._writers = Writers(database)
        self._has_failed = False
        with database.read() as session:
            self._store_id: str = session.value(_STORE_ID)

    def end(self) -> None:
        """Nothing more is moved."""
        self._writers.retire(leaves_nothing=not self._has_failed)

    def move(self, group: Sequence[Weighed], *, is_marked: bool) -> Repacked:
        """``is_marked``: no manifest names a chunk that has no row, so whatever has none is dead.

        Without that, a pack in which a record has no row stays, and there is a reason to look.
        """
        with self._database.read() as session:
            seen = quarantine.undone(session)
            damaged = findings.damaged_packs(session, [of.id for of in group])
        done = Repacked(0, 0, 0)
        unread: list[int] = []
        for batch in self._batches([of for of in group if of.id not in damaged], unread):
            if len(batch) == 1 and not is_marked:
                # Alone it would be copied into one as small, and again with every run.
                continue
            moved = self._move([self._look(*each) for each in batch], seen, is_marked=is_marked)
            done = Repacked(*(one + other for one, other in zip(done, moved, strict=True)))
        self._suspect(unread)
        return done

    def _batches(self, group: Sequence[Weighed], unread: list[int]) -> Iterator[list[tuple[Weighed, list[Record]]]]:
        """With their indexes, as many packs together as have some thousand records: other writers wait while their
        rows are moved.

        ``unread`` takes those whose index cannot be read.
        """
        batch: list[tuple[Weighed, list[Record]]] = []
        for of in group:
            try:
                index = read_index(self._source, of.key, of.size, self._store_id)
            except (Damaged, BackendError):
                unread.append(of.id)
                continue
            if batch and sum(len(records) for _, records in batch) + len(index) > _RECORDS:
                yield batch
                batch = []
            batch.append((of, index))
        if batch:
            yield batch

    def _move(self, sources: Sequence[_Source], seen: int, *, is_marked: bool) -> Repacked:
        self._writers.renew()
        self._has_failed, had_failed = True, self._has_failed
        with self._writers.write() as write:
            stored, copies, spoiled = self._copy(sources, write)
            faults.point("repack.copied")
            # The old packs may be durable: they go only when the new one is.
            self._backend.sync_all()

            def work(session: Session) -> Repacked:
                require(session, write)
                return _move(session, write, seen, stored, copies, sources, is_marked=is_marked)

            done = gentle.write(self._database, work)
            self._has_failed = had_failed
            faults.point("repack.moved")
        self._suspect(sorted(spoiled))
        return done

    def _suspect(self, packs: Sequence[int]) -> None:
        """Scrub reads them with its next run."""
        if packs:
            self._database.write(lambda session: session.run_by(_SUSPECT, packs))

    def _look(self, of: Weighed, index: list[Record]) -> _Source:
        with self._database.read() as session:
            found = session.rows_by(_CHUNKS, [record.id for record in index])
            held = {Record(*row) for row in session.rows(_HELD, pack_id=of.id)}
        here = {Record(*row[:6]) for row in found if row[6] == of.id}
        known = {row[0] for row in found} | {record.id for record in held}
        used = sorted(here | held, key=lambda record: record.offset)
        return _Source(of, index, used, all(record.id in known for record in index))

    def _copy(self, sources: Sequence[_Source], write: Write) -> tuple[StoredPack | None, list[_Copy], set[int]]:
        """The new pack, what is in it, and the packs in which something cannot be read."""
        spoiled: set[int] = set()
        pack: OpenPack | None = None
        copied: list[tuple[_Source, Record]] = []
        try:
            for source in sources:
                for record, data in self._intact(source, spoiled):
                    pack = pack or OpenPack(self._backend, write.writer_id, self._writers.next_pack(), self._store_id)
                    pack.add([record._replace(offset=0)], Block(data))
                    copied.append((source, record))
            stored = pack.close()() if pack is not None else None
        except BaseException:
            if pack is not None:
                pack.break_off()
            raise
        places = stored.records if stored is not None else []
        copies = [_Copy(*each, at.offset) for each, at in zip(copied, places, strict=True)]
        return stored, copies, spoiled

    def _intact(self, source: _Source, spoiled: set[int]) -> Iterator[tuple[Record, memoryview]]:
        for run in _runs(source.used):
            first, last = run[0], run[-1]
            try:
                data = memoryview(
                    self._source.get(source.of.key, first.offset, last.offset + last.stored - first.offset)
                )
            except BackendError:
                spoiled.add(source.of.id)
                continue
            for record in run:
                stored = data[record.offset - first.offset :][: record.stored]
                if codec.checksum(stored) == record.xxh3:
                    yield record, stored
                else:
                    spoiled.add(source.of.id)


def _runs(used: Sequence[Record]) -> Iterator[list[Record]]:
    """What lies side by side, some mebibytes together."""
    run: list[Record] = []
    for record in used:
        if run and (
            run[-1].offset + run[-1].stored != record.offset or record.offset + record.stored - run[0].offset > _RUN
        ):
            yield run
            run = []
        run.append(record)
    if run:
        yield run


def _move(
    session: Session,
    write: Write,
    seen: int,
    stored: StoredPack | None,
    copies: Sequence[_Copy],
    sources: Sequence[_Source],
    *,
    is_marked: bool,
) -> Repacked:
    # From here on nothing comes back out of quarantine into a pack that is found empty.
    is_as_seen = quarantine.is_as_seen(session, seen)
    if stored is not None:
        pack_id = rows.insert_pack(
            session,
            writer_id=write.writer_id,
            counter=stored.counter,
            size=stored.size,
            synced=True,
            epoch=write.epoch,
            records=(),
        )
        moves = [
            {
                "id": copy.record.id,
                "from_id": copy.source.of.id,
                "at": copy.record.offset,
                "pack_id": pack_id,
                "offset": copy.offset,
            }
            for copy in sorted(copies, key=lambda copy: copy.record)
        ]
        session.run_many(_MOVE, moves)
        session.run_many(_MOVE_HELD, moves)
        if not _is_used(session, pack_id, [copy.record for copy in copies]):
            rows.drop_packs(session, [pack_id])
    if not is_as_seen:
        return Repacked(0, 0, 0)
    empty = [source for source in sources if not _is_used(session, source.of.id, [*source.records, *source.used])]
    dropped = [source.of for source in empty if is_marked or source.is_known]
    if len(dropped) < len(empty):
        garbage.look(session)
    rows.drop_packs(session, [of.id for of in dropped])
    return Repacked(len(dropped), sum(of.size for of in dropped), sum(copy.record.stored for copy in copies))


def _is_used(session: Session, pack_id: int, records: Sequence[Record]) -> bool:
    if session.row(_HELD_IN, pack_id=pack_id) is not None:
        return True
    return bool(session.rows_by(_IN_PACK, [record.id for record in records], pack_id=pack_id))
