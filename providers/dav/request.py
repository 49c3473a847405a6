"""What a method sees of a request: who asks, for which path, under which conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from appliance.errors import BadRequest, HoldfastError, TooLarge
from appliance.files.context import Files
from appliance.moments import Moment
from appliance.principal import Principal
from appliance.tree.conditions import NONE, Conditions, StateList, StateTest
from appliance.tree.paths import Path
from appliance.uploads.service import Uploads
from providers.dav.conditions import IfCondition, IfList, parse_etags, parse_http_date, parse_if, submitted_tokens
from providers.dav.destination import parse_destination
from providers.dav.headers import parse_lock_token
from providers.dav.listings import Listings
from providers.dav.paths import decode_path
from providers.dav.sync_tokens import as_etag
from providers.front.messages import Body

# RFC 4918 §8.4: what a body would ask of these is not known here, so carrying them out without it could be wrong.
_BODYLESS = frozenset(("DELETE", "COPY", "MOVE", "UNLOCK", "MKCOL"))
# RFC 5689 §3: MKCOL has one if it says that it is XML.
_XML_TYPES = ("application/xml", "text/xml")
_CONDITIONAL = ("HTTP_IF", "HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_LOCK_TOKEN")


class UnwantedBody(BadRequest):
    """A body with a method that has none."""


class Tus(NamedTuple):
    """Uploads by tus; ``base``: what their URLs begin with, as the client of a request can ask for them."""

    uploads: Uploads
    base: Callable[[dict[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Face:
    """What is the same for all requests: the services, the bounds, and under which URLs the face is known.

    With a ``moment`` it shows the trees as they were then, to be read only.
    """

    files: Files
    tus: Tus
    prefix: str
    public_urls: tuple[str, ...]
    max_xml_bytes: int
    lock_s: int
    max_lock_s: int
    listings: Listings = field(default_factory=Listings)
    moment: Moment | None = None


def path_of(environ: dict[str, Any], face: Face) -> tuple[Path, bool]:
    """The path that a request is for, and whether it ends in a slash.

    Raises:
        BadName, BadRequest: the URL names nothing that could exist.
    """
    return decode_path(environ["holdfast.target"][len(face.prefix) :] or "/")


class DavRequest:
    """One request, authenticated. Headers are parsed when they are asked for."""

    __slots__ = ("environ", "face", "method", "path", "principal", "trailing_slash")

    def __init__(self, face: Face, environ: dict[str, Any], principal: Principal) -> None:
        """
        Raises:
            BadName, BadRequest: the URL names nothing that could exist.
        """
        self.face = face
        self.environ = environ
        self.principal = principal
        self.method: str = environ["REQUEST_METHOD"]
        self.path: Path
        self.path, self.trailing_slash = path_of(environ, face)

    @property
    def files(self) -> Files:
        return self.face.files

    @property
    def body(self) -> Body:
        body: Body = self.environ["wsgi.input"]
        return body

    def header(self, name: str) -> str | None:
        """A header's value; ``name`` in the form ``HTTP_IF_MATCH``."""
        value: str | None = self.environ.get(name)
        return value

    def require_no_body(self) -> None:
        """Refuse a body with a method that has none, without waiting for it or asking for it.

        Only of a chunked one the first byte is read, as it may be empty; who wants to be asked first has one to send.

        Raises:
            UnwantedBody: there is one.
        """
        if self.method not in _BODYLESS or self.body.length == 0 or (self.method == "MKCOL" and self._is_xml()):
            return
        if self.body.length or "HTTP_EXPECT" in self.environ or self.body.read(1):
            raise UnwantedBody(reason=f"{self.method} takes no body")

    def _is_xml(self) -> bool:
        media_type = self.environ.get("CONTENT_TYPE", "").partition(";")[0]
        return media_type.strip().lower() in _XML_TYPES

    def xml(self) -> bytes:
        """The whole body, which is bounded.

        Raises:
            TooLarge: it is longer.
        """
        limit = self.face.max_xml_bytes
        length = self.body.length
        if length == 0:
            return b""
        if length is not None and length > limit:
            raise TooLarge(what="the XML body", limit_bytes=limit)
        data = self.body.read(limit + 1)
        if len(data) > limit:
            raise TooLarge(what="the XML body", limit_bytes=limit)
        return data

    def destination(self) -> tuple[Path, bool]:
        """The path that COPY and MOVE lead to, and whether it ends in a slash."""
        value = self.header("HTTP_DESTINATION")
        if value is None:
            raise BadRequest(reason="the Destination header is missing")
        found = parse_destination(
            value,
            scheme=self.environ["wsgi.url_scheme"],
            host=self.environ.get("HTTP_HOST", ""),
            forwarded_hosts=self.face.public_urls,
            prefix=self.face.prefix,
        )
        return found.names, found.trailing_slash

    def conditions(self) -> Conditions:
        """Everything that has to hold for a change.

        A Lock-Token header without an If header counts as a submitted token: Office sends it so with PUT.
        """
        environ = self.environ
        if not any(name in environ for name in _CONDITIONAL):
            return NONE
        lists = parse_if(environ["HTTP_IF"]) if "HTTP_IF" in environ else ()
        tokens = submitted_tokens(lists)
        if not lists and "HTTP_LOCK_TOKEN" in environ and self.method != "UNLOCK":
            tokens = frozenset({parse_lock_token(environ["HTTP_LOCK_TOKEN"])})
        match, none_match = environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")
        since = environ.get("HTTP_IF_UNMODIFIED_SINCE")
        return Conditions(
            if_match=None if match is None else parse_etags(match),
            if_none_match=None if none_match is None else parse_etags(none_match),
            if_unmodified_since=None if since is None else parse_http_date(since),
            states=self._states(lists),
            tokens=tokens,
        )

    def if_conditions(self) -> Conditions | None:
        """The If header alone, for methods that read: HTTP's own conditions make a 304 there, or nothing."""
        if "HTTP_IF" not in self.environ:
            return None
        lists = parse_if(self.environ["HTTP_IF"])
        return Conditions(states=self._states(lists), tokens=submitted_tokens(lists))

    def _states(self, lists: tuple[IfList, ...]) -> tuple[StateList, ...]:
        return tuple(StateList(self._tagged(entry), _tests(entry)) for entry in lists)

    def _tagged(self, entry: IfList) -> Path | None:
        """The path that a list of the If header speaks of; None for one outside of the tree."""
        if entry.tag is None:
            return self.path
        try:
            return parse_destination(
                entry.tag,
                scheme=self.environ["wsgi.url_scheme"],
                host=self.environ.get("HTTP_HOST", ""),
                forwarded_hosts=self.face.public_urls,
                prefix=self.face.prefix,
            ).names
        except HoldfastError:
            return None


def _tests(entry: IfList) -> tuple[StateTest, ...]:
    return tuple(_test(each) for each in entry.conditions)


def _test(each: IfCondition) -> StateTest:
    """A sync token names a folder's state as its ETag does (RFC 6578 §5)."""
    etag = None if each.token is None else as_etag(each.token)
    return StateTest(each.negated, each.token, each.etag) if etag is None else StateTest(each.negated, None, etag)
