"""Opening files and listing folders, as they are now or as they were at a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from appliance import clock
from appliance.accounts.policy import Action
from appliance.backends.base import Buffer
from appliance.chunks.manifest import Kind
from appliance.chunks.rows import SMALL_COLUMNS, SMALL_JOIN, Small
from appliance.db.sql import Row, Seen, Session, Sql
from appliance.errors import NotFound
from appliance.files.context import Files, Place, locate, locate_with, require_conditions
from appliance.moments import Moment
from appliance.principal import Home, Principal
from appliance.shares import mounts
from appliance.tree import conditions as tree_conditions
from appliance.tree import edit, nodes, past, properties
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Lock, Locks
from appliance.tree.nodes import NOTHING, Beside, Chain, Node
from appliance.tree.paths import Path, name_key, show

# The file's content in the same statement as the file itself: each trip to a database that is elsewhere costs.
_OPENED = Beside(
    f"v.manifest, v.checksum, v.created_at, {SMALL_COLUMNS}",
    f"LEFT JOIN version v ON v.node_id = last.id AND v.seq = last.version_seq {SMALL_JOIN}",
)
# Most things have no dead properties, and need no second question.
_DECORATED = Beside("EXISTS (SELECT 1 FROM property p WHERE p.node_id = last.id)", "")
_CONTENT = Sql("SELECT manifest, checksum, created_at FROM version WHERE node_id = :node_id AND seq = :seq")
_CHECKSUMS = Sql("""
    SELECT v.node_id, v.checksum FROM node n JOIN version v ON v.node_id = n.id AND v.seq = n.version_seq
    WHERE n.parent_id = :parent_id AND v.checksum IS NOT NULL
""")
_CHECKSUMS_OF = Sql("""
    SELECT node_id, seq, checksum FROM version WHERE node_id IN (:node_ids*) AND checksum IS NOT NULL
""")
# One statement: a version of a node, wherever that is now, and the root that it is below.
_VERSION = Sql(f"""
    WITH RECURSIVE above (id, parent_id) AS (
        SELECT id, parent_id FROM node WHERE id = :node_id
        UNION ALL
        SELECT p.id, p.parent_id FROM node p JOIN above ON p.id = above.parent_id
    )
    SELECT (SELECT a.id FROM above a WHERE a.parent_id IS NULL), {nodes.columns_of("n")},
        v.size, v.modified_at, v.media_type, v.manifest, v.checksum, v.created_at, {SMALL_COLUMNS}
    FROM node n JOIN version v ON v.node_id = n.id AND v.seq = :seq {SMALL_JOIN} WHERE n.id = :node_id
""")
# What else its path named, or the node held, with a date of the same second.
_NAMESAKES = Sql("""
    SELECT 1 FROM version
    WHERE node_id = :node_id AND seq <> :seq AND modified_at >= :since AND modified_at < :until
    UNION ALL
    SELECT 1 FROM placement p JOIN version v ON v.node_id = p.node_id
    WHERE p.parent_id = :parent_id AND p.name_key = :name_key AND p.node_id <> :node_id
        AND v.modified_at >= :since AND v.modified_at < :until
    LIMIT 1
""")


class Opened(NamedTuple):
    """A file or folder with its ``chain``; the rest is of the file's current version. ``stored_at``: microseconds.

    ``small``: its bytes, if they are a row that was read at once.
    """

    node: Node
    chain: Chain
    manifest: bytes
    checksum: str | None
    stored_at: int
    small: Small | None = None


class Extras(NamedTuple):
    """What a listing needs only if it is asked for, by node id."""

    properties: dict[int, dict[str, str]]
    checksums: dict[int, str]
    locks: Locks | None


class Listing(NamedTuple):
    """A node with its members (none for files, or if they were not wanted). With members it is of one snapshot."""

    place: Place
    members: list[Node]
    extras: Extras
    quota_bytes: int | None

    @property
    def node(self) -> Node:
        return self.place.chain.last

    def locks_of(self, member: Node | None) -> list[Lock]:
        """The locks that cover the node itself (None) or one of its members."""
        if self.extras.locks is None:
            return []
        ids = self.place.chain.ids
        return self.extras.locks.covering(ids if member is None else (*ids, member.id))


def foresee_open(session: Session, home: Home, path: Path) -> None:
    """``open_path`` will be called, by somebody whose tree this is."""
    nodes.foresee_with(session, home.root_id, path, _OPENED, small=Kind.SMALL.value)


def open_path(
    files: Files,
    principal: Principal,
    path: Path,
    *,
    conditions: Conditions | None = None,
    moment: Moment | None = None,
    seen: Seen | None = None,
) -> Opened:
    """The file or folder that ``path`` names, or named at a moment. ``seen``: what ``foresee_open`` has brought.

    Raises:
        NotFound: there is none.
        PreconditionFailed: a condition does not hold.
    """
    if moment is not None:
        return _open_then(files, principal, path, conditions, moment)
    with files.database.read(seen) as session:
        place, row = locate_with(session, principal, path, Action.READ, _OPENED, small=Kind.SMALL.value)
        _require(files, session, principal, place, conditions)
    return _opened(place, row)


class OpenedVersion(NamedTuple):
    """A version of a file. ``opened.node`` is as if it were the current one; ``media_type`` None: as the name says."""

    opened: Opened
    media_type: str | None


def open_version(session: Session, principal: Principal, node_id: int, seq: int) -> OpenedVersion:
    """A version of a file that is there now, by its id.

    Raises:
        NotFound: the file is not there, or somebody else's, or has no such version.
    """
    mount = mounts.resolve(session, principal, (), Action.READ)
    row = session.row(_VERSION, node_id=node_id, seq=seq, small=Kind.SMALL.value)
    if row is None or row[0] != mount.root_id:
        raise NotFound(what="this version of this file")
    node_row, (size, modified_at, media_type, *content) = row[1 : 1 + len(Node._fields)], row[1 + len(Node._fields) :]
    node = Node._make(node_row)._replace(version_seq=seq, bytes=size, modified_at=modified_at)
    small = Small._make(content[3:]) if content[4] is not None else None
    chain = Chain(node, (node.id,), node)
    return OpenedVersion(Opened(node, chain, bytes(content[0]), content[1], content[2], small), media_type)


def _open_then(files: Files, principal: Principal, path: Path, conditions: Conditions | None, moment: Moment) -> Opened:
    with files.database.snapshot() as session:
        place = locate(session, principal, path, Action.READ, moment=moment)
        _require(files, session, principal, place, conditions)
        row = session.row(_CONTENT, node_id=place.node.id, seq=place.node.version_seq)
    return _opened(place, row)


def _require(files: Files, session: Session, principal: Principal, place: Place, conditions: Conditions | None) -> None:
    """That it is there, and the conditions hold."""
    _ = place.node
    if conditions is not None:
        require_conditions(files, session, principal, place, conditions, Locks(session, place.mount.tree_id))


def _opened(place: Place, row: Row | None) -> Opened:
    """``row``: of its version, and of its small content."""
    node = place.node
    if node.version_seq is None:
        return Opened(node, place.chain, b"", None, node.modified_at)
    assert row is not None
    small = Small._make(row[3:]) if row[4:] and row[4] is not None else None
    return Opened(node, place.chain, bytes(row[0]), row[1], row[2], small)


def exists(files: Files, principal: Principal, path: Path, action: Action = Action.READ) -> bool:
    """Whether ``path`` names something; ``action``: what this is asked for."""
    with files.database.read() as session:
        return locate(session, principal, path, action).exists


def is_folder(files: Files, principal: Principal, path: Path, action: Action = Action.READ) -> bool:
    """Whether ``path`` names a folder; ``action``: what this is asked for."""
    with files.database.read() as session:
        found = locate(session, principal, path, action).found
    return found is not None and found.is_folder


def unchanged_since(files: Files, opened: Opened, limit_s: int) -> bool:
    """Whether a client that knows it by this date knows what was opened."""
    with files.database.read() as session:
        return tree_conditions.unchanged_since(limit_s, opened.chain, session)


def is_named_by_date(files: Files, opened: Opened) -> bool:
    """Whether the second of its modification time names this content of a file alone, so that parts of it may be put
    together by it (RFC 9110 §8.8.2.2): the server gave it, and gave it to nothing else under this path.
    """
    node = opened.node
    second = node.modified_at // clock.SECOND
    if second != opened.stored_at // clock.SECOND:
        return False
    with files.database.read() as session:
        other = session.row(
            _NAMESAKES,
            node_id=node.id,
            seq=node.version_seq,
            parent_id=node.parent_id,
            name_key=name_key(node.name),
            since=second * clock.SECOND,
            until=(second + 1) * clock.SECOND,
        )
    return other is None


def require_changeable(files: Files, principal: Principal, path: Path, conditions: Conditions) -> None:
    """Refuse as a change of the properties of ``path`` would be, without making one.

    Raises:
        NotFound: there is nothing.
        PreconditionFailed: a condition does not hold.
        Locked: it is, and the token was not sent.
    """
    with files.database.read() as session:
        place = locate(session, principal, path, Action.WRITE)
        _ = place.node
        locks = Locks(session, place.mount.tree_id)
        require_conditions(files, session, principal, place, conditions, locks)
        locks.require(place.chain.ids, show(path), user_id=principal.user_id, tokens=conditions.tokens)


def content(files: Files, opened: Opened, start: int, end: int) -> Iterator[Buffer]:
    """Verified bytes of a range of an opened file, whatever happens to the file meanwhile."""
    return files.chunks.read(opened.manifest, start, end, opened.small)


def download(files: Files, principal: Principal, opened: Opened, start: int, end: int) -> Iterator[Buffer]:
    """``content`` for an answer to somebody: that it was sent, and how much of it, goes into the audit trail."""
    blocks = content(files, opened, start, end) if start < end else iter(())
    return blocks if files.downloads is None else files.downloads.counted(principal, opened.node, blocks)


def lend(files: Files, principal: Principal, opened: Opened, size: int) -> None:
    """Somebody was told where so many bytes are that this server will not send: in the audit trail a download."""
    if files.downloads is not None:
        files.downloads.lent(principal, opened.node, size)


def list_path(
    files: Files,
    principal: Principal,
    path: Path,
    *,
    members: bool,
    knows_members: Callable[[Place], bool] = lambda _: False,
    with_properties: bool = False,
    with_checksums: bool = False,
    with_locks: bool = False,
    conditions: Conditions | None = None,
    moment: Moment | None = None,
) -> Listing:
    """What ``path`` names, or named at a moment, with its members if it is a folder and they are wanted.

    They are left out if the caller ``knows_members`` already, from a listing of the same state. Dead properties, locks
    and the quota have no past: none are told of a moment.

    Raises:
        NotFound: there is nothing.
        PreconditionFailed: a condition does not hold.
    """
    # One thing alone needs no snapshot: what is read after its row is newer at most, as if asked a moment later.
    alone = not members and moment is None
    with files.database.read() if alone else files.database.snapshot() as session:
        if alone:
            also = _DECORATED if with_properties else NOTHING
            place, decorated = _locate_alone(session, principal, path, also)
        else:
            place, decorated = locate(session, principal, path, Action.READ, moment=moment), True
        node = place.node
        if conditions is not None:
            locks = Locks(session, place.mount.tree_id)
            require_conditions(files, session, principal, place, conditions, locks)
        lists = members and node.is_folder and not knows_members(place)
        if place.state is not None:
            found = past.children(session, node.id, place.state) if lists else []
            checksums = _checksums_then(session, [node, *found]) if with_checksums else {}
            return Listing(place, found, Extras({}, checksums, None), None)
        found = nodes.children(session, node.id) if lists else []
        extras = Extras(
            _properties(session, node, found) if with_properties and decorated else {},
            _checksums(session, node, found) if with_checksums else {},
            Locks(session, place.mount.tree_id) if with_locks else None,
        )
        quota = edit.quota_of(session, place.mount.tree_id) if node.is_folder else None
    return Listing(place, found, extras, quota)


def _locate_alone(session: Session, principal: Principal, path: Path, also: Beside) -> tuple[Place, bool]:
    """And whether it may have dead properties, where that is what is ``also`` asked."""
    place, beside = locate_with(session, principal, path, Action.READ, also)
    return place, not beside or beside[0]


def _properties(session: Session, node: Node, members: list[Node]) -> dict[int, dict[str, str]]:
    found = properties.of(session, [node.id])
    return found | properties.of_members(session, node.id) if members else found


def _checksums(session: Session, node: Node, members: list[Node]) -> dict[int, str]:
    found: dict[int, str] = {}
    if node.version_seq is not None:
        row = session.row(_CONTENT, node_id=node.id, seq=node.version_seq)
        if row is not None and row[1] is not None:
            found[node.id] = row[1]
    if members:
        found |= {row[0]: row[1] for row in session.rows(_CHECKSUMS, parent_id=node.id)}
    return found


def _checksums_then(session: Session, found: list[Node]) -> dict[int, str]:
    current = {node.id: node.version_seq for node in found if node.version_seq is not None}
    rows = session.rows_by(_CHECKSUMS_OF, list(current))
    return {node_id: checksum for node_id, seq, checksum in rows if current[node_id] == seq}
