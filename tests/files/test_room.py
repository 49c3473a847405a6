"""Where only the reserve is left: new content is refused, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from appliance.errors import ParentMissing, StorageFull
from appliance.files import write
from tests.files.dump import refused
from tests.files.person import Person
from tests.files.test_write import Untouchable
from tests.support.content import MIB, Body, noise
from tests.support.databases import on_sqlite

pytestmark = on_sqlite


def where(person: Person, usable: Callable[[], int | None]) -> Person:
    """The same person and store, with so much room."""
    return Person(replace(person.files, free_bytes=usable), person.principal)


def test_announced_content_is_refused_before_its_body(alice: Person) -> None:
    """What fits exactly is stored."""
    alice = where(alice, lambda: 1000)
    for waits in (True, False):
        with refused(alice.files.database, StorageFull):
            write.put_file(alice.files, alice.principal, ("a",), Untouchable(), length=1001, waits=waits)
    assert alice.put("/a", b"x" * 1000).node.bytes == 1000


def test_what_is_wrong_with_the_path_is_answered_first(alice: Person) -> None:
    """Room would not help."""
    alice = where(alice, lambda: 0)
    for waits in (True, False):
        with refused(alice.files.database, ParentMissing):
            write.put_file(alice.files, alice.principal, ("a", "b"), Untouchable(), length=5, waits=waits)
    with refused(alice.files.database, ParentMissing):
        alice.mkdir("/a/b")


@pytest.mark.parametrize("announced", [True, False])
def test_content_that_finds_no_room_on_its_way_is_broken_off(alice: Person, announced: bool) -> None:
    """Others may have taken what was there at its begin, or nobody knew how long it would be."""
    size = 6 * MIB
    rooms = iter([size, size, 3 * MIB])
    alice = where(alice, lambda: next(rooms, MIB // 2))
    body = Body(noise(size), fail_at=5 * MIB, error=AssertionError("it is still read"))
    with refused(alice.files.database, StorageFull):
        write.put_file(alice.files, alice.principal, ("a",), body, length=size if announced else None)


def test_whatever_grows_is_refused_and_the_rest_goes_on(alice: Person) -> None:
    """An empty file is refused as well: it is a row."""
    alice.mkdir("/d")
    for name in "abc":
        alice.put(f"/d/{name}", b"first")
    alice.put("/d/a", b"second")
    alice.put("/held", b"x")
    held = alice.lock("/held").lock.token
    full = where(alice, lambda: 0)
    for grow in (
        lambda: full.put("/new", b""),
        lambda: full.put("/d/a", b"x"),
        lambda: full.mkdir("/new"),
        lambda: full.copy("/d/a", "/d/b", overwrite=True),
        lambda: full.copy("/d", "/new"),
        lambda: full.lock("/new"),
        lambda: full.lock("/d/b", owner="x" * 1000),
        lambda: full.patch("/d/b", [("{urn:x}a", f"<a>{'x' * 2000}</a>")]),
    ):
        with refused(full.files.database, StorageFull):
            grow()
    assert full.get("/d/a") == b"second"
    full.move("/d/a", "/d/moved")
    full.unlock("/d/b", full.lock("/d/b").lock.token)
    full.refresh("/held", held)
    full.unlock("/held", held)
    full.patch("/d/b", [("{urn:x}a", "<a/>")])
    full.remove("/d/c")
    full.put_back(full.trash()[0])
    full.restore_version("/d/moved", full.versions("/d/moved")[-1].seq)
    assert full.get("/d/moved") == b"first"


def test_copy_needs_room_for_the_rows_of_all_its_files(alice: Person) -> None:
    """No byte of content, but thousands of files are not nothing."""
    alice.mkdir("/d")
    for number in range(10):
        alice.put(f"/d/{number}", b"x")
    with refused(alice.files.database, StorageFull):
        where(alice, lambda: 10_000).copy("/d", "/copy")
    assert where(alice, lambda: 30_000).copy("/d", "/copy").created


def test_copy_needs_room_for_folders_and_properties_too(alice: Person) -> None:
    """A folder without files is a row, and a dead property may be long."""
    for path in ("/d", *(f"/d/{number}" for number in range(10))):
        alice.mkdir(path)
    with refused(alice.files.database, StorageFull):
        where(alice, lambda: 10_000).copy("/d", "/copy")
    alice.patch("/d/1", [("{urn:x}a", f"<a>{'x' * 50_000}</a>")])
    with refused(alice.files.database, StorageFull):
        where(alice, lambda: 60_000).copy("/d", "/copy")
    assert where(alice, lambda: 80_000).copy("/d", "/copy").created


def test_a_large_folder_is_brought_back_only_where_its_rows_have_room(alice: Person) -> None:
    """A small one always: that is what somebody does who wants order again."""
    alice.mkdir("/small", "/large")
    for number in range(120):
        alice.put(f"/large/{number}", b"x")
    alice.put("/small/a", b"x")
    before = alice.now()
    for number in range(120):
        alice.remove(f"/large/{number}")
    alice.remove("/small/a")
    full = where(alice, lambda: 0)
    full.restore_at("/small", before)
    assert full.get("/small/a") == b"x"
    with refused(alice.files.database, StorageFull):
        full.restore_at("/large", before)
    where(alice, lambda: 1_000_000).restore_at("/large", before)
    assert alice.get("/large/7") == b"x"


def test_nothing_is_refused_where_nobody_can_tell(alice: Person) -> None:
    """A file system that does not say how much is free."""
    where(alice, lambda: None).put("/a", b"x" * 100_000)
