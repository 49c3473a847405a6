"""Request heads: what is taken, what is refused, and that nothing else happens (RFC 9112)."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.http.head import Head, HeadError, head_size, parse_head

HOST = "Host: h"


def head(*lines: str) -> Head:
    """Parse these lines; the first one is the request line, the rest are fields."""
    return parse_head("\r\n".join([*lines, "", ""]).encode("latin-1"))


def refused(*lines: str) -> int:
    """The status with which these lines are refused."""
    with pytest.raises(HeadError) as caught:
        head(*lines)
    assert caught.value.reason
    return caught.value.status


def test_parse_head_usual_request_gives_all_parts() -> None:
    """Target, path and query stay encoded; fields have WSGI's keys."""
    parsed = head("GET /a%20b?c=%2F&d HTTP/1.1", HOST, "X-One:  two \t", "content-type: text/plain", "Empty:")
    assert (parsed.method, parsed.target, parsed.path, parsed.query) == ("GET", "/a%20b?c=%2F&d", "/a%20b", "c=%2F&d")
    assert parsed.fields == {"HTTP_HOST": "h", "HTTP_X_ONE": "two", "CONTENT_TYPE": "text/plain", "HTTP_EMPTY": ""}
    assert (parsed.length, parsed.keep_alive, parsed.expects_continue, parsed.minor) == (0, True, False, 1)


@pytest.mark.parametrize(
    "lines",
    [
        ("GET / HTTP/1.1",),
        ("GET / HTTP/1.1", HOST, HOST),
        ("GET / HTTP/1.0", HOST, "host: g"),
        ("GET / HTTP/1.1", "Host: user@h"),
        ("GET / HTTP/1.1", "Host: a/b"),
        ("GET / HTTP/1.1", "Host: a b"),
        ("GET / HTTP/1.1", HOST, "A : b"),
        ("GET / HTTP/1.1", HOST, "A\t: b"),
        ("GET / HTTP/1.1", HOST, " A: b"),
        ("GET / HTTP/1.1", HOST, "A: b", " folded"),
        ("GET / HTTP/1.1", HOST, "A: b", "\tfolded"),
        ("GET / HTTP/1.1", HOST, ": b"),
        ("GET / HTTP/1.1", HOST, "no colon"),
        ("GET / HTTP/1.1", HOST, "A: b\x00c"),
        ("GET / HTTP/1.1", HOST, "A: b\x07c"),
        ("GET / HTTP/1.1", HOST, "A: b\x7f"),
        ("GET / HTTP/1.1", HOST, "A: b\nC: d"),
        ("GET / HTTP/1.1", HOST, "A: b\rC: d"),
        ("GET / HTTP/1.1\nHost: h", HOST),
        ("GET / HTTP/1.1", HOST, "Ä: b"),
        ("GET / HTTP/1.1", HOST, "A(: b"),
        ("GET  / HTTP/1.1", HOST),
        ("GET / HTTP/1.1 ", HOST),
        (" GET / HTTP/1.1", HOST),
        ("GET /a b HTTP/1.1", HOST),
        ("GET /a\tb HTTP/1.1", HOST),
        ("GET /ä HTTP/1.1", HOST),
        ("GET /#fragment HTTP/1.1", HOST),
        ("GET /", HOST),
        ("GET / HTTP/1", HOST),
        ("GET / HTTP/1.1.1", HOST),
        ("GET / HTTP/1.10", HOST),
        ("GET / http/1.1", HOST),
        ("GET / HTTP/1,1", HOST),
        ("G(T / HTTP/1.1", HOST),
        ("GET", HOST),
        ("GET path HTTP/1.1", HOST),
        ("CONNECT h:443 HTTP/1.1", HOST),
        ("GET * HTTP/1.1", HOST),
        ("GET ftp://h/ HTTP/1.1", HOST),
        ("GET http:///a HTTP/1.1", HOST),
        ("GET http://user:pass@h/a HTTP/1.1", HOST),
        ("GET /%zz HTTP/1.1", HOST),
        ("GET /100% HTTP/1.1", HOST),
        ("PUT / HTTP/1.1", HOST, "Content-Length: "),
        ("PUT / HTTP/1.1", HOST, "Content-Length: +1"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: -1"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: 1_0"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: 0x1"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: 1, 1"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: 1 1"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: \xb2"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: 12345678901234567890"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: 1", "Content-Length: 1"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: 1", "content-length: 2"),
        ("PUT / HTTP/1.1", HOST, "Content-Length: 1", "Transfer-Encoding: chunked"),
        ("PUT / HTTP/1.1", HOST, "Transfer-Encoding: chunked", "Content-Length: 0"),
        ("PUT / HTTP/1.1", HOST, "Transfer-Encoding: gzip, chunked"),
        ("PUT / HTTP/1.1", HOST, "Transfer-Encoding: chunked, chunked"),
        ("PUT / HTTP/1.1", HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("PUT / HTTP/1.1", HOST, "Transfer-Encoding: identity"),
        ("PUT / HTTP/1.1", HOST, "Transfer-Encoding:"),
        ("PUT / HTTP/1.1", HOST, "Transfer-Encoding: xchunked"),
        ("PUT / HTTP/1.1", HOST, "Transfer-Encoding: chunked;a=b"),
        ("PUT / HTTP/1.0", HOST, "Transfer-Encoding: chunked"),
    ],
)
def test_parse_head_ambiguous_or_malformed_is_400(lines: tuple[str, ...]) -> None:
    """Whatever another implementation could read differently is refused."""
    assert refused(*lines) == 400


@pytest.mark.parametrize("version", ["2.0", "3.0", "0.9"])
def test_parse_head_other_major_version_is_505(version: str) -> None:
    """RFC 9110 §15.6.6."""
    assert refused(f"GET / HTTP/{version}", HOST) == 505


def test_parse_head_later_minor_version_is_taken_as_the_latest_known() -> None:
    """RFC 9110 §2.5."""
    assert head("GET / HTTP/1.9", HOST).minor == 1


def test_parse_head_http_1_0_needs_no_host() -> None:
    """Host came with HTTP/1.1."""
    assert head("GET / HTTP/1.0").fields == {}


@pytest.mark.parametrize("host", ["", "h:", "h:80", "127.0.0.1:8080", "[::1]:8080", "[fe80::1%25eth0]", "a_b.example"])
def test_parse_head_valid_hosts_are_taken(host: str) -> None:
    """Also the empty one (RFC 9112 §3.2), and names that DNS would not allow."""
    assert head("GET / HTTP/1.1", f"Host: {host}").fields["HTTP_HOST"] == host


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("http://other:81/a%20b?c", "/a%20b", "c", "other:81"),
        ("HTTPS://other", "/", "", "other"),
        ("http://other?q", "/", "q", "other"),
        ("//not/a/host", "//not/a/host", "", "h"),
        ("/http://x", "/http://x", "", "h"),
        ("/a?b?c", "/a", "b?c", "h"),
        ("/a;b=c", "/a;b=c", "", "h"),
    ],
)
def test_parse_head_target_forms(target: str, path: str, query: str, host: str) -> None:
    """The absolute form names the host itself (RFC 9112 §3.2.2)."""
    parsed = head(f"GET {target} HTTP/1.1", HOST)
    assert (parsed.path, parsed.query, parsed.fields["HTTP_HOST"]) == (path, query, host)


@pytest.mark.parametrize("target", ["*", "http://other"])
def test_parse_head_options_of_the_server(target: str) -> None:
    """RFC 9112 §3.2.4."""
    assert head(f"OPTIONS {target} HTTP/1.1", HOST).path == "*"


def test_parse_head_method_is_case_sensitive_token() -> None:
    """Methods are not folded, and any token is one (RFC 9110 §9.1)."""
    assert head("get / HTTP/1.1", HOST).method == "get"
    assert head("X!#-1 / HTTP/1.1", HOST).method == "X!#-1"


def test_parse_head_repeated_fields_are_joined() -> None:
    """With commas, cookies with semicolons (RFC 9110 §5.3, RFC 6265 §5.4)."""
    fields = head("GET / HTTP/1.1", HOST, "A: 1", "Cookie: a=1", "a: 2", "cookie: b=2", "A: 3").fields
    assert (fields["HTTP_A"], fields["HTTP_COOKIE"]) == ("1, 2, 3", "a=1; b=2")


def test_parse_head_names_with_underscore_are_dropped() -> None:
    """Otherwise a client could pass X_Forwarded_For where a proxy removes X-Forwarded-For."""
    fields = head("PUT / HTTP/1.1", HOST, "X_A: 1", "Content_Length: 5", "X-B: 2").fields
    assert fields == {"HTTP_HOST": "h", "HTTP_X_B": "2"}


@pytest.mark.parametrize(
    ("version", "value", "keeps"),
    [
        ("1.1", "close", False),
        ("1.1", "Close", False),
        ("1.1", "TE,\tCLOSE , x", False),
        ("1.1", "keep-alive, close", False),
        ("1.1", "keep-alive", True),
        ("1.1", "closed", True),
        ("1.1", "", True),
        ("1.0", "", False),
        ("1.0", "Keep-Alive", True),
        ("1.0", "x, keep-alive", True),
        ("1.0", "keep-alive, close", False),
    ],
)
def test_parse_head_connection_is_a_list(version: str, value: str, keeps: bool) -> None:
    """Compared without case (RFC 9112 §9.3)."""
    assert head(f"GET / HTTP/{version}", HOST, f"Connection: {value}").keep_alive is keeps


@pytest.mark.parametrize(("value", "digits"), [("0", 0), ("007", 7), ("9" * 19, int("9" * 19))])
def test_parse_head_content_length(value: str, digits: int) -> None:
    """Up to 19 digits."""
    assert head("PUT / HTTP/1.1", HOST, f"Content-Length: {value}").length == digits


@pytest.mark.parametrize("value", ["chunked", "Chunked", "CHUNKED "])
def test_parse_head_chunked_has_no_length(value: str) -> None:
    """Codings are named without case (RFC 9112 §7)."""
    assert head("PUT / HTTP/1.1", HOST, f"Transfer-Encoding: {value}").length is None


def test_parse_head_expect() -> None:
    """Without case; ignored in HTTP/1.0; any other expectation is 417 (RFC 9110 §10.1.1)."""
    assert head("PUT / HTTP/1.1", HOST, "Expect: 100-Continue").expects_continue
    assert not head("PUT / HTTP/1.0", "Expect: 100-continue").expects_continue
    assert not head("PUT / HTTP/1.1", HOST, "Expect:").expects_continue
    assert refused("PUT / HTTP/1.1", HOST, "Expect: 200-ok") == 417
    assert refused("PUT / HTTP/1.1", HOST, "Expect: 100-continue, miracles") == 417


def test_head_size_incomplete_is_zero_and_complete_is_its_bytes() -> None:
    """Bytes after the head are another matter."""
    data = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    assert [head_size(data[:size], 100) for size in range(len(data))] == [0] * len(data)
    assert head_size(data, 100) == head_size(data + b"body", 100) == len(data)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 200, 414),
        (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 200, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 200 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"\nGET / HTTP/1.1", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"\x00", 400),
    ],
)
def test_head_size_what_can_be_no_head_is_refused_at_once(data: bytes, status: int) -> None:
    """Too large, or of lines that end with LF, or TLS on a port without it: nobody waits for the timeout."""
    with pytest.raises(HeadError) as caught:
        head_size(data, 100)
    assert caught.value.status == status


WORDS = (
    *(b"GET / HTTP/1.1\r\n", b"Host: h\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Connection: "),
    *(
        b"Expect: ",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"a",
        b"%",
        b"?",
        b"*",
        b"1",
        b"_",
        b",",
        b"\x00",
        b"\xff",
        b"http://",
    ),
)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(WORDS), max_size=20).map(b"".join)))
@example(b"")
@example(b"\r\n\r\n")
def test_parse_head_any_bytes_give_head_or_head_error(data: bytes) -> None:
    """Never anything else, so that no client can make a worker fail."""
    try:
        head_size(data, 100)
        parse_head(data + b"\r\n\r\n")
        parse_head(data)
    except HeadError as error:
        assert error.status in (400, 414, 417, 431, 505)


@pytest.mark.parametrize(
    "line", ["a:b\r\n", "a" * 65000 + "\r\n", "A: " + "b" * 65000 + "\x00\r\n", "x: 1\r\n", "%\r\n"]
)
def test_parse_head_hostile_head_costs_little(line: str) -> None:
    """A head of 64 KiB takes no quadratic time, whatever is in it."""
    data = ("GET /" + "%" * 100 + " HTTP/1.1\r\nHost: h\r\n" + line * (65000 // len(line)) + "\r\n").encode("latin-1")
    # Not the clock on the wall: others may have the processor.
    started = time.thread_time()
    with pytest.raises(HeadError):
        parse_head(data)
    assert time.thread_time() - started < 0.25
