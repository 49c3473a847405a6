"""Who versions are counted for: everybody, users, and folders as deep as somebody asked.

Groups are numbered, each lies within its ``parents`` one, and a version belongs to the deepest that it is in. What is
not there now belongs to the folder that it was in last: it was removed from there, or a kept state shows it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from appliance.db.sql import Row, Session, Sql
from appliance.tree.nodes import FOLDER
from appliance.upkeep.check_ids import IdSet
from appliance.upkeep.paging import LEAST, paged

_TREES = Sql("SELECT id, root_id FROM tree WHERE id > :id ORDER BY id LIMIT 1000")
_ROOT = Sql("SELECT root_id FROM tree WHERE id = :tree_id")
# Tops of what is not there: in the trash if the second column is 1, else shown by kept states.
_TOPS = Sql("""
    SELECT n.id, CASE WHEN x.node_id IS NULL THEN 0 ELSE 1 END, n.kind, COALESCE(x.parent_id, (
        SELECT p.parent_id FROM placement p WHERE p.node_id = n.id ORDER BY p.to_seq DESC LIMIT 1
    ))
    FROM node n JOIN tree t ON t.id = n.tree_id LEFT JOIN trash x ON x.node_id = n.id
    WHERE n.id > :id AND n.parent_id IS NULL AND t.root_id <> n.id AND (n.tree_id = :tree_id OR :tree_id = 0)
    ORDER BY n.id LIMIT 1000
""")
_FOLDERS_IN = Sql("SELECT parent_id, id, name FROM node WHERE parent_id IN (:parent_ids*) AND kind = 1 ORDER BY id")


class Why(IntEnum):
    """What a version is needed for; of several reasons the first one counts."""

    PRESENT = 0
    PAST = 1
    TRASH = 2


class Removed:
    """The folders that are not there now: in the trash, or shown by kept states alone."""

    def __init__(self, session: Session) -> None:
        self._trash, self._past = IdSet(), IdSet()
        for page in paged(session.rows, _TOPS, {"id": LEAST}, tree_id=0):
            for in_trash, found in ((1, self._trash), (0, self._past)):
                level = [row[0] for row in page if row[1] == in_trash and row[2] == FOLDER]
                while level:
                    for folder_id in level:
                        found.add(folder_id)
                    level = [row[1] for row in session.rows_by(_FOLDERS_IN, level)]

    def why(self, *, current: bool, parent_id: int | None, in_trash: bool) -> Why:
        """What a version is needed for, by the folder that its file is in. ``in_trash``: the file itself is a top."""
        if not current:
            return Why.PAST
        if parent_id is None:
            return Why.TRASH if in_trash else Why.PAST
        if parent_id in self._trash:
            return Why.TRASH
        return Why.PAST if parent_id in self._past else Why.PRESENT


class Folder(NamedTuple):
    """A folder with a group of its own; ``names`` go on from the one that was asked for."""

    group: int
    node_id: int
    names: tuple[str, ...]


class Groups:
    """Group 0 is everybody; each tree is one, and in one of them folders may be."""

    def __init__(self, session: Session) -> None:
        self.parents = [-1]
        self.trees: dict[int, int] = {}
        self.folders: list[Folder] = []
        self._of_folder: dict[int, int] = {}
        self._of_top: dict[int, int] = {}
        self._divided = 0
        for page in paged(session.rows, _TREES, {"id": LEAST}):
            for tree_id, _ in page:
                self.trees[tree_id] = self._new(0)

    def divide(self, session: Session, tree_id: int, node_id: int, depth: int) -> None:
        """Give a folder of a tree a group, and those below it down to a depth. Remembers each folder below it."""
        self._divided = tree_id
        removed = _removed_from(session, tree_id)
        own = self.trees[tree_id]
        top = Folder(own if session.value(_ROOT, tree_id=tree_id) == node_id else self._new(own), node_id, ())
        self.folders.append(top)
        level = {node_id: top}
        while level:
            below: dict[int, Folder] = {}
            for parent_id, folder_id, name in session.rows_by(_FOLDERS_IN, list(level)):
                above = level[parent_id]
                deeper = Folder(above.group, folder_id, (*above.names, name))
                if len(above.names) < depth and above.node_id == parent_id:
                    deeper = deeper._replace(group=self._new(above.group))
                    self.folders.append(deeper)
                    below[folder_id] = deeper
                else:
                    below[folder_id] = above
            for folder_id, folder in level.items():
                self._of_folder[folder_id] = folder.group
                for top_id, kind in removed.get(folder_id, ()):
                    self._of_top[top_id] = folder.group
                    if kind == FOLDER:
                        below[top_id] = folder
            level = below

    def of(self, tree_id: int, node_id: int, parent_id: int | None) -> int:
        """The group of a file."""
        if tree_id != self._divided:
            return self.trees[tree_id]
        found = self._of_top.get(node_id) if parent_id is None else self._of_folder.get(parent_id)
        return self.trees[tree_id] if found is None else found

    def up(self, group: int) -> Iterator[int]:
        """The group and those that it lies in."""
        while group >= 0:
            yield group
            group = self.parents[group]

    def _new(self, parent: int) -> int:
        self.parents.append(parent)
        return len(self.parents) - 1


def _removed_from(session: Session, tree_id: int) -> dict[int, list[tuple[int, int]]]:
    """(id, kind) of what is not there any more, by the folder that it was in last."""
    found: dict[int, list[tuple[int, int]]] = {}
    page: list[Row]
    for page in paged(session.rows, _TOPS, {"id": LEAST}, tree_id=tree_id):
        for node_id, _, kind, parent_id in page:
            if parent_id is not None:
                found.setdefault(parent_id, []).append((node_id, kind))
    return found
