"""What happened in a tree, or to one file, since a client last asked: change by change, as the journal has it.

Where ``appliance.files.sync`` tells what is different, this tells what was done: a folder that moved is one change.
"""

from __future__ import annotations

from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

from appliance.accounts.policy import Action
from appliance.db.sql import Row, Session, Sql
from appliance.errors import CursorRefused, NotFound
from appliance.files.context import Files
from appliance.journal.change import Kind
from appliance.principal import Principal
from appliance.shares import mounts
from appliance.shares.mounts import Mount
from appliance.tree import nodes
from appliance.tree.nodes import FOLDER, Node
from appliance.tree.paths import Path

LIMIT = 1000
"""Changes of one answer at most."""


class Effect(StrEnum):
    """What a change does to the file or folder that it is of."""

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"


_EFFECTS = {
    Kind.CREATE: Effect.CREATED,
    Kind.FOLDER: Effect.CREATED,
    Kind.COPY: Effect.CREATED,
    Kind.RESTORE: Effect.CREATED,
    Kind.UPDATE: Effect.MODIFIED,
    Kind.MOVE: Effect.MODIFIED,
    Kind.PROPERTIES: Effect.MODIFIED,
    Kind.REMOVE: Effect.DELETED,
}
_VERSIONED = (Kind.CREATE, Kind.UPDATE, Kind.COPY)


class Position(NamedTuple):
    """What a client knows: everything up to the change ``seq`` of a tree."""

    incarnation: str
    tree_id: int
    seq: int


class Happening(NamedTuple):
    """A change, with name and folder as they were behind it; of what is gone: before it.

    ``is_folder`` None: it is gone for good, and nobody knows. ``path``: where it is now; None: nowhere. ``version``:
    the one that it made. ``previous``: (folder's id, name) before it, of something that moved.
    """

    seq: int
    at: int
    effect: Effect
    node_id: int
    name: str
    parent_id: int | None
    is_folder: bool | None
    path: Path | None
    version: int | None
    previous: tuple[int, str] | None
    device_id: int | None


class Feed(NamedTuple):
    """In their order. ``position``: what the client knows with them; ``more``: that is not everything."""

    happenings: list[Happening]
    position: Position
    more: bool


_TREE = Sql("SELECT seq FROM tree WHERE id = :tree_id")
_COLUMNS = """
    j.seq, j.at, j.kind, j.node_id, j.from_parent_id, j.from_name, j.to_parent_id, j.to_name, j.device_id, n.kind
    FROM journal j LEFT JOIN node n ON n.id = j.node_id
"""
_SINCE = Sql(f"""
    SELECT {_COLUMNS} WHERE j.tree_id = :tree_id AND j.seq > :since AND j.seq <= :newest ORDER BY j.seq LIMIT :count
""")
_THESE = Sql(f"SELECT {_COLUMNS} WHERE j.tree_id = :tree_id AND j.seq IN (:seqs*) ORDER BY j.seq")
# The journal is not sorted by files; what a file has had tells which changes were its own.
_OWN = Sql("""
    SELECT seq FROM version WHERE node_id = :id AND seq > :since
    UNION SELECT from_seq FROM placement WHERE node_id = :id AND from_seq > :since
    UNION SELECT to_seq FROM placement WHERE node_id = :id AND to_seq > :since
    UNION SELECT placed_seq FROM node WHERE id = :id AND placed_seq > :since
    UNION SELECT subtree_seq FROM node WHERE id = :id AND kind = 2 AND subtree_seq > :since
    ORDER BY 1 LIMIT :count
""")
# Where something was, from which change on and up to which; its newest place has no end.
_STAYS = Sql("""
    SELECT parent_id, from_seq, to_seq FROM placement WHERE node_id = :id AND to_seq > :after AND from_seq < :before
    UNION ALL SELECT parent_id, placed_seq, NULL FROM node WHERE id = :id AND placed_seq < :before
""")


def changes(files: Files, principal: Principal, known: Position | None, *, count: int = LIMIT) -> Feed:
    """What happened in the whole tree since; ``known`` None: nothing is told but the position of now.

    Raises:
        CursorRefused: what the client knows is not of this tree, or of a state that the store no longer comes from.
    """
    with files.database.snapshot() as session:
        mount, newest = _newest(session, principal)
        now = Position(files.incarnation, mount.tree_id, newest)
        if known is None:
            return Feed([], now, more=False)
        _require_known(known, now)
        rows = session.rows(_SINCE, tree_id=mount.tree_id, since=known.seq, newest=newest, count=count + 1)
        return _feed(session, mount, rows, now, count)


def beginning(files: Files, principal: Principal) -> Position:
    """Before the first change."""
    with files.database.read() as session:
        return Position(files.incarnation, _newest(session, principal)[0].tree_id, 0)


def changes_of(files: Files, principal: Principal, node_id: int, known: Position | None, *, count: int = LIMIT) -> Feed:
    """What happened to one file or folder, also to one that is gone; ``known`` None: from its first day.

    That it goes with a folder that it is in, and comes back with it, counts. Of versions that are kept no more, and of
    properties that were set anew, only the newest is told. Of a folder, what happens in it is not.

    Raises:
        NotFound: there is no such file or folder, or it is somebody else's.
        CursorRefused: as with ``changes``.
    """
    with files.database.snapshot() as session:
        mount, newest = _newest(session, principal)
        node = nodes.get(session, node_id)
        if node is None or node.tree_id != mount.tree_id:
            raise NotFound(what=f"the file or folder {node_id}")
        now = Position(files.incarnation, mount.tree_id, newest)
        if known is not None:
            _require_known(known, now)
        since = known.seq if known is not None else 0
        own = [row[0] for row in session.rows(_OWN, id=node_id, since=since, count=count + 1)]
        rows = [_as_its_own(row, node) for row in session.rows_by(_THESE, own, tree_id=mount.tree_id)]
        rows += _with_folders(session, node, since, newest)
        return _feed(session, mount, sorted(rows, key=itemgetter(0))[: count + 1], now, count)


def _newest(session: Session, principal: Principal) -> tuple[Mount, int]:
    mount = mounts.resolve(session, principal, (), Action.READ)
    row = session.row(_TREE, tree_id=mount.tree_id)
    if row is None:
        raise NotFound(what="the user's tree")
    return mount, row[0]


def _require_known(known: Position, now: Position) -> None:
    if known[:2] != now[:2] or not 0 <= known.seq <= now.seq:
        raise CursorRefused(reason="the cursor is of another state of the store; list all files")


def _as_its_own(row: Row, node: Node) -> Row:
    """A copied folder is one change; to a file in it, it is the file's."""
    if row[3] == node.id:
        return row
    return (*row[:3], node.id, None, None, node.parent_id, node.name, row[8], node.kind)


def _with_folders(session: Session, node: Node, since: int, newest: int) -> list[Row]:
    """The changes by which a folder took it along while it was in there, into the trash or out of it."""
    edges: set[int] = set()
    for folder_id, came, went in _stays(session, node.id, since, newest + 1):
        edges |= _edges(session, folder_id, max(came, since), went)
    rows = session.rows_by(_THESE, sorted(edges), tree_id=node.tree_id)
    return [_as_its_own(row, node) for row in rows if row[2] in (Kind.REMOVE, Kind.RESTORE)]


def _edges(session: Session, folder_id: int | None, after: int, before: int) -> set[int]:
    """The changes between these two by which a folder came somewhere or went, by itself or with one above it."""
    found: set[int] = set()
    for above_id, came, went in _stays(session, folder_id, after, before):
        found |= {seq for seq in (came, went) if after < seq < before}
        found |= _edges(session, above_id, max(came, after), min(went, before))
    return found


def _stays(session: Session, node_id: int | None, after: int, before: int) -> list[tuple[int | None, int, int]]:
    """(folder's id, the change that began it, the one that ended it), as far as they are between; None: in no folder,
    but the root, or in the trash.
    """
    if node_id is None:
        return []
    rows = session.rows(_STAYS, id=node_id, after=after, before=before)
    return [(parent_id, came, before if went is None else went) for parent_id, came, went in rows]


def _feed(session: Session, mount: Mount, rows: list[Row], now: Position, count: int) -> Feed:
    told = rows[:count]
    paths = _paths(session, mount, [row[3] for row in told])
    more = len(rows) > count
    return Feed([_happening(row, paths) for row in told], now._replace(seq=told[-1][0]) if more else now, more)


def _paths(session: Session, mount: Mount, node_ids: list[int]) -> dict[int, Path]:
    """Where those are now that are anywhere."""
    above = nodes.above_each(session, list(set(node_ids)))
    return {node_id: tuple(name for _, name in way[1:]) for node_id, way in above.items() if way[0][0] == mount.root_id}


def _happening(row: Row, paths: dict[int, Path]) -> Happening:
    seq, at, kind, node_id, from_parent, from_name, to_parent, to_name, device_id, node_kind = row
    is_folder = node_kind == FOLDER if node_kind is not None else _is_folder_by(kind)
    return Happening(
        seq,
        at,
        _EFFECTS[Kind(kind)],
        node_id,
        to_name or from_name or "",
        to_parent or from_parent,
        is_folder,
        paths.get(node_id),
        seq if kind in _VERSIONED and not is_folder else None,
        (from_parent, from_name) if kind == Kind.MOVE else None,
        device_id,
    )


def _is_folder_by(kind: str) -> bool | None:
    """Of what is gone for good."""
    if kind == Kind.FOLDER:
        return True
    return False if kind in (Kind.CREATE, Kind.UPDATE) else None
