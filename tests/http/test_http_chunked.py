"""The chunked coding, with the real connection buffer fed piece by piece (RFC 9112 §7.1)."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BodyIncomplete
from providers.http.balance import Tally
from providers.http.body import ChunkedBody, FixedBody
from providers.http.connection import Connection
from providers.http.limits import Limits
from providers.http.service import Service


class Scripted(Connection):
    """A connection to which the network gives exactly these pieces, then its end."""

    def __init__(self, pieces: list[bytes]) -> None:
        service = Service(
            lambda *_: [], Limits(header_bytes=1000), "test", waiting=lambda: 0, load=Tally(1).load(0), on_error=None
        )
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            super().__init__(service, sock, ("", 0), {})
        self.pieces = [piece for piece in pieces if piece]

    def _receive(self, limit: int, wait_s: float) -> bytes:
        if not self.pieces:
            return b""
        piece, rest = self.pieces[0][:limit], self.pieces[0][limit:]
        self.pieces[:1] = [rest] if rest else []
        return piece

    def _receive_into(self, target: memoryview, wait_s: float) -> int:
        piece = self._receive(len(target), wait_s)
        target[: len(piece)] = piece
        return len(piece)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """``data`` in pieces that end at ``cuts``."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def encode(chunks: list[bytes], *, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """The chunks, coded."""
    coded = [b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks if chunk]
    return b"".join(coded) + b"0\r\n" + trailer + b"\r\n"


def read_all(body: ChunkedBody | FixedBody, size: int, into: bool) -> bytes:
    """All of the body, in reads of ``size``."""
    out = bytearray()
    buffer = bytearray(size)
    while True:
        if into:
            count = body.readinto(buffer)
            out += buffer[:count]
        else:
            piece = body.read(size)
            count = len(piece)
            out += piece
        if not count:
            return bytes(out)


CHUNKS = st.lists(st.binary(max_size=40) | st.integers(0, 40000).map(lambda size: b"x" * size), max_size=6)
CUTS = st.lists(st.integers(0, 200_000), max_size=12)


@settings(deadline=None)
@given(CHUNKS, CUTS, st.sampled_from([1, 3, 100, 70_000]), st.booleans(), st.booleans(), st.booleans())
def test_chunked_body_any_split_gives_the_same_bytes(
    chunks: list[bytes], cuts: list[int], size: int, into: bool, extended: bool, settled: bool
) -> None:
    """However the network cuts it and the caller reads it; the next request's bytes stay where they are."""
    wanted = b"".join(chunks)
    if size < 100:
        chunks = [chunk[:200] for chunk in chunks]
        wanted = b"".join(chunks)
    extra = {"extension": b" ;a=b", "trailer": b"X-Sum: 1\r\nY:\r\n"} if extended else {}
    connection = Scripted(split(encode(chunks, **extra) + b"GET /next", cuts))
    body = ChunkedBody(connection)
    if settled and len(wanted) <= 70_000:
        assert body.settle(70_000, 5.0)
    assert read_all(body, size, into) == wanted
    assert body.exhausted
    assert body.received == len(wanted)
    assert b"".join(iter(lambda: connection.take(100, 1.0), b"")) == b"GET /next"


@settings(deadline=None)
@given(st.binary(max_size=300), CUTS, st.sampled_from([1, 7, 70_000]), st.booleans(), st.integers(0, 300))
def test_fixed_body_any_split_gives_the_same_bytes(
    data: bytes, cuts: list[int], size: int, into: bool, length: int
) -> None:
    """The announced bytes and no more; fewer raise."""
    body = FixedBody(Scripted(split(data, cuts)), length)
    if length <= len(data):
        assert read_all(body, size, into) == data[:length]
        assert body.exhausted
    else:
        with pytest.raises(BodyIncomplete) as caught:
            read_all(body, size, into)
        assert caught.value.expected == length
        assert caught.value.received <= len(data)
        assert not body.exhausted


@settings(deadline=None)
@given(CHUNKS, CUTS, st.integers(1, 200_000))
def test_chunked_body_cut_anywhere_raises(chunks: list[bytes], cuts: list[int], lost: int) -> None:
    """A body that ends before its last CRLF is no body."""
    coded = encode(chunks)
    body = ChunkedBody(Scripted(split(coded[: -1 - lost % (len(coded))], cuts)))
    with pytest.raises(BodyIncomplete):
        body.read()
    with pytest.raises(BodyIncomplete):
        body.read(1)
    assert not body.exhausted


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize(
    "coded",
    [
        b"\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b"g\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
        b"5\r\nhello\r\n0\r\nA : b\r\n\r\n",
        b"5\r\nhello\r\n0\r\nA: \x00\r\n\r\n",
        b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"5\r\nhello\r\n0\r\nA: " + b"b" * 2000 + b"\r\n\r\n",
    ],
)
def test_chunked_body_broken_coding_raises_and_stays_broken(coded: bytes, settled: bool) -> None:
    """Nothing behind the break is ever taken for data."""
    body = ChunkedBody(Scripted([coded + b"5\r\nhello\r\n0\r\n\r\n"]))
    if settled:
        assert not body.settle(1000, 0.1)
    with pytest.raises(BodyIncomplete) as caught:
        body.read()
    assert caught.value.expected is None
    with pytest.raises(BodyIncomplete):
        body.readinto(bytearray(10))
    assert not body.settle(1000, 0.1)


@pytest.mark.parametrize("size", [b"5", b"05", b"0000000000000005", b"5;a", b"5 ; a=b", b'5;a="b;c"'])
def test_chunked_body_valid_sizes_are_taken(size: bytes) -> None:
    """Up to 16 digits, extensions ignored."""
    assert ChunkedBody(Scripted([size + b"\r\nhello\r\n00\r\n\r\n"])).read() == b"hello"


def test_chunked_body_small_chunks_fill_the_buffer() -> None:
    """Chunks of a few bytes are given out together, without waiting for those that have not come."""
    connection = Scripted([encode([b"ab", b"cd", b"ef"]).removesuffix(b"0\r\n\r\n"), encode([b"gh"])])
    body = ChunkedBody(connection)
    buffer = bytearray(100)
    assert body.readinto(buffer) == 6
    assert buffer[:6] == b"abcdef"
    assert connection.pieces


def test_body_has_the_methods_of_pep_3333() -> None:
    """Libraries that read forms use them."""
    body = FixedBody(Scripted([b"one\ntwo\nthree"]), 13)
    assert body.readline() == b"one\n"
    assert body.readline(2) == b"tw"
    assert body.readlines() == [b"o\n", b"three"]
    assert list(FixedBody(Scripted([b"a\nb\n"]), 4)) == [b"a\n", b"b\n"]
    assert FixedBody(Scripted([]), 0).read() == FixedBody(Scripted([]), 0).readline() == b""
    assert FixedBody(Scripted([b"abc"]), 3).read(0) == b""
