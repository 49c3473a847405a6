"""The root of the server as a DAV client sees it: Windows asks there before it mounts what is below."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from appliance.backends.base import Buffer
from appliance.principal import Principal
from appliance.tree.nodes import Node
from providers.dav import answer, virtual
from providers.dav.app import DavApp, Environ, StartResponse, send
from providers.dav.methods.options import COMPLIANCE
from providers.dav.request import DavRequest, Face
from providers.dav.virtual import Entry
from providers.front.messages import Answer

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

    def _propfind(self, environ: Environ, principal: Principal) -> Answer:
        """A folder whose only member is the signed-in user's tree."""
        return virtual.propfind(self._face, environ, principal, "/", self._members)

    def _members(self, _: DavRequest, root: Node) -> list[Entry]:
        return [Entry(f"{self._face.prefix}/", root.created_at, root.modified_at)]
