"""The requests of Microsoft Office: opened by address, and through a mapped drive."""

from __future__ import annotations

import pytest

from tests.server.dav_client import Answer, Dav
from tests.server.listing import names, properties
from tests.server.locking import XML, lock, lockinfo, token_of
from tests.server.running import Server
from tests.server.test_windows import Explorer

OWNER = "DOMAIN\\Some One"


def _office(dav: Dav, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    common = {"User-Agent": "Microsoft Office Word 2014", "X-Office-Major-Version": "16", "X-IDCRL_ACCEPTED": "t"}
    return dav(method, path, body, {**common, **given})


@pytest.mark.parametrize("variant", ["If", "Lock-Token"])
def test_office_opens_by_address_and_saves(dav: Dav, area: str, variant: str) -> None:
    """Discovery, existence, GET, LOCK, refresh, PUT with the token in either header, UNLOCK."""
    path = f"{area}t.docx"
    dav.ok("PUT", path, b"the document")
    discovery = {"User-Agent": "Microsoft Office Protocol Discovery", "X-Office-Major-Version": "16"}
    refused = dav("OPTIONS", area, headers={**discovery, "Authorization": "Bearer"}, signed_in=False)
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")
    found = dav("OPTIONS", area, headers=discovery)
    assert (found.status, found.headers["ms-author-via"]) == (200, "DAV")
    assert {"1", "2"} <= set(found.headers["dav"].split(", "))
    assert dav("HEAD", path, headers={"User-Agent": "Microsoft Office Existence Discovery"}).status == 200
    assert dav("HEAD", area, headers={"User-Agent": "Microsoft Office Existence Discovery"}).status == 200
    assert [_office(dav, "PROPFIND", place, Depth="0").status for place in (area, "/")] == [207, 207]
    opened = _office(dav, "GET", path, Depth="0", translate="f", Content_Type=XML)
    assert (opened.status, opened.body) == (200, b"the document")
    locked = _office(dav, "LOCK", path, lockinfo(OWNER), Timeout="Second-3600", Content_Type=XML)
    assert locked.status == 200
    token = token_of(locked)
    refreshed = _office(dav, "LOCK", path, If=f"(<{token}>)", Timeout="Second-3600")
    assert refreshed.status == 200
    assert token in refreshed.text
    assert _office(dav, "PUT", path, b"without the token").status == 423
    with_token = {"If": f"(<{token}>)"} if variant == "If" else {"Lock-Token": f"<{token}>"}
    assert dav("PUT", path, b"the saved document", with_token).status in (200, 204)
    assert _office(dav, "PROPFIND", path, Depth="0").status == 207
    assert _office(dav, "UNLOCK", path, Lock_Token=f"<{token}>").status == 204
    assert dav.ok("GET", path).body == b"the saved document"


def version_numbers(server: Server, path: str) -> list[str]:
    """What `holdfast versions` lists, newest first."""
    listed = server.holdfast("versions", path.removeprefix("/dav"), "--user", "admin").stdout
    return [line.split()[0] for line in listed.splitlines()[1:]]


def test_office_saves_through_a_mapped_drive(server: Server, dav: Dav, area: str) -> None:
    """An owner file, a temporary file, two renames and two removals leave one document with the new bytes; what it
    was before is still its version.
    """
    explorer = Explorer(dav)
    document, owner = f"{area}t.docx", f"{area}~$t.docx"
    dav.ok("PUT", document, b"before")
    explorer.copy_in(owner, b"\x05owner".ljust(162, b"\0"))
    token = token_of(explorer("LOCK", document, lockinfo(OWNER), Content_Type=XML, Timeout="Second-3600"))
    assert explorer("GET", document).body == b"before"
    assert explorer("UNLOCK", document, Lock_Token=f"<{token}>").status == 204
    new, old = f"{area}~WRD0001.tmp", f"{area}~WRL0002.tmp"
    explorer.copy_in(new, b"after")
    for source, target in ((document, old), (new, document)):
        url = f"http://127.0.0.1:{dav.port}{target}"
        assert explorer("MOVE", source, Destination=url, Overwrite="F", Content_Length="0").status == 201
    for path in (old, owner):
        assert explorer("DELETE", path).status == 204
    assert names(dav, area) == {"t.docx"}
    assert dav.ok("GET", document).body == b"after"
    assert properties(dav, document, "D:lockdiscovery")["D:lockdiscovery"] == ""
    numbers = version_numbers(server, document)
    server.holdfast("restore", document.removeprefix("/dav"), "--user", "admin", "--version", numbers[-1])
    assert dav.ok("GET", document).body == b"before"
    assert version_numbers(server, document)[1:] == numbers


@pytest.mark.parametrize("variant", ["If", "Lock-Token"])
def test_office_replaces_a_document_that_it_holds_locked(server: Server, dav: Dav, area: str, variant: str) -> None:
    """MOVE over the document needs its token, in either header; the path's history goes on, its lock ends."""
    document, new = f"{area}t.docx", f"{area}~WRD0001.tmp"
    dav.ok("PUT", document, b"first")
    dav.ok("PUT", document, b"second")
    token = lock(dav, document, {"Timeout": "Second-3600"})
    dav.ok("PUT", new, b"third")
    target = {"Destination": f"http://127.0.0.1:{dav.port}{document}", "Overwrite": "T"}
    assert dav("MOVE", new, headers=target).status == 423
    assert dav.ok("GET", document).body == b"second"
    tagged = f"<http://127.0.0.1:{dav.port}{document}> (<{token}>)"
    with_token = {"If": tagged} if variant == "If" else {"Lock-Token": f"<{token}>"}
    assert dav("MOVE", new, headers={**target, **with_token}).status == 204
    assert names(dav, area) == {"t.docx"}
    assert dav.ok("GET", document).body == b"third"
    assert len(version_numbers(server, document)) == 3


def test_office_keeps_its_lock_by_refreshing_until_it_lets_go(dav: Dav, area: str) -> None:
    """A refresh has no body and names the token in If; with the wrong one, or without a lock, it is 412."""
    path = f"{area}t.docx"
    dav.ok("PUT", path, b"x")
    token = lock(dav, path, {"Timeout": "Second-180"})
    for seconds in (3600, 180):
        refreshed = _office(dav, "LOCK", path, If=f"(<{token}>)", Timeout=f"Second-{seconds}")
        assert refreshed.status == 200
        assert f"<D:timeout>Second-{seconds}<" in refreshed.text
        assert refreshed.text.count(token) == 1
    assert _office(dav, "LOCK", path, If="(<urn:uuid:00000000-0000-0000-0000-000000000000>)").status == 412
    assert _office(dav, "LOCK", path, lockinfo(OWNER), Content_Type=XML).status == 423
    assert _office(dav, "UNLOCK", path, Lock_Token=f"<{token}>").status == 204
    assert _office(dav, "LOCK", path, If=f"(<{token}>)").status == 412
    assert dav("PUT", path, b"y", {"Lock-Token": f"<{token}>"}).status == 204
