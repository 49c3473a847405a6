"""Changing properties of a file or folder."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.files.context import Files, begin, locate, require_conditions
from appliance.principal import Principal
from appliance.tree import conditions as tree_conditions
from appliance.tree import edit, properties
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Locks
from appliance.tree.paths import Path, show

# Characters that are set from the reserve: clients do so with whatever they touch.
_LITTLE = 1024


def patch(
    files: Files,
    principal: Principal,
    path: Path,
    changes: Sequence[tuple[str, str | None]],
    *,
    modified_at: int | None = None,
    conditions: Conditions = tree_conditions.NONE,
) -> None:
    """Set and remove dead properties in order, and the modification time: all or nothing (RFC 4918 §9.2).

    Raises:
        TooLarge: a property, or all of them together.
        StorageFull: only the reserve is left for what is set.
    """
    added = sum(len(name) + len(value) for name, value in changes if value is not None)

    def work(session: Session) -> None:
        change = begin(session, principal, path)
        place = locate(session, principal, path, Action.WRITE)
        node = place.node
        locks = Locks(session, place.mount.tree_id)
        require_conditions(files, session, principal, place, conditions, locks)
        locks.require(place.chain.ids, show(path), user_id=principal.user_id, tokens=conditions.tokens)
        if added > _LITTLE:
            files.require_room(added)
        properties.update(session, node.id, changes)
        if modified_at is not None:
            edit.set_modified(change, node, modified_at)
        edit.note_properties(change, place.chain.ids[:-1], node)
        change.finish()

    files.database.write(work)
