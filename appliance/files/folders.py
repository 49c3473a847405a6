"""Making folders."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import NameTaken
from appliance.files.context import Files, Place, Target, begin, locate, require_conditions, target_path
from appliance.principal import Principal
from appliance.tree import conditions as tree_conditions
from appliance.tree import edit, properties
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Locks
from appliance.tree.nodes import Node
from appliance.tree.paths import Path, check_path, show


def make_folder(
    files: Files,
    principal: Principal,
    target: Path | Target,
    *,
    conditions: Conditions = tree_conditions.NONE,
    modified_at: int | None = None,
    dead: Sequence[tuple[str, str]] = (),
) -> Node:
    """A new, empty folder, with these dead properties from its first moment on.

    Raises:
        NameTaken: something is there.
        ParentMissing: the folder above is not.
        NotFound: nor is one of its id, if the target names it so.
        TooLarge: a property, or all of them together.
        StorageFull: only the reserve is left.
    """
    added = sum(len(name) + len(value) for name, value in dead)

    def work(session: Session) -> Node:
        change = begin(session, principal, () if isinstance(target, Target) else target)
        path = target_path(session, principal, target, ())
        place = _free_place(files, session, principal, path, conditions)
        files.require_room(added)
        node = edit.create_folder(change, place.parents, place.name, modified_at=modified_at)
        if dead:
            properties.update(session, node.id, dead)
        change.finish()
        return node

    return files.database.write(work)


def require_free(files: Files, principal: Principal, path: Path, conditions: Conditions) -> None:
    """Refuse as a new folder would be, without making one.

    Raises:
        NameTaken, ParentMissing: as with ``make_folder``.
    """
    check_path(path)
    with files.database.read() as session:
        _free_place(files, session, principal, path, conditions)


def _free_place(files: Files, session: Session, principal: Principal, path: Path, conditions: Conditions) -> Place:
    place = locate(session, principal, path, Action.WRITE)
    if place.exists:
        raise NameTaken(path=show(path))
    locks = Locks(session, place.mount.tree_id)
    require_conditions(files, session, principal, place, conditions, locks)
    locks.require(place.parents, show(path), user_id=principal.user_id, tokens=conditions.tokens)
    return place
