"""Conditions of a request, judged against the tree in the transaction that they guard."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance import clock
from appliance.db.sql import Sql
from appliance.errors import NotFound, PreconditionFailed
from appliance.files import lock, read, write
from appliance.files.lock import Wanted
from appliance.tree.conditions import Conditions, StateList, StateTest
from appliance.tree.paths import parse
from providers.dav.conditions import EtagList
from tests.files.dump import refused
from tests.files.person import Person
from tests.files.test_write import Untouchable

ANY = EtagList(True, frozenset())
OTHER = '"00000000-1-1"'
NO_LOCK = StateTest(False, "DAV:no-lock", None)
NOT_NO_LOCK = StateTest(True, "DAV:no-lock", None)


_AGE = Sql("UPDATE journal SET at = 1600000000000000")
_OLD_FOLDER = Sql("UPDATE node SET modified_at = 1600000000000000 WHERE id = :id")


def tags(*etags: str) -> EtagList:
    """A list of ETags as a header gives it."""
    return EtagList(False, frozenset(etags))


def has_etag(etag: str, *, negated: bool = False) -> StateTest:
    """``[etag]`` or ``Not [etag]``."""
    return StateTest(negated, None, etag)


def has_token(token: str, *, negated: bool = False) -> StateTest:
    """``<token>`` or ``Not <token>``."""
    return StateTest(negated, token, None)


def states(*lists: tuple[str | None, tuple[StateTest, ...]], tokens: tuple[str, ...] = ()) -> Conditions:
    """An If header: each list with the path that it speaks of."""
    return Conditions(
        states=tuple(StateList(None if path is None else parse(path), tests) for path, tests in lists),
        tokens=frozenset(tokens),
    )


def holds(who: Person, path: str, conditions: Conditions) -> bool:
    """Whether a read of ``path`` under these conditions passes; a refusal is PreconditionFailed."""
    try:
        read.open_path(who.files, who.principal, parse(path), conditions=conditions)
    except PreconditionFailed:
        return False
    return True


def test_etag_conditions_hold_as_http_says(alice: Person) -> None:
    """If-Match compares strongly, If-None-Match weakly (RFC 9110 §13.1.1, §13.1.2)."""
    alice.put("/a")
    etag = alice.etag("/a")
    cases = [
        (Conditions(if_match=ANY), True),
        (Conditions(if_match=tags(etag)), True),
        (Conditions(if_match=tags(OTHER, etag)), True),
        (Conditions(if_match=tags(OTHER)), False),
        (Conditions(if_match=tags(f"W/{etag}")), False),
        (Conditions(if_none_match=ANY), False),
        (Conditions(if_none_match=tags(etag)), False),
        (Conditions(if_none_match=tags(f"W/{etag}")), False),
        (Conditions(if_none_match=tags(OTHER)), True),
        (Conditions(if_match=tags(etag), if_none_match=tags(OTHER)), True),
        (Conditions(if_match=tags(etag), if_none_match=tags(etag)), False),
    ]
    assert [holds(alice, "/a", conditions) for conditions, _ in cases] == [expected for _, expected in cases]


def test_date_condition_holds_to_the_second_and_yields_to_if_match(alice: Person) -> None:
    """HTTP's dates know no fractions (RFC 9110 §13.1.4)."""
    alice.put("/a", modified_at=1_500_000_000_999_999)
    assert holds(alice, "/a", Conditions(if_unmodified_since=1_500_000_000))
    assert holds(alice, "/a", Conditions(if_unmodified_since=clock.now() // clock.SECOND))
    assert not holds(alice, "/a", Conditions(if_unmodified_since=1_499_999_999))
    assert holds(alice, "/a", Conditions(if_match=ANY, if_unmodified_since=0))


def test_date_condition_fails_for_content_that_came_later_with_an_older_date(alice: Person) -> None:
    """A client gave the new version an old time, or moved something old to the path, or a folder above it."""
    known = clock.now() // clock.SECOND - 10
    alice.put("/a", b"old", modified_at=known * clock.SECOND)
    assert holds(alice, "/a", Conditions(if_unmodified_since=known))
    alice.put("/a", b"new", modified_at=1_500_000_000_000_000)
    with refused(alice.files.database, PreconditionFailed):
        alice.put("/a", b"newer", conditions=Conditions(if_unmodified_since=known))
    alice.mkdir("/d")
    alice.put("/d/a", modified_at=1_500_000_000_000_000)
    _age(alice)
    assert holds(alice, "/d/a", Conditions(if_unmodified_since=known))
    alice.move("/d/a", "/d/b")
    assert not holds(alice, "/d/b", Conditions(if_unmodified_since=known))
    _age(alice)
    assert holds(alice, "/d/b", Conditions(if_unmodified_since=known))
    alice.move("/d", "/e")
    assert not holds(alice, "/e/b", Conditions(if_unmodified_since=known))


def test_date_condition_of_a_folder_fails_after_a_change_below(alice: Person) -> None:
    """Its own date tells of its members coming and going only."""
    alice.mkdir("/d")
    alice.put("/d/a")
    later = clock.now() // clock.SECOND + 10
    assert holds(alice, "/d", Conditions(if_unmodified_since=later))
    _age(alice)
    known = clock.now() // clock.SECOND - 10
    alice.files.database.write(lambda session: session.run(_OLD_FOLDER, id=alice.node("/d").id))
    assert holds(alice, "/d", Conditions(if_unmodified_since=known))
    alice.put("/d/a", b"new")
    assert not holds(alice, "/d", Conditions(if_unmodified_since=known))
    assert holds(alice, "/", Conditions(if_unmodified_since=later))


def _age(who: Person) -> None:
    """As if all that has happened had happened long ago."""
    who.files.database.write(lambda session: session.run(_AGE))


def test_if_header_holds_if_any_list_does_and_a_list_if_all_tests_do(alice: Person) -> None:
    """Or between lists, and within them; Not turns one test round (RFC 4918 §10.4.3, §10.4.4)."""
    alice.put("/a")
    alice.put("/b")
    etag, token = alice.etag("/a"), alice.lock("/a").lock.token
    right, wrong = (has_etag(etag), has_token(token)), (has_etag(OTHER), has_token("urn:uuid:none"), NO_LOCK)
    cases: list[tuple[Conditions, bool]] = []
    cases += [(states(("/a", (test,))), True) for test in right]
    cases += [(states(("/a", (test,))), False) for test in wrong]
    cases += [(states(("/a", (test._replace(negated=True),))), False) for test in right]
    cases += [(states(("/a", (test._replace(negated=True),))), True) for test in wrong]
    cases += [
        (states(("/a", right)), True),
        (states(("/a", (*right, has_etag(OTHER)))), False),
        (states(("/a", (has_etag(OTHER),)), ("/a", right)), True),
        (states(("/a", (has_etag(OTHER),)), ("/a", (NO_LOCK,))), False),
        (states(("/a", (*right, NOT_NO_LOCK))), True),
    ]
    assert [holds(alice, "/a", conditions) for conditions, _ in cases] == [expected for _, expected in cases]


def test_if_header_may_speak_of_other_resources(alice: Person) -> None:
    """Each list is judged where its tag points: elsewhere, nowhere, or outside of the tree (RFC 4918 §10.4.7)."""
    alice.mkdir("/d")
    alice.put("/a")
    alice.put("/d/b")
    mine, other = alice.etag("/a"), alice.etag("/d/b")
    token = alice.lock("/d").lock.token
    cases = [
        (states(("/d/b", (has_etag(other),))), True),
        (states(("/d/b", (has_etag(mine),))), False),
        (states(("/d", (has_etag(alice.etag("/d")),))), True),
        (states(("/", (has_etag(alice.etag("/")),))), True),
        # The lock of the folder covers its member, and nothing beside.
        (states(("/d/b", (has_token(token),))), True),
        # Also one that is not there yet (RFC 4918 §10.4.4), however many folders are missing between.
        (states(("/d/new", (has_token(token),))), True),
        (states(("/d/new", (has_token(token, negated=True),))), False),
        (states(("/d/missing/new", (has_token(token),))), True),
        (states(("/d/b/below/a/file", (has_token(token),))), False),
        (states(("/new", (has_token(token),))), False),
        (states(("/a", (has_token(token),))), False),
        (states(("/a", (has_token(token, negated=True),))), True),
        # What is not there has neither ETag nor lock.
        (states(("/missing", (has_etag(mine),))), False),
        (states(("/missing", (NOT_NO_LOCK,))), True),
        (states(("/missing/deeper", (has_etag(mine, negated=True),))), True),
        (states(("/a/below/a/file", (has_etag(mine),))), False),
        (states((None, (has_etag(mine),))), False),
        (states((None, (NOT_NO_LOCK,))), True),
        (states((None, (has_etag(mine),)), ("/a", (has_etag(mine),))), True),
    ]
    assert [holds(alice, "/a", conditions) for conditions, _ in cases] == [expected for _, expected in cases]


Work = Callable[[Person, Conditions], object]

VERBS: dict[str, Work] = {
    "put": lambda who, given: who.put("/a", b"new", conditions=given),
    "remove": lambda who, given: who.remove("/a", conditions=given),
    "move": lambda who, given: who.move("/a", "/x", conditions=given),
    "copy": lambda who, given: who.copy("/a", "/x", conditions=given),
    "patch": lambda who, given: who.patch("/a", [("{x}y", "<y/>")], conditions=given),
    "lock": lambda who, given: who.lock("/a", conditions=given),
    "list": lambda who, given: who.listing("/a", conditions=given),
    "open": lambda who, given: read.open_path(who.files, who.principal, ("a",), conditions=given),
}


def test_every_verb_asks_the_conditions(newcomer: Callable[[], Person], subtests: pytest.Subtests) -> None:
    """Refused, nothing has changed; with the right one it goes through."""
    for name, work in VERBS.items():
        with subtests.test(name):
            who = newcomer()
            who.put("/a")
            etag = who.etag("/a")
            with refused(who.files.database, PreconditionFailed):
                work(who, Conditions(if_match=tags(OTHER)))
            with refused(who.files.database, PreconditionFailed):
                work(who, states(("/a", (has_etag(OTHER),))))
            work(who, Conditions(if_match=tags(etag)))


def test_conditions_on_a_free_name(alice: Person) -> None:
    """If-Match fails on what is not there, `*` too; If-None-Match: * is how a name is taken only once."""
    alice.mkdir("/d")
    with refused(alice.files.database, PreconditionFailed):
        alice.put("/a", conditions=Conditions(if_match=ANY))
    with refused(alice.files.database, PreconditionFailed):
        alice.put("/a", conditions=Conditions(if_match=tags(OTHER)))
    with refused(alice.files.database, PreconditionFailed):
        alice.mkdir("/new", conditions=Conditions(if_match=ANY))
    with refused(alice.files.database, PreconditionFailed):
        lock.take(
            alice.files,
            alice.principal,
            ("a",),
            Wanted("exclusive", "0", None, 60),
            conditions=Conditions(if_match=ANY),
        )
    assert alice.put("/a", conditions=Conditions(if_none_match=ANY)).created
    with refused(alice.files.database, PreconditionFailed):
        alice.put("/a", conditions=Conditions(if_none_match=ANY))
    assert alice.put("/b", conditions=Conditions(if_unmodified_since=0)).created
    alice.mkdir("/new", conditions=Conditions(if_none_match=ANY))


def test_conditions_of_a_removal_that_has_nothing_to_remove(alice: Person) -> None:
    """What is not there is not found, whatever else was asked for."""
    with refused(alice.files.database, NotFound):
        alice.remove("/a", conditions=Conditions(if_match=ANY))


def test_conditions_are_asked_before_the_body(alice: Person) -> None:
    """A PUT that cannot succeed does not transfer anything."""
    alice.put("/a")
    for given in (Conditions(if_match=tags(OTHER)), Conditions(if_none_match=ANY)):
        with refused(alice.files.database, PreconditionFailed):
            write.put_file(alice.files, alice.principal, ("a",), Untouchable(), length=5, waits=True, conditions=given)


def test_etag_condition_follows_each_put(alice: Person) -> None:
    """An ETag is good for one change; the answer gives the next."""
    etag = alice.put("/a", b"same").node.etag(alice.files.incarnation)
    for _ in range(3):
        stale = etag
        etag = alice.put("/a", b"same", conditions=Conditions(if_match=tags(etag))).node.etag(alice.files.incarnation)
        with refused(alice.files.database, PreconditionFailed):
            alice.put("/a", b"same", conditions=Conditions(if_match=tags(stale)))


def test_conditions_of_a_transfer_are_the_sources(alice: Person) -> None:
    """If-Match of MOVE and COPY speaks of what is moved or copied; If may speak of the target."""
    alice.put("/a", b"a")
    alice.put("/b", b"b")
    source, target = alice.etag("/a"), alice.etag("/b")
    with refused(alice.files.database, PreconditionFailed):
        alice.copy("/a", "/b", overwrite=True, conditions=Conditions(if_match=tags(target)))
    with refused(alice.files.database, PreconditionFailed):
        alice.move("/a", "/b", overwrite=True, conditions=states(("/b", (has_etag(source),))))
    alice.copy("/a", "/b", overwrite=True, conditions=Conditions(if_match=tags(source)))
    alice.move("/a", "/b", overwrite=True, conditions=states(("/b", (has_etag(alice.etag("/b")),))))


def test_etag_condition_on_a_folder_fails_after_any_change_below(alice: Person) -> None:
    """So a client may remove a folder only as it knows it."""
    alice.mkdir("/d", "/d/e")
    etag = alice.etag("/d")
    alice.put("/d/e/a")
    with refused(alice.files.database, PreconditionFailed):
        alice.remove("/d", conditions=Conditions(if_match=tags(etag)))
    alice.remove("/d", conditions=Conditions(if_match=tags(alice.etag("/d"))))


def test_tokens_of_the_if_header_open_locks_though_another_list_held(alice: Person) -> None:
    """A token counts as sent wherever it stands (RFC 4918 §10.4.1); one that was not sent does not."""
    alice.put("/a")
    token = alice.lock("/a").lock.token
    given = states(("/a", (has_etag(OTHER), has_token(token))), ("/a", (NOT_NO_LOCK,)), tokens=(token,))
    assert not alice.put("/a", conditions=given).created


def test_token_of_a_folder_opens_a_free_name_in_it(alice: Person) -> None:
    """An untagged list is about the name itself, which the lock of the folder covers before it is taken; a lock of
    depth 0 covers no member, and what is not there has no ETag.
    """
    alice.mkdir("/deep", "/flat")
    deep, flat = alice.lock("/deep").lock.token, alice.lock("/flat", depth="0").lock.token
    given = states(("/deep/new", (has_token(deep),)), tokens=(deep,))
    assert alice.put("/deep/new", conditions=given).created
    for test in (has_token(deep), has_etag(alice.etag("/deep"))):
        conditions = states(("/flat/new", (has_token(flat),)), ("/deep/other", (test, has_etag(OTHER))), tokens=(flat,))
        with refused(alice.files.database, PreconditionFailed):
            alice.put("/flat/new", conditions=conditions)
