"""ETags: a file's names its version, a folder's anything below it; both carry the store's incarnation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from appliance.chunks import identity
from tests.files.person import Person, submitting

FILES = ("/d/e/a", "/d/b", "/x/y")
FOLDERS = ("/", "/d", "/d/e", "/x")

Work = Callable[[Person], object]


def set_up(alice: Person) -> None:
    """Two folders side by side, one of them with another one in it."""
    alice.mkdir("/d", "/d/e", "/x")
    for path in FILES:
        alice.put(path, b"content")


CHANGED: dict[str, tuple[Work, set[str]]] = {
    # Each change, and everything whose ETag is another one afterwards.
    "put of other bytes": (lambda who: who.put("/d/e/a", b"other"), {"/", "/d", "/d/e", "/d/e/a"}),
    "put of equal bytes": (lambda who: who.put("/d/e/a", b"content"), {"/", "/d", "/d/e", "/d/e/a"}),
    "copy onto a file": (
        lambda who: who.copy("/x/y", "/d/e/a", overwrite=True),
        {"/", "/d", "/d/e", "/d/e/a"},
    ),
    "new file": (lambda who: who.put("/d/e/new"), {"/", "/d", "/d/e"}),
    "new folder": (lambda who: who.mkdir("/d/e/new"), {"/", "/d", "/d/e"}),
    "removal beside": (lambda who: who.remove("/d/b"), {"/", "/d"}),
    "properties of a file": (lambda who: who.patch("/d/e/a", [("{x}y", "<y/>")]), {"/", "/d", "/d/e"}),
    "time of a file": (lambda who: who.patch("/d/e/a", modified_at=5), {"/", "/d", "/d/e"}),
    "lock of a file": (lambda who: who.lock("/d/e/a"), set()),
    "lock of a folder": (lambda who: who.lock("/d"), set()),
    "lock of a free name": (lambda who: who.lock("/d/e/new"), {"/", "/d", "/d/e"}),
    "copy from here": (lambda who: who.copy("/d/e/a", "/x/copy"), {"/", "/x"}),
    "move of a folder away and back": (
        lambda who: (who.move("/d/e", "/x/e"), who.move("/x/e", "/d/e")),
        {"/", "/d", "/x"},
    ),
    "removal and return": (
        lambda who: (who.remove("/d/e"), who.put_back(who.trash()[0])),
        {"/", "/d"},
    ),
    "restored version": (
        lambda who: who.restore_version("/d/e/a", who.versions("/d/e/a")[0].seq),
        {"/", "/d", "/d/e", "/d/e/a"},
    ),
}


def test_etags_change_for_exactly_what_changed(newcomer: Callable[[], Person], subtests: pytest.Subtests) -> None:
    """Every PUT changes the file's, PROPPATCH, LOCK and MOVE never; a folder's changes with anything below it."""
    for name, (work, expected) in CHANGED.items():
        with subtests.test(name):
            who = newcomer()
            set_up(who)
            before = {path: who.etag(path) for path in FILES + FOLDERS}
            work(who)
            after = {path: who.etag(path) for path in FILES + FOLDERS if who.exists(path)}
            assert {path for path in after if after[path] != before[path]} == expected


def test_etag_of_a_moved_file_and_folder_stays(alice: Person) -> None:
    """The content is the same, wherever it is now."""
    set_up(alice)
    file, folder = alice.etag("/d/e/a"), alice.etag("/d/e")
    alice.move("/d/e", "/x/moved")
    assert (alice.etag("/x/moved/a"), alice.etag("/x/moved")) == (file, folder)
    alice.move("/x/moved/a", "/x/y", overwrite=True)
    assert alice.etag("/x/y") == file


def test_etag_of_another_file_with_the_same_content_differs(alice: Person) -> None:
    """A copy, and what replaces a file, is something else: nobody's cached condition may hold for it."""
    alice.put("/a", b"x")
    alice.copy("/a", "/b")
    alice.put("/c", b"x")
    etags = {alice.etag(path) for path in ("/a", "/b", "/c")}
    assert len(etags) == 3
    alice.remove("/a")
    alice.put("/a", b"x")
    assert alice.etag("/a") not in etags


def test_etag_of_copies_made_in_one_change_differ(alice: Person) -> None:
    """They carry one number, and are told apart by their nodes."""
    alice.mkdir("/d")
    for name in "abc":
        alice.put(f"/d/{name}", b"x")
    alice.copy("/d", "/e")
    assert len({alice.etag(f"/{folder}/{name}") for folder in "de" for name in "abc"}) == 6


def test_etag_is_quoted_and_has_the_incarnation(alice: Person) -> None:
    """After a database was restored its numbers come again, and must not be taken for the old ones."""
    alice.put("/a")
    before = alice.etag("/a")
    assert before.startswith(f'"{alice.files.incarnation}-')
    assert before.endswith('"')
    alice.files.database.write(identity.reincarnate)
    with alice.files.database.read() as session:
        renewed = identity.load(session)
    assert renewed is not None
    alice.files.chunks.identity = renewed
    # The blob says the same, as after a restart.
    identity.establish(alice.files.database, alice.files.chunks.backend)
    assert alice.etag("/a") != before
    assert alice.etag("/").startswith(f'"{renewed.incarnation}-')


def test_put_answers_with_the_etag_that_follows(alice: Person) -> None:
    """A client may go on with what it was told."""
    for content in (b"one", b"two"):
        assert alice.put("/a", content).node.etag(alice.files.incarnation) == alice.etag("/a")
    token = alice.lock("/a").lock.token
    other = replace(alice)
    assert other.put("/a", conditions=submitting(token)).node.etag(alice.files.incarnation) == alice.etag("/a")
