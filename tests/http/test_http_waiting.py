"""Connections that wait, and the end of the server: what no peer may hold up."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from providers.http.limits import Limits
from tests.http.harness import Client, Environ, Running, StartResponse, hello, serving, until

ROOT = Path(__file__).parents[2]
GET = "GET /x HTTP/1.1\nHost: h"


def test_slow_heads_hold_no_worker() -> None:
    """50 clients that send byte by byte, 2 workers: an ordinary request passes, and the slow ones are served."""
    head = b"GET /slow HTTP/1.1\r\nHost: h\r\nX: yyyyyyyyyyyyyyyy\r\n\r\n"
    with serving(hello, threads=2) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(50)]
        waits: list[float] = []
        for place in range(len(head)):
            for client in clients:
                client.send(head[place : place + 1])
            if place % 5 == 0 and place < len(head) - 1:
                with running.client() as other:
                    started = time.monotonic()
                    assert other.ask(GET).body == b"/x"
                    waits.append(time.monotonic() - started)
        assert max(waits) < 2
        assert statistics.median(waits) < 0.1
        assert [client.answer().body for client in clients] == [b"/slow"] * 50


def test_silent_connections_hold_no_worker() -> None:
    """Neither fresh ones nor those that were used."""
    with serving(hello, threads=1) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(30)]
        for client in clients[::2]:
            assert client.ask(GET).status == 200
        started = time.monotonic()
        with running.client() as other:
            assert other.ask(GET).body == b"/x"
        assert time.monotonic() - started < 2


def test_unfinished_head_is_408_after_its_time_however_busy_the_client_is() -> None:
    """The time runs from the first byte, so bytes now and then do not extend it."""
    with serving(hello, limits=Limits(header_seconds=0.7)) as running:
        for trickle in (False, True):
            with running.client() as client:
                client.send("GET / HTTP/1.1\r\nX: ")
                started = time.monotonic()
                client.sock.settimeout(0.1)
                while time.monotonic() - started < 3:
                    with contextlib.suppress(TimeoutError):
                        if client.sock.recv(1, socket.MSG_PEEK):
                            break
                    if trickle:
                        client.send("y")
                assert 0.6 < time.monotonic() - started < 3
                client.sock.settimeout(5)
                answer = client.answer()
                assert (answer.status, answer.fields["connection"]) == (408, "close")
                assert client.closed()
        assert running.errors == []


def test_head_begun_behind_an_answered_request_is_408_too() -> None:
    """Also when others needed the worker, so that it did not look for the rest."""
    gate = Gate()
    with (
        serving(gate, threads=1, limits=Limits(header_seconds=0.5)) as running,
        running.client() as client,
        running.client() as other,
    ):
        client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HT")
        until(lambda: running.server.busy == 1)
        other.send("GET /3 HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.service.waiting() == 1)
        gate.open.set()
        assert [client.answer().body, other.answer().body] == [b"/1", b"/3"]
        assert client.answer().status == 408


def test_request_behind_an_answered_one_is_not_forgotten() -> None:
    """It was received with the first, so the kernel will not tell of it again."""
    gate = Gate()
    with serving(gate, threads=1) as running, running.client() as client, running.client() as other:
        client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.busy == 1)
        other.send("GET /3 HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.service.waiting() == 1)
        gate.open.set()
        assert [client.answer().body, other.answer().body, client.answer().body] == [b"/1", b"/3", b"/2"]


@pytest.mark.parametrize("used", [False, True])
def test_idle_connection_is_closed_silently(used: bool) -> None:
    """No stray 408 for the next request to trip over."""
    with serving(hello, limits=Limits(idle_seconds=0.5)) as running, running.client() as client:
        if used:
            assert client.ask(GET).status == 200
        started = time.monotonic()
        assert client.closed(3)
        assert 0.4 < time.monotonic() - started < 3


def test_more_connections_than_workers_are_all_served() -> None:
    """Connections are handed on, and nobody starves."""
    with serving(hello, threads=2) as running:
        counts = [0] * 12

        def use(number: int) -> None:
            with running.client() as client:
                for _ in range(100):
                    assert client.ask(GET).body == b"/x"
                    counts[number] += 1

        threads = [threading.Thread(target=use, args=(number,)) for number in range(len(counts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert counts == [100] * len(counts)


def test_descriptors_run_out_and_service_goes_on() -> None:
    """The longest idle connections make room; the selector's thread does not spin, and says what happened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(hello) as running, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(running.client()) for _ in range(10)]
        until(lambda: len(running.server._connections._waiting()) == 10)
        last = socket.socket()
        stack.enter_context(last)
        last.settimeout(10)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        fillers: list[int] = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    fillers.append(os.dup(0))
            last.connect(("127.0.0.1", running.port))
            until(lambda: len(running.errors) > 0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for filler in fillers:
                os.close(filler)
        assert Client(last).ask(GET).body == b"/x"
        assert "accepting pauses" in running.errors[0]
        assert len(running.errors) < 5
        assert idle[0].closed(1)


class Gate:
    """An application whose requests wait until they are let go."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        self.open.wait(10)
        return hello(environ, start_response)


def refuses(running: Running) -> bool:
    """Whether nobody listens any more."""
    try:
        running.client().close()
    except ConnectionError:
        return True
    return False


def test_stop_answers_what_runs_and_closes_what_is_idle() -> None:
    """The running request's answer says that it is the last."""
    gate = Gate()
    with serving(gate) as running, running.client() as busy, running.client() as idle, running.client() as partial:
        partial.send("GET / HT")
        busy.send("GET /busy HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.busy == 1)
        done: list[bool] = []
        stopper = threading.Thread(target=lambda: done.append(running.server.stop(10)))
        stopper.start()
        assert idle.closed(2)
        assert partial.closed(2)
        until(lambda: refuses(running))
        assert done == []
        gate.open.set()
        answer = busy.answer()
        assert (answer.body, answer.fields["connection"]) == (b"/busy", "close")
        busy.close()
        stopper.join(5)
        assert done == [True]
        assert running.server.busy == 0
        running.thread.join(2)
        assert not running.thread.is_alive()


def test_stop_answers_requests_that_wait_for_a_worker() -> None:
    """They were accepted and have arrived, so they are served."""
    gate = Gate()
    with serving(gate, threads=1) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(5)]
        for client in clients:
            client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.service.waiting() == 4)
        stopper = threading.Thread(target=running.server.stop, args=(10,))
        stopper.start()
        until(lambda: not running.server.ready)
        gate.open.set()
        answers = [client.answer() for client in clients]
        assert [answer.body for answer in answers] == [b"/x"] * 5
        assert {answer.fields["connection"] for answer in answers} == {"close"}
        for client in clients:
            client.close()
        stopper.join(5)
        assert not stopper.is_alive()


def test_stop_answers_a_request_that_has_just_arrived() -> None:
    """It is in the kernel's buffer, and no thread has seen it yet."""
    with serving(hello) as running, running.client() as client:
        assert client.ask(GET).status == 200
        time.sleep(0.05)
        running.server._connections.stop()
        client.send("GET /last HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(0.05)
        stopper = threading.Thread(target=running.server.stop, args=(5,))
        stopper.start()
        assert client.answer().body == b"/last"
        client.close()
        stopper.join(5)


def test_stop_does_not_wait_longer_than_its_grace() -> None:
    """A request that does not end is told as such."""
    gate = Gate()
    with serving(gate) as running, running.client() as client:
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.busy == 1)
        started = time.monotonic()
        assert running.server.stop(0.3) is False
        assert 0.2 < time.monotonic() - started < 3
        assert running.server.busy == 1
        gate.open.set()
        assert client.answer().body == b"/"


def test_stop_of_an_idle_server_is_quick_and_can_be_repeated() -> None:
    """Nothing to wait for."""
    with serving(hello) as running:
        started = time.monotonic()
        assert running.server.stop(5)
        assert time.monotonic() - started < 2
        assert running.server.stop(5)


PROCESSES = """
import os, signal, socket, sys
from providers.http.limits import Limits
from providers.http.server import HttpServer

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % os.getpid()]

listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listener.getsockname()[1], flush=True)
children = []
for _ in range(2):
    pid = os.fork()
    if not pid:
        server = HttpServer(app, listener, threads=4, limits=Limits())
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0 if server.stop(5.0) else 1))
        server.serve()
        os._exit(3)
    children.append(pid)
listener.close()
sys.stdin.read()
for pid in children:
    os.kill(pid, signal.SIGTERM)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children], flush=True)
"""


def test_two_forked_processes_share_the_listener() -> None:
    """Both serve, no connection is lost between them, and a signal handler in the main thread can stop each."""
    with subprocess.Popen(
        [sys.executable, "-c", PROCESSES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        pids: set[bytes] = set()
        clients: list[Client] = []
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                client = stack.enter_context(Client(socket.create_connection(("127.0.0.1", port), 10)))
                clients.append(client)
                pids.add(client.ask(GET).body)
            assert {client.ask(GET).status for client in clients} == {200}
            process.stdin.close()
            assert process.stdout.readline().strip() == "[0, 0]"
        assert len(pids) == 2
        assert process.wait(10) == 0
