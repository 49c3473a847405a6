"""A client's connection over TLS (RFC 8446, RFC 5246).

OpenSSL never touches the socket: it reads from one buffer in memory and writes into another, and what stands in them
is received and sent here, with the same calls and the same timeouts as without TLS. So nothing waits that could not
wait before. A handshake in particular is like a head that comes in pieces: a worker does what it can with the bytes
that are there and gives the connection back to the selector's thread, which holds no worker for a peer that is silent.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

from providers.http.connection import AT_ONCE_S, NOW, Connection
from providers.http.head import HeadError
from providers.http.service import Environ, Service

# What is received or sent in one call. The buffers in memory grow to it and stay so for the life of the connection.
_RECEIVE_BYTES = 64 * 1024
_SEND_BYTES = 64 * 1024
# What OpenSSL seals in one call, without another thread of Python being able to run.
_SEAL_BYTES = 64 * 1024
# Below this a wait is a hope, not a limit: who sends a record byte by byte gets it once.
_BRIEF_S = 0.05
_WAITS_OF_A_HANDSHAKE = 2
_PLAIN_TEXT = "this port speaks https only; use https:// in place of http://"

_scratch = threading.local()


def _buffer() -> memoryview:
    """Of the thread: what is received stays in it for a moment only."""
    found: memoryview | None = getattr(_scratch, "view", None)
    if found is None:
        found = _scratch.view = memoryview(bytearray(_RECEIVE_BYTES))
    return found


class TlsConnection(Connection):
    """A connection whose bytes are sealed.

    The handshake has the time of a head, from the connection's first moment. A stream that ends without close_notify
    ends as one with it: requests say how long they are, so none is taken for whole that was cut off.
    """

    def __init__(
        self,
        service: Service,
        sock: socket.socket,
        address: tuple[str, int],
        environ: Environ,
        context: ssl.SSLContext,
    ) -> None:
        super().__init__(service, sock, address, environ)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False
        self._shake_by = time.monotonic() + service.limits.header_seconds
        # The peer's very first bytes are no TLS: it is answered as it speaks.
        self._plain = False
        self._untouched = True
        # Something was read since the connection was parked: an unfinished record is no sign of life.
        self._heard = True

    # -- life ---------------------------------------------------------------------------------------------------------

    def communicate(self) -> bool:
        if not self._established:
            try:
                if not self._shake_hands():
                    return True
            except HeadError as refusal:
                self.refuse(refusal)
                return False
            except OSError:
                # The reason, for the peer that can read it.
                with contextlib.suppress(OSError):
                    self._flush_now()
                return False
        waits = self.pending is not None
        if not super().communicate():
            return False
        if waits or self.pending is not None:
            return True
        # The selector's thread would not see it late if its bytes come just when that looks.
        return self._heard or self.head_since > 0 or time.monotonic() < self.deadline

    def has_request(self) -> bool:
        return super().has_request() or (self._established and self._unseal_rest()) or super().has_request()

    def _unseal_rest(self) -> bool:
        """Take from OpenSSL what no selector sees. True if the stream has ended there, which a worker has to see."""
        try:
            while self.buffered <= self.trailer_bytes and (self._incoming.pending or self._tls.pending()):
                more = self._tls.read(_RECEIVE_BYTES)
                if not more:
                    return True
                self._data = self._data[self._at :] + more
                self._at = 0
                self._heard = True
        except ssl.SSLWantReadError:
            pass  # only a part of a record was left
        except OSError:
            return True
        return False

    def park(self) -> None:
        before = self.deadline
        super().park()
        if not self._established:
            self.deadline = self._shake_by
        elif not self._heard and not self.head_since:
            self.deadline = min(self.deadline, before)
        self._heard = False

    def stamp(self) -> str:
        # RFC 6797 §7.2: never over plain HTTP.
        return super().stamp() if self._plain else super().stamp() + self.service.hsts

    def expire(self) -> None:
        if self._established:
            super().expire()
        else:
            self.close()

    def close(self) -> None:
        # Not where an answer was cut off: close_notify would say that it is whole.
        if self._established and not (self.resets or self.gone or (self.lingers and self.sends_on)):
            self._seal_close_notify()
            with contextlib.suppress(OSError):
                self._flush_now()
        super().close()

    def farewell(self) -> bytes:
        self._seal_close_notify()
        return self._outgoing.read()

    def _seal_close_notify(self) -> None:
        with contextlib.suppress(OSError):
            self._tls.unwrap()  # raises, since the peer's has not come yet

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done. Raises ``OSError`` when it has failed."""
        waits = _WAITS_OF_A_HANDSHAKE
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush_now()
            else:
                self._flush_now()
                self._established = True
                self._heard = True
                return True
            wait_s = AT_ONCE_S if waits > 0 and not self.service.waiting() else NOW
            waits -= 1
            try:
                if not self._feed(wait_s):
                    raise ConnectionAbortedError
            except BlockingIOError:
                if time.monotonic() > self._shake_by:
                    raise ConnectionAbortedError from None
                return False

    # -- the socket ---------------------------------------------------------------------------------------------------

    def send(self, *pieces: bytes | memoryview) -> None:
        self.awaits = "answer"
        try:
            if sum(map(len, pieces)) <= _SEAL_BYTES:
                self._seal(b"".join(pieces))
            else:
                for piece in pieces:
                    self._seal_large(memoryview(piece))
            self._flush()
        except OSError as error:
            self.gone = True
            self.stalled = isinstance(error, BlockingIOError)
            raise
        finally:
            self.awaits = ""

    def _seal_large(self, piece: memoryview) -> None:
        for start in range(0, len(piece), _SEAL_BYTES):
            self._seal(piece[start : start + _SEAL_BYTES])
            if self._outgoing.pending >= _SEND_BYTES:
                self._flush()

    def _seal(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            sealed = self._tls.write(view)
            self.sent += sealed
            view = view[sealed:]

    def _flush(self) -> None:
        """Send what is sealed, at most for the stall limit without a byte taken."""
        view = memoryview(self._outgoing.read())
        while view:
            view = view[self.sock.send(view) :]

    def _flush_now(self) -> None:
        """Without waiting. Only for what is small: the kernel has room for it, unless the peer ceased to read."""
        data = self._outgoing.read()
        try:
            if data and self.sock.send(data, socket.MSG_DONTWAIT) < len(data):
                raise ConnectionAbortedError
        except BlockingIOError:
            raise ConnectionAbortedError from None  # not to be taken for "nothing to receive yet"

    def _send_now(self, data: bytes) -> None:
        if self._plain:
            super()._send_now(data)
            return
        self._seal(data)
        self._flush_now()

    def _receive(self, limit: int, wait_s: float) -> bytes:
        while True:
            try:
                data = self._tls.read(limit)
            except ssl.SSLWantReadError:
                if not self._feed(wait_s):
                    return b""
                wait_s = NOW if wait_s < _BRIEF_S else wait_s
            else:
                self._heard = True
                return data

    def _receive_into(self, target: memoryview, wait_s: float) -> int:
        """As many records as are there."""
        count = 0
        while count < len(target):
            try:
                more = self._tls.read(len(target) - count, target[count:])
            except ssl.SSLWantReadError:
                if count or not self._feed(wait_s):
                    break
                wait_s = NOW if wait_s < _BRIEF_S else wait_s
            else:
                if not more:
                    break
                count += int(more)
        self._heard = True
        return count

    def _feed(self, wait_s: float) -> bool:
        """Receive for OpenSSL; False at the end of the stream. Raises ``BlockingIOError`` after ``wait_s``."""
        if self._outgoing.pending:
            self._flush_now()  # an answer to a key update
        scratch = _buffer()
        count = super()._receive_into(scratch, wait_s)
        if self._untouched and count:
            self._untouched = False
            self._plain = scratch[:1].tobytes().isalpha()
            if self._plain:
                raise HeadError(400, _PLAIN_TEXT)
        self._incoming.write(scratch[:count])
        return count > 0
