"""Files and folders by their ids: found, listed and changed wherever they are."""

from __future__ import annotations

import random
import threading

import pytest

from appliance.errors import (
    Denied,
    Locked,
    NameTaken,
    NotAFolder,
    NotFound,
    ParentMissing,
    PreconditionFailed,
    TargetTaken,
)
from appliance.files import by_id, folders, history, remove, transfer, trash
from appliance.files.by_id import Entry
from appliance.files.context import Target, Where
from appliance.tree.conditions import Conditions
from appliance.tree.paths import parse, show
from providers.front.etags import parse_etags
from tests.files.dump import refused
from tests.files.person import Person


def found(who: Person, node_id: int) -> Entry:
    """By its id."""
    return by_id.get(who.files, who.principal, node_id)


def listed(who: Person, folder: Where, *, count: int = 2) -> list[str]:
    """All pages."""
    names: list[str] = []
    after = 0
    while True:
        page = by_id.list_members(who.files, who.principal, folder, after=after, count=count).page
        names += [entry.node.name for entry in page.entries]
        if not page.more:
            return names
        assert len(page.entries) == count
        after = page.entries[-1].node.id


def only_if(etag: str) -> Conditions:
    """If-Match."""
    return Conditions(if_match=parse_etags(etag))


def test_found_in_the_tree_in_the_trash_and_not_at_all(alice: Person, bob: Person) -> None:
    """With the path that it has, or had; what is somebody else's is as what is not there."""
    alice.mkdir("/d", "/d/e")
    node = alice.put("/d/e/a.txt", b"content").node
    entry = found(alice, node.id)
    assert (show(entry.path), entry.parent_id, entry.removed) == ("/d/e/a.txt", node.parent_id, None)
    assert entry.sha256 == "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    folder = alice.node("/d")
    alice.remove("/d")
    entry = found(alice, node.id)
    assert (show(entry.path), entry.parent_id) == ("/d/e/a.txt", node.parent_id)
    assert entry.removed is not None
    assert entry.removed.node_id == folder.id
    top = found(alice, folder.id)
    assert (show(top.path), top.parent_id) == ("/d", alice.node("/").id)
    for who, node_id in ((bob, node.id), (bob, folder.id), (alice, 12_345_678), (bob, alice.node("/").id)):
        with pytest.raises(NotFound):
            found(who, node_id)


def test_list_pages_show_each_member_once_while_others_come_and_go(alice: Person, bob: Person) -> None:
    """Renamed, added and removed between two pages; who was there all along is there."""
    alice.mkdir("/d")
    for number in range(20):
        alice.put(f"/d/{number:02}")
    chance = random.Random(7)
    folder = alice.node("/d").id
    seen: list[int] = []
    after, steps = 0, 0
    stable = {alice.node(f"/d/{number:02}").id for number in range(0, 20, 2)}
    while True:
        members = by_id.list_members(alice.files, alice.principal, folder, after=after, count=3)
        seen += [entry.node.id for entry in members.page.entries]
        if not members.page.more:
            break
        after = seen[-1]
        # The even ones get other names, before and behind all others; of the odd ones some go.
        names = [node.name for node in alice.listing("/d").members]
        for name in chance.sample(names, 4):
            node = alice.node(f"/d/{name}")
            if node.id in stable:
                alice.move(f"/d/{name}", f"/d/{chance.choice('!~')}{steps}-{name[-2:]}")
            else:
                alice.remove(f"/d/{name}")
            steps += 1
        alice.put(f"/d/new{steps}")
    assert len(seen) == len(set(seen))
    assert stable <= set(seen)
    with pytest.raises(NotFound):
        by_id.list_members(bob.files, bob.principal, folder)
    with pytest.raises(NotAFolder):
        by_id.list_members(alice.files, alice.principal, alice.put("/f").node.id)


def test_list_tells_of_each_what_is_told_of_it_alone(alice: Person) -> None:
    """Small ones, which are named by their SHA-256, and a large one, of which nobody knows it."""
    alice.put("/a", b"1")
    alice.mkdir("/b")
    alice.put("/c", random.Random(1).randbytes(400_000))
    entries = by_id.list_members(alice.files, alice.principal, ()).page.entries
    assert [show(entry.path) for entry in entries] == ["/a", "/b", "/c"]
    assert [entry.sha256 is None for entry in entries] == [False, True, True]
    assert entries == [found(alice, entry.node.id) for entry in entries]


def test_trash_is_listed_in_pages(alice: Person) -> None:
    """The last removed first; what is removed meanwhile comes before."""
    for number in range(5):
        alice.put(f"/{number}")
        alice.remove(f"/{number}")
    first = by_id.list_trash(alice.files, alice.principal, count=2)
    alice.put("/later")
    alice.remove("/later")
    last = first.entries[-1].removed
    assert last is not None
    second = by_id.list_trash(alice.files, alice.principal, before=last.seq, count=3)
    assert [show(entry.path) for entry in (*first.entries, *second.entries)] == ["/4", "/3", "/2", "/1", "/0"]
    assert (first.more, second.more) == (True, False)


def test_alter_changes_what_is_named_in_one_change(alice: Person) -> None:
    """Name, folder and time; and nothing if nothing is new."""
    alice.mkdir("/d")
    node, folder = alice.put("/a", modified_at=1_000_000).node, alice.node("/d")
    seq = alice.seq()
    transfer.alter(alice.files, alice.principal, node.id, Target(folder.id, "b"), modified_at=2_000_000)
    assert alice.seq() == seq + 1
    assert alice.node("/d/b").id == node.id
    assert alice.node("/d/b").modified_at == 2_000_000
    transfer.alter(alice.files, alice.principal, node.id, Target(name="c"))
    assert alice.listing("/d").members[0].name == "c"
    transfer.alter(alice.files, alice.principal, node.id, Target(parse("/")))
    assert alice.names() == ["c", "d"]
    seq = alice.seq()
    transfer.alter(alice.files, alice.principal, node.id, Target(None, "c"))
    assert alice.seq() == seq
    transfer.alter(alice.files, alice.principal, node.id, Target(), modified_at=3_000_000)
    assert (alice.seq(), alice.node("/c").modified_at) == (seq + 1, 3_000_000)
    assert alice.versions("/c")[0].modified_at == 3_000_000


def test_alter_that_cannot_be_changes_nothing(alice: Person, bob: Person) -> None:
    """Foreign, missing, taken, locked, another state than was thought, into itself."""
    alice.mkdir("/d", "/d/e")
    a, taken = alice.put("/a").node, alice.put("/taken").node
    d, e = alice.node("/d"), alice.node("/d/e")
    token = alice.lock("/a").lock.token
    locked = Conditions(tokens=frozenset({token}))
    database = alice.files.database

    def alter(who: Person, node_id: int, target: Target, **options: object) -> None:
        transfer.alter(who.files, who.principal, node_id, target, **options)

    with refused(database, NotFound):
        alter(bob, a.id, Target(None, "x"))
    with refused(database, NotFound):
        alter(alice, 12_345_678, Target(None, "x"))
    with refused(database, NotFound):
        alter(alice, taken.id, Target(bob.node("/").id))
    with refused(database, TargetTaken):
        alter(alice, a.id, Target(None, "taken"), conditions=locked)
    with refused(database, Locked):
        alter(alice, a.id, Target(None, "x"))
    with refused(database, Locked):
        alter(alice, a.id, Target(), modified_at=1)
    with refused(database, PreconditionFailed):
        alter(alice, taken.id, Target(None, "x"), conditions=only_if(a.etag(alice.files.incarnation)))
    with refused(database, PreconditionFailed):
        alter(alice, taken.id, Target(None, "taken"), conditions=only_if('"other"'))
    with refused(database, NotAFolder):
        alter(alice, d.id, Target(taken.id))
    with refused(database, Denied):
        alter(alice, d.id, Target(e.id))
    with refused(database, Denied):
        alter(alice, alice.node("/").id, Target(None, "x"))
    alter(alice, a.id, Target(None, "taken"), conditions=locked, overwrite=True)
    assert [(removed.path, removed.reason) for removed in alice.trash()] == [("/taken", "replaced")]


def test_copy_remove_restore_and_versions_by_id(alice: Person, bob: Person) -> None:
    """The same use cases as by path."""
    alice.mkdir("/d")
    node, folder = alice.put("/a", b"1").node, alice.node("/d")
    first = alice.versions("/a")[0]
    alice.put("/a", b"22")
    copied = transfer.copy(alice.files, alice.principal, node.id, Target(folder.id), overwrite=False)
    assert (copied.created, alice.get("/d/a")) == (True, b"22")
    with refused(alice.files.database, TargetTaken):
        transfer.copy(alice.files, alice.principal, node.id, Target(folder.id), overwrite=False)
    with refused(alice.files.database, Denied):
        transfer.copy(alice.files, alice.principal, node.id, Target(), overwrite=True)
    assert len(history.list_versions(alice.files, alice.principal, node.id)) == 2
    history.restore_version(alice.files, alice.principal, node.id, str(first.seq))
    assert alice.get("/a") == b"1"
    with refused(alice.files.database, PreconditionFailed):
        remove.remove(alice.files, alice.principal, node.id, conditions=only_if('"x"'))
    with refused(alice.files.database, NotFound):
        remove.remove(bob.files, bob.principal, node.id)
    remove.remove(alice.files, alice.principal, node.id)
    with refused(alice.files.database, NotFound):
        remove.remove(alice.files, alice.principal, node.id)
    with refused(alice.files.database, NotFound):
        history.list_versions(alice.files, alice.principal, node.id)
    with refused(bob.files.database, NotFound):
        trash.restore_removed(bob.files, bob.principal, node.id)
    with refused(alice.files.database, NameTaken):
        trash.restore_removed(alice.files, alice.principal, node.id, Target(folder.id))
    trash.restore_removed(alice.files, alice.principal, node.id, Target(folder.id, "back"))
    assert alice.node("/d/back").id == node.id
    remove.remove(alice.files, alice.principal, node.id)
    trash.restore_removed(alice.files, alice.principal, node.id, Target(None, "renamed"))
    assert alice.node("/d/renamed").id == node.id
    remove.remove(alice.files, alice.principal, node.id)
    remove.remove(alice.files, alice.principal, folder.id)
    with refused(alice.files.database, ParentMissing):
        trash.restore_removed(alice.files, alice.principal, node.id, Target(None, "x"))


def test_folder_is_made_in_a_folder_by_its_id(alice: Person, bob: Person) -> None:
    """Wherever that is by then."""
    alice.mkdir("/d")
    above = alice.node("/d").id
    alice.move("/d", "/e")
    folders.make_folder(alice.files, alice.principal, Target(above, "in"))
    assert alice.node("/e/in").is_folder
    with refused(alice.files.database, NameTaken):
        folders.make_folder(alice.files, alice.principal, Target(above, "in"))
    with refused(bob.files.database, NotFound):
        folders.make_folder(bob.files, bob.principal, Target(above, "x"))


def test_what_is_changed_by_id_is_that_file_whoever_renames_meanwhile(alice: Person) -> None:
    """Two files change their names all the time; the one that is marked and then removed by its id is always it."""
    alice.mkdir("/t")
    one, two = alice.put("/a", b"1").node, alice.put("/b", b"2").node
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source, target in (("/a", "/c"), ("/b", "/a"), ("/c", "/b")):
                if alice.exists(source) and not alice.exists(target):
                    alice.move(source, target)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for number in range(30):
            node = transfer.alter(alice.files, alice.principal, one.id, Target(), modified_at=number * 1_000_000)
            assert node.id == one.id
            copied = transfer.copy(alice.files, alice.principal, one.id, Target(parse("/t"), f"{number}"),
                                   overwrite=False)  # fmt: skip
            assert copied.node.bytes == 1
    finally:
        stop.set()
        swapping.join()
    assert found(alice, one.id).node.modified_at == 29_000_000
    assert all(alice.get(f"/t/{number}") == b"1" for number in range(30))
    assert found(alice, two.id).node.modified_at == two.modified_at
    remove.remove(alice.files, alice.principal, one.id)
    assert found(alice, one.id).removed is not None
    assert found(alice, two.id).removed is None
