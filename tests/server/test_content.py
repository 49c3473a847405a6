"""What is told about content, and parts of it: validators, ranges, and headers that keep it from running."""

from __future__ import annotations

import hashlib
import time

import pytest

from tests.server.dav_client import Dav

TEXT = b"0123456789"


@pytest.fixture
def file(dav: Dav, area: str) -> str:
    """The path of a text file."""
    dav.ok("PUT", area + "file.txt", TEXT)
    return area + "file.txt"


@pytest.mark.parametrize(
    ("value", "body", "content_range"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ],
)
def test_range_gives_exactly_these_bytes(dav: Dav, file: str, value: str, body: bytes, content_range: str) -> None:
    """RFC 9110 §14."""
    answer = dav("GET", file, headers={"Range": value})
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, body, content_range)


def test_ranges_are_offered_and_one_behind_the_end_names_the_length(dav: Dav, file: str) -> None:
    """RFC 9110 §14.3, §14.4, §15.5.17; of an empty file too."""
    assert dav.ok("GET", file).headers["accept-ranges"] == "bytes"
    assert dav.ok("HEAD", file).headers["accept-ranges"] == "bytes"
    for value in ("bytes=10-", "bytes=99-100,200-"):
        answer = dav("GET", file, headers={"Range": value})
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */10")


def test_several_ranges_come_as_parts(dav: Dav, file: str) -> None:
    """RFC 9110 §14.6; the length that is told is the length that comes."""
    answer = dav("GET", file, headers={"Range": "bytes=0-1,4-5"})
    assert answer.status == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.body.count(b"Content-Range: bytes ") == 2
    assert b"\r\n\r\n01\r\n" in answer.body
    assert b"\r\n\r\n45\r\n" in answer.body


def test_if_range_gives_the_whole_after_a_change(dav: Dav, file: str) -> None:
    """A download goes on only where it is the same file."""
    etag = dav.ok("GET", file).etag
    assert dav("GET", file, headers={"Range": "bytes=5-", "If-Range": etag}).status == 206
    dav.ok("PUT", file, b"abcdefghij")
    answer = dav("GET", file, headers={"Range": "bytes=5-", "If-Range": etag})
    assert (answer.status, answer.body) == (200, b"abcdefghij")


def test_if_range_with_a_date_never_joins_two_versions(dav: Dav, area: str, file: str) -> None:
    """Stored within one second they have the same date (RFC 9110 §8.8.2.2), in one file or one after the other at the
    path; a date that is alone goes on, one that a client set never does.
    """

    def resumed(path: str) -> int:
        date = dav("HEAD", path).headers["last-modified"]
        return dav("GET", path, headers={"Range": "bytes=5-", "If-Range": date}).status

    def stored_twice(path: str, between: str) -> bool:
        """Whether it was within one second."""
        time.sleep(1.05 - time.time() % 1)
        first = dav.ok("PUT", path, TEXT).headers["last-modified"]
        if between == "MOVE":
            dav.ok("PUT", area + "other", b"abcdefghij")
            dav.ok("MOVE", area + "other", headers={"Destination": path})
        else:
            if between:
                dav.ok(between, path)
            dav.ok("PUT", path, b"abcdefghij")
        return first == dav("HEAD", path).headers["last-modified"]

    assert resumed(file) == 206
    for path, between in ((area + "put", ""), (area + "removed", "DELETE"), (area + "replaced", "MOVE")):
        assert any(stored_twice(path, between) for _ in range(5))
        assert resumed(path) == 200
    dav.ok("PUT", file, TEXT, {"X-OC-Mtime": "1000000000"})
    assert resumed(file) == 200


def test_head_knows_no_ranges(dav: Dav, file: str) -> None:
    """RFC 9110 §14.2: only GET has them."""
    for value in ("bytes=2-4", "bytes=0-1,4-5", "bytes=99-"):
        answer = dav("HEAD", file, headers={"Range": value})
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(TEXT)))
        assert "content-range" not in answer.headers


def test_caches_ask_before_they_show_content_again(dav: Dav, area: str, file: str) -> None:
    """A date of last change would let them guess for how long it is good; 304 says the same again."""
    for path in (file, area):
        for method in ("GET", "HEAD"):
            answer = dav(method, path)
            again = dav(method, path, headers={"If-None-Match": answer.etag})
            part = dav(method, path, headers={"Range": "bytes=2-4"})
            assert again.status == 304
            assert {each.headers["cache-control"] for each in (answer, again, part)} == {"private, no-cache"}


def test_answer_without_content_has_no_length(dav: Dav, area: str, file: str) -> None:
    """RFC 9110 §8.6; the connection goes on."""
    with dav.wire() as wire:
        for _ in range(2):
            wire.send(dav.head("PUT", file, "Content-Length: 3"), b"abc")
            answer = wire.answer()
            assert answer.status == 204
            assert not answer.fields.keys() & {"content-length", "transfer-encoding", "connection"}
        wire.send(dav.head("PUT", area + "new", "Content-Length: 3"), b"abc")
        assert wire.answer().fields["content-length"] == "0"


def test_etag_names_the_version(dav: Dav, area: str, file: str) -> None:
    """Every PUT changes it, of equal bytes too; PROPPATCH, LOCK and MOVE never."""
    first = dav.ok("GET", file).etag
    second = dav.ok("PUT", file, TEXT).etag
    assert first != second
    patch = (
        b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x">1</x></D:prop></D:set></D:propertyupdate>'
    )
    dav.ok("PROPPATCH", file, patch)
    dav.ok("MOVE", file, headers={"Destination": area + "moved.txt"})
    answer = dav("GET", area + "moved.txt", headers={"If-None-Match": second})
    assert (answer.status, answer.etag, answer.body) == (304, second, b"")


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "data.xml", "program", "script.js"])
def test_content_that_could_run_comes_as_attachment(dav: Dav, area: str, name: str) -> None:
    """It must not act with the rights of whoever opens it."""
    dav.ok("PUT", area + name, b"<script>alert(1)</script>")
    headers = dav.ok("GET", area + name).headers
    assert headers["content-disposition"].startswith("attachment")
    assert "sandbox" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["photo.jpg", "film.mp4", "song.mp3", "paper.pdf", "notes.txt"])
def test_content_that_is_harmless_is_shown(dav: Dav, area: str, name: str) -> None:
    """But never taken for something else."""
    dav.ok("PUT", area + name, b"x")
    headers = dav.ok("GET", area + name).headers
    assert "content-disposition" not in headers
    assert headers["x-content-type-options"] == "nosniff"


def test_folder_is_a_readable_page(dav: Dav, area: str) -> None:
    """Names are text on it, whatever they contain."""
    dav.ok("PUT", area + "%3Cb%3E%20%26.txt", b"x")
    answer = dav.ok("GET", area)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "&lt;b&gt; &amp;.txt" in answer.text
    assert "<b> &" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_checksum_that_the_client_announced_is_verified_and_told(dav: Dav, area: str) -> None:
    """SHA1 and MD5, whichever of them came: rclone sends one and compares the other."""
    sha1 = hashlib.sha1(TEXT, usedforsecurity=False).hexdigest()
    md5 = hashlib.md5(TEXT, usedforsecurity=False).hexdigest()
    answer = dav.ok("PUT", area + "checked", TEXT, {"OC-Checksum": f"SHA1:{sha1}", "X-OC-Mtime": "1000000000"})
    assert answer.headers["x-oc-mtime"] == "accepted"
    assert answer.headers["last-modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    body = b'<D:propfind xmlns:D="DAV:" xmlns:oc="http://owncloud.org/ns"><D:prop><oc:checksums/></D:prop></D:propfind>'
    told = dav.ok("PROPFIND", area + "checked", body, {"Depth": "0"}).text
    assert f"SHA1:{sha1}" in told
    assert f"MD5:{md5}" in told


@pytest.mark.parametrize("wrong", ["SHA1", "MD5"])
def test_any_wrong_checksum_of_several_is_refused(dav: Dav, area: str, wrong: str) -> None:
    """Not only the first; nothing changes."""
    dav.ok("PUT", f"{area}file", b"before")
    right = {"SHA1": hashlib.sha1(TEXT).hexdigest(), "MD5": hashlib.md5(TEXT).hexdigest()}
    sent = " ".join(f"{name}:{'0' * len(digest) if name == wrong else digest}" for name, digest in right.items())
    assert dav("PUT", f"{area}file", TEXT, {"OC-Checksum": sent}).status == 400
    assert dav.ok("GET", f"{area}file").body == b"before"
    assert dav("PUT", f"{area}file", TEXT, {"OC-Checksum": " ".join(map(":".join, right.items()))}).status == 204
