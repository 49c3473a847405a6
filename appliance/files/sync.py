"""What changed in and below a folder since a client last asked (RFC 6578), in parts of bounded size."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from appliance.accounts.policy import Action
from appliance.db.sql import Session, Sql
from appliance.errors import CursorRefused, NotAFolder
from appliance.files.context import Files, Place, locate, require_conditions
from appliance.files.read import Extras
from appliance.principal import Principal
from appliance.tree import edit, properties, since
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Lock, Locks
from appliance.tree.nodes import Ids, Node
from appliance.tree.paths import Path, show
from appliance.tree.since import NOTHING, Item, Mark

LIMIT = 10_000
"""Items of one answer at most."""

# An answer is cut behind the properties that exceed this; they are read for so many items at a time.
_PROPERTY_CHARS = 8 * 1024 * 1024
_ITEMS_AT_A_TIME = 64

_CHECKSUMS = Sql("""
    SELECT v.node_id, v.checksum FROM node n JOIN version v ON v.node_id = n.id AND v.seq = n.version_seq
    WHERE n.id IN (:ids*) AND v.checksum IS NOT NULL
""")
_FORGOTTEN = Sql("SELECT forgotten FROM tree WHERE id = :tree_id")


class Part(NamedTuple):
    """How far a client was told what changed after ``since``: up to ``mark``, by a walk that began at ``begun``.

    No ``mark``: the next walk has to begin, of what changed after ``since``.
    """

    since: int
    begun: int
    deep: bool
    mark: Mark | None


class Cursor(NamedTuple):
    """What a client knows of a folder: its state after the change ``seq``.

    With a ``part``: what it was told since of different moments, and of other paths still that state.
    """

    incarnation: str
    tree_id: int
    node_id: int
    seq: int
    part: Part | None = None


class Wanted(NamedTuple):
    """What is to be told with each item, as in ``read.list_path``."""

    properties: bool = False
    checksums: bool = False
    locks: bool = False


PLAIN = Wanted()
"""Nothing beside what every node has."""


class Changes(NamedTuple):
    """Items in the order of their paths, read in one snapshot; ``cursor`` is what the client knows with them.

    ``more``: that is not everything yet.
    """

    place: Place
    items: list[Item]
    extras: Extras
    quota_bytes: int | None
    cursor: Cursor
    more: bool
    # Where the nodes of the items lie, by id, if locks were wanted.
    ways: dict[int, Ids]

    @property
    def node(self) -> Node:
        return self.place.chain.last

    def locks_of(self, member: Node | None) -> list[Lock]:
        """The locks that cover the folder itself (None) or the node of an item."""
        if self.extras.locks is None:
            return []
        way = () if member is None else self.ways[member.id]
        return self.extras.locks.covering((*self.place.chain.ids, *way))


def cursor_of(incarnation: str, folder: Node) -> Cursor:
    """That of a client that knows all of a folder."""
    return Cursor(incarnation, folder.tree_id, folder.id, folder.subtree_seq)


def changes(
    files: Files,
    principal: Principal,
    path: Path,
    cursor: Cursor | None,
    *,
    deep: bool,
    limit: int = LIMIT,
    wanted: Wanted = PLAIN,
    conditions: Conditions | None = None,
) -> Changes:
    """What a client with this ``cursor`` has to learn of a folder; of one without any, everything that is there.

    Who goes on with the cursors until there is no more has the folder as it is then, also while others change it. At
    most ``limit`` items, at least 1, are told.

    Raises:
        NotFound: there is nothing.
        NotAFolder: it is a file.
        CursorRefused: the cursor is of another folder, or too old.
        PreconditionFailed: a condition does not hold.
    """
    with files.database.snapshot() as session:
        place = locate(session, principal, path, Action.READ)
        folder = place.node
        if not folder.is_folder:
            raise NotAFolder(path=show(path))
        locks = Locks(session, folder.tree_id) if wanted.locks or conditions is not None else None
        if conditions is not None and locks is not None:
            require_conditions(files, session, principal, place, conditions, locks)
        if cursor is not None:
            _require_known(session, cursor, cursor_of(files.incarnation, folder), deep=deep)
        items = _items(session, folder, cursor, deep=deep, count=min(limit, LIMIT) + 1)
        told = items[: min(limit, LIMIT)]
        known: dict[int, dict[str, str]] = {}
        if wanted.properties:
            told, known = _with_properties(session, told)
        checksums = _checksums(session, told) if wanted.checksums else {}
        quota = edit.quota_of(session, folder.tree_id)
    extras = Extras(known, checksums, locks if wanted.locks else None)
    following, more = _following(cursor_of(files.incarnation, folder), cursor, told, len(told) < len(items), deep=deep)
    ways = {item.node.id: item.ids for item in told if item.node is not None} if wanted.locks else {}
    return Changes(place, told, extras, quota, following, more, ways)


def _require_known(session: Session, cursor: Cursor, now: Cursor, *, deep: bool) -> None:
    if cursor[:3] != now[:3]:
        raise CursorRefused(reason="the token is of another folder, or of another store")
    part = cursor.part
    known = NOTHING < cursor.seq <= now.seq if part is None else _is_consistent(cursor.seq, part, now.seq)
    if not known or (part is not None and part.deep != deep):
        raise CursorRefused(reason="no answer to this request had this token")
    # What is gone since can be told only as far back as it is known what was where.
    needed = part.begun if part is not None and cursor.seq == NOTHING else cursor.seq
    if needed < now.seq and needed < session.value(_FORGOTTEN, tree_id=cursor.tree_id):
        raise CursorRefused(reason="the token is too old")


def _is_consistent(seq: int, part: Part, newest: int) -> bool:
    in_order = NOTHING <= seq <= part.since <= part.begun <= newest
    begins = part.mark is None and part.since == part.begun
    return (
        in_order
        and part.begun > NOTHING
        and (seq == NOTHING) == (part.since == NOTHING)
        and (begins or part.mark is not None)
    )


def _items(session: Session, folder: Node, cursor: Cursor | None, *, deep: bool, count: int) -> list[Item]:
    if cursor is None:
        found = since.differences(session, folder, NOTHING, deep=deep)
    elif cursor.part is not None:
        part = cursor.part
        found = since.differences(session, folder, part.since, had=cursor.seq, deep=deep, after=part.mark)
    elif cursor.seq == folder.subtree_seq:
        return []
    else:
        found = since.differences(session, folder, cursor.seq, deep=deep)
    return list(islice(found, count))


def _following(now: Cursor, before: Cursor | None, told: list[Item], cut: bool, *, deep: bool) -> tuple[Cursor, bool]:
    """What the client knows next, and whether there is more.

    What it was told in parts was of different moments: it has to learn once more what changed since the first. It may
    still have what it had before that: what it lies in can have been gone while this would have been told.
    """
    part = None if before is None else before.part
    begun = now.seq if part is None or part.mark is None else part.begun
    had = NOTHING if before is None else before.seq
    if cut:
        return now._replace(seq=had, part=Part(part.since if part else had, begun, deep, told[-1].mark)), True
    if begun == now.seq:
        return now, False
    return now._replace(seq=begun if had == NOTHING else had, part=Part(begun, begun, deep, None)), True


def _with_properties(session: Session, items: list[Item]) -> tuple[list[Item], dict[int, dict[str, str]]]:
    """As many of the items as have not too much of them, and their properties."""
    known: dict[int, dict[str, str]] = {}
    chars = 0
    for start in range(0, len(items), _ITEMS_AT_A_TIME):
        found = properties.of(session, _ids(items[start : start + _ITEMS_AT_A_TIME]))
        known |= found
        chars += sum(len(name) + len(value) for each in found.values() for name, value in each.items())
        if chars > _PROPERTY_CHARS:
            return items[: start + _ITEMS_AT_A_TIME], known
    return items, known


def _checksums(session: Session, items: list[Item]) -> dict[int, str]:
    return {row[0]: row[1] for row in session.rows_by(_CHECKSUMS, _ids(items))}


def _ids(items: list[Item]) -> list[int]:
    return [item.node.id for item in items if item.node is not None]
