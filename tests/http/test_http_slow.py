"""Slow bodies and slow readers: most of the threads are never theirs while others wait."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from providers.http.access import AccessLog, Entry
from providers.http.pace import FLOOR, Pace
from tests.http.harness import Client, Environ, StartResponse, serving, until

GET = "GET /x HTTP/1.1\nHost: h"
LARGE = bytes(20_000_000)


def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Takes the body, answers with much for /large."""
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [LARGE] if environ["PATH_INFO"] == "/large" else [b"small"]


class Crowd:
    """Clients of one address that are served and make no use of it."""

    def __init__(self, stack: contextlib.ExitStack, connect: Any) -> None:
        self._stack = stack
        self._connect = connect
        self._stop = threading.Event()
        self.dripping: list[Client] = []
        self._thread = threading.Thread(target=self._drip)
        self._thread.start()
        stack.callback(self.end)

    def drip(self, count: int) -> list[Client]:
        """PUTs whose bodies come byte by byte, five a second."""
        found = [self._begin("PUT /drip HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n") for _ in range(count)]
        self.dripping += found
        return found

    def ignore(self, count: int) -> list[Client]:
        """GETs whose answers nobody reads."""
        return [self._begin("GET /large HTTP/1.1\r\nHost: h\r\n\r\n") for _ in range(count)]

    def _begin(self, head: str) -> Client:
        client: Client = self._stack.enter_context(self._connect())
        client.send(head)
        return client

    def _drip(self) -> None:
        while not self._stop.wait(0.2):
            for client in list(self.dripping):
                with contextlib.suppress(OSError):
                    client.sock.send(b"x", socket.MSG_DONTWAIT)

    def end(self) -> None:
        """Drip no more."""
        self._stop.set()
        self._thread.join()


@contextlib.contextmanager
def crowded(threads: int, ended: list[Entry] | None = None, **options: Any) -> Iterator[tuple[Any, Crowd]]:
    """A server, and a crowd at 127.0.0.1."""
    access = (
        AccessLog(lambda _: None, lambda entry: ended.append(entry) or "", tell=lambda _: None)
        if ended is not None
        else None
    )
    with serving(app, threads=threads, access=access, **options) as running, contextlib.ExitStack() as stack:
        yield running, Crowd(stack, running.client)
    if access is not None:
        access.close()


@pytest.mark.parametrize("kind", ["drip", "ignore"])
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_crowd_of_slow_clients_keeps_nobody_waiting(kind: str, source: str) -> None:
    """Three times as many as there are threads, from the same address and from another."""
    with crowded(8) as (running, crowd):
        getattr(crowd, kind)(24)
        time.sleep(0.2)
        for _ in range(3):
            started = time.monotonic()
            with running.client(source=source) as client:
                assert client.ask(GET).body == b"small"
            assert time.monotonic() - started < 4
            time.sleep(0.3)


def test_who_is_cut_off_is_told() -> None:
    """A body with 408, which the client can read; the log calls both slow."""
    ended: list[Entry] = []
    with crowded(4, ended) as (running, crowd):
        dripping = crowd.drip(4)
        with running.client() as client:
            assert client.ask(GET).body == b"small"
        until(lambda: sum(entry.ended == "slow" for entry in ended) == 2)
        told = [answer for client in dripping if (answer := soon(client)) is not None]
        assert [answer.status for answer in told] == [408, 408]
        assert f"slower than {FLOOR} bytes a second".encode() in told[0].body
        assert {entry.status for entry in ended if entry.ended == "slow"} == {408}
        assert running.errors == []


def soon(client: Client) -> Any:
    """An answer that is there, or comes at once; None if none is."""
    client.sock.settimeout(0.3)
    try:
        return client.answer()
    except TimeoutError:
        return None


def test_slow_clients_in_half_of_the_threads_are_left_alone() -> None:
    """However long; their number is no reason as long as others are served."""
    ended: list[Entry] = []
    with crowded(8, ended) as (running, crowd):
        crowd.drip(4)
        for _ in range(8):
            with running.client() as client:
                assert client.ask(GET).body == b"small"
            time.sleep(0.25)
        assert {entry.ended for entry in ended} == {"complete"}
        assert running.server.busy == 4


def test_slow_client_of_its_own_address_is_the_last_to_be_cut() -> None:
    """It came first and is the slowest; those of the crowd go before it."""
    with crowded(8) as (running, crowd), running.client(source="127.0.0.2") as honest:
        honest.send("PUT /honest HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
        until(lambda: running.server.busy == 1)
        crowd.drip(30)
        time.sleep(4)
        honest.send("b")
        assert honest.answer().body == b"small"


def test_client_above_the_floor_is_never_cut() -> None:
    """Slow as its line is, it moves; and it holds most of the threads."""
    with crowded(4) as (running, _), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(6)]
        size = 4 * 4 * FLOOR
        for client in clients:
            client.send(f"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n")
        for _ in range(16):
            for client in clients:
                client.send(b"x" * (size // 16))
            time.sleep(0.2)
        assert [client.answer().status for client in clients] == [200] * 6


def test_request_that_works_is_not_taken_for_a_slow_one() -> None:
    """It waits for nobody."""
    gate = threading.Event()

    def works(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/work":
            gate.wait(20)
        return app(environ, start_response)

    with serving(works, threads=4) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(5)]
        for client in clients:
            client.send("GET /work HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(2.5)
        gate.set()
        assert [client.answer().body for client in clients] == [b"small"] * 5


class Peer:
    """A connection as the kernel tells of it."""

    def __init__(self, share: str, rate: int) -> None:
        self.share = share
        self.awaits = "body"
        self.rate = rate
        self.moved = 0
        self.was_cut = False
        self.sock = self

    def getsockopt(self, *_: int) -> bytes:
        return bytes(128) + self.moved.to_bytes(8, "little")

    def cut(self) -> None:
        self.was_cut = True


def cut_of(peers: list[Peer], *, threads: int, waiting: int, idle: int = 0) -> list[int]:
    """Which of them are cut, by number, after enough time."""
    pace = Pace(set(peers), threads=threads, idle=lambda: idle, waiting=lambda: waiting)  # type: ignore[arg-type]
    for tick in range(6):
        pace.look(tick * 0.25)
        for peer in peers:
            peer.moved += peer.rate // 4
        if any(peer.was_cut for peer in peers):
            break
    return [number for number, peer in enumerate(peers) if peer.was_cut]


def test_slowest_of_the_address_with_most_threads_are_chosen() -> None:
    """As many as wait, and at least those beyond half of the threads; nobody above the floor.

    The only one of its address goes only while more than half of the threads are theirs.
    """
    peers = [Peer("a", 400), Peer("a", 100), Peer("a", 200), Peer("b", 40), Peer("b", 4000), Peer("c", 0)]
    assert cut_of(peers, threads=8, waiting=5, idle=0) == [1, 2]
    peers = [Peer("a", 400), Peer("a", 100), Peer("b", 200), Peer("b", 40), Peer("b", 4000), Peer("c", 0)]
    assert cut_of(peers, threads=4, waiting=3, idle=0) == [1, 3, 5]
    peers = [Peer("a", 400), Peer("a", 100), Peer("a", 200), Peer("b", 40), Peer("b", 4000), Peer("c", 0)]
    assert cut_of(peers, threads=8, waiting=0, idle=0) == [1]


def test_idle_thread_or_few_slow_ones_cut_nobody() -> None:
    """Then nobody is kept from anything."""
    assert cut_of([Peer("a", 0) for _ in range(6)], threads=8, waiting=0, idle=1) == []
    assert cut_of([Peer("a", 0) for _ in range(4)], threads=8, waiting=9) == []
