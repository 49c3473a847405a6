"""What differs between two moments of a path."""

from __future__ import annotations

from typing import Literal, NamedTuple

from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import NotFound
from appliance.files import states
from appliance.files.context import Files, locate
from appliance.files.states import Then
from appliance.moments import Moment
from appliance.principal import Principal
from appliance.tree import nodes, past
from appliance.tree.nodes import Node
from appliance.tree.paths import Path, name_key, show


class Difference(NamedTuple):
    """What became of a file or folder. ``before`` and ``after`` are its places: None where it was not, or is not.

    Sizes are None for folders, and where there is nothing. A file that another one has replaced under the same name
    has changed. ``unknown``: one of the moments is not kept for this folder, so nothing is told of what is in it.
    """

    before: Path | None
    after: Path | None
    is_folder: bool
    size_before: int | None
    size_after: int | None
    same_content: bool
    unknown: bool = False

    @property
    def kind(self) -> Literal["added", "removed", "changed", "moved", "not kept"]:
        """A moved file may have changed as well."""
        if self.unknown:
            return "not kept"
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
        MomentGone: one of them is not kept for this path.
    """
    with files.database.snapshot() as session:
        mount = locate(session, principal, path, Action.READ).mount
        root = nodes.get(session, mount.root_id)
        assert root is not None
        before, after = (
            states.locate_now(session, mount.tree_id, root, mount.path)
            if moment is None
            else states.locate(session, mount.tree_id, root, mount.path, moment)
            for moment in (first, second)
        )
        if not before.exists and not after.exists:
            raise NotFound(what=f"{show(path)} at either moment")
        comparison = _Comparison(session, before, after)
        comparison.compare((path, before.found), (path, after.found))
        comparison.settle()
    return sorted(comparison.found, key=lambda each: each.after or each.before or ())


_Placed = tuple[Path, Node]


class _Comparison:
    """Collects what is only in one of two states until it is known whether it has moved."""

    def __init__(self, session: Session, before: Then, after: Then) -> None:
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
                elif then.id == node.id and not self._may_differ(then, node):
                    continue
                elif self._both_open(then, node):
                    waiting += self._members((path, then), (new_path, node))
                else:
                    self._tell_unknown((path, then), (new_path, node))
                continue
            if then is not None:
                self._went[then.id] = (path, then)
            if node is not None:
                self._came[node.id] = (new_path, node)

    def settle(self) -> None:
        """Decide on all that was only in one of the states: members of what went may have come elsewhere."""
        closed: dict[int, _Placed] = {}
        went, came = self._whole(self._went, self._before, closed), self._whole(self._came, self._after, closed)
        if closed:
            # What is not known of one moment is not told of the other one either.
            went, came = self._whole(self._went, self._before, closed), self._whole(self._came, self._after, closed)
            for node_id in closed:
                self._tell_unknown(went.get(node_id), came.get(node_id))
        for node_id in went.keys() | came.keys():
            was, now = went.get(node_id), came.get(node_id)
            carried = was is not None and was[1].parent_id in went and was[1].parent_id in came
            if was is None or now is None or not (carried and self._is_same(was[1], now[1])):
                self._tell(was, now)

    def _both_open(self, then: Node, node: Node) -> bool:
        # Both are asked, so that both know of the way.
        opens = (self._before.opens(then), self._after.opens(node))
        return all(opens)

    def _whole(self, placed: dict[int, _Placed], at: Then, closed: dict[int, _Placed]) -> dict[int, _Placed]:
        """With everything below, but for what is in folders of which the state is not kept: they are ``closed``."""
        found: dict[int, _Placed] = {}
        waiting = list(placed.values())
        while waiting:
            path, node = waiting.pop()
            found[node.id] = (path, node)
            if not node.is_folder or node.id in closed:
                continue
            if at.opens(node):
                members = past.children(self._session, node.id, at.state)
                waiting += [((*path, member.name), member) for member in members]
            else:
                closed[node.id] = (path, node)
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
        then = {name_key(each.name): each for each in past.children(self._session, was[1].id, self._before.state)}
        here = {name_key(each.name): each for each in past.children(self._session, now[1].id, self._after.state)}
        pairs = []
        for key in then.keys() | here.keys():
            old, new = then.get(key), here.get(key)
            name = (old or new).name  # type: ignore[union-attr]
            pairs.append((((*path, name), old), ((*new_path, new.name if new else name), new)))
        return pairs

    def _compare_files(self, was: _Placed, now: _Placed) -> None:
        if (was[1].id, was[1].version_seq) != (now[1].id, now[1].version_seq):
            self._tell(was, now)

    def _tell_unknown(self, was: _Placed | None, now: _Placed | None) -> None:
        before, after = was and was[0], now and now[0]
        self.found.append(Difference(before, after, True, None, None, same_content=False, unknown=True))

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
