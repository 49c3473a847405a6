"""Clients at their worst, against the whole server: what they cost in memory, time and threads is bounded."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.memory import MB, Growth, resident
from tests.server.running import Server, until
from tests.support.certificates import Certified

MIB = 1_048_576
GIB = 1024 * MIB
SMALL_CHUNK = 65_536
SILENT, SLOW, SILENT_TLS = 200, 50, 20
JOBS = ("expire", "measure", "prune", "scrub", "sessions", "sweep")


def test_600_megabytes_with_a_wrong_password_cost_no_memory(start: Start) -> None:
    """401 to a client that sends everything, and less than 10 MB more in all processes together.

    It is the first to ask for anything, so the memory of the first hash is among it.
    """
    server = start(workers=2)
    until(
        lambda: all(each in server.holdfast("jobs", "list").stdout for each in JOBS), what="the first run of each job"
    )
    with server.dav("admin", "a wrong password") as wrong:
        block = bytes(MB)
        with Growth(lambda: resident(server.pids()), every_s=0.01) as growth, wrong.wire() as wire:
            with contextlib.suppress(OSError):
                wire.send(wrong.head("PUT", "/dav/large", f"Content-Length: {600 * MB}"))
                for _ in range(600):
                    wire.send(block)
            assert wire.answer().status == 401
    print(f"600 MB with a wrong password: {growth.most / MB:.1f} MB more")
    assert growth.most < 10 * MB
    with server.dav() as dav:
        assert dav("GET", "/dav/large").status == 404


def _upload(dav: Dav, path: str, pieces: Iterator[bytes], chunk: int) -> float:
    """Seconds of a PUT in chunks of this size; the pieces are 1 MiB each and 1 GiB together."""
    began = time.monotonic()
    with dav.wire(120) as wire:
        wire.send(dav.head("PUT", path, "Transfer-Encoding: chunked"))
        if chunk == GIB:
            wire.send(b"%x\r\n" % GIB)
            for piece in pieces:
                wire.send(piece)
            wire.send(b"\r\n")
        else:
            for piece in pieces:
                parts = (piece[at : at + chunk] for at in range(0, len(piece), chunk))
                wire.send(b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts))
        wire.send(b"0\r\n\r\n")
        assert wire.answer().status == 201
    return time.monotonic() - began


def _pieces() -> Iterator[bytes]:
    """1 GiB that nobody has stored before."""
    for _ in range(GIB // MIB):
        yield os.urandom(MIB)


@pytest.mark.soak
def test_a_chunk_of_a_gibibyte_is_as_good_as_many_small_ones(start: Start) -> None:
    """Less than 64 MiB more in all processes together, and at least 0.7 of the speed."""
    server = start(workers=2, durability="fast")
    best: dict[int, float] = {}
    most: dict[int, int] = {}
    with server.dav() as dav:
        dav.ok("PUT", "/dav/first", noise(3 * MIB))
        for number, chunk in enumerate((SMALL_CHUNK, GIB) * 2):
            with Growth(lambda: resident(server.pids())) as growth:
                took = _upload(dav, f"/dav/{number}", _pieces(), chunk)
            best[chunk] = min(took, best.get(chunk, took))
            most[chunk] = max(growth.most, most.get(chunk, 0))
    ratio = best[SMALL_CHUNK] / best[GIB]
    print(
        f"1 GiB: one chunk {best[GIB]:.1f} s, {most[GIB] / MIB:.0f} MiB more; "
        f"64 KiB chunks {best[SMALL_CHUNK]:.1f} s, {most[SMALL_CHUNK] / MIB:.0f} MiB more; ratio {ratio:.2f}"
    )
    assert most[GIB] < 64 * MIB
    assert ratio >= 0.7


def test_silent_slow_and_half_open_clients_at_once_keep_nobody_waiting(start: Start, tmp_path: Path) -> None:
    """200 that connect and say nothing, 50 whose head drips and 20 that are silent behind TLS, all at once: an
    ordinary request on a new connection is answered within two seconds.
    """
    certified = Certified.make(tmp_path)
    server = start(workers=2, settings=certified.settings, trust=certified.client())
    for known in server.connections_to_all().values():
        known.close()
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(_connected(server)) for _ in range(SILENT)]
        # Half of them end within the handshake.
        half = [stack.enter_context(_connected(server)) for _ in range(SILENT_TLS // 2)]
        for sock in half:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        secure = [_secure(server, stack) for _ in range(SILENT_TLS // 2)]
        slow = [_secure(server, stack) for _ in range(SLOW)]
        for each in slow:
            each.sendall(b"PUT /dav/never HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        stack.enter_context(_dripping(slow))
        waits = []
        for number in range(6):
            began = time.monotonic()
            with server.dav(timeout=10) as quick:
                assert quick("PUT", f"/dav/{number}", b"in time").status == 201
            waits.append(time.monotonic() - began)
            time.sleep(0.3)
        assert len(silent) + len(secure) + len(half) + len(slow) == SILENT + SLOW + SILENT_TLS
    print(f"beside {SILENT} silent, {SLOW} slow and {SILENT_TLS} silent TLS connections: {max(waits):.3f} s at most")
    assert max(waits) < 2.0


def _connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 10)


def _secure(server: Server, stack: contextlib.ExitStack) -> ssl.SSLSocket:
    assert server.trust is not None
    return stack.enter_context(server.trust.wrap_socket(_connected(server), server_hostname="127.0.0.1"))


@contextlib.contextmanager
def _dripping(socks: list[ssl.SSLSocket]) -> Iterator[None]:
    """A byte of each head every 0.3 s."""
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.3):
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_more_clients_that_rest_after_a_chunked_put_than_threads_hold_nobody_up(start: Start) -> None:
    """As Finder and curl do; the server closes their connections later, without a word."""
    server = start(workers=1, settings={"threads": 4, "idle_seconds": 5})
    with server.dav() as dav, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(dav.wire()) for _ in range(12)]
        for number, wire in enumerate(wires):
            wire.send(dav.head("PUT", f"/dav/{number}", "Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\n\r\n")
            assert wire.answer().status == 201
        began = time.monotonic()
        with server.dav() as other:
            assert other.ok("GET", "/dav/11").body == b"hello"
        assert time.monotonic() - began < 3
        assert all(wire.closed(12) for wire in wires)


def test_upload_that_pauses_for_longer_than_clients_are_used_to_is_stored(start: Start) -> None:
    """Twelve seconds within a body, with the settings as they come."""
    with start().dav() as dav, dav.wire() as wire:
        wire.send(dav.head("PUT", "/dav/paused", "Content-Length: 6"), b"abc")
        time.sleep(12)
        wire.send(b"def")
        assert wire.answer().status == 201
        assert dav.ok("GET", "/dav/paused").body == b"abcdef"
