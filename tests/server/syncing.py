"""REPORT with sync-collection (RFC 6578), and a client that follows a folder by it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.server.dav_client import Answer, Dav
from tests.server.listing import NAMESPACES, Entry, parse, propfind

XML = {"Content-Type": "application/xml"}
PREFIXES = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())


class Synced(NamedTuple):
    """An answer: entries that are there, hrefs that are gone, whether it was cut, and the token."""

    entries: dict[str, Entry]
    gone: list[str]
    cut: bool
    token: str


def body(token: str = "", *names: str, level: str = "infinite", limit: int | None = None) -> bytes:
    """Asks for these properties of what changed since ``token``."""
    bound = "" if limit is None else f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>"
    wanted = "".join(f"<{name}/>" for name in names or ("D:getetag", "D:resourcetype"))
    return (
        f'<?xml version="1.0"?><D:sync-collection {PREFIXES}><D:sync-token>{token}</D:sync-token>'
        f"<D:sync-level>{level}</D:sync-level>{bound}<D:prop>{wanted}</D:prop></D:sync-collection>"
    ).encode()


def read(path: str, answer: Answer) -> Synced:
    """What an answer about ``path`` says."""
    entries = parse(answer)
    root = ET.fromstring(answer.body)
    (token,) = root.findall("{DAV:}sync-token")
    assert root[-1] is token
    statuses: dict[str, int] = {}
    for response in root.iterfind("{DAV:}response"):
        status = response.find("{DAV:}status")
        assert (status is None) != (response.find("{DAV:}propstat") is None), "RFC 6578 §3.2"
        if status is not None:
            href = response.findtext("{DAV:}href") or ""
            statuses[href] = int((status.text or "").split()[1])
            del entries[href]
            if statuses[href] == 507:
                assert response.find("{DAV:}error/{DAV:}number-of-matches-within-limits") is not None
    cut = statuses.pop(path, None)
    assert cut in (None, 507)
    assert set(statuses.values()) <= {404}
    return Synced(entries, list(statuses), cut == 507, token.text or "")


def sync(
    dav: Dav, path: str, token: str = "", *names: str, level: str = "infinite", limit: int | None = None
) -> Synced:
    """A question that is answered."""
    return read(path, dav("REPORT", path, body(token, *names, level=level, limit=limit), {**XML, "Depth": "0"}))


def etags(dav: Dav, path: str) -> dict[str, str]:
    """The ETag of everything below a folder by its href, from listings."""
    found: dict[str, str] = {}
    for href, entry in list(propfind(dav, path, "D:getetag", "D:resourcetype", depth="1").items())[1:]:
        found[href] = entry["D:getetag"]
        if entry.is_folder:
            found |= etags(dav, href)
    return found


@dataclass
class Follower:
    """Knows the ETags of a folder from what it was told, and a token."""

    dav: Dav
    path: str
    limit: int | None = None
    token: str = ""
    known: dict[str, str] = field(default_factory=dict)

    def follow(self, between: Callable[[], object] = lambda: None) -> None:
        """Until nothing is cut any more."""
        while True:
            told = sync(self.dav, self.path, self.token, limit=self.limit)
            self.token = told.token
            for href in told.gone:
                self._forget(href)
            for href, entry in told.entries.items():
                if not entry.is_folder:
                    self._forget(href)
                self.known.pop(href.rstrip("/"), None)
                self.known[href] = entry["D:getetag"]
            if not told.cut:
                return
            between()

    def _forget(self, href: str) -> None:
        path = href.rstrip("/")
        self.known = {known: etag for known, etag in self.known.items() if not f"{known}/".startswith(f"{path}/")}
