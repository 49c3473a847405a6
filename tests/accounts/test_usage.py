"""What users hold in trash and history."""

from __future__ import annotations

import pytest

from appliance.accounts import usage, users
from appliance.accounts.usage import NOTHING, Kept
from appliance.files.context import Files
from appliance.principal import Principal
from tests.files.person import Person


@pytest.fixture
def alice(files: Files, principal: Principal) -> Person:
    """A member with an empty tree."""
    return Person(files, principal)


def held(who: Person) -> tuple[int, int, int]:
    """Bytes of current files, trash and history. All versions together are exactly these."""
    kept = usage.kept(who.files.database).get(who.user.id, NOTHING)
    ((every,),) = who.rows(
        "SELECT CAST(COALESCE(SUM(v.size), 0) AS BIGINT) FROM version v JOIN node n ON n.id = v.node_id "
        "WHERE n.tree_id = :tree_id",
        tree_id=who.user.tree_id,
    )
    assert who.user.bytes + kept.trash_bytes + kept.history_bytes == every
    return who.user.bytes, kept.trash_bytes, kept.history_bytes


def test_new_user_keeps_nothing(alice: Person) -> None:
    """Nor does one who only has folders."""
    alice.mkdir("/d")
    assert held(alice) == (0, 0, 0)
    assert usage.kept(alice.files.database) == {}


def test_earlier_versions_are_history_and_the_current_one_is_not(alice: Person) -> None:
    """Each in full, whatever it shares with others."""
    for size in (10, 200, 3000, 3000):
        alice.put("/a", b"x" * size)
    assert held(alice) == (3000, 0, 3210)


def test_removed_folder_is_trash_and_its_earlier_versions_are_history(alice: Person) -> None:
    """What was removed from it before is counted once; put back it is current again."""
    alice.mkdir("/d", "/d/e")
    alice.put("/d/a", b"1")
    alice.put("/d/a", b"22")
    alice.put("/d/e/b", b"333")
    alice.put("/d/e/c", b"4444")
    alice.remove("/d/e/c")
    alice.remove("/d")
    assert held(alice) == (0, 9, 1)
    alice.put_back(alice.trash()[0])
    assert held(alice) == (5, 4, 1)


def test_copies_and_restores_are_counted_as_what_they_are(alice: Person) -> None:
    """A copy has no history, a restored version is one more, and what a restore replaces is trash."""
    alice.mkdir("/d")
    alice.put("/d/a", b"1")
    then = alice.now()
    alice.put("/d/a", b"22")
    alice.copy("/d", "/e")
    assert held(alice) == (4, 0, 1)
    alice.copy("/d/a", "/e/a", overwrite=True)
    assert held(alice) == (4, 0, 3)
    alice.restore_version("/d/a", alice.versions("/d/a")[1].seq)
    assert held(alice) == (3, 0, 5)
    alice.put("/d/b", b"4444")
    alice.restore_at("/d", then)
    assert held(alice) == (3, 4, 6)


def test_users_are_counted_apart(alice: Person) -> None:
    """Removed ones too, as long as their files are there."""
    bob = Person.new(alice.files, "bob")
    for who, size in ((alice, 10), (bob, 500)):
        who.put("/a", b"x" * size)
        who.put("/a", b"y")
        who.put("/b", b"z" * size)
        who.remove("/b")
    users.remove(alice.files.database, bob.user)
    assert usage.kept(alice.files.database) == {alice.user.id: Kept(10, 10), bob.user.id: Kept(500, 500)}
    users.purge_user(alice.files.database, bob.user)
    assert usage.kept(alice.files.database) == {alice.user.id: Kept(10, 10)}
