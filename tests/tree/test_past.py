"""The past: what was where after any change, with which content."""

from __future__ import annotations

from appliance.db.sql import Session
from appliance.tree import past
from appliance.tree.nodes import Node
from appliance.tree.past import State
from appliance.tree.paths import parse
from tests.files.person import Person


class Then:
    """Alice's tree as it was after a change."""

    def __init__(self, alice: Person, seq: int) -> None:
        self._alice = alice
        self._seq = seq
        self._root = alice.node("/")

    def find(self, path: str) -> Node | None:
        names = parse(path)
        with self._alice.files.database.snapshot() as session:
            found = past.resolve(session, self._root, names, self._state(session))
        return found.last if len(found.ids) == len(names) + 1 else None

    def names(self, path: str = "/") -> list[str]:
        folder = self.find(path)
        assert folder is not None
        with self._alice.files.database.snapshot() as session:
            return [node.name for node in past.children(session, folder.id, self._state(session))]

    def _state(self, session: Session) -> State:
        return past.state_after(session, self._alice.user.tree_id, self._root, self._seq)


def test_find_shows_each_version_while_it_was_current(alice: Person) -> None:
    """Size, number and time are those of then."""
    for size in range(3):
        alice.put("/a", b"x" * size, modified_at=1_000_000 * size)
    found = [Then(alice, seq).find("/a") for seq in range(5)]
    assert found[0] is None
    assert [(node.version_seq, node.bytes, node.modified_at) for node in found[1:] if node] == [
        (1, 0, 0),
        (2, 1, 1_000_000),
        (3, 2, 2_000_000),
        (3, 2, 2_000_000),
    ]


def test_find_follows_a_move_to_the_change(alice: Person) -> None:
    """Before it there, after it here, never at both or none."""
    alice.mkdir("/d", "/t")
    node = alice.put("/d/a").node
    alice.move("/d/a", "/t/b")
    moved = alice.seq()
    for seq in range(node.placed_seq, moved + 2):
        before, after = Then(alice, seq).find("/d/a"), Then(alice, seq).find("/t/b")
        assert (before is None) == (seq >= moved)
        assert (after is None) == (seq < moved)
        assert {each.id for each in (before, after) if each} == {node.id}


def test_find_below_a_folder_that_moved_looks_where_the_folder_was(alice: Person) -> None:
    """What is in it was never touched, and yet had another path."""
    alice.mkdir("/d", "/d/e")
    alice.put("/d/e/a", b"x")
    before = alice.seq()
    alice.move("/d", "/moved")
    alice.put("/moved/e/a", b"later")
    then, now = Then(alice, before), Then(alice, alice.seq())
    assert then.find("/moved/e/a") is None
    assert now.find("/d/e/a") is None
    old, new = then.find("/d/e/a"), now.find("/moved/e/a")
    assert old is not None
    assert new is not None
    assert (old.id, old.bytes, new.bytes) == (new.id, 1, 5)


def test_find_removed_and_restored_is_there_except_in_between(alice: Person) -> None:
    """With everything below it."""
    alice.mkdir("/d")
    alice.put("/d/a")
    before = alice.seq()
    alice.remove("/d")
    alice.put_back(alice.trash()[0], "/e")
    assert Then(alice, before).names() == ["d"]
    assert Then(alice, before + 1).names() == []
    assert Then(alice, before + 2).names() == ["e"]
    assert Then(alice, before + 2).names("/e") == ["a"]
    assert Then(alice, before + 1).find("/d/a") is None


def test_names_that_had_several_nodes_show_the_one_of_the_time(alice: Person) -> None:
    """A file, then nothing, then a folder, then another file."""
    ids = [alice.put("/a").node.id]
    alice.remove("/a")
    ids.append(alice.mkdir("/a").id)
    alice.put("/b")
    alice.move("/b", "/a", overwrite=True)
    ids.append(alice.node("/a").id)
    found = [Then(alice, seq).find("/a") for seq in range(1, 7)]
    assert [node and node.id for node in found] == [ids[0], None, ids[1], ids[1], None, ids[2]]


def test_spelling_is_that_of_the_time_and_lookup_takes_any(alice: Person) -> None:
    """A name that was respelled is found in both forms, and shown as it was."""
    alice.put("/Caf\u00e9")
    alice.move("/Caf\u00e9", "/Cafe\u0301")
    assert Then(alice, 1).names() == ["Caf\u00e9"]
    assert Then(alice, 2).names() == ["Cafe\u0301"]
    for seq in (1, 2):
        assert Then(alice, seq).find("/Cafe\u0301") == Then(alice, seq).find("/Caf\u00e9")


def test_copies_have_no_past_before_the_copy(alice: Person) -> None:
    """From then on with all below."""
    alice.mkdir("/d")
    alice.put("/d/a", b"one")
    alice.put("/d/a", b"three")
    seq = alice.seq()
    alice.copy("/d", "/c")
    assert Then(alice, seq).find("/c") is None
    node = Then(alice, seq + 1).find("/c/a")
    assert node is not None
    assert (node.bytes, node.version_seq) == (5, seq + 1)


def test_moments_are_found_by_time(alice: Person) -> None:
    """The last change at or before it; none before the first."""
    times = []
    for _ in range(3):
        alice.put("/a")
        times.append(alice.now())
    tree = alice.user.tree_id
    with alice.files.database.snapshot() as session:
        assert past.seq_at(session, tree, times[0] - 1) == 0
        for index, at in enumerate(times):
            assert past.seq_at(session, tree, at) == index + 1
            assert past.seq_at(session, tree, at - 1) == index
        assert past.seq_at(session, tree, times[-1] + 10**12) == 3


def test_root_always_was_there(alice: Person) -> None:
    """Empty before the first change; a path below nothing was nowhere."""
    alice.put("/a")
    then = Then(alice, 0)
    assert then.find("/") is not None
    assert then.names() == []
    assert then.find("/a/b") is None
