"""PROPFIND: one query for a whole folder, and text instead of element trees, sent as it is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from appliance.files import read
from appliance.files.context import Place
from appliance.files.read import Listing
from appliance.tree.nodes import Node
from providers.dav import answer, live, xml_out
from providers.dav.blocks import in_blocks, multistatus
from providers.dav.entries import Entries
from providers.dav.headers import parse_depth
from providers.dav.listings import Key, Listings
from providers.dav.live import Columns
from providers.dav.paths import encode_names, encode_path
from providers.dav.preferences import Preferences, preferences
from providers.dav.request import DavRequest
from providers.dav.xml_in import PropfindRequest, parse_propfind
from providers.front.messages import Answer


def propfind(request: DavRequest) -> Answer:
    """RFC 4918 §9.1. ``Depth: infinity`` is refused for folders, as §9.1.1 allows; of a file it says nothing."""
    depth = parse_depth(request.header("HTTP_DEPTH"), "infinity", ("0", "1", "infinity"))
    wanted = parse_propfind(request.xml(), limit_bytes=request.face.max_xml_bytes)
    followed = preferences(request, below=depth == "1")
    if depth == "0" and wanted.mode == "allprop":
        # Libraries learn the quota so. In a listing it would be the same for each folder, and cost room.
        wanted = replace(wanted, include=tuple(dict.fromkeys((*wanted.include, live.QUOTA_AVAILABLE, live.QUOTA_USED))))
    wanted = followed.of(wanted)
    known = _Known(request, wanted, members=depth == "1")
    listing = _read(request, wanted, known, members=depth == "1")
    if depth == "infinity" and listing.node.is_folder:
        return refuse_infinity()
    return _answer(request, wanted, known, listing, followed)


class _Known:
    """The members' entries of a listing that was written before, if there is one."""

    def __init__(self, request: DavRequest, wanted: PropfindRequest, *, members: bool) -> None:
        self.blocks: list[bytes] | None = None
        self._incarnation = request.files.incarnation
        self._listings = request.face.listings if members and Listings.can_keep(wanted) else None
        self._prefix = request.face.prefix
        self._wanted = wanted

    def find(self, place: Place) -> bool:
        """Whether it was written before."""
        if self._listings is not None:
            self.blocks = self._listings.find(self._key(place))
        return self.blocks is not None

    def keep(self, listing: Listing, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Passes ``blocks`` on, for the next time."""
        if self._listings is None:
            return blocks
        return self._listings.keep(self._key(listing.place), len(listing.members), blocks)

    def _key(self, place: Place) -> Key:
        href = encode_path(place.path, place.node.is_folder, self._prefix)
        return Key(self._incarnation, place.node.id, place.node.subtree_seq, href, self._wanted)


def refuse_infinity() -> Answer:
    """RFC 4918 §9.1.1."""
    return answer.xml(403, xml_out.error_body("propfind-finite-depth", (), "list folder by folder, with Depth 1"))


def _read(request: DavRequest, wanted: PropfindRequest, known: _Known, *, members: bool) -> Listing:
    with_dead, with_checksums, with_locks = _needs(wanted)
    return read.list_path(
        request.files,
        request.principal,
        request.path,
        members=members,
        knows_members=known.find,
        with_properties=with_dead,
        with_checksums=with_checksums,
        with_locks=with_locks,
        conditions=request.if_conditions(),
        moment=request.face.moment,
    )


def _answer(
    request: DavRequest, wanted: PropfindRequest, known: _Known, listing: Listing, followed: Preferences
) -> Answer:
    columns = Columns(
        listing,
        incarnation=request.files.incarnation,
        prefix=request.face.prefix,
        free_bytes=request.files.free_bytes() if _asks_for_room(wanted) else None,
    )
    entries = Entries(wanted, columns, listing.extras.properties, past=listing.place.state is not None)
    href = encode_path(listing.place.path, listing.node.is_folder, request.face.prefix)
    # A file has nothing below it that could be asked for instead of it.
    followed = followed._replace(noroot=followed.noroot and listing.node.is_folder)
    root = "" if followed.noroot else entries.write([href], [listing.node])
    headers = followed.headers()
    if listing.node.is_folder and not request.trailing_slash:
        # RFC 4918 §5.2: where the folder is, for who asked without its slash.
        headers.append(("Content-Location", href))
    if known.blocks is None:
        return multistatus(headers, root, known.keep(listing, _members(listing, entries, href)))
    return multistatus(headers, root, known.blocks)


def _needs(wanted: PropfindRequest) -> tuple[bool, bool, bool]:
    if wanted.mode == "prop":
        return live.kinds(wanted.names)
    if wanted.mode == "propname":
        # Which of the files have a checksum; that they have locks to tell of is true of all.
        return True, True, False
    _, checksums, locks = live.kinds(wanted.include)
    return True, checksums, locks


def _asks_for_room(wanted: PropfindRequest) -> bool:
    return wanted.mode == "propname" or live.QUOTA_AVAILABLE in (*wanted.names, *wanted.include)


def _members(listing: Listing, entries: Entries, href: str) -> Iterator[bytes]:
    def write(members: Sequence[Node]) -> str:
        names = encode_names([node.name for node in members])
        hrefs = [f"{href}{name}/" if node.is_folder else href + name for name, node in zip(names, members, strict=True)]
        return entries.write(hrefs, members)

    return in_blocks(listing.members, write)
