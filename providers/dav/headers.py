"""The headers of WebDAV and of the ownCloud dialect: Depth, Overwrite, Timeout, Lock-Token, Prefer, X-OC-Mtime.

Checksums and media types have files of their own; their names are offered here too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from decimal import Decimal
from typing import Final

from appliance.errors import BadRequest
from providers.dav.checksums import Checksum, checksum_state, parse_oc_checksum
from providers.front.content_types import content_type_of, inline_type
from providers.front.dates import MAX_EPOCH_S, MIN_EPOCH_S

__all__ = [
    "Checksum",
    "checksum_state",
    "content_type_of",
    "inline_type",
    "parse_depth",
    "parse_lock_token",
    "parse_oc_checksum",
    "parse_oc_mtime",
    "parse_overwrite",
    "parse_prefer",
    "parse_timeout",
]

_DEPTHS: Final = ("0", "1", "infinity")
_seconds = re.compile(r"second-0*([0-9]{1,100})", re.IGNORECASE).fullmatch
_coded_url = re.compile(r"<?([^<>\s\x00-\x20\x7f]+)>?").fullmatch
_elements = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+').findall
_preference = re.compile(
    r'\s*([!#$%&\'*+.^_`|~0-9a-z-]+)\s*(?:=\s*(?:"([^"\\]*)"|([!#$%&\'*+.^_`|~0-9a-z-]*))\s*)?(?:;.*)?', re.DOTALL
).fullmatch
_epoch = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,2})?").fullmatch


def parse_depth(value: str | None, default: str, allowed: Collection[str]) -> str:
    """``0``, ``1`` or ``infinity`` (RFC 4918 §10.2); ``allowed`` is what the method can do.

    A missing header gives ``default`` without a look at ``allowed``.
    GET and HEAD have no use for Depth: do not call this for them (Office sends it there).

    Raises: BadRequest for any other value and for a depth that is not allowed.
    """
    if value is None:
        return default
    depth = value.strip(" \t").lower()
    if depth not in _DEPTHS:
        raise BadRequest(reason="the Depth header must be 0, 1 or infinity")
    if depth not in allowed:
        raise BadRequest(reason=f"this method cannot be used with Depth: {depth}")
    return depth


def parse_overwrite(value: str | None) -> bool:
    """RFC 4918 §10.6; missing means True (Finder never sends it)."""
    flag = "t" if value is None else value.strip(" \t").lower()
    if flag not in ("t", "f"):
        raise BadRequest(reason="the Overwrite header must be T or F")
    return flag == "t"


def parse_timeout(value: str | None, default_s: int, max_s: int) -> int:
    """Seconds a lock shall live, 1 to ``max_s``: the first member that can be read (RFC 4918 §10.7).

    The client's wish is only a wish, so nothing is refused. ``Second-0`` counts as unreadable: a lock that has run
    out before its answer arrives would only make the following PUT fail.
    """
    wish = default_s
    for member in (value or "").split(","):
        text = member.strip(" \t")
        if text.lower() == "infinite":
            wish = max_s
            break
        found = _seconds(text)
        if found and int(found[1]) > 0:
            wish = int(found[1])
            break
    return max(1, min(wish, max_s))


def parse_lock_token(value: str) -> str:
    """The token of ``Lock-Token: <…>`` without the brackets, which Windows at times forgets (RFC 4918 §10.5)."""
    text = value.strip(" \t")
    found = _coded_url(text)
    if found is None or text.startswith("<") != text.endswith(">"):
        raise BadRequest(reason="the Lock-Token header must hold one token in angle brackets")
    return found[1]


def parse_prefer(value: str | None) -> dict[str, str]:
    """Preferences by name, in lower case, each with its value or "" (RFC 7240 §2). What cannot be read is ignored, and
    so is what is said of the same one later.
    """
    found: dict[str, str] = {}
    for element in _elements((value or "").lower()):
        read = _preference(element)
        if read is not None:
            found.setdefault(read[1], read[2] or read[3] or "")
    return found


def parse_oc_mtime(value: str | None) -> int | None:
    """Epoch microseconds, rounded down; None if the header is missing.

    Takes what clients send: whole seconds, fractions (old rclone), moments before 1970.

    Raises: BadRequest for anything else and outside the years 1 to 9999: storing another time than the client
    believes would make it upload the file for ever.
    """
    if value is None:
        return None
    text = value.strip(" \t")
    if not _epoch(text):
        raise BadRequest(reason="the X-OC-Mtime header must be a number of seconds since 1970")
    seconds = Decimal(text)
    if not MIN_EPOCH_S <= seconds <= MAX_EPOCH_S:
        raise BadRequest(reason="the X-OC-Mtime header lies outside the years 1 to 9999")
    return math.floor(seconds * 1_000_000)
