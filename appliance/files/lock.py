"""Taking, refreshing and releasing DAV locks; and ending those whose client is gone."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from appliance import clock
from appliance.accounts.policy import Action
from appliance.chunks import manifest
from appliance.db.sql import Session
from appliance.errors import Denied, LockTokenMismatch, NotFound, PreconditionFailed
from appliance.files.context import Files, Place, begin, locate, require_conditions
from appliance.principal import Principal
from appliance.tree import conditions as tree_conditions
from appliance.tree import edit, locks
from appliance.tree.conditions import Conditions
from appliance.tree.edit import Content
from appliance.tree.locks import Lock, Locks
from appliance.tree.paths import Path, check_path, show

# Characters. Clients write a name or an address there; the reserve has room for all locks that a tree may hold then.
_LONG_OWNER = 512


class Wanted(NamedTuple):
    """A lock asked for: ``owner`` is the client's own XML about it."""

    scope: str
    depth: str
    owner: str | None
    timeout_s: int


class Taken(NamedTuple):
    """A lock that is held, and whether taking it made an empty file (RFC 4918 §7.3)."""

    lock: Lock
    created: bool


def take(
    files: Files, principal: Principal, path: Path, wanted: Wanted, *, conditions: Conditions = tree_conditions.NONE
) -> Taken:
    """Lock a file or folder; a name that is free becomes an empty, locked file.

    Raises:
        LockConflict: another lock excludes it; nothing was created.
        Locked: the name is free and its folder is locked.
        Denied: there are too many already.
        StorageFull: only the reserve is left, for a new file or a long owner.
    """
    check_path(path)

    def work(session: Session) -> Taken:
        change = begin(session, principal, path)
        place = locate(session, principal, path, Action.WRITE)
        held = Locks(session, place.mount.tree_id)
        require_conditions(files, session, principal, place, conditions, held)
        created = not place.exists
        if created:
            parents = place.parents
            held.require_free_name(parents, show(path), scope=wanted.scope)
            held.require(parents, show(path), user_id=principal.user_id, tokens=conditions.tokens)
            node = edit.create_file(change, parents, place.name, Content(manifest.EMPTY, 0, None, None))
            change.finish()
        else:
            held.require_free(place.chain, show(path), scope=wanted.scope, depth=wanted.depth)
            node = place.node
        held.require_few(node.id, show(path))
        owner = len(wanted.owner or "")
        if created or owner > _LONG_OWNER:
            files.require_room(2 * owner)
        lock = _new(principal, place, node.id, wanted)
        locks.insert(session, lock)
        return Taken(lock, created)

    return files.database.write(work)


def refresh(files: Files, principal: Principal, path: Path, timeout_s: int, *, conditions: Conditions) -> Lock:
    """Begin the time of the lock on ``path`` anew whose token was submitted.

    Raises:
        PreconditionFailed: none of the tokens names a lock of this user that covers the path (RFC 4918 §9.10.2).
    """

    def work(session: Session) -> Lock:
        # Else another one could be taken while this one ends, and then both would be held.
        begin(session, principal, path)
        place = locate(session, principal, path, Action.WRITE)
        _ = place.node
        held = Locks(session, place.mount.tree_id)
        require_conditions(files, session, principal, place, conditions, held)
        for lock in held.covering(place.chain.ids):
            if lock.token in conditions.tokens and lock.user_id == principal.user_id:
                refreshed = locks.refresh(session, lock, timeout_s)
                if refreshed is not None:
                    return refreshed
        raise PreconditionFailed(path=show(path))

    return files.database.write(work)


def release(files: Files, principal: Principal, path: Path, token: str) -> None:
    """Release a lock that covers ``path``.

    Raises:
        LockTokenMismatch: the token names no such lock.
        Denied: the lock is another user's.
    """

    def work(session: Session) -> None:
        begin(session, principal, path)
        place = locate(session, principal, path, Action.WRITE)
        _ = place.node
        for lock in Locks(session, place.mount.tree_id).covering(place.chain.ids):
            if lock.token == token:
                if lock.user_id != principal.user_id:
                    raise Denied(action="release another user's lock")
                locks.delete(session, token)
                return
        raise LockTokenMismatch(path=show(path))

    files.database.write(work)


def list_locks(files: Files, principal: Principal) -> list[Lock]:
    """The locks that are held in the principal's tree, by path."""
    with files.database.snapshot() as session:
        root = locate(session, principal, (), Action.READ)
        held = Locks(session, root.mount.tree_id)
        found = [*held.covering(root.chain.ids), *held.below(root.node)]
        return sorted(found, key=lambda lock: (lock.path, lock.token))


def break_locks(files: Files, principal: Principal, path: Path) -> list[Lock]:
    """End the locks of exactly this file or folder, without their tokens; returns them.

    For whoever runs the server: a client that was asked to give its lock back does it by ``release``.

    Raises:
        Denied: the principal is not the system.
        NotFound: nothing is there, or it has no lock of its own; one on a folder above may cover it.
    """
    if principal.kind != "system":
        raise Denied(action="break a lock", reason="its holder can release it")

    def work(session: Session) -> list[Lock]:
        begin(session, principal, path)
        place = locate(session, principal, path, Action.WRITE)
        node = place.node
        covering = Locks(session, place.mount.tree_id).covering(place.chain.ids)
        held = [lock for lock in covering if lock.node_id == node.id]
        if not held:
            raise NotFound(what=f"a lock on {show(path)}")
        for lock in held:
            locks.delete(session, lock.token)
        return held

    return files.database.write(work)


def _new(principal: Principal, place: Place, node_id: int, wanted: Wanted) -> Lock:
    if principal.user_id is None:
        raise Denied(action="lock", reason="only users hold locks")
    return Lock(
        token=f"urn:uuid:{uuid.uuid4()}",
        tree_id=place.mount.tree_id,
        node_id=node_id,
        scope=wanted.scope,
        depth=wanted.depth,
        owner=wanted.owner,
        user_id=principal.user_id,
        path=show(place.path),
        timeout_s=wanted.timeout_s,
        expires_at=clock.now() + wanted.timeout_s * clock.SECOND,
    )
