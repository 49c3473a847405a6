"""Clients that send a whole body before they look at the answer, as KDE's do, see no end of the stream before."""

from __future__ import annotations

import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from providers.http.limits import Limits
from tests.http.harness import Client, Environ, Running, StartResponse, serving
from tests.support.certificates import Certified

MIB = 1024 * 1024
SIZE = 20 * MIB
BLOCK = bytes(64 * 1024)

Serve = Callable[[Limits], Running]


def unauthorized(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answers without a look at the body."""
    start_response("401 Unauthorized", [])
    return [b"who?"]


@pytest.fixture(params=["plain", "tls"])
def serve(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts a server that refuses, without TLS or with it."""
    with ExitStack() as running:
        options = {}
        if request.param == "tls":
            certified = Certified.make(tmp_path_factory.mktemp("tls"), "127.0.0.1")
            options = {"tls": certified.server, "trust": certified.client()}
        yield lambda limits: running.enter_context(serving(unauthorized, limits=limits, **options))


def begin(client: Client, fields: str = "") -> None:
    """A body begins; the answer comes at once."""
    client.send(f"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n{fields}\r\n", BLOCK, BLOCK)
    answer = client.answer()
    assert (answer.status, answer.body, answer.fields["connection"]) == (401, b"who?", "close")


def ended(client: Client, within: float) -> bool:
    """Whether the server's end of the stream arrives, without a look at what TLS has in it."""
    ready, _, _ = select.select([client.sock], [], [], within)
    return bool(ready)


def test_no_end_is_seen_while_a_body_is_sent(serve: Serve) -> None:
    """Neither FIN nor close_notify, for longer than ``linger_seconds``; and no reset when the body is whole."""
    with serve(Limits(linger_seconds=1, linger_turn_bytes=1000)).client() as client:
        begin(client)
        for _ in range(12):
            client.send(BLOCK)
            assert not ended(client, 0.2)
        client.send(bytes(SIZE - 14 * len(BLOCK)))
        assert not ended(client, 0)
        assert client.closed()


def test_who_sends_too_little_is_closed(serve: Serve) -> None:
    """A byte now and then buys no time."""
    running = serve(Limits(linger_seconds=0.3, linger_turn_bytes=1_000_000))
    with running.client() as client:
        begin(client)
        until_gone(running, lambda: client.send(b"x"), most_s=10)


def test_who_sends_for_too_long_is_closed(serve: Serve) -> None:
    """However much comes."""
    running = serve(Limits(linger_seconds=0.2, linger_turn_bytes=1000, linger_most_seconds=0.5))
    with running.client() as client:
        begin(client)
        until_gone(running, lambda: client.send(BLOCK), most_s=10)


def test_a_stop_does_not_wait_for_who_sends(serve: Serve) -> None:
    """The server's grace is for those that get an answer."""
    running = serve(Limits(linger_seconds=0.3, linger_turn_bytes=1000))
    with running.client() as client:
        begin(client)
        stopping = threading.Thread(target=running.server.stop)
        stopping.start()
        until_gone(running, lambda: client.send(BLOCK), most_s=10)
        stopping.join(10)
        assert not stopping.is_alive()


@pytest.mark.parametrize("fields", ["Connection: close\r\n", ""])
def test_who_waits_for_the_end_of_the_stream_sees_it_soon(serve: Serve, fields: str) -> None:
    """At once if it asked for a close, after a pause in its body otherwise."""
    with serve(Limits(linger_seconds=1)).client() as client:
        begin(client, fields)
        assert ended(client, 0.5) is bool(fields)
        assert client.closed(5)


def until_gone(running: Running, send: Callable[[], None], most_s: float) -> None:
    """Send every 50 ms until the server has let go of the connection."""
    began = time.monotonic()
    while len(running.server.service.linger):
        try:
            send()
        except (OSError, ssl.SSLError):
            return
        time.sleep(0.05)
        assert time.monotonic() - began < most_s
