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


# The usual change has one folder whose members changed, beside those above it: one statement.
_ADD = Sql("""
    UPDATE node SET subtree_seq = :seq, files = files + :files, bytes = bytes + :size,
        modified_at = CASE WHEN id = :changed THEN :at ELSE modified_at END
    WHERE id IN (:ids*)
""")
_SET_TIME = Sql("UPDATE node SET modified_at = :at WHERE id IN (:ids*)")
_NONE = 0


class Ancestors:
    """Collected, and written once: a row that one transaction writes thousands of times becomes slow to find, since
    PostgreSQL keeps every state of it until the end.
    """

    def __init__(self, at: int) -> None:
        """``at``: the time of the change."""
        self._at = at
        self._added: dict[int, _Added] = {}
        # Folders that got or lost a member.
        self._changed: set[int] = set()

    def add(self, ids: Iterable[int], seq: int, *, files: int, size: int) -> None:
        """Raise the seq of these folders and add to their totals."""
        for node_id in ids:
            added = self._added.get(node_id)
            self._added[node_id] = (
                _Added(seq, files, size) if added is None else _Added(seq, added.files + files, added.size + size)
            )

    def members_changed(self, node_id: int) -> None:
        """Note that the members of a folder, which is or will be among those of ``add``, changed."""
        self._changed.add(node_id)

    def write(self, session: Session) -> None:
        """Write what was collected; folders that got the same share a statement."""
        alike: dict[_Added, list[int]] = {}
        for node_id, added in self._added.items():
            alike.setdefault(added, []).append(node_id)
        for added, ids in alike.items():
            changed = next((node_id for node_id in ids if node_id in self._changed), _NONE)
            self._changed.discard(changed)
            session.run_later_by(
                _ADD, ids, seq=added.seq, files=added.files, size=added.size, changed=changed, at=self._at
            )
        session.run_later_by(_SET_TIME, sorted(self._changed), at=self._at)
        self._added.clear()
        self._changed.clear()
