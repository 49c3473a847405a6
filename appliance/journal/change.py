"""An open change of one tree: it holds the tree's lock, gives out its numbers and time, and writes its journal."""

from __future__ import annotations

from enum import StrEnum

from appliance import clock
from appliance.db.sql import Session, Sql
from appliance.errors import NotFound, QuotaExceeded
from appliance.journal.ancestors import Ancestors
from appliance.principal import Principal

Place = tuple[int, str]
"""A folder's node id, and a name in it."""


class Kind(StrEnum):
    """What a journal row tells."""

    CREATE = "create"
    """A new file."""
    UPDATE = "update"
    """A new version of a file."""
    FOLDER = "folder"
    """A new, empty folder."""
    COPY = "copy"
    """A new file or folder with all below it; its rows carry this seq."""
    MOVE = "move"
    REMOVE = "remove"
    RESTORE = "restore"
    """Out of the trash."""
    PROPERTIES = "properties"
    """Dead properties or times."""


# The row lock makes changes of one tree follow each other; SQLite's write transactions do that for all trees.
_LOCK = Sql("SELECT root_id, seq, changed_at, quota_bytes FROM tree WHERE id = :id {lock}")
_ADVANCE = Sql("UPDATE tree SET seq = :seq, changed_at = :at WHERE id = :id")
_RECORD = Sql("""
    INSERT INTO journal (tree_id, seq, at, kind, node_id, from_parent_id, from_name, to_parent_id, to_name,
                         user_id, device_id, face, address, bytes)
    VALUES (:tree_id, :seq, :at, :kind, :node_id, :from_parent_id, :from_name, :to_parent_id, :to_name,
            :user_id, :device_id, :face, :address, :bytes)
""")
_NOWHERE = (None, None)


class Change:
    """Made by ``begin`` as the first statement of a transaction; ``finish`` is its last.

    ``seq`` is the number that the next ``record`` will take: rows written before it carry it. All numbers of
    one change have the same time, so no moment shows half of it.
    """

    def __init__(
        self, session: Session, principal: Principal, tree_id: int, root_id: int, seq: int, at: int, quota: int | None
    ) -> None:
        self.session = session
        self.principal = principal
        self.tree_id = tree_id
        self.root_id = root_id
        self.seq = seq
        self.at = at
        self.ancestors = Ancestors(at)
        self._quota = quota

    @staticmethod
    def foresee(session: Session, tree_id: int) -> None:
        """``begin`` is called next."""
        session.foresee(_LOCK, id=tree_id)

    @classmethod
    def begin(cls, session: Session, tree_id: int, principal: Principal) -> Change:
        """Lock the tree; waits for the change before this one.

        Raises:
            NotFound: the tree was purged.
        """
        row = session.row(_LOCK, id=tree_id)
        if row is None:
            raise NotFound(what="the tree")
        root_id, seq, changed_at, quota = row
        # Clocks jump back; the journal does not.
        return cls(session, principal, tree_id, root_id, seq + 1, max(clock.now(), changed_at + 1), quota)

    def require_quota(self, used_bytes: int, added_bytes: int) -> None:
        """Refuse growth beyond the quota. Shrinking is always allowed.

        Raises:
            QuotaExceeded: the tree would hold more than it may.
        """
        if self._quota is not None and added_bytes > 0 and used_bytes + added_bytes > self._quota:
            raise QuotaExceeded(quota_bytes=self._quota, used_bytes=used_bytes)

    def record(
        self,
        kind: Kind,
        node_id: int,
        *,
        source: Place | None = None,
        target: Place | None = None,
        size: int | None = None,
    ) -> None:
        """Write the journal row of ``seq`` and go on to the next number; ``size``: logical bytes of what changed."""
        from_parent_id, from_name = source or _NOWHERE
        to_parent_id, to_name = target or _NOWHERE
        self.session.run_later(
            _RECORD,
            tree_id=self.tree_id,
            seq=self.seq,
            at=self.at,
            kind=kind.value,
            node_id=node_id,
            from_parent_id=from_parent_id,
            from_name=from_name,
            to_parent_id=to_parent_id,
            to_name=to_name,
            user_id=self.principal.user_id,
            device_id=self.principal.device_id,
            face=self.principal.face,
            address=self.principal.address,
            bytes=size,
        )
        self.seq += 1

    def settle(self) -> None:
        """Write the totals of the folders above, for those who have to read them before the end."""
        self.ancestors.write(self.session)

    def finish(self) -> None:
        """Make the numbers taken the tree's own."""
        self.settle()
        self.session.run_later(_ADVANCE, id=self.tree_id, seq=self.seq - 1, at=self.at)
