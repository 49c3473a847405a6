"""``durability: fast``: bringing packs to stable storage afterwards, and what follows an unclean stop.

With ``fast`` a PUT is answered before its bytes are on stable storage. A job syncs and marks packs every few seconds.
After an unclean stop the packs that were not marked are read and compared; what was lost is taken out of the tables,
and each file shows its last intact version: older bytes, never wrong ones. What is left of a damaged pack moves.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

from appliance import faults
from appliance.backends.base import Backend
from appliance.chunks import codec, identity, rows
from appliance.chunks.pack import Record, pack_key, read_index
from appliance.chunks.writers import Writers
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BlobDamaged, BlobMissing, Damaged
from appliance.journal import events
from appliance.journal.events import Action
from appliance.principal import COMMAND
from appliance.upkeep.rollback import roll_back
from appliance.upkeep.salvage import Broken, copy_intact, move_rows

_log = logging.getLogger(__name__)

SYNC_EVERY_S = 5

_STATE = Sql("SELECT clean, boot_id, store_id FROM store WHERE id = 1")
_BEGIN = Sql("UPDATE store SET clean = 0, boot_id = :boot_id WHERE id = 1")
_END = Sql("UPDATE store SET clean = 1 WHERE id = 1")
# One pass over all chunks, however many packs there are to look at.
_CHUNKS_FROM = Sql("""
    SELECT pack_id, id, "offset", stored, length, codec, xxh3 FROM chunk WHERE pack_id >= :pack_id
""")


class Recovered(NamedTuple):
    """What an unclean stop cost: packs found damaged, files set back, and whether commits may be missing."""

    packs: int
    files: int
    commits_lost: bool


def sync_packs(database: Database, backend: Backend) -> int:
    """Sync every pack that is not marked, then mark them; returns how many."""
    with database.read() as session:
        packs = [row[0] for row in rows.unsynced_packs(session)]
    if packs:
        backend.sync_all()
        faults.point("sync.synced")
        database.write(lambda session: rows.mark_synced(session, packs))
    return len(packs)


def begin_serving(database: Database, *, fast: bool) -> None:
    """Note that a server runs; until ``end_serving`` the store counts as unclean."""
    boot_id = current_boot() if fast else ""
    database.write(lambda session: session.run(_BEGIN, boot_id=boot_id))


def end_serving(database: Database, backend: Backend) -> None:
    """Note an orderly stop, once everything is on stable storage."""
    sync_packs(database, backend)
    faults.point("stop.synced")
    database.write(lambda session: session.run(_END))


def recover(database: Database, backend: Backend) -> Recovered | None:
    """After an unclean stop: verify, set back what was lost, and renew the incarnation if commits may be missing.

    None if the last stop was clean. Call while no other process serves the store.
    """
    with database.read() as session:
        row = session.row(_STATE)
    if row is None or row[0] == 1:
        return None
    store_id = row[2]
    # The machine's own crash may have taken commits that were answered: their numbers will be given out again.
    commits_lost = bool(row[1]) and row[1] != current_boot()
    broken, lost = _verify(database, backend, store_id)
    faults.point("recover.verified")
    files = _repair(database, backend, store_id, broken, lost) if broken else 0
    faults.point("recover.repaired")
    sync_packs(database, backend)
    faults.point("recover.synced")
    if commits_lost:
        database.write(lambda session: _begin_anew(session, lost))
    return Recovered(len(broken), files, commits_lost)


def _begin_anew(session: Session, lost: Set[bytes]) -> None:
    """Numbers may be given out again. Where content was lost as well, that has been said of the store already."""
    if not lost:
        identity.reincarnate(session)
    events.record(session, Action.COMMITS_LOST, COMMAND)


def _verify(database: Database, backend: Backend, store_id: str) -> tuple[list[Broken], set[bytes]]:
    """The damaged ones of the packs that were not marked, and the chunks that are lost with them."""
    with database.read() as session:
        packs = rows.unsynced_packs(session)
        records: dict[int, list[Record]] = {pack_id: [] for pack_id, *_ in packs}
        for pack_id, *record in session.stream(_CHUNKS_FROM, pack_id=min(records, default=0)) if packs else ():
            if pack_id in records:
                records[pack_id].append(Record._make(record))
    broken: list[Broken] = []
    lost: set[bytes] = set()
    for pack_id, writer_id, counter, size in packs:
        key = pack_key(writer_id, counter)
        named = sorted(records[pack_id], key=lambda record: record.offset)
        intact = [record for record in named if _is_intact(backend, key, record)]
        if len(intact) < len(named) or not _has_frame(backend, key, size, store_id):
            _log.warning("pack %s did not survive the unclean stop: %d of %d chunks", key, len(intact), len(named))
            broken.append(Broken(pack_id, key, intact))
            lost.update(record.id for record in named)
            lost.difference_update(record.id for record in intact)
    return broken, lost


def _is_intact(backend: Backend, key: str, record: Record) -> bool:
    try:
        return codec.checksum(backend.get(key, record.offset, record.stored)) == record.xxh3
    except (BlobMissing, BlobDamaged):
        return False


def _has_frame(backend: Backend, key: str, size: int, store_id: str) -> bool:
    """Whether header, index and footer are there; the bytes of the chunks alone could not rebuild their rows."""
    try:
        read_index(backend, key, size, store_id)
    except Damaged:
        return False
    return backend.head(key) == size


def _repair(database: Database, backend: Backend, store_id: str, broken: Sequence[Broken], lost: Set[bytes]) -> int:
    """Move what is intact, take out what is lost, in one transaction; returns the number of files set back."""
    writers = Writers(database)
    with writers.write() as write:
        salvaged = [copy_intact(backend, writers, write, store_id, each) for each in broken]
        faults.point("recover.copied")

        def work(session: Session) -> int:
            move_rows(session, write, salvaged)
            if not lost:
                return 0
            identity.reincarnate(session)
            return roll_back(session, lost)

        files = database.write(work)
    writers.retire()
    return files


def current_boot() -> str:
    """Names the machine's present boot; where the platform does not tell, every call a new name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(8)
