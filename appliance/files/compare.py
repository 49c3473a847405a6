"""What differs between two moments of a path."""

from __future__ import annotations

from typing import Literal, NamedTuple

from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import NotFound
from appliance.files.context import Files, locate, now_of, state_at
from appliance.moments import Moment
from appliance.principal import Principal
from appliance.tree import nodes, past
from appliance.tree.nodes import Node
from appliance.tree.past import State
from appliance.tree.paths import Path, name_key, show


class Difference(NamedTuple):
    """What became of a file or folder. ``before`` and ``after`` are its places: None where it was not, or is not.

    Sizes are None for folders, and where there is nothing. A file that another one has replaced under the same name
    has changed.
    """

    before: Path | None
    after: Path | None
    is_folder: bool
    size_before: int | None
    size_after: int | None
    same_content: bool

    @property
    def kind(self) -> Literal["added", "removed", "changed", "moved"]:
        """A moved file may have changed as well."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "changed" if self.before == self.after else "moved"


def differences(
    files: Files, principal: Principal, path: Path, first: Moment, second: Moment | None
) -> list[Difference]:
    """What has to happen in and below ``path`` to come from one moment to the other (None: now), in the order of
    the paths.

    Whole folders that came or went are told with all that is in them; of what has moved within ``path`` the top is
    told, and what else is different in it. Costs a look at each folder in which something has changed since the
    earlier moment, and at all that came, went or moved.

    Raises:
        NotFound: there was nothing at this path at both moments, or the tree had no such moment.
    """
    with files.database.snapshot() as session:
        mount = locate(session, principal, path, Action.READ).mount
        root = nodes.get(session, mount.root_id)
        assert root is not None
        ends = []
        for moment in (first, second):
            state = now_of(session, mount.tree_id) if moment is None else state_at(session, mount.tree_id, root, moment)
            chain = past.resolve(session, root, mount.path, state)
            ends.append((state, chain.last if len(chain.ids) == len(mount.path) + 1 else None))
        (before, was), (after, now) = ends
        if was is None and now is None:
            raise NotFound(what=f"{show(path)} at either moment")
        comparison = _Comparison(session, before, after)
        comparison.compare((path, was), (path, now))
        comparison.settle()
    return sorted(comparison.found, key=lambda each: each.after or each.before or ())


_Placed = tuple[Path, Node]


class _Comparison:
    """Collects what is only in one of two states until it is known whether it has moved."""

    def __init__(self, session: Session, before: State, after: State) -> None:
        self.found: list[Difference] = []
        self._session = session
        self._before = before
        self._after = after
        self._went: dict[int, _Placed] = {}
        self._came: dict[int, _Placed] = {}

    def compare(self, was: tuple[Path, Node | None], now: tuple[Path, Node | None]) -> None:
        """What stands under one name in both states."""
        waiting = [(was, now)]
        while waiting:
            (path, then), (new_path, node) = waiting.pop()
            if then is not None and node is not None and then.kind == node.kind:
                if not node.is_folder:
                    self._compare_files((path, then), (new_path, node))
                elif then.id != node.id or self._may_differ(then, node):
                    waiting += self._members((path, then), (new_path, node))
                continue
            if then is not None:
                self._went[then.id] = (path, then)
            if node is not None:
                self._came[node.id] = (new_path, node)

    def settle(self) -> None:
        """Decide on all that was only in one of the states: members of what went may have come elsewhere."""
        went, came = self._whole(self._went, self._before), self._whole(self._came, self._after)
        for node_id in went.keys() | came.keys():
            was, now = went.get(node_id), came.get(node_id)
            carried = was is not None and was[1].parent_id in went and was[1].parent_id in came
            if was is None or now is None or not (carried and self._is_same(was[1], now[1])):
                self._tell(was, now)

    def _whole(self, placed: dict[int, _Placed], state: State) -> dict[int, _Placed]:
        """With everything below."""
        found: dict[int, _Placed] = {}
        waiting = list(placed.values())
        while waiting:
            path, node = waiting.pop()
            found[node.id] = (path, node)
            if node.is_folder:
                members = past.children(self._session, node.id, state)
                waiting += [((*path, member.name), member) for member in members]
        return found

    @staticmethod
    def _is_same(then: Node, node: Node) -> bool:
        """Whether it is as it was, in the folder in which it was."""
        return (then.parent_id, then.name, then.version_seq) == (node.parent_id, node.name, node.version_seq)

    def _may_differ(self, then: Node, node: Node) -> bool:
        """A folder's number grows with each change in or below it; the same one means the same state."""
        return then.subtree_seq != node.subtree_seq

    def _members(self, was: _Placed, now: _Placed) -> list[tuple[tuple[Path, Node | None], tuple[Path, Node | None]]]:
        path, new_path = was[0], now[0]
        then = {name_key(each.name): each for each in past.children(self._session, was[1].id, self._before)}
        here = {name_key(each.name): each for each in past.children(self._session, now[1].id, self._after)}
        pairs = []
        for key in then.keys() | here.keys():
            old, new = then.get(key), here.get(key)
            name = (old or new).name  # type: ignore[union-attr]
            pairs.append((((*path, name), old), ((*new_path, new.name if new else name), new)))
        return pairs

    def _compare_files(self, was: _Placed, now: _Placed) -> None:
        if (was[1].id, was[1].version_seq) != (now[1].id, now[1].version_seq):
            self._tell(was, now)

    def _tell(self, was: _Placed | None, now: _Placed | None) -> None:
        then, node = (None if each is None else each[1] for each in (was, now))
        some = then or node
        assert some is not None
        same = then is not None and node is not None and (then.id, then.version_seq) == (node.id, node.version_seq)
        self.found.append(
            Difference(
                before=was[0] if was else None,
                after=now[0] if now else None,
                is_folder=some.is_folder,
                size_before=None if then is None or then.is_folder else then.bytes,
                size_after=None if node is None or node.is_folder else node.bytes,
                same_content=same,
            )
        )
