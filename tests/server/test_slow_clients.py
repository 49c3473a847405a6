"""Clients that hold connections and threads without making use of them: everybody else is served."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.running import Server

CROWD = 50
HELD_UP_S = 2.0


def connected(server: Server, source: str) -> socket.socket:
    """A connection from an address of this machine."""
    return socket.create_connection(("127.0.0.1", server.port), 10, (source, 0))


@contextlib.contextmanager
def crowd(server: Server, heads: Callable[[int], bytes], drip: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have sent the head of their number, and one byte more every 0.3 s; nobody reads them."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connected(server, "127.0.0.1")) for _ in range(CROWD * 3)]
        for number, sock in enumerate(socks):
            sock.sendall(heads(number))
            sock.setblocking(False)
        stop = threading.Event()

        def drip_on() -> None:
            while not stop.wait(0.3):
                for number, sock in enumerate(socks):
                    if number % 3 < 2:
                        with contextlib.suppress(OSError):
                            sock.send(drip)

        thread = threading.Thread(target=drip_on)
        thread.start()
        try:
            yield socks
        finally:
            stop.set()
            thread.join()


def seconds_of_a_request(server: Server, source: str) -> float:
    """From connecting to the answer, for one whose credentials each worker knows already."""
    with server.dav() as dav, connected(server, source) as sock:
        started = time.monotonic()
        sock.sendall(dav.head("PROPFIND", "/dav/", "Depth: 0", "Connection: close"))
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 207 "), answer[:200]
        return time.monotonic() - started


def test_150_slow_clients_at_once_keep_nobody_waiting(start: Start) -> None:
    """50 heads and 50 bodies that drip, and 50 answers that nobody reads: others are answered within two seconds."""
    server = start(workers=2)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/large", noise(16_000_000, 1))
        for connection in server.connections_to_all().values():
            connection.close()
        kinds = itertools.cycle(
            [
                dav.head("PUT", "/dav/never", "Content-Length: 100000")[:-4] + b"\r\nX-More: ",
                dav.head("PUT", "/dav/slow", "Content-Length: 100000"),
                dav.head("GET", "/dav/large"),
            ]
        )
        heads = [head for head, _ in zip(kinds, range(CROWD * 3), strict=False)]
    with crowd(server, heads.__getitem__, b"x"):
        for _ in range(4):
            waits = {source: seconds_of_a_request(server, source) for source in ("127.0.0.2", "127.0.0.1")}
            assert all(wait < HELD_UP_S for wait in waits.values()), waits
            time.sleep(0.5)
    with server.dav() as dav:
        assert dav("GET", "/dav/slow").status == 404
        assert dav("GET", "/dav/never").status == 404


@pytest.mark.parametrize("limit", [0, 50])
def test_200_silent_connections_keep_nobody_waiting(start: Start, limit: int) -> None:
    """Whether they are closed or not."""
    server = start(workers=2, settings={"connections_per_address": limit})
    with contextlib.ExitStack() as stack:
        for connection in server.connections_to_all().values():
            connection.close()
        silent = [stack.enter_context(connected(server, "127.0.0.1")) for _ in range(200)]
        for source in ("127.0.0.2", "127.0.0.1"):
            assert seconds_of_a_request(server, source) < HELD_UP_S
        time.sleep(1.0)
        left = sum(map(is_open, silent))
        assert left == 200 if not limit else 0 < left <= 2 * limit, left


def is_open(sock: socket.socket) -> bool:
    """Whether the server has not closed it."""
    sock.setblocking(False)
    try:
        return sock.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
