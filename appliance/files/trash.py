"""The trash: what is in it, and taking things out again."""

from __future__ import annotations

from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import NameTaken, NotFound, ParentMissing
from appliance.files.context import Files, begin, locate, require_unlocked
from appliance.principal import Principal
from appliance.tree import conditions, edit, nodes, trash
from appliance.tree.locks import Locks
from appliance.tree.paths import Path, check_path, show
from appliance.tree.trash import Removed


def list_trash(files: Files, principal: Principal) -> list[Removed]:
    """Everything in the trash, the last removed first."""
    with files.database.read() as session:
        place = locate(session, principal, (), Action.READ)
        return trash.listing(session, place.mount.tree_id)


def restore_removed(files: Files, principal: Principal, node_id: int, target: Path | None = None) -> Path:
    """Put something back where it was, or to ``target``, with everything below it and its history.

    Returns the path where it is now.

    Raises:
        NotFound: there is no such thing in the trash.
        ParentMissing: its folder is gone and no target was given, or that of the target does not exist.
        NameTaken: something else is there by now; another target helps.
        Locked: a client holds a lock of the folder.
        QuotaExceeded: it would be too much.
    """
    if target is not None:
        check_path(target)

    def work(session: Session) -> Path:
        change = begin(session, principal, ())
        removed = trash.get(session, change.tree_id, node_id)
        node = nodes.get(session, node_id)
        if removed is None or node is None:
            raise NotFound(what=f"{node_id} in the trash")
        path = _former_path(session, change.root_id, removed) if target is None else target
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


def _former_path(session: Session, root_id: int, removed: Removed) -> Path:
    """Where it would be if it had stayed; its folder may have moved since."""
    above = nodes.above(session, removed.parent_id)
    if not above or above[0][0] != root_id:
        raise ParentMissing(path=removed.path, removed=True)
    return (*(name for _, name in above[1:]), removed.name)
