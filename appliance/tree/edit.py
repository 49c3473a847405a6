"""Changing the tree: each function is one journal row with everything that belongs to it.

They rely on their caller for what is allowed: names are valid, targets free, the quota asked for. ``parents`` are the
folders from the root down to the one that something is, or comes to be, in.
"""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.journal.change import Change, Kind
from appliance.tree import locks, nodes
from appliance.tree.nodes import FILE, FOLDER, Ids, Node
from appliance.tree.paths import name_key


class Content(NamedTuple):
    """What a new version consists of; the manifest's rows are committed in the same transaction."""

    manifest: bytes
    size: int
    # Microseconds, None: the time of the change.
    modified_at: int | None
    # "ALGORITHM:hex …", verified.
    checksum: str | None
    # None: as names like the file's stand for.
    media_type: str | None = None


_INSERT_NODE = Sql("""
    INSERT INTO node (tree_id, parent_id, name, name_key, kind, placed_seq, subtree_seq, files, bytes, version_seq,
                      created_at, modified_at)
    VALUES (:tree_id, :parent_id, :name, :name_key, :kind, :seq, :seq, :files, :bytes, :version_seq,
            :created_at, :modified_at)
    RETURNING id
""")
_INSERT_NODE_AS = Sql("""
    INSERT INTO node (id, tree_id, parent_id, name, name_key, kind, placed_seq, subtree_seq, files, bytes, version_seq,
                      created_at, modified_at)
    VALUES (:id, :tree_id, :parent_id, :name, :name_key, :kind, :seq, :seq, :files, :bytes, :version_seq,
            :created_at, :modified_at)
""")
_INSERT_VERSION = Sql("""
    INSERT INTO version (node_id, seq, size, modified_at, created_at, checksum, media_type, manifest)
    VALUES (:node_id, :seq, :size, :modified_at, :created_at, :checksum, :media_type, :manifest)
""")
_SET_VERSION = Sql("""
    UPDATE node SET version_seq = :seq, subtree_seq = :seq, bytes = :bytes, modified_at = :modified_at WHERE id = :id
""")
_PLACE = Sql("""
    UPDATE node SET parent_id = :parent_id, name = :name, name_key = :name_key, placed_seq = :seq WHERE id = :id
""")
_TAKE_OUT = Sql("UPDATE node SET parent_id = NULL, placed_seq = :seq WHERE id = :id")
_WAS_PLACED = Sql("""
    INSERT INTO placement (node_id, from_seq, to_seq, tree_id, parent_id, name, name_key)
    VALUES (:node_id, :from_seq, :to_seq, :tree_id, :parent_id, :name, :name_key)
""")
_INSERT_TRASH = Sql("""
    INSERT INTO trash (node_id, tree_id, seq, removed_at, reason, parent_id, path, user_id)
    VALUES (:node_id, :tree_id, :seq, :removed_at, :reason, :parent_id, :path, :user_id)
""")
_DELETE_TRASH = Sql("DELETE FROM trash WHERE node_id = :node_id")
_SET_MODIFIED_NODE = Sql("UPDATE node SET modified_at = :modified_at WHERE id = :id")
_SET_MODIFIED_VERSION = Sql("UPDATE version SET modified_at = :modified_at WHERE node_id = :id AND seq = :seq")


def foresee_file(session: Session) -> None:
    """``create_file`` may be called in this transaction."""
    session.foresee_id("node")


def create_file(change: Change, parents: Ids, name: str, content: Content, *, node_id: int | None = None) -> Node:
    """A new file; ``node_id``: one that was reserved for it."""
    node = _insert(change, parents, name, FILE, content, node_id=node_id)
    _insert_version(change, node.id, content)
    _touch(change, parents, files=1, size=content.size)
    change.ancestors.members_changed(parents[-1])
    change.record(Kind.CREATE, node.id, target=(parents[-1], name), size=content.size)
    return node


def update_file(change: Change, parents: Ids, file: Node, content: Content) -> Node:
    """A new version of ``file``. No parents: it is the top of something removed."""
    modified_at = change.at if content.modified_at is None else content.modified_at
    _insert_version(change, file.id, content)
    change.session.run_later(_SET_VERSION, id=file.id, seq=change.seq, bytes=content.size, modified_at=modified_at)
    _touch(change, parents, files=0, size=content.size - file.bytes)
    node = file._replace(version_seq=change.seq, subtree_seq=change.seq, bytes=content.size, modified_at=modified_at)
    target = (parents[-1], file.name) if parents else None
    change.record(Kind.UPDATE, file.id, target=target, size=content.size)
    return node


def create_folder(change: Change, parents: Ids, name: str, *, modified_at: int | None = None) -> Node:
    """A new, empty folder."""
    node = _insert(change, parents, name, FOLDER, None, modified_at=modified_at)
    _touch(change, parents, files=0, size=0)
    change.ancestors.members_changed(parents[-1])
    change.record(Kind.FOLDER, node.id, target=(parents[-1], name))
    return node


def move(change: Change, node: Node, parents: Ids, new_parents: Ids, name: str) -> Node:
    """Put ``node`` into another folder, or give it another name; one row, however much is below it."""
    source, target = parents[-1], new_parents[-1]
    _close_placement(change, node)
    change.session.run_later(_PLACE, id=node.id, parent_id=target, name=name, name_key=name_key(name), seq=change.seq)
    _touch(change, parents, files=-node.files, size=-node.bytes)
    _touch(change, new_parents, files=node.files, size=node.bytes)
    for folder_id in {source, target}:
        change.ancestors.members_changed(folder_id)
    locks.drop_below(change.session, change.tree_id, node)
    change.record(Kind.MOVE, node.id, source=(source, node.name), target=(target, name), size=node.bytes)
    return node._replace(parent_id=target, name=name, placed_seq=change.seq - 1)


def remove(change: Change, parents: Ids, node: Node, *, path: str, reason: str) -> None:
    """Put ``node`` into the trash; one row, however much is below it."""
    parent_id = parents[-1]
    locks.drop_below(change.session, change.tree_id, node)
    _close_placement(change, node)
    change.session.run_later(_TAKE_OUT, id=node.id, seq=change.seq)
    change.session.run_later(
        _INSERT_TRASH,
        node_id=node.id,
        tree_id=change.tree_id,
        seq=change.seq,
        removed_at=change.at,
        reason=reason,
        parent_id=parent_id,
        path=path,
        user_id=change.principal.user_id,
    )
    _touch(change, parents, files=-node.files, size=-node.bytes)
    change.ancestors.members_changed(parent_id)
    change.record(Kind.REMOVE, node.id, source=(parent_id, node.name), size=node.bytes)


def put_back(change: Change, node: Node, parents: Ids, name: str) -> Node:
    """Take ``node`` out of the trash."""
    parent_id = parents[-1]
    change.session.run_later(_DELETE_TRASH, node_id=node.id)
    key = name_key(name)
    change.session.run_later(_PLACE, id=node.id, parent_id=parent_id, name=name, name_key=key, seq=change.seq)
    _touch(change, parents, files=node.files, size=node.bytes)
    change.ancestors.members_changed(parent_id)
    change.record(Kind.RESTORE, node.id, target=(parent_id, name), size=node.bytes)
    return node._replace(parent_id=parent_id, name=name)


def set_modified(change: Change, node: Node, modified_at: int) -> None:
    """Set a file's or folder's modification time. Belongs to a ``note_properties`` of the same change."""
    change.session.run_later(_SET_MODIFIED_NODE, id=node.id, modified_at=modified_at)
    if node.version_seq is not None:
        change.session.run_later(_SET_MODIFIED_VERSION, id=node.id, seq=node.version_seq, modified_at=modified_at)


def note_properties(change: Change, parents: Ids, node: Node) -> None:
    """Journal that properties or times of ``node`` changed; a file's ETag stays. No parents: it is the root."""
    _touch(change, (*parents, node.id), files=0, size=0)
    place = (parents[-1], node.name) if parents else None
    change.record(Kind.PROPERTIES, node.id, target=place)


def insert_copy(
    change: Change,
    parents: Ids,
    name: str,
    kind: int,
    files: int,
    size: int,
    modified_at: int,
    content: Content | None,
) -> Node:
    """The top of a copy; its members follow with the same seq (appliance.tree.copying)."""
    node_id = _insert_row(change, parents[-1], name, kind, files, size, content is not None, modified_at)
    if content is not None:
        _insert_version(change, node_id, content)
    _touch(change, parents, files=files, size=size)
    change.ancestors.members_changed(parents[-1])
    found = nodes.get(change.session, node_id)
    assert found is not None
    return found


def _insert(
    change: Change,
    parents: Ids,
    name: str,
    kind: int,
    content: Content | None,
    *,
    modified_at: int | None = None,
    node_id: int | None = None,
) -> Node:
    if content is not None:
        modified_at = content.modified_at
    at = change.at if modified_at is None else modified_at
    size = 0 if content is None else content.size
    files = 0 if content is None else 1
    node_id = _insert_row(change, parents[-1], name, kind, files, size, content is not None, at, node_id=node_id)
    return Node(
        id=node_id,
        tree_id=change.tree_id,
        parent_id=parents[-1],
        name=name,
        kind=kind,
        placed_seq=change.seq,
        subtree_seq=change.seq,
        files=files,
        bytes=size,
        version_seq=None if content is None else change.seq,
        created_at=change.at,
        modified_at=at,
    )


def _insert_row(
    change: Change,
    parent_id: int,
    name: str,
    kind: int,
    files: int,
    size: int,
    versioned: bool,
    modified_at: int,
    *,
    node_id: int | None = None,
) -> int:
    values = {
        "tree_id": change.tree_id,
        "parent_id": parent_id,
        "name": name,
        "name_key": name_key(name),
        "kind": kind,
        "seq": change.seq,
        "files": files,
        "bytes": size,
        "version_seq": change.seq if versioned else None,
        "created_at": change.at,
        "modified_at": modified_at,
    }
    if node_id is None:
        node_id = change.session.take_id("node")
    if node_id is None:
        given: int = change.session.value(_INSERT_NODE, **values)
        return given
    change.session.run_later(_INSERT_NODE_AS, id=node_id, **values)
    return node_id


def _insert_version(change: Change, node_id: int, content: Content) -> None:
    change.session.run_later(
        _INSERT_VERSION,
        node_id=node_id,
        seq=change.seq,
        size=content.size,
        modified_at=change.at if content.modified_at is None else content.modified_at,
        created_at=change.at,
        checksum=content.checksum,
        media_type=content.media_type,
        manifest=content.manifest,
    )


def _touch(change: Change, parents: Ids, *, files: int, size: int) -> None:
    """Raise their seq and add to their totals."""
    change.ancestors.add(parents, change.seq, files=files, size=size)


def _close_placement(change: Change, node: Node) -> None:
    change.session.run_later(
        _WAS_PLACED,
        node_id=node.id,
        from_seq=node.placed_seq,
        to_seq=change.seq,
        tree_id=change.tree_id,
        parent_id=node.parent_id,
        name=node.name,
        name_key=name_key(node.name),
    )


_INSERT_ROOT = Sql("""
    INSERT INTO node (tree_id, parent_id, name, name_key, kind, placed_seq, subtree_seq, files, bytes, version_seq,
                      created_at, modified_at)
    VALUES (:tree_id, NULL, '', '', 1, 0, 0, 0, 0, NULL, :now, :now) RETURNING id
""")
_INSERT_TREE = Sql("""
    INSERT INTO tree (owner_id, root_id, seq, changed_at, quota_bytes) VALUES (:owner_id, 0, 0, :now, :quota_bytes)
    RETURNING id
""")
_SET_ROOT = Sql("UPDATE tree SET root_id = :root_id WHERE id = :id")


def plant(session: Session, owner_id: int, *, now: int, quota_bytes: int | None) -> int:
    """A new, empty tree; returns its id."""
    tree_id: int = session.value(_INSERT_TREE, owner_id=owner_id, now=now, quota_bytes=quota_bytes)
    root_id = session.value(_INSERT_ROOT, tree_id=tree_id, now=now)
    session.run(_SET_ROOT, id=tree_id, root_id=root_id)
    return tree_id


_QUOTA = Sql("SELECT quota_bytes FROM tree WHERE id = :tree_id")


def quota_of(session: Session, tree_id: int) -> int | None:
    """The logical bytes that the tree may hold; None: no limit."""
    quota: int | None = session.value(_QUOTA, tree_id=tree_id)
    return quota
