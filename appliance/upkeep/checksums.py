"""The job "checksums": reads versions whose SHA-256 nobody could compute on the way, and adds it to them.

A version is named by its change, so its ETag stays what it was.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from appliance import clock, faults
from appliance.backends.paced import Pacer
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BackendError, Damaged
from appliance.files.digests import known_sha256

EVERY_S = 30

_log = logging.getLogger(__name__)
_NEXT = Sql("""
    SELECT d.node_id, d.seq, v.size, v.manifest, v.checksum
    FROM checksum_due d LEFT JOIN version v ON v.node_id = d.node_id AND v.seq = d.seq
    WHERE d.failed_at <= :before ORDER BY d.node_id, d.seq LIMIT 1
""")
_ADD = Sql("""
    UPDATE version SET checksum = CASE WHEN checksum IS NULL THEN :checksum ELSE checksum || ' ' || :checksum END
    WHERE node_id = :node_id AND seq = :seq AND (checksum IS NULL OR checksum NOT LIKE '%SHA256:%')
""")
_FAILED = Sql("UPDATE checksum_due SET failed_at = :now WHERE node_id = :node_id AND seq = :seq")
_DONE = Sql("DELETE FROM checksum_due WHERE node_id = :node_id AND seq = :seq")


class Computed(NamedTuple):
    """How many versions a run has read."""

    versions: int

    def __str__(self) -> str:
        return f"{self.versions} checksums computed" if self.versions else ""


class _Due(NamedTuple):
    node_id: int
    seq: int
    size: int | None
    manifest: bytes | None
    checksum: str | None


def compute(
    database: Database, chunks: ChunkStore, pacer: Pacer, *, stopping: Callable[[], bool] = lambda: False
) -> Computed:
    """Read what is due, no faster than ``pacer`` lets it, until ``stopping``; a version that is not read to its end
    stays due, and one that cannot be read is tried again a day later.
    """
    count = 0
    while not stopping():
        with database.read() as session:
            row = session.row(_NEXT, before=clock.now() - clock.DAY)
        if row is None:
            break
        due = _Due._make(row)
        try:
            sha256 = _sha256(chunks, due, pacer, stopping)
        except (Damaged, BackendError) as error:
            # Whoever reads it is told, and so is who looks at findings. Others wait behind it.
            _log.warning("the SHA-256 of version %d of file %d waits: %s", due.seq, due.node_id, error)
            database.write(partial(_put_off, due=due))
            continue
        if sha256 is None:
            break
        database.write(partial(_keep, due=due, sha256=sha256))
        count += 1
    return Computed(count)


def _sha256(chunks: ChunkStore, due: _Due, pacer: Pacer, stopping: Callable[[], bool]) -> str | None:
    """Hex digits; "" if there is nothing to read, None if there was no time for it."""
    if due.manifest is None or due.size is None:
        return ""
    if (known := known_sha256(due.manifest, due.checksum)) is not None:
        return known
    digest = hashlib.sha256()
    for block in chunks.read(due.manifest, 0, due.size):
        if stopping():
            return None
        pacer.spend(len(block))
        digest.update(block)
    return digest.hexdigest()


def _put_off(session: Session, due: _Due) -> None:
    session.run(_FAILED, now=clock.now(), node_id=due.node_id, seq=due.seq)


def _keep(session: Session, due: _Due, sha256: str) -> None:
    if sha256:
        session.run(_ADD, checksum=f"SHA256:{sha256}", node_id=due.node_id, seq=due.seq)
    faults.point("checksum.kept")
    session.run(_DONE, node_id=due.node_id, seq=due.seq)
