"""Any moment of the past as a folder: ``/at/MOMENT/`` is the tree of whoever signs in, as it was then.

It is the face of the present with another prefix, so that every client that mounts the one mounts the other; only
reading is possible. A moment that is told by the clock (``2h-ago``) is another one with each request.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from urllib.parse import unquote

from appliance import moments
from appliance.backends.base import Buffer
from appliance.errors import BadRequest
from appliance.files import days
from appliance.principal import Principal
from appliance.tree.nodes import Node
from providers.dav import answer, days_page, virtual
from providers.dav.app import DavApp, Environ, StartResponse, respond, send
from providers.dav.methods.options import PAST_COMPLIANCE, READING
from providers.dav.request import DavRequest, Face
from providers.dav.virtual import Entry
from providers.front.messages import Answer


class PastApp:
    """What is below ``prefix``: a folder of days, and in each of them, and in any other moment, the tree."""

    def __init__(self, dav: DavApp, face: Face, prefix: str) -> None:
        self._dav = dav
        self._face = face
        self._prefix = prefix

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return send(answer.empty(200, [*PAST_COMPLIANCE]), start_response)
        spelled = environ["holdfast.target"].removeprefix(self._prefix).removeprefix("/").partition("/")[0]
        then = partial(self._then, spelled) if spelled else self._days
        return self._dav.signed_in(environ, start_response, then)

    def _then(self, spelled: str, environ: Environ, principal: Principal) -> Answer:
        """Clients compare URLs as text, so the moment stays in them as they have spelled it."""
        try:
            moment = moments.parse(unquote(spelled))
        except BadRequest as error:
            return answer.text(404, str(error))
        return respond(replace(self._face, prefix=f"{self._prefix}/{spelled}", moment=moment), environ, principal)

    def _days(self, environ: Environ, principal: Principal) -> Answer:
        method = environ["REQUEST_METHOD"]
        if method == "PROPFIND":
            return virtual.propfind(self._face, environ, principal, f"{self._prefix}/", self._members)
        if method not in ("GET", "HEAD"):
            return answer.text(403, "the past cannot be changed", [("Allow", READING)])
        found = days.with_changes(self._face.files, principal)
        return days_page.answer_page(found, self._prefix, head=method == "HEAD")

    def _members(self, request: DavRequest, root: Node) -> list[Entry]:
        """The days on which something changed, and those after them: what is between is as it was the day before."""
        found = days.with_changes(request.files, request.principal)
        begins = {day.begins_at: day.name for day in found} | {
            day.ends_at: day.next_name for day in found if day.is_over
        }
        return [
            Entry(f"{self._prefix}/{name}/", root.created_at, at)
            for at, name in sorted(begins.items())
            if at >= root.created_at
        ]
