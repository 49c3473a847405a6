"""GET and HEAD."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from appliance.accounts.signin import Foresight
from appliance.db.sql import Seen, Session
from appliance.errors import HoldfastError
from appliance.files import read
from appliance.principal import Home
from appliance.tree.paths import show
from providers.dav import page
from providers.dav.request import DavRequest, path_of
from providers.front.content_types import content_type_of
from providers.front.messages import Answer, Headers
from providers.front.sending import Sending, is_unchanged, safety, send_file

_FORESIGHT = "holdfast.foresight"


def foresight(environ: dict[str, Any]) -> Foresight | None:
    """What ``get`` will read, to be read with who asks; None for other methods."""
    provider = environ.get("wsgidav.provider")
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or provider is None or provider.face.moment is not None:
        return None

    def foresee(session: Session, home: Home) -> None:
        # What is wrong with the path is told to those who may ask.
        with suppress(HoldfastError):
            read.foresee_open(session, home, path_of(environ, provider.face)[0])

    made = environ[_FORESIGHT] = Foresight(foresee)
    return made


def _seen(request: DavRequest) -> Seen | None:
    found: Foresight | None = request.environ.get(_FORESIGHT)
    return None if found is None else found.seen


def get(request: DavRequest) -> Answer:
    """A file's bytes, or a readable page for a folder. HEAD is the same without a body."""
    opened = read.open_path(
        request.files,
        request.principal,
        request.path,
        conditions=request.if_conditions(),
        moment=request.face.moment,
        seen=_seen(request),
    )
    node = opened.node
    sending = Sending(request.files, request.environ, opened, node.etag(request.files.incarnation))
    # Without it a cache may guess a time from Last-Modified and show old content for that long (RFC 9111 §4.2.2).
    headers = [*sending.validators, ("Cache-Control", "private, no-cache")]
    if is_unchanged(sending, show(request.path)):
        return Answer(304, headers, [])
    if node.is_folder:
        return _folder(request, headers)
    content_type = content_type_of(node.name)
    return send_file(sending, [*headers, *safety(node.name, content_type)], content_type)


def _folder(request: DavRequest, headers: Headers) -> Answer:
    if request.method == "HEAD":
        return Answer(200, [*headers, ("Content-Type", page.CONTENT_TYPE)], [])
    listing = read.list_path(request.files, request.principal, request.path, members=True, moment=request.face.moment)
    return Answer(200, [*headers, *page.HEADERS], page.render(listing, prefix=request.face.prefix))
