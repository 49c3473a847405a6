"""What is left of a damaged pack: its intact chunks move into a new one, and the damaged one goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from appliance.backends.base import Backend
from appliance.chunks import rows
from appliance.chunks.channel import Block
from appliance.chunks.pack import Record
from appliance.chunks.packing import OpenPack, StoredPack
from appliance.chunks.writers import Write, Writers
from appliance.db.sql import Session, Sql

_MOVE = Sql("""
    UPDATE chunk SET pack_id = :pack_id, "offset" = :offset WHERE id = :id AND pack_id = :from_id
""")


class Broken(NamedTuple):
    """A pack that is not what it was, and the chunks of it that are."""

    pack_id: int
    key: str
    intact: list[Record]


class Salvaged(NamedTuple):
    """The new place of what was left; None if nothing was."""

    pack_id: int
    stored: StoredPack | None


def copy_intact(backend: Backend, writers: Writers, write: Write, store_id: str, broken: Broken) -> Salvaged:
    """Store the intact chunks once more; as durable as the backend is."""
    if not broken.intact:
        return Salvaged(broken.pack_id, None)
    pack = OpenPack(backend, write.writer_id, writers.next_pack(), store_id)
    try:
        for record in broken.intact:
            stored = Block(backend.get(broken.key, record.offset, record.stored))
            pack.add([record._replace(offset=0)], stored)
        return Salvaged(broken.pack_id, pack.close()())
    except BaseException:
        pack.break_off()
        raise


def move_rows(session: Session, write: Write, salvaged: Sequence[Salvaged]) -> None:
    """Let the rows name the new places, and drop the damaged packs. Rows of what is lost have to go with this."""
    move_chunks(session, write, salvaged)
    rows.drop_packs(session, [pack_id for pack_id, _ in salvaged])


def move_chunks(session: Session, write: Write, salvaged: Sequence[Salvaged]) -> None:
    """Let the rows name the new places."""
    for pack_id, stored in salvaged:
        if stored is None:
            continue
        new_id = rows.insert_pack(
            session,
            writer_id=write.writer_id,
            counter=stored.counter,
            size=stored.size,
            synced=False,
            epoch=write.epoch,
            records=(),
        )
        moves = [
            {"id": each.id, "offset": each.offset, "pack_id": new_id, "from_id": pack_id} for each in stored.records
        ]
        session.run_many(_MOVE, moves)
