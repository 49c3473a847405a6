"""The versions that a path has had. History belongs to the path: a file that replaced another one continues it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree import kept, whereabouts
from appliance.tree.past import OPEN, Stay
from appliance.tree.whereabouts import Span


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
    # What somebody has called it; such a version stays.
    name: str | None


_OF_NODES = Sql("""
    SELECT v.node_id, v.seq, v.size, v.modified_at, v.created_at, v.checksum, j.user_id, j.device_id, j.face,
        m.name
    FROM version v LEFT JOIN journal j ON j.tree_id = :tree_id AND j.seq = v.seq
    LEFT JOIN named_version m ON m.node_id = v.node_id AND m.seq = v.seq
    WHERE v.node_id IN (:node_ids*) ORDER BY v.node_id, v.seq
""")


_NAME = Sql("""
    INSERT INTO named_version (node_id, seq, name, named_at) VALUES (:node_id, :seq, :name, :at)
    ON CONFLICT (node_id, seq) DO UPDATE SET name = excluded.name, named_at = excluded.named_at
""")
_UNNAME = Sql("DELETE FROM named_version WHERE node_id = :node_id AND seq = :seq")


def set_name(session: Session, version: Version, name: str | None, at: int) -> None:
    """Call a version something, so that it stays; None: nothing, and the retention decides on it again."""
    if name is None:
        session.run(_UNNAME, node_id=version.node_id, seq=version.seq)
    else:
        session.run(_NAME, node_id=version.node_id, seq=version.seq, name=name, at=at)


def seen(session: Session, tree_id: int, stays: Iterable[Stay]) -> list[Version]:
    """The versions that were current during a stay of their file, newest first, each once.

    Not those that are kept no more, also if their rows are still to be deleted.
    """
    by_node: dict[int, list[Stay]] = {}
    for stay in stays:
        by_node.setdefault(stay.node_id, []).append(stay)
    rows = session.rows_by(_OF_NODES, list(by_node), tree_id=tree_id)
    every = [Version._make(row) for row in rows]
    shown = _Shown(session, tree_id)
    found = [
        version
        for version, following in pairwise([*every, None])
        if version is not None
        and _was_current(version, following, by_node[version.node_id])
        and (version.name is not None or shown(version, _end(version, following)))
    ]
    return sorted(found, key=lambda version: (version.seq, version.node_id), reverse=True)


class _Shown:
    """Whether a kept state shows a version, where its file was then."""

    def __init__(self, session: Session, tree_id: int) -> None:
        self._session = session
        self._scopes = kept.scopes(session, tree_id)
        self._spans: dict[int, list[Span]] = {}

    def __call__(self, version: Version, end: int) -> bool:
        scopes, node_id = self._scopes, version.node_id
        # The newest one is what the file is now.
        if end == OPEN or not scopes.folders:
            return scopes.tree.needs(version.seq, end)
        if node_id not in self._spans:
            self._spans[node_id] = whereabouts.spans(self._session, scopes.folders, node_id)
        return whereabouts.shows(scopes, self._spans[node_id], version.seq, end)


def _was_current(version: Version, following: Version | None, stays: list[Stay]) -> bool:
    """``following``: the next row, which may be another file's."""
    until = _end(version, following)
    return any(version.seq < stay.to_seq and until > stay.from_seq for stay in stays)


def _end(version: Version, following: Version | None) -> int:
    """The change that made another version current."""
    same = following is not None and following.node_id == version.node_id
    return following.seq if following is not None and same else OPEN


def names(versions: list[Version]) -> list[str]:
    """What people call each of them: the number of the change that made it.

    One change can make several files (a copied folder), and they can come to the same path one after the other; then
    the node's id, after a dot, tells them apart.
    """
    count = Counter(version.seq for version in versions)
    return [f"{each.seq}.{each.node_id}" if count[each.seq] > 1 else str(each.seq) for each in versions]
