"""Clients that know a tree from what sync told them, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from appliance.errors import CursorRefused
from appliance.files import sync
from appliance.files.sync import LIMIT, Changes, Cursor, Wanted
from appliance.tree.nodes import Node
from appliance.tree.paths import Path, parse
from tests.files.person import Person


class Known(NamedTuple):
    """What a client has of a file or folder."""

    is_folder: bool
    etag: str
    modified_at: int
    properties: tuple[tuple[str, str], ...]


Tree = dict[Path, Known]


def known(who: Person, node: Node, properties: dict[int, dict[str, str]]) -> Known:
    """As the answer tells it."""
    told = tuple(sorted(properties.get(node.id, {}).items()))
    return Known(node.is_folder, node.etag(who.files.incarnation), node.modified_at, told)


def tree(who: Person, path: str) -> Tree:
    """What listings say of everything below a folder."""
    found: Tree = {}
    below = [()]
    while below:
        names = below.pop()
        listing = who.listing("/".join([path, *names]), with_properties=True)
        for node in listing.members:
            found[*names, node.name] = known(who, node, listing.extras.properties)
            if node.is_folder:
                below.append((*names, node.name))
    return found


def _drop_below(tree: Tree, path: Path) -> None:
    for other in [each for each in tree if each[: len(path)] == path and each != path]:
        del tree[other]


def learn(who: Person, tree: Tree, changes: Changes, at: Path = ()) -> None:
    """Do what an answer about the folder ``at`` says."""
    paths = [item.names for item in changes.items]
    assert len(set(paths)) == len(paths), "a path is told twice"
    for item in changes.items:
        path = (*at, *item.names)
        if item.node is None:
            _drop_below(tree, path)
            tree.pop(path, None)
            continue
        if not item.node.is_folder:
            _drop_below(tree, path)
        tree[path] = known(who, item.node, changes.extras.properties)


@dataclass
class Follower:
    """Follows a folder with all that is below it; ``between`` happens whenever an answer was cut."""

    who: Person
    path: str
    limit: int = LIMIT
    tree: Tree = field(default_factory=dict)
    cursor: Cursor | None = None

    def ask(self) -> Changes:
        """One question, and what it teaches."""
        changes = sync.changes(
            self.who.files, self.who.principal, parse(self.path), self.cursor,
            deep=True, limit=self.limit, wanted=Wanted(properties=True),
        )  # fmt: skip
        assert len(changes.items) <= self.limit
        assert self.cursor is not None or all(item.node for item in changes.items)
        learn(self.who, self.tree, changes)
        self.cursor = changes.cursor
        return changes

    def follow(self, between: Callable[[], object] = lambda: None) -> None:
        """Ask until there is no more."""
        while self.ask().more:
            between()


@dataclass
class Climber:
    """Asks each folder for its members only, and goes into those that changed."""

    who: Person
    path: str
    limit: int = LIMIT
    tree: Tree = field(default_factory=dict)
    cursors: dict[Path, Cursor] = field(default_factory=dict)

    def follow(self) -> None:
        """Every folder that changed, from the top."""
        waiting: list[Path] = [()]
        while waiting:
            waiting += self._follow_one(waiting.pop())

    def _follow_one(self, names: Path) -> list[Path]:
        changed: list[Path] = []
        more = True
        while more:
            changes = self._ask(names)
            learn(self.who, self.tree, changes, names)
            assert all(len(item.names) == 1 for item in changes.items)
            assert len(changes.items) <= self.limit
            more = changes.more
            self.cursors[names] = changes.cursor
            changed += [(*names, *item.names) for item in changes.items if item.node is not None and item.is_folder]
        self.cursors = {path: cursor for path, cursor in self.cursors.items() if path == () or path in self.tree}
        return changed

    def _ask(self, names: Path) -> Changes:
        path = (*parse(self.path), *names)
        arguments = {"deep": False, "limit": self.limit, "wanted": Wanted(properties=True)}
        try:
            return sync.changes(self.who.files, self.who.principal, path, self.cursors.get(names), **arguments)
        except CursorRefused:
            # Another folder has this path now.
            _drop_below(self.tree, names)
            self.cursors = {known: cursor for known, cursor in self.cursors.items() if known[: len(names)] != names}
            return sync.changes(self.who.files, self.who.principal, path, None, **arguments)
