"""TLS connections that wait: no peer that is silent or slow may hold up another, however far its handshake is."""

from __future__ import annotations

import contextlib
import socket
import ssl
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from providers.http.limits import Limits
from tests.http.conftest import Secure
from tests.http.harness import Running, hello, until
from tests.support.certificates import Certified

GET = "GET /x HTTP/1.1\nHost: h"


class Slow:
    """A TLS client that sends what OpenSSL gives it when, and in pieces as small as, the test says."""

    def __init__(self, sock: socket.socket, certified: Certified) -> None:
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = certified.client().wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self.established = False

    def flight(self) -> bytes:
        """What the handshake sends next, as far as the server has answered; nothing once it is done."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.established = True
        return self._outgoing.read()

    def sealed(self, data: bytes) -> bytes:
        """A record."""
        self.tls.write(data)
        return self._outgoing.read()

    def receive(self) -> bool:
        """Take one packet of the server; False when it has closed."""
        data = self.sock.recv(65536)
        self._incoming.write(data)
        return bool(data)

    def read(self) -> bytes:
        """What the server has sent."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                if not self.receive():
                    return b""

    def shake_hands(self) -> None:
        """At full speed."""
        while not self.established:
            self.sock.sendall(self.flight())
            if not self.established:
                self.receive()


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("sent", [0, 1, 5, 100])
def test_silent_peers_in_the_handshake_delay_nobody(
    secure: Secure, certified: Certified, threads: int, sent: int
) -> None:
    """200 of them, with nothing sent or a part of the ClientHello, and an ordinary request needs less than 2 s."""
    running = secure(hello, threads=threads)
    with ExitStack() as stack:
        for _ in range(200):
            sock = stack.enter_context(running.raw())
            sock.sendall(Slow(sock, certified).flight()[:sent])
        for _ in range(3):
            assert _seconds_of_a_request(running) < 2
    assert running.errors == []


def test_silent_peers_after_the_servers_flight_delay_nobody(secure: Secure, certified: Certified) -> None:
    """100 that never send their Finished, and 100 that are silent after it."""
    running = secure(hello, threads=2)
    with ExitStack() as stack:
        for number in range(200):
            peer = Slow(stack.enter_context(running.raw()), certified)
            peer.sock.sendall(peer.flight())
            if number % 2:
                peer.shake_hands()
        for _ in range(3):
            assert _seconds_of_a_request(running) < 2


def test_slow_handshakes_hold_no_worker(secure: Secure, certified: Certified) -> None:
    """20 clients that send byte by byte, 2 workers: ordinary requests pass, and the slow ones are served at last."""
    running = secure(hello, threads=2, limits=Limits(header_seconds=60))
    with ExitStack() as stack:
        peers = [Slow(stack.enter_context(running.raw()), certified) for _ in range(20)]
        waits = []
        while not all(peer.established for peer in peers):
            flights = [peer.flight() for peer in peers]
            for place in range(max(map(len, flights))):
                for peer, flight in zip(peers, flights, strict=True):
                    peer.sock.sendall(flight[place : place + 1])
                if place % 60 == 0:
                    waits.append(_seconds_of_a_request(running))
            for peer in peers:
                if not peer.established:
                    peer.receive()
        requests = [peer.sealed(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n") for peer in peers]
        for place in range(len(requests[0])):
            for peer, request in zip(peers, requests, strict=True):
                peer.sock.sendall(request[place : place + 1])
        for peer in peers:
            assert peer.read().endswith(b"/slow")
        assert max(waits) < 2
        assert statistics.median(waits) < 0.2


@pytest.mark.parametrize("trickles", [False, True])
def test_unfinished_handshake_ends_after_the_time_of_a_head(
    secure: Secure, certified: Certified, trickles: bool
) -> None:
    """Without an answer, which nobody could read; bytes now and then do not extend the time."""
    running = secure(hello, limits=Limits(header_seconds=0.7))
    with running.raw() as sock:
        flight = Slow(sock, certified).flight()
        started = time.monotonic()
        sock.settimeout(0.05)
        for place in range(len(flight) - 1):
            with contextlib.suppress(TimeoutError, ConnectionError):
                if trickles:
                    sock.sendall(flight[place : place + 1])
                assert sock.recv(10) == b""
                break
            assert time.monotonic() - started < 5
        assert 0.6 < time.monotonic() - started < 4
    until(lambda: not running.server.service.load._held)
    assert running.errors == []


def test_unfinished_record_does_not_keep_an_idle_connection_open(secure: Secure, certified: Certified) -> None:
    """A byte of a record is no request's beginning, and no reason to wait from anew."""
    running = secure(hello, limits=Limits(idle_seconds=1, header_seconds=30))
    with running.raw() as sock:
        peer = Slow(sock, certified)
        peer.shake_hands()
        record = peer.sealed(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in record:
                sock.sendall(bytes((byte,)))
                time.sleep(0.2)
                assert time.monotonic() - started < 4
        assert 0.9 < time.monotonic() - started < 4


def test_late_head_over_tls_is_408(secure: Secure) -> None:
    """As without TLS."""
    running = secure(hello, limits=Limits(header_seconds=0.5))
    with running.client() as client:
        client.send("GET / HTTP/1.1\r\nX: ")
        assert client.answer().status == 408
        assert client.closed()


def _cut_hello(peer: Slow) -> None:
    peer.sock.sendall(peer.flight()[:50])


def _cut_after_hello(peer: Slow) -> None:
    peer.sock.sendall(peer.flight())


def _cut_in_finished(peer: Slow) -> None:
    peer.sock.sendall(peer.flight())
    peer.receive()
    peer.sock.sendall(peer.flight()[:10])


def _cut_after_handshake(peer: Slow) -> None:
    peer.shake_hands()


def _cut_in_record(peer: Slow) -> None:
    peer.shake_hands()
    peer.sock.sendall(peer.sealed(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")[:20])


def _cut_in_head(peer: Slow) -> None:
    peer.shake_hands()
    peer.sock.sendall(peer.sealed(b"GET /x HT"))


def _cut_before_answer(peer: Slow) -> None:
    peer.shake_hands()
    peer.sock.sendall(peer.sealed(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"))


def _garbage(peer: Slow) -> None:
    peer.sock.sendall(b"\x16\x03\x01\x00\x05garbage" + bytes(500))


def _binary(peer: Slow) -> None:
    peer.sock.sendall(b"\0\1\2\3" * 100)


_STAGES = [
    _cut_hello, _cut_after_hello, _cut_in_finished, _cut_after_handshake, _cut_in_record, _cut_in_head,
    _cut_before_answer, _garbage, _binary,
]  # fmt: skip


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("stage", _STAGES)
def test_peer_that_is_gone_at_any_stage_leaves_nothing(
    secure: Secure, certified: Certified, stage: Callable[[Slow], None], resets: bool
) -> None:
    """No connection, no error, no worker."""
    running = secure(hello, threads=1)
    for _ in range(10):
        sock = running.raw()
        stage(Slow(sock, certified))
        if resets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    until(lambda: not running.server.service.load._held)
    assert _seconds_of_a_request(running) < 2
    assert running.errors == []


def _seconds_of_a_request(running: Running) -> float:
    started = time.monotonic()
    with running.client() as client:
        assert client.ask(GET).body == b"/x"
    return time.monotonic() - started
