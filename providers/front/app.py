"""The WSGI application of the whole server: a request goes to the face that its path begins with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from appliance.backends.base import Buffer
from appliance.errors import Denied, HoldfastError
from providers.front import caching
from providers.front.forwarded import Network, believe
from providers.front.messages import Headers, text
from providers.front.metering import Application, Environ, Meter, StartResponse
from providers.front.origin import is_foreign, is_guest
from providers.front.refusals import Refusals

_log = logging.getLogger(__name__)

_UNSAFE_ORIGIN = (
    "this request came from another web site's page; if it did not, a proxy changes the Host, and public_urls has to "
    "name the address that browsers use"
)


@dataclass(frozen=True, slots=True)
class Front:
    """``faces`` by the first name of the path; ``root`` answers for "/" itself and for every other path.

    ``ready`` raises when the server cannot do its work. What ``trusted_proxies`` say of a request's origin is believed.
    ``guests`` are the origins whose pages may use a face, by its name ("*": any). ``meter`` is there where rate limits
    are set.
    """

    faces: dict[str, Application]
    root: Application
    ready: Callable[[], None]
    public_urls: tuple[str, ...]
    trusted_proxies: tuple[Network, ...] = ()
    guests: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)
    meter: Meter | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        believe(environ, self.trusted_proxies)
        start = caching.never_silent(environ, start_response)
        if self.meter is not None:
            return self.meter.through(self._answer, environ, start)
        return self._answer(environ, start)

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        first, slash, rest = environ["holdfast.target"].removeprefix("/").partition("/")
        # RFC 3986 §6.2.2.2: an encoded letter is that letter. What is below is the face's to decode.
        name = unquote(first)
        if is_foreign(environ, self.public_urls) and not is_guest(environ, self.guests.get(name, ())):
            error = Denied(action="asking from there", reason=_UNSAFE_ORIGIN)
            return self.refusals.answer(environ, error, start_response, 403)
        face = self.faces.get(name)
        if face is not None:
            environ["holdfast.target"] = f"/{name}{slash}{rest}"
            return face(environ, start_response)
        if name in ("healthz", "readyz") and not slash:
            return self._health(name, environ, start_response)
        return self.root(environ, start_response)

    def _health(self, name: str, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return plain(start_response, 405, "only reading is possible here", [("Allow", "GET, HEAD")])
        if name == "healthz":
            return plain(start_response, 200, "alive")
        return self._readiness(environ["holdfast.request_id"], start_response)

    def _readiness(self, request_id: str, start_response: StartResponse) -> Iterable[Buffer]:
        try:
            self.ready()
        except HoldfastError as error:
            _log.warning("request %s: not ready: %s", request_id, error)
            return plain(start_response, 503, str(error))
        return plain(start_response, 200, "ready")


def plain(start_response: StartResponse, status: int, message: str, headers: Headers | None = None) -> Iterable[Buffer]:
    """Answer with a line of text that nobody keeps."""
    found = text(status, message, [*(headers or []), ("Cache-Control", "no-store")])
    start_response(found.status_line, found.headers)
    return found.blocks
