"""Copying within the database: new nodes and versions, no bytes."""

from __future__ import annotations

from appliance.db.sql import Session, Sql
from appliance.journal.change import Change, Kind
from appliance.tree import edit, nodes, properties
from appliance.tree.edit import Content
from appliance.tree.nodes import Ids, Node

_CONTENT = Sql("""
    SELECT manifest, size, modified_at, checksum, media_type FROM version WHERE node_id = :node_id AND seq = :seq
""")
_COPY_NODE = Sql("""
    INSERT INTO node (id, tree_id, parent_id, name, name_key, kind, placed_seq, subtree_seq, files, bytes, version_seq,
                      created_at, modified_at)
    SELECT :new_id, :tree_id, :new_parent_id, name, name_key, kind, :seq, :seq, files, bytes,
           CASE WHEN version_seq IS NULL THEN NULL ELSE CAST(:seq AS BIGINT) END, :at, modified_at
    FROM node WHERE id = :id
""")
_COPY_VERSION = Sql("""
    INSERT INTO version (node_id, seq, size, modified_at, created_at, checksum, media_type, manifest)
    SELECT :new_id, :seq, size, modified_at, :at, checksum, media_type, manifest
    FROM version WHERE node_id = :id AND seq = :version_seq
""")


_EXTENT = Sql("""
    WITH RECURSIVE below (id) AS (
        SELECT id FROM node WHERE id = :id
        UNION SELECT n.id FROM node n JOIN below ON n.parent_id = below.id WHERE :deep = 1
    )
    SELECT COUNT(DISTINCT below.id), COALESCE(SUM(LENGTH(p.name) + LENGTH(p.value)), 0)
    FROM below LEFT JOIN property p ON p.node_id = below.id
""")


def extent(session: Session, source: Node, *, deep: bool) -> tuple[int, int]:
    """How many nodes a copy of ``source`` makes, and how many characters of dead properties. It walks all of them."""
    row = session.row(_EXTENT, id=source.id, deep=int(deep))
    assert row is not None
    return row[0], int(row[1])


def content_of(session: Session, node_id: int, version_seq: int) -> Content | None:
    """What a version consists of; None if there is no such version."""
    row = session.row(_CONTENT, node_id=node_id, seq=version_seq)
    return None if row is None else Content(bytes(row[0]), *row[1:])


def copy(change: Change, source: Node, parents: Ids, name: str, *, deep: bool) -> Node:
    """A copy of ``source`` in the last of ``parents``, with dead properties, without history and locks.

    A folder is copied with all below it if ``deep``, else empty (RFC 4918 §9.8.3); deep copies lie outside of it.
    """
    content = None
    if source.version_seq is not None:
        content = content_of(change.session, source.id, source.version_seq)
        assert content is not None
    whole = deep or content is not None
    top = edit.insert_copy(
        change,
        parents,
        name,
        source.kind,
        source.files if whole else 0,
        source.bytes if whole else 0,
        source.modified_at,
        content,
    )
    pairs = [(source.id, top.id)]
    if deep and source.is_folder:
        pairs += _copy_below(change, source, top)
    properties.copy(change.session, pairs)
    origin = None if source.parent_id is None else (source.parent_id, source.name)
    change.record(Kind.COPY, top.id, source=origin, target=(parents[-1], name), size=top.bytes)
    return top


def update_from(change: Change, parents: Ids, file: Node, source: Node) -> Node:
    """Make the content and dead properties of ``source`` those of ``file``."""
    assert source.version_seq is not None
    content = content_of(change.session, source.id, source.version_seq)
    assert content is not None
    properties.clear(change.session, file.id)
    properties.copy(change.session, [(source.id, file.id)])
    return edit.update_file(change, parents, file, content)


def _copy_below(change: Change, source: Node, top: Node) -> list[tuple[int, int]]:
    """Level by level; returns (id, id of its copy)."""
    pairs: list[tuple[int, int]] = []
    level = {source.id: top.id}
    while level:
        members = nodes.children_of(change.session, list(level))
        copies = change.session.reserve_ids("node", len(members)) if members else []
        rows = [
            {
                "id": node.id,
                "new_id": copy_id,
                "new_parent_id": level[node.parent_id],  # type: ignore[index]
                "version_seq": node.version_seq,
                "tree_id": change.tree_id,
                "seq": change.seq,
                "at": change.at,
            }
            for node, copy_id in zip(members, copies, strict=True)
        ]
        change.session.run_many(_COPY_NODE, rows)
        change.session.run_many(_COPY_VERSION, [row for row in rows if row["version_seq"] is not None])
        pairs += [(node.id, copy_id) for node, copy_id in zip(members, copies, strict=True)]
        level = {node.id: copy_id for node, copy_id in zip(members, copies, strict=True) if node.is_folder}
    return pairs
