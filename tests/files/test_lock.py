"""take, refresh and release: which locks can be held together, for how long, and by whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.errors import (
    BadName,
    Denied,
    HoldfastError,
    LockConflict,
    Locked,
    LockTokenMismatch,
    NotAFolder,
    NotFound,
    ParentMissing,
    PreconditionFailed,
)
from appliance.files import lock
from appliance.files.lock import Wanted
from appliance.principal import system
from appliance.tree import locks
from appliance.tree.paths import Path
from tests.files.conftest import Clock
from tests.files.dump import dump, refused
from tests.files.person import Person, submitting

HOUR = 3600


def set_up(who: Person) -> None:
    """Folder d with file a and folder e, in which there is file deep; file f beside."""
    who.mkdir("/d", "/d/e")
    for path in ("/d/a", "/d/e/deep", "/f"):
        who.put(path)


def test_lock_is_told_as_it_was_asked_for(alice: Person) -> None:
    """Scope, depth, owner and time; where it was taken, and by whom."""
    set_up(alice)
    taken = alice.lock("/d", scope="shared", depth="infinity", timeout_s=600)
    assert not taken.created
    assert alice.locks("/d") == [taken.lock]
    held = taken.lock
    assert (held.scope, held.depth, held.owner, held.timeout_s) == ("shared", "infinity", "<o/>", 600)
    assert (held.path, held.user_id, held.node_id) == ("/d", alice.principal.user_id, alice.node("/d").id)
    assert held.token.startswith("urn:uuid:")


def test_lock_covers_what_is_below_only_at_depth_infinity(alice: Person) -> None:
    """The members, the root above and the neighbours are not covered by a lock of depth 0."""
    set_up(alice)
    token = alice.lock("/d", depth="0").lock.token
    for path in ("/", "/f", "/d/a", "/d/e", "/d/e/deep"):
        assert alice.locks(path) == []
    alice.unlock("/d", token)
    token = alice.lock("/d").lock.token
    for path in ("/d", "/d/a", "/d/e", "/d/e/deep"):
        assert [held.token for held in alice.locks(path)] == [token]
    for path in ("/", "/f"):
        assert alice.locks(path) == []


def test_lock_covers_what_comes_later(alice: Person) -> None:
    """New members of a locked folder are locked (RFC 4918 §7.4)."""
    set_up(alice)
    token = alice.lock("/d").lock.token
    alice.put("/d/new", conditions=submitting(token))
    assert [held.token for held in alice.locks("/d/new")] == [token]


def test_lock_of_a_free_name_is_an_empty_locked_file(alice: Person) -> None:
    """Nobody else can take the name before the first PUT (RFC 4918 §7.3); it stays when the lock is released."""
    alice.mkdir("/d")
    taken = alice.lock("/d/new")
    assert taken.created
    assert alice.get("/d/new") == b""
    assert [held.token for held in alice.locks("/d/new")] == [taken.lock.token]
    with refused(alice.files.database, Locked):
        alice.put("/d/new", b"x")
    alice.put("/d/new", b"x", conditions=submitting(taken.lock.token))
    alice.unlock("/d/new", taken.lock.token)
    assert alice.contents("/d/new") == [b"x", b""]


IMPOSSIBLE: list[tuple[Path, type[HoldfastError]]] = [
    (("missing", "a"), ParentMissing),
    (("f", "a"), NotAFolder),
    (("f", "a", "b"), NotAFolder),
    (("d", "a\x00"), BadName),
]


def test_lock_of_an_impossible_name_changes_nothing(alice: Person, subtests: pytest.Subtests) -> None:
    """It has to be possible to make the file."""
    set_up(alice)
    for path, error in IMPOSSIBLE:
        with subtests.test(path=path), refused(alice.files.database, error):
            lock.take(alice.files, alice.principal, path, Wanted("exclusive", "0", None, HOUR))


Asked = tuple[str, str, str]
"""Path, scope, depth."""

CONFLICTS: list[tuple[Asked, Asked, bool]] = [
    # What is held, what is asked for, and whether it is refused.
    (("/d", "exclusive", "infinity"), ("/d", "exclusive", "infinity"), True),
    (("/d", "exclusive", "infinity"), ("/d", "shared", "0"), True),
    (("/d", "shared", "infinity"), ("/d", "exclusive", "0"), True),
    (("/d", "shared", "infinity"), ("/d", "shared", "infinity"), False),
    (("/d", "exclusive", "infinity"), ("/d/a", "exclusive", "0"), True),
    (("/d", "exclusive", "infinity"), ("/d/e/deep", "shared", "0"), True),
    (("/d", "shared", "infinity"), ("/d/e/deep", "exclusive", "0"), True),
    (("/d", "shared", "infinity"), ("/d/e/deep", "shared", "0"), False),
    (("/d", "exclusive", "infinity"), ("/d/new", "exclusive", "0"), True),
    (("/d", "exclusive", "infinity"), ("/d/e/new", "shared", "0"), True),
    (("/d", "exclusive", "infinity"), ("/", "exclusive", "infinity"), True),
    (("/d", "exclusive", "infinity"), ("/", "shared", "infinity"), True),
    (("/d", "exclusive", "infinity"), ("/", "exclusive", "0"), False),
    (("/d", "exclusive", "infinity"), ("/f", "exclusive", "infinity"), False),
    (("/d", "exclusive", "0"), ("/d", "exclusive", "0"), True),
    (("/d", "exclusive", "0"), ("/d/a", "exclusive", "0"), False),
    (("/d", "exclusive", "0"), ("/d/e", "exclusive", "infinity"), False),
    (("/d", "exclusive", "0"), ("/d/e/new", "exclusive", "0"), False),
    (("/d", "exclusive", "0"), ("/", "exclusive", "infinity"), True),
    (("/d/e/deep", "exclusive", "0"), ("/d", "exclusive", "infinity"), True),
    (("/d/e/deep", "exclusive", "infinity"), ("/d", "shared", "infinity"), True),
    (("/d/e/deep", "shared", "0"), ("/d", "shared", "infinity"), False),
    (("/d/e/deep", "exclusive", "0"), ("/d", "exclusive", "0"), False),
    (("/d/e/deep", "exclusive", "0"), ("/d/a", "exclusive", "0"), False),
]


def test_locks_exclude_each_other_as_scope_and_depth_say(
    newcomer: Callable[[], Person], subtests: pytest.Subtests
) -> None:
    """Whoever holds them, and with the token too: two locks are two (RFC 4918 §6.2, §9.10.5)."""
    for held, asked, excluded in CONFLICTS:
        with subtests.test(held=held, asked=asked):
            who = newcomer()
            set_up(who)
            token = who.lock(held[0], scope=held[1], depth=held[2]).lock.token
            if not excluded:
                assert who.lock(asked[0], scope=asked[1], depth=asked[2]).lock.token != token
                continue
            with refused(who.files.database, LockConflict) as caught:
                who.lock(asked[0], scope=asked[1], depth=asked[2], conditions=submitting(token))
            assert caught.value.lock_root == held[0]


@pytest.mark.parametrize("scope", ["exclusive", "shared"])
def test_lock_of_a_free_name_in_a_folder_locked_at_depth_0_needs_its_token(alice: Person, scope: str) -> None:
    """A new member changes the folder, whose lock does not reach the member itself (RFC 4918 §7.4)."""
    alice.mkdir("/d")
    token = alice.lock("/d", depth="0", scope=scope).lock.token
    with refused(alice.files.database, Locked) as caught:
        alice.lock("/d/new")
    assert caught.value.lock_root == "/d"
    taken = alice.lock("/d/new", conditions=submitting(token))
    assert taken.created
    assert [held.token for held in alice.locks("/d/new")] == [taken.lock.token]


def test_lock_ends_with_its_time(alice: Person, wall: Clock) -> None:
    """From then on it protects nothing, and cannot be refreshed or released any more."""
    set_up(alice)
    token = alice.lock("/d", timeout_s=60).lock.token
    wall.advance(59)
    with refused(alice.files.database, Locked):
        alice.put("/d/a")
    wall.advance(1)
    alice.put("/d/a")
    assert alice.locks("/d") == []
    with refused(alice.files.database, PreconditionFailed):
        alice.refresh("/d", token)
    with refused(alice.files.database, LockTokenMismatch):
        alice.unlock("/d", token)
    alice.lock("/d")
    assert len(alice.locks("/d")) == 1


def test_refresh_begins_the_time_anew(alice: Person, wall: Clock) -> None:
    """It may be asked for through anything that the lock covers; the token stays."""
    set_up(alice)
    token = alice.lock("/d", timeout_s=60).lock.token
    wall.advance(50)
    assert alice.refresh("/d", token, timeout_s=60).token == token
    wall.advance(50)
    refreshed = alice.refresh("/d/e/deep", token, timeout_s=120)
    assert (refreshed.timeout_s, refreshed.expires_at) == (120, wall.at + 120_000_000)
    assert alice.locks("/d") == [refreshed]


def test_refresh_or_release_with_a_wrong_token_changes_nothing(alice: Person) -> None:
    """A token that is unknown, of something else, or was not sent."""
    set_up(alice)
    alice.lock("/d", depth="0")
    other = alice.lock("/f").lock.token
    for path, token in (("/d", "urn:uuid:none"), ("/d", other), ("/d/a", other), ("/", other)):
        with refused(alice.files.database, PreconditionFailed):
            alice.refresh(path, token)
        with refused(alice.files.database, LockTokenMismatch):
            alice.unlock(path, token)
    with refused(alice.files.database, PreconditionFailed):
        lock.refresh(alice.files, alice.principal, ("d",), HOUR, conditions=submitting())
    for work in (lambda: alice.refresh("/x", other), lambda: alice.unlock("/x", other)):
        with refused(alice.files.database, NotFound):
            work()


def test_release_lets_everybody_in_again(alice: Person) -> None:
    """Also through something below; a second time there is nothing to release."""
    set_up(alice)
    token = alice.lock("/d").lock.token
    alice.unlock("/d/e/deep", token)
    assert alice.locks("/d") == []
    alice.put("/d/a")
    with refused(alice.files.database, LockTokenMismatch):
        alice.unlock("/d", token)


def test_lock_of_another_user_is_neither_used_nor_refreshed_nor_released(alice: Person, bob: Person) -> None:
    """To know a token is not enough; the lock belongs to who took it (RFC 4918 §6.4)."""
    set_up(alice)
    mine = alice.lock("/d").lock
    theirs = mine._replace(user_id=bob.user.id)
    alice.files.database.write(lambda session: locks.delete(session, mine.token))
    alice.files.database.write(lambda session: locks.insert(session, theirs))
    with refused(alice.files.database, Locked):
        alice.put("/d/a", conditions=submitting(theirs.token))
    with refused(alice.files.database, PreconditionFailed):
        alice.refresh("/d", theirs.token)
    with refused(alice.files.database, Denied):
        alice.unlock("/d", theirs.token)


def test_lock_by_the_system_is_refused_and_creates_nothing(alice: Person) -> None:
    """Commands hold no locks, and respect those of users."""
    set_up(alice)
    command = Person(alice.files, system(alice.principal.home_id, face="cli"))
    for path in ("/d", "/d/new"):
        with refused(alice.files.database, Denied):
            command.lock(path)
    token = alice.lock("/d").lock.token
    for conditions in (submitting(), submitting(token)):
        with refused(alice.files.database, Locked):
            command.put("/d/a", conditions=conditions)


def test_locks_on_things_of_one_name_in_two_trees_are_apart(alice: Person, bob: Person) -> None:
    """Another user's lock concerns another tree."""
    for who in (alice, bob):
        set_up(who)
        who.lock("/d")
    before = dump(alice.files.database)["lock"]
    assert len(before) == 2
    assert [held.user_id for held in alice.locks("/d")] == [alice.principal.user_id]
    for verb in (alice.refresh, alice.unlock):
        with pytest.raises((PreconditionFailed, LockTokenMismatch)):
            verb("/d", bob.locks("/d")[0].token)
    assert dump(alice.files.database)["lock"] == before
