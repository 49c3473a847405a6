"""Byte ranges (RFC 9110 §14) and If-Range (§13.1.5): which bytes a GET sends, and the frame around several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final, Literal

from providers.front.dates import parse_http_date

# More than any player or pager asks for; each part costs a frame and a read of its own.
MAX_RANGES: Final = 32

# One hundred digits: far beyond any file, well below where int() refuses.
_spec = re.compile(r"([0-9]{0,100})-([0-9]{0,100})").fullmatch


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Never empty; ``end_exclusive`` is at most the size it was parsed for."""

    start: int
    end_exclusive: int


class _Unsatisfiable(Enum):
    UNSATISFIABLE = "unsatisfiable"


UNSATISFIABLE: Final = _Unsatisfiable.UNSATISFIABLE
"""No range touches the file: 416 with ``Content-Range: bytes */size``."""


def parse_range(value: str | None, size: int) -> tuple[ByteRange, ...] | Literal[_Unsatisfiable.UNSATISFIABLE] | None:
    """Ranges in the order they were asked for, cut to ``size``; None means to serve the whole file with 200.

    None too for other units, broken syntax (one broken member spoils the header, §14.2), more than ``MAX_RANGES``
    members and members that overlap: together the ranges are never more bytes than the file. Members outside the
    file are left out as long as one is inside.
    """
    if value is None:
        return None
    unit, equals, members = value.strip(" \t").partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    wanted = [member for member in (part.strip(" \t") for part in members.split(",")) if member]
    if not wanted or len(wanted) > MAX_RANGES:
        return None
    ranges: list[ByteRange] = []
    for member in wanted:
        found = _resolve(member, size)
        if found is None:
            return None
        if found is not UNSATISFIABLE:
            ranges.append(found)
    if not ranges:
        return UNSATISFIABLE
    return None if _overlap(ranges) else tuple(ranges)


def _resolve(member: str, size: int) -> ByteRange | Literal[_Unsatisfiable.UNSATISFIABLE] | None:
    found = _spec(member)
    if found is None or member == "-":
        return None
    first, last = found[1], found[2]
    if not first:
        length = min(int(last), size)
        # An empty file satisfies "the last n bytes" (§14.1.2), but no Content-Range can say so: the whole is served.
        if size == 0 and int(last) > 0:
            return None
        return ByteRange(size - length, size) if length > 0 else UNSATISFIABLE
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        return UNSATISFIABLE
    return ByteRange(start, min(int(last) + 1, size) if last else size)


def _overlap(ranges: Sequence[ByteRange]) -> bool:
    ordered = sorted(ranges, key=lambda piece: piece.start)
    return any(piece.end_exclusive > following.start for piece, following in pairwise(ordered))


def content_range(piece: ByteRange, size: int) -> str:
    """The Content-Range value of a 206 with one range, or of one part."""
    return f"bytes {piece.start}-{piece.end_exclusive - 1}/{size}"


@dataclass(frozen=True, slots=True)
class MultipartFrame:
    """Send ``heads[i]``, then the bytes of range i, for every i; then ``closing``. ``total_bytes`` counts all of it."""

    heads: tuple[bytes, ...]
    closing: bytes
    total_bytes: int


def multipart_parts(ranges: Sequence[ByteRange], size: int, content_type: str, boundary: str) -> MultipartFrame:
    """The frame of a ``multipart/byteranges`` body (RFC 9110 §14.6) with ``content_type`` on each part.

    ``boundary`` must not occur in the content: make it random and at most 70 characters (RFC 2046 §5.1.1).
    """
    # A line break in a stored type must not end the head early.
    shown_type = " ".join(content_type.split())
    delimiter = f"\r\n--{boundary}"
    heads = [
        f"{delimiter}\r\nContent-Type: {shown_type}\r\nContent-Range: {content_range(piece, size)}\r\n\r\n".encode(
            "utf-8", "replace"
        )
        for piece in ranges
    ]
    if heads:
        heads[0] = heads[0].removeprefix(b"\r\n")
    closing = f"{delimiter}--\r\n".encode("utf-8", "replace")
    content_bytes = sum(piece.end_exclusive - piece.start for piece in ranges)
    return MultipartFrame(tuple(heads), closing, sum(map(len, heads)) + content_bytes + len(closing))


def if_range_holds(value: str, etag: str | None, modified_s: int | None) -> bool:
    """Whether Range may be honoured: the very same strong entity tag, or exactly the Last-Modified date.

    ``etag`` with quotes. Weak tags and what cannot be read never hold, so that the whole file is served.
    """
    text = value.strip(" \t")
    if text.startswith('"'):
        return text == etag
    return modified_s is not None and parse_http_date(text) == modified_s
