"""The Destination header of COPY and MOVE (RFC 4918 §10.3).

The URL is taken apart while it is still encoded; only then each segment of its path is decoded, once. Decoding first
would cut a name at ``;``, ``?`` or ``#`` and let a MOVE overwrite another file.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from appliance.errors import BadRequest
from providers.dav.paths import decode_path

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_forbidden = re.compile(r"[\x00-\x1f\x7f]").search
_absolute = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<authority>[^/]*)(?P<path>/.*)?", re.DOTALL
).fullmatch
_host_and_port = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@\\]+)(?::(?P<port>[0-9]{0,5}))?").fullmatch


class ForeignDestination(BadRequest):
    """The destination is on another server or outside the WebDAV tree; RFC 4918 §9.8.5 answers 502."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a COPY or MOVE goes; clients send folders with and without the trailing slash."""

    names: tuple[str, ...]
    trailing_slash: bool


def parse_destination(
    value: str, *, scheme: str, host: str, forwarded_hosts: Collection[str], prefix: str
) -> Destination:
    """The names below ``prefix`` that an absolute URL or an absolute path stands for.

    ``host`` is the Host header and ``scheme`` the scheme of the request; ``forwarded_hosts`` are further names of this
    server (``host``, ``host:port`` or a whole URL). Hosts compare without case. http and https count as equal, since a
    proxy may end TLS; so do their default ports. User and password in the URL (KIO sends them) are dropped.

    Raises: ForeignDestination; BadRequest for a query, a fragment or what is no URL; BadName as ``decode_path``.
    """
    url = value.strip(" \t")
    if not url:
        raise BadRequest(reason="the Destination header is empty")
    if _forbidden(url):
        raise BadRequest(reason="the Destination header contains control characters")
    for mark, what in (("#", "a fragment"), ("?", "a query")):
        if mark in url:
            raise BadRequest(reason=f"the Destination header contains {what}; encode {mark} in a name")
    if url.startswith("/"):
        if url.startswith("//"):
            raise BadRequest(reason="the Destination header starts with two slashes; send a URL or an absolute path")
        return _below(url, prefix)
    parts = _absolute(url)
    if parts is None:
        raise BadRequest(reason="the Destination header is neither a URL nor an absolute path")
    target_scheme = parts["scheme"].lower()
    if target_scheme not in _DEFAULT_PORTS:
        raise ForeignDestination(reason=f"the Destination header names the scheme {target_scheme[:20]}")
    authority = _authority(parts["authority"], target_scheme)
    if authority is None:
        raise BadRequest(reason="the Destination header names no host that could be read")
    if authority not in _own_authorities(scheme, host, forwarded_hosts):
        raise ForeignDestination(reason="the Destination header names another server")
    return _below(parts["path"] or "/", prefix)


def _below(path: str, prefix: str) -> Destination:
    names, trailing_slash = decode_path(path)
    top = tuple(name for name in prefix.split("/") if name)
    if names[: len(top)] != top:
        raise ForeignDestination(reason="the Destination header names a place outside the WebDAV tree")
    return Destination(names[len(top) :], trailing_slash)


def _own_authorities(scheme: str, host: str, forwarded_hosts: Collection[str]) -> set[tuple[str, str]]:
    # Behind a proxy that ends TLS the request looks like http while Host may carry :443.
    own = {_authority(host, scheme.lower()), _authority(host, "https")}
    for entry in forwarded_hosts:
        url = _absolute(entry.strip())
        if url is not None:
            own.add(_authority(url["authority"], url["scheme"].lower()))
        else:
            own |= {_authority(entry.strip(), "http"), _authority(entry.strip(), "https")}
    return {authority for authority in own if authority is not None}


def _authority(text: str, scheme: str) -> tuple[str, str] | None:
    """``(host, port)`` in lower case without userinfo; the scheme's default port reads as no port."""
    parts = _host_and_port(text.rpartition("@")[2])
    if parts is None:
        return None
    port = (parts["port"] or "").lstrip("0")
    return parts["host"].lower(), "" if port == _DEFAULT_PORTS.get(scheme) else port
