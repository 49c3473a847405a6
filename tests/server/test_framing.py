"""Wrong lengths, broken codings and bodies where none belong: refused with a reason, and nothing changed."""

from __future__ import annotations

import threading

import pytest

from tests.server.content import chunked, noise
from tests.server.dav_client import Dav
from tests.server.listing import names

CONTENT = b"as it was"
# Framing and body of a PUT that is refused; the connection is closed after each.
BROKEN = {
    "length and coding": (["Content-Length: 3", "Transfer-Encoding: chunked"], b"3\r\nabc\r\n0\r\n\r\n"),
    "two lengths": (["Content-Length: 3", "Content-Length: 4"], b"abcd"),
    "two equal lengths": (["Content-Length: 3", "Content-Length: 3"], b"abc"),
    "list of lengths": (["Content-Length: 3, 3"], b"abc"),
    "negative length": (["Content-Length: -3"], b"abc"),
    "length with a sign": (["Content-Length: +3"], b"abc"),
    "hexadecimal length": (["Content-Length: 0x3"], b"abc"),
    "length beyond all bounds": ([f"Content-Length: {'9' * 40}"], b"abc"),
    "unknown coding": (["Transfer-Encoding: gzip"], b"abc"),
    "two codings": (["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n"),
    "no chunk size": (["Transfer-Encoding: chunked"], b"\r\nabc\r\n0\r\n\r\n"),
    "chunk size is a word": (["Transfer-Encoding: chunked"], b"three\r\nabc\r\n0\r\n\r\n"),
    "negative chunk size": (["Transfer-Encoding: chunked"], b"-3\r\nabc\r\n0\r\n\r\n"),
    "chunk size too large": (["Transfer-Encoding: chunked"], b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    "chunk longer than told": (["Transfer-Encoding: chunked"], b"3\r\nabcd\r\n0\r\n\r\n"),
    "chunk without its end": (["Transfer-Encoding: chunked"], b"3\r\nabc0\r\n\r\n"),
    "trailer that is none": (["Transfer-Encoding: chunked"], b"3\r\nabc\r\n0\r\nno colon\r\n\r\n"),
    "bare line feeds": (["Transfer-Encoding: chunked"], b"3\nabc\n0\n\n"),
    "folded header": (["X-Long: a", " b", "Content-Length: 3"], b"abc"),
    "blank before the colon": (["Content-Length : 3"], b"abc"),
    "control character": (["X-Odd: a\x01b", "Content-Length: 3"], b"abc"),
    "nul": (["X-Odd: a\0b", "Content-Length: 3"], b"abc"),
    "headers without end": (["X-Many: " + "x" * 70_000, "Content-Length: 3"], b"abc"),
}
REQUEST_LINES = {
    b"GET\r\n\r\n": 400,
    b"GET /dav/ HTTP/9.9\r\nHost: x\r\n\r\n": 505,
    b"GET /dav/ HTTP/1.1\r\n\r\n": 400,
    b"GET dav HTTP/1.1\r\nHost: x\r\n\r\n": 400,
    b"GET /dav/a b HTTP/1.1\r\nHost: x\r\n\r\n": 400,
    b"GET /dav/\xe9 HTTP/1.1\r\nHost: x\r\n\r\n": 400,
    b"G\x01T /dav/ HTTP/1.1\r\nHost: x\r\n\r\n": 400,
    b"GET /dav/ HTTP/1.1\r\nHost: a b\r\n\r\n": 400,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": 400,
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n": 414,
}


@pytest.fixture
def file(dav: Dav, area: str) -> str:
    """The path of a file with ``CONTENT``."""
    dav.ok("PUT", f"{area}file", CONTENT)
    return f"{area}file"


def _require_unchanged(dav: Dav, area: str, etag: str) -> None:
    found = dav.ok("GET", f"{area}file")
    assert (found.body, found.etag) == (CONTENT, etag)
    assert names(dav, area) == {"file"}


@pytest.mark.parametrize("framing, body", BROKEN.values(), ids=BROKEN)
def test_broken_framing_is_refused_and_the_connection_closed(
    dav: Dav, area: str, file: str, framing: list[str], body: bytes
) -> None:
    """4xx with a reason; what follows on the connection is never taken for a request."""
    etag = dav("HEAD", file).etag
    smuggled = dav.head("DELETE", file)
    with dav.wire() as wire:
        wire.send(dav.head("PUT", file, *framing), body, smuggled)
        answer = wire.answer()
        assert answer.status in (400, 413, 431, 501), answer.body
        assert answer.body
        assert b"Traceback" not in answer.body
        assert wire.closed()
    _require_unchanged(dav, area, etag)


@pytest.mark.parametrize("sent, status", REQUEST_LINES.items(), ids=range(len(REQUEST_LINES)))
def test_head_that_is_none_is_refused(dav: Dav, sent: bytes, status: int) -> None:
    """With a status and a line that says why."""
    with dav.wire() as wire:
        wire.send(sent)
        answer = wire.answer()
        assert (answer.status, wire.closed()) == (status, True)
        assert answer.body


def test_body_longer_than_told_ends_where_it_was_told(dav: Dav, area: str, file: str) -> None:
    """The file is exactly what Content-Length says; the surplus is no request, and does no harm."""
    with dav.wire() as wire:
        wire.send(dav.head("PUT", f"{area}file", f"Content-Length: {len(CONTENT)}"), CONTENT, b"surplus")
        assert wire.answer().status == 204
    assert dav.ok("GET", file).body == CONTENT


@pytest.mark.parametrize("framing", ["fixed", "chunked"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "MOVE", "COPY", "UNLOCK", "OPTIONS", "MKCOL"])
def test_body_where_none_belongs_leaves_the_connection_in_order(
    dav: Dav, area: str, file: str, method: str, framing: str
) -> None:
    """415 where it could have meant something (RFC 4918 §8.4), else ignored; what follows is answered as itself."""
    body = b"DELETE /dav/ HTTP/1.1\r\nHost: x\r\n\r\n"
    header = f"Content-Length: {len(body)}" if framing == "fixed" else "Transfer-Encoding: chunked"
    sent = body if framing == "fixed" else chunked(body, [7])
    more = [f"Destination: {area}to"] if method in ("MOVE", "COPY") else []
    path = f"{area}new" if method == "MKCOL" else file
    with dav.wire() as wire:
        wire.send(dav.head(method, path, header, *more), sent, dav.head("OPTIONS", "/dav/"))
        answer = wire.answer(method)
        assert answer.status == (200 if method in ("GET", "HEAD", "OPTIONS") else 415)
        if answer.fields.get("connection") != "close":
            assert wire.answer("OPTIONS").status == 200
    assert names(dav, area) == {"file"}


@pytest.mark.parametrize(
    "lines", [["Content-Length: 5"], ["Content-Length: 5", "Expect: 100-continue"],
              ["Transfer-Encoding: chunked", "Expect: 100-continue"]], ids=len
)  # fmt: skip
@pytest.mark.parametrize("method", ["MKCOL", "DELETE"])
def test_body_that_is_only_refused_is_not_waited_for(
    dav: Dav, area: str, file: str, method: str, lines: list[str]
) -> None:
    """Neither by silence nor by asking for it."""
    with dav.wire(5) as wire:
        wire.send(dav.head(method, f"{area}new" if method == "MKCOL" else file, *lines))
        assert wire.answer().status == 415
    assert names(dav, area) == {"file"}


@pytest.mark.parametrize("method", ["MKCOL", "DELETE"])
def test_chunked_body_that_is_empty_is_none(dav: Dav, area: str, file: str, method: str) -> None:
    """Some clients frame nothing at all so; the connection goes on."""
    with dav.wire() as wire:
        head = dav.head(method, f"{area}new" if method == "MKCOL" else file, "Transfer-Encoding: chunked")
        wire.send(head, b"0\r\n\r\n", dav.head("OPTIONS", "/dav/"))
        answer = wire.answer(method)
        assert answer.status == (201 if method == "MKCOL" else 204)
        assert wire.answer("OPTIONS").status == 200


def test_chunked_xml_body_is_read_as_one(dav: Dav, area: str) -> None:
    """A PROPFIND whose body comes in chunks asks for what it says, not for all."""
    body = b'<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>'
    answer = dav("PROPFIND", area, iter([body[:10], body[10:]]), {"Depth": "0"})
    assert answer.status == 207
    assert "getetag" in answer.text
    assert "resourcetype" not in answer.text


def test_chunked_xml_bodies_change_what_they_say(dav: Dav, area: str, file: str) -> None:
    """PROPPATCH and LOCK in chunks, one byte each; what follows on the connection is answered as itself."""
    patch = (
        b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x">1</x></D:prop></D:set></D:propertyupdate>'
    )
    lock = (
        b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype>'
        b"</D:lockinfo>"
    )
    with dav.wire() as wire:
        for method, body, status in (("PROPPATCH", patch, 207), ("LOCK", lock, 200)):
            wire.send(dav.head(method, file, "Transfer-Encoding: chunked"), chunked(body, [1]))
            assert wire.answer(method).status == status
        wire.send(dav.head("PROPFIND", file, "Depth: 0", "Content-Length: 0"))
        assert b'<x xmlns="urn:x">1</x>' in wire.answer().body
    assert dav("PUT", file, b"locked").status == 423


def test_chunked_put_with_trailer_and_extensions_is_whole(dav: Dav, area: str) -> None:
    """They are allowed (RFC 9112 §7.1), and the connection goes on."""
    coded = b"3;name=value\r\nabc\r\n2 ;x\r\nde\r\n0\r\nX-Trailer: yes\r\n\r\n"
    with dav.wire() as wire:
        wire.send(dav.head("PUT", f"{area}new", "Transfer-Encoding: chunked"), coded)
        assert wire.answer().status == 201
        wire.send(dav.head("GET", f"{area}new"))
        assert wire.answer().body == b"abcde"


def test_expect_is_answered_only_when_the_body_is_wanted(dav: Dav, area: str, file: str) -> None:
    """100 for a PUT that is let in; the final answer alone for one that is not."""
    with dav.wire() as wire:
        wire.send(dav.head("PUT", file, "Content-Length: 3", "Expect: 100-Continue"))
        assert wire.answer().status == 100
        wire.send(b"abc")
        assert wire.answer().status == 204
    with dav.wire() as wire:
        wire.send(dav.head("PUT", file, "Content-Length: 3", "Expect: 100-continue", 'If-Match: "other"'))
        assert wire.answer().status == 412
    wrong = Dav(dav.port, "admin", "a wrong password", 20)
    with wrong.wire() as wire:
        wire.send(wrong.head("PUT", file, "Content-Length: 3", "Expect: 100-continue"))
        assert wire.answer().status == 401
    assert dav.ok("GET", file).body == b"abc"


def test_silent_connections_keep_nobody_waiting(dav: Dav, area: str) -> None:
    """Two hundred that never say a word, and two hundred that stop within their head."""
    wires = [dav.wire() for _ in range(400)]
    for wire in wires[200:]:
        wire.send(b"PUT /dav/x HTT")
    done = threading.Event()

    def work() -> None:
        for number in range(20):
            with dav.wire(10) as wire:
                wire.send(dav.head("PUT", f"{area}{number}", "Content-Length: 3"), b"abc")
                assert wire.answer().status == 201
        done.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert done.wait(10)
    for wire in wires:
        wire.close()


def test_large_put_and_get_beside_small_ones_on_one_connection(dav: Dav, area: str) -> None:
    """A kept connection carries requests of every size one after the other."""
    body = noise(3_000_000)
    for number in range(3):
        dav.ok("PUT", f"{area}large-{number}", body)
        dav.ok("PUT", f"{area}small-{number}", b"s")
        assert dav.ok("GET", f"{area}large-{number}").body == body
    assert len(names(dav, area)) == 6
