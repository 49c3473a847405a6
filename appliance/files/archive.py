"""A folder with all below it, one after the other, for who packs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from appliance.accounts.policy import Action
from appliance.backends.base import Buffer
from appliance.db.sql import Sql
from appliance.errors import NotAFolder, NotFound
from appliance.files.context import Files, path_of
from appliance.principal import Principal
from appliance.tree import nodes
from appliance.tree.nodes import Node
from appliance.tree.paths import Path, show

Rename = Callable[[Sequence[str]], Sequence[str]]
"""What the members of a folder are to be called."""

_MANIFEST = Sql("SELECT manifest FROM version WHERE node_id = :node_id AND seq = :seq")


class Member(NamedTuple):
    """A file or folder of an archive; a folder comes before what is in it. ``path``: from the packed folder on."""

    path: Path
    node: Node


def find_folder(files: Files, principal: Principal, node_id: int) -> Node:
    """The folder with this id.

    Raises:
        NotFound: it is not there, or somebody else's.
        NotAFolder
    """
    with files.database.read() as session:
        path = path_of(session, principal, node_id, Action.READ)
        node = nodes.get(session, node_id)
    if node is None:
        raise NotFound(what=f"the file or folder {node_id}")
    if not node.is_folder:
        raise NotAFolder(path=show(path))
    return node


def members(files: Files, folder: Node, rename: Rename) -> Iterator[Member]:
    """All below a folder, which the caller has found the principal may read. Each folder is as it is when it is
    reached: what is changed meanwhile may be there as it was or as it is.
    """
    # A stack of our own: trees are deeper than calls may be.
    open_: list[tuple[Path, int]] = [((), folder.id)]
    while open_:
        above, node_id = open_.pop()
        with files.database.read() as session:
            found = nodes.children(session, node_id)
        folders: list[tuple[Path, int]] = []
        for node, name in zip(found, rename([node.name for node in found]), strict=True):
            path = (*above, name)
            yield Member(path, node)
            if node.is_folder:
                folders.append((path, node.id))
        open_ += reversed(folders)


def content(files: Files, principal: Principal, node: Node) -> Iterator[Buffer]:
    """Verified bytes of a file as it was when it was listed, also if it was changed or removed since. Noted as read.

    Raises:
        NotFound: that version is kept no more.
    """
    with files.database.read() as session:
        row = session.row(_MANIFEST, node_id=node.id, seq=node.version_seq)
    if row is None:
        raise NotFound(what=f"the content of {node.name}")
    blocks = files.chunks.read(bytes(row[0]), 0, node.bytes)
    yield from blocks if files.downloads is None else files.downloads.counted(principal, node, blocks)
