"""A tree with versions, trash, past and quota in plain Python: what the real one is compared with.

It knows nothing of rows, numbers and totals: sizes are sums over what is there, and the past is one whole copy of
the structure for each change. What a request may demand besides, and locks, are a subclass's: it is asked where the
product has to ask.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from appliance.errors import (
    Denied,
    HoldfastError,
    IsAFolder,
    NameTaken,
    NotAFolder,
    NotFound,
    ParentMissing,
    QuotaExceeded,
    TargetTaken,
)

Path = tuple[str, ...]


class Refused(Exception):
    """What the product has to raise."""

    def __init__(self, error: type[HoldfastError]) -> None:
        self.error = error
        super().__init__(error.__name__)


def key(name: str) -> str:
    """Names that are the same have the same key."""
    return unicodedata.normalize("NFC", name)


@dataclass(eq=False)
class Version:
    """A state of a file. ``real``: the product's (node id, seq), once it was seen."""

    content: bytes
    real: tuple[int, int] | None = None


@dataclass(eq=False)
class Node:
    """A file or folder; it is itself wherever it goes. ``real``: the product's id, once it was seen."""

    name: str
    version: Version | None
    parent: Node | None = None
    members: dict[str, Node] = field(default_factory=dict)
    real: int | None = None
    # Every version that it has had, oldest first.
    versions: list[Version] = field(default_factory=list)
    # Dead properties.
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        return self.version is None

    @property
    def files(self) -> int:
        return sum(member.files for member in self.members.values()) if self.version is None else 1

    @property
    def bytes(self) -> int:
        if self.version is not None:
            return len(self.version.content)
        return sum(member.bytes for member in self.members.values())

    def above(self) -> list[Node]:
        """From itself upwards."""
        return [self, *(self.parent.above() if self.parent else [])]

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """Itself and everything below, with its path from here."""
        yield path, self
        for member in list(self.members.values()):
            yield from member.walk((*path, member.name))


@dataclass(eq=False)
class Removed:
    """The top of something in the trash."""

    node: Node
    parent: Node
    path: str
    reason: str


Past = dict[Node, dict[str, tuple[Node, str, Version | None]]]
"""The members of each folder as they were: by key, the node, its name and its version."""


def _folders_of(past: Past, folder: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """The folder and every one below it as it was then, with the path."""
    yield path, folder
    for name, (member, _, version) in past[folder].items():
        if version is None:
            yield from _folders_of(past, member, (*path, name))


class Model:
    """One user's tree; each verb raises what the product has to raise, or changes the model as it has to."""

    def __init__(self) -> None:
        self.root = Node("", None)
        self.trash: list[Removed] = []
        self.quota: int | None = None
        self.history: list[Past] = []
        self.remember()

    def remember(self) -> None:
        """Keep the present as the newest past."""
        for _, node in self.root.walk():
            if node.version is not None and node.version not in node.versions[-1:]:
                node.versions.append(node.version)
        self.history.append(
            {
                node: {name: (member, member.name, member.version) for name, member in node.members.items()}
                for _, node in self.root.walk()
                if node.is_folder
            }
        )

    # -- finding

    def chain(self, path: Path) -> list[Node]:
        """The nodes along the path as far as they exist."""
        chain = [self.root]
        for name in path:
            member = chain[-1].members.get(key(name))
            if member is None:
                break
            chain.append(member)
        return chain

    def find(self, path: Path) -> Node | None:
        chain = self.chain(path)
        return chain[-1] if len(chain) == len(path) + 1 else None

    def existing(self, path: Path) -> Node:
        node = self.find(path)
        if node is None:
            raise Refused(NotFound)
        return node

    def folder_of(self, path: Path) -> Node:
        """The folder that the last name of the path is in."""
        if not path:
            raise Refused(Denied)
        chain = self.chain(path)
        if len(chain) < len(path):
            raise Refused(ParentMissing if chain[-1].is_folder else NotAFolder)
        if not chain[len(path) - 1].is_folder:
            raise Refused(NotAFolder)
        return chain[len(path) - 1]

    def versions(self, path: Path) -> list[Version]:
        """Every version that was seen at this path, and every one of the file that is there now; in no order.

        A folder of the path that is there now counts wherever it was.
        """
        if not path:
            return []
        chain = self.chain(path)
        seen: list[Version] = []
        for past in self.history:
            folders = {self.root}
            for depth, name in enumerate(path[:-1], 1):
                folders = {past[each][key(name)][0] for each in folders if key(name) in past.get(each, {})}
                folders.update(chain[depth : depth + 1])
            members = (past[each].get(key(path[-1])) for each in folders if each in past)
            seen += [member[2] for member in members if member is not None and member[2] is not None]
        if len(chain) == len(path) + 1:
            seen += chain[-1].versions
        return list(dict.fromkeys(seen))

    def files_ever(self) -> list[Path]:
        """Every path that named a file at some time, and every place in a folder of the present where one was."""
        places = [
            (*path, name)
            for past in self.history
            for path, folder in [*self.root.walk(), *_folders_of(past, self.root)]
            for name, (_, _, version) in past.get(folder, {}).items()
            if version is not None
        ]
        return list(dict.fromkeys(places))

    # -- changing

    def put(self, path: Path, content: bytes) -> None:
        if not path:
            raise Refused(IsAFolder)
        folder, old = self.folder_of(path), self.find(path)
        if old is not None and old.is_folder:
            raise Refused(IsAFolder)
        self._require_conditions(path)
        self._require_tokens(old or folder)
        self._require_quota(len(content) - (old.bytes if old else 0))
        if old is None:
            self._place(Node(path[-1], Version(content)), folder, path[-1])
        else:
            self._update(old, Version(content))

    def make_folder(self, path: Path) -> None:
        if self.find(path) is not None:
            raise Refused(NameTaken)
        self._require_conditions(path)
        folder = self.folder_of(path)
        self._require_tokens(folder)
        self._place(Node(path[-1], None), folder, path[-1])

    def remove(self, path: Path) -> None:
        node = self.existing(path)
        folder = self.folder_of(path)
        self._require_conditions(path)
        self._require_free(folder, node)
        self._remove(node, path, "deleted")

    def move(self, source: Path, target: Path, *, overwrite: bool) -> None:
        node, folder, old = self._ends(source, target)
        self._require_conditions(source)
        same = old is node
        if same and node.name == target[-1]:
            raise Refused(Denied)
        if not same:
            self._require_apart(node, folder, old)
        self._require_free(node.parent, node)
        self._require_free(folder, old)
        if old is not None and not same:
            self._require_overwrite(overwrite)
            self._remove(old, target, "replaced")
        self._take_out(node)
        self._place(node, folder, target[-1])

    def copy(self, source: Path, target: Path, *, overwrite: bool, deep: bool) -> None:
        node, folder, old = self._ends(source, target)
        self._require_conditions(source)
        if old is node:
            raise Refused(Denied)
        self._require_apart(node, folder, old, deep=deep)
        self._require_free(folder, old)
        if old is not None:
            self._require_overwrite(overwrite)
        copied = self._copied(node, deep=deep)
        self._require_quota(copied.bytes - (old.bytes if old else 0))
        if old is not None and not old.is_folder and not node.is_folder:
            old.properties = copied.properties
            assert copied.version is not None
            self._update(old, copied.version)
            return
        if old is not None:
            self._remove(old, target, "replaced")
        self._place(copied, folder, target[-1])

    def put_back(self, removed: Removed, target: Path | None) -> None:
        if target is None:
            if removed.parent.above()[-1] is not self.root:
                raise Refused(ParentMissing)
            names = [node.name for node in removed.parent.above()[:-1]]
            target = (*reversed(names), removed.node.name)
        if self.find(target) is not None:
            raise Refused(NameTaken)
        folder = self.folder_of(target)
        self._require_free(folder, None)
        self._require_quota(removed.node.bytes)
        self._place(removed.node, folder, target[-1])
        self.trash.remove(removed)

    def restore_version(self, path: Path, version: Version | None) -> None:
        if version is None or version not in self.versions(path):
            raise Refused(NotFound)
        folder, old = self.folder_of(path), self.find(path)
        self._require_free(folder, old)
        self._require_quota(len(version.content) - (old.bytes if old else 0))
        self._set_content(folder, path, Version(version.content), self._owner(version))

    def restore_at(self, path: Path, past: Past) -> int:
        """The number of changes that it takes."""
        then: tuple[Node, str, Version | None] | None = (self.root, "", None)
        for name in path:
            then = None if then is None else past.get(then[0], {}).get(key(name))
        if then is None:
            raise Refused(NotFound)
        now = self.find(path)
        self._require_free(self.folder_of(path) if path else None, now)
        self._require_quota(_bytes_of(then, past) - (now.bytes if now else 0))
        return self._restore(path, then, past)

    def _restore(self, path: Path, then: tuple[Node, str, Version | None], past: Past) -> int:
        node, _, version = then
        now = self.find(path)
        if version is not None:
            if now is not None and (now, now.version) == (node, version):
                return 0
            return self._set_content(self.folder_of(path), path, Version(version.content), node)
        changes = 0
        if now is not None and not now.is_folder:
            self._remove(now, path, "replaced")
            now, changes = None, 1
        if now is None:
            now = Node(path[-1], None, properties=dict(node.properties))
            self._place(now, self.folder_of(path), path[-1])
            changes += 1
        for name, member in list(now.members.items()):
            if name not in past[node]:
                self._remove(member, (*path, member.name), "replaced")
                changes += 1
        return changes + sum(self._restore((*path, member[1]), member, past) for member in past[node].values())

    # -- steps

    def _require_conditions(self, path: Path) -> None:
        """Refuse if the request demands of ``path``, or of anything else, what is not so. Here nothing is demanded."""

    def _require_tokens(self, node: Node) -> None:
        """Refuse if a lock covers ``node`` whose token was not sent. Here nothing is locked."""

    def _require_free(self, folder: Node | None, node: Node | None) -> None:
        """The same for replacing or removing ``node`` (None: a free name) with all that is in it, out of ``folder``."""

    def _owner(self, version: Version) -> Node:
        """The file that had the version."""
        members = (member for past in self.history for folder in past.values() for member in folder.values())
        return next(node for node, _, had in members if had is version)

    def _ends(self, source: Path, target: Path) -> tuple[Node, Node, Node | None]:
        return self.existing(source), self.folder_of(target), self.find(target)

    def _require_apart(self, node: Node, folder: Node, old: Node | None, *, deep: bool = True) -> None:
        if (deep and node in folder.above()) or (old is not None and old in node.above()):
            raise Refused(Denied)

    def _require_overwrite(self, overwrite: bool) -> None:
        if not overwrite:
            raise Refused(TargetTaken)

    def _require_quota(self, added: int) -> None:
        if self.quota is not None and added > 0 and self.root.bytes + added > self.quota:
            raise Refused(QuotaExceeded)

    def _set_content(self, folder: Node, path: Path, version: Version, origin: Node) -> int:
        old = self.find(path)
        if old is not None and not old.is_folder:
            self._update(old, version)
            return 1
        if old is not None:
            self._remove(old, path, "replaced")
        self._place(Node(path[-1], version, properties=dict(origin.properties)), folder, path[-1])
        return 1 if old is None else 2

    def _update(self, node: Node, version: Version) -> None:
        node.version = version

    def _place(self, node: Node, folder: Node, name: str) -> None:
        node.parent, node.name = folder, name
        folder.members[key(name)] = node

    def _take_out(self, node: Node) -> Node:
        assert node.parent is not None
        parent, node.parent = node.parent, None
        del parent.members[key(node.name)]
        return parent

    def _remove(self, node: Node, path: Path, reason: str) -> None:
        parent = self._take_out(node)
        self.trash.append(Removed(node, parent, "/" + "/".join(path), reason))

    def _copied(self, node: Node, *, deep: bool) -> Node:
        version = None if node.version is None else Version(node.version.content)
        copied = Node(node.name, version, properties=dict(node.properties))
        for name, member in node.members.items() if deep else ():
            copied.members[name] = self._copied(member, deep=True)
            copied.members[name].parent = copied
        return copied


def _bytes_of(then: tuple[Node, str, Version | None], past: Past) -> int:
    node, _, version = then
    if version is not None:
        return len(version.content)
    return sum(_bytes_of(member, past) for member in past[node].values())


def refusal(work: Callable[[], object]) -> type[HoldfastError] | None:
    """The error that ``work`` on a model asks for, None if it passes."""
    try:
        work()
    except Refused as refused:
        return refused.error
    return None
