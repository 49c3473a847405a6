"""Uploads that end before their time or stand still: nothing of them can ever be seen."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

import pytest

from tests.server.content import chunked, noise
from tests.server.dav_client import Dav
from tests.server.listing import names

MIB = 1_048_576
OLD = b"the old version " * 1000
STALL_S = 1
# Around the borders of inline content, the server's reads, a chunk's sizes and a pipeline's group.
LENGTHS = [1, 100, 4095, 4096, 4097, 16_384, 65_536, 65_537, 262_144, MIB - 1, MIB, MIB + 1, 2 * MIB, 3_000_000]


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """A server that loses patience after a second."""
    return {"settings": {"body_stall_seconds": STALL_S}}


@pytest.fixture
def old(dav: Dav, area: str) -> str:
    """The path of a file whose content is ``OLD``."""
    dav.ok("PUT", f"{area}old", OLD)
    return f"{area}old"


def _send_part(dav: Dav, path: str, framing: str, part: bytes) -> int:
    """Send a PUT whose body is only ``part``, close our side, and return the answer's status."""
    with dav.wire() as wire:
        wire.send(dav.head("PUT", path, framing), part)
        wire.sock.shutdown(socket.SHUT_WR)
        return wire.answer().status


def _vanish(dav: Dav, path: str, framing: str, part: bytes) -> None:
    """The same, but the client is gone with a reset."""
    with dav.wire() as wire:
        wire.send(dav.head("PUT", path, framing), part)
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _require_nothing_changed(dav: Dav, area: str, etag: str) -> None:
    answer = dav.ok("GET", f"{area}old")
    assert (answer.body, answer.etag) == (OLD, etag)
    assert names(dav, area) == {"old"}


@pytest.mark.parametrize("coding", ["fixed", "chunked"])
def test_put_cut_off_at_any_byte_of_a_small_body_changes_nothing(dav: Dav, area: str, old: str, coding: str) -> None:
    """Every single position of the body as it is sent, size lines and the last CRLF included: 400."""
    etag = dav("HEAD", old).etag
    body = bytes(range(65, 91))
    sent = body if coding == "fixed" else chunked(body, [3, 1, 12])
    framing = f"Content-Length: {len(body)}" if coding == "fixed" else "Transfer-Encoding: chunked"
    for position in range(len(sent)):
        for path in (old, f"{area}new"):
            assert _send_part(dav, path, framing, sent[:position]) == 400, position
    _require_nothing_changed(dav, area, etag)
    assert _send_part(dav, f"{area}new", framing, sent) == 201
    assert dav.ok("GET", f"{area}new").body == body


@pytest.mark.parametrize("coding", ["fixed", "chunked"])
def test_put_cut_off_within_a_large_body_changes_nothing(dav: Dav, area: str, old: str, coding: str) -> None:
    """Around every border of the pipeline; with an orderly end and with a reset."""
    etag = dav("HEAD", old).etag
    body = noise(4 * MIB)
    sent = body if coding == "fixed" else chunked(body, [65_536, 7, 300_000, MIB])
    framing = f"Content-Length: {len(body)}" if coding == "fixed" else "Transfer-Encoding: chunked"
    for number, length in enumerate([*LENGTHS, len(sent) - 3, len(sent) - 1]):
        path = old if number % 2 else f"{area}new"
        assert _send_part(dav, path, framing, sent[:length]) == 400, length
        _vanish(dav, path, framing, sent[:length])
    time.sleep(0.5)
    _require_nothing_changed(dav, area, etag)
    assert _send_part(dav, old, framing, sent) == 204
    assert dav.ok("GET", old).body == body


def test_head_cut_off_at_any_byte_changes_nothing(dav: Dav, area: str, old: str) -> None:
    """A request that is no whole request is none."""
    etag = dav("HEAD", old).etag
    head = dav.head("DELETE", old)
    for position in range(len(head)):
        with dav.wire() as wire:
            wire.send(head[:position])
    _require_nothing_changed(dav, area, etag)


@pytest.mark.parametrize(
    "framing, part",
    [
        ("Content-Length: 5000000", b""),
        ("Content-Length: 5000000", noise(10)),
        ("Content-Length: 5000000", noise(2_500_000)),
        ("Transfer-Encoding: chunked", b"4c4"),
        ("Transfer-Encoding: chunked", b"4c4b40\r\n" + noise(1_500_000)),
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n"),
    ],
)
def test_put_that_stands_still_is_ended_and_changes_nothing(
    dav: Dav, area: str, old: str, framing: str, part: bytes
) -> None:
    """After body_stall_seconds of silence the client is told 408, and nothing was stored."""
    etag = dav("HEAD", old).etag
    with dav.wire() as wire:
        wire.send(dav.head("PUT", old, framing), part)
        began = time.monotonic()
        answer = wire.answer()
        assert STALL_S * 0.9 <= time.monotonic() - began < STALL_S + 5
        assert answer.status == 408
        assert wire.closed()
    _require_nothing_changed(dav, area, etag)


def test_put_that_is_slow_but_moves_is_stored(dav: Dav, area: str) -> None:
    """A byte now and then is enough, however long it takes in all."""
    with dav.wire() as wire:
        wire.send(dav.head("PUT", f"{area}slow", "Content-Length: 6"))
        for byte in b"slowly":
            time.sleep(STALL_S * 0.6)
            wire.send(bytes([byte]))
        assert wire.answer().status == 201
    assert dav.ok("GET", f"{area}slow").body == b"slowly"


def test_many_that_stand_still_do_not_keep_others_waiting(dav: Dav, area: str) -> None:
    """Thirty bodies that do not come, and thirty clients that do not read: the next request is answered at once."""
    dav.ok("PUT", f"{area}large", noise(20_000_000))
    wires = [dav.wire() for _ in range(60)]
    for number, wire in enumerate(wires):
        if number % 2:
            wire.send(dav.head("PUT", f"{area}new-{number}", "Content-Length: 100"), b"x")
        else:
            wire.send(dav.head("GET", f"{area}large"))
    began = time.monotonic()
    assert dav("PROPFIND", area, headers={"Depth": "1"}).status == 207
    assert time.monotonic() - began < STALL_S + 5
    for wire in wires:
        wire.close()
    assert names(dav, area) == {"large"}
