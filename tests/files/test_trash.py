"""The trash: what is in it, and the ways out of it."""

from __future__ import annotations

import pytest

from appliance.errors import BadName, NameTaken, NotAFolder, NotFound, ParentMissing
from appliance.files import trash
from tests.files.dump import refused
from tests.files.person import Person


def test_trash_lists_the_last_removed_first(alice: Person) -> None:
    """Each top once, with the path as it read then."""
    alice.mkdir("/d", "/d/e")
    alice.put("/d/a", b"1")
    alice.put("/d/e/b", b"22")
    alice.put("/d/a2", b"333")
    alice.remove("/d/a")
    alice.move("/d/a2", "/d/e/b", overwrite=True)
    alice.remove("/d")
    found = [(removed.path, removed.kind, removed.files, removed.bytes, removed.reason) for removed in alice.trash()]
    assert found == [("/d", 1, 1, 3, "deleted"), ("/d/e/b", 2, 1, 2, "replaced"), ("/d/a", 2, 1, 1, "deleted")]
    times = [removed.removed_at for removed in alice.trash()]
    assert times == sorted(times, reverse=True)


def test_restore_file_is_back_with_id_history_and_content(alice: Person) -> None:
    """As if it had not been away; the trash is empty."""
    alice.mkdir("/d")
    node = alice.put("/d/a", b"one").node
    alice.put("/d/a", b"two")
    alice.remove("/d/a")
    assert alice.put_back(alice.trash()[0]) == "/d/a"
    assert alice.node("/d/a").id == node.id
    assert alice.contents("/d/a") == [b"two", b"one"]
    assert alice.trash() == []


def test_restore_folder_brings_all_below_back(alice: Person) -> None:
    """One change, whatever is in it; what was removed from it before stays in the trash."""
    alice.mkdir("/d", "/d/e")
    alice.put("/d/e/a", b"deep")
    alice.put("/d/e/gone", b"before")
    alice.remove("/d/e/gone")
    alice.remove("/d")
    seq = alice.seq()
    assert alice.put_back(alice.trash()[0]) == "/d"
    assert alice.seq() == seq + 1
    assert alice.names("/d/e") == ["a"]
    assert [removed.path for removed in alice.trash()] == ["/d/e/gone"]
    assert alice.put_back(alice.trash()[0]) == "/d/e/gone"
    assert alice.contents("/d/e/gone") == [b"before"]


def test_restore_follows_a_folder_that_moved_meanwhile(alice: Person) -> None:
    """It goes where it would be if it had stayed."""
    alice.mkdir("/d", "/t")
    alice.put("/d/a", b"x")
    alice.remove("/d/a")
    alice.move("/d", "/t/renamed")
    assert alice.put_back(alice.trash()[0]) == "/t/renamed/a"
    assert alice.get("/t/renamed/a") == b"x"


def test_restore_whose_folder_is_gone_needs_a_target(alice: Person) -> None:
    """Its folder may be in the trash itself; another one of the same name is not its folder."""
    alice.mkdir("/d")
    alice.put("/d/a", b"x")
    alice.remove("/d/a")
    alice.remove("/d")
    alice.mkdir("/d")
    removed = alice.trash()[1]
    assert removed.path == "/d/a"
    with refused(alice.files.database, ParentMissing) as caught:
        alice.put_back(removed)
    assert str(caught.value) == "the folder that /d/a was in is gone"
    assert alice.put_back(removed, "/d/a") == "/d/a"
    assert alice.get("/d/a") == b"x"


def test_restore_after_its_folder_came_back_finds_it_again(alice: Person) -> None:
    """The folder is the same one, wherever it was put."""
    alice.mkdir("/d")
    alice.put("/d/a")
    alice.remove("/d/a")
    alice.remove("/d")
    folder, file = alice.trash()
    alice.put_back(folder, "/elsewhere")
    assert alice.put_back(file) == "/elsewhere/a"


def test_restore_onto_a_taken_name_is_refused(alice: Person) -> None:
    """Nothing is replaced unasked; another target helps."""
    alice.put("/a", b"old")
    alice.remove("/a")
    alice.put("/a", b"new")
    alice.mkdir("/d")
    (removed,) = alice.trash()
    for target in (None, "/a", "/d", "/"):
        with refused(alice.files.database, NameTaken):
            alice.put_back(removed, target)
    assert alice.put_back(removed, "/d/old") == "/d/old"
    assert (alice.get("/a"), alice.get("/d/old")) == (b"new", b"old")


def test_restore_onto_the_root_is_refused(alice: Person) -> None:
    """A target that was given is the target, the root too."""
    alice.put("/a")
    alice.remove("/a")
    with refused(alice.files.database, NameTaken):
        alice.put_back(alice.trash()[0], "/")


def test_restore_to_an_impossible_target_changes_nothing(alice: Person) -> None:
    """The target follows the rules of every new name."""
    alice.put("/f")
    alice.put("/a")
    alice.remove("/a")
    (removed,) = alice.trash()
    for target, error in (("/missing/a", ParentMissing), ("/f/a", NotAFolder)):
        with refused(alice.files.database, error):
            alice.put_back(removed, target)
    with refused(alice.files.database, BadName):
        trash.restore_removed(alice.files, alice.principal, removed.node_id, ("..",))


def test_restore_folder_into_itself_is_impossible(alice: Person) -> None:
    """What is in the trash has no path; its own members are no target."""
    alice.mkdir("/d", "/d/e")
    alice.remove("/d")
    with refused(alice.files.database, ParentMissing):
        alice.put_back(alice.trash()[0], "/d/e/d")


def test_restore_what_is_not_in_the_trash_is_not_found(alice: Person) -> None:
    """A living file, a number out of the air; the second time too."""
    alice.mkdir("/d")
    living = alice.put("/f").node
    alice.remove("/d")
    for node_id in (living.id, 12_345_678):
        with refused(alice.files.database, NotFound):
            trash.restore_removed(alice.files, alice.principal, node_id)
    (removed,) = alice.trash()
    alice.put_back(removed)
    with refused(alice.files.database, NotFound):
        alice.put_back(removed)


def test_restore_what_was_removed_with_its_folder_names_the_folder(alice: Person) -> None:
    """It is not by itself in the trash."""
    alice.mkdir("/d", "/d/e")
    below = alice.put("/d/e/a").node
    alice.remove("/d")
    with refused(alice.files.database, ParentMissing) as caught:
        trash.restore_removed(alice.files, alice.principal, below.id)
    assert caught.value.path == "/d/e/a"


def test_restore_keeps_the_spelling_of_the_name(alice: Person) -> None:
    """Names come back as they were spelled."""
    alice.put("/Cafe\u0301")
    alice.remove("/Caf\u00e9")
    alice.put_back(alice.trash()[0])
    assert alice.names() == ["Cafe\u0301"]


@pytest.mark.parametrize("times", [3])
def test_removed_and_restored_again_and_again(alice: Person, times: int) -> None:
    """Each round is a change of its own, and the past knows all of them."""
    alice.put("/a", b"x")
    moments = []
    for _ in range(times):
        alice.remove("/a")
        moments.append(alice.now())
        alice.put_back(alice.trash()[0])
    assert alice.contents("/a") == [b"x"]
    for moment in moments:
        with refused(alice.files.database, NotFound):
            alice.restore_at("/a", moment)
