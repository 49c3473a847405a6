"""Which states of a tree can still be opened: all from one on, and single ones before it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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
            return True
        at = bisect_left(self.seqs, begin)
        return at < len(self.seqs) and self.seqs[at] < end

    def around(self, seq: int) -> tuple[int | None, int]:
        """The kept states before and after one that is not."""
        at = bisect_right(self.seqs, seq)
        return self.seqs[at - 1] if at else None, self.seqs[at] if at < len(self.seqs) else self.since


_SINCE = Sql("SELECT kept_since FROM tree WHERE id = :tree_id")
_SEQS = Sql("SELECT seq FROM kept WHERE tree_id = :tree_id ORDER BY seq")


def of_tree(session: Session, tree_id: int) -> Kept:
    """What a tree keeps."""
    since: int = session.value(_SINCE, tree_id=tree_id)
    return Kept(since, tuple(row[0] for row in session.rows(_SEQS, tree_id=tree_id)) if since else ())
