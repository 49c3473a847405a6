"""What a change adds to the folders above what it changes: their totals, and the newest change below them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from appliance.db.sql import Session, Sql


class _Added(NamedTuple):
    """To one folder, since the last ``write``."""

    seq: int
    files: int = 0
    size: int = 0
    # When its members changed; None: they did not.
    members_at: int | None = None


_ADD = Sql("""
    UPDATE node SET subtree_seq = :seq, files = files + :files, bytes = bytes + :size,
        modified_at = COALESCE(CAST(:members_at AS BIGINT), modified_at)
    WHERE id IN (:ids*)
""")


class Ancestors:
    """Collected, and written once: a row that one transaction writes thousands of times becomes slow to find, since
    PostgreSQL keeps every state of it until the end.
    """

    def __init__(self) -> None:
        self._added: dict[int, _Added] = {}

    def add(self, ids: Iterable[int], seq: int, *, files: int, size: int) -> None:
        """Raise the seq of these folders and add to their totals."""
        for node_id in ids:
            added = self._added.get(node_id) or _Added(seq)
            self._added[node_id] = added._replace(seq=seq, files=added.files + files, size=added.size + size)

    def members_changed(self, node_id: int, seq: int, at: int) -> None:
        """Note the time at which a folder's members changed."""
        self._added[node_id] = (self._added.get(node_id) or _Added(seq))._replace(members_at=at)

    def write(self, session: Session) -> None:
        """Write what was collected; folders that got the same share a statement."""
        alike: dict[_Added, list[int]] = {}
        for node_id, added in self._added.items():
            alike.setdefault(added, []).append(node_id)
        for added, ids in alike.items():
            session.run_by(_ADD, ids, **added._asdict())
        self._added.clear()
