"""The history of one tree of a big store, written as rows: nodes are made, files get versions, some move, some go.

Everything that ``holdfast check`` asks of these rows holds: numbers without gaps, times that do not fall, totals and
``subtree_seq`` of every folder, placements that end where the next place begins.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

from appliance.db.sql import Session
from appliance.journal.change import Kind
from appliance.tree.nodes import FILE, FOLDER
from benchmarks.bigcontent import Contents

LISTED = "thousand"
"""A folder at the top of the first tree, for listings, with ``LISTED_FILES`` files."""

LISTED_FILES = 1000

# Looked up once: an enum's member costs as much as the rest of a row.
_CREATE, _UPDATE, _MAKE_FOLDER, _MOVE, _REMOVE = (
    kind.value for kind in (Kind.CREATE, Kind.UPDATE, Kind.FOLDER, Kind.MOVE, Kind.REMOVE)
)

# Shares of the files.
_RENAMED = 0.02
_REMOVED = 0.01
_FILES_A_FOLDER = (3, 8, 15, 30, 80, 300)
_WEIGHTS = (20, 30, 25, 15, 8, 2)
_DEEPEST = 12
_AT_ONCE = 50_000

_VERSION = """
    INSERT INTO version (node_id, seq, size, modified_at, created_at, checksum, manifest) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_JOURNAL = """
    INSERT INTO journal (tree_id, seq, at, kind, node_id, from_parent_id, from_name, to_parent_id, to_name,
                         user_id, device_id, face, address)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 'dav', '127.0.0.1')
"""
_PLACEMENT = """
    INSERT INTO placement (node_id, from_seq, to_seq, tree_id, parent_id, name, name_key) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_TRASH = """
    INSERT INTO trash (node_id, tree_id, seq, removed_at, reason, parent_id, path, user_id)
    VALUES (?, ?, ?, ?, 'deleted', ?, ?, ?)
"""
_NODE = """
    INSERT INTO node (id, tree_id, parent_id, name, name_key, kind, placed_seq, subtree_seq, files, bytes, version_seq,
                      created_at, modified_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ROOT = "UPDATE node SET subtree_seq = ?, files = ?, bytes = ?, modified_at = ? WHERE id = ?"
# Its past is kept whole: by the rule that holds else a tenth of it would go in the first minutes of a server.
_TREE = "UPDATE tree SET seq = ?, changed_at = ?, retention = 'all' WHERE id = ?"


class Owner(NamedTuple):
    """A tree as it was planted: its id, its user's, its root's."""

    tree_id: int
    user_id: int
    root_id: int


class Rows:
    """Rows of one table that wait to be inserted together."""

    def __init__(self, session: Session, statement: str) -> None:
        self._session = session
        self._statement = statement
        self._waiting: list[tuple[Any, ...]] = []

    def add(self, *row: Any) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        self._session.cursor.executemany(self._statement, self._waiting)
        self._waiting = []


class Shape:
    """Which nodes there are: node 0 is the root, every parent comes before its members."""

    def __init__(self, chosen: random.Random, nodes: int, *, listed: bool) -> None:
        self.parent = array("q", [0])
        self.is_file = bytearray(1)
        folders = [0]
        depth = {0: 0}
        if listed and nodes > LISTED_FILES:
            self._add(0, is_file=False)
            self.listed = 1
            self._add_files(1, LISTED_FILES, nodes)
        while len(self.parent) <= nodes:
            above = chosen.choice(folders)
            folder = len(self.parent)
            self._add(above, is_file=False)
            depth[folder] = depth[above] + 1
            if depth[folder] < _DEEPEST:
                folders.append(folder)
            self._add_files(folder, chosen.choices(_FILES_A_FOLDER, _WEIGHTS)[0], nodes)

    def _add(self, parent: int, *, is_file: bool) -> None:
        self.parent.append(parent)
        self.is_file.append(is_file)

    def _add_files(self, folder: int, count: int, nodes: int) -> None:
        for _ in range(min(count, nodes + 1 - len(self.parent))):
            self._add(folder, is_file=True)

    def __len__(self) -> int:
        return len(self.parent)


class BigTree:
    """One tree under construction."""

    def __init__(
        self,
        session: Session,
        contents: Contents,
        owner: Owner,
        chosen: random.Random,
        *,
        nodes: int,
        versions: int,
        began_at: int,
        ends_at: int,
        listed: bool,
        progress: Callable[[int], None],
    ) -> None:
        self._session = session
        self._contents = contents
        self._owner = owner
        self._random = chosen
        self._progress = progress
        self._shape = Shape(chosen, nodes, listed=listed)
        count = len(self._shape)
        self._ids = [owner.root_id, *session.reserve_ids("node", count - 1)]
        self._files = [number for number in range(count) if self._shape.is_file[number]]
        self._versions = max(versions, len(self._files))
        self._names: dict[int, str] = {}
        self._placed = array("q", bytes(8 * count))
        self._subtree = array("q", bytes(8 * count))
        self._version = array("q", bytes(8 * count))
        self._bytes = array("q", bytes(8 * count))
        self._created = array("q", [began_at]) * count
        self._modified = array("q", [began_at]) * count
        self._small = bytearray(count)
        self._removed: set[int] = set()
        self._seq = 0
        self._at = began_at
        updates = self._versions - len(self._files)
        changes = count + updates + int(len(self._files) * (_RENAMED + _REMOVED)) + 10
        self._step = max(1, (ends_at - began_at) // changes)
        self._rows = {
            name: Rows(session, statement)
            for name, statement in (
                ("version", _VERSION), ("journal", _JOURNAL), ("placement", _PLACEMENT), ("trash", _TRASH),
                ("node", _NODE),
            )
        }  # fmt: skip

    def build(self) -> None:
        """Write everything."""
        for number in range(1, len(self._shape)):
            self._create(number)
        renames = int(len(self._files) * _RENAMED)
        updates = self._versions - len(self._files)
        every = max(1, updates // max(1, renames))
        for number in range(updates):
            # Some files change often, most seldom.
            self._update(self._files[int(len(self._files) * self._random.random() ** 2)])
            if number % every == 0:
                self._rename(self._random.choice(self._files))
        for number in self._random.sample(self._files, int(len(self._files) * _REMOVED)):
            if not self._is_listed(number):
                self._remove(number)
        self._write_nodes()
        for waiting in self._rows.values():
            waiting.flush()

    def small_files(self, most: int) -> list[str]:
        """Paths of files whose content is small, spread over the tree."""
        found = [number for number in self._files if self._small[number] and number not in self._removed]
        return [self._path(number) for number in self._random.sample(found, min(most, len(found)))]

    # -- changes ------------------------------------------------------------------------------------------------------

    def _next(self) -> tuple[int, int]:
        self._seq += 1
        self._at += self._step
        return self._seq, self._at

    def _create(self, number: int) -> None:
        seq, at = self._next()
        parent = self._shape.parent[number]
        self._placed[number] = self._subtree[number] = seq
        self._created[number] = self._modified[number] = at
        if self._shape.is_file[number]:
            self._store(number, seq, at)
        self._members_changed(parent, seq, at)
        kind = _CREATE if self._shape.is_file[number] else _MAKE_FOLDER
        self._record(seq, at, kind, number, target=self._name(number))

    def _update(self, number: int) -> None:
        seq, at = self._next()
        self._subtree[number] = seq
        self._modified[number] = at
        self._store(number, seq, at)
        self._record(seq, at, _UPDATE, number, target=self._name(number))

    def _rename(self, number: int) -> None:
        if self._is_listed(number):
            return
        seq, at = self._next()
        old, parent = self._name(number), self._shape.parent[number]
        node_id, parent_id = self._ids[number], self._ids[parent]
        self._rows["placement"].add(node_id, self._placed[number], seq, self._owner.tree_id, parent_id, old, old)
        self._placed[number] = seq
        self._names[number] = f"renamed-{seq}-{number}.txt"
        self._members_changed(parent, seq, at)
        self._record(seq, at, _MOVE, number, source=old, target=self._names[number])

    def _remove(self, number: int) -> None:
        seq, at = self._next()
        name, parent = self._name(number), self._shape.parent[number]
        node_id, parent_id = self._ids[number], self._ids[parent]
        tree_id = self._owner.tree_id
        self._rows["placement"].add(node_id, self._placed[number], seq, tree_id, parent_id, name, name)
        self._rows["trash"].add(node_id, tree_id, seq, at, parent_id, self._path(number), self._owner.user_id)
        self._placed[number] = seq
        self._removed.add(number)
        self._members_changed(parent, seq, at)
        self._record(seq, at, _REMOVE, number, source=name)

    def _store(self, number: int, seq: int, at: int) -> None:
        content = self._contents.next()
        self._version[number] = seq
        self._bytes[number] = content.size
        self._small[number] = content.is_small
        self._rows["version"].add(self._ids[number], seq, content.size, at, at, None, content.manifest)
        self._progress(1)

    def _record(
        self, seq: int, at: int, kind: str, number: int, *, source: str | None = None, target: str | None = None
    ) -> None:
        parent_id = self._ids[self._shape.parent[number]]
        self._rows["journal"].add(
            self._owner.tree_id, seq, at, kind, self._ids[number],
            None if source is None else parent_id, source, None if target is None else parent_id, target,
            self._owner.user_id,
        )  # fmt: skip

    def _members_changed(self, folder: int, seq: int, at: int) -> None:
        self._subtree[folder] = seq
        self._modified[folder] = at

    # -- the outcome --------------------------------------------------------------------------------------------------

    def _is_listed(self, number: int) -> bool:
        return getattr(self._shape, "listed", -1) in (number, self._shape.parent[number])

    def _name(self, number: int) -> str:
        found = self._names.get(number)
        if found is not None:
            return found
        if self._shape.is_file[number]:
            return f"document-{number:07d}.txt"
        return LISTED if self._is_listed(number) and not self._shape.parent[number] else f"folder-{number:07d}"

    def _path(self, number: int) -> str:
        names = []
        while number:
            names.append(self._name(number))
            number = self._shape.parent[number]
        return "/".join(reversed(names))

    def _write_nodes(self) -> None:
        """The present, with what every folder has in it."""
        shape = self._shape
        files = array("q", bytes(8 * len(shape)))
        for number in range(len(shape) - 1, 0, -1):
            parent = shape.parent[number]
            if shape.is_file[number]:
                files[number] = 1
            # What removed a member is already noted in its folder.
            self._subtree[parent] = max(self._subtree[parent], self._subtree[number])
            if number not in self._removed:
                files[parent] += files[number]
                self._bytes[parent] += self._bytes[number]
        tree_id = self._owner.tree_id
        for number in range(1, len(shape)):
            name = self._name(number)
            is_file = shape.is_file[number]
            parent_id = None if number in self._removed else self._ids[shape.parent[number]]
            self._rows["node"].add(
                self._ids[number], tree_id, parent_id, name, name, FILE if is_file else FOLDER, self._placed[number],
                self._subtree[number], files[number], self._bytes[number], self._version[number] if is_file else None,
                self._created[number], self._modified[number],
            )  # fmt: skip
        execute = self._session.cursor.execute
        execute(_ROOT, (self._subtree[0], files[0], self._bytes[0], self._modified[0], self._owner.root_id))
        execute(_TREE, (self._seq, self._at, tree_id))
