"""Holding the real tree against the model: everything that can be asked for has to be the same."""

from __future__ import annotations

from appliance.db.sql import Session
from appliance.errors import NotFound
from appliance.tree import past
from appliance.tree.nodes import Node as RealNode
from appliance.tree.past import State
from tests.files.person import Person
from tests.tree.model import Model, Node, Past, Path, Version, key


class Twin:
    """A person's tree beside its model; the real ids, once seen, have to stay what they are."""

    def __init__(self, who: Person) -> None:
        self.who = who
        self.model = Model()
        # The (seq, time) after which the tree was as in the model's history of the same index.
        self.moments = [(0, who.now())]
        self._tree = who.user.tree_id
        ((self._root,),) = who.rows("SELECT root_id FROM tree WHERE id = :id", id=self._tree)
        self.model.root.real = self._root
        self._versions: dict[tuple[int, int], Version] = {}

    def remember(self) -> None:
        """After a change: the present becomes one more past."""
        self.model.remember()
        self.moments.append((self.who.seq(), self.who.now()))

    def compare_unchanged(self) -> None:
        """Nothing has been done here since the last change."""
        assert (self.who.seq(), self.who.now()) == self.moments[-1]

    def compare(self) -> None:
        """The present: structure, content, totals, trash and the versions of every path."""
        self._compare_folder((), self.model.root)
        user = self.who.user
        root = self.model.root
        assert (user.files, user.bytes, user.quota_bytes) == (root.files, root.bytes, self.model.quota)
        self._compare_trash()
        self._compare_versions()

    def _compare_folder(self, path: Path, folder: Node) -> None:
        listing = self.who.listing("/".join(path))
        assert (listing.node.files, listing.node.bytes) == (folder.files, folder.bytes), path
        assert {node.name for node in listing.members} == {node.name for node in folder.members.values()}, path
        for real in listing.members:
            node = folder.members[key(real.name)]
            below = (*path, real.name)
            node.real = node.real or real.id
            assert (real.id, real.is_folder) == (node.real, node.is_folder), below
            if node.version is None:
                self._compare_folder(below, node)
                continue
            assert real.version_seq is not None
            assert (real.files, real.bytes) == (1, len(node.version.content)), below
            self._meet(node.version, (real.id, real.version_seq))

    def _meet(self, version: Version, real: tuple[int, int]) -> None:
        """The first time its content is read; from then on its number means this version, and no other."""
        if version.real is None:
            version.real = real
            assert self.who.content_of(*real) == version.content
        assert version.real == real
        assert self._versions.setdefault(real, version) is version

    def _compare_trash(self) -> None:
        found = self.who.trash()
        times = [removed.removed_at for removed in found]
        assert times == sorted(times, reverse=True)
        assert sorted(
            (
                each.node_id,
                each.name,
                each.kind == 1,
                each.files,
                each.bytes,
                each.reason,
                key(each.path),
                each.parent_id,
            )
            for each in found
        ) == sorted(
            (
                each.node.real,
                each.node.name,
                each.node.is_folder,
                each.node.files,
                each.node.bytes,
                each.reason,
                key(each.path),
                each.parent.real,
            )
            for each in self.model.trash
        )

    def _compare_versions(self) -> None:
        """Of every name that any folder of the present ever had."""
        for path, folder in self.model.root.walk():
            if not folder.is_folder:
                continue
            names = {name for members in self.model.history for name in members.get(folder, {})}
            for name in names | set(folder.members):
                self.compare_versions((*path, name))

    def compare_versions(self, path: Path) -> None:
        """The versions of one path, newest first."""
        try:
            found = self.who.versions("/".join(path))
        except NotFound:
            found = []
        assert [each.seq for each in found] == sorted((each.seq for each in found), reverse=True)
        expected = self.model.versions(path)
        current = self.model.find(path)
        if current is not None and current.version is not None and current.version not in expected:
            expected.append(current.version)
        reals = [version.real for version in expected]
        assert sorted((each.node_id, each.seq) for each in found) == sorted(real for real in reals if real), path
        assert None not in reals

    def compare_past(self, index: int) -> None:
        """One moment of the past, by its number and by its time."""
        seq, at = self.moments[index]
        root = self.who.node("/")
        with self.who.files.database.snapshot() as session:
            state = past.state_at(session, self._tree, root, at)
            assert state.seq == seq
            self._compare_past_folder(session, (), self.model.root, self.model.history[index], state, root)

    def _compare_past_folder(
        self, session: Session, path: Path, folder: Node, then: Past, state: State, root: RealNode
    ) -> None:
        assert folder.real is not None
        seq = state.seq
        found = past.children(session, folder.real, state)
        assert len({node.name for node in found}) == len(found)
        assert {node.name for node in found} == {name for _, name, _ in then[folder].values()}, (path, seq)
        for real in found:
            node, name, version = then[folder][key(real.name)]
            below = (*path, name)
            if seq % 3 == real.id % 3:
                assert real == past.resolve(session, root, below, state).last
            real_version = None if real.version_seq is None else (real.id, real.version_seq)
            assert (real.id, real_version) == (node.real, version and version.real), (below, seq)
            assert real.bytes == (len(version.content) if version else 0)
            if version is None:
                self._compare_past_folder(session, below, node, then, state, root)
