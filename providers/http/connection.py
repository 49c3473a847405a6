"""One client's connection: every access to its socket, its buffer, and the loop that a worker runs on it.

The socket stays in blocking mode and its timeouts are the kernel's (SO_RCVTIMEO, SO_SNDTIMEO): receiving and sending
are one system call each. Python's own timeouts cost a second one, and a second hand-over of the interpreter lock, which
is what several workers wait for. A TLS connection (``providers.http.tls``) is a subclass that replaces the methods
under "the socket".
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from http import HTTPStatus

from cheroot.server import HTTPConnection

from appliance.errors import BodyStalled, BodyTooSlow
from providers.http.access import Ended, Entry
from providers.http.addresses import share_of
from providers.http.head import Head, HeadError, head_size, late_head, parse_head
from providers.http.pace import FLOOR, Awaits
from providers.http.request import Request
from providers.http.service import Environ, Service

# How long a worker waits for what will probably come at once: the next request, or the rest of a head. Below one tick
# of the kernel's clock, so one tick: 1 to 10 ms.
AT_ONCE_S = 0.003
_RECEIVE_BYTES = 16 * 1024
# Up to here pieces are copied into one buffer, which is cheaper than handing several to the kernel.
_JOIN_BYTES = 64 * 1024
_SEND_BYTES = 256 * 1024
_PIECES_AT_ONCE = 64
NOW = 0.0


def _timeval(seconds: float) -> bytes:
    """Never zero, which would mean for ever."""
    return struct.pack("ll", int(seconds), max(1, int(seconds % 1 * 1_000_000)))


class Connection(HTTPConnection):
    """A connection belongs to one thread at a time: the selector's, a worker's, or the lingering one's.

    ``deadline`` (monotonic) is when the selector's thread gives it up; ``head_since`` is when the first byte of an
    unfinished head came, 0 between requests. ``watched_since`` is when the selector began to wait for it, 0 while it
    does not. ``awaits`` tells the selector's thread what a worker waits for.
    """

    # Replaces HTTPConnection.__init__, which makes two file objects and two caches for each connection.
    def __init__(self, service: Service, sock: socket.socket, address: tuple[str, int], environ: Environ) -> None:
        limits = service.limits
        self.service = service
        self.sock = sock
        self.remote_addr, self.remote_port = address
        self.share = share_of(address[0])
        self.environ = environ
        self.deadline = 0.0
        self.head_since = 0.0
        self.watched_since = 0.0
        self.awaits: Awaits = ""
        # Why an exchange ended: nothing was taken for the stall limit; it was slow while others waited.
        self.stalled = False
        self.too_slow = False
        # Bytes that the kernel has taken.
        self.sent = 0
        self.stall_s = limits.body_stall_seconds
        self.trailer_bytes = limits.header_bytes
        # The client of the request that is being answered waits for 100 Continue.
        self.expects_continue = False
        # Nothing more comes (the peer may still read); nothing more can be sent.
        self.ended = False
        self.gone = False
        # How to close: let the peer read the answer first, and send its body to the end if it must; or with a reset,
        # which is the only sign that an answer without a length is incomplete.
        self.lingers = False
        self.sends_on = False
        self.resets = False
        self._data = b""
        self._at = 0
        self._wait_s = -1.0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(limits.body_stall_seconds))

    # -- life ---------------------------------------------------------------------------------------------------------

    # Replaces HTTPConnection.communicate, which makes a trip through the selector for each request and waits for a head
    # as long as for a body.
    def communicate(self) -> bool:
        """Answer requests while they come without a pause. True: back to the selector; False: close."""
        service = self.service
        try:
            while True:
                head = self._next_head()
                if head is None:
                    return not self.ended
                service.running.add(self)
                request = Request(self, head)
                try:
                    keep = request.respond()
                finally:
                    service.running.discard(self)
                    if service.access is not None:
                        service.access.add(request.entry())
                if not keep:
                    return False
                if service.waiting():
                    return True
        except HeadError as refusal:
            self.refuse(refusal)
        except OSError:
            pass  # the peer is gone, which is its right
        return False

    def has_request(self) -> bool:
        """Whether a worker can go on without receiving."""
        if not self.buffered:
            return False
        try:
            return head_size(self._data[self._at :], self.trailer_bytes) > 0
        except HeadError:
            return True

    def park(self) -> None:
        """Set ``deadline``; the connection is about to wait in the selector."""
        now = time.monotonic()
        if self.buffered and not self.head_since:
            self.head_since = now
        self.watched_since = now
        limits = self.service.limits
        self.deadline = self.head_since + limits.header_seconds if self.head_since else now + limits.idle_seconds

    def is_silent(self) -> bool:
        """Whether nothing came that has not been looked at. For a connection that waits in the selector."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return True

    def cut(self) -> None:
        """End the request that a worker answers, whatever it waits for. Any thread."""
        self.too_slow = True
        with contextlib.suppress(OSError):
            # Who sends too slowly can still be told.
            self.sock.shutdown(socket.SHUT_RD if self.awaits == "body" else socket.SHUT_RDWR)

    def expire(self) -> None:
        """``deadline`` has passed: close, with an answer if a request had begun."""
        if self.head_since:
            self.refuse(late_head(self.service.limits.header_seconds))
        self.close()

    # Replaces HTTPConnection.close, whose lingering leaves the socket to the garbage collector.
    def close(self) -> None:
        """Never raises ``OSError``, never blocks."""
        self.service.closed_connection(self)
        if self.lingers and not (self.resets or self.gone):
            self.service.linger.add(self.sock, self.farewell() if self.sends_on else None)
            return
        with contextlib.suppress(OSError):
            if self.resets or self.gone:
                # A stalled reader's unsent answer would stay in the kernel's memory for many minutes.
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()

    def farewell(self) -> bytes:
        """What ends a connection on which all was said; it is sent by whoever closes."""
        return b""

    def stamp(self) -> str:
        """The lines that every answer has."""
        return self.service.stamp()

    def refuse(self, refusal: HeadError) -> None:
        """Answer what is no request. Never blocks; the connection must be closed then."""
        text = f"{refusal.reason}\n".encode("latin-1")
        phrase = HTTPStatus(refusal.status).phrase
        request_id = self.service.request_id()
        ident = f"X-Request-Id: {request_id}\r\n" if refusal.status >= 500 else ""
        head = (
            f"HTTP/1.1 {refusal.status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(text)}\r\n{ident}Connection: close\r\n{self.stamp()}\r\n"
        )
        ended: Ended = "refused"
        status, sent = refusal.status, len(text)
        try:
            self._send_now(head.encode("latin-1") + text)
            self.lingers = True
        except OSError:
            self.gone = True
            status, sent, ended = 0, 0, "cut"
        if self.service.access is not None:
            self.service.access.add(self._refused(request_id, status, sent, ended))

    def _refused(self, request_id: str, status: int, sent: int, ended: Ended) -> Entry:
        # Nothing of the head: nobody knows what in it was meant as a secret.
        address = self.environ["REMOTE_ADDR"]
        return Entry(time.time(), request_id, address, None, None, None, "", "", "", status, 0, sent, 0.0, "", ended)

    def _next_head(self) -> Head | None:
        """None if it does not come at once; then ``ended`` tells whether the peer has closed.

        Raises ``HeadError`` for what is no head, and for one that takes too long.
        """
        data = self._data[self._at :] if self._at else self._data
        self._data, self._at = b"", 0
        may_wait = not data
        wait_s = AT_ONCE_S
        while True:
            if data[:2] == b"\r\n":
                data = data[2:]  # RFC 9112 §2.2: an empty line before a request is ignored
            if data and (size := head_size(data, self.trailer_bytes)):
                break
            try:
                more = self._receive(_RECEIVE_BYTES, wait_s)
            except BlockingIOError:
                self._keep_partial(data)
                return None
            if not more:
                self.ended = True
                return None
            data = data + more if data else more
            # A head in pieces is awaited once, and only while nobody else needs the worker: a client that sends byte by
            # byte must cost no more than its bytes.
            wait_s = AT_ONCE_S if may_wait and not self.service.waiting() else NOW
            may_wait = False
        self.head_since = 0.0
        if size == len(data):
            return parse_head(data)
        self._data, self._at = data, size
        return parse_head(data[:size])

    def _keep_partial(self, data: bytes) -> None:
        self._data = data
        if not data:
            self.head_since = 0.0
            return
        now = time.monotonic()
        if not self.head_since:
            self.head_since = now
        elif now - self.head_since > self.service.limits.header_seconds:
            raise late_head(self.service.limits.header_seconds)

    # -- what a body needs (providers.http.body.Source) ---------------------------------------------------------------

    @property
    def buffered(self) -> int:
        return len(self._data) - self._at

    def invite(self) -> None:
        if self.expects_continue:
            self.expects_continue = False
            with contextlib.suppress(OSError):  # the body that does not come tells the same
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def line_ready(self) -> bool:
        return self._data.find(b"\r\n", self._at) >= 0

    def take_line(self, limit: int, wait_s: float) -> bytes | None:
        while True:
            end = self._data.find(b"\r\n", self._at)
            if end >= 0:
                line = self._data[self._at : end]
                self._at = end + 2
                return line if len(line) <= limit else None
            if self.buffered > limit or not self._refill(wait_s):
                return None

    def take(self, limit: int, wait_s: float) -> bytes:
        if not self.buffered:
            if limit >= _RECEIVE_BYTES:
                return self._receive_body(limit, wait_s)
            self._refill(wait_s)
        piece = self._data[self._at : self._at + limit]
        self._at += len(piece)
        return piece

    def take_into(self, target: memoryview, wait_s: float) -> int:
        if not self.buffered:
            if len(target) >= _RECEIVE_BYTES:
                return self._receive_body_into(target, wait_s)
            self._refill(wait_s)
        count = min(len(target), self.buffered)
        target[:count] = self._data[self._at : self._at + count]
        self._at += count
        return count

    def _refill(self, wait_s: float) -> bool:
        """Receive into the own buffer, keeping what is in it. False at the end of the stream."""
        more = self._receive_body(_RECEIVE_BYTES, wait_s)
        self._data = self._data[self._at :] + more
        self._at = 0
        return bool(more)

    def _receive_body(self, limit: int, wait_s: float) -> bytes:
        self.awaits = "body"
        try:
            data = self._receive(limit, wait_s)
        except BlockingIOError:
            raise BodyStalled(seconds=wait_s) from None
        except OSError:
            data = b""  # a reset in mid-body is an end in mid-body
        finally:
            self.awaits = ""
        if not data and self.too_slow:
            raise BodyTooSlow(floor=FLOOR)
        return data

    def _receive_body_into(self, target: memoryview, wait_s: float) -> int:
        self.awaits = "body"
        try:
            count = self._receive_into(target, wait_s)
        except BlockingIOError:
            raise BodyStalled(seconds=wait_s) from None
        except OSError:
            count = 0
        finally:
            self.awaits = ""
        if not count and self.too_slow:
            raise BodyTooSlow(floor=FLOOR)
        return count

    # -- the socket ---------------------------------------------------------------------------------------------------

    def send(self, *pieces: bytes | memoryview) -> None:
        """All of ``pieces``, small ones in one call. They are not copied when they are large.

        Raises ``OSError`` when the peer is gone, or when it takes nothing for the stall limit; sets ``gone`` then.
        """
        total = sum(map(len, pieces))
        self.awaits = "answer"
        try:
            if total > _JOIN_BYTES:
                self._send_large([memoryview(piece) for piece in pieces])
                return
            data = b"".join(pieces)
            sent = self.sock.send(data)
            self.sent += sent
            while sent < total:
                more = self.sock.send(memoryview(data)[sent:])
                self.sent += more
                sent += more
        except OSError as error:
            self.gone = True
            self.stalled = isinstance(error, BlockingIOError)
            raise
        finally:
            self.awaits = ""

    def _send_large(self, pieces: list[memoryview]) -> None:
        """At most ``_SEND_BYTES`` in a call, so that the stall limit is about those."""
        pieces.reverse()
        while pieces:
            window: list[memoryview] = []
            room = _SEND_BYTES
            while pieces and room and len(window) < _PIECES_AT_ONCE:
                piece = pieces.pop()
                if len(piece) > room:
                    pieces.append(piece[room:])
                    piece = piece[:room]
                window.append(piece)
                room -= len(piece)
            sent = self.sock.sendmsg(window)
            self.sent += sent
            pieces.extend(reversed(_unsent(window, sent)))

    def _send_now(self, data: bytes) -> None:
        """Without waiting; what does not fit into the kernel's buffer is lost."""
        self.sock.send(data, socket.MSG_DONTWAIT)

    def _receive(self, limit: int, wait_s: float) -> bytes:
        if wait_s == NOW:
            return self.sock.recv(limit, socket.MSG_DONTWAIT)
        if wait_s != self._wait_s:
            self._set_wait(wait_s)
        return self.sock.recv(limit)

    def _receive_into(self, target: memoryview, wait_s: float) -> int:
        if wait_s == NOW:
            return self.sock.recv_into(target, 0, socket.MSG_DONTWAIT)
        if wait_s != self._wait_s:
            self._set_wait(wait_s)
        return self.sock.recv_into(target)

    def _set_wait(self, wait_s: float) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(wait_s))
        self._wait_s = wait_s


def _unsent(window: list[memoryview], sent: int) -> list[memoryview]:
    rest: list[memoryview] = []
    for piece in window:
        if sent >= len(piece):
            sent -= len(piece)
        else:
            rest.append(piece[sent:])
            sent = 0
    return rest
