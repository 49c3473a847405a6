"""In which folders a node was, and which folder with a rule governs it, at each state of its tree.

A version, or an earlier place, belongs to where its node was at the time, not to where it is now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree.kept import Scopes
from appliance.tree.past import OPEN


class Span(NamedTuple):
    """For begin <= seq < end a folder with the rule ``folder_id`` governs; None: the tree."""

    begin: int
    end: int
    folder_id: int | None


class Within(NamedTuple):
    """For begin <= seq < end something was in the folder ``parent_id``."""

    begin: int
    end: int
    parent_id: int


_PARENTS = Sql("""
    SELECT node_id, from_seq, to_seq, parent_id FROM (
        SELECT id AS node_id, placed_seq AS from_seq, CAST(9223372036854775807 AS BIGINT) AS to_seq, parent_id
        FROM node WHERE parent_id IS NOT NULL
        UNION ALL
        SELECT node_id, from_seq, to_seq, parent_id FROM placement
    ) p WHERE p.node_id IN (:node_ids*) ORDER BY node_id, from_seq
""")


def within(session: Session, node_ids: Collection[int]) -> dict[int, list[Within]]:
    """Where nodes were, each in the order of time. What is in the trash is nowhere; what is below it still counts."""
    found: dict[int, list[Within]] = {node_id: [] for node_id in node_ids}
    for node_id, begin, end, parent_id in session.rows_by(_PARENTS, list(found)):
        found[node_id].append(Within(begin, end, parent_id))
    return found


def spans(session: Session, rules: Collection[int], node_id: int) -> list[Span]:
    """What governs a node at each state, by the folders that it was in; ``rules``: those with a rule."""
    found: list[Span] = []
    waiting = within(session, [node_id])[node_id]
    while waiting:
        begin, end, folder_id = waiting.pop()
        if folder_id in rules:
            found.append(Span(begin, end, folder_id))
            continue
        above = within(session, [folder_id])[folder_id]
        if not above:
            # The root, or the top of something removed.
            found.append(Span(begin, end, None))
        waiting += clipped(above, begin, end)
    return sorted(found, key=lambda span: span.begin)


def ways(session: Session, rules: Collection[int]) -> dict[int, list[Span]]:
    """For each folder with a rule, and each that it was ever in: at which states it led to a folder with a rule."""
    found: dict[int, list[Span]] = {}
    for rule in rules:
        waiting = [Within(0, OPEN, rule)]
        while waiting:
            begin, end, folder_id = waiting.pop()
            found.setdefault(folder_id, []).append(Span(begin, end, rule))
            waiting += clipped(within(session, [folder_id])[folder_id], begin, end)
    return found


def clipped(found: Iterable[Within], begin: int, end: int) -> list[Within]:
    """The parts of some times that lie within another one."""
    return [
        Within(max(each.begin, begin), min(each.end, end), each.parent_id)
        for each in found
        if max(each.begin, begin) < min(each.end, end)
    ]


def shows(scopes: Scopes, found: Iterable[Span], begin: int, end: int) -> bool:
    """Whether a kept state shows what was there for begin <= seq < end, where its node was then."""
    return any(scopes.of(span.folder_id).needs(max(span.begin, begin), min(span.end, end)) for span in found)
