"""What sync tells of each kind of change, exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.db.sql import Sql
from appliance.errors import CursorRefused, NotAFolder, NotFound
from appliance.files import sync
from appliance.files.sync import Changes, Cursor, Part, Wanted
from appliance.tree.paths import parse, show
from appliance.tree.since import NOTHING, Mark
from tests.files.follower import Follower, tree
from tests.files.person import Person

NFC, NFD = "Caf\u00e9", "Cafe\u0301"
VALUE_CHARS = 60_000
MARK = Mark(("x",), gone=False)
_FORGET = Sql(
    "UPDATE tree SET kept_since = :seq, forgotten = :seq WHERE root_id IN (SELECT id FROM node WHERE name = '')"
)


def ask(who: Person, path: str = "/", cursor: Cursor | None = None, *, deep: bool = True, limit: int = 9999) -> Changes:
    """One answer."""
    return sync.changes(who.files, who.principal, parse(path), cursor, deep=deep, limit=limit)


def told(changes: Changes) -> list[str]:
    """The paths, with a minus before what is gone and a slash behind folders."""
    return [
        f"{'-' if item.node is None else ''}{show(item.names)}{'/' if item.is_folder else ''}" for item in changes.items
    ]


def set_up(who: Person) -> None:
    """Two folders, one of them with another in it."""
    who.mkdir("/d", "/d/e", "/t")
    for path in ("/a", "/d/b", "/d/e/c"):
        who.put(path)


Work = Callable[[Person], object]
CHANGES: dict[str, tuple[Work, list[str], list[str]]] = {
    # Each change, what is told of it at the level infinite, and at level 1.
    "nothing": (lambda who: None, [], []),
    "new file": (lambda who: who.put("/d/e/new"), ["/d/", "/d/e/", "/d/e/new"], ["/d/"]),
    "next version": (lambda who: who.put("/d/b"), ["/d/", "/d/b"], ["/d/"]),
    "new folder": (lambda who: who.mkdir("/t/new"), ["/t/", "/t/new/"], ["/t/"]),
    "properties of a file": (lambda who: who.patch("/d/b", [("{x}y", "<y/>")]), ["/d/", "/d/b"], ["/d/"]),
    "properties of a folder": (lambda who: who.patch("/d/e", [("{x}y", "<y/>")]), ["/d/", "/d/e/"], ["/d/"]),
    "time of a file": (lambda who: who.patch("/a", modified_at=5), ["/a"], ["/a"]),
    "properties of the folder itself": (lambda who: who.patch("/", [("{x}y", "<y/>")]), [], []),
    "removal of a file": (lambda who: who.remove("/d/b"), ["/d/", "-/d/b"], ["/d/"]),
    "removal of a folder": (lambda who: who.remove("/d"), ["-/d/"], ["-/d/"]),
    "rename": (lambda who: who.move("/a", "/b"), ["-/a", "/b"], ["-/a", "/b"]),
    "respelling": (
        lambda who: (who.put(f"/{NFC}"), who.move(f"/{NFC}", f"/{NFD}")),
        [f"-/{NFC}", f"/{NFD}"],
        [f"-/{NFC}", f"/{NFD}"],
    ),
    "move of a folder": (
        lambda who: who.move("/d", "/t/d"),
        ["-/d/", "/t/", "/t/d/", "/t/d/b", "/t/d/e/", "/t/d/e/c"],
        ["-/d/", "/t/"],
    ),
    "rename of a folder": (lambda who: who.move("/d/e", "/d/f"), ["/d/", "-/d/e/", "/d/f/", "/d/f/c"], ["/d/"]),
    "copy of a folder": (
        lambda who: who.copy("/d", "/t/d"),
        ["/t/", "/t/d/", "/t/d/b", "/t/d/e/", "/t/d/e/c"],
        ["/t/"],
    ),
    "move onto a file": (
        lambda who: who.move("/a", "/d/b", overwrite=True),
        ["-/a", "/d/", "/d/b"],
        ["-/a", "/d/"],
    ),
    "replaced by a folder with less in it": (
        lambda who: who.copy("/t", "/d", overwrite=True),
        ["/d/", "-/d/b", "-/d/e/"],
        ["/d/"],
    ),
    "replaced by a folder with the same names": (
        lambda who: (who.copy("/d", "/x"), who.remove("/x/e/c"), who.remove("/d"), who.move("/x", "/d")),
        ["/d/", "/d/b", "/d/e/", "-/d/e/c", "-/x/"],
        ["/d/", "-/x/"],
    ),
    "folder becomes a file": (lambda who: (who.remove("/d"), who.put("/d")), ["/d"], ["/d"]),
    "removed and put back": (
        lambda who: (who.remove("/d/e"), who.put_back(who.trash()[0])),
        ["/d/", "/d/e/", "/d/e/c"],
        ["/d/"],
    ),
    "removed and made anew": (lambda who: (who.remove("/a"), who.put("/a")), ["/a"], ["/a"]),
    "made and removed": (lambda who: (who.put("/x"), who.remove("/x")), ["-/x"], ["-/x"]),
    "moved out of what then went": (
        lambda who: (who.move("/d/e", "/e"), who.remove("/d")),
        ["-/d/", "/e/", "/e/c"],
        ["-/d/", "/e/"],
    ),
    "moved without what went before": (
        lambda who: (who.remove("/d/b"), who.move("/d", "/t/d")),
        ["-/d/", "/t/", "/t/d/", "/t/d/e/", "/t/d/e/c"],
        ["-/d/", "/t/"],
    ),
    "moved, and what came and went there later": (
        lambda who: (who.move("/d", "/t/d"), who.mkdir("/d"), who.put("/t/d/late"), who.remove("/t/d/late")),
        ["/d/", "-/d/b", "-/d/e/", "/t/", "/t/d/", "/t/d/b", "/t/d/e/", "/t/d/e/c", "-/t/d/late"],
        ["/d/", "/t/"],
    ),
    "lock": (lambda who: who.lock("/d/e"), [], []),
}


def test_each_change_is_told_as_it_is(newcomer: Callable[[], Person], subtests: pytest.Subtests) -> None:
    """RFC 6578 §3.4, §3.5; then nothing is left to be told."""
    for name, (work, deep, shallow) in CHANGES.items():
        with subtests.test(name):
            who = newcomer()
            set_up(who)
            before = ask(who).cursor
            work(who)
            for level, expected in ((True, deep), (False, shallow)):
                answer = ask(who, cursor=before, deep=level)
                assert (told(answer), answer.more) == (expected, False)
                assert told(ask(who, cursor=answer.cursor, deep=level)) == []


def test_first_answer_tells_all_that_is_there_and_nothing_that_was(alice: Person) -> None:
    """RFC 6578 §3.4."""
    set_up(alice)
    alice.put("/gone")
    alice.remove("/gone")
    assert told(ask(alice)) == ["/a", "/d/", "/d/b", "/d/e/", "/d/e/c", "/t/"]
    assert told(ask(alice, deep=False)) == ["/a", "/d/", "/t/"]
    assert told(ask(alice, "/d")) == ["/b", "/e/", "/e/c"]
    assert told(ask(alice, "/t")) == []


def test_what_happens_elsewhere_does_not_change_a_folders_cursor(alice: Person) -> None:
    """A client that looks at it need not ask."""
    set_up(alice)
    before = ask(alice, "/d").cursor
    alice.put("/t/x")
    alice.put("/a")
    alice.move("/d", "/t/moved")
    assert ask(alice, "/t/moved", before).cursor == before
    alice.put("/t/moved/x")
    assert told(ask(alice, "/t/moved", before)) == ["/x"]


def test_parts_are_as_long_as_allowed_and_lead_to_the_whole(alice: Person) -> None:
    """Of the first answer, of changes, and of what is gone."""
    set_up(alice)
    whole = told(ask(alice))
    parts, cursor = [], None
    for _ in range(len(whole)):
        answer = ask(alice, cursor=cursor, limit=1)
        parts += told(answer)
        cursor = answer.cursor
        assert answer.more == (len(parts) < len(whole))
    assert parts == whole
    assert cursor == ask(alice).cursor
    for path in ("/a", "/d/b", "/t"):
        alice.remove(path)
    alice.move("/d/e", "/e")
    follower = Follower(alice, "/", limit=2, cursor=cursor)
    follower.follow()
    assert sorted("/".join(path) for path in follower.tree) == ["d", "e", "e/c"]
    assert follower.cursor == ask(alice).cursor


def test_what_changes_between_parts_is_told_before_the_end(alice: Person) -> None:
    """Before and behind the place where the answer was cut."""
    for name in "bdfh":
        alice.put(f"/{name}")
    follower = Follower(alice, "/", limit=2)
    assert follower.ask().more
    alice.put("/a")
    alice.put("/b", b"changed")
    alice.remove("/d")
    alice.remove("/f")
    alice.put("/x")
    alice.remove("/x")
    follower.follow()
    assert follower.tree == tree(alice, "/")
    assert follower.cursor == ask(alice).cursor


def test_what_went_before_parts_is_told_when_its_folder_comes_and_goes_between(alice: Person) -> None:
    """The folder is gone when its turn is; in the next answer it is there, and another one."""
    alice.mkdir("/d")
    for path in ("/a", "/d/a", "/d/b", "/d/z"):
        alice.put(path)
    follower = Follower(alice, "/", limit=2)
    follower.follow()
    for path in ("/a", "/d/a"):
        alice.put(path, b"changed")
    alice.remove("/d/z")
    assert told(follower.ask()) == ["/a", "/d/"]
    assert told(follower.ask()) == ["/d/a", "-/d/z"]
    alice.put("/d/z")
    follower.follow()
    alice.remove("/d/z")
    alice.put("/d/a", b"again")
    follower.limit = 1
    assert told(follower.ask()) == ["/d/"]
    alice.remove("/d")
    answer = follower.ask()
    assert (told(answer), answer.more) == ([], True)
    alice.mkdir("/d")
    follower.limit = 9
    follower.follow()
    assert follower.tree == tree(alice, "/")


def test_properties_cut_an_answer_before_they_fill_the_memory(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node may have 256 KiB of them."""
    monkeypatch.setattr(sync, "_PROPERTY_CHARS", 3 * VALUE_CHARS)
    monkeypatch.setattr(sync, "_ITEMS_AT_A_TIME", 2)
    for number in range(9):
        alice.put(f"/{number}")
        alice.patch(f"/{number}", [("{x}y", f"<y>{'z' * VALUE_CHARS}</y>")])
    answer = sync.changes(alice.files, alice.principal, (), None, deep=True, wanted=Wanted(properties=True))
    assert told(answer) == ["/0", "/1", "/2", "/3"]
    assert answer.more
    follower = Follower(alice, "/")
    follower.follow()
    assert follower.tree == tree(alice, "/")


def test_more_members_than_are_read_at_a_time_are_told_once_each(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are there, and those that are gone."""
    monkeypatch.setattr("appliance.tree.since._ROWS", 3)
    alice.mkdir("/d")
    for number in range(10):
        alice.put(f"/d/{number}")
    before = ask(alice)
    assert told(before) == ["/d/", *(f"/d/{number}" for number in range(10))]
    for number in range(1, 8):
        alice.remove(f"/d/{number}")
    assert told(ask(alice, cursor=before.cursor)) == ["/d/", *(f"-/d/{number}" for number in range(1, 8))]


def test_cursor_that_no_answer_to_this_had_is_refused(alice: Person, bob: Person) -> None:
    """Of another folder, level, tree, store; of numbers that are still to come; of changes that nobody knows."""
    set_up(alice)
    set_up(bob)
    own = ask(alice, "/d").cursor
    cut = ask(alice, "/d", limit=1).cursor
    for cursor in (
        ask(alice).cursor,
        ask(bob, "/d").cursor,
        own._replace(incarnation="other"),
        own._replace(tree_id=own.tree_id + 1),
        own._replace(seq=own.seq + 1),
        own._replace(seq=NOTHING),
        own._replace(part=Part(0, 0, True, MARK)),
        own._replace(part=Part(own.seq, own.seq + 1, True, MARK)),
        own._replace(part=Part(own.seq, own.seq + 1, True, None)),
        own._replace(seq=0, part=Part(0, own.seq, True, None)),
        cut._replace(part=Part(NOTHING, NOTHING, True, MARK)),
        cut._replace(part=Part(NOTHING, own.seq + 1, True, MARK)),
        cut._replace(part=Part(NOTHING, NOTHING, True, None)),
        cut._replace(part=Part(own.seq, own.seq, True, MARK)),
    ):
        with pytest.raises(CursorRefused):
            ask(alice, "/d", cursor)
    with pytest.raises(CursorRefused):
        ask(alice, "/d", cut, deep=False)
    assert told(ask(alice, "/d", own)) == []
    alice.remove("/d")
    alice.mkdir("/d")
    with pytest.raises(CursorRefused):
        ask(alice, "/d", own)


@pytest.mark.usefixtures("damage")
def test_cursor_older_than_what_is_known_is_refused_if_the_folder_changed(alice: Person) -> None:
    """What is gone since then is known no more."""
    set_up(alice)
    old, unchanged, cut = ask(alice).cursor, ask(alice, "/d").cursor, ask(alice, limit=1).cursor
    alice.put("/a")
    recent = ask(alice).cursor
    alice.put("/a")
    alice.files.database.write(lambda session: session.run(_FORGET, seq=recent.seq))
    for cursor in (old, cut):
        with pytest.raises(CursorRefused, match="too old"):
            ask(alice, cursor=cursor)
    assert told(ask(alice, "/d", unchanged)) == []
    assert told(ask(alice, cursor=recent)) == ["/a"]


def test_file_and_nothing_have_no_changes(alice: Person) -> None:
    """Each says so in its own way."""
    alice.put("/a")
    with pytest.raises(NotAFolder):
        ask(alice, "/a")
    with pytest.raises(NotFound):
        ask(alice, "/missing")


def test_locks_and_checksums_are_those_of_each_item(alice: Person) -> None:
    """Also deep below, where a lock of a folder above reaches."""
    set_up(alice)
    alice.lock("/d/e")
    alice.lock("/a")
    answer = sync.changes(alice.files, alice.principal, (), None, deep=True, wanted=Wanted(locks=True))
    held = {show(item.names): [lock.path for lock in answer.locks_of(item.node)] for item in answer.items}
    assert held == {"/a": ["/a"], "/d": [], "/d/b": [], "/d/e": ["/d/e"], "/d/e/c": ["/d/e"], "/t": []}
    assert answer.locks_of(None) == []


def test_mark_with_a_path_that_is_gone_goes_on_behind_it(alice: Person) -> None:
    """The client was told of it; where it was is still a place between the others."""
    set_up(alice)
    cut = ask(alice, limit=4).cursor
    alice.remove("/d")
    follower = Follower(alice, "/", cursor=cut)
    answer = follower.ask()
    assert told(answer) == ["/t/"]
    assert answer.more
    assert told(follower.ask()) == ["-/d/"]
    assert follower.cursor == ask(alice).cursor
