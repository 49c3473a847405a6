"""Nodes as they are now: finding them by path, and listing folders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree.paths import Path, name_key

FOLDER = 1
FILE = 2

_COLUMNS = (
    "id, tree_id, parent_id, name, kind, placed_seq, subtree_seq, files, bytes, version_seq, created_at, modified_at"
)
_WIDTH = len(_COLUMNS.split(","))
# SQLite joins at most 64 tables; longer paths are walked in stretches.
_STRETCH = 24


class Node(NamedTuple):
    """A row of ``node`` (its meaning: appliance.db.models)."""

    id: int
    tree_id: int
    parent_id: int | None
    name: str
    kind: int
    placed_seq: int
    subtree_seq: int
    files: int
    bytes: int
    version_seq: int | None
    created_at: int
    modified_at: int

    @property
    def is_folder(self) -> bool:
        return self.kind == FOLDER

    def etag(self, incarnation: str) -> str:
        """Names the state of a file's content, or of everything in and below a folder; with its quotes."""
        return etags((self,), incarnation)[0]


def etags(nodes: Sequence[Node], incarnation: str) -> list[str]:
    """``Node.etag`` of each, without a call for each."""
    return [f'"{incarnation}-{node.id:x}-{node.version_seq or node.subtree_seq:x}"' for node in nodes]


Chain = tuple[Node, ...]
"""The nodes of a path that exist, from the root downwards."""


def resolve(session: Session, root_id: int, path: Path) -> Chain:
    """The nodes along ``path`` as far as they exist, at least the root.

    All of the path exists if the chain has ``len(path) + 1`` nodes. Empty if the root itself is gone.
    """
    chain: list[Node] = []
    start: int = root_id
    position = 0
    while True:
        stretch = path[position : position + _STRETCH]
        keys = {f"key{index}": name_key(name) for index, name in enumerate(stretch)}
        row = session.row(_walk(len(stretch)), root=start, **keys)
        if row is None:
            return ()
        # The first node of a further stretch is the last one of the stretch before.
        for offset in range(_WIDTH if chain else 0, len(row), _WIDTH):
            if row[offset] is None:
                return tuple(chain)
            chain.append(Node._make(row[offset : offset + _WIDTH]))
        position += len(stretch)
        if position >= len(path):
            return tuple(chain)
        start = chain[-1].id


@cache
def _walk(steps: int) -> Sql:
    """One statement for a path of so many names: a join costs a fraction of one query a name."""
    columns = ", ".join(f"n{step}.{column}" for step in range(steps + 1) for column in _COLUMNS.split(", "))
    joins = " ".join(
        f"LEFT JOIN node n{step} ON n{step}.parent_id = n{step - 1}.id AND n{step}.name_key = :key{step - 1}"
        for step in range(1, steps + 1)
    )
    return Sql(f"SELECT {columns} FROM node n0 {joins} WHERE n0.id = :root")


_GET = Sql(f"SELECT {_COLUMNS} FROM node WHERE id = :id")
_CHILDREN = Sql(f"SELECT {_COLUMNS} FROM node WHERE parent_id = :parent_id ORDER BY name_key")
_CHILDREN_OF = Sql(f"SELECT {_COLUMNS} FROM node WHERE parent_id IN (:parent_ids*) ORDER BY parent_id, name_key")
_ABOVE = Sql("""
    WITH RECURSIVE above (id, parent_id, name, depth) AS (
        SELECT id, parent_id, name, 0 FROM node WHERE id = :id
        UNION ALL
        SELECT n.id, n.parent_id, n.name, above.depth + 1 FROM node n JOIN above ON n.id = above.parent_id
    ) SELECT id, name FROM above ORDER BY depth DESC
""")


def get(session: Session, node_id: int) -> Node | None:
    """The node, also when it or a folder above it was removed."""
    row = session.row(_GET, id=node_id)
    return None if row is None else Node._make(row)


def children(session: Session, parent_id: int) -> list[Node]:
    """The members of a folder in the order of their keys; all at once, so that they are of one state."""
    return list(map(Node._make, session.rows(_CHILDREN, parent_id=parent_id)))


def children_of(session: Session, parent_ids: Sequence[int]) -> list[Node]:
    """The members of several folders, folder by folder."""
    return [Node._make(row) for row in session.rows_by(_CHILDREN_OF, parent_ids)]


def above(session: Session, node_id: int) -> list[tuple[int, str]]:
    """(id, name) from the topmost ancestor down to the node itself."""
    return [(row[0], row[1]) for row in session.rows(_ABOVE, id=node_id)]
