"""Answers: what the application gives is checked, framed (RFC 9112 §6, §9.3) and sent in as few calls as possible."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias

from providers.http.access import shown_path
from providers.http.body import Body, Source
from providers.http.head import Head
from providers.http.service import Environ, ExcInfo, Service

Block: TypeAlias = bytes | memoryview

# For a body that is on its way with its head. Who needs longer loses the connection, never the answer: a worker that
# waits is what many such clients would take from all others.
_DRAIN_SECONDS = 0.01
_STATUS = re.compile(r"([2-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Fields that change how the answer is framed, or that are made here unless the application gives them.
_NOTICED = {
    name.lower(): name.lower()
    for name in ("Content-Length", "Connection", "Keep-Alive", "Transfer-Encoding", "Date", "Server", "X-Request-Id")
}
_NAMES: dict[str, str] = {}
_NAMES_KEPT = 512
_ORDINARY = "-"
_BODYLESS = (204, 304)


class Channel(Source, Protocol):
    """What an answer needs of its connection."""

    service: Service
    environ: Environ
    expects_continue: bool
    gone: bool
    stalled: bool
    too_slow: bool
    sent: int
    lingers: bool
    sends_on: bool
    resets: bool

    def stamp(self) -> str:
        """The lines that every answer has: Date, Server and, with TLS, what the limits ask for."""

    def send(self, *pieces: Block) -> None:
        """All of it; raises ``OSError`` and sets ``gone`` when the peer cannot be reached."""


class Response:
    """One answer. ``start`` is WSGI's start_response. ``begun``: the head is on its way, nothing can be taken back.

    ``closes`` is decided when the head is made, since the head says so; an error later can still set it. ``sent``
    counts the bytes of the body that the kernel has taken.
    """

    def __init__(self, channel: Channel, head: Head, body: Body, request_id: str) -> None:
        self.begun = False
        self.closes = not head.keep_alive
        self.sent = 0
        self._channel = channel
        self._head = head
        self._body = body
        self._request_id = request_id
        self._code = 0
        self._status = ""
        self._lines: list[str] = []
        self._given: dict[str, str] = {}
        self._left: int | None = None
        self._chunked = False
        self._bodyless = False

    @property
    def status(self) -> int:
        """0 if nothing was answered."""
        return self._code if self.begun else 0

    @property
    def is_short(self) -> bool:
        """Whether fewer bytes were sent than announced."""
        return self.begun and bool(self._left) and not self._bodyless

    @property
    def ends_by_close(self) -> bool:
        """The client takes the end of the connection for the end of the body."""
        return self.begun and not self._chunked and self._left is None and not self._bodyless

    def start(
        self, status: str, headers: Iterable[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[Any], None]:
        """Raises ``ValueError`` for what would break the head, such as a line break within a value."""
        if exc_info is not None:
            if self.begun:
                raise exc_info[1].with_traceback(exc_info[2])
        elif self._code:
            raise RuntimeError("start_response was called twice without exc_info")
        match = _STATUS.fullmatch(status)
        if match is None:
            raise ValueError(f"the status {status!r} is none of 200 to 599")
        self._lines, self._given = _checked(headers)
        self._status = status
        self._code = int(match[1])
        self._left, self._chunked = None, False
        return self.write

    def send_all(self, blocks: Iterable[Any]) -> None:
        """The whole answer. Raises ``OSError`` when the peer is gone."""
        if isinstance(blocks, (list, tuple)) and not self.begun:
            views = [_view(block) for block in blocks]
            self._begin(views, sum(map(len, views)))
        else:
            for block in blocks:
                self.write(block)
                if self._bodyless:
                    break
                # Its memory is for the next one.
                del block
            if not self.begun:
                self._begin([], 0)
        if self._chunked:
            self._channel.send(b"0\r\n\r\n")
        elif self._left and not self._bodyless:
            self.closes = True
            self._channel.service.report(
                f"request {self._request_id}: {self._head.method} {shown_path(self._head.path)}: the answer is "
                f"{self._left} bytes shorter than its Content-Length"
            )

    def write(self, block: Any) -> None:
        """What start_response returns; empty blocks send nothing, not even the head."""
        view = _view(block)
        if not len(view):
            return
        if self.begun:
            self._send(self._framed([view]), len(view))
        else:
            self._begin([view], None)

    def _begin(self, views: list[Block], known: int | None) -> None:
        """Send the head with the first of the body. ``known`` is the length of the whole body, if that is known."""
        if not self._code:
            raise RuntimeError("the application did not call start_response")
        pieces = [self._make_head(known), *self._framed(views)]
        self.begun = True
        self._send(pieces, sum(map(len, views)))

    def _send(self, pieces: list[Block], of_body: int) -> None:
        if self._bodyless:
            of_body = 0
        channel = self._channel
        before = channel.sent
        try:
            channel.send(*pieces)
        except OSError:
            framing = sum(map(len, pieces)) - of_body
            self.sent += max(0, channel.sent - before - framing)
            raise
        self.sent += of_body

    def _framed(self, views: list[Block]) -> list[Block]:
        if self._bodyless:
            return []
        if self._chunked:
            size = sum(map(len, views))
            return [b"%x\r\n" % size, *views, b"\r\n"] if size else []
        if self._left is None:
            return views
        size = sum(map(len, views))
        if size <= self._left:
            self._left -= size
            return views
        self._left = 0
        raise RuntimeError("the application's answer is longer than its Content-Length")

    def _make_head(self, known: int | None) -> bytes:
        given = self._given
        lines = self._lines
        code = self._code
        self._bodyless = self._head.method == "HEAD" or code in _BODYLESS
        if code == HTTPStatus.NO_CONTENT and given.pop("content-length", None) is not None:
            # RFC 9110 §8.6: it must not have one. A 304 may, as that of the content it stands for.
            lines[:] = [line for line in lines if not line.lower().startswith("content-length:")]
        announced = given.get("content-length")
        if announced is not None:
            self._left = int(announced)
        elif self._bodyless:
            if known and code not in _BODYLESS:
                lines.append(f"Content-Length: {known}")
        elif known is not None:
            self._left = known
            lines.append(f"Content-Length: {known}")
        elif self._head.minor:
            self._chunked = True
            lines.append("Transfer-Encoding: chunked")
        else:
            self.closes = True
        self._decide_to_close()
        if self.closes:
            lines.append("Connection: close")
        elif not self._head.minor:
            lines.append("Connection: keep-alive")
        if code >= 500 and "x-request-id" not in given:
            lines.append(f"X-Request-Id: {self._request_id}")
        fields = "\r\n".join(lines) + "\r\n" if lines else ""
        stamp = self._channel.stamp()
        if "date" in given or "server" in given:
            own = (line for line in stamp.splitlines(keepends=True) if line.partition(":")[0].lower() not in given)
            stamp = "".join(own)
        return f"HTTP/1.1 {self._status}\r\n{fields}{stamp}\r\n".encode("latin-1")

    def _decide_to_close(self) -> None:
        """The head must be true, so what is left of the request's body is settled before it."""
        channel, body = self._channel, self._body
        if not self.closes:
            self.closes = channel.service.draining or "close" in self._given.get("connection", "").lower()
        if not body.done and not self.closes:
            # A client that awaits 100 Continue may send its body or not: only what is here already can be trusted.
            waits = not (channel.expects_continue or channel.service.waiting())
            seconds = _DRAIN_SECONDS if waits else 0.0
            self.closes = not body.settle(channel.service.limits.drain_bytes, seconds)
        channel.expects_continue = False


def _view(block: Any) -> Block:
    if type(block) is bytes:
        return block
    if isinstance(block, (bytes, bytearray, memoryview)):
        return memoryview(block).cast("B")
    raise TypeError(f"the application's answer contains {type(block).__name__}, not bytes")


def _checked(headers: Iterable[tuple[str, str]]) -> tuple[list[str], dict[str, str]]:
    """Header lines, and by lower-case name those that the framing must know of."""
    lines: list[str] = []
    given: dict[str, str] = {}
    for name, value in headers:
        noticed = _NAMES.get(name) or _learn(name)
        if noticed != _ORDINARY:
            given[noticed] = value
            if noticed in ("connection", "keep-alive"):
                continue  # made here, from what is true
        lines.append(name + ": " + value)
    text = "\r\n".join(lines)
    breaks = max(0, len(lines) - 1)
    if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text:
        raise ValueError("a header of the application's answer contains a line break or NUL")
    if "transfer-encoding" in given:
        raise ValueError("the application may not set Transfer-Encoding (PEP 3333)")
    length = given.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise ValueError(f"the application's Content-Length {length!r} is not a number")
    return lines, given


def _learn(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name of a header")
    noticed = _NOTICED.get(name.lower(), _ORDINARY)
    if len(_NAMES) < _NAMES_KEPT:
        _NAMES[name] = noticed
    return noticed
