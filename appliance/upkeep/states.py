"""Which states of a tree, and of its folders with rules, are to be kept from now on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.retention import Retention
from appliance.tree import kept, nodes, past, rules, whereabouts
from appliance.tree.kept import Kept, Scopes
from appliance.tree.nodes import Node
from appliance.tree.rules import Rule

_TREE = Sql("SELECT root_id, forgotten, retention FROM tree WHERE id = :tree_id")


class FolderDecision(NamedTuple):
    """What a folder with a rule keeps. ``ends``: no more is to be said of it than of the folders above."""

    node_id: int
    retention: Retention
    before: Kept
    kept: Kept
    ends: bool


class Decision(NamedTuple):
    """What a tree keeps, ``before`` and from now on. What went before ``forgotten`` nobody is told of any more.

    ``changes``: it is not what was decided before.
    """

    retention: Retention
    before: Kept
    kept: Kept
    folders: list[FolderDecision]
    forgotten: int
    changes: bool


def decide(
    session: Session, tree_id: int, retention_of: Callable[[str | None], Retention], *, trash_for: int, now: int
) -> Decision:
    """Ages are microseconds. What was given up once does not come back when more is to be kept.

    ``retention_of`` reads a rule of a tree or folder; None: a tree without one.
    """
    row = session.row(_TREE, tree_id=tree_id)
    assert row is not None
    root = nodes.get(session, row[0])
    assert root is not None
    before = kept.scopes(session, tree_id)
    own = retention_of(row[2])
    keeps = _thinner(session, root, before.tree, own, now)
    folders: list[FolderDecision] = []
    if before.folders:
        found = rules.of_tree(session, tree_id)
        for rule in found:
            text = _text_for(session, rule, found)
            retention = own if text is None else retention_of(text)
            was = before.folders[rule.node_id]
            after = _thinner(session, root, was, retention, now)
            folders.append(FolderDecision(rule.node_id, retention, was, after, ends=False))
        folders = _with_ends(session, found, folders, keeps)
    highest = max([keeps.since, *(each.kept.since for each in folders)])
    forgotten = max(row[1], min(highest, past.seq_at(session, tree_id, now - trash_for)))
    changes = (before.tree, row[1]) != (keeps, forgotten) or any(
        each.ends or each.before != each.kept for each in folders
    )
    return Decision(own, before.tree, keeps, folders, forgotten, changes)


def _text_for(session: Session, rule: Rule, found: list[Rule]) -> str | None:
    """The steps that hold for a folder: its own, or those of the next one above that has some; None: the tree's."""
    if rule.retention is not None:
        return rule.retention
    texts = {each.node_id: each.retention for each in found if each.retention is not None}
    above = [node_id for node_id, _ in nodes.above(session, rule.node_id)]
    return next((texts[node_id] for node_id in reversed(above) if node_id in texts), None)


def _with_ends(session: Session, found: list[Rule], decided: list[FolderDecision], keeps: Kept) -> list[FolderDecision]:
    """Which of the rules that were taken away have nothing to say any more, one after the other."""
    taken_away = {rule.node_id for rule in found if rule.retention is None}
    scopes = Scopes(keeps, {each.node_id: each.kept for each in decided})
    after = []
    for each in decided:
        ends = False
        if each.node_id in taken_away:
            del scopes.folders[each.node_id]
            ends = rules.is_within(each.kept, scopes, whereabouts.spans(session, scopes.folders, each.node_id))
            if not ends:
                scopes.folders[each.node_id] = each.kept
        after.append(each._replace(ends=ends))
    return after


def _thinner(session: Session, root: Node, before: Kept, retention: Retention, now: int) -> Kept:
    since = max(before.since, past.seq_at(session, root.tree_id, now - retention.all_for))
    if since == 0:
        return before
    seqs = _thinned(retention, _candidates(session, root, before, since, retention, now), now)
    return Kept(since, tuple(sorted({0, *seqs})))


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
