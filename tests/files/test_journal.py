"""The journal: one row for each change, with what, where and who; numbers and times that only grow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from appliance.accounts import app_passwords
from appliance.errors import HoldfastError
from appliance.principal import system
from tests.files.conftest import Clock
from tests.files.person import Person

Line = tuple[str, str, str | None, str | None]
"""Kind, name of the node now, and the places before and after as "folder/name"."""


def set_up(alice: Person) -> None:
    """Folders d and t; files d/a, d/b and f."""
    alice.mkdir("/d", "/t")
    for path in ("/d/a", "/d/b", "/f"):
        alice.put(path, path.encode())


def lines(person: Person, after: int = 0) -> list[Line]:
    """What the journal tells since a change."""
    rows = person.rows(
        """
        SELECT j.kind, n.name, f.name, j.from_name, t.name, j.to_name
        FROM journal j JOIN node n ON n.id = j.node_id
        LEFT JOIN node f ON f.id = j.from_parent_id LEFT JOIN node t ON t.id = j.to_parent_id
        WHERE j.tree_id = :tree AND j.seq > :after ORDER BY j.seq
        """,
        tree=person.user.tree_id,
        after=after,
    )
    return [(row[0], row[1], _place(*row[2:4]), _place(*row[4:6])) for row in rows]


def _place(folder: str | None, name: str | None) -> str | None:
    return None if folder is None else f"{folder}/{name}"


CHANGES: dict[str, tuple[Callable[[Person], object], list[Line]]] = {
    "new file": (lambda who: who.put("/d/new"), [("create", "new", None, "d/new")]),
    "next version": (lambda who: who.put("/d/a"), [("update", "a", None, "d/a")]),
    "new folder": (lambda who: who.mkdir("/d/e"), [("folder", "e", None, "d/e")]),
    "rename": (lambda who: who.move("/d/a", "/d/x"), [("move", "x", "d/a", "d/x")]),
    "move of a folder": (lambda who: who.move("/d", "/t/e"), [("move", "e", "/d", "t/e")]),
    "move onto a file": (
        lambda who: who.move("/d/a", "/f", overwrite=True),
        [("remove", "f", "/f", None), ("move", "f", "d/a", "/f")],
    ),
    "move with a time": (lambda who: who.move("/f", "/g", modified_at=1), [("move", "g", "/f", "/g")]),
    "copy of a folder": (lambda who: who.copy("/d", "/c"), [("copy", "c", "/d", "/c")]),
    "copy of a file": (lambda who: who.copy("/d/a", "/t/a"), [("copy", "a", "d/a", "t/a")]),
    "copy onto a file": (lambda who: who.copy("/d/a", "/f", overwrite=True), [("update", "f", None, "/f")]),
    "copy onto a folder": (
        lambda who: who.copy("/d", "/t", overwrite=True),
        [("remove", "t", "/t", None), ("copy", "t", "/d", "/t")],
    ),
    "removal of a folder": (lambda who: who.remove("/d"), [("remove", "d", "/d", None)]),
    "removal of a file": (lambda who: who.remove("/d/a"), [("remove", "a", "d/a", None)]),
    "out of the trash": (
        lambda who: (who.remove("/d/a"), who.put_back(who.trash()[0], "/t/back")),
        # The name in the first line is the one that it has now.
        [("remove", "back", "d/a", None), ("restore", "back", None, "t/back")],
    ),
    "properties": (lambda who: who.patch("/d/a", [("{urn:x}n", "<n/>")]), [("properties", "a", None, "d/a")]),
    "properties of the root": (lambda who: who.patch("/", modified_at=1), [("properties", "", None, None)]),
    "lock of something": (lambda who: who.lock("/d"), []),
    "lock of a free name": (lambda who: who.lock("/d/new"), [("create", "new", None, "d/new")]),
    "an older version": (
        lambda who: (who.put("/f"), who.restore_version("/f", who.versions("/f")[-1].seq)),
        [("update", "f", None, "/f"), ("update", "f", None, "/f")],
    ),
}


def test_change_writes_its_journal_rows(newcomer: Callable[[], Person], subtests: pytest.Subtests) -> None:
    """Kind, node, and where it was and is, one row for each number; nothing for what changes no tree."""
    for name, (work, expected) in CHANGES.items():
        with subtests.test(name):
            who = newcomer()
            set_up(who)
            before = who.seq()
            work(who)
            assert lines(who, before) == expected
            assert who.seq() == before + len(expected)


def test_going_back_in_time_writes_a_row_for_each_difference(alice: Person) -> None:
    """What is the same then and now is not touched."""
    set_up(alice)
    moment = alice.now()
    alice.remove("/d/a")
    alice.put("/d/b")
    alice.put("/d/c")
    before = alice.seq()
    assert alice.restore_at("/", moment) == 3
    expected = [("remove", "c", "d/c", None), ("create", "a", None, "d/a"), ("update", "b", None, "d/b")]
    assert sorted(lines(alice, before)) == sorted(expected)
    assert alice.seq() == before + 3


def test_journal_rows_name_the_principal(alice: Person) -> None:
    """User and device, face and address; for the system neither of the first two."""
    device, _ = app_passwords.add(alice.files.database, alice.user, "phone")
    by_phone = Person(alice.files, replace(alice.principal, device_id=device, face="dav", address="192.0.2.1"))
    command = Person(alice.files, system(alice.principal.home_id, face="cli"))
    alice.put("/a")
    by_phone.put("/a")
    command.move("/a", "/b")
    rows = alice.rows("SELECT user_id, device_id, face, address FROM journal ORDER BY seq")
    mine = alice.principal.user_id
    assert rows == [
        (mine, None, "test", ""),
        (mine, device, "dav", "192.0.2.1"),
        (None, None, "cli", ""),
    ]
    newest, oldest = alice.versions("/a")
    assert (newest.user_id, newest.device_id, newest.face) == (mine, device, "dav")
    assert (oldest.user_id, oldest.device_id, oldest.face) == (mine, None, "test")


def test_each_tree_counts_for_itself(alice: Person, bob: Person) -> None:
    """Two trees both have a change 1."""
    alice.put("/a")
    bob.put("/a")
    alice.put("/b")
    assert (alice.seq(), bob.seq()) == (2, 1)
    seqs = alice.rows("SELECT tree_id, seq FROM journal ORDER BY tree_id, seq")
    assert seqs == [(alice.user.tree_id, 1), (alice.user.tree_id, 2), (bob.user.tree_id, 1)]


def test_time_grows_when_the_clock_jumps_back_or_stands_still(alice: Person, wall: Clock) -> None:
    """Every change has a later time than the one before it, so that each moment has one state."""
    for seconds in (0, 0, -86_400, -5, 0, 86_390, 3600, 0, -1):
        wall.advance(seconds)
        alice.put("/a", str(seconds).encode())
        alice.remove("/a")
    times = [row[0] for row in alice.rows("SELECT at FROM journal ORDER BY seq")]
    assert times == sorted(set(times))
    assert alice.now() == times[-1]
    wall.advance(10)
    alice.put("/a")
    assert alice.now() == wall.at


def test_moment_of_a_change_shows_it_whatever_the_clock_did(alice: Person, wall: Clock) -> None:
    """Going back in time works by the journal's times."""
    moments = []
    for index, seconds in enumerate((0, -3600, -3600, 100, 0)):
        wall.advance(seconds)
        alice.put("/a", str(index).encode())
        moments.append(alice.now())
    for index, moment in enumerate(moments):
        alice.restore_at("/a", moment)
        assert alice.get("/a") == str(index).encode()


def test_refused_change_takes_no_number(alice: Person) -> None:
    """Numbers have no gaps."""
    alice.put("/a")
    for work in (lambda: alice.mkdir("/a"), lambda: alice.remove("/x"), lambda: alice.move("/a", "/a")):
        with pytest.raises(HoldfastError):
            work()
    alice.put("/b")
    assert [row[0] for row in alice.rows("SELECT seq FROM journal ORDER BY seq")] == [1, 2]


def test_all_rows_of_one_change_have_one_time(alice: Person) -> None:
    """No moment shows half of a change."""
    set_up(alice)
    seq = alice.seq()
    alice.move("/d/a", "/f", overwrite=True)
    assert alice.rows("SELECT COUNT(*), COUNT(DISTINCT at) FROM journal WHERE seq > :seq", seq=seq) == [(2, 1)]
