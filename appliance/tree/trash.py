"""What was removed and can be put back."""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree.paths import Path


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
    # The change that removed it.
    seq: int

    @property
    def names(self) -> Path:
        """``path`` as names. It may be longer than one that can be asked for: what is above may have moved."""
        return tuple(filter(None, self.path.split("/")))


# Behind every change.
_LAST = 2**63 - 1
_SELECT = """
    SELECT t.node_id, n.name, n.kind, n.files, n.bytes, t.removed_at, t.reason, t.parent_id, t.path, t.user_id, t.seq
    FROM trash t JOIN node n ON n.id = t.node_id WHERE t.tree_id = :tree_id
"""
_LIST = Sql(_SELECT + " ORDER BY t.seq DESC")
_BEFORE = Sql(_SELECT + " AND t.seq < :before ORDER BY t.seq DESC LIMIT :count")
_GET = Sql(_SELECT + " AND t.node_id = :node_id")


def listing(session: Session, tree_id: int) -> list[Removed]:
    """Everything in the trash of a tree, the last removed first."""
    return [Removed._make(row) for row in session.rows(_LIST, tree_id=tree_id)]


def before(session: Session, tree_id: int, seq: int | None, *, count: int) -> list[Removed]:
    """``listing``, but only what changes before ``seq`` removed, and so many at most. Each change removes one."""
    rows = session.rows(_BEFORE, tree_id=tree_id, before=_LAST if seq is None else seq, count=count)
    return list(map(Removed._make, rows))


def get(session: Session, tree_id: int, node_id: int) -> Removed | None:
    """One of them."""
    row = session.row(_GET, tree_id=tree_id, node_id=node_id)
    return None if row is None else Removed._make(row)
