"""What was removed and can be put back."""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.sql import Session, Sql


class Removed(NamedTuple):
    """The top of something in the trash."""

    node_id: int
    name: str
    kind: int
    files: int
    bytes: int
    removed_at: int
    reason: str
    parent_id: int
    path: str
    user_id: int | None


_SELECT = """
    SELECT t.node_id, n.name, n.kind, n.files, n.bytes, t.removed_at, t.reason, t.parent_id, t.path, t.user_id
    FROM trash t JOIN node n ON n.id = t.node_id WHERE t.tree_id = :tree_id
"""
_LIST = Sql(_SELECT + " ORDER BY t.seq DESC")
_GET = Sql(_SELECT + " AND t.node_id = :node_id")


def listing(session: Session, tree_id: int) -> list[Removed]:
    """Everything in the trash of a tree, the last removed first."""
    return [Removed._make(row) for row in session.rows(_LIST, tree_id=tree_id)]


def get(session: Session, tree_id: int, node_id: int) -> Removed | None:
    """One of them."""
    row = session.row(_GET, tree_id=tree_id, node_id=node_id)
    return None if row is None else Removed._make(row)
