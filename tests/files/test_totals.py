"""Totals and subtree_seq: right up to the root after each change, and cheap to keep right."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.files.dump import dump, gone, written
from tests.files.person import Person

Work = Callable[[Person], object]

START = {"/": (4, 10), "/d": (3, 6), "/d/e": (2, 5), "/d/e/f": (1, 3), "/t": (1, 4)}
"""Files and bytes of each folder."""


def set_up(alice: Person) -> None:
    """Four levels, and a folder beside."""
    alice.mkdir("/d", "/d/e", "/d/e/f", "/t")
    for path, size in (("/d/one", 1), ("/d/e/two", 2), ("/d/e/f/three", 3), ("/t/four", 4)):
        alice.put(path, b"x" * size)


CHANGES: dict[str, tuple[Work, dict[str, tuple[int, int]]]] = {
    # What is done, and the totals of all folders that have others afterwards or are new.
    "new file": (lambda who: who.put("/d/e/new", b"12345"), {"/": (5, 15), "/d": (4, 11), "/d/e": (3, 10)}),
    "larger version": (lambda who: who.put("/d/e/two", b"12345"), {"/": (4, 13), "/d": (3, 9), "/d/e": (2, 8)}),
    "smaller version": (lambda who: who.put("/d/e/two", b""), {"/": (4, 8), "/d": (3, 4), "/d/e": (2, 3)}),
    "new folder": (lambda who: who.mkdir("/d/e/new"), {"/d/e/new": (0, 0)}),
    "removal": (lambda who: who.remove("/d/e"), {"/": (2, 5), "/d": (1, 1)}),
    "removal and return": (lambda who: (who.remove("/d/e"), who.put_back(who.trash()[0])), {}),
    "return elsewhere": (
        lambda who: (who.remove("/d/e"), who.put_back(who.trash()[0], "/t/e")),
        {"/d": (1, 1), "/t": (3, 9), "/t/e": (2, 5), "/t/e/f": (1, 3)},
    ),
    "rename": (lambda who: who.move("/d/e/two", "/d/e/other"), {}),
    "move of a folder": (
        lambda who: who.move("/d/e", "/t/e"),
        {"/d": (1, 1), "/t": (3, 9), "/t/e": (2, 5), "/t/e/f": (1, 3)},
    ),
    "move upwards": (lambda who: who.move("/d/e/f", "/f"), {"/d": (2, 3), "/d/e": (1, 2), "/f": (1, 3)}),
    "move downwards": (lambda who: who.move("/d/one", "/d/e/f/one"), {"/d/e": (3, 6), "/d/e/f": (2, 4)}),
    "move onto a folder": (
        lambda who: who.move("/d/e", "/t", overwrite=True),
        {"/": (3, 6), "/d": (1, 1), "/t": (2, 5), "/t/f": (1, 3)},
    ),
    "move onto a file": (
        lambda who: who.move("/d/e", "/t/four", overwrite=True),
        {"/": (3, 6), "/d": (1, 1), "/t": (2, 5), "/t/four": (2, 5), "/t/four/f": (1, 3)},
    ),
    "copy of a folder": (
        lambda who: who.copy("/d", "/t/d"),
        {"/": (7, 16), "/t": (4, 10), "/t/d": (3, 6), "/t/d/e": (2, 5), "/t/d/e/f": (1, 3)},
    ),
    "copy at depth 0": (lambda who: who.copy("/d", "/t/d", deep=False), {"/t/d": (0, 0)}),
    "copy onto a file": (lambda who: who.copy("/d/e/f/three", "/t/four", overwrite=True), {"/": (4, 9), "/t": (1, 3)}),
    "copy onto a folder": (
        lambda who: who.copy("/d/e", "/t", overwrite=True),
        {"/": (5, 11), "/t": (2, 5), "/t/f": (1, 3)},
    ),
    "older version": (
        lambda who: (who.put("/t/four", b""), who.restore_version("/t/four", who.versions("/t/four")[-1].seq)),
        {},
    ),
    "properties": (lambda who: who.patch("/d/e", [("{x}y", "<y/>")]), {}),
    "lock of a free name": (lambda who: who.lock("/t/new"), {"/": (5, 10), "/t": (2, 4)}),
}


def totals(alice: Person) -> dict[str, tuple[int, int]]:
    """Files and bytes of each folder that is there."""
    found: dict[str, tuple[int, int]] = {}
    todo = ["/"]
    while todo:
        path = todo.pop()
        listing = alice.listing(path)
        found[path] = (listing.node.files, listing.node.bytes)
        todo += [f"{path.rstrip('/')}/{node.name}" for node in listing.members if node.is_folder]
    return found


def test_totals_are_right_up_to_the_root(newcomer: Callable[[], Person], subtests: pytest.Subtests) -> None:
    """Every folder above counts what is below it, at once."""
    for name, (work, changed) in CHANGES.items():
        with subtests.test(name):
            who = newcomer()
            set_up(who)
            assert totals(who) == START
            work(who)
            after = totals(who)
            assert {path: found for path, found in after.items() if START.get(path) != found} == changed
            assert (who.user.files, who.user.bytes) == after["/"]


TOUCHED: dict[str, tuple[Work, set[str]]] = {
    # What is done, and the folders whose subtree_seq it raises; the path as it is afterwards.
    "new file": (lambda who: who.put("/d/e/new"), {"/", "/d", "/d/e"}),
    "next version": (lambda who: who.put("/d/e/f/three"), {"/", "/d", "/d/e", "/d/e/f"}),
    "new folder": (lambda who: who.mkdir("/t/new"), {"/", "/t", "/t/new"}),
    "removal": (lambda who: who.remove("/d/e/f"), {"/", "/d", "/d/e"}),
    "move": (lambda who: who.move("/d/e/f", "/t/f"), {"/", "/d", "/d/e", "/t"}),
    "properties": (lambda who: who.patch("/d/e/f", [("{x}y", "<y/>")]), {"/", "/d", "/d/e", "/d/e/f"}),
    "copy": (lambda who: who.copy("/d/e/f", "/t/f"), {"/", "/t", "/t/f"}),
    "copy onto a file": (lambda who: who.copy("/d/one", "/t/four", overwrite=True), {"/", "/t"}),
    "older version": (lambda who: who.restore_version("/t/four", who.versions("/t/four")[0].seq), {"/", "/t"}),
    "lock of a free name": (lambda who: who.lock("/d/e/new"), {"/", "/d", "/d/e"}),
    "lock": (lambda who: who.lock("/d/e"), set()),
}


def test_subtree_seq_is_raised_up_to_the_root_and_nowhere_else(
    newcomer: Callable[[], Person], subtests: pytest.Subtests
) -> None:
    """It is what a client follows to find what changed."""
    for name, (work, expected) in TOUCHED.items():
        with subtests.test(name):
            who = newcomer()
            set_up(who)
            before = who.seq()
            work(who)
            assert who.seq() == before + bool(expected)
            assert {path for path in totals(who) if who.node(path).subtree_seq > before} == expected
            assert all(who.node(path).subtree_seq == before + 1 for path in expected)


MEMBERS: dict[str, tuple[Work, set[str]]] = {
    # What is done, and the folders whose list of members changes by it.
    "new file": (lambda who: who.put("/d/e/new"), {"/d/e"}),
    "next version": (lambda who: who.put("/d/e/two"), set()),
    "new folder": (lambda who: who.mkdir("/t/new"), {"/t", "/t/new"}),
    "removal": (lambda who: who.remove("/d/e/two"), {"/d/e"}),
    "rename": (lambda who: who.move("/d/e/two", "/d/e/2"), {"/d/e"}),
    "move": (lambda who: who.move("/d/e/f", "/t/f"), {"/d/e", "/t"}),
    "move onto a file": (lambda who: who.move("/d/one", "/t/four", overwrite=True), {"/d", "/t"}),
    "copy": (lambda who: who.copy("/d/one", "/t/one"), {"/t"}),
    "copy onto a file": (lambda who: who.copy("/d/one", "/t/four", overwrite=True), set()),
    "lock of a free name": (lambda who: who.lock("/t/new"), {"/t"}),
    "properties": (lambda who: who.patch("/d/e", [("{x}y", "<y/>")]), set()),
    "out of the trash": (lambda who: who.remove("/d/one").put_back(who.trash()[0], "/t/one"), {"/d", "/t"}),
}


def test_time_of_a_folder_is_that_of_its_members(newcomer: Callable[[], Person], subtests: pytest.Subtests) -> None:
    """A folder's modification time is when something came, went or was renamed in it, not what happened deeper."""
    for name, (work, expected) in MEMBERS.items():
        with subtests.test(name):
            who = newcomer()
            set_up(who)
            before = who.now()
            work(who)
            assert {path for path in totals(who) if who.node(path).modified_at > before} == expected


def large_and_small(alice: Person) -> None:
    """/large has 300 files in 31 folders, /small has one file; /t is empty."""
    alice.mkdir("/large", "/ten", "/small", "/t")
    alice.put("/small/a")
    for index in range(10):
        alice.put(f"/ten/{index}")
    for index in range(30):
        alice.copy("/ten", f"/large/{index}")


def rows_of(alice: Person, work: Work) -> tuple[dict[str, int], dict[str, int]]:
    """Rows that are new or changed, and rows that are gone or changed, by table."""
    before = dump(alice.files.database)
    work(alice)
    after = dump(alice.files.database)
    return written(before, after), gone(before, after)


@pytest.mark.parametrize("path", ["/large", "/small"])
def test_folder_changes_touch_as_many_rows_for_a_large_one_as_for_a_small_one(alice: Person, path: str) -> None:
    """MOVE, DELETE and the way back cost the same, however much is below: itself, the root, and where it goes."""
    large_and_small(alice)
    always = {"tree": 1, "placement": 1, "journal": 1}
    assert rows_of(alice, lambda who: who.move(path, "/x")) == ({**always, "node": 2}, {"tree": 1, "node": 2})
    assert rows_of(alice, lambda who: who.move("/x", "/t/x")) == ({**always, "node": 3}, {"tree": 1, "node": 3})
    assert rows_of(alice, lambda who: who.remove("/t/x")) == (
        {**always, "node": 3, "trash": 1},
        {"tree": 1, "node": 3},
    )
    assert rows_of(alice, lambda who: who.put_back(who.trash()[0])) == (
        {"tree": 1, "node": 3, "journal": 1},
        {"tree": 1, "node": 3, "trash": 1},
    )
