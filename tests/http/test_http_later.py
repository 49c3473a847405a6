"""Answers that come later: whoever waits for one holds no worker, and nothing of it stays when it is over."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from providers.http import pending as pending_module
from providers.http.access import AccessLog, Entry
from providers.http.later import RESUMED, Later
from providers.http.limits import Limits
from tests.http.conftest import Secure
from tests.http.harness import Client, Environ, Running, StartResponse, serving, until

GET = "GET /x HTTP/1.1\nHost: h"
WAIT = "GET /wait HTTP/1.1\nHost: h"


class Bell(Later):
    """Rung by the test."""

    def __init__(self, tower: Tower, seconds: float) -> None:
        super().__init__(seconds)
        self._tower = tower
        self.wake: Callable[[], None] | None = None

    def begin(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self._tower.waiting.append(self)
        if self._tower.rings_at_once:
            wake()

    def end(self) -> None:
        self._tower.waiting.remove(self)
        self._tower.ended += 1


class Tower:
    """An application: ``/wait…`` waits for its bell, everything else is answered with its path."""

    def __init__(self, seconds: float = 30.0, *, rings_at_once: bool = False) -> None:
        self.seconds = seconds
        self.rings_at_once = rings_at_once
        self.waiting: list[Bell] = []
        self.ended = 0
        self.calls: list[bool] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        path = environ["PATH_INFO"]
        if path.startswith("/wait"):
            self.calls.append(RESUMED in environ)
            if RESUMED not in environ:
                return Bell(self, self.seconds)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [path.encode()]

    def ring(self) -> None:
        """All that hang now."""
        for bell in list(self.waiting):
            assert bell.wake is not None
            bell.wake()


@contextlib.contextmanager
def logged(entries: list[Entry]) -> Iterator[AccessLog]:
    """An access log whose entries a test can look at."""

    def line(entry: Entry) -> str:
        entries.append(entry)
        return "\n"

    log = AccessLog(lambda _: None, line, tell=lambda message: None)
    yield log
    log.close()


def hang(running: Running, tower: Tower, count: int = 1) -> list[Client]:
    """So many clients that wait."""
    before = len(tower.waiting)
    clients = []
    for number in range(count):
        clients.append(running.client())
        clients[-1].send(f"GET /wait{number} HTTP/1.1\r\nHost: h\r\n\r\n")
    until(lambda: len(tower.waiting) == before + count, 20)
    return clients


def close(clients: list[Client]) -> None:
    """All of them."""
    for client in clients:
        client.close()


def test_many_that_wait_hold_no_worker() -> None:
    """300 with 2 workers: an ordinary request is answered at once, and all are when the time has come."""
    tower = Tower()
    with serving(tower, threads=2) as running:
        clients = hang(running, tower, 300)
        assert (running.server.busy, running.server.pending) == (0, 300)
        started = time.monotonic()
        with running.client() as other:
            assert other.ask(GET).body == b"/x"
        assert time.monotonic() - started < 5
        tower.ring()
        assert [client.answer().body for client in clients] == [f"/wait{number}".encode() for number in range(300)]
        assert (tower.waiting, tower.ended, running.server.pending) == ([], 300, 0)
        # The connections are as good as before.
        assert clients[7].ask(GET).body == b"/x"
        close(clients)
        assert running.errors == []


def test_answer_comes_when_the_time_is_over() -> None:
    """The application is asked once more, and the connection lives on."""
    tower = Tower(seconds=0.6)
    with serving(tower) as running, running.client() as client:
        started = time.monotonic()
        assert client.ask(WAIT).body == b"/wait"
        assert 0.6 <= time.monotonic() - started < 3
        assert tower.calls == [False, True]
        assert client.ask(WAIT).body == b"/wait"
        assert tower.ended == 2


def test_bell_that_rings_at_once_is_heard() -> None:
    """There is no moment at which a change is missed."""
    tower = Tower(rings_at_once=True)
    with serving(tower) as running, running.client() as client:
        started = time.monotonic()
        for _ in range(200):
            assert client.ask(WAIT).body == b"/wait"
        assert time.monotonic() - started < 5


def test_late_ring_of_an_answered_request_wakes_no_other() -> None:
    """Each waits for its own."""
    tower = Tower()
    with serving(tower) as running:
        (client,) = hang(running, tower)
        first = tower.waiting[0]
        assert first.wake is not None
        first.wake()
        assert client.answer().body == b"/wait0"
        client.send("GET /wait-again HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: len(tower.waiting) == 1)
        first.wake()
        time.sleep(0.2)
        assert tower.calls == [False, True, False]
        tower.ring()
        assert client.answer().body == b"/wait-again"
        client.close()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_that_goes_frees_everything(how: str) -> None:
    """At once, and the log says that nothing was answered."""
    tower, entries = Tower(), list[Entry]()
    with logged(entries) as log, serving(tower, access=log) as running:
        before = len(os.listdir("/proc/self/fd"))
        clients = hang(running, tower, 20)
        for client in clients:
            if how == "reset":
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        until(lambda: running.server.pending == 0)
        assert (tower.waiting, tower.ended) == ([], 20)
        until(lambda: len(os.listdir("/proc/self/fd")) <= before)
        until(lambda: len(entries) == 20)
        assert {(entry.status, entry.ended, entry.path[:5]) for entry in entries} == {(0, "cut", "/wait")}
        assert len(running.server.service.load._held) == 0
        assert running.server.service.addresses._held == {}
        assert running.errors == []


def test_log_has_one_line_with_the_time_waited() -> None:
    """When it is answered, not before."""
    tower, entries = Tower(), list[Entry]()
    with logged(entries) as log, serving(tower, access=log) as running:
        (client,) = hang(running, tower)
        time.sleep(0.3)
        assert entries == []
        tower.ring()
        assert client.answer().status == 200
        client.close()
        until(lambda: len(entries) == 1)
        assert entries[0].status == 200
        assert entries[0].seconds >= 0.3
        assert entries[0].sent == len("/wait0")


def test_request_sent_while_waiting_is_answered_behind() -> None:
    """Pipelined; also more of them than is kept meanwhile."""
    tower = Tower()
    with serving(tower, limits=Limits(header_bytes=4096)) as running:
        (client,) = hang(running, tower)
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(0.2)
        assert running.server.pending == 1
        many = b"GET /many HTTP/1.1\r\nHost: h\r\n\r\n" * 3000
        sender = threading.Thread(target=client.send, args=(many,))
        sender.start()
        time.sleep(0.3)
        processor = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - processor < 0.25, "what is not read keeps the selector spinning"
        tower.ring()
        assert client.answer().body == b"/wait0"
        assert client.answer().body == b"/next"
        for _ in range(3000):
            assert client.answer().body == b"/many"
        sender.join(5)
        client.close()


def test_stop_answers_those_who_wait() -> None:
    """And tells that the connection ends."""
    tower = Tower()
    with serving(tower, threads=2) as running:
        clients = hang(running, tower, 50)
        started = time.monotonic()
        assert running.server.stop(5)
        assert time.monotonic() - started < 3
        for client in clients:
            answer = client.answer()
            assert (answer.status, answer.fields["connection"]) == (200, "close")
            client.close()
        assert (tower.waiting, tower.ended) == ([], 50)


def test_those_who_wait_do_not_count_for_their_address() -> None:
    """They are neither closed nor make others be closed."""
    tower = Tower()
    with serving(tower, limits=Limits(connections_per_address=5)) as running:
        clients = hang(running, tower, 30)
        with running.client() as other:
            time.sleep(1.2)
            assert other.ask(GET).body == b"/x"
            time.sleep(1.2)
            assert other.ask(GET).body == b"/x"
        assert running.server.pending == 30
        tower.ring()
        assert [client.answer().status for client in clients] == [200] * 30
        close(clients)


def test_those_who_ask_again_are_not_closed_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than an address may have, all answered at once; after a while the silent ones go."""
    monkeypatch.setattr(pending_module, "_GRACE_S", 2.0)
    tower = Tower()
    with serving(tower, limits=Limits(connections_per_address=5)) as running:
        clients = hang(running, tower, 20)
        for number in range(3):
            tower.ring()
            assert [client.answer().status for client in clients] == [200] * 20
            time.sleep(0.7)
            for client in clients:
                client.send(f"GET /wait-{number} HTTP/1.1\r\nHost: h\r\n\r\n")
            until(lambda: len(tower.waiting) == 20)
        tower.ring()
        assert [client.answer().status for client in clients] == [200] * 20
        until(lambda: len(running.server.service.load._held) == 5, 8)
        assert len(running.server.service.addresses._held["127.0.0.1"]) == 5
        close(clients)
        until(lambda: running.server.service.addresses._held == {})


def test_beyond_what_a_process_may_hold_the_longest_waiting_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its time, so that descriptors are left for others."""
    monkeypatch.setattr(pending_module, "most_at_once", lambda: 5)
    tower = Tower()
    with serving(tower) as running:
        clients = [running.client() for _ in range(8)]
        for number, client in enumerate(clients):
            client.send(f"GET /wait{number} HTTP/1.1\r\nHost: h\r\n\r\n")
            until(lambda: len(tower.calls) >= number + 1)  # noqa: B023 - asked at once
            until(lambda: running.server.pending + tower.ended == number + 1)  # noqa: B023
        assert [client.answer().body for client in clients[:3]] == [b"/wait0", b"/wait1", b"/wait2"]
        assert running.server.pending == 5
        close(clients)


def test_application_that_waits_twice_is_an_error() -> None:
    """It has to answer the second time."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        return Bell(tower, 30)

    tower = Tower(rings_at_once=True)
    with serving(app) as running, running.client() as client:
        assert client.ask(WAIT).status == 500
        assert "later" in running.errors[0]


def test_waiting_over_tls(secure: Secure) -> None:
    """The same: answered, gone, and more asked meanwhile."""
    tower = Tower(seconds=1.0)
    running = secure(tower, threads=1)
    clients = hang(running, tower, 10)
    assert running.server.busy == 0
    clients[0].close()
    until(lambda: running.server.pending == 9)
    clients[1].send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
    tower.ring()
    for number, client in enumerate(clients[1:], start=1):
        assert client.answer().body == f"/wait{number}".encode()
    assert clients[1].answer().body == b"/next"
    # Nothing came on this one while it waited, and its time ran out: it is kept all the same.
    assert clients[2].ask(WAIT).body == b"/wait"
    assert clients[2].ask(GET).body == b"/x"
    close(clients)
    assert running.errors == []
