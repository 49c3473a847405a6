"""DAV write locks (RFC 4918 §6, §7) as rows: they survive restarts, and hold in every process.

A lock belongs to a node. It covers that node and, with depth infinity, everything below it. It does not move with
its node: moving and removing drop the locks of the whole subtree.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from appliance import clock
from appliance.db.sql import Session, Sql
from appliance.errors import Denied, LockConflict, Locked
from appliance.tree import nodes
from appliance.tree.nodes import Chain, Ids, Node

EXCLUSIVE = "exclusive"
SHARED = "shared"
INFINITY = "infinity"

MOST_OF_A_NODE = 64
MOST_OF_A_TREE = 4096


class Lock(NamedTuple):
    """A row of ``lock``."""

    token: str
    tree_id: int
    node_id: int
    scope: str
    depth: str
    owner: str | None
    user_id: int
    path: str
    timeout_s: int
    expires_at: int


_COLUMNS = ", ".join(Lock._fields)
_OF_TREE = Sql(f"SELECT {_COLUMNS} FROM lock WHERE tree_id = :tree_id ORDER BY token")
_INSERT = Sql(f"INSERT INTO lock ({_COLUMNS}) VALUES ({', '.join(f':{name}' for name in Lock._fields)})")
_REFRESH = Sql("UPDATE lock SET timeout_s = :timeout_s, expires_at = :expires_at WHERE token = :token")
_DELETE = Sql("DELETE FROM lock WHERE token = :token")
_EXPIRED = Sql("DELETE FROM lock WHERE expires_at <= :now")
_ANY = Sql("SELECT token, node_id FROM lock WHERE tree_id = :tree_id")


class Locks:
    """The locks of one tree as of one transaction. Read once: trees hold few."""

    def __init__(self, session: Session, tree_id: int) -> None:
        self._session = session
        now = clock.now()
        rows = session.rows(_OF_TREE, tree_id=tree_id)
        self._held = [lock for lock in map(Lock._make, rows) if lock.expires_at > now]

    @staticmethod
    def foresee(session: Session, tree_id: int) -> None:
        """They will be asked for."""
        session.foresee(_OF_TREE, tree_id=tree_id)

    def __bool__(self) -> bool:
        return bool(self._held)

    def get(self, token: str) -> Lock | None:
        """The lock of this token."""
        return next((lock for lock in self._held if lock.token == token), None)

    def covering(self, ids: Ids) -> list[Lock]:
        """The locks that cover the last of ``ids``."""
        if not self._held:
            return []
        return [*(lock for lock in self._held if lock.node_id == ids[-1]), *self.reaching(ids[:-1])]

    def reaching(self, parents: Ids) -> list[Lock]:
        """The locks that cover whatever is or becomes a member of the last of ``parents``."""
        return [lock for lock in self._held if lock.depth == INFINITY and lock.node_id in parents]

    def below(self, node: Node) -> list[Lock]:
        """The locks of what is below ``node``, not its own."""
        return [lock for lock in self._held if lock.node_id != node.id and _is_below(self._session, lock.node_id, node)]

    def require(self, ids: Ids, path: str, *, user_id: int | None, tokens: Collection[str]) -> None:
        """Refuse to change the last of ``ids`` without the token of a lock that covers it.

        Raises:
            Locked: with the path of the lock.
        """
        _require(self.covering(ids), path, user_id, tokens)

    def require_below(self, node: Node, path: str, *, user_id: int | None, tokens: Collection[str]) -> None:
        """The same for everything below ``node``, each locked thing by itself."""
        if not self._held or not node.is_folder:
            return
        by_node: dict[int, list[Lock]] = {}
        for lock in self.below(node):
            by_node.setdefault(lock.node_id, []).append(lock)
        for held in by_node.values():
            _require(held, path, user_id, tokens)

    def require_few(self, node_id: int, path: str) -> None:
        """Refuse a further lock on a node where there are more than anybody works with: each change of the tree looks
        at all of them.

        Raises:
            Denied: there are ``MOST_OF_A_NODE`` or ``MOST_OF_A_TREE``.
        """
        if sum(lock.node_id == node_id for lock in self._held) >= MOST_OF_A_NODE:
            raise Denied(action=f"hold more than {MOST_OF_A_NODE} locks on {path}")
        if len(self._held) >= MOST_OF_A_TREE:
            raise Denied(action=f"hold more than {MOST_OF_A_TREE} locks at a time")

    def require_free(self, chain: Chain, path: str, *, scope: str, depth: str) -> None:
        """Refuse a new lock that would contradict one that is held (RFC 4918 §9.10.6).

        Raises:
            LockConflict: with the path of the lock.
        """
        others = self.covering(chain.ids)
        if depth == INFINITY and chain.last.is_folder:
            others = [*others, *self.below(chain.last)]
        _exclude(others, path, scope)

    def require_free_name(self, parents: Ids, path: str, *, scope: str) -> None:
        """The same for a lock of something that is not there yet: one of depth 0 on its folder does not reach it.

        Raises:
            LockConflict: with the path of the lock.
        """
        _exclude(self.reaching(parents), path, scope)


def _exclude(held: list[Lock], path: str, scope: str) -> None:
    for lock in held:
        if EXCLUSIVE in (scope, lock.scope):
            raise LockConflict(path=path, lock_root=lock.path)


def _require(held: list[Lock], path: str, user_id: int | None, tokens: Collection[str]) -> None:
    if held and not any(lock.token in tokens and lock.user_id == user_id for lock in held):
        raise Locked(path=path, lock_root=held[0].path)


def _is_below(session: Session, node_id: int, folder: Node) -> bool:
    return any(above == folder.id for above, _ in nodes.above(session, node_id))


def insert(session: Session, lock: Lock) -> None:
    """Take a lock; the caller has checked that it contradicts none."""
    session.run(_INSERT, **lock._asdict())


def refresh(session: Session, lock: Lock, timeout_s: int) -> Lock | None:
    """Begin the lock's time anew; None: it was over, and its row is gone."""
    expires_at = clock.now() + timeout_s * clock.SECOND
    if not session.run(_REFRESH, token=lock.token, timeout_s=timeout_s, expires_at=expires_at):
        return None
    return lock._replace(timeout_s=timeout_s, expires_at=expires_at)


def delete(session: Session, token: str) -> None:
    """Release a lock."""
    session.run(_DELETE, token=token)


def drop_below(session: Session, tree_id: int, node: Node) -> None:
    """Release the locks of ``node`` and of everything below it, expired ones too."""
    for token, node_id in session.rows(_ANY, tree_id=tree_id):
        if node_id == node.id or (node.is_folder and _is_below(session, node_id, node)):
            session.run(_DELETE, token=token)


def drop_expired(session: Session) -> int:
    """Remove the rows of locks whose time has passed; returns how many."""
    return session.run(_EXPIRED, now=clock.now())
