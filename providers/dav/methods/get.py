"""GET and HEAD."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain as joined
from typing import Any
from urllib.parse import quote

from appliance import clock
from appliance.accounts.signin import Foresight
from appliance.backends.base import Buffer
from appliance.db.sql import Seen, Session
from appliance.errors import HoldfastError, PreconditionFailed
from appliance.files import read
from appliance.files.read import Opened
from appliance.principal import Home
from appliance.tree.paths import show
from providers.dav import answer, page
from providers.dav.conditions import format_http_date, parse_etags, parse_http_date
from providers.dav.content_types import content_type_of, inline_type
from providers.dav.ranges import UNSATISFIABLE, ByteRange, content_range, if_range_holds, multipart_parts, parse_range
from providers.dav.request import DavRequest, path_of
from providers.front.messages import Answer, Headers

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
    etag = node.etag(request.files.incarnation)
    validators = [
        ("ETag", etag),
        ("Last-Modified", format_http_date(node.modified_at // clock.SECOND)),
        # Without it a cache may guess a time from Last-Modified and show old content for that long (RFC 9111 §4.2.2).
        ("Cache-Control", "private, no-cache"),
    ]
    if _not_modified(request, opened, etag):
        return Answer(304, validators, [])
    if node.is_folder:
        return _folder(request, validators)
    return _file(request, opened, etag, validators)


def _not_modified(request: DavRequest, opened: Opened, etag: str) -> bool:
    """RFC 9110 §13.2.2, in its order.

    Raises:
        PreconditionFailed: for If-Match and If-Unmodified-Since.
    """
    environ = request.environ
    if (value := environ.get("HTTP_IF_MATCH")) is not None:
        if not parse_etags(value).matches_strong(etag):
            raise PreconditionFailed(path=show(request.path))
    elif (value := environ.get("HTTP_IF_UNMODIFIED_SINCE")) is not None:
        limit_s = parse_http_date(value)
        if limit_s is not None and not read.unchanged_since(request.files, opened, limit_s):
            raise PreconditionFailed(path=show(request.path))
    if (value := environ.get("HTTP_IF_NONE_MATCH")) is not None:
        return parse_etags(value).matches_weak(etag)
    if (value := environ.get("HTTP_IF_MODIFIED_SINCE")) is not None:
        limit_s = parse_http_date(value)
        return limit_s is not None and read.unchanged_since(request.files, opened, limit_s)
    return False


def _folder(request: DavRequest, validators: Headers) -> Answer:
    if request.method == "HEAD":
        return Answer(200, [*validators, ("Content-Type", page.CONTENT_TYPE)], [])
    listing = read.list_path(request.files, request.principal, request.path, members=True, moment=request.face.moment)
    return Answer(200, [*validators, *page.HEADERS], page.render(listing, prefix=request.face.prefix))


def _file(request: DavRequest, opened: Opened, etag: str, validators: Headers) -> Answer:
    node = opened.node
    content_type = content_type_of(node.name)
    headers = [*validators, ("Accept-Ranges", "bytes"), *_safety(node.name, content_type)]
    ranges = None
    # RFC 9110 §14.2: HEAD has no ranges.
    value = request.header("HTTP_RANGE") if request.method == "GET" else None
    if value is not None and _may_go_on(request, opened, etag):
        ranges = parse_range(value, node.bytes)
    if ranges is UNSATISFIABLE:
        return answer.text(416, "the range begins after the end", [("Content-Range", f"bytes */{node.bytes}")])
    if ranges is None:
        return _whole(request, opened, [*headers, ("Content-Type", content_type)])
    assert isinstance(ranges, tuple)
    if len(ranges) == 1:
        only = ranges[0]
        headers += [
            ("Content-Type", content_type),
            ("Content-Range", content_range(only, node.bytes)),
            ("Content-Length", str(only.end_exclusive - only.start)),
        ]
        return Answer(206, headers, _blocks(request, opened, only))
    return _several(request, opened, ranges, headers, content_type)


def _may_go_on(request: DavRequest, opened: Opened, etag: str) -> bool:
    """Whether a part of this file belongs to what the client has of it already (RFC 9110 §13.1.5)."""
    value = request.header("HTTP_IF_RANGE")
    if value is None:
        return True
    by_date = parse_http_date(value) is not None and read.is_named_by_date(request.files, opened)
    return if_range_holds(value, etag, opened.node.modified_at // clock.SECOND if by_date else None)


def _whole(request: DavRequest, opened: Opened, headers: Headers) -> Answer:
    size = opened.node.bytes
    return Answer(200, [*headers, ("Content-Length", str(size))], _blocks(request, opened, ByteRange(0, size)))


def _several(
    request: DavRequest, opened: Opened, ranges: tuple[ByteRange, ...], headers: Headers, content_type: str
) -> Answer:
    boundary = secrets.token_hex(16)
    frame = multipart_parts(ranges, opened.node.bytes, content_type, boundary)
    headers += [
        ("Content-Type", f"multipart/byteranges; boundary={boundary}"),
        ("Content-Length", str(frame.total_bytes)),
    ]

    def blocks() -> Iterator[Buffer]:
        for head, piece in zip(frame.heads, ranges, strict=True):
            yield head
            yield from read.content(request.files, opened, piece.start, piece.end_exclusive)
        yield frame.closing

    return Answer(206, headers, blocks())


def _blocks(request: DavRequest, opened: Opened, piece: ByteRange) -> Iterator[Buffer]:
    """The bytes; the first block is fetched now, so that damage is found while an error can still be answered."""
    if request.method == "HEAD" or piece.start == piece.end_exclusive:
        return iter(())
    blocks = read.content(request.files, opened, piece.start, piece.end_exclusive)
    first = next(blocks)
    return joined((first,), blocks)


def _safety(name: str, content_type: str) -> Headers:
    """What people store must never run as a page of this server."""
    headers = [("X-Content-Type-Options", "nosniff")]
    if not inline_type(content_type):
        headers += [
            ("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}"),
            ("Content-Security-Policy", "sandbox"),
        ]
    return headers
