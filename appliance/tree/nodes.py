"""Nodes as they are now: finding them by path, and listing folders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from appliance.db.sql import Row, Session, Sql
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


def folder_etag(incarnation: str, node_id: int, seq: int) -> str:
    """``Node.etag`` of a folder after the newest change in or below it."""
    return f'"{incarnation}-{node_id:x}-{seq:x}"'


def etags(nodes: Sequence[Node], incarnation: str) -> list[str]:
    """``Node.etag`` of each, without a call for each."""
    return [f'"{incarnation}-{node.id:x}-{node.version_seq or node.subtree_seq:x}"' for node in nodes]


Ids = tuple[int, ...]
"""The ids of nodes that lie in each other, from the root downwards."""


class Chain(NamedTuple):
    """The nodes along a path as far as they exist; ``ids`` are of all, from the ``root`` to the ``last``."""

    root: Node
    ids: Ids
    last: Node


class Beside(NamedTuple):
    """Columns that are read along with the node that a path names, whose alias is ``last``."""

    columns: str
    joins: str


NOTHING = Beside("", "")


def foresee(session: Session, root_id: int, path: Path) -> None:
    """``resolve`` will be asked for this."""
    foresee_with(session, root_id, path, NOTHING)


def foresee_with(session: Session, root_id: int, path: Path, beside: Beside, **parameters: Any) -> None:
    """``resolve_with`` will be asked for this."""
    if 0 < len(path) <= _STRETCH:
        session.foresee(_walk(len(path), beside), start=root_id, **_keys(path), **parameters)


def _keys(stretch: Path) -> dict[str, str]:
    return {f"key{index}": name_key(name) for index, name in enumerate(stretch)}


def resolve(session: Session, root_id: int, path: Path) -> Chain | None:
    """The nodes along ``path`` as far as they exist, at least the root. None if the root itself is gone.

    All of the path exists if the chain has ``len(path) + 1`` ids.
    """
    found = resolve_with(session, root_id, path, NOTHING)
    return None if found is None else found[0]


def resolve_with(
    session: Session, root_id: int, path: Path, beside: Beside, **parameters: Any
) -> tuple[Chain, Row] | None:
    """``resolve``, and what stands beside the last node of the chain; nothing beside the root. ``parameters``: of
    ``beside``.
    """
    root = last = None if path else get(session, root_id)
    extra: Row = ()
    ids: Ids = (root_id,)
    for position in range(0, len(path), _STRETCH):
        stretch = path[position : position + _STRETCH]
        row = session.row(_walk(len(stretch), beside), start=ids[-1], **_keys(stretch), **parameters)
        if row is None:
            return None
        root = root or Node._make(row[:_WIDTH])
        last = Node._make(row[_WIDTH : 2 * _WIDTH])
        found = row[2 * _WIDTH : 2 * _WIDTH + len(stretch)]
        extra = row[2 * _WIDTH + len(stretch) :]
        if found[-1] is None:
            ids += found[: found.index(None)]
            break
        ids += found
    return None if root is None or last is None else (Chain(root, ids, last), extra)


@cache
def _walk(steps: int, beside: Beside) -> Sql:
    """One statement for a path of so many names: a join costs a fraction of one query a name.

    Of the nodes on the way it wants what the index of names has; only the ends are looked up in the table.
    """
    ends = ", ".join(f"{end}.{column}" for end in ("n0", "last") for column in _COLUMNS.split(", "))
    ids = [f"n{step}.id" for step in range(1, steps + 1)]
    joins = " ".join(
        f"LEFT JOIN node n{step} ON n{step}.parent_id = n{step - 1}.id AND n{step}.name_key = :key{step - 1}"
        for step in range(1, steps + 1)
    )
    deepest = ", ".join([*reversed(ids), "n0.id"])
    return Sql(f"""
        SELECT {ends}, {", ".join(ids)}{beside.columns and ","} {beside.columns} FROM node n0 {joins}
        JOIN node last ON last.id = COALESCE({deepest}) {beside.joins} WHERE n0.id = :start
    """)


_GET = Sql(f"SELECT {_COLUMNS} FROM node WHERE id = :id")
_CHILDREN = Sql(f"SELECT {_COLUMNS} FROM node WHERE parent_id = :parent_id ORDER BY name_key")
_CHILDREN_OF = Sql(f"SELECT {_COLUMNS} FROM node WHERE parent_id IN (:parent_ids*) ORDER BY parent_id, name_key")
# In the order of code points, which a database need not have for texts.
_FROM = "WHERE parent_id = :parent_id AND name_key {binary} >= :key"
_IN_ORDER = "ORDER BY name_key {binary} LIMIT :count"
_MEMBERS_FROM = Sql(f"SELECT {_COLUMNS} FROM node {_FROM} {_IN_ORDER}")
_CHANGED_FROM = Sql(
    f"SELECT {_COLUMNS} FROM node {_FROM} AND (placed_seq > :since OR subtree_seq > :since) {_IN_ORDER}"
)
# By a plus sign the ids are kept from choosing the index: in the order of ids, that of the whole table would be walked.
_MEMBERS_AFTER = Sql(f"""
    SELECT {_COLUMNS} FROM node WHERE id IN (
        SELECT id FROM node WHERE parent_id = :parent_id AND +id > :after ORDER BY +id LIMIT :count
    ) ORDER BY id
""")
_GET_EACH = Sql(f"SELECT {_COLUMNS} FROM node WHERE id IN (:ids*)")
_ABOVE = Sql("""
    WITH RECURSIVE above (id, parent_id, name, depth) AS (
        SELECT id, parent_id, name, 0 FROM node WHERE id = :id
        UNION ALL
        SELECT n.id, n.parent_id, n.name, above.depth + 1 FROM node n JOIN above ON n.id = above.parent_id
    ) SELECT id, name FROM above ORDER BY depth DESC
""")
_ABOVE_EACH = Sql("""
    WITH RECURSIVE above (start, id, parent_id, name, depth) AS (
        SELECT id, id, parent_id, name, 0 FROM node WHERE id IN (:ids*)
        UNION ALL
        SELECT above.start, n.id, n.parent_id, n.name, above.depth + 1 FROM node n JOIN above ON n.id = above.parent_id
    ) SELECT start, id, name FROM above ORDER BY start, depth DESC
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


def members_from(session: Session, parent_id: int, key: str, *, count: int, since: int | None = None) -> list[Node]:
    """The first members of a folder whose ``name_key`` is at least ``key``, by code points.

    Since a change: only those that came or changed after it, or have something below them that did.
    """
    if since is None:
        rows = session.rows(_MEMBERS_FROM, parent_id=parent_id, key=key, count=count)
    else:
        rows = session.rows(_CHANGED_FROM, parent_id=parent_id, key=key, count=count, since=since)
    return list(map(Node._make, rows))


def columns_of(alias: str) -> str:
    """The columns of a ``Node``, in its order, of a table with this alias."""
    return ", ".join(f"{alias}.{name}" for name in _COLUMNS.split(", "))


def members_after(session: Session, parent_id: int, after: int, *, count: int) -> list[Node]:
    """The first members of a folder whose ids are above ``after``, by their ids."""
    return list(map(Node._make, session.rows(_MEMBERS_AFTER, parent_id=parent_id, after=after, count=count)))


def get_each(session: Session, node_ids: Sequence[int]) -> list[Node]:
    """Those that are there; in no order."""
    return list(map(Node._make, session.rows_by(_GET_EACH, node_ids)))


def above(session: Session, node_id: int) -> list[tuple[int, str]]:
    """(id, name) from the topmost ancestor down to the node itself."""
    return [(row[0], row[1]) for row in session.rows(_ABOVE, id=node_id)]


def above_each(session: Session, node_ids: Sequence[int]) -> dict[int, list[tuple[int, str]]]:
    """``above`` of each that is there."""
    found: dict[int, list[tuple[int, str]]] = {}
    for start, node_id, name in session.rows_by(_ABOVE_EACH, node_ids):
        found.setdefault(start, []).append((node_id, name))
    return found
