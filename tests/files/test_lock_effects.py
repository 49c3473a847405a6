"""What a lock forbids, what its token allows, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.errors import Locked
from appliance.tree.conditions import Conditions
from tests.files.conftest import Clock
from tests.files.dump import refused
from tests.files.person import Person, submitting

Work = Callable[[Person, Conditions], object]


def set_up(who: Person) -> None:
    """Folder d with file a and folder e, in which there is file deep; file f and folder t beside."""
    who.mkdir("/d", "/d/e", "/t")
    for path in ("/d/a", "/d/e/deep", "/f"):
        who.put(path)


VERBS: dict[str, Work] = {
    "put a": lambda who, with_: who.put("/d/a", conditions=with_),
    "patch a": lambda who, with_: who.patch("/d/a", [("{x}y", "<y/>")], conditions=with_),
    "remove a": lambda who, with_: who.remove("/d/a", conditions=with_),
    "move a away": lambda who, with_: who.move("/d/a", "/t/a", conditions=with_),
    "rename a": lambda who, with_: who.move("/d/a", "/d/b", conditions=with_),
    "move onto a": lambda who, with_: who.move("/f", "/d/a", overwrite=True, conditions=with_),
    "copy onto a": lambda who, with_: who.copy("/f", "/d/a", overwrite=True, conditions=with_),
    "copy a": lambda who, with_: who.copy("/d/a", "/t/a", conditions=with_),
    "put new": lambda who, with_: who.put("/d/new", conditions=with_),
    "make new": lambda who, with_: who.mkdir("/d/new", conditions=with_),
    "move here": lambda who, with_: who.move("/f", "/d/new", conditions=with_),
    "copy here": lambda who, with_: who.copy("/f", "/d/new", conditions=with_),
    "put deep": lambda who, with_: who.put("/d/e/deep", conditions=with_),
    "put new deeper": lambda who, with_: who.put("/d/e/new", conditions=with_),
    "patch d": lambda who, with_: who.patch("/d", [("{x}y", "<y/>")], conditions=with_),
    "remove d": lambda who, with_: who.remove("/d", conditions=with_),
    "move d": lambda who, with_: who.move("/d", "/t/d", conditions=with_),
    "copy d": lambda who, with_: who.copy("/d", "/t/d", conditions=with_),
    "replace d": lambda who, with_: who.move("/t", "/d", overwrite=True, conditions=with_),
    "copy over d": lambda who, with_: who.copy("/t", "/d", overwrite=True, conditions=with_),
    "put f": lambda who, with_: who.put("/f", conditions=with_),
}

_WHOLE_D = {"remove d", "move d", "replace d", "copy over d"}
_A = {"put a", "patch a", "remove a", "move a away", "rename a", "move onto a", "copy onto a"}
_MEMBERS = {"remove a", "move a away", "rename a", "move onto a", "copy onto a"}
_NEW = {"put new", "make new", "move here", "copy here"}

FORBIDDEN: list[tuple[str, str, set[str]]] = [
    # What is locked, at which depth, and what needs its token.
    ("/d/a", "0", _A | _WHOLE_D),
    ("/d", "0", _MEMBERS | _NEW | _WHOLE_D | {"patch d"}),
    ("/d", "infinity", _A | _NEW | _WHOLE_D | {"patch d", "put deep", "put new deeper"}),
    ("/d/e/deep", "0", _WHOLE_D | {"put deep"}),
    ("/", "0", _WHOLE_D | {"move here", "move onto a"}),
]


@pytest.mark.parametrize(("path", "depth", "forbidden"), FORBIDDEN)
def test_lock_forbids_what_it_protects_and_the_token_allows_it(
    newcomer: Callable[[], Person], subtests: pytest.Subtests, path: str, depth: str, forbidden: set[str]
) -> None:
    """A file, members of a folder, everything below; all else goes on as if there was no lock (RFC 4918 §7)."""
    for name, work in VERBS.items():
        with subtests.test(name):
            who = newcomer()
            set_up(who)
            token = who.lock(path, depth=depth).lock.token
            if name not in forbidden:
                work(who, submitting())
                continue
            with refused(who.files.database, Locked) as caught:
                work(who, submitting("urn:uuid:another"))
            assert caught.value.lock_root == path
            work(who, submitting(token))


def test_removing_a_folder_needs_the_tokens_of_all_below(alice: Person) -> None:
    """Each thing that is locked by itself (RFC 4918 §9.6.1); the error names one that is missing."""
    set_up(alice)
    one = alice.lock("/d/a").lock.token
    two = alice.lock("/d/e/deep").lock.token
    for tokens, missing in (((), None), ((one,), "/d/e/deep"), ((two,), "/d/a")):
        with refused(alice.files.database, Locked) as caught:
            alice.remove("/d", conditions=submitting(*tokens))
        assert missing in (None, caught.value.lock_root)
    alice.remove("/d", conditions=submitting(one, two))


def test_moving_between_locked_folders_needs_both_tokens(alice: Person) -> None:
    """Both of them change."""
    set_up(alice)
    one = alice.lock("/d", depth="0").lock.token
    two = alice.lock("/t", depth="0").lock.token
    for tokens in ((), (one,), (two,)):
        with refused(alice.files.database, Locked):
            alice.move("/d/a", "/t/a", conditions=submitting(*tokens))
    alice.move("/d/a", "/t/a", conditions=submitting(one, two))


def test_one_token_of_several_shared_locks_is_enough(alice: Person) -> None:
    """Whoever shares a lock may write (RFC 4918 §6.2); without any of them nobody may."""
    set_up(alice)
    tokens = [alice.lock("/d", scope="shared").lock.token for _ in range(3)]
    with refused(alice.files.database, Locked):
        alice.put("/d/a")
    for token in tokens:
        alice.put("/d/a", conditions=submitting(token))
    for token in tokens:
        alice.unlock("/d", token)
    alice.put("/d/a")


def test_locks_stay_with_what_is_written(alice: Person) -> None:
    """PUT, PROPPATCH and a copy onto it leave a file locked."""
    set_up(alice)
    token = alice.lock("/d/a").lock.token
    for name in ("put a", "patch a", "copy onto a"):
        VERBS[name](alice, submitting(token))
        assert [held.token for held in alice.locks("/d/a")] == [token]


@pytest.mark.parametrize("locked", ["/d", "/d/a", "/d/e", "/d/e/deep"])
def test_locks_do_not_move_and_end_with_removal(
    newcomer: Callable[[], Person], subtests: pytest.Subtests, locked: str
) -> None:
    """Neither at the new place nor at the old one is anything locked afterwards (RFC 4918 §7.7)."""
    for name in ("move", "remove", "replace"):
        with subtests.test(name):
            who = newcomer()
            set_up(who)
            token = who.lock(locked, depth="0").lock.token
            if name == "move":
                who.move("/d", "/t/d", conditions=submitting(token))
                assert who.locks(f"/t{locked}") == []
            elif name == "remove":
                who.remove("/d", conditions=submitting(token))
                who.put_back(who.trash()[0])
                assert who.locks(locked) == []
            else:
                who.move("/t", "/d", overwrite=True, conditions=submitting(token))
            assert who.rows("SELECT token FROM lock WHERE tree_id = :tree", tree=who.user.tree_id) == []
            who.put("/d" if not who.exists("/d") else "/d/x")


def test_expired_locks_go_with_what_they_were_on(alice: Person, wall: Clock) -> None:
    """No row of a lock names something that was removed, though nobody had to send its token."""
    set_up(alice)
    alice.lock("/d/e/deep", timeout_s=10)
    wall.advance(11)
    alice.remove("/d")
    assert alice.rows("SELECT token FROM lock") == []


def test_move_into_a_locked_folder_is_covered_by_its_lock(alice: Person) -> None:
    """What comes into a folder locked with depth infinity is locked from then on (RFC 4918 §7.7)."""
    set_up(alice)
    token = alice.lock("/t").lock.token
    alice.move("/f", "/t/f", conditions=submitting(token))
    assert [held.token for held in alice.locks("/t/f")] == [token]
    with refused(alice.files.database, Locked):
        alice.put("/t/f")


@pytest.mark.parametrize("locked", ["/d/a", "/d", "/d/e/deep"])
def test_nothing_is_restored_over_a_lock(alice: Person, locked: str) -> None:
    """Whoever holds the lock is working there; it is all done once the lock is gone."""
    set_up(alice)
    moment = alice.now()
    alice.put("/d/a", b"later")
    alice.put("/d/new", b"new")
    alice.remove("/d/new")
    first, (removed,) = alice.versions("/d/a")[-1], alice.trash()
    token = alice.lock(locked).lock.token
    restores: dict[str, Callable[[], object]] = {
        "a folder": lambda: alice.restore_at("/d", moment),
        "everything": lambda: alice.restore_at("/", moment),
    }
    if locked != "/d/e/deep":
        restores["a version"] = lambda: alice.restore_version("/d/a", first.seq)
    if locked == "/d":
        restores["the trash"] = lambda: alice.put_back(removed)
    for restore in restores.values():
        with refused(alice.files.database, Locked):
            restore()
    alice.unlock(locked, token)
    for restore in restores.values():
        restore()
    assert alice.get("/d/a") == b"content"
