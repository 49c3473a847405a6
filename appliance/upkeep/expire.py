"""Expiring: the past is thinned as the retention says, and trash goes when its time is over. Rows only; prune takes
the bytes.

First it is written down which states are kept; from then on nobody can open another one. Then what only those showed
is deleted, batch by batch. A run that is cut leaves a mark (``tree.expiring``), and the next one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import groupby, pairwise
from typing import NamedTuple

from appliance import clock, faults, retention
from appliance.chunks import garbage
from appliance.db import gentle
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.retention import Retention
from appliance.tree import kept, nodes, whereabouts
from appliance.tree import rules as folder_rules
from appliance.tree.whereabouts import Within
from appliance.upkeep import ghost_members, ghosts
from appliance.upkeep.check_report import Steps
from appliance.upkeep.paging import LEAST, Fetch, count, newest, paged
from appliance.upkeep.regions import Candidate, Regions, unshown
from appliance.upkeep.states import Decision, decide

_AT_ONCE = 500

_TREES = Sql("SELECT id, expiring FROM tree WHERE id > :id ORDER BY id LIMIT 500")
_LOCK = Sql("SELECT id FROM tree WHERE id = :tree_id {lock}")
# Another number each time: a run that cleaned up behind one decision has not done so behind the next.
_DECIDE = Sql("""
    UPDATE tree SET kept_since = :since, forgotten = :forgotten, expiring = expiring % 30000 + 1 WHERE id = :tree_id
""")
_KEEP = Sql("INSERT INTO kept (tree_id, seq) VALUES (:tree_id, :seq)")
_DROP = Sql("DELETE FROM kept WHERE tree_id = :tree_id AND seq IN (:seqs*)")
_DONE = Sql("UPDATE tree SET expiring = 0 WHERE id = :tree_id AND expiring = :expiring")

_DUE = Sql("SELECT node_id FROM trash WHERE tree_id = :tree_id AND removed_at < :before ORDER BY node_id")
_NAMED = Sql(
    "SELECT DISTINCT v.node_id FROM named_version v JOIN node n ON n.id = v.node_id WHERE n.tree_id = :tree_id"
)
_LEAVE_TRASH = Sql("DELETE FROM trash WHERE node_id IN (:node_ids*) AND removed_at < :before")

_VERSIONS = Sql("""
    SELECT v.node_id, v.seq, n.tree_id, v.size, m.seq FROM version v JOIN node n ON n.id = v.node_id
    LEFT JOIN named_version m ON m.node_id = v.node_id AND m.seq = v.seq
    WHERE (v.node_id, v.seq) > (:node_id, :seq) ORDER BY v.node_id, v.seq LIMIT 5000
""")
_PLACEMENTS = Sql("""
    SELECT node_id, from_seq, to_seq, tree_id, parent_id FROM placement
    WHERE (node_id, from_seq) > (:node_id, :from_seq) ORDER BY node_id, from_seq LIMIT 5000
""")
# What is current, or was named meanwhile, stays whatever was read before.
_DELETE_VERSION = Sql("""
    DELETE FROM version WHERE node_id = :node_id AND seq = :seq
        AND seq < (SELECT n.version_seq FROM node n WHERE n.id = :node_id)
        AND NOT EXISTS (SELECT 1 FROM named_version m WHERE m.node_id = :node_id AND m.seq = :seq)
""")
_DELETE_PLACEMENT = Sql("DELETE FROM placement WHERE node_id = :node_id AND from_seq = :from_seq")


_FORGOTTEN = Sql("SELECT forgotten FROM tree WHERE id = :tree_id")

Batch = list[tuple[int, ...]]


class Expired(NamedTuple):
    """What a run deleted, or would: states that can be opened no more (those of a first run are not counted one by
    one), versions with their bytes, places, things in the trash, and nodes that no kept state shows.
    """

    states: int
    versions: int
    bytes: int
    placements: int
    trash: int
    nodes: int


class Rules(NamedTuple):
    """What trees without rules of their own keep; ``trash_for`` in microseconds."""

    retention: Retention
    trash_for: int


class _Stopped(Exception):
    """The process has to end; the next run goes on."""


def expire(
    database: Database,
    rules: Rules,
    *,
    halvings: int = 0,
    now: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
    steps: Steps | None = None,
) -> Expired:
    """Let go of what the rules do not keep, or would not if all ages were ``halvings`` times half as long.

    Several runs at once do no harm.
    """
    run = _Run(database, rules, halvings, clock.now() if now is None else now, stopping, steps or Steps(None))
    try:
        run.decide()
        run.clean()
    except _Stopped:
        pass
    return run.done()


def retention_of(rules: Rules, halvings: int, text: str | None) -> Retention:
    """What a tree's or folder's steps mean; None: the setting's."""
    return (rules.retention if text is None else retention.parse(text)).shortened(halvings)


def due(session: Session, tree_id: int, before: int) -> list[int]:
    """What has been in the trash for long enough, and holds no version that somebody has named."""
    spared = {nodes.above(session, node_id)[0][0] for (node_id,) in session.rows(_NAMED, tree_id=tree_id)}
    return [row[0] for row in session.rows(_DUE, tree_id=tree_id, before=before) if row[0] not in spared]


def _pages(fetch: Callable[..., list[Row]], sql: Sql, second: str) -> Iterator[Row]:
    for page in paged(fetch, sql, {"node_id": LEAST, second: LEAST}):
        yield from page


def superseded(rows: Iterator[Row]) -> Iterator[Candidate]:
    """The versions without a name that another one followed; the newest of each file always stays."""
    last: list[Row | None] = [None]
    for row, following in pairwise(_with_end(rows, last)):
        if row is None or following is None or following[0] != row[0]:
            continue
        node_id, seq, tree_id, size, named = row
        if named is None:
            yield Candidate(node_id, seq, following[1], tree_id, size)


def versions(fetch: Fetch) -> Iterator[Row]:
    """(node, seq, tree, bytes, seq if it has a name) of each version, in the order of the first two."""
    return _pages(fetch, _VERSIONS, "seq")


def _with_end(rows: Iterator[Row], end: list[Row | None]) -> Iterator[Row | None]:
    yield from rows
    yield from end


class _Run:
    """One run, and what it has done so far."""

    def __init__(
        self,
        database: Database,
        rules: Rules,
        halvings: int,
        now: int,
        stopping: Callable[[], bool],
        steps: Steps,
    ) -> None:
        self._database = database
        self._steps = steps
        self._rules = rules
        self._trash_for = rules.trash_for >> halvings
        self._halvings = halvings
        self._now = now
        self._stopping = stopping
        self._states = self._versions = self._bytes = self._placements = self._trash = self._nodes = 0

    def done(self) -> Expired:
        return Expired(self._states, self._versions, self._bytes, self._placements, self._trash, self._nodes)

    def decide(self) -> None:
        """Tree by tree, each in a transaction."""
        with self._database.read() as session:
            self._steps.begin("deciding what is kept", count(session, "tree"), "trees")
        for page in paged(newest(self._database), _TREES, {"id": LEAST}):
            for tree_id, _ in page:
                self._pause()
                trash, states = self._database.write(partial(self._settle, tree_id=tree_id))
                self._trash += trash
                self._states += states
                faults.point("expire.decided")
                self._steps.advance(1)

    def _settle(self, session: Session, tree_id: int) -> tuple[int, int]:
        """Write down what is kept, and take out of the trash what is due; returns how much of that, and how many states
        can be opened no more.
        """
        if session.row(_LOCK, tree_id=tree_id) is None:
            return 0, 0
        read = partial(retention_of, self._rules, self._halvings)
        decision = decide(session, tree_id, read, trash_for=self._trash_for, now=self._now)
        before = self._now - self._trash_for
        gone = due(session, tree_id, before)
        if not decision.changes and not gone:
            return 0, 0
        old, new = set(decision.before.seqs), set(decision.kept.seqs)
        session.run_many(_KEEP, [{"tree_id": tree_id, "seq": seq} for seq in sorted(new - old)])
        session.run_by(_DROP, sorted(old - new), tree_id=tree_id)
        session.run(_DECIDE, tree_id=tree_id, since=decision.kept.since, forgotten=decision.forgotten)
        _settle_folders(session, decision)
        session.run_by(_LEAVE_TRASH, gone, before=before)
        return len(gone), len(old - new)

    def clean(self) -> None:
        """Delete what nothing shows that is kept, in all trees that have something to be deleted."""
        regions: dict[int, Regions] = {}
        forgotten: dict[int, int] = {}
        decided: dict[int, int] = {}
        with self._database.snapshot() as session:
            for page in paged(session.rows, _TREES, {"id": LEAST}):
                for tree_id, expiring in page:
                    if expiring:
                        regions[tree_id] = Regions(session, kept.scopes(session, tree_id))
                        decided[tree_id] = expiring
                        forgotten[tree_id] = session.value(_FORGOTTEN, tree_id=tree_id)
        if not regions:
            return
        self._clean_versions(regions)
        self._clean_placements(regions, forgotten)
        for tree_id, region in regions.items():
            if region.scopes.folders:
                ghost_members.detach(self._database, tree_id, region, forgotten=forgotten[tree_id], pause=self._pause)
            self._nodes += ghosts.remove(self._database, tree_id, self._pause)
            self._database.write(partial(Session.run, sql=_DONE, tree_id=tree_id, expiring=decided[tree_id]))
            faults.point("expire.done")

    def _clean_versions(self, regions: dict[int, Regions]) -> None:
        self._steps.begin("letting go of versions", 0, "versions")
        candidates = superseded(versions(newest(self._database)))
        doomed = (
            (each.node_id, each.seq, each.tree_id, each.size)
            for each in unshown(candidates, regions, self._whereabouts)
        )
        for tree_id, batch in _batches(doomed, tree=2):
            self._pause()
            gentle.write(self._database, partial(_delete_versions, tree_id=tree_id, batch=batch))
            self._versions += len(batch)
            self._bytes += sum(each[3] for each in batch)
            faults.point("expire.versions")
            self._steps.advance(len(batch))

    def _whereabouts(self, node_ids: Collection[int]) -> dict[int, list[Within]]:
        with self._database.read() as session:
            return whereabouts.within(session, node_ids)

    def _clean_placements(self, regions: dict[int, Regions], forgotten: dict[int, int]) -> None:
        rows = _pages(newest(self._database), _PLACEMENTS, "from_seq")
        doomed = (
            (node_id, from_seq, tree_id)
            for node_id, from_seq, to_seq, tree_id, parent_id in rows
            if tree_id in regions
            and to_seq <= forgotten[tree_id]
            and not regions[tree_id].shows(node_id, parent_id, from_seq, to_seq)
        )
        for tree_id, batch in _batches(doomed, tree=2):
            self._pause()
            gentle.write(self._database, partial(_delete_placements, tree_id=tree_id, batch=batch))
            self._placements += len(batch)
            faults.point("expire.placements")

    def _pause(self) -> None:
        if self._stopping():
            raise _Stopped


def _settle_folders(session: Session, decision: Decision) -> None:
    for each in decision.folders:
        if each.ends:
            folder_rules.delete(session, each.node_id)
        else:
            folder_rules.write(session, each.node_id, each.before, each.kept)


def _delete_versions(session: Session, tree_id: int, batch: Batch) -> None:
    # A restore that reads one of them has come to its end by then, or does not find it.
    session.row(_LOCK, tree_id=tree_id)
    session.run_many(_DELETE_VERSION, [{"node_id": each[0], "seq": each[1]} for each in batch])
    garbage.leave(session)


def _delete_placements(session: Session, tree_id: int, batch: Batch) -> None:
    session.row(_LOCK, tree_id=tree_id)
    session.run_many(_DELETE_PLACEMENT, [{"node_id": each[0], "from_seq": each[1]} for each in batch])


def _batches(rows: Iterator[tuple[int, ...]], *, tree: int) -> Iterator[tuple[int, Batch]]:
    """Some hundred rows of one tree at a time; ``tree`` is the column of its id."""
    for tree_id, of_tree in groupby(rows, key=lambda row: row[tree]):
        batch: Batch = []
        for row in of_tree:
            batch.append(row)
            if len(batch) == _AT_ONCE:
                yield tree_id, batch
                batch = []
        if batch:
            yield tree_id, batch
