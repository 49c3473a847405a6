"""Many small requests over kept-alive connections: one by one, or over several connections at once.

One process sends them all: on loopback it makes several times as many requests a second as any server here answers
(``client_ceiling`` measures that), and a second one would only take the servers' cores. Connections are made before
the clock starts: a listener with a short queue loses some of several simultaneous ones, and the client then waits a
second for the kernel to try again, which says nothing about requests.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.failures import WrongAnswer
from benchmarks.wire import PATIENCE_S, Answer, Endpoint, Incoming, connect

_RECEIVE = 128 * 1024
# Time is asked for once in so many requests.
_LOOK_EVERY = 16


class Outcome(NamedTuple):
    """The answers in the order of the requests, fewer if time ran out; and how often a connection had to be made."""

    answers: list[Answer]
    seconds: float
    reconnects: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.answers) / self.seconds


def send_all(endpoint: Endpoint, requests: Sequence[bytes], *, connections: int, most_s: float) -> Outcome:
    """Send whole requests, each after the answer to the one before it on its connection; stop after ``most_s``.

    Raises:
        WrongAnswer: an answer is missing.
    """
    try:
        if connections == 1:
            return _one_by_one(endpoint, requests, most_s)
        return _Side(endpoint, requests, most_s).run(connections)
    except OSError as error:
        raise WrongAnswer(f"{type(error).__name__} {error}") from error


def _one_by_one(endpoint: Endpoint, requests: Sequence[bytes], most_s: float) -> Outcome:
    finished: list[Incoming] = []
    reconnects = 0
    sock = connect(endpoint)
    began = time.perf_counter()
    number = 0
    while number < len(requests):
        incoming = Incoming()
        if _ask(sock, requests[number], incoming):
            finished.append(incoming)
            number += 1
            if not incoming.closes:
                if number % _LOOK_EVERY == 0 and time.perf_counter() - began > most_s:
                    break
                continue
        elif not finished or not incoming.empty:
            raise WrongAnswer("the server closed the connection without an answer")
        sock.close()
        sock = connect(endpoint)
        reconnects += 1
    seconds = time.perf_counter() - began
    sock.close()
    return Outcome([incoming.answer() for incoming in finished], seconds, reconnects)


def _ask(sock: socket.socket, request: bytes, incoming: Incoming) -> bool:
    """Whether a whole answer came; else the connection has ended."""
    try:
        sock.sendall(request)
        while data := sock.recv(_RECEIVE):
            if incoming.feed(data):
                return True
    except ConnectionError:
        return False
    return incoming.ended()


class _Lane:
    """One connection, and the request that is under way on it."""

    __slots__ = ("incoming", "number", "sock", "used")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.number = -1
        self.incoming = Incoming()
        # Requests answered on it.
        self.used = 0


class _Side:
    """Requests over several connections, driven by epoll in one thread."""

    def __init__(self, endpoint: Endpoint, requests: Sequence[bytes], most_s: float) -> None:
        self._endpoint = endpoint
        self._requests = requests
        self._most_s = most_s
        self._finished: list[Incoming | None] = [None] * len(requests)
        self._next = 0
        self._answered = 0
        self._reconnects = 0
        self._lanes: dict[int, _Lane] = {}
        self._poll = select.epoll()

    def run(self, connections: int) -> Outcome:
        for _ in range(min(connections, len(self._requests))):
            self._add(connect(self._endpoint))
        began = time.perf_counter()
        deadline = began + self._most_s
        for lane in list(self._lanes.values()):
            self._begin(lane)
        while self._lanes:
            ready = self._poll.poll(PATIENCE_S)
            if not ready:
                raise WrongAnswer(f"no answer within {PATIENCE_S} s")
            for descriptor, _ in ready:
                self._take(self._lanes[descriptor], deadline)
        seconds = time.perf_counter() - began
        self._poll.close()
        finished = [incoming.answer() for incoming in self._finished if incoming is not None]
        return Outcome(finished, seconds, self._reconnects)

    def _add(self, sock: socket.socket) -> _Lane:
        lane = self._lanes[sock.fileno()] = _Lane(sock)
        self._poll.register(sock.fileno(), select.EPOLLIN)
        return lane

    def _begin(self, lane: _Lane) -> None:
        lane.number, self._next = self._next, self._next + 1
        lane.incoming = Incoming()
        lane.sock.sendall(self._requests[lane.number])

    def _take(self, lane: _Lane, deadline: float) -> None:
        try:
            data = lane.sock.recv(_RECEIVE)
        except ConnectionError:
            data = b""
        if data:
            if not lane.incoming.feed(data):
                return
        elif not lane.incoming.ended():
            self._replace(lane)
            return
        self._finished[lane.number] = lane.incoming
        self._answered += 1
        lane.used += 1
        if self._answered % _LOOK_EVERY == 0 and time.perf_counter() > deadline:
            self._next = len(self._requests)
        if self._next >= len(self._requests):
            self._drop(lane)
        elif not data or lane.incoming.closes:
            self._drop(lane)
            self._reconnects += 1
            self._begin(self._add(connect(self._endpoint)))
        else:
            self._begin(lane)

    def _replace(self, lane: _Lane) -> None:
        """The server ended a connection before it answered: allowed between requests, and then asked again."""
        if not lane.used or not lane.incoming.empty:
            raise WrongAnswer("the server closed the connection without an answer")
        self._drop(lane)
        self._reconnects += 1
        fresh = self._add(connect(self._endpoint))
        fresh.number = lane.number
        fresh.sock.sendall(self._requests[lane.number])

    def _drop(self, lane: _Lane) -> None:
        self._poll.unregister(lane.sock.fileno())
        del self._lanes[lane.sock.fileno()]
        lane.sock.close()


def client_ceiling(requests: int) -> dict[int, float]:
    """Requests a second that the client manages against a server that does nothing, by number of connections."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    pid = os.fork()
    if not pid:
        try:
            _answer_blindly(listener)
        finally:
            os._exit(0)
    endpoint = Endpoint("127.0.0.1", port, "", "nobody", "nothing")
    request = endpoint.head("GET", "x")
    try:
        return {count: send_all(endpoint, [request] * requests, connections=count, most_s=2.0).rate for count in (1, 8)}
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        listener.close()


def _answer_blindly(listener: socket.socket) -> None:
    """The same answer to whatever arrives, without looking at it."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n" + bytes(4096)
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    socks: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                sock = listener.accept()[0]
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                socks[sock.fileno()] = sock
                poll.register(sock.fileno(), select.EPOLLIN)
            elif socks[descriptor].recv(65536):
                socks[descriptor].sendall(answer)
            else:
                poll.unregister(descriptor)
                socks.pop(descriptor).close()
