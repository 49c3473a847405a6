"""move: another place for the same node, and what happens to what is there."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from appliance.errors import BadName, Denied, HoldfastError, NotAFolder, NotFound, ParentMissing, TargetTaken
from appliance.files import transfer
from appliance.tree.paths import Path
from tests.files.dump import refused
from tests.files.person import Person


def test_move_file_renames_the_same_node(alice: Person) -> None:
    """Id, content, time and version stay; only the place is new."""
    before = alice.put("/a", b"x", modified_at=1_500_000_000_000_000).node
    moved = alice.move("/a", "/b")
    assert moved.created
    assert alice.names() == ["b"]
    after = alice.node("/b")
    assert after == moved.node == before._replace(name="b", placed_seq=alice.seq())
    assert alice.get("/b") == b"x"
    assert alice.trash() == []


def test_move_folder_takes_all_below_along(alice: Person) -> None:
    """What was under the old path is under the new one."""
    alice.mkdir("/d", "/d/e", "/t")
    alice.put("/d/e/a", b"deep")
    alice.move("/d", "/t/d2")
    assert alice.names() == ["t"]
    assert alice.get("/t/d2/e/a") == b"deep"
    assert not alice.exists("/d/e/a")


def test_move_with_a_time_sets_it(alice: Person) -> None:
    """A client may name the time with the move; file, version and answer have it."""
    alice.put("/a")
    moved = alice.move("/a", "/b", modified_at=1_500_000_000_000_000)
    assert alice.node("/b").modified_at == 1_500_000_000_000_000
    assert moved.node == alice.node("/b")
    assert alice.versions("/b")[0].modified_at == 1_500_000_000_000_000


def test_move_onto_something_with_overwrite_puts_it_into_the_trash(
    newcomer: Callable[[], Person], subtests: pytest.Subtests
) -> None:
    """Whatever is replaced, by whatever, stays restorable."""
    for old, new in itertools.product(("file", "folder"), repeat=2):
        with subtests.test(f"{new} onto {old}"):
            who = newcomer()
            for path, kind in (("/new", new), ("/old", old)):
                if kind == "folder":
                    who.mkdir(path)
                who.put(path if kind == "file" else f"{path}/in", path.encode())
            replaced, moving = who.node("/old"), who.node("/new")
            moved = who.move("/new", "/old", overwrite=True)
            assert not moved.created
            assert moved.node.id == who.node("/old").id == moving.id
            assert who.names() == ["old"]
            assert who.get("/old" if new == "file" else "/old/in") == b"/new"
            (removed,) = who.trash()
            assert (removed.node_id, removed.path, removed.reason) == (replaced.id, "/old", "replaced")
            who.put_back(removed, "/back")
            assert who.get("/back" if old == "file" else "/back/in") == b"/old"


REFUSED: list[tuple[Path, Path, type[HoldfastError]]] = [
    (("missing",), ("x",), NotFound),
    (("missing", "a"), ("x",), NotFound),
    (("f", "a"), ("x",), NotFound),
    ((), ("x",), Denied),
    (("f",), (), Denied),
    (("f",), ("missing", "x"), ParentMissing),
    (("f",), ("g", "x"), NotAFolder),
    (("f",), ("g",), TargetTaken),
    (("f",), ("d",), TargetTaken),
    (("d",), ("g",), TargetTaken),
    (("f",), ("f",), Denied),
    (("d",), ("d",), Denied),
    (("d",), ("d", "x"), Denied),
    (("d",), ("d", "e", "x"), Denied),
    (("d", "e"), ("d",), Denied),
    (("d", "e", "deep"), ("d",), Denied),
    (("d", "e", "deep"), ("d", "e"), Denied),
    (("f",), ("f", "x"), NotAFolder),
    (("f",), ("d", ".."), BadName),
    (("f",), ("d", "a\x00"), BadName),
]


def test_move_that_cannot_be_changes_nothing(alice: Person, subtests: pytest.Subtests) -> None:
    """Onto itself, into itself, onto what it is in, onto what may not be replaced."""
    alice.mkdir("/d", "/d/e")
    for path in ("/f", "/g", "/d/e/deep"):
        alice.put(path)
    for source, target, error in REFUSED:
        overwrite = error is not TargetTaken
        with subtests.test(source=source, target=target), refused(alice.files.database, error):
            transfer.move(alice.files, alice.principal, source, target, overwrite=overwrite)


def test_move_onto_a_removed_name_leaves_the_trash_alone(alice: Person) -> None:
    """What was removed under this name has nothing to do with it any more."""
    first = alice.put("/a", b"first").node
    alice.remove("/a")
    alice.put("/b", b"second")
    assert alice.move("/b", "/a").created
    assert [removed.node_id for removed in alice.trash()] == [first.id]


def test_move_there_and_back_is_the_same_place_again(alice: Person) -> None:
    """Places of the past do not stand in the way."""
    alice.mkdir("/d", "/e")
    node = alice.put("/d/a", b"x").node
    for _ in range(3):
        alice.move("/d/a", "/e/a")
        alice.move("/e/a", "/d/a")
    assert alice.node("/d/a").id == node.id
    assert alice.contents("/d/a") == [b"x"]
    assert alice.contents("/e/a") == [b"x"]


def test_move_two_names_are_exchanged_by_way_of_a_third(alice: Person) -> None:
    """Every step finds its target free."""
    one, two = alice.put("/one").node, alice.put("/two").node
    alice.move("/one", "/tmp")
    alice.move("/two", "/one")
    alice.move("/tmp", "/two")
    assert (alice.node("/one").id, alice.node("/two").id) == (two.id, one.id)


def test_move_within_a_replaced_folders_sibling_keeps_both_apart(alice: Person) -> None:
    """Replacing a folder by one from beside it touches nothing else in their folder."""
    alice.mkdir("/d", "/d/new", "/d/old")
    alice.put("/d/new/a", b"n")
    alice.put("/d/old/a", b"o")
    alice.put("/d/other", b"x")
    alice.move("/d/new", "/d/old", overwrite=True)
    assert alice.names("/d") == ["old", "other"]
    assert alice.get("/d/old/a") == b"n"
