"""A server in this process, and a client that can misbehave."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from providers.http.access import AccessLog
from providers.http.limits import Limits
from providers.http.server import HttpServer

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Any]


@dataclass
class Running:
    """A server that serves in a thread; ``errors`` is what it reported."""

    server: HttpServer
    port: int
    errors: list[str]
    thread: threading.Thread
    trust: ssl.SSLContext | None = None

    def client(self, timeout: float = 10.0, source: str = "127.0.0.1") -> Client:
        """A new connection, over TLS if the server has it; from another address of this machine if one is given."""
        raw = self.raw(timeout, source)
        return Client(raw if self.trust is None else self.trust.wrap_socket(raw, server_hostname="127.0.0.1"))

    def raw(self, timeout: float = 10.0, source: str = "127.0.0.1") -> socket.socket:
        """A new connection on which nothing was sent."""
        return socket.create_connection(("127.0.0.1", self.port), timeout, (source, 0))


@dataclass
class Answer:
    """What came back; names of fields in lower case."""

    status: int
    version: str
    fields: dict[str, str]
    body: bytes = b""
    complete: bool = True
    sizes: list[int] = field(default_factory=list)


class Client:
    """A connection whose every byte the test decides."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._file = sock.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Also after errors."""
        with contextlib.suppress(OSError):
            self._file.close()
        self.sock.close()

    def send(self, *pieces: bytes | str) -> None:
        """All at once."""
        self.sock.sendall(b"".join(piece.encode("latin-1") if isinstance(piece, str) else piece for piece in pieces))

    def ask(self, head: str, body: bytes = b"") -> Answer:
        """``head`` has lines that end with LF and no blank line: "GET / HTTP/1.1\\nHost: x"."""
        self.send(head.strip().replace("\n", "\r\n"), "\r\n\r\n", body)
        return self.answer(head.split(" ", 1)[0])

    def answer(self, method: str = "GET") -> Answer:
        """The next answer. A body that ends before its time is returned as incomplete."""
        line = self._file.readline().decode("latin-1")
        if not line:
            raise ConnectionError("closed without an answer")
        version, status, _ = line.split(" ", 2)
        fields: dict[str, str] = {}
        while (line := self._file.readline().decode("latin-1")) not in ("\r\n", ""):
            name, _, value = line.partition(":")
            # A challenge for each way to sign in; of all others two would contradict each other.
            known = fields.get(name.lower())
            assert known is None or name.lower() == "www-authenticate", f"{name} twice"
            fields[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
        answer = Answer(int(status), version, fields)
        if method == "HEAD" or answer.status in (100, 204, 304):
            return answer
        if fields.get("transfer-encoding") == "chunked":
            self._read_chunks(answer)
        elif "content-length" in fields:
            answer.body = self._file.read(int(fields["content-length"]))
            answer.complete = len(answer.body) == int(fields["content-length"])
        else:
            answer.body = self._file.read()
        return answer

    def _read_chunks(self, answer: Answer) -> None:
        while True:
            line = self._file.readline()
            if not line:
                answer.complete = False
                return
            size = int(line, 16)
            answer.sizes.append(size)
            answer.body += self._file.read(size)
            self._file.readline()
            if not size:
                return

    def closed(self, within: float = 5.0) -> bool:
        """Whether the server closes without another byte."""
        self.sock.settimeout(within)
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


@contextlib.contextmanager
def serving(
    app: App,
    *,
    threads: int = 4,
    limits: Limits | None = None,
    tls: Callable[[], ssl.SSLContext] | None = None,
    trust: ssl.SSLContext | None = None,
    access: AccessLog | None = None,
    exempt: Callable[[str], bool] = lambda _: False,
) -> Iterator[Running]:
    """Stopped at the end of the block. ``tls`` is what the server shows, ``trust`` what its clients connect with."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    errors: list[str] = []
    server = HttpServer(
        app,
        listener,
        threads=threads,
        limits=limits or Limits(),
        tls=tls,
        on_error=errors.append,
        access=access,
        exempt=exempt,
    )
    thread = threading.Thread(target=server.serve)
    thread.start()
    until(lambda: server.ready)
    try:
        yield Running(server, port, errors, thread, trust)
    finally:
        server.stop(5.0)
        thread.join(5.0)
        assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answers without reading; the path is the body."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode("latin-1")]


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Reads all, answers with it."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [body]


def rss() -> int:
    """This process's resident bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096
