"""The model of a tree with what WebDAV adds: conditions, locks, dead properties, and when an ETag has to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from appliance.errors import LockConflict, Locked, LockTokenMismatch, PreconditionFailed
from tests.tree.model import Model, Node, Path, Refused, Version, key

ANY = ("*",)
"""If-Match or If-None-Match with a star."""


class ConflictBelow(LockConflict):
    """It is something in the folder that excludes the lock, which is told in another way."""


class Condition(NamedTuple):
    """One condition of an If header: a lock's token or an entity tag."""

    negated: bool = False
    token: str | None = None
    etag: str | None = None


class Demand(NamedTuple):
    """A list of an If header; ``path`` None is the resource of the request."""

    path: Path | None
    tests: tuple[Condition, ...]


class Given(NamedTuple):
    """What a request demands, and the tokens that it submits outside of ``demands``."""

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None
    demands: tuple[Demand, ...] = ()
    token: str | None = None

    @property
    def tokens(self) -> set[str]:
        """Every token that is submitted (RFC 4918 §10.4.1)."""
        named = {test.token for demand in self.demands for test in demand.tests}
        return {token for token in named | {self.token} if token is not None}


NOTHING = Given()


@dataclass(eq=False)
class HeldLock:
    """``path`` is what was locked, as the client wrote it."""

    token: str
    node: Node
    scope: str
    deep: bool
    path: Path


class DavModel(Model):
    """``given`` is what the present request demands; ``etags`` what the product called each state that was seen."""

    def __init__(self) -> None:
        self.given = NOTHING
        self.locks: list[HeldLock] = []
        self.etags: dict[object, str] = {}
        self._stamps: dict[Node, int] = {}
        self._changes = 0
        super().__init__()

    @contextmanager
    def asked(self, given: Given) -> Iterator[None]:
        """What is called within is one request with these demands."""
        self.given = given
        try:
            yield
        finally:
            self.given = NOTHING

    # -- states and their entity tags

    def state(self, node: Node) -> object:
        """What the ETag of ``node`` names: another object if, and only if, the ETag has to be another one."""
        return node.version or (node, self._stamps.get(node, 0))

    def etag(self, node: Node | None) -> str | None:
        """As it was seen."""
        return None if node is None else self.etags[self.state(node)]

    def _touch(self, folder: Node) -> None:
        """Something in or below the folder changed."""
        self._changes += 1
        for above in folder.above():
            self._stamps[above] = self._changes

    def _place(self, node: Node, folder: Node, name: str) -> None:
        super()._place(node, folder, name)
        self._touch(folder)

    def _take_out(self, node: Node) -> Node:
        self.locks = [lock for lock in self.locks if node not in lock.node.above()]
        parent = super()._take_out(node)
        self._touch(parent)
        return parent

    def _update(self, node: Node, version: Version) -> None:
        super()._update(node, version)
        assert node.parent is not None
        self._touch(node.parent)

    # -- verbs that only WebDAV has

    def read(self, path: Path) -> Node:
        """What a GET that is not refused reads; HTTP's own conditions are the caller's."""
        node = self.existing(path)
        if not all_hold(self, self.given._replace(match=None, none_match=None), path):
            raise Refused(PreconditionFailed)
        return node

    def patch(self, path: Path, changes: Sequence[tuple[str, str | None]]) -> None:
        """Set (text) or remove (None) dead properties."""
        node = self.existing(path)
        self._require_conditions(path)
        self._require_tokens(node)
        for name, value in changes:
            if value is None:
                node.properties.pop(name, None)
            else:
                node.properties[name] = value
        # A folder's own properties are part of its state, a file's are not.
        touched = node if node.version is None else node.parent
        if touched is not None:
            self._touch(touched)

    def lock(self, path: Path, *, scope: str, deep: bool) -> HeldLock:
        """The lock, still without a token; a free name becomes an empty file."""
        self._require_conditions(path)
        node = self.find(path)
        if node is None:
            folder = self.folder_of(path)
            _exclude([lock for lock in self.locks if lock.deep and lock.node in folder.above()], scope)
            self._require_tokens(folder)
            node = Node(path[-1], Version(b""))
            self._place(node, folder, path[-1])
        else:
            _exclude(self.covering(node), scope)
            _exclude(self.below(node) if deep else [], scope, ConflictBelow)
        self.locks.append(HeldLock("", node, scope, deep, path))
        return self.locks[-1]

    def refresh(self, path: Path) -> HeldLock:
        """The lock whose time begins anew."""
        node = self.existing(path)
        self._require_conditions(path)
        found = [lock for lock in self.covering(node) if lock.token in self.given.tokens]
        if not found:
            raise Refused(PreconditionFailed)
        return found[0]

    def unlock(self, path: Path, token: str) -> None:
        node = self.existing(path)
        found = [lock for lock in self.covering(node) if lock.token == token]
        if not found:
            raise Refused(LockTokenMismatch)
        self.locks.remove(found[0])

    # -- locks (RFC 4918 §7)

    def covering(self, node: Node) -> list[HeldLock]:
        """Of the node itself, and those of folders above that reach it."""
        return [lock for lock in self.locks if lock.node is node or (lock.deep and lock.node in node.above())]

    def below(self, node: Node) -> list[HeldLock]:
        """Of what is in the folder."""
        return [lock for lock in self.locks if lock.node is not node and node in lock.node.above()]

    def _require_tokens(self, node: Node) -> None:
        held = self.covering(node)
        if held and not any(lock.token in self.given.tokens for lock in held):
            raise Refused(Locked)

    def _require_free(self, folder: Node | None, node: Node | None) -> None:
        if node is not None:
            self._require_tokens(node)
            for locked in {lock.node for lock in self.below(node)}:
                if not any(lock.token in self.given.tokens for lock in self.locks if lock.node is locked):
                    raise Refused(Locked)
        if folder is not None:
            self._require_tokens(folder)

    # -- conditions (RFC 9110 §13.1, RFC 4918 §10.4)

    def _require_conditions(self, path: Path) -> None:
        if not all_hold(self, self.given, path):
            raise Refused(PreconditionFailed)


def _exclude(held: list[HeldLock], scope: str, error: type[LockConflict] = LockConflict) -> None:
    if any("exclusive" in (scope, lock.scope) for lock in held):
        raise Refused(error)


def all_hold(model: DavModel, given: Given, path: Path) -> bool:
    """Whether everything that is demanded of ``path``, and of other paths, is so."""
    etag = model.etag(model.find(path))
    return (
        (given.match is None or strongly_in(given.match, etag))
        and not (given.none_match is not None and weakly_in(given.none_match, etag))
        and (not given.demands or any(_holds(model, demand, path) for demand in given.demands))
    )


def strongly_in(etags: tuple[str, ...], etag: str | None) -> bool:
    """If-Match: a weak tag matches nothing, and nothing matches what is not there."""
    return etag is not None and (etags == ANY or etag in etags)


def weakly_in(etags: tuple[str, ...], etag: str | None) -> bool:
    """If-None-Match."""
    return etag is not None and (etags == ANY or etag in [each.removeprefix("W/") for each in etags])


def _holds(model: DavModel, demand: Demand, path: Path) -> bool:
    where = path if demand.path is None else demand.path
    node = model.find(where)
    if node is not None:
        tokens = {lock.token for lock in model.covering(node)}
    else:
        # The lock of a folder covers the names that are free in it, and in what could be made there.
        last = model.chain(where)[-1]
        tokens = {lock.token for lock in model.locks if last.is_folder and lock.deep and lock.node in last.above()}
    etag = model.etag(node)
    return all((test.token in tokens if test.token else test.etag == etag) != test.negated for test in demand.tests)


def same_path(one: Path, two: Path) -> bool:
    """Whether both name the same, however they are spelled."""
    return [key(name) for name in one] == [key(name) for name in two]
