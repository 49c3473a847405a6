"""Folders whose past is kept longer, or less long, than that of the rest of their tree.

A rule belongs to the folder's node: it moves along, into the trash and back, and goes when the node goes. What it keeps
begins with what was kept there until then, and from then on only gets less. So a rule that is taken away stays as a row
without steps of its own for as long as it keeps less than the folders above say.
"""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree import kept, whereabouts
from appliance.tree.kept import Kept, Scopes
from appliance.tree.whereabouts import Span


class Rule(NamedTuple):
    """A row of ``folder_rule``; ``retention`` None: as the folder above."""

    node_id: int
    retention: str | None


_OF_TREE = Sql("SELECT node_id, retention FROM folder_rule WHERE tree_id = :tree_id ORDER BY node_id")
_SET = Sql("UPDATE folder_rule SET retention = :retention WHERE node_id = :node_id")
_INSERT = Sql("""
    INSERT INTO folder_rule (node_id, tree_id, retention, kept_since) VALUES (:node_id, :tree_id, :retention, :since)
""")
_SINCE = Sql("UPDATE folder_rule SET kept_since = :since WHERE node_id = :node_id")
_KEEP = Sql("INSERT INTO folder_kept (node_id, seq) VALUES (:node_id, :seq)")
_DROP = Sql("DELETE FROM folder_kept WHERE node_id = :node_id AND seq IN (:seqs*)")
_DROP_ALL = Sql("DELETE FROM folder_kept WHERE node_id = :node_id")
_DELETE = Sql("DELETE FROM folder_rule WHERE node_id = :node_id")


def of_tree(session: Session, tree_id: int) -> list[Rule]:
    """All of a tree, also of folders that were removed."""
    return [Rule._make(row) for row in session.rows(_OF_TREE, tree_id=tree_id)]


def put(session: Session, tree_id: int, node_id: int, retention: str | None) -> bool:
    """Give a folder a rule, or another one; None: none any more. Whether that changes anything.

    The caller holds the tree's lock.
    """
    if session.run(_SET, node_id=node_id, retention=retention):
        return True
    if retention is None:
        return False
    scopes = kept.scopes(session, tree_id)
    begins = inherited(scopes, whereabouts.spans(session, scopes.folders, node_id))
    session.run(_INSERT, node_id=node_id, tree_id=tree_id, retention=retention, since=begins.since)
    session.run_many(_KEEP, [{"node_id": node_id, "seq": seq} for seq in begins.seqs])
    return True


def write(session: Session, node_id: int, before: Kept, after: Kept) -> None:
    """What a folder with a rule keeps from now on."""
    old, new = set(before.seqs), set(after.seqs)
    session.run(_SINCE, node_id=node_id, since=after.since)
    session.run_many(_KEEP, [{"node_id": node_id, "seq": seq} for seq in sorted(new - old)])
    session.run_by(_DROP, sorted(old - new), node_id=node_id)


def delete(session: Session, node_id: int) -> None:
    """From now on what governs the folders above governs here too."""
    session.run(_DROP_ALL, node_id=node_id)
    session.run(_DELETE, node_id=node_id)


def inherited(scopes: Scopes, spans: list[Span]) -> Kept:
    """What a folder without a rule keeps: of the states of each time those of what governed it then."""
    since = max((_all_from(scopes, span) for span in spans), default=0)
    seqs = {0} if since else set[int]()
    for begin, end, folder_id in spans:
        there = scopes.of(folder_id)
        seqs.update(seq for seq in there.seqs if begin <= seq < min(end, since))
        seqs.update(range(max(begin, there.since), min(end, since)))
    return Kept(since, tuple(sorted(seqs)))


def is_within(keeps: Kept, scopes: Scopes, spans: list[Span]) -> bool:
    """Whether a folder keeps every state that it would be said to keep if it had no rule."""
    for begin, end, folder_id in spans:
        there = scopes.of(folder_id)
        if there.since < end and keeps.since > max(begin, there.since):
            return False
        if not all(keeps.has(seq) for seq in there.seqs if begin <= seq < end):
            return False
    return True


def _all_from(scopes: Scopes, span: Span) -> int:
    """From where on all states of a span are kept; 0: it takes none away."""
    since = scopes.of(span.folder_id).since
    return min(since, span.end) if since > span.begin else 0
