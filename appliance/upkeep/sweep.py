"""Clearing what is left behind: blobs of writers that died before they wrote the rows, and locks whose time is over.

A blob without a row is taken only if its writer was declared dead before the rows were asked for: a dead writer can
commit none any more. Blobs of writers that are unknown here (the database may be a restored one) are never touched.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from appliance import clock, faults
from appliance.backends.base import Backend, Blob
from appliance.chunks.pack import pack_key, parse_pack_key, writer_prefix
from appliance.db.database import Database
from appliance.db.sql import LIST_LIMIT, Sql
from appliance.errors import BackendError
from appliance.tree import locks

KEPT_S = 86_400
"""A dead writer's row stays for so long after the writer was declared dead.

A process that was asleep does not know yet, and may still finish a put that a slow client feeds; its blob is found
by the sweeps that follow only while the writer is known.
"""

# From its death on, `expires_at` tells when that was.
_DECLARE_SILENT = Sql("UPDATE writer SET state = 'dead', expires_at = :now WHERE state = 'alive' AND expires_at < :now")
_DECLARE_ALL = Sql("UPDATE writer SET state = 'dead', expires_at = :now WHERE state = 'alive'")
_DEAD = Sql("SELECT id, expires_at FROM writer WHERE state = 'dead' ORDER BY id")
_KNOWN = Sql("SELECT counter FROM pack WHERE writer_id = :writer_id AND counter IN (:counters*)")
_FORGET = Sql("DELETE FROM writer WHERE id = :id AND state = 'dead'")


class Swept(NamedTuple):
    """What a sweep did: writers declared dead and writers forgotten, blobs removed with their bytes, blobs that could
    not be removed, locks, and files of interrupted puts.
    """

    declared: int
    forgotten: int
    blobs: int
    bytes: int
    failed: int
    locks: int
    partial: int


def sweep(database: Database, backend: Backend, *, stopping: Callable[[], bool] = lambda: False) -> Swept:
    """Clear what nobody needs any more. May run at any time, also twice at once; the next one goes on."""
    now = clock.now()
    declared = declare_silent_dead(database)
    faults.point("sweep.declared")
    with database.read() as session:
        dead = session.rows(_DEAD)
    forgotten, blobs, size, failed = 0, 0, 0, 0
    for writer_id, dead_since in dead:
        cleared = _clear(database, backend, writer_id, stopping)
        faults.point("sweep.cleared")
        blobs += cleared.blobs
        size += cleared.bytes
        failed += cleared.failed
        if stopping():
            break
        if not cleared.failed and dead_since < now - KEPT_S * clock.SECOND:
            forgotten += _forget(database, writer_id)
            faults.point("sweep.forgotten")
    dropped = database.write(locks.drop_expired)
    partial = 0 if stopping() else backend.clear_partial()
    return Swept(declared, forgotten, blobs, size, failed, dropped, partial)


def declare_silent_dead(database: Database) -> int:
    """Declare those writers dead whose lease has run out; returns how many."""
    return database.write(lambda session: session.run(_DECLARE_SILENT, now=clock.now()))


def declare_all_dead(database: Database) -> int:
    """Declare every writer dead; for a caller who knows that none runs. Returns how many were alive."""
    return database.write(lambda session: session.run(_DECLARE_ALL, now=clock.now()))


def _forget(database: Database, writer_id: int) -> int:
    return database.write(lambda session: session.run(_FORGET, id=writer_id))


class _Cleared(NamedTuple):
    blobs: int
    bytes: int
    failed: int


def _clear(database: Database, backend: Backend, writer_id: int, stopping: Callable[[], bool]) -> _Cleared:
    """Remove the blobs of a dead writer that no row names."""
    blobs, size, failed = 0, 0, 0
    listed = backend.list(writer_prefix(writer_id))
    while not stopping() and (batch := list(islice(listed, LIST_LIMIT))):
        for blob in _rowless(database, writer_id, batch):
            try:
                backend.delete(blob.key)
            except BackendError:
                failed += 1
                continue
            blobs += 1
            size += blob.size
    return _Cleared(blobs, size, failed)


def _rowless(database: Database, writer_id: int, batch: list[Blob]) -> list[Blob]:
    counters = {}
    for blob in batch:
        parsed = parse_pack_key(blob.key)
        if parsed is not None and pack_key(*parsed) == blob.key:
            counters[parsed[1]] = blob
    with database.read() as session:
        for row in session.rows_by(_KNOWN, list(counters), writer_id=writer_id):
            del counters[row[0]]
    return list(counters.values())
