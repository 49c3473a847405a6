"""Signed URLs: usable without credentials, for one version, for a while, and in exactly one way of writing."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard

from tests.server.content import noise
from tests.server.dav_client import Answer, Dav
from tests.server.running import Server
from tests.support.content import prose

Start = Callable[..., Server]
TEXT = prose(200_000)


def described(dav: Dav, path: str, query: str = "") -> dict[str, Any]:
    """What the API tells of the file at this WebDAV path."""
    node_id = int(dav.ok("HEAD", path).etag.strip('"').split("-")[1], 16)
    answer = dav.ok("GET", f"/api/v1/files/{node_id}{query}")
    found: dict[str, Any] = json.loads(answer.body)
    return found


def target(url: str) -> str:
    """The path of a URL."""
    return "/" + url.split("/", 3)[3]


def fetch(dav: Dav, url: str, method: str = "GET", **headers: str) -> Answer:
    """Ask without credentials."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return dav(method, target(url), None, sent, signed_in=False)


def test_file_is_told_with_a_url_for_anybody(dav: Dav, area: str) -> None:
    """The fields of the seed, and the same URL again within the window."""
    body = noise(300_000)
    path = f"{area}%C3%BC%20%3F.bin"
    dav.ok("PUT", path, body)
    found = described(dav, path)
    assert found["fileName"] == "ü ?.bin"
    assert found["fileSize"] == found["size"] == len(body)
    assert found["mimeType"] == "application/octet-stream"
    assert found["status"] == "completed"
    assert found["source"] == "storage"
    assert described(dav, path)["downloadUrl"] == found["downloadUrl"]
    answer = fetch(dav, found["downloadUrl"])
    assert (answer.status, answer.body) == (200, body)
    assert answer.etag == dav.ok("HEAD", path).etag
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC%20%3F.bin"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"].startswith("public, max-age=240, s-maxage=240")
    head = fetch(dav, found["downloadUrl"], "HEAD")
    assert (head.status, head.headers["content-length"]) == (200, str(len(body)))


def test_ranges_and_conditions(dav: Dav, area: str) -> None:
    """Players jump, and who has it gets 304."""
    body = noise(300_000)
    dav.ok("PUT", f"{area}film.mp4", body)
    url = described(dav, f"{area}film.mp4", "?disposition=inline")["downloadUrl"]
    answer = fetch(dav, url, Range="bytes=1000-1999")
    assert (answer.status, answer.body) == (206, body[1000:2000])
    assert "content-disposition" not in answer.headers
    assert answer.headers["content-type"] == "video/mp4"
    assert fetch(dav, url, Range="bytes=-5").body == body[-5:]
    beyond = fetch(dav, url, Range="bytes=300000-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */300000")
    assert beyond.headers["content-type"] == "application/problem+json"
    problem = json.loads(beyond.body)
    assert (problem["type"], problem["size"]) == ("urn:holdfast:problem:unsatisfiable-range", 300_000)
    unchanged = fetch(dav, url, If_None_Match=answer.etag)
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert unchanged.headers["cache-control"].startswith("public")


def test_what_is_altered_is_refused(dav: Dav, area: str) -> None:
    """Every letter of the URL counts, and nothing may be added."""
    dav.ok("PUT", f"{area}a.txt", b"a" * 5000)
    dav.ok("PUT", f"{area}b.txt", b"b" * 5000)
    dav.ok("PUT", f"{area}c%20%C3%A9", b"c" * 5000)
    path = target(described(dav, f"{area}a.txt")["downloadUrl"])
    start = len("/api/v1/signed/")
    statuses = set()
    for at in range(start, len(path)):
        for other in "a1%/" if path[at] not in "a1/" else "Zb%":
            altered = path[:at] + other + path[at + 1 :]
            statuses.add(dav("GET", altered, signed_in=False).status)
    encoded = target(described(dav, f"{area}c%20%C3%A9")["downloadUrl"])
    for at in range(encoded.rindex("/"), len(encoded)):
        statuses.add(dav("GET", f"{encoded[:at]}@{encoded[at + 1 :]}", signed_in=False).status)
    assert statuses == {403}
    spoilt = [
        path + "?",
        path.replace("/api/", "/%61pi/"),
        path + "?a=b",
        path + "/",
        path + "%20",
        path.replace(".txt", "%2Etxt"),
        path[:-1],
    ]
    # Letters of another alphabet that are digits as well, and other ways of writing the same number.
    text, rest = path[start:].split("/", 1)
    spoilt += [f"/api/v1/signed/0{text}/{rest}", f"/api/v1/signed/{text.replace('1', '%D9%A1')}/{rest}",
               f"/api/v1/signed/+{text}/{rest}", f"/api/v1/signed/{text}=/{rest}"]  # fmt: skip
    assert {dav("GET", each, signed_in=False).status for each in spoilt} == {403}
    refused = dav("GET", path + "?x=1", signed_in=False)
    assert refused.headers["cache-control"] == "no-store"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_another_method_is_refused(dav: Dav, area: str, method: str) -> None:
    """What was granted is reading."""
    dav.ok("PUT", f"{area}a.txt", b"a" * 5000)
    url = described(dav, f"{area}a.txt")["downloadUrl"]
    assert fetch(dav, url, method).status == 403
    assert fetch(dav, url).status == 200


def test_url_is_of_a_version(dav: Dav, area: str) -> None:
    """What came later is not given, and what was meant goes on to be; until the file is removed."""
    dav.ok("PUT", f"{area}a.txt", b"first" * 1000)
    first = described(dav, f"{area}a.txt")
    dav.ok("PUT", f"{area}a.txt", b"second" * 1000)
    second = described(dav, f"{area}a.txt")
    assert first["version"] != second["version"]
    assert fetch(dav, first["downloadUrl"]).body == b"first" * 1000
    assert fetch(dav, second["downloadUrl"]).body == b"second" * 1000
    dav.ok("MOVE", f"{area}a.txt", headers={"Destination": f"{area}moved.txt"})
    assert fetch(dav, second["downloadUrl"]).body == b"second" * 1000
    dav.ok("DELETE", f"{area}moved.txt")
    assert {fetch(dav, each["downloadUrl"]).status for each in (first, second)} == {404}


def test_url_dies_with_its_issuers_right(server: Server, area: str) -> None:
    """A new password, a revoked device, a disabled user."""
    with server.add_user("carla") as carla:
        carla.ok("PUT", "/dav/a.txt", b"a" * 5000)
        url = described(carla, "/dav/a.txt")["downloadUrl"]
        assert fetch(carla, url).status == 200
        assert server.holdfast("user", "disable", "carla").returncode == 0
        assert fetch(carla, url).status == 403
        assert server.holdfast("user", "enable", "carla").returncode == 0
        assert fetch(carla, url).status == 403
        url = described(carla, "/dav/a.txt")["downloadUrl"]
        assert fetch(carla, url).status == 200


def test_url_dies_with_the_token_that_asked_for_it(dav: Dav, area: str) -> None:
    """Revoked, it has signed nothing any more."""
    dav.ok("PUT", f"{area}a.txt", b"a" * 5000)
    node_id = int(dav.ok("HEAD", f"{area}a.txt").etag.strip('"').split("-")[1], 16)
    wanted = json.dumps({"name": "reader", "scopes": ["files:read"], "expiresIn": 600}).encode()
    made = json.loads(dav.ok("POST", "/api/v1/tokens", wanted, {"Content-Type": "application/json"}).body)
    headers = {"Authorization": f"Bearer {made['token']}"}
    url = json.loads(dav("GET", f"/api/v1/files/{node_id}", None, headers, signed_in=False).body)["downloadUrl"]
    assert fetch(dav, url).status == 200
    dav.ok("DELETE", f"/api/v1/tokens/{made['tokenId']}")
    assert fetch(dav, url).status == 403


def test_credentials_make_an_answer_private(dav: Dav, area: str) -> None:
    """They have no effect; but no cache may keep what was asked for with them."""
    dav.ok("PUT", f"{area}a.txt", b"a" * 5000)
    url = described(dav, f"{area}a.txt")["downloadUrl"]
    for headers in ({"Authorization": "Basic d3Jvbmc6d3Jvbmc="}, {"Cookie": "a=b"}):
        answer = fetch(dav, url, **headers)
        assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-cache")
        assert "surrogate-key" not in answer.headers


UNDO: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("br", "br"), ("gzip, br, zstd", "zstd"), ("gzip;q=1, br;q=0.5", "gzip"), ("*", "zstd"),
     ("identity", ""), ("", ""), ("gzip;q=0", ""), ("gzip;q=0.5, identity", ""), ("x-what;q=7, deflate", "")],
)  # fmt: skip
def test_text_is_compressed_for_who_accepts_it(dav: Dav, area: str, accepted: str, coding: str) -> None:
    """With an ETag of its own that leads to 304; parts are of what is not compressed."""
    dav.ok("PUT", f"{area}a.txt", TEXT)
    url = described(dav, f"{area}a.txt")["downloadUrl"]
    answer = fetch(dav, url, Accept_Encoding=accepted)
    assert answer.status == 200
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers.get("content-encoding", "") == coding
    plain = dav.ok("HEAD", f"{area}a.txt").etag
    if not coding:
        assert (answer.body, answer.etag) == (TEXT, plain)
        return
    assert UNDO[coding](answer.body) == TEXT
    assert len(answer.body) < len(TEXT) // 2
    assert answer.etag == f'W/{plain[:-1]}-{coding}"'
    assert fetch(dav, url, Accept_Encoding=accepted, If_None_Match=answer.etag).status == 304
    part = fetch(dav, url, Accept_Encoding=accepted, Range="bytes=10-19")
    assert (part.status, part.body, part.etag) == (206, TEXT[10:20], plain)
    assert "content-encoding" not in part.headers
    whole = fetch(dav, url, Accept_Encoding=accepted, Range="bytes=10-19", If_Range=answer.etag)
    assert (whole.status, whole.body) == (200, TEXT)
    head = fetch(dav, url, "HEAD", Accept_Encoding=accepted)
    assert (head.etag, head.headers["content-encoding"]) == (answer.etag, coding)


def test_what_would_not_get_smaller_is_not_compressed(dav: Dav, area: str) -> None:
    """Nor is WebDAV."""
    dav.ok("PUT", f"{area}a.jpg", TEXT)
    dav.ok("PUT", f"{area}a.txt", TEXT)
    answer = fetch(dav, described(dav, f"{area}a.jpg")["downloadUrl"], Accept_Encoding="gzip")
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers
    assert dav.ok("GET", f"{area}a.txt", headers={"Accept-Encoding": "gzip"}).body == TEXT


def test_page_cannot_run_here(dav: Dav, area: str) -> None:
    """What people store is data, whatever it claims to be."""
    dav.ok("PUT", f"{area}a.html", b"<script>alert(1)</script>" * 100)
    answer = fetch(dav, described(dav, f"{area}a.html", "?disposition=inline")["downloadUrl"])
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_keys_are_rotated_and_revoked(start: Start) -> None:
    """A rotated key's URLs hold, a revoked one's are void, and neither they nor the log tell a secret."""
    server = start(settings={"access_log": "stderr"})
    with server.dav() as dav:
        dav.ok("PUT", "/dav/a.txt", b"a" * 5000)
        first = described(dav, "/dav/a.txt")["downloadUrl"]
        assert server.holdfast("signing-key", "rotate").returncode == 0
        second = described(dav, "/dav/a.txt")["downloadUrl"]
        assert first != second
        assert [fetch(dav, each).status for each in (first, second)] == [200, 200]
        listed = server.holdfast("signing-key", "list").stdout
        assert [line.split()[0] for line in listed.splitlines()] == ["KEY", "1", "2"]
        assert server.holdfast("signing-key", "revoke", "1").returncode == 0
        assert [fetch(dav, each).status for each in (first, second)] == [403, 200]
        assert server.holdfast("signing-key", "revoke", "2").returncode == 0
        assert fetch(dav, second).status == 403
        assert fetch(dav, described(dav, "/dav/a.txt")["downloadUrl"]).status == 200
        assert server.holdfast("signing-key", "revoke", "9", succeeds=False).returncode == 1
    server.stop()
    signature = target(first).split("/")[5]
    assert "/signed/" in server.stderr
    assert signature not in server.stderr


def test_key_is_void_though_the_cache_does_not_answer(start: Start) -> None:
    """Which is said first, with how long the cache may go on."""
    server = start(settings={"cdn_purge_url": "http://127.0.0.1:1"})
    with server.dav() as dav:
        dav.ok("PUT", "/dav/one", b"x")
        url = described(dav, "/dav/one")["downloadUrl"]
        done = server.holdfast("signing-key", "revoke", "1", succeeds=False)
        assert done.returncode == 1
        assert "URLs of key 1 are void; caches in front may answer them for" in done.stdout
        assert "does not answer a PURGE" in done.stderr
        assert fetch(dav, url).status == 403


def test_urls_are_the_caches_if_there_is_one(start: Start) -> None:
    """And are kept no longer than it says."""
    server = start(settings={"cdn_base_url": "https://cdn.example.com/x", "cdn_revocation_seconds": 30})
    with server.dav() as dav:
        dav.ok("PUT", "/dav/a.txt", b"a" * 5000)
        found = described(dav, "/dav/a.txt")
        assert found["source"] == "cdn"
        prefix = "https://cdn.example.com/x/api/v1/signed/"
        assert found["downloadUrl"].startswith(prefix)
        answer = dav("GET", "/api/v1/signed/" + found["downloadUrl"].removeprefix(prefix), signed_in=False)
        assert answer.headers["cache-control"].startswith("public, max-age=30, s-maxage=30")
        assert zlib.crc32(answer.body) == zlib.crc32(b"a" * 5000)
