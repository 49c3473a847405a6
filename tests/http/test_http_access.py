"""The access log: a line for each request, which tells what happened and no secret."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.logs.file import LogFile
from appliance.principal import Principal
from providers.http.access import AccessLog, Entry, json_line, text_line, write_stderr
from providers.http.environ import PRINCIPAL
from providers.http.limits import Limits
from tests.http.harness import App, Environ, Running, StartResponse, echo, hello, serving, until
from tests.support.mounts import fill, tmpfs

GET = "GET /x HTTP/1.1\nHost: h"


class Log:
    """A server with an access log; ``lines`` are what was logged so far."""

    def __init__(self, running: Running, written: list[bytes], told: list[str]) -> None:
        self.running = running
        self.told = told
        self._written = written

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in b"".join(self._written).decode().splitlines()]

    def line(self) -> dict[str, Any]:
        """The only one; it comes after the answer."""
        until(lambda: len(self.lines) > 0)
        (found,) = self.lines
        return found


@contextmanager
def logged(app: App, **options: Any) -> Iterator[Log]:
    """Stopped at the end of the block."""
    written: list[bytes] = []
    told: list[str] = []
    access = AccessLog(written.append, json_line, tell=told.append)
    with serving(app, access=access, **options) as running:
        yield Log(running, written, told)
    access.close()


def entry(**changes: Any) -> Entry:
    """A request like many."""
    usual = Entry(
        1795757447.1239, "0123456789abcdef", "192.0.2.1", "anna", None, None, "GET", "/dav/x", "", 200, 0, 5, 0.00123,
        "curl/8", "complete",
    )  # fmt: skip
    return usual._replace(**changes)


def signed_in(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Takes a body, answers anna's laptop with five bytes."""
    environ["wsgi.input"].read()
    environ[PRINCIPAL] = Principal("user", 7, "anna", "user", 7, 3, "dav", environ["REMOTE_ADDR"])
    start_response("207 Multi-Status", [("Content-Length", "5")])
    return [b"12345"]


def test_line_tells_who_asked_what_and_what_came_of_it() -> None:
    """With the bytes of both bodies, none of their framing."""
    with logged(signed_in) as log, log.running.client() as client:
        client.ask("PUT /a%20b/%C3%A4?x=1 HTTP/1.1\nHost: h\nUser-Agent: curl/8\nContent-Length: 9", b"123456789")
        line = log.line()
        assert abs(datetime.fromisoformat(line.pop("time")).timestamp() - time.time()) < 10
        assert len(line.pop("id")) == 16
        assert 0 <= line.pop("ms") < 5000
        assert line == {
            "address": "127.0.0.1", "user": "anna", "device": 3, "token": None, "method": "PUT", "path": "/a b/ä?x=***",
            "status": 207, "received": 9, "sent": 5, "agent": "curl/8", "ended": "complete",
        }  # fmt: skip


def test_chunked_bodies_are_counted_without_their_framing() -> None:
    """In both directions."""

    def stream(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        yield b"1234"
        yield b"567"

    with logged(stream) as log, log.running.client() as client:
        answer = client.ask("PUT / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert answer.body == b"1234567"
        assert [log.line()[name] for name in ("received", "sent")] == [5, 7]


def test_every_request_of_a_connection_has_a_line_and_an_id_of_its_own() -> None:
    """In their order; a 5xx tells the same id."""

    def fails(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/3":
            raise RuntimeError("on purpose")
        return hello(environ, start_response)

    with logged(fails) as log, log.running.client() as client:
        answers = [
            client.ask(f"GET /{number} HTTP/1.1\nHost: h\nX-Request-Id: chosen-by-the-client") for number in range(4)
        ]
        until(lambda: len(log.lines) == 4)
        lines = log.lines
        assert [line["path"] for line in lines] == ["/0", "/1", "/2", "/3"]
        assert [line["status"] for line in lines] == [200, 200, 200, 500]
        assert len({line["id"] for line in lines} - {"chosen-by-the-client"}) == 4
        assert answers[3].fields["x-request-id"] == lines[3]["id"]
        assert "x-request-id" not in answers[2].fields
        (report,) = log.running.errors
        assert report.startswith(f"request {lines[3]['id']}: GET /3\nTraceback")


def test_body_that_is_cut_off_is_told() -> None:
    """With the bytes that had come."""
    with logged(echo) as log:
        with log.running.client() as client:
            client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
        line = log.line()
        assert (line["ended"], line["received"]) == ("cut", 3)


def test_answer_that_is_cut_off_is_told() -> None:
    """With what the kernel had taken of it."""
    size = 50_000_000

    def large(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        return [bytes(size)]

    with logged(large) as log:
        with log.running.client() as client:
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            client.sock.recv(1000)
        line = log.line()
        assert (line["ended"], line["status"]) == ("cut", 200)
        assert 0 < line["sent"] < size


@pytest.mark.parametrize("reads", [True, False])
def test_standstill_is_told(reads: bool) -> None:
    """Of the request's body and of the answer's."""

    def large(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [bytes(50_000_000)]

    with logged(large, limits=Limits(body_stall_seconds=0.3)) as log, log.running.client() as client:
        client.send(f"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {1 if reads else 0}\r\n\r\n")
        line = log.line()
        assert (line["ended"], line["status"]) == ("stalled", 408 if reads else 200)


def test_answer_that_the_application_breaks_off_is_told() -> None:
    """It had begun, so its status says nothing of it."""

    def breaks(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"123"
        raise RuntimeError("on purpose")

    with logged(breaks) as log, log.running.client() as client:
        assert not client.ask(GET).complete
        line = log.line()
        assert (line["ended"], line["status"], line["sent"]) == ("failed", 200, 3)


def test_malformed_head_is_told_with_nothing_of_it() -> None:
    """What in it was a secret is not known. Its 505 carries the id."""
    with logged(hello) as log, log.running.client() as client:
        answer = client.ask("GET /hunter2 HTTP/2.0\nHost: h")
        line = log.line()
        assert line["id"] == answer.fields["x-request-id"]
        assert (line["method"], line["path"], line["status"], line["ended"]) == (None, None, 505, "refused")
        assert "hunter2" not in json.dumps(line)


def test_connection_without_a_request_has_no_line() -> None:
    """Nothing was asked."""
    with logged(hello) as log:
        log.running.client().close()
        with log.running.client() as client:
            assert client.ask(GET).status == 200
            assert log.line()["path"] == "/x"


@pytest.mark.parametrize("make", [json_line, text_line])
@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/a%0Ab%0D%1B[31m%00%C2%9B%E2%80%A8%FF"},
        {"path": "/" + "x" * 60_000, "agent": "y" * 60_000, "method": "Z" * 60_000, "query": "q=" * 20_000},
        {"agent": 'say "hi" \\ \t\x9b'},
        {"path": "", "method": "", "status": 0, "user": None, "agent": ""},
        {"path": "/" + "%00" * 20_000, "agent": "\x07" * 20_000},
        {"path": "/%F0%9F%93%81%ED%A0%80", "device": 5},
    ],
)
def test_whatever_a_client_sends_is_one_printable_line_of_bounded_length(make: Any, changes: dict[str, Any]) -> None:
    """Nobody can forge a line, or give a terminal orders; a pipe takes it whole."""
    line = make(entry(**changes))
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert len(line.encode("utf-8", "backslashreplace")) <= 4096
    if make is json_line:
        assert list(json.loads(line)) == list(json.loads(json_line(entry())))


def test_line_in_words_reads_from_left_to_right() -> None:
    """The form that is documented."""
    assert text_line(entry(device=3)) == (
        '2026-11-27T05:30:47.123Z 0123456789abcdef 192.0.2.1 anna#3 "GET /dav/x" 200 in 0 out 5 1.2 ms complete '
        '"curl/8"\n'
    )


def test_secret_in_path_query_and_agent_is_masked() -> None:
    """Tokens and signatures."""
    line = json_line(entry(path="/s/hunter2/x", query="signature=hunter2&hunter2", agent="x token=hunter2"))
    assert "hunter2" not in line
    assert json.loads(line)["path"] == "/s/***/x?signature=***&***"


def test_full_disk_fails_no_request_and_losses_are_told(tmp_path: Path) -> None:
    """The log goes on when there is room."""
    told: list[str] = []
    with tmpfs(tmp_path / "disk", 256 * 1024) as disk:
        file = LogFile(disk / "log", most_bytes=0, kept=1)
        access = AccessLog(file.write, json_line, tell=told.append)
        with serving(hello, access=access) as running, running.client() as client:
            fill(disk / "zeros")
            for _ in range(200):
                assert client.ask(GET).status == 200
            until(lambda: len(told) == 1)
            (disk / "zeros").unlink()
            assert client.ask(GET).status == 200
            until(lambda: len(told) == 2)
        access.close()
        file.close()
        lines = (disk / "log").read_text().splitlines()
        lost = int(told[1].split("; ")[1].split()[0])
        assert all(json.loads(line)["status"] == 200 for line in lines)
        assert lost + len(lines) == 201
        assert "No space" in told[0]


def test_log_that_takes_nothing_holds_no_request_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hung disk or a terminal that was stopped: the queue is bounded, and what is lost is counted."""
    monkeypatch.setattr("providers.http.access._MOST_QUEUED", 10)
    gate = threading.Event()
    told: list[str] = []
    written: list[bytes] = []

    def write(lines: bytes) -> None:
        gate.wait(20)
        written.append(lines)

    access = AccessLog(write, json_line, tell=told.append)
    with serving(hello, access=access) as running, running.client() as client:
        assert client.ask(GET).status == 200
        time.sleep(0.2)
        for _ in range(50):
            assert client.ask(GET).status == 200
        gate.set()
        until(lambda: len(told) == 1)
    access.close()
    count = b"".join(written).count(b"\n")
    # Those that are being written, and those in the queue.
    assert 10 <= count <= 13
    assert told == [f"the access log is written again; {51 - count} lines were lost"]


def test_end_of_the_server_writes_what_is_queued() -> None:
    """A line for each request that was answered."""
    with logged(hello) as log, log.running.client() as client:
        for _ in range(5):
            client.ask(GET)
    assert len(log.lines) == 5


def test_lines_for_a_pipe_are_written_in_pieces_that_are_not_mixed() -> None:
    """Whole lines, at most what POSIX promises to keep together."""
    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    saved = os.dup(2)
    lines = b"".join(b"%d %s\n" % (number, b"x" * 700) for number in range(40))
    os.dup2(writing.fileno(), 2)
    try:
        write_stderr(lines)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        writing.close()
    with reading:
        pieces = list(iter(lambda: reading.recv(65536), b""))
    assert b"".join(pieces) == lines
    assert all(piece.endswith(b"\n") and len(piece) <= 4096 for piece in pieces)
    assert len(pieces) < 10
