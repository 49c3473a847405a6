"""What can be refused without the body is refused before it: the client gets its answer, and memory stays flat."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.memory import MB, Growth, resident
from tests.server.running import Server

LARGE = 300 * MB
QUOTA = 1_000_000
# A password that this worker has not verified yet is hashed with so much memory.
HASH = 10 * MB
LENGTH = f"Content-Length: {LARGE}"
# Header lines, whether signed in, status.
CASES = {
    "no credentials": ([LENGTH], False, 401),
    "too large": ([f"Content-Length: {LARGE + 1}"], True, 413),
    "condition": ([LENGTH, 'If-Match: "x"'], True, 412),
    "coding": ([LENGTH, "Content-Encoding: gzip"], True, 415),
    "a part": ([LENGTH, "Content-Range: bytes 0-1/2"], True, 400),
}


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """A limit that one byte more exceeds."""
    return {"settings": {"max_file_size": LARGE}}


def send_all(dav: Dav, head: bytes, size: int) -> int:
    """What a simple client does: write the whole request, then read. The status of the answer."""
    block = bytes(MB)
    with dav.wire(20.0) as wire:
        with contextlib.suppress(OSError):
            wire.send(head)
            for _ in range(size // MB):
                wire.send(block)
        return wire.answer().status


@pytest.mark.parametrize(("lines", "signed_in", "status"), CASES.values(), ids=CASES)
def test_large_put_is_refused_with_its_answer_and_flat_memory(
    server: Server, dav: Dav, area: str, lines: list[str], signed_in: bool, status: int
) -> None:
    """The client that sends everything gets its answer; the server keeps none of it."""
    dav.ok("PUT", area + "file", b"as it was")
    sender = dav if signed_in else server.dav("nobody", "no password")
    head = sender.head("PUT", area + "file", *lines)
    with Growth(lambda: resident(server.pids())) as growth:
        assert send_all(sender, head, LARGE) == status
    assert growth.most < HASH + 6 * MB
    assert dav.ok("GET", area + "file").body == b"as it was"


def test_put_over_quota_is_507_before_its_body(server: Server) -> None:
    """The length is known: not a byte of the body is asked for."""
    with server.add_user("small", "--quota", str(QUOTA)) as small:
        small.ok("PUT", "/dav/kept", b"k" * 600_000)
        with small.wire() as wire:
            wire.send(small.head("PUT", "/dav/new", "Content-Length: 600000", "Expect: 100-continue"))
            answer = wire.answer()
        assert answer.status == 507
        assert b"quota-not-exceeded" in answer.body
        assert small("GET", "/dav/new").status == 404


def test_chunked_put_over_quota_is_507_during_its_body(server: Server) -> None:
    """The length is not known: refused when it is too much, and nothing has changed."""
    with server.add_user("chunked", "--quota", str(QUOTA)) as chunked:
        chunked.ok("PUT", "/dav/kept", b"k" * 600_000)
        answer = chunked("PUT", "/dav/kept", iter([bytes(100_000)] * 30))
        assert answer.status == 507
        assert "quota-not-exceeded" in answer.text
        chunked.close()
        assert chunked.ok("GET", "/dav/kept").body == b"k" * 600_000
        chunked.ok("PUT", "/dav/kept", b"s" * QUOTA)


def test_quota_is_told_and_follows_what_is_stored(server: Server) -> None:
    """RFC 4331: used and available, on folders only."""
    body = b'<D:propfind xmlns:D="DAV:"><D:prop><D:quota-used-bytes/><D:quota-available-bytes/></D:prop></D:propfind>'
    with server.add_user("measured", "--quota", str(QUOTA)) as measured:
        measured.ok("PUT", "/dav/file", b"x" * 400_000)
        told = measured.ok("PROPFIND", "/dav/", body, {"Depth": "0"}).text
        assert "<D:quota-used-bytes>400000</D:quota-used-bytes>" in told
        assert "<D:quota-available-bytes>600000</D:quota-available-bytes>" in told
        assert "404" in measured.ok("PROPFIND", "/dav/file", body, {"Depth": "0"}).text
