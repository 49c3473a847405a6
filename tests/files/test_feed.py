"""What happened in a tree, and to one file, since a client last asked; and being woken when something does."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from appliance.accounts import app_passwords
from appliance.errors import CursorRefused, HoldfastError, NotFound, Unavailable
from appliance.files import feed
from appliance.files.feed import Feed, Happening, Position
from appliance.files.watch import EVERY_S, Watch
from appliance.tree.paths import show
from tests.files.conftest import Clock
from tests.files.lives import run
from tests.files.person import Person
from tests.support.databases import on_sqlite


def everything(who: Person, *, count: int = 1000, since: Position | None = None) -> list[Happening]:
    """All pages from a position, or from the first change on."""
    known = since or feed.beginning(who.files, who.principal)
    found: list[Happening] = []
    while True:
        told = feed.changes(who.files, who.principal, known, count=count)
        found += told.happenings
        assert len(told.happenings) <= count
        if not told.more:
            return found
        assert told.position.seq == told.happenings[-1].seq
        known = told.position


def of_file(who: Person, node_id: int, known: Position | None = None, **options: int) -> Feed:
    """One file's."""
    return feed.changes_of(who.files, who.principal, node_id, known, **options)


def shown(happenings: list[Happening]) -> list[tuple[str, str, str | None]]:
    """What was done, the name, and the path of now."""
    return [(each.effect.value, each.name, None if each.path is None else show(each.path)) for each in happenings]


def a_life(who: Person) -> None:
    """One of each kind of change."""
    who.mkdir("/d")
    who.put("/d/a", b"1")
    who.put("/d/a", b"22")
    who.move("/d/a", "/d/b")
    who.copy("/d", "/e")
    who.patch("/d/b", [("{u:}p", "<p/>")])
    who.remove("/d")
    who.put_back(who.trash()[0])


def test_feed_tells_each_change_in_its_order(alice: Person) -> None:
    """A folder that is copied or removed is one change, whatever is in it."""
    a_life(alice)
    found = everything(alice)
    assert shown(found) == [
        ("created", "d", "/d"),
        ("created", "a", "/d/b"),
        ("modified", "a", "/d/b"),
        ("modified", "b", "/d/b"),
        ("created", "e", "/e"),
        ("modified", "b", "/d/b"),
        ("deleted", "d", "/d"),
        ("created", "d", "/d"),
    ]
    assert [each.seq for each in found] == list(range(1, 9))
    assert [each.is_folder for each in found] == [True, False, False, False, True, False, True, True]
    assert [each.version for each in found] == [None, 2, 3, None, None, None, None, None]
    folder = alice.node("/d").id
    assert [each.previous for each in found if each.previous] == [(folder, "a")]
    assert {each.parent_id for each in found} == {alice.node("/").id, folder}
    for count in (1, 3, 8):
        assert everything(alice, count=count) == found


def test_feed_begins_where_the_client_is(alice: Person, bob: Person) -> None:
    """Without a position, now; and of nobody else's tree."""
    a_life(alice)
    told = feed.changes(alice.files, alice.principal, None)
    assert (told.happenings, told.more, told.position.seq) == ([], False, alice.seq())
    bob.put("/b")
    assert feed.changes(alice.files, alice.principal, told.position) == Feed([], told.position, more=False)
    device_id, _ = app_passwords.add(alice.files.database, alice.user, "laptop")
    device = replace(alice, principal=replace(alice.principal, device_id=device_id))
    device.put("/new")
    (happening,) = everything(alice, since=told.position)
    assert (happening.name, happening.device_id, happening.effect) == ("new", device_id, "created")
    alice.remove("/new")
    assert shown(everything(alice, since=told.position)) == [("created", "new", None), ("deleted", "new", None)]


def test_position_of_another_state_is_refused(alice: Person, bob: Person) -> None:
    """Another incarnation, another tree, or what has not happened yet: the client has to look at everything anew."""
    node = alice.put("/a").node
    good = feed.changes(alice.files, alice.principal, None).position
    others = (
        good._replace(incarnation="0badf00d"),
        good._replace(tree_id=bob.user.tree_id),
        good._replace(seq=good.seq + 1),
    )
    for bad in others:
        with pytest.raises(CursorRefused):
            feed.changes(alice.files, alice.principal, bad)
        with pytest.raises(CursorRefused):
            of_file(alice, node.id, bad)


def test_changes_of_a_file_are_its_own(alice: Person, bob: Person) -> None:
    """Its versions, its places, and going and coming with the folder that it is in."""
    a_life(alice)
    node = alice.node("/d/b")
    found = of_file(alice, node.id)
    assert [(each.effect.value, each.seq, each.version) for each in found.happenings] == [
        ("created", 2, 2),
        ("modified", 3, 3),
        ("modified", 4, None),
        ("modified", 6, None),
        ("deleted", 7, None),
        ("created", 8, None),
    ]
    assert {each.node_id for each in found.happenings} == {node.id}
    copied = of_file(alice, alice.node("/e/b").id).happenings
    assert [(each.effect.value, each.seq, each.version, each.name) for each in copied] == [("created", 5, 5, "b")]
    after = found.position
    assert of_file(alice, node.id, after).happenings == []
    alice.remove("/d")
    (gone,) = of_file(alice, node.id, after).happenings
    assert (gone.effect.value, gone.path, gone.name, gone.is_folder) == ("deleted", None, "b", False)
    with pytest.raises(NotFound):
        of_file(bob, node.id)
    with pytest.raises(NotFound):
        of_file(alice, 12_345_678)


def test_file_goes_and_comes_with_its_folders_only_while_it_is_in_them(alice: Person) -> None:
    """Not with what became of a folder before the file was in it, or after it had left; but with all above it."""
    alice.mkdir("/d")
    alice.remove("/d")
    alice.put_back(alice.trash()[0])
    node = alice.put("/d/a").node
    before = of_file(alice, node.id).position
    assert [each.effect.value for each in of_file(alice, node.id).happenings] == ["created"]
    alice.mkdir("/e")
    alice.move("/d", "/e/d")
    alice.remove("/e")
    alice.put_back(alice.trash()[0])
    alice.move("/e/d/a", "/a")
    alice.remove("/e")
    alice.put_back(alice.trash()[0])
    kinds = [each.effect.value for each in of_file(alice, node.id).happenings]
    assert kinds == ["created", "deleted", "created", "modified"]
    assert [each.effect.value for each in of_file(alice, node.id, before).happenings] == kinds[1:]


def test_changes_of_a_file_come_in_pages(alice: Person) -> None:
    """Whatever else happens in between."""
    node = alice.put("/a").node
    for number in range(10):
        alice.put("/other", b"%d" % number)
        alice.put("/a", b"%d" % number)
    known, seqs = None, []
    while True:
        told = of_file(alice, node.id, known, count=3)
        seqs += [each.seq for each in told.happenings]
        known = told.position
        if not told.more:
            break
    assert seqs == [1, *range(3, 22, 2)]
    assert known.seq == alice.seq()


@on_sqlite
@pytest.mark.parametrize("seed", range(3))
def test_changes_of_each_file_are_those_of_the_journal(alice: Person, seed: int) -> None:
    """Whatever is done by chance: what the journal has of a file, but that of properties the newest is enough."""
    chance = random.Random(seed)
    alice.mkdir("/d", "/e")
    names = ("/a", "/b", "/d/a", "/e/b", "/d", "/e")
    for step in range(80):
        source, target = chance.sample(names, 2)
        with suppress(HoldfastError):
            match chance.randrange(6):
                case 0 | 1:
                    alice.put(source, b"%d" % step)
                case 2:
                    alice.move(source, target, overwrite=chance.random() < 0.5)
                case 3:
                    alice.copy(source, target, overwrite=chance.random() < 0.5)
                case 4:
                    alice.remove(source)
                case 5 if alice.trash():
                    alice.put_back(chance.choice(alice.trash()))
        if alice.exists(source) and chance.random() < 0.2:
            alice.patch(source, [("{u:}p", f"<p>{step}</p>")])
    told = everything(alice)
    assert [each.seq for each in told] == list(range(1, alice.seq() + 1))
    node_ids = {row[0] for row in alice.rows("SELECT id FROM node WHERE parent_id IS NOT NULL OR id IN (SELECT node_id "
                                             "FROM trash)")}  # fmt: skip
    properties = {row[0] for row in alice.rows("SELECT seq FROM journal WHERE kind = 'properties'")}
    for node_id in node_ids:
        own = {each.seq for each in told if each.node_id == node_id}
        found = of_file(alice, node_id, count=7)
        seqs = [each.seq for each in found.happenings]
        while found.more:
            found = of_file(alice, node_id, found.position, count=7)
            seqs += [each.seq for each in found.happenings]
        assert seqs == sorted(set(seqs))
        assert own - properties <= set(seqs)
        assert {each.node_id for each in found.happenings} <= {node_id}
        is_file = alice.rows("SELECT kind FROM node WHERE id = :id", id=node_id)[0][0] == 2
        assert not is_file or max(own, default=0) in {0, *seqs}


def test_what_is_gone_for_good_is_told_still(alice: Person, wall: Clock) -> None:
    """By the names that the journal has; and the file itself is gone."""
    node = alice.put("/a", b"1").node
    alice.remove("/a")
    known = feed.changes(alice.files, alice.principal, None).position._replace(seq=1)
    for _ in range(2):
        wall.advance(5000 * 86_400)
        alice.put("/later", str(wall.at).encode())
        run(alice)
    assert alice.rows("SELECT id FROM node WHERE id = :id", id=node.id) == []
    assert shown(everything(alice))[:2] == [("created", "a", None), ("deleted", "a", None)]
    assert shown(everything(alice, since=known))[0] == ("deleted", "a", None)
    assert everything(alice)[1].is_folder is None
    with pytest.raises(NotFound):
        of_file(alice, node.id)


@pytest.fixture
def watch(alice: Person) -> Iterator[Watch]:
    """Over alice's store."""
    made = Watch(alice.files.database)
    yield made
    made.close()


def test_watch_wakes_who_waits_for_the_tree_that_changed(alice: Person, bob: Person, watch: Watch) -> None:
    """Once, soon, and nobody else; one whose change has come already at once."""
    woken = threading.Event()
    others = threading.Event()
    watch.add(alice.user.tree_id, alice.seq(), woken.set)
    kept = watch.add(bob.user.tree_id, bob.seq(), others.set)
    removed = watch.add(alice.user.tree_id, alice.seq(), others.set)
    watch.remove(removed)
    watch.remove(removed)
    assert not woken.wait(2 * EVERY_S)
    alice.put("/a")
    assert woken.wait(4)
    assert not others.is_set()
    assert len(watch) == 1
    behind = threading.Event()
    watch.add(alice.user.tree_id, alice.seq() - 1, behind.set)
    assert behind.wait(4)
    watch.remove(kept)
    assert len(watch) == 0


@on_sqlite
def test_watch_costs_nothing_while_nobody_waits(alice: Person, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a query."""
    looks: list[float] = []
    read = alice.files.database.read

    def counted(*args: object) -> object:
        looks.append(time.monotonic())
        return read(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(alice.files.database, "read", counted)
    time.sleep(3 * EVERY_S)
    assert looks == []
    wait = watch.add(alice.user.tree_id, 0, lambda: None)
    time.sleep(2 * EVERY_S)
    watch.remove(wait)
    time.sleep(1.5 * EVERY_S)
    count = len(looks)
    assert 1 <= count <= 5
    time.sleep(3 * EVERY_S)
    assert len(looks) == count


@on_sqlite
def test_watch_goes_on_after_the_database_was_away(
    alice: Person, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is woken for that, and nobody forgotten."""

    def away(*_: object) -> None:
        raise Unavailable(reason="it is away")

    woken, tree_id, seq = threading.Event(), alice.user.tree_id, alice.seq()
    with monkeypatch.context() as patched:
        patched.setattr(alice.files.database, "read", away)
        watch.add(tree_id, seq, woken.set)
        assert not woken.wait(3 * EVERY_S)
    alice.put("/a")
    assert woken.wait(4)
