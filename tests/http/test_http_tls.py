"""Requests over TLS: everything that holds without it, and what is particular to it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import socket
import ssl
import struct
import threading
import time
from typing import Any

import pytest

from providers.http.limits import Limits
from tests.http.conftest import Secure
from tests.http.harness import Client, Environ, StartResponse, echo, hello, serving, until
from tests.support.certificates import Certified

GET = "GET /x HTTP/1.1\nHost: h"


def digest(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Reads all in large pieces, answers with the SHA-256 and the length."""
    buffer = memoryview(bytearray(256 * 1024))
    known, size = hashlib.sha256(), 0
    while count := environ["wsgi.input"].readinto(buffer):
        known.update(buffer[:count])
        size += count
    start_response("200 OK", [])
    return [f"{known.hexdigest()} {size}".encode()]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_request_over_each_version_is_answered(secure: Secure, version: ssl.TLSVersion) -> None:
    """Kept alive, with the scheme https, and HTTP/1.1 agreed upon."""
    seen: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ["wsgi.url_scheme"])
        return hello(environ, start_response)

    running = secure(app)
    assert running.trust is not None
    running.trust.minimum_version = running.trust.maximum_version = version
    running.trust.set_alpn_protocols(["h2", "http/1.1"])
    with running.client() as client:
        assert [client.ask(GET).body for _ in range(3)] == [b"/x"] * 3
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.selected_alpn_protocol() == "http/1.1"
    assert seen == ["https"] * 3
    assert running.errors == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_version_before_tls_1_2_is_refused(secure: Secure) -> None:
    """The client is told why."""
    running = secure(hello)
    assert running.trust is not None
    running.trust.set_ciphers("ALL:@SECLEVEL=0")
    running.trust.minimum_version, running.trust.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        running.client()
    assert running.errors == []


@pytest.mark.parametrize("hsts", [0, 3600])
def test_hsts_is_told_only_if_asked_for(secure: Secure, hsts: int) -> None:
    """In each answer, also of those that refuse."""
    running = secure(hello, limits=Limits(hsts_seconds=hsts))
    for head, status in ((GET, 200), ("GET / HTTP/1.1", 400)):
        with running.client() as client:
            answer = client.ask(head)
            assert answer.status == status
            assert answer.fields.get("strict-transport-security") == (f"max-age={hsts}" if hsts else None)


@pytest.mark.parametrize(
    "text", ["GET / HTTP/1.1\r\nHost: h\r\n\r\n", "PUT /a HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n"]
)
def test_plain_http_is_told_to_use_https(secure: Secure, text: str) -> None:
    """In plain text; the connection ends, and nothing of HSTS is said where anybody could have written it."""
    running = secure(hello, limits=Limits(hsts_seconds=60))
    with Client(running.raw()) as client:
        client.send(text)
        answer = client.answer()
        assert (answer.status, answer.fields["connection"]) == (400, "close")
        assert b"https://" in answer.body
        assert "strict-transport-security" not in answer.fields
        assert client.closed()
    assert running.errors == []


def test_pipelined_requests_in_one_record_are_all_answered(secure: Secure) -> None:
    """What OpenSSL has taken from the socket is seen by no selector."""
    running = secure(hello, threads=1)
    with running.client() as client:
        client.send("".join(f"GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n" for number in range(200)))
        assert [client.answer().body for _ in range(200)] == [f"/{number}".encode() for number in range(200)]


def test_pending_record_is_not_forgotten_when_the_worker_goes_to_others(secure: Secure) -> None:
    """Two records arrive together, the worker takes the first and is needed elsewhere: the second is answered too."""
    gate, begun = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        begun.set()
        assert gate.wait(10)
        return hello(environ, start_response)

    running = secure(app, threads=1)
    with running.client() as client, running.client() as other:
        until(lambda: len(running.server._connections._waiting()) == 2)
        sealed = _Sealing(client.sock)
        sealed.send_as_one(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert begun.wait(5)
        other.send("GET /3 HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.service.waiting() == 1)
        gate.set()
        assert [client.answer().body, client.answer().body, other.answer().body] == [b"/1", b"/2", b"/3"]


def test_farewell_behind_requests_is_seen_when_the_worker_goes_to_others(secure: Secure) -> None:
    """Requests and close_notify arrive together: all are answered, and then it is closed at once, not when idle."""
    gate, begun = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        begun.set()
        assert gate.wait(10)
        return hello(environ, start_response)

    running = secure(app, threads=1)
    with running.client() as client, running.client() as other:
        until(lambda: len(running.server._connections._waiting()) == 2)
        assert isinstance(client.sock, ssl.SSLSocket)
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
        client.sock.settimeout(0.2)
        with contextlib.suppress(OSError):
            client.sock.unwrap()
        assert begun.wait(5)
        other.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.service.waiting() == 1)
        gate.set()
        assert other.answer().body == b"/2"
        until(lambda: len(running.server.service.load._held) == 1)


class _Sealing:
    """Lets several records leave in one packet, by holding them back in the kernel (TCP_CORK)."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send_as_one(self, *records: bytes) -> None:
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for record in records:
            self.sock.sendall(record)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


@pytest.mark.parametrize("chunked", [False, True])
def test_large_body_arrives_byte_for_byte(secure: Secure, chunked: bool) -> None:
    """48 MB up, in records and pieces that have nothing to do with each other."""
    body = random.Random(1).randbytes(48_000_000)
    running = secure(digest)
    with running.client(60) as client:
        if chunked:
            client.send("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 777_777):
                piece = body[start : start + 777_777]
                client.send(f"{len(piece):x}\r\n", piece, "\r\n")
            client.send("0\r\n\r\n")
        else:
            client.send(f"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n", body)
        assert client.answer().body == f"{hashlib.sha256(body).hexdigest()} {len(body)}".encode()
        assert client.ask("GET / HTTP/1.1\nHost: h").status == 200


def test_large_answer_arrives_byte_for_byte(secure: Secure) -> None:
    """48 MB down, as a list, as memoryviews one by one, and with small ones between them."""
    body = random.Random(2).randbytes(48_000_000)

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [("Content-Length", str(len(body)))])
        view = memoryview(body)
        if environ["PATH_INFO"] == "/list":
            return [body]
        ends = [0, 1, 2, 70_000, 70_001, 9_000_000, 9_000_010, len(body)]
        return (view[start:end] for start, end in itertools.pairwise(ends))

    running = secure(app)
    with running.client(60) as client:
        for path in ("/list", "/pieces", "/list"):
            answer = client.ask(f"GET {path} HTTP/1.1\nHost: h")
            assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()


@pytest.mark.parametrize("how", ["fin", "reset", "close_notify"])
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_body_that_is_cut_off_is_never_whole(secure: Secure, how: str, framing: str) -> None:
    """Neither by a ragged end, nor by a reset, nor by a close that looks orderly."""
    outcomes: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            outcomes.append(f"whole: {len(environ['wsgi.input'].read())}")
        except Exception as error:
            outcomes.append(type(error).__name__)
            raise
        return hello(environ, start_response)

    running = secure(app)
    client = running.client()
    client.send(
        f"PUT / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n", "c350\r\n" if "chunked" in framing else "", b"x" * 50_000
    )
    until(lambda: running.server.busy == 1)
    assert isinstance(client.sock, ssl.SSLSocket)
    if how == "close_notify":
        client.sock.settimeout(0.2)
        with contextlib.suppress(OSError):
            client.sock.unwrap()
    elif how == "fin":
        client.sock.shutdown(socket.SHUT_WR)
    else:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    until(lambda: bool(outcomes))
    assert outcomes == ["BodyIncomplete"]
    client.close()
    assert running.errors == []


def test_answer_without_a_length_ends_with_close_notify_only_if_it_is_whole(secure: Secure) -> None:
    """HTTP/1.0 takes the end for the end of the answer, so a client must be able to tell."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        yield b"some"
        if environ["PATH_INFO"] == "/fails":
            raise RuntimeError("half way")
        yield b" more"

    running = secure(app)
    assert running.trust is not None
    # Python's default is to take a ragged end for an orderly one.
    strict = running.trust.wrap_socket(running.raw(), server_hostname="127.0.0.1", suppress_ragged_eofs=False)
    with Client(strict) as client:
        client.send("GET /fails HTTP/1.0\r\nHost: h\r\n\r\n")
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            client.answer()
    strict = running.trust.wrap_socket(running.raw(), server_hostname="127.0.0.1", suppress_ragged_eofs=False)
    with Client(strict) as client:
        assert client.ask("GET /whole HTTP/1.0\nHost: h").body == b"some more"
    assert len(running.errors) == 1


def test_refusal_reaches_a_client_that_is_still_sending(secure: Secure) -> None:
    """The answer comes first, then close_notify; what the client sends on is dropped, not answered by a reset."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("401 Unauthorized", [])
        return [b"no"]

    running = secure(app)
    for _ in range(5):
        with running.client() as client:
            client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n", b"x" * 3_000_000)
            answer = client.answer()
            assert (answer.status, answer.body, answer.fields["connection"]) == (401, b"no", "close")
            assert client.closed()


def test_expect_continue_is_invited(secure: Secure) -> None:
    """And the body that follows is read."""
    running = secure(echo)
    with running.client() as client:
        client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer().status == 100
        client.send("body")
        assert client.answer().body == b"body"


def test_body_that_stands_still_is_408(secure: Secure) -> None:
    """Also in the middle of a record: the limit is about silence, with TLS as without it."""
    running = secure(echo, limits=Limits(body_stall_seconds=0.4))
    with running.client() as client:
        client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 400\r\n\r\nbegun")
        started = time.monotonic()
        assert client.answer().status == 408
        assert 0.3 < time.monotonic() - started < 3


def test_reader_that_stands_still_is_given_up(secure: Secure) -> None:
    """A worker is held for the stall limit, not longer."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [bytes(80_000_000)]

    running = secure(app, threads=1, limits=Limits(body_stall_seconds=0.5))
    with running.client() as client:
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.busy == 1)
        until(lambda: running.server.busy == 0, 10)
    assert running.errors == []


def test_idle_connection_is_closed_with_close_notify(secure: Secure) -> None:
    """No stray answer."""
    running = secure(hello, limits=Limits(idle_seconds=0.5))
    with running.client() as client:
        assert client.ask(GET).status == 200
        assert client.closed(3)


def test_close_notify_of_an_idle_client_closes(secure: Secure) -> None:
    """Its half of the connection is ended in order, so is ours."""
    running = secure(hello)
    with running.client() as client:
        assert client.ask(GET).status == 200
        assert isinstance(client.sock, ssl.SSLSocket)
        client.sock.unwrap()
    until(lambda: not running.server._connections._waiting())
    assert running.errors == []


def test_damaged_record_ends_the_connection(secure: Secure) -> None:
    """It reaches neither the application nor anybody else."""
    running = secure(hello)
    with running.client() as client:
        assert client.ask(GET).status == 200
        until(lambda: len(running.server._connections._waiting()) == 1)
        with socket.socket(fileno=socket.dup(client.sock.fileno())) as raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ssl.SSLError):
            client.answer()
    assert running.errors == []
    with running.client() as other:
        assert other.ask(GET).status == 200


def test_server_that_stops_answers_what_runs(secure: Secure) -> None:
    """And idle connections get their close_notify."""
    gate = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            gate.wait(10)
        return hello(environ, start_response)

    running = secure(app)
    with running.client() as client, running.client() as idle:
        assert idle.ask(GET).status == 200
        client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.busy == 1)
        stopping = threading.Thread(target=running.server.stop, args=(5.0,))
        stopping.start()
        assert idle.closed()
        gate.set()
        assert client.answer().body == b"/slow"
        stopping.join()


def test_new_context_is_shown_to_new_connections_only(certified: Certified) -> None:
    """Those that run go on with what they began with."""
    contexts = [certified.server()]
    first = contexts[0]
    with serving(hello, tls=lambda: contexts[-1], trust=certified.client()) as running, running.client() as before:
        assert before.ask(GET).status == 200
        contexts.append(certified.server())
        with running.client() as after:
            assert after.ask(GET).status == 200
        assert before.ask(GET).status == 200
        assert first.session_stats()["accept_good"] == contexts[1].session_stats()["accept_good"] == 1
