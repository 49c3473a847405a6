"""Races: what was true when a request began need not be when it commits; of two that exclude each other one wins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.accounts import users
from appliance.errors import (
    Denied,
    HoldfastError,
    IsAFolder,
    LockConflict,
    Locked,
    NameTaken,
    NotAFolder,
    NotFound,
    ParentMissing,
    PreconditionFailed,
    TargetTaken,
)
from appliance.files.trash import restore_removed
from appliance.tree.conditions import Conditions
from tests.files.dump import dump
from tests.files.person import Person, submitting
from tests.files.racing import one_passed, together, uploading
from tests.files.test_conditions import ANY, has_token, states, tags
from tests.support.content import noise

ROUNDS = 6
LARGE = noise(300_000)


def nodes_named(who: Person, name: str) -> int:
    """How many nodes of this name there are anywhere, the trash included."""
    return int(who.rows("SELECT COUNT(*) FROM node WHERE name = :name", name=name)[0][0])


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_put_into_a_folder_removed_meanwhile_is_refused(alice: Person, content: bytes) -> None:
    """The file is neither in the trash with the folder nor anywhere else."""
    alice.mkdir("/d", "/d/e")
    with uploading(alice, "/d/e/a", content) as put:
        alice.remove("/d")
        after = dump(alice.files.database)
    with pytest.raises(ParentMissing):
        put.result()
    assert dump(alice.files.database) == after
    assert nodes_named(alice, "a") == 0
    assert [(removed.path, removed.files) for removed in alice.trash()] == [("/d", 0)]


def test_put_into_a_folder_moved_meanwhile_is_refused(alice: Person) -> None:
    """The path counts, and it leads nowhere now: the file does not follow the folder."""
    alice.mkdir("/d")
    with uploading(alice, "/d/a", LARGE) as put:
        alice.move("/d", "/moved")
    with pytest.raises(ParentMissing):
        put.result()
    assert alice.names("/moved") == []


@pytest.mark.parametrize("verb", ["move", "remove", "exchange"])
def test_put_goes_where_its_path_leads_at_the_end(alice: Person, verb: str) -> None:
    """Another folder has taken the name: the path is resolved again."""
    alice.mkdir("/d", "/other")
    with uploading(alice, "/d/a", b"content") as put:
        if verb == "remove":
            alice.remove("/d")
            alice.mkdir("/d")
        else:
            alice.move("/d", "/old")
            alice.move("/other", "/d") if verb == "exchange" else alice.mkdir("/d")
    assert put.result().created
    assert alice.get("/d/a") == b"content"
    assert alice.node("/d/a").parent_id == alice.node("/d").id
    assert nodes_named(alice, "a") == 1


Work = Callable[[Person], object]

MEANWHILE: dict[str, tuple[Work, Conditions, type[HoldfastError] | None]] = {
    # What happens to /d and /d/a while the body of a PUT to /d/a comes, its conditions, and what becomes of it.
    "file replaced by a folder": (
        lambda who: (who.remove("/d/a"), who.mkdir("/d/a")),
        Conditions(),
        IsAFolder,
    ),
    "folder replaced by a file": (lambda who: (who.remove("/d"), who.put("/d")), Conditions(), NotAFolder),
    "file removed": (lambda who: who.remove("/d/a"), Conditions(), None),
    "file removed, though it must exist": (
        lambda who: who.remove("/d/a"),
        Conditions(if_match=ANY),
        PreconditionFailed,
    ),
    "file moved": (lambda who: who.move("/d/a", "/d/b"), Conditions(), None),
    "another version": (lambda who: who.put("/d/a", b"other"), Conditions(), None),
    "locked": (lambda who: who.lock("/d/a"), Conditions(), Locked),
    "folder locked": (lambda who: who.lock("/d"), Conditions(), Locked),
    "folder locked at depth 0": (lambda who: who.lock("/d", depth="0"), Conditions(), None),
    "tree purged": (lambda who: users.purge_user(who.files.database, who.user), Conditions(), NotFound),
}


def test_put_meets_what_happened_while_its_body_came(newcomer: Callable[[], Person], subtests: pytest.Subtests) -> None:
    """Path, conditions and locks are judged again in the transaction that makes the change."""
    for name, (meanwhile, conditions, error) in MEANWHILE.items():
        with subtests.test(name):
            who = newcomer()
            who.mkdir("/d")
            who.put("/d/a", b"before")
            with uploading(who, "/d/a", LARGE, conditions=conditions) as put:
                meanwhile(who)
                after = dump(who.files.database)
            if error is None:
                put.result()
                assert who.get("/d/a") == LARGE
                continue
            with pytest.raises(error):
                put.result()
            assert dump(who.files.database) == after


def test_put_on_a_free_name_that_is_taken_meanwhile(alice: Person) -> None:
    """Without a condition it becomes the next version, with If-None-Match it is refused."""
    with uploading(alice, "/a", b"late") as put:
        alice.put("/a", b"early")
    assert not put.result().created
    assert alice.contents("/a") == [b"late", b"early"]
    with uploading(alice, "/b", b"late", conditions=Conditions(if_none_match=ANY)) as put:
        alice.put("/b", b"early")
    with pytest.raises(PreconditionFailed):
        put.result()
    assert alice.contents("/b") == [b"early"]


def test_put_whose_lock_was_released_meanwhile_is_refused_if_it_demanded_it(alice: Person) -> None:
    """An If header with a token demands the lock to be there; sending a token along does not."""
    alice.put("/a")
    for demanding, passes in ((True, False), (False, True)):
        token = alice.lock("/a").lock.token
        given = states(("/a", (has_token(token),)), tokens=(token,)) if demanding else submitting(token)
        with uploading(alice, "/a", b"new", conditions=given) as put:
            alice.unlock("/a", token)
        if passes:
            put.result()
        else:
            with pytest.raises(PreconditionFailed):
                put.result()


def test_two_puts_with_the_same_if_match_one_wins(alice: Person) -> None:
    """No update is lost: whoever commits second is told."""
    alice.put("/a", b"before")
    for number in range(ROUNDS):
        given = Conditions(if_match=tags(alice.etag("/a")))
        one, two = (f"{number} {name}".encode() for name in ("one", "two"))
        with (
            uploading(alice, "/a", one, conditions=given) as first,
            uploading(alice, "/a", two, conditions=given) as second,
        ):
            pass
        errors = [put.exception() for put in (first, second)]
        assert one_passed([None if error is None else type(error) for error in errors], PreconditionFailed)  # type: ignore[misc]
        assert alice.get("/a") == (one if errors[0] is None else two)
    assert len(alice.versions("/a")) == ROUNDS + 1


def test_many_puts_with_the_same_if_match_at_once_one_wins(alice: Person) -> None:
    """However close together they commit."""
    alice.put("/a", b"before")
    for _ in range(ROUNDS):
        given = Conditions(if_match=tags(alice.etag("/a")))
        outcomes = together(alice, *[lambda who, given=given: who.put("/a", b"new", conditions=given)] * 6)
        assert one_passed(outcomes, PreconditionFailed)
    assert len(alice.versions("/a")) == ROUNDS + 1


def test_two_puts_without_condition_are_both_kept(alice: Person) -> None:
    """The last one is current, the other one a version before it."""
    for number in range(ROUNDS):
        path = f"/{number}"
        with uploading(alice, path, b"one") as first, uploading(alice, path, b"two") as second:
            pass
        assert sorted([first.result().created, second.result().created]) == [False, True]
        assert sorted(alice.contents(path)) == [b"one", b"two"]


def only_file(who: Person) -> int:
    """The id of the one file in the tree or the trash."""
    (row,) = who.rows("SELECT id FROM node WHERE tree_id = :tree AND kind = 2", tree=who.user.tree_id)
    return int(row[0])


PAIRS: dict[str, tuple[Work, Work, tuple[type[HoldfastError], ...]]] = {
    # Two that exclude each other, and how the second one may be refused.
    "if-none-match": (
        lambda who: who.put("/new", b"1", conditions=Conditions(if_none_match=ANY)),
        lambda who: who.put("/new", b"2", conditions=Conditions(if_none_match=ANY)),
        (PreconditionFailed,),
    ),
    "same folder": (lambda who: who.mkdir("/new"), lambda who: who.mkdir("/new"), (NameTaken,)),
    "same removal": (lambda who: who.remove("/d"), lambda who: who.remove("/d"), (NotFound,)),
    "same source": (lambda who: who.move("/d", "/x"), lambda who: who.move("/d", "/y"), (NotFound,)),
    "same target": (
        lambda who: who.move("/d", "/x"),
        lambda who: who.move("/e", "/x"),
        (TargetTaken,),
    ),
    "into each other": (
        lambda who: who.move("/d", "/e/d"),
        lambda who: who.move("/e", "/d/e"),
        (Denied, NotFound, ParentMissing),
    ),
    "into each other, deep": (
        lambda who: who.move("/d", "/e/sub/d"),
        lambda who: who.move("/e", "/d/sub/e"),
        (Denied, NotFound, ParentMissing),
    ),
    "same lock": (lambda who: who.lock("/d"), lambda who: who.lock("/d/sub"), (LockConflict,)),
    "same restore": (
        lambda who: restore_removed(who.files, who.principal, only_file(who)),
        lambda who: restore_removed(who.files, who.principal, only_file(who), ("back",)),
        (NotFound,),
    ),
    "removal and move": (lambda who: who.remove("/d"), lambda who: who.move("/d", "/x"), (NotFound,)),
    "copy and folder": (
        lambda who: who.copy("/d", "/new"),
        lambda who: who.mkdir("/new"),
        (NameTaken, TargetTaken),
    ),
}


@pytest.mark.parametrize("name", list(PAIRS))
def test_of_two_that_exclude_each_other_one_wins(newcomer: Callable[[], Person], name: str) -> None:
    """Started together, again and again: exactly one passes, the other one is refused and changes nothing."""
    one, two, refusals = PAIRS[name]
    for _ in range(ROUNDS):
        who = newcomer()
        who.mkdir("/d", "/d/sub", "/e", "/e/sub")
        who.put("/gone")
        who.remove("/gone")
        seq = who.seq()
        outcomes = together(who, one, two)
        assert one_passed(outcomes, *refusals), outcomes
        assert who.seq() == seq + (name != "same lock")


def test_removal_of_a_folder_and_puts_into_it(newcomer: Callable[[], Person]) -> None:
    """Each PUT either went to the trash with the folder, or was refused; none is in neither place."""
    for _ in range(ROUNDS):
        who = newcomer()
        who.mkdir("/d")
        puts = [lambda who, name=name: who.put(f"/d/{name}", b"x" * 5000) for name in "abcd"]
        outcomes = together(who, *puts, lambda who: who.remove("/d"))
        assert outcomes[-1] is None
        assert set(outcomes) <= {None, ParentMissing}
        (removed,) = who.trash()
        assert removed.files == outcomes[:-1].count(None)
        assert removed.bytes == removed.files * 5000
        assert who.user.files == 0
