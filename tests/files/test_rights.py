"""Rights: everybody has their own tree; nobody reaches another's, whatever their role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from appliance.accounts import users
from appliance.errors import Denied, NotFound
from appliance.files.context import Files
from appliance.principal import system
from tests.files.dump import refused
from tests.files.person import Person, principal_of

Work = Callable[[Person], object]

VERBS: dict[str, Work] = {
    "put": lambda who: who.put("/new"),
    "replace": lambda who: who.put("/a"),
    "make a folder": lambda who: who.mkdir("/new"),
    "remove": lambda who: who.remove("/a"),
    "move": lambda who: who.move("/a", "/b"),
    "copy": lambda who: who.copy("/a", "/b"),
    "patch": lambda who: who.patch("/a", modified_at=1),
    "lock": lambda who: who.lock("/a"),
    "lock a free name": lambda who: who.lock("/new"),
    "refresh": lambda who: who.refresh("/a", "urn:uuid:x"),
    "unlock": lambda who: who.unlock("/a", "urn:uuid:x"),
    "list": lambda who: who.listing("/"),
    "open": lambda who: who.node("/a"),
    "exists": lambda who: who.exists("/a"),
    "versions": lambda who: who.versions("/a"),
    "restore a version": lambda who: who.restore_version("/a", 1),
    "restore a moment": lambda who: who.restore_at("/a", 1 << 60),
    "list the trash": lambda who: who.trash(),
}


@pytest.mark.parametrize("role", ["member", "admin"])
def test_nobody_works_in_another_users_tree(alice: Person, files: Files, subtests: pytest.Subtests, role: str) -> None:
    """Every verb asks; an administrator is refused like anybody else."""
    alice.put("/a")
    alice.put("/gone")
    alice.remove("/gone")
    (removed,) = alice.trash()
    intruder = Person.new(files, "mallory", role=role)
    inside = replace(intruder, principal=replace(intruder.principal, home_id=alice.principal.home_id))
    verbs: dict[str, Work] = {**VERBS, "restore": lambda who: who.put_back(removed)}
    for name, work in verbs.items():
        with subtests.test(name), refused(files.database, Denied):
            work(inside)


def test_everybody_sees_their_own_tree_under_the_same_path(alice: Person, bob: Person) -> None:
    """A path means something else to each of them."""
    alice.put("/a", b"alice's")
    bob.put("/a", b"bob's")
    bob.put("/b")
    assert (alice.get("/a"), bob.get("/a")) == (b"alice's", b"bob's")
    assert (alice.names(), bob.names()) == (["a"], ["a", "b"])
    bob.remove("/a")
    assert alice.trash() == []
    assert alice.contents("/a") == [b"alice's"]


def test_numbers_of_another_tree_open_nothing(alice: Person, bob: Person) -> None:
    """What is in somebody else's trash is not found by its id, nor their versions by their number."""
    alice.put("/x")
    alice.put("/a", b"secret")
    alice.remove("/a")
    bob.put("/a", b"bob's")
    with refused(alice.files.database, NotFound):
        bob.put_back(alice.trash()[0], "/stolen")
    with refused(alice.files.database, NotFound):
        bob.restore_version("/a", alice.versions("/a")[0].seq)


def test_system_works_only_in_the_tree_it_was_started_for(alice: Person, bob: Person) -> None:
    """A command names its user, and reaches no other."""
    alice.put("/a", b"alice's")
    bob.put("/a", b"bob's")
    command = Person(alice.files, system(alice.principal.home_id, face="cli"))
    assert command.get("/a") == b"alice's"
    command.put("/by command")
    assert alice.exists("/by command")
    assert not bob.exists("/by command")


def test_user_whose_tree_was_purged_finds_nothing(alice: Person, bob: Person, subtests: pytest.Subtests) -> None:
    """A principal that is still around after its tree has gone changes nothing and breaks nothing."""
    bob.put("/a")
    users.purge_user(bob.files.database, bob.user)
    for name, work in VERBS.items():
        with subtests.test(name), refused(alice.files.database, NotFound):
            work(bob)


def test_purge_leaves_other_trees_alone(alice: Person, bob: Person) -> None:
    """Only the rows of one tree go, with all its history."""
    for who in (alice, bob):
        who.mkdir("/d")
        who.put("/d/a", b"shared content")
        who.put("/d/b")
        who.patch("/d/a", [("{x}y", "<y/>")])
        who.remove("/d/b")
        who.lock("/d/a")
    tree_id = bob.user.tree_id
    users.purge_user(bob.files.database, bob.user)
    assert alice.get("/d/a") == b"shared content"
    assert len(alice.trash()) == 1
    for table in ("node", "placement", "journal", "trash", "lock"):
        assert alice.rows(f"SELECT COUNT(*) FROM {table} WHERE tree_id = :tree", tree=tree_id) == [(0,)]


def test_removed_user_keeps_the_tree(alice: Person, bob: Person) -> None:
    """Until it is purged, and the account may come back."""
    bob.put("/a", b"x")
    users.remove(bob.files.database, bob.user)
    users.set_state(bob.files.database, bob.user, "active")
    assert Person(alice.files, principal_of(bob.user)).get("/a") == b"x"
