"""The trail as people see it: both kinds by time, filtered, and a page at a time."""

from __future__ import annotations

import pytest

from appliance import clock
from appliance.accounts import users
from appliance.audit import listing
from appliance.audit.listing import Entry, Names, Position, Wanted
from appliance.errors import BadRequest
from appliance.journal import events
from appliance.journal.events import Event
from tests.audit.trail import Trail
from tests.support.databases import on_sqlite

ALL = Wanted()


def listed(trail: Trail, wanted: Wanted = ALL, count: int = 1000) -> list[Entry]:
    """Page by page."""
    found: list[Entry] = []
    position: Position | None = None
    while True:
        with trail.database.snapshot() as session:
            page = listing.page(session, wanted, position, count)
        assert len(page.entries) <= count
        found += page.entries
        if page.following is None:
            return found
        position = Position.parse(page.following.text())


def test_everything_is_listed_by_time(trail: Trail) -> None:
    """Whose it is, what it was called, and where it lay."""
    found = listed(trail)
    with trail.database.snapshot() as session:
        names = Names(session, found)
        told = [(names.who(each), each.action, names.whose(each), names.path(each), each.bytes) for each in found]
    assert told == [
        ("system", "device-revoked", "alice", "laptop", None),
        ("alice", "remove", "alice", "/docs", 2),
        ("alice", "move", "alice", "two", 2),
        ("alice", "folder", "alice", "/docs", None),
        ("system", "device-added", "bob", "phone", None),
        ("system", "device-added", "alice", "laptop", None),
        ("bob", "create", "bob", "/his", 4),
        ("alice", "update", "alice", "/one", 3),
        ("alice", "create", "alice", "/two", 2),
        ("alice", "create", "alice", "/one", 1),
        ("system", "user-added", "bob", "bob (member)", None),
        ("system", "user-added", "alice", "alice (member)", None),
    ]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pages_are_the_whole_in_pieces(trail: Trail, count: int) -> None:
    """Whatever comes meanwhile, and whoever it is of."""
    for wanted in (ALL, Wanted(tree_id=1), Wanted(action="create"), Wanted(face="cli"), Wanted(node_id=3)):
        assert listed(trail, wanted, count) == listed(trail, wanted)
    with trail.database.snapshot() as session:
        first = listing.page(session, ALL, None, count)
    expected = listed(trail)
    trail.alice.put("/new", b"")
    users.set_state(trail.database, trail.bob.user, "disabled")
    found, position = first.entries, first.following
    while position is not None:
        with trail.database.snapshot() as session:
            page = listing.page(session, ALL, position, count)
        found, position = [*found, *page.entries], page.following
    assert found == expected


def test_only_what_is_wanted(trail: Trail) -> None:
    """By user, file, face, action and time."""
    everything = listed(trail)
    for wanted in (
        Wanted(tree_id=2),
        Wanted(tree_id=2, action="create"),
        Wanted(face="cli"),
        Wanted(since=everything[5].at),
        Wanted(until=everything[5].at),
        Wanted(since=everything[8].at, until=everything[3].at),
        Wanted(node_id=everything[7].node_id),
    ):
        found = listed(trail, wanted)
        assert found == [
            each for each in everything if wanted.takes(each) and wanted.tree_id in (None, each.tree_id)
        ], wanted
        assert 0 < len(found) < len(everything)


@on_sqlite
def test_many_changes_of_many_trees_are_in_order(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than are read at once, some of the same time."""
    at = [clock.now() + clock.SECOND]
    monkeypatch.setattr(clock, "now", lambda: at[0])
    for number in range(450):
        (trail.alice if number % 3 else trail.bob).mkdir(f"/f{number}")
        at[0] += number % 2
    found = listed(trail)
    assert len(found) == 462
    assert found == sorted(found, key=lambda each: -each.at)
    assert listed(trail, count=7) == found
    monkeypatch.setattr(listing, "SCANNED_MOST", 100)
    assert listed(trail) == found


@on_sqlite
def test_page_of_long_ago_reads_no_events_since(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are; what was written late is still on it."""
    until = clock.now()
    expected = listed(trail, Wanted(until=until))
    who = trail.alice.principal
    late = Event(until - clock.SECOND, 1, "download", 1, None, 1, "late", 5, 1, who.user_id, None, "dav", "")
    trail.database.write(lambda session: events.write(session, [late]))
    later = [late._replace(at=until + 2 * 3600 * clock.SECOND + index, name="later") for index in range(300)]
    trail.database.write(lambda session: events.write(session, later))
    monkeypatch.setattr(listing, "SCANNED_MOST", 50)
    with trail.database.snapshot() as session:
        page = listing.page(session, Wanted(until=until), None, 1000)
    assert page.following is None
    assert [each.name for each in page.entries if each.name.startswith("late")] == ["late"]
    # Each kind is in its own order: what was written late stands before events that happened after it.
    rest = [each for each in page.entries if each.name != "late"]
    assert sorted(rest, key=lambda each: -each.at) == sorted(expected, key=lambda each: -each.at)


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "1.2.3.4.5", "-1.0.0.0", "ffffffffffffffffff.0.0.0"])
def test_cursor_that_is_none_is_refused(text: str) -> None:
    """Whatever it is."""
    with pytest.raises(BadRequest):
        Position.parse(text)
