"""Range, If-Range and multipart/byteranges (RFC 9110 §13.1.5, §14)."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.front.dates import format_http_date
from providers.front.ranges import (
    UNSATISFIABLE,
    ByteRange,
    MultipartFrame,
    content_range,
    if_range_holds,
    multipart_parts,
    parse_range,
)


@pytest.mark.parametrize(
    "value, size, ranges",
    [
        ("bytes=0-0", 10, [(0, 1)]),
        ("bytes=0-499", 10, [(0, 10)]),
        ("bytes=5-", 10, [(5, 10)]),
        ("bytes=-3", 10, [(7, 10)]),
        ("bytes=-30", 10, [(0, 10)]),
        ("bytes=9-18446744073709551615", 10, [(9, 10)]),
        ("BYTES=0-1", 10, [(0, 2)]),
        (" bytes=0-1 ", 10, [(0, 2)]),
        ("bytes=0-1,4-5", 10, [(0, 2), (4, 6)]),
        ("bytes= 4-5 ,\t0-1,", 10, [(4, 6), (0, 2)]),
        ("bytes=0-1,2-3", 10, [(0, 2), (2, 4)]),
        ("bytes=0-1,50-60", 10, [(0, 2)]),
        ("bytes=50-60,-1", 10, [(9, 10)]),
        ("bytes=0-1,-0", 10, [(0, 2)]),
        ("bytes=007-08", 10, [(7, 9)]),
        (
            ",".join(["bytes=0-0", *(f"{2 * i}-{2 * i}" for i in range(1, 32))]),
            100,
            [(2 * i, 2 * i + 1) for i in range(32)],
        ),
    ],
)
def test_parse_range_satisfiable_gives_clamped_ranges(value: str, size: int, ranges: list[tuple[int, int]]) -> None:
    """In the order asked for, cut to the file, what lies outside left out."""
    assert parse_range(value, size) == tuple(ByteRange(*bounds) for bounds in ranges)


@pytest.mark.parametrize(
    "value, size",
    [
        (None, 10),
        ("", 10),
        ("bytes", 10),
        ("bytes=", 10),
        ("bytes=,", 10),
        ("bytes=-", 10),
        ("bytes=3-1", 10),
        ("bytes=30-10", 10),
        ("bytes=a-b", 10),
        ("bytes=1", 10),
        ("bytes=1-2-3", 10),
        ("bytes=0 - 1", 10),
        ("bytes=+1-2", 10),
        ("bytes=0-1;4-5", 10),
        ("bytes=\u0661-\u0662", 10),
        ("bytes 0-1", 10),
        ("items=0-1", 10),
        ("seconds=1-2", 10),
        ("bytes=0-1,x", 10),
        ("bytes=0-1,5-3", 10),
        ("bytes=0-5,5-9", 10),
        ("bytes=0-,0-", 10),
        ("bytes=5-,-8", 10),
        ("bytes=-5", 0),
        ("bytes=0-" + "9" * 5000, 10),
        ("bytes=" + ",".join(f"{2 * i}-{2 * i}" for i in range(33)), 100),
    ],
)
def test_parse_range_unusable_is_ignored(value: str | None, size: int) -> None:
    """Other units, broken syntax, overlaps and too many members: the whole file is served."""
    assert parse_range(value, size) is None


@pytest.mark.parametrize(
    "value, size",
    [
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=11-,12-", 10),
    ],
)
def test_parse_range_outside_the_file_is_unsatisfiable(value: str, size: int) -> None:
    """Valid, but no byte of the file is meant: 416."""
    assert parse_range(value, size) is UNSATISFIABLE


RANGE_HEADERS = st.one_of(
    st.text(),
    st.text("0123456789-, ").map("bytes=".__add__),
    st.lists(
        st.builds(lambda first, last: f"{first}-{last}", *[st.one_of(st.just(""), st.integers(0, 300))] * 2),
        max_size=40,
    ).map(lambda members: "bytes=" + ",".join(members)),
)


@given(RANGE_HEADERS, st.integers(0, 250))
def test_parse_range_any_text_stays_within_the_file(value: str, size: int) -> None:
    """Never an exception, an empty range, a byte outside or a byte twice."""
    found = parse_range(value, size)
    if found is None or found is UNSATISFIABLE:
        return
    covered = [byte for piece in found for byte in range(piece.start, piece.end_exclusive)]
    assert found
    assert all(0 <= piece.start < piece.end_exclusive <= size for piece in found)
    assert len(covered) == len(set(covered)) <= size


def _body(frame: MultipartFrame, content: bytes, ranges: tuple[ByteRange, ...]) -> bytes:
    pieces = [
        head + content[piece.start : piece.end_exclusive] for head, piece in zip(frame.heads, ranges, strict=True)
    ]
    return b"".join([*pieces, frame.closing])


def test_multipart_parts_two_ranges_read_back_by_a_mime_reader() -> None:
    """A reader that knows only MIME finds types, positions and bytes."""
    content = bytes(range(65, 91))
    ranges = (ByteRange(0, 2), ByteRange(24, 26))
    frame = multipart_parts(ranges, len(content), "text/plain; charset=utf-8", "b0undary")
    body = _body(frame, content, ranges)
    message = message_from_bytes(b"Content-Type: multipart/byteranges; boundary=b0undary\r\n\r\n" + body, policy=HTTP)
    assert [(part.get_content_type(), part["Content-Range"], part.get_payload()) for part in message.iter_parts()] == [
        ("text/plain", "bytes 0-1/26", "AB"),
        ("text/plain", "bytes 24-25/26", "YZ"),
    ]
    assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in frame.heads[1]
    assert body.startswith(b"--b0undary\r\n")
    assert body.endswith(b"\r\n--b0undary--\r\n")


@given(RANGE_HEADERS, st.integers(1, 250), st.text())
def test_multipart_parts_total_is_the_length_of_what_is_sent(value: str, size: int, content_type: str) -> None:
    """Content-Length can be promised before the first byte; a type cannot add a line to the head."""
    ranges = parse_range(value, size)
    if ranges is None or ranges is UNSATISFIABLE:
        return
    frame = multipart_parts(ranges, size, content_type, "b")
    assert len(_body(frame, bytes(size), ranges)) == frame.total_bytes
    assert all(head.removeprefix(b"\r\n").count(b"\r\n") == 4 for head in frame.heads)


def test_content_range_last_byte_is_inclusive() -> None:
    """The header counts the last byte, our ranges the one after it."""
    assert content_range(ByteRange(0, 1), 10) == "bytes 0-0/10"


@pytest.mark.parametrize(
    "value, etag, modified_s, holds",
    [
        ('"a"', '"a"', None, True),
        (' "a" ', '"a"', None, True),
        ('"a"', '"b"', 784111777, False),
        ('W/"a"', 'W/"a"', None, False),
        ('W/"a"', '"a"', None, False),
        ('"a"', 'W/"a"', None, False),
        ('"a"', None, None, False),
        ("a", "a", None, False),
        ("", None, None, False),
        ("Sun, 06 Nov 1994 08:49:37 GMT", '"a"', 784111777, True),  # Finder resumes with the date
        ("Sun, 06 Nov 1994 08:49:37 GMT", '"a"', 784111776, False),
        ("Sun, 06 Nov 1994 08:49:37 GMT", '"a"', 784111778, False),
        ("Sun, 06 Nov 1994 08:49:37 GMT", '"a"', None, False),
        ("garbage", '"a"', None, False),
        ('"a", "b"', '"a"', None, False),
    ],
)
def test_if_range_holds_only_for_the_exact_validator(
    value: str, etag: str | None, modified_s: int | None, holds: bool
) -> None:
    """Bytes of two versions are never put together."""
    assert if_range_holds(value, etag, modified_s) is holds


@given(st.text(), st.one_of(st.none(), st.text()), st.one_of(st.none(), st.integers(0, 10**9)))
def test_if_range_any_text_never_raises(value: str, etag: str | None, modified_s: int | None) -> None:
    """And a date that was sent out is recognised."""
    if_range_holds(value, etag, modified_s)
    if modified_s is not None:
        assert if_range_holds(format_http_date(modified_s), etag, modified_s)
