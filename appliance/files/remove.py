"""Removing into the trash."""

from __future__ import annotations

from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.files.context import Files, Where, begin, locate, path_of, require_conditions, require_unlocked
from appliance.principal import Principal
from appliance.tree import conditions as tree_conditions
from appliance.tree import edit
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Locks
from appliance.tree.paths import show


def remove(files: Files, principal: Principal, where: Where, *, conditions: Conditions = tree_conditions.NONE) -> None:
    """Put a file, or a folder with everything below it, into the trash.

    Raises:
        NotFound: nothing is there.
        Locked: it, something below it, or the folder above is locked, and the token was not sent.
    """

    def work(session: Session) -> None:
        change = begin(session, principal, where)
        path = path_of(session, principal, where, Action.WRITE)
        place = locate(session, principal, path, Action.WRITE)
        node, parents = place.node, place.parents
        locks = Locks(session, place.mount.tree_id)
        require_conditions(files, session, principal, place, conditions, locks)
        require_unlocked(place, locks, principal, conditions)
        edit.remove(change, parents, node, path=show(path), reason="deleted")
        change.finish()

    files.database.write(work)
