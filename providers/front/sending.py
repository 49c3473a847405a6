"""Sending a file: conditions of the client (RFC 9110 §13), ranges (§14), and the blocks of the answer."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import chain as joined
from typing import Any, NamedTuple
from urllib.parse import quote

from appliance import clock
from appliance.backends.base import Buffer
from appliance.errors import PreconditionFailed
from appliance.files import read
from appliance.files.context import Files
from appliance.files.read import Opened
from appliance.principal import Principal
from providers.front.content_types import inline_type
from providers.front.dates import format_http_date, parse_http_date
from providers.front.etags import parse_etags
from providers.front.messages import Answer, Headers, text
from providers.front.ranges import UNSATISFIABLE, ByteRange, content_range, if_range_holds, multipart_parts, parse_range
from providers.http.environ import PRINCIPAL


class Sending(NamedTuple):
    """A file, or a folder, that a GET or HEAD is answered with. ``etag``: of the form in which it will be sent."""

    files: Files
    environ: dict[str, Any]
    opened: Opened
    etag: str

    @property
    def validators(self) -> Headers:
        """What tells a client or a cache whether what it has is still right."""
        return [
            ("ETag", self.etag),
            ("Last-Modified", format_http_date(self.opened.node.modified_at // clock.SECOND)),
        ]

    @property
    def is_head(self) -> bool:
        method: str = self.environ["REQUEST_METHOD"]
        return method == "HEAD"


def is_unchanged(sending: Sending, name: str) -> bool:
    """Whether the client has it already: 304. In the order of RFC 9110 §13.2.2.

    Raises:
        PreconditionFailed: for If-Match and If-Unmodified-Since; of ``name``.
    """
    environ, etag = sending.environ, sending.etag
    if (value := environ.get("HTTP_IF_MATCH")) is not None:
        if not parse_etags(value).matches_strong(etag):
            raise PreconditionFailed(path=name)
    elif (value := environ.get("HTTP_IF_UNMODIFIED_SINCE")) is not None:
        limit_s = parse_http_date(value)
        if limit_s is not None and not read.unchanged_since(sending.files, sending.opened, limit_s):
            raise PreconditionFailed(path=name)
    if (value := environ.get("HTTP_IF_NONE_MATCH")) is not None:
        return parse_etags(value).matches_weak(etag)
    if (value := environ.get("HTTP_IF_MODIFIED_SINCE")) is not None:
        limit_s = parse_http_date(value)
        return limit_s is not None and read.unchanged_since(sending.files, sending.opened, limit_s)
    return False


def send_file(sending: Sending, headers: Headers, content_type: str) -> Answer:
    """The file, or the ranges of it that are asked for. ``headers`` are all but those about type, length and range."""
    size = sending.opened.node.bytes
    headers = [*headers, ("Accept-Ranges", "bytes")]
    ranges = None
    # RFC 9110 §14.2: HEAD has no ranges.
    value = None if sending.is_head else sending.environ.get("HTTP_RANGE")
    if value is not None and _may_go_on(sending):
        ranges = parse_range(value, size)
    if ranges is UNSATISFIABLE:
        return text(416, "the range begins after the end", [("Content-Range", f"bytes */{size}")])
    if ranges is None:
        headers += [("Content-Type", content_type), ("Content-Length", str(size))]
        return Answer(200, headers, blocks_of(sending, ByteRange(0, size)))
    assert isinstance(ranges, tuple)
    if len(ranges) == 1:
        only = ranges[0]
        headers += [
            ("Content-Type", content_type),
            ("Content-Range", content_range(only, size)),
            ("Content-Length", str(only.end_exclusive - only.start)),
        ]
        return Answer(206, headers, blocks_of(sending, only))
    return _several(sending, ranges, headers, content_type)


def blocks_of(sending: Sending, piece: ByteRange) -> Iterator[Buffer]:
    """The bytes; the first block is fetched now, so that damage is found while an error can still be answered."""
    if sending.is_head:
        return iter(())
    blocks = _download(sending, piece)
    if piece.start == piece.end_exclusive:
        return blocks
    first = next(blocks)
    return joined((first,), blocks)


def _download(sending: Sending, piece: ByteRange) -> Iterator[Buffer]:
    """Noted as read by who asks."""
    principal: Principal = sending.environ[PRINCIPAL]
    return read.download(sending.files, principal, sending.opened, piece.start, piece.end_exclusive)


def safety(name: str, content_type: str, *, attach: bool = False) -> Headers:
    """What people store must never run as a page of this server. ``attach``: browsers are to save it in any case."""
    headers = [("X-Content-Type-Options", "nosniff")]
    is_inline = inline_type(content_type)
    if attach or not is_inline:
        headers.append(("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}"))
    if not is_inline:
        headers.append(("Content-Security-Policy", "sandbox"))
    return headers


def _may_go_on(sending: Sending) -> bool:
    """Whether a part of this file belongs to what the client has of it already (RFC 9110 §13.1.5)."""
    value = sending.environ.get("HTTP_IF_RANGE")
    if value is None:
        return True
    by_date = parse_http_date(value) is not None and read.is_named_by_date(sending.files, sending.opened)
    modified_s = sending.opened.node.modified_at // clock.SECOND
    return if_range_holds(value, sending.etag, modified_s if by_date else None)


def _several(sending: Sending, ranges: tuple[ByteRange, ...], headers: Headers, content_type: str) -> Answer:
    boundary = secrets.token_hex(16)
    frame = multipart_parts(ranges, sending.opened.node.bytes, content_type, boundary)
    headers += [
        ("Content-Type", f"multipart/byteranges; boundary={boundary}"),
        ("Content-Length", str(frame.total_bytes)),
    ]

    def blocks() -> Iterator[Buffer]:
        for head, piece in zip(frame.heads, ranges, strict=True):
            yield head
            yield from _download(sending, piece)
        yield frame.closing

    return Answer(206, headers, blocks())
