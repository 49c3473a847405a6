"""The root of the server as a DAV client sees it: Windows asks there before it mounts what is below."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from appliance.backends.base import Buffer
from appliance.errors import HoldfastError
from appliance.files import read
from appliance.tree.nodes import FOLDER, Node
from providers.dav import answer, xml_out
from providers.dav.answer import Answer
from providers.dav.app import DavApp, Environ, StartResponse, note_failure, send
from providers.dav.errors import answer_error
from providers.dav.headers import parse_depth
from providers.dav.live import ELEMENTS, GETLASTMODIFIED, creation_dates, modification_dates
from providers.dav.methods.options import COMPLIANCE
from providers.dav.methods.propfind import refuse_infinity
from providers.dav.preferences import preferences
from providers.dav.request import DavRequest, Face
from providers.dav.xml_in import PropfindRequest, parse_propfind

Page = Callable[[Environ], Answer]


class RootApp:
    """``OPTIONS`` and ``PROPFIND`` of "/" for DAV clients, a page for people, 404 for everything else."""

    def __init__(self, dav: DavApp, face: Face, page: Page) -> None:
        self._dav = dav
        self._face = face
        self._page = page

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        method, target = environ["REQUEST_METHOD"], environ["holdfast.target"]
        if method == "OPTIONS":
            return send(answer.empty(200, [*COMPLIANCE]), start_response)
        if target not in ("/", "") and not (method in ("GET", "HEAD") and target == "/index.html"):
            return send(
                answer.text(404, f"nothing is at {target[:200]}; files are below {self._face.prefix}/"), start_response
            )
        if method in ("GET", "HEAD"):
            return send(self._page(environ), start_response)
        if method == "PROPFIND":
            return self._dav.signed_in(environ, start_response, self._propfind)
        return send(
            answer.text(405, "only reading is possible here", [("Allow", "OPTIONS, GET, HEAD, PROPFIND")]),
            start_response,
        )

    def _propfind(self, environ: Environ, principal: Any) -> Answer:
        """A folder whose only member is the signed-in user's tree."""
        request = DavRequest(self._face, {**environ, "holdfast.target": f"{self._face.prefix}/"}, principal)
        try:
            depth = parse_depth(request.header("HTTP_DEPTH"), "infinity", ("0", "1", "infinity"))
            wanted = parse_propfind(request.xml(), limit_bytes=self._face.max_xml_bytes)
            node = read.open_path(request.files, principal, ()).node
        except HoldfastError as error:
            is_folder = partial(read.is_folder, self._face.files, principal)
            refused = answer_error(error, prefix=self._face.prefix, is_folder=is_folder)
            note_failure(environ, refused, error)
            return refused
        if depth == "infinity":
            return refuse_infinity()
        found, missing = _properties(wanted, node)
        followed = preferences(request, below=depth == "1")
        if followed.minimal:
            missing = []
        hrefs = [*([] if followed.noroot else ["/"]), *([] if depth == "0" else [f"{self._face.prefix}/"])]
        entries = [xml_out.response_prop(href, found, missing) for href in hrefs]
        document = xml_out.multistatus_head() + "".join(entries) + xml_out.multistatus_tail()
        return answer.xml(207, document.encode("utf-8", "replace"), followed.headers())


def _properties(wanted: PropfindRequest, node: Node) -> tuple[list[str], list[str]]:
    """The elements that were asked for, and the names of those that the root of a server does not have."""
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
