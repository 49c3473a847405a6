"""The audit trail for people: changes and events, the newest first, a page at a time.

Neither the journal nor the events have an index by time: trees are walked backwards side by side, each from where its
numbers reach the time in question, and the events beside them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from appliance import clock
from appliance.db.sql import Row, Session, Sql
from appliance.errors import BadRequest
from appliance.journal.change import Kind
from appliance.journal.events import Action, Event
from appliance.tree import nodes
from appliance.tree.paths import show

ACTIONS = tuple(each.value for each in (*Kind, *Action))
"""What an entry's action may be: changes, and events."""

SCANNED_MOST = 20_000
"""So many rows are looked at for one page; if fewer of them are wanted than it holds, it is a short one."""

_AT_ONCE = 200
_LATEST = (1 << 63) - 1
# An event is written some seconds after it happened, so those behind it may be older by this.
_LATE = 3600 * clock.SECOND


class Entry(NamedTuple):
    """A change or an event; times in microseconds. ``tree_id`` None: it is about nobody's tree.

    ``seq``: the change of the tree, or the version that was downloaded. ``folder_id``: where it is or was; ``requests``
    and ``seconds`` are those of downloads, 0 for all else. ``event``: its number; 0 for a change.
    """

    at: int
    action: str
    tree_id: int | None
    node_id: int | None
    seq: int | None
    folder_id: int | None
    name: str
    bytes: int | None
    requests: int
    seconds: int
    user_id: int | None
    device_id: int | None
    face: str
    address: str
    event: int


class Position(NamedTuple):
    """Where a page ends, and the next one begins: behind this change, and behind this event."""

    at: int
    tree_id: int
    seq: int
    event: int

    def text(self) -> str:
        """For clients, who make no sense of it."""
        return ".".join(f"{field:x}" for field in self)

    @classmethod
    def parse(cls, text: str) -> Position:
        """The reverse.

        Raises:
            BadRequest: it is none.
        """
        try:
            at, tree_id, seq, event = (int(part, 16) for part in text.split("."))
        except ValueError:
            at = tree_id = seq = event = -1
        if not all(0 <= field <= _LATEST for field in (at, tree_id, seq, event)):
            raise BadRequest(reason="this cursor is none; begin without one")
        return cls(at, tree_id, seq, event)


class Page(NamedTuple):
    """``following``: where the next page begins; None: this is the last one."""

    entries: list[Entry]
    following: Position | None


class Wanted(NamedTuple):
    """What to list; None: whatever it is. ``tree_id``: of this user alone. ``since`` and ``until`` in microseconds."""

    tree_id: int | None = None
    since: int | None = None
    until: int | None = None
    face: str | None = None
    action: str | None = None
    node_id: int | None = None

    def takes(self, entry: Entry) -> bool:
        """Whether it is one of those."""
        return (
            (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at <= self.until)
            and self.face in (None, entry.face)
            and self.action in (None, entry.action)
            and self.node_id in (None, entry.node_id)
        )


_CHANGES = Sql("""
    SELECT seq, at, kind, node_id, to_parent_id, to_name, from_parent_id, from_name,
           user_id, device_id, face, address, bytes
    FROM journal WHERE tree_id = :tree_id AND seq <= :seq ORDER BY seq DESC LIMIT 200
""")
_ENDS = "SELECT id, seq FROM tree WHERE seq > 0"
_OF_ALL = Sql(_ENDS)
_OF_ONE = Sql(f"{_ENDS} AND id = :tree_id")
_AT = Sql("SELECT at FROM journal WHERE tree_id = :tree_id AND seq = :seq")
_CHANGED_AT = Sql("SELECT COALESCE(MAX(changed_at), 0) FROM tree")
_COUNTED = Sql("SELECT COALESCE(MAX(events), 0) FROM audit_count")
_EVENT_COLUMNS = f"id, {', '.join(Event._fields)}"
_EVENT_AT = Sql("SELECT at FROM audit_event WHERE id = :event")
_EVENTS = Sql(f"SELECT {_EVENT_COLUMNS} FROM audit_event WHERE id < :event ORDER BY id DESC LIMIT 200")
_EVENTS_OF = Sql(f"""
    SELECT {_EVENT_COLUMNS} FROM audit_event WHERE tree_id = :tree_id AND id < :event ORDER BY id DESC LIMIT 200
""")


def page(session: Session, wanted: Wanted, position: Position | None, count: int) -> Page:
    """At most ``count`` entries from a position on; ``session`` is a snapshot."""
    start = position or _newest(session, wanted)
    entries: list[Entry] = []
    reached = start
    for scanned, entry in enumerate(_merged(session, wanted, start), start=1):
        if wanted.since is not None and entry.at < wanted.since - (_LATE if entry.event else 0):
            # Of the other kind there may still be some.
            continue
        if wanted.takes(entry):
            entries.append(entry)
        if entry.event:
            reached = reached._replace(event=entry.event)
        else:
            reached = reached._replace(at=entry.at, tree_id=entry.tree_id or 0, seq=entry.seq or 0)
        if len(entries) >= count or scanned >= SCANNED_MOST:
            return Page(entries, reached)
    return Page(entries, None)


def _newest(session: Session, wanted: Wanted) -> Position:
    """What comes while somebody turns pages is on none of them."""
    counted = session.value(_COUNTED)
    if wanted.until is None:
        return Position(session.value(_CHANGED_AT) + 1, 0, 0, counted + 1)
    return Position(wanted.until + 1, 0, 0, _last_event(session, counted, wanted.until + _LATE) + 1)


def _last_event(session: Session, last: int, until: int) -> int:
    """No event behind this one happened ``_LATE`` before ``until`` or earlier. Found by halves.

    Times of events rise with their numbers only nearly. But each one that happened so early was written by ``until``,
    so all before it happened by then as well: wherever the halves meet, they meet behind it.
    """
    least = 1
    while least <= last:
        middle = (least + last + 1) // 2
        row = session.row(_EVENT_AT, event=middle)
        # What is not there any more is older than all that is.
        if row is None or row[0] <= until:
            least = middle + 1
        else:
            last = middle - 1
    return last


def _merged(session: Session, wanted: Wanted, start: Position) -> Iterator[Entry]:
    """Both kinds by time, each in its own order."""
    changes, events = _changes(session, wanted, start), _events(session, wanted, start)
    change, event = next(changes, None), next(events, None)
    while change is not None or event is not None:
        if event is None or (change is not None and change.at >= event.at):
            assert change is not None
            yield change
            change = next(changes, None)
        else:
            yield event
            event = next(events, None)


def _changes(session: Session, wanted: Wanted, start: Position) -> Iterator[Entry]:
    """Of all trees, or of one. A tree is only read when its turn comes."""
    if wanted.action == Action.DOWNLOAD:
        return
    if wanted.tree_id is None:
        ends = session.rows(_OF_ALL)
    else:
        ends = session.rows(_OF_ONE, tree_id=wanted.tree_id)
    trees = [(-at, tree_id, -seq) for tree_id, last in ends for seq, at in _beginning(session, tree_id, last, start)]
    heapq.heapify(trees)
    pages: dict[int, list[Row]] = {}
    while trees:
        negative, tree_id, seq = heapq.heappop(trees)
        if wanted.since is not None and -negative < wanted.since:
            return
        rows = pages.get(tree_id)
        if not rows:
            rows = pages[tree_id] = session.rows(_CHANGES, tree_id=tree_id, seq=-seq)[::-1]
        if not rows:
            continue
        row = rows.pop()
        yield _change(tree_id, row)
        if row[0] > 1:
            following = rows[-1] if rows else _next_of(session, pages, tree_id, row[0] - 1)
            if following is not None:
                heapq.heappush(trees, (-following[1], tree_id, -following[0]))


def _beginning(session: Session, tree_id: int, last: int, start: Position) -> list[tuple[int, int]]:
    """Number and time of the last change of a tree before a place in the order of all; none if there is none.

    Times fall, then trees rise, then numbers fall. Within a tree times rise with the numbers: it is found by halves.
    """
    found: list[tuple[int, int]] = []
    least = 1
    while least <= last:
        middle = (least + last + 1) // 2
        row = session.row(_AT, tree_id=tree_id, seq=middle)
        # A row that is missing is for ``verify`` to tell.
        at = start.at if row is None else row[0]
        is_before = at < start.at or (at == start.at and (-tree_id, middle) < (-start.tree_id, start.seq))
        if is_before:
            found = [(middle, at)]
            least = middle + 1
        else:
            last = middle - 1
    return found


def _next_of(session: Session, pages: dict[int, list[Row]], tree_id: int, seq: int) -> Row | None:
    rows = pages[tree_id] = session.rows(_CHANGES, tree_id=tree_id, seq=seq)[::-1]
    return rows[-1] if rows else None


def _events(session: Session, wanted: Wanted, start: Position) -> Iterator[Entry]:
    event = start.event
    while True:
        if wanted.tree_id is None:
            rows = session.rows(_EVENTS, event=event)
        else:
            rows = session.rows(_EVENTS_OF, tree_id=wanted.tree_id, event=event)
        for row in rows:
            found = _event(row[0], Event._make(row[1:]))
            if wanted.since is not None and found.at < wanted.since - _LATE:
                return
            yield found
        if len(rows) < _AT_ONCE:
            return
        event = rows[-1][0]


def _change(tree_id: int, row: Row) -> Entry:
    seq, at, kind, node_id, to_parent_id, to_name, from_parent_id, from_name = row[:8]
    user_id, device_id, face, address, size = row[8:]
    folder_id, name = (from_parent_id, from_name) if to_name is None else (to_parent_id, to_name)
    return Entry(
        at, kind, tree_id, node_id, seq, folder_id, name or "", size, 0, 0, user_id, device_id, face, address, 0
    )


def _event(number: int, each: Event) -> Entry:
    return Entry(
        each.at,
        each.action,
        each.tree_id,
        each.node_id,
        each.seq,
        None,
        each.name,
        each.bytes if each.action == Action.DOWNLOAD else None,
        each.requests,
        each.seconds,
        each.user_id,
        each.device_id,
        each.face,
        each.address,
        number,
    )


_USERS = Sql('SELECT id, name FROM "user"')
_OWNERS = Sql('SELECT t.id, u.name FROM tree t JOIN "user" u ON u.id = t.owner_id')
_DEVICES = Sql("SELECT id, label FROM app_password WHERE id IN (:ids*)")


class Names:
    """What entries name by number, for people; of one session."""

    def __init__(self, session: Session, entries: list[Entry]) -> None:
        self._session = session
        self._users: dict[int, str] = dict(session.rows(_USERS))
        self._owners: dict[int, str] = dict(session.rows(_OWNERS))
        devices = sorted({each.device_id for each in entries if each.device_id is not None})
        self._devices: dict[int, str] = dict(session.rows_by(_DEVICES, devices))
        self._folders: dict[int, str | None] = {}

    def who(self, entry: Entry) -> str:
        """Who did it."""
        return "system" if entry.user_id is None else self._users.get(entry.user_id, f"user {entry.user_id}")

    def whose(self, entry: Entry) -> str:
        """Whose tree it is about; "" if nobody's, or that of somebody who is gone."""
        return "" if entry.tree_id is None else self._owners.get(entry.tree_id, "")

    def device(self, entry: Entry) -> str:
        """With which app password; "" if with none."""
        return "" if entry.device_id is None else self._devices.get(entry.device_id, f"device {entry.device_id}")

    def path(self, entry: Entry) -> str:
        """Of the file or folder: the folder's path as it is now, and the name as it was then; for others the name."""
        if entry.node_id is None:
            return entry.name
        folder_id = entry.folder_id
        if folder_id is None:
            above = nodes.above(self._session, entry.node_id)
            folder_id = above[-2][0] if len(above) > 1 else None
        folder = None if folder_id is None else self._folder(folder_id)
        if folder is None:
            return entry.name or "/"
        return f"{folder.rstrip('/')}/{entry.name}"

    def _folder(self, node_id: int) -> str | None:
        if node_id not in self._folders:
            above = nodes.above(self._session, node_id)
            # What is in the trash begins with a name of its own.
            is_there = bool(above) and above[0][1] == ""
            self._folders[node_id] = show(tuple(name for _, name in above[1:])) if is_there else None
        return self._folders[node_id]
