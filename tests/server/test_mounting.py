"""What clients that mount the server count on, whoever they are: no detours, one kind of sign-in, nothing made up."""

from __future__ import annotations

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names, parse, propfind_body
from tests.server.locking import XML, lockinfo, token_of
from tests.server.running import Server

METHODS = [
    "OPTIONS",
    "GET",
    "HEAD",
    "PUT",
    "PROPFIND",
    "PROPPATCH",
    "REPORT",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
]
PATCH = b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x"/></D:prop></D:set></D:propertyupdate>'
SYNC = (
    b'<D:sync-collection xmlns:D="DAV:"><D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>'
    b"</D:sync-collection>"
)
# Windows, macOS and Office look for them wherever they mount.
PROBES = [
    ".metadata_never_index",
    ".ql_disablethumbnails",
    ".hidden",
    ".DS_Store",
    "._.",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    ".TemporaryItems",
    "Backups.backupdb",
    "mach_kernel",
    "desktop.ini",
    "Desktop.ini",
    "AutoRun.inf",
    "Thumbs.db",
    "folder.jpg",
    "~$t.docx",
    "file.txt%3AZone.Identifier",
]


def test_no_method_is_sent_elsewhere_for_a_slash(dav: Dav, area: str) -> None:
    """A folder without one is the folder: a redirect shows Windows an empty folder, and loses a body elsewhere."""
    dav.ok("MKCOL", f"{area}folder")
    dav.ok("PUT", f"{area}folder/file", b"x")
    for path in (f"{area}folder", f"{area}folder/"):
        expected = [
            ("OPTIONS", None, {}, 200),
            ("GET", None, {}, 200),
            ("HEAD", None, {}, 200),
            ("PROPFIND", b"", {"Depth": "1"}, 207),
            ("PROPPATCH", PATCH, {}, 207),
            ("REPORT", SYNC, {}, 207),
            ("MKCOL", None, {}, 405),
            ("PUT", b"x", {}, 409 if path.endswith("/") else 405),
            ("COPY", None, {"Destination": f"{area}copy"}, 204 if path.endswith("/") else 201),
        ]
        for method, body, headers, status in expected:
            assert dav(method, path, body, headers).status == status, f"{method} {path}"
        token = token_of(dav.ok("LOCK", path, lockinfo(), {"Content-Type": XML}))
        assert dav("UNLOCK", path, headers={"Lock-Token": f"<{token}>"}).status == 204
        listed = dav("PROPFIND", path, b"", {"Depth": "1"})
        (href, _) = parse(listed)
        assert href == f"{area}folder/"
        # RFC 4918 §5.2.
        assert listed.headers.get("content-location") == (None if path.endswith("/") else href)
    assert "content-location" not in dav("PROPFIND", f"{area}folder/file", b"", {"Depth": "0"}).headers
    assert dav("MOVE", f"{area}folder", headers={"Destination": f"{area}moved/"}).status == 201
    assert dav("MOVE", f"{area}moved/", headers={"Destination": f"{area}folder"}).status == 201
    assert dav("DELETE", f"{area}folder").status == 204
    assert dav("DELETE", f"{area}copy/").status == 204
    assert names(dav, area) == set()
    assert dav("PROPFIND", "/dav", b"", {"Depth": "0"}).status == 207


@pytest.mark.parametrize("path", ["/dav", "/dav/", "/dav/missing", "/"])
def test_sign_in_is_asked_for_by_basic_alone(dav: Dav, path: str) -> None:
    """One challenge with one scheme (RFC 7617 §2): some clients take the first that they see, and cannot do it."""
    for method in METHODS if path != "/" else ["PROPFIND"]:
        with dav.wire() as wire:
            wire.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nDepth: 0\r\nAuthorization: Bearer\r\n\r\n".encode())
            # It asserts that no field comes twice.
            answer = wire.answer(method)
            assert (answer.status, answer.fields["www-authenticate"]) == (
                401,
                'Basic realm="Holdfast", charset="UTF-8"',
            )


@pytest.mark.parametrize("password", ["pass:word:with colons", "Grüße 日本語 𝄞", "Ümläute und 漢字"])
def test_any_password_signs_in(server: Server, password: str) -> None:
    """RFC 7617 §2, §2.1: it is UTF-8 and may hold colons; the scheme's name may be written in any case."""
    name = f"user{len(password)}"
    with server.add_user(name, password=password) as user:
        assert user("PROPFIND", "/dav/", b"", {"Depth": "0"}).status == 207
        for scheme in ("basic", "BASIC"):
            authorization = user.authorization.replace("Basic", scheme)
            assert user("HEAD", "/dav/", headers={"Authorization": authorization}, signed_in=False).status == 200
    with server.dav(name, password[:-1]) as wrong:
        assert wrong("HEAD", "/dav/").status == 401


@pytest.mark.parametrize("name", PROBES)
def test_file_that_clients_look_for_is_there_only_if_it_was_stored(dav: Dav, area: str, name: str) -> None:
    """Nothing is made up to please one of them: others would copy it around."""
    asked = propfind_body("D:resourcetype", "D:getcontentlength")
    for folder in ("/dav/", area):
        assert dav("PROPFIND", folder + name, asked, {"Depth": "0"}).status == 404
        assert dav("GET", folder + name).status == 404
    assert names(dav, area) == set()
    assert dav("PUT", area + name, b"stored").status == 201
    (entry,) = parse(dav("PROPFIND", area + name, asked, {"Depth": "0"})).values()
    assert entry["D:getcontentlength"] == "6"
    assert dav.ok("GET", area + name).body == b"stored"
    assert dav("PROPFIND", f"/dav/{name}", asked, {"Depth": "0"}).status == 404
    assert dav("DELETE", area + name).status == 204
