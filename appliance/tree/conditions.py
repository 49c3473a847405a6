"""Conditions that a client attaches to a request, evaluated against the tree inside the transaction it guards.

HTTP's own (RFC 9110 §13) concern the target; the ``If`` header (RFC 4918 §10.4) may name any resource. The faces
parse; what holds is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from appliance import clock
from appliance.db.sql import Session, Sql
from appliance.errors import PreconditionFailed
from appliance.tree.locks import Lock, Locks
from appliance.tree.nodes import Chain, Node
from appliance.tree.paths import Path, show


class Etags(Protocol):
    """The value of If-Match or If-None-Match."""

    @property
    def any(self) -> bool:
        """Whether it is ``*``."""
        ...

    def matches_strong(self, etag: str | None, /) -> bool: ...

    def matches_weak(self, etag: str | None, /) -> bool: ...


class StateTest(NamedTuple):
    """``Not``, and a lock token or an ETag (with quotes)."""

    negated: bool
    token: str | None
    etag: str | None


class StateList(NamedTuple):
    """Tests that have to hold together, for ``path``; ``path`` None stands for a resource outside of the tree."""

    path: Path | None
    tests: tuple[StateTest, ...]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Everything that has to hold. ``tokens`` are the lock tokens submitted, wherever they stood."""

    if_match: Etags | None = None
    if_none_match: Etags | None = None
    # Seconds since 1970.
    if_unmodified_since: int | None = None
    states: tuple[StateList, ...] = ()
    tokens: frozenset[str] = field(default_factory=frozenset)


NONE = Conditions()

_PLACED = Sql("SELECT placed_seq FROM node WHERE id IN (:ids*)")
_CHANGED = Sql("SELECT at FROM journal WHERE tree_id = :tree_id AND seq = :seq")


def require(
    conditions: Conditions,
    target: Node | None,
    path: Path,
    *,
    incarnation: str,
    locks: Locks,
    find: Callable[[Path], Chain],
    session: Session,
) -> None:
    """Refuse unless all hold. ``target`` is what ``path`` names now; ``find`` resolves it, and other paths of ``If``.

    Raises:
        PreconditionFailed: one does not.
    """
    etag = None if target is None else target.etag(incarnation)
    failed = (
        (conditions.if_match is not None and not _matches(conditions.if_match, etag))
        or (conditions.if_none_match is not None and _matches_weakly(conditions.if_none_match, etag))
        or (target is not None and not _date_holds(conditions, lambda: find(path), session))
        or (conditions.states and not _some_list_holds(conditions.states, incarnation, locks, find))
    )
    if failed:
        raise PreconditionFailed(path=show(path))


def _matches(etags: Etags, etag: str | None) -> bool:
    return etag is not None and (etags.any or etags.matches_strong(etag))


def _matches_weakly(etags: Etags, etag: str | None) -> bool:
    return etag is not None and (etags.any or etags.matches_weak(etag))


def _date_holds(conditions: Conditions, chain: Callable[[], Chain], session: Session) -> bool:
    limit_s = conditions.if_unmodified_since
    # RFC 9110 §13.1.4: ignored beside If-Match.
    return limit_s is None or conditions.if_match is not None or unchanged_since(limit_s, chain(), session)


def unchanged_since(limit_s: int, chain: Chain, session: Session) -> bool:
    """Whether what the last of ``chain`` names is what a client knows by this date (RFC 9110 §13.1.3, §13.1.4).

    A file's very date holds, as the client was told it with the content. With a later one the content must have been
    there by then too: clients set times, and a move brings old content to a path. A folder's date tells of its
    members coming and going, not of what they hold, so it never holds alone.
    """
    node = chain.last
    modified_s = node.modified_at // clock.SECOND
    if modified_s == limit_s and not node.is_folder:
        return True
    return modified_s <= limit_s and _changed_at(session, chain) // clock.SECOND <= limit_s


def _changed_at(session: Session, chain: Chain) -> int:
    """When the path of ``chain`` began to name the state that it names; microseconds."""
    node = chain.last
    placed = session.rows_by(_PLACED, chain.ids)
    seq = max([node.version_seq or node.subtree_seq, *(row[0] for row in placed)])
    row = session.row(_CHANGED, tree_id=node.tree_id, seq=seq)
    # A tree in which nothing has happened yet has no such row.
    return node.created_at if row is None else int(row[0])


def _some_list_holds(
    states: tuple[StateList, ...], incarnation: str, locks: Locks, find: Callable[[Path], Chain]
) -> bool:
    return any(_list_holds(state, incarnation, locks, find) for state in states)


def _list_holds(state: StateList, incarnation: str, locks: Locks, find: Callable[[Path], Chain]) -> bool:
    etag: str | None = None
    held: list[Lock] = []
    if state.path is not None:
        chain = find(state.path)
        exists = len(chain.ids) == len(state.path) + 1
        etag = chain.last.etag(incarnation) if exists else None
        held = _locks_at(chain, locks, exists=exists)
    tokens = {lock.token for lock in held}
    return all((test.token in tokens if test.token else test.etag == etag) != test.negated for test in state.tests)


def _locks_at(chain: Chain, locks: Locks, *, exists: bool) -> list[Lock]:
    """A free name is covered by the lock of a folder above that reaches all members, those to come too (RFC 4918
    §7.4, §10.4.4), also where folders between are missing: that is for the method to say, more clearly than 412 can.
    Below a file there can be nothing.
    """
    if exists:
        return locks.covering(chain.ids)
    return locks.reaching(chain.ids) if chain.last.is_folder else []
