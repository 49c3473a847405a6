"""Moving and copying: rows only, however much they carry."""

from __future__ import annotations

from typing import NamedTuple

from appliance import cores
from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import Denied, TargetTaken
from appliance.files.context import (
    ROWS_OF_A_NODE,
    Files,
    Place,
    Target,
    Where,
    begin,
    locate,
    path_of,
    require_conditions,
    require_unlocked,
    target_path,
)
from appliance.journal.change import Change
from appliance.principal import Principal
from appliance.tree import conditions as tree_conditions
from appliance.tree import copying, edit
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Locks
from appliance.tree.nodes import Node
from appliance.tree.paths import Path, show

# With so much room nobody has to know how many folders a copy has.
_AMPLE = 16 * 1024**3


class Transferred(NamedTuple):
    """What is at the target now, and whether its name is new."""

    node: Node
    created: bool


def move(
    files: Files,
    principal: Principal,
    source: Where,
    target: Path | Target,
    *,
    overwrite: bool,
    conditions: Conditions = tree_conditions.NONE,
    modified_at: int | None = None,
) -> Transferred:
    """Give a file or folder another place. What is at ``target`` goes to the trash, if it may be overwritten.

    Raises:
        Denied: source and target are the same, or one is inside the other.
        TargetTaken: the target exists and may not be overwritten.
        PreconditionFailed: a condition does not hold.
    """

    def work(session: Session) -> Transferred:
        transfer = _Transfer(files, session, principal, source, target, conditions)
        if transfer.is_onto_itself:
            raise Denied(action="move something onto itself")
        return _move(transfer, overwrite=overwrite, modified_at=modified_at)

    return files.database.write(work)


def alter(
    files: Files,
    principal: Principal,
    source: Where,
    target: Target,
    *,
    overwrite: bool = False,
    conditions: Conditions = tree_conditions.NONE,
    modified_at: int | None = None,
) -> Node:
    """Give a file or folder the name, the folder and the time that are named; what is not named stays as it is, and so
    does everything if it has all of that already.

    Raises:
        Whatever ``move`` raises for another place, but for its own.
    """

    def work(session: Session) -> Node:
        transfer = _Transfer(files, session, principal, source, target, conditions)
        if not transfer.is_onto_itself:
            return _move(transfer, overwrite=overwrite, modified_at=modified_at).node
        node, change = transfer.source.node, transfer.change
        if modified_at is None:
            return node
        transfer.require_alterable()
        edit.set_modified(change, node, modified_at)
        edit.note_properties(change, transfer.source.chain.ids[:-1], node)
        change.finish()
        return node._replace(modified_at=modified_at)

    return files.database.write(work)


def _move(transfer: _Transfer, *, overwrite: bool, modified_at: int | None) -> Transferred:
    moved, target, change = transfer.source.node, transfer.target, transfer.change
    same = target.exists and target.node.id == moved.id
    if not same:
        _require_outside(transfer.source, target)
        _require_not_within(transfer.source, target)
    transfer.require_unlocked(moves=True)
    created = not target.exists or same
    parents = target.parents
    if not created:
        transfer.require_overwrite(overwrite)
        edit.remove(change, parents, target.node, path=show(target.path), reason="replaced")
    node = edit.move(change, moved, transfer.source.parents, parents, target.name)
    if modified_at is not None:
        edit.set_modified(change, node, modified_at)
        node = node._replace(modified_at=modified_at)
    change.finish()
    return Transferred(node, created)


def copy(
    files: Files,
    principal: Principal,
    source: Where,
    target: Path | Target,
    *,
    overwrite: bool,
    deep: bool = True,
    conditions: Conditions = tree_conditions.NONE,
) -> Transferred:
    """Make a copy; a file copied onto a file becomes its next version, anything else replaced goes to the trash.

    Raises:
        Denied: source and target are the same, or a folder would be copied into itself with all that is in it.
        TargetTaken: the target exists and may not be overwritten.
        PreconditionFailed: a condition does not hold.
        QuotaExceeded: the copy counts like any file.
        StorageFull: only the reserve is left for its rows.
    """

    def work(session: Session) -> Transferred:
        transfer = _Transfer(files, session, principal, source, target, conditions)
        original = transfer.source.node
        if transfer.target.exists and transfer.target.node.id == original.id:
            raise Denied(action="copy something onto itself")
        if deep:
            _require_outside(transfer.source, transfer.target)
        _require_not_within(transfer.source, transfer.target)
        transfer.require_unlocked(moves=False)
        old = transfer.target.found
        if old is not None:
            transfer.require_overwrite(overwrite)
        _require_room(files, session, original, deep=deep)
        if deep and original.is_folder:
            cores.roam()
        size = original.bytes if deep or not original.is_folder else 0
        transfer.change.require_quota(transfer.target.chain.root.bytes, size - (old.bytes if old else 0))
        node = _copy(transfer.change, original, transfer.target, deep=deep)
        transfer.change.finish()
        return Transferred(node, old is None)

    return files.database.write(work)


def _require_room(files: Files, session: Session, original: Node, *, deep: bool) -> None:
    room = files.free_bytes()
    if room is None:
        return
    files.require_room(original.files * ROWS_OF_A_NODE if deep else ROWS_OF_A_NODE)
    if room < _AMPLE:
        nodes, characters = copying.extent(session, original, deep=deep)
        files.require_room(nodes * ROWS_OF_A_NODE + characters)


def _copy(change: Change, original: Node, target: Place, *, deep: bool) -> Node:
    old = target.found
    if old is not None and not old.is_folder and not original.is_folder:
        return copying.update_from(change, target.parents, old, original)
    if old is not None:
        edit.remove(change, target.parents, old, path=show(target.path), reason="replaced")
    return copying.copy(change, original, target.parents, target.name, deep=deep)


def _require_outside(source: Place, target: Place) -> None:
    if source.node.id in target.chain.ids:
        raise Denied(action="put a folder into itself")


def _require_not_within(source: Place, target: Place) -> None:
    if target.exists and target.node.id in source.chain.ids:
        raise Denied(action="replace a folder by something that is in it")


class _Transfer:
    """Both ends of a move or copy, resolved under the tree's lock."""

    def __init__(
        self,
        files: Files,
        session: Session,
        principal: Principal,
        source: Where,
        target: Path | Target,
        conditions: Conditions,
    ) -> None:
        self.change = begin(session, principal, () if isinstance(target, Target) else target)
        source_path = path_of(session, principal, source, Action.READ)
        self.source = locate(session, principal, source_path, Action.READ)
        _ = self.source.node
        self.target = locate(session, principal, target_path(session, principal, target, source_path), Action.WRITE)
        _ = self.target.parents
        self._principal = principal
        self._conditions = conditions
        self._locks = Locks(session, self.target.mount.tree_id)
        require_conditions(files, session, principal, self.source, conditions, self._locks)

    @property
    def is_onto_itself(self) -> bool:
        """Whether the source is at the target already, by this very name."""
        source, target = self.source, self.target
        same = target.exists and target.node.id == source.node.id
        return same and target.name == source.node.name and len(source.path) == len(target.path)

    def require_overwrite(self, overwrite: bool) -> None:
        if not overwrite:
            raise TargetTaken(path=show(self.target.path))

    def require_unlocked(self, *, moves: bool) -> None:
        if moves:
            require_unlocked(self.source, self._locks, self._principal, self._conditions)
        require_unlocked(self.target, self._locks, self._principal, self._conditions)

    def require_alterable(self) -> None:
        """As for a change of the source's properties."""
        ids, path = self.source.chain.ids, show(self.source.path)
        self._locks.require(ids, path, user_id=self._principal.user_id, tokens=self._conditions.tokens)
