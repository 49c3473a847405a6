"""Requests on real connections: what the application sees, and how connections live on."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from wsgiref.validate import validator

import pytest

from providers.http.limits import Limits
from tests.http.harness import Environ, StartResponse, echo, hello, serving, until


def test_environ_has_the_keys_of_pep_3333_and_the_raw_target() -> None:
    """The application can tell an encoded slash from a slash."""
    seen: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ)
        return hello(environ, start_response)

    with serving(app) as running, running.client() as client:
        client.ask("GET /a%2Fb%C3%A4;x?q=%20&r HTTP/1.1\nHost: name:81\nX-A: 1\nContent-Type: t/p\nContent-Length: 0")
        address = client.sock.getsockname()
    environ = seen[0]
    expected = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/a/bÃ¤;x", "QUERY_STRING": "q=%20&r",
        "REQUEST_URI": "/a%2Fb%C3%A4;x?q=%20&r", "holdfast.target": "/a%2Fb%C3%A4;x", "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": str(running.port), "SERVER_SOFTWARE": "Holdfast",
        "REMOTE_ADDR": address[0], "REMOTE_PORT": str(address[1]), "HTTP_HOST": "name:81", "HTTP_X_A": "1",
        "CONTENT_TYPE": "t/p", "CONTENT_LENGTH": "0", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input_terminated": True, "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
    assert {key: environ.get(key) for key in expected} == expected
    assert set(environ) - set(expected) == {"wsgi.input", "wsgi.errors", "holdfast.request_id"}
    assert "HTTP_CONTENT_TYPE" not in environ


def test_keep_alive_many_requests_use_one_connection() -> None:
    """With bodies, with pauses that are longer than a worker waits."""
    with serving(echo) as running, running.client() as client:
        for number in range(20):
            body = bytes([number]) * (number * 1000)
            answer = client.ask(f"PUT / HTTP/1.1\nHost: h\nContent-Length: {len(body)}", body)
            assert (answer.status, answer.body) == (200, body)
            assert "connection" not in answer.fields
            time.sleep(0.03 if number % 5 == 0 else 0)


def test_pipelined_requests_are_answered_in_order() -> None:
    """All arrive in one segment; with bodies between them."""
    with serving(echo) as running, running.client() as client:
        requests = [f"PUT /{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{n:02}" for n in range(50)]
        client.send("".join(requests), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert [client.answer().body for _ in range(50)] == [b"%02d" % n for n in range(50)]
        assert client.answer().fields["connection"] == "close"
        assert client.closed()


def test_pipelined_requests_let_others_pass() -> None:
    """A client that always has the next request ready does not keep the only worker."""
    seen: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    with serving(app, threads=1) as running, running.client() as greedy, running.client() as other:
        greedy.send("GET /greedy HTTP/1.1\r\nHost: h\r\n\r\n" * 5000)
        assert other.ask("GET /other HTTP/1.1\nHost: h").body == b"/other"
        assert all(greedy.answer().body == b"/greedy" for _ in range(5000))
    assert seen.index("/other") < 4500


def test_empty_line_before_a_request_is_ignored() -> None:
    """Old clients end a body with one (RFC 9112 §2.2)."""
    with serving(echo) as running, running.client() as client:
        assert client.ask("PUT / HTTP/1.1\nHost: h\nContent-Length: 1", b"a\r\n").body == b"a"
        assert client.ask("PUT / HTTP/1.1\nHost: h\nContent-Length: 1", b"b").body == b"b"


def test_http_1_0_closes_unless_keep_alive_is_asked_for() -> None:
    """And is answered with a length, never chunked."""
    with serving(hello) as running, running.client() as client:
        answer = client.ask("GET /a HTTP/1.0\nConnection: Keep-Alive")
        assert (answer.body, answer.fields["connection"], answer.version) == (b"/a", "keep-alive", "HTTP/1.1")
        answer = client.ask("GET /b HTTP/1.0")
        assert (answer.body, answer.fields["connection"]) == (b"/b", "close")
        assert client.closed()


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, CLOSE"])
def test_connection_close_is_honoured(value: str) -> None:
    """A list, without case."""
    with serving(hello) as running, running.client() as client:
        assert client.ask(f"GET / HTTP/1.1\nHost: h\nConnection: {value}").fields["connection"] == "close"
        assert client.closed()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello", 400),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nhello", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /" + b"a" * 70000, 414),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 70000, 431),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\nContent-Length: 5\r\n\r\n", 417),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\x00" * 100, 400),
    ],
)
def test_bad_head_is_refused_with_a_reason_and_closed(request_bytes: bytes, status: int) -> None:
    """No application sees it, nothing is logged, and what follows is no request."""
    calls: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        calls.append(environ)
        return hello(environ, start_response)

    with serving(app) as running, running.client() as client:
        client.send(request_bytes + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.fields["connection"]) == (status, "close")
        assert len(answer.body) > 10
        assert b"Traceback" not in answer.body
        assert ("x-request-id" in answer.fields) is (status >= 500)
        assert client.closed()
        assert (calls, running.errors) == ([], [])


def test_large_head_below_the_limit_is_served() -> None:
    """64 KiB in all."""
    with serving(hello) as running, running.client() as client:
        fields = "\n".join(f"X-{n}: {'v' * 1000}" for n in range(60))
        assert client.ask(f"GET /big HTTP/1.1\nHost: h\n{fields}").body == b"/big"


@pytest.mark.parametrize("spelling", ["100-continue", "100-Continue"])
def test_expect_is_answered_at_the_first_read(spelling: str) -> None:
    """Whatever its case; once."""
    with serving(echo) as running, running.client() as client:
        client.send(f"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: {spelling}\r\n\r\n")
        assert client.answer().status == 100
        client.send("hello")
        assert client.answer().body == b"hello"
        assert client.ask("PUT / HTTP/1.1\nHost: h\nContent-Length: 1", b"x").body == b"x"


@pytest.mark.parametrize(
    "fields", ["HTTP/1.1\nHost: h\nContent-Length: 0\nExpect: 100-continue", "HTTP/1.0\nContent-Length: 0"]
)
def test_expect_without_a_body_or_in_http_1_0_is_not_answered(fields: str) -> None:
    """There is nothing to invite."""
    with serving(echo) as running, running.client() as client:
        assert client.ask(f"PUT / {fields}").status == 200


def test_expect_refused_before_reading_gets_no_100_and_closes() -> None:
    """Nobody knows whether the client will send the body, so nothing that follows can be a request."""
    with serving(hello) as running, running.client() as client:
        started = time.monotonic()
        answer = client.ask("PUT /no HTTP/1.1\nHost: h\nContent-Length: 5\nExpect: 100-continue")
        assert time.monotonic() - started < 2
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert client.closed()


def test_no_100_continue_once_the_answer_has_begun() -> None:
    """An application that reads late waits for a body that may not come."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        yield environ["wsgi.input"].read()

    with serving(app) as running, running.client() as client:
        client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        time.sleep(0.1)
        client.send("hello")
        answer = client.answer()
        assert (answer.status, answer.body, answer.fields["connection"]) == (200, b"begunhello", "close")


def test_application_passes_the_validator_of_the_standard_library() -> None:
    """wsgiref's, which checks both sides of PEP 3333."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read(3), environ["wsgi.input"].readline(10)]

    with serving(validator(app)) as running, running.client() as client:
        answer = client.ask("PUT /a?b HTTP/1.1\nHost: h\nContent-Length: 5", b"hello")
        assert (answer.body, running.errors) == (b"hello", [])


def test_peer_that_goes_is_no_error() -> None:
    """While idle, within a head, within a body, and with a reset."""
    with serving(echo) as running:
        for data in (b"", b"GET / HT", b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"):
            for reset in (False, True):
                with running.client() as client:
                    client.send(data)
                    if reset:
                        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with running.client() as client:
            assert client.ask("PUT / HTTP/1.1\nHost: h\nContent-Length: 1", b"x").body == b"x"
        until(lambda: running.server.busy == 0)
        assert running.errors == []


def test_half_closed_client_gets_its_answers() -> None:
    """Like `printf … | nc`: the request, then the end."""
    with serving(echo) as running, running.client() as client:
        client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" * 2)
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.answer().body, client.answer().body] == [b"abc", b"abc"]
        assert client.closed()


def test_body_can_be_wrapped_in_a_buffered_reader() -> None:
    """What readers of the standard library need of readinto holds."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        buffer = bytearray(7)
        out = io.BytesIO()
        while count := environ["wsgi.input"].readinto(buffer):
            out.write(buffer[:count])
        start_response("200 OK", [])
        return [out.getvalue()]

    with serving(app, limits=Limits()) as running, running.client() as client:
        assert (
            client.ask("PUT / HTTP/1.1\nHost: h\nContent-Length: 1000", b"0123456789" * 100).body == b"0123456789" * 100
        )
