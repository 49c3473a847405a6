"""States of a tree as people ask for them, and whether they are kept: for a path, and on the way down from it."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice

from appliance import clock, moments
from appliance.db.sql import Session, Sql
from appliance.errors import MomentGone, NotFound
from appliance.moments import Moment
from appliance.tree import kept, past
from appliance.tree.kept import Scopes
from appliance.tree.nodes import Chain, Ids, Node
from appliance.tree.past import State
from appliance.tree.paths import Path, show

# So many kept states are looked at for one at which a path opens.
_TRIES = 200

_NEWEST = Sql("SELECT seq, changed_at FROM tree WHERE id = :tree_id")


class Then:
    """A path at a state that is kept for it. Walkers ask ``opens`` for each folder that they meet below it."""

    def __init__(self, state: State, chain: Chain, path: Path, scopes: Scopes) -> None:
        self.state = state
        self.chain = chain
        self.exists = len(chain.ids) == len(path) + 1
        self._scopes = scopes
        # Which folder with a rule governs the members of each folder; None: the tree.
        self._governing: dict[int, int | None] = {}
        ruled = None
        for node_id in chain.ids:
            ruled = node_id if node_id in scopes.folders else ruled
            self._governing[node_id] = ruled

    @property
    def found(self) -> Node | None:
        """What the path named."""
        return self.chain.last if self.exists else None

    def opens(self, folder: Node) -> bool:
        """Whether the state is kept for a folder, too; the one that it was in has been asked for before."""
        if not self._scopes.folders:
            return True
        if folder.id not in self._governing:
            assert folder.parent_id is not None
            above = self._governing[folder.parent_id]
            self._governing[folder.id] = folder.id if folder.id in self._scopes.folders else above
        return self._scopes.of(self._governing[folder.id]).has(self.state.seq)


def locate(session: Session, tree_id: int, root: Node, path: Path, moment: Moment) -> Then:
    """What ``path`` named at a moment; that it named nothing is an answer as well. The session is a snapshot.

    Raises:
        NotFound: the tree was not made yet, or the moment is still to come.
        MomentGone: it is kept no more for this path.
    """
    state = _state_at(session, tree_id, root, moment)
    scopes = kept.scopes(session, tree_id)
    chain = past.resolve(session, root, path, state)
    # What is not found in a folder of which the state is not kept may have been there.
    if not scopes.governing(chain.ids).has(state.seq):
        nearest = _Nearest(session, root, path, scopes).of(state, _newest(session, tree_id).seq, moment)
        raise MomentGone(nearest=nearest, path=_ruled_path(chain.ids, path, scopes))
    return Then(state, chain, path, scopes)


def locate_now(session: Session, tree_id: int, root: Node, path: Path) -> Then:
    """What ``path`` names now, as the state that the last change has left."""
    state = _newest(session, tree_id)
    return Then(state, past.resolve(session, root, path, state), path, kept.scopes(session, tree_id))


def _state_at(session: Session, tree_id: int, root: Node, moment: Moment) -> State:
    newest = _newest(session, tree_id)
    if moment.seq is not None:
        if moment.seq > newest.seq:
            raise NotFound(what=f"change {moment.seq}")
        return past.state_after(session, tree_id, root, moment.seq)
    assert moment.at is not None
    if moment.at < root.created_at:
        raise NotFound(what="anything that was there before the first day")
    # A clock that was put back does not make what has happened the future.
    if moment.at > max(clock.now(), newest.at):
        raise NotFound(what="a moment that is still to come")
    return past.state_at(session, tree_id, root, moment.at)


def _newest(session: Session, tree_id: int) -> State:
    row = session.row(_NEWEST, tree_id=tree_id)
    assert row is not None
    return State._make(row)


def _ruled_path(ids: Ids, path: Path, scopes: Scopes) -> str | None:
    """The folder whose rule it is that has let go of the state; None: that of the tree."""
    ruled = [depth for depth, node_id in enumerate(ids) if node_id in scopes.folders]
    return show(path[: ruled[-1]]) if ruled else None


class _Nearest:
    """Looks for the kept state that is least far away from one that is not, among those at which a path opens."""

    def __init__(self, session: Session, root: Node, path: Path, scopes: Scopes) -> None:
        self._session = session
        self._root = root
        self._path = path
        self._scopes = scopes

    def of(self, state: State, newest: int, moment: Moment) -> str:
        """In a form that can be asked for. Where the path opens at none, the way is longest at the one that is told."""
        at = state.at if moment.at is None else moment.at
        best, depth = at, 0
        for _, time in islice(self._times(state, newest, at), _TRIES):
            found = self._depth(time)
            if found > depth:
                best, depth = time, found
            if found > len(self._path):
                break
        return moments.show(best, exact=True)

    def _times(self, state: State, newest: int, at: int) -> Iterator[tuple[int, int]]:
        """(how far away, time) of what is kept for the tree or any folder, the nearest first."""
        every = (self._scopes.tree, *self._scopes.folders.values())
        seqs = sorted({newest, *(seq for each in every for seq in (*each.seqs, each.since))})
        before = (self._ended(seq) for seq in reversed(seqs) if seq < state.seq)
        after = (self._began(seq) for seq in seqs if seq > state.seq)
        return merge(((at - time, time) for time in before), ((time - at, time) for time in after))

    def _began(self, seq: int) -> int:
        return past.state_after(self._session, self._root.tree_id, self._root, seq).at

    def _ended(self, seq: int) -> int:
        """A state holds until the next change, and one before another has one."""
        following = past.first_after(self._session, self._root.tree_id, seq)
        assert following is not None
        return following.at - 1

    def _depth(self, at: int) -> int:
        """How many nodes of the path there are at a time; 0: that is not kept."""
        state = past.state_at(self._session, self._root.tree_id, self._root, at)
        ids = past.resolve(self._session, self._root, self._path, state).ids
        return len(ids) if self._scopes.governing(ids).has(state.seq) else 0
