"""Answers as the measuring client takes them apart."""

from __future__ import annotations

import pytest

from benchmarks.wire import Endpoint, Incoming, dechunk, parse_head

CHUNKED = b"HTTP/1.1 207 Multi\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"


def fed(data: bytes, piece: int) -> Incoming:
    """An answer that arrived in pieces; complete with the last one and not before."""
    incoming = Incoming()
    pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
    assert [incoming.feed(each) for each in pieces] == [False] * (len(pieces) - 1) + [True]
    return incoming


@pytest.mark.parametrize("piece", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("data", "status", "body", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\nhello", 200, b"hello", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 201, b"", False),
        (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", 204, b"", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True),
        (CHUNKED + b"3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", 207, b"abc0123456789", False),
        # What looks like the end is content here.
        (CHUNKED + b"7\r\nx0\r\n\r\ny\r\n0\r\n\r\n", 207, b"x0\r\n\r\ny", False),
    ],
)
def test_answer_is_the_same_however_it_arrives(data: bytes, piece: int, status: int, body: bytes, closes: bool) -> None:
    """Its end is found from length or chunks alone."""
    answer = fed(data, piece).answer()
    assert (answer.status, answer.body, answer.closes) == (status, body, closes)


def test_answer_without_length_ends_with_the_connection() -> None:
    """Until then nobody can know."""
    incoming = Incoming()
    assert not incoming.feed(b"HTTP/1.1 200 OK\r\n\r\nall there is")
    assert incoming.ended()
    assert incoming.answer().body == b"all there is"


def test_connection_that_ends_within_an_answer_is_no_end_of_it() -> None:
    """Half an answer is none."""
    incoming = Incoming()
    incoming.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
    assert not incoming.ended()


def test_answer_to_head_has_no_body() -> None:
    """Whatever length it tells."""
    head = parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", bodiless=True)
    assert head is not None
    assert head.length == 0


def test_dechunk_of_an_unfinished_body_is_none() -> None:
    """More has to come."""
    whole = b"3\r\nabc\r\n0\r\n\r\n"
    assert dechunk(whole, 0) == b"abc"
    assert {dechunk(whole[:end], 0) for end in range(len(b"3\r\nabc\r\n0\r"))} == {None}


def test_request_head_quotes_names_and_carries_credentials() -> None:
    """As every client's does."""
    head = Endpoint("127.0.0.1", 80, "/dav", "u", "p").head("PUT", "a b/ü", {"Depth": "0"}, 3).decode()
    assert head.startswith("PUT /dav/a%20b/%C3%BC HTTP/1.1\r\n")
    assert "Authorization: Basic dTpw\r\n" in head
    assert head.endswith("Depth: 0\r\nContent-Length: 3\r\n\r\n")
