"""Uploading by the API, to a real server: small files in one request, large ones in parts."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.server.api_client import ask, path_of, told
from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.running import Server

LARGE = 100_000_001
PART = 5 * 1_048_576
Start = Callable[..., Server]


def content_digest(data: bytes) -> str:
    """As RFC 9530 writes it."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def test_small_file_comes_in_one_request(dav: Dav) -> None:
    """And is a file like any other."""
    body = noise(300_000)
    status, begun = ask(
        dav, "POST", "/api/v1/files",
        {"fileName": "small.bin", "fileSize": len(body), "mimeType": "application/x-own",
         "modifiedAt": "2020-02-02T02:02:02Z"},
    )  # fmt: skip
    assert status == 201
    assert set(begun) == {"fileId", "uploadId", "uploadUrl", "expiresAt"}
    assert ask(dav, "PUT", path_of(begun["uploadUrl"]), body, Content_Encoding="gzip")[0] == 415
    status, done = ask(dav, "PUT", path_of(begun["uploadUrl"]), body, Content_Digest=content_digest(body))
    assert status == 200
    assert done["status"] == "completed"
    assert done["fileId"] == begun["fileId"]
    assert (done["size"], done["mimeType"]) == (len(body), "application/x-own")
    assert done["sha256"] == hashlib.sha256(body).hexdigest()
    status, file = ask(dav, "GET", f"/api/v1/files/{done['fileId']}")
    assert done == {"uploadId": begun["uploadId"]} | {name: file[name] for name in done if name != "uploadId"}
    got = dav.ok("GET", "/dav/small.bin")
    assert got.body == body
    assert got.etag == done["etag"]
    assert ask(dav, "PUT", path_of(begun["uploadUrl"]), body) == (200, done)
    assert ask(dav, "PUT", path_of(begun["uploadUrl"]), body[::-1])[0] == 409
    assert got.headers["last-modified"] == "Sun, 02 Feb 2020 02:02:02 GMT"
    # The checksum is known without anybody having sent one.
    found = dav.ok("PROPFIND", "/dav/small.bin", b'<propfind xmlns="DAV:"><prop><checksums '
                   b'xmlns="http://owncloud.org/ns"/></prop></propfind>', {"Depth": "0"})  # fmt: skip
    assert hashlib.sha256(body).hexdigest() in found.text


def test_large_file_comes_in_parts_of_any_order(dav: Dav, server: Server) -> None:
    """Four at a time, one of them wrong and again; what one PUT of the same bytes adds is next to nothing."""
    body = noise(LARGE, seed=2)
    status, begun = ask(dav, "POST", "/api/v1/files", {"fileName": "large.bin", "fileSize": LARGE})
    assert status == 201
    assert (begun["chunkSize"], begun["totalChunks"]) == (PART, 20)
    urls = {each["partNumber"]: path_of(each["url"]) for each in begun["partUrls"]}
    assert list(urls) == list(range(1, 21))
    parts = {number: body[(number - 1) * PART : number * PART] for number in urls}

    def put(number: int) -> str:
        with server.dav() as own:
            digest = content_digest(parts[number])
            status, received = ask(own, "PUT", urls[number], parts[number], Content_Digest=digest)
            assert status == 200, received
            return str(received["etag"])

    status, refused = ask(dav, "PUT", urls[3], parts[4], Content_Digest=content_digest(parts[3]))
    assert status == 400
    assert refused["type"].endswith("checksum-mismatch")
    status, missing = ask(dav, "POST", f"/api/v1/uploads/{begun['uploadId']}/complete")
    assert status == 409
    assert missing["count"] == 20
    order = [*range(20, 0, -3), *range(19, 0, -3), *range(18, 0, -3)]
    with ThreadPoolExecutor(4) as pool:
        etags = dict(zip(order[:15], pool.map(put, order[:15]), strict=True))
    status, shown = ask(dav, "GET", f"/api/v1/uploads/{begun['uploadId']}")
    assert shown["status"] == "uploading"
    assert shown["received"] == sorted(order[:15])
    assert dav("GET", "/dav/large.bin").status == 404
    etags |= {number: put(number) for number in order[15:]}
    listed = [{"partNumber": number, "etag": etags[number]} for number in sorted(etags)]
    status, done = ask(dav, "POST", f"/api/v1/uploads/{begun['uploadId']}/complete", {"parts": listed})
    assert status == 200
    assert hashlib.sha256(dav.ok("GET", "/dav/large.bin").body).digest() == hashlib.sha256(body).digest()
    assert done["sha256"] is None
    status, again = ask(dav, "POST", f"/api/v1/uploads/{begun['uploadId']}/complete")
    # A job may have read it meanwhile.
    assert (status, again) == (200, done | {"sha256": again["sha256"]})
    status, shown = ask(dav, "GET", f"/api/v1/uploads/{begun['uploadId']}")
    assert (shown["status"], shown["percent"], shown["fileId"]) == ("completed", 100.0, begun["fileId"])
    before = stored_bytes(server)
    dav.ok("PUT", "/dav/same.bin", body)
    assert stored_bytes(server) - before < LARGE // 1000


def stored_bytes(server: Server) -> int:
    """Of all packs."""
    return sum(path.stat().st_size for path in (server.data / "blobs" / "packs").rglob("*") if path.is_file())


def test_upload_survives_the_servers_death(start: Start) -> None:
    """Killed between parts, and in one: what was answered is there, the other comes again."""
    server = start()
    body = noise(LARGE, seed=3)
    with server.dav() as dav:
        _, begun = ask(dav, "POST", "/api/v1/files", {"fileName": "file", "fileSize": LARGE})
        base = f"/api/v1/uploads/{begun['uploadId']}"
        for number in (2, 1, 7):
            assert ask(dav, "PUT", f"{base}/parts/{number}", body[(number - 1) * PART : number * PART])[0] == 200
        with dav.wire() as wire:
            wire.send(dav.head("PUT", f"{base}/parts/3", f"Content-Length: {PART}") + body[2 * PART : 2 * PART + 999])
            server.kill_all()
    server.start()
    with server.dav() as dav:
        _, shown = ask(dav, "GET", base)
        assert shown["received"] == [1, 2, 7]
        for number in range(3, 21):
            assert ask(dav, "PUT", f"{base}/parts/{number}", body[(number - 1) * PART : number * PART])[0] == 200
        assert ask(dav, "POST", f"{base}/complete")[0] == 200
        assert dav.ok("GET", "/dav/file").body == body


def test_existing_name_and_aborting(dav: Dav) -> None:
    """409 unless it is said what may be replaced."""
    dav.ok("PUT", "/dav/taken", b"old")
    etag = dav.ok("GET", "/dav/taken").etag
    wanted = {"fileName": "taken", "fileSize": 3}
    assert ask(dav, "POST", "/api/v1/files", wanted)[0] == 409
    assert ask(dav, "POST", "/api/v1/files", {**wanted, "ifMatch": '"other"'})[0] == 412
    for how in ({"overwrite": True}, {"ifMatch": etag}):
        status, begun = ask(dav, "POST", "/api/v1/files", {**wanted, **how})
        assert status == 201
        base = f"/api/v1/uploads/{begun['uploadId']}"
        assert ask(dav, "DELETE", base) == (204, None)
        assert ask(dav, "DELETE", base)[0] == 404
        assert ask(dav, "PUT", f"{base}/content", b"new")[0] == 404
    assert ask(dav, "PUT", "/api/v1/uploads/x/content", b"new")[0] == 404
    assert dav.ok("GET", "/dav/taken").body == b"old"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "JSON object"),
        (b"\xff", "no JSON"),
        ({}, "fileName is missing"),
        ({"fileName": "x"}, "fileSize is missing"),
        ({"fileName": 7, "fileSize": 1}, "fileName has to be a text"),
        ({"fileName": "x", "fileSize": True}, "fileSize has to be a whole number"),
        ({"fileName": "x", "fileSize": -1}, "fileSize has to be a whole number"),
        ({"fileName": "x", "fileSize": 1.5}, "fileSize has to be a whole number"),
        ({"fileName": "a/b", "fileSize": 1}, "contains a slash"),
        ({"fileName": "..", "fileSize": 1}, "is not a name"),
        ({"fileName": "\ud800", "fileSize": 1}, "half of a character"),
        ({"fileName": "x", "fileSize": 1, "path": "/x/../y"}, "is not a name"),
        ({"fileName": "x", "fileSize": 1, "parentId": "y"}, "parentId is no id"),
        ({"fileName": "x", "fileSize": 1, "parentId": "1", "path": "/"}, "not both"),
        ({"fileName": "x", "fileSize": 1, "sha256": "abc"}, "64 hex digits"),
        ({"fileName": "x", "fileSize": 1, "modifiedAt": "yesterday"}, "RFC 3339"),
        ({"fileName": "x", "fileSize": 1, "overwrite": "yes"}, "true or false"),
        ({"fileName": "x", "fileSize": 1, "mimeType": "a/b\r\nX: y"}, "mimeType contains a control character"),
        ({"fileName": "x", "fileSize": 1, "ifMatch": "\x00"}, "ifMatch contains a control character"),
        ({"fileName": "x", "fileSize": 10**400}, "whole number"),
    ],
)
def test_what_is_wrong_with_a_document_is_said(dav: Dav, body: Any, said: str) -> None:
    """In one line, and nothing has happened."""
    status, refused = ask(dav, "POST", "/api/v1/files", body)
    assert status == 400
    assert said in refused["detail"]


def test_paths_methods_and_strangers(dav: Dav, server: Server) -> None:
    """What is not there, what is not possible, and who may not."""
    for path in ("/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/files", "/api/v1/other", "/api/v1/uploads/a/b/c"):
        assert ask(dav, "GET", path)[0] == 404
    answer = dav("PATCH", "/api/v1/files")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, HEAD")
    assert ask(dav, "POST", "/api/v1/files", b"{}", Content_Type="text/plain")[0] == 415
    for path in ("/api/v1/files", "/api/v1/other"):
        answer = dav("POST", path, b"{}", signed_in=False)
        assert answer.status == 401
        assert told(answer)["type"] == "urn:holdfast:problem:unauthenticated"
        assert answer.headers["www-authenticate"].startswith("Basic ")
    _, begun = ask(dav, "POST", "/api/v1/files", {"fileName": "mine", "fileSize": 3})
    with server.add_user("stranger") as stranger:
        for base in (f"/api/v1/uploads/{begun['uploadId']}", "/api/v1/uploads/0"):
            found = ask(stranger, "GET", base)
            assert found[0] == 404
            assert found[1]["detail"] == "this upload does not exist"
            assert ask(stranger, "PUT", f"{base}/content", b"abc")[0] == 404
            assert ask(stranger, "DELETE", base)[0] == 404
    assert ask(dav, "PUT", f"/api/v1/uploads/{begun['uploadId']}/content", b"abc")[0] == 200


def test_part_numbers_and_ranges_that_are_none(dav: Dav) -> None:
    """Each is said in one line."""
    _, begun = ask(dav, "POST", "/api/v1/files", {"fileName": "x", "fileSize": LARGE})
    base = f"/api/v1/uploads/{begun['uploadId']}"
    for number in ("0", "21", "-1", "1e1", "x", "99999999"):
        assert ask(dav, "PUT", f"{base}/parts/{number}", b"x")[0] == 400
    assert ask(dav, "PUT", f"{base}/parts/1", b"x", Content_Range="bytes 0-0/1")[0] == 400
    assert ask(dav, "PUT", f"{base}/parts/1", b"x", Content_Digest="sha-256=abc")[0] == 400
    assert ask(dav, "PUT", f"{base}/content", b"x")[0] == 400
    _, shown = ask(dav, "GET", f"{base}?firstPart=20")
    assert [each["partNumber"] for each in shown["partUrls"]] == [20]
    for query in ("firstPart=21", "firstPart=0", "firstPart=" + "9" * 5_000, "other=1", "firstPart=1&firstPart=2"):
        assert ask(dav, "GET", f"{base}?{query}")[0] == 400
    for token in ("%00", "%FF", "a" * 32, "%30" * 32, "'"):
        assert ask(dav, "GET", f"/api/v1/uploads/{token}")[0] == 404
        assert ask(dav, "PUT", f"/api/v1/uploads/{token}/parts/1", b"x")[0] == 404
    assert ask(dav, "DELETE", base) == (204, None)


def test_long_lists_of_urls_are_paged(dav: Dav) -> None:
    """A thousand at a time, to the last."""
    size = 30_000 * 1_048_576
    _, begun = ask(dav, "POST", "/api/v1/files", {"fileName": "x", "fileSize": size})
    numbers = [each["partNumber"] for each in begun["partUrls"]]
    page = begun
    while "nextPartUrls" in page:
        status, page = ask(dav, "GET", path_of(page["nextPartUrls"]))
        assert status == 200
        numbers += [each["partNumber"] for each in page["partUrls"]]
    assert numbers == list(range(1, 6001))
    assert ask(dav, "DELETE", f"/api/v1/uploads/{begun['uploadId']}") == (204, None)


def test_worker_that_is_killed_in_a_part_costs_that_part(start: Start) -> None:
    """The others and the upload go on."""
    server = start(workers=1)
    with server.dav() as dav:
        _, begun = ask(dav, "POST", "/api/v1/files", {"fileName": "file", "fileSize": 10})
        base = f"/api/v1/uploads/{begun['uploadId']}"
        with dav.wire() as wire:
            # Who has answered on it holds it.
            wire.send(dav.head("GET", base))
            assert wire.answer().status == 200
            wire.send(dav.head("PUT", f"{base}/content", "Content-Length: 10") + b"12345")
            os.kill(server.worker_of(wire.sock), signal.SIGKILL)
    with server.dav() as dav:
        assert ask(dav, "GET", base)[1]["received"] == []
        assert ask(dav, "PUT", f"{base}/content", b"1234567890")[0] == 200


def test_if_match_is_an_etag_and_nothing_else(dav: Dav, area: str) -> None:
    """In the document or as a header; no word makes it mean something else."""
    old = dav.ok("PUT", f"{area}f", b"old").etag
    wanted = {"fileName": "f", "fileSize": 3, "path": area.removeprefix("/dav")}
    for spoilt in ("always", "never", "existing", "", f'{old}, {old[:-1]}x"'):
        assert ask(dav, "POST", "/api/v1/files", {**wanted, "ifMatch": spoilt})[0] == 400
    assert ask(dav, "POST", "/api/v1/files", {**wanted, "overwrite": True}, If_Match='"other"')[0] == 412
    status, begun = ask(dav, "POST", "/api/v1/files", wanted, If_Match=old)
    assert status == 201
    assert ask(dav, "PUT", path_of(begun["uploadUrl"]), b"new")[0] == 200
    assert dav.ok("GET", f"{area}f").body == b"new"
    status, begun = ask(dav, "POST", "/api/v1/files", {**wanted, "ifMatch": "*"})
    assert status == 201
    dav.ok("DELETE", f"{area}f")
    assert ask(dav, "PUT", path_of(begun["uploadUrl"]), b"any")[0] == 412
    assert ask(dav, "POST", "/api/v1/files", wanted, If_Match="*")[0] == 412
