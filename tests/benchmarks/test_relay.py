"""The relay that counts: what it sees, and that bytes pass as they came."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from benchmarks.relay import PostgresqlReader, Reader, Relay, S3Reader

REQUESTS = (
    b"PUT /bucket/packs/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 24\r\n\r\nGET /not HTTP/1.1\r\n\r\nabc"
    b"GET /bucket/packs/1 HTTP/1.1\r\nHost: h\r\n\r\n"
    b"GET /bucket?list-type=2&prefix=x HTTP/1.1\r\nHost: h\r\n\r\n"
    b"DELETE /bucket/packs/1 HTTP/1.1\r\nHost: h\r\ncontent-length: 0\r\n\r\n"
)


def message(letter: bytes, body: bytes = b"") -> bytes:
    """Of PostgreSQL's protocol; the first one of a session has no letter."""
    return letter + struct.pack("!I", len(body) + 4) + body


SESSION = b"".join(
    [
        message(b"", b"\x00\x03\x00\x00user\x00x\x00\x00"),
        message(b"Q", b"BEGIN; SELECT 1\x00"),
        *[message(b"P", b"s\x00SELECT S\x00\x00\x00"), message(b"B", b"Q" * 40), message(b"E", b"\x00" * 5)],
        message(b"S"),
        *[message(b"B", b"E" * 9), message(b"E", b"\x00" * 5), message(b"B"), message(b"E"), message(b"S")],
        message(b"X"),
    ]
)


@pytest.fixture
def relay() -> Iterator[Relay]:
    """One that nothing goes through: it only counts."""
    with Relay(socket.socket, S3Reader) as relay:
        yield relay


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("reader", "sent", "counts"),
    [
        (S3Reader, REQUESTS, {"PUT": 1, "GET": 1, "LIST": 1, "DELETE": 1}),
        (PostgresqlReader, SESSION, {"statements": 4, "trips": 3}),
    ],
)
def test_messages_are_counted_however_they_are_cut(
    relay: Relay, reader: Callable[[Relay], Reader], sent: bytes, counts: dict[str, int], size: int
) -> None:
    """Bodies that look like messages are none."""
    seen = reader(relay)
    for start in range(0, len(sent), size):
        seen.feed(sent[start : start + size])
    assert relay.counts == Counter(counts)
    relay.clear()
    assert not relay.counts


def test_bytes_pass_in_both_directions() -> None:
    """As they came, and their end as well."""
    with socket.create_server(("127.0.0.1", 0)) as far:

        def answer() -> None:
            with far.accept()[0] as sock:
                taken = b""
                while len(taken) < len(REQUESTS):
                    taken += sock.recv(4096)
                sock.sendall(taken[::-1])

        thread = threading.Thread(target=answer)
        thread.start()
        with (
            Relay(lambda: socket.create_connection(far.getsockname()), S3Reader) as relay,
            socket.create_connection(("127.0.0.1", relay.port)) as near,
        ):
            near.sendall(REQUESTS)
            got = b""
            while data := near.recv(4096):
                got += data
        thread.join()
    assert got == REQUESTS[::-1]
    assert relay.counts["PUT"] == 1
