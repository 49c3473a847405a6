"""The versions that a path has had. History belongs to the path: a file that replaced another one continues it."""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree.paths import name_key


class Version(NamedTuple):
    """A version that a path has had, and who made it."""

    node_id: int
    seq: int
    size: int
    modified_at: int
    created_at: int
    checksum: str | None
    user_id: int | None
    device_id: int | None
    face: str


# A version was seen at the path if it was current at some time while its node was there.
_AT_PLACE = Sql("""
    SELECT v.node_id, v.seq, v.size, v.modified_at, v.created_at, v.checksum, j.user_id, j.device_id, j.face
    FROM (
        SELECT id AS node_id, placed_seq AS from_seq, CAST(9223372036854775807 AS BIGINT) AS to_seq
        FROM node WHERE parent_id = :parent_id AND name_key = :name_key
        UNION ALL
        SELECT node_id, from_seq, to_seq FROM placement WHERE parent_id = :parent_id AND name_key = :name_key
    ) p
    JOIN version v ON v.node_id = p.node_id AND v.seq < p.to_seq
    LEFT JOIN journal j ON j.tree_id = :tree_id AND j.seq = v.seq
    WHERE COALESCE(
        (SELECT MIN(w.seq) FROM version w WHERE w.node_id = v.node_id AND w.seq > v.seq), p.to_seq
    ) > p.from_seq
    ORDER BY v.seq DESC
""")


def at_place(session: Session, tree_id: int, parent_id: int, name: str) -> list[Version]:
    """The versions seen under this name in this folder, newest first, each once."""
    rows = session.rows(_AT_PLACE, tree_id=tree_id, parent_id=parent_id, name_key=name_key(name))
    return [Version._make(row) for row in dict.fromkeys(rows)]
