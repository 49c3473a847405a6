"""Pruning: what no manifest names goes, while everything else goes on. docs/design/ordering.md says why that is safe.

It is made only when there is a reason (appliance.chunks.garbage), and takes what was wanted before the least epoch of
the living writers. What is too young for that raises the epoch; living writers follow within seconds, and the next run
finds it ripe. No clock is asked for safety. Two runs at once do no harm; the lease of the job is there to spare work.

What is forgotten stays in quarantine for a while (appliance.chunks.quarantine), and packs with it. Packs that hold
nothing any more are dropped; those that hold little, and many small ones, are written anew (appliance.upkeep.repack).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from appliance import clock, faults
from appliance.backends.base import Backend
from appliance.chunks import fences, findings, garbage, packing, quarantine, rows
from appliance.chunks.quarantine import BroughtBack
from appliance.db import gentle
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import Damaged, StorageFull, Unavailable
from appliance.upkeep import marks
from appliance.upkeep.check_report import Progress, Steps
from appliance.upkeep.dropped import Remover
from appliance.upkeep.marks import CHUNKS, SEGMENTS, SMALL, Named, Part, Table
from appliance.upkeep.merging import small_packs
from appliance.upkeep.paging import count, newest
from appliance.upkeep.repack import Repacker, groups
from appliance.upkeep.weights import Weighed, Weights

DEAD_PERCENT = 25
"""A pack of which so much is dead weight is written anew."""

_LEAST_EPOCH = Sql("""
    SELECT COALESCE(MIN(epoch), (SELECT prune_epoch FROM store WHERE id = 1)) FROM writer WHERE state = 'alive'
""")
# So many rows of a table are deleted in one transaction: every other writer waits for it, and content is large.
_TOGETHER = {CHUNKS: 2000, SMALL: 200, SEGMENTS: 20}


# Where there is room for fewer packs of the usual size nothing is copied that need not be.
_ROOMY = 8


class Policy(NamedTuple):
    """How long what is forgotten stays in quarantine, and from how much dead weight on a pack is written anew."""

    quarantine_s: float = 0
    dead_percent: int = DEAD_PERCENT


AT_ONCE: Final = Policy()
"""Nothing stays in quarantine."""


class Pruned(NamedTuple):
    """What a run did: rows deleted of each kind, blobs removed with their bytes, blobs that could not be removed;
    whether manifests were read; rows that left the quarantine; packs that were written anew, and bytes copied for it;
    dropped packs whose blobs stay as long as a URL of them may hold.
    """

    chunks: int
    segments: int
    small: int
    blobs: int
    bytes: int
    failed: int
    looked: bool
    released: int = 0
    repacked: int = 0
    copied: int = 0
    waiting: int = 0


class _Stopped(Exception):
    """The process has to end; the next run goes on."""


def prune(
    database: Database,
    backend: Backend,
    policy: Policy = AT_ONCE,
    *,
    source: Backend | None = None,
    stopping: Callable[[], bool] = lambda: False,
    looks: bool = True,
    tell: Callable[[Progress], None] | None = None,
    room: Callable[[], int | None] = lambda: None,
) -> Pruned:
    """Delete what nobody needs any more, if there is a reason to look.

    ``database`` commits durably: a blob that is gone must not come back to have a row. What is copied is read from
    ``source`` (``backend``, if none is given), and takes a quarter of the ``room`` for a moment at most (bytes; None:
    nobody knows). Without ``looks`` only what earlier runs found is removed.

    Raises:
        Damaged: a manifest cannot be read, or chunks that one names have no row; nothing more was deleted.
    """
    run = _Run(database, backend, policy, source or backend, stopping, Steps(tell), room)
    try:
        run.dropped.remove()
        if looks:
            run.release()
            run.forget()
            run.merge(small_packs(database))
    except _Stopped:
        pass
    finally:
        run.end()
    return run.result()


def tidy(
    database: Database,
    backend: Backend,
    packs: Iterable[Weighed],
    *,
    source: Backend,
    stopping: Callable[[], bool] = lambda: False,
    tell: Callable[[Progress], None] | None = None,
    room: Callable[[], int | None] = lambda: None,
) -> Pruned:
    """Merge these small packs, and nothing else; the arguments are those of ``prune``."""
    run = _Run(database, backend, AT_ONCE, source, stopping, Steps(tell), room)
    try:
        run.merge(packs)
    except _Stopped:
        pass
    finally:
        run.end()
    return run.result()


def undo(database: Database, tell: Callable[[BroughtBack], object] = lambda done: None) -> BroughtBack:
    """Store again everything that is in quarantine; ``tell`` is told what was brought back so far."""
    with database.read() as session:
        until = quarantine.last(session)
    done = BroughtBack(0, 0, 0, 0)
    while back := gentle.write(database, lambda session: quarantine.bring_back(session, until)):
        done = BroughtBack(*(one + other for one, other in zip(done, back, strict=True)))
        tell(done)
        faults.point("prune.undone")
    return done


def least_epoch(database: Database) -> int:
    """What is wanted since then may be needed by somebody who writes."""
    with database.read() as session:
        bound: int = session.value(_LEAST_EPOCH)
    return bound


def rows_are_there(database: Database, part: Part, named: Named, there: int) -> bool:
    """Whether all chunks that manifests name had rows, of which ``there`` were seen. A pack that seems empty may hold
    those that had none, so nothing may be dropped then.

    False: another run forgot meanwhile what this one still saw named; one that begins anew knows better.

    Raises:
        Damaged: they have none now either.
    """
    if _lost(database, part, named, there) <= 0:
        return True
    with database.snapshot() as session:
        named = marks.read_manifests(session, part)
        there = sum(
            len(page) - sum(1 for _ in named.unnamed(CHUNKS, page)) for page in CHUNKS.pages(session.rows, part)
        )
    lost = _lost(database, part, named, there)
    if lost > 0:
        raise Damaged(what=f"the row of {lost} chunks (`holdfast repair` looks for them)")
    return False


def _lost(database: Database, part: Part, named: Named, there: int) -> int:
    lost = named.chunks.count() - there
    if lost <= 0:
        return 0
    with database.read() as session:
        gone = findings.gone(session, part.above, part.below)
    # What was looked for in every pack is in none of them.
    return lost - (len(gone) - sum(1 for _ in named.unnamed(CHUNKS, gone)))


class _Run:
    """One run, and what it has done so far."""

    def __init__(
        self,
        database: Database,
        backend: Backend,
        policy: Policy,
        source: Backend,
        stopping: Callable[[], bool],
        steps: Steps,
        room: Callable[[], int | None],
    ) -> None:
        self.steps = steps
        self.room = room
        self.database = database
        self.backend = backend
        self.policy = policy
        self.source = source
        self.stopping = stopping
        self.deleted: Counter[Table] = Counter()
        self.dropped = Remover(database, backend, self._pause)
        self.looked = False
        self.released = 0
        self.repacked = 0
        self.copied = 0
        self._holds = False
        self._repacker: Repacker | None = None

    def end(self) -> None:
        """Whatever came of it."""
        if self._repacker is not None:
            self._repacker.end()

    def result(self) -> Pruned:
        """What was done."""
        gone = self.deleted
        return Pruned(
            gone[CHUNKS],
            gone[SEGMENTS],
            gone[SMALL],
            self.dropped.blobs,
            self.dropped.size,
            self.dropped.failed,
            self.looked,
            self.released,
            self.repacked,
            self.copied,
            self.dropped.waiting,
        )

    def release(self) -> None:
        """Let go of what was in quarantine for long enough."""
        before = clock.now() - int(self.policy.quarantine_s * clock.SECOND)
        with self.database.read() as session:
            if not quarantine.is_due(session, before):
                return
        while released := gentle.write(self.database, lambda session: quarantine.release(session, before)):
            self.released += released
            faults.point("prune.released")
            self._pause()

    def forget(self) -> None:
        """Delete the rows that no manifest names; drop the packs that are empty then, and write the heavy ones anew."""
        with self.database.read() as session:
            if not garbage.exists(session):
                return
        bound = self._bound()
        with self.database.read() as session:
            ripe = [reason for reason in garbage.reasons(session) if reason.epoch < bound]
            if not ripe:
                return
            parts = marks.parts(session)
            undone = quarantine.undone(session)
        self.looked = True
        weights = Weights(self.database)
        for part in parts:
            self._forget_part(part, bound, weights)
        faults.point("prune.counted")
        weights.add_held(self._pause)
        faults.point("prune.forgotten")
        if not self._drop(weights, undone):
            return
        self.dropped.remove()
        self._repack((of for of in weights.packs() if of.is_heavy(self.policy.dead_percent)), is_marked=True)
        self.database.write(lambda session: garbage.clear(session, ripe))
        faults.point("prune.dropped")

    def merge(self, packs: Iterable[Weighed]) -> None:
        """Move what many small packs hold into few. Where room is short that can wait."""
        room = self.room()
        if room is not None and room < _ROOMY * packing.PACK_SIZE:
            return
        self._repack(packs, is_marked=False)

    def _bound(self) -> int:
        """What is wanted since then may be needed by somebody who writes. Read before what manifests name."""
        self.database.write(garbage.raise_epoch)
        faults.point("prune.raised")
        return least_epoch(self.database)

    def _forget_part(self, part: Part, bound: int, weights: Weights) -> None:
        """``weights`` takes the chunks that stay."""
        with self.database.snapshot() as session:
            self.steps.begin("reading what versions need", count(session, "version"), "versions")
            named = marks.read_manifests(session, part, pause=self._pause, read=self.steps.advance)
            self.steps.begin("forgetting what none needs", count(session, "chunk") + count(session, "small"), "rows")
        faults.point("prune.marked")
        with self.database.read() as session:
            # Asked behind the snapshot: what is deleted from now on is named in it.
            self._holds = self.policy.quarantine_s > 0 and garbage.was_left(session)
        there = 0
        for table, within in marks.ranges(part):
            for page in table.pages(newest(self.database), within):
                self._pause()
                self.steps.advance(len(page))
                unnamed = list(named.unnamed(table, page))
                old = [row[0] for row in unnamed if row[1] < bound]
                gone: set[bytes] = set()
                for start in range(0, len(old), _TOGETHER[table]):
                    gone |= self._delete(table, old[start : start + _TOGETHER[table]], bound)
                self.deleted[table] += len(gone)
                if table is CHUNKS:
                    there += len(page) - len(unnamed)
                    for row in page:
                        if row[0] not in gone:
                            weights.add(row[2], row[3])
        if not rows_are_there(self.database, part, named, there):
            raise _Stopped

    def _delete(self, table: Table, digests: list[bytes], bound: int) -> set[bytes]:
        """Returns those that went. What somebody wanted meanwhile is spared in the statement itself."""
        faults.point("prune.unnamed")
        return gentle.write(
            self.database,
            lambda session: quarantine.forget(session, table.name, digests, bound=bound, holds=self._holds),
        )

    def _drop(self, weights: Weights, undone: int) -> bool:
        """Drop what is empty. False: something was brought back meanwhile, and all has to be looked at again."""
        empty = [of.id for of in weights.packs() if not of.used]
        for start in range(0, len(empty), _TOGETHER[CHUNKS]):
            self._pause()
            if not self._drop_packs(empty[start : start + _TOGETHER[CHUNKS]], undone):
                return False
        return True

    def _drop_packs(self, empty: list[int], undone: int) -> bool:
        def work(session: Session) -> bool:
            if not quarantine.is_as_seen(session, undone):
                return False
            rows.drop_packs(session, empty)
            return True

        return self.database.write(work)

    def _repack(self, packs: Iterable[Weighed], *, is_marked: bool) -> None:
        """Group by group; the blobs that one has emptied go before the next is copied, so not while a fence stands."""
        self.steps.begin("writing packs anew", 0, "bytes")
        room = self.room()
        most = packing.PACK_SIZE if room is None else min(packing.PACK_SIZE, room // 4)
        for group in groups(packs, most):
            self._pause()
            if sum(of.used for of in group) > most:
                continue
            if fences.any_stands(self.database):
                return
            if self._repacker is None:
                self._repacker = Repacker(self.database, self.backend, self.source)
            try:
                done = self._repacker.move(group, is_marked=is_marked)
            except StorageFull:
                return  # what is empty goes all the same; the rest waits for room
            except Unavailable as error:
                # This writer was taken for dead; nothing was moved.
                raise _Stopped from error
            self.repacked += done.packs
            self.copied += done.copied
            self.steps.advance(done.copied)
            self.dropped.remove()

    def _pause(self) -> None:
        if self.stopping():
            raise _Stopped
