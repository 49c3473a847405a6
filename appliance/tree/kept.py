"""Which states of a tree can still be opened: all from one on, and single ones before it.

Folders with a rule of their own (appliance.tree.rules) keep others, for themselves and all below them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from appliance.db.sql import Session, Sql


class Kept(NamedTuple):
    """All states from ``since`` on, and before it those after the changes ``seqs``, which rise."""

    since: int
    seqs: tuple[int, ...]

    def has(self, seq: int) -> bool:
        """Whether the state after a change is kept."""
        return seq >= self.since or self.needs(seq, seq + 1)

    def needs(self, begin: int, end: int) -> bool:
        """Whether a state shows what was there for begin <= seq < end."""
        if end > self.since:
            return begin < end
        at = bisect_left(self.seqs, begin)
        return at < len(self.seqs) and self.seqs[at] < end

    def around(self, seq: int) -> tuple[int | None, int]:
        """The kept states before and after one that is not."""
        at = bisect_right(self.seqs, seq)
        return self.seqs[at - 1] if at else None, self.seqs[at] if at < len(self.seqs) else self.since


class Scopes(NamedTuple):
    """What a tree keeps: ``folders`` with a rule, by id, for themselves and all below them, ``tree`` everywhere else.

    Of the folders that a path led through at a state the last one with a rule governs whether that state is kept.
    """

    tree: Kept
    folders: dict[int, Kept]

    def governing(self, ids: Sequence[int]) -> Kept:
        """What holds for a node, by the ids of those from the root down to it."""
        return self.of(next((node_id for node_id in reversed(ids) if node_id in self.folders), None))

    def of(self, folder_id: int | None) -> Kept:
        """What a folder with a rule keeps; None: the tree."""
        return self.tree if folder_id is None else self.folders[folder_id]


_SINCE = Sql("SELECT kept_since FROM tree WHERE id = :tree_id")
_SEQS = Sql("SELECT seq FROM kept WHERE tree_id = :tree_id ORDER BY seq")
_RULES = Sql("SELECT node_id, kept_since FROM folder_rule WHERE tree_id = :tree_id ORDER BY node_id")
_FOLDER_SEQS = Sql("SELECT seq FROM folder_kept WHERE node_id = :node_id ORDER BY seq")


def of_tree(session: Session, tree_id: int) -> Kept:
    """What a tree keeps where no folder has a rule."""
    since: int = session.value(_SINCE, tree_id=tree_id)
    return Kept(since, tuple(row[0] for row in session.rows(_SEQS, tree_id=tree_id)) if since else ())


def scopes(session: Session, tree_id: int) -> Scopes:
    """What a tree keeps, folders with rules included."""
    folders = {
        node_id: Kept(since, tuple(row[0] for row in session.rows(_FOLDER_SEQS, node_id=node_id)))
        for node_id, since in session.rows(_RULES, tree_id=tree_id)
    }
    return Scopes(of_tree(session, tree_id), folders)
