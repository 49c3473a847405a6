"""Files and folders by their ids, which they keep wherever they go: also those in the trash."""

from __future__ import annotations

from typing import NamedTuple

from appliance.accounts.policy import Action
from appliance.chunks.manifest import Kind
from appliance.db.sql import Session, Sql
from appliance.errors import NotAFolder, NotFound
from appliance.files.context import Files, Where, locate, path_of
from appliance.files.digests import known_sha256
from appliance.principal import Principal
from appliance.shares import mounts
from appliance.tree import nodes, trash
from appliance.tree.nodes import Node
from appliance.tree.paths import Path, show
from appliance.tree.trash import Removed

LIMIT = 1000
"""Entries of one page at most."""

_Content = tuple[str | None, str | None]
_NONE: _Content = (None, None)


class Entry(NamedTuple):
    """A file or folder; the SHA-256 (hex) and the media type are of the current version, None if nobody knows them.

    ``removed``: the top of what it is in, in the trash, which is itself if nothing else was removed with it; None: it
    is not there. Then ``path`` is where it was.
    """

    node: Node
    path: Path
    sha256: str | None = None
    media_type: str | None = None
    removed: Removed | None = None

    @property
    def parent_id(self) -> int | None:
        """The folder that it is in, or was."""
        if self.removed is not None and self.removed.node_id == self.node.id:
            return self.removed.parent_id
        return self.node.parent_id


class Page(NamedTuple):
    """Entries, and whether more follow."""

    entries: list[Entry]
    more: bool


class Members(NamedTuple):
    """A folder and a page of what is in it."""

    folder: Entry
    page: Page


# Of long contents the manifest, which is long as well, does not tell the SHA-256.
_CONTENTS = Sql("""
    SELECT v.node_id, v.checksum, v.media_type, CASE WHEN LENGTH(v.manifest) <= :short THEN v.manifest END
    FROM node n JOIN version v ON v.node_id = n.id AND v.seq = n.version_seq WHERE n.id IN (:ids*)
""")
_SHORT = 64


def find_by_id(session: Session, principal: Principal, node_id: int, action: Action = Action.READ) -> Entry:
    """The principal's file or folder, wherever it is: in the tree, or in the trash.

    Raises:
        NotFound: there is none, or it is somebody else's: which of the two is not told. Also if it is gone from the
            trash, and only the past shows it.
    """
    mount = mounts.resolve(session, principal, (), action)
    above = nodes.above(session, node_id)
    node = nodes.get(session, node_id)
    if node is None or not above or node.tree_id != mount.tree_id:
        raise NotFound(what=f"the file or folder {node_id}")
    content = _contents(session, [node]).get(node_id, _NONE)
    names = tuple(name for _, name in above[1:])
    if above[0][0] == mount.root_id:
        return Entry(node, names, *content)
    removed = trash.get(session, mount.tree_id, above[0][0])
    if removed is None:
        raise NotFound(what=f"the file or folder {node_id}")
    return Entry(node, (*removed.names, *names), *content, removed)


def get(files: Files, principal: Principal, node_id: int, action: Action = Action.READ) -> Entry:
    """``find_by_id`` in a session of its own."""
    with files.database.snapshot() as session:
        return find_by_id(session, principal, node_id, action)


def list_members(files: Files, principal: Principal, folder: Where, *, after: int = 0, count: int = LIMIT) -> Members:
    """The members of a folder whose ids are above ``after``, in the order of ids.

    An id never changes: whatever is added, renamed and removed from page to page, no page shows a member twice, and
    none leaves one out that was in the folder all along.

    Raises:
        NotFound: there is no such folder.
        NotAFolder: it is a file.
    """
    with files.database.snapshot() as session:
        path = path_of(session, principal, folder, Action.READ)
        node = locate(session, principal, path, Action.READ).node
        if not node.is_folder:
            raise NotAFolder(path=show(path))
        found = nodes.members_after(session, node.id, after, count=count + 1)
        contents = _contents(session, found[:count])
        entries = [Entry(each, (*path, each.name), *contents.get(each.id, _NONE)) for each in found[:count]]
        return Members(Entry(node, path), Page(entries, len(found) > count))


def list_trash(files: Files, principal: Principal, *, before: int | None = None, count: int = LIMIT) -> Page:
    """What is in the trash, the last removed first; only what was removed by a change before ``before``."""
    with files.database.snapshot() as session:
        mount = mounts.resolve(session, principal, (), Action.READ)
        found = trash.before(session, mount.tree_id, before, count=count + 1)
        tops = {each.id: each for each in nodes.get_each(session, [removed.node_id for removed in found[:count]])}
        contents = _contents(session, list(tops.values()))
        entries = [
            Entry(tops[each.node_id], each.names, *contents.get(each.node_id, _NONE), each) for each in found[:count]
        ]
        return Page(entries, len(found) > count)


def _contents(session: Session, found: list[Node]) -> dict[int, _Content]:
    """SHA-256 and media type of each file."""
    ids = [node.id for node in found if node.version_seq is not None]
    return {
        # A manifest of segments stands for all that do not tell it.
        node_id: (known_sha256(Kind.SEGMENTED.value if head is None else bytes(head), checksum), media_type)
        for node_id, checksum, media_type, head in session.rows_by(_CONTENTS, ids, short=_SHORT)
    }
