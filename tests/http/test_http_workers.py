"""Connections are handed to threads: each to one, the warmest that is idle, and in their order."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from providers.http.connection import Connection
from providers.http.manager import Connections
from providers.http.workers import HandOver
from tests.http.harness import Environ, StartResponse, hello, serving, until


def taking(queue: HandOver, taken: list[object]) -> threading.Thread:
    """A thread that takes one item."""
    thread = threading.Thread(target=lambda: taken.append(queue.get()), daemon=True)
    idle = queue.idle()
    thread.start()
    until(lambda: queue.idle() > idle)
    return thread


def test_items_that_nobody_waits_for_are_taken_in_order() -> None:
    """First in, first out; a taker does not wait for them."""
    queue = HandOver()
    for number in range(3):
        queue.put(number)
    assert (queue.waiting(), queue.idle()) == (3, 0)
    assert [queue.get() for _ in range(3)] == [0, 1, 2]
    assert queue.waiting() == 0


def test_item_goes_to_the_thread_that_became_idle_last() -> None:
    """The others sleep on."""
    queue = HandOver()
    taken: dict[str, list[object]] = {name: [] for name in ("first", "second", "third")}
    threads = {name: taking(queue, those) for name, those in taken.items()}
    assert queue.idle() == 3
    for name, item in (("third", "a"), ("second", "b"), ("first", "c")):
        queue.put(item)
        threads[name].join(5)
        assert taken[name] == [item]
        assert queue.waiting() == 0


def test_every_item_reaches_exactly_one_thread() -> None:
    """With many on both sides, who come and go."""
    queue = HandOver()
    taken: list[object] = []

    def take() -> None:
        while (item := queue.get()) is not None:
            taken.append(item)

    def put(of: int) -> None:
        for number in range(2000):
            queue.put((of, number))
            if number % 100 == of:
                time.sleep(0)

    takers = [threading.Thread(target=take) for _ in range(8)]
    putters = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in takers + putters:
        thread.start()
    for thread in putters:
        thread.join(30)
    for _ in takers:
        queue.put(None)
    for thread in takers:
        thread.join(30)
    assert Counter(taken) == Counter((of, number) for of in range(4) for number in range(2000))
    assert (queue.waiting(), queue.idle()) == (0, 0)


def test_clients_that_connect_and_say_nothing_keep_no_thread() -> None:
    """A new connection goes to an idle thread at once; a silent one is given back, and others are answered."""
    with serving(hello, threads=4) as running:
        silent = [running.client() for _ in range(40)]
        started = time.monotonic()
        for _ in range(10):
            with running.client() as client:
                assert client.ask("GET / HTTP/1.1\nHost: h").body == b"/"
        assert time.monotonic() - started < 2
        until(lambda: running.server.requests.queue.idle() == 4)
        assert silent[7].ask("GET / HTTP/1.1\nHost: h").body == b"/"
        for client in silent:
            client.sock.close()


def test_new_connection_waits_in_the_selector_only_while_most_threads_are_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else its request needs no trip through it."""
    watched: list[Connection] = []
    watch = Connections._watch
    gate = threading.Event()

    def noted(self: Connections, conn: Connection) -> None:
        watched.append(conn)
        watch(self, conn)

    def waiting(environ: Environ, start_response: StartResponse) -> list[bytes]:
        gate.wait(10)
        return hello(environ, start_response)

    monkeypatch.setattr(Connections, "_watch", noted)
    request = "GET / HTTP/1.1\nHost: h\nConnection: close"
    with serving(waiting, threads=4) as running:
        busy = [running.client() for _ in range(2)]
        for client in busy:
            client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            until(lambda: running.server.busy > busy.index(client))  # noqa: B023
        before = len(watched)
        with running.client() as client:
            until(lambda: len(watched) > before)
            gate.set()
            assert client.ask(request).body == b"/"
        for client in busy:
            assert client.answer().body == b"/"
            client.close()
        until(lambda: running.server.requests.queue.idle() == 4)

        def goes_straight() -> bool:
            before = len(watched)
            with running.client() as client:
                assert client.ask(request).body == b"/"
            return len(watched) == before

        # Not if the client is so slow to ask that it counts as silent.
        until(goes_straight)
