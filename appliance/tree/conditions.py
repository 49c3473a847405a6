"""Conditions that a client attaches to a request, evaluated against the tree inside the transaction it guards.

HTTP's own (RFC 9110 §13) concern the target; the ``If`` header (RFC 4918 §10.4) may name any resource. The faces
parse; what holds is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from appliance import clock
from appliance.errors import PreconditionFailed
from appliance.tree.locks import Locks
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


def require(
    conditions: Conditions,
    target: Node | None,
    path: Path,
    *,
    incarnation: str,
    locks: Locks,
    find: Callable[[Path], Chain],
) -> None:
    """Refuse unless all hold. ``target`` is what ``path`` names now; ``find`` resolves other paths of ``If``.

    Raises:
        PreconditionFailed: one does not.
    """
    etag = None if target is None else target.etag(incarnation)
    failed = (
        (conditions.if_match is not None and not _matches(conditions.if_match, etag))
        or (conditions.if_none_match is not None and _matches_weakly(conditions.if_none_match, etag))
        or (_counts_since(conditions) and not _unmodified_since(conditions.if_unmodified_since, target))
        or (conditions.states and not _some_list_holds(conditions.states, incarnation, locks, find))
    )
    if failed:
        raise PreconditionFailed(path=show(path))


def _matches(etags: Etags, etag: str | None) -> bool:
    return etag is not None and (etags.any or etags.matches_strong(etag))


def _matches_weakly(etags: Etags, etag: str | None) -> bool:
    return etag is not None and (etags.any or etags.matches_weak(etag))


def _counts_since(conditions: Conditions) -> bool:
    """RFC 9110 §13.1.4: ignored beside If-Match."""
    return conditions.if_unmodified_since is not None and conditions.if_match is None


def _unmodified_since(limit_s: int | None, target: Node | None) -> bool:
    return limit_s is None or target is None or target.modified_at // clock.SECOND <= limit_s


def _some_list_holds(
    states: tuple[StateList, ...], incarnation: str, locks: Locks, find: Callable[[Path], Chain]
) -> bool:
    return any(_list_holds(state, incarnation, locks, find) for state in states)


def _list_holds(state: StateList, incarnation: str, locks: Locks, find: Callable[[Path], Chain]) -> bool:
    chain = () if state.path is None else find(state.path)
    exists = state.path is not None and len(chain) == len(state.path) + 1
    etag = chain[-1].etag(incarnation) if exists else None
    tokens = {lock.token for lock in locks.covering(chain)} if exists else set()
    return all((test.token in tokens if test.token else test.etag == etag) != test.negated for test in state.tests)
