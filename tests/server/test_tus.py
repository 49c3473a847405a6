"""tus 1.0 against a real server, request by request: what the protocol says, and what it leaves open."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.running import Server
from tests.server.tus import BYTES, URL, Tus, checksum, metadata, path_of, problem

MIB = 1_048_576
CONTENT = noise(3 * MIB + 17, seed=5)
Start = Callable[..., Server]


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The disk's sync is not what is tested here."""
    return {"durability": "fast"}


@pytest.fixture
def tus(dav: Dav) -> Tus:
    """Signed in as the administrator."""
    return Tus(dav)


def test_options_tell_what_is_spoken(dav: Dav) -> None:
    """Also to somebody who has not signed in, and names no version."""
    for path in (URL, URL.rstrip("/"), f"{URL}anything"):
        answer = dav("OPTIONS", path, signed_in=False)
        assert (answer.status, answer.body) == (204, b"")
        told = {name: value for name, value in answer.headers.items() if name.startswith("tus-")}
        assert told.pop("tus-max-size") == str(64 << 30)
        assert told == {
            "tus-resumable": "1.0.0",
            "tus-version": "1.0.0",
            "tus-extension": "creation,creation-with-upload,checksum,expiration,termination,concatenation",
            "tus-checksum-algorithm": "sha1,md5,sha256",
        }
    assert dav("OPTIONS", "/api/v1/files", signed_in=False).status == 401


def test_file_comes_in_three_requests(tus: Tus) -> None:
    """It is there with the last byte, and its chunks are those of a PUT; HEAD tells what the client noted."""
    dav = tus.dav
    noted = metadata(filename="three.bin", filetype="x/own", colour="rot", mtime="1580608922") + ",is_confidential"
    begun = tus.ask("POST", URL.rstrip("/"), None, Upload_Length=len(CONTENT), Upload_Metadata=noted)
    assert (begun.status, begun.body) == (201, b"")
    path = path_of(begun)
    assert path.startswith(URL)
    assert parsedate_to_datetime(begun.headers["upload-expires"]).timestamp() > 1_700_000_000
    for start, end in ((0, 100), (100, 2 * MIB)):
        answer = tus.patch(path, start, CONTENT[start:end])
        assert (answer.status, answer.headers["upload-offset"]) == (204, str(end))
        assert "upload-expires" in answer.headers
        assert dav("GET", "/dav/three.bin").status == 404
    told = tus.ask("HEAD", path)
    assert (told.headers["upload-offset"], told.headers["upload-length"]) == (str(2 * MIB), str(len(CONTENT)))
    assert told.headers["upload-metadata"] == noted
    assert tus.patch(path, 2 * MIB, iter([CONTENT[2 * MIB :]])).status == 204
    got = dav.ok("GET", "/dav/three.bin")
    assert got.body == CONTENT
    assert got.headers["last-modified"] == "Sun, 02 Feb 2020 02:02:02 GMT"
    told = tus.ask("HEAD", path)
    assert told.headers["upload-offset"] == str(len(CONTENT))
    assert "upload-expires" not in told.headers
    # Who did not hear the last answer sends nothing more.
    assert tus.patch(path, len(CONTENT), b"").status == 204


def test_creation_takes_bytes_and_an_empty_file_is_there_at_once(tus: Tus) -> None:
    """All of it, a beginning, or nothing to come."""
    for size, sent in ((len(CONTENT), CONTENT), (len(CONTENT), CONTENT[:MIB]), (0, b""), (0, None)):
        name = f"with-{size}-{len(sent or b'')}-{sent is None}"
        headers = {"Content_Type": BYTES} if sent is not None else {}
        noted = metadata(filename=name)
        answer = tus.ask("POST", URL, sent, Upload_Length=size, Upload_Metadata=noted, **headers)
        assert (answer.status, answer.headers["upload-offset"]) == (201, str(len(sent or b"")))
        is_whole = len(sent or b"") == size
        assert tus.dav("GET", f"/dav/{name}").status == (200 if is_whole else 404)
        assert tus.offset(path_of(answer)) == len(sent or b"")


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha256"])
def test_bytes_that_are_not_those_announced_are_not_kept(tus: Tus, algorithm: str) -> None:
    """460, and the offset is what it was; the same request with the right bytes is taken."""
    path = tus.begin(f"sum-{algorithm}", len(CONTENT))
    assert tus.patch(path, 0, CONTENT[:MIB], Upload_Checksum=checksum(algorithm, CONTENT[:MIB])).status == 204
    wrong = tus.patch(path, MIB, CONTENT[MIB:], Upload_Checksum=checksum(algorithm, b"other"))
    assert problem(wrong, 460) == "bytes-mismatch"
    assert tus.offset(path) == MIB
    rest = tus.patch(path, MIB, CONTENT[MIB:], Upload_Checksum=checksum(algorithm, CONTENT[MIB:]))
    assert (rest.status, rest.headers["upload-offset"]) == (204, str(len(CONTENT)))
    assert tus.dav.ok("GET", f"/dav/sum-{algorithm}").body == CONTENT
    # With the creation there is no upload then, and its name is free.
    noted = metadata(filename="none")
    refused = tus.ask(
        "POST", URL, b"abc", Upload_Length=3, Upload_Metadata=noted, Content_Type=BYTES,
        Upload_Checksum=checksum(algorithm, b"abd"),
    )  # fmt: skip
    assert problem(refused, 460) == "bytes-mismatch"
    assert tus.dav("GET", "/dav/none").status == 404


def test_checksums_that_are_none(tus: Tus) -> None:
    """400, before anything is kept."""
    path = tus.begin("sums", 3)
    for value in ("crc32 AAAA", "sha1 AAAA", "sha1", "sha1 äöü", "SHA1 AAAA"):
        assert problem(tus.patch(path, 0, b"abc", Upload_Checksum=value), 400) == "bad-request"
    assert tus.offset(path) == 0


def test_what_does_not_fit_is_refused(tus: Tus) -> None:
    """Another offset, another version, another kind of body, more than was announced; nothing of it is kept."""
    path = tus.begin("fits", 10)
    assert tus.patch(path, 0, b"12345").status == 204
    refused = tus.patch(path, 3, b"45")
    assert problem(refused, 409) == "offset-mismatch"
    assert json.loads(refused.body)["offset"] == 5
    assert problem(tus.patch(path, 6, b""), 409) == "offset-mismatch"
    assert problem(tus.patch(path, 5, b"123456"), 413) == "too-large"
    assert problem(tus.ask("PATCH", path, b"6", Upload_Offset=5, Content_Type="text/plain"), 415)
    assert problem(tus.patch(path, 5, b"6", Content_Encoding="gzip"), 415) == "wrong-body-type"
    for value in ("", "-1", "x", "1" * 30, "5.0", "٥".encode().decode("latin-1")):
        assert problem(tus.ask("PATCH", path, b"6", Upload_Offset=value, Content_Type=BYTES), 400) == "bad-request"
    assert tus.offset(path) == 5
    for version in ("", "0.2.2", "1.0"):
        for method, url in (("POST", URL), ("HEAD", path), ("PATCH", path), ("DELETE", path)):
            answer = tus.ask(method, url, None, Tus_Resumable=version)
            assert (answer.status, answer.headers["tus-version"]) == (412, "1.0.0")
    # What comes in chunks tells its length only at its end.
    assert problem(tus.patch(path, 5, iter([b"67", b"890", b"1"])), 413) == "too-large"
    assert tus.offset(path) == 10


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({}, 400, "bad-request"),
        ({"Upload_Length": "-1"}, 400, "bad-request"),
        ({"Upload_Length": "1e3"}, 400, "bad-request"),
        ({"Upload_Length": "9" * 18, "Upload_Metadata": metadata(filename="x")}, 413, "too-large"),
        ({"Upload_Length": "3", "Upload_Metadata": ""}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Metadata": "filename !!"}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Metadata": "filename eA==,filename eQ=="}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Metadata": "filename /w=="}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Metadata": "a " + "A" * 20_000}, 413, "too-large"),
        ({"Upload_Length": "3", "Upload_Metadata": metadata(filename="..")}, 400, "bad-name"),
        ({"Upload_Length": "3", "Upload_Metadata": metadata(filename="x", path="/no/such")}, 409, "parent-missing"),
        ({"Upload_Length": "3", "Upload_Metadata": metadata(filename="x", parentId="x")}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Metadata": metadata(filename="x", parentId="9" * 19)}, 404, "not-found"),
        ({"Upload_Length": "3", "Upload_Metadata": metadata(filename="x", parentId="1", path="a")}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Metadata": metadata(filename="a/x", parentId="1")}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Metadata": metadata(filename="x", overwrite="perhaps")}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Metadata": metadata(filename="x", mtime="today")}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Metadata": metadata(filename="x", filetype="a\r\nb")}, 400, "bad-request"),
        ({"Upload_Defer_Length": "1", "Upload_Metadata": metadata(filename="x")}, 400, "bad-request"),
        ({"Upload_Length": "3", "Upload_Concat": "whole"}, 400, "bad-request"),
        ({"Upload_Concat": "final;", "Upload_Metadata": metadata(filename="x")}, 400, "bad-request"),
        ({"Upload_Concat": "final;/api/v1/tus/x", "Upload_Metadata": metadata(filename="x")}, 404, "not-found"),
    ],
)  # fmt: skip
def test_creation_that_cannot_be(tus: Tus, headers: dict[str, str], status: int, kind: str) -> None:
    """Each is said in one line."""
    assert problem(tus.ask("POST", URL, None, **headers), status) == kind


def test_metadata_say_where_the_file_will_be(tus: Tus, area: str) -> None:
    """A path, the folder's id, a name with folders, what Uppy calls the relative path; and what may be replaced."""
    dav, folder = tus.dav, area.removeprefix("/dav")
    dav.ok("MKCOL", f"{area}sub")
    for number, texts in enumerate(
        (
            {"filename": "file", "path": f"{folder}sub"},
            {"filename": "file", "path": f"{folder}sub/file"},
            {"filename": f"{folder}sub/file"},
            {"name": "file", "path": folder, "relativePath": "sub/file"},
            {"name": "sub/file", "path": folder, "relativePath": "null"},
        )
    ):
        body = b"file %d" % number
        noted = metadata(**texts, type="text/plain", overwrite="true")
        done = tus.ask("POST", URL, body, Upload_Length=len(body), Upload_Metadata=noted, Content_Type=BYTES)
        assert done.status == 201, done
        assert dav.ok("GET", f"{area}sub/file").body == body
        noted = metadata(**texts)
        assert problem(tus.ask("POST", URL, body, Upload_Length=1, Upload_Metadata=noted), 409) == "name-taken"


def test_overridden_method(tus: Tus) -> None:
    """For clients that can only POST; nowhere else, and a request that says it reads stays one."""
    path = tus.begin("overridden", 6)
    headers = {"Upload_Offset": "0", "Content_Type": BYTES}
    answer = tus.ask("POST", path, b"abc", X_HTTP_Method_Override="PATCH", **headers)
    assert (answer.status, answer.headers["upload-offset"]) == (204, "3")
    answer = tus.ask("POST", path, None, X_HTTP_Method_Override="HEAD")
    assert (answer.status, answer.headers["upload-offset"]) == (200, "3")
    assert tus.ask("HEAD", path, None, X_HTTP_Method_Override="DELETE").status == 200
    assert tus.ask("GET", path, None, X_HTTP_Method_Override="DELETE").status == 405
    assert tus.ask("POST", path, None, X_HTTP_Method_Override="DELETE").status == 204
    assert tus.ask("HEAD", path).status == 404
    tus.dav.ok("PUT", "/dav/stays", b"stays")
    assert tus.dav("POST", "/dav/stays", None, {"X-HTTP-Method-Override": "DELETE"}).status == 405
    status = tus.dav("POST", "/api/v1/uploads/" + "a" * 32, None, {"X-HTTP-Method-Override": "DELETE"}).status
    assert status == 405


def test_termination_and_strangers(tus: Tus, server: Server) -> None:
    """What was given up is gone; what is somebody else's never was."""
    path = tus.begin("given up", 3)
    with server.add_user("stranger") as stranger:
        foreign = Tus(stranger)
        unknown = f"{URL}{'0' * 32}"
        for url in (path, unknown, f"{URL}x", f"{URL}%00", f"{URL}{'A' * 32}"):
            bodies = {foreign.patch(url, 0, b"abc").body, foreign.ask("DELETE", url).body}
            assert len(bodies) == 1
            assert json.loads(bodies.pop())["detail"] == "this upload does not exist"
            assert foreign.ask("HEAD", url).status == 404
        final = {"Upload_Concat": f"final;{path}", "Upload_Metadata": metadata(filename="stolen")}
        assert foreign.ask("POST", URL, None, **final).status == 404
    assert tus.ask("DELETE", path).status == 204
    for method in ("HEAD", "DELETE"):
        assert tus.ask(method, path).status == 404
    assert tus.patch(path, 0, b"abc").status == 404
    answer = tus.ask("GET", path)
    assert (problem(answer, 405), answer.headers["allow"]) == ("wrong-method", "HEAD, PATCH, DELETE")
    assert tus.dav("POST", URL, signed_in=False).status == 401


def test_percent_is_a_hundred_only_when_all_is_here(tus: Tus) -> None:
    """However little is missing."""
    path = tus.begin("nearly", 100_001)
    assert tus.patch(path, 0, bytes(100_000)).status == 204
    told = json.loads(tus.dav.ok("GET", f"/api/v1/uploads/{path.rpartition('/')[2]}").body)
    assert (told["bytes"], told["percent"]) == (100_000, 99.99)


def test_both_kinds_of_uploads_refuse_each_others_requests(tus: Tus) -> None:
    """And the API tells how far a stream is, and can give it up."""
    dav = tus.dav
    path = tus.begin("stream", 6)
    assert tus.patch(path, 0, b"abc").status == 204
    token = path.rpartition("/")[2]
    own = f"/api/v1/uploads/{token}"
    for method, url in (("PUT", f"{own}/parts/1"), ("PUT", f"{own}/content"), ("POST", f"{own}/complete")):
        answer = dav(method, url, b"abcdef" if method == "PUT" else None)
        assert problem(answer, 409) == "upload-conflict"
        assert "stream" in json.loads(answer.body)["detail"]
    large = tus.begin("large", 200_000_000).rpartition("/")[2]
    assert problem(dav("PUT", f"/api/v1/uploads/{large}/content", b"abc"), 409) == "upload-conflict"
    dav.ok("DELETE", f"/api/v1/uploads/{large}")
    told = json.loads(dav.ok("GET", own).body)
    assert (told["status"], told["bytes"], told["percent"], told["fileName"]) == ("uploading", 3, 50.0, "stream")
    assert told["tusUrl"].endswith(path)
    body = json.dumps({"fileName": "parts", "fileSize": 6}).encode()
    begun = json.loads(dav.ok("POST", "/api/v1/files", body, {"Content-Type": "application/json"}).body)
    parts = f"{URL}{begun['uploadId']}"
    assert problem(tus.patch(parts, 0, b"abcdef"), 409) == "upload-conflict"
    assert problem(tus.ask("DELETE", parts), 409) == "upload-conflict"
    assert tus.ask("HEAD", parts).status == 409
    assert dav("DELETE", own).status == 204
    assert tus.ask("HEAD", path).status == 404


def test_refused_completion_is_told_until_it_passes(tus: Tus) -> None:
    """By the last PATCH, by one without bytes, and by HEAD, which must not say that all is well; nothing is lost."""
    dav = tus.dav
    path = tus.begin("wanted", 6)
    assert tus.patch(path, 0, b"abc").status == 204
    dav.ok("PUT", "/dav/wanted", b"in between")
    assert problem(tus.patch(path, 3, b"def"), 409) == "name-taken"
    assert tus.ask("HEAD", path).status == 409
    assert problem(tus.patch(path, 6, b""), 409) == "name-taken"
    assert dav.ok("GET", "/dav/wanted").body == b"in between"
    dav.ok("MOVE", "/dav/wanted", None, {"Destination": "/dav/kept"})
    answer = tus.patch(path, 6, b"")
    assert (answer.status, answer.headers["upload-offset"]) == (204, "6")
    assert dav.ok("GET", "/dav/wanted").body == b"abcdef"


def test_completion_is_held_against_locks_and_quota(tus: Tus, server: Server) -> None:
    """Both may have come meanwhile."""
    dav = tus.dav
    dav.ok("PUT", "/dav/locked", b"old")
    path = tus.begin("locked", 3, overwrite="true")
    lock = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    with server.add_user("quota", "--quota", "1000000") as other:
        own = Tus(other)
        large = own.begin("large", 900_000)
        assert own.patch(large, 0, CONTENT[:899_999]).status == 204
        other.ok("PUT", "/dav/other", CONTENT[:500_000])
        assert problem(own.patch(large, 899_999, CONTENT[899_999:900_000]), 507) == "quota-exceeded"
        assert own.offset(large) == 899_999
    token = dav.ok("LOCK", "/dav/locked", lock).headers["lock-token"]
    assert problem(tus.patch(path, 0, b"new"), 423) == "locked"
    assert tus.ask("HEAD", path).status == 423
    dav.ok("UNLOCK", "/dav/locked", None, {"Lock-Token": token})
    assert tus.offset(path) == 3
    assert dav.ok("GET", "/dav/locked").body == b"new"
