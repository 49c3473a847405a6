"""Nodes that are neither there nor in the trash: they stay while a kept state shows them, and then they go.

A folder goes from the top: what is below it becomes a ghost of its own, so that each step is a short transaction,
however much there is. What once was elsewhere, where a kept state shows it, stays as such.
"""

from __future__ import annotations

from collections.abc import Callable

from appliance import faults
from appliance.chunks import garbage
from appliance.db import gentle
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.tree.nodes import FOLDER

_AT_ONCE = 200

_LOCK = Sql("SELECT root_id FROM tree WHERE id = :tree_id {lock}")
_GHOSTS = Sql("""
    SELECT n.id, n.kind FROM node n LEFT JOIN trash x ON x.node_id = n.id
    WHERE n.parent_id IS NULL AND n.tree_id = :tree_id AND n.id <> :root_id AND x.node_id IS NULL
        AND NOT EXISTS (SELECT 1 FROM placement p WHERE p.node_id = n.id)
    LIMIT :count
""")
_MEMBERS = Sql("SELECT id FROM node WHERE parent_id = :parent_id LIMIT :count")
_DETACH = Sql("UPDATE node SET parent_id = NULL WHERE id IN (:ids*)")
_RECOUNT = Sql("""
    UPDATE node SET files = (SELECT COALESCE(SUM(c.files), 0) FROM node c WHERE c.parent_id = :id),
        bytes = (SELECT COALESCE(SUM(c.bytes), 0) FROM node c WHERE c.parent_id = :id)
    WHERE id = :id
""")
_DELETE = tuple(
    Sql(f"DELETE FROM {table} WHERE {column} IN (:ids*)")
    for table, column in (
        ("version", "node_id"),
        ("named_version", "node_id"),
        ("property", "node_id"),
        ("folder_kept", "node_id"),
        ("folder_rule", "node_id"),
        ("node", "id"),
    )
)


def remove(database: Database, tree_id: int, pause: Callable[[], None]) -> int:
    """Delete the ghosts of a tree that no kept state shows, with what is below them; returns how many nodes went."""
    removed = 0
    while True:
        pause()
        step = gentle.write(database, lambda session: _step(session, tree_id))
        faults.point("expire.ghosts")
        if step is None:
            return removed
        removed += step


def _step(session: Session, tree_id: int) -> int | None:
    """One transaction; None: there are none."""
    row = session.row(_LOCK, tree_id=tree_id)
    if row is None:
        return None
    found = session.rows(_GHOSTS, tree_id=tree_id, root_id=row[0], count=_AT_ONCE)
    if not found:
        return None
    gone: list[int] = []
    for node_id, kind in found:
        if kind == FOLDER and _detach(session, node_id):
            # The rest has to wait: too much for one transaction.
            break
        gone.append(node_id)
    for statement in _DELETE:
        session.run_by(statement, gone)
    garbage.leave(session)
    return len(gone)


def _detach(session: Session, folder_id: int) -> bool:
    """Make ghosts of a folder's members; whether there were any."""
    members = [row[0] for row in session.rows(_MEMBERS, parent_id=folder_id, count=_AT_ONCE)]
    if not members:
        return False
    take_out(session, members, [folder_id])
    return True


def take_out(session: Session, members: list[int], above: list[int]) -> None:
    """Make ghosts of members of a folder that is one, or is in one; ``above``: it and those above it, upwards."""
    session.run_by(_DETACH, members)
    for folder_id in above:
        session.run(_RECOUNT, id=folder_id)
