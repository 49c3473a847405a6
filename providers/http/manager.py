"""Connections that wait: for their first byte, the rest of a head, or the next request. One thread looks after all."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from cheroot.connections import ConnectionManager

from providers.http.connection import Connection
from providers.http.environ import connection_environ
from providers.http.pace import TICK_S, Pace
from providers.http.pending import Pending
from providers.http.service import Service
from providers.http.tls import TlsConnection

# The process or the machine is out of descriptors or memory: accepting must pause, or the listener, which stays
# readable, would keep this thread spinning.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_SECONDS = 0.25
_CLOSED_WHEN_FULL = 32
_EAR_BYTES = 4096
# So long a process with more connections than another lets that one go first. It takes the connection all the same if
# nobody did: the other one may be busy, or gone.
_YIELD_SECONDS = 0.001


class _Selector(Protocol):
    """cheroot's selector behind a lock, which has no types of its own."""

    @property
    def connections(self) -> Iterable[tuple[int, object]]: ...
    def register(self, fileobj: object, events: int, data: object) -> object: ...
    def unregister(self, fileobj: object) -> object: ...
    def select(self, timeout: float | None) -> Iterable[tuple[int, object]]: ...
    def close(self) -> None: ...


class Connections(ConnectionManager):
    """Of ConnectionManager the selector, its lock and the life cycle (run, stop) are kept."""

    _selector: _Selector
    _serving: bool

    def __init__(
        self,
        server: object,
        service: Service,
        hand_over: Callable[[Connection], None],
        pace: Pace,
        tls: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        super().__init__(server)
        self._pace = pace
        self._service = service
        self._hand_over = hand_over
        self._tls = tls
        self._listener: socket.socket = self.server.socket
        self._paused_until = 0.0
        self._ear, self._waker = socket.socketpair()
        self._ear.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, None)
        self.pending = Pending(self._selector, service, hand_over, self._poke)

    # Replaces ConnectionManager.put, which keeps wall-clock times and asks a file object for buffered data.
    def put(self, conn: Connection) -> None:
        """Take a connection back from a worker. Never raises, which would end the worker."""
        if conn.pending is not None:
            self.pending.put(conn)
            return
        if conn.has_request():
            self._hand_over(conn)
            return
        conn.park()
        self._watch(conn)

    # Replaces ConnectionManager.stop, which polls and takes half a second.
    def stop(self) -> None:
        """Returns when ``run`` has ended."""
        self._stop_requested = True
        self._poke()
        while self._serving:
            time.sleep(0.002)

    def _poke(self) -> None:
        # Full: it will wake in any case. Closed: nobody is there to be woken.
        with contextlib.suppress(OSError):
            self._waker.send(b".")

    # Replaces ConnectionManager.close: a request that has just arrived is answered still.
    def close(self) -> None:
        """Only after ``stop``. Idle connections are closed, those with something to read go to the workers, and so do
        those whose request is pending.
        """
        self.pending.close()
        for fd, conn in self._selector.select(timeout=0):
            if isinstance(conn, Connection):
                self._selector.unregister(fd)
                self._hand_over(conn)
        for conn in self._waiting():
            conn.close()
        self._selector.close()
        self._ear.close()
        self._waker.close()

    # Replaces ConnectionManager._run: that hands a connection to a worker as soon as it is accepted, where a silent one
    # holds it, and stops watching only at the next timeout.
    def _run(self, expiration_interval: float) -> None:
        next_look = time.monotonic()
        next_expiry = next_look + expiration_interval
        while not self._stop_requested:
            for fd, conn in self._selector.select(timeout=self._patience(expiration_interval)):
                if conn is self.server:
                    self._accept()
                elif conn is None:
                    with contextlib.suppress(BlockingIOError):
                        self._ear.recv(_EAR_BYTES)
                elif isinstance(conn, Connection) and conn.pending is not None:
                    self.pending.heard(conn)
                # One that an accepted one has just replaced is watched no more.
                elif isinstance(conn, Connection) and conn.watched_since:
                    self._unwatch(conn, fd)
                    self._hand_over(conn)
            self.pending.look()
            now = time.monotonic()
            if now >= next_look:
                self._pace.look(now)
                next_look = now + TICK_S
            if now >= next_expiry:
                self._expire(now)
                next_expiry = now + expiration_interval
                if self._paused_until and now >= self._paused_until:
                    self._paused_until = 0.0
                    self._selector.register(self._listener.fileno(), selectors.EVENT_READ, self.server)

    def _patience(self, most_s: float) -> float:
        return min(TICK_S, most_s) if self._service.running else most_s

    # Replaces ConnectionManager._expire: each connection has its own deadline, and a late head is answered.
    def _expire(self, threshold: float) -> None:
        self.pending.expire(threshold)
        for conn in self._waiting():
            if conn.deadline < threshold:
                self._unwatch(conn, conn.sock.fileno())
                conn.expire()
        # What none could be found for when it came: all others were being answered.
        for share in self._service.addresses.crowded():
            self._close_surplus(share)

    def _accept(self) -> None:
        # One at a time: several processes share the listener, and each should get as many.
        load = self._service.load
        if load.is_ahead:
            time.sleep(_YIELD_SECONDS)
        try:
            sock, address = self._listener.accept()
        except OSError as error:
            # Mostly BlockingIOError: another process was faster. Or the peer has gone already.
            if error.errno in _EXHAUSTED:
                self._pause(error)
            return
        try:
            sock.setblocking(True)
            conn = self._connection(sock, address[0], address[1])
        except OSError:
            sock.close()
            return
        self._service.opened_connection(conn)
        self._close_surplus(conn.share)
        if self._has_many_idle():
            # Most clients connect because they have something to ask: the worker is awake when it comes.
            self._hand_over(conn)
            return
        conn.park()
        self._watch(conn)

    def _connection(self, sock: socket.socket, host: str, port: int) -> Connection:
        environ = connection_environ(self._service.environ, host, port)
        if self._tls is None:
            return Connection(self._service, sock, (host, port), environ)
        return TlsConnection(self._service, sock, (host, port), environ, self._tls())

    def _close_surplus(self, share: str) -> None:
        """Of an address that has more than its share, those go that have waited for longest."""
        beyond, held = self._service.addresses.surplus(share)
        waiting = [conn for conn in held if conn.watched_since]
        for conn in sorted(waiting, key=lambda conn: conn.watched_since):
            if beyond <= 0:
                return
            # One whose request has just come is answered; one that is about to be watched cannot be taken yet.
            if conn.is_silent() and self._unwatch(conn, conn.sock.fileno()):
                conn.close()
                beyond -= 1

    def _unwatch(self, conn: Connection, fd: int) -> bool:
        """Whether it was watched. Only the selector's thread, so that it is nobody else's then."""
        try:
            self._selector.unregister(fd)
        except (KeyError, ValueError):
            return False
        conn.watched_since = 0.0
        return True

    def _has_many_idle(self) -> bool:
        workers = self.server.requests
        return bool(workers.queue.idle() * 2 > workers.min)

    def _watch(self, conn: Connection) -> None:
        try:
            self._selector.register(conn.sock.fileno(), selectors.EVENT_READ, conn)
        except (OSError, ValueError):  # the selector is closed, or the kernel refuses
            conn.close()

    def _pause(self, error: OSError) -> None:
        self._service.report(f"accepting pauses: {error.strerror}; the longest idle connections are closed")
        self._selector.unregister(self._listener.fileno())
        self._paused_until = time.monotonic() + _PAUSE_SECONDS
        idle = [conn for conn in self._waiting() if not conn.head_since]
        for conn in sorted(idle, key=lambda conn: conn.deadline)[:_CLOSED_WHEN_FULL]:
            self._unwatch(conn, conn.sock.fileno())
            conn.close()

    def _waiting(self) -> list[Connection]:
        """For something from their peers, not for something from us."""
        watched = (conn for _, conn in self._selector.connections)
        return [conn for conn in watched if isinstance(conn, Connection) and conn.pending is None]
