"""Live properties: what each one says about a node, ready to be sent.

A property is a function from a node to its XML element, or None where the node has no such property. For a listing
the functions of the wanted names are looked up once (``Renderer``) and then called for each entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from appliance import clock
from appliance.files.read import Listing
from appliance.tree.locks import Lock
from appliance.tree.nodes import Node
from providers.dav.conditions import format_http_date, format_iso_date
from providers.dav.content_types import content_type_of
from providers.dav.paths import encode_path
from providers.dav.xml_out import OWNCLOUD_NS, WIN32_NS, escape

Property = Callable[[Node], str | None]

CHECKSUMS = f"{{{OWNCLOUD_NS}}}checksums"
LOCKDISCOVERY = "{DAV:}lockdiscovery"
QUOTA_AVAILABLE = "{DAV:}quota-available-bytes"
WIN32_MODIFIED = f"{{{WIN32_NS}}}Win32LastModifiedTime"
LASTMODIFIED = "{DAV:}lastmodified"
GETLASTMODIFIED = "{DAV:}getlastmodified"

SUPPORTED_LOCK = (
    "<D:supportedlock>"
    "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    "<D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    "</D:supportedlock>"
)

# What allprop tells. Locks, quota and display name are told when they are asked for by name: a Windows client
# reads at most 1,000,000 bytes of a listing, and always asks for all.
ALLPROP = (
    "{DAV:}resourcetype",
    "{DAV:}creationdate",
    "{DAV:}getcontentlength",
    "{DAV:}getcontenttype",
    "{DAV:}getetag",
    GETLASTMODIFIED,
)


def resourcetype(node: Node) -> str:
    return "<D:resourcetype><D:collection/></D:resourcetype>" if node.is_folder else "<D:resourcetype/>"


def creationdate(node: Node) -> str:
    return f"<D:creationdate>{format_iso_date(node.created_at)}</D:creationdate>"


def getlastmodified(node: Node) -> str:
    return f"<D:getlastmodified>{format_http_date(node.modified_at // clock.SECOND)}</D:getlastmodified>"


def getcontentlength(node: Node) -> str | None:
    return None if node.is_folder else f"<D:getcontentlength>{node.bytes}</D:getcontentlength>"


def getcontenttype(node: Node) -> str | None:
    return None if node.is_folder else f"<D:getcontenttype>{content_type_of(node.name)}</D:getcontenttype>"


def displayname(node: Node) -> str:
    return f"<D:displayname>{escape(node.name)}</D:displayname>"


def supportedlock(_: Node) -> str:
    return SUPPORTED_LOCK


def win32_modified(node: Node) -> str:
    return f"<Z:Win32LastModifiedTime>{format_http_date(node.modified_at // clock.SECOND)}</Z:Win32LastModifiedTime>"


def oc_size(node: Node) -> str:
    return f"<oc:size>{node.bytes}</oc:size>"


_PLAIN: Mapping[str, Property] = {
    "{DAV:}resourcetype": resourcetype,
    "{DAV:}creationdate": creationdate,
    "{DAV:}getcontentlength": getcontentlength,
    "{DAV:}getcontenttype": getcontenttype,
    GETLASTMODIFIED: getlastmodified,
    "{DAV:}displayname": displayname,
    "{DAV:}supportedlock": supportedlock,
    WIN32_MODIFIED: win32_modified,
    f"{{{OWNCLOUD_NS}}}size": oc_size,
}

# These need more than the node.
_BOUND = ("{DAV:}getetag", QUOTA_AVAILABLE, "{DAV:}quota-used-bytes", CHECKSUMS, LOCKDISCOVERY)

LIVE = frozenset((*_PLAIN, *_BOUND))
"""Every live property."""

SETTABLE = frozenset((WIN32_MODIFIED, LASTMODIFIED, GETLASTMODIFIED))
"""Those by which a client sets the modification time; ``lastmodified`` is only written (rclone, ownCloud)."""


class Bound:
    """Live properties of one listing: plain ones, and those that need its context."""

    def __init__(self, listing: Listing, *, incarnation: str, prefix: str, free_bytes: int | None) -> None:
        self._listing = listing
        self._incarnation = incarnation
        self._prefix = prefix
        self._free = free_bytes

    def property(self, name: str) -> Property | None:
        """The function of a live property, None for a name that is none."""
        plain = _PLAIN.get(name)
        if plain is not None:
            return plain
        bound: Mapping[str, Property] = {
            "{DAV:}getetag": self._getetag,
            QUOTA_AVAILABLE: self._quota_available,
            "{DAV:}quota-used-bytes": self._quota_used,
            CHECKSUMS: self._checksums,
            LOCKDISCOVERY: self._lockdiscovery,
        }
        return bound.get(name)

    def _getetag(self, node: Node) -> str:
        return f"<D:getetag>{node.etag(self._incarnation)}</D:getetag>"

    def _quota_available(self, node: Node) -> str | None:
        """RFC 4331 §3, on folders: what the quota leaves, else what the store has."""
        if not node.is_folder:
            return None
        room = self._free
        if self._listing.quota_bytes is not None:
            left = max(self._listing.quota_bytes - self._listing.place.chain[0].bytes, 0)
            room = left if room is None else min(left, room)
        return None if room is None else f"<D:quota-available-bytes>{room}</D:quota-available-bytes>"

    def _quota_used(self, node: Node) -> str | None:
        if not node.is_folder:
            return None
        return f"<D:quota-used-bytes>{self._listing.place.chain[0].bytes}</D:quota-used-bytes>"

    def _checksums(self, node: Node) -> str | None:
        checksum = self._listing.extras.checksums.get(node.id)
        return None if checksum is None else f"<oc:checksums><oc:checksum>{checksum}</oc:checksum></oc:checksums>"

    def _lockdiscovery(self, node: Node) -> str:
        member = None if node.id == self._listing.node.id else node
        # A lock that is on something above can only be on a folder.
        held = [(lock, node.is_folder or lock.node_id != node.id) for lock in self._listing.locks_of(member)]
        return lockdiscovery(held, self._prefix)


def lockdiscovery(locks: Iterable[tuple[Lock, bool]], prefix: str) -> str:
    """The active locks (RFC 4918 §15.8), each with whether it is on a folder."""
    shown = [_activelock(lock, prefix, on_folder=on_folder) for lock, on_folder in locks]
    return f"<D:lockdiscovery>{''.join(shown)}</D:lockdiscovery>"


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


@lru_cache(maxsize=256)
def kinds(names: tuple[str, ...]) -> tuple[bool, bool, bool]:
    """Whether these names need dead properties, checksums, locks."""
    return any(name not in LIVE for name in names), CHECKSUMS in names, LOCKDISCOVERY in names
