"""The tree as it was after any change: what was where, with which content."""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree.nodes import FOLDER, Ids
from appliance.tree.paths import Path, name_key


class PastNode(NamedTuple):
    """A node as it was: ``version_seq`` is the version that was current, None for folders."""

    id: int
    name: str
    kind: int
    version_seq: int | None
    size: int
    created_at: int
    modified_at: int

    @property
    def is_folder(self) -> bool:
        return self.kind == FOLDER


OPEN = 2**63 - 1
"""Where the time of something that is still there ends."""


class Stay(NamedTuple):
    """A node was at a place from one change on until another: from_seq <= seq < to_seq."""

    node_id: int
    from_seq: int
    to_seq: int


# Times rise with the numbers, so the first row from the end is the one.
_SEQ_AT = Sql("SELECT seq FROM journal WHERE tree_id = :tree_id AND at <= :at ORDER BY seq DESC LIMIT 1")

# A node is found where it is now if it was put there by then, else among the places it had.
_PLACED = """
    SELECT id AS node_id, name FROM node WHERE parent_id = :parent_id AND placed_seq <= :seq {and_key}
    UNION ALL
    SELECT node_id, name FROM placement
    WHERE parent_id = :parent_id AND from_seq <= :seq AND to_seq > :seq {and_key}
"""
_PAST = """
    SELECT n.id, p.name, n.kind, v.seq, COALESCE(v.size, 0), n.created_at, COALESCE(v.modified_at, n.modified_at)
    FROM ({placed}) p JOIN node n ON n.id = p.node_id
    LEFT JOIN version v ON v.node_id = n.id
        AND v.seq = (SELECT MAX(w.seq) FROM version w WHERE w.node_id = n.id AND w.seq <= :seq)
    ORDER BY p.name
"""
_CHILDREN = Sql(_PAST.format(placed=_PLACED.format(and_key="")))
_CHILD = Sql(_PAST.format(placed=_PLACED.format(and_key="AND name_key = :name_key")))
_STAYS = Sql("""
    SELECT p.parent_id, p.node_id, p.from_seq, p.to_seq FROM (
        SELECT parent_id, id AS node_id, placed_seq AS from_seq, CAST(9223372036854775807 AS BIGINT) AS to_seq, name_key
        FROM node
        UNION ALL
        SELECT parent_id, node_id, from_seq, to_seq, name_key FROM placement
    ) p WHERE p.parent_id IN (:parent_ids*) AND p.name_key = :name_key
""")
_ROOT = Sql("SELECT id, name, kind, NULL, 0, created_at, modified_at FROM node WHERE id = :id")


def seq_at(session: Session, tree_id: int, at: int) -> int:
    """The last change at or before a time; 0: none."""
    row = session.row(_SEQ_AT, tree_id=tree_id, at=at)
    return 0 if row is None else row[0]


def find(session: Session, root_id: int, path: Path, seq: int) -> PastNode | None:
    """What ``path`` named after change ``seq``."""
    row = session.row(_ROOT, id=root_id)
    node = None if row is None else PastNode._make(row)
    for name in path:
        if node is None:
            return None
        row = session.row(_CHILD, parent_id=node.id, seq=seq, name_key=name_key(name))
        node = None if row is None else PastNode._make(row)
    return node


def children(session: Session, parent_id: int, seq: int) -> list[PastNode]:
    """The members of a folder after change ``seq``, by name."""
    return [PastNode._make(row) for row in session.rows(_CHILDREN, parent_id=parent_id, seq=seq)]


def stays(session: Session, ids: Ids, path: Path) -> list[Stay]:
    """Everything that ``path`` has ever named. ``ids``: of the nodes along it now, as far as they exist.

    What is there now brought its own past along, so its stay has no limits: a moved folder keeps what its members
    have had, a moved file its versions. Of what is there no more only the time counts in which the path led to it.
    """
    found = [Stay(ids[0], 0, OPEN)]
    for depth, name in enumerate(path, 1):
        folders: dict[int, list[Stay]] = {}
        for stay in found:
            folders.setdefault(stay.node_id, []).append(stay)
        rows = session.rows_by(_STAYS, list(folders), name_key=name_key(name))
        found = [
            Stay(node_id, max(from_seq, folder.from_seq), min(to_seq, folder.to_seq))
            for parent_id, node_id, from_seq, to_seq in rows
            for folder in folders[parent_id]
            if max(from_seq, folder.from_seq) < min(to_seq, folder.to_seq)
        ]
        if depth < len(ids):
            found.append(Stay(ids[depth], 0, OPEN))
    return found
