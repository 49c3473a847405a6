"""Making folders."""

from __future__ import annotations

from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import NameTaken
from appliance.files.context import Files, begin, locate, require_conditions
from appliance.principal import Principal
from appliance.tree import conditions as tree_conditions
from appliance.tree import edit
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Locks
from appliance.tree.nodes import Node
from appliance.tree.paths import Path, check_path, show


def make_folder(
    files: Files,
    principal: Principal,
    path: Path,
    *,
    conditions: Conditions = tree_conditions.NONE,
    modified_at: int | None = None,
) -> Node:
    """A new, empty folder.

    Raises:
        NameTaken: something is there.
        ParentMissing: the folder above is not.
        StorageFull: only the reserve is left.
    """
    check_path(path)

    def work(session: Session) -> Node:
        change = begin(session, principal, path)
        place = locate(session, principal, path, Action.WRITE)
        if place.exists:
            raise NameTaken(path=show(path))
        locks = Locks(session, place.mount.tree_id)
        require_conditions(files, session, principal, place, conditions, locks)
        locks.require(place.parents, show(path), user_id=principal.user_id, tokens=conditions.tokens)
        files.require_room()
        node = edit.create_folder(change, place.parents, place.name, modified_at=modified_at)
        change.finish()
        return node

    return files.database.write(work)
