"""What expiring would do now."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.retention import Retention
from appliance.tree import nodes, whereabouts
from appliance.tree.kept import Kept, Scopes
from appliance.tree.paths import show
from appliance.upkeep.expire import Rules, due, retention_of, superseded, versions
from appliance.upkeep.paging import LEAST, paged
from appliance.upkeep.regions import Regions, unshown
from appliance.upkeep.states import Decision, FolderDecision, decide

_TREES = Sql("SELECT id, owner_id, root_id FROM tree WHERE id > :id ORDER BY id LIMIT 500")


class PlannedFolder(NamedTuple):
    """What would be kept of a folder with a rule; ``path`` None: it is not there any more."""

    path: str | None
    retention: Retention
    kept: Kept
    all_since: int


class Planned(NamedTuple):
    """What a run would do to one tree now. All states since the time ``all_since`` stay."""

    tree_id: int
    owner_id: int
    retention: Retention
    kept: Kept
    all_since: int
    folders: list[PlannedFolder]
    trash: int
    versions: int
    bytes: int


def plan(database: Database, rules: Rules, *, now: int | None = None) -> list[Planned]:
    """What ``expire`` would do, tree by tree; changes nothing."""
    at = clock.now() if now is None else now
    found: dict[int, Planned] = {}
    regions: dict[int, Regions] = {}
    read = partial(retention_of, rules, 0)
    with database.snapshot() as session:
        for page in paged(session.rows, _TREES, {"id": LEAST}):
            for tree_id, owner_id, root_id in page:
                decision = decide(session, tree_id, read, trash_for=rules.trash_for, now=at)
                gone = len(due(session, tree_id, at - rules.trash_for))
                folders = [_folder(session, root_id, each, at) for each in decision.folders if not each.ends]
                own = decision.retention
                found[tree_id] = Planned(
                    tree_id, owner_id, own, decision.kept, at - own.all_for, folders, gone, versions=0, bytes=0
                )
                regions[tree_id] = Regions(session, _scopes(decision))
        candidates = superseded(versions(session.rows))
        for doomed in unshown(candidates, regions, partial(whereabouts.within, session)):
            each = found[doomed.tree_id]
            found[doomed.tree_id] = each._replace(versions=each.versions + 1, bytes=each.bytes + doomed.size)
    return list(found.values())


def _scopes(decision: Decision) -> Scopes:
    return Scopes(decision.kept, {each.node_id: each.kept for each in decision.folders if not each.ends})


def _folder(session: Session, root_id: int, each: FolderDecision, at: int) -> PlannedFolder:
    above = nodes.above(session, each.node_id)
    path = show(tuple(name for _, name in above[1:])) if above and above[0][0] == root_id else None
    return PlannedFolder(path, each.retention, each.kept, at - each.retention.all_for)
