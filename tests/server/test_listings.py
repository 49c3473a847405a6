"""Listings that are told again from memory: after whatever change they are what a fresh one is."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import NAMESPACES, parse
from tests.server.locking import lock
from tests.server.running import Server

PREFIXES = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
KEPT = f"<D:propfind {PREFIXES}><D:allprop/><D:include><oc:checksums/><oc:size/></D:include></D:propfind>".encode()
# Locks cannot be told from memory, so this is always read.
FRESH = KEPT.replace(b"<oc:size/>", b"<oc:size/><D:lockdiscovery/>")
MANY = 70

Told = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """One worker, so that one memory answers all."""
    return {"workers": 1}


@pytest.fixture
def folder(dav: Dav, area: str) -> str:
    """So many files that their listing is kept, and a folder among them."""
    path = f"{area}folder/"
    dav.ok("MKCOL", path)
    for number in range(MANY):
        dav.ok("PUT", f"{path}file {number}".replace(" ", "%20"), b"x" * number)
    dav.ok("MKCOL", f"{path}sub/")
    dav.ok("PUT", f"{path}sub/inner", b"inner")
    return path


def told(dav: Dav, path: str, body: bytes) -> Told:
    """Every property of every entry but the locks, as text."""
    entries = parse(dav("PROPFIND", path, body, {"Depth": "1"}))
    return {
        href: {
            name: ET.tostring(element, encoding="unicode")
            for name, element in entry.values.items()
            if name != "{DAV:}lockdiscovery"
        }
        for href, entry in entries.items()
    }


def patched(value: str) -> bytes:
    """The body of a PROPPATCH."""
    prop = f"<D:set><D:prop><A:colour>{value}</A:colour></D:prop></D:set>"
    return f"<D:propertyupdate {PREFIXES}>{prop}</D:propertyupdate>".encode()


CHANGES: dict[str, Callable[[Dav, str], object]] = {
    "a new file": lambda dav, at: dav.ok("PUT", f"{at}new", b"new"),
    "a new version": lambda dav, at: dav.ok("PUT", f"{at}file%201", b"another"),
    "the same bytes again": lambda dav, at: dav.ok("PUT", f"{at}file%201", b"x"),
    "a checksum": lambda dav, at: dav.ok(
        "PUT", f"{at}file%202", b"abc", {"OC-Checksum": "SHA1:a9993e364706816aba3e25717850c26c9cd0d89d"}
    ),
    "a time": lambda dav, at: dav.ok("PUT", f"{at}file%203", b"x", {"X-OC-Mtime": "1000000000"}),
    "a property of a file": lambda dav, at: dav.ok("PROPPATCH", f"{at}file%204", patched("red")),
    "a property of a folder in it": lambda dav, at: dav.ok("PROPPATCH", f"{at}sub/", patched("green")),
    "a property of its own": lambda dav, at: dav.ok("PROPPATCH", at, patched("blue")),
    "a file further down": lambda dav, at: dav.ok("PUT", f"{at}sub/more", b"more"),
    "a new folder": lambda dav, at: dav.ok("MKCOL", f"{at}another/"),
    "a removed file": lambda dav, at: dav.ok("DELETE", f"{at}file%205"),
    "a file that comes": lambda dav, at: dav.ok(
        "MOVE", f"{at}sub/inner", headers={"Destination": f"{at}inner", "Overwrite": "F"}
    ),
    "a file that goes": lambda dav, at: dav.ok("MOVE", f"{at}file%206", headers={"Destination": f"{at}sub/six"}),
    "a file over another": lambda dav, at: dav.ok("COPY", f"{at}file%207", headers={"Destination": f"{at}file%208"}),
    "a lock": lambda dav, at: lock(dav, f"{at}file%209"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_listing_after_a_change_is_what_is_there(dav: Dav, folder: str, change: str) -> None:
    """And it stays so when it is asked for once more."""
    before = told(dav, folder, KEPT)
    assert told(dav, folder, KEPT) == before
    CHANGES[change](dav, folder)
    fresh = told(dav, folder, FRESH)
    assert told(dav, folder, KEPT) == fresh
    assert told(dav, folder, KEPT) == fresh
    assert (fresh == before) == (change == "a lock")


def test_listing_under_another_name_has_its_hrefs(dav: Dav, folder: str) -> None:
    """Moving a folder leaves everything below as it is, but for where it is."""
    told(dav, folder, KEPT)
    moved = folder.replace("/folder/", "/moved%20away/")
    dav.ok("MOVE", folder, headers={"Destination": moved})
    found = told(dav, moved, KEPT)
    assert found == told(dav, moved, FRESH)
    assert all(href.startswith(moved) for href in found)
    assert dav("PROPFIND", folder, KEPT, {"Depth": "1"}).status == 404


def test_listing_for_another_question_is_another(dav: Dav, folder: str) -> None:
    """What was asked is part of what is remembered."""
    names = f"<D:propfind {PREFIXES}><D:prop><D:getetag/><A:colour/></D:prop></D:propfind>".encode()
    for _ in range(2):
        assert len(told(dav, folder, KEPT)[f"{folder}file%201"]) > 3
        entries = parse(dav("PROPFIND", folder, names, {"Depth": "1"}))
        assert set(entries[f"{folder}file%201"].refused.values()) == {404}
        assert len(entries) == MANY + 2


def test_listing_of_somebody_else_is_not_told(server: Server, dav: Dav, folder: str) -> None:
    """The same path is another folder for everybody."""
    mine = told(dav, folder, KEPT)
    with server.add_user("other") as other:
        assert other("PROPFIND", folder, KEPT, {"Depth": "1"}).status == 404
        other.ok("MKCOL", "/".join(folder.split("/")[:3]) + "/")
        other.ok("MKCOL", folder)
        for number in range(MANY):
            other.ok("PUT", f"{folder}theirs{number}", b"x")
        theirs = told(other, folder, KEPT)
        assert set(mine) & set(theirs) == {folder}
        assert told(other, folder, KEPT) == theirs
    assert told(dav, folder, KEPT) == mine


def test_listing_that_is_told_again_is_the_same_answer(dav: Dav, folder: str) -> None:
    """To the byte; whatever its length."""
    first, again = (dav("PROPFIND", folder, KEPT, {"Depth": "1"}) for _ in range(2))
    assert (first.status, first.body) == (again.status, again.body)
    assert first.headers["content-type"] == again.headers["content-type"]
