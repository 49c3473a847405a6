"""Multi-Status answers (RFC 4918 §13), and the request bodies that ask for them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.server.dav_client import Answer, Dav

NAMESPACES = {
    "D": "DAV:",
    "oc": "http://owncloud.org/ns",
    "Z": "urn:schemas-microsoft-com:",
    "A": "http://www.apple.com/webdav_fs/props/",
}


@dataclass
class Entry:
    """One response element: what each property is (200), and the status of those that are not."""

    values: dict[str, ET.Element] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        """The text of a property, written as ``D:getetag``."""
        return "".join(self.values[clark(name)].itertext())

    def __contains__(self, name: str) -> bool:
        return clark(name) in self.values

    @property
    def is_folder(self) -> bool:
        return self.values[clark("D:resourcetype")].find("{DAV:}collection") is not None


def clark(name: str) -> str:
    """``D:getetag`` as ElementTree writes it."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def parse(answer: Answer) -> dict[str, Entry]:
    """Entries by href, as sent."""
    assert answer.status == 207, f"{answer.status} {answer.text}"
    entries: dict[str, Entry] = {}
    for response in ET.fromstring(answer.body).iterfind("{DAV:}response"):
        href = response.findtext("{DAV:}href")
        assert href is not None
        assert href not in entries, f"{href} twice"
        entry = entries[href] = Entry()
        for propstat in response.iterfind("{DAV:}propstat"):
            status = int((propstat.findtext("{DAV:}status") or "").split()[1])
            for value in propstat.iterfind("{DAV:}prop/*"):
                if status == 200:
                    entry.values[value.tag] = value
                else:
                    entry.refused[value.tag] = status
    return entries


def propfind_body(*names: str) -> bytes:
    """Asks for these properties; for all if none is named."""
    if not names:
        return b""
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    wanted = "".join(f"<{name}/>" for name in names)
    return f'<?xml version="1.0"?><D:propfind {spaces}><D:prop>{wanted}</D:prop></D:propfind>'.encode()


def propfind(dav: Dav, path: str, *names: str, depth: str = "0") -> dict[str, Entry]:
    """The entries of a PROPFIND that succeeds."""
    return parse(dav("PROPFIND", path, propfind_body(*names), {"Depth": depth, "Content-Type": "application/xml"}))


def properties(dav: Dav, path: str, *names: str) -> Entry:
    """The properties of one resource."""
    (entry,) = propfind(dav, path, *names).values()
    return entry


def names(dav: Dav, path: str) -> set[str]:
    """The decoded names in a folder, a slash after those of folders."""
    hrefs = list(propfind(dav, path, "D:resourcetype", depth="1"))
    return {unquote(href.removeprefix(hrefs[0])) for href in hrefs[1:]}


def tree(dav: Dav, path: str) -> dict[str, bytes]:
    """Every file below a folder with its bytes, and every folder (with a slash) without; by decoded path."""
    found: dict[str, bytes] = {}
    for href, entry in list(propfind(dav, path, "D:resourcetype", depth="1").items())[1:]:
        name = unquote(href.removeprefix(path if path.endswith("/") else path + "/"))
        if entry.is_folder:
            found[name] = b""
            found |= {name + below: body for below, body in tree(dav, href).items()}
        else:
            found[name] = dav.ok("GET", href).body
    return found
