"""PROPFIND: one query for a whole folder, and text instead of element trees, sent as it is made."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from appliance.files import read
from appliance.files.read import Listing
from appliance.tree.nodes import Node
from providers.dav import answer, live, xml_out
from providers.dav.answer import Answer
from providers.dav.headers import parse_depth
from providers.dav.live import Bound, Property
from providers.dav.paths import encode_name, encode_path
from providers.dav.request import DavRequest
from providers.dav.xml_in import PropfindRequest, parse_propfind
from providers.dav.xml_out import empty_property, escape, missing_propstat

# Entries that become one block; an answer of one block is sent with its length, which every client understands.
_ENTRIES_A_BLOCK = 1_000


def propfind(request: DavRequest) -> Answer:
    """RFC 4918 §9.1. ``Depth: infinity`` is refused for folders, as §9.1.1 allows; of a file it says nothing."""
    depth = parse_depth(request.header("HTTP_DEPTH"), "infinity", ("0", "1", "infinity"))
    wanted = parse_propfind(request.xml(), limit_bytes=request.face.max_xml_bytes)
    listing = _read(request, wanted, members=depth == "1")
    if depth == "infinity" and listing.node.is_folder:
        return refuse_infinity()
    return _answer(request, wanted, listing)


def refuse_infinity() -> Answer:
    """RFC 4918 §9.1.1."""
    return answer.xml(403, xml_out.error_body("propfind-finite-depth", (), "list folder by folder, with Depth 1"))


def _read(request: DavRequest, wanted: PropfindRequest, *, members: bool) -> Listing:
    with_dead, with_checksums, with_locks = _needs(wanted)
    return read.list_path(
        request.files,
        request.principal,
        request.path,
        members=members,
        with_properties=with_dead,
        with_checksums=with_checksums,
        with_locks=with_locks,
        conditions=request.if_conditions(),
    )


def _answer(request: DavRequest, wanted: PropfindRequest, listing: Listing) -> Answer:
    bound = Bound(
        listing,
        incarnation=request.files.incarnation,
        prefix=request.face.prefix,
        free_bytes=request.files.free_bytes() if _asks_for_room(wanted) else None,
    )
    blocks = _blocks(listing, _entry_writer(wanted, listing, bound), request.face.prefix)
    if len(listing.members) < _ENTRIES_A_BLOCK:
        return answer.xml(207, b"".join(blocks))
    return Answer(207, [("Content-Type", xml_out.CONTENT_TYPE)], blocks)


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


def _blocks(listing: Listing, writer: _EntryWriter, prefix: str) -> Iterator[bytes]:
    base = encode_path(listing.place.path, listing.node.is_folder, prefix)
    head = xml_out.multistatus_head() + writer.entry(base, listing.node)
    members = iter(listing.members)
    while True:
        entries = [
            writer.entry(f"{base}{encode_name(node.name)}/" if node.is_folder else base + encode_name(node.name), node)
            for node in islice(members, _ENTRIES_A_BLOCK)
        ]
        last = len(entries) < _ENTRIES_A_BLOCK
        text = head + "".join(entries) + (xml_out.multistatus_tail() if last else "")
        yield text.encode("utf-8", "replace")
        if last:
            return
        head = ""


class _EntryWriter:
    """Writes the response element of one node: live properties, dead ones, and what it lacks."""

    def __init__(
        self,
        properties: list[tuple[str, Property | None]],
        listing: Listing,
        *,
        all_dead: bool,
        report: bool,
        bare: bool,
    ) -> None:
        self._live = [(name, render) for name, render in properties if render is not None]
        self._dead = [name for name, render in properties if render is None]
        self._values = listing.extras.properties
        self._all_dead = all_dead
        self._report = report
        self._bare = bare
        self._missing: dict[tuple[str, ...], str] = {}

    def entry(self, href: str, node: Node) -> str:
        found: list[str] = []
        missing: list[str] = []
        for name, render in self._live:
            value = render(node)
            if value is None:
                missing.append(name)
            else:
                found.append(empty_property(name) if self._bare else value)
        if self._dead or self._all_dead:
            self._add_dead(node, found, missing)
        ok = f"<D:propstat><D:prop>{''.join(found)}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
        if not self._report or not missing:
            return f"<D:response><D:href>{escape(href)}</D:href>{ok}</D:response>"
        return f"<D:response><D:href>{escape(href)}</D:href>{ok if found else ''}{self._lacks(missing)}</D:response>"

    def _add_dead(self, node: Node, found: list[str], missing: list[str]) -> None:
        values = self._values.get(node.id, {})
        for name in self._dead:
            if name in values:
                found.append(values[name])
            else:
                missing.append(name)
        if self._all_dead:
            found += [
                empty_property(name) if self._bare else value
                for name, value in values.items()
                if name not in self._dead
            ]

    def _lacks(self, missing: list[str]) -> str:
        key = tuple(missing)
        known = self._missing.get(key)
        if known is None:
            known = self._missing[key] = missing_propstat(key)
        return known


def _entry_writer(wanted: PropfindRequest, listing: Listing, bound: Bound) -> _EntryWriter:
    if wanted.mode == "prop":
        properties = [(name, bound.property(name)) for name in wanted.names]
        return _EntryWriter(properties, listing, all_dead=False, report=True, bare=False)
    if wanted.mode == "propname":
        properties = [(name, bound.property(name)) for name in sorted(live.LIVE)]
        return _EntryWriter(properties, listing, all_dead=True, report=False, bare=True)
    names = dict.fromkeys((*live.ALLPROP, *wanted.include))
    properties = [(name, bound.property(name)) for name in names]
    return _EntryWriter(properties, listing, all_dead=True, report=False, bare=False)
