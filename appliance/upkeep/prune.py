"""Pruning: what no manifest names goes, while everything else goes on. docs/design/ordering.md says why that is safe.

It is made only when there is a reason (appliance.chunks.garbage), and takes what was wanted before the least epoch of
the living writers. A reason that is too young for that raises the epoch; living writers follow within seconds, and the
next run finds it ripe. No clock is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from appliance import faults
from appliance.backends.base import Backend
from appliance.chunks import garbage, rows
from appliance.chunks.garbage import Reason
from appliance.chunks.pack import pack_key
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import BackendError
from appliance.upkeep import marks
from appliance.upkeep.check_ids import IdSet
from appliance.upkeep.marks import CHUNKS, SEGMENTS, SMALL, Part, Table
from appliance.upkeep.paging import LEAST, newest, paged

_RAISE = Sql("UPDATE store SET prune_epoch = prune_epoch + 1 WHERE id = 1 AND prune_epoch <= :newest")
_LEAST_EPOCH = Sql("""
    SELECT COALESCE(MIN(epoch), (SELECT prune_epoch FROM store WHERE id = 1)) FROM writer WHERE state = 'alive'
""")
_PACKS = Sql("SELECT id FROM pack WHERE id > :id AND dropped_at IS NULL ORDER BY id LIMIT 5000")
_DROPPED = Sql("""
    SELECT id, writer_id, counter, size FROM pack WHERE id > :id AND dropped_at IS NOT NULL ORDER BY id LIMIT 100
""")
_REMOVE = Sql("DELETE FROM pack WHERE id IN (:ids*) AND dropped_at IS NOT NULL")


# What somebody wanted meanwhile is spared in the statement itself.
_DELETE = {
    table.name: Sql(f"DELETE FROM {table.name} WHERE {table.key} IN (:ids*) AND wanted < :bound")
    for table in (CHUNKS, SMALL, SEGMENTS)
}
_LEFT = {
    table.name: Sql(f"SELECT {table.key} FROM {table.name} WHERE {table.key} IN (:ids*)")
    for table in (CHUNKS, SMALL, SEGMENTS)
}


class Pruned(NamedTuple):
    """What a run did: rows deleted of each kind, blobs removed with their bytes, blobs that could not be removed, and
    reasons to look that have to wait for writers.
    """

    chunks: int
    segments: int
    small: int
    blobs: int
    bytes: int
    failed: int
    waiting: int


class _Stopped(Exception):
    """The process has to end; the next run goes on."""


def prune(database: Database, backend: Backend, *, stopping: Callable[[], bool] = lambda: False) -> Pruned:
    """Delete what nobody needs any more, if there is a reason to look. One at a time, beside anything else.

    ``database`` commits durably: a blob that is gone must not come back to have a row.

    Raises:
        Damaged: a manifest cannot be read, and nothing more was deleted.
    """
    run = _Run(database, backend, stopping)
    try:
        run.remove_dropped()
        run.forget()
        run.remove_dropped()
    except _Stopped:
        pass
    gone = run.deleted
    return Pruned(gone["chunk"], gone["segment"], gone["small"], run.blobs, run.size, run.failed, run.waiting)


class _Run:
    """One run, and what it has done so far."""

    def __init__(self, database: Database, backend: Backend, stopping: Callable[[], bool]) -> None:
        self.database = database
        self.backend = backend
        self.stopping = stopping
        self.deleted: Counter[str] = Counter()
        self.blobs = 0
        self.size = 0
        self.failed = 0
        self.waiting = 0

    def forget(self) -> None:
        """Delete the rows that no manifest names, and drop the packs that are empty then."""
        with self.database.read() as session:
            reasons = garbage.reasons(session)
        if not reasons:
            return
        bound = self._bound(reasons)
        ripe = [reason for reason in reasons if reason.epoch < bound]
        self.waiting = len(reasons) - len(ripe)
        if not ripe:
            return
        with self.database.read() as session:
            parts = marks.parts(session)
        # No chunk can come to lie in a pack whose row is there: what holds none now is empty for ever.
        packs, holding = self._packs(), IdSet()
        for part in parts:
            self._forget_part(part, bound, holding)
        faults.point("prune.forgotten")
        self._drop(packs, holding)
        self.database.write(lambda session: garbage.clear(session, ripe))
        faults.point("prune.dropped")

    def _bound(self, reasons: list[Reason]) -> int:
        """What is wanted since then may be needed by somebody who writes. Read before what manifests name."""
        newest_reason = max(reason.epoch for reason in reasons)
        self.database.write(lambda session: session.run(_RAISE, newest=newest_reason))
        faults.point("prune.raised")
        with self.database.read() as session:
            bound: int = session.value(_LEAST_EPOCH)
        return bound

    def _forget_part(self, part: Part, bound: int, holding: IdSet) -> None:
        """``holding`` takes the packs of the chunks that stay."""
        with self.database.snapshot() as session:
            named = marks.read_manifests(session, part, pause=self._pause)
        faults.point("prune.marked")
        for table, within in marks.ranges(part):
            for page in table.pages(newest(self.database), within):
                self._pause()
                old = [row[0] for row in named.unnamed(table, page) if row[1] < bound]
                gone = self._delete(table, old, bound) if old else set()
                self.deleted[table.name] += len(gone)
                if table is CHUNKS:
                    for row in page:
                        if row[0] not in gone:
                            holding.add(row[2])

    def _delete(self, table: Table, digests: list[bytes], bound: int) -> set[bytes]:
        """Returns those that went."""

        def work(session: Session) -> list[Row]:
            session.run_by(_DELETE[table.name], digests, bound=bound)
            return session.rows_by(_LEFT[table.name], digests)

        return set(digests) - {row[0] for row in self.database.write(work)}

    def _packs(self) -> IdSet:
        found = IdSet()
        for page in paged(newest(self.database), _PACKS, {"id": LEAST}):
            for (pack_id,) in page:
                found.add(pack_id)
        return found

    def _drop(self, packs: IdSet, holding: IdSet) -> None:
        for page in paged(newest(self.database), _PACKS, {"id": LEAST}):
            empty = [pack_id for (pack_id,) in page if pack_id in packs and pack_id not in holding]
            if empty:
                self._drop_packs(empty)

    def _drop_packs(self, empty: list[int]) -> None:
        self.database.write(lambda session: rows.drop_packs(session, empty))

    def remove_dropped(self) -> None:
        """Remove the blobs of dropped packs, and then their rows."""
        for page in paged(newest(self.database), _DROPPED, {"id": LEAST}):
            removed = [row[0] for row in page if self._remove_blob(*row[1:])]
            faults.point("prune.removed")
            self._delete_packs(removed)

    def _remove_blob(self, writer_id: int, counter: int, size: int) -> bool:
        self._pause()
        try:
            self.backend.delete(pack_key(writer_id, counter))
        except BackendError:
            self.failed += 1
            return False
        self.blobs += 1
        self.size += size
        return True

    def _delete_packs(self, ids: list[int]) -> None:
        self.database.write(lambda session: session.run_by(_REMOVE, ids))

    def _pause(self) -> None:
        if self.stopping():
            raise _Stopped
