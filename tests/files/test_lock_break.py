"""list_locks and break_locks: what the person who runs the server does about locks that nobody gives back."""

from __future__ import annotations

from appliance.errors import Denied, LockConflict, Locked, NotFound
from appliance.files import lock
from appliance.principal import Principal, system
from tests.files.conftest import Clock
from tests.files.dump import refused
from tests.files.person import Person


def runner(who: Person) -> Principal:
    """The system, acting in a person's tree."""
    return system(who.user.id, face="cli")


def listed(who: Person) -> list[tuple[str, str]]:
    """Path and scope of each lock."""
    return [(held.path, held.scope) for held in lock.list_locks(who.files, runner(who))]


def test_locks_of_a_tree_are_listed_by_path(alice: Person, bob: Person) -> None:
    """The root's, those far below and shared ones; none of other trees."""
    alice.mkdir("/d", "/d/e")
    alice.put("/d/e/deep")
    alice.put("/a")
    assert listed(alice) == []
    alice.lock("/d/e/deep")
    alice.lock("/a", scope="shared")
    alice.lock("/a", scope="shared")
    alice.lock("/", depth="0")
    bob.put("/b")
    bob.lock("/b")
    assert listed(alice) == [("/", "exclusive"), ("/a", "shared"), ("/a", "shared"), ("/d/e/deep", "exclusive")]
    assert listed(bob) == [("/b", "exclusive")]


def test_lock_that_has_expired_is_neither_listed_nor_broken(alice: Person, wall: Clock) -> None:
    """Its row may still be there."""
    alice.put("/a")
    alice.lock("/a", timeout_s=60)
    wall.advance(61)
    assert listed(alice) == []
    with refused(alice.files.database, NotFound):
        lock.break_locks(alice.files, runner(alice), ("a",))


def test_broken_lock_protects_no_more(alice: Person) -> None:
    """All of this path, and no other; its token names nothing from then on."""
    alice.mkdir("/d")
    alice.put("/d/a")
    alice.put("/d/b")
    first, second = (alice.lock("/d/a", scope="shared").lock for _ in range(2))
    alice.lock("/d/b")
    assert {held.token for held in lock.break_locks(alice.files, runner(alice), ("d", "a"))} == {
        first.token,
        second.token,
    }
    alice.put("/d/a", b"free again")
    assert listed(alice) == [("/d/b", "exclusive")]


def test_lock_of_a_folder_above_is_not_broken_by_the_way(alice: Person) -> None:
    """It protects more than what was named; nor is one below."""
    alice.mkdir("/d", "/d/e")
    alice.put("/d/a")
    alice.lock("/d")
    for path in (("d", "a"), (), ("d", "e"), ("missing",)):
        with refused(alice.files.database, NotFound):
            lock.break_locks(alice.files, runner(alice), path)
    assert listed(alice) == [("/d", "exclusive")]


def test_users_break_no_locks(alice: Person, bob: Person) -> None:
    """Neither their own, which they release, nor those of others; nor does the system outside of its tree."""
    alice.put("/a")
    alice.lock("/a")
    for who in (alice.principal, bob.principal):
        with refused(alice.files.database, Denied):
            lock.break_locks(alice.files, who, ("a",))
    with refused(alice.files.database, NotFound):
        lock.break_locks(alice.files, runner(bob), ("a",))
    assert listed(alice) == [("/a", "exclusive")]


def test_refusal_names_the_lock_that_is_in_the_way(alice: Person) -> None:
    """Below or above what was to be changed: else nobody knows where to look for it."""
    alice.mkdir("/d", "/d/{e}")
    alice.put("/d/{e}/a")
    alice.put("/a")
    then = alice.now()
    alice.lock("/d/{e}")
    alice.lock("/a")
    with refused(alice.files.database, Locked) as caught:
        alice.restore_at("/", then)
    assert str(caught.value) in ("/ is locked by a lock on /d/{e}", "/ is locked by a lock on /a")
    with refused(alice.files.database, Locked) as caught:
        alice.put("/d/{e}/a")
    assert str(caught.value) == "/d/{e}/a is locked by a lock on /d/{e}"
    with refused(alice.files.database, Locked) as caught:
        alice.put("/a")
    assert str(caught.value) == "/a is locked"
    with refused(alice.files.database, LockConflict) as caught:
        alice.lock("/d/{e}/a")
    assert str(caught.value) == "a lock that is held on /d/{e} excludes the new one"
