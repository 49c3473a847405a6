"""Live properties: what each one says about nodes, ready to be sent.

A property has an element for each kind of node that has it at all, and a column: a function from nodes to the values
that its elements are filled with, node by node. A listing has thousands of entries, and a call for each property of
each of them would cost more than all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from appliance import clock
from appliance.files.context import Place
from appliance.files.read import Extras
from appliance.files.sync import cursor_of
from appliance.tree.locks import Lock
from appliance.tree.nodes import FILE, FOLDER, Node, etags
from providers.dav import win32
from providers.dav.conditions import format_http_date, format_iso_date
from providers.dav.paths import encode_path
from providers.dav.sync_tokens import write_token
from providers.dav.xml_out import OWNCLOUD_NS, escape
from providers.front.content_types import content_types_of

Column = Callable[[Sequence[Node]], Sequence[object]]

CHECKSUMS = f"{{{OWNCLOUD_NS}}}checksums"
LOCKDISCOVERY = "{DAV:}lockdiscovery"
QUOTA_AVAILABLE = "{DAV:}quota-available-bytes"
QUOTA_USED = "{DAV:}quota-used-bytes"
CREATIONDATE = "{DAV:}creationdate"
LASTMODIFIED = "{DAV:}lastmodified"
GETLASTMODIFIED = "{DAV:}getlastmodified"
SYNC_TOKEN = "{DAV:}sync-token"

SYNC_TOKEN_ELEMENT = "<D:sync-token>%s</D:sync-token>"

SUPPORTED_LOCK = (
    "<D:supportedlock>"
    "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    "<D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    "</D:supportedlock>"
)

# RFC 3253 §3.1.5: what REPORT answers.
_SUPPORTED_REPORTS = (
    "<D:supported-report-set><D:supported-report><D:report><D:sync-collection/></D:report></D:supported-report>"
    "</D:supported-report-set>"
)

# What allprop tells. Locks, quota, display name and what is for sync are told when they are asked for by name: a
# Windows client reads at most 1,000,000 bytes of a listing, and always asks for all.
ALLPROP = (
    "{DAV:}resourcetype",
    CREATIONDATE,
    "{DAV:}getcontentlength",
    "{DAV:}getcontenttype",
    "{DAV:}getetag",
    GETLASTMODIFIED,
)


def _of_both(element: str) -> dict[int, str]:
    return {FILE: element, FOLDER: element}


# By kind of node; ``%s`` stands for a node's value.
ELEMENTS: Mapping[str, Mapping[int, str]] = {
    "{DAV:}resourcetype": {
        FILE: "<D:resourcetype/>",
        FOLDER: "<D:resourcetype><D:collection/></D:resourcetype>",
    },
    CREATIONDATE: _of_both("<D:creationdate>%s</D:creationdate>"),
    "{DAV:}getcontentlength": {FILE: "<D:getcontentlength>%s</D:getcontentlength>"},
    "{DAV:}getcontenttype": {FILE: "<D:getcontenttype>%s</D:getcontenttype>"},
    "{DAV:}getetag": _of_both("<D:getetag>%s</D:getetag>"),
    GETLASTMODIFIED: _of_both("<D:getlastmodified>%s</D:getlastmodified>"),
    "{DAV:}displayname": _of_both("<D:displayname>%s</D:displayname>"),
    "{DAV:}supportedlock": _of_both(SUPPORTED_LOCK),
    win32.MODIFIED: _of_both("<Z:Win32LastModifiedTime>%s</Z:Win32LastModifiedTime>"),
    f"{{{OWNCLOUD_NS}}}size": _of_both("<oc:size>%s</oc:size>"),
    QUOTA_AVAILABLE: {FOLDER: "<D:quota-available-bytes>%s</D:quota-available-bytes>"},
    QUOTA_USED: {FOLDER: "<D:quota-used-bytes>%s</D:quota-used-bytes>"},
    CHECKSUMS: _of_both("<oc:checksums><oc:checksum>%s</oc:checksum></oc:checksums>"),
    LOCKDISCOVERY: _of_both("<D:lockdiscovery>%s</D:lockdiscovery>"),
    SYNC_TOKEN: {FOLDER: SYNC_TOKEN_ELEMENT},
    "{DAV:}supported-report-set": {FOLDER: _SUPPORTED_REPORTS},
}

# Of the past: no locks, no room, nothing to sync. What a folder held in sum is not known.
PAST_ELEMENTS: Mapping[str, Mapping[int, str]] = {
    **{
        name: elements
        for name, elements in ELEMENTS.items()
        if name not in (QUOTA_AVAILABLE, QUOTA_USED, LOCKDISCOVERY, SYNC_TOKEN)
        and name not in ("{DAV:}supportedlock", "{DAV:}supported-report-set")
    },
    f"{{{OWNCLOUD_NS}}}size": {FILE: ELEMENTS[f"{{{OWNCLOUD_NS}}}size"][FILE]},
}

LIVE = frozenset(ELEMENTS)
"""Every live property."""

OPTIONAL = frozenset((QUOTA_AVAILABLE, CHECKSUMS))
"""Those whose column may hold None: such a node has no such property."""

UNSETTLED = frozenset((QUOTA_AVAILABLE, QUOTA_USED, LOCKDISCOVERY))
"""Those that can change for a member of a folder while the folder's ``subtree_seq`` stays."""

SETTABLE = frozenset((win32.MODIFIED, LASTMODIFIED, GETLASTMODIFIED))
"""Those by which a client sets the modification time; ``lastmodified`` is only written (rclone, ownCloud)."""


def creation_dates(nodes: Sequence[Node], properties: Mapping[int, Mapping[str, str]]) -> list[str]:
    """``properties``: the dead ones by node, among them when a client says that the file was made."""
    if not properties:
        seconds = [node.created_at // clock.SECOND for node in nodes]
    else:
        seconds = [win32.created_seconds(node, properties.get(node.id)) for node in nodes]
    shown = {second: format_iso_date(second * clock.SECOND) for second in set(seconds)}
    return [shown[second] for second in seconds]


def modification_dates(nodes: Sequence[Node]) -> list[str]:
    """Files that were made together share their seconds."""
    seconds = [node.modified_at // clock.SECOND for node in nodes]
    shown = {second: format_http_date(second) for second in set(seconds)}
    return [shown[second] for second in seconds]


def _lengths(nodes: Sequence[Node]) -> list[int]:
    return [node.bytes for node in nodes]


def _content_types(nodes: Sequence[Node]) -> list[str]:
    return content_types_of([node.name for node in nodes])


def _display_names(nodes: Sequence[Node]) -> list[str]:
    return [escape(node.name) for node in nodes]


_PLAIN: Mapping[str, Column] = {
    "{DAV:}getcontentlength": _lengths,
    "{DAV:}getcontenttype": _content_types,
    GETLASTMODIFIED: modification_dates,
    "{DAV:}displayname": _display_names,
    win32.MODIFIED: modification_dates,
    f"{{{OWNCLOUD_NS}}}size": _lengths,
}


class Told(Protocol):
    """What nodes were read with: a listing, or the changes of a folder."""

    @property
    def place(self) -> Place: ...

    @property
    def extras(self) -> Extras: ...

    @property
    def quota_bytes(self) -> int | None: ...

    def locks_of(self, member: Node | None, /) -> list[Lock]: ...


class Columns:
    """The columns of one listing, by the names of properties whose elements have a ``%s``."""

    def __init__(self, listing: Told, *, incarnation: str, prefix: str, free_bytes: int | None) -> None:
        self._listing = listing
        self._incarnation = incarnation
        self._prefix = prefix
        self._free = free_bytes

    def __getitem__(self, name: str) -> Column:
        plain = _PLAIN.get(name)
        if plain is not None:
            return plain
        return partial(_BOUND[name], self)

    def _creation_dates(self, nodes: Sequence[Node]) -> list[str]:
        return creation_dates(nodes, self._listing.extras.properties)

    def _etags(self, nodes: Sequence[Node]) -> list[str]:
        return etags(nodes, self._incarnation)

    def _sync_tokens(self, nodes: Sequence[Node]) -> list[str]:
        return [write_token(cursor_of(self._incarnation, node)) for node in nodes]

    def _quota_available(self, nodes: Sequence[Node]) -> list[int | None]:
        """RFC 4331 §3, on folders: what the quota leaves, else what the store has."""
        room = self._free
        if self._listing.quota_bytes is not None:
            left = max(self._listing.quota_bytes - self._listing.place.chain.root.bytes, 0)
            room = left if room is None else min(left, room)
        return [room] * len(nodes)

    def _quota_used(self, nodes: Sequence[Node]) -> list[int]:
        return [self._listing.place.chain.root.bytes] * len(nodes)

    def _checksums(self, nodes: Sequence[Node]) -> list[str | None]:
        known = self._listing.extras.checksums
        return [known.get(node.id) for node in nodes]

    def _locks(self, nodes: Sequence[Node]) -> list[str]:
        return [self._locks_of(node) for node in nodes]

    def _locks_of(self, node: Node) -> str:
        member = None if node.id == self._listing.place.chain.last.id else node
        # A lock that is on something above can only be on a folder.
        held = [(lock, node.is_folder or lock.node_id != node.id) for lock in self._listing.locks_of(member)]
        return active_locks(held, self._prefix)


_BOUND: Mapping[str, Callable[[Columns, Sequence[Node]], Sequence[object]]] = {
    CREATIONDATE: Columns._creation_dates,
    "{DAV:}getetag": Columns._etags,
    QUOTA_AVAILABLE: Columns._quota_available,
    QUOTA_USED: Columns._quota_used,
    CHECKSUMS: Columns._checksums,
    LOCKDISCOVERY: Columns._locks,
    SYNC_TOKEN: Columns._sync_tokens,
}


def lockdiscovery(locks: Iterable[tuple[Lock, bool]], prefix: str) -> str:
    """The active locks (RFC 4918 §15.8), each with whether it is on a folder."""
    return f"<D:lockdiscovery>{active_locks(locks, prefix)}</D:lockdiscovery>"


def active_locks(locks: Iterable[tuple[Lock, bool]], prefix: str) -> str:
    """What stands within ``lockdiscovery``."""
    return "".join([_activelock(lock, prefix, on_folder=on_folder) for lock, on_folder in locks])


def _activelock(lock: Lock, prefix: str, *, on_folder: bool) -> str:
    # Rounded up: what was granted this moment is told as granted, and a lock that is held has time left.
    left_s = max(-(-(lock.expires_at - clock.now()) // clock.SECOND), 1)
    root = encode_path([name for name in lock.path.split("/") if name], on_folder, prefix)
    return (
        f"<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{lock.scope}/></D:lockscope>"
        f"<D:depth>{lock.depth}</D:depth>{lock.owner or ''}<D:timeout>Second-{left_s}</D:timeout>"
        f"<D:locktoken><D:href>{lock.token}</D:href></D:locktoken>"
        f"<D:lockroot><D:href>{escape(root)}</D:href></D:lockroot></D:activelock>"
    )


def kinds(names: tuple[str, ...]) -> tuple[bool, bool, bool]:
    """Whether these names need dead properties, checksums, locks."""
    dead = any(name not in LIVE or name == CREATIONDATE for name in names)
    return dead, CHECKSUMS in names, LOCKDISCOVERY in names
