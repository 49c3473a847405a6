"""Pruning: what no manifest names goes, while everything else goes on. docs/design/ordering.md says why that is safe.

It is made only when there is a reason (appliance.chunks.garbage), and takes what was wanted before the least epoch of
the living writers. What is too young for that raises the epoch; living writers follow within seconds, and the next run
finds it ripe. No clock is asked for safety. Two runs at once do no harm; the lease of the job is there to spare work.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from appliance import faults
from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.chunks import findings, garbage, rows
from appliance.chunks.pack import pack_key
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import BackendError, Damaged, StorageFull
from appliance.upkeep import marks
from appliance.upkeep.check_ids import IdSet
from appliance.upkeep.marks import CHUNKS, SEGMENTS, SMALL, Named, Part, Table
from appliance.upkeep.paging import LEAST, newest, paged

_log = logging.getLogger(__name__)

_LEAST_EPOCH = Sql("""
    SELECT COALESCE(MIN(epoch), (SELECT prune_epoch FROM store WHERE id = 1)) FROM writer WHERE state = 'alive'
""")
_PACKS = Sql("SELECT id FROM pack WHERE id > :id AND dropped_at IS NULL ORDER BY id LIMIT 5000")
_DROPPED = Sql("""
    SELECT id, writer_id, counter, size FROM pack WHERE id > :id AND dropped_at IS NOT NULL ORDER BY id LIMIT 100
""")
_REMOVE = Sql("DELETE FROM pack WHERE id IN (:ids*) AND dropped_at IS NOT NULL")

# So many rows of a table are deleted in one transaction: every other writer waits for it, and content is large.
_AT_ONCE = {CHUNKS: 2000, SMALL: 200, SEGMENTS: 20}
# What somebody wanted meanwhile is spared in the statement itself.
_DELETE = {
    table: Sql(f"DELETE FROM {table.name} WHERE {table.key} IN (:ids*) AND wanted < :bound")
    for table in (CHUNKS, SMALL, SEGMENTS)
}
_LEFT = {
    table: Sql(f"SELECT {table.key} FROM {table.name} WHERE {table.key} IN (:ids*)")
    for table in (CHUNKS, SMALL, SEGMENTS)
}


class Pruned(NamedTuple):
    """What a run did: rows deleted of each kind, blobs removed with their bytes, blobs that could not be removed;
    whether manifests were read.
    """

    chunks: int
    segments: int
    small: int
    blobs: int
    bytes: int
    failed: int
    looked: bool


class _Stopped(Exception):
    """The process has to end; the next run goes on."""


def prune(
    database: Database, backend: Backend, *, stopping: Callable[[], bool] = lambda: False, looks: bool = True
) -> Pruned:
    """Delete what nobody needs any more, if there is a reason to look.

    ``database`` commits durably: a blob that is gone must not come back to have a row. Without ``looks`` only what
    earlier runs found is removed.

    Raises:
        Damaged: a manifest cannot be read, or chunks that one names have no row; nothing more was deleted.
    """
    run = _Run(database, backend, stopping)
    try:
        run.remove_dropped()
        if looks and run.forget():
            run.remove_dropped()
    except _Stopped:
        pass
    gone = run.deleted
    return Pruned(gone[CHUNKS], gone[SEGMENTS], gone[SMALL], run.blobs, run.size, run.failed, run.looked)


class PruneJob:
    """``prune`` every ``every_s``, and whenever it is called while it ``hurries``; one call at a time.

    Between two readings of all manifests is ten times what the first one took, however it ended.
    """

    _REST = 10
    # Calls come at their times, but not to the millisecond; one that is a little early must not wait for the next.
    _EARLY = 5

    def __init__(
        self,
        database: Database,
        backend: Backend,
        *,
        every_s: float,
        hurries: Callable[[], bool],
        stopping: Callable[[], bool],
    ) -> None:
        self._database = database
        self._backend = backend
        self._every_s = every_s
        self._hurries = hurries
        self._stopping = stopping
        self._due = -math.inf
        self._rests_until = -math.inf

    def __call__(self) -> Pruned | None:
        """None: it was not yet time."""
        began = time.monotonic()
        if began < self._due and not self._hurries():
            return None
        self._due = began + self._every_s - self._EARLY
        looks = began >= self._rests_until
        pruned: Pruned | None = None
        try:
            pruned = prune(self._database, self._backend, stopping=self._stopping, looks=looks)
        finally:
            if looks and (pruned is None or pruned.looked):
                ended = time.monotonic()
                self._rests_until = ended + self._REST * (ended - began)
        if pruned.failed:
            _log.warning("%d packs that nobody needs could not be removed, and will be tried again", pruned.failed)
        return pruned


class _Run:
    """One run, and what it has done so far."""

    def __init__(self, database: Database, backend: Backend, stopping: Callable[[], bool]) -> None:
        self.database = database
        self.backend = backend
        self.stopping = stopping
        self.deleted: Counter[Table] = Counter()
        self.blobs = 0
        self.size = 0
        self.failed = 0
        self.looked = False

    def forget(self) -> bool:
        """Delete the rows that no manifest names, and drop the packs that are empty then; whether there were any."""
        with self.database.read() as session:
            if not garbage.exists(session):
                return False
        bound = self._bound()
        with self.database.read() as session:
            ripe = [reason for reason in garbage.reasons(session) if reason.epoch < bound]
            if not ripe:
                return False
            parts = marks.parts(session)
        self.looked = True
        # No chunk can come to lie in a pack whose row is there: what holds none now is empty for ever.
        packs, holding = self._packs(), IdSet()
        for part in parts:
            self._forget_part(part, bound, holding)
        faults.point("prune.forgotten")
        dropped = self._drop(packs, holding)
        self.database.write(lambda session: garbage.clear(session, ripe))
        faults.point("prune.dropped")
        return dropped

    def _bound(self) -> int:
        """What is wanted since then may be needed by somebody who writes. Read before what manifests name."""
        self.database.write(garbage.raise_epoch)
        faults.point("prune.raised")
        with self.database.read() as session:
            bound: int = session.value(_LEAST_EPOCH)
        return bound

    def _forget_part(self, part: Part, bound: int, holding: IdSet) -> None:
        """``holding`` takes the packs of the chunks that stay."""
        with self.database.snapshot() as session:
            named = marks.read_manifests(session, part, pause=self._pause)
        faults.point("prune.marked")
        there = 0
        for table, within in marks.ranges(part):
            for page in table.pages(newest(self.database), within):
                self._pause()
                unnamed = list(named.unnamed(table, page))
                old = [row[0] for row in unnamed if row[1] < bound]
                gone: set[bytes] = set()
                for start in range(0, len(old), _AT_ONCE[table]):
                    gone |= self._delete(table, old[start : start + _AT_ONCE[table]], bound)
                self.deleted[table] += len(gone)
                if table is CHUNKS:
                    there += len(page) - len(unnamed)
                    for row in page:
                        if row[0] not in gone:
                            holding.add(row[2])
        self._require_rows(part, named, there)

    def _require_rows(self, part: Part, named: Named, there: int) -> None:
        """Refuse to go on if chunks that manifests name have no row: a pack that seems empty may hold them."""
        lost = named.chunks.count() - there
        if lost <= 0:
            return
        with self.database.read() as session:
            gone = findings.gone(session, part.above, part.below)
        # What was looked for in every pack is in none of them.
        lost -= len(gone) - sum(1 for _ in named.unnamed(CHUNKS, gone))
        if lost > 0:
            raise Damaged(what=f"the row of {lost} chunks (`holdfast repair` looks for them)")

    def _delete(self, table: Table, digests: list[bytes], bound: int) -> set[bytes]:
        """Returns those that went."""

        def work(session: Session) -> list[Row]:
            session.run_by(_DELETE[table], digests, bound=bound)
            return session.rows_by(_LEFT[table], digests)

        return set(digests) - {row[0] for row in self.database.write(work)}

    def _packs(self) -> IdSet:
        found = IdSet()
        for page in paged(newest(self.database), _PACKS, {"id": LEAST}):
            for (pack_id,) in page:
                found.add(pack_id)
        return found

    def _drop(self, packs: IdSet, holding: IdSet) -> bool:
        any_dropped = False
        for page in paged(newest(self.database), _PACKS, {"id": LEAST}):
            empty = [pack_id for (pack_id,) in page if pack_id in packs and pack_id not in holding]
            if empty:
                any_dropped = True
                self._drop_packs(empty)
        return any_dropped

    def _drop_packs(self, empty: list[int]) -> None:
        self.database.write(lambda session: rows.drop_packs(session, empty))

    def remove_dropped(self) -> None:
        """Remove the blobs of dropped packs, and then their rows."""
        for page in paged(newest(self.database), _DROPPED, {"id": LEAST}):
            removed = [row[0] for row in page if self._remove_blob(*row[1:])]
            if isinstance(self.backend, DiskBackend):
                # A blob that came back after a power cut would have no row that tells of it.
                self.backend.sync_all()
            faults.point("prune.removed")
            self._delete_packs(removed)

    def _remove_blob(self, writer_id: int, counter: int, size: int) -> bool:
        self._pause()
        try:
            self.backend.delete(pack_key(writer_id, counter))
        except (BackendError, StorageFull):
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
