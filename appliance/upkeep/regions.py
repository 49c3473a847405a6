"""What kept states show of a tree in which folders have rules: all that ever was in or below such a folder is found by
walking down from it, so that single versions and places need no walk upwards.

Takes some hundred bytes for each folder that was ever below one with a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree import whereabouts
from appliance.tree.kept import Scopes
from appliance.tree.past import OPEN
from appliance.tree.whereabouts import Span, Within

# The other rows of a page are asked for together.
_AT_ONCE = 500

_FOLDERS_IN = Sql("""
    SELECT parent_id, node_id, from_seq, to_seq FROM (
        SELECT parent_id, id AS node_id, placed_seq AS from_seq, CAST(9223372036854775807 AS BIGINT) AS to_seq
        FROM node WHERE kind = 1
        UNION ALL
        SELECT p.parent_id, p.node_id, p.from_seq, p.to_seq FROM placement p
        JOIN node n ON n.id = p.node_id WHERE n.kind = 1
    ) f WHERE f.parent_id IN (:parent_ids*)
""")

Whereabouts = Callable[[Collection[int]], dict[int, list[Within]]]
"""``whereabouts.within`` of some session."""


class Candidate(NamedTuple):
    """A version that another one followed: current for seq <= now < end."""

    node_id: int
    seq: int
    end: int
    tree_id: int
    size: int


class Regions:
    """Asked for times before the last change of the tree as it was when this was made."""

    def __init__(self, session: Session, scopes: Scopes) -> None:
        self.scopes = scopes
        self._every = (scopes.tree, *scopes.folders.values())
        self._below = _regions(session, scopes.folders)
        self._ways = whereabouts.ways(session, scopes.folders)

    def shows_members(self, folder_id: int, begin: int, end: int) -> bool:
        """Whether a kept state shows what was in a folder for begin <= seq < end."""
        if folder_id in self.scopes.folders:
            return self.scopes.folders[folder_id].needs(begin, end)
        below = self._below.get(folder_id)
        if below is None:
            return self.scopes.tree.needs(begin, end)
        return whereabouts.shows(self.scopes, [*below, *_gaps(below, begin, end)], begin, end)

    def shows(self, node_id: int, folder_id: int, begin: int, end: int) -> bool:
        """Whether a kept state shows that a node was in a folder, or leads through it to a folder with a rule."""
        ways = self._ways.get(node_id, ())
        return self.shows_members(folder_id, begin, end) or whereabouts.shows(self.scopes, ways, begin, end)

    def doubtful(self, begin: int, end: int) -> bool | None:
        """None: it depends on where something was. Else whether a kept state shows it, wherever that was."""
        needed = {states.needs(begin, end) for states in self._every}
        return needed.pop() if len(needed) == 1 else None

    def shows_version(self, each: Candidate, within: Sequence[Within]) -> bool:
        """Whether a kept state shows a version; ``within``: where its file was."""
        return any(
            self.shows_members(stay.parent_id, stay.begin, stay.end)
            for stay in whereabouts.clipped(within, each.seq, each.end)
        )


def unshown(
    candidates: Iterator[Candidate], regions: dict[int, Regions], whereabouts_of: Whereabouts
) -> Iterator[Candidate]:
    """The versions that no kept state of their tree shows; those of other trees are passed over."""
    waiting: list[tuple[Candidate, bool | None]] = []
    for each in candidates:
        region = regions.get(each.tree_id)
        verdict = True if region is None else region.doubtful(each.seq, each.end)
        if verdict is not True:
            waiting.append((each, verdict))
        if len(waiting) == _AT_ONCE:
            yield from _settled(waiting, regions, whereabouts_of)
            waiting = []
    yield from _settled(waiting, regions, whereabouts_of)


def _settled(
    waiting: list[tuple[Candidate, bool | None]], regions: dict[int, Regions], whereabouts_of: Whereabouts
) -> Iterator[Candidate]:
    unclear = {each.node_id for each, verdict in waiting if verdict is None}
    within = whereabouts_of(unclear) if unclear else {}
    for each, verdict in waiting:
        if verdict is False or not regions[each.tree_id].shows_version(each, within[each.node_id]):
            yield each


def _regions(session: Session, rules: Collection[int]) -> dict[int, list[Span]]:
    """For each folder that ever was below one with a rule: when, and which. Those with a rule are not among them."""
    found: dict[int, list[Span]] = {}
    waiting = {rule: [Span(0, OPEN, rule)] for rule in rules}
    while waiting:
        level: dict[int, list[Span]] = {}
        for parent_id, node_id, begin, end in session.rows_by(_FOLDERS_IN, list(waiting)):
            if node_id in rules:
                continue
            for span in waiting[parent_id]:
                part = Span(max(begin, span.begin), min(end, span.end), span.folder_id)
                if part.begin < part.end:
                    level.setdefault(node_id, []).append(part)
        for node_id, spans in level.items():
            found.setdefault(node_id, []).extend(spans)
        waiting = level
    return found


def _gaps(spans: list[Span], begin: int, end: int) -> Iterator[Span]:
    """The times in which none of them governs: then the tree does."""
    for span in sorted(spans, key=lambda each: each.begin):
        if begin < span.begin:
            yield Span(begin, min(span.begin, end), None)
        begin = max(begin, span.end)
    if begin < end:
        yield Span(begin, end, None)
