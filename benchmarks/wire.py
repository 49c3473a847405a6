"""HTTP/1.1 as the measuring client speaks it: raw sockets, prepared requests, answers taken apart after the clock.

Timeouts are the kernel's (SO_RCVTIMEO, SO_SNDTIMEO): with Python's own, sockets become non-blocking, each call costs
a poll, and MSG_WAITALL, which takes megabytes in one call, does nothing.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from benchmarks.failures import WrongAnswer

PATIENCE_S = 120
"""How long one socket operation may take."""

_PIECE = 4 * 1024 * 1024
_RECEIVE = 256 * 1024
_NO_BODY = (204, 304)


class Endpoint(NamedTuple):
    """Where a server's files are, and who asks. ``prefix`` has no slash at its end; ``""`` is the root."""

    host: str
    port: int
    prefix: str
    user: str
    password: str

    def path(self, name: str) -> str:
        """The target of a request for ``name``, which has no slash at its beginning."""
        return f"{self.prefix}/{quote(name)}"

    def url(self, name: str) -> str:
        return f"http://{self.host}:{self.port}{self.path(name)}"

    def head(
        self, method: str, name: str, headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> bytes:
        """Request line and headers; ``length`` is that of the body that will follow, None: none follows."""
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        lines = [
            f"{method} {self.path(name)} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "User-Agent: holdfast-benchmarks/1",
            "Accept: */*",
            f"Authorization: Basic {credentials}",
            *(f"{key}: {value}" for key, value in (headers or {}).items()),
        ]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Answer(NamedTuple):
    """``body`` is empty where it went elsewhere; ``closes``: the server ends the connection after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    closes: bool

    def require(self, what: str, *statuses: int) -> Answer:
        """Itself.

        Raises:
            WrongAnswer: the status is another one.
        """
        if self.status not in statuses:
            raise WrongAnswer(f"{what}: status {self.status}")
        return self


class Head(NamedTuple):
    """The head of an answer: where its body begins, and how it ends. ``length`` None: neither told nor chunked."""

    status: int
    text: bytes
    body_at: int
    length: int | None
    chunked: bool
    closes: bool

    @property
    def headers(self) -> dict[str, str]:
        lines = self.text.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}


def parse_head(buffer: bytes | bytearray, *, bodiless: bool = False) -> Head | None:
    """The first final head in ``buffer``, interim ones are skipped; None while it is incomplete.

    It runs while the clock does, so it looks only for what is needed to find the end.
    """
    start = 0
    while True:
        end = buffer.find(b"\r\n\r\n", start)
        if end < 0:
            return None
        status = int(buffer[start + 9 : start + 12])
        if status >= 200:
            break
        start = end + 4
    text = bytes(buffer[start:end])
    small = text.lower()
    length: int | None = None
    chunked = False
    if bodiless or status in _NO_BODY:
        length = 0
    elif (at := small.find(b"\r\ncontent-length:")) >= 0:
        length = int(small[at + 17 :].partition(b"\r\n")[0])
    else:
        chunked = b"\r\ntransfer-encoding: chunked" in small
    until_end = length is None and not chunked
    closes = until_end or b"\r\nconnection: close" in small or small.startswith(b"http/1.0")
    return Head(status, text, end + 4, length, chunked, closes)


class Incoming:
    """One answer as it arrives. Feed it until it is complete; it is taken apart afterwards."""

    __slots__ = ("_bodiless", "_buffer", "_head")

    def __init__(self, *, bodiless: bool = False) -> None:
        self._buffer: bytes | bytearray = b""
        self._head: Head | None = None
        self._bodiless = bodiless

    def feed(self, data: bytes) -> bool:
        """Whether the answer is complete now."""
        if not self._buffer:
            self._buffer = data
        elif isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer) + data
        else:
            self._buffer += data
        head = self._head
        if head is None:
            head = self._head = parse_head(self._buffer, bodiless=self._bodiless)
            if head is None:
                return False
        if head.length is not None:
            return len(self._buffer) >= head.body_at + head.length
        if head.chunked and self._buffer.endswith(b"0\r\n\r\n"):
            return dechunk(self._buffer, head.body_at) is not None
        return False

    @property
    def empty(self) -> bool:
        return not self._buffer

    @property
    def closes(self) -> bool:
        """Whether the server will end the connection after this answer."""
        return self._head is not None and self._head.closes

    def ended(self) -> bool:
        """The server closed the connection; whether that is how the answer ends."""
        return self._head is not None and self._head.length is None and not self._head.chunked

    def answer(self) -> Answer:
        """The complete answer."""
        head = self._head
        assert head is not None
        if head.chunked:
            body = dechunk(self._buffer, head.body_at) or b""
        else:
            body = bytes(self._buffer[head.body_at :])
        return Answer(head.status, head.headers, body, head.closes)


def dechunk(buffer: bytes | bytearray, at: int) -> bytes | None:
    """The plain bytes of a chunked body (RFC 9112 §7.1) without trailers; None while it is incomplete."""
    pieces: list[bytes] = []
    while True:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(bytes(buffer[at:line_end]).partition(b";")[0], 16)
        start = line_end + 2
        if len(buffer) < start + size + 2:
            return None
        if size == 0:
            return b"".join(pieces)
        pieces.append(bytes(buffer[start : start + size]))
        at = start + size + 2


def connect(endpoint: Endpoint) -> socket.socket:
    """A blocking socket whose timeouts are the kernel's."""
    sock = socket.create_connection((endpoint.host, endpoint.port))
    sock.settimeout(None)
    limit = struct.pack("ll", PATIENCE_S, 0)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, limit)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Connection:
    """One kept-alive connection for single requests. A context: closes at its end."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._sock: socket.socket | None = None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> socket.socket:
        """Connect, unless it is connected."""
        if self._sock is None:
            self._sock = connect(self.endpoint)
        return self._sock

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def request(
        self, method: str, name: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send and receive. A connection that the server gave up while it was idle is replaced once.

        Raises:
            WrongAnswer: no whole answer came.
        """
        head = self.endpoint.head(method, name, headers, None if body is None else len(body))
        was_open = self._sock is not None
        try:
            return self._exchange(method, head + (body or b""))
        except OSError as error:
            self.close()
            if not was_open:
                raise WrongAnswer(f"{method}: {type(error).__name__} {error}") from error
        try:
            return self._exchange(method, head + (body or b""))
        except OSError as error:
            self.close()
            raise WrongAnswer(f"{method}: {type(error).__name__} {error}") from error

    def _exchange(self, method: str, request: bytes) -> Answer:
        sock = self.open()
        sock.sendall(request)
        return self._receive(sock, Incoming(bodiless=method == "HEAD"))

    def put_file(self, name: str, descriptor: int, length: int) -> Answer:
        """PUT of the first ``length`` bytes of an open file, sent by the kernel."""
        sock = self.open()
        sock.sendall(self.endpoint.head("PUT", name, {"Content-Type": "application/octet-stream"}, length))
        sent = 0
        try:
            while sent < length:
                sent += os.sendfile(sock.fileno(), descriptor, sent, min(2 * _PIECE, length - sent))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have refused, and then it has said so
        return self._receive(sock, Incoming())

    def get_into(self, name: str, room: memoryview) -> Answer:
        """GET of a file that fills ``room`` exactly.

        Raises:
            WrongAnswer: it does not.
        """
        sock = self.open()
        sock.sendall(self.endpoint.head("GET", name))
        buffer = b""
        head = None
        while head is None:
            buffer += _some(sock)
            head = parse_head(buffer)
        if head.status != 200 or head.length != len(room):
            self.close()
            raise WrongAnswer(f"GET: status {head.status}, length {head.length} instead of {len(room)}")
        at = len(buffer) - head.body_at
        room[:at] = buffer[head.body_at :]
        while at < len(room):
            count = sock.recv_into(room[at:], min(_PIECE, len(room) - at), socket.MSG_WAITALL)
            if not count:
                raise WrongAnswer(f"GET: the connection ended after {at} of {len(room)} bytes")
            at += count
        if head.closes:
            self.close()
        return Answer(head.status, head.headers, b"", head.closes)

    def _receive(self, sock: socket.socket, incoming: Incoming) -> Answer:
        while True:
            data = sock.recv(_RECEIVE)
            if not data:
                if not incoming.ended():
                    raise ConnectionError("the server closed the connection")
                break
            if incoming.feed(data):
                break
        answer = incoming.answer()
        if answer.closes:
            self.close()
        return answer


def _some(sock: socket.socket) -> bytes:
    data = sock.recv(_RECEIVE)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data
