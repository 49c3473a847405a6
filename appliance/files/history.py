"""Earlier versions of a path, and bringing them back."""

from __future__ import annotations

from typing import NamedTuple

from appliance import clock, cores
from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import BadRequest, NotFound
from appliance.files import states
from appliance.files.context import (
    ROWS_OF_A_NODE,
    Files,
    Place,
    Where,
    begin,
    locate,
    path_of,
    require_conditions,
    require_unlocked,
)
from appliance.files.states import Then
from appliance.journal.change import Change
from appliance.moments import Moment
from appliance.principal import Principal
from appliance.tree import conditions as tree_conditions
from appliance.tree import copying, edit, nodes, past, properties, trash, versions
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Locks
from appliance.tree.nodes import Ids, Node
from appliance.tree.paths import NAME_LIMIT, Path, name_key, show
from appliance.tree.versions import Version

# So many changes at once are brought back from the reserve.
_FEW = 100


def list_versions(files: Files, principal: Principal, where: Where) -> list[Version]:
    """Every version that this path, or that of the file with this id, has had, newest first; also if nothing is there
    now.

    Raises:
        NotFound: the path never named a file.
    """
    with files.database.snapshot() as session:
        path = path_of(session, principal, where, Action.READ)
        found = _versions(session, locate(session, principal, path, Action.READ))
    if not found:
        raise NotFound(what=f"a version of {show(path)}")
    return found


def restore_version(
    files: Files, principal: Principal, where: Where, name: str, *, conditions: Conditions = tree_conditions.NONE
) -> Node:
    """Make an earlier version the content of a path, or of the file with an id, again: as a new version on top of the
    others. ``name`` is one of ``versions.names``.

    Raises:
        NotFound: the path has no such version.
        BadRequest: several have this number; the message has their names.
        ParentMissing: the folder above is gone.
        PreconditionFailed: a condition does not hold.
        Locked: a client holds a lock there.
        QuotaExceeded: it would be too much.
    """

    def work(session: Session) -> Node:
        change = begin(session, principal, where)
        path = path_of(session, principal, where, Action.WRITE)
        place = locate(session, principal, path, Action.WRITE)
        version = _named(_versions(session, place), name, path)
        parents = place.parents
        locks = Locks(session, change.tree_id)
        require_conditions(files, session, principal, place, conditions, locks)
        require_unlocked(place, locks, principal, conditions)
        node = _bring_back(change, parents, place.name, place.found, (version.node_id, version.seq), show(path))
        _require_quota(change, place)
        change.finish()
        return node

    return files.database.write(work)


def name_version(files: Files, principal: Principal, path: Path, version: str, name: str | None) -> Version:
    """Call a version something, so that it stays whatever the retention says; None: nothing any more.

    ``version`` is one of ``versions.names``.

    Raises:
        NotFound: the path has no such version.
        BadRequest: several have this number, or the name is none; or only the past shows the file any more, which
            would go with its moment all the same.
    """
    if name is not None and (not name.strip() or len(name) > NAME_LIMIT):
        raise BadRequest(reason=f"a version's name has 1 to {NAME_LIMIT} characters")

    def work(session: Session) -> Version:
        begin(session, principal, path)
        place = locate(session, principal, path, Action.WRITE)
        found = _named(_versions(session, place), version, path)
        top = nodes.above(session, found.node_id)[0][0]
        if name is not None and top != place.mount.root_id and trash.get(session, place.mount.tree_id, top) is None:
            raise BadRequest(
                reason=f"version {version} is of a file that is gone; restore it, and name what that makes"
            )
        versions.set_name(session, found, name, clock.now())
        return found._replace(name=name)

    return files.database.write(work)


class Restored(NamedTuple):
    """The number of changes made, and the folders below that were passed over: the moment is not kept for them."""

    changes: int
    passed_over: list[str]


def restore_at(files: Files, principal: Principal, path: Path, moment: Moment) -> Restored:
    """Make ``path`` what it was at a moment, with everything below it.

    One transaction. What came since goes to the trash or stays as an earlier version, so this can be undone. Folders
    with rules of their own may keep less: where the moment is not kept, whatever has the folder's name stays.

    Raises:
        NotFound: there was nothing at this path then, or the tree had no such moment.
        MomentGone: it is not kept for this path.
        ParentMissing: the folder above is gone; it can be restored itself.
        Locked: a client holds a lock there, or below.
        QuotaExceeded: it would be too much.
        StorageFull: only the reserve is left for its rows.
    """

    def work(session: Session) -> Restored:
        cores.roam()
        change = begin(session, principal, path)
        place = locate(session, principal, path, Action.WRITE)
        before = states.locate(session, change.tree_id, place.chain.root, place.mount.path, moment)
        then = before.found
        if then is None:
            raise NotFound(what=f"{show(path)} at that time")
        require_unlocked(place, Locks(session, change.tree_id), principal, tree_conditions.NONE)
        first = change.seq
        restoring = _Restoring(change, before)
        if place.mount.path:
            restoring.restore(place.parents, place.name, place.found, then, show(path))
        else:
            restoring.restore_members(place.chain.ids, then, "")
        if change.seq > first:
            if change.seq - first > _FEW:
                files.require_room((change.seq - first) * ROWS_OF_A_NODE)
            _require_quota(change, place)
            change.finish()
        return Restored(change.seq - first, sorted(restoring.passed_over))

    return files.database.write(work)


def _versions(session: Session, place: Place) -> list[Version]:
    stays = past.stays(session, place.chain.ids, place.mount.path)
    return versions.seen(session, place.mount.tree_id, stays)


def _named(found: list[Version], name: str, path: Path) -> Version:
    named = dict(zip(versions.names(found), found, strict=True))
    if name in named:
        return named[name]
    alike = [each for each in named if each.startswith(f"{name}.")]
    if alike:
        raise BadRequest(reason=f"{show(path)} has several versions {name}; say which: {', '.join(alike)}")
    raise NotFound(what=f"version {name} of {show(path)}")


def _bring_back(change: Change, parents: Ids, name: str, now: Node | None, version: tuple[int, int], path: str) -> Node:
    """A file with the content of a version (node id, seq) under this name, whatever is there.

    A file that has to be made anew gets the dead properties of the one that had the version.
    """
    content = copying.content_of(change.session, *version)
    assert content is not None
    if now is not None and now.is_folder:
        edit.remove(change, parents, now, path=path, reason="replaced")
        now = None
    if now is not None:
        return edit.update_file(change, parents, now, content)
    made = edit.create_file(change, parents, name, content)
    properties.copy(change.session, [(version[0], made.id)])
    return made


def _require_quota(change: Change, before: Place) -> None:
    """Asked when all is done: on the way, what comes back may be there before what goes has made room."""
    change.settle()
    root = nodes.get(change.session, change.root_id)
    assert root is not None
    change.require_quota(before.chain.root.bytes, root.bytes - before.chain.root.bytes)


class _Restoring:
    """Walks the past and the present side by side and makes the present like the past."""

    def __init__(self, change: Change, before: Then) -> None:
        self.passed_over: list[str] = []
        self._change = change
        self._session = change.session
        self._before = before
        # Folders whose members are still to be compared: a stack of our own, since trees are deeper than calls may be.
        self._open: list[tuple[Ids, Node, str]] = []

    def restore(self, parents: Ids, name: str, now: Node | None, then: Node, path: str) -> None:
        """Make what ``name`` names in the last of ``parents`` like ``then``, with everything below it."""
        self._restore_one(parents, name, now, then, path)
        self._restore_open()

    def restore_members(self, ids: Ids, then: Node, path: str) -> None:
        """The same for the members of a folder that is there."""
        self._open.append((ids, then, path))
        self._restore_open()

    def _restore_open(self) -> None:
        while self._open:
            ids, then, path = self._open.pop()
            present = {name_key(node.name): node for node in nodes.children(self._session, ids[-1])}
            wanted = {name_key(node.name): node for node in past.children(self._session, then.id, self._before.state)}
            for key, node in present.items():
                if key not in wanted:
                    edit.remove(self._change, ids, node, path=f"{path}/{node.name}", reason="replaced")
            for key, member in wanted.items():
                self._restore_one(ids, member.name, present.get(key), member, f"{path}/{member.name}")

    def _restore_one(self, parents: Ids, name: str, now: Node | None, then: Node, path: str) -> None:
        if not then.is_folder:
            self._restore_file(parents, name, now, then, path)
            return
        if not self._before.opens(then):
            if now is None or now.id != then.id or now.subtree_seq > self._before.state.seq:
                self.passed_over.append(path)
            return
        if now is not None and not now.is_folder:
            edit.remove(self._change, parents, now, path=path, reason="replaced")
            now = None
        if now is None:
            now = edit.create_folder(self._change, parents, name)
            properties.copy(self._session, [(then.id, now.id)])
        self._open.append(((*parents, now.id), then, path))

    def _restore_file(self, parents: Ids, name: str, now: Node | None, then: Node, path: str) -> None:
        if now is not None and (now.id, now.version_seq) == (then.id, then.version_seq):
            return
        assert then.version_seq is not None
        _bring_back(self._change, parents, name, now, (then.id, then.version_seq), path)
