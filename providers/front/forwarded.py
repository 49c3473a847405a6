"""What a proxy says of the request that it sends on: X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.

Anybody can write these headers, so they count only if the peer is a proxy that the settings name. Of a list the last
entry counts: it is what the nearest proxy has added, whatever stood there before. Proxies have to replace or extend the
headers, never to pass them on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_FOR, _PROTO, _HOST = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"
# X-Real-IP is known to be passed on as it came by many proxies.
_ALL = (_FOR, _PROTO, _HOST, "HTTP_X_REAL_IP", "HTTP_FORWARDED")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{1,5})?")
# Some proxies write the port too.
_WITH_PORT = re.compile(r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|(?P<four>[0-9.]+):[0-9]{1,5}")


def believe(environ: dict[str, Any], trusted: Collection[Network]) -> None:
    """Correct address, scheme and host of a request by what a trusted proxy says; remove the headers from all others.

    What is malformed counts as not said.
    """
    said = {name: environ.pop(name) for name in _ALL if name in environ}
    if not said or not trusted or not _is_trusted(_address(environ["REMOTE_ADDR"]), trusted):
        return
    client = _client(said.get(_FOR, ""), trusted)
    if client is not None:
        environ["REMOTE_ADDR"] = str(client)
    scheme = _last(said.get(_PROTO, "")).lower()
    if scheme in ("http", "https"):
        environ["wsgi.url_scheme"] = scheme
    host = _last(said.get(_HOST, ""))
    if _AUTHORITY.fullmatch(host):
        environ["HTTP_HOST"] = host


def stands_for_many(share: str, trusted: Collection[Network]) -> bool:
    """Whether connections of this address, or of this network, may be a trusted proxy's."""
    try:
        network = ip_network(share, strict=False)
    except ValueError:
        return False
    return any(each.version == network.version and each.overlaps(network) for each in trusted)


def _client(entries: str, trusted: Collection[Network]) -> IPv4Address | IPv6Address | None:
    """The last address that is no trusted proxy's; the first one if all are; None if there is none that can be read."""
    found = None
    for entry in _backwards(entries):
        found = _address(entry)
        if not _is_trusted(found, trusted):
            break
    return found


def _backwards(entries: str) -> Iterator[str]:
    """Entries of a list, the last one first; a client may have sent thousands, and only few are looked at."""
    while entries:
        entries, _, entry = entries.rpartition(",")
        yield entry.strip()


def _last(entries: str) -> str:
    return entries.rpartition(",")[2].strip()


def _address(text: str) -> IPv4Address | IPv6Address | None:
    match = _WITH_PORT.fullmatch(text)
    plain = (match["six"] or match["four"]) if match else text
    try:
        found = ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_trusted(address: IPv4Address | IPv6Address | None, trusted: Collection[Network]) -> bool:
    return address is not None and any(address in network for network in trusted)
