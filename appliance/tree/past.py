"""The tree as it was after any change: what was where, with which content."""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree.nodes import Chain, Ids, Node
from appliance.tree.paths import Path, name_key


class State(NamedTuple):
    """A tree as it was after change ``seq``, which was made ``at`` (microseconds); 0: before the first one."""

    seq: int
    at: int


OPEN = 2**63 - 1
"""Where the time of something that is still there ends."""


class Stay(NamedTuple):
    """A node was at a place from one change on until another: from_seq <= seq < to_seq."""

    node_id: int
    from_seq: int
    to_seq: int


_LAST = Sql("SELECT seq FROM tree WHERE id = :tree_id")
_FIRST_FROM = Sql("SELECT seq, at FROM journal WHERE tree_id = :tree_id AND seq >= :seq ORDER BY seq LIMIT 1")

_COUNT = Sql("SELECT COUNT(*) FROM journal WHERE tree_id = :tree_id AND seq >= :first AND seq <= :last")

# A node is found where it is now if it was put there by then, else among the places it had.
_PLACED = """
    SELECT id AS node_id, parent_id, name, name_key, placed_seq FROM node
    WHERE parent_id = :parent_id AND placed_seq <= :seq {and_key}
    UNION ALL
    SELECT node_id, parent_id, name, name_key, from_seq FROM placement
    WHERE parent_id = :parent_id AND from_seq <= :seq AND to_seq > :seq {and_key}
"""
# Most files have changed no more since: only for the others a version is looked up. A folder's own time then is not
# known if it has changed since; it was not later than the state's.
_PAST = """
    SELECT n.id, n.tree_id, p.parent_id, p.name, n.kind, p.placed_seq,
        CASE WHEN n.subtree_seq <= :seq THEN n.subtree_seq ELSE :seq END, n.kind - 1,
        CASE n.kind WHEN 1 THEN 0 ELSE COALESCE(v.size, n.bytes) END, COALESCE(v.seq, n.version_seq), n.created_at,
        COALESCE(v.modified_at, CASE WHEN n.kind = 2 OR n.modified_at <= :at THEN n.modified_at ELSE :at END)
    FROM ({placed}) p JOIN node n ON n.id = p.node_id
    LEFT JOIN version v ON n.version_seq > :seq AND v.node_id = n.id
        AND v.seq = (SELECT MAX(w.seq) FROM version w WHERE w.node_id = n.id AND w.seq <= :seq)
    WHERE n.kind = 1 OR n.version_seq <= :seq OR v.seq IS NOT NULL
    ORDER BY p.name_key
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


def state_at(session: Session, tree_id: int, root: Node, at: int) -> State:
    """The state that was left by the last change at or before a time."""
    return state_after(session, tree_id, root, seq_at(session, tree_id, at))


def state_after(session: Session, tree_id: int, root: Node, seq: int) -> State:
    """The state after a change; 0: when the tree was made."""
    row = session.row(_FIRST_FROM, tree_id=tree_id, seq=seq) if seq else None
    return State(seq, root.created_at if row is None else row[1])


def seq_at(session: Session, tree_id: int, at: int) -> int:
    """The last change at or before a time; 0: none.

    Times rise with the numbers, so that a few looks are enough, however long the journal is.
    """
    low, high = 0, session.value(_LAST, tree_id=tree_id)
    while low < high:
        middle = (low + high + 1) // 2
        row = session.row(_FIRST_FROM, tree_id=tree_id, seq=middle)
        if row is None or row[0] > high or row[1] > at:
            high = middle - 1
        else:
            low = row[0]
    return low


def first_after(session: Session, tree_id: int, seq: int) -> State | None:
    """What the next change left; None if there is none."""
    row = session.row(_FIRST_FROM, tree_id=tree_id, seq=seq + 1)
    return None if row is None else State._make(row)


def count(session: Session, tree_id: int, first: int, last: int) -> int:
    """How many changes there are from one to another."""
    found: int = session.value(_COUNT, tree_id=tree_id, first=first, last=last)
    return found


def resolve(session: Session, root: Node, path: Path, state: State) -> Chain:
    """The nodes along ``path`` as they were, as far as they existed; what ``nodes.resolve`` is for the present."""
    first = last = as_it_was(root, state)
    ids: Ids = (root.id,)
    for name in path:
        found = session.row(_CHILD, parent_id=last.id, seq=state.seq, at=state.at, name_key=name_key(name))
        if found is None:
            break
        last = Node._make(found)
        ids += (last.id,)
    return Chain(first, ids, last)


def as_it_was(root: Node, state: State) -> Node:
    """The root of a tree, which has always been where it is. What it held then, in sum, is not known."""
    return root._replace(
        subtree_seq=min(root.subtree_seq, state.seq), modified_at=min(root.modified_at, state.at), files=0, bytes=0
    )


def children(session: Session, parent_id: int, state: State) -> list[Node]:
    """The members of a folder as they were, in the order of their keys. Folders have no sums."""
    rows = session.rows(_CHILDREN, parent_id=parent_id, seq=state.seq, at=state.at)
    return list(map(Node._make, rows))


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
