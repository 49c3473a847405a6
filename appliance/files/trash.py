"""The trash: what is in it, and taking things out again."""

from __future__ import annotations

from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import NameTaken, NotFound, ParentMissing
from appliance.files.context import Files, Target, begin, locate, require_unlocked, target_path
from appliance.principal import Principal
from appliance.tree import conditions, edit, nodes, trash
from appliance.tree.locks import Locks
from appliance.tree.paths import Path, show
from appliance.tree.trash import Removed


def list_trash(files: Files, principal: Principal) -> list[Removed]:
    """Everything in the trash, the last removed first."""
    with files.database.read() as session:
        place = locate(session, principal, (), Action.READ)
        return trash.listing(session, place.mount.tree_id)


def restore_removed(files: Files, principal: Principal, node_id: int, target: Path | Target | None = None) -> Path:
    """Put something back where it was, or to ``target``, with everything below it and its history.

    Returns the path where it is now.

    Raises:
        NotFound: there is no such thing in the trash; or no folder with the id that the target names.
        ParentMissing: its folder is gone and no target was given, or that of the target does not exist.
        NameTaken: something else is there by now; another target helps.
        Locked: a client holds a lock of the folder.
        QuotaExceeded: it would be too much.
    """

    def work(session: Session) -> Path:
        change = begin(session, principal, ())
        removed = trash.get(session, change.tree_id, node_id)
        node = nodes.get(session, node_id)
        if removed is None or node is None:
            _require_no_folder(session, change.tree_id, node_id)
            raise NotFound(what=f"{node_id} in the trash")
        path = _path(session, principal, change.root_id, removed, target)
        place = locate(session, principal, path, Action.WRITE)
        if place.exists:
            raise NameTaken(path=show(path))
        _ = place.parents
        require_unlocked(place, Locks(session, change.tree_id), principal, conditions.NONE)
        change.require_quota(place.chain.root.bytes, node.bytes)
        edit.put_back(change, node, place.parents, place.name)
        change.finish()
        return path

    return files.database.write(work)


def _path(session: Session, principal: Principal, root_id: int, removed: Removed, target: Path | Target | None) -> Path:
    if target is None or (isinstance(target, Target) and target.folder is None):
        former = _former_path(session, root_id, removed)
        return former if target is None else target_path(session, principal, target, former)
    return target_path(session, principal, target, (removed.name,))


def _require_no_folder(session: Session, tree_id: int, node_id: int) -> None:
    """Refuse what was removed with the folder that it is in: that one has to be put back, or another one be named."""
    above = nodes.above(session, node_id)
    removed = trash.get(session, tree_id, above[0][0]) if above else None
    if removed is not None:
        raise ParentMissing(path=show((*removed.names, *(name for _, name in above[1:]))), removed=True)


def _former_path(session: Session, root_id: int, removed: Removed) -> Path:
    """Where it would be if it had stayed; its folder may have moved since."""
    above = nodes.above(session, removed.parent_id)
    if not above or above[0][0] != root_id:
        raise ParentMissing(path=removed.path, removed=True)
    return (*(name for _, name in above[1:]), removed.name)
