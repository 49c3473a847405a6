"""What is different in and below a folder since a change, in the order of paths, so that it can be told in parts.

What is there is found by a walk that enters only folders in which something changed. What is there no more is found
from earlier places, folder by folder: from those of the folder that has a path now, and of every folder that had the
same path since, because what was in that one went with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby
from typing import NamedTuple

from appliance.db.sql import Session, Sql
from appliance.tree import nodes
from appliance.tree.nodes import FOLDER, Ids, Node
from appliance.tree.past import OPEN, Stay
from appliance.tree.paths import Path, name_key

NOTHING = -1
"""As a change: that of somebody who knows of nothing, to whom everything is new and nothing is gone."""

# Members read at a time: few at first, then more and more, so that the rows waiting in all the folders of a deep path
# are no more than a few for each item told. Whoever goes on begins with few as well.
_FEW_ROWS = 100
_ROWS = 10_000


class Item(NamedTuple):
    """A path from the folder downwards, and what has it now. ``node`` None: nothing has it any more.

    ``ids`` are those of the nodes along it, without the folder; empty if nothing is there. ``is_folder``: something
    that is gone counts as a folder if a folder had the path at any time since.
    """

    names: Path
    ids: Ids
    node: Node | None
    is_folder: bool

    @property
    def mark(self) -> Mark:
        """Where to go on after it."""
        return Mark(self.names, self.node is None)


class Mark(NamedTuple):
    """How far a walk came: the last item's path, and whether that was told as gone."""

    names: Path
    gone: bool


class _Position(NamedTuple):
    """Orders the items of a folder. Of the spellings of a name those that are gone come first."""

    key: str
    present: bool
    name: str


class _Folder(NamedTuple):
    """A folder to be walked, and since when it has its path. ``former``: folders that had the path before."""

    names: Path
    ids: Ids
    own: Stay
    former: tuple[Stay, ...]


class _Found(NamedTuple):
    position: _Position
    node: Node | None
    is_folder: bool


class _Step(NamedTuple):
    """An item (None: told before), the folder to be walked after it, and where to begin there."""

    item: Item | None
    below: _Folder | None
    way: Sequence[_Position]


_FIRST = _Position("", False, "")

# ``left``: the folder is no longer where it was, so what is in it is not there either. ``here``: the one that is.
_GONE = Sql("""
    SELECT name_key, name, MIN(kind) FROM (
        SELECT p.name_key, p.name, n.kind FROM placement p JOIN node n ON n.id = p.node_id
        WHERE p.parent_id = :parent_id AND p.to_seq > :since AND p.from_seq < :until
            AND (p.name_key {binary}, p.name {binary}) > (:key, :name)
        UNION ALL
        SELECT name_key, name, kind FROM node
        WHERE :left = 1 AND parent_id = :parent_id AND placed_seq < :until
            AND (name_key {binary}, name {binary}) > (:key, :name)
    ) former
    WHERE NOT EXISTS (
        SELECT 1 FROM node now WHERE now.parent_id = :here AND now.name_key = former.name_key AND now.name = former.name
    )
    GROUP BY name_key, name ORDER BY name_key {binary}, name {binary} LIMIT :count
""")
_HOLDERS = Sql("""
    SELECT p.node_id, p.from_seq, p.to_seq FROM placement p JOIN node n ON n.id = p.node_id
    WHERE p.parent_id = :parent_id AND p.name_key = :key AND p.name = :name AND n.kind = 1
        AND p.to_seq > :since AND p.from_seq < :until
    UNION ALL
    SELECT id, placed_seq, CAST(9223372036854775807 AS BIGINT) FROM node
    WHERE :left = 1 AND parent_id = :parent_id AND name_key = :key AND name = :name AND kind = 1
        AND placed_seq < :until
""")


def differences(
    session: Session, folder: Node, since: int, *, had: int | None = None, deep: bool, after: Mark | None = None
) -> Iterator[Item]:
    """What came, changed or went after the change ``since``, each path once; what is below a path follows it.

    Not ``deep``: members only, which change with everything below them. What was below something that is gone is
    not told. To walk in one snapshot.

    ``had``: an earlier change, if somebody may have what was there after that; wherever something changed since
    ``since``, it is told as gone too.

    ``after`` goes on behind an item of an earlier walk. Every path that was the same from then until now is told by
    one of the two; the others changed after the first walk began.
    """
    walk = _Walk(session, since, since if had is None else had, deep)
    return walk.items(_Folder((), (), Stay(folder.id, 0, OPEN), ()), _way(after))


def _way(after: Mark | None) -> list[_Position]:
    if after is None:
        return []
    way = [_Position(name_key(name), True, name) for name in after.names]
    return [*way[:-1], way[-1]._replace(present=not after.gone)]


class _Walk:
    def __init__(self, session: Session, since: int, had: int, deep: bool) -> None:
        self._session = session
        self._since = since
        self._had = had
        self._deep = deep

    def items(self, top: _Folder, way: Sequence[_Position]) -> Iterator[Item]:
        """A stack of our own, since trees are deeper than calls may be."""
        open_folders = [self._steps(top, way)]
        while open_folders:
            step = next(open_folders[-1], None)
            if step is None:
                open_folders.pop()
                continue
            if step.item is not None:
                yield step.item
            if step.below is not None:
                open_folders.append(self._steps(step.below, step.way))

    def _steps(self, folder: _Folder, way: Sequence[_Position]) -> Iterator[_Step]:
        start = way[0] if way else _FIRST
        streams = [self._gone(folder, stay, start.key) for stay in (folder.own, *folder.former)]
        found = merge(self._present(folder, start.key), *streams, key=lambda each: each.position)
        for position, same in groupby(found, key=lambda each: each.position):
            if position < start:
                continue
            alike = list(same)
            node, is_folder = alike[0].node, any(each.is_folder for each in alike)
            ids = () if node is None else (*folder.ids, node.id)
            passed = position == start
            item = None if passed else Item((*folder.names, position.name), ids, node, is_folder)
            below = self._below(folder, node) if self._deep and node is not None and is_folder else None
            yield _Step(item, below, way[1:] if passed else ())

    def _present(self, folder: _Folder, key: str) -> Iterator[_Found]:
        """The members that have to be told: all of them, if the folder came here since."""
        since = None if folder.own.from_seq > self._since else self._since
        last = None
        for count in _counts():
            waiting = nodes.members_from(self._session, folder.own.node_id, key, count=count, since=since)
            whole = len(waiting) < count
            waiting.reverse()
            while waiting:
                node = waiting.pop()
                key = name_key(node.name)
                if key != last:
                    yield _Found(_Position(key, True, node.name), node, node.is_folder)
            if whole:
                return
            last = key

    def _gone(self, folder: _Folder, stay: Stay, first: str) -> Iterator[_Found]:
        """The names that a folder gave up while it was here, or took away with it, and that nothing has here now."""
        if self._had == NOTHING:
            return
        key, name = first, ""
        for count in _counts():
            here = folder.own.node_id
            waiting = self._session.rows(_GONE, here=here, key=key, name=name, count=count, **self._bounds(stay))
            whole = len(waiting) < count
            waiting.reverse()
            while waiting:
                key, name, kind = waiting.pop()
                yield _Found(_Position(key, False, name), None, kind == FOLDER)
            if whole:
                return

    def _below(self, folder: _Folder, node: Node) -> _Folder:
        own = Stay(node.id, max(folder.own.from_seq, node.placed_seq), OPEN)
        former = self._former(folder, node.name) if own.from_seq > self._had > NOTHING else ()
        return _Folder((*folder.names, node.name), (*folder.ids, node.id), own, former)

    def _former(self, folder: _Folder, name: str) -> tuple[Stay, ...]:
        """The folders that had this name here since, each once, from its first time to its last."""
        found: dict[int, Stay] = {}
        for stay in (folder.own, *folder.former):
            for node_id, begun, ended in self._session.rows(
                _HOLDERS, key=name_key(name), name=name, **self._bounds(stay)
            ):
                from_seq, to_seq = max(begun, stay.from_seq), min(ended, stay.to_seq)
                known = found.get(node_id, Stay(node_id, from_seq, to_seq))
                if from_seq < to_seq:
                    found[node_id] = Stay(node_id, min(from_seq, known.from_seq), max(to_seq, known.to_seq))
        return tuple(found.values())

    def _bounds(self, stay: Stay) -> dict[str, int]:
        return {
            "parent_id": stay.node_id,
            "since": max(self._had, stay.from_seq),
            "until": stay.to_seq,
            "left": int(stay.to_seq != OPEN),
        }


def _counts() -> Iterator[int]:
    count = min(_FEW_ROWS, _ROWS)
    while True:
        yield count
        count = min(4 * count, _ROWS)
