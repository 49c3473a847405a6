"""Between the path of a request and the names of the tree.

A request path is split while it is still encoded and each segment is decoded exactly once, so that a name holding
``; ? # % & +`` arrives as it was meant. Which names may be stored is the tree's decision; only what cannot be one
name at all is refused here. Pure functions, safe in every thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from appliance.errors import BadName, BadRequest

_RAW: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~()'!*,$"
_ENCODED: Final = tuple(chr(byte) if chr(byte) in _RAW else f"%{byte:02X}" for byte in range(256))
_only_raw = re.compile(r"[A-Za-z0-9\-_.~()'!*,$]*").fullmatch
_broken_escape = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_encoded_slash = re.compile(r"%2[Ff]").search
_encoded_nul = re.compile(r"%00").search


def decode_path(target: str) -> tuple[tuple[str, ...], bool]:
    """``(names, trailing_slash)`` of a request path that nobody has decoded yet (no query, no fragment).

    ``target`` is latin-1 text as WSGI hands it out; bytes above 0x7F that the client did not encode count as UTF-8.
    Empty and ``.`` segments vanish, ``;`` and ``+`` are ordinary characters. A path that ends in ``/`` or ``/.``
    has a trailing slash.

    Raises: BadName for ``..``, an encoded slash or invalid UTF-8; BadRequest for NUL and broken percent escapes.
    """
    if "\0" in target or _encoded_nul(target):
        raise BadRequest(reason="the path contains a NUL character")
    if _broken_escape(target):
        raise BadRequest(reason="the path contains a percent sign that is not followed by two hexadecimal digits")
    names: list[str] = []
    last = ""
    for segment in target.split("/"):
        last = _decode_segment(segment) if segment else ""
        if last == "..":
            raise BadName(name=last, reason="may not be used in a path")
        if last and last != ".":
            names.append(last)
    return tuple(names), bool(target) and last in ("", ".")


def _decode_segment(segment: str) -> str:
    if segment.isascii() and "%" not in segment:
        return segment
    if _encoded_slash(segment):
        raise BadName(name=segment, reason="contains an encoded slash")
    try:
        octets = segment.encode("latin-1")
    except UnicodeEncodeError:
        raise BadRequest(reason="the path contains characters that cannot stand in a request line") from None
    octets = unquote_to_bytes(octets)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadName(name=octets.decode("utf-8", "replace"), reason="is not valid UTF-8") from None


def encode_name(name: str) -> str:
    """One segment for an href: UTF-8, percent-encoded with upper-case hex digits.

    Raw stay the unreserved characters and ``( ) ' ! * , $``: clients compare hrefs as text with what they sent, and
    some (Nautilus) do not recognise ``%28``. Everything else is encoded, although RFC 3986 would let ``; : @ & = +``
    stand: ``;`` and ``+`` are read as parameters and as a space by some clients, ``&`` would need escaping in XML,
    and ``:`` in a first segment looks like a scheme to a client that resolves relative names.
    A lone surrogate, which no stored name has, comes out as ``%3F``.
    """
    if _only_raw(name):
        return name
    return "".join([_ENCODED[byte] for byte in name.encode("utf-8", "replace")])


def encode_names(names: Sequence[str]) -> Sequence[str]:
    """``encode_name`` each; most folders have names that stand for themselves."""
    return names if _only_raw("".join(names)) else [encode_name(name) for name in names]


def encode_path(names: Iterable[str], is_folder: bool, prefix: str = "/dav") -> str:
    """An absolute-path href; a folder's ends in ``/``. ``prefix`` is written as it is, the root is always a folder.

    In a listing, encode the folder once and append ``encode_name`` for each member.
    """
    path = "/".join([prefix, *map(encode_name, names)])
    return path + "/" if is_folder or path == prefix else path
