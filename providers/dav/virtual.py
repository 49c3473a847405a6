"""Folders that are in no tree: what stands above the trees, so that clients find their way down."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from appliance.errors import HoldfastError
from appliance.files import read
from appliance.principal import Principal
from appliance.tree.nodes import FOLDER, Node
from providers.dav import answer, xml_out
from providers.dav.app import Environ, note_failure
from providers.dav.errors import answer_error
from providers.dav.headers import parse_depth
from providers.dav.live import ELEMENTS, GETLASTMODIFIED, creation_dates, modification_dates
from providers.dav.methods.propfind import refuse_infinity
from providers.dav.preferences import preferences
from providers.dav.request import DavRequest, Face
from providers.dav.xml_in import PropfindRequest, parse_propfind
from providers.front.messages import Answer


class Entry(NamedTuple):
    """A folder's URL as it stands in an answer, and since when it is there and has not changed (microseconds)."""

    href: str
    created_at: int
    modified_at: int


Members = Callable[[DavRequest, Node], list[Entry]]
"""What is in such a folder. The node is the root of the tree of whoever asks."""


def propfind(face: Face, environ: Environ, principal: Principal, href: str, members: Members) -> Answer:
    """PROPFIND of a folder at ``href``, which looks like the root of the tree but for its members."""
    request = DavRequest(face, {**environ, "holdfast.target": f"{face.prefix}/"}, principal)
    try:
        depth = parse_depth(request.header("HTTP_DEPTH"), "infinity", ("0", "1", "infinity"))
        wanted = parse_propfind(request.xml(), limit_bytes=face.max_xml_bytes)
        root = read.open_path(request.files, principal, ()).node
        if depth == "infinity":
            return refuse_infinity()
        below = members(request, root) if depth == "1" else []
    except HoldfastError as error:
        refused = answer_error(error, prefix=face.prefix, is_folder=partial(read.is_folder, face.files, principal))
        note_failure(environ, refused, error)
        return refused
    followed = preferences(request, below=depth == "1")
    itself = [] if followed.noroot else [Entry(href, root.created_at, root.modified_at)]
    entries = [_response(each, wanted, root, minimal=followed.minimal) for each in (*itself, *below)]
    document = xml_out.multistatus_head() + "".join(entries) + xml_out.multistatus_tail()
    return answer.xml(207, document.encode("utf-8", "replace"), followed.headers())


def _response(entry: Entry, wanted: PropfindRequest, root: Node, *, minimal: bool) -> str:
    node = root._replace(created_at=entry.created_at, modified_at=entry.modified_at)
    found, missing = _properties(wanted, node)
    return xml_out.response_prop(entry.href, found, [] if minimal else missing)


def _properties(wanted: PropfindRequest, node: Node) -> tuple[list[str], list[str]]:
    """The elements that were asked for, and the names of those that such a folder does not have."""
    values = {
        "{DAV:}resourcetype": (),
        "{DAV:}creationdate": tuple(creation_dates([node], {})),
        GETLASTMODIFIED: tuple(modification_dates([node])),
    }
    shown = {name: ELEMENTS[name][FOLDER] % value for name, value in values.items()}
    if wanted.mode == "prop":
        found = [shown[name] for name in wanted.names if name in shown]
        return found, [name for name in wanted.names if name not in shown]
    if wanted.mode == "propname":
        return [xml_out.empty_property(name) for name in shown], []
    return list(shown.values()), []
