"""``durability: fast``: bringing packs to stable storage afterwards, and what follows an unclean stop.

With ``fast`` a PUT is answered before its bytes are on stable storage. A job syncs and marks packs every few seconds.
After an unclean stop the packs that were not marked are read and compared; what was lost is taken out of the tables,
and each file shows its last intact version: older bytes, never wrong ones.
"""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import NamedTuple

from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.chunks import codec, identity, rows
from appliance.chunks.pack import pack_key, read_index
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import BlobMissing, Damaged
from appliance.upkeep.rollback import roll_back

_log = logging.getLogger(__name__)

SYNC_EVERY_S = 5

_STATE = Sql("SELECT clean, boot_id, store_id FROM store WHERE id = 1")
_BEGIN = Sql("UPDATE store SET clean = 0, boot_id = :boot_id WHERE id = 1")
_END = Sql("UPDATE store SET clean = 1 WHERE id = 1")
_CHUNKS_OF = Sql("SELECT id FROM chunk WHERE pack_id = :pack_id")


class Recovered(NamedTuple):
    """What an unclean stop cost: packs found damaged, files set back, and whether commits may be missing."""

    packs: int
    files: int
    commits_lost: bool


def sync_packs(database: Database, backend: DiskBackend) -> int:
    """Sync every pack that is not marked, then mark them; returns how many."""
    with database.read() as session:
        packs = [row[0] for row in rows.unsynced_packs(session)]
    if packs:
        backend.sync_all()
        database.write(lambda session: rows.mark_synced(session, packs))
    return len(packs)


def begin_serving(database: Database, *, fast: bool) -> None:
    """Note that a server runs; until ``end_serving`` the store counts as unclean."""
    boot_id = current_boot() if fast else ""
    database.write(lambda session: session.run(_BEGIN, boot_id=boot_id))


def end_serving(database: Database, backend: DiskBackend) -> None:
    """Note an orderly stop, once everything is on stable storage."""
    sync_packs(database, backend)
    database.write(lambda session: session.run(_END))


def recover(database: Database, backend: DiskBackend) -> Recovered | None:
    """After an unclean stop: verify, set back what was lost, and renew the incarnation if commits may be missing.

    None if the last stop was clean. Call while no other process serves the store.
    """
    with database.read() as session:
        row = session.row(_STATE)
        packs = rows.unsynced_packs(session)
    if row is None or row[0] == 1:
        return None
    lost: set[bytes] = set()
    damaged = 0
    for pack_id, writer_id, counter, size in packs:
        bad = _lost_chunks(database, backend, pack_id, pack_key(writer_id, counter), size, row[2])
        damaged += bool(bad)
        lost |= bad
    files = database.write(lambda session: roll_back(session, lost)) if lost else 0
    sync_packs(database, backend)
    # The machine's own crash may have taken commits that were answered: their numbers will be given out again.
    commits_lost = bool(row[1]) and row[1] != current_boot()
    if commits_lost or lost:
        database.write(identity.reincarnate)
    return Recovered(damaged, files, commits_lost)


def current_boot() -> str:
    """Names the machine's present boot; where the platform does not tell, every call a new name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(8)


def _lost_chunks(database: Database, backend: Backend, pack_id: int, key: str, size: int, store_id: str) -> set[bytes]:
    """The chunks whose rows point into this pack and whose bytes are not there.

    Other records of the pack do not matter: their chunks are read from where their rows say.
    """
    with database.read() as session:
        wanted = {row[0] for row in session.rows(_CHUNKS_OF, pack_id=pack_id)}
    if backend.head(key) == size:
        try:
            records = read_index(backend, key, size, store_id)
            return {
                record.id
                for record in records
                if record.id in wanted and codec.checksum(backend.get(key, record.offset, record.stored)) != record.xxh3
            }
        except (Damaged, BlobMissing):
            pass
    _log.warning("pack %s did not survive the unclean stop", key)
    return wanted
