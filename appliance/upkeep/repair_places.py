"""Other places that have the bytes of what is damaged: a second copy in a pack, small content of the same bytes, and
chunks for small content. Found by reading the index of every pack, and taken only if the bytes are the right ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from appliance import faults
from appliance.backends.base import Backend, Buffer
from appliance.chunks import codec, rows
from appliance.chunks.channel import Block
from appliance.chunks.findings import What
from appliance.chunks.pack import Record
from appliance.chunks.packing import PACK_SIZE, OpenPack, StoredPack
from appliance.chunks.writers import Write, Writers, require
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BackendError
from appliance.upkeep.repair_rows import all_packs, index_of

_STORE = Sql("SELECT store_id FROM store WHERE id = 1")


class Place(NamedTuple):
    """Where the plain bytes of a digest are; ``key`` is a pack's, or "" for small content."""

    digest: bytes
    what: What
    key: str
    record: Record | None


class Places:
    """Searches a store, and stores anew what was found."""

    def __init__(self, database: Database, backend: Backend) -> None:
        self._database = database
        self._backend = backend
        with database.read() as session:
            self._store_id: str = session.value(_STORE)

    def search(self, wanted: Mapping[bytes, What]) -> list[Place]:
        """One intact place for each that has any."""
        found = {each.digest: each for each in self._small(wanted)}
        for of in all_packs(self._database):
            if len(found) == len(wanted):
                break
            for record in index_of(self._backend, of, self._store_id):
                if record.id in wanted and record.id not in found:
                    place = Place(record.id, wanted[record.id], of.key, record)
                    if self._plain(place) is not None:
                        found[record.id] = place
        return list(found.values())

    def store(self, found: Sequence[Place], writers: Writers) -> None:
        """Chunks into new packs, small content into its row; both close their findings."""
        for small in (each for each in found if each.what == "small"):
            self._store_small(small, writers)
        chunks = [each for each in found if each.what == "chunk"]
        while chunks:
            with writers.write() as write:
                taken = self._copied(chunks)
                pack = self._pack([each for each in taken if each is not None], writers, write)
                faults.point("repair.copied")
                _keep(self._database, write, pack)
                faults.point("repair.moved")
            chunks = chunks[len(taken) :]

    def _small(self, wanted: Mapping[bytes, What]) -> Iterator[Place]:
        for digest, what in wanted.items():
            place = Place(digest, what, "", None)
            if what == "chunk" and self._plain(place) is not None:
                yield place

    def _plain(self, place: Place) -> bytes | None:
        """The bytes, if they are the ones; read once more before they count as damaged."""
        return self._read(place) or self._read(place)

    def _read(self, place: Place) -> bytes | None:
        try:
            stored = self._stored(place)
        except BackendError:
            return None
        plain = None if stored is None else codec.plain_of(*stored, sha256=place.digest)
        return None if plain is None else bytes(plain)

    def _stored(self, place: Place) -> tuple[int, int, Buffer] | None:
        """(codec, length, stored bytes)."""
        if place.record is not None:
            record = place.record
            return record.codec, record.length, self._backend.get(place.key, record.offset, record.stored)
        with self._database.read() as session:
            return rows.small_content(session, place.digest)

    def _copied(self, chunks: Sequence[Place]) -> list[tuple[Record, Block] | None]:
        """As many as a pack holds, ready to be stored; None for one that is damaged by now."""
        copied: list[tuple[Record, Block] | None] = []
        size = 0
        for place in chunks:
            plain = self._plain(place)
            if plain is None:
                copied.append(None)
                continue
            how, stored = codec.Compressor().encode(plain)
            record = Record(place.digest, 0, len(stored), len(plain), how, codec.checksum(stored))
            copied.append((record, Block(stored)))
            size += len(stored)
            if size >= PACK_SIZE:
                break
        return copied

    def _pack(self, copied: Sequence[tuple[Record, Block]], writers: Writers, write: Write) -> StoredPack | None:
        if not copied:
            return None
        pack = OpenPack(self._backend, write.writer_id, writers.next_pack(), self._store_id)
        try:
            for record, stored in copied:
                pack.add([record], stored)
            return pack.close()()
        except BaseException:
            pack.break_off()
            raise

    def _store_small(self, place: Place, writers: Writers) -> None:
        plain = self._plain(place)
        if plain is None:
            return
        how, stored = codec.Compressor(thorough=True).encode(plain)
        with writers.write() as write:

            def work(session: Session) -> None:
                require(session, write)
                rows.insert_small(
                    session,
                    sha256=place.digest,
                    length=len(plain),
                    codec=how,
                    data=bytes(stored),
                    epoch=write.epoch,
                    heals_as="repaired",
                )

            self._database.write(work)
            faults.point("repair.moved")


def _keep(database: Database, write: Write, pack: StoredPack | None) -> None:
    if pack is None:
        return

    def work(session: Session) -> None:
        require(session, write)
        rows.insert_pack(
            session,
            writer_id=write.writer_id,
            counter=pack.counter,
            size=pack.size,
            synced=False,
            epoch=write.epoch,
            records=pack.records,
            heals_as="repaired",
        )

    database.write(work)
