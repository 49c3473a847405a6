"""A pack whose header, index or length is not what was written: its intact chunks move to new packs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from appliance import faults
from appliance.backends.base import Backend
from appliance.chunks import findings, quarantine, rows
from appliance.chunks.findings import Finding
from appliance.chunks.pack import Record, pack_key
from appliance.chunks.packing import PACK_SIZE
from appliance.chunks.writers import Writers, require
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.upkeep.check_pack import Pack, examine_place
from appliance.upkeep.salvage import Broken, copy_intact, move_chunks
from appliance.upkeep.scrub_packs import PackScrub

_STORE = Sql("SELECT store_id FROM store WHERE id = 1")
_PACK = Sql("SELECT writer_id, counter, size FROM pack WHERE id = :id AND dropped_at IS NULL")
_ROWS = Sql("""
    SELECT id, "offset", stored, length, codec, xxh3 FROM chunk WHERE pack_id = :pack_id ORDER BY "offset"
""")


def salvage(database: Database, backend: Backend, writers: Writers, frame: Finding) -> None:
    """Move what is intact. If nothing is left behind the old pack is dropped; else it counts as gone."""
    with database.snapshot() as session:
        row = session.row(_PACK, id=frame.place)
        records = [Record(*each) for each in session.rows(_ROWS, pack_id=frame.place)]
        store_id: str = session.value(_STORE)
        seen = quarantine.undone(session)
    if row is None:
        return
    of = Pack(frame.place, pack_key(row[0], row[1]), row[2])
    intact = [record for record in records if _is_intact(backend, of.key, record)]
    with writers.write() as write:
        salvaged = [
            copy_intact(backend, writers, write, store_id, Broken(of.id, of.key, part)) for part in _parts(intact)
        ]
        faults.point("repair.copied")

        def work(session: Session) -> None:
            require(session, write)
            # Nothing comes back out of quarantine into this pack from here on; what has is for the next repair.
            is_as_seen = quarantine.is_as_seen(session, seen)
            move_chunks(session, write, salvaged)
            if not is_as_seen:
                return
            findings.close(session, [frame.id], "repaired")
            if len(intact) == len(records):
                rows.drop_packs(session, [of.id])

        database.write(work)
        faults.point("repair.salvaged")
    if len(intact) < len(records):
        PackScrub(database, backend, by="scrub").verify([of])


def _is_intact(backend: Backend, key: str, record: Record) -> bool:
    """Read once more before it counts as damaged."""
    return examine_place(backend, key, record) is None or examine_place(backend, key, record) is None


def _parts(records: Sequence[Record]) -> Iterator[list[Record]]:
    """As much as one pack holds: the old one's rows may lie anywhere in it."""
    part: list[Record] = []
    size = 0
    for record in records:
        part.append(record)
        size += record.stored
        if size >= PACK_SIZE:
            yield part
            part, size = [], 0
    if part:
        yield part
