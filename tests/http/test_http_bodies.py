"""Bodies on real connections: cut, silent, large, unread."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.errors import BodyIncomplete, BodyStalled
from providers.http.limits import Limits
from providers.http.linger import Linger
from tests.http.harness import App, Client, Environ, StartResponse, echo, rss, serving, until

CHUNKED = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 1 << 20


def unauthorized(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answers without reading."""
    start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
    return [b"who?"]


def digest(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Reads in pieces, answers with the count and SHA-256."""
    body = environ["wsgi.input"]
    buffer = bytearray(256 * 1024)
    checksum = hashlib.sha256()
    while count := body.readinto(buffer):
        checksum.update(memoryview(buffer)[:count])
    assert body.exhausted
    start_response("200 OK", [])
    return [f"{body.received} {checksum.hexdigest()}".encode()]


def catching(caught: list[Exception]) -> App:
    """Reads all; what that raises is kept, and raised on."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            return echo(environ, start_response)
        except Exception as error:
            caught.append(error)
            raise

    return app


def put(length: int, fields: str = "") -> str:
    """A head that announces this many bytes."""
    return f"PUT / HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {length}\r\n\r\n"


@pytest.mark.parametrize("end", ["close", "half-close", "reset"])
@pytest.mark.parametrize(
    ("sent", "received", "expected"),
    [
        (put(1000) + "x" * 400, 400, 1000),
        (put(1000), 0, 1000),
        (CHUNKED + "5\r\nhel", 3, None),
        (CHUNKED + "5\r\nhello\r\n", 5, None),
        (CHUNKED + "5\r\nhello\r\n0\r\n", 5, None),
        (CHUNKED + "5\r\nhello\r\n0\r\nA: b\r\n", 5, None),
    ],
)
def test_body_cut_off_is_told_to_the_application(sent: str, received: int, expected: int | None, end: str) -> None:
    """And answered with 400, for a client that still listens."""
    caught: list[Exception] = []
    with serving(catching(caught)) as running, running.client() as client:
        client.send(sent)
        until(lambda: running.server.busy == 1)
        time.sleep(0.05)
        if end == "half-close":
            client.sock.shutdown(socket.SHUT_WR)
            answer = client.answer()
            assert (answer.status, answer.fields["connection"]) == (400, "close")
            assert b"nothing was stored" in answer.body
        elif end == "reset":
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        until(lambda: len(caught) == 1)
        assert isinstance(caught[0], BodyIncomplete)
        assert caught[0].received in (received, 0)
        assert caught[0].expected == expected
        assert running.errors == []


def test_broken_chunks_are_400_and_close() -> None:
    """What follows is no request."""
    with serving(echo) as running, running.client() as client:
        client.send(CHUNKED, "zz\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.answer().status == 400
        assert client.closed()
        assert running.errors == []


@pytest.mark.parametrize("sent", [put(1000) + "x" * 400, CHUNKED + "5\r\nhel", CHUNKED + "5\r\nhello\r\n0\r\n"])
def test_body_that_stalls_is_told_to_the_application(sent: str) -> None:
    """And answered with 408; a slow body is another matter."""
    caught: list[Exception] = []
    with serving(catching(caught), limits=Limits(body_stall_seconds=0.4)) as running, running.client() as client:
        started = time.monotonic()
        client.send(sent)
        answer = client.answer()
        assert 0.3 < time.monotonic() - started < 5
        assert (answer.status, answer.fields["connection"]) == (408, "close")
        assert isinstance(caught[0], BodyStalled)
        assert running.errors == []


def test_body_that_is_slow_is_no_stall() -> None:
    """Each byte in time."""
    with serving(echo, limits=Limits(body_stall_seconds=0.4)) as running, running.client() as client:
        client.send(put(10))
        for _ in range(10):
            time.sleep(0.1)
            client.send("x")
        assert client.answer().body == b"x" * 10


def test_readinto_gives_what_is_there() -> None:
    """An application sees the first bytes before the last were sent."""
    seen: list[bytes] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        buffer = bytearray(100_000)
        while count := environ["wsgi.input"].readinto(buffer):
            seen.append(bytes(buffer[:count]))
        start_response("200 OK", [])
        return []

    for head, pieces in (
        (put(5), ["a", "bc", "de"]),
        (CHUNKED, ["1\r\na\r\n", "2\r\nbc\r\n", "2\r\nde\r\n0\r\n\r\n"]),
        (CHUNKED, ["5\r\na", "bc", "de\r\n0\r\n\r\n"]),
        (CHUNKED, ["1\r\na\r\n2", "\r\nbc\r\n2\r", "\nde\r\n0\r\n\r\n"]),
    ):
        seen.clear()
        with serving(app) as running, running.client() as client:
            client.send(head)
            for number, piece in enumerate(pieces):
                until(lambda number=number: len(seen) == number)  # type: ignore[misc]
                client.send(piece)
            assert client.answer().status == 200
            assert seen == [b"a", b"bc", b"de"]


@pytest.mark.parametrize("trailer", ["", "X-Checksum: abc\r\nX-Other:\r\n"])
def test_chunked_body_leaves_the_connection_clean(trailer: str) -> None:
    """The last line and the trailer are read; then the next request on the same connection is answered."""
    with serving(echo) as running, running.client() as client:
        for _ in range(3):
            client.send(CHUNKED, "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n", trailer, "\r\n")
            assert client.answer().body == b"hello world"
            assert client.ask("OPTIONS * HTTP/1.1\nHost: h").status == 200


def test_chunked_bodies_then_idle_clients_hold_no_worker() -> None:
    """As file managers do: a PUT, then silence; later a silent close."""
    limits = Limits(idle_seconds=3)
    with serving(echo, threads=2, limits=limits) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(6)]
        for client in clients:
            client.send(CHUNKED, "5\r\nhello\r\n0\r\n\r\n")
            assert client.answer().body == b"hello"
        started = time.monotonic()
        with running.client() as other:
            assert other.ask("GET / HTTP/1.1\nHost: h").status == 200
        assert time.monotonic() - started < 2
        assert all(client.closed(6.0) for client in clients)


def send_zeros(client: Client, size: int) -> int:
    """As much of it as the server takes."""
    block = memoryview(bytes(MIB))
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < size:
            client.sock.sendall(block[: size - sent])
            sent += min(len(block), size - sent)
    return sent


def test_one_giant_chunk_is_streamed_in_flat_memory() -> None:
    """256 MiB in a single chunk: no slower than with a length, within a factor that noise allows."""
    size = 256 * MIB
    took = []
    with serving(digest) as running:
        for head, tail in ((put(size), ""), (CHUNKED + f"{size:x}\r\n", "\r\n0\r\n\r\n")):
            with running.client(60) as client:
                before, started = rss(), time.monotonic()
                client.send(head)
                assert send_zeros(client, size) == size
                client.send(tail)
                count, checksum = client.answer().body.decode().split()
                took.append(time.monotonic() - started)
                assert int(count) == size
                assert len(checksum) == 64
                assert rss() - before < 8 * MIB
    assert took[1] < took[0] * 2 + 0.5


def test_refused_before_a_huge_body_reaches_a_client_that_sends_everything() -> None:
    """600 MB announced: the 401 arrives, memory stays flat, and no worker waits for the bytes."""
    with serving(unauthorized, threads=1) as running, running.client(30) as client:
        before = rss()
        client.send(put(600_000_000))
        sender = threading.Thread(target=send_zeros, args=(client, 600_000_000))
        sender.start()
        until(lambda: len(running.server.service.linger) == 1)
        with running.client() as other:
            started = time.monotonic()
            assert other.ask("GET / HTTP/1.1\nHost: h").status == 401
            assert time.monotonic() - started < 2
        sender.join(20)
        answer = client.answer()
        assert (answer.status, answer.fields["connection"], answer.body) == (401, "close", b"who?")
        assert rss() - before < 10 * MIB
        until(lambda: len(running.server.service.linger) == 0)


@pytest.mark.parametrize("fields", ["", "Connection: close\r\n"])
def test_refused_client_that_reads_only_after_sending_within_bounds_gets_its_answer(fields: str) -> None:
    """3 MiB are dropped, so that no reset can take the answer away."""
    with serving(unauthorized) as running, running.client() as client:
        client.send(put(3 * MIB, fields))
        time.sleep(0.1)
        assert send_zeros(client, 3 * MIB) == 3 * MIB
        answer = client.answer()
        assert (answer.status, answer.body) == (401, b"who?")
        assert client.closed()


def test_lingering_ends_after_its_time_though_the_peer_stays() -> None:
    """A client that neither sends nor closes costs its descriptor no longer."""
    with serving(unauthorized, limits=Limits(linger_seconds=0.3)) as running, running.client() as client:
        client.send(put(1_000_000))
        assert client.answer().status == 401
        until(lambda: len(running.server.service.linger) == 1)
        until(lambda: len(running.server.service.linger) == 0, 2)


def test_lingering_ends_with_the_server() -> None:
    """Its thread and its sockets are gone after a stop whose time was too short for it."""
    threads = set(threading.enumerate())
    with serving(unauthorized, limits=Limits(linger_seconds=60)) as running, running.client() as client:
        client.send(put(1_000_000))
        assert client.answer().status == 401
        until(lambda: len(running.server.service.linger) == 1)
        running.server.stop(0.1)
        assert client.closed()
        late, its = socket.socketpair()
        with late:
            running.server.service.linger.add(its)
            assert late.recv(1) == b""
    assert [thread.name for thread in set(threading.enumerate()) - threads if thread.name == "http-linger"] == []


def test_lingering_that_gets_no_thread_closes_at_once_and_works_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be made nothing piles up, and the server still stops."""
    linger = Linger(Limits(linger_seconds=60))

    def fails(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    mine, its = socket.socketpair()
    with mine, monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        linger.add(its)
        assert mine.recv(1) == b""
        assert its.fileno() == -1
    assert len(linger) == 0
    mine, its = socket.socketpair()
    with mine:
        linger.add(its)
        until(lambda: len(linger) == 1)
        linger.close()
        assert its.fileno() == -1


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize(
    ("size", "sent_at_once", "keeps"),
    [(10, True, True), (60_000, True, True), (60_000, False, False), (200_000, True, False), (10, None, False)],
)
def test_unread_body_is_drained_only_when_small_and_here(
    size: int, sent_at_once: bool | None, keeps: bool, coded: bool
) -> None:
    """The head says what happens: kept connections take the next request, others are closed."""
    body = f"{size:x}\r\n{'x' * size}\r\n0\r\n\r\n" if coded else "x" * size
    with serving(unauthorized) as running, running.client() as client:
        head = CHUNKED if coded else put(size)
        if sent_at_once:
            client.send(head, body)
        else:
            client.send(head)
            if sent_at_once is False:
                time.sleep(0.1)
                client.send(body)
        answer = client.answer()
        assert answer.status == 401
        assert ("connection" not in answer.fields) is keeps
        if keeps:
            assert client.ask("GET / HTTP/1.1\nHost: h").status == 401
        else:
            assert client.closed()


@pytest.mark.parametrize("fields", ["", "Expect: 100-continue\r\n"])
def test_refused_clients_without_their_body_hold_up_nobody(fields: str) -> None:
    """60 that announce ten bytes and send none: two workers refuse them, and serve others meanwhile."""
    with serving(unauthorized, threads=2) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(60)]
        for client in clients:
            client.send(put(10, fields))
        with running.client() as other:
            started = time.monotonic()
            assert other.ask("GET / HTTP/1.1\nHost: h").status == 401
            assert time.monotonic() - started < 2
        assert {client.answer().status for client in clients} == {401}


def test_unread_body_that_is_here_already_is_dropped_whatever_the_limit() -> None:
    """It came with the head, so it costs nothing to wait for."""
    with serving(unauthorized, limits=Limits(drain_bytes=0)) as running, running.client() as client:
        for _ in range(2):
            client.send(put(1000), "x" * 1000)
            assert "connection" not in client.answer().fields


def test_body_read_while_the_answer_is_sent_is_whole() -> None:
    """Draining before the head must not take the bytes from an application that reads later."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[Any]:
        start_response("200 OK", [])
        yield b"begun "
        yield environ["wsgi.input"].read(2)
        yield environ["wsgi.input"].read()
        buffer = bytearray(10)
        assert environ["wsgi.input"].readinto(buffer) == 0

    for size in (10, 40_000, 300_000):
        with serving(app) as running, running.client() as client:
            client.send(put(size), "x" * size)
            answer = client.answer()
            assert answer.body == b"begun " + b"x" * size
            assert ("connection" in answer.fields) is (size == 300_000)


def test_body_partly_read_is_drained_too() -> None:
    """As after a malformed request body."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("400 Bad Request", [])
        return [environ["wsgi.input"].read(3)]

    with serving(app) as running, running.client() as client:
        for _ in range(3):
            answer = client.ask("PUT / HTTP/1.1\nHost: h\nContent-Length: 20000", b"abc" + b"x" * 19997)
            assert (answer.body, "connection" in answer.fields) == (b"abc", False)
