"""What every use case works with, and how a path becomes a place in a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from appliance.accounts.policy import Action
from appliance.audit.downloads import Downloads
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Row, Session
from appliance.errors import Denied, NotAFolder, NotFound, ParentMissing, StorageFull
from appliance.files import states
from appliance.journal.change import Change
from appliance.moments import Moment
from appliance.principal import Principal
from appliance.shares import mounts
from appliance.shares.mounts import Mount
from appliance.tree import conditions as tree_conditions
from appliance.tree import nodes
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Locks
from appliance.tree.nodes import Beside, Chain, Ids, Node
from appliance.tree.past import State
from appliance.tree.paths import Path, check_path, show

Where = Path | int
"""A file or folder: by its path, or by its id, which it keeps wherever it goes."""

ROWS_OF_A_NODE = 2048
"""Bytes at most that the rows of a changed or copied file take, in the database and once more in its log."""


@dataclass(frozen=True, slots=True)
class Files:
    """The services behind the use cases; one for a process."""

    database: Database
    chunks: ChunkStore
    max_file_bytes: int
    # Bytes that new content may still take; None where nobody can tell.
    free_bytes: Callable[[], int | None]
    # Where it is noted who has read what; None where nobody but the machine's own commands reads.
    downloads: Downloads | None = None

    def require_room(self, size: int = 0) -> None:
        """Refuse what makes the store grow by ``size`` bytes and some rows, where only the reserve is left.

        Removing, moving, locking what is there and setting times are never asked for it: they write a few rows, and
        are what somebody does who wants order again.

        Raises:
            StorageFull: it would have to take from the reserve.
        """
        if not self.has_room(size):
            raise StorageFull

    def has_room(self, size: int) -> bool:
        """Whether ``require_room`` lets it pass."""
        room = self.free_bytes()
        return room is None or room >= max(size, 1)

    @property
    def incarnation(self) -> str:
        return self.chunks.identity.incarnation


class Target(NamedTuple):
    """A name in a folder. None: that of what is moved, copied or brought back."""

    folder: Where | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names in one session: ``chain`` leads to it, as far as it exists.

    ``state``: the past in which it was looked for; None: now.
    """

    mount: Mount
    path: Path
    chain: Chain
    state: State | None = None

    @property
    def exists(self) -> bool:
        return len(self.chain.ids) == len(self.mount.path) + 1

    @property
    def node(self) -> Node:
        """The node that the path names.

        Raises:
            NotFound: there is none.
        """
        if not self.exists:
            raise NotFound(what=show(self.path))
        return self.chain.last

    @property
    def found(self) -> Node | None:
        return self.chain.last if self.exists else None

    @property
    def parents(self) -> Ids:
        """The folders down to the one above, which has to exist.

        Raises:
            Denied: the path is the root, which nothing is above of.
            ParentMissing: it does not exist.
            NotAFolder: it is a file.
        """
        if not self.mount.path:
            raise Denied(action="change the root folder")
        if self.exists:
            return self.chain.ids[:-1]
        missing = len(self.mount.path) + 1 - len(self.chain.ids)
        if not self.chain.last.is_folder:
            raise NotAFolder(path=show(self.path[: len(self.path) - missing]))
        if missing > 1:
            raise ParentMissing(path=show(self.path))
        return self.chain.ids

    @property
    def name(self) -> str:
        return self.path[-1]


def locate(
    session: Session, principal: Principal, path: Path, action: Action, *, moment: Moment | None = None
) -> Place:
    """Resolve ``path`` for a principal who may do ``action`` there.

    With a ``moment`` as it was then: that takes a query for each name, so the session has to be a snapshot.

    Raises:
        NotFound: the tree had no such moment.
        MomentGone: it is kept no more for this path.
    """
    if moment is None:
        return locate_with(session, principal, path, action, nodes.NOTHING)[0]
    return _locate_then(session, mounts.resolve(session, principal, path, action), path, moment)


def locate_with(
    session: Session, principal: Principal, path: Path, action: Action, beside: Beside, **parameters: Any
) -> tuple[Place, Row]:
    """``locate`` as it is now, and what stands beside the node (``nodes.resolve_with``)."""
    mount = mounts.resolve(session, principal, path, action)
    found = nodes.resolve_with(session, mount.root_id, mount.path, beside, **parameters)
    if found is None:
        raise NotFound(what="the user's tree")
    return Place(mount, path, found[0]), found[1]


def _locate_then(session: Session, mount: Mount, path: Path, moment: Moment) -> Place:
    root = nodes.get(session, mount.root_id)
    if root is None:
        raise NotFound(what="the user's tree")
    found = states.locate(session, mount.tree_id, root, mount.path, moment)
    return Place(mount, path, found.chain, found.state)


def path_of(session: Session, principal: Principal, where: Where, action: Action) -> Path:
    """Where the file or folder with this id is now, for a principal who may do ``action`` there; a path is a path.

    What is found holds for the rest of the transaction only if the tree is locked (``begin``).

    Raises:
        NotFound: it is not there, or somebody else's: which of the two is not told.
    """
    if not isinstance(where, int):
        return where
    mount = mounts.resolve(session, principal, (), action)
    above = nodes.above(session, where)
    if not above or above[0][0] != mount.root_id:
        raise NotFound(what=f"the file or folder {where}")
    return tuple(name for _, name in above[1:])


def target_path(session: Session, principal: Principal, target: Path | Target, source: Path) -> Path:
    """Where something new is to be; what the target leaves open is as in ``source``. Under the tree's lock.

    Raises:
        NotFound: the target's folder is named by an id, and not there.
        BadName: nothing can be stored there.
    """
    if isinstance(target, Target):
        folder = source[:-1] if target.folder is None else path_of(session, principal, target.folder, Action.WRITE)
        names = source[-1:] if target.name is None else (target.name,)
        target = (*folder, *names)
    check_path(target)
    return target


def begin(
    session: Session, principal: Principal, where: Where, *, foresee: Sequence[Callable[[Session], None]] = ()
) -> Change:
    """Open a change of the tree that a path leads into, or that something with an id is in; the first thing in a
    transaction.

    ``foresee`` is asked for what else will be read, whatever is found.
    """
    path = () if isinstance(where, int) else where
    mount = mounts.resolve(session, principal, path, Action.WRITE)
    if session.foresees:
        Change.foresee(session, mount.tree_id)
        nodes.foresee(session, mount.root_id, mount.path)
        Locks.foresee(session, mount.tree_id)
        for each in foresee:
            each(session)
    return Change.begin(session, mount.tree_id, principal)


def require_conditions(
    files: Files, session: Session, principal: Principal, place: Place, conditions: Conditions, locks: Locks
) -> None:
    """Refuse unless the client's conditions hold for ``place`` in this session."""
    if conditions is tree_conditions.NONE:
        return
    tree_conditions.require(
        conditions,
        place.found,
        place.path,
        incarnation=files.incarnation,
        locks=locks,
        find=lambda path: locate(session, principal, path, Action.READ).chain,
        session=session,
    )


def require_unlocked(place: Place, locks: Locks, principal: Principal, conditions: Conditions) -> None:
    """Refuse to replace or remove what a place names without the tokens of the locks that cover it, anything
    below it, or the folder whose member it is (RFC 4918 §7.4, §7.5).

    Raises:
        Locked: with the path of the lock.
    """
    if not locks:
        return
    user_id, path = principal.user_id, show(place.path)
    if place.exists:
        locks.require(place.chain.ids, path, user_id=user_id, tokens=conditions.tokens)
        locks.require_below(place.node, path, user_id=user_id, tokens=conditions.tokens)
    locks.require(place.parents, path, user_id=user_id, tokens=conditions.tokens)
