"""Answers: framing, sizes, errors of the application (RFC 9110, RFC 9112, PEP 3333)."""

from __future__ import annotations

import hashlib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from appliance.errors import BackendError
from providers.http.limits import Limits
from tests.http.harness import App, Environ, StartResponse, hello, rss, serving, until

GET = "GET / HTTP/1.1\nHost: h"


def answering(blocks: Any, status: str = "200 OK", **headers: str) -> App:
    """An application with this answer; a function is called for its blocks."""
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response(status, list(given))
        return blocks() if callable(blocks) else blocks

    return app


def generate(*blocks: bytes) -> Callable[[], Iterator[bytes]]:
    """A function that yields these."""
    return lambda: iter(blocks)


def test_answer_has_date_and_server_unless_given() -> None:
    """One each."""
    with serving(hello) as running, running.client() as client:
        fields = client.ask(GET).fields
        assert fields["server"] == "Holdfast"
        assert abs(parsedate_to_datetime(fields["date"]).timestamp() - time.time()) < 3
    with serving(answering([b""], Date="then", Server="me")) as running, running.client() as client:
        fields = client.ask(GET).fields
        assert (fields["date"], fields["server"]) == ("then", "me")


@pytest.mark.parametrize(
    "blocks", [[b"ab", b"", b"cd"], (b"abcd",), [memoryview(b"abcd")], [bytearray(b"ab"), memoryview(b"cd")]]
)
def test_list_of_blocks_is_sent_with_its_length(blocks: Any) -> None:
    """Whatever kind of bytes they are."""
    with serving(answering(blocks)) as running, running.client() as client:
        answer = client.ask(GET)
        assert (answer.body, answer.fields["content-length"]) == (b"abcd", "4")
        assert client.ask(GET).body == b"abcd"


def test_generator_without_length_is_chunked_in_http_1_1_and_ends_by_close_in_1_0() -> None:
    """Empty blocks do not end it."""
    with serving(answering(generate(b"ab", b"", b"cde"))) as running, running.client() as client:
        answer = client.ask(GET)
        assert (answer.body, answer.sizes) == (b"abcde", [2, 3, 0])
        assert client.ask(GET).body == b"abcde"
        old = client.ask("GET / HTTP/1.0\nConnection: keep-alive")
        assert (old.body, old.fields["connection"]) == (b"abcde", "close")
        assert not old.fields.keys() & {"transfer-encoding", "content-length"}


def test_generator_with_length_is_not_chunked() -> None:
    """The application's length is sent as it is."""
    with serving(answering(generate(b"ab", b"cde"), Content_Length="5")) as running, running.client() as client:
        for _ in range(2):
            answer = client.ask(GET)
            assert (answer.body, answer.fields["content-length"]) == (b"abcde", "5")
            assert "transfer-encoding" not in answer.fields


def test_generator_without_blocks_has_length_zero() -> None:
    """Nothing is known to come before the head is sent."""
    with serving(answering(generate())) as running, running.client() as client:
        assert client.ask(GET).fields["content-length"] == "0"


def test_head_request_gets_the_head_only() -> None:
    """With the length that GET would have, if it is known; the next answer follows at once."""
    for blocks, headers, length in (
        ([b"abc"], {}, "3"),
        (generate(b"abc"), {"Content_Length": "3"}, "3"),
        (generate(b"abc"), {}, None),
        ([], {"Content_Length": "3"}, "3"),
        ([], {}, None),
    ):
        with serving(answering(blocks, **headers)) as running, running.client() as client:
            for _ in range(2):
                answer = client.ask("HEAD / HTTP/1.1\nHost: h")
                assert (answer.status, answer.fields.get("content-length")) == (200, length)
                assert "transfer-encoding" not in answer.fields


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_bodyless_status_has_neither_body_nor_length(status: str) -> None:
    """Unless one is given with 304, where it is the file's; 204 must not carry it (RFC 9110 §8.6)."""
    with serving(answering(generate(b"ignored"), status)) as running, running.client() as client:
        for _ in range(2):
            fields = client.ask(GET).fields
            assert not fields.keys() & {"content-length", "transfer-encoding"}
    with serving(answering([], status, Content_Length="9")) as running, running.client() as client:
        for _ in range(2):
            answer = client.ask(GET)
            assert (answer.status, answer.fields.get("content-length")) == (
                int(status[:3]),
                "9" if status.startswith("304") else None,
            )
            assert "connection" not in answer.fields


def test_large_blocks_arrive_whole() -> None:
    """Views of one buffer, far beyond what one call sends, among small ones."""
    data = bytes(range(256)) * 20000
    view = memoryview(data)
    blocks = [view[:1], view[1:3_000_000], view[3_000_000:3_000_010], view[3_000_010:]]
    with serving(answering(lambda: iter(blocks))) as running, running.client() as client:
        for _ in range(2):
            assert hashlib.sha256(client.ask(GET).body).digest() == hashlib.sha256(data).digest()
    with serving(answering(blocks)) as running, running.client() as client:
        answer = client.ask(GET)
        assert answer.body == data
        assert answer.fields["content-length"] == str(len(data))


def test_write_callable_sends_at_once() -> None:
    """PEP 3333's older way."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"ab")
        write(b"cd")
        return [b"ef"]

    with serving(app) as running, running.client() as client:
        assert client.ask(GET).body == b"abcdef"
        assert client.ask(GET).body == b"abcdef"


@pytest.mark.parametrize("when", ["before", "after start", "in the first block", "in close"])
def test_application_error_before_the_head_is_500(when: str) -> None:
    """With an id that is in the report, and without a traceback; the connection lives on."""

    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            if when == "in the first block":
                raise RuntimeError("secret")
            return iter([])

        def close(self) -> None:
            raise RuntimeError("secret")

    def app(environ: Environ, start_response: StartResponse) -> Any:
        if when == "before":
            raise RuntimeError("secret")
        start_response("200 OK", [("Content-Length", "7"), ("X-Mine", "1")])
        if when == "after start":
            raise RuntimeError("secret")
        return Blocks()

    with serving(app) as running, running.client() as client:
        if when == "in close":
            assert not client.ask(GET).complete  # the head with its length had gone out
            assert "RuntimeError: secret" in running.errors[-1]
            return
        for _ in range(2):
            answer = client.ask(GET)
            assert answer.status == 500
            assert "x-mine" not in answer.fields
            ident = answer.fields["x-request-id"]
            assert ident.encode() in answer.body
            assert b"secret" not in answer.body
            assert ident in running.errors[-1]
            assert "Traceback" in running.errors[-1]
            assert "RuntimeError: secret" in running.errors[-1]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("length", [None, "100"])
def test_application_error_after_the_head_cuts_the_answer(version: str, length: str | None) -> None:
    """The client can tell that it is incomplete, also where only the end of the connection ends it."""

    def blocks() -> Iterator[bytes]:
        yield b"first"
        raise RuntimeError("broken")

    headers = {"Content_Length": length} if length else {}
    with serving(answering(blocks, **headers)) as running, running.client() as client:
        try:
            assert not client.ask(f"GET / HTTP/{version}\nHost: h").complete
        except ConnectionResetError:
            assert (version, length) == ("1.0", None)
        until(lambda: len(running.errors) == 1)
        assert "RuntimeError: broken" in running.errors[0]


@pytest.mark.parametrize("failure", [SystemExit(3), OSError(5, "disk"), KeyError("x")])
def test_application_error_of_any_class_leaves_the_workers_alive(failure: BaseException) -> None:
    """sys.exit() in a request does not stop the server, and the application's OSError is not the peer's."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        raise failure

    with serving(app, threads=1) as running, running.client() as client:
        assert [client.ask(GET).status for _ in range(3)] == [500, 500, 500]
        assert len(running.errors) == 3


@pytest.mark.parametrize(
    ("status", "headers", "blocks"),
    [
        ("200 OK", [("X", "a\r\nSet-Cookie: b")], [b""]),
        ("200 OK", [("X", "a\nb")], [b""]),
        ("200 OK", [("X", "a\rb")], [b""]),
        ("200 OK", [("X", "a\0b")], [b""]),
        ("200 OK", [("X\r\nY", "a")], [b""]),
        ("200 OK", [("X Y", "a")], [b""]),
        ("200 OK", [("", "a")], [b""]),
        ("200 OK", [("X", "\u20ac")], [b""]),
        ("200 OK", [("X", "\u20ac")], generate(b"ab", b"cd")),
        ("200 OK", [("X", 5)], [b""]),
        ("200 OK", [("Transfer-Encoding", "chunked")], [b""]),
        ("200 OK", [("Content-Length", "five")], [b""]),
        ("200 OK", [("Content-Length", "-1")], [b""]),
        ("200 OK", [("Content-Length", "1")], [b"ab"]),
        ("200 OK\r\nX: y", [], [b""]),
        ("100 Continue", [], [b""]),
        ("OK", [], [b""]),
        ("200 OK", [], ["text"]),
        ("200 OK", [], [5]),
    ],
)
def test_application_answer_that_breaks_the_protocol_is_500(status: str, headers: Any, blocks: Any) -> None:
    """Nothing of it reaches the client."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response(status, headers)
        return blocks() if callable(blocks) else blocks

    with serving(app) as running, running.client() as client:
        for _ in range(2):
            answer = client.ask(GET)
            assert answer.status == 500
            assert not answer.fields.keys() & {"x", "set-cookie", "transfer-encoding"}
        assert len(running.errors) == 2


def test_application_that_never_starts_its_answer_is_500() -> None:
    """And one that starts it twice."""
    with serving(lambda environ, start_response: [b"x"]) as running, running.client() as client:
        assert client.ask(GET).status == 500

    def twice(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        start_response("201 Created", [])
        return []

    with serving(twice) as running, running.client() as client:
        assert client.ask(GET).status == 500


def test_start_response_with_exc_info_replaces_the_answer() -> None:
    """Until the head has gone out; then it raises what it was given."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("X", "1")])
        if environ["PATH_INFO"] == "/late":
            yield b"begun"
        try:
            raise ValueError("replaced")
        except ValueError:
            start_response("409 Conflict", [("Y", "2")], sys.exc_info())
        yield b"conflict"

    with serving(app) as running, running.client() as client:
        answer = client.ask(GET)
        assert (answer.status, answer.body, "x" in answer.fields) == (409, b"conflict", False)
        assert not client.ask("GET /late HTTP/1.1\nHost: h").complete
        assert "ValueError: replaced" in running.errors[0]


def test_too_short_answer_is_closed_and_reported() -> None:
    """The client must not take the next answer for its rest."""
    with serving(answering([b"abc"], Content_Length="5")) as running, running.client() as client:
        assert not client.ask(GET).complete
        until(lambda: len(running.errors) == 1)
        assert "2 bytes shorter" in running.errors[0]


def test_answer_that_a_store_breaks_off_is_closed_and_explained_in_one_line() -> None:
    """An outage is no defect of the program: no traceback."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "10")])
        yield b"begun"
        raise BackendError(key="packs/1/1", reason="does not answer", temporary=True)

    with serving(app) as running, running.client() as client:
        assert not client.ask(GET).complete
        until(lambda: len(running.errors) == 1)
        assert "broken off" in running.errors[0]
        assert "does not answer" in running.errors[0]
        assert "\n" not in running.errors[0]


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable", "507 Insufficient Storage"])
def test_server_errors_of_the_application_carry_the_request_id(status: str) -> None:
    """The one that the application could log; other answers carry none."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response(status if environ["PATH_INFO"] == "/" else "404 Not Found", [])
        return [environ["holdfast.request_id"].encode()]

    with serving(app) as running, running.client() as client:
        answer = client.ask(GET)
        assert answer.fields["x-request-id"].encode() == answer.body
        assert "x-request-id" not in client.ask("GET /other HTTP/1.1\nHost: h").fields


def test_application_asks_for_close_and_is_obeyed() -> None:
    """Its own Connection field is not copied, but true."""
    with serving(answering([b"x"], Connection="close", Keep_Alive="timeout=5")) as running, running.client() as client:
        fields = client.ask(GET).fields
        assert fields["connection"] == "close"
        assert "keep-alive" not in fields
        assert client.closed()


def test_close_of_the_blocks_is_called_also_when_the_peer_goes() -> None:
    """Files and transactions behind an answer must end."""
    closed: list[bool] = []

    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 100_000

        def close(self) -> None:
            closed.append(True)

    with serving(answering(Blocks)) as running:
        with running.client() as client:
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            client.sock.recv(1000)
        until(lambda: closed == [True])
        assert running.errors == []


def test_slow_reader_is_cut_after_the_stall_limit() -> None:
    """One that takes nothing; its worker is free again, memory stays flat, nothing is reported."""
    block = memoryview(bytes(1 << 20))
    limits = Limits(body_stall_seconds=0.5)
    with serving(answering(lambda: iter([block] * 200)), threads=1, limits=limits) as running:
        before = rss()
        with running.client() as stalled:
            stalled.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            until(lambda: running.server.busy == 1)
            started = time.monotonic()
            until(lambda: running.server.busy == 0)
            assert time.monotonic() - started < 5
            assert rss() - before < 20 << 20
        assert running.errors == []


def test_slow_reader_that_goes_on_gets_everything() -> None:
    """The limit is about silence, not about the whole."""
    size = 3 << 20
    limits = Limits(body_stall_seconds=0.6)
    with serving(answering([bytes(size)]), limits=limits) as running, running.client() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        got = 0
        started = time.monotonic()
        while got < size:
            data = client.sock.recv(1 << 17)
            assert data
            got += len(data)
            time.sleep(0.04 if time.monotonic() - started < 2 else 0)
        assert time.monotonic() - started > 1.2
