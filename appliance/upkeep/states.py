"""Which states of a tree are to be kept from now on."""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.retention import Retention
from appliance.tree import kept, nodes, past
from appliance.tree.kept import Kept
from appliance.tree.nodes import Node

_TREE = Sql("SELECT root_id, forgotten FROM tree WHERE id = :tree_id")


class Decision(NamedTuple):
    """What a tree keeps, ``before`` and from now on. What went before ``forgotten`` nobody is told of any more.

    ``changes``: it is not what was decided before.
    """

    before: Kept
    kept: Kept
    forgotten: int
    changes: bool


def decide(session: Session, tree_id: int, retention: Retention, *, trash_for: int, now: int) -> Decision:
    """Ages are microseconds. What was given up once does not come back when more is to be kept."""
    row = session.row(_TREE, tree_id=tree_id)
    assert row is not None
    root = nodes.get(session, row[0])
    assert root is not None
    before = kept.of_tree(session, tree_id)
    since = max(before.since, past.seq_at(session, tree_id, now - retention.all_for))
    if since == 0:
        return Decision(before, before, row[1], changes=False)
    seqs = _thinned(retention, _candidates(session, root, before, since, retention, now), now)
    forgotten = max(row[1], min(since, past.seq_at(session, tree_id, now - trash_for)))
    keeps = Kept(since, tuple(sorted({0, *seqs})))
    return Decision(before, keeps, forgotten, changes=(before, row[1]) != (keeps, forgotten))


def _candidates(
    session: Session, root: Node, before: Kept, since: int, retention: Retention, now: int
) -> list[past.State]:
    """The states kept by now, and the last ones of each bucket among those that were all kept."""
    found = [past.state_after(session, root.tree_id, root, seq) for seq in before.seqs if seq]
    change = past.first_after(session, root.tree_id, max(before.since - 1, 0))
    while change is not None and change.seq < since:
        end = retention.bucket_end(change.at, now)
        # Older than anything that is kept: go on with the first that is not.
        until = now - retention.keeps_for - 1 if end is None else min(end, retention.tier_end(change.at, now))
        last = max(past.seq_at(session, root.tree_id, until), change.seq)
        if end is not None and last < since:
            found.append(past.state_after(session, root.tree_id, root, last))
        change = past.first_after(session, root.tree_id, last)
    return found


def _thinned(retention: Retention, candidates: list[past.State], now: int) -> list[int]:
    """The last state of each bucket."""
    last: dict[int, int] = {}
    for state in candidates:
        end = retention.bucket_end(state.at, now)
        if end is not None:
            last[end] = max(last.get(end, 0), state.seq)
    return list(last.values())
