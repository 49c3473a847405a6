"""Input that cannot be right: a 4xx with a reason, or the header ignored where RFC 9110 says so; nothing changes."""

from __future__ import annotations

import json

import pytest

from tests.server.dav_client import Answer, Dav

CONTENT = b"as it was"
NAMES = {
    "control character": "a%01b",
    "delete": "a%7Fb",
    "c1 control": "a%C2%85b",
    "nul": "a%00b",
    "not utf-8": "%E9",
    "half a surrogate pair": "a%ED%A0%80",
    "non-character": "a%EF%BF%BF",
    "parent": "..%2f",
    "encoded parent": "%2e%2e",
    "encoded slash": "a%2Fb",
    "bad escape": "a%zz",
    "4 KB": "n" * 4096,
    "256 characters": "n" * 256,
    "300 folders": "d/" * 300 + "f",
}
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    b'<D:propfind xmlns:D="DAV:"><D:prop>&b;</D:prop></D:propfind>'
)
REFUSED_BODIES = {
    "bomb": ("PROPFIND", BOMB, 400),
    "no xml": ("PROPFIND", b"<<<>>", 400),
    "another root": ("PROPFIND", b"<a/>", 400),
    "two megabytes": ("PROPFIND", b"<a>" + b"x" * 2_000_000 + b"</a>", 413),
    "proppatch without xml": ("PROPPATCH", b"nope", 400),
    "proppatch without body": ("PROPPATCH", b"", 400),
    "lock without xml": ("LOCK", b"nope", 400),
    "mkcol with body": ("MKCOL", b"abc", 415),
    "delete with body": ("DELETE", b"abc", 415),
}
# (method, header, status); a PUT that passes is 204.
HEADERS = [
    ("PROPFIND", "Depth: 7", 400),
    ("COPY", "Depth: 1", 400),
    ("COPY", "Overwrite: maybe", 400),
    ("PUT", "If: garbage", 400),
    ("PUT", "If: (", 400),
    ("PUT", "If: (<x>", 400),
    ("PUT", 'If: <http://elsewhere/x> (["bogus"])', 412),
    ("PUT", "If-Match: garbage", 412),
    ("PUT", "If-None-Match: garbage", 204),
    ("PUT", "If-Unmodified-Since: garbage", 204),
    ("PUT", "If-Modified-Since: garbage", 204),
    ("PUT", "Range: garbage", 204),
    ("PUT", "Timeout: garbage", 204),
    ("PUT", "OC-Checksum: garbage", 400),
    ("PUT", "OC-Checksum: SHA1:zz", 400),
    ("PUT", "OC-Checksum: SHA1:da39a3ee5e6b4b0d3255bfef95601890afd80709", 400),
    ("PUT", "OC-Checksum: UNKNOWN:12", 204),
    ("PUT", "X-OC-Mtime: garbage", 400),
    ("PUT", "X-OC-Mtime: 99999999999999999", 400),
    ("PUT", "Content-Range: bytes 0-1/3", 400),
    ("PUT", "Content-Encoding: gzip", 415),
    ("PUT", "Content-Encoding: identity", 204),
    ("PUT", "Expect: garbage", 417),
    ("PUT", "X-Expected-Entity-Length: zz", 204),
    ("PUT", "Origin: http://evil.example", 403),
    ("PUT", "Origin: null", 403),
    ("PUT", "Sec-Fetch-Site: cross-site", 403),
    ("PUT", "Sec-Fetch-Site: same-site", 403),
    ("PUT", "Sec-Fetch-Site: same-origin", 204),
    ("PUT", "Origin: http://127.0.0.1", 403),
    ("GET", "If-Modified-Since: garbage", 200),
    ("GET", "Range: garbage", 200),
    ("GET", "Range: bytes=9-2", 200),
    ("GET", "Range: bytes=3-1", 200),
    ("GET", "Range: bytes=a-b", 200),
    ("GET", "Range: items=0-1", 200),
    ("GET", "Range: bytes=-0", 416),
    ("GET", "Range: bytes=99-", 416),
    ("GET", "Depth: 5", 200),
    ("GET", 'If: (["bogus"])', 412),
    ("UNLOCK", "Lock-Token: garbage", 409),
    ("UNLOCK", "Lock-Token: <urn:x>", 409),
    ("UNLOCK", "X-Nothing: x", 400),
    ("DELETE", "Depth: 7", 400),
]
DESTINATIONS = {
    "": 400,
    "garbage": 400,
    "http://elsewhere.example/dav/y": 502,
    "/elsewhere/y": 502,
    "/dav/%E9": 400,
    "/dav/a%01": 400,
    "/dav/q?x": 400,
    "/dav/a#b": 400,
    "/dav/../y": 400,
}
AUTHORIZATIONS = ["", "Basic", "Basic !!!", "Basic Zm9v", "Bearer", "Bearer xyz", "Digest x", "Basic YWRtaW46w6Q="]


@pytest.fixture
def file(dav: Dav, area: str) -> str:
    """The path of a file with ``CONTENT``."""
    dav.ok("PUT", area + "file", CONTENT)
    return area + "file"


def require_unchanged(dav: Dav, area: str, file: str, etag: str) -> None:
    """The file is what it was, and alone in a folder that can be listed."""
    found = dav.ok("GET", file)
    assert (found.body, found.etag) == (CONTENT, etag)
    listing = dav.ok("PROPFIND", area, headers={"Depth": "1"})
    assert listing.text.count("<D:response>") == 2


def require_reason(answer: Answer, status: int) -> None:
    """A line for a person, or an XML error; never the program's own business."""
    assert answer.status == status, answer.text
    assert status < 400 or answer.body
    assert status < 400 or answer.headers["cache-control"] == "no-store"
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("method", ["PUT", "MKCOL", "LOCK"])
def test_name_that_cannot_be_is_refused_and_changes_nothing(
    dav: Dav, area: str, file: str, name: str, method: str
) -> None:
    """Such a name would make its folder unlistable, or be lost in some client."""
    etag = dav.ok("GET", file).etag
    body = {"PUT": b"abc", "LOCK": LOCK}.get(method)
    require_reason(dav(method, area + name, body), 400)
    require_unchanged(dav, area, file, etag)


LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


@pytest.mark.parametrize(("method", "body", "status"), REFUSED_BODIES.values(), ids=REFUSED_BODIES)
def test_body_that_cannot_be_is_refused(dav: Dav, area: str, file: str, method: str, body: bytes, status: int) -> None:
    """Bombs are not expanded, long ones not read."""
    etag = dav.ok("GET", file).etag
    path = area + "new" if method == "MKCOL" else file
    require_reason(dav(method, path, body, {"Depth": "0"}), status)
    require_unchanged(dav, area, file, etag)


@pytest.mark.parametrize(("method", "header", "status"), HEADERS, ids=[f"{row[0]} {row[1]}" for row in HEADERS])
def test_header_with_garbage_is_refused_or_ignored(
    dav: Dav, area: str, file: str, method: str, header: str, status: int
) -> None:
    """As RFC 9110 and RFC 4918 say for each of them."""
    etag = dav.ok("GET", file).etag
    name, _, value = header.partition(": ")
    target = {"Destination": area + "copy"} if method == "COPY" else {}
    answer = dav(method, file, CONTENT if method == "PUT" else None, {**target, name: value})
    require_reason(answer, status)
    require_unchanged(dav, area, file, answer.etag if status == 204 else etag)


@pytest.mark.parametrize(("destination", "status"), DESTINATIONS.items())
@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_destination_that_cannot_be_is_refused(
    dav: Dav, area: str, file: str, method: str, destination: str, status: int
) -> None:
    """It never cuts a name short, and never leads elsewhere."""
    etag = dav.ok("GET", file).etag
    require_reason(dav(method, file, headers={"Destination": destination}), status)
    require_unchanged(dav, area, file, etag)


@pytest.mark.parametrize("value", AUTHORIZATIONS)
def test_authorization_that_is_none_is_challenged(dav: Dav, file: str, value: str) -> None:
    """With Basic; and with Bearer behind it, if that was tried."""
    answer = dav("GET", file, headers={"Authorization": value}, signed_in=False)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("name", ["%E9", "a%FF", "a%ED%A0%80", "a%00"])
@pytest.mark.parametrize(
    "method",
    ["GET", "HEAD", "OPTIONS", "PROPFIND", "PROPPATCH", "REPORT", "DELETE", "COPY", "MOVE", "UNLOCK"],
)
def test_url_that_is_no_text_is_answered_by_every_method(
    dav: Dav, area: str, file: str, method: str, name: str
) -> None:
    """400, on a connection that goes on."""
    etag = dav.ok("GET", file).etag
    for path in (area + name, f"{area}{name}/below"):
        with dav.wire() as wire:
            head = dav.head(method, path, "Depth: 0", f"Destination: {area}new", "Content-Length: 0")
            wire.send(head, dav.head("OPTIONS", area))
            assert wire.answer(method).status == 400
            assert wire.answer("OPTIONS").status == 200
    require_unchanged(dav, area, file, etag)


def test_put_to_a_folders_url_is_refused(dav: Dav, area: str, file: str) -> None:
    """Neither an existing folder nor a new name with a slash becomes a file."""
    etag = dav.ok("GET", file).etag
    require_reason(dav("PUT", area, b"abc"), 409)
    require_reason(dav("PUT", area.rstrip("/"), b"abc"), 405)
    require_reason(dav("PUT", area + "new/", b"abc"), 409)
    require_reason(dav("LOCK", area + "new/", LOCK), 409)
    require_reason(dav("PUT", area + "missing/new", b"abc"), 409)
    require_reason(dav("PUT", file + "/below", b"abc"), 409)
    require_unchanged(dav, area, file, etag)


@pytest.mark.parametrize("method", ["POST", "PATCH", "SEARCH", "TRACE", "MKCALENDAR", "NONSENSE"])
def test_unknown_method_is_405_with_what_is_possible(dav: Dav, file: str, method: str) -> None:
    """RFC 9110 §15.5.6."""
    answer = dav(method, file)
    assert answer.status == 405
    assert "PROPFIND" in answer.headers["allow"]


@pytest.mark.parametrize("headers", [{}, {"Depth": "infinity"}])
def test_propfind_of_infinite_depth_is_refused_as_the_rfc_says(
    dav: Dav, area: str, file: str, headers: dict[str, str]
) -> None:
    """RFC 4918 §9.1.1: for folders; a file has no depth, and what is not there is not found."""
    answer = dav("PROPFIND", area, headers=headers)
    assert answer.status == 403
    assert "propfind-finite-depth" in answer.text
    assert dav("PROPFIND", file, headers=headers).text.count("<D:response>") == 1
    assert dav("PROPFIND", area + "missing", headers=headers).status == 404


@pytest.mark.parametrize("method, depth", [("DELETE", "0"), ("DELETE", "1"), ("MOVE", "0"), ("MOVE", "1")])
def test_part_of_a_folder_can_not_be_removed_or_moved(dav: Dav, area: str, file: str, method: str, depth: str) -> None:
    """RFC 4918 §9.6.1, §9.9.2: a client that sends another Depth would be surprised. A file has none."""
    etag = dav.ok("GET", file).etag
    headers = {"Depth": depth, "Destination": area.rstrip("/") + "-moved"}
    require_reason(dav(method, area, headers=headers), 400)
    require_unchanged(dav, area, file, etag)
    require_reason(dav(method, area + "missing", headers=headers), 404)
    assert dav(method, file, headers={**headers, "Destination": area + "moved"}).status in (201, 204)


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("files.example.com", "https://files.example.com", 204),
        ("files.example.com", "https://FILES.example.com:443", 204),
        ("files.example.com:443", "https://files.example.com", 204),
        ("files.example.com:8443", "https://files.example.com:8443", 204),
        ("files.example.com", "http://files.example.com", 204),
        ("files.example.com", "https://files.example.com:8443", 403),
        ("files.example.com:8443", "https://files.example.com", 403),
        ("files.example.com:80", "https://files.example.com", 403),
        ("files.example.com", "https://example.com", 403),
        ("files.example.com", "chrome-extension://files.example.com", 403),
        ("files.example.com", "https://user@files.example.com", 403),
    ],
)
def test_write_of_a_page_is_let_in_where_host_and_port_are_ours(
    dav: Dav, file: str, host: str, origin: str, status: int
) -> None:
    """Behind a proxy that ends TLS the page is https, and the request comes as http."""
    assert dav("PUT", file, CONTENT, {"Host": host, "Origin": origin}).status == status


def test_path_of_the_face_may_be_encoded(dav: Dav, area: str, file: str) -> None:
    """RFC 3986 §6.2.2.2: `%64` is `d`, in the URL as in Destination; the name is still decoded once."""
    assert dav.ok("GET", file.replace("/dav/", "/%64a%76/")).body == CONTENT
    odd = area.replace("/dav/", "/d%61v/") + "100%2525"
    dav.ok("PUT", odd, CONTENT)
    assert dav.ok("GET", area + "100%2525").body == CONTENT
    assert dav("GET", file.replace("/dav/", "/%2Fdav/")).status == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_under_its_own_path_to_readers_only(dav: Dav, path: str) -> None:
    """What asks for anything else is not taken for a probe that succeeded (RFC 9110 §15.5.6)."""
    assert dav("GET", path, signed_in=False).status == 200
    assert dav("HEAD", path, signed_in=False).status == 200
    assert dav("GET", f"{path}?x", signed_in=False).status == 200
    for below in (f"{path}/", f"{path}/x", f"{path}x"):
        assert dav("GET", below, signed_in=False).status == 404
    for method in ("POST", "PUT", "DELETE", "PROPFIND", "OPTIONS"):
        answer = dav(method, path, signed_in=False)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_no_cache_is_left_to_guess(dav: Dav, area: str) -> None:
    """Errors are kept by nobody; what somebody with credentials gets, by nobody else."""
    dav.ok("PUT", area + "file", CONTENT)
    dav.ok("PUT", area + "other", CONTENT)
    listed = dav("GET", f"/api/v1/files?path={area.removeprefix('/dav')}")
    file_id = json.loads(listed.body)["files"][0]["fileId"]
    for method, path, status in (
        ("GET", area + "file", 200), ("PROPFIND", area + "file", 207), ("OPTIONS", area, 200), ("GET", "/", 200),
        ("DELETE", f"/api/v1/files/{file_id}", 204), ("DELETE", area + "other", 204),
    ):  # fmt: skip
        answer = dav(method, path)
        assert (answer.status, answer.headers.get("cache-control")) == (status, "private, no-cache"), (method, path)
    for path in ("/dav/nothing", "/nothing", "/at/nothing/", "/api/v1/nothing", "/healthz/nothing"):
        for signed_in in (True, False):
            answer = dav("GET", path, signed_in=signed_in)
            assert answer.status in (401, 404), path
            assert answer.headers.get("cache-control") == "no-store", path
    with_cookie = dav("GET", "/", headers={"Cookie": "a=b"}, signed_in=False)
    assert with_cookie.headers["cache-control"] == "private, no-cache"
