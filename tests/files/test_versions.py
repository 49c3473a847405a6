"""list_versions and restore_version: what a path has had, and having it again."""

from __future__ import annotations

import pytest

from appliance.errors import BadRequest, NotFound, ParentMissing
from appliance.tree import versions
from tests.files.dump import CONTENT, dump, refused
from tests.files.person import Person
from tests.files.test_write import announced


def test_versions_are_all_there_newest_first(alice: Person) -> None:
    """Every PUT is one, equal bytes too, with its size and the time of storing."""
    for content in (b"one", b"three", b"three", b""):
        alice.put("/a", content)
    found = alice.versions("/a")
    assert [version.size for version in found] == [0, 5, 5, 3]
    assert alice.contents("/a") == [b"", b"three", b"three", b"one"]
    assert [version.seq for version in found] == [4, 3, 2, 1]
    assert found[0].created_at == alice.now()


def test_versions_of_a_removed_file_are_listed(alice: Person) -> None:
    """Also where nothing is now."""
    alice.put("/a", b"one")
    alice.put("/a", b"two")
    alice.remove("/a")
    assert alice.contents("/a") == [b"two", b"one"]


def test_versions_go_on_when_a_name_is_used_again(alice: Person) -> None:
    """The history is the path's."""
    alice.put("/a", b"one")
    alice.remove("/a")
    alice.put("/a", b"two")
    alice.remove("/a")
    alice.mkdir("/a")
    assert alice.contents("/a") == [b"two", b"one"]


def test_versions_of_what_never_was_a_file_are_not_found(alice: Person) -> None:
    """A folder, a free name, a name below nothing, the root."""
    alice.mkdir("/d")
    alice.put("/f")
    for path in ("/d", "/x", "/x/y", "/f/x", "/"):
        with refused(alice.files.database, NotFound):
            alice.versions(path)


def test_versions_across_a_save_by_replacing(alice: Person) -> None:
    """Many programs write beside and move the new file over the old one: the path has both."""
    alice.put("/doc", b"old")
    alice.put("/tmp", b"new")
    alice.move("/tmp", "/doc", overwrite=True)
    assert alice.contents("/doc") == [b"new", b"old"]
    assert alice.contents("/tmp") == [b"new"]


def test_versions_across_a_save_by_renaming_away(alice: Person) -> None:
    """Office moves the document aside, the new one into its place, and removes the old one."""
    alice.put("/doc", b"one")
    for content in (b"two", b"three"):
        alice.put("/~tmp", content)
        alice.move("/doc", "/~old")
        alice.move("/~tmp", "/doc")
        alice.remove("/~old")
    assert alice.contents("/doc") == [b"three", b"two", b"one"]
    alice.restore_version("/doc", alice.versions("/doc")[-1].seq)
    assert alice.contents("/doc") == [b"one", b"three", b"two", b"one"]


def test_versions_after_a_rename_away_and_back_are_each_there_once(alice: Person) -> None:
    """Being away for a while is no version; where it is no more, only what was there is listed."""
    alice.put("/doc", b"one")
    alice.put("/doc", b"two")
    for _ in range(3):
        alice.move("/doc", "/away")
        alice.move("/away", "/doc")
    assert alice.contents("/doc") == [b"two", b"one"]
    assert alice.contents("/away") == [b"two"]


def test_versions_come_along_with_a_rename(alice: Person) -> None:
    """Whoever renames a file finds what it was before under its new name, and can restore it there."""
    alice.put("/draft", b"one")
    alice.put("/draft", b"two")
    alice.move("/draft", "/report")
    assert alice.contents("/report") == [b"two", b"one"]
    alice.restore_version("/report", alice.versions("/report")[-1].seq)
    assert alice.get("/report") == b"one"
    alice.put("/draft", b"another")
    assert alice.contents("/draft") == [b"another", b"two", b"one"]


def test_versions_of_a_folder_that_was_made_anew_go_on(alice: Person) -> None:
    """A client that removes a tree and uploads it again did not mean to lose what its files were."""
    alice.mkdir("/d")
    alice.put("/d/a", b"one")
    alice.remove("/d")
    assert alice.contents("/d/a") == [b"one"]
    with refused(alice.files.database, ParentMissing):
        alice.restore_version("/d/a", alice.versions("/d/a")[0].seq)
    alice.mkdir("/d")
    alice.put("/d/a", b"two")
    assert alice.contents("/d/a") == [b"two", b"one"]


def test_versions_of_one_number_have_names(alice: Person) -> None:
    """The copies of one change, come to one path one after the other, are told apart by a name."""
    alice.mkdir("/d")
    alice.put("/d/a", b"one")
    alice.put("/d/b", b"two")
    alice.copy("/d", "/e")
    alice.move("/e/a", "/x")
    alice.move("/e/b", "/x", overwrite=True)
    found = alice.versions("/x")
    assert [version.seq for version in found] == [4, 4]
    with refused(alice.files.database, BadRequest):
        alice.restore_version("/x", 4)
    for version, name in zip(found, versions.names(found), strict=True):
        alice.restore_version("/x", name)
        assert alice.get("/x") == alice.content_of(version.node_id, version.seq)


def test_versions_made_elsewhere_come_and_go_with_the_file(alice: Person) -> None:
    """What is at the path brings all that it was; what left it leaves what it was while it was there."""
    alice.put("/doc", b"one")
    alice.move("/doc", "/away")
    alice.put("/away", b"two")
    alice.put("/away", b"three")
    alice.move("/away", "/doc")
    alice.put("/doc", b"four")
    assert alice.contents("/doc") == [b"four", b"three", b"two", b"one"]
    assert alice.contents("/away") == [b"three", b"two", b"one"]


def test_versions_follow_their_folder(alice: Person) -> None:
    """A folder that moves takes the paths below along, with all that they have had."""
    alice.mkdir("/d")
    alice.put("/d/a", b"one")
    alice.move("/d", "/e")
    alice.put("/e/a", b"two")
    alice.remove("/e")
    alice.put_back(alice.trash()[0], "/f")
    assert alice.contents("/f/a") == [b"two", b"one"]


def test_versions_are_not_copied(alice: Person) -> None:
    """A copy begins with what it is a copy of."""
    alice.mkdir("/d")
    alice.put("/d/a", b"one")
    alice.put("/d/a", b"two")
    alice.copy("/d", "/e")
    alice.copy("/d/a", "/b")
    assert alice.contents("/e/a") == alice.contents("/b") == [b"two"]


def test_restore_version_puts_it_on_top(alice: Person) -> None:
    """A new version of the same file, with time and checksum of the old one, and no byte stored."""
    alice.put("/a", b"one", modified_at=1_500_000_000_000_000, checksum=announced(b"one"))
    node = alice.put("/a", b"second").node
    old = alice.versions("/a")[1]
    before = dump(alice.files.database, CONTENT)
    restored = alice.restore_version("/a", old.seq)
    assert dump(alice.files.database, CONTENT) == before
    assert restored == alice.node("/a")
    assert restored.id == node.id
    assert alice.contents("/a") == [b"one", b"second", b"one"]
    newest = alice.versions("/a")[0]
    assert (newest.modified_at, newest.checksum) == (old.modified_at, old.checksum)
    assert newest.created_at == alice.now() > old.created_at


def test_restore_version_where_nothing_is_makes_a_new_file(alice: Person) -> None:
    """What was removed stays in the trash; the path goes on."""
    gone = alice.put("/a", b"one").node
    alice.put("/a", b"two")
    alice.remove("/a")
    restored = alice.restore_version("/a", alice.versions("/a")[1].seq)
    assert restored.id != gone.id
    assert alice.contents("/a") == [b"one", b"two", b"one"]
    assert [removed.node_id for removed in alice.trash()] == [gone.id]


def test_restore_version_where_a_folder_is_replaces_it(alice: Person) -> None:
    """The folder goes to the trash."""
    alice.put("/a", b"one")
    alice.remove("/a")
    folder = alice.mkdir("/a")
    alice.put("/a/in", b"x")
    alice.restore_version("/a", alice.versions("/a")[0].seq)
    assert alice.get("/a") == b"one"
    removed = alice.trash()[0]
    assert (removed.node_id, removed.reason, removed.path) == (folder.id, "replaced", "/a")
    assert (alice.user.files, alice.user.bytes) == (1, 3)


def test_restore_version_of_the_current_one_is_a_version_too(alice: Person) -> None:
    """As a PUT of equal bytes would be."""
    alice.put("/a", b"one")
    alice.restore_version("/a", alice.versions("/a")[0].seq)
    assert alice.contents("/a") == [b"one", b"one"]


def test_restore_version_that_the_path_never_had_is_not_found(alice: Person) -> None:
    """Another file's version, a number that was something else, none at all."""
    alice.mkdir("/d")
    alice.put("/a", b"one")
    alice.put("/b", b"two")
    other = alice.versions("/b")[0].seq
    for path, seq in (("/a", other), ("/a", 1), ("/a", 0), ("/a", 99), ("/d", 1), ("/x", other), ("/", 1), ("/x/y", 1)):
        with refused(alice.files.database, NotFound):
            alice.restore_version(path, seq)


@pytest.mark.parametrize("size", [100, 2_000_000])
def test_old_versions_read_back_whole(alice: Person, size: int) -> None:
    """However they are stored, inline or in segments."""
    contents = [bytes([index]) * size for index in range(3)]
    for content in contents:
        alice.put("/a", content)
    assert alice.contents("/a") == contents[::-1]
